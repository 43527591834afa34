"""Common operations of traced programs in NumPy: what is done once need not wait for a compiler."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jax.extend.core import ClosedJaxpr

from livenuts.compiler.programs import CALLS, read


def _broadcast(x: Any, shape: Any, broadcast_dimensions: Any, **_: Any) -> Any:
    places = dict(zip(broadcast_dimensions, np.shape(x), strict=True))
    return np.broadcast_to(np.reshape(x, [places.get(axis, 1) for axis in range(len(shape))]), shape)


def _slice(x: Any, start_indices: Any, limit_indices: Any, strides: Any) -> Any:
    steps = strides or (1,) * len(start_indices)
    return x[tuple(slice(*bounds) for bounds in zip(start_indices, limit_indices, steps, strict=True))]


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": np.abs,
    "add": np.add,
    "add_any": np.add,
    "and": np.logical_and,
    "eq": np.equal,
    "exp": np.exp,
    "ge": np.greater_equal,
    "gt": np.greater,
    "le": np.less_equal,
    "log": np.log,
    "log1p": np.log1p,
    "lt": np.less,
    "max": np.maximum,
    "min": np.minimum,
    "mul": np.multiply,
    "ne": np.not_equal,
    "neg": np.negative,
    "or": np.logical_or,
    "sqrt": np.sqrt,
    "square": np.square,
    "sub": np.subtract,
}
_SHAPING: dict[str, Callable[..., Any]] = {
    "broadcast_in_dim": _broadcast,
    "convert_element_type": lambda x, new_dtype, **_: x.astype(new_dtype),
    "reduce_sum": lambda x, axes, **_: np.sum(x, axis=tuple(axes), dtype=x.dtype),
    "reshape": lambda x, new_sizes, **_: np.reshape(x, new_sizes),
    "slice": _slice,
    "squeeze": lambda x, dimensions, **_: np.squeeze(x, tuple(dimensions)),
    "transpose": lambda x, permutation: np.transpose(x, permutation),
}
_OF_BOOLEANS = ("and", "or")
_OF_FLOATS: dict[str, Callable[..., Any]] = {
    "div": np.divide,
    "integer_pow": lambda x, y: np.power(x, float(y)),
}


def evaluate_numerically(equation: Any, values: Sequence[Any]) -> list[Any] | None:
    """The results of an equation in NumPy, to rounding those of JAX; None for an operation that is not known here."""
    results = _evaluate(equation, [np.asarray(value) for value in values])
    if results is None:
        return None
    return [np.asarray(result, v.aval.dtype) for result, v in zip(results, equation.outvars, strict=True)]


def _evaluate(equation: Any, values: list[np.ndarray]) -> list[Any] | None:
    name, parameters = equation.primitive.name, equation.params
    inner = parameters.get("call_jaxpr" if name == "custom_jvp_call" else CALLS.get(name, ""))
    if isinstance(inner, ClosedJaxpr):
        return _run(inner, values)
    if name == "optimization_barrier":
        return list(values)
    if not values or any(value.dtype not in (np.float64, np.int64, np.int32, np.bool_) for value in values):
        return None
    if name == "select_n" and len(values) == 3 and values[0].dtype == np.bool_:
        return [np.where(values[0], values[2], values[1])]
    if name in _OF_BOOLEANS and values[0].dtype != np.bool_:
        return None
    if name in _OF_FLOATS and values[0].dtype == np.float64:
        return [_OF_FLOATS[name](*values, **parameters)]
    if name in _FUNCTIONS:
        return [_FUNCTIONS[name](*values)]
    if name in _SHAPING and len(values) == 1:
        return [_SHAPING[name](values[0], **parameters)]
    return None


def _run(closed: ClosedJaxpr, values: Sequence[Any]) -> list[Any] | None:
    jaxpr = closed.jaxpr
    known = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*closed.consts, *values], strict=True))
    for equation in jaxpr.eqns:
        results = evaluate_numerically(equation, [read(known, atom) for atom in equation.invars])
        if results is None:
            return None
        known.update(zip(equation.outvars, results, strict=True))
    return [read(known, atom) for atom in jaxpr.outvars]
