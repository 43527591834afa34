"""What went wrong in a run of NUTS, where, and what to try."""

from __future__ import annotations

import numpy as np

from livenuts.diagnostics import scalar_names
from livenuts.result import Result

# Scalars to name, and how far from the middle divergent draws must lie to be somewhere in particular.
_NAMED, _APART = 3, 0.2
# Above this part of the draws something is wrong everywhere; trees are too short if this part reached the limit.
_EVERYWHERE, _OFTEN = 0.1, 0.01


def report(result: Result) -> str:
    """What the summary finds wrong, where divergent draws lie, and what to try; "nothing found" where that is all."""
    lines = result.summary().concerns()
    if result.num_draws and result.stats["diverging"].any():
        lines += _divergences(result)
    limit = result.stats.get("reached_max_treedepth")
    if limit is not None and limit.size and limit.mean() > _OFTEN:
        depth = result.settings["max_tree_depth"]
        lines.append(
            f"{limit.mean():.0%} of trajectories reached max_tree_depth={depth}: the posterior is long and thin; try "
            f"metric='dense' or 'low_rank', a reparametrization, or max_tree_depth={depth + 2}"
        )
    return "\n".join(lines) or "nothing found"


def divergent_places(result: Result) -> dict[str, float]:
    """Of each scalar, where divergent draws lie among the others: their mean quantile, from 0 to 1; 0.5 is anywhere."""
    diverging = result.stats["diverging"].ravel()
    found = {}
    for name, values in result.draws.items():
        flat = values.reshape(diverging.size, -1)
        for label, column in zip(scalar_names(name, values.shape[2:]), flat.T, strict=True):
            others = np.sort(column[~diverging])
            if others.size:
                below = np.searchsorted(others, column[diverging], side="left")
                upto = np.searchsorted(others, column[diverging], side="right")
                found[label] = float((below + upto).mean() / (2 * others.size))
    return found


def _divergences(result: Result) -> list[str]:
    diverging = result.stats["diverging"]
    places = divergent_places(result)
    far = [
        name for name in sorted(places, key=lambda name: -abs(places[name] - 0.5)) if abs(places[name] - 0.5) > _APART
    ]
    lines = []
    if diverging.mean() > _EVERYWHERE:
        lines.append(
            f"{diverging.mean():.0%} of draws diverge: look for a density that is not smooth, or an edge of a support "
            "that the model runs into"
        )
    if far:
        told = ", ".join(
            f"{name} {'low' if places[name] < 0.5 else 'high'} ({places[name]:.2f})" for name in far[:_NAMED]
        )
        lines.append(f"where they are, as mean quantile of the other draws: {told}")
    small = [name for name in far if places[name] < 0.5 and _is_positive(result, name)]
    target = result.settings["target_accept"]
    again = f"target_accept={min(0.99, 1 - (1 - target) / 4):.3g}"
    if small:
        lines.append(
            f"{small[0]} is positive and small there, the neck of a funnel: give what it scales "
            f"reparam='non_centered' (or, if it has that and data say much about it, take it away); then {again}"
        )
    else:
        lines.append(f"try {again}; if they stay, where they are is where the model is hard to believe")
    return lines


def _is_positive(result: Result, label: str) -> bool:
    name = next(name for name, values in result.draws.items() if label in scalar_names(name, values.shape[2:]))
    return bool((result.draws[name] > 0).all())
