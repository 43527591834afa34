"""Particle filters against exact answers: Kalman, the forward algorithm; unbiasedness; smoothing; guides; gaps."""

import math
from dataclasses import replace

import numpy as np
import pytest
from livesmc2 import ModelError, StateSpaceModel, log_likelihoods, models, particle_filter
from livesmc2_exact import (
    HALF_LOG_TWO_PI,
    QUAKES,
    ar_kalman,
    ar_model,
    forward,
    level,
    level_kalman,
    level_series,
    mean_and_error,
)

AR = {"rho": 0.9, "sx": 1.0, "sy": 1.0}


def ar_series(steps: int) -> np.ndarray:
    return models.simulate(ar_model(), AR, steps, seed=4)[1]


@pytest.mark.parametrize(("steps", "n_x"), [(30, 1000), (100, 2000), (300, 4000)])
def test_kalman_evidence(steps: int, n_x: int) -> None:
    """At 8 filters the mean of log L lies within 4 standard errors, and within 0.2, of the exact value."""
    ys = ar_series(steps)
    lls = log_likelihoods(ar_model(), {"rho": np.full(8, 0.9), "sx": 1.0, "sy": 1.0}, ys, n_x=n_x, seed=1)
    mean, error = mean_and_error(lls)
    exact = ar_kalman(**AR, ys=ys)
    assert abs(mean - exact) < min(0.2, 4 * error + 0.5 * np.var(lls))


@pytest.mark.parametrize("resampling", ["systematic", "stratified", "multinomial"])
@pytest.mark.parametrize("n_x", [10, 50, 200])
def test_the_likelihood_is_unbiased(n_x: int, resampling: str) -> None:
    """E[L^] / L = 1 where resampling is triggered by the effective sample size (defect B3).

    Each check has a false-alarm rate of about 1e-3 (3.3 standard errors, heavy right tails); the poison loses the
    carried weights, as the predecessor did, and is caught by far.
    """
    ys = ar_series(20)
    theta = {"rho": np.full(1500, 0.9), "sx": 1.0, "sy": 1.0}
    ratio = np.exp(log_likelihoods(ar_model(), theta, ys, n_x, seed=2, resampling=resampling) - ar_kalman(**AR, ys=ys))
    mean, error = mean_and_error(ratio)
    assert abs(mean - 1.0) < 3.3 * error


def test_b3_losing_carried_weights_would_be_seen() -> None:
    """Defect B3's poison: the increment without carried weights is off by many standard errors at N = 1000 too."""
    ys = ar_series(100)
    exact = ar_kalman(**AR, ys=ys)
    rng = np.random.default_rng(0)
    right, wrong = [], []
    for _ in range(8):
        x, w = rng.normal(0, 1 / math.sqrt(1 - 0.81), 1000), np.full(1000, 1e-3)
        totals = np.zeros(2)
        for t, y in enumerate(ys):
            if t:
                if 1 / (w @ w) < 500:
                    x, w = x[rng.choice(1000, 1000, p=w)], np.full(1000, 1e-3)
                x = 0.9 * x + rng.normal(size=1000)
            g = np.exp(-0.5 * (y - x) ** 2 - HALF_LOG_TWO_PI)
            totals += math.log(w @ g), math.log(g.mean())
            w = w * g / (w @ g)
        right.append(totals[0])
        wrong.append(totals[1])
    ours = log_likelihoods(ar_model(), {"rho": np.full(8, 0.9), "sx": 1.0, "sy": 1.0}, ys, n_x=1000, seed=3)
    assert abs(np.mean(right) - exact) < 0.5
    assert abs(ours.mean() - exact) < 0.5
    assert abs(np.mean(wrong) - exact) > 1.0


def test_forward_algorithm_evidence_on_earthquakes() -> None:
    """Zucchini and MacDonald's two-state Poisson chain: -log L = 342.3183 by the forward algorithm, and by filters."""
    rate, stay = np.array([15.472, 26.125]), np.array([0.9340, 0.8715])
    rows = np.array([[stay[0], 1 - stay[0]], [1 - stay[1], stay[1]]])
    log_factorials = np.array([math.lgamma(y + 1) for y in QUAKES])
    emissions = np.exp(QUAKES[:, None] * np.log(rate) - rate - log_factorials[:, None])
    stationary = np.array([1 - stay[1], 1 - stay[0]]) / (2 - stay.sum())
    assert forward(stationary, rows, emissions) == pytest.approx(-342.3183, abs=2e-3)
    exact = forward(np.array([0.5, 0.5]), rows, emissions)
    model, _ = models.hidden_markov(2, "poisson")
    theta = {"stay": np.tile(stay, (400, 1)), "rate": np.tile(rate, (400, 1))}
    ratio = np.exp(log_likelihoods(model, theta, QUAKES, n_x=200, seed=1) - exact)
    mean, error = mean_and_error(ratio)
    assert abs(mean - 1) < 3.3 * error
    assert error < 0.05


