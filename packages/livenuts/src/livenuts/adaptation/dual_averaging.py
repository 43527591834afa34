"""The step size during warm-up: dual averaging (Hoffman and Gelman 2014, section 3.2; Nesterov 2009).

Its running average is not used: it lags behind the metric, and averaging log steps leaves acceptance well above its
target. `settled` reads the step size for sampling from all draws since the metric last changed.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

SHRINKAGE = 0.05  # gamma
STABILIZATION = 10.0  # t0
# The rates that `settled` looks at lie within this many natural logs of the median step's.
_WIDEST = 15.0


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
    tuning of the hybrid Monte Carlo algorithm"); c is such that the draws' mean acceptance is met.
    """

    def excess(log_rate: float) -> float:
        return float(np.mean(2.0 * ndtr(-np.exp(log_rate) * steps**2) - acceptance_rates))

    middle = -2.0 * np.log(np.median(steps))
    low, high = middle - _WIDEST, middle + _WIDEST
    if not excess(low) > 0.0 > excess(high):  # every draw accepted, or none
        return float(np.median(steps))
    log_rate = brentq(excess, low, high, xtol=1e-10)
    return float(np.sqrt(-ndtri(0.5 * target) / np.exp(log_rate)))
