"""Transforms with their Jacobians, priors, forecasts with their scores, summaries."""

import math

import numpy as np
import pytest
from livesmc2 import OnlineSMC2, Prior, mixture, models, run
from livesmc2.model.state_space import Fields
from livesmc2.model.transforms import Interval
from livesmc2_exact import level, level_kalman, level_series
from scipy import stats

INTERVALS = [Interval(-math.inf, math.inf), Interval(2.0, math.inf), Interval(-math.inf, -1.0), Interval(-3.0, 5.0)]


@pytest.mark.parametrize("interval", INTERVALS)
def test_transforms_and_their_derivatives(interval: Interval) -> None:
    u = np.linspace(-8, 8, 161)
    value, log_derivative = interval.from_line(u)
    np.testing.assert_allclose(interval.to_line(value), u, rtol=1e-9, atol=1e-9)
    step = 1e-5
    slope = (interval.from_line(u + step)[0] - interval.from_line(u - step)[0]) / (2 * step)
    np.testing.assert_allclose(log_derivative, np.log(slope), atol=1e-5)
    far, _ = interval.from_line(np.array([-800.0, 800.0]))
    assert ((far > interval.low) & (far < interval.high)).all()


@pytest.mark.parametrize(
    "law", [stats.norm(1, 2), stats.gamma(2, scale=0.5), stats.beta(9, 1), stats.uniform(-1, 2), stats.halfnorm()]
)
def test_a_density_on_the_line_integrates_to_one(law: stats.rv_continuous) -> None:
    prior = Prior({"a": law}, Fields({"a": 0}))
    u = np.linspace(-45, 45, 200_001)[:, None]
    _, log_density = prior.log_density_on_line(u)
    assert np.trapezoid(np.exp(log_density), u[:, 0]) == pytest.approx(1, abs=1e-3)


def test_priors_of_arrays() -> None:
    fields = Fields({"mu": 2, "s": 0})
    prior = Prior({"mu": [stats.norm(0, 1), stats.norm(5, 1)], "s": stats.halfnorm()}, fields)
    theta = prior.draw(np.random.default_rng(1), 2000)
    assert theta.shape == (2000, 3)
    assert theta.mean(axis=0) == pytest.approx([0, 5, 0.8], abs=0.1)
    expected = stats.norm.logpdf(0.3) + stats.norm.logpdf(4.0, 5) + stats.halfnorm.logpdf(1.0)
    assert prior.log_density(np.array([[0.3, 4.0, 1.0]]))[0] == pytest.approx(expected)


@pytest.fixture(scope="module")
def engine() -> OnlineSMC2:
    model, prior = level()
    return run(model, prior, level_series(60), 300, 100, seed=1, max_n_x=100)


def test_forecasts_are_kalmans_mixed_over_parameters(engine: OnlineSMC2) -> None:
    """Mean, spread and log score of h = 1, 5 against normal laws averaged over the same parameters."""
    forecast = engine.forecast(5, n_draws=20_000)
    theta, weights = engine.theta, engine.weights
    _, mean, variance = level_kalman(theta["sigma_level"], theta["sigma_y"], level_series(60))
    ys = weights @ mean + np.array([0.2, 0.1, 0.0, -0.3, 0.5])
    for h in (0, 4):
        spread = variance + (h + 1) * theta["sigma_level"] ** 2 + theta["sigma_y"] ** 2
        centre = weights @ mean
        assert forecast.mean()[h] == pytest.approx(centre, abs=0.08)
        assert forecast.observations[h].var() == pytest.approx(weights @ (spread + (mean - centre) ** 2), rel=0.1)
        exact = math.log(weights @ stats.norm.pdf(ys[h], mean, np.sqrt(spread)))
        assert forecast.log_score(ys)[h] == pytest.approx(exact, abs=0.05)
    assert forecast.quantiles([0.1, 0.5]).shape == (2, 5)
    assert (np.diff(forecast.quantiles(of="level"), axis=0) >= 0).all()


