"""What a run found: numbers by the names of the model, and the trace of what happened."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from livesim import plots, report
from livesim.analysis.intervals import Interval
from livesim.compiler.program import Action, Names
from livesim.engine.reference import Trace as Columns
from livesim.measures import unknown
from livesim.series import Course

if TYPE_CHECKING:
    from livesim.runtime.snapshot import Snapshot


@dataclass(frozen=True)
class Tally:
    """Numbers that came one by one: how many, and their mean, standard deviation, least and largest (NaN if none).

    q50 (the median), q90, q95, q99: quantiles, each within 0.8 %; see `Result.quantile`.
    """

    count: int
    mean: float
    std: float
    min: float
    max: float
    q50: float
    q90: float
    q95: float
    q99: float


@dataclass(frozen=True)
class Level:
    """A number over time: its mean over the time that was observed, and its value at the end."""

    mean: float
    last: float


@dataclass(frozen=True)
class Service:
    """Time at work: its mean alone, which follows from what else is kept."""

    mean: float


@dataclass(frozen=True)
class ProcessResult:
    """A process. Jobs that arrived and copies that `split` made have departed, were combined, or are in process."""

    arrived: int
    copies: int
    completed: int
    combined: int
    reneged: int
    interrupted: int
    in_process: int
    wait: Tally
    """Time in queues, of each job that departed."""
    sojourn: Tally
    """Time in the system, of each job that departed."""
    service: Service
    """The sojourn less the wait: at work and on the way."""
    number: Level
    """Jobs in the system."""
    records: Mapping[str, Tally]


@dataclass(frozen=True)
class ResourceResult:
    """A resource, or a conveyor."""

    utilization: float
    """Units held over units there, both over time; NaN where there never were any."""
    busy: Level
    capacity: Level
    queue: Level
    longest_queue: int
    wait: Tally
    """Time in the queue of each request that was granted, 0 where there was no wait."""
    service: Service
    """Units held over time, by request that was granted; what is still held counts as far as it went."""


@dataclass(frozen=True)
class ContainerResult:
    """A container, and those who waited to take out of it and to put into it."""

    level: Level
    get_queue: Level
    put_queue: Level
    get_wait: Tally
    put_wait: Tally


@dataclass(frozen=True)
class Trace:
    """What happened, in order. Iterating gives rows; `columns` is a dict of arrays, for pandas or a file."""

    rows: Columns
    names: Names

    def __len__(self) -> int:
        return len(self.rows.time)

    def columns(self) -> dict[str, np.ndarray]:
        """Time, action, process, job, step (its number in the process) and detail, one array each."""
        table = list(self)
        names = ("time", "action", "process", "job", "step", "detail")
        return {name: np.array([row[at] for row in table]) for at, name in enumerate(names)}

    def to_pandas(self) -> Any:
        """The columns as a DataFrame."""
        return plots.pandas("to_pandas").DataFrame(self.columns())

    def __iter__(self) -> Iterator[tuple[float, str, str, int, int, str]]:
        for time, (action, process, job, pc), detail in zip(*self.rows, strict=True):
            what = Action(int(action))
            name = self.names.processes[process] if process >= 0 else ""
            step = self.names.steps[pc][1] if pc >= 0 else 0
            if what == Action.CAPACITY:
                yield float(time), "capacity", "", 0, 0, f"{self.names.resources[int(detail)]} {job}"
                continue
            text = ""
            if what == Action.HOLD:
                text = f"{detail:g}"
            elif what in (Action.WAIT, Action.GO, Action.RENEGE):
                text = self.names.queues[int(detail)]
            elif what in (Action.RELEASE, Action.INTERRUPT):
                text = self.names.resources[int(detail)]
            yield float(time), what.name.lower(), name, int(job), step, text

    def __str__(self) -> str:
        lines = [f"{'time':>12}  {'action':<10} {'process':<12} {'job':>6} {'step':>4}  detail"]
        for time, action, process, job, step, detail in self:
            lines.append(f"{time:12.4f}  {action:<10} {process:<12} {job or '':>6} {step or '':>4}  {detail}".rstrip())
        return "\n".join(lines)


class Result:
    """The numbers of one run: `result["customer"].wait.mean`, or `result.value("customer.wait.mean")`."""

    def __init__(
        self,
        names: Names,
        values: Mapping[str, float],
        *,
        start: float,
        until: float,
        events: int,
        seed: int,
        params: Mapping[str, float],
        course: Course | None,
        trace: Trace | None,
        quantile: Callable[[str, float], float],
        freeze: Callable[[], Snapshot],
    ) -> None:
        self.seed = seed
        self.params = dict(params)
        self.until = until
        self.start = start
        """Since when statistics count: the warm-up's end."""
        self.events = events
        self.trace = trace
        self._values = dict(values)
        self._course = course
        self._quantile = quantile
        self._freeze = freeze
        parts = [(names.resources, ResourceResult), (names.containers, ContainerResult)]
        self._forms: dict[str, Any] = {name: form for kind, form in parts for name in kind}
        self._forms |= dict.fromkeys(names.processes, ProcessResult)

    @property
    def snapshot(self) -> Snapshot:
        """The state at the end: `run(model, until, start=result.snapshot)` goes on from it."""
        return self._freeze()

    def __getitem__(self, name: str) -> Any:
        if name not in self._forms:
            there = ", ".join(map(repr, self._forms))
            raise KeyError(f"no process, resource, conveyor or container {name!r}; there are: {there}")
        return _read(self._forms[name], self._values, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._forms)

    def value(self, metric: str) -> float:
        """One number by its path, such as "customer.wait.mean", "barber.utilization" or "part.records.age.max"."""
        if metric not in self._values:
            raise unknown(metric, self._values)
        return self._values[metric]

    def values(self) -> dict[str, float]:
        """All numbers by their paths."""
        return dict(self._values)

    def quantile(self, tally: str, q: float) -> float:
        """A quantile of numbers that came one by one, such as "customer.wait" or "part.records.age"; NaN if none did.

        From a histogram that every run keeps: between order statistics as NumPy's `quantile`, each of them within 1/128
        (0.8 %) of itself, or, where it is less than a billionth of the largest number, within that of it.
        """
        if not 0.0 <= q <= 1.0:
            raise ValueError(f"quantile: q must be between 0 and 1, such as 0.95, got {q!r}")
        return self._quantile(tally, q)

    @property
    def times(self) -> np.ndarray:
        """The ends of the intervals that `series` is about, (interval,)."""
        return self._over_time("times").times

    def series(self, path: str) -> np.ndarray:
        """A number in each interval of `run(..., every=)`: (interval,), NaN where there is nothing to average.

        Paths are those of means, such as "barber.queue.mean", of utilization and of counts, such as
        "customer.completed".
        """
        return self._over_time("series").values(path)

    def interval(self, path: str, confidence: float = 0.95) -> Interval:
        """A mean of this one long run in steady state, by overlapping batch means of its intervals.

        For runs much longer than their memory, without their warm-up: of the jobs' waits, of a level or a utilization.
        Of a count, its mean an interval.
        """
        return self._over_time("interval").interval(path, confidence)

    def to_pandas(self) -> Any:
        """All numbers as a Series, by path."""
        return plots.pandas("to_pandas").Series(self._values, name=f"seed {self.seed}")

    def plot(self, *paths: str) -> Any:
        """Numbers over time, a panel each: queues and utilizations if none is named; a matplotlib Figure."""
        course = self._over_time("plot")
        wanted = paths or [path for path in self._values if path.endswith((".queue.mean", ".utilization"))]
        return plots.over_time(course.times, {path: course.values(path)[None] for path in wanted}, self._values)

    def _over_time(self, what: str) -> Course:
        if self._course is None:
            raise ValueError(f"{what}: the run kept nothing over time; run it with every=, the length of an interval")
        return self._course

    def __str__(self) -> str:
        return report.of_run(repr(self), self._values)

    def __repr__(self) -> str:
        return f"<Result: time {self.start:g} to {self.until:g}, {self.events} events, seed {self.seed}>"


def _read(form: Any, values: Mapping[str, float], prefix: str) -> Any:
    """A part of a result from the numbers below a path."""
    if form == "Mapping[str, Tally]":
        deep = {path.removeprefix(f"{prefix}.").rpartition(".")[0]: None for path in values if path.startswith(prefix)}
        return {name: _read(Tally, values, f"{prefix}.{name}") for name in deep}
    if isinstance(form, str):
        form = {"Tally": Tally, "Level": Level, "Service": Service, "int": int, "float": float}[form]
    if form in (int, float):
        return form(values[prefix])
    return form(*[_read(kind, values, f"{prefix}.{name}") for name, kind in _members(form)])


@cache
def _members(form: Any) -> tuple[tuple[str, Any], ...]:
    """Names and types of what a part of a result holds."""
    return tuple((field.name, field.type) for field in fields(form))
