"""The kernel's own promises: the cache's key, the random numbers, division into calls."""

import numpy as np
import pytest
from bart_data import friedman1, problem_of
from livebart.kernel import random, source
from livebart.kernel.grow_from_root import grow_from_root
from livebart.kernel.layout import FEW_NODES, KEPT, MAX_NODES, NOWHERE, padded
from livebart.kernel.predict import label_all, predict
from livebart.kernel.sweep import sweeps, sweeps_weighted
from livebart.runtime.chain import Chain, with_room
from numba import njit
from scipy import stats


@pytest.mark.parametrize("entry", [sweeps, sweeps_weighted, predict, label_all, grow_from_root])
def test_every_cached_function_depends_on_all_files_of_the_kernel(entry) -> None:  # type: ignore[no-untyped-def]
    """Numba's key holds what is in the closure, pickled: plain values only, or it would differ in every process."""
    inside = [cell.cell_contents for cell in entry.py_func.__closure__]
    assert source.digest() in inside
    assert all(isinstance(value, (str, bool)) for value in inside)


@njit
def _many(state, shape, normals, gammas, uniforms, above):  # type: ignore[no-untyped-def]
    for i in range(len(normals)):
        normals[i] = random.normal(state)
        gammas[i] = random.gamma(state, shape)
        uniforms[i] = random.uniform(state)
        above[i] = random.normal_above(state, 1.5)


def test_random_numbers_have_their_laws() -> None:
    """Kolmogorov and Smirnov's test at 10^6: a false alarm in one of four has probability 4e-5."""
    normals, gammas, uniforms, above = np.empty((4, 1_000_000))
    _many(random.seeded(2, 0), 0.7, normals, gammas, uniforms, above)
    for numbers, law in (
        (normals, stats.norm()),
        (gammas, stats.gamma(0.7)),
        (uniforms, stats.uniform()),
        (above, stats.truncnorm(1.5, np.inf)),
    ):
        assert stats.kstest(numbers, law.cdf).pvalue > 1e-5
    assert stats.kstest(normals * 1.01, stats.norm().cdf).pvalue < 1e-5  # the poison


def test_chains_of_a_seed_differ() -> None:
    states = {tuple(random.seeded(seed, chain).tolist()) for seed in range(10) for chain in range(10)}
    assert len(states) == 100


def test_any_division_into_calls_gives_the_same_bits() -> None:
    X, y, _ = friedman1(150, p=3 + 2)
    codes = (X.T * 255).astype(int)
    problem = problem_of(codes, y, [(256, True, False)] * 5, n_trees=20)
    room = np.zeros(0, KEPT)
    one, other = Chain(0, problem, 20, 0, 0, seed=1), Chain(0, problem, 20, 0, 0, seed=1)
    one.call(200, room)
    for number in (1, 62, 3, 100, 34):
        other.call(number, room)
        copy = Chain(0, problem, 20, 0, 0, seed=1)
        copy.restore(other.to_data())  # labels are made anew
        other = copy
    assert (one.residual == other.residual).all()
    assert (one.state == other.state).all()
    assert (one._label() == other._label()).all()


def test_the_residual_is_that_of_the_trees() -> None:
    X, y, _ = friedman1(1001, p=5)
    problem = problem_of((X.T * 255).astype(int), y, [(256, True, False)] * 5, n_trees=50)
    chain = Chain(0, problem, 50, 0, 40, seed=1)
    chain.advance(lambda: False)
    out = np.empty((1, padded(1001)), np.float32)
    block = chain.blocks[-1]
    start = np.array([block.ends[:-1, -1].sum()])
    predict(block.nodes, start, block.ends[-1:], problem.codes, out)
    np.testing.assert_allclose(problem.response[:1001] - chain.residual[:1001], out[0, :1001], atol=2e-6)
    labels = np.full((50, padded(1001)), NOWHERE, np.uint8)
    labels[:, :1001] = 0
    label_all(chain.trees, chain.sizes, problem.codes, labels)
    assert (labels == chain._label()).all()
    leaves = chain.trees["left"][:, 0] == 0
    assert (chain.trees["count"][leaves, 0] == 1001).all()


def held_by(chain: Chain) -> int:
    """Bytes of a chain's arrays, its data apart."""
    arrays = [*vars(chain).values(), *chain._scratch]
    return sum(value.nbytes for value in arrays if isinstance(value, np.ndarray))


@pytest.mark.parametrize(("rows", "most"), [(10_000, 1.2), (2_000, 1.5), (500, 2.7)])
def test_memory_is_about_a_byte_a_row_a_tree(rows: int, most: float) -> None:
    """Beside the data, at 200 trees, after burn-in; with few rows the trees themselves count."""
    X, y, _ = friedman1(rows)
    problem = problem_of((X.T * 255).astype(int), y, [(256, True, False)] * 10, n_trees=200)
    chain = Chain(0, problem, 200, 0, 0, seed=0)
    chain.call(200, np.zeros(0, KEPT))
    assert held_by(chain) < most * rows * 200


def test_trees_get_room_when_they_need_it() -> None:
    """More room from the beginning changes no bit."""
    X, y, _ = friedman1(400, p=5)
    problem = problem_of((X.T * 255).astype(int), y, [(256, True, False)] * 5, n_trees=2, min_samples_leaf=1)
    problem.prior["split"] = 0.9
    room = np.zeros(2 * (MAX_NODES + 300 * MAX_NODES), KEPT)
    one, other = Chain(0, problem, 2, 0, 0, seed=1), Chain(0, problem, 2, 0, 0, seed=1)
    other.trees = with_room(other.trees, MAX_NODES)
    first, second = one.call(300, room), other.call(300, room)
    assert one.trees.shape[1] > FEW_NODES
    assert len(first.variances) == 300
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)
