"""Tracking: the mean of each quantity follows its events, shift by shift, and may wander or jump.

A quantity's logarithm x moves by x_t = x_{t-1} + walk z, and with a small probability by a jump; a shift's lesson (a
count and a total of minutes) is scored by the law of its parts: gamma services of known total and sum of logarithms,
exponential times else, censored ones included. These are two models for all machines; their priors differ, and come
from the posterior of the history (`history.learn`).
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from livesmc2 import OnlineSMC2, StateSpaceModel
from numpy.typing import NDArray
from scipy import stats

from .watch import Lesson

JUMP_PROBABILITY = 0.02
"""Of a jump, a shift: one machine in fifty."""
JUMP_SD = 0.35
"""Of a jump, on the logarithm."""
WALK_PRIOR = stats.halfnorm(scale=0.02)
"""Of the walk's standard deviation a shift, on the logarithm."""

Floats = NDArray[np.float64]


def _move(rng: Any, level: float, walk: float) -> float:
    jump = JUMP_SD * rng.standard_normal() if rng.random() < JUMP_PROBABILITY else 0.0
    return level + walk * rng.standard_normal() + jump


def _exponential(y: Any, x: Any, theta: Any, t: Any) -> float:
    return -y.count * x.level - y.total * math.exp(-x.level)


def _gamma(y: Any, x: Any, theta: Any, t: Any) -> float:
    k = theta.shape
    constant = y.count * (k * (math.log(k) - x.level) - math.lgamma(k))
    return constant + (k - 1.0) * y.logs - k * y.total * math.exp(-x.level)


EXPONENTIAL = StateSpaceModel(
    name="drifting exponential times",
    parameters=("start", "walk"),
    state=("level",),
    observed=("count", "total"),
    initial=lambda rng, theta: (theta.start,),
    transition=lambda rng, x, theta, t: (_move(rng, x.level, theta.walk),),
    log_likelihood=_exponential,
)
GAMMA = StateSpaceModel(
    name="drifting gamma times",
    parameters=("start", "walk", "shape"),
    state=("level",),
    observed=("count", "total", "logs"),
    initial=lambda rng, theta: (theta.start,),
    transition=lambda rng, x, theta, t: (_move(rng, x.level, theta.walk),),
    log_likelihood=_gamma,
)


@dataclass(frozen=True)
class Belief:
    """Normal laws, before the first shift that is tracked."""

    level: tuple[float, float]
    """Mean and standard deviation of the logarithm of the mean, in minutes."""
    shape: tuple[float, float] | None = None
    """Of the logarithm of the gamma law's shape; None for exponential times."""


class Tracker:
    """One quantity of one machine."""

    def __init__(self, belief: Belief, seed: int, *, n_theta: int, n_x: int) -> None:
        prior: dict[str, Any] = {"start": stats.norm(*belief.level), "walk": WALK_PRIOR}
        if belief.shape is not None:
            prior["shape"] = stats.lognorm(s=belief.shape[1], scale=math.exp(belief.shape[0]))
        self.belief = belief
        self.gamma = belief.shape is not None
        self._prior = prior
        self._model = GAMMA if self.gamma else EXPONENTIAL
        self.smc = OnlineSMC2(self._model, prior, n_theta, n_x, seed, threads=1, max_n_x=n_x)

    def learn(self, lesson: Lesson) -> None:
        """Take in a shift."""
        y = [float(lesson.count), lesson.total]
        self.smc.update([*y, lesson.logs] if self.gamma else y)

    def next(self, draws: int) -> tuple[Floats, Floats | None]:
        """Draws of the mean in the next shift, and of the shape."""
        forecast = self.smc.forecast(1, n_draws=draws)
        means = np.exp(forecast.state["level"][0])
        return means, forecast.theta[:, 2] if self.gamma else None

    def level(self) -> tuple[Floats, Floats]:
        """The logarithm of the mean now, and its weights (particle,)."""
        if self.smc.t == 0:
            return np.asarray(self.smc.theta["start"]), np.asarray(self.smc.weights)
        return np.asarray(self.smc.state["level"]).ravel(), np.asarray(self.smc.state_weights).ravel()

    def quantiles(self, levels: tuple[float, ...] = (0.05, 0.5, 0.95)) -> list[float]:
        """Of the mean now, in minutes."""
        values, weights = self.level()
        order = np.argsort(values, kind="stable")
        reached = np.searchsorted(np.cumsum(weights[order]), levels)
        return [float(value) for value in np.exp(values[order][np.minimum(reached, len(values) - 1)])]

    def saved(self) -> bytes:
        """Its whole state."""
        kept: dict[str, bytes] = {}
        self.smc.save(kept)
        return kept["smc2"]

    def load(self, saved: bytes) -> None:
        """Be what was saved, to the bit."""
        self.smc = OnlineSMC2.load({"smc2": saved}, self._model, self._prior, threads=1)
