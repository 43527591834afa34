"""The step size during warm-up: dual averaging (Hoffman and Gelman 2014, section 3.2; Nesterov 2009).

Its running average is not used: it lags behind the metric, and averaging log steps leaves acceptance well above its
target. `settled` reads the step size for sampling from all draws since the metric last changed.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

SHRINKAGE = 0.05  # gamma
STABILIZATION = 10.0  # t0
# What `settled` finds lies within so many natural logs of the typical step, mostly within the first; and so exactly.
_NEAR, _WIDEST = 1.0, 7.5
_ENOUGH = 1e-9
# Of a draw with a lower acceptance the curve says no more than that its step was too long.
_LEAST_ACCEPTANCE = 1e-3


class DualAveraging(NamedTuple):
    """The state of dual averaging; scalars."""

    log_step: Any
    error: Any
    """Running mean of target minus acceptance."""
    center: Any
    """Where log steps are shrunk to: the log of ten times the starting step."""
    updates: Any


def start(log_step: Any) -> DualAveraging:
    """Begin, or begin again, from a step size that was found by search."""
    zero = np.float64(0.0)
    return DualAveraging(log_step, zero, log_step + np.log(10.0), zero)


def resume(log_step: Any) -> DualAveraging:
    """Begin from a step size that is known to be right: log steps are shrunk to it, not to ten times it."""
    zero = np.float64(0.0)
    return DualAveraging(log_step, zero, log_step, zero)


def update(state: DualAveraging, acceptance_rate: jax.Array, target: jax.Array) -> DualAveraging:
    """Learn from one transition's acceptance rate."""
    updates = state.updates + 1.0
    weight = 1.0 / (updates + STABILIZATION)
    error = (1.0 - weight) * state.error + weight * (target - acceptance_rate)
    log_step = state.center - error * jnp.sqrt(updates) / SHRINKAGE
    return DualAveraging(log_step, error, state.center, updates)


def settled(steps: np.ndarray, acceptance_rates: np.ndarray, target: float) -> float:
    """The step size whose mean acceptance is `target`, from draws (n,) made with steps around it.

    The mean acceptance of a leapfrog trajectory is 2 Phi(-c e^2) in the step size e (Beskos et al. 2013, "Optimal
    tuning of the hybrid Monte Carlo algorithm"). Each draw has a c of its own: dual averaging's steps are short where
    the posterior is narrow, and one c for all would take the many accepted there for those of the long steps.
    """
    if not 0.0 < np.mean(acceptance_rates) < 1.0:  # every draw accepted, or none
        return float(np.median(steps))
    rates = -ndtri(0.5 * np.maximum(acceptance_rates, _LEAST_ACCEPTANCE)) / steps**2

    def excess(log_step: float) -> float:
        return 2.0 * float(ndtr(-math.exp(2.0 * log_step) * rates).sum()) / len(rates) - target

    middle = float(np.log(steps).sum()) / len(steps)
    for width in (_NEAR, _WIDEST):
        low, high = middle - width, middle + width
        if excess(low) > 0.0 > excess(high):
            return float(np.exp(brentq(excess, low, high, xtol=_ENOUGH)))
    return float(np.median(steps))
