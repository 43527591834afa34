"""Dual averaging of the log step size (Hoffman and Gelman 2014, section 3.2; Nesterov 2009)."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

SHRINKAGE = 0.05  # gamma
STABILIZATION = 10.0  # t0
DECAY = 0.75  # kappa


class DualAveraging(NamedTuple):
    """The state of dual averaging; scalars."""

    log_step: Any
    log_average: Any
    """What sampling will use."""
    error: Any
    """Running mean of target minus acceptance."""
    center: Any
    """Where log steps are shrunk to: the log of ten times the starting step."""
    updates: Any


def start(log_step: Any) -> DualAveraging:
    """Begin, or begin again, from a step size that was found by search or by the last window."""
    zero = np.float64(0.0)
    return DualAveraging(log_step, log_step, zero, log_step + np.log(10.0), zero)


def update(state: DualAveraging, acceptance_rate: jax.Array, target: jax.Array) -> DualAveraging:
    """Learn from one transition's acceptance rate."""
    updates = state.updates + 1.0
    weight = 1.0 / (updates + STABILIZATION)
    error = (1.0 - weight) * state.error + weight * (target - acceptance_rate)
    log_step = state.center - error * jnp.sqrt(updates) / SHRINKAGE
    share = updates**-DECAY
    log_average = share * log_step + (1.0 - share) * state.log_average
    return DualAveraging(log_step, log_average, error, state.center, updates)
