"""Expressions and distributions as JSON values, and back. Only our own node types are ever built."""

from typing import Any

import numpy as np

from livenuts.model.distributions import Distribution, distribution, families
from livenuts.model.expressions import FUNCTIONS, OPERATORS, Call, Constant, Ref

_DTYPES = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float64")


def encode(value: Any) -> Any:
    """A JSON value for an expression, a distribution, or what may stand in one."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Ref):
        return {"ref": value.name}
    if isinstance(value, Constant):
        return {"dtype": str(value.value.dtype), "array": value.value.tolist()}
    if isinstance(value, Call):
        return {
            "call": value.function,
            "arguments": encode(value.arguments),
            "options": encode(dict(value.options)),
        }
    if isinstance(value, Distribution):
        return {"family": value.family, "parameters": encode(dict(value.parameters))}
    if isinstance(value, slice):
        return {"slice": [encode(value.start), encode(value.stop), encode(value.step)]}
    if value is Ellipsis:
        return {"ellipsis": True}
    if isinstance(value, tuple):
        return {"tuple": [encode(part) for part in value]}
    if isinstance(value, dict):
        return {"options": [[name, encode(part)] for name, part in value.items()]}
    raise TypeError(f"a model holds numbers, arrays and expressions; {value!r:.60} cannot be saved")


def decode(value: Any) -> Any:
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
            return Call(function, decode(arguments), tuple(decode(options).items()))
        case {"family": str(family), "parameters": parameters}:
            if family not in families():
                raise ValueError(f"unknown distribution {family!r}")
            return distribution(family, **decode(parameters))
        case {"slice": [start, stop, step]}:
            return slice(decode(start), decode(stop), decode(step))
        case {"ellipsis": True}:
            return Ellipsis
        case {"tuple": [*parts]}:
            return tuple(decode(part) for part in parts)
        case {"options": [*pairs]}:
            return {str(name): decode(part) for name, part in pairs}
    raise ValueError(f"unknown node {value!r:.60}")
