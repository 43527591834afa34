"""Runs whose clock stands still: jobs that hold for no time, or arrivals without a gap, again and again."""

from __future__ import annotations

from typing import Any

from livesim.compiler.program import Names
from livesim.engine.reference import Reference
from livesim.runtime.errors import SimulationError

MOST_EVENTS = 10_000_000
"""Events at one time that are taken for a loop without end; a model that means them holds its jobs in a batch."""


class Standstill:
    """Counts the events since the clock last moved, as often as it is asked."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._time, self._events = -1.0, 0

    def check(self, simulation: Any) -> None:
        """Raise SimulationError where more than `MOST_EVENTS` have happened at the present time."""
        outcome = simulation.outcome()
        if outcome.clock != self._time:
            self._time, self._events = outcome.clock, outcome.events
        elif outcome.events - self._events > MOST_EVENTS:
            raise SimulationError(
                f"{self._next(simulation)}, at time {outcome.clock:g}: time stands still; more than {MOST_EVENTS:,} "
                "events at this time, and more to come: a loop needs a step that takes time, and arrivals a gap above 0"
            )

    def _next(self, simulation: Any) -> str:
        """Whose event is the next."""
        if isinstance(simulation, Reference):
            _, _, _, what = simulation.calendar[0]
            if isinstance(what, int):
                return self._arrivals(what)
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
        return "a resource's schedule or failures"

    def _job(self, process: int, pc: int, serial: int) -> str:
        _, number, text = self._names.steps[pc - 1]
        return f"process {self._names.processes[process]!r}, step {number}, {text}, job {serial}"


__all__ = ["MOST_EVENTS", "Standstill"]
