"""Moments and draws of a two-level cloud: parameter particles with weights, each with weighted state particles."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

_OPTIONS: Any = {"error_model": "numpy", "nogil": True, "cache": True, "fastmath": {"reassoc", "contract", "nsz"}}


@njit("void(f8[:,:,::1], f8[:,::1], f8[::1], f8[::1], f8[::1])", **_OPTIONS)
def state_moments(x: np.ndarray, w: np.ndarray, weights: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> None:
    """Means and standard deviations of each state number over all particles of all parameters."""
    for j in range(x.shape[1]):
        total = 0.0
        for m in range(x.shape[0]):
            inner = 0.0
            for i in range(x.shape[2]):
                inner += w[m, i] * x[m, j, i]
            total += weights[m] * inner
        mean[j] = total
        spread = 0.0
        for m in range(x.shape[0]):
            inner = 0.0
            for i in range(x.shape[2]):
                away = x[m, j, i] - total
                inner += w[m, i] * away * away
            spread += weights[m] * inner
        sd[j] = math.sqrt(spread)


@njit("void(f8[:,::1], f8[::1], f8, i8[::1], i8[::1])", error_model="numpy", nogil=True, cache=True)
def systematic_pairs(w: np.ndarray, weights: np.ndarray, u: float, rows: np.ndarray, columns: np.ndarray) -> None:
    """Draw pairs (parameter particle, state particle) systematically by the product of their weights."""
    count = len(rows)
    k = 0
    before = 0.0
    for m in range(w.shape[0]):
        if count * (before + weights[m]) >= u + k:
            cumulative = before
            i = 0
            while i < w.shape[1]:
                # Four at a time, as long as no draw falls among them: sums of four do not wait for one another.
                if i + 4 <= w.shape[1]:
                    four = (w[m, i] + w[m, i + 1]) + (w[m, i + 2] + w[m, i + 3])
                    further = cumulative + weights[m] * four
                    if count * further < u + k:
                        cumulative = further
                        i += 4
                        continue
                cumulative += weights[m] * w[m, i]
                while k < count and u + k < count * cumulative:
                    rows[k] = m
                    columns[k] = i
                    k += 1
                i += 1
        before += weights[m]
    # Rounding may leave the last place or two.
    m = 0
    for i in range(len(weights)):
        if weights[i] > 0.0:
            m = i
    last = 0
    for i in range(w.shape[1]):
        if w[m, i] > 0.0:
            last = i
    while k < count:
        rows[k] = m
        columns[k] = last
        k += 1


def weighted_quantiles(values: np.ndarray, weights: np.ndarray, levels: Any) -> np.ndarray:
    """Quantiles of weighted values: where the cumulative weight first reaches the level. `values` (n,)."""
    order = np.argsort(values, kind="stable")
    cumulative = np.cumsum(weights[order])
    places = np.searchsorted(cumulative, np.asarray(levels, float) * cumulative[-1] * (1 - 1e-12))
    return np.asarray(values[order][np.minimum(places, len(values) - 1)])
