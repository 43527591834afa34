"""Units of resources: who gets them, and giving them back."""

from __future__ import annotations

import math

import numpy as np
from numpy import float64, int64

from livesim.engine.compiled.constants import (
    ALL,
    BAD_NUMBER,
    BAD_UNITS,
    DID_GO,
    DID_RELEASE,
    FINISH,
    FIRST_AVAILABLE,
    NOT_HELD,
    RANDOM,
    ROUND_ROBIN,
)
from livesim.engine.compiled.holders import forget, take_holder
from livesim.engine.compiled.interruption import preempt
from livesim.engine.compiled.queues import before, dequeue, go_on, link, unlink
from livesim.engine.compiled.readers import (
    code_of,
    held_of,
    jobs_of,
    levels_of,
    queues_of,
    resources_of,
    sets_of,
    supplies_of,
    tallies_of,
    turns_of,
)
from livesim.engine.compiled.statistics import level, note_job, tally
from livesim.engine.compiled.typed import World, routine
from livesim.engine.compiled.values import next_uniform, value_of


@routine
def choose(w: World, j: int, i: int, wanted: float) -> int:
    """The resource of a set that a policy prefers: one that has the units free, if there is one."""
    a, count, policy = code_of(w)[i].a, code_of(w)[i].f, code_of(w)[i].g
    sets, levels = sets_of(w), levels_of(w)
    if policy == ROUND_ROBIN:
        turns_of(w)[a] += 1
        return sets[a + (turns_of(w)[a] - 1) % count]
    available = 0
    first = int64(-1)
    best = int64(-1)
    shortest = np.inf
    n_resources = w.n_resources
    for k in range(a, a + count):
        r = sets[k]
        spare = levels[2 * r + 1].value - levels[2 * r].value
        if queues_of(w)[r].head < 0 and spare >= wanted:
            available += 1
            if first < 0:
                first = r
        load = levels[2 * n_resources + r].value - spare
        if load < shortest:
            shortest = load
            best = r
    if policy == RANDOM:
        u = next_uniform(w, j, sets[a + count], sets[a + count + 1])
        among = available if available > 0 else count
        pick = min(int64(u * among), among - 1)
        if available == 0:
            return sets[a + pick]
        for k in range(a, a + count):
            r = sets[k]
            if queues_of(w)[r].head < 0 and levels[2 * r + 1].value - levels[2 * r].value >= wanted:
                if pick == 0:
                    return r
                pick -= 1
    if policy == FIRST_AVAILABLE and first >= 0:
        return first
    return best


@routine
def can_have(w: World, j: int, r: int) -> int:
    """1 where a job can have its units of a resource now, 0 where few are free or others come first, 2 if faulty."""
    jobs = jobs_of(w)
    jobs[j].order = value_of(w, resources_of(w)[r].order, j) if resources_of(w)[r].order >= 0 else 0.0
    if math.isnan(jobs[j].order):
        w.wrong = jobs[j].order
        return 2
    if levels_of(w)[2 * r + 1].value - levels_of(w)[2 * r].value < jobs[j].units:
        return 0
    if queues_of(w)[r].head >= 0 and not before(jobs, j, queues_of(w)[r].head, resources_of(w)[r].discipline):
        return 0
    return 1


@routine
def first_short(w: World, j: int, r: int, a: int, count: int) -> int:
    """The first resource that a job cannot have now, of one or of a set; -1 if there is none, -2 if faulty."""
    for k in range(count):
        if count > 1:
            r = sets_of(w)[a + k]
        answer = can_have(w, j, r)
        if answer == 2:
            return -2
        if answer == 0:
            return r
    return -1


@routine
def take(w: World, j: int, r: int) -> None:
    jobs = jobs_of(w)
    level(levels_of(w), 2 * r, w.now, float64(jobs[j].units))
    held_of(w)[j * w.n_resources + r] += jobs[j].units
    jobs[j].holding += jobs[j].units
    if resources_of(w)[r].holders >= 0:
        take_holder(w, j, r, resources_of(w)[r].holders)


