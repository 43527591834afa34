"""Means with Student's intervals, over independent replications, and averages over time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence interval.

    >>> print(mean_interval([9.0, 10.0, 11.0]))
    10 [7.516, 12.48] (95 %, n=3)
    """

    estimate: float
    low: float
    high: float
    confidence: float
    n: int
    """The number of values that it rests on."""

    @property
    def half_width(self) -> float:
        """Half of the interval's width."""
        return 0.5 * (self.high - self.low)

    @property
    def relative_half_width(self) -> float:
        """The half-width as a part of the estimate's size; infinite for an estimate of 0."""
        return self.half_width / abs(self.estimate) if self.estimate else math.inf

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{self.estimate:.4g} [{self.low:.4g}, {self.high:.4g}] ({100 * self.confidence:g} %, n={self.n})"


def mean_interval(values: ArrayLike, confidence: float = 0.95) -> Interval:
    """The mean of independent values, one a replication, with Student's interval.

    Exact for normal values; for others right in the limit. Values of one run are not independent: `batch_means`.
    """
    x = series(values, "values", 2)
    return student_interval(float(x.mean()), float(x.std(ddof=1)) / math.sqrt(len(x)), len(x) - 1, len(x), confidence)


def student_interval(estimate: float, standard_error: float, freedom: float, n: int, confidence: float) -> Interval:
    """An estimate with its standard error of so many degrees of freedom, as an interval."""
    half_width = student_quantile(0.5 + 0.5 * level(confidence), freedom) * standard_error
    return Interval(estimate, estimate - half_width, estimate + half_width, confidence, n)


def student_quantile(probability: float, freedom: float) -> float:
    """The quantile of Student's t distribution with `freedom` degrees of freedom, which need not be whole.

    >>> round(student_quantile(0.975, 1), 2)
    12.71
    """
    from scipy import special

    if not 0.0 < probability < 1.0:
        raise ValueError(f"probability must be between 0 and 1, got {probability}")
    if not freedom > 0.0:
        raise ValueError(f"freedom must be above 0, got {freedom}")
    return float(special.stdtrit(freedom, probability))


def time_average(times: ArrayLike, levels: ArrayLike, end: float) -> float:
    """The average over time of a level: `levels[i]` holds from `times[i]` to the next time, the last one until `end`.

    >>> time_average([0, 1, 3], [2, 0, 4], end=4)  # one unit of time at 2, two at 0, one at 4
    1.5
    """
    t = series(times, "times", 1)
    x = series(levels, "levels", 1)
    if len(t) != len(x):
        raise ValueError(f"levels must be as many as the times, {len(t)}, got {len(x)}")
    if (np.diff(t) < 0.0).any():
        at = int(np.argmax(np.diff(t) < 0.0))
        raise ValueError(f"times must not fall, got times[{at}]={t[at]}, times[{at + 1}]={t[at + 1]}")
    if not (math.isfinite(end) and end > t[0] and end >= t[-1]):
        raise ValueError(f"end must be after the first time and not before the last, {t[-1]}, got {end}")
    return float(np.dot(x, np.diff(t, append=end)) / (end - t[0]))


def level(confidence: float) -> float:
    """A confidence between 0 and 1, checked."""
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence must be between 0 and 1, such as 0.95, got {confidence}")
    return confidence


def series(values: ArrayLike, name: str, least: int) -> Array:
    """One-dimensional finite values, `least` or more, checked."""
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1:
        raise ValueError(f"{name} must have one dimension, got shape {x.shape}")
    if len(x) < least:
        raise ValueError(f"{name} must hold {least} numbers or more, got {len(x)}")
    if not np.isfinite(x).all():
        at = int(np.argmin(np.isfinite(x)))
        raise ValueError(f"{name}[{at}] must be finite, got {x[at]}")
    return x


def table(values: ArrayLike, name: str, rows: str, columns: str, least: int) -> Array:
    """Finite values of shape (rows, columns), two rows or more and `least` columns or more, checked."""
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 2 or x.shape[0] < 2 or x.shape[1] < least:
        raise ValueError(f"{name} must have shape ({rows} >= 2, {columns} >= {least}), got {x.shape}")
    if not np.isfinite(x).all():
        row, column = (int(i) for i in np.argwhere(~np.isfinite(x))[0])
        raise ValueError(f"{name}[{row}, {column}] must be finite, got {x[row, column]}")
    return x
