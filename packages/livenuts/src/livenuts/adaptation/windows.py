"""Stan's schedule of warm-up windows (Stan Reference Manual, "HMC algorithm parameters", automatic parameter tuning).

A fast phase finds the typical set, slow windows of doubling length learn the metric, a last fast phase settles the
step size. The metric is learned from a window alone, forgets it at its end, and the step size starts again there.
One thing differs: with 151 to 199 iterations Stan leaves a window of a few draws at the end; here the first window,
like any other, takes in a remainder that is too short for the next.
"""

from typing import NamedTuple

INITIAL = 75
BASE = 25
FINAL = 50


class Windows(NamedTuple):
    """When the metric is learned: iterations `first` <= t < `last`; it changes after each iteration in `ends`."""

    first: int
    last: int
    ends: tuple[int, ...]


def stan_windows(num_warmup: int) -> Windows:
    """The windows for `num_warmup` iterations; fewer than 20 leave the metric as it is."""
    if num_warmup < 20:
        return Windows(num_warmup, num_warmup, ())
    initial, base, final = INITIAL, BASE, FINAL
    if initial + base + final > num_warmup:
        initial, final = int(0.15 * num_warmup), int(0.1 * num_warmup)
        base = num_warmup - initial - final
    last = num_warmup - final
    ends = []
    start, length = initial, base
    while start < last:
        # A window is stretched to the end when the one after it would not fit.
        end = start + length
        if end + 2 * length > last:
            end = last
        ends.append(end - 1)
        start, length = end, 2 * length
    return Windows(initial, last, tuple(ends))
