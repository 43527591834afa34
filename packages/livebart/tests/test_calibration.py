"""Simulation-based calibration (Talts et al. 2018): ranks of prior draws among their posterior draws are uniform."""

import os

import numpy as np
from bart_data import problem_of
from livebart.kernel.layout import KEPT
from livebart.runtime.chain import Chain
from scipy import stats

LONG = "LIVE_LONG" in os.environ
REPLICATIONS = 1000 if LONG else 150
DRAWS, THIN, BURN = 99, 25, 300
TREES, ROWS, BINS = 5, 40, 10
COLUMNS = [(100, True, False), (100, True, False), (5, False, False)]


def ranks(shrink: float = 1.0) -> dict[str, np.ndarray]:
    """The rank of each prior draw; `shrink` scales posterior draws of f, a poison."""
    rng = np.random.default_rng(3)
    codes = np.array([rng.integers(0, number, ROWS) for number, _, _ in COLUMNS])
    told = {"n_trees": TREES, "min_samples_leaf": 0, "sigma_hat": 0.7, "nu": 6.0, "k": 0.5}
    empty = problem_of(np.zeros((3, 0), np.uint8), np.zeros(0), COLUMNS, **told)
    problem = problem_of(codes, np.zeros(ROWS), COLUMNS, **told)
    empty.prior["leaf_variance"] = problem.prior["leaf_variance"]
    prior, room = Chain(0, empty, TREES, 0, 0, seed=4), np.zeros(0, KEPT)
    found: dict[str, list[int]] = {"sigma": [], "f": [], "mean f": []}
    for replication in range(REPLICATIONS):
        prior.call(40, room)
        posterior = Chain(replication, problem, TREES, 0, 0, seed=5)
        posterior.trees, posterior.sizes = prior.trees.copy(), prior.sizes.copy()
        labels, f = posterior._label(), np.zeros(ROWS)
        for t in range(TREES):
            for node in prior.trees[t, : prior.sizes[t]]:
                if node["left"] == 0:
                    f[labels[t, :ROWS] == node["label"]] += node["value"]
        variance = float(problem.prior["noise_scale"][0] / rng.chisquare(problem.prior["noise_shape"][0]))
        problem.response[:ROWS] = f + np.sqrt(variance) * rng.normal(size=ROWS)
        posterior = Chain(replication, problem, TREES, 0, 0, seed=5)
        posterior.call(BURN, room)
        below = np.zeros(3, int)
        for _ in range(DRAWS):
            posterior.call(THIN, room)
            fit = shrink * (posterior.response[:ROWS] - posterior.residual[:ROWS])
            below += [posterior.state["variance"][0] < variance, fit[0] < f[0], fit.mean() < f.mean()]
        for name, rank in zip(found, below, strict=True):
            found[name].append(int(rank))
    return {name: np.array(values) for name, values in found.items()}


def p_values(found: dict[str, np.ndarray]) -> dict[str, float]:
    """Of chi-square tests in ten bins."""
    return {
        name: float(stats.chisquare(np.bincount(values * BINS // (DRAWS + 1), minlength=BINS)).pvalue)
        for name, values in found.items()
    }


def test_ranks_are_uniform() -> None:
    """A p-value below 1e-4 in one of three: a false alarm has probability 3e-4."""
    for name, p in p_values(ranks()).items():
        assert p > 1e-4, name


def test_shrunken_draws_are_caught() -> None:
    assert min(p_values(ranks(0.8)).values()) < 1e-4
