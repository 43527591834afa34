"""Covariance functions of Gaussian processes, and their spectra for the Hilbert-space approximation.

Places are arrays (n,) or (n, d); a kernel of x, (n, d), and y, (m, d), is a matrix (n, m). Rasmussen and Williams
2006, "Gaussian Processes for Machine Learning", chapter 4. Kernels add and multiply.
"""

import math
from typing import Any

import jax.numpy as jnp


def _columns(x: Any) -> Any:
    x = jnp.asarray(x)
    if x.ndim not in (1, 2):
        raise ValueError(f"a kernel takes places of shape (n,) or (n, d), got {x.shape}")
    return x[:, None] if x.ndim == 1 else x


def _squared_distance(x: Any, y: Any, length: Any) -> Any:
    """Squared distances in units of `length`, one number or one a dimension; (n, m)."""
    differences = _columns(x)[:, None, :] - _columns(y)[None, :, :]
    return jnp.sum((differences / length) ** 2, axis=-1)


def _distance(x: Any, y: Any, length: Any) -> Any:
    """Distances whose gradient at 0 is 0."""
    squared = _squared_distance(x, y, length)
    apart = squared > 0.0
    return jnp.where(apart, jnp.sqrt(jnp.where(apart, squared, 1.0)), 0.0)


def squared_exponential(x: Any, y: Any, scale: Any = 1.0, length: Any = 1.0) -> Any:
    """scale^2 exp(-r^2 / 2), r the distance in lengths: infinitely smooth functions of standard deviation `scale`."""
    return scale**2 * jnp.exp(-0.5 * _squared_distance(x, y, length))


def matern12(x: Any, y: Any, scale: Any = 1.0, length: Any = 1.0) -> Any:
    """scale^2 exp(-r): continuous, nowhere smooth."""
    return scale**2 * jnp.exp(-_distance(x, y, length))


def matern32(x: Any, y: Any, scale: Any = 1.0, length: Any = 1.0) -> Any:
    """scale^2 (1 + sqrt(3) r) exp(-sqrt(3) r): differentiable once."""
    r = math.sqrt(3.0) * _distance(x, y, length)
    return scale**2 * (1.0 + r) * jnp.exp(-r)


def matern52(x: Any, y: Any, scale: Any = 1.0, length: Any = 1.0) -> Any:
    """scale^2 (1 + sqrt(5) r + 5 r^2 / 3) exp(-sqrt(5) r): differentiable twice."""
    r = math.sqrt(5.0) * _distance(x, y, length)
    return scale**2 * (1.0 + r + r**2 / 3.0) * jnp.exp(-r)


def rational_quadratic(x: Any, y: Any, scale: Any = 1.0, length: Any = 1.0, mixture: Any = 1.0) -> Any:
    """scale^2 (1 + r^2 / (2 mixture))^(-mixture): squared exponentials of many lengths."""
    return scale**2 * (1.0 + _squared_distance(x, y, length) / (2.0 * mixture)) ** (-mixture)


def periodic(x: Any, y: Any, scale: Any = 1.0, length: Any = 1.0, period: Any = 1.0) -> Any:
    """scale^2 exp(-2 sum sin^2(pi (x - y) / period) / length^2)."""
    differences = _columns(x)[:, None, :] - _columns(y)[None, :, :]
    waves = jnp.sin(math.pi * differences / period) / length
    return scale**2 * jnp.exp(-2.0 * jnp.sum(waves**2, axis=-1))


def linear_kernel(x: Any, y: Any, scale: Any = 1.0, center: Any = 0.0) -> Any:
    """scale^2 (x - center) . (y - center): straight lines through `center`."""
    return scale**2 * (_columns(x) - center) @ (_columns(y) - center).T


def _frequencies(frequencies: Any, length: Any) -> tuple[Any, int, Any]:
    """Squared frequencies in units of 1 / length, (m,); dimensions; the product of the lengths."""
    columns = _columns(frequencies)
    dimensions = columns.shape[-1]
    volume = jnp.prod(jnp.broadcast_to(length, (dimensions,)))
    return jnp.sum((columns * length) ** 2, axis=-1), dimensions, volume


def squared_exponential_spectrum(frequencies: Any, scale: Any = 1.0, length: Any = 1.0) -> Any:
    """The spectral density of `squared_exponential` at angular frequencies, (m,) or (m, d); (m,)."""
    squared, d, volume = _frequencies(frequencies, length)
    return scale**2 * (2.0 * math.pi) ** (0.5 * d) * volume * jnp.exp(-0.5 * squared)


def _matern_spectrum(nu: float, frequencies: Any, scale: Any, length: Any) -> Any:
    squared, d, volume = _frequencies(frequencies, length)
    constant = 2.0**d * math.pi ** (0.5 * d) * math.gamma(nu + 0.5 * d) * (2.0 * nu) ** nu / math.gamma(nu)
    return scale**2 * constant * volume * (2.0 * nu + squared) ** (-(nu + 0.5 * d))


def matern32_spectrum(frequencies: Any, scale: Any = 1.0, length: Any = 1.0) -> Any:
    """The spectral density of `matern32`."""
    return _matern_spectrum(1.5, frequencies, scale, length)


def matern52_spectrum(frequencies: Any, scale: Any = 1.0, length: Any = 1.0) -> Any:
    """The spectral density of `matern52`."""
    return _matern_spectrum(2.5, frequencies, scale, length)


TABLE = {
    function.__name__: function
    for function in (
        squared_exponential,
        matern12,
        matern32,
        matern52,
        rational_quadratic,
        periodic,
        linear_kernel,
        squared_exponential_spectrum,
        matern32_spectrum,
        matern52_spectrum,
    )
}
