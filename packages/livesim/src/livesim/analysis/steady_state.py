"""One long run in steady state: where its warm-up ends, and intervals for means of autocorrelated values."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike

from livesim.analysis.intervals import Array, Interval, series, student_interval, table

BATCHES = 20
"""Batches in a run: 10 to 30 lose little in width and are long (Schmeiser 1982, "Batch size effects")."""


class Warmup(NamedTuple):
    """How much of a run to delete."""

    delete: int
    """The number of values, from the first on."""
    reliable: bool
    """False if the best cut lies at the middle of the run: the warm-up may well be longer, so run longer."""


class BatchMeans(NamedTuple):
    """An interval from one run, and whether its batches look independent."""

    interval: Interval
    batch_size: int
    lag_one: float
    """The batch means' correlation with their neighbours."""
    p_value: float
    """Of independence, against positive correlation; below 0.05 the interval is likely too narrow: run longer."""


def mser5(values: ArrayLike, batch_size: int = 5) -> Warmup:
    """The warm-up by MSER-5: the cut that makes the standard error of the rest smallest.

    `values` are one run's, (time,), or those of several replications, (replication, time), whose means over the
    replications then give one cut for all: better, for in one run of skewed values, such as waits, the cut takes bursts
    for warm-up, and the rest's mean is a few percent too small.

    White 1997, "An effective truncation heuristic for bias reduction in simulation output", on means of 5 as in White,
    Cobb and Spratt 2000. Cuts up to the middle of the run are looked at.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be 1 or more, got {batch_size}")
    if np.ndim(values) == 2:
        values = table(values, "values", "replications", "times", 2 * batch_size).mean(axis=0)
    means = _batches(series(values, "values", 2 * batch_size), batch_size)
    count = len(means)
    # Sums over the rest of the run from each cut on, of values near zero so that no digits are lost.
    centred = means - means[count // 2 :].mean()
    rest = np.arange(count, 0, -1.0)
    total = np.cumsum(centred[::-1])[::-1]
    square = np.cumsum((centred * centred)[::-1])[::-1]
    statistic = (square - total * total / rest) / (rest * rest)
    cut = int(np.argmin(statistic[: count // 2 + 1]))
    return Warmup(cut * batch_size, cut < count // 2)


def welch(values: ArrayLike, window: int) -> Array:
    """Welch's curve: means over replications, smoothed, in which the eye finds the end of the warm-up.

    `values` has shape (replication, time); the result has shape (time - window,). Point i is the mean of the means from
    i - window to i + window, of fewer near the start (Welch 1983, "The statistical analysis of simulation results").
    """
    mean = table(values, "values", "replications", "times", 2).mean(axis=0)
    if not 0 <= window <= len(mean) // 4:
        raise ValueError(f"window must be from 0 to a quarter of the {len(mean)} times, got {window}")
    sums = np.concatenate([[0.0], np.cumsum(mean - mean[-1])])
    at = np.arange(len(mean) - window)
    reach = np.minimum(at, window)
    return np.asarray((sums[at + reach + 1] - sums[at - reach]) / (2 * reach + 1) + mean[-1])


def batch_means(values: ArrayLike, confidence: float = 0.95, batches: int = BATCHES) -> BatchMeans:
    """The steady-state mean from one run whose warm-up is deleted, by the means of successive batches.

    Values at the start that do not fill a batch are left out.
    """
    if batches < 4:
        raise ValueError(f"batches must be 4 or more, got {batches}")
    x = series(values, "values", 2 * batches)
    size = len(x) // batches
    means = _batches(x[len(x) - size * batches :], size)
    spread = float(means.std(ddof=1)) / math.sqrt(batches)
    interval = student_interval(float(means.mean()), spread, batches - 1, batches, confidence)
    return BatchMeans(interval, size, *lag_one_test(means))


def overlapping_batch_means(values: ArrayLike, confidence: float = 0.95, batch_size: int | None = None) -> Interval:
    """The steady-state mean from one run by every batch of successive values; batches are a twentieth of the run.

    Meketon and Schmeiser 1984, "Overlapping batch means: something for nothing?": the variance of the variance
    estimate is two thirds of that of batch means, so the interval has 1.5 (n / batch_size - 1) degrees of freedom.
    """
    x = series(values, "values", 2 * BATCHES)
    n = len(x)
    size = n // BATCHES if batch_size is None else batch_size
    if not 1 <= size <= n // 2:
        raise ValueError(f"batch_size must be from 1 to half of the {n} values, got {size}")
    mean = float(x.mean())
    sums = np.concatenate([[0.0], np.cumsum(x - mean)])
    deviations = (sums[size:] - sums[:-size]) / size
    variance = n * size * float(deviations @ deviations) / ((n - size + 1) * (n - size))
    return student_interval(mean, math.sqrt(variance / n), 1.5 * (n / size - 1.0), n, confidence)


def overlapping_batch_ratio(
    above: ArrayLike, below: ArrayLike, confidence: float = 0.95, batch_size: int | None = None
) -> Interval:
    """The steady-state ratio of two totals, such as waiting times over jobs, from their increments in one run.

    By overlapping batch means of above - ratio * below: the delta method.
    """
    x, y = series(above, "above", 2 * BATCHES), series(below, "below", 2 * BATCHES)
    if len(x) != len(y):
        raise ValueError(f"below must be as many as above, {len(x)}, got {len(y)}")
    if not y.sum() > 0.0:
        raise ValueError(f"below must add up to more than 0, got {y.sum()}")
    ratio = float(x.sum() / y.sum())
    rest = overlapping_batch_means((x - ratio * y) / y.mean(), confidence, batch_size)
    return Interval(ratio, ratio + rest.low, ratio + rest.high, confidence, rest.n)


def lag_one_test(values: ArrayLike) -> tuple[float, float]:
    """The correlation of neighbours, and the p-value of independence against positive correlation.

    By von Neumann's ratio (1941), normal enough from 10 values on: Fishman 1978, "Grouping observations in digital
    simulation". Values that are all alike have correlation 0 and p-value 1.
    """
    x = series(values, "values", 4)
    k = len(x)
    deviations = x - x.mean()
    square = float(deviations @ deviations)
    if square == 0.0:
        return 0.0, 1.0
    steps = np.diff(x)
    ends = deviations[0] ** 2 + deviations[-1] ** 2
    correlation = 1.0 - float(steps @ steps) / (2.0 * square)
    standardised = correlation * math.sqrt((k * k - 1.0) / (k - 2.0))
    # The ratio counts the two ends half: without them it is the usual estimate of the correlation.
    lag_one = correlation - float(ends) / (2.0 * square)
    return lag_one, 0.5 * math.erfc(standardised / math.sqrt(2.0))


def _batches(x: Array, size: int) -> Array:
    """Means of successive batches; what does not fill one at the end is left out."""
    count = len(x) // size
    return np.asarray(sliding_window_view(x, size)[: count * size : size].mean(axis=1))
