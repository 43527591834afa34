"""How many replications: for a half-width, told beforehand from a pilot, or found by going on until it is reached."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from livesim.analysis.intervals import Array, Interval, level, mean_interval, series, student_quantile

MOST = 10_000_000


class Precision(NamedTuple):
    """The end of a sequence of replications."""

    interval: Interval
    values: Array
    reached: bool
    """False if the most replications allowed did not reach the precision."""


def replications_needed(
    values: ArrayLike, *, absolute: float | None = None, relative: float | None = None, confidence: float = 0.95
) -> int:
    """How many replications give an interval of this half-width, judged by a pilot's values.

    A relative half-width g is of the true mean: the interval is asked to be within g / (1 + g) of the estimate (Law
    2015, "Simulation Modeling and Analysis", section 9.4.1). The pilot's own number is the least answer.
    """
    x = series(values, "values", 2)
    target = _target(float(x.mean()), absolute, relative)
    spread = float(x.std(ddof=1))
    if spread == 0.0:
        return len(x)
    if target == 0.0:
        raise ValueError("relative cannot be reached: the pilot's mean is 0; ask for an absolute half-width")

    def wide(n: int) -> bool:
        return student_quantile(0.5 + 0.5 * level(confidence), n - 1) * spread / math.sqrt(n) > target

    if wide(MOST):
        raise ValueError(f"more than {MOST} replications would be needed: half-width {target}, sd {spread}")
    low, high = len(x), MOST
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if wide(middle) else (low, middle)
    return low


def replicate_until(
    sample: Callable[[int], float],
    *,
    absolute: float | None = None,
    relative: float | None = None,
    confidence: float = 0.95,
    least: int = 10,
    most: int = 10_000,
) -> Precision:
    """Replicate until the interval is narrow enough: `sample(replication)` gives the value of replication 0, 1, 2, ...

    Chow and Robbins 1965. Stopping by the width covers a little less than nominally; `least` of 10 or more keeps it
    close (Law 2015, section 9.4.1).
    """
    if not 2 <= least <= most:
        raise ValueError(f"least must be from 2 to most, {most}, got {least}")
    _target(1.0, absolute, relative)
    values: list[float] = []
    while True:
        values.append(float(sample(len(values))))
        if len(values) >= least:
            interval = mean_interval(values, confidence)
            reached = interval.half_width <= _target(interval.estimate, absolute, relative)
            if reached or len(values) == most:
                return Precision(interval, np.array(values), reached)


def _target(mean: float, absolute: float | None, relative: float | None) -> float:
    """The half-width that is asked for."""
    if (absolute is None) == (relative is None):
        raise TypeError(f"give absolute or relative, got absolute={absolute}, relative={relative}")
    if absolute is not None:
        if not absolute > 0.0:
            raise ValueError(f"absolute must be above 0, got {absolute}")
        return absolute
    assert relative is not None
    if not 0.0 < relative < 1.0:
        raise ValueError(f"relative must be between 0 and 1, such as 0.05, got {relative}")
    return relative / (1.0 + relative) * abs(mean)
