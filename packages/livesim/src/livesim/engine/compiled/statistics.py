"""Statistics and the trace."""

from __future__ import annotations

import math
from typing import Any

from numpy import float64, int64

from livesim.engine.compiled.readers import (
    bottoms_of,
    entries_of,
    fractions_of,
    jobs_of,
    places_of,
    tallies_of,
    told_of,
)
from livesim.engine.compiled.typed import Levels, Tallies, World, inlined, routine
from livesim.histogram import OCTAVE, OCTAVES, PLACES, QUANTILES, SHIFT
from livesim.native.routines import bits_of, float_of

TOLD = len(QUANTILES)


@inlined
def level(levels: Levels, row: int, now: float, change: float) -> None:
    """Change a number over time, and add to the area below it."""
    levels[row].area += levels[row].value * (now - levels[row].since)
    levels[row].since = now
    levels[row].value += change


@inlined
def tally(w: World, tallies: Tallies, row: int, x: float) -> None:
    """Take in a number that is 0 or more."""
    add(tallies, row, x)
    count(w, row, x)


@inlined
def add(tallies: Tallies, row: int, x: float) -> None:
    """Count, mean, sum of squared deviations (Welford 1962), least and largest of numbers."""
    n = tallies[row].count + 1.0
    tallies[row].count = n
    d = x - tallies[row].mean
    mean = tallies[row].mean + d / n
    tallies[row].mean = mean
    tallies[row].squares += d * (x - mean)
    if x < tallies[row].least:
        tallies[row].least = x
    if x > tallies[row].largest:
        tallies[row].largest = x


@inlined
def count(w: World, row: int, x: float) -> None:
    """Put a number that is 0 or more into its bucket; see `livesim.histogram`."""
    place = (bits_of(x) >> SHIFT) - bottoms_of(w)[row]
    if place >= PLACES:
        place = rise(w, row, place)
    places_of(w)[row * PLACES + max(place, int64(0))] += 1


@routine
def rise(w: World, row: int, place: int) -> int:
    """Let a row's octaves end with that of a larger number; the number's place among them."""
    places, first = places_of(w), row * PLACES
    by = ((place >> OCTAVE) - OCTAVES + 1) << OCTAVE
    below: Any = int64(0)
    for k in range(PLACES):
        if k < by:
            below += places[first + k]
        places[first + k] = places[first + k + by] if k + by < PLACES else 0
    places[first] += below
    bottoms_of(w)[row] += by
    return place - by


@routine
def tell(w: World) -> None:
    """Compute the quantiles of every tally: what `livesim.histogram.quantiles` does, to the bit."""
    tallies, told, fractions = tallies_of(w), told_of(w), fractions_of(w)
    for row in range(w.first_below):
        n = tallies[row].count
        # The buckets of the numbers below 0, from the largest of these on, come before the others.
        at = -1 if row >= w.first_record else PLACES - 1
        reached = 0.0
        for k in range(TOLD):
            told[row * TOLD + k] = math.nan
            if n > 0.0:
                position = (n - 1.0) * fractions[k]
                rank = math.floor(position)
                while reached <= rank:
                    at += 1
                    reached += held(w, row, at)
                after, beyond = at, reached
                while beyond <= min(rank + 1.0, n - 1.0):
                    after += 1
                    beyond += held(w, row, after)
                low, high = middle(w, row, at), middle(w, row, after)
                told[row * TOLD + k] = low + (position - rank) * (high - low)


@inlined
def held(w: World, row: int, at: int) -> float:
    """How many numbers are in a bucket."""
    if at < PLACES:
        row, at = w.first_below + row - w.first_record, 2 * PLACES - 1 - at
    return float64(places_of(w)[row * PLACES + at - PLACES])


@routine
def middle(w: World, row: int, at: int) -> float:
    """What a number in a bucket is taken for."""
    least, largest = tallies_of(w)[row].least, tallies_of(w)[row].largest
    place = at - PLACES if at >= PLACES else PLACES - 1 - at
    x = 0.0
    if place > 0:
        bucket = place + bottoms_of(w)[row if at >= PLACES else w.first_below + row - w.first_record]
        x = 0.5 * float_of(bucket << SHIFT) + 0.5 * float_of((bucket + 1) << SHIFT)
        if at < PLACES:
            x = -x
    if x < least:
        x = least
    if x > largest:
        x = largest
    return x


@routine
def note(w: World, now: float, action: int, process: int, serial: int, pc: int, detail: float) -> None:
    """Write a row of the trace; the kernel has seen to it that there is room."""
    row = w.traced
    entry = entries_of(w)[row]
    entry.time = now
    entry.action = action
    entry.process = process
    entry.serial = serial
    entry.pc = pc
    entry.detail = detail
    w.traced = row + 1


@inlined
def note_job(w: World, action: int, j: int, detail: float) -> None:
    jobs = jobs_of(w)
    note(w, w.now, action, jobs[j].process, jobs[j].serial, jobs[j].pc, detail)
