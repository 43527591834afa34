"""One replication from beginning to end: what every kind of run does."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from livesim.compiler.program import Fault, Names, Program, Status
from livesim.engine.reference import Outcome, Reference, Trace
from livesim.job_times import quantile_row
from livesim.measures import Measures, totals
from livesim.runtime.errors import DeadlockError, SimulationError, Stuck
from livesim.runtime.standstill import Standstill, resource_of

WORDS = {
    Fault.TIME: "a time must be finite and 0 or more",
    Fault.UNITS: "units must be a whole number from 1 to the resource's largest capacity",
    Fault.NOT_HELD: "one can only release what one holds; units asked for",
    Fault.STILL_HELD: "a job must hold nothing when it leaves; units held",
    Fault.NUMBER: "a number must not be NaN (an attribute is NaN until it is assigned)",
    Fault.COUNT: "a count must be a whole number (0 for a batch of arrivals, else 1, or more)",
    Fault.AMOUNT: "an amount must lie between 0 and the container's capacity",
    Fault.PROBABILITY: "a probability lies between 0 and 1",
    Fault.ENDLESS: "the job goes on for ever in no time, by itself or with others; steps done",
}
_EVENTS = 2_000_000
"""Events between two looks at whether to go on: some tenths of a second."""
_TOLD_EVENTS = 10_000
"""Events between two batches of what happened."""


class Halted(Exception):
    """A replication was given up in the middle, as nobody wants it any more."""


class Plan(NamedTuple):
    """What all replications of a model with one set of parameters have in common."""

    program: Program
    names: Names
    measures: Measures
    until: float
    warmup: float = 0.0
    drain: bool = False
    every: float | None = None
    engine: str = "compiled"
    quantiles: tuple[float, ...] = ()


class Replication(NamedTuple):
    """What one replication came to."""

    values: np.ndarray
    """float64 (path,): the numbers of `Measures.paths`, and the quantiles that were asked for."""
    outcome: Outcome
    since: float
    """The time from which statistics count."""
    increments: np.ndarray | None
    """float64 (interval, column): see `series.Course`."""
    course_start: float
    before: np.ndarray
    """int64 (process, 6): the counts at `since`."""
    stayed: np.ndarray
    """float64 (process,): how long the jobs in process at `since` had been there then, together."""
    simulation: Any
    """The interpreter, where it stopped."""


def simulate(
    plan: Plan,
    seed: int,
    replication: int,
    *,
    start: Mapping[str, np.ndarray] | None = None,
    since: float = 0.0,
    tracing: bool = False,
    halted: Callable[[], bool] | None = None,
    tell: Callable[[Trace], None] | None = None,
) -> Replication:
    """Run one replication from time 0, or from a state whose statistics count from `since`.

    tracing: keep what happened. tell: called with it, in batches, as it happens.

    Raises SimulationError, DeadlockError; Halted as soon as `halted()` is true.
    """
    program, names = plan.program, plan.names
    keeps = tracing or bool(plan.quantiles)
    simulation = make_engine(plan.engine)(program, seed, replication, tracing=keeps or tell is not None)
    first = told = 0

    def tell_more() -> None:
        nonlocal told
        if tell is None:
            return
        rows = simulation.trace(told)
        if keeps:
            told += len(rows.time)
        else:
            simulation.forget_trace()
        if len(rows.time):
            tell(rows)

    def advance(until: float, arrivals_until: float) -> None:
        try:
            _advance(simulation, until, arrivals_until, plan, halted, None if tell is None else tell_more)
        except SimulationError:
            tell_more()
            raise

    before, stayed = np.zeros((len(names.processes), 6), np.int64), np.zeros(len(names.processes))
    if start is not None:
        before, stayed = start["before"], start["stayed"]
        simulation.arrays.set_state(start)
    if plan.warmup > 0:
        advance(plan.warmup, math.inf)
        simulation.move_clock(plan.warmup)
        simulation.start_anew()
        first = len(simulation.trace().time) if plan.quantiles else 0
        before, stayed, since = simulation.outcome().counts, simulation.staying(), plan.warmup
    increments, course_start = None, since
    if plan.every is not None:
        course_start = max(since, simulation.outcome().clock)
        increments = _follow(simulation, plan, course_start, advance)
    advance(math.inf if plan.drain else plan.until, plan.until)
    tell_more()
    if not plan.drain:
        simulation.move_clock(plan.until)
    _check_deadlock(simulation, program, names)
    outcome: Outcome = simulation.outcome()
    _check_littles_law(simulation, outcome, stayed, names)
    values = plan.measures.row(outcome, simulation.quantiles(), since, before)
    if plan.quantiles:
        found = quantile_row(names, simulation.trace(), first, plan.quantiles)
        values = np.concatenate([values, found])
    return Replication(values, outcome, since, increments, course_start, before, stayed, simulation)


def make_engine(name: str) -> Any:
    """The interpreter of a name."""
    if name == "reference":
        return Reference
    from livesim.engine.compiled import Compiled  # imports Numba

    return Compiled


def _follow(simulation: Any, plan: Plan, start: float, advance: Callable[[float, float], None]) -> np.ndarray:
    """Advance interval by interval; the increments of the totals in each."""
    assert plan.every is not None
    count = math.floor((plan.until - start) / plan.every * (1 + 1e-12))
    times = np.minimum(start + plan.every * np.arange(count + 1), plan.until)
    outcomes = [simulation.outcome()]
    for end in times[1:].tolist():
        advance(end, plan.until)
        outcomes.append(simulation.outcome())
    return np.diff(totals(outcomes, times), axis=0)


def _advance(
    simulation: Any,
    until: float,
    arrivals_until: float,
    plan: Plan,
    halted: Callable[[], bool] | None,
    tell_more: Callable[[], None] | None,
) -> None:
    chunk = _EVENTS if tell_more is None else _TOLD_EVENTS
    standstill = Standstill(plan.program, plan.names, min(until, arrivals_until))
    stop = simulation.outcome().events + chunk
    while (status := simulation.advance(until, arrivals_until, stop)) == Status.PAUSED:
        standstill.check(simulation)
        if halted is not None and halted():
            raise Halted
        if tell_more is not None:
            tell_more()
        stop = simulation.outcome().events + chunk
    if status == Status.ERROR:
        fault, pc, job, clock, value = simulation.fault
        if pc >= 0:
            name, number, text = plan.names.steps[pc]
            where = f"process {name!r}, step {number}, {text}, job {job}" if job else f"process {name!r}, arrivals"
        elif clock >= 0:
            where = f"resource {resource_of(plan.program, plan.names, clock)!r}, failures"
        else:
            where = "a store's items at the start"
        now = simulation.outcome().clock
        raise SimulationError(f"{where}, at time {now:g}: {WORDS[fault]}, got {value:g}")


def _check_deadlock(simulation: Any, program: Program, names: Names) -> None:
    """Find jobs that wait for units which only such jobs hold: none of them will ever go on."""
    stuck = {(job.process, job.serial): job for job in simulation.waiting()}
    if not stuck:
        return
    changing = {int(row[0]) for row in program.clocks}
    resources = len(names.resources)
    # Where no event is to come, nobody will bring what a container or a store lacks.
    stocks, over = resources + 2 * len(names.containers), simulation.idle()
    levels = simulation.outcome().levels
    while True:
        held = dict.fromkeys(range(resources), 0)
        for job in stuck.values():
            for r, units in job.held.items():
                held[r] += units
        free = {
            key
            for key, job in stuck.items()
            if job.patient
            or (job.queue >= resources and (job.queue >= stocks or not over))
            or (job.queue < resources and (job.queue in changing or held[job.queue] < levels[2 * job.queue, 0]))
        }
        if not free:
            break
        for key in free:
            del stuck[key]
    if stuck:
        jobs = [
            Stuck(
                names.processes[job.process], job.serial, names.queues[job.queue],
                {names.resources[r]: units for r, units in sorted(job.held.items())},
            )
            for _, job in sorted(stuck.items())
        ]  # fmt: skip
        shown = "; ".join(map(str, jobs[:5])) + ("; ..." if len(jobs) > 5 else "")
        raise DeadlockError(f"deadlock: {shown}. Seize what is needed together, or in the same order everywhere", jobs)


def _check_littles_law(simulation: Any, outcome: Outcome, stayed: np.ndarray, names: Names) -> None:
    """Jobs in process over time must be the time that the jobs spent in process: the run checks itself.

    `stayed` is what the jobs that were there when statistics began had spent before.
    """
    first = 2 * len(names.resources) + len(names.queues)
    spent = outcome.spent + simulation.staying()
    for p, name in enumerate(names.processes):
        value, since, area = outcome.levels[first + p]
        area += value * (outcome.clock - since)
        if abs(area - (spent[p] - stayed[p])) > 1e-9 * max(1.0, spent[p]):
            raise AssertionError(
                f"process {name!r}: L = lambda W fails: {area!r} in process over time, {spent[p] - stayed[p]!r} spent "
                "by its jobs; this is a bug in livesim, please report the model and the seed"
            )
