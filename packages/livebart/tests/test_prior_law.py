"""With no data the sampler draws from its prior, whose laws of tree sizes and depths are known exactly.

Chipman, George and McCulloch (1998): a node of depth d is split with probability alpha (1 + d)^-beta.
"""

import numpy as np
import pytest
from bart_data import problem_of
from livebart.kernel.layout import KEPT
from livebart.model.forest import Forest
from livebart.runtime.chain import Chain

LEAVES = [0.05, 0.55234, 0.27527, 0.09178, 0.03061]  # 1, 2, 3, 4, more
DEPTHS = [0.05, 0.552336, 0.309571, 0.077215, 0.010038, 0.000796]  # 0, ..., 5


def draws_without_data(p: int, codes: int, n_draws: int, **settings: float) -> tuple[Chain, Forest]:
    problem = problem_of(
        np.zeros((p, 0), np.uint8), np.zeros(0), [(codes, True, False)] * p, n_trees=20, min_samples_leaf=0, **settings
    )
    chain = Chain(0, problem, 20, 200, n_draws, seed=7)
    chain.advance(lambda: False)
    return chain, Forest.of_blocks([(block.nodes, block.ends) for block in chain.blocks], 20)


def depths(forest: Forest) -> np.ndarray:
    """The depth of every tree."""
    found = []
    for draw in range(forest.n_draws):
        for tree in range(forest.ends.shape[1]):
            nodes = forest.tree(draw, tree)
            deep = np.zeros(len(nodes), int)
            for k in range(len(nodes)):
                if nodes["right"][k]:
                    deep[k + 1] = deep[k + nodes["right"][k]] = deep[k] + 1
            found.append(deep.max())
    return np.array(found)


def standard_error(hits: np.ndarray) -> float:
    """Of the mean of (draw, tree) indicators: trees are independent, a tree's draws are not."""
    by_tree = hits.mean(axis=0)
    return float(by_tree.std(ddof=1) / np.sqrt(len(by_tree)))


def test_tree_sizes_follow_the_prior() -> None:
    """At 10^5 draws of 20 trees; z beyond 3.9 in one of five has probability 5e-4."""
    chain, _ = draws_without_data(p=5, codes=256, n_draws=100_000)
    leaves = np.concatenate([block.leaves for block in chain.blocks])
    for number, expected in enumerate(LEAVES, 1):
        hits = leaves >= 5 if number == 5 else leaves == number
        error = max(standard_error(hits), np.sqrt(expected * (1 - expected) / hits.size))
        assert abs(hits.mean() - expected) < 3.9 * error, number
        assert error < 0.003
    # The poison: the law of an engine whose reverse move miscounts, of which the reference tells, .7247 at two leaves.
    assert abs((leaves == 2).mean() - 0.7247) > 30 * standard_error(leaves == 2)


def test_tree_depths_follow_the_prior() -> None:
    _, forest = draws_without_data(p=3, codes=256, n_draws=3_000)
    found = depths(forest).reshape(forest.n_draws, -1)
    for depth, expected in enumerate(DEPTHS[:5]):
        hits = found == depth
        error = max(standard_error(hits), np.sqrt(expected * (1 - expected) / hits.size))
        assert abs(hits.mean() - expected) < 3.9 * error, depth


@pytest.mark.parametrize(("p", "codes"), [(1, 2), (2, 2), (1, 4)])
def test_exhausted_columns_stop_a_tree(p: int, codes: int) -> None:
    """Columns of few codes: the root is split with alpha; below, a node only where a split is left."""
    chain, _forest = draws_without_data(p=p, codes=codes, n_draws=20_000)
    leaves = np.concatenate([block.leaves for block in chain.blocks])
    assert leaves.max() <= codes**p
    hits = leaves == 1
    assert abs(hits.mean() - 0.05) < 3.9 * max(standard_error(hits), 5e-4)
    if (p, codes) == (2, 2):  # root split, then each side splits the other column with probability .95 / 4
        for number, expected in ((2, 0.95 * (1 - 0.2375) ** 2), (4, 0.95 * 0.2375**2)):
            hits = leaves == number
            assert abs(hits.mean() - expected) < 3.9 * max(standard_error(hits), 1e-3), number


def test_split_probabilities_follow_their_prior() -> None:
    """Two columns, one of which is exhausted by one split: a Dirichlet(1, 1), so each probability is uniform.

    |z| < 4 for mean and variance: a false alarm has probability 1.3e-4.
    """
    problem = problem_of(
        np.zeros((2, 0), np.uint8), np.zeros(0), [(2, True, False), (256, True, False)], n_trees=5,
        min_samples_leaf=0, sparse=True, sparse_theta=2.0,
    )  # fmt: skip
    chain, room = Chain(0, problem, 5, 0, 0, seed=3), np.zeros(0, KEPT)
    shares = np.empty(40_000)
    for k in range(len(shares)):
        chain.call(2, room)
        shares[k] = chain.cumulative[0] / chain.cumulative[1]

    def z(values: np.ndarray, expected: float) -> float:
        batches = values.reshape(100, -1).mean(axis=1)
        return float((batches.mean() - expected) / (batches.std(ddof=1) / 10))

    assert abs(z(shares, 0.5)) < 4
    assert abs(z((shares - 0.5) ** 2, 1 / 12)) < 4
    assert abs(z((shares - 0.5) ** 2, 1 / 20)) > 4  # the poison: a Dirichlet(2, 2)
