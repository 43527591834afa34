"""Several systems under common random numbers: two by pairs, and the best of many."""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import numpy as np

from livesim import plots
from livesim.analysis.comparison import compare_paired
from livesim.analysis.intervals import Interval
from livesim.analysis.selection import kim_nelson
from livesim.compiler.table import compile_model, parameters
from livesim.measures import Measures, unknown
from livesim.model.builder import Model
from livesim.runs import Runs
from livesim.runtime.conduct import replicated
from livesim.runtime.experiment import Experiment, Params, check_count
from livesim.runtime.replicate import replicate
from livesim.runtime.subject import Verbs

_ROUND = 20
"""Replications that a system in the race makes at a time."""


@dataclass(frozen=True)
class Comparison:
    """Two systems, replication by replication on the same random numbers."""

    metric: str
    first: Runs
    second: Runs
    difference: Interval
    """The mean of the first less the second."""
    correlation: float
    """Of the two over replications: what common random numbers are for."""

    @property
    def different(self) -> bool:
        """Whether the systems differ, at the interval's confidence."""
        return 0.0 not in self.difference

    def plot(self) -> Any:
        """The pairs, and their differences; a matplotlib Figure."""
        first, second = _pairs(self.metric, self.first, self.second)
        return plots.comparison(self.metric, self._names(), (first, second), self.difference)

    def _names(self) -> tuple[str, str]:
        one, other = self.first.name, self.second.name
        return (one, other) if one != other else ("first", "second")

    def __str__(self) -> str:
        word = "differ" if self.different else "cannot be told apart"
        both = zip(self._names(), (self.first, self.second), strict=True)
        means = [f"{name} {runs.interval(self.metric)}" for name, runs in both]
        return f"{self.metric}: {means[0]} and {means[1]} {word}: difference {self.difference}"


def compare(
    first: Model,
    second: Model,
    *,
    metric: str,
    until: float,
    n: int = 30,
    warmup: float | str | None = None,
    params: Params | tuple[Params | None, Params | None] | None = None,
    seed: int | None = None,
    confidence: float = 0.95,
    drain: bool = False,
    executor: Executor | Callable[[], Executor] | None = None,
    progress: bool = True,
    engine: str = "compiled",
) -> Comparison:
    """Compare two systems by pairs of replications that share their random numbers, job by job.

    params: for both, or a pair, one for each; two sets of parameters of one model are two systems too. A warm-up that
    "mser5" finds is the longer one, for both. Other arguments are as for `replicate`.
    """
    ours, theirs = params if isinstance(params, tuple) else (params, params)
    check_count("compare: n", n, 2)
    for model, given in ((first, ours), (second, theirs)):
        _check_metric(model, metric, given)

    def made(model: Model, warmup: float | str | None, params: Params | None, seed: int | None) -> Runs:
        return replicate(
            model, n, until=until, warmup=warmup, params=params, seed=seed, drain=drain, executor=executor,
            progress=progress, engine=engine,
        )  # fmt: skip

    one = made(first, warmup, ours, seed)
    other = made(second, warmup, theirs, one.seed)
    if one.warmup < other.warmup:
        one = made(first, other.warmup, ours, one.seed)
    elif other.warmup < one.warmup:
        other = made(second, one.warmup, theirs, one.seed)
    ones, others = _pairs(metric, one, other)
    varies = ones.std() > 0 and others.std() > 0
    correlation = float(np.corrcoef(ones, others)[0, 1]) if varies else math.nan
    return Comparison(metric, one, other, compare_paired(ones, others, confidence), correlation)


@dataclass(frozen=True)
class Best:
    """The system that was chosen."""

    name: str
    means: Mapping[str, float]
    """Of each system, over the replications that it got."""
    replications: Mapping[str, int]
    """How many replications each system got before it was clear."""

    def __str__(self) -> str:
        rows = [f"  {name}: {mean:.4g} ({self.replications[name]} replications)" for name, mean in self.means.items()]
        return "\n".join([f"best: {self.name}", *rows])


def select_best(
    models: Mapping[str, Model],
    *,
    metric: str,
    indifference: float,
    until: float,
    largest: bool = False,
    warmup: float | None = None,
    params: Mapping[str, Mapping[str, float]] | None = None,
    seed: int | None = None,
    confidence: float = 0.95,
    first: int = 20,
    most: int = 100_000,
    drain: bool = False,
    executor: Executor | Callable[[], Executor] | None = None,
    engine: str = "compiled",
) -> Best:
    """The system with the smallest mean (or the largest), by Kim and Nelson's sequential procedure.

    models: the systems by name. params: parameters of each, by name. Differences below `indifference` do not matter;
    if the best is better by more, it is chosen with this confidence. Systems that are clearly worse are replicated no
    more; all share their random numbers. Other arguments are as for `replicate`.
    """
    if not isinstance(models, Mapping) or len(models) < 2:
        raise ValueError(f"select_best: models must be two models or more by name, got {models!r:.80}")
    names = list(models)
    shared: dict[str, Any] = {
        "n": most, "until": until, "warmup": warmup, "drain": drain, "every": None, "relative": None, "absolute": None,
        "confidence": confidence, "least": 2, "events": False, "start": None, "engine": engine,
        "seed": secrets.randbits(63) if seed is None else seed,
    }  # fmt: skip
    if isinstance(warmup, str):
        raise ValueError(f"select_best: warmup must be a time, the same for all systems, got {warmup!r}")
    if strange := sorted((params or {}).keys() - set(names)):
        raise ValueError(f"select_best: params: there is no system {strange[0]!r}; there are: {', '.join(names)}")
    systems = [
        Experiment.of(Verbs(models[name].to_json()), params=(params or {}).get(name), **shared) for name in names
    ]
    made: list[list[float]] = [[] for _ in names]

    def sample(system: int, replication: int) -> float:
        values = made[system]
        if replication == len(values):
            last = min(max(first, replication + _ROUND), most)
            values += replicated(systems[system], metric, range(replication, last), executor)
        return values[replication]

    found = kim_nelson(sample, len(names), indifference, largest=largest, confidence=confidence, first=first, most=most)
    return Best(
        names[found.best],
        dict(zip(names, found.means.tolist(), strict=True)),
        dict(zip(names, found.replications.tolist(), strict=True)),
    )


def _check_metric(model: Model, metric: str, params: Params | None) -> None:
    """Refuse a metric that the model's runs will not have, before they are made."""
    if not isinstance(model, Model):
        raise TypeError(f"compare: expected a livesim.Model, got {model!r}")
    if callable(params):
        params = params(0)
    given = {name: np.ravel(numbers)[0] for name, numbers in (params or {}).items() if np.size(numbers)}
    _, names = compile_model(model, parameters(model, given))
    paths = Measures(names).paths
    if metric not in paths:
        raise unknown(metric, paths)


def _pairs(metric: str, first: Runs, second: Runs) -> tuple[np.ndarray, np.ndarray]:
    """The values of the replications that neither system failed in."""
    count = min(len(first), len(second))
    both = [k for k in range(count) if k not in first.errors and k not in second.errors]
    return first.values(metric)[both], second.values(metric)[both]


__all__ = ["Best", "Comparison", "compare", "select_best"]
