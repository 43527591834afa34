"""Each kind of model as statements on a frame: the one place where kinds differ."""

import contextlib
import json
from collections.abc import Callable, Hashable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from livenuts.compiler.captured import Same, captured
from livenuts.compiler.evaluate import evaluate, materialize
from livenuts.model.builder import Model
from livenuts.model.expressions import Constant
from livenuts.model.function import FunctionModel, running
from livenuts.model.wrapped import LogDensityModel, NumpyroModel, PymcModel


class Description(NamedTuple):
    """A model ready to be compiled: its data apart from everything else."""

    name: str
    key: Hashable
    """Equal keys and equal shapes of data mean equal compiled code."""
    data: Any
    """A pytree of NumPy arrays, passed to the compiled code as an argument."""
    statements: Callable[[Any, Any], None]
    """`statements(frame, data)` runs the model on a frame."""
    coords: dict[str, Any]
    start: np.ndarray | None
    """An unconstrained position to start from, where the model has one of its own."""
    data_dims: dict[str, tuple[str, ...]]
    observed: tuple[str, ...]
    hidden: frozenset[str] = frozenset()
    """Variables that are moved, but not kept with the draws."""
    float32_is_exact: bool = False
    """Whether arrays in single precision are there by choice: PyTensor keeps a constant so where that loses nothing."""


def describe(model: Any) -> Description:
    """The description of anything that `ln.sample` takes."""
    if isinstance(model, Model):
        return _builder(model)
    if isinstance(model, FunctionModel):
        return _function(model)
    if isinstance(model, NumpyroModel):
        return _numpyro(model)
    if isinstance(model, PymcModel):
        return _pymc(model)
    if isinstance(model, LogDensityModel):
        return _log_density(model)
    hint = ""
    if callable(model):
        hint = "; a function is called with its data first, or goes through from_logdensity or from_numpyro"
    raise TypeError(
        f"expected a model (Model, @model function, from_logdensity, from_numpyro, from_pymc), got {model!r:.80}{hint}"
    )


def _builder(model: Model) -> Description:
    nodes = list(model.nodes)
    observed = tuple(node.name for node in nodes if node.kind == "obs")

    def statements(frame: Any, data: Any) -> None:
        environment = dict(data)
        for node in nodes:
            try:
                content = (
                    materialize(node.content, environment)
                    if node.kind in ("rv", "obs")
                    else evaluate(node.content, environment)
                )
            except (ValueError, TypeError, IndexError) as error:
                shapes = {
                    name: tuple(jnp.shape(environment[name]))
                    for name in sorted(_names(node.content))
                    if name in environment
                }
                raise ValueError(f"{node.kind} {node.name!r}: {node.content} with shapes {shapes}: {error}") from error
            if node.kind == "rv":
                environment[node.name] = frame.rv(node.name, content, node.shape, node.dims, node.reparam)
            elif node.kind == "obs":
                # What is written into the model stays NumPy's, so that its values can be looked at.
                counts = [
                    part.value if isinstance(part, Constant) else None if part is None else evaluate(part, environment)
                    for part in (node.weights, node.mask)
                ]
                environment[node.name] = frame.obs(node.name, content, environment[node.name], *counts)
            elif node.kind == "det":
                environment[node.name] = frame.det(node.name, content, node.dims)
            else:
                frame.factor(node.name, content)

    functions: list[Any] = []
    text = json.dumps(model.structure(functions), sort_keys=True)
    key = ("builder", text, *map(captured, functions))
    dims = model.data_dims | {node.name: node.dims for node in nodes if node.kind == "obs" and node.dims is not None}
    return Description(model.name, key, dict(model.values), statements, model.coords, None, dims, observed)


def _names(content: Any) -> set[str]:
    from livenuts.model.distributions import Distribution
    from livenuts.model.expressions import references

    return content.references() if isinstance(content, Distribution) else references(content)


def _split(arguments: Any) -> tuple[dict[str, np.ndarray], Callable[[Any], Any], Hashable]:
    """Arrays among a function's arguments, a function that puts (traced) arrays back, and a key for the rest."""
    leaves, structure = jax.tree.flatten(arguments, is_leaf=lambda leaf: leaf is None)
    arrays = {}
    rest: list[Any] = []
    for position, leaf in enumerate(leaves):
        if isinstance(leaf, (np.ndarray, jax.Array)) or type(leaf).__module__.startswith(
            ("pandas", "polars", "xarray")
        ):
            array = _data_array(np.asarray(leaf))
            if array.size:
                arrays[str(position)] = array
            rest.append(None if array.size else array)
        else:
            rest.append(leaf)

    def join(data: dict[str, Any]) -> Any:
        return jax.tree.unflatten(structure, [data.get(str(position), leaf) for position, leaf in enumerate(rest)])

    static = tuple(leaf if _is_hashable(leaf) else repr(leaf) for leaf in rest)
    return arrays, join, (structure, static)