def test_scores_of_forecasts(engine: OnlineSMC2) -> None:
    """CRPS of a normal law in closed form (Gneiting and Raftery 2007), PIT by its distribution function."""
    forecast = engine.forecast(1, n_draws=20_000)
    mean, sd = float(forecast.mean()[0]), float(forecast.observations[0].std())
    for y in (mean, mean + 1.5 * sd):
        z = (y - mean) / sd
        exact = sd * (z * (2 * stats.norm.cdf(z) - 1) + 2 * stats.norm.pdf(z) - 1 / math.sqrt(math.pi))
        assert forecast.crps([y])[0] == pytest.approx(exact, rel=0.05)
        assert forecast.pit([y])[0] == pytest.approx(stats.norm.cdf(z), abs=0.02)
    assert np.isnan(forecast.log_score([math.nan])[0])
    with pytest.raises(ValueError, match="of 1 times"):
        forecast.crps([1.0, 2.0])


def test_the_increment_is_the_forecasts_log_score(engine: OnlineSMC2) -> None:
    fork = engine.fork()
    y = fork.mean("level") + 0.5
    predicted = fork.forecast(1, n_draws=20_000).log_score([y])[0]
    assert fork.update(y).log_evidence_increment == pytest.approx(predicted, abs=0.06)


def test_coverage_of_forecasts() -> None:
    """One step ahead over 6 series of 40: 80 % intervals cover 80 %, within 4 binomial standard errors; intervals of
    half the width do not."""
    model, prior = level()
    inside = narrow = total = 0
    for k in range(6):
        theta = {"sigma_level": abs(np.random.default_rng(k).normal()), "sigma_y": 0.5 + 0.1 * k}
        _, ys = models.simulate(model, theta, 40, seed=k)
        smc = OnlineSMC2(model, prior, 60, 60, seed=k, max_n_x=60, threads=1)
        for y in ys:
            if smc.t >= 5:
                low, middle, high = smc.forecast(1, n_draws=500).quantiles([0.1, 0.5, 0.9])[:, 0]
                inside += low <= y <= high
                narrow += (low + middle) / 2 <= y <= (high + middle) / 2
                total += 1
            smc.update(y)
    error = math.sqrt(0.8 * 0.2 / total)
    assert abs(inside / total - 0.8) < 4 * error
    assert abs(narrow / total - 0.8) > 4 * error


def test_counts_are_forecast_and_models_are_mixed(engine: OnlineSMC2) -> None:
    model, prior = models.negative_binomial_counts()
    _, ys = models.simulate(model, {"mu": 2.0, "phi": 0.9, "sigma": 0.2, "size": 8.0}, 30, seed=1)
    smc = run(model, prior, ys, 60, 60, seed=1)
    forecast = smc.forecast(3)
    assert (forecast.observations == np.floor(forecast.observations)).all()
    both = mixture([forecast, engine.forecast(3)], [0.25, 0.75], n_draws=400)
    assert both.shape == (3, 400)
    with pytest.raises(ValueError, match="2 probabilities"):
        mixture([forecast, forecast], [0.5, 0.6])


def test_summaries_and_derived_quantities(engine: OnlineSMC2) -> None:
    summary = engine.summary()
    assert "sigma_y" in str(summary)
    assert summary["level"]["2.5%"] < summary["level"]["50%"] < summary["level"]["97.5%"]
    ratio = engine.mean(lambda theta, x: theta["sigma_level"] / theta["sigma_y"])
    assert ratio == pytest.approx(engine.weights @ (engine.theta["sigma_level"] / engine.theta["sigma_y"]))
    assert engine.quantiles(lambda theta, x: x.level, [0.5])[0] == summary["level"]["50%"]
    last = engine.history[-1]
    assert last.theta["mean"] == pytest.approx([summary["sigma_level"]["mean"], summary["sigma_y"]["mean"]])
    assert last.state["mean"][0] == pytest.approx(summary["level"]["mean"])
    frame = engine.to_pandas()
    assert frame["theta", "sigma_y", "mean"].iloc[-1] == pytest.approx(summary["sigma_y"]["mean"])
    assert len(frame) == 60
