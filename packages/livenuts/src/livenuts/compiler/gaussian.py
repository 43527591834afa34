"""The multivariate normal's log density by its covariance, with a gradient that inverts once.

Differentiating through a Cholesky factor costs two products and two triangular solves of whole matrices. The gradient
with respect to the covariance K is known: (a a' - K^-1) / 2 with a = K^-1 (x - m) (Rasmussen and Williams 2006,
"Gaussian Processes for Machine Learning", equation 5.9).
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular


@jax.custom_vjp
def log_density(covariance: Any, deviation: Any) -> Any:
    """The log density of N(0, covariance), (n, n), at `deviation`, (n,); NaN where it is not positive definite."""
    return _forward(covariance, deviation)[0]


def _forward(covariance: Any, deviation: Any) -> tuple[Any, tuple[Any, Any]]:
    factor = jnp.linalg.cholesky(covariance)
    whitened = solve_triangular(factor, deviation, lower=True)
    log_determinant = 2.0 * jnp.sum(jnp.log(jnp.diagonal(factor)))
    constant = deviation.shape[0] * math.log(2.0 * math.pi)
    value = -0.5 * (jnp.vdot(whitened, whitened) + log_determinant + constant)
    return value, (factor, whitened)


def _backward(saved: tuple[Any, Any], cotangent: Any) -> tuple[Any, Any]:
    factor, whitened = saved
    inverse_factor = solve_triangular(factor, jnp.eye(whitened.shape[0]), lower=True)
    solved = whitened @ inverse_factor
    by_covariance = 0.5 * (jnp.outer(solved, solved) - inverse_factor.T @ inverse_factor)
    return cotangent * by_covariance, -cotangent * solved


log_density.defvjp(_forward, _backward)
