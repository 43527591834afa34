"""Control variates: what is known of some outputs' means makes another's interval narrower."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from livesim.analysis.intervals import Array, Interval, series, student_interval


class ControlledInterval(NamedTuple):
    """A mean's interval by regression on controls."""

    interval: Interval
    coefficients: Array
    variance_ratio: float
    """The residual variance as a part of the values' variance: how much the controls left."""


def control_variates(
    values: ArrayLike, controls: ArrayLike, means: ArrayLike, confidence: float = 0.95
) -> ControlledInterval:
    """The mean of values, one a replication, corrected by controls of shape (control, replication) with known means.

    The regression's intercept at the controls' means, with its own standard error: exact for jointly normal outputs
    (Lavenberg and Welch 1981, "A perspective on the use of control variables").
    """
    y = series(values, "values", 4)
    x = np.atleast_2d(np.asarray(controls, dtype=np.float64))
    known = series(np.atleast_1d(np.asarray(means, dtype=np.float64)), "means", 1)
    n, count = len(y), len(x)
    if x.shape != (len(known), n):
        raise ValueError(f"controls must have shape (means, replications) = {(len(known), n)}, got {x.shape}")
    if n < count + 3:
        raise ValueError(f"values must be {count + 3} or more for {count} controls, got {n}")
    design = np.column_stack([np.ones(n), (x - known[:, None]).T])
    solution, _, rank, _ = np.linalg.lstsq(design, y, rcond=None)
    if rank < count + 1:
        raise ValueError("controls must vary, and none may be a linear combination of others")
    residuals = y - design @ solution
    freedom = n - count - 1
    variance = float(residuals @ residuals) / freedom
    scale = float(np.linalg.inv(design.T @ design)[0, 0])
    interval = student_interval(float(solution[0]), math.sqrt(variance * scale), freedom, n, confidence)
    whole = float(y.var(ddof=1))
    return ControlledInterval(
        interval, np.asarray(solution[1:], dtype=np.float64), variance / whole if whole else math.nan
    )
