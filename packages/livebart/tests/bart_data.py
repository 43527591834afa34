"""Data that several tests are about."""

from typing import Any

import numpy as np
from livebart.kernel.layout import padded
from livebart.kernel.rules import COLUMN
from livebart.model.problem import Prior, Problem, make_problem


def friedman1(n: int, p: int = 10, sigma: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Friedman's (1991) first function of five of p columns: X, y, f."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(size=(n, p))
    f = 10 * np.sin(np.pi * X[:, 0] * X[:, 1]) + 20 * (X[:, 2] - 0.5) ** 2 + 10 * X[:, 3] + 5 * X[:, 4]
    return X, f + sigma * rng.normal(size=n), f


def problem_of(
    codes: np.ndarray,
    y: np.ndarray,
    columns: list[tuple[int, bool, bool]],
    *,
    n_trees: int,
    weights: np.ndarray | None = None,
    probit: bool = False,
    **settings: Any,
) -> Problem:
    """A problem of codes (column, row); a column is (codes, ordered, missing)."""
    described = np.array(columns, COLUMN)
    padded_codes = np.zeros((len(columns), padded(codes.shape[1])), np.uint8)
    padded_codes[:, : codes.shape[1]] = codes
    active = np.flatnonzero((described["codes"] > 1) | (described["missing"] != 0)).astype(np.int32)
    return make_problem(Prior(**settings), n_trees, described, active, padded_codes, y, weights, probit=probit)
