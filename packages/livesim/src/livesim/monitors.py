"""Monitors for code by hand, and the numbers that a replication of it found."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from livesim.histogram import QUANTILES, Buckets, of_buckets, quantiles


class Level:
    """A number over time, and the area below it.

    >>> queue = Level()
    >>> queue.set(2.0, 1)                                    # at time 2 it becomes 1
    >>> queue.set(5.0, 0)
    >>> queue.area
    3.0
    """

    def __init__(self, value: float = 0.0) -> None:
        self.value, self.since, self.area = value, 0.0, 0.0

    def set(self, now: float, value: float) -> None:
        """From now on it has this value."""
        self.area += self.value * (now - self.since)
        self.since, self.value = now, value


class Tally:
    """Numbers that come one by one: their mean, quantiles and the rest, without keeping them (Welford 1962)."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self.buckets = Buckets()
        self.row = [0.0, 0.0, 0.0, math.inf, -math.inf]
        """Count, mean, sum of squared deviations, least and largest."""

    def add(self, x: float) -> None:
        """Take in a number."""
        n, mean, squares, least, largest = self.row
        n += 1.0
        d = x - mean
        mean += d / n
        self.row = [n, mean, squares + d * (x - mean), min(least, x), max(largest, x)]
        self.buckets.add(x)


Monitor = Level | Tally


@dataclass(frozen=True)
class Numbers:
    """What one replication found: numbers by name, such as "barber.wait.mean"."""

    values: Mapping[str, float] = field(repr=False)
    until: float
    """The time at the end."""
    start: float
    """Since when monitors count: the warm-up's end."""
    events: int
    seed: int
    replication: int
    course: Mapping[str, np.ndarray] | None = field(default=None, repr=False)
    """What was added in each interval, by monitor: (interval, 1), the area below a level, or (interval, 2), the sum
    and the count of a tally."""

    def value(self, metric: str) -> float:
        """One number by its name."""
        if metric not in self.values:
            raise KeyError(f"no metric {metric!r}; there are: {', '.join(sorted(self.values)) or 'none'}")
        return self.values[metric]

    def __getitem__(self, metric: str) -> float:
        return self.value(metric)


def start_anew(monitor: Monitor, now: float) -> None:
    """Forget what a monitor saw before now; a level keeps its value."""
    if isinstance(monitor, Level):
        monitor.since, monitor.area = now, 0.0
    else:
        monitor.clear()


def numbers_of(name: str, monitor: Monitor, start: float, now: float) -> dict[str, float]:
    """A tally's count, mean, std, min, max and quantiles, or a level's mean and last, as models' results have."""
    if isinstance(monitor, Level):
        area = monitor.area + monitor.value * (now - monitor.since)
        found = {"mean": area / (now - start) if now > start else math.nan, "last": float(monitor.value)}
    else:
        count, mean, squares, least, largest = monitor.row
        std = math.sqrt(squares / (count - 1)) if count > 1 else math.nan
        found = {"count": count, "mean": mean, "std": std, "min": least, "max": largest}
        told = quantiles(of_buckets([monitor.buckets]), np.array([monitor.row]), list(QUANTILES.values()))
        found |= dict(zip(QUANTILES, told[0].tolist(), strict=True))
        if count == 0:
            found = dict.fromkeys(found, math.nan) | {"count": 0.0}
    return {f"{name}.{what}": value for what, value in found.items()}


class Follower:
    """Takes what monitors have added up to at the ends of intervals, and starts them anew at the warm-up's end."""

    def __init__(self, warmup: float = 0.0, every: float | None = None, until: float = math.inf) -> None:
        self.warmup, self.every, self.until = warmup, every, until
        self._warm = warmup == 0.0
        self._rows: list[dict[str, tuple[float, ...]]] = []
        """At the warm-up's end, and at the end of each interval."""

    @property
    def next(self) -> float:
        """The next time at which there is something to do; infinite after the last."""
        if not self._warm:
            return self.warmup
        if self.every is None:
            return math.inf
        end = self.warmup + len(self._rows) * self.every
        # The last interval ends where the run does, whatever rounding makes of the sum.
        return math.inf if end > self.until * (1 + 1e-12) else min(end, self.until)

    def pass_by(self, monitors: Mapping[str, Monitor]) -> None:
        """Do what is to be done at `next`; nothing has been added since, and the time is not before it."""
        time = self.next
        if not self._warm:
            self._warm = True
            for monitor in monitors.values():
                start_anew(monitor, time)
        if self.every is not None:
            self._rows.append({name: _total(monitor, time) for name, monitor in monitors.items()})

    def course(self) -> dict[str, np.ndarray] | None:
        """See `Numbers.course`."""
        if self.every is None:
            return None
        names = {name: len(total) for row in self._rows for name, total in row.items()}
        return {
            name: np.diff(np.array([row.get(name, (0.0,) * width) for row in self._rows]).reshape(-1, width), axis=0)
            for name, width in names.items()
        }


def _total(monitor: Monitor, time: float) -> tuple[float, ...]:
    if isinstance(monitor, Level):
        return (monitor.area + monitor.value * (time - monitor.since),)
    return (monitor.row[0] * monitor.row[1], monitor.row[0])


def check_every(every: Any) -> None:
    """Refuse what is no length of intervals."""
    if every is not None and not (isinstance(every, (int, float)) and 0 < every < math.inf):
        raise ValueError(f"every must be the length of an interval, above 0, got {every!r}")


def number(what: str, value: Any) -> float:
    """A float of what may be Python's or NumPy's number, or an error that names it."""
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{what} must be a number, got {value!r:.80}") from error


__all__ = ["Follower", "Level", "Monitor", "Numbers", "Tally", "check_every", "number", "numbers_of", "start_anew"]
