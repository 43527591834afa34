"""A history of numbers in bounded memory: the extremes of every stretch of it, and its newest values."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

BUCKETS = 1000
"""Stretches whose extremes are kept; an even number."""
TAIL = 500
"""Newest values that `full` gives as they came."""
RECENT = 2000
"""Newest values that `since` can give."""


class Series:
    """Rows of `width` numbers, one a step, in memory that does not grow with their number.

    Of every `stride` consecutive steps the least and the greatest number of each column are kept; when `BUCKETS` such
    stretches are not enough, the stride doubles. A number that is not finite is a missing one: NaN here, null in JSON.
    """

    def __init__(self, width: int = 1) -> None:
        self.width = width
        self.count = 0
        """Steps so far, missing ones included."""
        self.stride = 1
        self._used = 0
        # Memory that is never written takes no room.
        self._low, self._high = np.empty((2, BUCKETS, width))
        self._recent = np.empty((RECENT, width))

    def add(self, rows: ArrayLike, first: int | None = None) -> None:
        """Take the rows of the steps from `first` on, by default the next ones.

        Steps that are left out are missing; steps that came before are not taken again.
        """
        values: NDArray[Any] = np.asarray(rows, dtype=float).reshape(-1, self.width)
        first = self.count if first is None else first
        values = values[max(0, self.count - first) :]
        first = max(first, self.count)
        if not len(values):
            return
        values = np.where(np.isfinite(values), values, np.nan)
        end = first + len(values)
        self._keep_recent(values, first, end)
        while _stretches(end, self.stride) > BUCKETS:
            self._double_the_stride()
        used = _stretches(end, self.stride)
        self._low[self._used : used] = self._high[self._used : used] = np.nan
        stretches = np.arange(first, end) // self.stride
        starts = np.flatnonzero(np.diff(stretches, prepend=-1))
        touched = stretches[starts]
        self._low[touched] = np.fmin(self._low[touched], np.fmin.reduceat(values, starts, axis=0))
        self._high[touched] = np.fmax(self._high[touched], np.fmax.reduceat(values, starts, axis=0))
        self._used, self.count = used, end

    def _keep_recent(self, values: NDArray[Any], first: int, end: int) -> None:
        self._recent[np.arange(max(self.count, first - RECENT), first) % RECENT] = np.nan
        newest = values[-RECENT:]
        self._recent[np.arange(end - len(newest), end) % RECENT] = newest

    def _double_the_stride(self) -> None:
        if self._used % 2:
            self._low[self._used] = self._high[self._used] = np.nan
        half = (self._used + 1) // 2
        for kept, extreme in ((self._low, np.fmin), (self._high, np.fmax)):
            kept[:half] = extreme(kept[: 2 * half : 2], kept[1 : 2 * half : 2])
        self._used = half
        self.stride *= 2

    def cut(self, count: int) -> None:
        """Forget the steps from `count` on: others come in their place.

        A stretch that began before `count`, so long ago that its values are not held any more, keeps its extremes.
        """
        if count >= self.count:
            return
        self._used = _stretches(count, self.stride)
        start = count - count % self.stride
        if self.count - RECENT <= start < count:
            values = self._recent[np.arange(start, count) % RECENT]
            self._low[self._used - 1] = np.fmin.reduce(values)
            self._high[self._used - 1] = np.fmax.reduce(values)
        # What stood before the newest values was overwritten by those that are forgotten.
        self._recent[np.arange(max(0, count - RECENT), max(0, self.count - RECENT)) % RECENT] = np.nan
        self.count = count

    def full(self, column: int = 0) -> dict[str, Any]:
        """Return the history of a column: extremes by stretch, the last one unfinished, and the newest values."""
        tail = max(0, self.count - TAIL)
        return {
            "first": 0,
            "stride": self.stride,
            "low": self._low[: self._used, column].tolist(),
            "high": self._high[: self._used, column].tolist(),
            "tail_first": tail,
            "tail": self.since(tail, column),
            "count": self.count,
        }

    def since(self, start: int, column: int = 0) -> list[float]:
        """Return the values of the steps from `start` on, of which there are at most `RECENT`."""
        assert self.count - start <= RECENT
        newest: list[float] = self._recent[np.arange(start, self.count) % RECENT, column].tolist()
        return newest


def _stretches(count: int, stride: int) -> int:
    return -(-count // stride)
