"""Expressions over a job and the state of the system, as data: `attribute("size") * 2 + queue_length("barber")`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

OPERATORS = {
    "add": "+", "sub": "-", "mul": "*", "truediv": "/", "lt": "<", "le": "<=", "gt": ">", "ge": ">=",
    "equal": "==", "not_equal": "!=", "and": "&", "or": "|",
}  # fmt: skip
FUNCTIONS = {
    "neg": 1, "not": 1, "abs": 1, "floor": 1, "sqrt": 1, "exp": 1, "log": 1, "minimum": 2, "maximum": 2, "where": 3,
}  # fmt: skip
"""Functions and how many arguments each takes; every one agrees between CPython and Numba to the bit."""
CONDITIONS = ("lt", "le", "gt", "ge", "equal", "not_equal", "and", "or", "not")
STATES = {
    "attribute": "an attribute",
    "queue_length": "a resource",
    "busy": "a resource",
    "free": "a resource",
    "capacity": "a resource",
    "in_process": "a process",
    "level": "a container",
    "item": "an item",
    "now": "nothing",
    "age": "nothing",
}
"""What an expression may read while the model runs, and what each reads it of."""


class Expression:
    """A number known when the model runs. Operators and the functions of `livesim` build larger ones."""

    def __add__(self, other: Any) -> Call:
        return call("add", self, other)

    def __radd__(self, other: Any) -> Call:
        return call("add", other, self)

    def __sub__(self, other: Any) -> Call:
        return call("sub", self, other)

    def __rsub__(self, other: Any) -> Call:
        return call("sub", other, self)

    def __mul__(self, other: Any) -> Call:
        return call("mul", self, other)

    def __rmul__(self, other: Any) -> Call:
        return call("mul", other, self)

    def __truediv__(self, other: Any) -> Call:
        return call("truediv", self, other)

    def __rtruediv__(self, other: Any) -> Call:
        return call("truediv", other, self)

    def __neg__(self) -> Call:
        return call("neg", self)

    def __lt__(self, other: Any) -> Call:
        return call("lt", self, other)

    def __le__(self, other: Any) -> Call:
        return call("le", self, other)

    def __gt__(self, other: Any) -> Call:
        return call("gt", self, other)

    def __ge__(self, other: Any) -> Call:
        return call("ge", self, other)

    def __eq__(self, other: object) -> Call:  # type: ignore[override]
        return call("equal", self, other)

    def __ne__(self, other: object) -> Call:  # type: ignore[override]
        return call("not_equal", self, other)

    def __and__(self, other: Any) -> Call:
        return call("and", self, other)

    def __or__(self, other: Any) -> Call:
        return call("or", self, other)

    def __invert__(self) -> Call:
        return call("not", self)

    def __pow__(self, other: Any) -> Call:
        raise TypeError(f"{self} ** {other}: powers are not in the language; write x * x, or exp(y * log(x))")

    __hash__ = object.__hash__

    def __bool__(self) -> bool:
        raise TypeError(f"{self} has no truth value before the model runs; combine conditions with &, | and ~")


@dataclass(frozen=True, eq=False)
class Parameter(Expression):
    """A number that `run(..., params=)` may replace."""

    name: str
    default: float

    def __str__(self) -> str:
        return f"param({self.name!r}, {self.default:g})"


@dataclass(frozen=True, eq=False)
class State(Expression):
    """Something read while the model runs, such as an attribute of the job or the length of a queue."""

    kind: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.kind}({self.name!r})" if self.name else f"{self.kind}()"


@dataclass(frozen=True, eq=False)
class Call(Expression):
    """An operator or a function of expressions and numbers."""

    function: str
    arguments: tuple[Expression | float, ...]

    def __str__(self) -> str:
        texts = [a.__str__() if isinstance(a, Expression) else f"{a:g}" for a in self.arguments]
        if self.function in OPERATORS:
            return f"({texts[0]} {OPERATORS[self.function]} {texts[1]})"
        symbol = {"neg": "-", "not": "~"}.get(self.function)
        return f"{symbol}{texts[0]}" if symbol else f"{self.function}({', '.join(texts)})"


def literal(value: Any) -> Expression | float:
    """A value as it may stand in an expression: an expression as it is, any real number as a float."""
    if isinstance(value, Expression):
        return value
    if isinstance(value, (str, bytes)) or not hasattr(value, "__float__"):
        raise TypeError(f"an expression takes numbers and expressions, got {value!r}")
    return float(value)


def call(function: str, *arguments: Any) -> Call:
    """The expression `function(*arguments)`."""
    return Call(function, tuple(literal(argument) for argument in arguments))


def is_condition(value: Any) -> bool:
    """Whether a value is a comparison, or comparisons combined, rather than a number."""
    return isinstance(value, Call) and value.function in CONDITIONS


def leaves(value: Any) -> Iterator[Parameter | State]:
    """Every parameter and every state that an expression reads."""
    if isinstance(value, (Parameter, State)):
        yield value
    elif isinstance(value, Call):
        for argument in value.arguments:
            yield from leaves(argument)


def equal(first: Any, second: Any) -> bool:
    """Whether two values are the same expression (`==` of expressions builds a condition instead)."""
    if isinstance(first, Call) and isinstance(second, Call):
        return (
            first.function == second.function
            and len(first.arguments) == len(second.arguments)
            and all(map(equal, first.arguments, second.arguments))
        )
    if isinstance(first, Parameter) and isinstance(second, Parameter):
        return (first.name, first.default) == (second.name, second.default)
    if isinstance(first, State) and isinstance(second, State):
        return (first.kind, first.name) == (second.kind, second.name)
    return not isinstance(first, Expression) and not isinstance(second, Expression) and bool(first == second)


# -- the words of the language -----------------------------------------------------------------------------------------


def param(name: str, default: float) -> Parameter:
    """A number by name: `default`, unless `run(..., params={name: ...})` gives another."""
    if not isinstance(name, str) or not name:
        raise ValueError(f"param: a name is a non-empty string, got {name!r}")
    value = literal(default)
    if isinstance(value, Expression) or not math.isfinite(value):
        raise ValueError(f"param {name!r}: the default must be a finite number, got {default!r}")
    return Parameter(name, value)


def _state(kind: str, name: str) -> State:
    if not isinstance(name, str) or not name:
        raise TypeError(f"{kind} takes the name of {STATES[kind]}, a non-empty string, got {name!r}")
    return State(kind, name)


def attribute(name: str) -> State:
    """The job's attribute `name`, as `assign` left it."""
    return _state("attribute", name)


