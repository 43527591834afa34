"""Forecasts: states and observations simulated forward from a cloud, and how well they met what came."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from livesmc2.compiler.program import Program
from livesmc2.kernel.rng import derive
from livesmc2.kernel.summary import systematic_pairs
from livesmc2.model.state_space import ModelError
from livesmc2.runtime.cloud import Cloud
from livesmc2.runtime.step import LEVELS


@dataclass(frozen=True)
class Forecast:
    """Draws of the next times, equally weighted. h = 0 is the next observation."""

    t: int
    """Index of the first time forecast."""
    theta: np.ndarray
    """The draws' parameters (draw, parameter)."""
    x: np.ndarray
    """States (h, draw, state number)."""
    y: np.ndarray | None
    """Observations (h, draw, component), where the model has `observe`."""
    _program: Program
    _covariates: np.ndarray

    @property
    def state(self) -> dict[str, np.ndarray]:
        """States by name (h, draw), or (h, draw, length)."""
        return self._program.model.state_fields.split(self.x, 2)

    @property
    def observations(self) -> np.ndarray:
        """Observations (h, draw), or (h, draw, component) where they have names."""
        if self.y is None:
            raise ModelError("forecasts of observations need a function `observe` in the model; it has none")
        return self.y if self._program.model.observed else self.y[:, :, 0]

    def quantiles(self, levels: Any = LEVELS, of: str | None = None) -> np.ndarray:
        """Quantiles (level, h) of the observations, or of a state by name."""
        return np.quantile(self._draws(of), np.asarray(levels, float), axis=1, method="inverted_cdf")

    def mean(self, of: str | None = None) -> np.ndarray:
        """Means (h,) of the observations, or of a state by name."""
        return np.asarray(self._draws(of).mean(axis=1))

    def _draws(self, of: str | None) -> np.ndarray:
        if of is not None and of not in self.state:
            raise KeyError(f"{of!r} is no state; there are {', '.join(self.state)}")
        return self.observations if of is None else self.state[of]

    def log_score(self, ys: Any) -> np.ndarray:
        """log p(y_{t+h} | observations before t) (h,), each by itself; NaN where y is missing. Larger is better."""
        rows = self._rows(ys)
        scores = np.full(len(rows), np.nan)
        ll = np.empty(self.x.shape[1])
        for h, row in enumerate(rows):
            if np.isnan(row).all():
                continue
            self._program.likelihood_block(
                np.ascontiguousarray(self.x[h]), self.theta, row[None], self._covariates[h : h + 1], self.t + h, ll
            )
            usable = np.where(np.isnan(ll), -np.inf, ll)
            top = usable.max()
            scores[h] = top + math.log(np.exp(usable - top).mean()) if top > -np.inf else -np.inf
        return scores

    def crps(self, ys: Any) -> np.ndarray:
        """The continuous ranked probability score (h,), in the observation's unit; smaller is better.

        E|Y - y| - E|Y - Y'| / 2 over the draws (Gneiting and Raftery 2007, equation 21). With named components (h,
        component).
        """
        rows, draws = self._rows(ys), self._observed()
        n = draws.shape[1]
        ordered = np.sort(draws[: len(rows)], axis=1)
        rank = (2.0 * np.arange(n) - n + 1)[None, :, None]
        spread = (rank * ordered).sum(axis=1) / n**2
        scores = np.abs(draws[: len(rows)] - rows[:, None]).mean(axis=1) - spread
        return scores if self._program.model.observed else scores[:, 0]

    def pit(self, ys: Any) -> np.ndarray:
        """The probability integral transform (h,): P(Y < y) + P(Y = y) / 2, uniform for forecasts that are right."""
        rows, draws = self._rows(ys), self._observed()[: len(ys)]
        values = (draws < rows[:, None]).mean(axis=1) + 0.5 * (draws == rows[:, None]).mean(axis=1)
        values = np.where(np.isnan(rows), np.nan, values)
        return values if self._program.model.observed else values[:, 0]

    def _observed(self) -> np.ndarray:
        _ = self.observations
        assert self.y is not None
        return self.y

    def _rows(self, ys: Any) -> np.ndarray:
        rows = self._program.model.rows(ys)
        if not 1 <= len(rows) <= len(self.x):
            raise ValueError(f"the forecast is of {len(self.x)} times; got {len(rows)} observations")
        return rows


def simulate(
    program: Program, cloud: Cloud, t: int, horizon: int, n_draws: int, covariates: np.ndarray, key: int
) -> Forecast:
    """Draw parameters and states, and let them go on."""
    rows, columns = np.empty(n_draws, np.int64), np.empty(n_draws, np.int64)
    offset = float((derive(key, 0) >> 12) * 2.0**-52 + 2.0**-53)
    systematic_pairs(cloud.filters.w, cloud.weights, offset, rows, columns)
    x = np.ascontiguousarray(cloud.filters.x[rows, :, columns])
    theta = np.ascontiguousarray(cloud.theta[rows])
    model = program.model
    out_x = np.empty((horizon, n_draws, x.shape[1]))
    out_y = np.empty((horizon, n_draws, model.observation_width))
    program.simulate_block(x, theta, covariates, t, np.uint64(derive(key, 1)), out_x, out_y)
    return Forecast(t, theta, out_x, None if model.observe is None else out_y, program, covariates)


def mixture(forecasts: Sequence[Forecast], weights: Any, n_draws: int = 2000) -> np.ndarray:
    """Draws of observations (h, draw) from several models' forecasts, averaged with these weights (k,)."""
    weights = np.asarray(weights, float)
    if weights.shape != (len(forecasts),) or not np.isclose(weights.sum(), 1.0) or (weights < 0).any():
        raise ValueError(f"weights must be {len(forecasts)} probabilities that sum to 1, got {weights}")
    ends = np.round(np.cumsum(weights) * n_draws).astype(int)
    parts = []
    for forecast, first, last in zip(forecasts, [0, *ends[:-1]], ends, strict=True):
        draws = forecast.observations
        places = (np.arange(last - first) + 0.5) * draws.shape[1] / max(last - first, 1)
        parts.append(draws[:, places.astype(int)])
    return np.concatenate(parts, axis=1)
