"""The exact posterior of one change: the Nile's published answer, and brute force."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from liverecipes.spc.conjugate import NormalInverseGamma, segment_prior
from liverecipes.spc.data import load
from liverecipes.spc.posterior import change_posterior
from scipy.special import logsumexp

PRIOR = NormalInverseGamma(0.5, 0.3, 1.5, 0.8)


def test_nile() -> None:
    nile = load("nile")
    assert nile.prior is not None
    exact = change_posterior(nile.values, nile.prior)
    by_year = dict(zip(nile.labels, exact.probabilities, strict=False))
    published = {"1898": 0.7636, "1897": 0.1133, "1896": 0.0534, "1899": 0.0529}
    for year, probability in published.items():
        assert by_year[year] == pytest.approx(probability, abs=5e-5)
    assert exact.log_bayes_factor == pytest.approx(19.553, abs=5e-4)
    assert nile.values[:28].mean() == pytest.approx(1097.75)
    assert nile.values[28:].mean() == pytest.approx(849.97, abs=5e-3)
    assert exact.interval(0.95) == (26, 29)
    # Poison: one variance for both segments is another model, with other answers.
    shared = change_posterior(nile.values, nile.prior._replace(a=1e6, b=1e6 * nile.values.var()))
    assert abs(shared.probabilities[27] - published["1898"]) > 0.01


@settings(deadline=None)
@given(st.lists(st.floats(-20, 20), min_size=2, max_size=8), st.floats(-1e6, 1e6))
def test_equals_the_product_of_predictive_densities(values: list[float], offset: float) -> None:
    prior = PRIOR._replace(m=PRIOR.m + offset)
    x = np.array(values) + offset

    def evidence(segment: np.ndarray) -> float:
        belief, total = prior, 0.0
        for each in segment:
            total += float(belief.log_predictive(float(each)))
            belief = belief.update(float(each))
        return total

    log_one = np.array([evidence(x[:c]) + evidence(x[c:]) for c in range(1, len(x))])
    exact = change_posterior(x, prior)
    np.testing.assert_allclose(exact.probabilities, np.exp(log_one - logsumexp(log_one)), atol=1e-6)
    expected = logsumexp(log_one) - np.log(len(log_one)) - evidence(x)
    assert exact.log_bayes_factor == pytest.approx(float(expected), abs=1e-6)


def test_independent_draws_agree_with_the_closed_form() -> None:
    """Fails by chance once in 2,500 seeds (six checks of 4 standard errors)."""
    nile = load("nile")
    assert nile.prior is not None
    exact = change_posterior(nile.values, nile.prior)
    size = 40_000
    draws = exact.sample(np.random.default_rng(4), size)
    for side, draw in zip(("before", "after"), draws, strict=True):
        mean, sd = exact.level(side)  # type: ignore[arg-type]
        assert abs(draw.mean() - mean) < 4 * sd / np.sqrt(size)
        assert abs(draw.std() / sd - 1) < 4 * 1.2 / np.sqrt(2 * size)
        assert abs(np.mean(draw < exact.median(side)) - 0.5) < 4 * 0.5 / np.sqrt(size)  # type: ignore[arg-type]
    # Poison: draws that forget the change time is uncertain.
    certain = exact._replace(probabilities=np.eye(99)[27]).sample(np.random.default_rng(4), size)
    assert abs(certain[0].mean() - exact.level("before")[0]) > 4 * exact.level("before")[1] / np.sqrt(size)


def test_interval_is_the_shortest() -> None:
    exact = change_posterior(np.array([0.0, 0.1, 5.0, 5.1, 5.2]), PRIOR)
    exact = exact._replace(probabilities=np.array([0.05, 0.5, 0.4, 0.05]))
    assert exact.interval(0.9) == (2, 3)
    assert exact.interval(0.95) == (1, 3)
    assert exact.interval(1.0) == (1, 4)


def test_probability_of_change_follows_the_prior_odds() -> None:
    exact = change_posterior(np.array([0.0, 0.1, 5.0, 5.1]), PRIOR)
    odds = np.exp(exact.log_bayes_factor) / 9
    assert exact.probability_of_change(0.1) == pytest.approx(odds / (1 + odds))
    assert exact._replace(log_bayes_factor=1e5).probability_of_change(0.5) == 1.0
    assert exact._replace(log_bayes_factor=-1e5).probability_of_change(0.5) == 0.0


@pytest.mark.parametrize("values", [np.full(40, 5.1), np.zeros(3), np.array([1e100, 1e100]), np.full(9, -1e-60)])
def test_a_constant_series_has_not_changed(values: np.ndarray) -> None:
    exact = change_posterior(values, segment_prior(values[:10]))
    assert np.isfinite(exact.probabilities).all()
    assert exact.probability_of_change(0.5) < 0.5


def test_one_observation_is_too_few() -> None:
    with pytest.raises(ValueError, match="at least two observations, got 1"):
        change_posterior(np.array([1.0]), PRIOR)
