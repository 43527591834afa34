"""ADVI against the normals that are nearest in closed form, and what ends it."""

from typing import Any

import livenuts as ln
import numpy as np
import pytest
from livenuts import dist
from livenuts.inference import advi as module
from livenuts.inference.advi import Iterate, average, is_settled, step

RUN: dict[str, Any] = {"seed": 1, "progress": False}


def normal(dimension: int) -> tuple[Any, np.ndarray, np.ndarray, float]:
    """A model, its mean, its covariance and its log evidence."""
    rng = np.random.default_rng(dimension)
    root = rng.normal(size=(dimension, 3 * dimension))
    scale = 10.0 ** rng.uniform(-2, 2, dimension)
    covariance = root @ root.T * scale[:, None] * scale
    mean = 5 * rng.normal(size=dimension) * scale
    precision = np.linalg.inv(covariance)
    model = ln.from_logdensity(lambda q: -0.5 * (q - mean) @ precision @ (q - mean), np.zeros(dimension))
    return model, mean, covariance, 0.5 * float(np.linalg.slogdet(2 * np.pi * covariance)[1])


@pytest.mark.parametrize("dimension", [1, 4, 15])
def test_full_rank_finds_a_normal_as_it_is(dimension: int) -> None:
    """Noise vanishes at the posterior: mean, covariance and bound to 1e-6, from scales four decades apart."""
    model, mean, covariance, log_evidence = normal(dimension)
    result = ln.advi(model, family="full_rank", **RUN)
    sd = np.sqrt(np.diag(covariance))
    assert result.fit["converged"]
    np.testing.assert_allclose(result.fit["mean"] / sd, mean / sd, atol=1e-6)
    np.testing.assert_allclose(result.fit["covariance"] / np.outer(sd, sd), covariance / np.outer(sd, sd), atol=1e-6)
    assert result.fit["elbo"] == pytest.approx(log_evidence, abs=1e-6)
    assert result.fit["pareto_k"] < 0.0


def test_mean_field_finds_the_nearest_in_closed_form() -> None:
    """Of a normal: its mean, 1 / precision's diagonal, and a bound below the evidence by the divergence between them.

    To the stated accuracy: 0.02 of an sd, and 2.4 times the tolerance where bias remains.
    """
    model, mean, covariance, log_evidence = normal(4)
    precision = np.linalg.inv(covariance)
    result = ln.advi(model, num_samples=4000, **RUN)
    sd = 1 / np.sqrt(np.diag(precision))
    assert result.fit["converged"]
    np.testing.assert_allclose(result.fit["mean"] / sd, mean / sd, atol=0.12)
    np.testing.assert_allclose(np.sqrt(result.fit["covariance"]), sd, rtol=0.12)
    gap = 0.5 * (np.log(np.diag(precision)).sum() + np.linalg.slogdet(covariance)[1])
    error = 6 * result.stats["log_ratio"].std() / np.sqrt(4000)
    assert result.fit["elbo"] == pytest.approx(log_evidence - gap, abs=0.02 + error)
    assert np.sqrt(np.diag(covariance)).min() > 0
    assert (sd < 0.9 * np.sqrt(np.diag(covariance))).any()  # the poison: the posterior's own sd is another


@pytest.mark.parametrize("family", ["mean_field", "full_rank"])
def test_a_gamma_posterior(family: str) -> None:
    """a u - b exp(u), u = log rate: the best normal has s^2 = 1 / a and mean log(a / b) - s^2 / 2."""
    model = ln.Model("counts").rv("rate", dist.Gamma(2.0, 1.0)).obs("y", dist.Poisson("rate"), [3, 5, 4])
    result = ln.advi(model, family=family, **RUN)
    a, b = 14.0, 4.0
    assert result.fit["converged"]
    assert result.fit["mean"][0] == pytest.approx(np.log(a / b) - 0.5 / a, abs=0.12 / np.sqrt(a))
    variance = float(np.ravel(result.fit["covariance"])[0])
    assert np.sqrt(variance) == pytest.approx(1 / np.sqrt(a), rel=0.12)
    # The ratios' tail is heavy (k is 1.5), but they hardly differ.
    assert result.fit["effective_fraction"] > 0.95
    assert not any("pareto_k" in line for line in result.summary().concerns())


