"""Chains of draws in bounded memory, and what they say: mean, sd, split R-hat, effective sample size.

A chain is kept as at most 1024 batches in order: the draws themselves at first, then, each time the room is full, the
means and sums of squares of pairs of the old batches. A draw costs the same at any length, nothing of the chain's
course is forgotten, and the variance of a chain's mean is that of the batches' mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

BLOCK = 64
"""Draws enter so many at a time."""
# A power of two, and at least 2 * BLOCK.
_MOST_BATCHES = 1024
# Batches that half a chain must have to be compared.
_FEWEST = 2
# A sd below this part of the mean is what sums round to: the scalar is a constant.
_ROUNDING = 1e-12


class Moments(NamedTuple):
    """Number, mean, and sum of squared deviations from it, of groups of draws."""

    count: Any
    """(group, 1)"""
    mean: np.ndarray
    """(group, scalar)"""
    squares: np.ndarray


def moments(draws: np.ndarray) -> Moments:
    """Of draws of shape (group, draw, scalar)."""
    groups, length, _ = draws.shape
    with np.errstate(invalid="ignore", over="ignore"):  # draws may be infinite
        mean = draws.mean(1)
        return Moments(np.full((groups, 1), length), mean, ((draws - mean[:, None]) ** 2).sum(1))


def joined(parts: Sequence[Moments]) -> Moments:
    """The groups of several as groups of one."""
    return Moments(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def pooled(groups: Moments, size: int | None = None) -> Moments:
    """Of every `size` groups together (of all, where it is left out), as one group."""
    size = size or len(groups.count)
    number = len(groups.count) // size
    count, mean, squares = (part.reshape(number, size, part.shape[1]) for part in groups)
    total = count.sum(1)
    with np.errstate(invalid="ignore", over="ignore"):
        center = (count * mean).sum(1) / total
        return Moments(total, center, squares.sum(1) + (count * (mean - center[:, None]) ** 2).sum(1))


class Trace(NamedTuple):
    """A chain as it stands: batches of `length` draws, and the draws after the last of them."""

    length: int
    batches: Moments
    rest: tuple[Moments, ...]

    def total(self) -> Moments:
        """Of all draws."""
        return pooled(joined([self.batches, *self.rest]))

    def halves(self, length: int) -> list[Moments]:
        """The first and the last half of the batches, made as long as `length`; none where there are too few."""
        ratio = length // self.length
        fit = len(self.batches.count) // ratio
        batches = pooled(Moments(*(part[: fit * ratio] for part in self.batches)), ratio)
        half = fit // 2
        if half < _FEWEST:
            return []
        return [Moments(*(part[place] for part in batches)) for place in (slice(half), slice(fit - half, fit))]


class Batches:
    """A chain that grows."""

    def __init__(self, size: int) -> None:
        self.draws = 0
        self._length, self._full = 1, 0
        self._means, self._squares = np.empty((2, _MOST_BATCHES, size))
        # Of the batch that is not full yet, where a batch is longer than a block.
        self._begun: list[Moments] = []

    def add(self, block: np.ndarray) -> None:
        """Take in `BLOCK` draws, of shape (draw, scalar)."""
        self.draws += BLOCK
        if self._full == _MOST_BATCHES:
            pairs = pooled(self._batches(), 2)
            self._length *= 2
            self._full = 0
            self._push(pairs)
        if self._length <= BLOCK:
            self._push(moments(block.reshape(BLOCK // self._length, self._length, block.shape[1])))
            return
        self._begun = [pooled(joined([*self._begun, moments(block[None])]))]
        if self._begun[0].count == self._length:
            self._push(self._begun.pop())

    def _push(self, batches: Moments) -> None:
        stop = self._full + len(batches.mean)
        self._means[self._full : stop], self._squares[self._full : stop] = batches.mean, batches.squares
        self._full = stop

    def _batches(self) -> Moments:
        count = np.full((self._full, 1), self._length)
        return Moments(count, self._means[: self._full], self._squares[: self._full])

    def trace(self, more: np.ndarray) -> Trace:
        """The chain with `more` draws at its end, fewer than a block."""
        whole = len(more) - len(more) % self._length
        inside = moments(more[:whole].reshape(whole // self._length, self._length, more.shape[1]))
        outside = [moments(more[None, whole:])] if whole < len(more) else []
        return Trace(self._length, joined([self._batches(), inside]), (*self._begun, *outside))


def diagnose(traces: Sequence[Trace], size: int) -> dict[str, np.ndarray]:
    """mean, sd, mcse_mean, ess_mean and r_hat of `size` scalars; NaN where the draws are too few to tell.

    Chains may differ in length. Draws after the last whole batch are in mean and sd only, and so are chains with less
    than four batches as long as the longest chain's.
    """
    missing = np.full(size, np.nan)
    found = dict.fromkeys(("mean", "sd", "mcse_mean", "ess_mean", "r_hat"), missing)
    if not traces:
        return found
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # constants have no R-hat
        (count,), (found["mean"],), (squares,) = pooled(joined([trace.total() for trace in traces]))
        if count > 1:
            found["sd"] = np.sqrt(squares / (count - 1))
        length = max(trace.length for trace in traces)
        halves = [half for trace in traces for half in trace.halves(length)]
        if halves:
            found["r_hat"], found["ess_mean"] = _convergence(halves)
            found["mcse_mean"] = found["sd"] / np.sqrt(found["ess_mean"])
    return found


def _convergence(halves: list[Moments]) -> tuple[np.ndarray, np.ndarray]:
    """R-hat and effective sample size of half chains, each given as its batches (Vehtari et al. 2021, section 3).

    Half chains of unequal length count by their length; for equal ones these are the usual formulas.
    """
    chains = joined([pooled(half) for half in halves])
    draws = chains.count.sum()
    center = pooled(chains).mean
    between = (chains.count * (chains.mean - center) ** 2).sum(0) / draws * len(halves) / (len(halves) - 1)
    within = chains.squares.sum(0) / (chains.count - 1).sum()
    variance = chains.squares.sum(0) / draws + between
    constant = variance <= (_ROUNDING * center[0]) ** 2
    r_hat = np.where(constant, np.nan, np.sqrt(variance / within))

    numbers = [len(half.mean) for half in halves]
    covariance = _autocovariance([half.mean for half in halves]) / sum(numbers)
    of_batch = covariance[0] + between
    unbiased = covariance[0] * sum(numbers) / sum(number - 1 for number in numbers)
    correlation = 1.0 - (unbiased - covariance) / of_batch
    correlation[0] = 1.0
    # The mean of all has the variance of_batch * time / sum(numbers), which is to be variance / size.
    size = variance * sum(numbers) / (of_batch * _autocorrelation_time(correlation))
    most = draws * np.log10(draws)
    return r_hat, np.where(constant, draws, np.where(size > 0.0, np.minimum(size, most), most))


def _autocovariance(chains: list[np.ndarray]) -> np.ndarray:
    """Sums of lagged products over chains of (step, scalar), each around its own mean, by lag."""
    longest = max(map(len, chains))
    width = 1 << (2 * longest - 1).bit_length()
    power: Any = 0.0
    for chain in chains:
        spectrum = np.fft.rfft(chain - chain.mean(0), width, axis=0)
        power = power + spectrum.real**2 + spectrum.imag**2
    lags: np.ndarray = np.fft.irfft(power, width, axis=0)[:longest]
    return lags


def _autocorrelation_time(correlation: np.ndarray) -> np.ndarray:
    """1 + 2 * the sum of autocorrelations of (lag, scalar), cut where noise begins.

    Geyer 1992, section 3.3: sums of neighbours at lags 2m and 2m + 1 are positive and fall; the first that is not
    positive ends the sum. Of that one the even lag, if positive, still counts once (as in Stan), which matters to
    antithetic chains.
    """
    number = max(1, (len(correlation) - 1) // 2)
    even, odd = correlation[: 2 * number : 2], correlation[1 : 2 * number : 2]
    pairs = even + odd
    positive = pairs > 0.0
    last = np.where(positive.all(0), len(pairs) - 1, positive.argmin(0))
    kept = np.arange(len(pairs))[:, None] < last
    edge = np.take_along_axis(even, last[None], 0)[0]
    time: np.ndarray = -1.0 + 2.0 * np.where(kept, np.minimum.accumulate(pairs), 0.0).sum(0) + np.maximum(edge, 0.0)
    return time
