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

    def momentum(self, standard_normal: jax.Array) -> jax.Array:
        """A momentum with covariance M from a standard normal vector."""


class Diagonal(NamedTuple):
    """A diagonal metric; `inverse_mass` has shape (dimension,)."""

    inverse_mass: Any

    def velocity(self, momentum: jax.Array) -> jax.Array:
        return self.inverse_mass * momentum

    def momentum(self, standard_normal: jax.Array) -> jax.Array:
        return standard_normal / jnp.sqrt(self.inverse_mass)


class Dense(NamedTuple):
    """A dense metric: `inverse_mass` = L L', `inverse_factor` = L^-1, both of shape (dimension, dimension)."""

    inverse_mass: Any
    inverse_factor: Any

    def velocity(self, momentum: jax.Array) -> jax.Array:
        return self.inverse_mass @ momentum

    def momentum(self, standard_normal: jax.Array) -> jax.Array:
        return standard_normal @ self.inverse_factor


def dense(inverse_mass: jax.Array) -> Dense:
    """A dense metric from a symmetric positive definite matrix.

    Cholesky and triangular inverse are written as loops of matrix-vector products: a LAPACK call inside the
    sampling loop would keep XLA from compiling the loop as one native function.
    """
    dimension = inverse_mass.shape[0]
    rows = jnp.arange(dimension)

    def column(j: jax.Array, factor: jax.Array) -> jax.Array:
        remainder = inverse_mass[:, j] - factor @ factor[j]
        pivot = jnp.sqrt(remainder[j])
        return lax.dynamic_update_index_in_dim(factor, jnp.where(rows >= j, remainder / pivot, 0.0), j, 1)

    def row(i: jax.Array, inverse: jax.Array) -> jax.Array:
        unit = (rows == i).astype(factor.dtype)
        return lax.dynamic_update_index_in_dim(inverse, (unit - factor[i] @ inverse) / factor[i, i], i, 0)

    factor = lax.fori_loop(0, dimension, column, jnp.zeros_like(inverse_mass))
    inverse_factor = lax.fori_loop(0, dimension, row, jnp.zeros_like(inverse_mass))
    return Dense(inverse_mass, inverse_factor)
