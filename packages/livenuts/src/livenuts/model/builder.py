"""The model builder: a model is an ordered list of nodes, so it prints, compares and saves as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from livenuts.model.distributions import Distribution, check_reparam
from livenuts.model.expressions import Call, Constant, Expression, Ref, literal, references
from livenuts.model.serialize import decode, encode

FORMATS = ("livenuts.model/1", "livenuts.model/2")
"""Of models as JSON; the second has weights and masks."""


@dataclass(frozen=True, eq=False)
class Node:
    """One statement of a model: kind is "rv", "obs", "det" or "factor"."""

    kind: str
    name: str
    content: Any
    """The distribution of an rv or obs, the expression of a det or factor."""
    shape: tuple[int, ...] | None = None
    dims: tuple[str, ...] | None = None
    reparam: str | None = None
    weights: Any = None
    """Of an obs: what its terms of the log density are multiplied by."""
    mask: Any = None
    """Of an obs: which of its terms count."""

    def __str__(self) -> str:
        shape = f"[{', '.join(map(str, self.dims or self.shape or ()))}]" if self.dims or self.shape else ""
        if self.kind == "rv":
            return f"{self.name}{shape} ~ {self.content}{f', {self.reparam}' if self.reparam else ''}"
        if self.kind == "obs":
            parts = [
                f"{name} {part}" for name, part in (("weights", self.weights), ("mask", self.mask)) if part is not None
            ]
            return f"{self.name}{shape} ~ {', '.join([str(self.content), 'observed', *parts])}"
        if self.kind == "det":
            return f"{self.name}{shape} = {self.content}"
        return f"{self.name}: log density + {self.content}"


class Model:
    """A Bayesian model as data. Every method adds a statement and returns the model.

    >>> from livenuts import Model, dist
    >>> coin = Model("coin").rv("p", dist.Beta(1, 1)).obs("heads", dist.Binomial(10, "p"), 7)
    >>> print(coin)
    coin
      p ~ Beta(concentration1=1, concentration0=1)
      heads ~ Binomial(total_count=10, probs=p), observed
    """

    def __init__(self, name: str = "model", *, coords: Mapping[str, Sequence[Any]] | None = None) -> None:
        if not isinstance(name, str) or not name:
            raise ValueError(f"a model's name is a non-empty string, got {name!r}")
        self.name = name
        if coords is not None and not isinstance(coords, Mapping):
            raise TypeError(f"model {name!r}: coords map the name of a dim to its labels, got {coords!r:.60}")
        self.coords = {dim: list(labels) for dim, labels in (coords or {}).items()}
        self.nodes: list[Node] = []
        self.values: dict[str, np.ndarray] = {}
        """Data arrays and observations, by name."""
        self.data_dims: dict[str, tuple[str, ...]] = {}

    def data(self, name: str, value: Any, *, dims: Sequence[str] | str | None = None) -> Model:
        """Add a data array, referred to by its name; the same shape may be replaced later by `with_data`."""
        self._new_name(name, "data")
        self.values[name] = finite("data", name, _array("data", name, value))
        if dims is not None:
            self.data_dims[name] = self._checked_dims("data", name, dims, self.values[name].shape)
        return self

    def rv(
        self,
        name: str,
        distribution: Distribution,
        *,
        shape: int | Sequence[int] | None = None,
        dims: Sequence[str] | str | None = None,
        reparam: str | None = None,
    ) -> Model:
        """Add a random variable.

        `shape` is the batch shape: independent copies of the distribution, parameters broadcasting to it. `dims`
        names its axes; where `shape` is left out, the lengths are those of the model's `coords`. With
        `reparam="non_centered"` the sampler moves z where the variable is loc + scale * z; draws, messages and
        `init` hold the variable itself.
        """
        self._new_name(name, "rv")
        self._checked_distribution("rv", name, distribution)
        check_reparam(name, distribution.family, reparam)
        dims = axes(dims)
        lengths = None if shape is None else _shape(name, shape)
        if dims is not None:
            if lengths is None:
                missing = [dim for dim in dims if dim not in self.coords]
                if missing:
                    raise ValueError(f"rv {name!r}: dims {missing} have no coords; give them or a shape")
                lengths = tuple(len(self.coords[dim]) for dim in dims)
            dims = self._checked_dims("rv", name, dims, lengths)
        self.nodes.append(Node("rv", name, distribution, lengths, dims, reparam))
        return self

    def obs(
        self,
        name: str,
        distribution: Distribution,
        value: Any,
        *,
        dims: Sequence[str] | str | None = None,
        weights: Any = None,
        mask: Any = None,
    ) -> Model:
        """Add an observation; `value` is an array, or the name of a data array of the model, with its dims.

        NaN marks what is missing: a variable `name_missing`, with one element for each, is sampled in its place
        (missing counts are summed out). `weights` multiply the terms of the log density, one for all or for each.
        Where `mask` is false a term does not count, and its value may be anything. Both are numbers, arrays, or
        expressions.
        """
        if isinstance(value, str):
            if value not in self.values:
                raise ValueError(f"obs {name!r}: no data {value!r} in model {self.name!r}")
            dims = self.data_dims.get(value) if dims is None else dims
            value = self.values[value]
        self._new_name(name, "obs")
        self._checked_distribution("obs", name, distribution)
        array = _array("obs", name, value)
        weights, mask = (
            None if part is None else self._checked_expression(f"obs {name!r}: {role} of", name, part)
            for role, part in (("weights", weights), ("mask", mask))
        )
        named = None if dims is None else self._checked_dims("obs", name, dims, array.shape)
        self.values[name] = array
        self.nodes.append(Node("obs", name, distribution, None, named, None, weights, mask))
        return self

    def det(self, name: str, expression: Any, *, dims: Sequence[str] | str | None = None) -> Model:
        """Add a deterministic quantity: computed for every draw and kept with the draws."""
        self._new_name(name, "det")
        content = self._checked_expression("det", name, expression)
        self.nodes.append(Node("det", name, content, None, axes(dims)))
        return self

    def factor(self, name: str, expression: Any) -> Model:
        """Add an expression, summed over its elements, to the log density."""
        self._new_name(name, "factor")
        self.nodes.append(Node("factor", name, self._checked_expression("factor", name, expression)))
        return self

    def with_data(self, **values: Any) -> Model:
        """A copy with other data or observations of the same names; the same shapes need no new compilation."""
        for name in values:
            if name not in self.values:
                known = ", ".join(self.values) or "none"
                raise ValueError(f"with_data: model {self.name!r} has no data or observation {name!r}; it has {known}")
        copy = Model(self.name, coords=self.coords)
        copy.nodes, copy.data_dims = list(self.nodes), dict(self.data_dims)
        observed = {node.name for node in self.nodes if node.kind == "obs"}
        for name, old in self.values.items():
            kind = "obs" if name in observed else "data"
            new = _array(kind, name, values[name]) if name in values else old
            copy.values[name] = finite(kind, name, new) if kind == "data" else new
        return copy

    def names(self) -> list[str]:
        """Every name in the model: data first, then statements in order."""
        statements = [node.name for node in self.nodes]
        return [name for name in self.values if name not in statements] + statements

    # -- as data ---------------------------------------------------------------------------------------------------

    def structure(self, functions: list[Any] | None = None) -> dict[str, Any]:
        """The model without its data, as plain JSON values; functions in it go to the list, or are a TypeError."""
        nodes = [
            {
                "kind": node.kind,
                "name": node.name,
                "content": encode(node.content, functions),
                "shape": None if node.shape is None else list(node.shape),
                "dims": None if node.dims is None else list(node.dims),
                "reparam": node.reparam,
            }
            | {
                role: encode(part, functions)
                for role, part in (("weights", node.weights), ("mask", node.mask))
                if part is not None
            }
            for node in self.nodes
        ]
        # Who only knows the first format would leave weights out.
        weighted = any(node.weights is not None or node.mask is not None for node in self.nodes)
        return {"format": FORMATS[weighted], "name": self.name, "nodes": nodes}

    def skeleton(self, functions: list[Any] | None = None) -> dict[str, Any]:
        """Everything but the values of data and observations, as plain JSON values; functions as in `structure`."""
        dims = {name: list(dims) for name, dims in sorted(self.data_dims.items())}
        return self.structure(functions) | {"coords": self.coords, "data_dims": dims}

    @classmethod
    def from_skeleton(
        cls, whole: Mapping[str, Any], values: Mapping[str, np.ndarray], functions: Sequence[Any] = ()
    ) -> Model:
        """The model with this `skeleton`, these `values` and the functions that its skeleton left out."""
        if whole["format"] not in FORMATS:
            raise ValueError(f"format {whole['format']!r}")
        model = cls(whole["name"], coords=whole["coords"])
        observed = {node["name"] for node in whole["nodes"] if node["kind"] == "obs"}
        for name, value in values.items():
            if name not in observed:
                model.data(name, value, dims=whole["data_dims"].get(name))
        for node in whole["nodes"]:
            model._add(node, lambda part: decode(part, functions), values)
        return model

    def to_json(self) -> str:
        """The whole model, data included, as a JSON text; a TypeError where a function is a part of it."""
        data = {name: encode(Constant(value)) for name, value in sorted(self.values.items())}
        return json.dumps(self.skeleton() | {"data": data}, allow_nan=True)

    @classmethod
    def from_json(cls, text: str) -> Model:
        """The model that `to_json` wrote; anything else is a ValueError. Nothing in the text is ever executed."""
        try:
            whole = json.loads(text)
            return cls.from_skeleton(whole, {name: decode(value).value for name, value in whole["data"].items()})
        except (KeyError, TypeError, AttributeError, ValueError, OverflowError, RecursionError) as error:
            raise ValueError(f"not a livenuts model: {error}") from error

    def _add(self, node: Mapping[str, Any], read: Callable[[Any], Any], values: Mapping[str, np.ndarray]) -> None:
        """Add a statement that was read, through the door that it came in by when it was written."""
        kind, name, dims, content = node["kind"], node["name"], node["dims"], read(node["content"])
        if kind == "rv":
            self.rv(name, content, shape=node["shape"], dims=dims, reparam=node.get("reparam"))
        elif kind == "obs":
            weights, mask = read(node.get("weights")), read(node.get("mask"))
            self.obs(name, content, values[name], dims=dims, weights=weights, mask=mask)
        elif kind == "det":
            self.det(name, content, dims=dims)
        elif kind == "factor":
            self.factor(name, content)
        else:
            raise ValueError(f"unknown statement {kind!r}")

    def save(self, path: str | Path) -> None:
        """Write the model as JSON."""
        Path(path).write_text(self.to_json(), encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Model:
        """Read a model that `save` wrote."""
        return cls.from_json(Path(path).read_text(encoding="utf-8"))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Model):
            return False
        mine: list[Any] = []
        theirs: list[Any] = []
        same = (
            self.skeleton(mine) == other.skeleton(theirs)
            and mine == theirs
            and self.values.keys() == other.values.keys()
        )
        return same and all(_same(value, other.values[name]) for name, value in self.values.items())

    __hash__ = None  # type: ignore[assignment]

    def __str__(self) -> str:
        statements = {node.name for node in self.nodes}
        data = [f"{name}: data {list(v.shape)}" for name, v in self.values.items() if name not in statements]
        return "\n  ".join([self.name, *data, *(f"{node}{self._missing(node)}" for node in self.nodes)])

    def __repr__(self) -> str:
        return f"<Model {self.name!r}: {len(self.nodes)} statements>"

    def _missing(self, node: Node) -> str:
        count = num_missing(self.values[node.name]) if node.kind == "obs" else 0
        return f", {count} missing" if count else ""

    # -- checks at the door ----------------------------------------------------------------------------------------

    def _new_name(self, name: str, kind: str) -> None:
        if not isinstance(name, str) or not name:
            raise ValueError(f"{kind}: a name is a non-empty string, got {name!r}")
        if name in self.names():
            raise ValueError(f"{kind} {name!r}: model {self.name!r} already has a {name!r}; names are unique")

    def _check_references(self, kind: str, name: str, wanted: set[str]) -> None:
        unknown = sorted(wanted - set(self.names()))
        if unknown:
            known = ", ".join(self.names()) or "nothing yet"
            raise ValueError(f"{kind} {name!r} refers to unknown {', '.join(map(repr, unknown))}; known are: {known}")

    def _checked_distribution(self, kind: str, name: str, distribution: Any) -> None:
        if not isinstance(distribution, Distribution):
            hint = ""
            if hasattr(distribution, "log_prob"):
                hint = "; NumPyro's own objects are for functions under @ln.model"
            elif callable(distribution):
                hint = "; a distribution is called with its parameters"
            raise TypeError(
                f"{kind} {name!r}: expected a distribution such as dist.Normal(0, 1), got {distribution!r:.80}{hint}"
            )
        self._check_references(kind, name, distribution.references())

    def _checked_expression(self, kind: str, name: str, expression: Any) -> Any:
        content = Ref(expression) if isinstance(expression, str) else literal(expression)
        if not isinstance(content, (Expression, int, float)):
            raise TypeError(f"{kind} {name!r}: expected an expression, got {expression!r}")
        self._check_references(kind, name, references(content))
        return content

    def _checked_dims(self, kind: str, name: str, given: Sequence[str] | str, shape: Sequence[int]) -> tuple[str, ...]:
        dims = axes(given) or ()
        if len(dims) != len(shape):
            raise ValueError(f"{kind} {name!r}: {len(dims)} dims {dims} for the shape {tuple(shape)}")
        for dim, length in zip(dims, shape, strict=True):
            if dim in self.coords and len(self.coords[dim]) != length:
                raise ValueError(
                    f"{kind} {name!r}: dim {dim!r} has {len(self.coords[dim])} coords, but length {length}"
                )
        return dims


def axes(dims: Sequence[str] | str | None) -> tuple[str, ...] | None:
    """The names of axes as a tuple; one axis may be given by its name alone."""
    return None if dims is None else (dims,) if isinstance(dims, str) else tuple(dims)


def _shape(name: str, shape: Any) -> tuple[int, ...]:
    sizes = tuple(shape) if isinstance(shape, Iterable) else (shape,)
    if not all(isinstance(size, (int, np.integer)) and size > 0 for size in sizes):
        raise ValueError(f"rv {name!r}: shape must be positive integers, got {shape!r}")
    return tuple(int(size) for size in sizes)


def _array(kind: str, name: str, value: Any) -> np.ndarray:
    """Data as the engine holds it: booleans and integers as they are, any float as float64."""
    try:
        array = np.array(value)
    except ValueError as error:
        raise ValueError(f"{kind} {name!r}: {error}") from error
    if array.dtype.kind not in "biuf":
        shown = " ".join(repr(value).split())
        raise TypeError(f"{kind} {name!r}: expected numbers, got dtype {array.dtype} from {shown:.60}")
    if array.size == 0:
        raise ValueError(f"{kind} {name!r}: no values (shape {array.shape})")
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def num_missing(array: Any) -> int:
    """How many values of an array are NaN."""
    return int(np.isnan(array).sum()) if array.dtype.kind == "f" else 0


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=one.dtype.kind == "f")


def finite(kind: str, name: str, array: np.ndarray) -> np.ndarray:
    """The array, or an error that names its first NaN."""
    if array.dtype.kind == "f" and np.isnan(array).any():
        where = tuple(int(i) for i in np.argwhere(np.isnan(array))[0])
        raise ValueError(f"{kind} {name!r}: the value at {list(where)} is NaN; leave missing values out")
    return array


__all__ = ["Call", "Model", "Node"]
