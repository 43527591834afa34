"""Resampling that keeps a given particle's line alive, for filters that are conditional on a path. Compiled.

Every resampling gives a particle a number of children whose mean is n times its weight. Given that child k, chosen
uniformly, comes from particle a, the other children have the law that the scheme gives them then (Andrieu, Doucet and
Holenstein 2010, section 4.3; Chopin and Singh 2015, "On particle Gibbs sampling", section 3).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from livesmc2.kernel.rng import hashed_uniform
from livesmc2.kernel.weights import MULTINOMIAL, SYSTEMATIC, systematic

_OPTIONS: Any = {"error_model": "numpy", "nogil": True, "cache": True}


@njit("int64(float64[::1], uint64, float64, int64, int32[::1])", **_OPTIONS)
def _among_independent(w: np.ndarray, key: Any, place: float, ancestor: int, ancestors: np.ndarray) -> Any:
    """n - 1 points in order, by exponential spacings, and the given one between them."""
    n = len(ancestors) - 1
    total = 0.0
    for k in range(n):
        total -= math.log(hashed_uniform(key, k))
    child: Any = np.int64(-1)
    spacing = -math.log(hashed_uniform(key, 0))
    drawn = 0
    j = 0
    cumulative = w[0]
    for k in range(n):
        if child < 0 and (drawn == n - 1 or place <= spacing / total):
            child = np.int64(k)
            ancestors[k] = ancestor
            continue
        while spacing / total > cumulative and j < len(w) - 1:
            j += 1
            cumulative += w[j]
        ancestors[k] = j
        drawn += 1
        spacing -= math.log(hashed_uniform(key, drawn))
    return child


@njit("int64(float64[::1], uint64, int64, int64, int32[::1])", **_OPTIONS)
def resample_through(w: np.ndarray, key: Any, scheme: int, ancestor: int, ancestors: np.ndarray) -> Any:
    """Choose ancestors by normalised weights given that some child comes from `ancestor`; that child.

    The place in the cumulative weights that chose it is uniform on the ancestor's interval. Where points are in order
    (k + u) / n, the place tells the child and its u; of independent points, the child is the place's rank.
    `ancestors` is as long as there are children, and one, whose last slot is scratch.
    """
    n = len(ancestors) - 1
    before = 0.0
    for i in range(ancestor):
        before += w[i]
    place = before + hashed_uniform(key, n + 1) * w[ancestor]
    if scheme == MULTINOMIAL:
        return _among_independent(w, key, place, ancestor, ancestors)
    child: Any = min(np.int64(math.floor(n * place)), n - 1)
    u = min(max(n * place - child, 2.0**-53), 1.0 - 2.0**-53)
    if scheme == SYSTEMATIC:
        systematic(w, u, ancestors)
    else:
        j = 0
        cumulative = w[0]
        for k in range(n):
            point = (k + (u if k == child else hashed_uniform(key, k))) / n
            while point > cumulative and j < len(w) - 1:
                j += 1
                cumulative += w[j]
            ancestors[k] = j
    ancestors[child] = ancestor  # where rounding says otherwise
    return child
