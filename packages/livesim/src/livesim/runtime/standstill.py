"""Runs whose clock stands still, or nearly: jobs that hold for no time, or arrivals without a gap, again and again."""

from __future__ import annotations

import math
from typing import Any

from livesim.compiler.program import Class, Names, Program
from livesim.engine.reference import Reference
from livesim.runtime.errors import SimulationError

MOST_EVENTS = 10_000_000
"""Events at one time that are taken for a loop without end; a model that means them holds its jobs in a batch."""


LEAST_PART = 1e-12
"""Of the time that is left: what goes on in smaller steps for `MOST_EVENTS` would take more than 10**19 to its end."""


class Standstill:
    """Counts the events since the clock last moved by more than next to nothing, as often as it is asked."""

    def __init__(self, program: Program, names: Names, until: float) -> None:
        """until: where the run ends; infinite where that is not known."""
        self._program, self._names, self._until = program, names, until
        self._time, self._events = -1.0, 0

    def check(self, simulation: Any) -> None:
        """Raise SimulationError where more than `MOST_EVENTS` have happened at the present time, or nearly."""
        outcome = simulation.outcome()
        left = self._until - self._time
        if outcome.clock - self._time > (LEAST_PART * left if 0.0 < left < math.inf else 0.0):
            self._time, self._events = outcome.clock, outcome.events
        elif outcome.events - self._events > MOST_EVENTS:
            moved = outcome.clock - self._time
            raise SimulationError(
                f"{self._next(simulation)}, at time {outcome.clock:g}: time "
                + (f"hardly moves, by {moved:g}" if moved else "stands still")
                + f" in more than {MOST_EVENTS:,} events, with more to come: a loop needs a step that takes time, and "
                "arrivals a gap above 0"
            )

    def _next(self, simulation: Any) -> str:
        """Whose event is the next."""
        if isinstance(simulation, Reference):
            _, kind, _, what = simulation.calendar[0]
            if isinstance(what, int):
                return self._arrivals(what if kind == Class.ARRIVAL else len(self._names.processes) + what)
            return self._job(what.process, what.pc, what.serial)
        w, jobs = simulation.arrays.world[0], simulation.arrays["jobs"]
        slot = int(simulation.arrays["event_keys"][0]) & 0xFFFFFF
        if slot < w["first_job"]:
            return self._arrivals(slot)
        job = jobs[slot - int(w["first_job"])]
        return self._job(int(job["process"]), int(job["pc"]), int(job["serial"]))

    def _arrivals(self, source: int) -> str:
        if source < len(self._names.processes):
            return f"process {self._names.processes[source]!r}, arrivals"
        clock = source - len(self._names.processes)
        return f"resource {resource_of(self._program, self._names, clock)!r}, schedule or failures"

    def _job(self, process: int, pc: int, serial: int) -> str:
        _, number, text = self._names.steps[pc - 1]
        return f"process {self._names.processes[process]!r}, step {number}, {text}, job {serial}"


def resource_of(program: Program, names: Names, clock: int) -> str:
    """The resource whose schedule or failures a clock is."""
    return names.resources[int(program.clocks[clock, 0])]


__all__ = ["MOST_EVENTS", "Standstill", "resource_of"]
