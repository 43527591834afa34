"""NUTS for the levels against the exact posterior."""

import numpy as np
import pytest
from liverecipes.spc.conjugate import FloatArray, NormalInverseGamma
from liverecipes.spc.data import load
from liverecipes.spc.nuts import estimate, log_likelihoods, position_probabilities, sample_levels
from liverecipes.spc.posterior import ChangePosterior, change_posterior
from scipy import stats


@pytest.fixture(scope="module")
def nile() -> tuple[FloatArray, NormalInverseGamma, ChangePosterior]:
    series = load("nile")
    assert series.prior is not None
    return series.values, series.prior, change_posterior(series.values, series.prior)


def standard_errors_off(
    probabilities: FloatArray, mode: FloatArray, level: FloatArray, exact: ChangePosterior
) -> float:
    """Return the largest deviation from the exact answer, in Monte Carlo standard errors, over five checks."""
    found = [(estimate(mode), float(exact.probabilities[27]))]
    for column, side in enumerate(("before", "after")):
        mean, sd = exact.level(side)  # type: ignore[arg-type]
        found.append((estimate(level[..., column]), mean))
        found.append((estimate((level[..., column] - mean) ** 2), sd**2))
    return max(abs(draws["mean"] - expected) / draws["mcse"] for draws, expected in found)


def test_nile_agrees_with_the_exact_posterior(nile: tuple[FloatArray, NormalInverseGamma, ChangePosterior]) -> None:
    """Fails by chance once in 3,000 seeds (five checks of 4 standard errors)."""
    values, prior, exact = nile
    found = sample_levels(values, prior, num_warmup=600, num_samples=1500, num_chains=4, seed=1)
    assert found.level.shape == (4, 1500, 2)
    assert int(np.argmax(found.probabilities)) == 27
    assert found.probabilities.sum() == pytest.approx(1)
    assert standard_errors_off(found.probabilities, found.mode, found.level, exact) < 4
    assert all(estimate(found.level[..., side])["r_hat"] < 1.01 for side in (0, 1))
    # Poison: levels two per cent off, and the posterior of a neighbouring prior.
    assert standard_errors_off(found.probabilities, found.mode, found.level * 1.02, exact) > 4
    neighbour = change_posterior(values, prior._replace(b=1.5e4))
    assert standard_errors_off(found.probabilities, found.mode, found.level, neighbour) > 4


def test_log_likelihoods_are_the_normal_densities_of_the_two_segments() -> None:
    rng = np.random.default_rng(6)
    x, level, variance = rng.normal(size=7), rng.normal(size=(3, 2)), rng.uniform(0.5, 2, (3, 2))
    found = log_likelihoods(level, variance, np.cumsum(x), np.cumsum(x**2))
    assert found.shape == (3, 6)
    for draw in range(3):
        for c in range(1, 7):
            scale = np.sqrt(variance[draw])
            expected = stats.norm.logpdf(x[:c], level[draw, 0], scale[0]).sum()
            expected += stats.norm.logpdf(x[c:], level[draw, 1], scale[1]).sum()
            assert found[draw, c - 1] == pytest.approx(expected, abs=1e-12)


def test_position_probabilities_do_not_depend_on_the_block_size() -> None:
    rng = np.random.default_rng(7)
    x = rng.normal(size=300_000)
    level, variance = rng.normal(size=(2, 10, 2)), np.ones((2, 10, 2))
    mean, mode = position_probabilities(level, variance, np.cumsum(x), np.cumsum(x**2))
    assert mean.sum() == pytest.approx(1)
    assert mode.shape == (2, 10)
    assert mode.mean() == pytest.approx(mean.max())


def test_a_stop_keeps_the_draws(nile: tuple[FloatArray, NormalInverseGamma, ChangePosterior]) -> None:
    values, prior, _ = nile
    heard: list[dict[str, object]] = []
    found = sample_levels(
        values,
        prior,
        num_warmup=200,
        num_samples=1_000_000,
        num_chains=2,
        seed=1,
        sink=heard.append,
        stop=lambda: sum(message["type"] == "nuts.draw/1" for message in heard[-3000:]) > 1000,
    )
    assert 0 < found.level.shape[1] < 1_000_000


def test_two_points_have_one_position_and_no_r_hat() -> None:
    prior = NormalInverseGamma(0, 0.01, 1, 1)
    found = sample_levels(np.array([0.0, 1.0]), prior, num_warmup=50, num_samples=50, num_chains=2, seed=1)
    assert found.probabilities.tolist() == [1.0]
    assert np.isnan(estimate(found.mode)["r_hat"])
    one_chain = sample_levels(np.array([0.0, 1.0]), prior, num_warmup=50, num_samples=50, num_chains=1, seed=1)
    assert np.isfinite(estimate(one_chain.level[..., 0])["r_hat"])
