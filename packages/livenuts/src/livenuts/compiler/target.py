"""A compiled model: the flat log density with its gradient, and the way back to named, constrained values."""

import hashlib
import math
import re
import threading
import warnings
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import checkify
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun

from livenuts.compiler.describe import Description, describe
from livenuts.compiler.frames import Constrained, Deterministic, Evaluation, Examination, Inversion, Layout, Variable
from livenuts.compiler.native import compile_native, compile_usual
from livenuts.compiler.programs import equations
from livenuts.compiler.simplify import simplified
from livenuts.compiler.split import Prepared, Split
from livenuts.compiler.x64 import x64
from livenuts.model.builder import num_missing

_CACHED_TARGETS = 64


class Target:
    """One model structure with one shape of data. Compiled programs are kept here, for new data to reuse."""

    def __init__(self, description: Description) -> None:
        self._statements = description.statements
        layout = _lay_out(description)
        if not layout.variables:
            raise ValueError(f"model {description.name!r} has no free variable: there is nothing to sample")
        self.variables: tuple[Variable, ...] = tuple(layout.variables)
        self.deterministics: tuple[Deterministic, ...] = tuple(layout.deterministics)
        seen = (variable for variable in self.variables if variable.name not in description.hidden)
        self.outputs: tuple[Variable | Deterministic, ...] = (*seen, *self.deterministics)
        """What a draw holds, in order."""
        self.dimension = layout.size
        self._checks = layout.checks
        self._by_name = {variable.name: variable for variable in (*self.variables, *layout.summed_out)}
        self.closed = self._trace(description)
        """(data leaves..., position) -> (log density, gradient), as a JAX program."""
        self.split = Split(self.closed)
        self._name = description.name
        self._bounds = self._bounds_check()
        self._check_bounds(description.data)
        self.programs: dict[Hashable, Any] = {}
        self.lock = threading.Lock()

    def evaluation(self, data: Any, position: Any) -> Evaluation:
        """Every statement's value and term at a position."""
        frame = Evaluation(self._by_name, position)
        self._statements(frame, data)
        return frame

    def values(self, data: Any, position: Any) -> dict[str, Any]:
        """Constrained values of variables and deterministics at a position."""
        frame = Constrained(self._by_name, position)
        self._statements(frame, data)
        return frame.values

    def _trace(self, description: Description) -> ClosedJaxpr:
        def log_density(data: Any, position: Any) -> Any:
            value = self.evaluation(data, position).log_density()
            return jnp.asarray(value, jnp.float64)

        with x64():
            position = jax.ShapeDtypeStruct((self.dimension,), jnp.float64)
            try:
                density = jax.make_jaxpr(log_density)(description.data, position)
                leaves = jax.tree.leaves(description.data)
                with_gradient = jax.value_and_grad(simplified(density), argnums=len(leaves))
                closed = jax.make_jaxpr(with_gradient)(*leaves, position)
            except TypeError as error:
                if "float32" in str(error):
                    raise TypeError(f"{_CAPTURED} ({error})") from error
                raise
        single = any(getattr(const, "dtype", None) == np.float32 for const in closed.consts)
        if single and not description.float32_is_exact:
            warnings.warn(_CAPTURED, stacklevel=6)
        return closed

    def constrain(self, data: Any, positions: Any, count: Any) -> dict[str, Any]:
        """Constrained values of the variables and deterministics at the first `count` rows of `positions`.

        Row by row: vectorised, a row's last bits could depend on its place in the chunk.
        """
        empty = {item.name: jnp.zeros((positions.shape[0], *item.shape)) for item in self.outputs}

        def one(row: Any, filled: dict[str, Any]) -> dict[str, Any]:
            values = self.values(data, positions[row])
            return {
                name: jax.lax.dynamic_update_index_in_dim(rows, values[name].astype(float), row, 0)
                for name, rows in filled.items()
            }

        filled: dict[str, Any] = jax.lax.fori_loop(0, count, one, empty)
        return filled

    def names(self) -> list[str]:
        """Variables, but for hidden ones, then deterministics."""
        return [item.name for item in self.outputs]

    def check(self, data: Any) -> None:
        """Let new data for the compiled code pass the door that the first data passed."""
        leaves = jax.tree.leaves(data)
        for check in self._checks:
            check(leaves)
        self._check_bounds(data)

    def _bounds_check(self) -> Any:
        """A compiled check of every index, where the model has any; JAX itself clamps one that is out of range.

        A model that asks for such clamping (`mode="clip"`, `"fill"`) is left alone.
        """
        gathers = [e for e in equations(self.closed.jaxpr) if e.primitive.name in ("gather", "dynamic_slice")]
        modes = {str(e.params["mode"]) for e in gathers if "mode" in e.params}
        if not gathers or not all("PROMISE_IN_BOUNDS" in mode for mode in modes):
            return None

        def log_density(data: Any, position: Any) -> Any:
            return self.evaluation(data, position).log_density()

        return jax.jit(checkify.checkify(log_density, errors=checkify.index_checks))

    def _check_bounds(self, data: Any) -> None:
        if self._bounds is None:
            return
        with x64():
            error, _ = self._bounds(data, np.zeros(self.dimension))
            message = error.get()
        if message:
            raise ValueError(f"model {self._name!r}: {message.strip().rstrip('.')}; indices count from 0")

    def width(self) -> int:
        """Numbers a draw takes, the larger of unconstrained and constrained."""
        sizes = [math.prod(item.shape) for item in self.outputs]
        return max(self.dimension, sum(sizes))

    def dims(self) -> dict[str, tuple[str, ...]]:
        """Named axes, where the model names them."""
        return {item.name: item.dims for item in self.outputs if item.dims is not None}

    def unconstrain(self, data: Any, position: np.ndarray, given: Mapping[str, Any]) -> np.ndarray:
        """A copy of `position` with the variables of `given` at these constrained values."""
        for name, value in given.items():
            if name not in self._by_name:
                raise ValueError(f"init: the model has no variable {name!r}; it has {', '.join(self._by_name)}")
            shape = self._by_name[name].shape
            if np.shape(value) != shape:
                raise ValueError(f"init {name!r}: expected shape {shape}, got {np.shape(value)}")
            try:
                finite = np.isfinite(np.asarray(value, float)).all()
            except (TypeError, ValueError):
                raise ValueError(f"init {name!r}: expected numbers, got {value!r:.60}") from None
            if not finite:
                raise ValueError(f"init {name!r}: values must be finite, got {np.asarray(value)!r:.60}")

        def check(name: str, distribution: Any, value: Any) -> None:
            if not bool(np.all(distribution.support(value))):
                family = type(distribution).__name__
                raise ValueError(f"init {name!r}: {np.asarray(value)!r:.60} is outside the support of {family}")

        with x64():
            frame = Inversion(self._by_name, jnp.asarray(position), given, check)
            self._statements(frame, data)
        flat = np.array(position, np.float64)
        for name, value in frame.unconstrained.items():
            variable = self._by_name[name]
            flat[variable.start : variable.start + variable.size] = np.ravel(np.asarray(value))
        return flat

    def suspects(self, data: Any, position: np.ndarray) -> list[str]:
        """The statements whose log density, or its gradient, is not finite at a position, in words."""
        with x64():
            frame = Examination(self._by_name, jnp.asarray(position))
            self._statements(frame, data)
            found = [
                f"{name!r} has log density {term}" + (f" ({frame.wrong[name]})" if name in frame.wrong else "")
                for name, term in frame.terms.items()
                if not np.isfinite(term)
            ]
            if any(np.isnan(leaf).any() for leaf in jax.tree.leaves(data) if leaf.dtype.kind == "f"):
                found.append("the data hold NaN")
            if not found:
                _, gradient = jaxpr_as_fun(self.closed)(*jax.tree.leaves(data), jnp.asarray(position))
                bad = ~np.isfinite(np.asarray(gradient))
                found = [
                    f"the gradient with respect to {variable.name!r} is not finite"
                    for variable in self.variables
                    if bad[variable.start : variable.start + variable.size].any()
                ]
        return found

    def digest(self, data: Any) -> str:
        """A fingerprint of the log density and the data: equal for equal models under one set of versions."""
        text = re.sub(r"0x[0-9a-f]+", "", str(self.closed.jaxpr))
        state = hashlib.sha256(text.encode())
        for array in [*self.closed.consts, *jax.tree.leaves(data)]:
            values = np.asarray(array)
            state.update(f"{values.dtype}{values.shape}".encode())
            state.update(np.ascontiguousarray(values).tobytes())
        return state.hexdigest()


