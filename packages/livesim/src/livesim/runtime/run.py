"""One run of a model."""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping
from typing import Any

import numpy as np

from livesim.compiler.program import Fault, Names, Program, Status
from livesim.compiler.table import compile_model, parameters
from livesim.engine.reference import Outcome, Reference
from livesim.model.builder import Model
from livesim.result import Result, Trace
from livesim.runtime.errors import DeadlockError, SimulationError, Stuck
from livesim.runtime.snapshot import Snapshot

WORDS = {
    Fault.TIME: "a time must be finite and 0 or more",
    Fault.UNITS: "units must be a whole number from 1 to the resource's largest capacity",
    Fault.NOT_HELD: "one can only release what one holds; units asked for",
    Fault.STILL_HELD: "a job must hold nothing when it leaves; units held",
    Fault.NUMBER: "a number must not be NaN (an attribute is NaN until it is assigned)",
    Fault.COUNT: "a count must be a whole number (0 for a batch of arrivals, else 1, or more)",
    Fault.AMOUNT: "an amount must lie between 0 and the container's capacity",
    Fault.PROBABILITY: "a probability lies between 0 and 1",
    Fault.ENDLESS: "the job goes on for ever in no time; steps done",
}


def run(
    model: Model,
    until: float,
    *,
    seed: int | None = None,
    params: Mapping[str, float] | None = None,
    warmup: float = 0.0,
    drain: bool = False,
    trace: bool = False,
    start: Snapshot | None = None,
    replication: int | None = None,
    engine: str = "compiled",
) -> Result:
    """Run a model from time 0 to `until`, events at that time included.

    seed: the same seed gives the same bits; None draws one, which the result holds. replication: an index, for
        independent runs of one seed.
    params: values for the model's parameters. warmup: statistics count from this time on.
    drain: let nobody arrive after `until`, and go on until everybody has left.
    trace: keep what happened, as `result.trace`.
    start: go on from the snapshot of an earlier run of the model. Seed, replication, parameters and warm-up are the
        snapshot's, and the result is that of one longer run to the bit, unless others are given: another seed gives
        another future of the same present.
    engine: "compiled", or "reference", the slow interpreter that is the specification; both give the same bits.

    Raises SimulationError where a step meets a number that it cannot use, DeadlockError where jobs wait for each other.
    """
    _check(model, until, warmup, seed, replication or 0, engine)
    if start is not None:
        _check_start(model, until, warmup, start, engine)
        params = {**start.params, **(params or {})}
        replication = start.replication if replication is None else replication
        seed = start.seed if seed is None else seed
    chosen = parameters(model, params)
    program, names = compile_model(model, chosen)
    seed = secrets.randbits(63) if seed is None else int(seed)
    replication = 0 if replication is None else int(replication)
    simulation = _engine(engine)(program, seed, replication, tracing=trace)
    before = np.zeros((len(names.processes), 6), np.int64)
    if start is not None:
        before = start.state["before"]
        simulation.arrays.set_state(start.state)
    if warmup > 0:
        _advance(simulation, warmup, math.inf, names)
        simulation.move_clock(warmup)
        simulation.start_anew()
        before = simulation.outcome().counts
    since = float(warmup) if start is None or warmup > 0 else start.warmup
    _advance(simulation, math.inf if drain else until, until, names)
    if not drain:
        simulation.move_clock(until)
    _check_deadlock(simulation, program, names)
    outcome: Outcome = simulation.outcome()
    if start is None and warmup == 0:
        _check_littles_law(simulation, outcome, names)

    def freeze() -> Snapshot:
        if engine != "compiled":
            raise ValueError("snapshot: only the compiled engine's runs can be continued; run with engine='compiled'")
        state = simulation.arrays.state() | {"before": before}
        return Snapshot(model.to_json(), outcome.clock, seed, replication, chosen, since, state)

    kept = Trace(simulation.trace(), names) if trace else None
    shown = outcome._replace(counts=outcome.counts - before)
    return Result(names, shown, since, seed=seed, params=chosen, trace=kept, freeze=freeze)


def _check_start(model: Model, until: float, warmup: float, start: Any, engine: str) -> None:
    if not isinstance(start, Snapshot):
        raise TypeError(f"run: start must be a snapshot, as result.snapshot gives it, got {start!r}")
    start.check(model)
    if engine != "compiled":
        raise ValueError("run: only engine='compiled' goes on from a snapshot")
    if not start.time <= until:
        raise ValueError(f"run: the snapshot is of time {start.time:g}, which is after until={until:g}")
    if 0 < warmup < start.time:
        raise ValueError(f"run: warmup={warmup:g} lies before the snapshot's time {start.time:g}")


def _engine(name: str) -> Any:
    if name == "reference":
        return Reference
    from livesim.engine.compiled import Compiled  # imports Numba

    return Compiled


def _check(model: Any, until: Any, warmup: Any, seed: Any, replication: Any, engine: str) -> None:
    if not isinstance(model, Model):
        raise TypeError(f"run: expected a livesim.Model, got {model!r}")
    if not model.processes:
        raise ValueError(f"run: model {model.name!r} has no process, so nothing would happen")
    if not (isinstance(until, (int, float)) and 0 < until < math.inf):
        raise ValueError(f"run: until must be a finite time above 0, got {until!r}")
    if not (isinstance(warmup, (int, float)) and 0 <= warmup < until):
        raise ValueError(f"run: warmup must be a time from 0 to until={until:g}, got {warmup!r}")
    for what, number in (("seed", 0 if seed is None else seed), ("replication", replication)):
        if isinstance(number, bool) or not isinstance(number, (int, np.integer)) or not 0 <= number < 2**64:
            raise ValueError(f"run: {what} must be a whole number from 0 to 2**64 - 1, got {number!r}")
    if engine not in ("compiled", "reference"):
        raise ValueError(f"run: engine must be 'compiled' or 'reference', got {engine!r}")


def _advance(simulation: Any, until: float, arrivals_until: float, names: Names) -> None:
    if simulation.advance(until, arrivals_until) == Status.ERROR:
        fault, pc, job, _, value = simulation.fault
        where = "a resource's failures, or an arrival"
        if pc >= 0:
            name, number, text = names.steps[pc]
            where = f"process {name!r}, step {number}, {text}, job {job}" if job else f"process {name!r}, arrivals"
        now = simulation.outcome().clock
        raise SimulationError(f"{where}, at time {now:g}: {WORDS[fault]}, got {value:g}")


def _check_deadlock(simulation: Any, program: Program, names: Names) -> None:
    """Find jobs that wait for units which only such jobs hold: none of them will ever go on."""
    stuck = {(job.process, job.serial): job for job in simulation.waiting()}
    if not stuck:
        return
    changing = {int(row[0]) for row in program.clocks}
    resources = len(names.resources)
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
            or job.queue >= resources
            or job.queue in changing
            or held[job.queue] < levels[2 * job.queue, 0]
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


def _check_littles_law(simulation: Any, outcome: Outcome, names: Names) -> None:
    """Jobs in process over time must be the time that the jobs spent in process: the run checks itself."""
    first = 2 * len(names.resources) + len(names.queues)
    spent = outcome.spent + simulation.staying(0.0)
    for p, name in enumerate(names.processes):
        value, since, area = outcome.levels[first + p]
        area += value * (outcome.clock - since)
        if not math.isclose(area, spent[p], rel_tol=1e-9, abs_tol=1e-9):
            raise AssertionError(
                f"process {name!r}: L = lambda W fails: {area!r} in process over time, {spent[p]!r} spent by its jobs; "
                "this is a bug in livesim, please report the model and the seed"
            )
