"""One run of a model."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence

from livesim.compiler.program import Names
from livesim.compiler.table import parameters
from livesim.engine.reference import Trace as Rows
from livesim.histogram import quantiles as quantiles_of
from livesim.job_times import check_quantiles, quantile_paths
from livesim.measures import unknown
from livesim.messages import Sink
from livesim.model.builder import Model
from livesim.result import Result, Trace
from livesim.runtime.announce import Announcements, replication_message
from livesim.runtime.checks import check_flag, check_index, check_run
from livesim.runtime.events import Events
from livesim.runtime.experiment import Experiment
from livesim.runtime.prepare import prepare
from livesim.runtime.simulation import Plan, Replication, simulate
from livesim.runtime.snapshot import Snapshot
from livesim.runtime.subject import Verbs
from livesim.series import Course


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
    sink: Sink | None = None,
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
    sink: called with what happens while it happens, as `sim.event/1` in batches of some thousand events, and with the
        run's start, numbers and end: the messages of `replicate(n=1, events=True)`. If it raises, the run ends with it.
    start: go on from the snapshot of an earlier run of the model. Seed, replication, parameters and warm-up are the
        snapshot's, and the result is that of one longer run to the bit, unless others are given: another seed gives
        another future of the same present.
    engine: "compiled", or "reference", the slow interpreter that is the specification; both give the same bits.

    Raises SimulationError where a step meets a number that it cannot use, DeadlockError where jobs wait for each other.
    """
    check_run("run", model, until, warmup, drain, every, start, engine)
    check_flag("run: trace", trace)
    if sink is not None and not callable(sink):
        raise TypeError(f"run: sink must be callable, got {sink!r:.60}")
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

    def make(tell: Callable[[Rows], None] | None) -> Replication:
        return simulate(plan, seed, replication, start=state, since=since, tracing=trace, tell=tell)

    if sink is None:
        made = make(None)
    else:
        asked = Experiment.of(
            Verbs(model.to_json()), n=1, until=until, warmup=warmup, drain=drain, every=every, seed=seed, params=chosen,
            relative=None, absolute=None, confidence=0.95, least=10, events=True, start=start, engine=engine,
            quantiles=quantiles,
        )  # fmt: skip
        made = _told(asked, sink, replication, names, paths, make)

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


def _told(
    asked: Experiment,
    sink: Sink,
    replication: int,
    names: Names,
    paths: Sequence[str],
    make: Callable[[Callable[[Rows], None]], Replication],
) -> Replication:
    """Make a replication and tell of it, as `replicate` does of one."""
    voice, events = Announcements(sink), Events(sink)
    error: BaseException | None = None
    try:
        assert isinstance(asked.warmup, float)
        voice.start(asked, asked.warmup)
        made = make(lambda rows: events(replication, names, rows))
        values, outcome = dict(zip(paths, made.values.tolist(), strict=True)), made.outcome
        sink(replication_message(0, replication, asked.params(0), values, outcome.events, outcome.clock, None))
    except BaseException as failure:
        error = failure
    status = "completed" if error is None else "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
    error = voice.end(status, error, int(error is None), [])
    if error is not None:
        raise error
    return made
