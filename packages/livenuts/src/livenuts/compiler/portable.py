"""A model as plain data, to be rebuilt in another process: the same log density, the same data, the same digest.

A builder model is data already. A function travels by its import path, with its arguments; its code must be there too.
Functions are not serialised: JAX's export of a traced density can be compiled elsewhere, but on jax 0.12 the compiled
code need not give the same bits as the code that was compiled from the function.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from livenuts.model.builder import Model
from livenuts.model.function import FunctionModel
from livenuts.model.wrapped import LogDensityModel, NumpyroModel, PymcModel


class NotPortable(TypeError):
    """A model, or something in it, that cannot be rebuilt elsewhere from data and an import path."""


def to_plain(model: Any) -> dict[str, Any]:
    """The model as plain data: None, bool, int, float, str, lists, dicts with str keys, NumPy arrays."""
    if isinstance(model, Model):
        functions: list[Any] = []
        plain = {"kind": "builder", "model": _labels(model.skeleton(functions)), "values": dict(model.values)}
        made = [_function(f"a function of model {model.name!r}", function) for function in functions]
        return plain | ({"functions": made} if made else {})
    if isinstance(model, FunctionModel):
        coords = _labels(model.coords)
        return {
            "kind": "function",
            "function": _function("the model", model.function),
            "arguments": {name: _argument(repr(name), value) for name, value in model.arguments.items()},
            "coords": coords,
        }
    if isinstance(model, NumpyroModel):
        return {
            "kind": "numpyro",
            "function": _function("the model", model.function),
            "args": [_argument(f"argument {place}", value) for place, value in enumerate(model.args)],
            "kwargs": {name: _argument(repr(name), value) for name, value in model.kwargs.items()},
        }
    if isinstance(model, LogDensityModel):
        return {
            "kind": "log density",
            "function": _function("the log density", model.function),
            "position": _argument("the position", model.position),
        }
    if isinstance(model, PymcModel):
        raise NotPortable("a PyMC model cannot be rebuilt in another process; run it in threads, without an executor")
    raise NotPortable(f"expected a model, got {model!r:.80}")


def from_plain(plain: dict[str, Any]) -> Any:
    """The model that `to_plain` was given."""
    kind = plain["kind"]
    if kind == "builder":
        functions = [_rebuilt(function) for function in plain.get("functions", ())]
        return Model.from_skeleton(plain["model"], plain["values"], functions)
    function = _rebuilt(plain["function"])
    if kind == "function":
        arguments = {name: _rebuilt(value) for name, value in plain["arguments"].items()}
        return FunctionModel(function, arguments, plain["coords"])
    if kind == "numpyro":
        kwargs = {name: _rebuilt(value) for name, value in plain["kwargs"].items()}
        return NumpyroModel(function, tuple(_rebuilt(value) for value in plain["args"]), kwargs)
    if kind == "log density":
        return LogDensityModel(function, _rebuilt(plain["position"]))
    raise NotPortable(f"unknown kind of model {kind!r}")


def _labels(value: Any) -> Any:
    """Coordinate labels as plain values."""
    if isinstance(value, dict):
        return {str(name): _labels(part) for name, part in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_labels(part) for part in value]
    if isinstance(value, np.generic):
        value = value.item()
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


# -- functions ---------------------------------------------------------------------------------------------------------


def _function(name: str, function: Any) -> dict[str, Any]:
    if isinstance(function, functools.partial):
        return {
            "partial": _function(name, function.func),
            "args": [_argument(name, value) for value in function.args],
            "kwargs": {key: _argument(name, value) for key, value in function.keywords.items()},
        }
    module, qualname = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    path = f"{module}:{qualname}"
    if not module or not qualname or "<" in qualname:
        raise NotPortable(
            f"{name} is {function!r:.80}, which has no import path; another process needs one: "
            "put it at the top level of a module, its data among its arguments (functools.partial will do)"
        )
    try:
        found, unwrapped = _imported(path), 0
        while found is not function:
            found, unwrapped = found.__wrapped__, unwrapped + 1
    except (ImportError, AttributeError):
        raise NotPortable(
            f"{name}: importing {path} does not give {function!r:.80}; put it at the top level of a module, "
            "under the name by which it is defined"
        ) from None
    return {"function": path, "unwrapped": unwrapped}


def _imported(path: str) -> Any:
    module, _, qualname = path.partition(":")
    return functools.reduce(getattr, qualname.split("."), importlib.import_module(module))


# -- arguments ---------------------------------------------------------------------------------------------------------


def _argument(name: str, value: Any) -> Any:
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, (np.ndarray, jax.Array)) or type(value).__module__.startswith(("pandas", "polars", "xarray")):
        array = np.asarray(value)
        if array.dtype.kind in "biuf":
            return array
    elif isinstance(value, np.generic) and value.dtype.kind in "biuf":
        return {"scalar": np.asarray(value)}
    elif type(value) in (list, tuple):
        return {type(value).__name__: [_argument(name, part) for part in value]}
    elif type(value) is dict:
        return {"dict": [[_argument(name, key), _argument(f"{name}[{key!r}]", part)] for key, part in value.items()]}
    elif callable(value):
        return _function(name, value)
    raise NotPortable(
        f"{name} is a {type(value).__name__}, which another process cannot be given as plain data: "
        "numbers, strings, arrays, and lists, tuples and dicts of them travel, and functions by their import path"
    )


def _rebuilt(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    match value:
        case {"scalar": array}:
            return array[()]
        case {"list": parts}:
            return [_rebuilt(part) for part in parts]
        case {"tuple": parts}:
            return tuple(_rebuilt(part) for part in parts)
        case {"dict": pairs}:
            return {_rebuilt(key): _rebuilt(part) for key, part in pairs}
        case {"partial": function, "args": args, "kwargs": kwargs}:
            made: Callable[..., Any] = _rebuilt(function)
            return functools.partial(
                made, *(_rebuilt(part) for part in args), **{name: _rebuilt(part) for name, part in kwargs.items()}
            )
        case {"function": str(path), "unwrapped": int(unwrapped)}:
            try:
                found = _imported(path)
                for _ in range(unwrapped):
                    found = found.__wrapped__
            except (ImportError, AttributeError) as error:
                raise NotPortable(
                    f"cannot import {path} here ({error}); the model's function must be in a module that this "
                    "process can import too"
                ) from error
            return found
    raise NotPortable(f"unknown argument {value!r:.60}")
