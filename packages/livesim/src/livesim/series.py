"""A run's course over time, in intervals of one length, and what it says about the long run."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from livesim.analysis.intervals import Interval
from livesim.analysis.steady_state import BATCHES, overlapping_batch_ratio
from livesim.measures import Ratio, unknown


class Course:
    """Increments of a run's totals (see `measures.totals`), a row an interval; `Ratio`s make numbers of them."""

    def __init__(self, increments: np.ndarray, start: float, ratios: Mapping[str, Ratio]) -> None:
        self.increments = increments
        """float64 (interval, column), or (replication, interval, column)."""
        self.start = start
        self.ratios = ratios

    @property
    def times(self) -> np.ndarray:
        """The end of each interval, (interval,)."""
        lengths = self.increments[..., 0]
        first = lengths.reshape(-1, lengths.shape[-1])[0] if lengths.size else lengths.reshape(-1)
        return self.start + np.cumsum(first)

    def values(self, path: str) -> np.ndarray:
        """The mean in each interval, NaN where there is nothing to average; of a count, how many in each."""
        above, below = self._parts(path)
        if below is None:
            return above
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.where(below > 0, above / below, np.nan))

    def interval(self, path: str, confidence: float) -> Interval:
        """The mean of one long run in steady state with its interval, by overlapping batch means."""
        above, below = self._parts(path)
        if len(above) < 2 * BATCHES:
            raise ValueError(
                f"interval: overlapping batch means need {2 * BATCHES} intervals or more, got {len(above)}: "
                "run longer, or with a smaller every="
            )
        return overlapping_batch_ratio(above, np.ones_like(above) if below is None else below, confidence)

    def _parts(self, path: str) -> tuple[np.ndarray, np.ndarray | None]:
        if path not in self.ratios:
            raise unknown(path, self.ratios)
        ratio = self.ratios[path]
        below = None if ratio.below is None else self.increments[..., ratio.below]
        return self.increments[..., ratio.above], below
