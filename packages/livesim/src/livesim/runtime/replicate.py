"""`replicate` and `resume`: many runs of one model, on all cores or any executor, and what they say together."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any

import numpy as np

from livesim.analysis.steady_state import mser5
from livesim.measures import Ratio, unknown
from livesim.messages import Sink
from livesim.model.builder import Model
from livesim.runs import Runs
from livesim.runtime.block import make_block
from livesim.runtime.checkpoint import Checkpoint, CheckpointError, Store
from livesim.runtime.collector import PLACES, Collector, Dealer
from livesim.runtime.errors import SimulationError
from livesim.runtime.experiment import FORMAT, Experiment, Params, versions
from livesim.runtime.progress import ProgressBar, ProgressMessages
from livesim.runtime.snapshot import Snapshot
from livesim.runtime.subject import Subject, Verbs
from livesim.runtime.tasks import Workers, check_executor
from livesim.series import Course

PILOTS, PILOT_INTERVALS = 20, 500
"""Replications, and intervals of each, in which a warm-up is looked for."""
_RECORD_SECONDS = 1.0
_MOST_PLACES = 64


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
    relative, absolute
        Metrics and half-widths of their intervals at `confidence`, in parts of the mean or as they are: stop as soon as
        all are reached, `least` replications at least, n at most.
    events
        Send what happens in every replication as `sim.event/1`, when the replication has ended.
    sink
        Called with every message (`livesim.messages`), in order, in the thread that called. If it raises, the run stops
        and the error is raised again, with the replications so far in its attribute `runs`.
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
        engine=engine, sink=sink, stop=stop, executor=executor, checkpoint=checkpoint, progress=progress,
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
    manifest = None if place is None else _read_manifest(place)
    if seed is None:
        seed = secrets.randbits(63) if manifest is None else int(manifest["seed"])
    experiment = Experiment.of(subject, seed=seed, **asked)
    if place is not None and manifest is not None:
        _refuse_another(place, manifest, experiment)
    return _go(experiment, place, manifest, executor, sink=sink, stop=stop, progress=progress)


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
    manifest = _read_manifest(place)
    if manifest is None:
        raise CheckpointError(f"checkpoint {place.shown} holds no replications")
    experiment = Experiment.from_manifest(manifest)
    _refuse_another(place, manifest, experiment)
    return _go(experiment, place, manifest, executor, sink=sink, stop=stop, progress=progress)


def _go(
    experiment: Experiment,
    place: Checkpoint | None,
    manifest: dict[str, Any] | None,
    executor: Executor | Callable[[], Executor] | None,
    *,
    sink: Sink | None,
    stop: Callable[[], bool] | None,
    progress: bool,
) -> Runs:
    for name, called in (("sink", sink), ("stop", stop)):
        if called is not None and not callable(called):
            raise TypeError(f"{name} must be callable, got {called!r:.60}")
    if executor is not None:
        check_executor(executor)
    names = None
    if experiment.events:
        assert isinstance(experiment.subject, Verbs)
        names = experiment.subject.names(experiment.fixed)
    collector = Collector(experiment, sink=sink, names=names)
    began = time.perf_counter()
    with Workers(executor or _threads) as workers, _Halt(stop) as halt:
        if manifest is not None:
            warmup = float(manifest["warmup"])
        elif isinstance(experiment.warmup, str):
            warmup = _find_warmup(experiment, workers, halt)
        else:
            warmup = experiment.warmup
        record = None
        if place is not None and not halt():
            kept = place.blocks() if manifest is not None else []
            record = _Record(place, collector, kept)
            if manifest is None:
                place.clear()
                place.write_manifest(experiment.manifest() | {"warmup": warmup})
            else:
                place.take_over()
        status, error = _replicate(experiment, collector, warmup, workers, halt, record, sink, progress)
    seconds = time.perf_counter() - began
    if status == "completed" and len(collector.errors) == collector.count:
        first = next(iter(collector.errors.values()))
        status, error = (
            "failed",
            SimulationError(f"every one of {collector.count} replications failed; the first: {first}"),
        )
    runs = _collect(experiment, collector, warmup, status, seconds)
    if collector.announcements is not None:
        error = collector.announcements.end(status, error, collector.count, sorted(collector.errors))
    if error is not None:
        with contextlib.suppress(AttributeError):
            error.runs = runs  # type: ignore[attr-defined]
        error.add_note("the replications made before this error are in its attribute `runs`")
        raise error
    if collector.errors:
        which = ", ".join(map(str, list(collector.errors)[:10])) + (", ..." if len(collector.errors) > 10 else "")
        told = f"{len(collector.errors)} of {collector.count} replications failed ({which})"
        warnings.warn(f"{told}; the first: {next(iter(collector.errors.values()))}", stacklevel=3)
    if status == "interrupted":
        if not collector.count:
            raise KeyboardInterrupt
        warnings.warn(f"interrupted: {collector.count} of {experiment.n} replications were made", stacklevel=3)
    return runs


def _replicate(
    experiment: Experiment,
    collector: Collector,
    warmup: float,
    workers: Workers,
    halt: _Halt,
    record: _Record | None,
    sink: Sink | None,
    progress: bool,
) -> tuple[str, BaseException | None]:
    """Make the replications that are not kept yet; how it ended, and the error if one did."""
    bar = ProgressBar(experiment.n) if progress else None
    messages = None if sink is None else ProgressMessages(sink)

    def watch() -> None:
        if bar is not None:
            bar.update(collector.made(), collector.words())
        if messages is not None:
            messages.update(collector.made())
        if record is not None:
            record.update()

    error: BaseException | None = None
    try:
        if collector.announcements is not None:
            collector.announcements.start(experiment, warmup)
        for block in record.kept if record is not None else ():  # what an earlier process made
            collector.take(block)
        if not collector.done:
            task = _tasks(experiment, workers, halt, warmup, experiment.every, experiment.events)
            _work(workers, Dealer(collector.count, experiment.n, _places(workers), task), collector.take, halt, watch,
                  lambda: collector.done)  # fmt: skip
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
    if isinstance(error, KeyboardInterrupt) or (error is None and halt.interrupted):
        return "interrupted", None
    if error is not None:
        return "failed", error
    return ("completed" if collector.done else "stopped"), None


def _tasks(
    experiment: Experiment, workers: Workers, halt: _Halt, warmup: float, every: float | None, events: bool
) -> Callable[[range], dict[str, Any]]:
    """A function that makes the task for some replications."""
    shared = {
        "subject": experiment.subject,
        "settings": experiment.told(warmup=warmup, every=every, events=events),
        "seed": experiment.seed,
        "versions": versions(),
        "halted": None if workers.travels else halt,
    }

    def make(replications: range) -> dict[str, Any]:
        params = [experiment.params(k % experiment.n) for k in replications]  # pilots may be more than n
        return shared | {"first": replications.start, "params": params}

    return make


def _work(
    workers: Workers,
    dealer: Dealer,
    take: Callable[[dict[str, Any]], None],
    halt: _Halt,
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


def _find_warmup(experiment: Experiment, workers: Workers, halt: _Halt) -> float:
    """One cut for all replications by MSER-5, over the mean of pilots."""
    assert experiment.until is not None
    every = experiment.until / PILOT_INTERVALS
    blocks: list[dict[str, Any]] = []
    task = _tasks(experiment, workers, halt, 0.0, every, events=False)
    dealer = Dealer(0, PILOTS, min(PILOTS, _places(workers)), task)
    _work(workers, dealer, blocks.append, halt, lambda: None, lambda: False)
    blocks.sort(key=lambda block: block["first"])
    errors = [error for block in blocks for error in block["errors"].values()]
    made = sum(len(block["events"]) for block in blocks)
    if made < PILOTS:  # stopped
        return 0.0
    course = None if made - len(errors) < 2 else _course(blocks)
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
    paths = experiment.subject.paths(experiment.fixed)
    if paths is not None and metric not in paths:
        raise unknown(metric, paths)
    blocks: list[dict[str, Any]] = []
    assert isinstance(experiment.warmup, float)
    with Workers(executor or _threads) as workers, _Halt(None) as halt:
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


def _collect(experiment: Experiment, collector: Collector, warmup: float, status: str, seconds: float) -> Runs:
    blocks, paths = collector.blocks, tuple(collector.paths)
    columns = {path: at for at, path in enumerate(paths)}
    rows = np.full((collector.count, len(paths)), np.nan)
    for block in blocks:
        places = [[columns[path] for path in form] for form in block["paths"]]
        for replication, (form, values) in enumerate(zip(block["form"], block["values"], strict=True), block["first"]):
            if form >= 0:
                rows[replication, places[form]] = values
    return Runs(
        experiment,
        paths=paths,
        rows=rows,
        events=np.concatenate([np.empty(0, np.int64), *(block["events"] for block in blocks)]),
        errors=dict(collector.errors),
        warmup=warmup,
        course=_course(blocks),
        status=status,
        reached=collector.reached if experiment.goals else None,
        seconds=seconds,
    )


def _course(blocks: list[dict[str, Any]]) -> Course | None:
    """What was kept over time, (replication, interval, column); NaN where a replication failed or lacks a series."""
    forms = [{path: Ratio(*ratio) for path, ratio in form.items()} for block in blocks for form in block["ratios"]]
    shape = next((one.shape for block in blocks for one in block["courses"] if one is not None), None)
    if shape is None:
        return None
    start = max(block["course_start"] for block in blocks)
    if all(form == forms[0] for form in forms):  # always, for models of verbs
        blank = np.full(shape, np.nan)
        whole = [blank if one is None else one for block in blocks for one in block["courses"]]
        return Course(np.array(whole), start, forms[0])
    kinds = {path: ratio.below for form in forms for path, ratio in form.items()}
    ratios = {
        path: Ratio(2 * at + 1, below if below is None or below == 0 else 2 * at + 2)
        for at, (path, below) in enumerate(kinds.items())
    }
    rows = []
    for block in blocks:
        for form, one in zip(block["course_form"], block["courses"], strict=True):
            row = np.full((shape[0], 2 * len(kinds) + 1), np.nan)
            if one is not None:
                row[:, 0] = one[:, 0]
                for path, (above, below) in block["ratios"][form].items():
                    row[:, ratios[path].above] = one[:, above]
                    if below is not None:
                        row[:, ratios[path].above + 1] = one[:, below]
            rows.append(row)
    return Course(np.array(rows), start, ratios)


def _threads() -> ThreadPoolExecutor:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return ThreadPoolExecutor(cores or 1, thread_name_prefix="livesim")


def _places(workers: Workers) -> int:
    """Tasks that are out at a time: two a worker, so that none has to wait for the next."""
    known = getattr(workers._executor, "_max_workers", None)
    return min(_MOST_PLACES, 2 * known) if isinstance(known, int) else _MOST_PLACES


def _read_manifest(place: Checkpoint) -> dict[str, Any] | None:
    manifest = place.manifest()
    if manifest is not None and manifest.get("format") != FORMAT:
        raise CheckpointError(f"checkpoint {place.shown} has the format {manifest.get('format')!r}, not {FORMAT!r}")
    return manifest


def _refuse_another(place: Checkpoint, manifest: dict[str, Any], experiment: Experiment) -> None:
    """An error that says how the experiment of a checkpoint differs, if it does."""
    here = experiment.manifest()
    kinds = {
        "subject": "another model",
        "fixed": "other parameters",
        "drawn": "other parameters",
        "start": "another start",
    }
    found = [words for name, words in kinds.items() if not _same(manifest[name], here[name])]
    if manifest["seed"] != here["seed"]:
        found.append(f"seed is {manifest['seed']} there and {here['seed']} here")
    for kind in ("settings", "versions"):
        for name, value in here[kind].items():
            if (kept := manifest[kind].get(name)) != value:
                found.append(f"{name} is {kept!r} there and {value!r} here")
    if found:
        raise CheckpointError(
            f"checkpoint {place.shown} is of other replications: {'; '.join(dict.fromkeys(found))}. "
            "Choose another place for these, or delete that one"
        )


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[name], other[name]) for name in one)
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return np.array_equal(one, other)
    return bool(one == other)


class _Record:
    """The checkpoint of replications on their way, written now and then."""

    def __init__(self, checkpoint: Checkpoint, collector: Collector, kept: list[dict[str, Any]]) -> None:
        self.kept = kept
        """Blocks that are in the checkpoint."""
        self._checkpoint, self._collector = checkpoint, collector
        self._count = sum(len(block["events"]) for block in kept)
        self._blocks = len(kept)
        self._last = time.monotonic()

    def update(self, *, now: bool = False) -> None:
        """Append what is new, if it is time. When it is done has no bearing on the numbers."""
        if not now and time.monotonic() - self._last < _RECORD_SECONDS:
            return
        new = self._collector.blocks[self._blocks :]
        if new:
            self._checkpoint.append(self._count, _joined(new))
            self._count += sum(len(block["events"]) for block in new)
            self._blocks += len(new)
        self._last = time.monotonic()


def _joined(blocks: list[dict[str, Any]]) -> dict[str, Any]:
    """Successive blocks as one."""
    whole: dict[str, Any] = {"first": blocks[0]["first"], "course_start": max(b["course_start"] for b in blocks)}
    whole |= {"errors": {}, "paths": [], "ratios": [], "seconds": 0.0} | {name: [] for name in PLACES}
    for block in blocks:
        for kind, form in (("paths", "form"), ("ratios", "course_form")):
            for each in block[kind]:
                if each not in whole[kind]:
                    whole[kind].append(each)
            whole[form] += [-1 if at < 0 else whole[kind].index(block[kind][at]) for at in block[form]]
        for name in set(PLACES) - {"form", "course_form"}:
            whole[name] += list(block[name])
        whole["errors"] |= block["errors"]
    return whole | {name: np.array(whole[name]) for name in ("events", "clocks")}


class _Halt:
    """Whether to go on: asked by the loop and, between events, by workers that are threads. A context manager.

    The first Ctrl-C asks for an end, as `stop` does; a second one does not wait.
    """

    def __init__(self, stop: Callable[[], bool] | None) -> None:
        self._stop = stop
        self._event = threading.Event()
        self.interrupted = False
        self._exit = contextlib.ExitStack()

    def __call__(self) -> bool:
        return self._event.is_set()

    def set(self) -> None:
        """Go on no more."""
        self._event.set()

    def asked(self) -> bool:
        """Ask `stop` too; in the thread that called."""
        if not self._event.is_set() and self._stop is not None and self._stop():
            self.set()
        return self._event.is_set()

    def __enter__(self) -> _Halt:
        self._exit.enter_context(self._heard())
        return self

    def __exit__(self, *_: object) -> None:
        self.set()
        self._exit.close()

    @contextlib.contextmanager
    def _heard(self) -> Iterator[None]:
        before = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is not threading.main_thread() or not callable(before):
            yield
            return

        def interrupt(number: int, frame: Any) -> None:
            try:
                before(number, frame)
            except BaseException:
                if self.interrupted:
                    raise
                self.interrupted = True
                self.set()

        signal.signal(signal.SIGINT, interrupt)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)


__all__ = ["replicate", "replicate_subject", "replicated", "resume"]
