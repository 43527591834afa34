"""Histograms of numbers of any size, and quantiles from them with a known error.

A bucket holds the numbers that agree in their exponent and the first six bits of their fraction: 64 buckets an octave,
each as wide as a 64th of its numbers at most, so that its middle is within 1/128 (0.8 %) of each of them. This is the
histogram of HdrHistogram (Tene 2012) laid over IEEE 754: a number's bucket is what is left of its bits after a shift.

A tally keeps 32 octaves, up to the largest number that it has seen. What is smaller, less than 2**-30 (a billionth) of
the largest, counts as 0; so do subnormal numbers. Which octaves these are depends on the numbers alone, not on their
order. Numbers below 0 are kept so as well, by their size.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

SHIFT = 46
"""Bits of a float that do not matter to its bucket."""
OCTAVE = 6
"""Buckets an octave, as a power of 2."""
OCTAVES = 32
PLACES = OCTAVES << OCTAVE
"""Buckets of a tally: 16 KiB."""
RELATIVE_ERROR = 2.0**-7
NEGLIGIBLE = 2.0**-30
"""The part of the largest number below which numbers count as 0."""

QUANTILES = {"q50": 0.5, "q90": 0.9, "q95": 0.95, "q99": 0.99}
"""What every tally tells, by name."""

_FLOAT, _INTEGER = struct.Struct("<d"), struct.Struct("<q")


class Histograms(NamedTuple):
    """The buckets of tallies that hold anything: by tally, and from the least number to the largest."""

    tally: np.ndarray
    """int64 (bucket,)"""
    bucket: np.ndarray
    """int64 (bucket,): below 0 for numbers below 0."""
    numbers: np.ndarray
    """int64 (bucket,): how many are in it."""


class Buckets:
    """How many numbers fell into each bucket, in plain Python."""

    __slots__ = ("above", "below")

    def __init__(self) -> None:
        self.above: dict[int, int] = {}
        self.below: dict[int, int] = {}

    def add(self, x: float) -> None:
        side, size = (self.below, -x) if x < 0.0 else (self.above, x)
        bucket = _INTEGER.unpack(_FLOAT.pack(size))[0] >> SHIFT
        side[bucket] = side.get(bucket, 0) + 1


def of_buckets(tallies: Sequence[Buckets]) -> Histograms:
    """The histograms of tallies, in their order."""
    rows = [
        (tally, sign * bucket, count)
        for tally, buckets in enumerate(tallies)
        for sign, side in ((-1, buckets.below), (1, buckets.above))
        for bucket, count in sorted(_upper_octaves(side).items(), key=lambda item: sign * item[0])
    ]
    return Histograms(*np.array(rows, np.int64).reshape(-1, 3).T)


def of_places(counts: np.ndarray, bottoms: np.ndarray, tallies: int) -> Histograms:
    """The histograms of tallies from all their places.

    counts: int64 (row * PLACES,), a row a tally, and after them a row for the numbers below 0 of each of the last ones.
    bottoms: int64 (row,), the bucket that a row's first place stands for, with all that are below it.
    """
    at = np.flatnonzero(counts)
    count = counts[at]
    row, place = at // PLACES, at % PLACES
    bucket = np.where(place > 0, bottoms[row] + place, 0)
    below = row >= tallies
    if below.any():
        bucket[below] *= -1
        row[below] -= len(bottoms) - tallies
        order = np.lexsort((~below, bucket, row))
        row, bucket, count = row[order], bucket[order], count[order]
    return Histograms(row, bucket, count)


def quantiles(histograms: Histograms, tallies: np.ndarray, wanted: Sequence[float]) -> np.ndarray:
    """Quantiles of what tallies saw: float64 (tally, quantile); NaN where that is nothing.

    tallies: float64 (tally, 5), as in `engine.reference.Outcome`. Between order statistics as NumPy's `quantile`. Each
    order statistic is within `RELATIVE_ERROR` of itself, or within `NEGLIGIBLE` of the largest number of its sign.
    """
    number, least, largest = tallies[:, 0], tallies[:, 3, None], tallies[:, 4, None]
    if not len(histograms.numbers):
        return np.full((len(tallies), len(wanted)), np.nan)
    position = np.multiply.outer(number - 1.0, wanted)
    rank = np.floor(position)
    first = (np.cumsum(number) - number)[:, None]
    reached = np.cumsum(histograms.numbers)
    found = []
    for each in (rank, np.minimum(rank + 1.0, number[:, None] - 1.0)):
        at = np.searchsorted(reached, first + each, side="right")
        middles = _middles(histograms.bucket[np.minimum(at, len(reached) - 1)])
        found.append(np.minimum(np.maximum(middles, least), largest))
    with np.errstate(invalid="ignore"):
        between = found[0] + (position - rank) * (found[1] - found[0])
    return np.where(number[:, None] > 0, between, np.nan)


def _middles(bucket: np.ndarray) -> np.ndarray:
    size = np.abs(bucket)
    ends = (size << SHIFT).view(np.float64), (size + 1 << SHIFT).view(np.float64)
    return np.where(bucket == 0, 0.0, np.copysign(0.5 * ends[0] + 0.5 * ends[1], bucket))


def _upper_octaves(counts: dict[int, int]) -> dict[int, int]:
    """What is left when everything below the upper octaves counts as 0."""
    top = max(counts, default=0) >> OCTAVE
    bottom = max(top - OCTAVES + 1, 0) << OCTAVE
    kept: dict[int, int] = {}
    for bucket, count in counts.items():
        place = bucket if bucket > bottom else 0
        kept[place] = kept.get(place, 0) + count
    return kept


__all__ = ["QUANTILES", "Buckets", "Histograms", "of_buckets", "of_places", "quantiles"]
