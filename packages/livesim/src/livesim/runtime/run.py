"""One run of a model."""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from livesim.compiler.table import parameters
from livesim.histogram import quantiles as quantiles_of
from livesim.job_times import check_quantiles, quantile_paths
from livesim.measures import unknown
from livesim.model.builder import Model
from livesim.result import Result, Trace
from livesim.runtime.prepare import prepare
from livesim.runtime.simulation import Plan, simulate
from livesim.runtime.snapshot import Snapshot
from livesim.series import Course

MOST_INTERVALS = 10_000_000


def run(
    model: Model,
    until: float,
    *,
    seed: int | None = None,
    params: Mapping[str, float] | None = None,
    warmup: float = 0.0,
    drain: bool = False,
    every: float | None = None,
    quantiles: Sequence[float] = (),
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
    every: keep the numbers over time, in intervals of this length from the warm-up's end: `result.series(path)`.
    quantiles: such as (0.5, 0.95): of jobs' waits and times in the system, exact, as `result.value("NAME.wait.p95")`.
        They need every job's times, and so a trace while the run lasts: some five times its time; not from a snapshot.
    trace: keep what happened, as `result.trace`.
    start: go on from the snapshot of an earlier run of the model. Seed, replication, parameters and warm-up are the
        snapshot's, and the result is that of one longer run to the bit, unless others are given: another seed gives
        another future of the same present.
    engine: "compiled", or "reference", the slow interpreter that is the specification; both give the same bits.

    Raises SimulationError where a step meets a number that it cannot use, DeadlockError where jobs wait for each other.
    """
    check_run("run", model, until, warmup, drain, every, start, engine)
    check_index("run: seed", 0 if seed is None else seed)
    check_index("run: replication", replication or 0)
    if start is not None:
        params = {**start.params, **(params or {})}
        replication = start.replication if replication is None else replication
        seed = start.seed if seed is None else seed
    chosen = parameters(model, params)
    program, names, measures = prepare(model, chosen)
    seed = secrets.randbits(63) if seed is None else int(seed)
    replication = 0 if replication is None else int(replication)
    wanted = check_quantiles("run", quantiles, start)
    plan = Plan(program, names, measures, float(until), float(warmup), drain, every, engine, wanted)
    paths = (*measures.paths, *quantile_paths(names, wanted))
    state, since = (None, 0.0) if start is None else (start.state, start.warmup)
    made = simulate(plan, seed, replication, start=state, since=since, tracing=trace)

    def freeze() -> Snapshot:
        if engine != "compiled":
            raise ValueError("snapshot: only the compiled engine's runs can be continued; run with engine='compiled'")
        state = made.simulation.arrays.state() | {"before": made.before, "stayed": made.stayed}
        return Snapshot(model.to_json(), made.outcome.clock, seed, replication, chosen, made.since, state)

    def quantile(tally: str, q: float) -> float:
        if tally not in measures.tallies:
            raise unknown(tally, measures.tallies)
        row = measures.tallies[tally]
        return float(quantiles_of(made.simulation.histograms(), made.outcome.tallies, [q])[row, 0])

    return Result(
        names,
        dict(zip(paths, made.values.tolist(), strict=True)),
        start=made.since,
        until=made.outcome.clock,
        events=made.outcome.events,
        seed=seed,
        params=chosen,
        course=None if made.increments is None else Course(made.increments, made.course_start, measures.ratios),
        trace=Trace(made.simulation.trace(), names) if trace else None,
        quantile=quantile,
        freeze=freeze,
    )


def check_run(who: str, model: Any, until: Any, warmup: Any, drain: Any, every: Any, start: Any, engine: Any) -> None:
    """Refuse what no run can be made of, in the words of the call that was asked for it."""
    if not isinstance(model, Model):
        raise TypeError(f"{who}: expected a livesim.Model, got {model!r}")
    if not model.processes:
        raise ValueError(f"{who}: model {model.name!r} has no process, so nothing would happen")
    if not (_is_number(until) and 0 < until < math.inf):
        raise ValueError(f"{who}: until must be a finite time above 0, got {until!r}")
    if not (_is_number(warmup) and 0 <= warmup < until):
        raise ValueError(f"{who}: warmup must be a time from 0 to until={until:g}, got {warmup!r}")
    if not isinstance(drain, bool):
        raise TypeError(f"{who}: drain must be True or False, got {drain!r}")
    if every is not None and not (_is_number(every) and until / MOST_INTERVALS <= every <= until):
        least = until / MOST_INTERVALS
        raise ValueError(f"{who}: every must be a time from {least:g} to until={until:g}, got {every!r}")
    if engine not in ("compiled", "reference"):
        raise ValueError(f"{who}: engine must be 'compiled' or 'reference', got {engine!r}")
    if start is None:
        return
    if not isinstance(start, Snapshot):
        raise TypeError(f"{who}: start must be a snapshot, as result.snapshot gives it, got {start!r}")
    start.check(model)
    if engine != "compiled":
        raise ValueError(f"{who}: only engine='compiled' goes on from a snapshot")
    if not start.time <= until:
        raise ValueError(f"{who}: the snapshot is of time {start.time:g}, which is after until={until:g}")
    if 0 < warmup < start.time:
        raise ValueError(f"{who}: warmup={warmup:g} lies before the snapshot's time {start.time:g}")


def check_index(what: str, number: Any) -> None:
    """Refuse what is no whole number of 64 bits."""
    if isinstance(number, bool) or not isinstance(number, (int, np.integer)) or not 0 <= number < 2**64:
        raise ValueError(f"{what} must be a whole number from 0 to 2**64 - 1, got {number!r}")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
