"""Gaussian processes at new places, and their approximation by a basis of sines."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


class HSGP:
    """A basis in which a Gaussian process is a sum of independent normal weights.

    f = basis.features @ (ln.sqrt(ln.squared_exponential_spectrum(basis.frequencies, scale, length)) * ref("z")) with
    z standard normal approximates a process with that kernel, at cost n m instead of n^3. `num` basis functions a
    dimension, on a box `boundary` times as wide as the data: longer lengths want a larger box, shorter ones more
    functions. Solin and Särkkä 2020, "Hilbert space methods for reduced-rank Gaussian process regression"; Riutort-
    Mayol et al. 2023 for the choice of both.
    """

    def __init__(self, x: Any, num: int = 20, boundary: float = 1.5) -> None:
        places = _places(x)
        if not isinstance(num, int) or num < 1:
            raise ValueError(f"HSGP: num must be a positive integer, got {num!r}")
        if not boundary >= 1.0:
            raise ValueError(f"HSGP: boundary must be at least 1, got {boundary!r}")
        low, high = places.min(axis=0), places.max(axis=0)
        if (low == high).any():
            raise ValueError(f"HSGP: all places are {low.tolist()} along some dimension; there is nothing to learn")
        self.center = 0.5 * (low + high)
        self.half_width = boundary * 0.5 * (high - low)
        grids = np.meshgrid(*[np.arange(1, num + 1)] * places.shape[1], indexing="ij")
        self._numbers = np.stack([grid.ravel() for grid in grids], axis=-1)
        frequencies = self._numbers * math.pi / (2.0 * self.half_width)
        self.frequencies: np.ndarray = frequencies[:, 0] if frequencies.shape[1] == 1 else frequencies
        """Square roots of the Laplacian's eigenvalues, (m,) or (m, d)."""
        self.features: np.ndarray = self.at(x)
        """The basis at the data's places, (n, m)."""

    def at(self, x: Any) -> np.ndarray:
        """The basis at other places, (n, m); beyond the box it means nothing, and is an error."""
        apart = _places(x) - self.center
        if (np.abs(apart) > self.half_width * (1.0 + 1e-9)).any():
            raise ValueError("HSGP: places outside of the box; give a larger boundary")
        angles = (apart + self.half_width)[:, None, :] * self._numbers * math.pi / (2.0 * self.half_width)
        waves: np.ndarray = np.prod(np.sin(angles) / np.sqrt(self.half_width), axis=-1)
        return waves


def _places(x: Any) -> np.ndarray:
    places = np.asarray(x, float)
    if places.ndim not in (1, 2) or not len(places) or not np.isfinite(places).all():
        raise ValueError(f"HSGP: places must be finite, of shape (n,) or (n, d), got shape {places.shape}")
    return places[:, None] if places.ndim == 1 else places


def gp_conditional(here: Any, across: Any, there: Any, observed: Any, noise: Any = 0.0) -> tuple[Any, Any]:
    """Mean, (m,), and covariance, (m, m), of a Gaussian process at new places, given values seen with noise.

    `here` is the kernel among the n observed places, `across` between new and observed ones, (m, n), `there` among
    the new ones; `observed` are the values less the mean, `noise` their standard deviation. Rasmussen and Williams
    2006, equations 2.23 and 2.24.
    """
    import jax.numpy as jnp
    from jax.scipy.linalg import solve_triangular

    factor = jnp.linalg.cholesky(here + jnp.square(noise) * jnp.eye(here.shape[0]))
    half = solve_triangular(factor, jnp.transpose(across), lower=True)
    mean = half.T @ solve_triangular(factor, jnp.asarray(observed), lower=True)
    return mean, there - half.T @ half
