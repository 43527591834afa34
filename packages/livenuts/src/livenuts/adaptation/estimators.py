"""Estimators of the metric from the draws of one window.

`update` and `metric` run inside the compiled sampling loop; `init`, `identity` and `from_inverse_mass` are NumPy,
for they run on the host too. A new estimator is one more class here. Variances are Welford's (1962), regularised as
in Stan: n / (n + 5) of the estimate and 5 / (n + 5) of 1e-3.
"""

from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from livenuts.kernel.metric import Dense, Diagonal, Metric, dense

S = TypeVar("S")
M = TypeVar("M", bound=Metric, covariant=True)


class Estimator(Protocol, Generic[S, M]):
    """What warm-up asks of an estimator with state `S` and metric `M`."""

    def init(self, dimension: int) -> S:
        """The state before any draw, in NumPy."""

    def update(self, state: S, position: jax.Array, gradient: jax.Array, weight: jax.Array) -> S:
        """The state after a draw; `weight` is 0 for a draw that must not count, else 1."""

    def metric(self, state: S) -> M:
        """The metric that the draws so far suggest."""

    def identity(self, dimension: int) -> M:
        """The metric before any draw, in NumPy."""

    def from_inverse_mass(self, inverse_mass: np.ndarray) -> M:
        """The metric of a given inverse mass, (dimension,) or (dimension, dimension), in NumPy."""


class Moments(NamedTuple):
    """Number of draws, mean (dimension,) and sum of squared deviations, (dimension,) or (dimension, dimension)."""

    draws: Any
    mean: Any
    squares: Any


def _shrink(count: jax.Array) -> tuple[jax.Array, jax.Array]:
    return count / (count + 5.0) / jnp.maximum(count - 1.0, 1.0), 1e-3 * 5.0 / (count + 5.0)


class DiagonalVariance:
    """Variances of the draws: a diagonal metric."""

    name = "diag"

    def init(self, dimension: int) -> Moments:
        zero = np.zeros(dimension)
        return Moments(np.float64(0.0), zero, zero)

    def update(self, state: Moments, position: jax.Array, gradient: jax.Array, weight: jax.Array) -> Moments:
        count = state.draws + weight
        deviation = position - state.mean
        mean = state.mean + deviation * (weight / jnp.maximum(count, 1.0))
        return Moments(count, mean, state.squares + weight * deviation * (position - mean))

    def metric(self, state: Moments) -> Diagonal:
        scale, floor = _shrink(state.draws)
        return Diagonal(scale * state.squares + floor)

    def identity(self, dimension: int) -> Diagonal:
        return Diagonal(np.ones(dimension))

    def from_inverse_mass(self, inverse_mass: np.ndarray) -> Diagonal:
        return Diagonal(inverse_mass)


class DenseCovariance:
    """Covariance of the draws: a dense metric.

    From fewer draws than twice the dimension only the variances are taken: so poor a covariance is worse than none.
    """

    name = "dense"

    def init(self, dimension: int) -> Moments:
        return Moments(np.float64(0.0), np.zeros(dimension), np.zeros((dimension, dimension)))

    def update(self, state: Moments, position: jax.Array, gradient: jax.Array, weight: jax.Array) -> Moments:
        count = state.draws + weight
        deviation = position - state.mean
        mean = state.mean + deviation * (weight / jnp.maximum(count, 1.0))
        outer = deviation[:, None] * (position - mean)[None, :]
        return Moments(count, mean, state.squares + weight * outer)

    def metric(self, state: Moments) -> Dense:
        scale, floor = _shrink(state.draws)
        squares = 0.5 * (state.squares + state.squares.T)
        identity = jnp.eye(squares.shape[0])
        squares = jnp.where(state.draws < 2 * squares.shape[0], squares * identity, squares)
        return dense(scale * squares + floor * identity)

    def identity(self, dimension: int) -> Dense:
        return Dense(np.eye(dimension), np.eye(dimension))

    def from_inverse_mass(self, inverse_mass: np.ndarray) -> Dense:
        return Dense(inverse_mass, np.linalg.inv(np.linalg.cholesky(inverse_mass)))


ESTIMATORS: dict[str, Estimator[Any, Any]] = {"diag": DiagonalVariance(), "dense": DenseCovariance()}
