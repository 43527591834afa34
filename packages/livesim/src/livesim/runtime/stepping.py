"""A run that goes on by one event, or until a time, and shows its state in between."""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from livesim.compiler.program import Status
from livesim.compiler.table import compile_model, parameters
from livesim.model.builder import Model
from livesim.result import Result, Trace
from livesim.runtime.checks import check_index
from livesim.runtime.run import run
from livesim.runtime.snapshot import Snapshot
from livesim.runtime.standstill import Standstill

_EVENTS = 1_000_000
"""Events between two looks at whether time goes on."""


@dataclass(frozen=True)
class JobState:
    """A job that is in the system."""

    process: str
    job: int
    step: int
    """The number of its step, as `describe` has it: where it waits or works, or which it does next."""
    waits_for: str | None
    """The queue that it is in."""
    until: float | None
    """When its hold ends, or its patience."""
    holds: Mapping[str, int]
    """Units of resources that it has."""
    attributes: Mapping[str, float]
    arrived: float
    batched: bool
    """Whether another job stands for it."""


class Simulation:
    """One replication that stops where you want.

    >>> from livesim import Model, Simulation, arrive, depart, hold, release, seize
    >>> shop = Model("shop").resource("barber").process(
    ...     "customer", arrive(at=[0, 1]), seize("barber"), hold(5), release("barber"), depart())
    >>> simulation = Simulation(shop, seed=1)
    >>> for time, action, *_ in simulation.step():
    ...     print(time, action)
    0.0 arrive
    0.0 hold
    >>> simulation.next_event
    1.0
    >>> happened = simulation.step(until=1)
    >>> [(job.job, job.step, job.waits_for, job.until) for job in simulation.jobs()]
    [(1, 3, None, 5.0), (2, 2, 'barber', None)]
    >>> simulation.result["barber"].queue.last
    1.0
    """

    def __init__(
        self,
        model: Model,
        *,
        seed: int | None = None,
        params: Mapping[str, float] | None = None,
        start: Snapshot | None = None,
    ) -> None:
        """At time 0, or at the time of a snapshot, before its next event; arguments as for `run`."""
        from livesim.engine.compiled import Compiled

        if not isinstance(model, Model):
            raise TypeError(f"Simulation: expected a livesim.Model, got {model!r}")
        if not model.processes:
            raise ValueError(f"Simulation: model {model.name!r} has no process, so nothing would happen")
        if start is not None:
            start.check(model)
            params = {**start.params, **(params or {})}
            seed = start.seed if seed is None else seed
        check_index("Simulation: seed", 0 if seed is None else seed)
        self.model, self.params = model, parameters(model, params)
        self.seed = secrets.randbits(63) if seed is None else int(seed)
        self._replication, self._since = (0, 0.0) if start is None else (start.replication, start.warmup)
        self._program, self._names = compile_model(model, self.params)
        self._engine = Compiled(self._program, self.seed, self._replication, tracing=True)
        processes = len(self._names.processes)
        self._earlier = {"before": np.zeros((processes, 6), np.int64), "stayed": np.zeros(processes)}
        if start is not None:
            self._earlier = {name: start.state[name] for name in self._earlier if name in start.state}
            self._engine.arrays.set_state(start.state)
        self._advance(-math.inf, 0)

    @property
    def now(self) -> float:
        """The simulated time."""
        return float(self._engine.arrays.world[0]["now"])

    @property
    def next_event(self) -> float:
        """When something happens next; infinite when nothing will."""
        arrays = self._engine.arrays
        w, pending = arrays.world[0], int(arrays.world[0]["pending"])
        times, keys = arrays["event_times"][:pending], arrays["event_keys"][:pending]
        slots = (keys & 0xFFFFFF) - int(w["first_job"])
        # The end of a hold that was interrupted, or of a patience that was not needed, is none.
        real = (slots < 0) | (arrays["jobs"]["due"][np.maximum(slots, 0)] == keys)
        return float(np.min(times[real], initial=math.inf))

    def step(self, until: float | None = None) -> Trace:
        """Run the next event with all that follows from it at once, or all events up to a time; what happened."""
        if until is None:
            return self._advance(math.inf, 1)
        if not (isinstance(until, (int, float)) and self.now <= until < math.inf):
            raise ValueError(f"step: until must be a finite time from {self.now:g} on, got {until!r}")
        happened = self._advance(float(until), None)
        self._engine.move_clock(float(until))
        return happened

    def jobs(self) -> list[JobState]:
        """Every job that is in the system, by process and number."""
        arrays, names = self._engine.arrays, self._names
        w, jobs = arrays.world[0], arrays["jobs"]
        held = arrays["held"].reshape(len(jobs), -1)
        attributes = arrays["attributes"].reshape(len(jobs), -1)
        batched = _batched(jobs)
        ends = {int(key): float(time) for time, key in zip(arrays["event_times"], arrays["event_keys"], strict=True)}
        found = []
        for slot in np.flatnonzero(~np.isnan(jobs["born"])).tolist():
            job: Any = jobs[slot]
            stays = job["queue"] >= 0 or job["due"] >= 0
            found.append(
                JobState(
                    names.processes[job["process"]],
                    int(job["serial"]),
                    names.steps[job["pc"] - int(stays)][1],
                    names.queues[job["queue"]] if job["queue"] >= 0 else None,
                    ends[int(job["due"])] if job["due"] >= 0 else None,
                    {names.resources[r]: int(held[slot, r]) for r in np.flatnonzero(held[slot])}
                    if w["n_resources"] else {},
                    dict(zip(names.attributes, attributes[slot].tolist(), strict=True)),
                    float(job["born"]),
                    slot in batched,
                )
            )  # fmt: skip
        return sorted(found, key=lambda job: (names.processes.index(job.process), job.job))

    @property
    def snapshot(self) -> Snapshot:
        """The present state: `run(model, until, start=simulation.snapshot)` goes on from it."""
        return self._snapshot(self._engine.arrays.state())

    @property
    def result(self) -> Result:
        """The numbers so far, as `run` gives them; there are none at time 0."""
        return run(self.model, self.now, start=self.snapshot)

    def _snapshot(self, state: Mapping[str, np.ndarray]) -> Snapshot:
        whole = {**state, **self._earlier}
        time = float(state["now"])
        return Snapshot(self.model.to_json(), time, self.seed, self._replication, self.params, self._since, whole)

    def _advance(self, until: float, events: int | None) -> Trace:
        w = self._engine.arrays.world[0]
        before = self._engine.arrays.state()
        w["traced"] = 0
        chunk, standstill = (_EVENTS if events is None else events), Standstill(self._program, self._names, until)
        while (status := self._engine.advance(until, stop_events=int(w["events"]) + chunk)) == Status.PAUSED:
            if events is not None:
                break
            standstill.check(self._engine)
        if status == Status.ERROR:
            # A run from the state before meets the same number, and says what is wrong with it.
            run(self.model, max(self.now, math.ulp(0.0)), start=self._snapshot(before))
        return Trace(self._engine.trace(), self._names)


def _batched(jobs: np.ndarray) -> set[int]:
    """The slots of jobs for which another one stands."""
    found: set[int] = set()
    for first in jobs["inside"][~np.isnan(jobs["born"])].tolist():
        slot = first
        while slot >= 0:
            found.add(slot)
            slot = int(jobs["following"][slot])
    return found


__all__ = ["JobState", "Simulation"]
