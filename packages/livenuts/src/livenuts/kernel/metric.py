"""Euclidean metrics: how momenta are drawn and how they move a position.

A metric holds the inverse mass matrix, an estimate of the posterior covariance. Momenta are N(0, M); the kinetic
energy is p' M^-1 p / 2 and the velocity M^-1 p.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax import lax

# With fewer rows than this a product is over before a choice would pay.
_WORTH_DIVIDING = 16


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

        def along(rows: int) -> jax.Array:
            parts = self.directions[:rows] @ scaled
            return jnp.vdot(parts, (self.variances[:rows] - 1.0) * parts)

        return 0.5 * (jnp.vdot(scaled, scaled) + self._by_rank(along, jnp.float64(0.0)))

    def momentum(self, standard_normal: jax.Array) -> jax.Array:
        return self._stretched(standard_normal, 1.0 / jnp.sqrt(self.variances)) / self.scale

    def _stretched(self, vector: jax.Array, factors: jax.Array) -> jax.Array:
        def stretch(rows: int) -> jax.Array:
            directions = self.directions[:rows]
            return vector + ((factors[:rows] - 1.0) * (directions @ vector)) @ directions

        return self._by_rank(stretch, vector)

    def _by_rank(self, some: Callable[[int], jax.Array], none: jax.Array) -> jax.Array:
        """What `some` makes of at least the first `rank` rows: a quarter of them, a half, or all; of none, `none`."""
        most = self.variances.shape[0]
        sizes = sorted({-(-most // 4), -(-most // 2), most}) if most >= _WORTH_DIVIDING else [most]
        index = sum(jnp.asarray(self.rank > size).astype(jnp.int32) for size in [0, *sizes[:-1]])
        return lax.switch(index, [lambda: none, *(partial(some, size) for size in sizes)])
