"""Pareto smoothed importance sampling (Vehtari, Simpson, Gelman, Yao and Gabry 2024), by arviz-stats."""

from __future__ import annotations

import math

import numpy as np


def smoothed(log_ratios: np.ndarray) -> tuple[np.ndarray, float]:
    """Normalised weights (n,) and Pareto k of log ratios (n,) of target to proposal; a ratio may be -inf, or NaN.

    k says how heavy the ratios' tail is: below `limit`, what is weighted by them can be trusted.
    """
    from arviz_stats.base import array_stats  # type: ignore[attr-defined]

    ratios = np.where(np.isnan(log_ratios), -np.inf, log_ratios)
    finite = np.isfinite(ratios)
    if not finite.any():
        return np.full(len(ratios), 1.0 / len(ratios)), math.inf
    if np.ptp(ratios[finite]) < 1e-8 * max(1.0, float(np.abs(ratios[finite]).max())) and finite.all():
        return np.full(len(ratios), 1.0 / len(ratios)), -math.inf  # the proposal is the target
    # PSIS wants finite ratios: those that do not count are made as small as a double's weight can be.
    # psislw takes what it weights against, a log likelihood left out: the ratio's negative.
    logs, k = array_stats.psislw(-np.where(finite, ratios, ratios[finite].min() - 750.0))
    weights = np.where(finite, np.exp(logs - logs.max()), 0.0)
    return weights / weights.sum(), float(k)


def report(log_ratios: np.ndarray, weights: np.ndarray, k: float) -> dict[str, float]:
    """What an approximation is to say of itself: k, the limit that it should keep, and the draws' worth."""
    return {
        "pareto_k": k,
        "pareto_k_limit": limit(len(log_ratios)),
        "effective_fraction": float(1.0 / (weights**2).sum() / len(weights)),
    }


def limit(number: int) -> float:
    """The k up to which `number` draws can be trusted (Vehtari et al. 2024, section 3.2.4)."""
    return min(1.0 - 1.0 / math.log10(max(number, 11)), 0.7)
