"""Missing observations, weights and masks: log densities against SciPy, posteriors against exact ones.

Each z-score beyond 5 has probability 6e-7; there are 20 of them.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax
import livenuts as ln
import numpy as np
import numpyro
import numpyro.distributions as nd
import pytest
from livenuts import dist, ref
from livenuts.compiler.target import compile_model
from livenuts.compiler.x64 import x64
from livenuts_checks import failures, z_scores
from scipy import stats

NAN = float("nan")
LONG: dict[str, Any] = {"num_samples": 2000, "seed": 3, "progress": False}
SHORT: dict[str, Any] = {"num_warmup": 50, "num_samples": 50, "num_chains": 2, "seed": 1, "progress": False}
Y = np.array([1.3, NAN, 0.2, 2.1, NAN])


def log_density(model: Any, position: Any) -> tuple[float, np.ndarray]:
    """Of a model at a position of the unconstrained scale, with its gradient."""
    bound = compile_model(model)
    with x64():
        value, gradient = jax.jit(jax.value_and_grad(lambda q: bound.target.evaluation(bound.data, q).log_density()))(
            np.asarray(position, float)
        )
    return float(value), np.asarray(gradient)


def level(y: Any = Y) -> ln.Model:
    return ln.Model("level").rv("mu", dist.Normal(0, 2)).obs("y", dist.Normal("mu", 0.5), y)


@ln.model
def level_as_function(y: Any) -> None:
    full = ln.obs("y", dist.Normal(ln.rv("mu", dist.Normal(0, 2)), 0.5), y)
    ln.det("total", full.sum())


def level_in_numpyro(y: Any) -> None:
    numpyro.sample("y", nd.Normal(numpyro.sample("mu", nd.Normal(0, 2)), 0.5), obs=y)


def test_missing_values_are_variables_with_the_exact_posterior() -> None:
    """Normal and normal: the mean's posterior is that of what was seen, a missing value's is wider by the noise."""
    seen = Y[~np.isnan(Y)]
    precision = 1 / 4 + len(seen) / 0.25
    mean = seen.sum() / 0.25 / precision
    for model in (level(), level_as_function(Y), ln.from_numpyro(level_in_numpyro, Y)):
        draws = ln.sample(model, **LONG).draws
        assert draws["y_missing"].shape == (4, 2000, 2)
        assert not failures(z_scores(draws["mu"], stats.norm(mean, precision**-0.5)))
        for column in (0, 1):
            exact = stats.norm(mean, np.sqrt(1 / precision + 0.25))
            assert not failures(z_scores(draws["y_missing"][..., column], exact))
        if "total" in draws:
            np.testing.assert_allclose(draws["total"], seen.sum() + draws["y_missing"].sum(-1), rtol=1e-12)
    # The poison: the mean's law is not that of a missing value.
    assert failures(z_scores(draws["mu"], stats.norm(mean, np.sqrt(1 / precision + 0.25))))


def test_what_is_missing_is_said() -> None:
    assert str(level()).endswith("y ~ Normal(loc=mu, scale=0.5), observed, 2 missing")
    assert list(ln.sample(level(), **SHORT).summary()) == ["mu", "y_missing[0]", "y_missing[1]"]


def test_other_missing_values_need_no_compilation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted by JAX itself: another y, other places; and one more missing is another program."""
    ln.sample(level(), **SHORT)
    with compilations() as count:
        moved = ln.sample(level().with_data(y=[NAN, 5.0, 5.1, NAN, 4.9]), **SHORT)
        assert not count
    assert abs(moved.draws["mu"].mean() - 5.0) < 1.0  # sd 0.3
    with compilations() as count:
        ln.sample(level().with_data(y=[NAN, NAN, 5.1, NAN, 4.9]), **SHORT)
        assert count


@contextmanager
def compilations() -> Iterator[list[str]]:
    found: list[str] = []

    def listen(event: str, duration: float, **_: Any) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            found.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield found
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


def test_missing_values_stay_in_their_support() -> None:
    """Positive, and between bounds that are variables: with the Jacobians of the way there."""
    waits = ln.Model("waits").rv("rate", dist.Gamma(2, 1)).obs("y", dist.Exponential("rate"), [[0.5, NAN], [NAN, 1.5]])
    rate, first, second = np.exp([0.3, -0.4, 0.7])
    expected = stats.gamma.logpdf(rate, 2) + stats.expon.logpdf([0.5, 1.5, first, second], scale=1 / rate).sum() + 0.6
    assert log_density(waits, [0.3, -0.4, 0.7])[0] == pytest.approx(expected, rel=1e-12)
    shares = ln.Model("shares").rv("top", dist.Exponential(1.0)).obs("y", dist.Uniform(0, "top"), [0.2, NAN])
    top, share = np.exp(0.5), 1 / (1 + np.exp(-0.3))
    expected = stats.expon.logpdf(top) + 0.5 - 2 * np.log(top) + np.log(top * share * (1 - share))
    value, gradient = log_density(shares, [0.5, 0.3])
    assert value == pytest.approx(expected, rel=1e-12)
    assert np.isfinite(gradient).all()


