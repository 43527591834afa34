"""Two systems by pairs under common random numbers, and several at once."""

from __future__ import annotations

import itertools

from numpy.typing import ArrayLike

from livesim.analysis.intervals import Interval, level, mean_interval, series, table


def compare_paired(first: ArrayLike, second: ArrayLike, confidence: float = 0.95) -> Interval:
    """The mean difference, first less second, by pairs: replication i of both runs on the same random numbers.

    The systems differ, at this confidence, if 0 is not in the interval.
    """
    x, y = series(first, "first", 2), series(second, "second", 2)
    if len(x) != len(y):
        raise ValueError(f"second must have as many replications as first, {len(x)}, got {len(y)}")
    return mean_interval(x - y, confidence)


def simultaneous(values: ArrayLike, confidence: float = 0.95) -> list[Interval]:
    """Means of several systems whose intervals all hold at once with this confidence (Bonferroni).

    `values` has shape (system, replication); the systems may share random numbers.
    """
    x = table(values, "values", "systems", "replications", 2)
    return [mean_interval(row, _shared(confidence, len(x))) for row in x]


def against_standard(values: ArrayLike, standard: int = 0, confidence: float = 0.95) -> dict[int, Interval]:
    """Each system's mean difference from the standard's, by pairs; all hold at once with this confidence."""
    x = table(values, "values", "systems", "replications", 2)
    if not 0 <= standard < len(x):
        raise ValueError(f"standard must be a system's number, from 0 to {len(x) - 1}, got {standard}")
    others = [i for i in range(len(x)) if i != standard]
    return {i: mean_interval(x[i] - x[standard], _shared(confidence, len(others))) for i in others}


def all_pairs(values: ArrayLike, confidence: float = 0.95) -> dict[tuple[int, int], Interval]:
    """The mean difference of every pair of systems (i, j), i < j, i less j; all hold at once with this confidence."""
    x = table(values, "values", "systems", "replications", 2)
    pairs = list(itertools.combinations(range(len(x)), 2))
    return {(i, j): mean_interval(x[i] - x[j], _shared(confidence, len(pairs))) for i, j in pairs}


def _shared(confidence: float, count: int) -> float:
    """The confidence of each of `count` intervals that all hold at once with this one, by Bonferroni's inequality."""
    return 1.0 - (1.0 - level(confidence)) / count
