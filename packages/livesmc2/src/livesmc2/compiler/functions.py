"""A model's functions, made ready to run: bound to what they refer to."""

from __future__ import annotations

import math
import types
from collections.abc import Callable
from typing import Any

from numba import njit
from numba.core.dispatcher import Dispatcher

from livesmc2.kernel import elementary

OPTIONS: dict[str, Any] = {"error_model": "numpy", "nogil": True}


# -- what a function refers to -----------------------------------------------------------------------------------------


def plain(function: Any) -> Any:
    """The Python function behind one that Numba compiled."""
    return function.py_func if isinstance(function, Dispatcher) else function


def referents(function: types.FunctionType) -> dict[str, Any]:
    """The values of the global names and closure cells that its code, and code inside it, uses."""
    found: dict[str, Any] = {}

    def look(code: types.CodeType) -> None:
        for name in code.co_names:
            if name in function.__globals__:
                found[name] = function.__globals__[name]
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                look(constant)

    look(function.__code__)
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        found[name] = cell.cell_contents
    return found


def rebound(function: Any, convert: Callable[[Any], Any]) -> types.FunctionType:
    """The same function with what it refers to converted; the original and its module are left alone."""
    function = plain(function)
    if not isinstance(function, types.FunctionType):
        raise TypeError(f"a model function is a Python function, got {function!r:.80}")
    values = referents(function)
    cells = tuple(types.CellType(convert(values[name])) for name in function.__code__.co_freevars)
    names = {name: convert(value) for name, value in values.items() if name not in function.__code__.co_freevars}
    made = types.FunctionType(
        function.__code__, {**function.__globals__, **names}, function.__name__, function.__defaults__, cells
    )
    made.__kwdefaults__ = function.__kwdefaults__
    made.__module__, made.__qualname__ = function.__module__, function.__qualname__
    return made


_MATH_FUNCTIONS = {id(value): name for name, value in vars(math).items() if callable(value)}


def compilable(function: Any, draws: bool) -> Any:
    """Compiled to be inlined where it is called, and so the plain functions that it calls.

    draws: whether it is given a generator. A function that is not becomes a loop over particles that is vectorised,
    with an exp and a log of our own; for one that is, those of the C library are faster. `math` stands for either.
    """
    stand_in = elementary.PURE_MATH if draws else elementary.VECTOR_MATH
    known: dict[int, Any] = {}

    def convert(value: Any) -> Any:
        if value is math:
            return stand_in
        if id(value) in _MATH_FUNCTIONS:
            return getattr(stand_in, _MATH_FUNCTIONS[id(value)])
        if not isinstance(value, types.FunctionType):
            return value
        if id(value) not in known:
            known[id(value)] = value  # a function that calls itself: Numba says what it thinks of that
            known[id(value)] = njit(forceinline=True, **OPTIONS)(rebound(value, convert))
        return known[id(value)]

    return njit(forceinline=True, **OPTIONS)(rebound(function, convert))


# -- uncompiled runs ---------------------------------------------------------------------------------------------------


def _ieee(function: Callable[..., float], at_domain_error: Callable[..., float]) -> Callable[..., float]:
    def call(*arguments: float) -> float:
        try:
            return function(*arguments)
        except OverflowError:
            return math.inf
        except ValueError:
            return at_domain_error(*arguments)

    return call


class _Math:
    """`math`, with the values of IEEE arithmetic where the module raises: log(0) is -inf, sqrt(-1) NaN."""

    def __getattr__(self, name: str) -> Any:
        value = getattr(math, name)
        if not callable(value):
            return value
        if name in ("log", "log2", "log10"):
            return _ieee(value, lambda x, *_: -math.inf if x == 0 else math.nan)
        if name == "log1p":
            return _ieee(value, lambda x: -math.inf if x == -1 else math.nan)
        if name in ("lgamma", "gamma"):
            return _ieee(value, lambda x: math.inf)
        return _ieee(value, lambda *_: math.nan)


class _VectorMath(_Math):
    """The same with the exp and the log of loops that are vectorised."""

    exp, log = staticmethod(elementary.exp), staticmethod(elementary.log)


IEEE_MATH, IEEE_VECTOR_MATH = _Math(), _VectorMath()


def uncompiled(function: Any, draws: bool) -> Any:
    """The function for a run in plain Python: to be stepped through, and with the arithmetic of the compiled one."""
    stand_in = IEEE_MATH if draws else IEEE_VECTOR_MATH
    known: dict[int, Any] = {}

    def convert(value: Any) -> Any:
        value = plain(value)
        if value is math:
            return stand_in
        if id(value) in _MATH_FUNCTIONS:
            return getattr(stand_in, _MATH_FUNCTIONS[id(value)])
        if not isinstance(value, types.FunctionType):
            return value
        if id(value) not in known:
            known[id(value)] = value  # a function that calls itself
            known[id(value)] = rebound(value, convert)
        return known[id(value)]

    return rebound(function, convert)
