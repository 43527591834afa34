"""Expressions over a model's variables, as data: `ref("alpha") + ref("x") @ ref("beta")`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

# Functions of one or more arguments that an expression may call; the compiler knows each by name.
TAKES_FUNCTION = ("apply", "ode")
"""Functions of which the first argument is a function of the user's own, written in JAX."""
FUNCTIONS = (
    "abs", "apply", "ceil", "concatenate", "cos", "cosh", "cumsum", "diag", "dot", "exp", "expit", "expm1", "floor",
    "gammaln", "linear_ode", "linear_kernel", "log", "log1p", "logit", "logsumexp", "matern12", "matern32",
    "matern32_spectrum", "matern52", "matern52_spectrum", "max", "maximum", "mean", "min", "minimum", "ode", "periodic",
    "prod", "rational_quadratic", "reshape", "sigmoid", "sign", "sin", "sinh", "softmax", "softplus", "sqrt", "square",
    "squared_exponential", "squared_exponential_spectrum", "stack", "sum", "tan", "tanh", "transpose", "where",
)  # fmt: skip
OPERATORS = {
    "add": "+", "sub": "-", "mul": "*", "truediv": "/", "pow": "**", "matmul": "@", "mod": "%", "lt": "<", "le": "<=",
    "gt": ">", "ge": ">=", "equal": "==", "not_equal": "!=", "neg": "-", "getitem": "[]",
}  # fmt: skip


_OPERATORS_OF_NUMPY = {
    "add": "add", "subtract": "sub", "multiply": "mul", "divide": "truediv", "power": "pow",
    "matmul": "matmul", "remainder": "mod", "less": "lt", "less_equal": "le", "greater": "gt", "greater_equal": "ge",
    "equal": "equal", "not_equal": "not_equal", "negative": "neg",
}  # fmt: skip


class Expression:
    """An arithmetic expression; operators and the functions of `livenuts` build larger ones."""

    __pandas_priority__ = 5000  # above that of a DataFrame: `series * ref("x")` reaches our reflected operator

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Call:
        """NumPy's operators, as in `ndarray + ref("x")`; its functions are refused, `livenuts` has its own."""
        if ufunc.__name__ in _OPERATORS_OF_NUMPY and method == "__call__" and not options:
            return call(_OPERATORS_OF_NUMPY[ufunc.__name__], *inputs)
        raise TypeError(f"np.{ufunc.__name__} takes no expression such as {self}; livenuts has its own, such as ln.exp")

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError(
            f"expression {self} has no values before the model is compiled; use the functions of livenuts (ln.exp), "
            "and NumPy arrays for what is known (X.to_numpy() @ ref('beta') for a DataFrame X)"
        )

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

    def __pow__(self, other: Any) -> Call:
        return call("pow", self, other)

    def __rpow__(self, other: Any) -> Call:
        return call("pow", other, self)

    def __matmul__(self, other: Any) -> Call:
        return call("matmul", self, other)

    def __rmatmul__(self, other: Any) -> Call:
        return call("matmul", other, self)

    def __mod__(self, other: Any) -> Call:
        return call("mod", self, other)

    def __rmod__(self, other: Any) -> Call:
        return call("mod", other, self)

    def __eq__(self, other: object) -> Call:  # type: ignore[override]
        return call("equal", self, other)

    def __ne__(self, other: object) -> Call:  # type: ignore[override]
        return call("not_equal", self, other)

    __hash__ = object.__hash__

    def __lt__(self, other: Any) -> Call:
        return call("lt", self, other)

    def __le__(self, other: Any) -> Call:
        return call("le", self, other)

    def __gt__(self, other: Any) -> Call:
        return call("gt", self, other)

    def __ge__(self, other: Any) -> Call:
        return call("ge", self, other)

    def __neg__(self) -> Call:
        return call("neg", self)

    def __getitem__(self, index: Any) -> Call:
        return call("getitem", self, index)

    def __iter__(self) -> Any:
        raise TypeError(f"expression {self} has no length before the model is compiled; index it instead")

    def __bool__(self) -> bool:
        raise TypeError(f"expression {self} has no truth value before the model is compiled; use ln.where")


@dataclass(frozen=True, eq=False)
class Ref(Expression):
    """A variable or a data array of the model by its name; a variable stands for its constrained value."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, eq=False)
class Constant(Expression):
    """An array written into the model."""

    value: np.ndarray

    def __str__(self) -> str:
        return np.array2string(self.value, threshold=6, edgeitems=2, separator=", ")


@dataclass(frozen=True, eq=False)
class Call(Expression):
    """An operator or a function applied to expressions and plain values."""

    function: str
    arguments: tuple[Any, ...]
    options: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        symbol = OPERATORS.get(self.function)
        texts = [getattr(argument, "__name__", str(argument)) for argument in self.arguments]
        if self.function == "getitem":
            return f"{texts[0]}[{_index_text(self.arguments[1])}]"
        if symbol and len(texts) == 2:
            return f"({texts[0]} {symbol} {texts[1]})"
        if symbol:
            return f"{symbol}{texts[0]}"
        options = [f"{name}={value}" for name, value in self.options]
        return f"{self.function}({', '.join(texts + options)})"


def _index_text(index: Any) -> str:
    if isinstance(index, tuple):
        return ", ".join(_index_text(part) for part in index)
    if isinstance(index, slice):
        return ":".join("" if part is None else str(part) for part in (index.start, index.stop))
    return str(index)


def ref(name: str) -> Ref:
    """The variable or data array called `name`."""
    if not isinstance(name, str) or not name:
        raise ValueError(f"ref takes the name of a variable, got {name!r}")
    return Ref(name)


def literal(value: Any) -> Any:
    """A value as it may stand in an expression: arrays and lists become constants, plain scalars stay."""
    if isinstance(value, (Expression, bool, int, float, str, type(None), slice)):
        return value
    if isinstance(value, tuple) and any(isinstance(part, (slice, Expression, type(None))) for part in value):
        return tuple(literal(part) for part in value)
    if isinstance(value, (list, tuple)) and any(isinstance(part, Expression) for part in value):
        return tuple(literal(part) for part in value)
    if value is Ellipsis:
        return value
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"an expression takes numbers and arrays of numbers, got {value!r}")
    return array.item() if array.ndim == 0 else Constant(array)


def call(function: str, *arguments: Any, **options: Any) -> Call:
    """The expression `function(*arguments, **options)`."""
    first = arguments[:1] if function in TAKES_FUNCTION else ()
    if first and not callable(first[0]):
        raise TypeError(f"ln.{function} takes a function first, got {first[0]!r:.60}")
    rest = tuple(literal(argument) for argument in arguments[len(first) :])
    named = {name: literal(v) if isinstance(v, (Expression, np.ndarray)) else v for name, v in options.items()}
    return Call(function, (*first, *rest), tuple(sorted(named.items())))


def references(value: Any) -> set[str]:
    """The names that an expression, or anything that may hold one, refers to."""
    if isinstance(value, Ref):
        return {value.name}
    if isinstance(value, Call):
        return references((*value.arguments, *(option for _, option in value.options)))
    if isinstance(value, (tuple, list)):
        return set().union(*map(references, value)) if value else set()
    return set()
