"""Statistical checks that the tests share.

Each check is a z-score, or a chi-square as a p-value. A z-score beyond 5 has probability 6e-7, a p-value below 1e-7
speaks for itself; the suite makes about a hundred such checks, so its false-alarm rate is below 1e-4 even if the
seeds were not fixed.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from arviz_stats.base import array_stats
from scipy import integrate, stats

Z = 5.0
P = 1e-7
PROBABILITIES = (0.05, 0.25, 0.75, 0.95)


def effective_sample_size(values: np.ndarray) -> float:
    """Of the mean of (chain, draw) values."""
    if np.ptp(values) == 0.0:
        return float(values.size)
    return float(array_stats.ess(values, chain_axis=0, draw_axis=1, method="mean"))


def z_of_mean(values: np.ndarray, expected: float) -> float:
    """(mean - expected) / Monte Carlo standard error, for (chain, draw) values."""
    if np.ptp(values) == 0.0:
        return 0.0 if values.flat[0] == expected else np.inf
    return float((values.mean() - expected) / (values.std() / np.sqrt(effective_sample_size(values))))


def z_scores(draws: np.ndarray, exact: Any, *, variance: bool = True) -> dict[str, float]:
    """z-scores of mean, variance, spread and quantiles of (chain, draw) values against a frozen SciPy distribution.

    The variance is the mean of squared deviations from the exact mean, the spread that of absolute ones; a quantile
    is the mean of an indicator.
    """
    center = exact.mean()
    spread = integrate.quad(lambda p: abs(exact.ppf(p) - center), 0.0, 1.0, points=[exact.cdf(center)])[0]
    scores = {"mean": z_of_mean(draws, center), "spread": z_of_mean(np.abs(draws - center), spread)}
    if variance:
        scores["variance"] = z_of_mean((draws - center) ** 2, exact.var())
    for probability in PROBABILITIES:
        below = (draws <= exact.ppf(probability)).astype(float)
        scores[f"below the {probability:.0%} quantile"] = z_of_mean(below, probability)
    return scores


def failures(scores: Mapping[str, float], threshold: float = Z) -> dict[str, float]:
    """The scores beyond the threshold; NaN fails."""
    return {name: score for name, score in scores.items() if not abs(score) < threshold}


def chi_square(counts: np.ndarray, probabilities: np.ndarray, least: float = 10.0) -> tuple[float, int]:
    """Pearson's statistic and its degrees of freedom; cells with few expected counts are joined."""
    order = np.argsort(probabilities)
    expected, seen = probabilities[order] * counts.sum(), counts[order]
    if seen[expected == 0.0].any():
        return np.inf, 1
    joined_expected, joined_seen = [0.0], [0.0]
    for e, s in zip(expected, seen, strict=True):
        if joined_expected[-1] >= least:
            joined_expected.append(0.0)
            joined_seen.append(0.0)
        joined_expected[-1] += e
        joined_seen[-1] += s
    if joined_expected[-1] < least and len(joined_expected) > 1:
        e, s = joined_expected.pop(), joined_seen.pop()
        joined_expected[-1] += e
        joined_seen[-1] += s
    e, s = np.array(joined_expected), np.array(joined_seen)
    return float(((s - e) ** 2 / e).sum()), len(e) - 1


def p_value(statistic: float, degrees: int) -> float:
    return float(stats.chi2.sf(statistic, degrees)) if degrees else 1.0


def run_threads(function: Callable[[int], Any], count: int) -> list[Any]:
    """`function(0)`, ..., `function(count - 1)`, each in a thread of its own."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(function, range(count)))
