"""The Normal-inverse-gamma model: the one conjugate model that chart, detector and posterior share.

    sigma^2 ~ InverseGamma(a, b)        mu | sigma^2 ~ Normal(m, sigma^2 / kappa)        x ~ Normal(mu, sigma^2)

Murphy (2007), "Conjugate Bayesian analysis of the Gaussian distribution", section 6.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

FloatArray = NDArray[np.float64]
Number = float | FloatArray
"""A float, or an array of them: every formula here is elementwise."""


class NormalInverseGamma(NamedTuple):
    """Beliefs about a level and a variance: `m` in the data's unit, worth `kappa` points; `a`, `b` for the variance."""

    m: Number
    kappa: Number
    a: Number
    b: Number

    def update(self, x: float) -> "NormalInverseGamma":
        """Return the beliefs after one more observation."""
        kappa = self.kappa + 1
        return NormalInverseGamma(
            (self.kappa * self.m + x) / kappa,
            kappa,
            self.a + 0.5,
            self.b + self.kappa * (x - self.m) ** 2 / (2 * kappa),
        )

    def update_batch(self, count: Number, mean: Number, squares: Number) -> "NormalInverseGamma":
        """Return the beliefs after `count` points with this mean and sum of squared deviations from it."""
        kappa = self.kappa + count
        return NormalInverseGamma(
            (self.kappa * self.m + count * mean) / kappa,
            kappa,
            self.a + count / 2,
            self.b + squares / 2 + self.kappa * count * (mean - self.m) ** 2 / (2 * kappa),
        )

    def predictive(self) -> tuple[Number, Number, Number]:
        """Return degrees of freedom, location and scale of the Student-t that the next observation follows."""
        return 2 * self.a, self.m, np.sqrt(self.b * (self.kappa + 1) / (self.a * self.kappa))

    def log_predictive(self, x: float) -> Number:
        """Return the log density of the next observation at `x`."""
        df, location, scale = self.predictive()
        normalizer = gammaln((df + 1) / 2) - gammaln(df / 2) - 0.5 * np.log(df * math.pi) - np.log(scale)
        result: Number = normalizer - (df + 1) / 2 * np.log1p(((x - location) / scale) ** 2 / df)
        return result

    def log_evidence(self, count: Number, mean: Number, squares: Number) -> Number:
        """Return the log marginal density of a batch, given as in `update_batch`."""
        after = self.update_batch(count, mean, squares)
        result: Number = (
            gammaln(after.a)
            - gammaln(self.a)
            + self.a * np.log(self.b)
            - after.a * np.log(after.b)
            + 0.5 * np.log(self.kappa / after.kappa)
            - count / 2 * math.log(2 * math.pi)
        )
        return result


def noise_floor(level: float) -> float:
    """Return the smallest standard deviation that we believe in: constant data must not divide by zero."""
    return max(1e-9 * abs(level), 1e-30)


def segment_prior(phase_one: FloatArray) -> NormalInverseGamma:
    """Return the prior of a segment's level and variance from the first stretch of data.

    The variance is worth two observations at the stretch's own; the level lies within about ten standard
    deviations of the stretch's mean. One observation has no spread: its size stands in for it.
    """
    mean = float(phase_one.mean())
    if len(phase_one) > 1:
        sd = max(float(phase_one.std(ddof=1)), noise_floor(mean))
    else:
        sd = abs(mean) or 1.0
    return NormalInverseGamma(mean, 0.01, 1.0, sd**2)


def learned(phase_one: FloatArray) -> NormalInverseGamma:
    """Return what at least two in-control points teach under the prior 1/sigma^2.

    Its predictive limits have their nominal false-alarm rate exactly, whatever the level and the variance are. Equal
    points teach no variance: they update the segment prior instead.
    """
    mean, count = float(phase_one.mean()), float(len(phase_one))
    squares = float(np.sum((phase_one - mean) ** 2))
    if squares <= (count - 1) * noise_floor(mean) ** 2:
        return segment_prior(phase_one).update_batch(count, mean, squares)
    return NormalInverseGamma(mean, count, (count - 1) / 2, squares / 2)
