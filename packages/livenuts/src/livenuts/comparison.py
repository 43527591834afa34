"""How well models would predict new data: PSIS-LOO, WAIC, and several models side by side.

Vehtari, Gelman and Gabry 2017, "Practical Bayesian model evaluation using leave-one-out cross-validation and WAIC";
Yao, Vehtari, Simpson and Gelman 2018, "Using stacking to average Bayesian predictive distributions". Pareto smoothing
by arviz-stats.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import logsumexp

from livenuts.inference.importance import limit
from livenuts.likelihoods import log_likelihood
from livenuts.result import Result

# A pointwise variance of the log likelihood above this makes WAIC unreliable (Vehtari et al. 2017, section 2.2).
_UNRELIABLE = 0.4


@dataclass(frozen=True, eq=False)
class Elpd:
    """An estimate of the expected log density of new data, summed over as many observations as there are."""

    kind: str
    """loo or waic."""
    pointwise: np.ndarray
    """(observation,)"""
    p: float
    """The effective number of parameters."""
    pareto_k: np.ndarray | None
    """(observation,), of loo."""
    pareto_k_limit: float
    names: tuple[str, ...]
    """Of the observations: `y[3]`."""
    unreliable: np.ndarray
    """(observation,): where the estimate cannot be trusted."""

    @property
    def elpd(self) -> float:
        """The estimate, in nats; larger is better."""
        return float(self.pointwise.sum())

    @property
    def se(self) -> float:
        """Its standard error over observations."""
        return float(np.sqrt(len(self.pointwise) * self.pointwise.var()))

    def concerns(self) -> list[str]:
        """What speaks against trusting it, in words."""
        bad = np.flatnonzero(self.unreliable)
        if not bad.size:
            return []
        share = f"{bad.size} of {len(self.names)} observations"
        if self.pareto_k is None:
            return [f"the log likelihood varies too much for WAIC at {share} ({self.names[bad[0]]} first): use loo"]
        worst = bad[np.argmax(self.pareto_k[bad])]
        where = f"{share}, worst {self.pareto_k[worst]:.2f} ({self.names[worst]})"
        advice = "the posterior hangs on them; fit again without them, or look whether the model can be right"
        return [f"pareto_k above {self.pareto_k_limit:.2f} at {where}: {advice}"]

    def __str__(self) -> str:
        lines = [
            f"elpd_{self.kind} {self.elpd:.2f}, standard error {self.se:.2f}",
            f"p_{self.kind} {self.p:.2f}, {len(self.names)} observations",
        ]
        return "\n".join([*lines, *self.concerns()])

    __repr__ = __str__


def loo(result: Result, model: Any = None) -> Elpd:
    """Leave-one-out cross-validation by Pareto smoothed importance sampling. `model` as in `ln.log_likelihood`."""
    from arviz_stats.base import array_stats  # type: ignore[attr-defined]

    matrix, names = _matrix(result, model)
    num_draws = matrix.shape[0] * matrix.shape[1]
    r_eff = _relative_efficiency(result)
    pointwise, k = np.empty(len(names)), np.empty(len(names))
    for place in range(len(names)):
        column = matrix[:, :, place]
        if np.ptp(column) < 1e-12 * max(1.0, abs(float(column.max()))):  # no draw says anything else about it
            pointwise[place], k[place] = column.max(), -np.inf
            continue
        logs, k[place] = array_stats.psislw(column.ravel(), r_eff=r_eff)
        logs = logs - logsumexp(logs)
        pointwise[place] = logsumexp(logs + column.ravel())
    density = logsumexp(matrix, axis=(0, 1)) - np.log(num_draws)
    most = limit(num_draws)
    return Elpd("loo", pointwise, float((density - pointwise).sum()), k, most, names, ~(k <= most))


def waic(result: Result, model: Any = None) -> Elpd:
    """The widely applicable information criterion (Watanabe 2010); `loo` says more about when it fails."""
    matrix, names = _matrix(result, model)
    num_draws = matrix.shape[0] * matrix.shape[1]
    variance = matrix.reshape(num_draws, -1).var(axis=0)
    pointwise = logsumexp(matrix, axis=(0, 1)) - np.log(num_draws) - variance
    return Elpd("waic", pointwise, float(variance.sum()), None, np.nan, names, ~(variance <= _UNRELIABLE))


def _matrix(result: Result, model: Any) -> tuple[np.ndarray, tuple[str, ...]]:
    """Log likelihoods (chain, draw, observation) of all that counts, with the observations' names."""
    from livenuts.diagnostics import scalar_names

    if not result.num_draws:
        raise ValueError("the result holds no draws")
    parts, names = [], []
    for name, values in log_likelihood(result, model).items():
        names += scalar_names(name, values.shape[2:])
        parts.append(values.reshape(*values.shape[:2], -1))
    whole = np.concatenate(parts, axis=2)
    counted = ~np.isnan(whole).all(axis=(0, 1))
    if (np.isnan(whole[:, :, counted])).any():
        place = int(np.flatnonzero(np.isnan(whole).any(axis=(0, 1)) & counted)[0])
        raise ValueError(f"the log likelihood of {names[place]} is NaN at some draws")
    return whole[:, :, counted], tuple(name for name, counts in zip(names, counted, strict=True) if counts)


