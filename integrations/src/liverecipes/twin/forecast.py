"""The shop from now on, many times: what is not known of its parameters, and what chance does, shown apart."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from livesim import Model as Shop
from livesim import Snapshot, replicate
from numpy.typing import NDArray

from .watch import KPIS

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
PATHS = {"throughput": "job.completed", "lead": "job.sojourn.mean", "wip": "job.in_process"}

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Outlook:
    """One KPI of the next shift."""

    draws: Floats
    """Sorted, of all futures."""
    epistemic: float
    """Standard deviation of the mean over what is believed of the parameters: more events would make it smaller."""
    aleatoric: float
    """Root mean variance at given parameters: chance, which no knowledge removes."""

    def quantiles(self, levels: tuple[float, ...] = LEVELS) -> list[float]:
        """Of the predictive law."""
        return [float(value) for value in np.quantile(self.draws, levels, method="inverted_cdf")]

    def pit(self, value: float) -> float:
        """The predictive probability of less than the value, and half of that of the value itself."""
        below = np.searchsorted(self.draws, value, side="left")
        upto = np.searchsorted(self.draws, value, side="right")
        return float((below + upto) / (2 * len(self.draws)))

    def content(self) -> dict[str, Any]:
        """As the content of a message."""
        return {"quantiles": self.quantiles(), "epistemic": self.epistemic, "aleatoric": self.aleatoric}


def outlook(
    shop: Shop, now: Snapshot, parameters: Mapping[str, Floats], shift: float, seed: int, repeats: int = 4
) -> dict[str, Outlook]:
    """Simulate the next shift from a state: `repeats` futures for each draw (draw,) of the parameters, by KPI.

    The variance is split by a one-way analysis of variance, which is unbiased for both parts; a between-draws part that
    comes out below zero is zero.
    """
    draws = len(next(iter(parameters.values())))
    runs = replicate(
        shop,
        n=draws * repeats,
        until=now.time + shift,
        start=now,
        params={name: np.repeat(values, repeats) for name, values in parameters.items()},
        seed=seed,
        progress=False,
    )
    if runs.errors:
        raise RuntimeError(f"the twin's simulation failed: {next(iter(runs.errors.values()))}")
    return {kpi: split(np.asarray(runs.values(PATHS[kpi]), float).reshape(draws, repeats)) for kpi in KPIS}


def split(values: Floats) -> Outlook:
    """A KPI (draw, repeat); a future in which no job left has no lead time, and is left out."""
    whole = values[np.isfinite(values).all(axis=1)]
    repeats = values.shape[1]
    if len(whole) < 2:
        return Outlook(np.sort(values[np.isfinite(values)]), float("nan"), float("nan"))
    within = float(whole.var(axis=1, ddof=1).mean())
    between = max(0.0, float(whole.mean(axis=1).var(ddof=1)) - within / repeats)
    return Outlook(np.sort(values[np.isfinite(values)]), between**0.5, within**0.5)
