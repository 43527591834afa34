"""Chains and metrics as flat vectors: what is packed comes back, and metrics are packed in two ways alike."""

import jax
import numpy as np
import pytest
from livenuts.adaptation.fisher import Estimate
from livenuts.compiler.x64 import x64
from livenuts.runtime.compiled import make_metric, metric_vector, no_metric, read_metric
from livenuts.runtime.iteration import NEVER, Chain, new_chain
from livenuts.runtime.layout import Layout

RNG = np.random.default_rng(1)


def chain() -> Chain:
    some = new_chain(RNG.normal(size=3))
    return some._replace(
        state=some.state._replace(gradient=RNG.normal(size=3), log_density=np.float64(-0.1)),
        draw=np.int64(7),
        iteration=np.int64(NEVER - 1),
    )


def test_a_chain_comes_back_in_its_types() -> None:
    given = chain()
    layout = Layout(new_chain(np.zeros(3)))
    vector = layout.pack(given)
    with x64():
        unpacked = jax.jit(layout.unpack)(vector)
        again = np.asarray(jax.jit(layout.pack)(unpacked))
    for leaf, expected in zip(jax.tree.leaves(unpacked), jax.tree.leaves(given), strict=True):
        assert leaf.dtype == expected.dtype
        np.testing.assert_array_equal(leaf, expected)
    np.testing.assert_array_equal(again, vector)


def test_a_view_writes_through() -> None:
    layout = Layout(new_chain(np.zeros(3)))
    vector = layout.pack(chain())
    before = vector.copy()
    layout.view(vector).averaging.log_step[...] = 5.0
    assert layout.view(vector).averaging.log_step == 5.0
    assert (vector != before).sum() == 1


@pytest.mark.parametrize("most", [0, 5, 8, 40])
@pytest.mark.parametrize("rank", [0, 3])
def test_a_metric_is_packed_as_its_layout_says(most: int, rank: int) -> None:
    dimension = 40
    rank = min(rank, most)
    directions = np.linalg.qr(RNG.normal(size=(dimension, dimension)))[0][:rank]
    estimate = Estimate(np.exp(RNG.normal(size=dimension)), directions, np.exp(RNG.normal(size=rank)))
    layout = Layout(make_metric(no_metric(dimension), most))
    vector = metric_vector(estimate, most)
    np.testing.assert_array_equal(vector, layout.pack(make_metric(estimate, most)))
    back = read_metric(layout.view(vector))
    np.testing.assert_allclose(back.scale, estimate.scale, rtol=1e-15)
    np.testing.assert_array_equal(back.directions, estimate.directions)
    np.testing.assert_array_equal(back.variances, estimate.variances)
