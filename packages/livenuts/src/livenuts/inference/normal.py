"""Normal distributions whose covariance is a diagonal, changed in a few directions or in all."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy.linalg import solve_triangular


class Normal(NamedTuple):
    """N(mean, S (I + Q (L L' - I) Q') S) with S = diag(scale), Q orthonormal columns, L lower triangular.

    No columns: independent coordinates. As many as there are coordinates: any covariance.
    """

    mean: np.ndarray
    """(dimension,)"""
    scale: np.ndarray
    """(dimension,), positive."""
    basis: np.ndarray
    """Q: (dimension, rank)"""
    factor: np.ndarray
    """L: (rank, rank), with a positive diagonal."""

    def draw(self, standard: np.ndarray) -> np.ndarray:
        """Points (n, dimension) from standard normal ones."""
        inside = standard @ self.basis
        moved = standard + (inside @ self.factor.T - inside) @ self.basis.T
        return self.mean + self.scale * moved

    def log_density(self, points: np.ndarray) -> np.ndarray:
        """At points (n, dimension): (n,)."""
        apart = (points - self.mean) / self.scale
        inside = apart @ self.basis
        if inside.shape[1]:
            whitened = solve_triangular(self.factor, inside.T, lower=True).T
            squares = (apart**2).sum(1) - (inside**2).sum(1) + (whitened**2).sum(1)
        else:
            squares = (apart**2).sum(1)
        found: np.ndarray = -0.5 * (squares + len(self.mean) * math.log(2.0 * math.pi)) - self.log_volume()
        return found

    def log_volume(self) -> float:
        """Half the log determinant of the covariance."""
        return float(np.log(self.scale).sum() + np.log(np.diag(self.factor)).sum())

    def covariance(self) -> np.ndarray:
        """(dimension, dimension)"""
        inner = self.factor @ self.factor.T - np.eye(len(self.factor))
        whole: np.ndarray = np.eye(len(self.mean)) + self.basis @ inner @ self.basis.T
        return self.scale[:, None] * whole * self.scale

    def standard_deviations(self) -> np.ndarray:
        """(dimension,)"""
        part = self.basis @ self.factor
        squares = 1.0 + (part**2).sum(1) - (self.basis**2).sum(1)
        found: np.ndarray = self.scale * np.sqrt(squares)
        return found


def independent(mean: np.ndarray, scale: np.ndarray) -> Normal:
    """Independent coordinates."""
    return Normal(mean, scale, np.empty((len(mean), 0)), np.empty((0, 0)))


def dense(mean: np.ndarray, factor: np.ndarray) -> Normal:
    """A normal with covariance `factor factor'`, `factor` lower triangular with a positive diagonal."""
    return Normal(mean, np.ones(len(mean)), np.eye(len(mean)), factor)


def symmetric_divergence(first: Normal, second: Normal) -> float:
    """KL(first, second) + KL(second, first), in nats."""
    if first.basis.shape[1] == second.basis.shape[1] == 0:
        ratio = (first.scale / second.scale) ** 2
        apart = (first.mean - second.mean) ** 2 * (1.0 / first.scale**2 + 1.0 / second.scale**2)
        return float(0.5 * (ratio + 1.0 / ratio - 2.0 + apart).sum())
    a, b = first.covariance(), second.covariance()
    apart = first.mean - second.mean
    both = np.linalg.solve(a, np.column_stack([b, apart])), np.linalg.solve(b, np.column_stack([a, apart]))
    traces = sum(float(np.trace(solved[:, :-1])) for solved in both)
    return 0.5 * (traces - 2.0 * len(apart) + sum(float(apart @ solved[:, -1]) for solved in both))
