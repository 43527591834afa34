"""Euclidean metrics: how momenta are drawn and how they move a position.

A metric holds the inverse mass matrix, an estimate of the posterior covariance. Momenta are N(0, M); the kinetic
energy is p' M^-1 p / 2 and the velocity M^-1 p.
"""

from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax import lax


class Metric(Protocol):
    """What the integrator and the transition ask of a metric."""

    def velocity(self, momentum: jax.Array) -> jax.Array:
        """M^-1 p."""

    def kinetic(self, momentum: jax.Array) -> jax.Array:
        """p' M^-1 p / 2."""

    def momentum(self, standard_normal: jax.Array) -> jax.Array:
        """A momentum with covariance M from a standard normal vector."""


class Diagonal(NamedTuple):
    """A diagonal metric; `inverse_mass` has shape (dimension,)."""

    inverse_mass: Any

    def velocity(self, momentum: jax.Array) -> jax.Array:
        return self.inverse_mass * momentum

    def kinetic(self, momentum: jax.Array) -> jax.Array:
        return 0.5 * jnp.vdot(momentum, self.inverse_mass * momentum)

    def momentum(self, standard_normal: jax.Array) -> jax.Array:
        return standard_normal / jnp.sqrt(self.inverse_mass)


class LowRank(NamedTuple):
    """A diagonal metric with other scales along a few directions: M^-1 = S (I + V' (L - I) V) S.

    S is diagonal with `scale` (dimension,); the rows of `directions` (most, dimension) are orthonormal and have the
    variances L = `variances` (most,) after scaling by S. Only the first `rank` rows count. With rank = dimension it
    is a dense metric.
    """

    scale: Any
    directions: Any
    variances: Any
    rank: Any

    def velocity(self, momentum: jax.Array) -> jax.Array:
        return self.scale * self._stretched(self.scale * momentum, self.variances)

    def kinetic(self, momentum: jax.Array) -> jax.Array:
        scaled = self.scale * momentum

        def along() -> jax.Array:
            parts = self.directions @ scaled
            return jnp.vdot(parts, (self.variances - 1.0) * parts)

        return 0.5 * (jnp.vdot(scaled, scaled) + lax.cond(self.rank > 0, along, lambda: jnp.float64(0.0)))

    def momentum(self, standard_normal: jax.Array) -> jax.Array:
        return self._stretched(standard_normal, 1.0 / jnp.sqrt(self.variances)) / self.scale

    def _stretched(self, vector: jax.Array, factors: jax.Array) -> jax.Array:
        def stretch() -> jax.Array:
            return vector + ((factors - 1.0) * (self.directions @ vector)) @ self.directions

        return lax.cond(self.rank > 0, stretch, lambda: vector)