_CAPTURED = (
    "the log density captures float32 arrays, made outside of the model while JAX was in single precision; "
    "make them with NumPy, or pass them as arguments"
)


def _lay_out(description: Description) -> Layout:
    layouts = []

    def trace(data: Any) -> None:
        pairs = zip(jax.tree.leaves(data), jax.tree.leaves(description.data), strict=True)
        layout = Layout({id(traced): (place, values) for place, (traced, values) in enumerate(pairs)})
        description.statements(layout, data)
        layouts.append(layout)

    with x64():
        jax.eval_shape(trace, description.data)
    return layouts[0]


class Bound(NamedTuple):
    """A target with the data of one model."""

    target: Target
    description: Description
    prepared: Prepared
    """What a gradient reads, computed from the data."""
    closed: ClosedJaxpr
    """(leaves of prepared..., position) -> (log density, gradient), as a JAX program."""

    @property
    def data(self) -> Any:
        return self.description.data

    @property
    def shapes(self) -> Hashable:
        """Bound models of one target with equal shapes share compiled code; tables of groups depend on the data."""
        leaves, structure = jax.tree.flatten(self.prepared)
        return structure, tuple((leaf.shape, str(leaf.dtype)) for leaf in leaves)


_targets: OrderedDict[Hashable, Target] = OrderedDict()
_constant: set[Hashable] = set()
_lock = threading.Lock()


