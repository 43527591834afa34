"""Geweke's (2004) joint test: sweeps and new data in turn leave the prior as it is.

Many short chains start at a draw from the prior, so each is stationary from its first step and chains are independent:
a functional's mean at the last step is tested against its law under the prior, exactly known.
"""

import os

import numpy as np
import pytest
from bart_data import problem_of
from livebart.kernel.layout import KEPT
from livebart.model.problem import Problem
from livebart.runtime.chain import Chain
from scipy import stats

LONG = "LIVE_LONG" in os.environ
CHAINS, STEPS = (2000, 200) if LONG else (400, 60)
SHRINK = 0.99 if LONG else 0.95
ROWS, COLUMNS, TREES = 30, 3, 4
NU, Q = 10.0, 0.9


def make(kind: str) -> Problem:
    rng = np.random.default_rng(5)
    columns = [(200, True, False)] * COLUMNS
    codes = rng.integers(0, 200, (COLUMNS, ROWS))
    if kind == "missing and categories":
        columns = [(100, True, True), (6, False, False), (200, True, False)]
        codes[0] = np.where(rng.random(ROWS) < 0.3, 255, codes[0] % 100)
        codes[1] %= 6
    weights = rng.uniform(0.3, 3.0, ROWS) if kind == "weights" else None
    probit = kind == "probit"
    y = np.arange(ROWS) % 2 == 0 if probit else np.zeros(ROWS)
    return problem_of(
        codes, y, columns, n_trees=TREES, weights=weights, min_samples_leaf=0, sigma_hat=1.0, nu=NU, q=Q,
        k=3.0 if probit else 0.5, probit=probit,
    )  # fmt: skip


def last_steps(problem: Problem, chains: int, steps: int, poison: str = "") -> dict[str, np.ndarray]:
    """Functionals of every chain after its last step."""
    rng = np.random.default_rng(1)
    # Prior draws of trees: a long chain without data, thinned.
    empty = problem_of(np.zeros((len(problem.columns), 0), np.uint8), np.zeros(0), [tuple(c) for c in problem.columns],
                       n_trees=TREES, min_samples_leaf=0, sigma_hat=1.0, nu=NU, q=Q)  # fmt: skip
    empty.prior["leaf_variance"] = problem.prior["leaf_variance"]
    prior, room = Chain(0, empty, TREES, 0, 0, seed=9), np.zeros(0, KEPT)
    prior.call(500, room)
    chain = Chain(0, problem, TREES, 0, 0, seed=10)
    rows, weights = problem.rows, problem.weights[: problem.rows] if len(problem.weights) else np.ones(problem.rows)
    found: dict[str, list[float]] = {name: [] for name in ("log variance", "f", "f^2", "leaves", "stumps", "pivot")}
    scale, nu = float(problem.prior["noise_scale"][0]), float(problem.prior["noise_shape"][0])
    for _ in range(chains):
        prior.call(40, room)
        chain.trees, chain.sizes = prior.trees.copy(), prior.sizes.copy()
        chain.labels = None
        labels = chain._label()
        fit = np.zeros(rows)
        for t in range(TREES):
            for k in range(chain.sizes[t]):
                if chain.trees[t, k]["left"] == 0:
                    here = labels[t, :rows] == chain.trees[t, k]["label"]
                    chain.trees[t, k]["count"], chain.trees[t, k]["weight"] = here.sum(), weights[here].sum()
                    fit += here * float(chain.trees[t, k]["value"])
        variance = 1.0 if problem.probit else scale / rng.chisquare(nu)
        for step in range(steps + 1):
            if step:
                if not problem.probit:
                    chain.state["variance"] = variance
                chain.call(1, room)
                fit = (chain.response[:rows] - chain.residual[:rows]).astype(float)
                lagged, variance = variance, 1.0 if problem.probit else float(chain.state["variance"][0])
                if poison == "shrink":
                    leaves = chain.trees["left"] == 0
                    chain.trees["value"][leaves] *= SHRINK
                    fit *= SHRINK
            drawn_with = lagged if poison == "lagged sigma" and step else variance
            error = np.sqrt(drawn_with / weights) * rng.normal(size=rows) * (1.02 if poison == "noise" else 1.0)
            chain.residual[:rows] = error
            chain.response[:rows] = fit + error
            if problem.probit:
                problem.positive[:rows] = fit + error + problem.prior["offset"][0] > 0
        found["log variance"].append(np.log(variance))
        found["f"].append(fit[0])
        found["f^2"].append(fit[1] ** 2)
        found["leaves"].append(((chain.sizes + 1) / 2).mean())
        found["stumps"].append((chain.sizes == 1).mean())
        found["pivot"].append(float(np.sum(weights * chain.residual[:rows].astype(float) ** 2) / variance))
    return {name: np.array(values) for name, values in found.items()}


def expected(problem: Problem) -> dict[str, float]:
    scale, nu = float(problem.prior["noise_scale"][0]), float(problem.prior["noise_shape"][0])
    told = {"f": 0.0, "f^2": TREES * float(problem.prior["leaf_variance"][0]), "leaves": 2.50873, "stumps": 0.05}
    if not problem.probit:
        told["pivot"] = problem.rows
        told["log variance"] = np.log(scale) - (np.log(2) + float(stats.loggamma(nu / 2).mean()))
    return told


def scores(problem: Problem, found: dict[str, np.ndarray]) -> dict[str, float]:
    """z of each functional's mean."""
    told = expected(problem)
    return {
        name: float((found[name].mean() - told[name]) / (found[name].std(ddof=1) / np.sqrt(len(found[name]))))
        for name in told
    }


@pytest.mark.parametrize("kind", ["plain", "weights", "missing and categories", "probit"])
def test_sweeps_and_new_data_leave_the_prior_as_it_is(kind: str) -> None:
    """|z| < 4 for six functionals: a false alarm has probability 4e-4 for each kind."""
    problem = make(kind)
    for name, z in scores(problem, last_steps(problem, CHAINS, STEPS)).items():
        assert abs(z) < 4, name


@pytest.mark.parametrize(
    ("poison", "functional", "chains", "steps"),
    [
        ("noise", "log variance", CHAINS, STEPS),
        ("shrink", "f^2", CHAINS, STEPS),
        ("lagged sigma", "pivot", max(CHAINS, 1600), 200 if LONG else 15),  # seen at once, and weak
    ],
)
def test_poisons_are_caught(poison: str, functional: str, chains: int, steps: int) -> None:
    """Noise x 1.02, leaves shrunk by .95 (in the long version .99), data drawn with the sigma of a sweep before."""
    problem = make("plain")
    found = scores(problem, last_steps(problem, chains, steps, poison))
    assert abs(found[functional]) > 4, found