def test_parts_of_a_vector_may_be_missing() -> None:
    """The conditional normal law of what is missing from one of two vectors."""
    covariance = np.array([[1.0, 0.8], [0.8, 2.0]])
    model = ln.Model("pairs").rv("mu", dist.Normal(0, 0.001))
    model.obs("y", dist.MultivariateNormal(ref("mu") * np.ones(2), covariance), [[1.0, 2.0], [1.5, NAN]])
    draws = ln.sample(model, metric="diag", **LONG).draws["y_missing"][..., 0]
    assert not failures(z_scores(draws, stats.norm(0.8 * 1.5, np.sqrt(2.0 - 0.64))))


def test_a_series_may_have_gaps() -> None:
    """The middle of three steps of a stationary AR(1): normal about the neighbours."""
    model = ln.Model("gap").rv("c", dist.Normal(0.6, 1e-6)).obs("y", dist.AR("c", 1.0, 3), [2.0, NAN, 1.0])
    draws = ln.sample(model, **LONG).draws["y_missing"][..., 0]
    assert not failures(z_scores(draws, stats.norm(0.6 * 3.0 / 1.36, 1.36**-0.5)))


def test_missing_counts_are_summed_out() -> None:
    def counts(y: Any) -> ln.Model:
        return ln.Model("counts").rv("rate", dist.Gamma(2, 1)).obs("y", dist.Poisson("rate"), y)

    whole, gradient = log_density(counts([3.0, NAN, 5.0, NAN]), [0.4])
    fewer, expected = log_density(counts([3.0, 5.0]), [0.4])
    assert whole == pytest.approx(fewer, rel=1e-12)
    assert gradient == pytest.approx(expected)
    assert list(ln.sample(counts([3.0, NAN]), **SHORT).draws) == ["rate"]


def test_a_start_may_hold_missing_values() -> None:
    bound = compile_model(ln.Model("w").rv("r", dist.Gamma(2, 1)).obs("y", dist.Exponential("r"), [0.5, NAN]))
    position = bound.target.unconstrain(bound.data, np.zeros(2), {"y_missing": [2.5], "r": 0.5})
    np.testing.assert_allclose(position, np.log([0.5, 2.5]))


# -- weights and masks -------------------------------------------------------------------------------------------------

VALUES, WEIGHTS, MASK = np.array([1.0, 2.0, -0.5]), np.array([0.5, 2.0, 3.0]), np.array([True, False, True])


def weighted(y: np.ndarray, weights: Any, mask: Any) -> ln.Model:
    model = ln.Model("weighted").data("w", WEIGHTS).data("m", MASK).rv("mu", dist.Normal(0, 1))
    return model.obs("y", dist.Normal("mu", 1.0), y, weights=weights, mask=mask)


@ln.model
def weighted_function(y: Any, weights: Any = None, mask: Any = None) -> None:
    ln.obs("y", dist.Normal(ln.rv("mu", dist.Normal(0, 1)), 1.0), y, weights=weights, mask=mask)


@pytest.mark.parametrize(
    ("weights", "mask", "factors"),
    [(WEIGHTS, None, WEIGHTS), (2.5, None, 2.5), (None, MASK, MASK), (WEIGHTS, MASK, WEIGHTS * MASK)],
)
def test_terms_are_multiplied(weights: Any, mask: Any, factors: Any) -> None:
    y = VALUES if mask is None else np.where(MASK, VALUES, NAN)
    expected = stats.norm.logpdf(0.3) + np.sum(factors * stats.norm.logpdf(VALUES, 0.3))
    slope = -0.3 + np.sum(factors * (VALUES - 0.3))
    for model in (weighted(y, weights, mask), weighted_function(y, weights, mask)):
        value, gradient = log_density(model, [0.3])
        assert value == pytest.approx(expected, rel=1e-12)
        assert gradient[0] == pytest.approx(slope, rel=1e-12)
    if mask is None:
        return
    with pytest.raises(ValueError, match=r"the value at .* is NaN, where the mask is true"):
        compile_model(weighted(y, weights, ~MASK))


def test_weights_by_name_survive_json() -> None:
    model = weighted(np.where(MASK, VALUES, NAN), ref("w") * 2.0, "m")
    assert str(model).endswith("observed, weights (w * 2.0), mask m, 1 missing")
    again = ln.Model.from_json(model.to_json())
    assert again == model
    assert again != weighted(VALUES, ref("w") * 2.0, "m")
    whole = json.loads(model.to_json())
    assert whole["format"] == "livenuts.model/2"  # who only knows the first would leave weights out
    assert json.loads(level().to_json())["format"] == "livenuts.model/1"
    assert "weights" in whole["nodes"][-1]
    assert log_density(again, [0.3])[0] == log_density(model, [0.3])[0]
    # Data by name may change under compiled code, and pass the door again.
    compile_model(model.with_data(y=[NAN, 1.0, 1.0], m=[False, True, True]))
    with pytest.raises(ValueError, match=r"the value at \[0\] is NaN"):
        compile_model(model.with_data(y=[NAN, 1.0, 1.0]))
