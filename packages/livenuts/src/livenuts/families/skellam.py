"""The difference of two Poisson counts, exact far out in both tails."""

import math
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.distributions import constraints

from livenuts.families.continuous import Univariate

# Gauss and Legendre's rule on (0, 1).
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(64)
_NODES, _WEIGHTS = 0.5 * (_NODES + 1.0), 0.5 * _WEIGHTS


class _Integer(constraints.Constraint):  # type: ignore[misc]
    """Any integer, of either sign."""

    is_discrete = True

    def __call__(self, x: Any) -> Any:
        return x == jnp.floor(x) if isinstance(x, jax.Array) else np.equal(x, np.floor(x))

    def feasible_like(self, prototype: Any) -> Any:
        return jnp.zeros_like(prototype)

    def tree_flatten(self) -> Any:
        return (), ((), {})


INTEGER = _Integer()


class Skellam(Univariate):
    """Poisson(rate1) - Poisson(rate2), independent (Skellam 1946)."""

    arg_constraints: ClassVar[dict[str, Any]] = {"rate1": constraints.positive, "rate2": constraints.positive}
    support = INTEGER

    def __init__(self, rate1: Any = 1.0, rate2: Any = 1.0, *, validate_args: bool | None = None) -> None:
        super().__init__(rate1=rate1, rate2=rate2, validate_args=validate_args)

    def log_prob(self, value: Any) -> Any:
        """By Cauchy's integral on the circle through the saddle point, where nothing cancels.

        P(k) is the coefficient of z^k in exp(rate1 z + rate2 / z - rate1 - rate2). On |z| = r with
        rate1 r - rate2 / r = k, and A = rate1 r + rate2 / r, its integrand is largest at angle 0 and falls like
        exp(-A angle^2 / 2).
        """
        spread = jnp.sqrt(value**2 + 4.0 * self.rate1 * self.rate2)
        tilt = jnp.arcsinh(0.5 * value / jnp.sqrt(self.rate1 * self.rate2))
        tilt = tilt + 0.5 * (jnp.log(self.rate2) - jnp.log(self.rate1))
        # Beyond this angle the integrand is below exp(-40): the integral does not depend on it.
        end = jax.lax.stop_gradient(2.0 * jnp.arcsin(jnp.minimum(1.0, jnp.sqrt(20.0 / spread))))
        angle = end[..., None] * _NODES
        phase = jnp.asarray(value)[..., None] * (jnp.sin(angle) - angle)
        integrand = jnp.exp(-2.0 * spread[..., None] * jnp.sin(0.5 * angle) ** 2) * jnp.cos(phase)
        integral = end / math.pi * jnp.sum(_WEIGHTS * integrand, axis=-1)
        return spread - self.rate1 - self.rate2 - value * tilt + jnp.log(integral)

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Any:
        first, second = jax.random.split(key)
        shape = (*sample_shape, *self.batch_shape)
        return jax.random.poisson(first, self.rate1, shape) - jax.random.poisson(second, self.rate2, shape)

    @property
    def mean(self) -> Any:
        return self.rate1 - self.rate2

    @property
    def variance(self) -> Any:
        return self.rate1 + self.rate2
