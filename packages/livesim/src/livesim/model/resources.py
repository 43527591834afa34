"""What jobs compete for: resources with their schedules and failures, conveyors, containers, stores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

from livesim.model.expressions import Expression
from livesim.model.values import Value, text, value
from livesim.model.verbs import periods, positive

MODES = ("resume", "restart", "resample")
"""What becomes of an interrupted hold: the rest of it follows, or all of it again, or a new draw."""
MOST_UNITS = 2**53
"""Numbers are doubles: up to here every whole one is exact."""
INTERRUPTIONS = ("finish", *MODES)
"""What becomes of jobs at work when capacity falls: they finish first, or are interrupted."""


@dataclass(frozen=True, eq=False)
class Schedule:
    """Capacity that changes with time: periods `(start, end, capacity)`, and what comes after the last."""

    periods: tuple[tuple[float, float, float], ...]
    then: str
    jobs: str = "finish"

    def __str__(self) -> str:
        return f"schedule({text(self.periods)}, then={self.then!r}, jobs={self.jobs!r})"

    __repr__ = __str__


@dataclass(frozen=True, eq=False)
class Failures:
    """Breakdowns of a whole resource: the time it is up, then the time it is down, again and again."""

    up: Value
    down: Value
    jobs: str = "resume"

    def __str__(self) -> str:
        return f"failures(up={text(self.up)}, down={text(self.down)}, jobs={self.jobs!r})"

    __repr__ = __str__


@dataclass(frozen=True, eq=False)
class Resource:
    """Units that jobs seize and release."""

    name: str
    capacity: int | Schedule = 1
    discipline: str | Expression = "fifo"
    preemption: str | None = None
    failures: Failures | None = None

    def __str__(self) -> str:
        parts = [f"capacity={self.capacity}", f"discipline={self.discipline}"]
        parts += [f"preemption={self.preemption}"] * (self.preemption is not None)
        parts += [str(self.failures)] * (self.failures is not None)
        return f"resource {self.name!r}: {', '.join(parts)}"

    def largest_capacity(self) -> int:
        """The most units that there ever are."""
        if isinstance(self.capacity, int):
            return self.capacity
        return int(max(number for _, _, number in self.capacity.periods))


@dataclass(frozen=True, eq=False)
class Conveyor:
    """A way of a length and a speed, with places for so many jobs; each travels for length / speed."""

    name: str
    length: float
    speed: float
    capacity: int


@dataclass(frozen=True, eq=False)
class Container:
    """An amount that jobs put into and take out of."""

    name: str
    capacity: float = math.inf
    initial: float = 0.0


@dataclass(frozen=True, eq=False)
class Store:
    """Items that jobs put in and take out, each with numbers by name."""

    name: str
    capacity: float = math.inf
    discipline: str | Expression = "fifo"
    initial: tuple[tuple[tuple[str, float], ...], ...] = ()

    def __str__(self) -> str:
        return (
            f"store {self.name!r}: capacity={self.capacity:g}, discipline={self.discipline}, "
            f"items at the start: {len(self.initial)}"
        )


def schedule(periods_: Sequence[tuple[float, float, int]], *, then: str, jobs: str = "finish") -> Schedule:
    """A resource's capacity over time: periods `(start, end, capacity)` that follow each other from 0.

    then: "repeat" (from the first again), "keep" (the last capacity stays) or "stop" (no units at all).
    jobs: what becomes of jobs at work when capacity falls: "finish", "resume", "restart" or "resample".
    """
    rows = periods("schedule", periods_)
    for start, end, number in rows:
        if number != math.floor(number):
            raise ValueError(
                f"schedule: period ({start:g}, {end:g}) has capacity {number:g}; it must be a whole number"
            )
    if then not in ("repeat", "keep", "stop"):
        raise ValueError(f"schedule: then must be 'repeat', 'keep' or 'stop', got {then!r}")
    return Schedule(rows, then, one_of("schedule: jobs", jobs, INTERRUPTIONS))


def failures(*, up: Any, down: Any, jobs: str = "resume") -> Failures:
    """Breakdowns of all units of a resource at once.

    up, down: how long it works before it fails, and how long a repair takes: numbers or distributions.
    jobs: what becomes of jobs at work: "resume", "restart" or "resample" after the repair, or "finish" before it.

    A job that waits to get a resource back, or for another one, is not at work: it keeps what else it holds.
    """
    times = [
        positive("failures", what, value("failures", what, given), strictly=True)
        for what, given in (("up", up), ("down", down))
    ]
    for what, time in zip(("up", "down"), times, strict=True):
        if isinstance(time, Expression):
            raise TypeError(f"failures: {what} must be a number or a distribution, got {time}")
    return Failures(times[0], times[1], one_of("failures: jobs", jobs, INTERRUPTIONS))


def one_of(what: str, given: Any, known: Sequence[str]) -> str:
    """The word, or an error that lists those there are."""
    if given not in known:
        raise ValueError(f"{what} must be one of {', '.join(map(repr, known))}, got {given!r}")
    return str(given)


def whole(what: str, number: Any, least: int) -> int:
    """The whole number, or an error where it is another kind of thing or too small."""
    if not _is_real(number) or not math.isfinite(number) or number != int(number) or not least <= number < MOST_UNITS:
        wanted = "a positive integer" if least == 1 else f"a whole number of at least {least}"
        wanted += " below 2**53" * (_is_real(number) and MOST_UNITS <= number < math.inf)
        raise ValueError(f"{what} must be {wanted}, got {number!r}")
    return int(number)


def _is_real(number: Any) -> bool:
    """Whether it is a number, NumPy's included, and not a truth value."""
    return isinstance(number, Real) and not isinstance(number, bool)


def number_of(what: str, number: Any) -> float:
    """The number as a float, or an error where it is none, or is not finite."""
    if not _is_real(number) or not math.isfinite(number):
        raise ValueError(f"{what} must be a finite number, got {number!r}")
    return float(number)


def positive_number(what: str, number: Any) -> float:
    """The number as a float, or an error where it is not above 0."""
    if not _is_real(number) or not number > 0:
        raise ValueError(f"{what} must be a number above 0, got {number!r}")
    return float(number)


__all__ = [
    "INTERRUPTIONS",
    "MODES",
    "Container",
    "Conveyor",
    "Failures",
    "Resource",
    "Schedule",
    "Store",
    "failures",
    "number_of",
    "one_of",
    "positive_number",
    "schedule",
    "whole",
]
