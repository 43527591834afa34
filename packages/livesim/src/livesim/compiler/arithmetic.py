"""Functions of numbers in plain Python, with the values that IEEE arithmetic has where Python raises."""

from __future__ import annotations

import math

from livesim.compiler.program import Code


def divide(x: float, y: float) -> float:
    if y == 0.0:
        if x == 0.0 or math.isnan(x):
            return math.nan
        return math.copysign(math.inf, x) * math.copysign(1.0, y)
    return x / y


def logarithm(x: float) -> float:
    if x > 0.0:
        return math.log(x)
    return -math.inf if x == 0.0 else math.nan


def exponential(x: float) -> float:
    try:
        return math.exp(x)
    except OverflowError:
        return math.inf


def floor(x: float) -> float:
    return float(math.floor(x)) if math.isfinite(x) else x


def apply(code: int, x: float, y: float = 0.0, z: float = 0.0) -> float:
    """The value of an operator or a function; a condition is 1 or 0, and any number but 0 is true."""
    match code:
        case Code.ADD:
            return x + y
        case Code.SUB:
            return x - y
        case Code.MUL:
            return x * y
        case Code.TRUEDIV:
            return divide(x, y)
        case Code.LT:
            return float(x < y)
        case Code.LE:
            return float(x <= y)
        case Code.GT:
            return float(x > y)
        case Code.GE:
            return float(x >= y)
        case Code.EQUAL:
            return float(x == y)
        case Code.NOT_EQUAL:
            return float(x != y)
        case Code.AND:
            return float(x != 0.0 and y != 0.0)
        case Code.OR:
            return float(x != 0.0 or y != 0.0)
        case Code.MINIMUM:
            return y if y < x else x
        case Code.MAXIMUM:
            return y if y > x else x
        case Code.NEG:
            return -x
        case Code.NOT:
            return float(x == 0.0)
        case Code.ABS:
            return abs(x)
        case Code.FLOOR:
            return floor(x)
        case Code.SQRT:
            return math.sqrt(x) if x >= 0.0 else math.nan
        case Code.EXP:
            return exponential(x)
        case Code.LOG:
            return logarithm(x)
        case Code.WHERE:
            return y if x != 0.0 else z
    raise AssertionError(code)


UNARY = (Code.NEG, Code.NOT, Code.ABS, Code.FLOOR, Code.SQRT, Code.EXP, Code.LOG)
ARITY: dict[int, int] = {
    code: 3 if code == Code.WHERE else 1 if code in UNARY else 2 for code in Code if code >= Code.ADD
}
"""How many operands each operator takes."""
