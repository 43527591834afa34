"""Warm-up as a sequence of lessons at fixed draws, over one chain or over several that share what they learn.

Between two lessons chains draw on their own, dual averaging moving their step sizes. A lesson takes the draws and
gradients of the last half of warm-up, from all chains, and makes a new metric of them. When the metric in use turns
out to fit the draws made with it as well as a new one would, and the log density has stopped drifting, warm-up is
over: the draws made with the metric in use also say which step size it wants. Otherwise the last stretch, a sixth of
warm-up or more, keeps the metric and settles the step size.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from livenuts.adaptation.dual_averaging import settled
from livenuts.adaptation.fisher import Estimate, centered, estimate, from_gradient, misfit
from livenuts.adaptation.one_thread import one_thread

LESSONS = (12, 30, 60, 100, 150, 225, 340, 510, 765)
"""Draws of a chain after which it learns; after the last, one and a half times as many, and so on."""
_GROWTH = 1.5
_LAST_LESSON = 0.85
# Warm-up may not end before this many draws of a chain: the start must be forgotten.
_FEWEST = 100
_GOOD_MISFIT = 0.2
# R-hat over pieces of the window, of the log density and of every parameter.
_GOOD_RHAT = 1.15
# Every chain gives two pieces, and all together this many: two halves of a chain that mixes slowly agree too often.
_FEWEST_PIECES = 8
# A warm start's metric is kept unless another fits this much better on draws that it has not seen.
_WARM_LESSON = 50
# Directions whose variance is beyond this factor may be worth their cost in every step.
CUTOFF = 2.0
MOST_DIRECTIONS = 32
# Fewer draws than this have no directions worth knowing.
_FEWEST_FOR_DIRECTIONS = 10
# "auto" tries directions for the stretch after either of these lessons, goes without them for the next one, and keeps
# them if they saved this share of the leapfrog steps.
_TRIALS = (30, 225)
_WORTH_SAVING = 0.1


class Stretch(NamedTuple):
    """What a chain drew between two lessons."""

    draws: np.ndarray
    """(n, dimension)"""
    gradients: np.ndarray
    """(n, dimension)"""
    log_densities: np.ndarray
    """(n,)"""
    steps: np.ndarray
    """(n,)"""
    acceptance_rates: np.ndarray
    """(n,)"""
    num_steps: np.ndarray
    """(n,): leapfrog steps."""
    diverging: np.ndarray
    """(n,): whether the trajectory diverged."""
    usable: np.ndarray
    """(n,): whether the draw may teach the metric; one that a divergence threw back may not."""


class Lesson(NamedTuple):
    """What chains do next: go on with `metric` (None: as before), or end warm-up with `step` for sampling."""

    metric: Estimate | None
    search: bool
    """Whether the step size is to be searched anew."""
    step: float | None


def most_directions(metric: str, dimension: int) -> int:
    """How many directions a metric of this kind may have."""
    return {"diag": 0, "dense": dimension}.get(metric, min(dimension, MOST_DIRECTIONS))


class Warmup:
    """The lessons of one group of chains. Everything here follows from draws alone, never from a clock."""

    def __init__(
        self,
        metric: str,
        dimension: int,
        num_warmup: int,
        target_accept: float,
        *,
        early_stop: bool,
        start: Estimate | None = None,
    ) -> None:
        self._metric, self._target, self._early_stop = metric, target_accept, early_stop
        self._most = most_directions(metric, dimension)
        self._cutoff = 1.0 if metric == "dense" else CUTOFF
        self._warm = start is not None
        self._current = start
        self._lessons = lessons(num_warmup, warm=self._warm)
        self._taken = 0
        self._with_directions = metric != "auto" or (start is not None and start.variances.size > 0)
        self._trial: list[float] | None = None
        """While directions are on trial: leapfrog steps and divergences a draw with them, once known."""
        self._window: list[list[Stretch]] = []
        """Of each stretch in the window, what every chain drew."""

    @property
    def is_warm(self) -> bool:
        """Whether it began with a metric that was known."""
        return self._warm

    @property
    def until(self) -> int:
        """The draw of a chain at which the next lesson is due."""
        return self._lessons[self._taken]

    def first_metric(self, gradient: np.ndarray) -> Estimate:
        """What a chain begins with, given the gradient at its start."""
        return self._current or from_gradient(gradient)

    def learn(self, stretches: list[Stretch]) -> Lesson:
        """The lesson from what every chain drew since the last one."""
        with one_thread(rows=stretches[0].draws.shape[1]):
            return self._learn(stretches)

    def _learn(self, stretches: list[Stretch]) -> Lesson:
        self._taken += 1
        self._window.append(stretches)
        due = self._lessons[self._taken - 1]
        if due == self._lessons[-1]:
            return Lesson(None, False, self._settle(stretches))
        while sum(len(part[0].draws) for part in self._window[1:]) * 2 >= due:
            del self._window[0]
        draws, gradients = self._pooled()
        if len(draws) < 2:
            return Lesson(None, False, None)
        self._judge(stretches)
        x, g = centered(draws), centered(gradients)
        new = self._estimate(x, g)
        if self._early_stop and self._trial is None and self._is_good(due, new, x, g):
            return Lesson(None, False, self._settle(stretches))
        if self._begin_trial(due):
            new = self._estimate(x, g)
        if self._warm and self._is_still_good(x, g):
            return Lesson(None, False, None)
        first, self._warm = self._taken == 1 and not self._warm, False
        self._current = new
        return Lesson(new, first, None)

    def _begin_trial(self, due: int) -> bool:
        """Whether directions are on trial from now on."""
        time_for_it = due in _TRIALS and self._taken + 1 < len(self._lessons) - 1
        if self._trial is not None or self._with_directions or not time_for_it:
            return False
        self._trial, self._with_directions = [], True
        return True

    def _judge(self, stretches: list[Stretch]) -> None:
        """Go on with the trial of directions, or end it."""
        if self._trial is None:
            return
        columns = zip(*((one.num_steps, one.diverging) for one in stretches), strict=True)
        cost = [float(np.concatenate(parts).mean()) for parts in columns]
        if not self._trial:
            self._trial, self._with_directions = cost, False
        else:
            (steps, divergences), (steps_without, divergences_without) = self._trial, cost
            self._with_directions = steps < (1.0 - _WORTH_SAVING) * steps_without and divergences <= divergences_without
            self._trial = None

    def state(self) -> dict[str, Any]:
        """What was learned so far, as plain data."""
        return {
            "lessons": list(self._lessons),
            "taken": self._taken,
            "warm": self._warm,
            "with_directions": self._with_directions,
            "trial": None if self._trial is None else list(self._trial),
            "current": None if self._current is None else list(self._current),
            "window": [[list(stretch) for stretch in part] for part in self._window],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state`."""
        self._lessons, self._taken, self._warm = list(state["lessons"]), state["taken"], state["warm"]
        self._with_directions = state["with_directions"]
        self._trial = None if state["trial"] is None else list(state["trial"])
        self._current = None if state["current"] is None else Estimate(*state["current"])
        self._window = [[Stretch(*stretch) for stretch in part] for part in state["window"]]

    def _pooled(self) -> tuple[np.ndarray, np.ndarray]:
        """Draws and gradients of the window."""
        stretches = [one for part in self._window for one in part]
        usable = np.concatenate([one.usable for one in stretches])
        draws = np.concatenate([one.draws for one in stretches])
        gradients = np.concatenate([one.gradients for one in stretches])
        return (draws, gradients) if usable.all() else (draws[usable], gradients[usable])

    def _estimate(self, x: np.ndarray, g: np.ndarray) -> Estimate:
        fallback = np.ones(x.shape[1]) if self._current is None else self._current.scale
        most = self._most if self._with_directions and len(x) >= _FEWEST_FOR_DIRECTIONS else 0
        return estimate(x, g, most, self._cutoff, fallback)

    def _is_good(self, due: int, new: Estimate, x: np.ndarray, g: np.ndarray) -> bool:
        if self._current is None or (due < _FEWEST and not self._warm):
            return False
        if self._warm:
            fits = self._is_still_good(x, g)
        else:
            fits = misfit(x, g, self._current) - misfit(x, g, new) < _GOOD_MISFIT
        return fits and self._is_stationary()

    def _is_stationary(self) -> bool:
        window = [[np.column_stack([one.log_densities, one.draws]) for one in part] for part in self._window]
        # A warm start begins where another run ended, with a metric that was learned from all of it.
        pieces = 2 if self._warm else max(2, math.ceil(_FEWEST_PIECES / len(window[0])))
        return _split_rhat(window, pieces) < _GOOD_RHAT

    def _is_still_good(self, x: np.ndarray, g: np.ndarray) -> bool:
        """Whether the metric in use fits as well as one learned from the other half of the draws."""
        assert self._current is not None
        halves = [(centered(x[first::2]), centered(g[first::2])) for first in (0, 1)]
        others = [misfit(*seen, self._estimate(*own)) for own, seen in (halves, halves[::-1])]
        return misfit(x, g, self._current) < float(np.mean(others)) + _GOOD_MISFIT

    def _settle(self, stretches: list[Stretch]) -> float:
        return settled(
            np.concatenate([one.steps for one in stretches]),
            np.concatenate([one.acceptance_rates for one in stretches]),
            self._target,
        )


