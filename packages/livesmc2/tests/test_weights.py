"""Weighing and resampling against their definitions in plain NumPy."""

import math

import numpy as np
import pytest
from livesmc2.kernel.summary import systematic_pairs
from livesmc2.kernel.weights import systematic, weigh


def random_weights(rng: np.random.Generator, n: int) -> np.ndarray:
    """Normalised, of very different sizes, a third of them zero."""
    w = np.where(rng.random(n) < 1 / 3, 0.0, np.exp(4 * rng.normal(size=n)))
    w[rng.integers(n)] = 1.0
    return w / w.sum()


@pytest.mark.parametrize(("n", "children"), [(1, 1), (7, 7), (100, 100), (50, 201), (300, 20)])
def test_systematic_resampling_is_its_definition(n: int, children: int) -> None:
    """Child k comes from the first particle whose cumulative weight lies above (k + u) / n; none from weight zero."""
    rng = np.random.default_rng(n)
    for _ in range(50):
        w, u = random_weights(rng, n), rng.random()
        ancestors = np.empty(children + 1, np.int32)
        systematic(w, u, ancestors)
        cumulative, total = [], 0.0
        for value in w:  # in the same order, so that the same sums are compared
            total += value
            cumulative.append(children * total - u)
        wanted = np.searchsorted(np.array(cumulative), np.arange(children), side="right")
        assert np.array_equal(ancestors[:children], np.minimum(wanted, n - 1))
        assert (w[ancestors[:children]] > 0).all()
        counts = np.bincount(ancestors[:children], minlength=n)
        assert (np.abs(counts - children * w) < 1 + 1e-9).all()


def test_weighing_is_its_definition() -> None:
    """log of the weighted mean likelihood, and the new weights, over ranges far beyond that of a double."""
    rng = np.random.default_rng(5)
    for n in (1, 3, 64, 101):
        for scale in (0.1, 30.0, 2000.0):
            w, ll = random_weights(rng, n), scale * rng.normal(size=n) - 5000.0
            usable = w > 0
            top = ll[usable].max()
            parts = np.where(usable, w * np.exp(np.where(usable, ll - top, 0.0)), 0.0)
            found = w.copy()
            step, bad = weigh(found, ll.copy())
            assert bad == 0
            assert step == pytest.approx(top + math.log(parts.sum()), rel=1e-14, abs=1e-12)
            np.testing.assert_allclose(found, parts / parts.sum(), rtol=1e-13, atol=1e-300)


def test_values_that_are_no_likelihoods_are_zero_and_counted() -> None:
    w = np.array([0.25, 0.25, 0.25, 0.25, 0.0])
    step, bad = weigh(w, np.array([math.nan, -1.0, math.inf, -math.inf, 700.0]))
    assert bad == 2
    assert step == pytest.approx(math.log(0.25) - 1.0)
    assert w.tolist() == [0.0, 1.0, 0.0, 0.0, 0.0]
    step, bad = weigh(w, np.array([3.0, -math.inf, math.nan, 5.0, 1.0]))
    assert (step, bad) == (-math.inf, 1)
    assert w.tolist() == [0.0, 1.0, 0.0, 0.0, 0.0]


def test_pairs_follow_the_product_of_weights() -> None:
    """Each pair is drawn within one of the number expected, as systematic draws are."""
    rng = np.random.default_rng(6)
    for count in (10, 500):
        weights = random_weights(rng, 40)
        w = np.stack([random_weights(rng, 23) for _ in weights])
        rows, columns = np.empty(count, np.int64), np.empty(count, np.int64)
        systematic_pairs(w, weights, rng.random(), rows, columns)
        counts = np.zeros_like(w)
        np.add.at(counts, (rows, columns), 1)
        assert (np.abs(counts - count * weights[:, None] * w) < 1 + 1e-6).all()
        flat = rows * w.shape[1] + columns
        assert (np.diff(flat) >= 0).all()
