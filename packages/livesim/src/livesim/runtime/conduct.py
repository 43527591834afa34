"""Replications on their way: dealt to workers, taken in, told, kept, and how it ended."""

from __future__ import annotations

import contextlib
import os
import time
import warnings
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any

import numpy as np

from livesim.analysis.steady_state import mser5
from livesim.measures import unknown
from livesim.messages import Sink
from livesim.runs import Runs
from livesim.runtime.block import make_block
from livesim.runtime.checkpoint import Checkpoint
from livesim.runtime.collector import Collector, Dealer
from livesim.runtime.errors import SimulationError
from livesim.runtime.events import Channel
from livesim.runtime.experiment import Experiment, versions
from livesim.runtime.gather import course_of, gather
from livesim.runtime.halt import Halt
from livesim.runtime.progress import ProgressBar, ProgressMessages
from livesim.runtime.record import Record
from livesim.runtime.subject import Verbs
from livesim.runtime.tasks import Workers, check_executor

PILOTS, PILOT_INTERVALS = 20, 500
"""Replications, and intervals of each, in which a warm-up is looked for."""
_MOST_PLACES = 64


def conduct(
    experiment: Experiment,
    place: Checkpoint | None,
    manifest: dict[str, Any] | None,
    executor: Executor | Callable[[], Executor] | None,
    *,
    sink: Sink | None,
    stop: Callable[[], bool] | None,
    progress: bool,
) -> Runs:
    """Make the replications, or those that a checkpoint lacks, and tell of them; the result."""
    for name, called in (("sink", sink), ("stop", stop)):
        if called is not None and not callable(called):
            raise TypeError(f"{name} must be callable, got {called!r:.60}")
    if executor is not None:
        check_executor(executor)
    names = None
    tells = experiment.events and sink is not None
    if tells:
        assert isinstance(experiment.subject, Verbs)
        names = experiment.subject.names(experiment.fixed)
    collector = Collector(experiment, sink=sink, names=names)
    began = time.perf_counter()
    with Workers(executor or _threads) as workers, Halt(stop) as halt:
        if manifest is not None:
            warmup = float(manifest["warmup"])
        elif isinstance(experiment.warmup, str):
            found = _find_warmup(experiment, workers, halt)
            if found is None and halt.interrupted:
                raise KeyboardInterrupt
            if found is None:
                return gather(experiment, collector, 0.0, "stopped", time.perf_counter() - began)
            warmup = found
        else:
            warmup = experiment.warmup
        record = None
        if place is not None:
            # What happened in a replication is not kept: where it is to be told, the replication is made again.
            kept = place.blocks() if manifest is not None and not tells else []
            record = Record(place, collector, kept)
            if manifest is None:
                place.clear()
                place.write_manifest(experiment.manifest() | {"warmup": warmup})
            else:
                place.take_over()
        status, error = _replicate(experiment, collector, warmup, workers, halt, record, sink, progress)
    seconds = time.perf_counter() - began
    if status == "completed" and len(collector.errors) == collector.count:
        first = next(iter(collector.errors.values()))
        told = f"every one of {collector.count} replications failed; the first: {first}"
        status, error = "failed", SimulationError(told)
    runs = gather(experiment, collector, warmup, status, seconds)
    if collector.announcements is not None:
        error = collector.announcements.end(status, error, collector.count, sorted(collector.errors))
    if error is not None:
        with contextlib.suppress(AttributeError):
            error.runs = runs  # type: ignore[attr-defined]
        error.add_note("the replications made before this error are in its attribute `runs`")
        raise error
    if collector.errors:
        which = ", ".join(map(str, list(collector.errors)[:10])) + (", ..." if len(collector.errors) > 10 else "")
        failed = f"{len(collector.errors)} of {collector.count} replications failed ({which})"
        warnings.warn(f"{failed}; the first: {next(iter(collector.errors.values()))}", stacklevel=4)
    if status == "interrupted":
        if not collector.count:
            raise KeyboardInterrupt
        warnings.warn(f"interrupted: {collector.count} of {experiment.n} replications were made", stacklevel=4)
    return runs


def _replicate(
    experiment: Experiment,
    collector: Collector,
    warmup: float,
    workers: Workers,
    halt: Halt,
    record: Record | None,
    sink: Sink | None,
    progress: bool,
) -> tuple[str, BaseException | None]:
    """Make the replications that are not kept yet; how it ended, and the error if one did."""
    bar = ProgressBar(experiment.n) if progress else None
    messages = None if sink is None else ProgressMessages(sink)

    def watch() -> None:
        try:
            collector.tell_events()
        except BaseException:
            halt.set()  # workers that wait to be heard
            raise
        if bar is not None:
            bar.update(collector.made(), collector.words())
        if messages is not None:
            messages.update(collector.made())
        if record is not None:
            record.update()

    def take(block: dict[str, Any]) -> None:
        try:
            collector.take(block)
        except BaseException:
            halt.set()
            raise

    error: BaseException | None = None
    try:
        if collector.announcements is not None:
            collector.announcements.start(experiment, warmup)
        for block in record.kept if record is not None else ():  # what an earlier process made
            collector.take(block)
        if not collector.done:
            tells = experiment.events and sink is not None
            task = _tasks(experiment, workers, halt, warmup, experiment.every, events=tells)
            live = tells and not experiment.goals  # with goals nobody knows yet which replications count
            if live and not workers.travels:
                collector.channel = Channel(halt)
                task = _with(task, channel=collector.channel)
            elif live and getattr(sink, "remote", False):
                workers.check("sink", sink, "without remote=True it is called here instead")
                task = _with(task, sink=sink)
            grows = collector.channel is None  # the replication whose turn it is must be at work
            dealer = Dealer(collector.count, experiment.n, _places(workers), task, grows=grows)
            _work(workers, dealer, take, halt, watch, lambda: collector.done)
    except BaseException as failure:
        error = failure
    finally:
        if bar is not None:
            bar.update(collector.made(), collector.words())
            bar.close()
    if record is not None:
        try:
            record.update(now=True)
        except Exception as failure:
            error = error or failure
    if collector.done and error is None:
        return "completed", None
    if isinstance(error, KeyboardInterrupt) or (error is None and halt.interrupted):
        return "interrupted", None
    return ("stopped", None) if error is None else ("failed", error)


