"""Statistics and the trace."""

from __future__ import annotations

from livesim.engine.compiled.readers import entries_of, jobs_of
from livesim.engine.compiled.typed import Levels, Tallies, World, inlined, routine


@inlined
def level(levels: Levels, row: int, now: float, change: float) -> None:
    """Change a number over time, and add to the area below it."""
    levels[row].area += levels[row].value * (now - levels[row].since)
    levels[row].since = now
    levels[row].value += change


@inlined
def tally(tallies: Tallies, row: int, x: float) -> None:
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
