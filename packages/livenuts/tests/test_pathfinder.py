"""Pathfinder against normals of known covariance, two modes of known weight, and NUTS."""

from typing import Any

import jax.numpy as jnp
import livenuts as ln
import numpy as np
import pytest
from livenuts import dist
from livenuts.inference import pathfinder as module
from scipy import stats

RUN: dict[str, Any] = {"seed": 1, "progress": False}
LOG_SCALE = 3.0


def normal(dimension: int, seed: int = 0) -> tuple[Any, np.ndarray, np.ndarray, float]:
    """A model, its mean, its covariance and its log evidence."""
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(dimension, 2 * dimension))
    scale = 10.0 ** rng.uniform(-1, 1, dimension)
    covariance = root @ root.T * scale[:, None] * scale
    mean = rng.normal(size=dimension) * scale
    precision = np.linalg.inv(covariance)
    model = ln.from_logdensity(
        lambda q: LOG_SCALE - 0.5 * (q - mean) @ precision @ (q - mean), rng.normal(size=dimension)
    )
    return model, mean, covariance, LOG_SCALE + 0.5 * np.linalg.slogdet(2 * np.pi * covariance)[1]


@pytest.mark.parametrize(("dimension", "paths"), [(1, 1), (3, 1), (10, 8)])
def test_a_normal_is_found_as_it_is(dimension: int, paths: int) -> None:
    """Mean, scales and evidence lower bound exactly; covariance of the draws within 6 of its standard errors."""
    model, mean, covariance, log_evidence = normal(dimension)
    result = ln.pathfinder(model, num_paths=paths, num_samples=4000, num_elbo_draws=200, **RUN)
    np.testing.assert_allclose(result.fit["elbo"], log_evidence, atol=1e-6)
    assert result.fit["log_evidence"] == pytest.approx(log_evidence, abs=1e-6)
    sd = np.sqrt(np.diag(covariance))
    for path in range(paths):
        np.testing.assert_allclose(result.fit["means"][path] / sd, mean / sd, atol=1e-4)
        np.testing.assert_allclose(result.fit["standard_deviations"][path], sd, rtol=1e-4)
    draws = result.draws["x"].reshape(-1, dimension) if dimension > 1 else result.draws["x"].reshape(-1, 1)
    got = np.cov(draws.T).reshape(dimension, dimension)
    error = np.sqrt((covariance**2 + np.outer(sd, sd) ** 2) / 4000)
    assert np.abs((got - covariance) / error).max() < 6.0
    assert result.fit["pareto_k"] < 0.5


def test_modes_get_their_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two modes of mass 0.2 and 0.8: within 5 standard errors of 20,000 draws, both in draws and in evidence.

    The poison: weights over each path's own normal, as if paths were not to one mode, count a mode as often as it
    was found.
    """
    masses = np.array([0.2, 0.8])

    def density(q: Any) -> Any:
        apart = jnp.stack([q + 4.0, q - 4.0])
        return jnp.log(jnp.exp(-0.5 * apart**2) @ masses) - 0.5 * jnp.log(2 * jnp.pi)

    model = ln.from_logdensity(density, np.float64(0.5))
    starts = [{"x": x} for x in (-3.0, -2.0, -1.5, 2.5)]
    run: dict[str, Any] = RUN | {"num_paths": 4, "init": starts, "num_samples": 20_000}
    result = ln.pathfinder(model, **run)
    error = 5 * np.sqrt(0.16 / 20_000) * 2  # resampled from what was drawn: the variance doubles at most
    assert (result.draws["x"] > 0).mean() == pytest.approx(0.8, abs=error)
    assert result.fit["log_evidence"] == pytest.approx(0.0, abs=0.05)
    monkeypatch.setattr(module, "logsumexp", lambda values, axis=None: np.max(values, axis=axis))
    poisoned = ln.pathfinder(model, **run)
    assert abs((poisoned.draws["x"] > 0).mean() - 0.8) > error


def test_a_posterior_that_is_not_normal() -> None:
    """A gamma posterior, on the scale of its logarithm: k is small, and means agree within 5 errors of the draws."""
    model = ln.Model("counts").rv("rate", dist.Gamma(2.0, 1.0)).obs("y", dist.Poisson("rate"), [3, 5, 4])
    result = ln.pathfinder(model, num_samples=4000, **RUN)
    exact = stats.gamma(14, scale=1 / 4)
    assert result.fit["pareto_k"] < 0.7
    draws = result.draws["rate"]
    assert draws.shape == (1, 4000)
    assert draws.mean() == pytest.approx(exact.mean(), abs=5 * exact.std() * np.sqrt(2 / 4000))
    assert draws.std() == pytest.approx(exact.std(), rel=0.1)
    np.testing.assert_allclose(result.stats["lp"], model_lp(draws), rtol=1e-9)
    evidence = stats.gamma.logpdf(1.0, 2) + stats.poisson.logpmf([3, 5, 4], 1.0).sum() - exact.logpdf(1.0)
    assert result.fit["log_evidence"] == pytest.approx(evidence, abs=0.05)


def model_lp(rate: np.ndarray) -> np.ndarray:
    prior = stats.gamma.logpdf(rate, 2) + np.log(rate)
    likelihood = stats.poisson.logpmf(np.array([3, 5, 4]), rate[..., None]).sum(-1)
    return np.asarray(prior + likelihood)


def test_bad_fits_say_so() -> None:
    """A Cauchy's normal is no posterior."""
    heavy = ln.Model("heavy").rv("x", dist.Cauchy(0, 1), shape=5)
    result = ln.pathfinder(heavy, **RUN)
    assert result.fit["pareto_k"] > 0.7
    assert any("pareto_k" in line for line in result.summary().concerns())
    model, *_ = normal(2)
    assert not ln.pathfinder(model, **RUN).summary().concerns()


def test_doors() -> None:
    model, *_ = normal(1)
    for arguments, text in (
        ({"num_paths": 0}, "num_paths must be an integer of at least 1, got 0"),
        ({"history": 2.5}, "history must be an integer"),
        ({"init": [{}]}, "one for each of 8 paths"),
        ({"seed": -1}, "seed must be"),
    ):
        with pytest.raises(ValueError, match=text):
            ln.pathfinder(model, progress=False, **arguments)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="sink must be callable"):
        ln.pathfinder(model, sink=3, progress=False)  # type: ignore[arg-type]
    nowhere = ln.from_logdensity(lambda q: jnp.log(q - 100.0), np.float64(0.0))
    with pytest.raises(ValueError, match="no finite log density"):
        ln.pathfinder(nowhere, progress=False)
