"""What a chain works on: codes, response, prior, all as arrays."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from scipy.special import gammaln, ndtri
from scipy.stats import chi2

from livebart.kernel.layout import PRIOR, padded

_SIGMA_ROWS = 10_000
_SMALLEST_SIGMA = 1e-4
_GRID = 1000


@dataclass(frozen=True)
class Prior:
    """The prior's settings, as Chipman, George and McCulloch (2010) name them."""

    alpha: float = 0.95
    beta: float = 2.0
    k: float = 2.0
    nu: float = 3.0
    q: float = 0.9
    sigma_hat: float | None = None
    min_samples_leaf: int = 5
    sparse: bool = False
    sparse_a: float = 0.5
    sparse_b: float = 1.0
    sparse_rho: float | None = None
    sparse_theta: float | None = None
    grow_probability: float = 0.35
    prune_probability: float = 0.35


@dataclass(frozen=True)
class Problem:
    """One data set with its prior. The response is centred and scaled; rows are padded as in `kernel.layout`."""

    prior: np.ndarray
    columns: np.ndarray
    active: np.ndarray
    """Columns that can be split."""
    place_of: np.ndarray
    """The place of each column among those, or 0."""
    grid: np.ndarray
    """(concentration, log of its prior and constant), for a sparse prior."""
    rows: int
    codes: np.ndarray
    response: np.ndarray
    positive: np.ndarray
    """Of each row: whether its class is the positive one; empty for regression."""
    weights: np.ndarray
    """Empty for none."""
    center: float
    scale: float
    """The response in its own units is `center + scale * response`."""
    from_root: int = 0
    """The first sweeps, in which trees are drawn from their roots."""

    @property
    def probit(self) -> bool:
        return len(self.positive) > 0

    def to_data(self) -> dict[str, Any]:
        """Plain arrays and numbers, which travel and are kept."""
        data = {field.name: getattr(self, field.name) for field in fields(self)}
        return data | {name: _bytes(data[name]) for name in ("prior", "columns")}

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> Problem:
        """What `to_data` was of."""
        from livebart.kernel.rules import COLUMN

        return cls(**(data | {"prior": data["prior"].view(PRIOR), "columns": data["columns"].view(COLUMN)}))

    def digest(self) -> str:
        """Of everything in it."""
        told = hashlib.sha256()
        for field in fields(self):
            value = getattr(self, field.name)
            told.update(f"{field.name}:".encode())
            told.update(
                np.ascontiguousarray(value).tobytes() if isinstance(value, np.ndarray) else repr(value).encode()
            )
        return told.hexdigest()


