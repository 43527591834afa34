"""Tabulated inverse distribution functions: cubics between knots, with their error bounded in probability.

The variate made of a uniform u is off by at most what changes the distribution function by `TOLERANCE`, and by at most
the fraction `TAIL_TOLERANCE` of the tail's own probability, min(u, 1 - u), where that is above `FAR_TAIL`. This is the
u-error of Hormann and Leydold 2003, "Continuous random variate generation by fast numerical inversion"; to it comes
what rounding the variate to a double does. The knots reach both ends of what a uniform can be; the curve never falls.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]

TOLERANCE = 1e-9
TAIL_TOLERANCE = 1e-4
FAR_TAIL = 2.0**-36  # beyond it the curve only rises: uniforms lie too far apart for more
SMALLEST = 2.0**-53  # the smallest uniform, and the distance of the largest from 1
MOST_INTERVALS = 50_000
EPSILON = 2.0**-52

# A cubic through its values at four Lobatto points: coefficients = FIT @ values. It errs most at the probes.
NODES = np.array([0.0, 0.25, 0.75, 1.0])
FIT = np.linalg.inv(np.vander(NODES, increasing=True))
PROBES = np.array([0.1, 0.5, 0.9])


class Table(NamedTuple):
    """Knots (intervals + 1), then four coefficients an interval."""

    intervals: int
    values: tuple[float, ...]


def tabulate(frozen: Any) -> Table:
    """The inverse distribution function of a frozen SciPy distribution, as a table.

    Raises ValueError where its functions are not finite and rising, or where the table would be too large.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of quantiles that fail in the far tail
        return _tabulate(frozen)


def _tabulate(frozen: Any) -> Table:
    # Each tail by its own probability: 1 - u would lose the upper one's digits.
    edges = 2.0 ** -np.arange(53.0, 0.0, -1.0)
    lower, below = _refine(edges[:-1], edges[1:], frozen.ppf, frozen.cdf)
    upper, above = _refine(edges[:0:-1], edges[-2::-1], frozen.isf, frozen.sf)
    knots = np.concatenate([lower, 1.0 - upper, [1.0 - SMALLEST]])
    coefficients = np.concatenate([below, above])
    return Table(len(coefficients), tuple(np.concatenate([knots, coefficients.ravel()]).tolist()))


def _refine(
    first: Array, last: Array, quantile: Callable[[Array], Array], probability: Callable[[Array], Array]
) -> tuple[Array, Array]:
    """Intervals of a tail's probability, halved until each one's cubic is right: where each begins, its coefficients.

    x rises from `first` to `last` in each interval; probabilities rise with it in the lower tail and fall in the upper.
    """
    tail = np.minimum(first, last)
    order = np.argsort(tail)
    sign = 1.0 if first[0] < last[0] else -1.0
    least = _farthest(tail[order], sign * quantile(tail[order]))
    done: list[tuple[Array, Array]] = []
    count = 0
    while len(first):
        width = last - first
        x = quantile(np.maximum(first[:, None] + width[:, None] * NODES, least))
        if not np.isfinite(x).all() or (x[:, 3] < x[:, 0]).any():
            raise ValueError("its quantiles must be finite and rise with the probability")
        cubic = x @ FIT.T
        line = np.stack([x[:, 0], x[:, 3] - x[:, 0], 0.0 * x[:, 0], 0.0 * x[:, 0]], axis=1)
        p = first[:, None] + width[:, None] * PROBES
        size = np.abs(x).max(axis=1)
        fitted = _evaluate(cubic, PROBES)
        rounding = 8.0 * EPSILON * size[:, None]
        around = np.sort([probability(fitted - rounding), probability(fitted + rounding)], axis=0)
        error = np.maximum(around[0] - p, p - around[1]).max(axis=1)
        tail = np.minimum(first, last)
        allowed = np.where(tail < FAR_TAIL, np.inf, np.minimum(TOLERANCE, TAIL_TOLERANCE * tail))
        rising = _rises(cubic, size)
        right = rising & (error <= 0.5 * allowed)
        # A line between two quantiles is off by no more than the interval's width.
        narrow = ~right & (np.abs(width) <= allowed)
        ready = right | narrow
        done.append((first[ready], np.where(right[:, None], cubic, line)[ready]))
        count += int(ready.sum())
        middle = 0.5 * (first + last)[~ready]
        first, last = np.concatenate([first[~ready], middle]), np.concatenate([middle, last[~ready]])
        if count + len(first) > MOST_INTERVALS:
            raise ValueError(f"its quantiles need more than {MOST_INTERVALS} intervals: they are too irregular")
    starts = np.concatenate([begin for begin, _ in done])
    order = np.argsort(sign * starts)
    return starts[order], np.concatenate([fitted for _, fitted in done])[order]


def _farthest(p: Array, x: Array) -> float:
    """The smallest probability in the far tail down to which the quantiles x, in rising order of p, make sense.

    Some of SciPy's quantiles fail before 2^-53: they are not finite, or turn back. The curve ends there.
    """
    steps = np.diff(x)
    failing = ~np.isfinite(x)
    failing[:-1] |= ~(steps >= 0.0)
    bad = p[failing & (p < FAR_TAIL)]
    return 2.0 * float(bad.max()) if len(bad) else SMALLEST


def _evaluate(coefficients: Array, t: Array) -> Array:
    """Cubics (n, 4) at points of their intervals: (n, points)."""
    c = coefficients[:, :, None]
    return np.asarray(c[:, 0] + t * (c[:, 1] + t * (c[:, 2] + t * c[:, 3])))


def _rises(coefficients: Array, size: Array) -> Array:
    """Whether each cubic rises from 0 to 1, up to the rounding of values of this size."""
    _, c1, c2, c3 = coefficients.T
    with np.errstate(divide="ignore", invalid="ignore"):
        turn = np.nan_to_num(-c2 / (3.0 * c3), nan=0.0, posinf=0.0, neginf=0.0).clip(0.0, 1.0)
    points = np.stack([np.zeros_like(turn), turn, np.ones_like(turn)])
    slope = c1 + points * (2.0 * c2 + 3.0 * points * c3)
    return np.asarray((slope >= -64.0 * EPSILON * size).all(axis=0))
