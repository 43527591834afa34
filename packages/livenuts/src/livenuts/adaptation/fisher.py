"""The metric of least Fisher divergence between the posterior and a normal (arXiv:2603.18845; nutpie's idea).

From draws x and gradients g of the log density, the best diagonal metric is sqrt(var x / var g): on a normal target
two draws give it exactly, where a variance would need hundreds. What is left after scaling by it is a matrix, the
geometric mean of the draws' covariance and the gradients' inverse covariance; its largest and smallest eigenvalues
say along which directions a few more scales pay.
"""

from typing import NamedTuple

import numpy as np

_SMALLEST, _LARGEST = 1e-20, 1e20
# Draws that stand for the identity in both covariances: few when the draws determine a full matrix, else more.
_WEIGHT_DETERMINED, _WEIGHT_SPARSE = 0.1, 2.0


class Estimate(NamedTuple):
    """An inverse mass matrix S (I + V' (L - I) V) S as in `LowRank`, of any rank, 0 included."""

    scale: np.ndarray
    """(dimension,)"""
    directions: np.ndarray
    """(rank, dimension), orthonormal rows."""
    variances: np.ndarray
    """(rank,)"""

    def diagonal(self) -> "Estimate":
        """The scales alone."""
        return Estimate(self.scale, self.directions[:0], self.variances[:0])


def from_gradient(gradient: np.ndarray) -> Estimate:
    """A first guess from one gradient (dimension,): a scale of 1 / sqrt(|g|), and 1 where the gradient vanishes."""
    size = np.abs(gradient)
    scale = np.where(size < 1e-10, 1.0, 1.0 / np.sqrt(np.clip(size, 1e-10, _LARGEST)))
    return Estimate(scale, np.empty((0, gradient.shape[0])), np.empty(0))


def centered(rows: np.ndarray) -> np.ndarray:
    """Rows (n, dimension) less their mean: what the functions below take."""
    apart: np.ndarray = rows - rows.sum(0) / len(rows)
    return apart


def estimate(x: np.ndarray, g: np.ndarray, most: int, cutoff: float, fallback: np.ndarray) -> Estimate:
    """The metric from centered draws and gradients (n, dimension), with at most `most` directions.

    A direction counts when its variance after scaling is above `cutoff` or below 1 / `cutoff`. Scales that the draws
    do not determine are taken from `fallback` (dimension,).
    """
    num_draws, dimension = x.shape
    with np.errstate(all="ignore"):
        inverse_mass = np.sqrt(_squares(x) / _squares(g))
    known = np.isfinite(inverse_mass) & (inverse_mass > 0.0)
    scale = np.sqrt(np.where(known, inverse_mass.clip(_SMALLEST, _LARGEST), fallback**2))
    if most == 0 or num_draws < 2:
        return Estimate(scale, np.empty((0, dimension)), np.empty(0))
    x, g = x / scale, g * scale
    basis = None
    if 2 * num_draws < dimension:
        basis = np.linalg.qr(np.concatenate([x, g]).T)[0]
        x, g = x @ basis, g @ basis
    weight = _WEIGHT_DETERMINED if num_draws >= 2 * dimension else _WEIGHT_SPARSE
    variances, vectors = np.linalg.eigh(_geometric_mean(_covariance(x, weight), _covariance(g, weight)))
    order = np.argsort(-np.abs(np.log(variances)), kind="stable")[:most]
    order = order[(variances[order] > cutoff) | (variances[order] < 1.0 / cutoff)]
    vectors = vectors[:, order] if basis is None else basis @ vectors[:, order]
    return Estimate(scale, np.ascontiguousarray(vectors.T), variances[order])


def misfit(x: np.ndarray, g: np.ndarray, metric: Estimate) -> float:
    """The Fisher divergence from centered draws to the metric's normal, a dimension: 0 for a perfect fit.

    Inverse masses that are all wrong by a factor exp(+-d) have a misfit of 2 (cosh d - 1), nearly d^2.
    """
    squared = metric.scale**2
    total = (_squares(x) / squared).sum() + (_squares(g) * squared).sum()
    if metric.variances.size:
        along_x, along_g = (x / metric.scale) @ metric.directions.T, (g * metric.scale) @ metric.directions.T
        total += ((1.0 / metric.variances - 1.0) * along_x**2 + (metric.variances - 1.0) * along_g**2).sum()
    return float(total / x.size - 2.0)


def _squares(rows: np.ndarray) -> np.ndarray:
    """The sum of each column's squares."""
    squares: np.ndarray = np.einsum("ij,ij->j", rows, rows)
    return squares


def _covariance(rows: np.ndarray, weight: float) -> np.ndarray:
    covariance: np.ndarray = (rows.T @ rows + weight * np.eye(rows.shape[1])) / (rows.shape[0] + weight)
    return covariance


def _geometric_mean(covariance: np.ndarray, precision: np.ndarray) -> np.ndarray:
    """The matrix S with S precision S = covariance (Bhatia 2007, "Positive definite matrices", chapter 4)."""
    factor = np.linalg.cholesky(precision)
    values, vectors = np.linalg.eigh(factor.T @ covariance @ factor)
    root = (vectors * np.sqrt(np.maximum(values, _SMALLEST))) @ vectors.T
    half = np.linalg.solve(factor.T, root)
    mean = np.linalg.solve(factor.T, half.T)
    symmetric: np.ndarray = 0.5 * (mean + mean.T)
    return symmetric