def test_three_states_against_the_forward_algorithm() -> None:
    model, _ = models.hidden_markov(3)
    stay, mu, sd = np.array([0.8, 0.7, 0.9]), np.array([0.0, 2.0, 4.0]), np.array([1.0, 0.5, 0.8])
    theta = {"stay": stay, "mu": mu, "sd": sd}
    _, ys = models.simulate(model, theta, 60, seed=2)
    rows = np.where(np.eye(3) == 1, stay, ((1 - stay) / 2)[:, None])
    emissions = np.exp(-0.5 * ((ys[:, None] - mu) / sd) ** 2) / (sd * math.sqrt(2 * math.pi))
    exact = forward(np.full(3, 1 / 3), rows, emissions)
    many = {name: np.tile(value, (500, 1)) for name, value in theta.items()}
    mean, error = mean_and_error(np.exp(log_likelihoods(model, many, ys, n_x=200, seed=1) - exact))
    assert abs(mean - 1) < 3.3 * error


def test_filtered_moments_are_kalmans_and_missing_data_are_left_out() -> None:
    model, _ = level()
    ys = level_series(40)
    ys[[0, 7, 8, 9, 25]] = np.nan
    result = particle_filter(model, {"sigma_level": 0.3, "sigma_y": 0.7}, ys, n_x=20_000, seed=1)
    ll, mean, variance = level_kalman(np.array(0.3), np.array(0.7), ys)
    assert result.log_likelihood == pytest.approx(float(ll), abs=0.1)
    assert result.increments[7] == 0
    assert result.mean["level"][-1] == pytest.approx(float(mean), abs=0.02)
    assert result.sd["level"][-1] == pytest.approx(math.sqrt(float(variance)), rel=0.03)
    low, high = result.quantiles("level", [0.025, 0.975])[:, -1]
    assert high - low == pytest.approx(2 * 1.96 * math.sqrt(float(variance)), rel=0.05)


def test_smoothing_is_kalmans_smoother() -> None:
    """Backward sampling against Rauch, Tung and Striebel; the poison is the filtered law, which is wider."""
    model, _ = level()
    ys = level_series(25)
    q, h = 0.3, 0.7
    means, variances = [], []
    mean, variance = 0.0, 1.0
    for t, y in enumerate(ys):
        variance += q * q if t else 0.0
        gain = variance / (variance + h * h)
        mean, variance = mean + gain * (y - mean), (1 - gain) * variance
        means.append(mean)
        variances.append(variance)
    smooth, spread = [means[-1]], [variances[-1]]
    for t in range(len(ys) - 2, -1, -1):
        gain = variances[t] / (variances[t] + q * q)
        smooth.append(means[t] + gain * (smooth[-1] - means[t]))
        spread.append(variances[t] + gain**2 * (spread[-1] - variances[t] - q * q))
    result = particle_filter(model, {"sigma_level": q, "sigma_y": h}, ys, n_x=1000, seed=1)
    paths = result.smooth(2000, seed=3)["level"]
    assert np.abs(paths.mean(axis=0) - smooth[::-1]).max() < 0.05
    assert np.abs(paths.var(axis=0) / spread[::-1] - 1).max() < 0.2
    filtered = result.sd["level"] ** 2
    assert np.abs(filtered / spread[::-1] - 1).max() > 0.4


def test_smoothing_says_what_it_needs() -> None:
    result = particle_filter(ar_model(), AR, [0.1, 0.2], n_x=10)
    with pytest.raises(ModelError, match="log_transition"):
        result.smooth()
    model, _ = level()
    with pytest.raises(ValueError, match="history=True"):
        particle_filter(model, {"sigma_level": 1, "sigma_y": 1}, [0.1], n_x=10, history=False).smooth()


def guided_ar() -> StateSpaceModel:
    """The optimal proposal of the linear Gaussian model, with its density."""

    def guide(rng, x, y, theta, t):  # type: ignore[no-untyped-def]
        gain = theta.sx**2 / (theta.sx**2 + theta.sy**2)
        ahead = theta.rho * x.x
        mean, sd = ahead + gain * (y - ahead), math.sqrt(gain) * theta.sy
        new = rng.normal(mean, sd)
        log_f = -0.5 * ((new - ahead) / theta.sx) ** 2 - math.log(theta.sx)
        log_q = -0.5 * ((new - mean) / sd) ** 2 - math.log(sd)
        return new, log_f - log_q

    return replace(ar_model(), guide=guide)


def test_a_guide_keeps_the_likelihood_and_lessens_its_variance() -> None:
    ys = ar_series(40)
    ys[10] = np.nan
    theta = {"rho": np.full(1000, 0.9), "sx": 1.0, "sy": 0.3}
    exact = ar_kalman(0.9, 1.0, 0.3, ys)
    blind = log_likelihoods(ar_model(), theta, ys, n_x=100, seed=1)
    guided = log_likelihoods(guided_ar(), theta, ys, n_x=100, seed=1)
    mean, error = mean_and_error(np.exp(guided - exact))
    assert abs(mean - 1) < 3.3 * error
    assert guided[1:].std() < 0.7 * blind[1:].std()


