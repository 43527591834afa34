"""Convergence diagnostics, by arviz-stats' array functions.

Rank-normalised split R-hat, bulk and tail effective sample size and Monte Carlo standard errors: Vehtari, Gelman,
Simpson, Carpenter and Buerkner 2021, "Rank-normalization, folding, and localization".
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

# A hundred effective draws a chain are wanted of so many chains at most.
_MANY_CHAINS = 16
LEAST_BFMI = 0.3
"""Below this, chains explore their energies badly (Stan's threshold)."""
COLUMNS = ("mean", "sd", "q5", "median", "q95", "mcse_mean", "mcse_sd", "ess_bulk", "ess_tail", "r_hat")


def scalar_names(name: str, shape: tuple[int, ...]) -> list[str]:
    """The names of a variable's elements: `theta[0]`, `theta[1, 2]`; a scalar keeps its own."""
    return [name + (f"[{', '.join(map(str, index))}]" if index else "") for index in np.ndindex(*shape)]


def nested_r_hat(draws: np.ndarray, num_superchains: int) -> np.ndarray:
    """Nested R-hat of draws (chain, draw, n) whose chains started in groups, one after the other: (n,).

    Margossian, Hoffman, Sountsov, Riou-Durand, Vehtari and Gelman 2024, "Nested R-hat: assessing the convergence of
    Markov chain Monte Carlo when running many short chains": the variance between the means of groups against that
    within them. It falls to 1 with the draws of a group, where R-hat needs those of each chain.
    """
    from arviz_stats.base import array_stats  # type: ignore[attr-defined]

    groups = np.repeat(np.arange(num_superchains), len(draws) // num_superchains)
    with np.errstate(divide="ignore", invalid="ignore"):
        found: np.ndarray = array_stats.rhat_nested(draws, groups, chain_axis=0, draw_axis=1)
    return found


def diagnose(draws: np.ndarray) -> dict[str, np.ndarray]:
    """Every column of a summary for draws of shape (chain, draw, n): arrays of shape (n,).

    What too few draws cannot tell is NaN: quantities that need an effective sample size want four draws a chain.
    """
    from arviz_stats.base import array_stats  # type: ignore[attr-defined]

    chains, length, size = draws.shape
    axes = {"chain_axis": 0, "draw_axis": 1}
    flat = draws.reshape(chains * length, size)
    missing = np.full(size, np.nan)
    found: dict[str, Any] = dict.fromkeys(COLUMNS, missing)
    if length:
        quantiles = np.quantile(flat, [0.05, 0.5, 0.95], axis=0)
        found |= {"mean": flat.mean(0), "q5": quantiles[0], "median": quantiles[1], "q95": quantiles[2]}
    if chains * length > 1:
        found["sd"] = flat.std(0, ddof=1)
    if length >= 4:
        # One chain is judged by its halves.
        half = length // 2
        split = draws if chains > 1 else np.stack([draws[0, :half], draws[0, length - half :]])
        with np.errstate(divide="ignore", invalid="ignore"):  # a constant, as in a Cholesky factor, has no R-hat
            found |= {
                "mcse_mean": array_stats.mcse(draws, **axes, method="mean"),
                "mcse_sd": _mcse_of_sd(draws),
                "ess_bulk": array_stats.ess(draws, **axes, method="bulk"),
                "ess_tail": array_stats.ess(draws, **axes, method="tail", prob=(0.05, 0.95)),
                "r_hat": array_stats.rhat(split, **axes),
            }
    return {name: np.asarray(found[name], float) for name in COLUMNS}


def _mcse_of_sd(draws: np.ndarray) -> np.ndarray:
    """Monte Carlo standard error of the sd, from the effective sample size of the squared deviations.

    The delta method on the variance (Vehtari et al. 2021, section 4). The effective sample size of the draws
    themselves, which NUTS makes larger than their number, would say half of it.
    """
    from arviz_stats.base import array_stats  # type: ignore[attr-defined]

    squares = (draws - draws.mean(axis=(0, 1))) ** 2
    size = array_stats.ess(squares, chain_axis=0, draw_axis=1, method="mean")
    error: np.ndarray = squares.std(axis=(0, 1)) / np.sqrt(size) / (2 * np.sqrt(squares.mean(axis=(0, 1))))
    return error


def bfmi(energy: np.ndarray) -> np.ndarray:
    """The energy's Bayesian fraction of missing information of each chain, from energies (chain, draw): (chain,).

    How far an energy moves in a draw, against how far it ranges (Betancourt 2016, "Diagnosing suboptimal cotangent
    disintegrations in Hamiltonian Monte Carlo"). NaN where there are less than four draws, or all energies are equal.
    """
    if energy.shape[1] < 4:
        return np.full(energy.shape[0], np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: np.ndarray = (np.diff(energy, axis=1) ** 2).mean(1) / energy.var(axis=1, ddof=1)
    return found


def energy_remarks(energy: np.ndarray) -> list[str]:
    """What the energies (chain, draw) say against trusting the draws."""
    found = bfmi(energy)
    low = np.flatnonzero(found < LEAST_BFMI)
    if not low.size:
        return []
    worst = int(np.nanargmin(found))
    where = f"{low.size} of {len(found)} chains, worst {found[worst]:.2f} (chain {worst})"
    return [f"E-BFMI below {LEAST_BFMI:g} in {where}: the energy moves too little a draw; reparametrize"]


def fit_remarks(method: str, fit: Mapping[str, Any]) -> list[str]:
    """What an approximation says against trusting its draws."""
    found = []
    if not fit.get("converged", True):
        found.append(f"{method} did not converge in {len(fit['elbo_trace'])} iterations: give it more, or other starts")
    # Weights that hardly differ have a tail too, which k is about, and which does not matter.
    differ = fit.get("effective_fraction", 1.0) < 0.9
    if differ and fit["pareto_k"] > fit["pareto_k_limit"]:
        found.append(
            f"pareto_k of the fit is {fit['pareto_k']:.2f}, above {fit['pareto_k_limit']:.2f}: the draws are not the "
            "posterior's; start NUTS from them, ln.sample(model, warm_start=result)"
        )
    return found


@dataclass(frozen=True, eq=False)
class Summary(Mapping[str, dict[str, float]]):
    """A table with a row for every scalar: a mapping of its name to its columns. It prints as a table.

    `columns[name]` is the array of one column, in the order of the rows.
    """

    columns: dict[str, np.ndarray]
    rows: tuple[str, ...]
    num_chains: int
    num_draws: int
    divergences: int
    remarks: tuple[str, ...] = ()
    """What else speaks against trusting the draws."""

    def __getitem__(self, name: str) -> dict[str, float]:
        if name not in self.rows:
            raise KeyError(f"no row {name!r}; rows are {', '.join(self.rows[:10])}")
        row = self.rows.index(name)
        return {column: float(values[row]) for column, values in self.columns.items()}

    def __iter__(self) -> Iterator[str]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def to_pandas(self) -> Any:
        """The table as a pandas DataFrame, indexed by name."""
        pandas = import_pandas()
        return pandas.DataFrame(self.columns, index=list(self.rows))

    def __str__(self) -> str:
        header = ["", *self.columns]
        body = [
            [name, *(_text(column, self.columns[column][i]) for column in self.columns)]
            for i, name in enumerate(self.rows)
        ]
        widths = [max(len(row[i]) for row in [header, *body]) for i in range(len(header))]
        lines = [
            "  ".join(
                cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
            )
            for row in [header, *body]
        ]
        note = f"{self.num_chains} chains of {self.num_draws} draws, {_count_divergences(self.divergences)}"
        return "\n".join([*lines, note, *self.concerns()])

    def concerns(self) -> list[str]:
        """What speaks against trusting the draws, in words; empty when nothing does (Vehtari et al. 2021)."""
        found = []
        nested = "nested_r_hat" in self.columns
        if nested:
            disagree = "groups of chains disagree: run longer, or reparametrize"
        elif self.num_chains > _MANY_CHAINS:
            disagree = "chains disagree, or are too short to tell: run longer, or give num_superchains"
        else:
            disagree = "the chains disagree: run longer, or reparametrize"
        least = 100.0 * min(self.num_chains, _MANY_CHAINS)
        for column, limit, sign, advice in (
            ("nested_r_hat" if nested else "r_hat", 1.01, 1, disagree),
            ("ess_bulk", least, -1, "the means are poorly known: run longer"),
            ("ess_mean", least, -1, "the means are poorly known: run longer"),
        ):
            values = self.columns.get(column, np.empty(0))
            bad = np.flatnonzero(sign * values > sign * limit)
            if bad.size:
                worst = bad[np.argmax(sign * values[bad])]
                side = "above" if sign > 0 else "below"
                found.append(
                    f"{column} {side} {limit:g} for {bad.size} of {len(self.rows)}, worst "
                    f"{_text(column, values[worst])} ({self.rows[worst]}): {advice}"
                )
        if self.divergences:
            found.append(f"{_count_divergences(self.divergences)}: the draws may miss a part of the posterior")
        return [*found, *self.remarks]

    __repr__ = __str__


def _count_divergences(number: int) -> str:
    return f"{number} divergence{'' if number == 1 else 's'}"


def _text(column: str, value: float) -> str:
    if not np.isfinite(value):
        return str(value)
    if column.startswith("ess"):
        return f"{value:.0f}"
    return f"{value:.3f}" if column.endswith("r_hat") else f"{value:.4g}"


def import_pandas() -> Any:
    """pandas, or an error that says how to get it."""
    try:
        import pandas
    except ImportError as error:
        raise ImportError("to_pandas needs pandas: pip install pandas") from error
    return pandas


def summarize(
    draws: Mapping[str, np.ndarray], divergences: int, remarks: Sequence[str] = (), num_superchains: int | None = None
) -> Summary:
    """The summary of draws by variable, each of shape (chain, draw, *shape)."""
    rows: list[str] = []
    blocks = []
    chains = length = 0
    for name, values in draws.items():
        chains, length = values.shape[:2]
        rows += scalar_names(name, values.shape[2:])
        blocks.append(values.reshape(chains, length, math.prod(values.shape[2:])))
    joined = np.concatenate(blocks, axis=2) if blocks else np.empty((0, 0, 0))
    columns = diagnose(joined)
    if num_superchains is not None and length and chains % num_superchains == 0:
        columns["nested_r_hat"] = nested_r_hat(joined, num_superchains)
    return Summary(columns, tuple(rows), chains, length, divergences, tuple(remarks))
