"""Warm-up: Stan's windows, dual averaging, the metric's estimators, the step size that comes of them."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import jax.numpy as jnp
import livenuts as ln
import numpy as np
import pytest
from livenuts import dist
from livenuts.adaptation import dual_averaging
from livenuts.adaptation.estimators import ESTIMATORS
from livenuts.adaptation.windows import stan_windows
from livenuts.compiler.x64 import x64
from livenuts.runtime.iteration import MAX_WINDOWS


@pytest.fixture(autouse=True)
def _double_precision() -> Iterator[None]:
    with x64():
        yield


# -- windows -----------------------------------------------------------------------------------------------------------


def parts(num_warmup: int) -> tuple[int, list[int], int]:
    """Lengths of the first phase, the windows and the last phase."""
    windows = stan_windows(num_warmup)
    edges = [windows.first, *(end + 1 for end in windows.ends)]
    return windows.first, [b - a for a, b in pairwise(edges)], num_warmup - windows.last


def stans_windows(num_warmup: int) -> list[int]:
    """Lengths of the windows by stan/mcmc/windowed_adaptation.hpp, transcribed: its counter, its boundaries."""
    init_buffer, term_buffer, base_window = 75, 50, 25
    if init_buffer + base_window + term_buffer > num_warmup:
        init_buffer, term_buffer = int(0.15 * num_warmup), int(0.1 * num_warmup)
        base_window = num_warmup - (init_buffer + term_buffer)
    size, next_window, last, previous = base_window, init_buffer + base_window - 1, init_buffer - 1, []
    for counter in range(num_warmup):
        if counter == next_window and init_buffer <= counter < num_warmup - term_buffer:
            previous.append(counter - last)
            last = counter
            if next_window == num_warmup - term_buffer - 1:
                continue
            size *= 2
            next_window = counter + size
            if next_window == num_warmup - term_buffer - 1:
                continue
            if next_window + 2 * size >= num_warmup - term_buffer:
                next_window = num_warmup - term_buffer - 1
    return previous


@pytest.mark.parametrize(
    ("num_warmup", "expected"),
    [
        # Stan Reference Manual: 75 | 25 50 100 200 500 | 50 for a thousand.
        (1000, (75, [25, 50, 100, 200, 500], 50)),
        (500, (75, [25, 50, 100, 200], 50)),
        (200, (75, [25, 50], 50)),
        (150, (75, [25], 50)),
        # Fewer than 150: 15 %, 75 %, 10 %.
        (149, (22, [113], 14)),
        (100, (15, [75], 10)),
        (20, (3, [15], 2)),
        # Fewer than 20: the step size alone.
        (19, (19, [], 0)),
        (1, (1, [], 0)),
        (0, (0, [], 0)),
    ],
)
def test_windows_are_the_published_ones(num_warmup: int, expected: tuple[int, list[int], int]) -> None:
    assert parts(num_warmup) == expected


def test_windows_are_those_of_stans_code() -> None:
    """At every length, but for 151 to 199: there Stan ends with a remnant that is too short to learn from."""
    for num_warmup in [*range(20, 151), *range(200, 3000)]:
        assert parts(num_warmup)[1] == stans_windows(num_warmup), num_warmup
    assert stans_windows(160) == [25, 10]
    for num_warmup in range(151, 200):
        assert parts(num_warmup)[1] == [sum(stans_windows(num_warmup))]


def test_windows_fill_the_warm_up() -> None:
    for num_warmup in [*range(3000), 10_000, 100_000, 10_000_000]:
        first, windows, last = parts(num_warmup)
        assert first + sum(windows) + last == num_warmup
        assert all(length > 0 for length in windows)
        assert len(windows) <= MAX_WINDOWS


# -- dual averaging ----------------------------------------------------------------------------------------------------


def transcribed(rates: list[float], step_size: float, delta: float, shift: float = 10.0) -> tuple[float, float]:
    """Hoffman and Gelman 2014, algorithm 5, in the paper's symbols: the last step size and its average."""
    mu, gamma, t0, kappa = np.log(shift * step_size), 0.05, 10.0, 0.75
    h_bar, log_bar, log_step = 0.0, np.log(step_size), np.log(step_size)
    for m, alpha in enumerate(rates, 1):
        h_bar = (1 - 1 / (m + t0)) * h_bar + (delta - alpha) / (m + t0)
        log_step = mu - np.sqrt(m) / gamma * h_bar
        log_bar = m**-kappa * log_step + (1 - m**-kappa) * log_bar
    return float(np.exp(log_step)), float(np.exp(log_bar))


