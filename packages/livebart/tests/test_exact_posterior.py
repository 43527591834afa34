"""One tree, few codes: the posterior over its partitions, enumerated."""

import itertools
import math

import numpy as np
import pytest
from bart_data import problem_of
from livebart.runtime.chain import Chain

CODES = 4
ALPHA, BETA = 0.8, 0.5


def partitions(first: int, last: int, depth: int) -> dict[tuple[int, ...], float]:
    """The prior probability of each partition of codes first..last, as the places of its cuts, over all trees."""
    split = ALPHA * (1 + depth) ** -BETA if last > first else 0.0
    found: dict[tuple[int, ...], float] = {(): 1.0 - split}
    for cut in range(first + 1, last + 1):
        left, right = partitions(first, cut - 1, depth + 1), partitions(cut, last, depth + 1)
        for (a, p), (b, q) in itertools.product(left.items(), right.items()):
            key = (*a, cut, *b)
            found[key] = found.get(key, 0.0) + split / (last - first) * p * q
    return found


def log_likelihood(y: np.ndarray, codes: np.ndarray, cuts: tuple[int, ...], variance: float, tau: float) -> float:
    """Of the data given a partition, leaf values integrated out: a normal with a block covariance."""
    cells = np.searchsorted(cuts, codes, side="right")
    total = 0.0
    for cell in range(len(cuts) + 1):
        rows = y[cells == cell]
        covariance = variance * np.eye(len(rows)) + tau * np.ones((len(rows), len(rows)))
        _sign, log_det = np.linalg.slogdet(covariance)
        total -= 0.5 * (log_det + rows @ np.linalg.solve(covariance, rows))
    return total


@pytest.mark.parametrize("moves", [(0.35, 0.35), (0.2, 0.5), (0.5, 0.5)])
def test_the_posterior_of_one_tree_is_the_enumerated_one(moves: tuple[float, float]) -> None:
    """|z| < 4 for eight partitions at 3 10^5 draws: a false alarm has probability 5e-4 at each of three moves."""
    rng = np.random.default_rng(0)
    codes = np.repeat(np.arange(CODES), [3, 5, 4, 4])
    y = np.array([0.0, 0.3, 0.1, 0.45])[codes] + 0.3 * rng.normal(size=len(codes))
    problem = problem_of(
        codes[None], y, [(CODES, True, False)], n_trees=1, min_samples_leaf=1, alpha=ALPHA, beta=BETA, k=1.0,
        grow_probability=moves[0], prune_probability=moves[1],
    )  # fmt: skip
    problem.prior["fixed_noise"] = 1
    chain = Chain(0, problem, 1, 0, 300_000, seed=1)
    chain.state["variance"] = 0.09
    chain.advance(lambda: False)
    exact = {}
    for cuts, prior in partitions(0, CODES - 1, 0).items():
        scaled = problem.response[: len(y)].astype(float)
        exact[cuts] = math.log(prior) + log_likelihood(
            scaled, codes, cuts, 0.09, float(problem.prior["leaf_variance"][0])
        )
    largest = max(exact.values())
    total = sum(math.exp(value - largest) for value in exact.values())
    drawn = []
    for block in chain.blocks:
        start = 0
        for end in block.ends[:, 0]:
            nodes = block.nodes[start : start + end]
            drawn.append(tuple(sorted(nodes["low"][nodes["right"] > 0])))
            start += end
    assert len(exact) == 8
    moved = 0.0
    for cuts, value in exact.items():
        expected = math.exp(value - largest) / total
        hits = np.array([found == cuts for found in drawn], float)
        error = hits.reshape(100, -1).mean(axis=1).std(ddof=1) / 10
        assert abs(hits.mean() - expected) < 4 * error, cuts
        moved = max(moved, abs(hits.mean() - partitions(0, CODES - 1, 0)[cuts]) / error)
    assert moved > 20  # the poison: the prior, without the data