def _tasks(
    experiment: Experiment, workers: Workers, halt: Halt, warmup: float, every: float | None, events: bool
) -> Callable[[range], dict[str, Any]]:
    """A function that makes the task for some replications."""
    shared = {
        "subject": experiment.subject,
        "settings": experiment.told(warmup=warmup, every=every, events=events),
        "seed": experiment.seed,
        "versions": versions(),
        "halted": None if workers.travels else halt,
        "channel": None,
        "sink": None,
    }

    def make(replications: range) -> dict[str, Any]:
        params = [experiment.params(k % experiment.n) for k in replications]  # pilots may be more than n
        return shared | {"first": replications.start, "params": params}

    return make


def _with(make: Callable[[range], dict[str, Any]], **more: Any) -> Callable[[range], dict[str, Any]]:
    """The same tasks, told more."""
    return lambda replications: make(replications) | more


def _work(
    workers: Workers,
    dealer: Dealer,
    take: Callable[[dict[str, Any]], None],
    halt: Halt,
    watch: Callable[[], None],
    enough: Callable[[], bool],
) -> None:
    """Have all blocks made."""

    def then(_: int, block: dict[str, Any]) -> dict[str, Any] | None:
        dealer.pace(block)
        take(block)
        return None if enough() else dealer.deal()

    def no_more() -> bool:
        if enough():
            halt.set()
        return halt.asked()

    first = [task for _ in range(dealer.places) if (task := dealer.deal()) is not None]
    names = [f"replications from {task['first']} on" for task in first]
    workers.run(make_block, first, names=names, then=then, stop=no_more, watch=watch)


def _find_warmup(experiment: Experiment, workers: Workers, halt: Halt) -> float | None:
    """One cut for all replications by MSER-5, over the mean of pilots; None where they were stopped."""
    assert experiment.until is not None
    every = experiment.until / PILOT_INTERVALS
    blocks: list[dict[str, Any]] = []
    task = _tasks(experiment, workers, halt, 0.0, every, events=False)
    dealer = Dealer(0, PILOTS, min(PILOTS, _places(workers)), task)
    _work(workers, dealer, blocks.append, halt, lambda: None, lambda: False)
    blocks.sort(key=lambda block: block["first"])
    errors = [error for block in blocks for error in block["errors"].values()]
    made = sum(len(block["events"]) for block in blocks)
    if made < PILOTS:
        return None
    course = None if made - len(errors) < 2 else course_of(blocks)
    if course is None:
        raise SimulationError(f"no warm-up can be found: the pilot replications fail: {errors[0]}")
    good = [k for k in range(made) if not np.isnan(course.increments[k]).all()]
    series = experiment.subject.steady(course.ratios)
    if not series:
        raise ValueError("warmup: there is no level over time in which a warm-up could be found; give it as a time")
    cuts = {path: mser5(course.values(path)[good]) for path in series}
    if unsure := [path for path, cut in cuts.items() if not cut.reliable]:
        warnings.warn(
            f"warmup: {unsure[0]} still grows or falls in the second half of the run, so there may be no steady state, "
            "or it comes later: run longer",
            stacklevel=5,
        )
    return max(cut.delete for cut in cuts.values()) * every


def replicated(
    experiment: Experiment,
    metric: str,
    replications: range,
    executor: Executor | Callable[[], Executor] | None,
) -> list[float]:
    """A metric in some replications; an error if one of them fails."""
    paths = experiment.subject.paths(experiment.fixed, ())
    if paths is not None and metric not in paths:
        raise unknown(metric, paths)
    blocks: list[dict[str, Any]] = []
    assert isinstance(experiment.warmup, float)
    with Workers(executor or _threads) as workers, Halt(None) as halt:
        task = _tasks(experiment, workers, halt, experiment.warmup, None, events=False)
        dealer = Dealer(replications.start, replications.stop, _places(workers), task)
        _work(workers, dealer, blocks.append, halt, lambda: None, lambda: False)
    if halt.interrupted:
        raise KeyboardInterrupt
    blocks.sort(key=lambda block: block["first"])
    for block in blocks:
        for replication, error in block["errors"].items():
            raise SimulationError(f"{experiment.subject.name}: replication {replication} failed: {error}")
    return [
        float(values[block["paths"][form].index(metric)])
        for block in blocks
        for form, values in zip(block["form"], block["values"], strict=True)
    ]


def _threads() -> ThreadPoolExecutor:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return ThreadPoolExecutor(cores or 1, thread_name_prefix="livesim")


def _places(workers: Workers) -> int:
    """Tasks that are out at a time: two a worker, so that none has to wait for the next."""
    known = getattr(workers._executor, "_max_workers", None)
    return min(_MOST_PLACES, 2 * known) if isinstance(known, int) else _MOST_PLACES
