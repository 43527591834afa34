"""The parameter particles: values, weights, a particle filter for each, and what stands for the past of a window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from livesmc2.kernel.weights import systematic
from livesmc2.model.prior import Prior
from livesmc2.runtime.blocks import Filters


class Normal(NamedTuple):
    """A normal law on the line on which parameters move."""

    mean: np.ndarray
    cholesky: np.ndarray
    """Of its covariance, lower."""

    def log_density(self, u: np.ndarray) -> np.ndarray:
        """log density at u (n, d) -> (n,)."""
        z = np.linalg.solve(self.cholesky, (u - self.mean).T)
        constant = 0.5 * len(self.mean) * np.log(2 * np.pi) + np.log(np.diag(self.cholesky)).sum()
        return np.asarray(-0.5 * (z * z).sum(axis=0) - constant)


def fitted_normal(u: np.ndarray, weights: np.ndarray) -> Normal:
    """Mean and covariance of weighted particles; where they are too few to span the space, variances help out."""
    mean = weights @ u
    centred = u - mean
    covariance = (centred * weights[:, None]).T @ centred
    variances = np.maximum(np.diag(covariance), 1e-12 * (1.0 + mean * mean))
    d = len(mean)
    few = 1.0 / (weights @ weights) < 2 * (d + 1)
    for share in (0.0, 0.1, 0.5, 1.0):
        if few and share == 0.0:
            continue
        mixed = (1.0 - share) * covariance
        mixed[np.diag_indices(d)] = variances * (1.0 + 1e-9)
        try:
            return Normal(mean, np.linalg.cholesky(mixed))
        except np.linalg.LinAlgError:
            continue
    raise AssertionError("a diagonal of positive numbers has a root")


@dataclass
class Anchor:
    """A moment from which filters can be run anew: after the first `time` observations.

    past is p(theta | those observations), None for the prior; x and w are the filters' states, None at time 0. lines
    (n_theta,) says which of a conditional filter's particles follows its path here, None if no filter was made so.
    """

    time: int
    past: Normal | None = None
    x: np.ndarray | None = None
    w: np.ndarray | None = None
    lines: np.ndarray | None = None

    def take(self, rows: np.ndarray) -> None:
        """Become the anchor of these rows."""
        for name in ("x", "w", "lines"):
            part = getattr(self, name)
            if part is not None:
                setattr(self, name, np.ascontiguousarray(part[rows]))


@dataclass
class References:
    """Paths through which filters were made conditionally: to run those again, their paths are needed."""

    path: np.ndarray
    """(n_theta, times, state)."""
    corrections: np.ndarray
    """A guide's log f - log q along them (n_theta, times)."""
    start: int
    """The time of the first."""
    until: np.ndarray
    """Before which time a row's filter is conditional (n_theta,); 0: it is not."""

    @classmethod
    def none(cls, n: int, state_width: int) -> References:
        """No filter is conditional."""
        return cls(np.zeros((n, 0, state_width)), np.zeros((n, 0)), 0, np.zeros(n, np.int64))

    def of(self, rows: np.ndarray) -> References:
        """Those of these rows."""
        return References(self.path[rows], self.corrections[rows], self.start, self.until[rows])


@dataclass
class Cloud:
    """Parameter particles with their filters; row m of everything belongs to one of them."""

    prior: Prior
    u: np.ndarray
    """On the line (n_theta, d)."""
    theta: np.ndarray
    """As the model sees them (n_theta, d)."""
    log_weights: np.ndarray
    """Normalised (n_theta,)."""
    filters: Filters
    anchors: list[Anchor]
    """The older one is where moves begin; without a window that is time 0."""
    references: References

    @classmethod
    def drawn(cls, prior: Prior, theta: np.ndarray, filters: Filters) -> Cloud:
        """From the prior, with equal weights."""
        n = len(theta)
        u = prior.to_line(theta)
        return cls(
            prior, u, theta, np.full(n, -np.log(n)), filters, [Anchor(0)], References.none(n, filters.x.shape[1])
        )

    @property
    def weights(self) -> np.ndarray:
        """Normalised (n_theta,)."""
        weights = np.exp(self.log_weights)
        return np.asarray(weights / weights.sum())

    def log_past(self, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """theta of u, and the log density of u before the window: the prior's, or that of what stands for the past."""
        past = self.anchors[0].past
        if past is None:
            return self.prior.log_density_on_line(u)
        theta, _ = self.prior.from_line(u)
        possible = np.isfinite(self.prior.log_density(theta))
        return theta, np.where(possible, past.log_density(u), -np.inf)

    def resample(self, offset: float) -> None:
        """Systematic resampling: parameters, filters, increments and anchors together."""
        n = len(self.u)
        ancestors = np.empty(n + 1, np.int32)
        systematic(self.weights, offset, ancestors)
        rows = ancestors[:n].astype(np.int64)
        self.u, self.theta = self.u[rows], self.theta[rows]
        self.filters.take(rows)
        self.references = self.references.of(rows)
        for anchor in self.anchors:
            anchor.take(rows)
        self.log_weights = np.full(n, -np.log(n))

    def slide(self, time: int, window: int) -> None:
        """Set an anchor each `window` observations and keep the newest two: moves replay the W + 1 to 2 W newest."""
        if time - self.anchors[-1].time < window:
            return
        past = fitted_normal(self.u, self.weights)
        self.anchors.append(Anchor(time, past, self.filters.x.copy(), self.filters.w.copy()))
        if len(self.anchors) > 2:
            self.anchors.pop(0)
            self.filters.forget(self.anchors[0].time)
