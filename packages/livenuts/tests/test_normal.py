"""Normals in a few directions, L-BFGS's inverse Hessian and Pareto smoothing, against dense algebra and SciPy."""

import numpy as np
import pytest
from livenuts.inference.importance import limit, smoothed
from livenuts.inference.lbfgs import InverseHessian, Point, path, times
from livenuts.inference.normal import Normal, dense, independent, symmetric_divergence
from scipy import stats


def some_normal(dimension: int, rank: int, seed: int = 0) -> Normal:
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.normal(size=(dimension, rank)))[0]
    factor = np.tril(rng.normal(size=(rank, rank)), -1) + np.diag(rng.uniform(0.3, 2.0, rank))
    return Normal(rng.normal(size=dimension), rng.uniform(0.1, 10.0, dimension), basis, factor)


@pytest.mark.parametrize(("dimension", "rank"), [(1, 0), (1, 1), (4, 2), (5, 5)])
def test_a_normal_is_scipys(dimension: int, rank: int) -> None:
    normal = some_normal(dimension, rank)
    covariance = normal.covariance()
    points = np.random.default_rng(1).normal(size=(7, dimension)) * 3
    exact = stats.multivariate_normal(normal.mean, covariance)
    np.testing.assert_allclose(normal.log_density(points), exact.logpdf(points), rtol=1e-9)
    # Drawing is affine: the images of the axes say what the covariance is.
    root = normal.draw(np.eye(dimension)) - normal.draw(np.zeros((1, dimension)))
    np.testing.assert_allclose(root.T @ root, covariance, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(normal.standard_deviations(), np.sqrt(np.diag(covariance)), rtol=1e-12)
    np.testing.assert_allclose(times(normal, points[0]), covariance @ points[0], rtol=1e-9)


def test_divergence_is_the_closed_form() -> None:
    one, other = some_normal(3, 2), some_normal(3, 3, seed=1)
    a, b, apart = one.covariance(), other.covariance(), one.mean - other.mean
    expected = 0.5 * (
        np.trace(np.linalg.solve(b, a)) + np.trace(np.linalg.solve(a, b)) - 6.0
        + apart @ (np.linalg.inv(a) + np.linalg.inv(b)) @ apart
    )  # fmt: skip
    assert symmetric_divergence(one, other) == pytest.approx(expected, rel=1e-9)
    apart_only = independent(np.zeros(2), np.ones(2)), independent(np.array([3.0, 0.0]), np.array([1.0, 2.0]))
    same = [dense(n.mean, np.diag(n.scale)) for n in apart_only]
    assert symmetric_divergence(*apart_only) == pytest.approx(symmetric_divergence(*same))


def bfgs(pairs: list[tuple[np.ndarray, np.ndarray]], start: np.ndarray) -> np.ndarray:
    """The inverse Hessian by the recursion of BFGS (Nocedal and Wright 2006, equation 6.17)."""
    inverse = start
    for s, y in pairs:
        rho = 1.0 / (s @ y)
        left = np.eye(len(s)) - rho * np.outer(s, y)
        inverse = left @ inverse @ left.T + rho * np.outer(s, s)
    return inverse


@pytest.mark.parametrize(("dimension", "pairs", "history"), [(1, 2, 3), (3, 5, 4), (8, 5, 6), (8, 3, 6)])
def test_the_compact_form_is_the_recursion(dimension: int, pairs: int, history: int) -> None:
    """The diagonal that it starts from is written out here again (Gilbert and Lemarechal 1989, equation 4.9)."""
    rng = np.random.default_rng(dimension)
    hessian = InverseHessian(dimension, history)
    root = rng.normal(size=(dimension, dimension))
    curvature = root @ root.T + np.eye(dimension)
    alpha, taken = np.ones(dimension), []
    for _ in range(pairs):
        s = rng.normal(size=dimension)
        y = curvature @ s + 0.01 * rng.normal(size=dimension)
        a, b, c = y @ (alpha * y), s @ y, s @ (s / alpha)
        alpha = 1.0 / (a / (b * alpha) + y**2 / b - a * s**2 / (b * c * alpha**2))
        taken.append((s, y))
        assert hessian.update(s, y)
    # The predecessor's defect: the gradient's change with the sign of ascent.
    assert not hessian.update(s, -y)
    point = Point(rng.normal(size=dimension), 0.0, rng.normal(size=dimension))
    normal = hessian.normal(point)
    assert normal is not None
    expected = bfgs(taken[-history:], np.diag(alpha))
    np.testing.assert_allclose(normal.covariance(), expected, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(normal.mean, point.position + expected @ point.gradient, rtol=1e-7)


@pytest.mark.parametrize("dimension", [1, 4, 12])
def test_a_path_to_a_normal_ends_in_it(dimension: int) -> None:
    """Mean and full covariance, scales from 0.01 to 100, where the history is as long as the dimension."""
    rng = np.random.default_rng(dimension)
    root = rng.normal(size=(dimension, 2 * dimension))
    scale = 10.0 ** rng.uniform(-2, 2, dimension)
    covariance = root @ root.T * scale[:, None] * scale
    precision, mean = np.linalg.inv(covariance), rng.normal(size=dimension) * scale

    def evaluate(position: np.ndarray) -> tuple[float, np.ndarray]:
        gradient = -precision @ (position - mean)
        return float(0.5 * gradient @ (position - mean)), gradient

    visited = list(path(evaluate, mean + 3 * scale, dimension, 200, 1e-9))
    assert len(visited) <= dimension + 3
    _, normal = visited[-1]
    relative = normal.covariance() / scale[:, None] / scale
    np.testing.assert_allclose(relative, root @ root.T, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(normal.mean / scale, mean / scale, rtol=1e-5, atol=1e-5)
    # The poison: with fewer pairs than dimensions it cannot be.
    if dimension > 1:
        _, short = list(path(evaluate, mean + 3 * scale, 1, 200, 1e-9))[-1]
        assert np.abs(short.covariance() / scale[:, None] / scale - root @ root.T).max() > 0.01


def test_a_path_crosses_where_there_is_no_density() -> None:
    """log x - x on x > 0, NaN elsewhere: from far out a long step falls off the edge and is taken back."""

    def evaluate(position: np.ndarray) -> tuple[float, np.ndarray]:
        x = position[0]
        return (np.log(x) - x if x > 0 else np.nan), np.array([1 / x - 1 if x > 0 else np.nan])

    point, _ = list(path(evaluate, np.array([50.0]), 5, 100, 1e-12))[-1]
    assert point.position[0] == pytest.approx(1.0, abs=1e-5)


def test_pareto_smoothing() -> None:
    """k of exponentials exp(c e) is c; weights follow the ratios, and what cannot be gets none.

    The estimate of k from 20,000 draws has an error of about 0.05: five of them.
    """
    noise = np.random.default_rng(1).exponential(size=20_000)
    for k in (0.3, 0.9):
        assert smoothed(k * noise)[1] == pytest.approx(k, abs=0.25)
    ratios = np.append(0.3 * noise[:500], [-np.inf, np.nan])
    weights, _ = smoothed(ratios)
    assert weights.sum() == pytest.approx(1.0)
    assert (weights[-2:] == 0.0).all()
    order = np.argsort(ratios[:500])
    assert (np.diff(weights[:500][order]) >= -1e-12).all()  # the poison: ratios upside down
    same, k_of_same = smoothed(np.full(100, -3.0))
    assert k_of_same == -np.inf
    assert (same == 0.01).all()
    assert smoothed(np.full(5, -np.inf))[1] == np.inf
    assert limit(10**6) == 0.7
    assert limit(100) == 0.5