def test_dual_averaging_is_the_papers() -> None:
    rates = np.random.default_rng(0).uniform(0.6, 1.0, 200).tolist()
    state = dual_averaging.start(np.log(0.3))
    for rate in rates:
        state = dual_averaging.update(state, jnp.float64(rate), jnp.float64(0.8))
    found = float(np.exp(state.log_step)), float(np.exp(state.log_average))
    assert found == pytest.approx(transcribed(rates, 0.3, 0.8), rel=1e-12)
    assert found != pytest.approx(transcribed(rates, 0.3, 0.8, shift=1.0), rel=0.01)  # poison: shrunk to the start


# -- estimators --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["diag", "dense"])
def test_estimators_are_stans_regularised_covariance(kind: str) -> None:
    """Against NumPy, with an offset that a one-pass sum of squares would not survive; weight 0 leaves a draw out."""
    rng = np.random.default_rng(1)
    estimator, draws = ESTIMATORS[kind], 1e6 + rng.normal(size=(60, 3)) @ rng.normal(size=(3, 3))
    counted = rng.random(60) < 0.7
    state = estimator.init(3)
    for draw, counts in zip(draws, counted, strict=True):
        state = estimator.update(state, jnp.asarray(draw), jnp.zeros(3), jnp.float64(counts))
    n = counted.sum()
    covariance = n / (n + 5) * np.cov(draws[counted], rowvar=False) + 1e-3 * 5 / (n + 5) * np.eye(3)
    found = np.asarray(estimator.metric(state).inverse_mass)
    expected = np.diag(covariance) if kind == "diag" else covariance
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    everything = np.cov(draws, rowvar=False)
    everything = np.diag(everything) if kind == "diag" else everything
    assert not np.allclose(found, everything, rtol=1e-3)  # poison: all draws counted, no shrinkage


@pytest.mark.parametrize("kind", ["diag", "dense"])
def test_an_empty_window_gives_a_usable_metric(kind: str) -> None:
    estimator = ESTIMATORS[kind]
    inverse_mass = np.asarray(estimator.metric(estimator.init(2)).inverse_mass)
    assert np.isfinite(inverse_mass).all()
    assert (np.linalg.eigvalsh(inverse_mass if kind == "dense" else np.diag(inverse_mass)) > 0).all()


# -- the whole ---------------------------------------------------------------------------------------------------------


def scaled(scale: float) -> ln.Model:
    """A normal whose scale is data: one compilation for all."""
    return (
        ln.Model("scaled")
        .data("s", scale)
        .rv("x", dist.Normal(0.0, 1.0))
        .factor("f", 0.5 * ln.ref("x") ** 2 - 0.5 * (ln.ref("x") / ln.ref("s")) ** 2)
    )


@pytest.mark.parametrize("scale", [1e-4, 0.1, 1.0, 1e3])
def test_step_size_search_goes_both_ways(scale: float) -> None:
    """Without warm-up the step size is the search's: from 0.1 to the scale of the target, up or down."""
    result = ln.sample(
        scaled(scale), num_warmup=0, num_samples=2, num_chains=1, seed=1, init={"x": scale}, progress=False
    )
    assert 0.2 < result.tuning.step_size[0] / scale < 10.0
    # A step found by doubling from 0.1: a power of two times it.
    power = np.log2(result.tuning.step_size[0] / 0.1)
    assert abs(power - round(power)) < 1e-9


@pytest.mark.parametrize("num_warmup", [0, 1, 2, 5, 19, 20, 21, 40, 149, 150, 151])
def test_any_length_of_warm_up_runs(num_warmup: int) -> None:
    result = ln.sample(scaled(1.0), num_warmup=num_warmup, num_samples=50, num_chains=2, seed=2, progress=False)
    assert result.draws["x"].shape == (2, 50)
    assert np.isfinite(result.draws["x"]).all()
    assert (result.tuning.step_size > 0).all()
    # The metric is learned from 20 iterations on.
    assert (result.tuning.inverse_mass == 1.0).all() == (num_warmup < 20)
    # Sampling keeps one step size a chain: the average that warm-up settled on.
    assert (np.ptp(result.stats["step_size"], axis=1) == 0).all()


