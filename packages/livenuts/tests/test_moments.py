"""Draws against closed forms: means, variances and tails at an effective sample size above 3,200.

z-scores beyond 5 have probability 6e-7 each; about 120 are taken here, so the file's false-alarm rate is 7e-5.
"""

from typing import Any

import livenuts as ln
import numpy as np
import pytest
from livenuts import dist
from livenuts_checks import effective_sample_size, failures, z_of_mean, z_scores
from scipy import stats

LEAST_ESS = 3200
RUN: dict[str, Any] = {"num_samples": 80_000, "num_chains": 4, "progress": False}

FAMILIES = {
    "normal": (dist.Normal(2.0, 3.0), stats.norm(2.0, 3.0)),
    "exponential": (dist.Exponential(0.5), stats.expon(scale=2.0)),
    "half-normal": (dist.HalfNormal(1.5), stats.halfnorm(scale=1.5)),
    "gamma": (dist.Gamma(2.5, 1.25), stats.gamma(2.5, scale=0.8)),
    "beta": (dist.Beta(2.0, 5.0), stats.beta(2.0, 5.0)),
    "student": (dist.StudentT(5.0, 0.0, 1.0), stats.t(5.0)),
}


@pytest.fixture(scope="module")
def univariate() -> ln.Result:
    """All families as independent variables of one model: one compilation, one run."""
    model = ln.Model("families")
    for name, (family, _) in FAMILIES.items():
        model.rv(name, family)
    return ln.sample(model, seed=1, **RUN)


@pytest.mark.parametrize("name", FAMILIES)
def test_family(univariate: ln.Result, name: str) -> None:
    """Mean, spread, variance, quantiles. (The variance of Student's t has its own test.)"""
    draws, exact = univariate.draws[name], FAMILIES[name][1]
    assert effective_sample_size((draws - exact.mean()) ** 2) > LEAST_ESS
    assert failures(z_scores(draws, exact, variance=name != "student")) == {}
    for probability in (0.001, 0.999):
        beyond = (draws <= exact.ppf(probability)).astype(float)
        assert abs(z_of_mean(beyond, probability)) < 5


@pytest.mark.parametrize("name", FAMILIES)
def test_two_per_cent_too_wide_shows(univariate: ln.Result, name: str) -> None:
    """Poison: the same draws, 2 % farther from their mean, fail the same check."""
    exact = FAMILIES[name][1]
    wide = exact.mean() + 1.02 * (univariate.draws[name] - exact.mean())
    assert failures(z_scores(wide, exact, variance=name != "student"))


def test_moments_are_kept_when_target_is_alone() -> None:
    """One unit normal: the smallest tree there is. It also stays put less than 16 % of the time."""
    result = ln.sample(ln.Model("alone").rv("x", dist.Normal(0, 1)), seed=2, **RUN | {"num_samples": 100_000})
    assert failures(z_scores(result.draws["x"], stats.norm())) == {}
    assert np.mean(result.stats["index_in_trajectory"] == 0) < 0.16
    assert result.stats["diverging"].sum() == 0


def test_heavy_tails() -> None:
    """Student-t with 5 degrees, alone: 400,000 draws reach its 0.01 % tails.

    The variance of x^2 is finite (E x^4 = 25) but its estimate is not to be trusted, so the variance is judged by
    the exact one. Its upper tail is Pareto's: beyond 12 standard errors with probability 3e-5.
    """
    model = ln.Model("heavy").rv("x", dist.StudentT(5.0, 0.0, 1.0))
    result = ln.sample(model, seed=3, **RUN | {"num_samples": 100_000})
    draws, exact = result.draws["x"], stats.t(5.0)
    for probability in (0.0001, 0.01, 0.5, 0.99, 0.9999):
        beyond = (draws <= exact.ppf(probability)).astype(float)
        assert effective_sample_size(beyond) > LEAST_ESS
        assert abs(z_of_mean(beyond, probability)) < 5
    standard_error = np.sqrt((25.0 - (5.0 / 3.0) ** 2) / effective_sample_size(draws**2))
    assert -5 < ((draws**2).mean() - 5.0 / 3.0) / standard_error < 12


def test_dirichlet() -> None:
    """A simplex: each element is a beta, each pair has the exact covariance, each draw sums to 1."""
    concentration = np.array([0.8, 2.0, 5.0, 1.2])
    total = concentration.sum()
    result = ln.sample(ln.Model("simplex").rv("p", dist.Dirichlet(concentration)), seed=4, **RUN)
    p = result.draws["p"]
    np.testing.assert_allclose(p.sum(-1), 1.0, atol=1e-12)
    mean = concentration / total
    for i, a in enumerate(concentration):
        assert effective_sample_size((p[..., i] - mean[i]) ** 2) > LEAST_ESS
        assert failures(z_scores(p[..., i], stats.beta(a, total - a))) == {}
    for i, j in ((0, 1), (1, 2), (2, 3)):
        product = (p[..., i] - mean[i]) * (p[..., j] - mean[j])
        assert abs(z_of_mean(product, -mean[i] * mean[j] / (total + 1))) < 5


CONDITION = 1e4
# Ten correlated normals, standard deviations from 1 to 100 along rotated axes.
_BASIS = np.linalg.qr(np.random.default_rng(10).normal(size=(10, 10)))[0]
COVARIANCE = (_BASIS * np.logspace(0, np.log10(CONDITION), 10)) @ _BASIS.T
COVARIANCE = 0.5 * (COVARIANCE + COVARIANCE.T)


@pytest.mark.parametrize("metric", ["diag", "dense"])
def test_ill_conditioned_normal(metric: str) -> None:
    """Condition number 10^4: every marginal, and the two extreme principal axes, where a wrong scale would hide."""
    mean = np.arange(10.0)
    model = ln.Model(f"ill conditioned, {metric}").rv("x", dist.MultivariateNormal(mean, covariance_matrix=COVARIANCE))
    # A diagonal metric takes trees of a hundred steps here.
    num_samples = 4_000 if metric == "diag" else 20_000
    result = ln.sample(model, seed=5, metric=metric, **RUN | {"num_samples": num_samples})
    x = result.draws["x"]
    exact = [stats.norm(mean[i], np.sqrt(COVARIANCE[i, i])) for i in range(10)]
    for i in range(10):
        assert effective_sample_size((x[..., i] - mean[i]) ** 2) > LEAST_ESS
        assert failures(z_scores(x[..., i], exact[i])) == {}
    values, vectors = np.linalg.eigh(COVARIANCE)
    for axis in (0, -1):
        along = (x - mean) @ vectors[:, axis]
        assert failures(z_scores(along, stats.norm(0.0, np.sqrt(values[axis])))) == {}
    if metric == "dense":
        # The metric has found the covariance: whitened by it, the learned one has a condition number near one.
        learned = result.tuning.inverse_mass_matrix(0)
        spread = np.linalg.eigvals(np.linalg.solve(COVARIANCE, learned)).real
        assert spread.min() > 0.5
        assert spread.max() < 2.0
        assert result.stats["n_steps"].mean() < 10


@pytest.mark.long
@pytest.mark.parametrize("name", FAMILIES)
def test_family_at_length(name: str) -> None:
    """Four million draws of each family alone, at two target acceptances."""
    family, exact = FAMILIES[name]
    model = ln.Model(name).rv("x", family)
    for target_accept in (0.6, 0.95):
        result = ln.sample(model, seed=6, target_accept=target_accept, **RUN | {"num_samples": 1_000_000})
        assert failures(z_scores(result.draws["x"], exact, variance=name != "student")) == {}