def _is_hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _data_array(array: np.ndarray) -> np.ndarray:
    if array.dtype.kind not in "biuf":
        raise TypeError(f"a model's data must be numbers, got an array of dtype {array.dtype}")
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def _function(model: FunctionModel) -> Description:
    arrays, join, static = _split(model.arguments)

    def statements(frame: Any, data: Any) -> None:
        with running(frame), _unvalidated(), _traced(model.name):
            model.function(**join(data))

    return Description(
        model.name, ("function", captured(model.function), static), arrays, statements, dict(model.coords), None, {}, ()
    )


def _numpyro(model: NumpyroModel) -> Description:
    arrays, join, static = _split((model.args, model.kwargs))

    def statements(frame: Any, data: Any) -> None:
        from livenuts.compiler.numpyro import run

        args, kwargs = join(data)
        with _unvalidated(), _traced(model.name):
            run(frame, model.function, args, kwargs)

    return Description(model.name, ("numpyro", captured(model.function), static), arrays, statements, {}, None, {}, ())


def _pymc(model: PymcModel) -> Description:
    from livenuts.compiler.pymc import PymcParts, run

    parts = PymcParts(model.model)
    start = np.concatenate([value.ravel() for value in parts.start])
    data = parts.observed
    dims = {name: dims for name, dims in parts.dims.items() if name in data}

    return Description(
        model.name, ("pymc", Same(parts)), data, lambda frame, _: run(frame, parts), parts.coords, start, dims,
        tuple(data), frozenset(map(parts.hidden, parts.names)), True,
    )  # fmt: skip


@contextlib.contextmanager
def _unvalidated() -> Iterator[None]:
    """Without NumPyro's checks: latent values are in their support by construction, data are checked once."""
    import numpyro

    with numpyro.validation_enabled(False):
        yield


@contextlib.contextmanager
def _traced(name: str) -> Iterator[None]:
    """What JAX says when a function takes its arrays for NumPy's, and besides what to write."""
    try:
        yield
    except (TypeError, IndexError) as error:
        if isinstance(error, jax.errors.JAXTypeError) or "JAX" in str(error):
            error.add_note(
                f"model {name!r}: variables and arrays are JAX's in a model function: write jnp.exp for np.exp, "
                "jnp.where for if, and give each column of a DataFrame as an argument of its own"
            )
        raise


def _log_density(model: LogDensityModel) -> Description:
    paths, structure = jax.tree_util.tree_flatten_with_path(model.position)
    if not paths:
        raise ValueError("from_logdensity: the position has no arrays")
    names = [_path_name(path) for path, _ in paths]
    leaves = [np.asarray(leaf) for _, leaf in paths]
    for name, leaf in zip(names, leaves, strict=True):
        if leaf.dtype.kind not in "biuf" or not np.isfinite(leaf).all():
            raise ValueError(f"from_logdensity: position {name!r} must be finite numbers, got {leaf!r:.60}")

    def statements(frame: Any, data: Any) -> None:
        from numpyro.distributions import ImproperUniform
        from numpyro.distributions.constraints import real

        values = [
            frame.rv(name, ImproperUniform(real, leaf.shape, (), validate_args=False), None, None)
            for name, leaf in zip(names, leaves, strict=True)
        ]
        with _traced(model.name):
            value = model.function(jax.tree.unflatten(structure, values))
        if value is None:
            raise ValueError("from_logdensity: the log density must be a scalar, got None")
        if jnp.shape(value) != ():
            raise ValueError(f"from_logdensity: the log density must be a scalar, got shape {jnp.shape(value)}")
        frame.factor("log density", value)

    key = (
        "log density",
        captured(model.function),
        structure,
        tuple((name, leaf.shape) for name, leaf in zip(names, leaves, strict=True)),
    )
    start = np.concatenate([leaf.astype(np.float64).ravel() for leaf in leaves])
    return Description(model.name, key, {}, statements, {}, start, {}, ())


def _path_name(path: Any) -> str:
    parts = [str(getattr(entry, "key", getattr(entry, "name", getattr(entry, "idx", entry)))) for entry in path]
    return ".".join(parts) or "x"