def compile_model(model: Any) -> Bound:
    """Compile a model, or take what an equal model with data of the same shapes left behind."""
    description = describe(model)
    leaves = jax.tree.leaves(description.data)
    shapes = tuple((leaf.shape, str(leaf.dtype), num_missing(leaf)) for leaf in leaves)
    key: Hashable = (description.key, shapes)
    with _lock:
        if key in _constant:
            description, key = _with_constants(description)
        if key not in _targets:
            try:
                target = Target(description)
            except jax.errors.JAXTypeError:
                # The function looks at its data's values: they become part of the program.
                _constant.add(key)
                description, key = _with_constants(description)
                target = _targets.get(key) or Target(description)
            _targets[key] = target
            while len(_targets) > _CACHED_TARGETS:
                _targets.popitem(last=False)
        else:
            _targets[key].check(description.data)
        _targets.move_to_end(key)
        target = _targets[key]
        _check_dims(target, description)
        prepared = target.split.prepare(jax.tree.leaves(description.data))
        return Bound(target, description, prepared, target.split.rest(prepared))


def _check_dims(target: Target, description: Description) -> None:
    """One name of an axis means one length, whoever has the axis: a table by names would be filled up with NaN."""
    lengths = {dim: (len(labels), "coords") for dim, labels in description.coords.items()}
    named = [(name, dims, np.shape(description.data[name])) for name, dims in description.data_dims.items()]
    named += [(item.name, item.dims, item.shape) for item in target.outputs if item.dims is not None]
    for name, dims, shape in named:
        for dim, length in zip(dims, shape, strict=True):
            known, owner = lengths.setdefault(dim, (length, repr(name)))
            if known != length:
                raise ValueError(f"dim {dim!r} has length {known} in {owner} and {length} in {name!r}")


def _with_constants(description: Description) -> tuple[Description, Hashable]:
    data, statements = description.data, description.statements
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(data):
        digest.update(f"{leaf.dtype}{leaf.shape}".encode() + leaf.tobytes())
    key = (description.key, digest.hexdigest())
    return description._replace(key=key, data={}, statements=lambda frame, _: statements(frame, data)), key


def compile_constrain(target: Target, data: Any, rows: int, columns: int) -> Any:
    """Compiled `constrain` for a matrix of this shape, whose first columns are positions."""

    def constrain(data: Any, record: Any, count: Any) -> dict[str, Any]:
        return target.constrain(data, record[:, : target.dimension], count)

    arguments = (data, np.zeros((rows, columns)), np.int64(0))
    with x64():
        return compile_native(constrain, arguments) or compile_usual(constrain, arguments)
