"""Every number that a run is told by, under one path each: "customer.wait.mean", "barber.utilization"."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from livesim.compiler.program import Names
from livesim.engine.reference import Outcome
from livesim.histogram import QUANTILES

TALLY = ("count", "mean", "std", "min", "max")
"""What the interpreters' tallies tell; `QUANTILES` come after these."""
LEVEL = ("mean", "last")
COUNTS = ("arrived", "copies", "completed", "combined", "reneged", "interrupted")


class Ratio(NamedTuple):
    """A mean over time or over jobs: the columns of `Totals.columns` whose increments it divides.

    below: None for a count, which is not divided.
    """

    above: int
    below: int | None


class Measures:
    """The paths of a model, and how its rows are computed from what an interpreter leaves."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._resources = len(names.resources)
        self._queues = len(names.queues)
        self._processes = len(names.processes)
        self._levels = 2 * self._resources + self._queues + self._processes + len(names.containers)
        self._tallies = self._queues + 2 * self._processes + len(names.tallies)
        self.tallies: dict[str, int] = {}
        """The tallies by path, "customer.wait", and their rows in `Outcome.tallies`."""
        table = list(self._table())
        self.paths = tuple(path for path, _, _ in table)
        """The columns of a row, in order."""
        self._order = np.array([column for _, column, _ in table])
        self.ratios: dict[str, Ratio] = {path: ratio for path, _, ratio in table if ratio is not None}
        """The paths whose course over time can be told."""

    def row(self, outcome: Outcome, told: np.ndarray, start: float, before: np.ndarray) -> np.ndarray:
        """The numbers of a run whose statistics began at `start`, when its counts were `before`; float64 (path,).

        told: float64 (tally, quantile), `QUANTILES` of the tallies.
        """
        levels, tallies = outcome.levels, outcome.tallies
        areas = levels[:, 2] + levels[:, 0] * (outcome.clock - levels[:, 1])
        counts = (outcome.counts - before).ravel()
        tallied = tallies.copy()
        number = tallies[:, 0]
        with np.errstate(divide="ignore", invalid="ignore"):
            tallied[:, 2] = np.sqrt(np.where(number > 1, tallies[:, 2] / (number - 1), np.nan))
            tallied[number == 0, 1:] = np.nan
            span = outcome.clock - start
            means = areas / span if span > 0 else np.full(len(areas), np.nan)
            busy, there = areas[0 : 2 * self._resources : 2], areas[1 : 2 * self._resources : 2]
            utilization = np.where(there > 0, busy / there, np.nan)
            granted = number[: self._resources]
            work = np.where(granted > 0, busy / granted, np.nan)
        stays = tallied[self._queues : self._queues + 2 * self._processes, 1].reshape(-1, 2)
        services = stays[:, 0] - stays[:, 1]
        parts = [means, levels[:, 0], utilization, tallied.ravel(), counts, outcome.longest, told.ravel()]
        parts += [work, services]
        return np.concatenate(parts)[self._order]

    def _table(self) -> Iterator[tuple[str, int, Ratio | None]]:
        """Path, its column in the parts of `row`, and its ratio of totals."""
        resources, queues, names = self._resources, self._queues, self._names
        last = self._levels
        utilization = last + self._levels
        tallied = utilization + resources
        counted = tallied + 5 * self._tallies
        longest = counted + 6 * self._processes
        told = longest + self._queues
        work = told + len(QUANTILES) * self._tallies
        services = work + resources
        sums = 1 + self._levels  # in the totals, after time and areas
        numbers = sums + self._tallies
        flows = numbers + self._tallies

        def level(path: str, row: int) -> Iterator[tuple[str, int, Ratio | None]]:
            yield f"{path}.mean", row, Ratio(1 + row, 0)
            yield f"{path}.last", last + row, None

        def tally(path: str, row: int) -> Iterator[tuple[str, int, Ratio | None]]:
            for at, part in enumerate(TALLY):
                ratio = {"mean": Ratio(sums + row, numbers + row), "count": Ratio(numbers + row, None)}.get(part)
                yield f"{path}.{part}", tallied + 5 * row + at, ratio
            for at, name in enumerate(QUANTILES):
                yield f"{path}.{name}", told + len(QUANTILES) * row + at, None
            self.tallies[path] = row

        for r, name in enumerate(names.resources):
            yield f"{name}.utilization", utilization + r, Ratio(1 + 2 * r, 2 + 2 * r)
            yield from level(f"{name}.busy", 2 * r)
            yield from level(f"{name}.capacity", 2 * r + 1)
            yield from level(f"{name}.queue", 2 * resources + r)
            yield f"{name}.longest_queue", longest + r, None
            yield from tally(f"{name}.wait", r)
            yield f"{name}.service.mean", work + r, None
        for c, name in enumerate(names.containers):
            queue = resources + 2 * c
            yield from level(f"{name}.level", 2 * resources + queues + self._processes + c)
            for at, what in enumerate(("get", "put")):
                yield from level(f"{name}.{what}_queue", 2 * resources + queue + at)
            for at, what in enumerate(("get", "put")):
                yield from tally(f"{name}.{what}_wait", queue + at)
        for p, name in enumerate(names.processes):
            number = 2 * resources + queues + p
            for at, count in enumerate(COUNTS):
                yield f"{name}.{count}", counted + 6 * p + at, Ratio(flows + 6 * p + at, None)
            yield f"{name}.in_process", last + number, None
            yield from tally(f"{name}.wait", queues + 2 * p + 1)
            yield from tally(f"{name}.sojourn", queues + 2 * p)
            yield f"{name}.service.mean", services + p, None
            yield from level(f"{name}.number", number)
            for at, (process, record) in enumerate(names.tallies):
                if process == name:
                    yield from tally(f"{name}.records.{record}", queues + 2 * self._processes + at)


def totals(outcomes: Sequence[Outcome], times: np.ndarray) -> np.ndarray:
    """What has added up by each of some times, which no event lies before: float64 (time, column).

    Columns: the time, the area below each level, the sum and then the count of each tally, the counts.
    """
    levels = np.array([outcome.levels for outcome in outcomes])
    tallies = np.array([outcome.tallies for outcome in outcomes])
    counts = np.array([outcome.counts for outcome in outcomes]).reshape(len(times), -1)
    areas = levels[:, :, 2] + levels[:, :, 0] * (times[:, None] - levels[:, :, 1])
    sums = tallies[:, :, 0] * tallies[:, :, 1]
    return np.concatenate([times[:, None], areas, sums, tallies[:, :, 0], counts], axis=1)


def unknown(path: Any, paths: Iterable[str]) -> KeyError | TypeError:
    """An error for a path that is not there, with what could stand there."""
    if not isinstance(path, str):
        return TypeError(f"a metric is a path such as {next(iter(paths), 'customer.wait.mean')!r}, got {path!r}")
    parts = path.split(".")
    for kept in range(len(parts), -1, -1):
        head = [*parts[:kept], ""]
        below = {each[len(".".join(head)) :].split(".")[0]: None for each in paths if each.startswith(".".join(head))}
        if kept == len(parts) and below:
            return KeyError(f"metric {path!r} is not a number; go on with one of {', '.join(below)}")
        if below:
            break
    return KeyError(f"metric {path!r}: no {parts[min(kept, len(parts) - 1)]!r}; there are: {', '.join(below)}")
