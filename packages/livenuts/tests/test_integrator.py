"""Leapfrog and metrics: reversible, volume preserving, of second order; momenta have covariance M."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from livenuts.compiler.x64 import x64
from livenuts.kernel import random
from livenuts.kernel.integrator import PhasePoint, energy, leapfrog
from livenuts.kernel.metric import Diagonal, LowRank, Metric, low_rank

COVARIANCE = np.array([[2.0, 0.6, -0.3], [0.6, 1.0, 0.2], [-0.3, 0.2, 0.5]])
VALUES, VECTORS = np.linalg.eigh(COVARIANCE)
DENSE = low_rank(np.ones(3), VECTORS.T, VALUES, 3)
# One direction of three, with scales of its own, and room for another.
LOW_RANK = low_rank(np.array([0.5, 2.0, 1.3]), np.array([[0.6, 0.0, 0.8]]), np.array([4.0]), 2)
METRICS = [Diagonal(np.array([0.5, 2.0, 1.3])), DENSE, LOW_RANK]


def matrix(metric: Metric) -> np.ndarray:
    """M^-1 by its definition."""
    if isinstance(metric, Diagonal):
        return np.diag(metric.inverse_mass)
    assert isinstance(metric, LowRank)
    directions, variances = np.concatenate(metric.directions), np.concatenate(metric.variances)
    inner = np.eye(3) + directions.T @ np.diag(variances - 1.0) @ directions
    return np.diag(metric.scale) @ inner @ np.diag(metric.scale)


@pytest.fixture(autouse=True)
def _double_precision() -> Iterator[None]:
    with x64():
        yield


def log_density(x: jax.Array) -> jax.Array:
    """Neither normal nor separable."""
    return -0.25 * jnp.sum(x**4) - 0.5 * (x[0] - x[1] * x[2]) ** 2 - jnp.log1p(x[2] ** 2)


evaluate = jax.value_and_grad(log_density)
START = np.array([0.7, -0.4, 1.1]), np.array([0.3, 0.9, -0.5])


def travel(metric: Metric, position: jax.Array, momentum: jax.Array, step_size: float, steps: int) -> PhasePoint:
    point = PhasePoint(position, momentum, evaluate(position)[1])
    return jax.lax.fori_loop(0, steps, lambda _, p: leapfrog(evaluate, metric, p, step_size)[0], point)


@pytest.mark.parametrize("metric", METRICS)
def test_a_path_is_traced_back(metric: Metric) -> None:
    """With the step reversed, and with the momentum reversed; to 1e-10 after 100 steps."""
    there = travel(metric, *START, 0.1, 100)
    back = travel(metric, there.position, there.momentum, -0.1, 100)
    mirrored = travel(metric, there.position, -there.momentum, 0.1, 100)
    assert np.abs(there.position - START[0]).max() > 0.1
    np.testing.assert_allclose(back.position, START[0], atol=1e-10)
    np.testing.assert_allclose(back.momentum, START[1], atol=1e-10)
    np.testing.assert_allclose(mirrored.position, START[0], atol=1e-10)
    np.testing.assert_allclose(mirrored.momentum, -START[1], atol=1e-10)


def determinant(step: object, metric: Metric) -> float:
    def flow(z: jax.Array) -> jax.Array:
        point = PhasePoint(z[:3], z[3:], evaluate(z[:3])[1])
        for _ in range(5):
            point = step(evaluate, metric, point, 0.3)[0]  # type: ignore[operator]
        return jnp.concatenate([point.position, point.momentum])

    return float(jnp.linalg.det(jax.jacfwd(flow)(jnp.concatenate(START))))


@pytest.mark.parametrize("metric", METRICS)
def test_volume_is_preserved(metric: Metric) -> None:
    assert determinant(leapfrog, metric) == pytest.approx(1.0, abs=1e-10)

    def euler(evaluate: object, metric: Metric, point: PhasePoint, step_size: float) -> tuple[PhasePoint, None]:
        """Poison: both halves from the old point."""
        position = point.position + step_size * metric.velocity(point.momentum)
        momentum = point.momentum + step_size * point.gradient
        return PhasePoint(position, momentum, jax.grad(log_density)(position)), None

    assert abs(determinant(euler, metric) - 1.0) > 0.01


@pytest.mark.parametrize("metric", METRICS)
def test_energy_error_is_of_second_order(metric: Metric) -> None:
    """Over a fixed time, half the step is a quarter of the error."""

    def error(step_size: float) -> float:
        end = travel(metric, *START, step_size, round(1.6 / step_size))
        before = energy(metric, START[1], log_density(START[0]))
        return float(jnp.abs(energy(metric, end.momentum, log_density(end.position)) - before))

    errors = np.array([error(0.02), error(0.01), error(0.005)])
    np.testing.assert_allclose(np.log2(errors[:-1] / errors[1:]), 2.0, atol=0.15)


def test_returned_density_and_gradient_are_those_of_the_new_position() -> None:
    point, value = leapfrog(evaluate, METRICS[0], PhasePoint(*START, evaluate(START[0])[1]), 0.2)
    np.testing.assert_allclose(value, log_density(point.position), rtol=1e-14)
    np.testing.assert_allclose(point.gradient, jax.grad(log_density)(point.position), rtol=1e-14)


@pytest.mark.parametrize("metric", METRICS)
def test_velocity_and_kinetic_energy_are_those_of_the_matrix(metric: Metric) -> None:
    np.testing.assert_allclose(metric.velocity(START[1]), matrix(metric) @ START[1], rtol=1e-14)
    np.testing.assert_allclose(metric.kinetic(START[1]), 0.5 * START[1] @ matrix(metric) @ START[1], rtol=1e-14)


def test_without_directions_low_rank_is_diagonal() -> None:
    """Whatever its rows hold."""
    none = LOW_RANK._replace(rank=np.int64(0))
    alone = Diagonal(LOW_RANK.scale**2)
    for name in ("velocity", "kinetic", "momentum"):
        np.testing.assert_allclose(getattr(none, name)(START[1]), getattr(alone, name)(START[1]), rtol=1e-14)


@pytest.mark.parametrize("rank", [0, 1, 8, 9, 30, 50])
def test_blocks_of_rows_make_one_matrix(rank: int) -> None:
    """50 rows in four blocks, `rank` of them filled."""
    rng = np.random.default_rng(rank)
    directions = np.linalg.qr(rng.normal(size=(50, 50)))[0][:rank]
    scale, variances, vector = rng.uniform(0.5, 2.0, 50), rng.uniform(0.1, 9.0, rank), rng.normal(size=50)
    metric = low_rank(scale, directions, variances, 50)
    assert len(metric.directions) == 4
    inner = np.eye(50) + directions.T @ np.diag(variances - 1.0) @ directions
    inverse_mass = np.diag(scale) @ inner @ np.diag(scale)
    np.testing.assert_allclose(metric.velocity(vector), inverse_mass @ vector, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(metric.kinetic(vector), 0.5 * vector @ inverse_mass @ vector, rtol=1e-12)


@pytest.mark.parametrize("metric", METRICS)
def test_momenta_have_the_covariance_of_the_mass_matrix(metric: Metric) -> None:
    """200,000 momenta; an entry of M^-1-whitened covariance has sd below 0.0032, so 0.017 is beyond 5 sd."""
    keys = jnp.asarray(np.random.default_rng(0).integers(2**64, size=200_000, dtype=np.uint64))
    momenta = np.asarray(jax.vmap(lambda key: metric.momentum(random.normal(key, 3)))(keys))
    factor = np.linalg.cholesky(matrix(metric))  # M^-1 = L L', so L' p is standard normal
    np.testing.assert_allclose(np.cov(momenta @ factor, rowvar=False), np.eye(3), atol=0.017)
    np.testing.assert_allclose((momenta @ factor).mean(0), 0.0, atol=0.012)
    assert np.abs(np.cov(1.02 * momenta @ factor, rowvar=False) - np.eye(3)).max() > 0.017  # poison: 2 % too much