def _bytes(records: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(records).view(np.uint8)


def make_problem(
    settings: Prior,
    n_trees: int,
    columns: np.ndarray,
    active: np.ndarray,
    codes: np.ndarray,
    response: np.ndarray,
    weights: np.ndarray | None,
    *,
    probit: bool,
    n_burnin: int = 0,
    from_root: int = 0,
) -> Problem:
    """The problem of a response in its own units (regression) or of booleans (probit)."""
    rows = len(response)
    prior = np.zeros(1, PRIOR)
    told = prior[0]
    scaled = np.zeros(padded(rows), np.float32)
    positive = np.zeros(0, np.uint8)
    center, scale = 0.0, 1.0
    if probit:
        positive = np.zeros(padded(rows), np.uint8)
        positive[:rows] = response
        told["probit"] = 1
        share = np.clip(np.mean(response), 0.5 / max(rows, 1), 1 - 0.5 / max(rows, 1)) if rows else 0.5
        told["offset"] = ndtri(share)
        told["leaf_variance"] = (3.0 / (settings.k * math.sqrt(n_trees))) ** 2
    else:
        if rows:
            lowest, highest = float(response.min()), float(response.max())
            center = 0.5 * lowest + 0.5 * highest
            scale = highest - lowest if highest > lowest else 1.0
            scaled[:rows] = (response - center) / scale
        told["leaf_variance"] = (0.5 / (settings.k * math.sqrt(n_trees))) ** 2
        if settings.sigma_hat is not None:
            sigma = settings.sigma_hat / scale
        else:
            sigma = max(_sigma_estimate(columns, active, codes, scaled[:rows], weights), _SMALLEST_SIGMA)
        told["noise_shape"] = settings.nu
        told["noise_scale"] = sigma**2 * chi2.ppf(1 - settings.q, settings.nu)
    padded_weights = np.zeros(0, np.float32)
    if weights is not None:
        padded_weights = np.zeros(padded(rows), np.float32)
        padded_weights[:rows] = weights
    told["min_leaf"] = settings.min_samples_leaf
    told["grow"], told["prune"] = settings.grow_probability, settings.prune_probability
    told["split"] = settings.alpha * (1.0 + np.arange(256)) ** -settings.beta
    told["sparse"] = settings.sparse
    told["sparse_from"] = n_burnin // 2
    told["learn_concentration"] = settings.sparse_theta is None
    place_of = np.zeros(len(columns), np.int32)
    place_of[active] = np.arange(len(active))
    return Problem(
        prior=prior,
        columns=columns,
        active=active,
        place_of=place_of,
        grid=_concentrations(settings, len(active)) if settings.sparse else np.ones((1, 2)),
        rows=rows,
        codes=codes,
        response=scaled,
        positive=positive,
        weights=padded_weights,
        center=center,
        scale=scale,
        from_root=from_root,
    )


def _concentrations(settings: Prior, number: int) -> np.ndarray:
    """Linero's (2018) grid of concentrations: theta / (theta + rho) has a beta prior."""
    number = max(number, 1)
    rho = float(number if settings.sparse_rho is None else settings.sparse_rho)
    if settings.sparse_theta is not None:
        return np.array([[settings.sparse_theta, 0.0]])
    share = np.arange(1, _GRID) / _GRID
    theta = rho * share / (1 - share)
    log_prior = (settings.sparse_a - 1) * np.log(share) + (settings.sparse_b - 1) * np.log1p(-share)
    constant = gammaln(theta) - number * gammaln(theta / number)
    return np.column_stack([theta, log_prior + constant])


def _sigma_estimate(
    columns: np.ndarray, active: np.ndarray, codes: np.ndarray, response: np.ndarray, weights: np.ndarray | None
) -> float:
    """A rough guess of the noise, that the prior's scale is set by: of least squares, or the response's own sd.

    Least squares are on the codes, so that the guess, too, depends on the order of a column's values alone.
    """
    rows = len(response)
    if rows < 2:
        return 0.0
    root = np.ones(rows) if weights is None else np.sqrt(weights)
    spread = float(np.sqrt(np.sum(root**2 * (response - np.average(response, weights=root**2)) ** 2) / (rows - 1)))
    chosen = np.arange(0, rows, -(-rows // _SIGMA_ROWS))
    design = [np.ones(len(chosen))]
    for j in active:
        values = codes[j, chosen].astype(float)
        if columns[j]["ordered"]:
            if columns[j]["missing"]:
                absent = values == 255
                design.append(absent.astype(float))
                values[absent] = values[~absent].mean() if (~absent).any() else 0.0
            design.append(values / 255)
        else:
            design.extend((values == code).astype(float) for code in range(int(columns[j]["codes"]) - 1))
        if len(design) >= len(chosen):
            return spread
    matrix = np.column_stack(design) * root[chosen, None]
    target = response[chosen].astype(float) * root[chosen]
    solution, _, rank, _ = np.linalg.lstsq(matrix, target, rcond=1e-9)
    freedom = len(chosen) - int(rank)
    if freedom < 1:
        return spread
    return min(float(np.sqrt(np.sum((target - matrix @ solution) ** 2) / freedom)), spread)
