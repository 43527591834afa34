"""From a parameter's interval to the whole line and back, with the logarithm of the derivative.

Moves are made on the line; a density there is the density of the parameter times |d theta / d u|, for every coordinate.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np


class Interval(NamedTuple):
    """Where a parameter may lie: the identity, a logarithm or a logit takes it to the line."""

    low: float
    high: float

    def to_line(self, value: np.ndarray) -> np.ndarray:
        """u of theta."""
        if math.isfinite(self.low) and math.isfinite(self.high):
            return np.log(value - self.low) - np.log(self.high - value)
        if math.isfinite(self.low):
            return np.log(value - self.low)
        if math.isfinite(self.high):
            return -np.log(self.high - value)
        return np.array(value, float)

    def from_line(self, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """theta of u, and log |d theta / d u|.

        Where a double cannot tell theta from the interval's end, it is moved inside by one step.
        """
        if math.isfinite(self.low) and math.isfinite(self.high):
            below = np.exp(-np.abs(u))
            share = np.where(u >= 0, 1.0, below) / (1.0 + below)
            width = self.high - self.low
            value = np.where(u >= 0, self.high - width * (below / (1.0 + below)), self.low + width * share)
            return self._inside(value), math.log(width) - np.abs(u) - 2.0 * np.log1p(below)
        with np.errstate(over="ignore"):
            if math.isfinite(self.low):
                return self._inside(self.low + np.exp(u)), u
            if math.isfinite(self.high):
                return self._inside(self.high - np.exp(-u)), -u
        return np.array(u, float), np.zeros_like(u)

    def _inside(self, value: np.ndarray) -> np.ndarray:
        return np.clip(value, np.nextafter(self.low, np.inf), np.nextafter(self.high, -np.inf))
