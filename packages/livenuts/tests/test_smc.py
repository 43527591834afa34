"""SMC against closed forms: the evidence, without bias, and the posterior; over many independent runs.

Checks are z-scores over runs, below 5 each: a false alarm in 2e6 where means of hundreds of runs are normal. Seeds are
fixed.
"""

from typing import Any

import jax.numpy as jnp
import livenuts as ln
import numpy as np
import pytest
from livenuts import dist
from livenuts.compiler.target import compile_model
from livenuts.inference import smc as module
from livenuts.inference.densities import Densities
from livenuts.inference.smc import effective_sample_size, next_temper
from scipy import integrate, stats

RUN: dict[str, Any] = {"seed": 1, "progress": False}


def z_of_evidence(result: ln.Result, exact: float) -> float:
    """Of the mean of estimated over exact evidence, which is 1 without bias."""
    ratios = np.exp(result.fit["log_evidence_by_chain"] - exact)
    return float((ratios.mean() - 1.0) / (ratios.std(ddof=1) / np.sqrt(len(ratios))))


def z_over_runs(values: np.ndarray, exact: float) -> float:
    """Of a posterior mean, from (run, draw) values and runs that are independent."""
    means = values.mean(1)
    return float((means.mean() - exact) / (means.std(ddof=1) / np.sqrt(len(means))))


Y = np.array([1.0, 2.0, 0.5, 3.5])


def location() -> tuple[ln.Model, float]:
    """A normal mean of known variance, and its log evidence."""
    model = ln.Model("location").rv("mu", dist.Normal(0, 2)).obs("y", dist.Normal("mu", 0.5), Y)
    exact = stats.multivariate_normal(np.zeros(4), 0.25 * np.eye(4) + 4.0).logpdf(Y)
    return model, float(exact)


def coin() -> tuple[ln.Model, float]:
    model = ln.Model("coin").rv("p", dist.Beta(2, 3)).obs("heads", dist.Binomial(30, "p"), 27)
    return model, float(stats.betabinom(30, 2, 3).logpmf(27))


def regression() -> tuple[ln.Model, float]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(12, 3)) @ np.array([[1.0, 0.9, 0.0], [0.0, 0.4, 0.0], [0.0, 0.0, 2.0]])
    y = x @ [1.0, -1.0, 0.5] + rng.normal(size=12)
    model = ln.Model("regression").data("x", x).rv("b", dist.Normal(0, 2), shape=3)
    model.obs("y", dist.Normal(ln.ref("x") @ ln.ref("b"), 1.0), y)
    return model, float(stats.multivariate_normal(np.zeros(12), np.eye(12) + 4.0 * x @ x.T).logpdf(y))


@pytest.mark.parametrize("problem", [location, coin, regression])
def test_the_evidence_has_no_bias(problem: Any) -> None:
    model, exact = problem()
    result = ln.smc(model, num_chains=150, num_samples=40, **RUN)
    assert abs(z_of_evidence(result, exact)) < 5.0
    ratios = np.exp(result.fit["log_evidence_by_chain"] - exact)
    assert result.fit["log_evidence"] == pytest.approx(exact + np.log(ratios.mean()))
    assert 0.02 < ratios.std() < 2.0  # few particles: the check is of a mean, not of exactness


def test_the_check_catches_a_biased_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    """The poison: the mean of log weights in place of the log of their mean."""
    model, exact = location()
    monkeypatch.setattr(module, "log_mean_exp", lambda values: float(values.mean()))
    assert abs(z_of_evidence(ln.smc(model, num_chains=300, num_samples=40, **RUN), exact)) > 5.0


def test_the_posterior_is_exact() -> None:
    model, _ = location()
    result = ln.smc(model, num_chains=100, num_samples=100, **RUN)
    variance = 1 / (1 / 4 + 4 / 0.25)
    mean = variance * Y.sum() / 0.25
    mu = result.draws["mu"]
    assert abs(z_over_runs(mu, mean)) < 5.0
    assert abs(z_over_runs((mu - mean) ** 2, variance)) < 5.0
    for probability in (0.05, 0.5, 0.95):
        below = (mu <= stats.norm.ppf(probability, mean, np.sqrt(variance))).astype(float)
        assert abs(z_over_runs(below, probability)) < 5.0
    np.testing.assert_allclose(result.stats["log_likelihood"], stats.norm.logpdf(Y, mu[..., None], 0.5).sum(-1))
    np.testing.assert_allclose(result.stats["lp"], result.stats["log_likelihood"] + stats.norm.logpdf(mu, 0, 2))


