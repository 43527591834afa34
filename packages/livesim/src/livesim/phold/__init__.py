"""PHOLD, the benchmark of event engines: pings that travel between logical processes (Fujimoto 1990).

Every logical process starts with `pings` pings at time 0. A ping that arrives leaves again after `lookahead` and an
exponential time, for another process with probability `remote`, else for the same one: their number never changes.
"""

from __future__ import annotations

import heapq
import math
from ctypes import c_double, c_int64
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from livesim.native import objects
from livesim.random import replication_key, stream_key, uniform

SOURCES = ("compiler/program.py", "engine/world.py", "engine/compiled", "native/routines.py", "phold", "random")
"""What the machine code is made from."""


class Phold(NamedTuple):
    """What came of it."""

    events: int
    """Pings that arrived, up to and at `until`."""
    clock: float
    """When the last of them did."""
    handled: np.ndarray
    """int64 (process,): how many each had."""


def phold(
    processes: int = 1000,
    pings: int = 16,
    *,
    remote: float = 0.25,
    lookahead: float = 0.0,
    mean: float = 1.0,
    until: float = 100.0,
    seed: int = 0,
    engine: str = "compiled",
) -> Phold:
    """Run PHOLD; engine "reference" is plain Python, equal to the bit.

    >>> phold(10, 4, until=20.0, engine="reference").events
    859
    """
    for what, number, least in (("processes", processes, 1), ("pings", pings, 1), ("seed", seed, 0)):
        if isinstance(number, bool) or not isinstance(number, int) or number < least:
            raise ValueError(f"phold: {what} must be a whole number of at least {least}, got {number!r}")
    if processes * pings >= 1 << 24:
        raise ValueError(f"phold: at most {(1 << 24) - 1} pings in all, got {processes * pings}")
    if not (0 <= remote <= 1 and 0 <= lookahead < math.inf and 0 < mean < math.inf and 0 <= until < math.inf):
        raise ValueError(
            "phold: remote lies between 0 and 1, lookahead and until are 0 or more, mean is above 0, all finite; "
            f"got remote={remote!r}, lookahead={lookahead!r}, until={until!r}, mean={mean!r}"
        )
    if engine not in ("compiled", "reference"):
        raise ValueError(f"phold: engine must be 'compiled' or 'reference', got {engine!r}")
    key = replication_key(seed, 0)
    keys = np.array([stream_key(key, process) for process in range(processes)], np.uint64)
    if engine == "reference":
        return _reference(keys.tolist(), pings, remote, lookahead, mean, until)
    handled = np.zeros(processes, np.int64)
    clock = np.zeros(1)
    total = processes * pings
    buckets = min(max(total // 4, 64), 1 << 16)
    floats, integers = np.empty(2 * total), np.empty(3 * total + buckets, np.int64)
    events = _kernel()(
        processes, pings, remote, lookahead, mean, until, keys.ctypes.data, handled.ctypes.data, floats.ctypes.data,
        integers.ctypes.data, buckets, clock.ctypes.data,
    )  # fmt: skip
    return Phold(int(events), float(clock[0]), handled)


def _reference(keys: list[int], pings: int, remote: float, lookahead: float, mean: float, until: float) -> Phold:
    processes = len(keys)
    calendar = [(0.0, number, number // pings) for number in range(processes * pings)]
    handled, number, clock = [0] * processes, len(calendar), 0.0
    while calendar[0][0] <= until:
        clock, _, process = calendar[0]
        key, n = keys[process], 3 * handled[process]
        handled[process] += 1
        time = clock + (lookahead - mean * math.log(uniform(key, n)))
        if uniform(key, n + 1) < remote:
            to = int(uniform(key, n + 2) * processes)
            process = to if to != process else (to + 1) % processes
        heapq.heapreplace(calendar, (time, number, process))
        number += 1
    return Phold(sum(handled), clock, np.array(handled, np.int64))


@cache
def _kernel() -> Any:
    kinds = [c_int64, c_int64, c_int64, *[c_double] * 4, *[c_int64] * 6]
    return objects.function("phold", SOURCES, make, *kinds)


def make() -> tuple[str, str]:
    """The module in LLVM's language, and its symbol; imports Numba."""
    from livesim.phold import kernel

    return kernel.make()


__all__ = ["Phold", "phold"]
