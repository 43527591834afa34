"""What a model function sees besides its arguments: a key that changes when those values change.

Compiled code is kept by the function, so a function that reads a global or enclosing variable must not be served code
that was compiled for another value of it. Values reached through an object's attributes are not followed.
"""

import functools
import hashlib
from collections.abc import Callable, Hashable, Iterator
from types import CodeType, FunctionType
from typing import Any

import jax
import numpy as np


class Same:
    """Equal to itself alone. It keeps its object alive, so that no later one can take its place unnoticed."""

    def __init__(self, value: object) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and other.value is self.value

    def __hash__(self) -> int:
        return id(self.value)


def captured(function: Callable[..., Any]) -> Hashable:
    """A key of the function and of the global and enclosing values that its code names."""
    return tuple(_keys(function, set()))


def _keys(value: Any, seen: set[int]) -> Iterator[Hashable]:
    if isinstance(value, (np.ndarray, jax.Array)):
        array = np.asarray(value)
        yield (array.shape, str(array.dtype), hashlib.sha256(np.ascontiguousarray(array).tobytes()).digest())
    elif isinstance(value, (bool, int, float, complex, str, bytes, type(None))):
        yield (type(value).__name__, value)
    elif id(value) in seen:
        return
    elif isinstance(value, (list, tuple, dict)):
        seen.add(id(value))
        for part in value.items() if isinstance(value, dict) else value:
            yield from _keys(part, seen)
    elif isinstance(value, FunctionType):
        seen.add(id(value))
        yield value
        # Functions of libraries do not change under us; following them would read half the library.
        if not _is_library(value):
            names = set(_names(value.__code__))
            for name in sorted(names & value.__globals__.keys()):
                yield name
                yield from _keys(value.__globals__[name], seen)
            for cell in value.__closure__ or ():
                yield from _keys(_contents(cell), seen)
            for default in (value.__defaults__, value.__kwdefaults__):
                yield from _keys(default, seen)
    elif isinstance(value, functools.partial):
        yield from _keys((value.func, value.args, value.keywords), seen)
    else:
        yield Same(value)


def _contents(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not assigned yet
        return None


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _is_library(function: FunctionType) -> bool:
    module = (function.__module__ or "").split(".")[0]
    return "site-packages" in function.__code__.co_filename or module in ("jax", "numpyro")