def _relative_efficiency(result: Result) -> float:
    """Effective over actual draws, a mean over the scalars, as ArviZ takes it; 1 for one chain."""
    from arviz_stats.base import array_stats  # type: ignore[attr-defined]

    if result.num_chains == 1 or result.num_draws < 4:
        return 1.0
    flat = [values.reshape(result.num_chains, result.num_draws, -1) for values in result.draws.values()]
    sizes = array_stats.ess(np.concatenate(flat, axis=2), chain_axis=0, draw_axis=1, method="mean")
    return float(np.nanmean(sizes)) / (result.num_chains * result.num_draws)


@dataclass(frozen=True, eq=False)
class Comparison(Mapping[str, dict[str, float]]):
    """Models by name, the best first: elpd, se, p, elpd_diff, dse, weight. It prints as a table."""

    rows: dict[str, dict[str, float]]
    kind: str
    remarks: tuple[str, ...]

    def __getitem__(self, name: str) -> dict[str, float]:
        return self.rows[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def to_pandas(self) -> Any:
        """The table as a pandas DataFrame, indexed by name."""
        from livenuts.diagnostics import import_pandas

        return import_pandas().DataFrame.from_dict(self.rows, orient="index")

    def __str__(self) -> str:
        columns = list(next(iter(self.rows.values())))
        width = max(map(len, self.rows))
        lines = [" " * width + "".join(f"{column:>11}" for column in columns)]
        for name, row in self.rows.items():
            lines.append(f"{name:<{width}}" + "".join(f"{row[column]:>11.2f}" for column in columns))
        return "\n".join([*lines, *self.remarks])

    __repr__ = __str__


def compare(models: Mapping[str, Result | Elpd]) -> Comparison:
    """Models of the same observations, given as results (then by `loo`) or as what `loo` or `waic` returned.

    `elpd_diff` is to the best model and `dse` its standard error: a difference below 4 is small, and one below twice
    its error is not known to be one. `weight` is by stacking: the mixture of the models that predicts best.
    """
    if not isinstance(models, Mapping) or len(models) < 2:
        raise ValueError(f"compare takes a mapping of two models or more by name, got {models!r:.60}")
    found = {name: value if isinstance(value, Elpd) else loo(value) for name, value in models.items()}
    first_name, first = next(iter(found.items()))
    for name, one in found.items():
        if one.kind != first.kind:
            raise ValueError(f"compare: {name!r} is {one.kind} and {first_name!r} is {first.kind}; give one kind")
        if one.names != first.names:
            raise ValueError(
                f"compare: {name!r} has {len(one.names)} observations ({one.names[0]}, ...) and {first_name!r} "
                f"{len(first.names)} ({first.names[0]}, ...): models are compared on the same data"
            )
    order = sorted(found, key=lambda name: -found[name].elpd)
    weights = dict(zip(order, _stacked(np.array([found[name].pointwise for name in order])), strict=True))
    best = found[order[0]]
    rows, remarks = {}, []
    for name in order:
        one = found[name]
        apart = best.pointwise - one.pointwise
        rows[name] = {
            "elpd": one.elpd,
            "se": one.se,
            "p": one.p,
            "elpd_diff": float(apart.sum()),
            "dse": float(np.sqrt(len(apart) * apart.var())),
            "weight": float(weights[name]),
        }
        remarks += [f"{name}: {text}" for text in one.concerns()]
    return Comparison(rows, first.kind, tuple(remarks))


def _stacked(pointwise: np.ndarray) -> np.ndarray:
    """Weights on the simplex with the greatest sum over observations of log(sum over models of weight * density)."""
    densities = np.exp(pointwise - pointwise.max(axis=0))  # (model, observation)
    count = len(densities)

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        mixed = weights @ densities
        return -float(np.log(mixed).sum()), -(densities / mixed).sum(axis=1)

    found = minimize(
        loss,
        np.full(count, 1.0 / count),
        jac=True,
        method="SLSQP",
        bounds=[(1e-12, 1.0)] * count,
        constraints={"type": "eq", "fun": lambda weights: weights.sum() - 1.0},
        options={"ftol": 1e-10, "maxiter": 500},
    )
    weights: np.ndarray = found.x / found.x.sum()
    return weights
