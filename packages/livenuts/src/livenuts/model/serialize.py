"""Expressions and distributions as JSON values, and back. Only our own node types are ever built.

A function (of a `Custom` density, of `apply`) is no JSON value: it stands as its place in a list that goes beside.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from livenuts.model.distributions import Distribution, distribution, families
from livenuts.model.expressions import FUNCTIONS, OPERATORS, Call, Constant, Expression, Ref

_DTYPES = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float64")


def encode(value: Any, functions: list[Any] | None = None) -> Any:
    """A JSON value for an expression, a distribution, or what may stand in one; functions go to the list, if any."""
    if functions is not None and callable(value) and not isinstance(value, Expression):
        functions.append(value)
        return {"function": len(functions) - 1}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Ref):
        return {"ref": value.name}
    if isinstance(value, Constant):
        return {"dtype": str(value.value.dtype), "array": value.value.tolist()}
    if isinstance(value, Call):
        return {
            "call": value.function,
            "arguments": encode(value.arguments, functions),
            "options": encode(dict(value.options), functions),
        }
    if isinstance(value, Distribution):
        return {"family": value.family, "parameters": encode(dict(value.parameters), functions)}
    if isinstance(value, slice):
        return {"slice": [encode(value.start), encode(value.stop), encode(value.step)]}
    if value is Ellipsis:
        return {"ellipsis": True}
    if isinstance(value, tuple):
        return {"tuple": [encode(part, functions) for part in value]}
    if isinstance(value, dict):
        return {"options": [[name, encode(part, functions)] for name, part in value.items()]}
    what = "a function is code, which is not written into JSON" if callable(value) else f"{value!r:.60} cannot be saved"
    raise TypeError(f"a model holds numbers, arrays and expressions; {what}")


def decode(value: Any, functions: Sequence[Any] = ()) -> Any:
    """What `encode` was given; a ValueError for anything else."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    match value:
        case {"ref": str(name)}:
            return Ref(name)
        case {"dtype": str(dtype), "array": array} if dtype in _DTYPES:
            return Constant(np.array(array, dtype=dtype))
        case {"call": str(function), "arguments": arguments, "options": options}:
            if function not in FUNCTIONS and function not in OPERATORS:
                raise ValueError(f"unknown function {function!r}")
            return Call(function, decode(arguments, functions), tuple(decode(options, functions).items()))
        case {"family": str(family), "parameters": parameters}:
            if family not in families():
                raise ValueError(f"unknown distribution {family!r}")
            return distribution(family, **decode(parameters, functions))
        case {"slice": [start, stop, step]}:
            return slice(decode(start), decode(stop), decode(step))
        case {"ellipsis": True}:
            return Ellipsis
        case {"tuple": [*parts]}:
            return tuple(decode(part, functions) for part in parts)
        case {"options": [*pairs]}:
            return {str(name): decode(part, functions) for name, part in pairs}
        case {"function": int(place)} if 0 <= place < len(functions):
            return functions[place]
    raise ValueError(f"unknown node {value!r:.60}")
