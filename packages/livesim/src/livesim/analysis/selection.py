"""Ranking and selection: the best of several systems, with a stated probability of being right."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from livesim.analysis.intervals import Array, level, table


class Selection(NamedTuple):
    """The system that was chosen."""

    best: int
    means: Array
    """Each system's mean over the replications it got, (system,)."""
    replications: np.ndarray[Any, np.dtype[np.int64]]
    """How many replications each system got, (system,)."""


def kim_nelson(
    sample: Callable[[int, int], float],
    systems: int,
    indifference: float,
    *,
    largest: bool = True,
    confidence: float = 0.95,
    first: int = 20,
    most: int = 1_000_000,
) -> Selection:
    """The best system, by replicating those that are still in the race and dropping what is clearly worse.

    `sample(system, replication)` gives an output; common random numbers over the systems are allowed, and help. If the
    best mean is better than the others by `indifference` or more, it is chosen with this confidence (for normal
    outputs); else a system within `indifference` of the best is. Kim and Nelson 2001, "A fully sequential procedure
    for indifference-zone selection in simulation" (KN, c = 1).

    Raises RuntimeError if `most` replications a system do not decide.
    """
    _check_selection(systems, indifference, confidence, first)
    sign = 1.0 if largest else -1.0
    outputs = np.array([[sign * float(sample(i, r)) for r in range(first)] for i in range(systems)])
    outputs = table(outputs, "outputs", "systems", "replications", 2)
    eta = 0.5 * ((2.0 * (1.0 - confidence) / (systems - 1)) ** (-2.0 / (first - 1)) - 1.0)
    scale = 2.0 * eta * (first - 1)
    differences = outputs[:, None, :] - outputs[None, :, :]
    limits = scale * differences.var(axis=2, ddof=1) / indifference**2
    sums, count = outputs.sum(axis=1), np.full(systems, first)
    alive = list(range(systems))
    r = first
    while True:
        means = sums / r
        # A system stays while it is behind no other by more than what chance, at r replications, may still explain.
        alive = [
            i
            for i in alive
            if all(
                means[i] >= means[j] - max(0.0, 0.5 * indifference / r * (limits[i, j] - r)) for j in alive if j != i
            )
        ]
        if len(alive) == 1 or r > max(limits[i, j] for i in alive for j in alive):
            break
        if r >= most:
            raise RuntimeError(f"{len(alive)} systems are still in the race after {most} replications")
        for i in alive:
            value = sign * float(sample(i, r))
            if not math.isfinite(value):
                raise ValueError(f"sample({i}, {r}) must be finite, got {sign * value}")
            sums[i] += value
            count[i] += 1
        r += 1
    best = max(alive, key=lambda i: sums[i])
    return Selection(best, sign * sums / count, count)


def rinott(
    sample: Callable[[int, int], float],
    systems: int,
    indifference: float,
    *,
    largest: bool = True,
    confidence: float = 0.95,
    first: int = 20,
) -> Selection:
    """The best system in two stages: variances from `first` replications each say how many each needs in all.

    The systems must be independent: no common random numbers. All replications can be run at once, unlike
    `kim_nelson`'s, which needs fewer. Rinott 1978, "On two-stage selection procedures".
    """
    _check_selection(systems, indifference, confidence, first)
    sign = 1.0 if largest else -1.0
    pilot = np.array([[sign * float(sample(i, r)) for r in range(first)] for i in range(systems)])
    pilot = table(pilot, "outputs", "systems", "replications", 2)
    count = rinott_sizes(pilot, indifference, confidence)
    sums = pilot.sum(axis=1)
    for i in range(systems):
        for r in range(first, count[i]):
            sums[i] += sign * float(sample(i, r))
    means = sums / count
    return Selection(int(np.argmax(means)), sign * means, count)


def rinott_constant(systems: int, first: int, confidence: float = 0.95) -> float:
    """Rinott's h: how many standard deviations over the indifference zone give the confidence.

    The solution of E[E[Phi(h / sqrt((first - 1) (1/X + 1/Y))) | Y]^(systems - 1)] = confidence for X and Y independent
    chi-square of first - 1 degrees of freedom, by quadrature over their quantiles.

    >>> round(rinott_constant(2, 20, 0.95), 2)
    2.45
    """
    _check_selection(systems, 1.0, confidence, first)
    return _rinott_constant(systems, first, confidence)


@functools.cache
def _rinott_constant(systems: int, first: int, confidence: float) -> float:
    from scipy import special

    # Gauss and Legendre over the normal scale on which chi-square's quantiles are smooth.
    nodes, weights = np.polynomial.legendre.leggauss(96)
    z = 8.5 * nodes
    mass = weights * np.exp(-0.5 * z * z)
    mass /= mass.sum()
    chi_square = 2.0 * special.gammaincinv(0.5 * (first - 1), special.ndtr(z))
    upper = z > 0.0
    chi_square[upper] = 2.0 * special.gammainccinv(0.5 * (first - 1), special.ndtr(-z[upper]))
    spread = np.sqrt((first - 1) * (1.0 / chi_square[:, None] + 1.0 / chi_square[None, :]))

    def probability(h: float) -> float:
        return float(mass @ (special.ndtr(h / spread) @ mass) ** (systems - 1))

    low, high = 0.0, 1.0
    while probability(high) < confidence:
        high *= 2.0
    while high - low > 1e-12 * high:
        middle = 0.5 * (low + high)
        low, high = (middle, high) if probability(middle) < confidence else (low, middle)
    return high


def rinott_sizes(
    pilot: ArrayLike, indifference: float, confidence: float = 0.95
) -> np.ndarray[Any, np.dtype[np.int64]]:
    """How many replications in all each system needs, from a pilot's values of shape (system, replication)."""
    x = table(pilot, "pilot", "systems", "replications", 3)
    _check_selection(len(x), indifference, confidence, x.shape[1])
    h = rinott_constant(len(x), x.shape[1], confidence)
    return np.maximum(np.ceil(h**2 * x.var(axis=1, ddof=1) / indifference**2), x.shape[1]).astype(int)


def _check_selection(systems: int, indifference: float, confidence: float, first: int) -> None:
    if systems < 2:
        raise ValueError(f"systems must be 2 or more, got {systems}")
    if not (indifference > 0.0 and math.isfinite(indifference)):
        raise ValueError(f"indifference must be above 0 and finite, got {indifference}")
    if not level(confidence) > 1.0 / systems:
        raise ValueError(f"confidence must be above 1 / {systems}, what guessing gives, got {confidence}")
    if first < 3:
        raise ValueError(f"first must be 3 or more, got {first}")
