"""What can be replicated: a model of verbs, or a function by hand, behind one face."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from livesim.compiler.program import Names
from livesim.compiler.table import parameters
from livesim.engine.reference import Trace
from livesim.job_times import quantile_paths
from livesim.measures import Ratio
from livesim.model.builder import Model
from livesim.runtime.checkpoint import CheckpointError
from livesim.runtime.checks import check_run
from livesim.runtime.prepare import prepare
from livesim.runtime.simulation import Plan, simulate
from livesim.runtime.snapshot import Snapshot


class Settings(NamedTuple):
    """What each replication is told."""

    until: float | None
    warmup: float
    drain: bool
    every: float | None
    engine: str
    events: bool
    start: Mapping[str, Any] | None
    """The state to go on from (`Snapshot.state`), and from when its statistics count, as "since"."""
    quantiles: tuple[float, ...] = ()
    """Of jobs' waits and times in the system."""
    tell: Callable[[int, Names, Trace], None] | None = None
    """Called with what happens in a replication, in batches, as it happens."""


class Made(NamedTuple):
    """What one replication came to."""

    values: np.ndarray
    """float64 (path,)"""
    paths: tuple[str, ...]
    events: int
    clock: float
    """The time at its end."""
    increments: np.ndarray | None = None
    """float64 (interval, column): see `series.Course`."""
    ratios: Mapping[str, Ratio] | None = None
    course_start: float = 0.0


class Subject(Protocol):
    """What can be replicated. It travels to workers, so it is plain data, or pickles by its import path."""

    @property
    def name(self) -> str: ...

    def check(self, settings: Settings, start: Snapshot | None) -> None:
        """Refuse settings that no replication can have."""

    def parameters(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """All parameters, with the given ones in place of their defaults; an unknown one is an error."""

    def plain(self) -> dict[str, Any]:
        """Plain data that tells it from others, with its `kind`; see `from_plain`."""

    def paths(self, fixed: Mapping[str, Any], quantiles: tuple[float, ...]) -> tuple[str, ...] | None:
        """The metrics of every replication; None where only a replication can tell."""

    def steady(self, ratios: Mapping[str, Ratio]) -> list[str]:
        """The series in which a warm-up is looked for: numbers of jobs in the system, by name."""

    def make(
        self,
        settings: Settings,
        seed: int,
        replication: int,
        params: Mapping[str, Any],
        halted: Callable[[], bool] | None,
    ) -> Made:
        """One replication; raises what goes wrong in it, and `Halted` as soon as `halted()` is true."""


@dataclass(frozen=True)
class Verbs:
    """A model of verbs, as JSON."""

    text: str

    @property
    def model(self) -> Model:
        """The model itself."""
        return _model(self.text)

    @property
    def name(self) -> str:
        """The model's."""
        return self.model.name

    def check(self, settings: Settings, start: Snapshot | None) -> None:
        check_run(
            "replicate", self.model, settings.until, settings.warmup, settings.drain, settings.every, start,
            settings.engine,
        )  # fmt: skip

    def parameters(self, given: Mapping[str, Any]) -> dict[str, Any]:
        return dict(parameters(self.model, given))

    def plain(self) -> dict[str, Any]:
        return {"kind": "model", "model": self.text}

    def names(self, fixed: Mapping[str, Any]) -> Names:
        """What the rows of traces are called."""
        return prepare(self.model, self.parameters(fixed)).names

    def paths(self, fixed: Mapping[str, Any], quantiles: tuple[float, ...]) -> tuple[str, ...]:
        _, names, measures = prepare(self.model, self.parameters(fixed))
        return measures.paths + quantile_paths(names, quantiles)

    def steady(self, ratios: Mapping[str, Ratio]) -> list[str]:
        return [f"{process}.number.mean" for process in self.model.processes]

    def make(
        self,
        settings: Settings,
        seed: int,
        replication: int,
        params: Mapping[str, Any],
        halted: Callable[[], bool] | None,
    ) -> Made:
        program, names, measures = prepare(self.model, self.parameters(params))
        assert settings.until is not None
        plan = Plan(
            program, names, measures, settings.until, settings.warmup, settings.drain, settings.every, settings.engine,
            settings.quantiles,
        )  # fmt: skip
        start, told = settings.start, settings.tell
        tell = None if told is None else functools.partial(told, replication, names)
        made = simulate(
            plan, seed, replication, start=start, since=0.0 if start is None else float(start["since"]),
            halted=halted, tell=tell,
        )  # fmt: skip
        outcome = made.outcome
        return Made(
            made.values, measures.paths + quantile_paths(names, settings.quantiles), outcome.events, outcome.clock,
            made.increments, measures.ratios, made.course_start,
        )  # fmt: skip


def from_plain(data: Mapping[str, Any]) -> Subject:
    """The subject that `plain` described; a CheckpointError where it cannot be made of data."""
    if data["kind"] == "model":
        return Verbs(Model.from_json(data["model"]).to_json())
    raise CheckpointError(f"{data['name']} is code, which no checkpoint holds: replicate it again with this checkpoint")


@functools.lru_cache(maxsize=16)
def _model(text: str) -> Model:
    return Model.from_json(text)


__all__ = ["Made", "Settings", "Subject", "Verbs", "from_plain"]
