"""Pictures by matplotlib, and tables by pandas, where these are installed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from livesim.analysis.intervals import Interval

COLOUR, SOFT = "#1f6f8b", "#b8c4cc"
MOST_PANELS = 12


def pandas(what: str) -> Any:
    """The module pandas."""
    try:
        import pandas as module
    except ImportError as error:
        raise ImportError(f"{what} needs pandas: pip install 'livesim[pandas]'") from error
    return module


def over_time(times: np.ndarray, series: Mapping[str, np.ndarray], means: Mapping[str, float] | None) -> Any:
    """A panel for each series of shape (replication, interval): one line, or the mean and the middle 80 percent."""
    figure, panels = _panels(list(series), columns=1, height=1.9)
    starts = np.concatenate([[2 * times[0] - times[1] if len(times) > 1 else 0.0], times])
    for axes, (path, rows) in zip(panels, series.items(), strict=False):
        place = {"loc": "lower right", "bbox_to_anchor": (1.0, 0.98), "ncols": 2, "borderaxespad": 0.1}
        if len(rows) == 1:
            axes.stairs(rows[0], starts, baseline=None, color=COLOUR)
        else:
            low, middle, high = (
                np.nanquantile(rows, 0.1, axis=0),
                np.nanmean(rows, axis=0),
                np.nanquantile(rows, 0.9, axis=0),
            )
            axes.stairs(high, starts, baseline=low, fill=True, color=SOFT, alpha=0.6, label="80 % of replications")
            axes.stairs(middle, starts, baseline=None, color=COLOUR, label="mean")
        if means is not None:
            axes.axhline(means[path], color="0.4", linewidth=1, linestyle="--", label=f"mean {means[path]:.4g}")
        axes.set_title(path, loc="left", fontsize="medium")
        axes.set_xlim(starts[0], starts[-1])
        axes.set_ylim(bottom=0, top=None if np.nan_to_num(rows).max(initial=0.0) > 0 else 1.0)
        if means is not None or axes is panels[0]:
            axes.legend(fontsize="small", frameon=False, **place)
    panels[min(len(series), len(panels)) - 1].set_xlabel("time")
    return figure


def histograms(metrics: Mapping[str, tuple[np.ndarray, Interval]]) -> Any:
    """A histogram for each metric over replications, with the mean's interval."""
    figure, panels = _panels(list(metrics), columns=min(2, len(metrics)), height=2.6)
    for axes, (path, (values, interval)) in zip(panels, metrics.items(), strict=False):
        axes.hist(values, bins=_bins(values), color=SOFT, edgecolor="white", linewidth=0.5)
        axes.axvspan(interval.low, interval.high, color=COLOUR, alpha=0.35, linewidth=0)
        axes.axvline(interval.estimate, color=COLOUR)
        axes.set_title(path, loc="left", fontsize="medium")
        axes.set_xlabel(str(interval), fontsize="small")
        axes.set_ylabel("replications", fontsize="small")
    return figure


def utilization(resources: Mapping[str, Interval]) -> Any:
    """A bar for each resource, with its interval."""
    names = list(resources)
    figure, (axes,) = _panels(["utilization"], columns=1, height=0.9 + 0.36 * len(names))
    means = np.array([resources[name].estimate for name in names])
    reach = np.array([resources[name].half_width for name in names])
    axes.barh(names, means, xerr=reach, color=COLOUR, height=0.6, error_kw={"ecolor": "0.2", "capsize": 3})
    for place, (mean, end) in enumerate(zip(means, means + reach, strict=True)):
        # A bar too short for its number has it behind its interval.
        at, colour = (0.01, "white") if mean > 0.12 else (end + 0.01, "0.2")
        axes.text(at, place, f"{100 * mean:.1f} %", va="center", color=colour, fontsize="small")
    axes.set_xlim(0, max(1.0, float((means + reach).max(initial=0.0))))
    axes.invert_yaxis()
    axes.set_xlabel("utilization")
    return figure


def warmup(path: str, times: np.ndarray, mean: np.ndarray, curve: np.ndarray, cut: float) -> Any:
    """A series' mean over replications, its smoothed curve, and the cut; `times` are the ends of the intervals."""
    figure, (axes,) = _panels([path], columns=1, height=3.0)
    axes.plot(times, mean, color=SOFT, linewidth=1, label="mean over replications")
    axes.plot(times[: len(curve)], curve, color=COLOUR, linewidth=1.8, label="Welch's curve")
    axes.axvline(cut, color="0.2", linewidth=1, linestyle="--", label=f"MSER-5: {cut:g}")
    axes.set_title(path, loc="left", fontsize="medium")
    axes.set_xlabel("time")
    axes.legend(fontsize="small", frameon=False)
    return figure


def comparison(metric: str, names: Sequence[str], values: Sequence[np.ndarray], difference: Interval) -> Any:
    """The pairs of two systems under common random numbers, and the mean difference's interval."""
    figure, (left, right) = _panels(["pairs", "difference"], columns=2, height=3.0)
    first, second = values
    left.plot([0, 1], [first, second], color=SOFT, linewidth=0.8, marker="o", markersize=2.5)
    left.plot([0, 1], [first.mean(), second.mean()], color=COLOUR, linewidth=2.5, marker="o", markersize=6)
    left.set_xticks([0, 1], list(names))
    left.set_xlim(-0.3, 1.3)
    left.set_title(metric, loc="left", fontsize="medium")
    right.hist(first - second, bins=_bins(first - second), color=SOFT, edgecolor="white", linewidth=0.5)
    right.axvspan(difference.low, difference.high, color=COLOUR, alpha=0.35, linewidth=0)
    right.axvline(difference.estimate, color=COLOUR)
    right.axvline(0.0, color="0.2", linewidth=1, linestyle="--")
    right.set_title(f"{names[0]} less {names[1]}", loc="left", fontsize="medium")
    right.set_xlabel(str(difference), fontsize="small")
    right.set_ylabel("replications", fontsize="small")
    return figure


def _bins(values: np.ndarray) -> np.ndarray | int:
    """Edges by Freedman and Diaconis, 40 bins at most."""
    if np.ptp(values) == 0.0:
        return 1
    edges = np.histogram_bin_edges(values, "fd")
    return edges if len(edges) <= 41 else 40


def _panels(names: Sequence[str], *, columns: int, height: float) -> tuple[Any, list[Any]]:
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError("plots need matplotlib: pip install 'livesim[plot]'") from error
    if not names:
        raise ValueError("plot: the model has nothing to show here; name metrics")
    if len(names) > MOST_PANELS:
        names = names[:MOST_PANELS]
    rows = -(-len(names) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(9, height * rows), squeeze=False, layout="constrained", sharex=columns == 1
    )
    panels = list(axes.ravel())
    for unused in panels[len(names) :]:
        unused.remove()
    for panel in panels[: len(names)]:
        panel.spines[["top", "right"]].set_visible(False)
    return figure, panels[: len(names)]
