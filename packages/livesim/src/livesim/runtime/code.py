"""Replications of what is code, not verbs: entities by hand, models of other libraries."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from livesim.measures import Ratio
from livesim.runtime.snapshot import Snapshot
from livesim.runtime.subject import Made, Settings


class Found(Protocol):
    """What one run of code found."""

    @property
    def values(self) -> Mapping[str, float]:
        """Numbers by path."""

    @property
    def until(self) -> float:
        """The time at its end."""

    @property
    def events(self) -> int: ...

    @property
    def course(self) -> Mapping[str, np.ndarray] | None:
        """By monitor, what was added in each interval: (interval, 1), the area below a level, or (interval, 2), the
        sum and the count of a tally."""


@dataclass(frozen=True)
class Code:
    """Something that `run(until, seed=, replication=, params=, warmup=, every=)` runs; to travel, it must pickle."""

    name: str
    run: Callable[..., Found]
    source: Any = None
    """The function or class that the code is: its text tells checkpoints apart."""

    def check(self, settings: Settings, start: Snapshot | None) -> None:
        """Refuse what only models of verbs can do."""
        for what, wanted in (("drain", False), ("events", False), ("engine", "compiled"), ("quantiles", ())):
            if getattr(settings, what) != wanted:
                raise ValueError(
                    f"replicate: {what}={getattr(settings, what)!r} is for models of verbs; {self.name} is code"
                )
        if start is not None:
            raise ValueError(f"replicate: start= is for models of verbs; {self.name} is code, which has no snapshot")

    def parameters(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Those given: what else there is, the code knows."""
        return dict(given)

    def plain(self) -> dict[str, Any]:
        """Its name, and its text where that can be read."""
        try:
            text = inspect.getsource(self.source)
        except (OSError, TypeError):
            text = ""
        return {"kind": "code", "name": self.name, "text": text}

    def paths(self, fixed: Mapping[str, Any], quantiles: tuple[float, ...]) -> None:
        """Not known before a replication has run."""

    def steady(self, ratios: Mapping[str, Ratio]) -> list[str]:
        """Every level."""
        return [path for path, ratio in ratios.items() if ratio.below == 0]

    def make(
        self,
        settings: Settings,
        seed: int,
        replication: int,
        params: Mapping[str, Any],
        halted: Callable[[], bool] | None,
    ) -> Made:
        """One replication; it is not halted in its middle."""
        found = self.run(
            settings.until, seed=seed, replication=replication, params=params, warmup=settings.warmup,
            every=settings.every,
        )  # fmt: skip
        values = np.array(list(found.values.values()), np.float64)
        made = Made(values, tuple(found.values), found.events, found.until)
        if settings.every is None or not found.course:
            return made
        lengths = np.full((len(next(iter(found.course.values()))), 1), settings.every)
        ratios, width = {}, 1
        for name, added in found.course.items():
            ratios[f"{name}.mean"] = Ratio(width, 0 if added.shape[1] == 1 else width + 1)
            if added.shape[1] == 2:
                ratios[f"{name}.count"] = Ratio(width + 1, None)
            width += added.shape[1]
        increments = np.concatenate([lengths, *found.course.values()], axis=1)
        return made._replace(increments=increments, ratios=ratios, course_start=settings.warmup)


__all__ = ["Code", "Found"]
