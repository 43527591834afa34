"""Pictures, by matplotlib (extra `plot`)."""

from __future__ import annotations

from typing import Any

import numpy as np


def _axes(ax: Any) -> Any:
    if ax is not None:
        return ax
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError("plots need matplotlib: pip install 'livebart[plot]'") from error
    return plt.subplots(figsize=(6.4, 4.0))[1]


def plot_partial_dependence(found: Any, ax: Any = None) -> Any:
    """A curve with its 90 % band over each row's own, or a map."""
    ax = _axes(ax)
    if len(found.columns) == 2:
        if any(points.dtype == object for points in found.grid):
            raise ValueError("a map needs two ordered columns")
        picture = ax.contourf(found.grid[0], found.grid[1], found.mean.T, levels=14)
        ax.figure.colorbar(picture, ax=ax, label="f")
        ax.set(xlabel=found.columns[0], ylabel=found.columns[1])
        return ax
    low, high = found.band()
    (grid,) = found.grid
    if grid.dtype == object:
        places = np.arange(len(grid))
        ax.errorbar(places, found.mean, yerr=[found.mean - low, high - found.mean], fmt="o", capsize=3)
        ax.set_xticks(places, [str(value) for value in grid])
    else:
        for curve in found.individual[:: max(1, len(found.individual) // 50)]:
            ax.plot(grid, curve, color="0.75", linewidth=0.5)
        ax.fill_between(grid, low, high, alpha=0.35, label="90 %")
        ax.plot(grid, found.mean, linewidth=2)
        ax.legend()
    ax.set(xlabel=found.columns[0], ylabel="f")
    return ax


def plot_interactions(found: Any, ax: Any = None) -> Any:
    """A map of pairs."""
    ax = _axes(ax)
    picture = ax.imshow(found.mean)
    ax.figure.colorbar(picture, ax=ax, label="share of parent-child splits")
    ax.set_xticks(range(len(found.names)), found.names, rotation=90)
    ax.set_yticks(range(len(found.names)), found.names)
    return ax


def plot_importance(found: Any, ax: Any = None) -> Any:
    """Proportions as points, the null's 95 % quantiles as bars."""
    ax = _axes(ax)
    order = np.argsort(-found.proportions)
    places = np.arange(len(order))
    ax.bar(places, np.quantile(found.null, 0.95, axis=0)[order], color="0.8", label="95 % of the null")
    ax.plot(places, found.proportions[order], "o", label="inclusion proportion")
    ax.set_xticks(places, [found.names[place] for place in order], rotation=90)
    ax.legend()
    return ax


def plot_permutation(found: Any, ax: Any = None) -> Any:
    """Means with 90 % intervals, the null's 95 % quantiles as bars."""
    ax = _axes(ax)
    order = np.argsort(-found.mean)
    low, high = np.quantile(found.draws, [0.05, 0.95], axis=0)
    places = np.arange(len(order))
    if found.null is not None:
        ax.bar(places, np.quantile(found.null, 0.95, axis=0)[order], color="0.8", label="95 % of the null")
        ax.legend()
    ax.errorbar(places, found.mean[order], yerr=[(found.mean - low)[order], (high - found.mean)[order]], fmt="o")
    ax.set_xticks(places, [found.names[place] for place in order], rotation=90)
    ax.set_ylabel("increase of the loss")
    return ax


def plot_sigma(bart: Any, ax: Any = None) -> Any:
    """The chains' traces of sigma."""
    ax = _axes(ax)
    for chain in bart._by_chain(bart.sigma_):
        ax.plot(chain, linewidth=0.7)
    ax.set(xlabel="draw", ylabel="sigma")
    return ax
