"""Replications of one model: their numbers, and intervals for what they estimate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from livesim import plots
from livesim.analysis.intervals import Interval, mean_interval
from livesim.analysis.quantiles import quantile_interval
from livesim.analysis.steady_state import Warmup, mser5, welch
from livesim.measures import unknown
from livesim.series import Course

if TYPE_CHECKING:
    from livesim.runtime.experiment import Experiment

TOLD = (".utilization", ".queue.mean", ".wait.mean", ".sojourn.mean", ".number.mean", ".level.mean", ".completed")
"""What a summary shows: the ends of paths; and the means of records."""


class Runs:
    """Replications: `runs.values("customer.wait.mean")` is one number each, `runs.interval(...)` their mean."""

    def __init__(
        self,
        experiment: Experiment,
        *,
        paths: tuple[str, ...],
        rows: np.ndarray,
        events: np.ndarray,
        errors: Mapping[int, str],
        warmup: float,
        course: Course | None,
        status: str,
        reached: bool | None,
        seconds: float,
    ) -> None:
        self.name = experiment.subject.name
        """Of the model."""
        self.seed = experiment.seed
        self.until = experiment.until
        self.warmup = warmup
        """From which time on statistics count: as given, or as "mser5" found it."""
        self.paths = paths
        """Metrics: the columns of `rows`."""
        self.rows = rows
        """float64 (replication, path); NaN in those that failed."""
        self.events = events
        """int64 (replication,): events of the calendar."""
        self.errors = dict(errors)
        """Why replications failed, by their number."""
        self.status = status
        """completed, stopped or interrupted."""
        self.reached = reached
        """Whether the precision that was asked for is reached; None where none was."""
        self.seconds = seconds
        self._course = course
        self._experiment = experiment
        self._columns = {path: at for at, path in enumerate(paths)}

    def __len__(self) -> int:
        return len(self.rows)

    def params(self, replication: int) -> dict[str, float]:
        """The parameters of a replication."""
        return self._experiment.params(replication)

    def values(self, metric: str) -> np.ndarray:
        """A metric's number in each replication, in their order: (replication,); NaN in those that failed."""
        if metric not in self._columns:
            raise unknown(metric, self.paths)
        return self.rows[:, self._columns[metric]]

    def interval(self, metric: str, confidence: float = 0.95) -> Interval:
        """The mean over replications with Student's interval; those that failed are left out."""
        return mean_interval(self._made(metric), confidence)

    def quantile(self, metric: str, q: float, confidence: float = 0.95) -> Interval:
        """A quantile of a metric over replications, between order statistics; those that failed are left out."""
        return quantile_interval(self._made(metric), q, confidence)

    def summary(self, confidence: float = 0.95) -> dict[str, Interval]:
        """Intervals of what is asked for most: utilizations, queues, waits, times in the system, records."""
        shown = [path for path in self.paths if path.endswith(TOLD) or (".records." in path and path.endswith(".mean"))]
        made = [path for path in shown if np.isfinite(self._without_failed(path)).all()]
        return {path: self.interval(path, confidence) for path in made} if len(self) - len(self.errors) > 1 else {}

    # -- over time -----------------------------------------------------------------------------------------------------

    @property
    def times(self) -> np.ndarray:
        """The ends of the intervals that `series` is about, (interval,)."""
        return self._over_time("times").times

    def series(self, path: str) -> np.ndarray:
        """A number in each interval of `replicate(..., every=)`: (replication, interval); see `Result.series`."""
        return self._over_time("series").values(path)

    def mser5(self, path: str) -> tuple[float, Warmup]:
        """The end of the warm-up by MSER-5 in the mean of a series over replications: its time, and how sure it is."""
        course = self._over_time("mser5")
        cut = mser5(self._whole(path))
        return float(np.concatenate([[course.start], course.times])[cut.delete]), cut

    def welch(self, path: str, window: int) -> np.ndarray:
        """Welch's curve of a series: its mean over replications, smoothed over `window` intervals to each side."""
        return welch(self._whole(path), window)

    # -- elsewhere -----------------------------------------------------------------------------------------------------

    def to_pandas(self) -> Any:
        """A DataFrame: a row a replication, a column a metric; parameters that vary are columns named "param.NAME"."""
        drawn = {f"param.{name}": values[: len(self)] for name, values in self._experiment.drawn.items()}
        pandas = plots.pandas("to_pandas")
        frame = pandas.DataFrame(self.rows, columns=list(self.paths), index=pandas.RangeIndex(len(self)))
        frame.index.name = "replication"
        return frame.assign(**drawn)

    def plot(self, *metrics: str, confidence: float = 0.95) -> Any:
        """Histograms of metrics over replications with their means' intervals; a matplotlib Figure.

        Times in the system and queues if none is named.
        """
        wanted = metrics or [path for path in self.paths if path.endswith((".sojourn.mean", ".queue.mean"))]
        return plots.histograms({path: (self._made(path), self.interval(path, confidence)) for path in wanted})

    def plot_utilization(self, confidence: float = 0.95) -> Any:
        """How busy each resource is, with intervals; a matplotlib Figure."""
        return plots.utilization(
            {
                path.removesuffix(".utilization"): self.interval(path, confidence)
                for path in self.paths
                if path.endswith(".utilization") and np.isfinite(self._without_failed(path)).all()
            }
        )

    def plot_over_time(self, *paths: str) -> Any:
        """Queues and utilizations over time, or what is named: means over replications and where most of them are."""
        course = self._over_time("plot_over_time")
        wanted = paths or [path for path in self.paths if path.endswith((".queue.mean", ".utilization"))]
        return plots.over_time(course.times, {path: self._whole(path) for path in wanted}, None)

    def plot_warmup(self, path: str, window: int | None = None) -> Any:
        """Where a warm-up ends, for the eye: a series' mean over replications, Welch's curve, and MSER-5's cut."""
        course, whole = self._over_time("plot_warmup"), self._whole(path)
        window = max(1, whole.shape[1] // 20) if window is None else window
        return plots.warmup(path, course.times, whole.mean(axis=0), self.welch(path, window), self.mser5(path)[0])

    # ------------------------------------------------------------------------------------------------------------------

    def _without_failed(self, metric: str) -> np.ndarray:
        return np.delete(self.values(metric), list(self.errors))

    def _made(self, metric: str) -> np.ndarray:
        values = self._without_failed(metric)
        if len(values) < 2:
            raise ValueError(f"{metric}: an interval needs two replications or more, got {len(values)}")
        if not np.isfinite(values).all():
            at = int(
                np.flatnonzero(np.isnan(self.values(metric)) & ~np.isin(np.arange(len(self)), list(self.errors)))[0]
            )
            raise ValueError(f"{metric} is NaN in replication {at}: there was nothing to average; run longer")
        return values

    def _over_time(self, what: str) -> Course:
        if self._course is None:
            raise ValueError(f"{what}: nothing was kept over time; give replicate every=, the length of an interval")
        return self._course

    def _whole(self, path: str) -> np.ndarray:
        return np.delete(self._over_time(path).values(path), list(self.errors), axis=0)

    def __iter__(self) -> Iterator[dict[str, float]]:
        """All numbers of each replication by path."""
        for row in self.rows.tolist():
            yield dict(zip(self.paths, row, strict=True))

    def __str__(self) -> str:
        lines = [repr(self)]
        found = self.summary()
        width = max(map(len, found), default=0)
        lines += [f"  {path:<{width}}  {interval}" for path, interval in found.items()]
        lines += [f"  replication {k} failed: {error}" for k, error in list(self.errors.items())[:5]]
        return "\n".join(lines)

    def __repr__(self) -> str:
        failed = f", {len(self.errors)} failed" if self.errors else ""
        span = f"time {self.warmup:g} to {self.until:g}"
        return f"<Runs of {self.name!r}: {len(self)} replications{failed}, {span}, seed {self.seed}, {self.status}>"