def lessons(num_warmup: int, *, warm: bool = False) -> list[int]:
    """The draws at which a chain learns; the last is `num_warmup`, where warm-up ends whatever was learned."""
    points = list(LESSONS)
    while points[-1] < num_warmup:
        points.append(int(points[-1] * _GROWTH))
    fewest = _WARM_LESSON if warm else 0
    inner = [point for point in points if fewest < point < _LAST_LESSON * num_warmup]
    if warm and fewest < _LAST_LESSON * num_warmup:
        inner.insert(0, fewest)
    return [*inner, num_warmup]


def _split_rhat(window: list[list[np.ndarray]], pieces: int) -> float:
    """The largest R-hat of the columns over all chains, each split in `pieces` (Gelman et al. 2013, section 11.4)."""
    chains = [np.concatenate(parts) for parts in zip(*window, strict=True)]
    length = min(len(chain) for chain in chains) // pieces
    split = np.stack([chain[-pieces * length :].reshape(pieces, length, -1) for chain in chains])
    split = split.reshape(-1, length, split.shape[-1])
    within = split.var(axis=1, ddof=1).mean(axis=0)
    between = split.mean(axis=1).var(axis=0, ddof=1)
    if not (within > 0.0).all():
        return np.inf
    return float(np.sqrt((length - 1) / length + (between / within).max()))
