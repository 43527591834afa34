"""OnlineSMC2 against exact posteriors: quadrature, conjugate answers, long chains of PMMH."""

import math

import numpy as np
import pytest
from livesmc2 import OnlineSMC2, model_weights, models, pmmh, run
from livesmc2_exact import (
    conjugate,
    level,
    level_posterior,
    level_series,
    mean_and_error,
)


@pytest.mark.parametrize("proposal", ["random_walk", "independent", "mixed"])
def test_the_posterior_is_that_of_quadrature(proposal: str) -> None:
    """Means within 0.2 sd and sds within 15 % of the exact ones, over 8 runs pooled; log evidence within 4 standard
    errors, and 0.1 for its half variance."""
    ys = level_series(60)
    exact = level_posterior(ys)
    model, prior = level()
    engines = [run(model, prior, ys, 200, 60, seed=k, proposal=proposal, max_n_x=60, threads=1) for k in range(8)]
    for name in ("sigma_level", "sigma_y", "level"):
        means = np.mean([engine.mean(name) for engine in engines])
        squares = np.mean([engine.summary()[name]["sd"] ** 2 for engine in engines])
        assert abs(means - exact[name]) < 0.2 * exact[f"{name} sd"]
        assert math.sqrt(squares) == pytest.approx(exact[f"{name} sd"], rel=0.15)
    mean, error = mean_and_error(np.array([engine.log_evidence for engine in engines]))
    assert abs(mean - exact["log_evidence"]) < 4 * error + 0.1


def test_a_dropped_jacobian_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The poison: moves on the line without |d theta / du| shift sigma_y by more than the check above allows."""
    from livesmc2.model.prior import Prior

    original = Prior.from_line
    monkeypatch.setattr(Prior, "from_line", lambda self, u: (original(self, u)[0], np.zeros(len(u))))
    ys = level_series(60)[:12]
    exact = level_posterior(ys)
    model, prior = level()
    means = [
        run(model, prior, ys, 300, 100, seed=k, n_moves=10, max_n_x=100, threads=1).mean("sigma_level")
        for k in range(4)
    ]
    assert abs(np.mean(means) - exact["sigma_level"]) > 0.2 * exact["sigma_level sd"]


def test_missing_observations_are_integrated_out() -> None:
    ys = level_series(40)
    ys[[0, 5, 6, 7, 30]] = np.nan
    exact = level_posterior(ys)
    model, prior = level()
    engines = [run(model, prior, ys, 200, 100, seed=k, max_n_x=100, threads=1) for k in range(8)]
    mean, error = mean_and_error(np.array([engine.log_evidence for engine in engines]))
    assert abs(mean - exact["log_evidence"]) < 4 * error + 0.05
    assert engines[0].history[5].log_evidence_increment == 0


def test_smc2_is_a_long_chain_of_pmmh() -> None:
    ys = level_series(25)
    model, prior = level()
    chains = pmmh(model, prior, ys, n_x=50, n_draws=600, n_warmup=300, n_chains=24, seed=1)
    exact = level_posterior(ys)
    for name in ("sigma_level", "sigma_y"):
        by_chain = chains.draws[name].mean(axis=1)
        mean, error = mean_and_error(by_chain)
        assert abs(mean - exact[name]) < 4 * error
        assert chains.draws[name].std() == pytest.approx(exact[f"{name} sd"], rel=0.15)
    assert 0.1 < chains.acceptance.mean() < 0.6


def test_several_engines_are_weighed_by_their_evidence() -> None:
    ys = level_series(30)
    model, prior = level()
    other, other_prior = conjugate()
    engines = [run(model, prior, ys, 100, 50, seed=1), run(other, other_prior, ys, 100, 1, seed=1)]
    weights = model_weights(engines)
    odds = math.exp(engines[0].log_evidence - engines[1].log_evidence)
    assert weights[0] / weights[1] == pytest.approx(odds)
    with pytest.raises(ValueError, match="have seen"):
        model_weights([engines[0], OnlineSMC2(model, prior, 10, 10, seed=1)])


def test_b1_b2_states_survive_rejuvenations() -> None:
    """Defects B1 and B2: filters restarted at the window's start. An epidemic's susceptibles after five rejuvenations
    or more lie within 3 sd of the truth, with a window and without; restarted ones were off by thousands."""
    model, prior = models.seir(5000, 3, walk=False)
    truth, ys = models.simulate(model, {"beta": 0.6, "sigma": 0.33, "gamma": 0.2}, 60, seed=3)
    assert ys.sum() > 1000
    for window in (None, 15):
        smc = run(model, prior, ys, 100, 50, seed=1, window=window, n_moves=3, max_n_x=50)
        assert smc.rejuvenations >= 5
        row = smc.summary()["S"]
        assert abs(row["mean"] - truth["S"][-1]) < 3 * row["sd"] + 1
        assert row["mean"] < 3000


def test_b5_rejuvenation_makes_new_parameters() -> None:
    """Defect B5: after a move nothing could move again for W steps. More than a quarter of the values are distinct
    after each rejuvenation, and acceptance stays away from zero."""
    model, prior = level()
    for window in (None, 10):
        smc = OnlineSMC2(model, prior, 200, 100, seed=1, window=window, max_n_x=100)
        for y in level_series(60):
            step = smc.update(y)
            if step.rejuvenated:
                assert len(np.unique(smc.theta["sigma_y"])) > 50
                assert np.mean(step.acceptance) > 0.05