def test_the_check_catches_particles_that_do_not_move(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hard to see in means; but copies of copies know less than they say. And a wrong kernel: half of the step back."""
    model, _ = location()
    move = module.Tempered.move

    def wrong(self: Any, positions: np.ndarray, *rest: Any) -> Any:
        made = move(self, positions, *rest)
        return made._replace(positions=0.5 * (made.positions + positions))

    monkeypatch.setattr(module.Tempered, "move", wrong)
    mu = ln.smc(model, num_chains=100, num_samples=100, **RUN).draws["mu"]
    variance = 1 / (1 / 4 + 4 / 0.25)
    assert abs(z_over_runs((mu - variance * Y.sum() / 0.25) ** 2, variance)) > 5.0


def test_modes_keep_their_weight() -> None:
    """Two peaks of unequal width and height, from a wide prior: the mass right of 0, and the evidence."""

    def likelihood(x: Any, xp: Any) -> Any:
        return xp.log(xp.exp(-0.5 * ((x + 3) / 0.3) ** 2) + 0.7 * xp.exp(-0.5 * ((x - 4) / 0.6) ** 2))

    @ln.model
    def peaks() -> None:
        x = ln.rv("x", dist.Normal(0, 4))
        ln.factor("peaks", likelihood(x, jnp))

    def joint(x: float) -> float:
        return float(np.exp(likelihood(x, np)) * stats.norm.pdf(x, 0, 4))

    left, right = (integrate.quad(joint, *ends)[0] for ends in ((-8, 0), (0, 10)))
    result = ln.smc(peaks(), num_chains=100, num_samples=100, **RUN)
    assert abs(z_of_evidence(result, float(np.log(left + right)))) < 5.0
    # Weighted by its evidence a run's posterior mean is unbiased; a plain mean over runs is not quite.
    evidence = np.exp(result.fit["log_evidence_by_chain"])
    shares = evidence * (result.draws["x"] > 0).mean(1)
    z = (shares.mean() - right) / (shares.std(ddof=1) / np.sqrt(len(shares)))
    assert abs(z) < 5.0
    assert 0.3 < right / (left + right) < 0.8


def test_a_hard_edge_counts_as_mass() -> None:
    """A likelihood of 1 on a tenth of the prior: the evidence is 0.1, though most particles are forbidden."""

    @ln.model
    def corner() -> None:
        x = ln.rv("x", dist.Uniform(0, 1))
        ln.factor("edge", jnp.where(x < 0.1, 0.0, -jnp.inf))

    result = ln.smc(corner(), num_chains=100, num_samples=150, **RUN)
    assert abs(z_of_evidence(result, np.log(0.1))) < 5.0
    assert result.draws["x"].max() < 0.1


def test_draws_of_the_prior_are_its_own() -> None:
    """Far out and near, bounded and not; a draw that rounds to the end of its support still has a place.

    Kolmogorov-Smirnov p-values above 1e-6 of three.
    """
    model = ln.Model("priors").rv("far", dist.Normal(1000.0, 2.0)).rv("up", dist.Gamma(0.5, 2.0))
    model.rv("edge", dist.Beta(1e-3, 1e-3), shape=3)
    bound = compile_model(model)
    positions = module.Tempered(bound).draw_prior(1, 1000)
    assert np.isfinite(positions).all()
    draws = Densities(bound).constrain(positions)
    assert stats.kstest(draws["far"], stats.norm(1000, 2).cdf).pvalue > 1e-6
    assert stats.kstest(draws["up"], stats.gamma(0.5, scale=0.5).cdf).pvalue > 1e-6
    assert stats.binomtest(int((draws["edge"] > 0.5).sum()), 3000).pvalue > 1e-6
    np.testing.assert_array_equal(module.Tempered(bound).draw_prior(1, 10), positions[:10])


def test_tempers_keep_the_effective_sample_size() -> None:
    rng = np.random.default_rng(0)
    for scale in (1e-3, 1.0, 1e3, 1e12):
        values = scale * rng.normal(size=1000) - 5.0
        following = next_temper(values, 0.0, 0.5)
        assert 0.0 < following <= 1.0
        if following < 1.0:
            assert effective_sample_size(following * values) == pytest.approx(500, rel=1e-3)
    assert next_temper(np.array([-1.0, -np.inf]), 0.25, 0.5) == 1.0


def test_every_run_keeps_to_the_pilot() -> None:
    messages: list[dict[str, Any]] = []
    model, _ = location()
    result = ln.smc(model, num_chains=3, num_samples=100, sink=messages.append, **RUN)
    stages = {
        part: [m for m in messages if m["part"] == part] for part in ("pilot", "stages-0", "stages-1", "stages-2")
    }
    ladder = [(m["temper"], m["num_moves"], m["step_size"]) for m in stages.pop("pilot")]
    assert ladder[-1][0] == 1.0
    for chain, told in enumerate(stages.values()):
        assert [(m["temper"], m["num_moves"], m["step_size"]) for m in told] == ladder
        assert told[-1]["log_evidence"] == result.fit["log_evidence_by_chain"][chain]
        assert [m["effective_sample_size"] for m in told] == list(result.fit["effective_sample_size"][chain])
    assert list(result.fit["tempers"]) == [step[0] for step in ladder]


def test_doors() -> None:
    model, _ = location()
    with pytest.raises(ValueError, match="threshold must be between 0 and 1, got 1"):
        ln.smc(model, threshold=1, progress=False)
    with pytest.raises(ValueError, match="num_samples must be an integer of at least 2"):
        ln.smc(model, num_samples=1, progress=False)
    flat = ln.from_logdensity(lambda q: -0.5 * q**2, np.float64(0.0))
    with pytest.raises(ValueError, match="draws of the prior, and 'x' has none"):
        ln.smc(flat, progress=False)

    @ln.model
    def impossible() -> None:
        ln.factor("never", ln.rv("x", dist.Normal(0, 1)) * 0.0 - jnp.inf)

    with pytest.raises(ValueError, match="none of 1000 draws of the prior has a finite likelihood"):
        ln.smc(impossible(), progress=False)
