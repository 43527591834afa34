"""Intervals for quantiles: by order statistics of independent values, and by batches of one run."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from livesim.analysis.intervals import Interval, level, series, student_interval
from livesim.analysis.steady_state import BATCHES


def quantile_interval(values: ArrayLike, q: float, confidence: float = 0.95) -> Interval:
    """The quantile of independent values, between two of their order statistics, whatever the law.

    The interval covers with at least this confidence, each side missing with at most half of the rest (David and
    Nagaraja 2003, "Order Statistics", section 7.1). Too few values to reach so far into a tail are an error.
    """
    from scipy import special

    x = np.sort(series(values, "values", 2))
    n = len(x)
    _between(q)
    miss = 0.5 * (1.0 - level(confidence))
    # P(X_(i) > quantile) = P(Binomial(n, q) < i): the last i with at most `miss`, and the first j on the other side.
    below = special.bdtr(np.arange(n), n, q)
    low = int(np.searchsorted(below, miss, side="right"))
    high = int(np.searchsorted(below, 1.0 - miss, side="left")) + 1
    if low < 1 or high > n:
        least = math.ceil(math.log(miss) / math.log(max(q, 1.0 - q)))
        raise ValueError(f"values must be {least} or more for the quantile {q} at confidence {confidence}, got {n}")
    return Interval(float(np.quantile(x, q)), float(x[low - 1]), float(x[high - 1]), confidence, n)


def batched_quantile_interval(
    values: ArrayLike, q: float, confidence: float = 0.95, batches: int = BATCHES
) -> Interval:
    """The steady-state quantile from one run whose warm-up is deleted: the whole run's, and its spread over batches.

    Student's interval of the batches' quantiles around the whole run's, which is less biased than theirs (Nakayama
    2014, "Confidence intervals for quantiles using sectioning").
    """
    if batches < 4:
        raise ValueError(f"batches must be 4 or more, got {batches}")
    _between(q)
    x = series(values, "values", 10 * batches)
    size = len(x) // batches
    x = x[len(x) - size * batches :]
    whole = float(np.quantile(x, q))
    parts = np.quantile(x.reshape(batches, size), q, axis=1)
    spread = math.sqrt(float(((parts - whole) ** 2).sum()) / (batches - 1) / batches)
    return student_interval(whole, spread, batches - 1, len(x), confidence)


def _between(q: float) -> None:
    if not 0.0 < q < 1.0:
        raise ValueError(f"q must be between 0 and 1, such as 0.9, got {q}")
