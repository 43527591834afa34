"""What the annotations of compiled functions stand for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

from numba import types
from numba.np.numpy_support import from_dtype

from livesim.engine.world import JOB, LEVEL, TALLY, WORLD
from livesim.native import routines

World: TypeAlias = Any
Jobs: TypeAlias = Any
Levels: TypeAlias = Any
Tallies: TypeAlias = Any
Floats: TypeAlias = Any
Ints: TypeAlias = Any
Word: TypeAlias = Any
"""64 bits without a sign."""

Function = TypeVar("Function", bound=Callable[..., Any])

KNOWN = {
    **routines.SCALARS,
    "World": from_dtype(WORLD),
    "Jobs": types.Array(from_dtype(JOB), 1, "C"),
    "Levels": types.Array(from_dtype(LEVEL), 1, "C"),
    "Tallies": types.Array(from_dtype(TALLY), 1, "C"),
    "Floats": types.Array(types.float64, 1, "C"),
    "Ints": types.Array(types.int64, 1, "C"),
    "Word": types.uint64,
}


def routine(function: Function) -> Function:
    """Let compiled functions call this one."""
    return routines.routine(function, KNOWN)


def inlined(function: Function) -> Function:
    """Put this function into the compiled ones that call it."""
    return routines.routine(function, KNOWN, inline=True)
