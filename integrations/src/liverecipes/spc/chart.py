"""Control charts: conjugate predictive limits for an unknown and for a known variance, and the tabular CUSUM."""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import norm, t

from .conjugate import FloatArray, NormalInverseGamma


class Limits(NamedTuple):
    """What the next observation should be, in the data's unit."""

    center: float
    lower: float
    upper: float


def frame(
    values: Sequence[float], lower: Iterable[float | None], upper: Iterable[float | None], pad: float
) -> tuple[float, float]:
    """Return the range of a picture of points and their limits, `pad` of the whole wider.

    Of the limits the outermost tenth, where a level is still being learned, does not count, nor what lies further than
    one and a half times the points' range from them.
    """
    low, high = (min(values), max(values)) if values else (0.0, 0.0)
    reach = 1.5 * (high - low) or math.inf
    below, above = ([bound for bound in bounds if bound is not None] for bounds in (lower, upper))
    if below and above:
        low = max(low - reach, min(low, float(np.quantile(below, 0.1))))
        high = min(high + reach, max(high, float(np.quantile(above, 0.9))))
    margin = pad * (high - low) or 0.1 * abs(high) or 1.0
    return low - margin, high + margin


def limits(belief: NormalInverseGamma, k: float) -> Limits:
    """Return the Student-t limits that an in-control point leaves as often as a normal one leaves +-k sigma."""
    df, location, scale = (float(value) for value in belief.predictive())
    half = float(t.isf(norm.sf(k), df)) * scale
    return Limits(location, location - half, location + half)


def score(belief: NormalInverseGamma, x: float) -> float:
    """Return the normal score of `x` under the predictive distribution: standard normal while in control.

    The Q statistic of Quesenberry (1991): |score| > k exactly when `x` is outside `limits(belief, k)`.
    """
    df, location, scale = (float(value) for value in belief.predictive())
    standardized = (x - location) / scale
    tail = max(float(t.sf(abs(standardized), df)), 1e-300)
    return math.copysign(float(norm.isf(tail)), standardized)


class KnownVariancePoint(NamedTuple):
    """One step of `known_variance_chart`: limits and score before `x` is learned, level and its variance after."""

    limits: Limits
    z: float
    alarm: bool
    mu: float
    tau2: float


def known_variance_chart(
    values: FloatArray, mu0: float, tau2: float, sigma2: float, k: float
) -> Iterator[KnownVariancePoint]:
    """Yield the predictive chart of a normal level mu ~ Normal(mu0, tau2) under noise of known variance sigma2.

    It learns every point, alarms included, and never restarts.
    """
    mu = mu0
    for x in values:
        sd = math.sqrt(tau2 + sigma2)
        z = float(x - mu) / sd
        bounds = Limits(mu, mu - k * sd, mu + k * sd)
        after = 1 / (1 / tau2 + 1 / sigma2)
        mu = float(after * (mu / tau2 + x / sigma2))
        tau2 = after
        yield KnownVariancePoint(bounds, z, abs(z) > k, mu, tau2)


class CusumPoint(NamedTuple):
    """One step of `cusum`: the upper and lower sums, and whether one of them exceeds h."""

    high: float
    low: float
    alarm: bool


def cusum(values: FloatArray, target: float, k: float, h: float) -> Iterator[CusumPoint]:
    """Yield the tabular CUSUM (NIST/SEMATECH e-Handbook 6.3.2.3); `k` and `h` are in the data's unit."""
    high = low = 0.0
    for x in values:
        high = max(0.0, high + float(x) - target - k)
        low = max(0.0, low + target - k - float(x))
        yield CusumPoint(high, low, high > h or low > h)