def test_warm_up_alone_makes_a_tuning() -> None:
    result = ln.sample(scaled(1.0), num_warmup=200, num_samples=0, num_chains=2, seed=3, progress=False)
    assert result.draws["x"].shape == (2, 0)
    assert result.tuning.step_size.shape == (2,)


# Standard deviations from 1e-3 to 1e3.
SCALES = np.logspace(-3, 3, 7)


def test_scales_are_learned() -> None:
    """Each learned variance within a factor of 1.6 of what Stan's regularisation makes of the exact one, in 8 chains:
    a variance from the last window's 500 draws, at least 200 effective, has a relative sd below 0.1."""
    model = ln.Model("many scales").rv("x", dist.Normal(0.0, SCALES))
    result = ln.sample(model, num_chains=8, seed=4, progress=False)
    regularised = 500 / 505 * SCALES**2 + 1e-3 * 5 / 505
    ratios = result.tuning.inverse_mass / regularised
    assert 1 / 1.6 < ratios.min() < ratios.max() < 1.6
    np.testing.assert_allclose(result.draws["x"].std((0, 1)) / SCALES, 1.0, atol=0.1)
    assert result.stats["n_steps"].mean() < 20  # without the metric it would take 10^6 steps a draw


@pytest.mark.parametrize("target_accept", [0.6, 0.8, 0.95])
def test_acceptance_comes_to_its_target(target_accept: float) -> None:
    """After 4,000 iterations of dual averaging, 8 chains of 2,000 draws: within 0.03. After the default warm-up, which
    settles the step size in 50 iterations, it is above the target: by up to 0.2 at 0.6, as in NumPyro and Stan."""
    model = ln.Model("seven").rv("x", dist.Normal(0.0, 1.0), shape=7)
    run: dict[str, Any] = {"num_chains": 8, "target_accept": target_accept, "progress": False}
    first = ln.sample(model, seed=4, **run)
    assert target_accept - 0.03 < first.stats["acceptance_rate"].mean() < target_accept + 0.5 * (1.0 - target_accept)
    longer = ln.sample(model, seed=5, warm_start=first, num_warmup=4000, num_samples=2000, **run)
    assert abs(longer.stats["acceptance_rate"].mean() - target_accept) < 0.03


def test_divergent_draws_do_not_count_in_the_metric() -> None:
    """A cliff: beyond |x| = 1 the density falls by e^2000. The metric is that of the inside alone, and divergences of
    warm-up are not among the run's statistics."""
    warm: list[dict[str, Any]] = []

    def sink(message: dict[str, Any]) -> None:
        if message["type"] == "nuts.warmup/1":
            warm.append(message)

    cliff = (
        ln.Model("cliff")
        .rv("x", dist.Normal(0, 0.7))
        .factor("edge", ln.where(ln.square(ln.ref("x")) > 1.0, -2000.0, 0.0))
    )
    result = ln.sample(
        cliff, num_chains=1, num_warmup=150, num_samples=200, seed=5, sink=sink, init={"x": 0.0}, progress=False
    )
    diverging = np.array([message["stats"]["diverging"] for message in warm])
    x = np.array([message["values"]["x"] for message in warm])
    assert diverging.sum() > 5
    assert np.abs(result.draws["x"]).max() <= 1.0
    window = slice(75, 100)
    inside = x[window][~diverging[window]]
    n = len(inside)
    assert 2 < n < 25
    expected = n / (n + 5) * inside.var(ddof=1) + 1e-3 * 5 / (n + 5)
    assert result.tuning.inverse_mass[0, 0] == pytest.approx(expected, rel=1e-9)
    assert result.stats["diverging"].shape == (1, 200)


def test_step_size_falls_when_a_higher_acceptance_is_wanted() -> None:
    def step(target_accept: float) -> float:
        result = ln.sample(scaled(1.0), target_accept=target_accept, num_samples=1, seed=6, progress=False)
        return float(result.tuning.step_size.mean())

    assert step(0.6) > step(0.8) > step(0.95)