def queue_length(resource: str) -> State:
    """How many jobs wait for a resource."""
    return _state("queue_length", resource)


def busy(resource: str) -> State:
    """How many units of a resource are held."""
    return _state("busy", resource)


def free(resource: str) -> State:
    """How many units of a resource are there and not held; never below 0."""
    return _state("free", resource)


def capacity(resource: str) -> State:
    """How many units of a resource there are now."""
    return _state("capacity", resource)


def in_process(process: str) -> State:
    """How many jobs of a process are in the system."""
    return _state("in_process", process)


def level(container: str) -> State:
    """What a container holds now, or how many items a store."""
    return _state("level", container)


def item(name: str) -> State:
    """A number of an item in a store, for the store's order and `get(..., where=)`; NaN where it has none such."""
    return _state("item", name)


def now() -> State:
    """The simulated time."""
    return State("now")


def age() -> State:
    """How long ago the job arrived."""
    return State("age")


def minimum(first: Any, second: Any) -> Call:
    """The smaller of two values."""
    return call("minimum", first, second)


def maximum(first: Any, second: Any) -> Call:
    """The larger of two values."""
    return call("maximum", first, second)


def where(condition: Any, then: Any, otherwise: Any) -> Call:
    """`then` where the condition holds (is not 0), else `otherwise`; both are evaluated."""
    return call("where", condition, then, otherwise)


def floor(value: Any) -> Call:
    """The largest whole number that is not above the value."""
    return call("floor", value)


def sqrt(value: Any) -> Call:
    """The square root; NaN below 0."""
    return call("sqrt", value)


def exp(value: Any) -> Call:
    """The exponential; infinite where it overflows."""
    return call("exp", value)


def log(value: Any) -> Call:
    """The natural logarithm; minus infinity at 0, NaN below."""
    return call("log", value)
