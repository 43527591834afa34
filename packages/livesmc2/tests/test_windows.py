"""Windows: bounded replays on a stored posterior that forgets nothing."""

import math
from typing import Any

import numpy as np
import pytest
from livesmc2 import OnlineSMC2, run
from livesmc2_exact import (
    conjugate,
    conjugate_answer,
    level,
    level_posterior,
    level_series,
)


def window_errors(window: int | None, runs: int, steps: int) -> tuple[float, float, float]:
    """(rms error in posterior sds, mean sd ratio, mean error of log evidence) on conjugate streams."""
    model, prior = conjugate()
    errors, ratios, evidence = [], [], []
    for k in range(runs):
        ys = np.random.default_rng(k).normal(1.0, 1.0, steps)
        mean, sd, log_evidence = conjugate_answer(ys)
        smc = run(model, prior, ys, 100, 1, seed=k, window=window, n_moves=5, max_n_x=1, threads=1)
        weights, mu = smc.weights, smc.theta["mu"]
        found = weights @ mu
        errors.append((found - mean) / sd)
        ratios.append(math.sqrt(weights @ (mu - found) ** 2) / sd)
        evidence.append(smc.log_evidence - log_evidence)
    return float(np.sqrt(np.mean(np.square(errors)))), float(np.mean(ratios)), float(np.mean(evidence))


def test_b7_a_window_on_the_stored_posterior_does_not_forget() -> None:
    """Defect B7 (prior x window): 1000 observations, W = 20; it had an error of 3.6 sd and an sd ratio of 4.05.

    Over 6 streams: sd ratio in [0.9, 1.1], error of the log evidence below 0.5, rms error below 0.5 sd.
    """
    error, ratio, evidence = window_errors(20, runs=6, steps=1000)
    assert error < 0.5
    assert 0.9 < ratio < 1.1
    assert abs(evidence) < 0.5


def test_a_window_replays_the_newest_observation_and_w_to_2w_minus_1_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """As documented, at every step; what is kept does not grow."""
    from livesmc2.runtime import moves

    lengths: list[int] = []
    original = moves.replay

    def counted(program: Any, anchors: Any, theta: Any, series: Any, *rest: Any) -> Any:
        lengths.append(series.length - anchors[0].time)
        return original(program, anchors, theta, series, *rest)

    monkeypatch.setattr(moves, "replay", counted)
    model, prior = level()
    smc = OnlineSMC2(model, prior, 10, 5, seed=1, window=6, ess_threshold=1.0, n_moves=1, max_n_x=5, threads=1)
    for y in level_series(60):
        smc.update(y)
    assert lengths == [*range(1, 13), *(8 * [7, 8, 9, 10, 11, 12])]
    assert smc._cloud.filters.increments.shape[1] == 12
    assert len(smc._cloud.anchors) == 2


def test_b7_forgetting_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The poison: the prior in place of what was stored."""
    from livesmc2.runtime import cloud

    original = cloud.Cloud.slide

    def forgetful(self, time, window):  # type: ignore[no-untyped-def]
        original(self, time, window)
        for anchor in self.anchors:
            anchor.past = None

    monkeypatch.setattr(cloud.Cloud, "slide", forgetful)
    _, ratio, _ = window_errors(20, runs=4, steps=500)
    assert ratio > 1.3


def test_a_window_on_a_hidden_state_is_close_to_exact() -> None:
    """The local level, 150 observations, W = 25: lineage states and stored posterior together."""
    ys = level_series(150)
    exact = level_posterior(ys)
    model, prior = level()
    engines = [run(model, prior, ys, 150, 60, seed=k, window=25, max_n_x=60, threads=1) for k in range(5)]
    assert np.mean([engine.log_evidence for engine in engines]) == pytest.approx(exact["log_evidence"], abs=0.5)
    for name in ("sigma_level", "sigma_y", "level"):
        assert np.mean([engine.mean(name) for engine in engines]) == pytest.approx(
            exact[name], abs=0.4 * exact[f"{name} sd"]
        )
    sizes = {engine._cloud.filters.increments.shape[1] for engine in engines}
    assert sizes == {50}  # what is kept does not grow
