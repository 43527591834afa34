"""What a run found: numbers by the names of the model, and the trace of what happened."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from livesim.compiler.program import Action, Names
from livesim.engine.reference import Outcome
from livesim.engine.reference import Trace as Columns
from livesim.runtime.snapshot import Snapshot


@dataclass(frozen=True)
class Tally:
    """Numbers that came one by one: how many, and their mean, standard deviation, least and largest (NaN if none)."""

    count: int
    mean: float
    std: float
    min: float
    max: float


@dataclass(frozen=True)
class Level:
    """A number over time: its mean over the time that was observed, and its value at the end."""

    mean: float
    last: float


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
        outcome: Outcome,
        start: float,
        *,
        seed: int,
        params: Mapping[str, float],
        trace: Trace | None,
        freeze: Callable[[], Snapshot],
    ) -> None:
        self.seed = seed
        self.params = dict(params)
        self.until = outcome.clock
        self.start = start
        """Since when statistics count: the warm-up's end."""
        self.events = outcome.events
        self.trace = trace
        self._freeze = freeze
        self._parts = _parts(names, outcome, start)

    @property
    def snapshot(self) -> Snapshot:
        """The state at the end: `run(model, until, start=result.snapshot)` goes on from it."""
        return self._freeze()

    def __getitem__(self, name: str) -> Any:
        if name not in self._parts:
            there = ", ".join(map(repr, self._parts))
            raise KeyError(f"no process, resource, conveyor or container {name!r}; there are: {there}")
        return self._parts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def value(self, metric: str) -> float:
        """One number by its path, such as "customer.wait.mean", "barber.utilization" or "part.records.age.max"."""
        name, *path = metric.split(".")
        found = self[name]
        for step in path:
            known = (
                sorted(found)
                if isinstance(found, Mapping)
                else sorted(vars(found))
                if hasattr(found, "__dict__")
                else []
            )
            if step not in known:
                raise KeyError(f"metric {metric!r}: no {step!r}; there are: {', '.join(known) or 'none'}")
            found = found[step] if isinstance(found, Mapping) else getattr(found, step)
        if not isinstance(found, (int, float)):
            known = sorted(found) if isinstance(found, Mapping) else sorted(vars(found))
            raise KeyError(f"metric {metric!r} is not a number; go on with one of {', '.join(known)}")
        return float(found)

    def __repr__(self) -> str:
        return f"<Result: time {self.start:g} to {self.until:g}, {self.events} events, seed {self.seed}>"


def _parts(names: Names, outcome: Outcome, start: float) -> dict[str, Any]:
    span = outcome.clock - start
    resources, queues, processes = len(names.resources), len(names.queues), len(names.processes)

    def area(row: int) -> float:
        value, since, area = outcome.levels[row]
        return float(area + value * (outcome.clock - since))

    def level(row: int) -> Level:
        return Level(area(row) / span if span > 0 else math.nan, float(outcome.levels[row, 0]))

    def tally(row: int) -> Tally:
        count, mean, squares, least, largest = outcome.tallies[row].tolist()
        if count == 0:
            return Tally(0, math.nan, math.nan, math.nan, math.nan)
        return Tally(int(count), mean, math.sqrt(squares / (count - 1)) if count > 1 else math.nan, least, largest)

    found: dict[str, Any] = {}
    for r, name in enumerate(names.resources):
        there = area(2 * r + 1)
        found[name] = ResourceResult(
            area(2 * r) / there if there > 0 else math.nan, level(2 * r), level(2 * r + 1), level(2 * resources + r),
            int(outcome.longest[r]), tally(r),
        )  # fmt: skip
    for c, name in enumerate(names.containers):
        get = resources + 2 * c
        found[name] = ContainerResult(
            level(2 * resources + queues + processes + c), level(2 * resources + get), level(2 * resources + get + 1),
            tally(get), tally(get + 1),
        )  # fmt: skip
    for p, name in enumerate(names.processes):
        row = queues + 2 * p
        records = {
            record: tally(queues + 2 * processes + at)
            for at, (process, record) in enumerate(names.tallies)
            if process == name
        }
        number = level(2 * resources + queues + p)
        arrived, copies, departed, combined, reneged, interrupted = outcome.counts[p].tolist()
        found[name] = ProcessResult(
            arrived, copies, departed, combined, reneged, interrupted, int(number.last), tally(row + 1), tally(row),
            number, records,
        )  # fmt: skip
    return found
