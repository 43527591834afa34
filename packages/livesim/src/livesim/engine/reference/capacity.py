"""Schedules, failures and repairs."""

from __future__ import annotations

import math

from livesim.compiler.program import Action, Class, ClockKind, Fault, Mode, Then
from livesim.engine.reference.interruption import interrupt, victim
from livesim.engine.reference.resources import serve
from livesim.engine.reference.state import State, Wrong
from livesim.engine.reference.values import drawn


def start_clock(s: State, clock: int) -> None:
    _, kind, a, b, _, _, _, _ = s.clocks[clock]
    if kind == ClockKind.SCHEDULE:
        schedule_tick(s, clock, s.times[a + 1] if b > 0 else math.inf)
    else:
        schedule_tick(s, clock, s.now + lasting(s, a, 0))


def schedule_tick(s: State, clock: int, time: float) -> None:
    if time < math.inf:
        s.schedule(time, Class.CAPACITY, clock)


def lasting(s: State, v: int, n: int) -> float:
    """How long a resource is up or down, the n-th time."""
    time = drawn(s, v, n)
    if not 0.0 <= time < math.inf:
        raise Wrong(Fault.TIME, time)
    return time


def tick(s: State, clock: int) -> None:
    """A schedule's next period, a failure or a repair."""
    r, kind, a, b, c, mode, _, _ = s.clocks[clock]
    s.ticks[clock] += 1
    n, resource = s.ticks[clock], s.resources[r]
    if kind == ClockKind.SCHEDULE:
        cycle, period = n // b, n % b
        if cycle > 0 and c != Then.REPEAT:
            if c == Then.STOP:
                resource.scheduled = 0
        else:
            total = s.times[a + 3 * b - 2]
            resource.scheduled = int(s.times[a + 3 * period + 2])
            schedule_tick(s, clock, cycle * total + s.times[a + 3 * period + 1])
    elif n % 2 == 1:
        resource.down = True
        schedule_tick(s, clock, s.now + lasting(s, b, n // 2))
    else:
        resource.down = False
        schedule_tick(s, clock, s.now + lasting(s, a, n // 2))
    set_capacity(s, r, 0 if resource.down else resource.scheduled, mode)


def set_capacity(s: State, r: int, capacity: int, mode: int) -> None:
    """Change how many units there are; jobs at work beyond it go on or are interrupted, and the queue is served."""
    resource = s.resources[r]
    resource.capacity.set(s.now, capacity)
    if s.log is not None:
        s.log.append((s.now, Action.CAPACITY, -1, capacity, -1, float(r)))
    if mode != Mode.FINISH:
        while resource.busy.value > capacity:
            taken = victim(s, r, -math.inf)
            if taken is None:
                break
            interrupt(s, taken, r, mode)
    serve(s, r)
