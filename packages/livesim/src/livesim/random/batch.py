"""One draw for each of many jobs, by machine code."""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import c_double, c_int64, c_uint64
from functools import cache
from typing import Any

import numpy as np

from livesim.native import objects

SOURCES = ("native/routines.py", "random")
"""What the machine code is made from."""


def draw_jobs(
    kind: int, parameters: Sequence[float], table: np.ndarray, stream: int, counters: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What jobs 0, 1, 2, ... draw in a stream: float64 (job,), and their counters afterwards, int64 (job,).

    parameters: four numbers. table: float64. stream: a `stream_key`. counters: where each job is in the stream.
    """
    table, after = np.ascontiguousarray(table, np.float64), np.array(counters, np.int64)
    values = np.empty(len(after))
    _draw_jobs()(
        kind, *map(float, parameters), table.ctypes.data, int(stream), len(after), values.ctypes.data, after.ctypes.data
    )
    return values, after


@cache
def _draw_jobs() -> Any:
    kinds = [None, c_int64, *[c_double] * 4, c_int64, c_uint64, c_int64, c_int64, c_int64]
    return objects.function("samplers", SOURCES, make, *kinds)


def make() -> tuple[str, str]:
    """The module in LLVM's language, and its symbol; imports Numba."""
    from numba import types

    from livesim.native.routines import build, floats_at, integers_at
    from livesim.random.compiled import job_key
    from livesim.random.samplers import draw

    def draw_all(
        kind: Any, p0: Any, p1: Any, p2: Any, p3: Any, table: Any, stream: Any, n: Any, values: Any, counters: Any
    ) -> None:
        entries, out, after = floats_at(table), floats_at(values), integers_at(counters)
        for job in range(n):
            out[job], after[job] = draw(kind, p0, p1, p2, p3, entries, job_key(stream, job), after[job])

    i, f = types.int64, types.float64
    return build(draw_all, types.void(i, f, f, f, f, i, types.uint64, i, i, i))


__all__ = ["draw_jobs"]
