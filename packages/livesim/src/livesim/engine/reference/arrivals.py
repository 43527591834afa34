"""When jobs come."""

from __future__ import annotations

import math

from livesim.compiler.program import Action, Class, Fault, SourceKind, Then
from livesim.engine.reference.state import Job, State, Wrong
from livesim.engine.reference.values import drawn
from livesim.random import job_key, uniform


def arrive(s: State, source: int) -> None:
    """The next arrival of a source, and the one after it into the calendar."""
    start, _, _, _, _, batch, limit, _ = s.sources[source]
    size = drawn(s, batch, s.arrivals[source])
    if not (size >= 0.0 and size == math.floor(size) and size < 1e9):
        raise Wrong(Fault.COUNT, size)
    s.arrivals[source] += 1
    if limit < 0 or s.arrivals[source] < limit:
        schedule_arrival(s, source)
    for _ in range(int(size)):
        word = s.counts[source][0]
        s.counts[source][0] += 1
        job = create(s, source, word, start, s.initial)
        s.note(Action.ARRIVE, job, 0.0)
        s.ready.append(job)


def create(s: State, process: int, word: int, pc: int, attributes: list[float]) -> Job:
    """A new job; its number is how many the process has had."""
    arrived, copies = s.counts[process][:2]
    inside = s.inside[process]
    inside.set(s.now, inside.value + 1)
    job = Job(process, arrived + copies, word, pc, s.now, attributes[:], [0] * s.counters)
    s.alive.add(job)
    return job


def schedule_arrival(s: State, source: int) -> None:
    """Put the next arrival of a source into the calendar, if there is one."""
    _, kind, a, b, c, _, limit, stream = s.sources[source]
    n = s.arrivals[source]
    if limit == 0:
        return
    if kind == SourceKind.EVERY:
        gap = drawn(s, b if n == 0 else a, n)
        if not gap >= 0.0:
            raise Wrong(Fault.TIME, gap)
        time = s.now + gap
    elif kind == SourceKind.AT:
        time = s.times[a + n] if n < b else math.inf
    else:
        time = thinned(s.now, s.times[a : a + 3 * b], c, job_key(s.keys[stream], n))
    if time < math.inf:
        s.schedule(time, Class.ARRIVAL, source)


def thinned(now: float, rows: list[float], then: int, key: int) -> float:
    """The next time of a Poisson process whose rate varies; infinite where there is none."""
    fastest = 0.0
    for rate in rows[2::3]:
        fastest = rate if rate > fastest else fastest
    if fastest == 0.0:
        return math.inf
    total, time, counter = rows[-2], now, 0
    while True:
        time += -math.log(uniform(key, counter)) / fastest
        phase = time
        if time >= total:
            if then == Then.STOP or (then == Then.KEEP and rows[-1] == 0.0):
                return math.inf
            phase = time - math.floor(time / total) * total if then == Then.REPEAT else rows[-3]
        rate = rows[-1]
        for row in range(0, len(rows), 3):
            if rows[row] <= phase < rows[row + 1]:
                rate = rows[row + 2]
        if uniform(key, counter + 1) * fastest <= rate:
            return time
        counter += 2
