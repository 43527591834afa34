"""What warm-up learned, as data: pass it on as `warm_start`, or keep it as JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class Tuning:
    """Step sizes, metrics and last positions of a run's chains."""

    metric: str
    """ "diag" or "dense"."""
    step_size: np.ndarray
    """(chain,)"""
    inverse_mass: np.ndarray
    """(chain, dimension) or (chain, dimension, dimension)."""
    positions: np.ndarray
    """(chain, dimension), unconstrained."""
    native: bool
    """Whether the loop was compiled as one native function."""

    def to_json(self) -> str:
        """The tuning as a JSON text."""
        return json.dumps(
            {
                "format": "livenuts.tuning/1",
                "metric": self.metric,
                "native": self.native,
                "step_size": self.step_size.tolist(),
                "inverse_mass": self.inverse_mass.tolist(),
                "positions": self.positions.tolist(),
            }
        )

    @classmethod
    def from_json(cls, text: str) -> Tuning:
        """The tuning that `to_json` wrote; anything else is a ValueError."""
        try:
            whole: dict[str, Any] = json.loads(text)
            if whole["format"] != "livenuts.tuning/1":
                raise ValueError(f"format {whole['format']!r}")
            arrays = {name: np.array(whole[name], float) for name in ("step_size", "inverse_mass", "positions")}
            return cls(metric=str(whole["metric"]), native=bool(whole["native"]), **arrays)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"not a livenuts tuning: {error}") from error

    def check(self, metric: str, dimension: int) -> None:
        """Refuse a tuning that does not belong to a model of this dimension."""
        if self.positions.ndim != 2 or self.positions.shape[1] != dimension:
            raise ValueError(
                f"warm_start is of a model with {self.positions.shape[-1]} unconstrained parameters, "
                f"this one has {dimension}"
            )
        if metric != self.metric:
            raise ValueError(f"warm_start has a {self.metric!r} metric; metric={metric!r} cannot use it")
        for name in ("step_size", "inverse_mass", "positions"):
            if not np.isfinite(getattr(self, name)).all():
                raise ValueError(f"warm_start: {name} must be finite")
        if not (self.step_size > 0).all():
            raise ValueError(f"warm_start: step sizes must be positive, got {self.step_size}")