def test_the_bound_rises_and_is_told() -> None:
    messages: list[dict[str, Any]] = []
    model, *_ = normal(4)
    result = ln.advi(model, sink=messages.append, **RUN)
    told = [m for m in messages if m["part"] == "elbo"]
    np.testing.assert_array_equal([m["elbo"] for m in told], result.fit["elbo_trace"])
    assert [m["iteration"] for m in told] == list(range(len(told)))
    trace = result.fit["elbo_trace"]
    assert np.median(trace[-100:]) > np.median(trace[:20]) + 1.0
    rates = [m["learning_rate"] for m in told]
    assert sorted(set(rates), reverse=True) == [0.1 / 2**k for k in range(len(set(rates)))]


def test_a_cap_that_comes_first_is_said() -> None:
    model, *_ = normal(4)
    result = ln.advi(model, max_iterations=150, **RUN)
    assert not result.fit["converged"]
    assert len(result.fit["elbo_trace"]) == 150
    assert any("did not converge in 150 iterations" in line for line in result.summary().concerns())


def test_iterates_that_drift_have_not_settled() -> None:
    rng = np.random.default_rng(0)

    def walk(slope: float) -> list[Iterate]:
        return [
            Iterate(np.array([slope * t + 0.05 * rng.normal(), 0.05 * rng.normal()]), np.ones(2)) for t in range(200)
        ]

    assert is_settled(walk(0.0))
    assert not is_settled(walk(0.01))
    same = [Iterate(np.ones(2), np.ones(2))] * 100
    assert is_settled(same)
    assert average(same).mean.tolist() == [1.0, 1.0]


def test_the_gradient_is_that_of_the_bound() -> None:
    """A step of a small rate against finite differences of the bound, over the same draws (mean of the two forms)."""
    precision = np.array([[2.0, 0.5], [0.5, 1.0]])

    def densities(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return -0.5 * np.einsum("ni,ij,nj->n", points, precision, points), -points @ precision

    iterate = Iterate(np.array([1.0, -2.0]), np.array([[1.5, 0.0], [0.3, 0.7]]))
    half = np.random.default_rng(0).normal(size=(20_000, 2))
    moved, _ = step(densities, iterate, np.concatenate([half, -half]), 1e-4)
    covariance = iterate.factor @ iterate.factor.T
    # Natural gradients of the expected bound: covariance @ gradient of the mean; L tril(L' G) with half a diagonal.
    np.testing.assert_allclose((moved.mean - iterate.mean) / 1e-4, -covariance @ precision @ iterate.mean, rtol=1e-9)
    inner = np.tril(np.eye(2) - iterate.factor.T @ precision @ iterate.factor)
    inner[np.diag_indices(2)] *= 0.5
    np.testing.assert_allclose((moved.factor - iterate.factor) / 1e-4, iterate.factor @ inner, atol=0.1)


def test_far_out_densities_do_not_break_it() -> None:
    """Overflow at the first scale: the fit draws in until it has a density."""
    model = ln.Model("steep").rv("x", dist.Normal(0, 1)).factor("wall", -ln.exp(ln.exp(5 * ln.ref("x"))))
    result = ln.advi(model, init={"x": 0.0}, max_iterations=1000, **RUN)
    assert np.isfinite(result.draws["x"]).all()


def test_doors() -> None:
    model, *_ = normal(1)
    for arguments, text in (
        ({"family": "low_rank"}, "family must be one of mean_field, full_rank, got 'low_rank'"),
        ({"tolerance": 0.0}, "tolerance must be positive"),
        ({"tolerance": "small"}, "tolerance must be positive, got 'small'"),
        ({"max_iterations": 0}, "max_iterations must be"),
        ({"num_gradient_draws": 1}, "num_gradient_draws must be an integer of at least 2"),
    ):
        with pytest.raises(ValueError, match=text):
            ln.advi(model, progress=False, **arguments)  # type: ignore[arg-type]
    assert module.FAMILIES == ("mean_field", "full_rank")
