"""When jobs come."""

from __future__ import annotations

import math

import numpy as np
from numpy import float64, int64, uint64

from livesim.engine.compiled.calendar import schedule
from livesim.engine.compiled.capacity import period_end
from livesim.engine.compiled.constants import (
    AT,
    BAD_NUMBER,
    BAD_TIME,
    CLASS_ARRIVAL,
    CLASS_CAPACITY,
    EVERY,
    KEEP,
    REPEAT,
    SCHEDULE,
    STOP,
)
from livesim.engine.compiled.readers import clocks_of, flows_of, items_of, keys_of, sources_of, times_of
from livesim.engine.compiled.stocks import rank_item, shelve
from livesim.engine.compiled.typed import World, routine
from livesim.engine.compiled.values import drawn
from livesim.random.compiled import job_key, uniform


@routine
def next_arrival(w: World, source: int) -> float:
    """When a source's next arrival comes; infinite where none does, NaN where the time is impossible."""
    row = sources_of(w)[source]
    n = flows_of(w)[source].arrivals
    now = w.now
    if row.limit == 0:
        return np.inf
    if row.kind == EVERY:
        gap = drawn(w, row.b if n == 0 else row.a, n, now)
        if not gap >= 0.0:
            w.wrong = gap
            return math.nan
        return now + gap
    if row.kind == AT:
        return times_of(w)[row.a + n] if n < row.b else np.inf
    first, last, then = row.a, row.a + 3 * (row.b - 1), row.c
    times = times_of(w)
    fastest = 0.0
    for at in range(first, last + 1, 3):
        if times[at + 2] > fastest:
            fastest = times[at + 2]
    if fastest == 0.0:
        return np.inf
    key = job_key(keys_of(w)[row.stream], uint64(n))
    total = times[last + 1]
    time = now
    counter = int64(0)
    while True:
        time += -math.log(uniform(key, counter)) / fastest
        phase = time
        if time >= total:
            if then == STOP or (then == KEEP and times[last + 2] == 0.0):
                return np.inf
            phase = time - float64(math.floor(time / total)) * total if then == REPEAT else times[last]
        rate = times[last + 2]
        for at in range(first, last + 1, 3):
            if times[at] <= phase and phase < times[at + 1]:
                rate = times[at + 2]
        if uniform(key, counter + 1) * fastest <= rate:
            return time
        counter += 2


@routine
def start(w: World) -> int:
    """Fill the stores, and schedule what comes first: changes of capacity, then arrivals."""
    fault = 0
    w.fault_process = -1
    for slot in range(w.n_items):
        if not rank_item(w, items_of(w)[slot].store, slot):
            fault = BAD_NUMBER
            break
        shelve(w, items_of(w)[slot].store, slot)
    for clock in range(w.n_clocks):
        row = clocks_of(w)[clock]
        if row.kind == SCHEDULE:
            time = period_end(w, clock)
        else:
            lasting = drawn(w, row.a, int64(0), w.now)
            if not (lasting >= 0.0 and lasting < np.inf):
                w.wrong = lasting
                w.fault_process = clock
                fault = BAD_TIME
                break
            time = w.now + lasting
        if time < np.inf:
            schedule(w, time, CLASS_CAPACITY, w.n_sources + clock, False)
    w.fault_pc = -1
    if fault == 0:
        for source in range(w.n_sources):
            time = next_arrival(w, source)
            if math.isnan(time):
                fault = BAD_TIME
                w.fault_pc = sources_of(w)[source].start
                break
            if time < np.inf:
                schedule(w, time, CLASS_ARRIVAL, source, False)
    if fault != 0:
        w.fault = fault
        w.fault_serial = 0
    return fault