@pytest.mark.parametrize("make", [ar_model, guided_ar])
def test_plain_python_gives_the_compiled_numbers(make) -> None:  # type: ignore[no-untyped-def]
    ys = ar_series(12)
    ys[4] = np.nan
    plain = particle_filter(make(), AR, ys, n_x=40, seed=7, compiled=False)
    compiled = particle_filter(make(), AR, ys, n_x=40, seed=7)
    np.testing.assert_allclose(plain.x, compiled.x, rtol=0, atol=1e-12)
    np.testing.assert_allclose(plain.increments, compiled.increments, rtol=0, atol=1e-12)


def test_components_of_an_observation_may_be_missing() -> None:
    """Terms of missing components are left out: equal to the model that has only the other component."""
    two = StateSpaceModel(
        parameters=("s",),
        state=("x",),
        observed=("a", "b"),
        initial=lambda rng, theta: rng.normal(),
        transition=lambda rng, x, theta, t: rng.normal(x.x, theta.s),
        log_likelihood=lambda y, x, theta, t: (-0.5 * (y.a - x.x) ** 2, -0.5 * (y.b - 2 * x.x) ** 2),
        observe=lambda rng, x, theta, t: (rng.normal(x.x), rng.normal(2 * x.x)),
    )
    one = replace(two, observed=(), observe=None, log_likelihood=lambda y, x, theta, t: -0.5 * (y - x.x) ** 2)
    ys = np.array([0.1, -0.3, np.nan, 0.4])
    pairs = np.stack([ys, np.full(4, np.nan)], axis=1)
    for compiled in (True, False):
        both = particle_filter(two, {"s": 0.5}, pairs, n_x=30, seed=1, compiled=compiled)
        alone = particle_filter(one, {"s": 0.5}, ys, n_x=30, seed=1, compiled=compiled)
        np.testing.assert_allclose(both.increments, alone.increments, rtol=0, atol=1e-13)


def test_arrays_in_states_and_parameters() -> None:
    """A state of two numbers in an array is the model with two scalars, to the bit."""
    arrays = StateSpaceModel(
        parameters={"s": 2},
        state={"x": 2},
        initial=lambda rng, theta: ((rng.normal(), rng.normal()),),
        transition=lambda rng, x, theta, t: ((rng.normal(x.x[0], theta.s[0]), rng.normal(x.x[1], theta.s[1])),),
        log_likelihood=lambda y, x, theta, t: -0.5 * (y - x.x[0] - x.x[1]) ** 2,
    )
    scalars = StateSpaceModel(
        parameters=("s", "r"),
        state=("x", "z"),
        initial=lambda rng, theta: (rng.normal(), rng.normal()),
        transition=lambda rng, x, theta, t: (rng.normal(x.x, theta.s), rng.normal(x.z, theta.r)),
        log_likelihood=lambda y, x, theta, t: -0.5 * (y - x.x - x.z) ** 2,
    )
    ys = [0.1, 0.5, -0.2]
    first = particle_filter(arrays, {"s": [0.5, 0.2]}, ys, n_x=20, seed=3)
    second = particle_filter(scalars, {"s": 0.5, "r": 0.2}, ys, n_x=20, seed=3)
    assert np.array_equal(first.x, second.x)
    assert first.state["x"].shape == (3, 20, 2)
    assert first.mean["x"].shape == first.sd["x"].shape == (3, 2)


def test_covariates_and_irregular_times() -> None:
    """A walk over irregular gaps: exact by Kalman with the gaps' variances."""
    model = StateSpaceModel(
        parameters=("s",),
        state=("x",),
        covariates=("gap",),
        initial=lambda rng, theta: rng.normal(),
        transition=lambda rng, x, theta, t: rng.normal(x.x, theta.s * math.sqrt(t.gap)),
        log_likelihood=lambda y, x, theta, t: -0.5 * (y - x.x) ** 2 - 0.918938533204672742,
    )
    ys, gaps = np.array([0.3, -0.5, 2.0, 1.0]), np.array([0.0, 0.1, 7.0, 2.0])
    mean, variance, exact = 0.0, 1.0, 0.0
    for y, gap in zip(ys, gaps, strict=True):
        variance += 0.25 * gap
        exact -= 0.5 * (math.log(2 * math.pi * (variance + 1)) + (y - mean) ** 2 / (variance + 1))
        gain = variance / (variance + 1)
        mean, variance = mean + gain * (y - mean), (1 - gain) * variance
    found = particle_filter(model, {"s": 0.5}, ys, n_x=50_000, covariates={"gap": gaps})
    assert found.log_likelihood == pytest.approx(exact, abs=0.02)
