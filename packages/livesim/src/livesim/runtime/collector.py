"""Replications in the order of their numbers, whoever made them first: kept, told, and held against the goals."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from livesim.analysis.intervals import student_quantile
from livesim.compiler.program import Names
from livesim.engine.reference import Trace as Rows
from livesim.measures import unknown
from livesim.messages import Sink
from livesim.runtime.announce import Announcements, replication_message
from livesim.runtime.events import Channel, Events
from livesim.runtime.experiment import Experiment, Goal
from livesim.runtime.progress import Made

_BLOCK_SECONDS = 0.1
PLACES = ("form", "values", "events", "clocks", "course_form", "courses", "traces")
"""The parts of a block that hold one entry a replication."""


class Dealer:
    """Deals blocks of replications, in order, to whoever is free: at first one each, then what takes a moment."""

    def __init__(
        self, first: int, total: int, places: int, make: Callable[[range], dict[str, Any]], *, grows: bool = True
    ) -> None:
        """`make` gives the task for some replications; `places` tasks are out at a time. grows: whether blocks do."""
        self._next, self._total, self._make = first, total, make
        self.places = min(places, total - first)
        self._size, self._grows = 1, grows

    def deal(self) -> dict[str, Any] | None:
        """The next task, or None after the last."""
        if self._next == self._total:
            return None
        share = math.ceil((self._total - self._next) / (2 * self.places))
        first, self._next = self._next, self._next + min(self._size, share)
        return self._make(range(first, self._next))

    def pace(self, block: dict[str, Any]) -> None:
        """Choose the size of blocks by how long one took; the numbers do not depend on it."""
        count = len(block["events"])
        if count and self._grows:
            self._size = max(1, int(_BLOCK_SECONDS * count / max(block["seconds"], 1e-6)))


class Collector:
    """What has been made, in order. Blocks may come in any order; they are taken in when it is their turn."""

    def __init__(self, experiment: Experiment, *, sink: Sink | None = None, names: Names | None = None) -> None:
        """names: what the rows of traces are called, where there are any."""
        self.experiment = experiment
        self._names = names
        self._events = None if sink is None else Events(sink)
        self.channel: Channel | None = None
        """Where the rows of traces come from, if not with the blocks."""
        self.paths: dict[str, None] = dict.fromkeys(
            experiment.subject.paths(experiment.fixed, experiment.quantiles) or ()
        )
        """The metrics seen so far, in order."""
        if self.paths:
            self._check_goals(self.paths)
        self._goals = [_Watched(goal) for goal in experiment.goals]
        self._early: dict[int, dict[str, Any]] = {}
        self.blocks: list[dict[str, Any]] = []
        self.count = 0
        self.errors: dict[int, str] = {}
        self.events = 0
        self.reached = False
        """Whether every goal is."""
        self._sink = sink
        self.announcements = None if sink is None else Announcements(sink)

    @property
    def done(self) -> bool:
        """Whether no more replications are wanted."""
        return self.reached or self.count == self.experiment.n

    def made(self) -> Made:
        """How far the run is."""
        return Made(self.experiment.n, self.count, len(self.errors), self.events)

    def take(self, block: dict[str, Any]) -> None:
        """Take in a block, and those that waited for it."""
        self._early[block["first"]] = block
        while not self.done:
            following = self._early.pop(self.count, None)
            if following is None or not len(following["events"]):
                return
            self._enter(following)

    def _enter(self, block: dict[str, Any]) -> None:
        try:
            for place in range(len(block["events"])):
                form = block["form"][place]
                paths = block["paths"][form] if form >= 0 else ()
                self.paths |= dict.fromkeys(paths)
                values = block["values"][place] if form >= 0 else np.empty(0)
                self._tell(block, place, paths, values)
                self.count += 1
                if self._met(paths, values):
                    self.reached = True
                    break
        finally:
            kept = self.count - block["first"]
            if kept:
                self.blocks.append(_cut(block, kept))

    def tell_events(self) -> None:
        """Say what has happened in the replication whose turn it is."""
        if self.channel is None or self._events is None:
            return
        for names, rows in self.channel.take(self.count):
            self._events(self.count, names, rows)

    def _tell(self, block: dict[str, Any], place: int, paths: Sequence[str], values: np.ndarray) -> None:
        """Say what there is to say of the next replication."""
        replication = self.count
        error = block["errors"].get(str(replication))
        if error is not None:
            self.errors[replication] = error
        self.events += int(block["events"][place])
        if self._sink is None or self.announcements is None:
            return
        self.tell_events()
        if self._names is not None and self._events is not None:
            for rows in block["traces"][place]:
                self._events(replication, self._names, Rows(*rows))
        told = dict(zip(paths, values.tolist(), strict=True))
        events, clock = int(block["events"][place]), float(block["clocks"][place])
        params = self.experiment.params(replication)
        self._sink(replication_message(replication, replication, params, told, events, clock, error))
        if error is not None:
            self.announcements.failure(error, replication)

    def _met(self, paths: Sequence[str], values: np.ndarray) -> bool:
        if not self._goals or not paths:
            return False
        self._check_goals(paths)
        for goal in self._goals:
            goal.add(float(values[paths.index(goal.metric)]))
        experiment = self.experiment
        return self.count >= experiment.least and all(goal.met(experiment.confidence) for goal in self._goals)

    def _check_goals(self, paths: Iterable[str]) -> None:
        for goal in self.experiment.goals:
            if goal.metric not in paths:
                raise unknown(goal.metric, paths)

    def words(self) -> str:
        """How near the goals are, for the progress bar."""
        return ", ".join(goal.words(self.experiment.confidence) for goal in self._goals)


class _Watched:
    """A goal, and the mean and squares of its metric so far (Welford 1962); failed replications do not count."""

    def __init__(self, goal: Goal) -> None:
        self.metric, self._goal = goal.metric, goal
        self._count, self._mean, self._squares = 0, 0.0, 0.0

    def add(self, value: float) -> None:
        if math.isnan(value):
            return
        self._count += 1
        step = value - self._mean
        self._mean += step / self._count
        self._squares += step * (value - self._mean)

    def half_width(self, confidence: float) -> float:
        if self._count < 2:
            return math.inf
        error = math.sqrt(self._squares / (self._count - 1) / self._count)
        return student_quantile(0.5 + 0.5 * confidence, self._count - 1) * error

    def met(self, confidence: float) -> bool:
        """Whether the interval is narrow enough; a relative one is of the true mean (see `analysis.precision`)."""
        wanted = self._goal.half_width
        if self._goal.relative:
            wanted = wanted / (1.0 + wanted) * abs(self._mean)
        return self.half_width(confidence) <= wanted

    def words(self, confidence: float) -> str:
        return f"{self.metric} {self._mean:.4g} ± {self.half_width(confidence):.2g}"


def _cut(block: dict[str, Any], count: int) -> dict[str, Any]:
    """The first replications of a block."""
    if count == len(block["events"]):
        return block
    last = block["first"] + count
    parts = {name: block[name][:count] for name in PLACES}
    return block | parts | {"errors": {k: text for k, text in block["errors"].items() if int(k) < last}}
