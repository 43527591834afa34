"""The leapfrog integrator (Neal 2011, "MCMC using Hamiltonian dynamics", section 5.2.3.3)."""

from collections.abc import Callable
from typing import NamedTuple

import jax

from livenuts.kernel.metric import Metric

LogDensityAndGradient = Callable[[jax.Array], tuple[jax.Array, jax.Array]]


class PhasePoint(NamedTuple):
    """A position with its momentum and the gradient of the log density there; each of shape (dimension,)."""

    position: jax.Array
    momentum: jax.Array
    gradient: jax.Array


def leapfrog(
    log_density_and_gradient: LogDensityAndGradient, metric: Metric, point: PhasePoint, step_size: jax.Array
) -> tuple[PhasePoint, jax.Array]:
    """One leapfrog step: the new point and its log density. A negative step size goes backward in time."""
    # Without the barrier XLA computes it, and the leaf, anew in each of the loops that read them.
    half = jax.lax.optimization_barrier(point.momentum + 0.5 * step_size * point.gradient)
    position = point.position + step_size * metric.velocity(half)
    log_density, gradient = log_density_and_gradient(position)
    return PhasePoint(position, half + 0.5 * step_size * gradient, gradient), log_density


def energy(metric: Metric, momentum: jax.Array, log_density: jax.Array) -> jax.Array:
    """The Hamiltonian, up to a constant: kinetic energy minus log density."""
    return metric.kinetic(momentum) - log_density
