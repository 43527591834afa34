"""The messages that livebart sends, as plain dicts of these forms.

Parts `run` and `chain-k` are lossless: their content follows from data, settings and seed alone. Part `progress` is
telemetry.
"""

from collections.abc import Callable
from typing import Any, NotRequired, TypedDict

import numpy as np

Message = dict[str, Any]
Sink = Callable[[Message], Any]
"""Any callable of one message. If it raises, the run stops; its `flush()`, if any, is called at the end."""


class Settings(TypedDict):
    """The estimator's parameters that its draws depend on, by their names there."""

    n_trees: int
    n_burnin: int
    n_draws: int
    """A chain."""
    n_chains: int
    alpha: float
    beta: float
    k: float
    nu: NotRequired[float]
    """Of a regressor, as q and sigma_hat."""
    q: NotRequired[float]
    sigma_hat: NotRequired[float | None]
    min_samples_leaf: int
    max_cuts: int
    sparse: bool
    sparse_a: float
    sparse_b: float
    sparse_rho: float | None
    sparse_theta: float | None
    categorical_features: list[str]
    """The columns that were taken for categories."""
    move_probabilities: list[float]
    """Of grow, prune, change."""
    n_grow_from_root: int


class Start(TypedDict):
    """`bart.start/1` on part `run`, seq 0."""

    type: str
    part: str
    seq: int
    model: str
    """BARTRegressor or BARTClassifier."""
    digest: str
    """Of the data, the prior and the settings that draws depend on."""
    settings: Settings
    seed: int
    columns: list[str]


class Draw(TypedDict):
    """`bart.draw/1` on part `chain-k`; seq is the draw's number in its chain."""

    type: str
    part: str
    seq: int
    chain: int
    draw: int
    sigma: float
    """The noise's standard deviation, in units of y; 1 for a classifier."""
    splits: np.ndarray
    """(column,): how many nodes split each column."""
    leaves: np.ndarray
    """(tree,): the number of leaves."""
    proposed: list[int]
    """Proposals in this sweep: grow, prune, change."""
    accepted: list[int]
    """Those taken."""


class Progress(TypedDict):
    """`bart.progress/1` on part `progress`, a few times a second."""

    type: str
    part: str
    seq: int
    total: int
    """Sweeps that a chain will make, burn-in included."""
    n_burnin: int
    elapsed: float
    """Seconds since the chains started."""
    chains: list[dict[str, Any]]
    """Of each: chain, sweep, sigma."""


class End(TypedDict):
    """`bart.end/1` on part `run`: nothing follows."""

    type: str
    part: str
    seq: int
    status: str
    """completed, stopped, interrupted or failed."""
    draws: list[int]
    """Draws made by each chain."""


class Failure(TypedDict):
    """`bart.failure/1` on part `run`: what went wrong before the end."""

    type: str
    part: str
    seq: int
    error: str
    recovered: bool
    """Whether the run went on: False."""


TYPES: dict[str, type] = {
    "bart.start/1": Start,
    "bart.draw/1": Draw,
    "bart.progress/1": Progress,
    "bart.end/1": End,
    "bart.failure/1": Failure,
}
