"""What one observation did: a record of it, as a message and as a row of a table."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from livesmc2.kernel.summary import state_moments, systematic_pairs
from livesmc2.runtime.cloud import Cloud

LEVELS = (0.025, 0.25, 0.5, 0.75, 0.975)
"""Of the quantiles that every step keeps."""
_LEVELS_AS_COLUMN = np.array(LEVELS)[:, None, None]
_DRAWS = 512
"""From how many systematic draws the states' quantiles in a step are taken."""


@dataclass(frozen=True)
class Step:
    """What is believed after an observation. Summaries are dicts of arrays: mean, sd (k,) and quantiles (level, k)."""

    t: int
    y: list[float]
    log_evidence: float
    log_evidence_increment: float
    """The observation's log score: log p(y_t | y_0, ..., y_{t-1})."""
    ess: float
    n_x: int
    rejuvenated: bool
    acceptance: list[float]
    exchanges: int
    faults: int
    skipped: bool
    theta: dict[str, np.ndarray]
    state: dict[str, np.ndarray]
    forecast: np.ndarray | None
    """Quantiles (level, h, component) of the next observations, where a horizon was asked for."""

    def message(self, seq: int) -> dict[str, Any]:
        """As `smc2.step/1`."""
        return {"type": "smc2.step/1", "part": "steps", "seq": seq, **vars(self)}

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Step:
        """What `to_dict` made."""
        return cls(**content)


def summarise_theta(cloud: Cloud) -> dict[str, np.ndarray]:
    """Mean, sd (parameter,) and quantiles (level, parameter) of the parameters."""
    weights, theta = cloud.weights, cloud.theta
    mean = weights @ theta
    sd = np.sqrt(weights @ (theta - mean) ** 2)
    columns = np.ascontiguousarray(theta.T)
    order = columns.argsort(axis=1)
    cumulative = weights[order].cumsum(axis=1)
    places = np.minimum((cumulative < _LEVELS_AS_COLUMN).sum(axis=2), len(theta) - 1)
    each = np.arange(len(columns))
    quantiles = columns[each, order[each, places]]
    return {"mean": mean, "sd": sd, "quantiles": quantiles}


def summarise_state(cloud: Cloud, u: float) -> dict[str, np.ndarray]:
    """The same of the states; quantiles from systematic draws, whose offset is u."""
    filters, weights = cloud.filters, cloud.weights
    width = filters.x.shape[1]
    mean, sd = np.empty(width), np.empty(width)
    state_moments(filters.x, filters.w, weights, mean, sd)
    rows, columns = np.empty(_DRAWS, np.int64), np.empty(_DRAWS, np.int64)
    systematic_pairs(filters.w, weights, u, rows, columns)
    draws = np.sort(filters.x[rows, :, columns], axis=0)
    places = np.array([int(level * _DRAWS) for level in LEVELS])
    return {"mean": mean, "sd": sd, "quantiles": draws[places]}
