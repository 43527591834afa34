"""One replication on flat arrays, run by machine code; the same face as `livesim.engine.reference.Reference`."""

from __future__ import annotations

import math
from ctypes import c_double, c_int64
from functools import cache
from typing import Any

import numpy as np

from livesim.compiler.program import Fault, Program, Status
from livesim.engine.reference import Outcome, Trace, Waiting
from livesim.engine.world import Arrays
from livesim.histogram import QUANTILES, Histograms, of_places
from livesim.native import objects

SOURCES = ("compiler/program.py", "engine/world.py", "engine/compiled", "histogram.py", "native/routines.py", "random")
"""What the kernel's machine code is made from."""


@cache
def kernel() -> Any:
    """`livesim.engine.compiled.kernel.advance`, which imports Numba only where it has to be compiled."""
    return objects.function("kernel", SOURCES, make, c_int64, c_int64, c_double, c_double, c_int64)


def make() -> tuple[str, str]:
    """The module in LLVM's language, and its symbol; imports Numba."""
    from livesim.engine.compiled import kernel as sources

    return sources.make()


class Compiled:
    """One replication on flat arrays; the same face as `Reference`."""

    def __init__(
        self, program: Program, seed: int, replication: int = 0, *, tracing: bool = False, slots: int = 128
    ) -> None:
        self.arrays = Arrays(program, seed, replication, slots, tracing)

    @property
    def fault(self) -> tuple[Fault, int, int, int, float] | None:
        """What went wrong, at which instruction, in which job of which process, with which value."""
        w = self.arrays.world[0]
        if w["fault"] == 0:
            return None
        where = int(w["fault_pc"]), int(w["fault_serial"]), int(w["fault_process"])
        return (Fault(int(w["fault"])), *where, float(w["wrong"]))

    def advance(self, until: float, arrivals_until: float = math.inf, stop_events: int = 1 << 62) -> Status:
        """Run every event up to and at `until`; arrivals after `arrivals_until` do not come."""
        if self.fault:
            return Status.ERROR
        arrays, w = self.arrays, self.arrays.world[0]
        while True:
            status = Status(kernel()(arrays.address, until, arrivals_until, stop_events))
            if status in (Status.DONE, Status.PAUSED, Status.ERROR):
                return status
            if status == Status.JOBS:
                factor = 4 if w["slots"] < 4096 else 2
                arrays.grow_jobs(max(factor * int(w["slots"]), int(w["slots"] - w["unused"] + w["wanted"])))
            if status == Status.CALENDAR:
                arrays.grow_calendar(int(w["events_room"]))
            if status == Status.ITEMS:
                arrays.grow_items(int(w["item_slots"]))
            if w["tracing"]:
                arrays.grow_entries(int(w["entries_room"] + 2 * w["slots"]))

    def start_anew(self) -> None:
        """Start the statistics anew at the present time; counts go on."""
        arrays, now = self.arrays, self.arrays.world[0]["now"]
        arrays["levels"]["since"], arrays["levels"]["area"] = now, 0.0
        arrays["tallies"][:] = 0
        arrays["tallies"]["least"], arrays["tallies"]["largest"] = np.inf, -np.inf
        arrays["bottoms"][:] = arrays["places"][:] = 0
        arrays["flows"]["spent"] = 0.0
        first = int(arrays.world[0]["first_queue"])
        arrays["queues"]["longest"] = arrays["levels"]["value"][first : first + len(arrays["queues"])]

    def move_clock(self, time: float) -> None:
        """Set the clock to a time before the next event."""
        self.arrays.world[0]["now"] = time

    def idle(self) -> bool:
        """Whether no event is to come."""
        return bool(self.arrays.world[0]["pending"] == 0)

    def staying(self) -> np.ndarray:
        """For each process, how long the jobs that are in it have been there, together."""
        w, jobs = self.arrays.world[0], self.arrays["jobs"]
        there = np.flatnonzero(~np.isnan(jobs["born"]))
        lengths = w["now"] - jobs["born"][there]
        return np.bincount(jobs["process"][there], lengths, minlength=int(w["n_sources"]))

    def waiting(self) -> list[Waiting]:
        """The jobs that wait in a queue while they hold something."""
        w, jobs = self.arrays.world[0], self.arrays["jobs"]
        held = self.arrays["held"].reshape(len(jobs), -1)
        found = np.flatnonzero(jobs["queue"] >= 0)
        found = found[(jobs["holding"][found] > 0) & ~np.isnan(jobs["born"][found])]
        return [
            Waiting(
                int(jobs["process"][j]), int(jobs["serial"][j]), int(jobs["queue"][j]), bool(jobs["due"][j] >= 0),
                {int(r): int(held[j, r]) for r in np.flatnonzero(held[j])},
            )
            for j in found
        ] if w["n_resources"] else []  # fmt: skip

    def forget_trace(self) -> None:
        """Begin the trace anew."""
        self.arrays.world[0]["traced"] = 0

    def outcome(self) -> Outcome:
        arrays, w = self.arrays, self.arrays.world[0]
        flows = arrays["flows"]
        return Outcome(
            float(w["now"]), int(w["events"]),
            arrays["levels"].view(np.float64).reshape(-1, 3).copy(),
            arrays["tallies"].view(np.float64).reshape(-1, 5).copy(),
            flows.view(np.int64).reshape(len(flows), -1)[:, :6].copy(),
            arrays["queues"]["longest"].copy(), flows["spent"].copy(),
        )  # fmt: skip

    def quantiles(self) -> np.ndarray:
        """`livesim.histogram.QUANTILES` of what the tallies saw: float64 (tally, quantile)."""
        kernel()(self.arrays.address, 0.0, 0.0, -1)
        return self.arrays["told"].reshape(-1, len(QUANTILES)).copy()

    def histograms(self) -> Histograms:
        """The buckets of the tallies, in the order of `Outcome.tallies`."""
        arrays = self.arrays
        return of_places(arrays["places"], arrays["bottoms"], len(arrays["tallies"]))

    def trace(self, first: int = 0) -> Trace:
        """The rows of the trace from number `first` on."""
        rows = self.arrays["entries"][first : int(self.arrays.world[0]["traced"])]
        what = np.stack([rows[name] for name in ("action", "process", "serial", "pc")], axis=1)
        return Trace(rows["time"].copy(), what, rows["detail"].copy())
