"""Convergence: rank-normalised split R-hat and bulk effective sample size, by array.

Vehtari, Gelman, Simpson, Carpenter and Buerkner (2021), "Rank-normalization, folding, and localization".
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri
from scipy.stats import rankdata


def _split(draws: np.ndarray) -> np.ndarray:
    """Each chain as two halves."""
    half = draws.shape[1] // 2
    return np.concatenate([draws[:, :half], draws[:, draws.shape[1] - half :]])


def _normal_scores(draws: np.ndarray) -> np.ndarray:
    ranks = rankdata(draws, axis=None).reshape(draws.shape)
    scores: np.ndarray = ndtri((ranks - 0.375) / (draws.size + 0.25))
    return scores


def _r_hat(chains: np.ndarray) -> float:
    length = chains.shape[1]
    within = chains.var(axis=1, ddof=1).mean()
    between = chains.mean(axis=1).var(ddof=1)
    if within == 0.0:
        return 1.0 if between == 0.0 else np.inf
    return float(np.sqrt((length - 1) / length + between / within))


def r_hat(draws: np.ndarray) -> float:
    """Of draws (chain, draw): the larger of that of location and that of spread; NaN below 4 draws a chain."""
    if draws.shape[1] < 4 or not np.isfinite(draws).all():
        return float("nan")
    chains = _split(draws)
    folded = np.abs(chains - np.median(chains))
    return max(_r_hat(_normal_scores(chains)), _r_hat(_normal_scores(folded)))


def effective_sample_size(draws: np.ndarray) -> float:
    """Of draws (chain, draw), by Geyer's initial monotone sequence on normal scores; NaN below 4 draws a chain."""
    if draws.shape[1] < 4 or not np.isfinite(draws).all():
        return float("nan")
    chains = _normal_scores(_split(draws))
    m, n = chains.shape
    if chains.std() == 0.0:
        return float(m * n)
    centred = chains - chains.mean(axis=1, keepdims=True)
    size = 1 << int(np.ceil(np.log2(2 * n)))
    spectrum = np.fft.rfft(centred, size, axis=1)
    covariance = np.fft.irfft(np.abs(spectrum) ** 2, size, axis=1)[:, :n].mean(axis=0) / n
    within = covariance[0] * n / (n - 1)
    pooled = within * (n - 1) / n + (chains.mean(axis=1).var(ddof=1) if m > 1 else 0.0)
    if pooled == 0.0:
        return float(m * n)
    rho = 1.0 - (within - covariance) / pooled
    rho[0] = 1.0
    pairs = rho[: n // 2 * 2].reshape(-1, 2).sum(axis=1)
    negative = np.flatnonzero(pairs < 0.0)
    pairs = np.minimum.accumulate(pairs[: negative[0] if len(negative) else None])
    time = max(2.0 * pairs.sum() - 1.0, 1.0 / np.log10(m * n))
    return float(m * n / time)
