"""Euclidean metrics: how momenta are drawn and how they move a position.

A metric holds the inverse mass matrix, an estimate of the posterior covariance. Momenta are N(0, M); the kinetic
energy is p' M^-1 p / 2 and the velocity M^-1 p.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

# Rows of a block of directions, and how many blocks there are at most.
_BLOCK, _MOST_BLOCKS = 8, 4


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

    S is diagonal with `scale` (dimension,); the rows of `directions` are orthonormal and have the variances L of
    `variances` after scaling by S. Both come in blocks of rows, (rows, dimension) and (rows,), of which a product
    touches as many as hold the first `rank` rows; the other rows have variance 1. With rank = dimension it is a dense
    metric.
    """

    scale: Any
    directions: tuple[Any, ...]
    variances: tuple[Any, ...]
    rank: Any

    def velocity(self, momentum: jax.Array) -> jax.Array:
        return self.scale * self._stretched(self.scale * momentum, self.variances)

    def kinetic(self, momentum: jax.Array) -> jax.Array:
        scaled = self.scale * momentum

        def add(total: jax.Array, rows: jax.Array, variances: jax.Array) -> jax.Array:
            parts = rows @ scaled
            return total + jnp.vdot(parts, (variances - 1.0) * parts)

        return 0.5 * self._over_blocks(add, jnp.vdot(scaled, scaled), self.variances)

    def momentum(self, standard_normal: jax.Array) -> jax.Array:
        return self._stretched(standard_normal, tuple(1.0 / jnp.sqrt(block) for block in self.variances)) / self.scale

    def _stretched(self, vector: jax.Array, factors: tuple[Any, ...]) -> jax.Array:
        def add(total: jax.Array, rows: jax.Array, factors: jax.Array) -> jax.Array:
            return total + ((factors - 1.0) * (rows @ vector)) @ rows

        return self._over_blocks(add, vector, factors)

    def _over_blocks(self, add: Callable[..., jax.Array], start: jax.Array, factors: tuple[Any, ...]) -> jax.Array:
        total, row = start, 0
        for rows, block in zip(self.directions, factors, strict=True):
            total = lax.cond(self.rank > row, add, lambda total, *_: total, total, rows, block)
            row += rows.shape[0]
        return total


def low_rank(scale: np.ndarray, directions: np.ndarray, variances: np.ndarray, most: int) -> LowRank:
    """The metric, in NumPy, of directions (rank, dimension) and variances (rank,), with room for `most`."""
    rank, dimension = directions.shape
    rows, factors = np.zeros((most, dimension)), np.ones(most)
    rows[:rank], factors[:rank] = directions, variances
    height = max(_BLOCK, -(-most // _MOST_BLOCKS))
    blocks = [slice(row, row + height) for row in range(0, most, height)]
    return LowRank(
        scale, tuple(rows[block] for block in blocks), tuple(factors[block] for block in blocks), np.int64(rank)
    )
