"""L-BFGS on a log density, with the normal distribution that each of its steps suggests.

Zhang, Carpenter, Gelman and Vehtari 2022, "Pathfinder: parallel quasi-Newton variational inference", algorithms 1, 3
and 4. The inverse Hessian of the negative log density is H = diag(alpha) + beta gamma beta', of `history` pairs at
most (Byrd, Nocedal and Schnabel 1994, theorem 2.2); alpha follows the diagonal update of Gilbert and Lemarechal 1989.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from scipy.linalg import solve_triangular

from livenuts.inference.normal import Normal

Evaluate = Callable[[np.ndarray], tuple[float, np.ndarray]]
"""position -> (log density, gradient)"""

# A pair is kept if s'y is beyond this part of y'y: the curvature along it is positive, and not all rounding.
_LEAST_CURVATURE = 1e-12
# Wolfe conditions: what a step must gain of what the slope promises, and how much of the slope may be left.
_GAIN, _SLOPE_LEFT = 1e-4, 0.9
_MOST_TRIALS = 40
# A step is made exact along its line as far as this part of the slope.
_EXACT = 1e-8


class Point(NamedTuple):
    """Where a path stands."""

    position: np.ndarray
    log_density: float
    gradient: np.ndarray


class InverseHessian:
    """Of the negative log density, from the last pairs of steps s and changes y of its gradient."""

    def __init__(self, dimension: int, history: int) -> None:
        self._alpha = np.ones(dimension)
        self._steps: list[np.ndarray] = []
        self._changes: list[np.ndarray] = []
        self._history = history

    def update(self, step: np.ndarray, change: np.ndarray) -> bool:
        """Learn from a step s and the change y of the gradient of the *negative* log density; whether it was taken."""
        curvature = float(step @ change)
        if not curvature > _LEAST_CURVATURE * float(change @ change):
            return False
        alpha = self._alpha
        a, c = float(change @ (alpha * change)), float(step @ (step / alpha))
        inverse = a / (curvature * alpha) + change**2 / curvature - a * step**2 / (curvature * c * alpha**2)
        if not (np.isfinite(inverse).all() and (inverse > 0.0).all()):
            return False
        self._alpha = 1.0 / inverse
        self._steps = [*self._steps, step][-self._history :]
        self._changes = [*self._changes, change][-self._history :]
        return True

    def normal(self, point: Point) -> Normal | None:
        """The normal with covariance H around `point + H gradient`; None where rounding left H indefinite."""
        scale = np.sqrt(self._alpha)
        basis, factor = np.empty((len(scale), 0)), np.empty((0, 0))
        if self._steps:
            steps, changes = np.array(self._steps).T, np.array(self._changes).T
            products = steps.T @ changes
            upper = np.triu(products)
            # gamma = [[0, -R^-1], [-R^-T, R^-T (E + Y' diag(alpha) Y) R^-1]]
            inverse = solve_triangular(upper, np.eye(len(upper)))
            middle = np.diag(np.diag(products)) + changes.T @ (self._alpha[:, None] * changes)
            gamma = np.block([[np.zeros_like(inverse), -inverse], [-inverse.T, inverse.T @ middle @ inverse]])
            beta = np.concatenate([scale[:, None] * changes, steps / scale[:, None]], axis=1)
            basis, triangle = np.linalg.qr(beta)
            inner = triangle @ gamma @ triangle.T
            try:
                factor = np.linalg.cholesky(np.eye(len(inner)) + 0.5 * (inner + inner.T))
            except np.linalg.LinAlgError:
                return None
        centred = Normal(np.zeros(len(scale)), scale, basis, factor)
        return centred._replace(mean=point.position + times(centred, point.gradient))


def times(normal: Normal, vector: np.ndarray) -> np.ndarray:
    """A normal's covariance times a vector."""
    scaled = normal.scale * vector
    inside = normal.basis.T @ scaled
    moved: np.ndarray = scaled + normal.basis @ (normal.factor @ (normal.factor.T @ inside) - inside)
    return normal.scale * moved


def path(
    evaluate: Evaluate, start: np.ndarray, history: int, most_steps: int, tolerance: float
) -> Iterator[tuple[Point, Normal]]:
    """The points that L-BFGS visits from `start`, each with its normal.

    It ends where a Newton step promises less than `tolerance` nats, or where no step gains anything.
    """
    point = Point(start, *evaluate(start))
    hessian = InverseHessian(len(start), history)
    size = min(1.0, 1.0 / float(np.abs(point.gradient).sum() or 1.0))
    normal: Normal | None = None
    for number in range(most_steps):
        direction = point.gradient * size if number == 0 or normal is None else times(normal, point.gradient)
        slope = float(direction @ point.gradient)
        if not slope > tolerance + 1e-14 * abs(point.log_density) and number > 0:
            return
        following = _along(evaluate, point, direction, slope)
        if following is None:
            return
        hessian.update(following.position - point.position, point.gradient - following.gradient)
        point = following
        normal = hessian.normal(point)
        if normal is not None and np.isfinite(normal.mean).all():
            yield point, normal


def _along(evaluate: Evaluate, start: Point, direction: np.ndarray, slope: float) -> Point | None:
    """The best point along a direction of ascent: by bisection to the Wolfe conditions, then by one secant step.

    On a quadratic log density the secant step is exact, so that `history` >= dimension steps find it as it is.
    """
    if not slope > 0.0:
        return None
    low, high, length = 0.0, np.inf, 1.0
    for _ in range(_MOST_TRIALS):
        position = start.position + length * direction
        found = Point(position, *evaluate(position))
        left = float(found.gradient @ direction)
        finite = np.isfinite(found.log_density) and np.isfinite(found.gradient).all()
        if not finite or found.log_density < start.log_density + _GAIN * length * slope:
            high = length
        elif left > _SLOPE_LEFT * slope:
            low = length
        else:
            break
        length = 2.0 * low if high == np.inf else 0.5 * (low + high)
    else:
        return None
    if abs(left) > _EXACT * slope and left < slope:
        position = start.position + length * slope / (slope - left) * direction
        exact = Point(position, *evaluate(position))
        if exact.log_density >= found.log_density and np.isfinite(exact.gradient).all():
            return exact
    return found
