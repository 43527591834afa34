"""The kernel takes the decisions of the plain reference sampler, whatever the columns are."""

import numpy as np
import pytest
from bart_data import problem_of
from livebart.model.problem import Problem
from livebart.runtime.chain import Chain
from reference_sampler import Reference

ORDERED = [(256, True, False), (9, True, False), (2, True, False)]


def make(kind: str, n: int = 70, n_trees: int = 6) -> Problem:
    rng = np.random.default_rng(3)
    columns = list(ORDERED)
    if kind == "missing":
        columns = [(200, True, True), (9, True, True), (1, True, True), (4, True, False)]
    if kind == "categories":
        columns = [(5, False, False), (2, False, False), (12, True, False)]
    codes = np.array([rng.integers(0, number, n) for number, _, _ in columns])
    for j, (_, _, missing) in enumerate(columns):
        if missing:
            codes[j, rng.random(n) < 0.3] = 255
    y = np.sin(codes[0] / 40.0) + 0.5 * (codes[1] > 1) + 0.8 * (codes[0] == 255) + 0.2 * rng.normal(size=n)
    weights = rng.uniform(0.2, 3.0, n) if kind == "weights" else None
    return problem_of(codes, y, columns, n_trees=n_trees, weights=weights, min_samples_leaf=2)


@pytest.mark.parametrize("kind", ["ordered", "missing", "categories", "weights"])
def test_the_kernel_decides_as_the_reference(kind: str) -> None:
    problem = make(kind)
    reference, chain = Reference(problem, 6, seed=11), Chain(0, problem, 6, 0, 150, seed=11)
    chain.advance(lambda: False)
    moves = np.concatenate([block.moves for block in chain.blocks])
    variances = np.concatenate([block.variances for block in chain.blocks])
    for sweep in range(150):
        reference.decisions.clear()
        reference.sweep()
        for move in range(3):
            assert moves[sweep, 0, move] == sum(kind == move for kind, _ in reference.decisions), sweep
            assert moves[sweep, 1, move] == sum(kind == move and taken for kind, taken in reference.decisions), sweep
        assert variances[sweep] == pytest.approx(reference.variance, rel=1e-4)
    assert chain.state["random"][0].tolist() == reference.random.tolist()
    assert moves[:, 1].sum() > 60  # decisions were taken
    for t, tree in enumerate(reference.trees):
        assert (chain.sizes[t] + 1) // 2 == len(tree.labels)
        for label, leaf in enumerate(tree.labels):
            rows = reference.rows_at(leaf)
            assert (chain._label()[t, : problem.rows][rows] == label).all()


def test_large_trees_take_the_general_passes() -> None:
    """With one tree that may grow as it likes, trees have more leaves than the special passes know."""
    problem = make("ordered", n=400, n_trees=1)
    problem.prior["split"] = 0.9
    problem.prior["leaf_variance"] = 0.1
    reference, chain = Reference(problem, 1, seed=5), Chain(0, problem, 1, 0, 400, seed=5)
    chain.advance(lambda: False)
    leaves = np.concatenate([block.leaves for block in chain.blocks])
    for _ in range(400):
        reference.sweep()
    assert leaves.max() > 9
    assert chain.state["random"][0].tolist() == reference.random.tolist()
    fit = reference.fit_of(reference.trees[0])
    np.testing.assert_allclose(problem.response[:400] - chain.residual[:400], fit, atol=1e-5)
