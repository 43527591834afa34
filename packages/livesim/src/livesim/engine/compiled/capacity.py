"""Schedules, failures and repairs."""

from __future__ import annotations

import numpy as np
from numpy import float64, int64

from livesim.engine.compiled.calendar import schedule
from livesim.engine.compiled.constants import BAD_TIME, CLASS_CAPACITY, DID_CAPACITY, FINISH, REPEAT, SCHEDULE, STOP
from livesim.engine.compiled.interruption import interrupt, victim
from livesim.engine.compiled.readers import clocks_of, levels_of, supplies_of, ticks_of, times_of
from livesim.engine.compiled.resources import serve
from livesim.engine.compiled.statistics import level, note
from livesim.engine.compiled.typed import World, routine
from livesim.engine.compiled.values import drawn


@routine
def period_end(w: World, clock: int) -> float:
    """When the present period of a schedule ends; infinite after the last."""
    row = clocks_of(w)[clock]
    n = ticks_of(w)[clock]
    cycle, period = n // row.b, n % row.b
    if cycle > 0 and row.c != REPEAT:
        return np.inf
    total = times_of(w)[row.a + 3 * row.b - 2]
    return float64(cycle) * total + times_of(w)[row.a + 3 * period + 1]


@routine
def tick(w: World, clock: int) -> int:
    """A schedule's next period, a failure or a repair."""
    row = clocks_of(w)[clock]
    r, a, b = row.resource, row.a, row.b
    ticks_of(w)[clock] += 1
    n = ticks_of(w)[clock]
    now = w.now
    slot = w.n_sources + clock
    if row.kind == SCHEDULE:
        time = period_end(w, clock)
        if time < np.inf:
            supplies_of(w)[r].scheduled = int64(times_of(w)[a + 3 * (n % b) + 2])
            schedule(w, time, CLASS_CAPACITY, slot, False)
        elif row.c == STOP:
            supplies_of(w)[r].scheduled = 0
    else:
        fails = n % 2 == 1
        supplies_of(w)[r].failed = 1 if fails else 0
        lasting = drawn(w, b if fails else a, n // 2, now)
        if not (lasting >= 0.0 and lasting < np.inf):
            w.wrong = lasting
            return BAD_TIME
        schedule(w, now + lasting, CLASS_CAPACITY, slot, False)
    capacity = int64(0) if supplies_of(w)[r].failed == 1 else supplies_of(w)[r].scheduled
    level(levels_of(w), 2 * r + 1, now, float64(capacity) - levels_of(w)[2 * r + 1].value)
    if w.tracing:
        note(w, now, DID_CAPACITY, -1, capacity, -1, float64(r))
    if row.mode != FINISH:
        while levels_of(w)[2 * r].value > capacity:
            taken = victim(w, r, -np.inf)
            if taken < 0:
                break
            interrupt(w, taken, r, row.mode)
    serve(w, r)
    return 0
