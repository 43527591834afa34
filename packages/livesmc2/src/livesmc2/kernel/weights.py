"""Weights of particles: reweighting, effective sample size, resampling. Compiled; both kinds of run use them.

A filter keeps normalised weights w (n_x,), carried from step to step: the increment of the log-likelihood is
log sum(w_i exp(l_i)), whether or not the step before resampled.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic, register_jitable

from livesmc2.kernel.elementary import bits, double, exp_series
from livesmc2.kernel.rng import hashed_uniform

SYSTEMATIC, STRATIFIED, MULTINOMIAL = 0, 1, 2
SCHEMES = {"systematic": SYSTEMATIC, "stratified": STRATIFIED, "multinomial": MULTINOMIAL}

# Part of a model's loop: calls, with their arrays' counts of references, would cost half as much as what they do.
_PLAIN: Any = {"error_model": "numpy", "nogil": True, "cache": True, "forceinline": True}
# Sums may be taken in any order, NaN and infinities keep their meaning.
_SUMS: Any = _PLAIN | {"fastmath": {"reassoc", "contract", "nsz"}}


@intrinsic
def _scale_by_power(typing: Any, y: Any, k: Any) -> Any:
    """y * 2**k for -1022 <= k <= 1023, by the bits of 2**k."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        word = ir.IntType(64)
        power = builder.shl(builder.add(arguments[1], ir.Constant(word, 1023)), ir.Constant(word, 52))
        return builder.fmul(arguments[0], builder.bitcast(power, ir.DoubleType()))

    return types.float64(types.float64, types.int64), generate


@register_jitable(error_model="numpy")
def exp_nonpositive(x: float) -> float:
    """exp(x) for x <= 0 to one unit in the last place, in plain arithmetic, so that a loop over it is vectorised.

    Below -708 it stays at exp(-708).
    """
    x = max(x, -708.0)
    k = math.floor(x * 1.4426950408889634 + 0.5)
    r = (x - k * 6.93147180369123816490e-01) - k * 1.90821492927058770002e-10
    return _scale_by_power((exp_series(r) * r + 1.0) * r + 1.0, np.int64(k))


@njit("Tuple((float64, int64))(float64[::1], float64[::1])", **_PLAIN)
def _clean(w: np.ndarray, ll: np.ndarray) -> Any:
    """Log-likelihoods that are NaN or +inf become -inf, as do those of particles without weight.

    Returns (the largest, how many were bad). The bits of doubles, those of negative ones turned over, are ordered as
    the doubles are; a maximum of whole numbers is vectorised, one of doubles is not.
    """
    bad = 0
    top = np.int64(-0x7FF0000000000001)
    for i in range(len(w)):
        value = ll[i]
        usable = value < np.inf
        bad += 0 if usable else 1
        value = value if usable and w[i] > 0.0 else -np.inf
        ll[i] = value
        word = bits(value)
        top = max(top, word ^ ((word >> 63) & 0x7FFFFFFFFFFFFFFF))
    return double(top ^ ((top >> 63) & 0x7FFFFFFFFFFFFFFF)), bad


@njit("float64(float64[::1], float64[::1], float64)", **_SUMS)
def _multiply(w: np.ndarray, ll: np.ndarray, top: float) -> float:
    """w *= exp(ll - top); their sum."""
    total = 0.0
    for i in range(len(w)):
        less = ll[i] - top
        value = w[i] * exp_nonpositive(less) if less > -708.0 else 0.0
        w[i] = value
        total += value
    return total


@njit("Tuple((float64, int64))(float64[::1], float64[::1])", **_PLAIN)
def weigh(w: np.ndarray, ll: np.ndarray) -> Any:
    """Multiply normalised weights by likelihoods exp(ll) and normalise them again.

    Returns (log of the weighted mean likelihood, how many log-likelihoods were NaN or +inf). If no particle has a
    likelihood above zero the first is -inf and the weights stay as they were. `ll` is used up.
    """
    top, bad = _clean(w, ll)
    if top == -np.inf:
        return -np.inf, bad
    total = _multiply(w, ll, top)
    scale = 1.0 / total
    for i in range(len(w)):
        w[i] *= scale
    return top + math.log(total), bad


@njit("float64(float64[::1])", **_SUMS)
def effective_sample_size(w: np.ndarray) -> float:
    """1 / sum(w^2) of normalised weights."""
    total = 0.0
    for i in range(len(w)):
        total += w[i] * w[i]
    return 1.0 / total


@njit("void(float64[::1], float64, int32[::1])", **_PLAIN)
def systematic(w: np.ndarray, u: float, ancestors: np.ndarray) -> None:
    """Ancestor of child k: the particle in whose interval of the cumulative weights (k + u) / n lies.

    There are as many children as `ancestors` is long less one, whose last slot is scratch. Free of branches that
    depend on the weights: it is counted how many particles begin at each child (one without a child begins where the
    next does), and the sum of these counts so far, less one, is the last particle that has begun.
    """
    n = len(ancestors) - 1
    for k in range(n + 1):
        ancestors[k] = 0
    cumulative = 0.0
    first = np.int64(0)
    for i in range(len(w)):
        ancestors[first] += np.int32(1)
        cumulative += w[i]
        first = min(np.int64(math.ceil(n * cumulative - u)), n)
    latest = np.int32(-1)
    for k in range(n):
        latest += ancestors[k]
        ancestors[k] = latest


@njit("void(float64[::1], uint64, int64, int32[::1])", **_PLAIN)
def _by_search(w: np.ndarray, key: Any, scheme: int, ancestors: np.ndarray) -> None:
    """Stratified, or multinomial with ordered uniforms by exponential spacings."""
    n = len(ancestors) - 1
    total = 0.0
    if scheme == MULTINOMIAL:
        for k in range(n + 1):
            total -= math.log(hashed_uniform(key, k))
    spacing = 0.0
    j = 0
    cumulative = w[0]
    for k in range(n):
        if scheme == STRATIFIED:
            point = (k + hashed_uniform(key, k)) / n
        else:
            spacing -= math.log(hashed_uniform(key, k))
            point = spacing / total
        while point > cumulative and j < len(w) - 1:
            j += 1
            cumulative += w[j]
        ancestors[k] = j


@njit("void(float64[::1], uint64, int64, int32[::1])", **_PLAIN)
def resample(w: np.ndarray, key: Any, scheme: int, ancestors: np.ndarray) -> None:
    """Choose ancestors by normalised weights; each is chosen len(ancestors) - 1 times its weight in expectation."""
    if scheme == SYSTEMATIC:
        systematic(w, hashed_uniform(key, 0), ancestors)
    else:
        _by_search(w, key, scheme, ancestors)
