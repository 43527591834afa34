"""Sums of logarithms, and log-gammas, at a fraction of the usual cost; each with its gradient.

A logarithm costs three times an exponential and fifty times a product, so the logarithm of a product of several
factors stands for as many logarithms. Values and gradients agree with the plain formulas to rounding.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

# Eight factors up to this neither overflow nor, being its inverse at least, underflow.
_MOST = 1e38
_FACTORS = 8


@jax.custom_jvp
def exp_once(x: Any) -> Any:
    """exp(x) computed once and stored; XLA on its own may compute it again at every use."""
    return lax.optimization_barrier(jnp.exp(x))


@exp_once.defjvp
def _(primals: Any, tangents: Any) -> Any:
    value = exp_once(primals[0])
    return value, value * tangents[0]


def _log_of_products(factors: Any, count: int) -> Any:
    """The sum of the logarithms of the products of `count` factors each."""
    lanes = -(-factors.size // count)
    filled = jnp.concatenate([jnp.ravel(factors), jnp.ones(lanes * count - factors.size)])
    return jnp.sum(jnp.log(jnp.prod(filled.reshape(count, lanes), axis=0)))


def _sum_log(x: Any) -> Any:
    ordinary = (jnp.min(x) >= 1.0 / _MOST) & (jnp.max(x) <= _MOST)  # not so with a NaN
    return lax.cond(ordinary, lambda: _log_of_products(x, _FACTORS), lambda: jnp.sum(jnp.log(x)))


@jax.custom_jvp
def sum_log(x: Any) -> Any:
    """sum(log(x)) of a float64 array."""
    return _sum_log(x)


@sum_log.defjvp
def _(primals: Any, tangents: Any) -> Any:
    return _sum_log(primals[0]), jnp.sum(tangents[0] / primals[0])


def _sum_log1p(x: Any) -> Any:
    return lax.cond(jnp.max(x) <= _MOST, lambda: _log_of_products(1.0 + x, _FACTORS), lambda: jnp.sum(jnp.log1p(x)))


@jax.custom_jvp
def sum_log1p(x: Any) -> Any:
    """sum(log(1 + x)) of a float64 array that has no negative number, to the rounding of 1 + x."""
    return _sum_log1p(x)


@sum_log1p.defjvp
def _(primals: Any, tangents: Any) -> Any:
    return _sum_log1p(primals[0]), jnp.sum(tangents[0] / (1.0 + primals[0]))


@jax.custom_jvp
def sum_log1p_exp(t: Any) -> Any:
    """sum(log(1 + exp(-abs(t)))); its derivative at 0 is that of the left side."""
    return _log_of_products(1.0 + jnp.exp(-jnp.abs(t)), 2 * _FACTORS)


@sum_log1p_exp.defjvp
def _(primals: Any, tangents: Any) -> Any:
    small = exp_once(-jnp.abs(primals[0]))
    slope = jnp.where(primals[0] > 0.0, -small, small) / (1.0 + small)
    return _log_of_products(1.0 + small, 2 * _FACTORS), jnp.sum(slope * tangents[0])


# Coefficients of Stirling's series in odd powers of 1 / z (Abramowitz and Stegun 6.1.40), good to 1e-16 from z = 9 on.
_STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156)
# The same of log gamma(z + 1/2) - log gamma(z) - log(z) / 2.
_HALF_STEP = (-1 / 8, 1 / 192, -1 / 640, 17 / 14336, -31 / 18432, 691 / 180224, -5461 / 425984)
_SHIFT = 9


def _series(coefficients: tuple[float, ...], z: Any) -> tuple[Any, Any]:
    """The series and its derivative at z."""
    inverse = 1.0 / z
    square = inverse * inverse
    value, slope = jnp.zeros_like(z), jnp.zeros_like(z)
    for place in reversed(range(len(coefficients))):
        value = value * square + coefficients[place]
        slope = slope * square - (2 * place + 1) * coefficients[place]
    return value * inverse, slope * square


def _log_gamma(z: Any) -> tuple[Any, Any]:
    large = z > 1e8  # where a shift would be lost, and its product could overflow
    shifted = jnp.where(large, z, z + _SHIFT)
    value, slope = _series(_STIRLING, shifted)
    log = jnp.log(shifted)
    value = value + (shifted - 0.5) * log - shifted + 0.5 * math.log(2.0 * math.pi)
    slope = slope + log - 0.5 / shifted
    small = jnp.where(large, 1.0, z)
    product, reciprocals = small, 1.0 / small
    for k in range(1, _SHIFT):
        product, reciprocals = product * (small + k), reciprocals + 1.0 / (small + k)
    value = value - jnp.where(large, 0.0, jnp.log(product))
    return value, slope - jnp.where(large, 0.0, reciprocals)


@jax.custom_jvp
def log_gamma(z: Any) -> Any:
    """log(gamma(z)) of positive numbers."""
    return _log_gamma(z)[0]


@log_gamma.defjvp
def _(primals: Any, tangents: Any) -> Any:
    value, slope = _log_gamma(primals[0])
    return value, slope * tangents[0]


def _log_gamma_half_step(z: Any) -> tuple[Any, Any]:
    shifted = z + _SHIFT
    value, slope = _series(_HALF_STEP, shifted)
    value, slope = value + 0.5 * jnp.log(shifted), slope + 0.5 / shifted
    product: Any = 1.0
    for k in range(_SHIFT):
        product = product * ((z + k) / (z + k + 0.5))
        slope = slope + 0.5 / (z + k) / (z + k + 0.5)
    return value + jnp.log(product), slope


@jax.custom_jvp
def log_gamma_half_step(z: Any) -> Any:
    """log(gamma(z + 1/2)) - log(gamma(z)) of positive numbers."""
    return _log_gamma_half_step(z)[0]


@log_gamma_half_step.defjvp
def _(primals: Any, tangents: Any) -> Any:
    value, slope = _log_gamma_half_step(primals[0])
    return value, slope * tangents[0]
