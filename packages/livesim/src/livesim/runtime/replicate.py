"""`replicate` and `resume`: many runs of one model, on all cores or any executor, and what they say together."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any

from livesim.messages import Sink
from livesim.model.builder import Model
from livesim.runs import Runs
from livesim.runtime.checkpoint import Checkpoint, CheckpointError, Store
from livesim.runtime.conduct import conduct
from livesim.runtime.experiment import Experiment, Params
from livesim.runtime.record import read_manifest, refuse_another
from livesim.runtime.snapshot import Snapshot
from livesim.runtime.subject import Subject, Verbs


def replicate(
    model: Model,
    n: int = 100,
    *,
    until: float,
    warmup: float | str | None = None,
    seed: int | None = None,
    params: Params | None = None,
    drain: bool = False,
    every: float | None = None,
    quantiles: Sequence[float] = (),
    start: Snapshot | None = None,
    relative: Mapping[str, float] | None = None,
    absolute: Mapping[str, float] | None = None,
    confidence: float = 0.95,
    least: int = 10,
    events: bool = False,
    sink: Sink | None = None,
    stop: Callable[[], bool] | None = None,
    executor: Executor | Callable[[], Executor] | None = None,
    checkpoint: Store | None = None,
    progress: bool = True,
    engine: str = "compiled",
) -> Runs:
    """Run a model n times, each replication with random numbers of its own.

    Replication k is `run(model, until, seed=seed, replication=k, ...)` to the bit, on any executor and any number of
    workers, with or without a sink, whole or resumed.

    Parameters
    ----------
    until, drain, start, engine
        As for `run`. From a state, all replications start: so many futures of one present.
    warmup
        The time from which on statistics count; "mser5" finds one cut for all in 20 pilot replications: the latest of
        those that MSER-5 makes in the mean of each process's jobs in the system.
    seed
        A whole number; None draws one, kept in the result.
    params
        Values of the model's parameters: a number for all replications, an array of one number each (such as draws from
        a posterior), or a function of the replication's index that gives a mapping.
    every
        Keep the numbers over time, in intervals of this length: `runs.series(path)`.
    quantiles
        Such as (0.5, 0.95): exact ones of jobs' waits and times in the system in each replication, by paths that end in
        "p50", "p95"; each takes a trace while it lasts, and some five times as long.
    relative, absolute
        Metrics and half-widths of their intervals at `confidence`, in parts of the mean or as they are: stop as soon as
        all are reached, `least` replications at least, n at most.
    events
        Send what happens in every replication as `sim.event/1`, while it happens: in batches of some thousand events,
        in the order of the replications. From workers in other processes it comes when a replication has ended, unless
        the sink is remote; and so it does with goals (`relative`, `absolute`), as replications may not be wanted then.
        A checkpoint does not hold it: what is resumed with a sink is made, and told, from its beginning.
    sink
        Called with every message (`livesim.messages`), in order, in the thread that called. If it raises, the run stops
        and the error is raised again, with the replications so far in its attribute `runs`. A sink whose attribute
        `remote` is true travels to workers in other processes, which tell it what happens, and call its `flush()`.
    stop
        Asked a few times a second; when it returns True the run ends and keeps its replications. So does Ctrl-C.
    executor
        Where replications are made: any `concurrent.futures.Executor`, or a function without arguments that makes one,
        which is called again when the pool breaks. None: a thread for each core.
    checkpoint
        A path (a folder is made there) or a mapping of str to bytes. The replications are kept there, about once a
        second; the same call, or `resume`, goes on after a crash.
    progress
        Show a progress bar, where a terminal or a notebook is there to show it.

    A replication that fails is marked, told of by a warning, and NaN in `runs.values`; the others go on. Where all fail
    it is a SimulationError.
    """
    if not isinstance(model, Model):
        raise TypeError(f"replicate: expected a livesim.Model, got {model!r:.80}")
    return replicate_subject(
        Verbs(model.to_json()), n=n, until=until, warmup=warmup, drain=drain, every=every, seed=seed, params=params,
        relative=relative, absolute=absolute, confidence=confidence, least=least, events=events, start=start,
        engine=engine, quantiles=quantiles, sink=sink, stop=stop, executor=executor, checkpoint=checkpoint,
        progress=progress,
    )  # fmt: skip


def replicate_subject(
    subject: Subject,
    *,
    seed: int | None,
    sink: Sink | None,
    stop: Callable[[], bool] | None,
    executor: Executor | Callable[[], Executor] | None,
    checkpoint: Store | None,
    progress: bool,
    **asked: Any,
) -> Runs:
    """`replicate` for anything that can be replicated; `asked` is the rest of what `Experiment.of` takes."""
    place = None if checkpoint is None else Checkpoint(checkpoint)
    manifest = None if place is None else read_manifest(place)
    if seed is None:
        seed = secrets.randbits(63) if manifest is None else int(manifest["seed"])
    experiment = Experiment.of(subject, seed=seed, **asked)
    if place is not None and manifest is not None:
        refuse_another(place, manifest, experiment)
    return conduct(experiment, place, manifest, executor, sink=sink, stop=stop, progress=progress)


def resume(
    checkpoint: Store,
    *,
    sink: Sink | None = None,
    stop: Callable[[], bool] | None = None,
    executor: Executor | Callable[[], Executor] | None = None,
    progress: bool = True,
) -> Runs:
    """Finish the replications that a checkpoint holds: the numbers are those of a call that nothing disturbed.

    A sink hears the whole run, from its first message on; what it heard before has the same parts and numbers. A model
    that is code, not verbs, is replicated again with the same checkpoint instead.

    Raises CheckpointError, a ValueError, where the checkpoint is missing, damaged or of other library versions.
    """
    place = Checkpoint(checkpoint)
    manifest = read_manifest(place)
    if manifest is None:
        raise CheckpointError(f"checkpoint {place.shown} holds no replications")
    experiment = Experiment.from_manifest(manifest)
    refuse_another(place, manifest, experiment)
    return conduct(experiment, place, manifest, executor, sink=sink, stop=stop, progress=progress)


__all__ = ["replicate", "replicate_subject", "resume"]
