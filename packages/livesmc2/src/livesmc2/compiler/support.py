"""Small functions that generated loops call on what a model's functions return; compiled and plain."""

from __future__ import annotations

import math
from typing import Any

from numba import types
from numba.extending import overload

from livesmc2.kernel.rng import unannotated


def as_tuple(value: Any) -> Any:
    """A state as a tuple: a model of one number may return it bare."""
    return value if isinstance(value, tuple) else (value,)


@overload(as_tuple, inline="always")
@unannotated
def _as_tuple(value: Any) -> Any:
    if isinstance(value, types.BaseTuple):
        return lambda value: value
    return lambda value: (value,)


def sum_of_present(terms: Any, y: Any) -> Any:
    """A log-likelihood: one number, or a tuple of terms, of which those of missing components are left out."""
    if not isinstance(terms, tuple):
        return terms
    return sum(term for term, value in zip(terms, y, strict=True) if not math.isnan(value))


@overload(sum_of_present)
@unannotated
def _sum_of_present(terms: Any, y: Any) -> Any:
    if not isinstance(terms, types.BaseTuple):
        return lambda terms, y: terms
    count = len(terms)
    lines = ["def implementation(terms, y):", "    total = 0.0"]
    lines += [f"    total += terms[{k}] if y[{k}] == y[{k}] else 0.0" for k in range(count)]
    space: dict[str, Any] = {}
    exec("\n".join([*lines, "    return total"]), space)
    return space["implementation"]
