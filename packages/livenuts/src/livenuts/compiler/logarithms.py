"""Sums of logarithms, and log-gammas, at a fraction of the usual cost; each with its gradient.

A logarithm costs three times an exponential and fifty times a product, so the logarithm of a product of sixteen
factors stands for sixteen logarithms. A factor between 1 and 2 cannot overflow; any other number is one times a power
of two. Values and gradients agree with the plain formulas to rounding.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

_FACTORS = 16
_FRACTION_BITS, _EXPONENT_BIAS = 52, 1023
_FRACTION = (1 << _FRACTION_BITS) - 1
_ONE = _EXPONENT_BIAS << _FRACTION_BITS
_SMALLEST = float(np.finfo(np.float64).tiny)
_LARGEST = float(np.finfo(np.float64).max)


def _log_of_product(factors: Any) -> Any:
    """The logarithm of the product of numbers between 1 and 2."""
    lanes = -(-factors.size // _FACTORS)
    filled = jnp.concatenate([jnp.ravel(factors), jnp.ones(lanes * _FACTORS - factors.size)])
    return jnp.sum(jnp.log(jnp.prod(filled.reshape(_FACTORS, lanes), axis=0)))


def _sum_log(x: Any) -> Any:
    bits = lax.bitcast_convert_type(x, jnp.int64)
    exponents = (bits >> _FRACTION_BITS) - _EXPONENT_BIAS
    fractions = lax.bitcast_convert_type((bits & _FRACTION) | _ONE, jnp.float64)
    total = _log_of_product(fractions) + math.log(2.0) * jnp.sum(exponents).astype(jnp.float64)
    # Zeros, infinities, negative numbers and NaNs decide the sum by themselves.
    least, most = jnp.min(x), jnp.max(x)
    return jnp.where((least >= _SMALLEST) & (most <= _LARGEST), total, jnp.log(least) + jnp.log(most))


@jax.custom_jvp
def sum_log(x: Any) -> Any:
    """sum(log(x)) of a float64 array."""
    return _sum_log(x)


@sum_log.defjvp
def _(primals: Any, tangents: Any) -> Any:
    return _sum_log(primals[0]), jnp.sum(tangents[0] / primals[0])


@jax.custom_jvp
def sum_log1p(x: Any) -> Any:
    """sum(log(1 + x)) of a float64 array that has no negative number, to the rounding of 1 + x."""
    return _sum_log(1.0 + x)


@sum_log1p.defjvp
def _(primals: Any, tangents: Any) -> Any:
    shifted = 1.0 + primals[0]
    return _sum_log(shifted), jnp.sum(tangents[0] / shifted)


@jax.custom_jvp
def sum_log1p_exp(t: Any) -> Any:
    """sum(log(1 + exp(-abs(t)))); its derivative at 0 is that of the left side."""
    return _log_of_product(1.0 + jnp.exp(-jnp.abs(t)))


@sum_log1p_exp.defjvp
def _(primals: Any, tangents: Any) -> Any:
    small = jnp.exp(-jnp.abs(primals[0]))
    shifted = 1.0 + small
    slope = jnp.where(primals[0] > 0.0, -small, small) / shifted
    return _log_of_product(shifted), jnp.sum(slope * tangents[0])


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
