"""The exact posterior of one change: when, from which level to which, and whether there was one at all.

The model: n observations; with a change after the first c of them, c = 1, ..., n - 1 alike, the two segments have a
level and a variance of their own, each from the same Normal-inverse-gamma prior. Both integrate out in closed form.
"""

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.special import gammaincc, gammainccinv, logsumexp, stdtr

from .conjugate import FloatArray, NormalInverseGamma


class ChangePosterior(NamedTuple):
    """The posterior given that there is one change; arrays run over the positions c = 1, ..., n - 1."""

    probabilities: FloatArray
    """P(change after the first c observations | one change)."""
    log_bayes_factor: float
    """Log evidence of one change against none."""
    before: NormalInverseGamma
    after: NormalInverseGamma

    def probability_of_change(self, prior: float) -> float:
        """Return the posterior probability that there was a change, from its prior probability."""
        log_odds = math.log(prior) - math.log1p(-prior) + self.log_bayes_factor
        return 1 / (1 + math.exp(-log_odds)) if log_odds > 0 else math.exp(log_odds) / (1 + math.exp(log_odds))

    def level(self, side: Literal["before", "after"]) -> tuple[float, float]:
        """Return mean and standard deviation of the level `"before"` or `"after"`; the prior's a must exceed 1/2."""
        belief = self.before if side == "before" else self.after
        mean = float(np.sum(self.probabilities * belief.m))
        within = belief.b / ((belief.a - 1) * belief.kappa)
        second = float(np.sum(self.probabilities * (within + (belief.m - mean) ** 2)))
        return mean, math.sqrt(second)

    def median(self, side: Literal["before", "after"]) -> float:
        """Return the median of the level `"before"` or `"after"`; no unlikely position moves it far."""
        weights, (m, kappa, a, b) = self._likely(side)
        scale = np.sqrt(b / (a * kappa))
        # Each position has a median of its own, and that of their mixture lies between them.
        low, high = float(m.min()), float(m.max())
        return _root(lambda x: float(np.sum(weights * stdtr(2 * a, (x - m) / scale))) - 0.5, low, high)

    def noise(self, side: Literal["before", "after"]) -> float:
        """Return the posterior median of the noise, a standard deviation, `"before"` or `"after"`."""
        weights, (_, _, a, b) = self._likely(side)
        own = 0.5 * np.log(b / gammainccinv(a, 0.5))
        low, high = float(own.min()), float(own.max())
        return math.exp(_root(lambda x: float(np.sum(weights * gammaincc(a, b * np.exp(-2 * x)))) - 0.5, low, high))

    def _likely(self, side: Literal["before", "after"]) -> tuple[FloatArray, tuple[FloatArray, ...]]:
        """Return the positions that matter to a median: their weights, and what is believed there."""
        belief = self.before if side == "before" else self.after
        keep = self.probabilities > 1e-9 * self.probabilities.max()
        weights = self.probabilities[keep]
        fields = tuple(np.broadcast_to(value, self.probabilities.shape)[keep] for value in belief)
        return weights / weights.sum(), fields

    def interval(self, probability: float) -> tuple[int, int]:
        """Return the shortest range of positions (first, last) that holds at least this much probability."""
        cumulative = np.concatenate([[0.0], np.cumsum(self.probabilities)])
        n = len(self.probabilities)
        # For each start, the first end that holds enough; rounding must not push the target past the total.
        ends = np.searchsorted(cumulative, cumulative[:-1] + probability * cumulative[-1] - 1e-12, side="left")
        widths = np.where(ends <= n, ends - np.arange(n), n + 1)
        first = int(np.argmin(widths))
        return first + 1, int(ends[first])

    def sample(self, rng: np.random.Generator, size: int) -> tuple[FloatArray, FloatArray]:
        """Return independent draws of the levels (before, after)."""
        entry = rng.choice(len(self.probabilities), size=size, p=self.probabilities)
        levels = []
        for belief in (self.before, self.after):
            m, kappa, a, b = (np.broadcast_to(value, self.probabilities.shape)[entry] for value in belief)
            variance = b / rng.gamma(a)
            levels.append(rng.normal(m, np.sqrt(variance / kappa)))
        return levels[0], levels[1]


def change_posterior(values: FloatArray, prior: NormalInverseGamma) -> ChangePosterior:
    """Return the exact posterior of one change in at least two observations, none missing; O(n)."""
    n = len(values)
    if n < 2:
        raise ValueError(f"values: a change needs at least two observations, got {n}")
    # Centred at the middle of the data, sums of squares lose no digits to a far-away zero.
    center = float(np.median(values))
    x = values - center
    count = np.arange(1.0, n)
    sums, squares = np.cumsum(x), np.cumsum(x**2)
    mean_before, mean_after = sums[:-1] / count, (sums[-1] - sums[:-1]) / (n - count)
    square_before = np.maximum(squares[:-1] - count * mean_before**2, 0)
    square_after = np.maximum(squares[-1] - squares[:-1] - (n - count) * mean_after**2, 0)
    before = (count, mean_before + center, square_before)
    after = (n - count, mean_after + center, square_after)
    log_one = prior.log_evidence(*before) + prior.log_evidence(*after)
    log_total = float(logsumexp(log_one))
    whole = float(prior.log_evidence(n, float(x.mean()) + center, float(np.sum((x - x.mean()) ** 2))))
    probabilities = np.exp(log_one - log_total)
    return ChangePosterior(
        probabilities / probabilities.sum(),
        log_total - math.log(n - 1) - whole,
        prior.update_batch(*before),
        prior.update_batch(*after),
    )


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    """Return where the increasing function is zero, between two numbers that enclose it up to rounding."""
    if function(low) >= 0:
        return low
    if function(high) <= 0:
        return high
    return float(brentq(function, low, high, xtol=max(1e-13 * (high - low), 1e-300)))
