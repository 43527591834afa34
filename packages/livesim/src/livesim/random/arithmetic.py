"""What the samplers calculate with: the functions of `math` that CPython and Numba share to the bit, and no others."""

from __future__ import annotations

import math

from livesim.random.kinds import LARGEST_COUNT

NAN = math.nan
INFINITY = math.inf
WHOLE_FROM = 2.0**52  # doubles from here on have no fraction
LARGEST_EXPONENT = 709.782712893384  # exp overflows above it


def exp(x: float) -> float:
    """e^x, infinite where CPython would raise OverflowError."""
    return INFINITY if x > LARGEST_EXPONENT else math.exp(x)


def log_of_complement(p: float) -> float:
    """log(1 - p) for 0 < p < 1, right to rounding for small p too (Kahan's correction of the rounded 1 - p)."""
    q = 1.0 - p
    if q == 1.0:
        return -p
    return math.log(q) * (p / (1.0 - q))


def whole(x: float) -> float:
    """The floor of x >= 0."""
    return x if x >= WHOLE_FROM else float(int(x))


def whole_number(x: float) -> bool:
    """Whether x is a whole number, small enough to be drawn from or to."""
    return abs(x) <= LARGEST_COUNT and x == math.floor(x)
