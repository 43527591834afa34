"""Where NUTS starts when another inference goes first: `ln.sample(model, init="pathfinder")`."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

METHODS = ("advi", "pathfinder", "smc")


def check_method(name: str) -> None:
    """Refuse what is no method's name."""
    if name not in METHODS:
        raise ValueError(
            f"init takes a mapping of names to values, or the name of a method ({', '.join(METHODS)}), got {name!r}"
        )


def fitted_positions(model: Any, method: str, seed: int, num_chains: int) -> list[Any]:
    """Draws of the method's fit, on the unconstrained scale, one a chain; beyond eight chains they come again."""
    fit = getattr(import_module(f"livenuts.inference.{method}"), method)
    positions = fit(model, seed=seed, progress=False).tuning.positions
    return [np.array(positions[chain % len(positions)]) for chain in range(num_chains)]
