"""What warm-up learned, as data: pass it on as `warm_start`, or keep it as JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from livenuts.adaptation.fisher import Estimate

_FORMAT = "livenuts.tuning/2"
_ARRAYS = ("step_size", "scale", "directions", "variances", "positions", "num_warmup")


@dataclass(frozen=True, eq=False)
class Tuning:
    """Step sizes, metrics and last positions of a run's chains.

    A chain's inverse mass matrix is S (I + V' (L - I) V) S with S = diag(scale), V = directions, L = diag(variances).
    """

    metric: str
    """ "auto", "diag", "low_rank" or "dense"."""
    step_size: np.ndarray
    """(chain,)"""
    scale: np.ndarray
    """(chain, dimension)"""
    directions: np.ndarray
    """(chain, rank, dimension): orthonormal rows, or zeros where a chain has fewer."""
    variances: np.ndarray
    """(chain, rank): along the directions, relative to the scales; 1 where a chain has fewer."""
    positions: np.ndarray
    """(chain, dimension), unconstrained."""
    num_warmup: np.ndarray
    """(chain,): iterations that warm-up took."""
    native: bool
    """Whether the loop was compiled as one native function."""

    @property
    def inverse_mass(self) -> np.ndarray:
        """The diagonals of the inverse mass matrices: (chain, dimension)."""
        extra: np.ndarray = np.einsum("cr,crd->cd", self.variances - 1.0, self.directions**2)
        return self.scale**2 * (1.0 + extra)

    def inverse_mass_matrix(self, chain: int) -> np.ndarray:
        """A chain's inverse mass matrix: (dimension, dimension)."""
        scaled = self.directions[chain] * self.scale[chain]
        extra: np.ndarray = (scaled.T * (self.variances[chain] - 1.0)) @ scaled
        return np.diag(self.scale[chain] ** 2) + extra

    def metrics(self) -> list[Estimate]:
        """Each chain's metric."""
        ranks = [int(row.any(axis=-1).sum()) for row in self.directions]
        return [
            Estimate(scale, directions[:rank], variances[:rank])
            for scale, directions, variances, rank in zip(
                self.scale, self.directions, self.variances, ranks, strict=True
            )
        ]

    @classmethod
    def of(cls, metric: str, estimates: list[Estimate], **fields: Any) -> Tuning:
        """The tuning of chains with these metrics."""
        most = max(len(estimate.variances) for estimate in estimates)
        directions = np.zeros((len(estimates), most, len(estimates[0].scale)))
        variances = np.ones((len(estimates), most))
        for chain, estimate in enumerate(estimates):
            rank = len(estimate.variances)
            directions[chain, :rank], variances[chain, :rank] = estimate.directions, estimate.variances
        scale = np.stack([estimate.scale for estimate in estimates])
        return cls(metric=metric, scale=scale, directions=directions, variances=variances, **fields)

    def to_json(self) -> str:
        """The tuning as a JSON text."""
        arrays: dict[str, Any] = {name: getattr(self, name).tolist() for name in _ARRAYS}
        return json.dumps({"format": _FORMAT, "metric": self.metric, "native": self.native} | arrays)

    @classmethod
    def from_json(cls, text: str) -> Tuning:
        """The tuning that `to_json` wrote; anything else is a ValueError."""
        try:
            whole: dict[str, Any] = json.loads(text)
            if whole["format"] != _FORMAT:
                raise ValueError(f"format {whole['format']!r}")
            arrays = {name: np.array(whole[name], float) for name in _ARRAYS}
            chains, dimension = arrays["positions"].shape
            rank = arrays["variances"].size // chains
            arrays["directions"] = arrays["directions"].reshape(chains, rank, dimension)
            arrays["variances"] = arrays["variances"].reshape(chains, rank)
            arrays["num_warmup"] = arrays["num_warmup"].astype(np.int64)
            shapes = {"step_size": (chains,), "scale": (chains, dimension), "num_warmup": (chains,)}
            for name, shape in shapes.items():
                if arrays[name].shape != shape:
                    raise ValueError(f"{name} has shape {arrays[name].shape}, expected {shape}")
            return cls(metric=str(whole["metric"]), native=bool(whole["native"]), **arrays)
        except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
            raise ValueError(f"not a livenuts tuning: {error}") from error

    def check(self, most: int, dimension: int) -> None:
        """Refuse a tuning that does not belong to a model of this dimension, with this many directions at most."""
        if self.positions.ndim != 2 or self.positions.shape[1] != dimension:
            raise ValueError(
                f"warm_start is of a model with {self.positions.shape[-1]} unconstrained parameters, "
                f"this one has {dimension}"
            )
        if self.variances.shape[1] > most:
            raise ValueError(
                f"warm_start's metric has {self.variances.shape[1]} directions, this run's at most {most}: "
                f"give metric={self.metric!r}"
            )
        for name in _ARRAYS:
            if not np.isfinite(getattr(self, name)).all():
                raise ValueError(f"warm_start: {name} must be finite")
        for name in ("step_size", "scale", "variances"):
            if not (getattr(self, name) > 0).all():
                raise ValueError(f"warm_start: {name} must be positive")