@routine
def granted_at_once(w: World, j: int, i: int, r: int, wanted: float, priority: float) -> int:
    """Take units if they can be had now: -1 if they were, else the queue to join, or -2 minus the fault's code."""
    jobs = jobs_of(w)
    count = code_of(w)[i].f if code_of(w)[i].g == ALL else int64(1)
    a = code_of(w)[i].a
    for k in range(count):
        s = sets_of(w)[a + k] if count > 1 else r
        if not (wanted >= 1.0 and wanted == math.floor(wanted) and wanted <= resources_of(w)[s].most):
            w.wrong = wanted
            return -2 - BAD_UNITS
    jobs[j].units = int64(wanted)
    jobs[j].rank = priority
    jobs[j].ticket = w.tickets
    w.tickets += 1
    jobs[j].together = a if count > 1 else -1
    short = first_short(w, j, r, a, count)
    if short == -2:
        return -2 - BAD_NUMBER
    preempts = short >= 0 and count == 1 and resources_of(w)[r].preemption != FINISH and preempt(w, j, r)
    if short < 0 or preempts:
        for k in range(count):
            s = sets_of(w)[a + k] if count > 1 else r
            tally(w, tallies_of(w), s, 0.0)
            take(w, j, s)
    if preempts:
        # Whoever was interrupted may have held more than was wanted.
        serve(w, r)
        return -1
    return short


@routine
def serve(w: World, r: int) -> None:
    """Let jobs go from a resource's queue, in order, as long as the first can have what it waits for."""
    jobs = jobs_of(w)
    while queues_of(w)[r].head >= 0:
        j = queues_of(w)[r].head
        if levels_of(w)[2 * r + 1].value - levels_of(w)[2 * r].value < jobs[j].units:
            return
        a = jobs[j].together
        if a < 0:
            dequeue(w, j)
            take(w, j, r)
            go_on(w, jobs, j)
            continue
        count = code_of(w)[jobs[j].pc - 1].f
        unlink(w, j)
        short = first_short(w, j, r, a, count)
        if short == -1:
            jobs[j].due = -1
            waited = w.now - jobs[j].mark
            jobs[j].waited += waited
            if w.tracing:
                note_job(w, DID_GO, j, float64(sets_of(w)[a]))
            for k in range(a, a + count):
                tally(w, tallies_of(w), sets_of(w)[k], waited)
                take(w, j, sets_of(w)[k])
            go_on(w, jobs, j)
        else:
            link(w, j, short)
            if short == r:
                return


@routine
def release_some(w: World, j: int, i: int) -> int:
    """Give back units of one resource or of those held of a set, and serve their queues."""
    jobs = jobs_of(w)
    a, v, count = code_of(w)[i].a, code_of(w)[i].b, code_of(w)[i].f
    units = np.inf
    if v >= 0:
        units = value_of(w, v, j)
        if not (units >= 1.0 and units == math.floor(units)):
            w.wrong = units
            return BAD_UNITS
    some = 0
    for k in range(count):
        r = sets_of(w)[a + k] if count > 1 else a
        if held_of(w)[j * w.n_resources + r] > 0:
            some += 1
            if v >= 0 and held_of(w)[j * w.n_resources + r] < units:
                some = -1
                break
    if some <= 0:
        w.wrong = units
        return NOT_HELD
    # Queues are served when all is given back: whoever waits for several resources may then have them.
    for k in range(count):
        r = sets_of(w)[a + k] if count > 1 else a
        if held_of(w)[j * w.n_resources + r] > 0:
            back = held_of(w)[j * w.n_resources + r] if v < 0 else int64(units)
            held_of(w)[j * w.n_resources + r] -= back
            jobs[j].holding -= back
            if held_of(w)[j * w.n_resources + r] == 0 and resources_of(w)[r].holders >= 0:
                forget(w, j, resources_of(w)[r].holders)
            level(levels_of(w), 2 * r, w.now, -float64(back))
            if w.tracing:
                note_job(w, DID_RELEASE, j, float64(r))
            supplies_of(w)[k].touched = 1
        else:
            supplies_of(w)[k].touched = 0
    for k in range(count):
        if supplies_of(w)[k].touched == 1:
            serve(w, sets_of(w)[a + k] if count > 1 else a)
    return 0
