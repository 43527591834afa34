"""The less frequent steps of the compiled interpreter; `livesim.engine.reference` has each under the same name or near.

Every function takes the arrays as they are grouped: program, state, jobs and so on. Where a number is impossible, it is
put into `w.wrong`, and the fault's code is returned, or NaN.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy import float64, int64, uint64

from livesim.compiler.program import (
    Action,
    Class,
    ClockKind,
    Discipline,
    Fault,
    Mode,
    Op,
    Policy,
    SourceKind,
    Then,
)
from livesim.engine.draws import draw_behind
from livesim.engine.heap import push, replace
from livesim.engine.world import (
    attributes_of,
    clocks_of,
    code_of,
    containers_of,
    counters_of,
    entries_of,
    event_keys_of,
    event_times_of,
    flows_of,
    held_of,
    holders_of,
    holdings_of,
    jobs_of,
    keys_of,
    levels_of,
    numbers_of,
    queues_of,
    resources_of,
    sets_of,
    sources_of,
    supplies_of,
    tallies_of,
    ticks_of,
    times_of,
    turns_of,
    values_of,
)  # fmt: skip
from livesim.random import Kind
from livesim.random.compiled import job_key, uniform

compiled = njit(nogil=True, cache=True, error_model="numpy")
inline = njit(nogil=True, cache=True, error_model="numpy", forceinline=True)

# Numba reads an enum's member as an object; a plain integer is a constant.
CLASS_CAPACITY, CLASS_RELEASING, CLASS_PATIENCE, CLASS_ARRIVAL = map(
    int, (Class.CAPACITY, Class.RELEASING, Class.PATIENCE, Class.ARRIVAL)
)
BAD_TIME, BAD_UNITS, NOT_HELD, STILL_HELD, BAD_NUMBER, BAD_COUNT = map(int, list(Fault)[1:7])
DID_WAIT, DID_GO, DID_RELEASE, DID_INTERRUPT, DID_RENEGE, DID_SPLIT, DID_COMBINE, DID_DEPART, DID_CAPACITY = map(
    int,
    (
        Action.WAIT, Action.GO, Action.RELEASE, Action.INTERRUPT, Action.RENEGE, Action.SPLIT, Action.COMBINE,
        Action.DEPART, Action.CAPACITY,
    ),
)  # fmt: skip
CONSTANT, EXPONENTIAL = int(Kind.CONSTANT), int(Kind.EXPONENTIAL)
LIFO = int(Discipline.LIFO)
FINISH, RESTART, RESAMPLE = int(Mode.FINISH), int(Mode.RESTART), int(Mode.RESAMPLE)
FIRST_AVAILABLE, ROUND_ROBIN, RANDOM = int(Policy.FIRST_AVAILABLE), int(Policy.ROUND_ROBIN), int(Policy.RANDOM)
ALL = int(Policy.ALL)
EVERY, AT = int(SourceKind.EVERY), int(SourceKind.AT)
STOP, REPEAT, KEEP = int(Then.STOP), int(Then.REPEAT), int(Then.KEEP)
SCHEDULE = int(ClockKind.SCHEDULE)
OP_SEIZE = int(Op.SEIZE)


# -- statistics --------------------------------------------------------------------------------------------------------


@inline
def level(levels: Any, row: Any, now: Any, change: Any) -> None:
    """Change a number over time, and add to the area below it."""
    levels[row].area += levels[row].value * (now - levels[row].since)
    levels[row].since = now
    levels[row].value += change


@inline
def tally(tallies: Any, row: Any, x: Any) -> None:
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


@compiled
def note(w: Any, now: Any, action: Any, process: Any, serial: Any, pc: Any, detail: Any) -> None:
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


@inline
def note_job(w: Any, action: Any, j: Any, detail: Any) -> None:
    jobs = jobs_of(w)
    note(w, w.now, action, jobs[j].process, jobs[j].serial, jobs[j].pc, detail)


# -- numbers -----------------------------------------------------------------------------------------------------------


@inline
def value_of(w: Any, v: Any, j: Any) -> Any:
    """A number, an expression's value, or a draw keyed by the job and by how many it drew here."""
    if values_of(w)[v].kind == CONSTANT and values_of(w)[v].dynamic == 0:
        return numbers_of(w)[v].p0
    return value_drawn(w, v, j)


@compiled
def value_drawn(w: Any, v: Any, j: Any) -> Any:
    jobs = jobs_of(w)
    counter = values_of(w)[v].counter
    before = counters_of(w)[j * w.n_counters + counter] if counter >= 0 else int64(0)
    x = draw_behind(w, v, j, jobs[j].word, before)
    if counter >= 0:
        counters_of(w)[j * w.n_counters + counter] = w.drawn
    return x


@inline
def next_uniform(w: Any, j: Any, stream: Any, counter: Any) -> Any:
    """A number between 0 and 1, keyed by the job and by how many it drew in the stream."""
    before = int64(0)
    if counter >= 0:
        before = counters_of(w)[j * w.n_counters + counter]
        counters_of(w)[j * w.n_counters + counter] = before + 1
    return uniform(job_key(keys_of(w)[stream], jobs_of(w)[j].word), before)


@compiled
def drawn(w: Any, v: Any, n: Any, now: Any) -> Any:
    """A number that belongs to no job, keyed by how many there were before, at a time that has not come yet."""
    if values_of(w)[v].kind == CONSTANT and values_of(w)[v].dynamic == 0:
        return numbers_of(w)[v].p0
    before = w.now
    w.now = now
    x = draw_behind(w, v, int64(0), uint64(n), int64(0))
    w.now = before
    return x


@compiled
def whole_of(w: Any, v: Any, j: Any) -> Any:
    """A whole number of at least 1, or NaN."""
    x = value_of(w, v, j)
    if not (x >= 1.0 and x == math.floor(x) and x < 1e9):
        w.wrong = x
        return math.nan
    return x


# -- the calendar from outside the kernel ------------------------------------------------------------------------------


@compiled
def schedule(w: Any, time: Any, event_class: Any, slot: Any, hole: Any) -> Any:
    """Put an event into the calendar, at its root where that is a hole; its key."""
    key = event_class << 60 | w.scheduled << 24 | slot
    w.scheduled += 1
    if hole:
        replace(event_times_of(w), event_keys_of(w), w.pending, time, key)
    else:
        push(event_times_of(w), event_keys_of(w), w.pending, time, key)
        w.pending += 1
    return key


@compiled
def start(w: Any) -> Any:
    """Schedule what comes first: changes of capacity, then arrivals."""
    fault = 0
    for clock in range(w.n_clocks):
        row = clocks_of(w)[clock]
        if row.kind == SCHEDULE:
            time = period_end(w, clock)
        else:
            lasting = drawn(w, row.a, int64(0), w.now)
            if not (lasting >= 0.0 and lasting < np.inf):
                w.wrong = lasting
                fault = BAD_TIME
                break
            time = w.now + lasting
        if time < np.inf:
            schedule(w, time, CLASS_CAPACITY, w.n_sources + clock, False)
    if fault == 0:
        for source in range(w.n_sources):
            time = next_arrival(w, source)
            if math.isnan(time):
                fault = BAD_TIME
                break
            if time < np.inf:
                schedule(w, time, CLASS_ARRIVAL, source, False)
    if fault != 0:
        w.fault = fault
        w.fault_pc = -1
        w.fault_serial = 0
        w.fault_process = -1
    return fault


@compiled
def period_end(w: Any, clock: Any) -> Any:
    """When the present period of a schedule ends; infinite after the last."""
    row = clocks_of(w)[clock]
    n = ticks_of(w)[clock]
    cycle, period = n // row.b, n % row.b
    if cycle > 0 and row.c != REPEAT:
        return np.inf
    total = times_of(w)[row.a + 3 * row.b - 2]
    return float64(cycle) * total + times_of(w)[row.a + 3 * period + 1]


@compiled
def next_arrival(w: Any, source: Any) -> Any:
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


@compiled
def patience(w: Any, j: Any, v: Any, hole: Any) -> Any:
    """Let a job that is about to wait give up after a time."""
    jobs = jobs_of(w)
    time = value_of(w, v, j)
    if not time >= 0.0:
        w.wrong = time
        return BAD_TIME
    if time < np.inf:
        slot = j + w.n_sources + w.n_clocks
        jobs[j].due = schedule(w, w.now + time, CLASS_PATIENCE, slot, hole)
    return 0


# -- queues ------------------------------------------------------------------------------------------------------------


@inline
def go_on(w: Any, jobs: Any, j: Any) -> None:
    """Let a job run next, after those that were let go before it."""
    jobs[j].following = -1
    if w.ready_last < 0:
        w.ready = j
    else:
        jobs[w.ready_last].following = j
    w.ready_last = j


@inline
def before(jobs: Any, j: Any, other: Any, discipline: Any) -> Any:
    """Whether a job is served before another: by priority, then the discipline, then first come (or last come)."""
    if jobs[j].rank != jobs[other].rank:
        return jobs[j].rank < jobs[other].rank
    if jobs[j].order != jobs[other].order:
        return jobs[j].order < jobs[other].order
    if discipline == LIFO:
        return jobs[j].ticket > jobs[other].ticket
    return jobs[j].ticket < jobs[other].ticket


@compiled
def link(w: Any, j: Any, q: Any) -> None:
    """Put a job at its place in a queue."""
    jobs = jobs_of(w)
    n_resources = w.n_resources
    discipline = resources_of(w)[q].discipline if q < n_resources else int64(0)
    after = queues_of(w)[q].tail
    while after >= 0 and before(jobs, j, after, discipline):
        after = jobs[after].preceding
    if after >= 0:
        behind = jobs[after].following
        jobs[after].following = j
    else:
        behind = queues_of(w)[q].head
        queues_of(w)[q].head = j
    jobs[j].preceding = after
    jobs[j].following = behind
    if behind >= 0:
        jobs[behind].preceding = j
    else:
        queues_of(w)[q].tail = j
    jobs[j].queue = q
    row = 2 * n_resources + q
    level(levels_of(w), row, w.now, 1.0)
    if levels_of(w)[row].value > queues_of(w)[q].longest:
        queues_of(w)[q].longest = int64(levels_of(w)[row].value)


@compiled
def unlink(w: Any, j: Any) -> None:
    jobs = jobs_of(w)
    q = jobs[j].queue
    ahead, behind = jobs[j].preceding, jobs[j].following
    if ahead >= 0:
        jobs[ahead].following = behind
    else:
        queues_of(w)[q].head = behind
    if behind >= 0:
        jobs[behind].preceding = ahead
    else:
        queues_of(w)[q].tail = ahead
    jobs[j].queue = -1
    level(levels_of(w), w.first_queue + q, w.now, -1.0)


@compiled
def queue_up(w: Any, j: Any, q: Any) -> None:
    """Let a job join a queue."""
    jobs = jobs_of(w)
    jobs[j].mark = w.now
    if w.tracing:
        note_job(w, DID_WAIT, j, float64(q))
    if q >= w.n_resources:
        jobs[j].rank = 0.0
        jobs[j].order = 0.0
        jobs[j].ticket = w.tickets
        w.tickets += 1
    link(w, j, q)


@compiled
def dequeue(w: Any, j: Any) -> None:
    """Take a job out of its queue with what it waited for."""
    jobs = jobs_of(w)
    q = jobs[j].queue
    unlink(w, j)
    jobs[j].due = -1
    waited = w.now - jobs[j].mark
    jobs[j].waited += waited
    tally(tallies_of(w), q, waited)
    if w.tracing:
        note_job(w, DID_GO, j, float64(q))


@compiled
def give_up(w: Any, j: Any) -> None:
    """Let a job whose patience ran out leave its queue, and those behind it move up."""
    jobs = jobs_of(w)
    q = jobs[j].queue
    unlink(w, j)
    jobs[j].waited += w.now - jobs[j].mark
    flows_of(w)[jobs[j].process].reneged += 1
    if w.tracing:
        note_job(w, DID_RENEGE, j, float64(q))
    jobs[j].pc = code_of(w)[jobs[j].pc - 1].e
    n_resources = w.n_resources
    if q < n_resources:
        serve(w, q)
    elif (q - n_resources) // 2 < w.n_containers:
        serve_container(w, (q - n_resources) // 2)


@compiled
def wake(w: Any, q: Any) -> None:
    """Let every job in a queue go."""
    jobs = jobs_of(w)
    while queues_of(w)[q].head >= 0:
        j = queues_of(w)[q].head
        dequeue(w, j)
        go_on(w, jobs, j)


# -- resources ---------------------------------------------------------------------------------------------------------


@compiled
def choose(w: Any, j: Any, i: Any, wanted: Any) -> Any:
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


@compiled
def can_have(w: Any, j: Any, r: Any) -> Any:
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


@compiled
def first_short(w: Any, j: Any, r: Any, a: Any, count: Any) -> Any:
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


@compiled
def take(w: Any, j: Any, r: Any) -> None:
    jobs = jobs_of(w)
    level(levels_of(w), 2 * r, w.now, float64(jobs[j].units))
    held_of(w)[j * w.n_resources + r] += jobs[j].units
    jobs[j].holding += jobs[j].units
    if resources_of(w)[r].holders >= 0:
        take_holder(w, j, r, resources_of(w)[r].holders)


@compiled
def take_holder(w: Any, j: Any, r: Any, h: Any) -> None:
    """Put a job last on the list of those that hold a resource; `held` tells already what it has."""
    jobs = jobs_of(w)
    if held_of(w)[j * w.n_resources + r] > jobs[j].units:
        forget(w, j, h)
    last = holders_of(w)[h].last
    holdings_of(w)[j * w.n_holders + h].preceding = last
    holdings_of(w)[j * w.n_holders + h].following = -1
    if last >= 0:
        holdings_of(w)[last * w.n_holders + h].following = j
    else:
        holders_of(w)[h].first = j
    holders_of(w)[h].last = j
    holdings_of(w)[j * w.n_holders + h].rank = jobs[j].rank
    holdings_of(w)[j * w.n_holders + h].ticket = jobs[j].ticket


@compiled
def forget(w: Any, j: Any, h: Any) -> None:
    """Take a job off the list of those that hold a resource."""
    ahead, behind = holdings_of(w)[j * w.n_holders + h].preceding, holdings_of(w)[j * w.n_holders + h].following
    if ahead >= 0:
        holdings_of(w)[ahead * w.n_holders + h].following = behind
    else:
        holders_of(w)[h].first = behind
    if behind >= 0:
        holdings_of(w)[behind * w.n_holders + h].preceding = ahead
    else:
        holders_of(w)[h].last = ahead


@compiled
def granted_at_once(w: Any, j: Any, i: Any, r: Any, wanted: Any, priority: Any) -> Any:
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
    if short >= 0 and count == 1 and resources_of(w)[r].preemption != FINISH and preempt(w, j, r):
        short = -1
    if short < 0:
        for k in range(count):
            s = sets_of(w)[a + k] if count > 1 else r
            tally(tallies_of(w), s, 0.0)
            take(w, j, s)
    return short


@compiled
def serve(w: Any, r: Any) -> None:
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
                tally(tallies_of(w), sets_of(w)[k], waited)
                take(w, j, sets_of(w)[k])
            go_on(w, jobs, j)
        else:
            link(w, j, short)
            if short == r:
                return


@compiled
def release_some(w: Any, j: Any, i: Any) -> Any:
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


@inline
def at_work(w: Any, j: Any) -> Any:
    """Whether a job is in a hold that can be interrupted: work that ends now, before a release, is done."""
    jobs = jobs_of(w)
    if jobs[j].working == 0:
        return False
    return not (jobs[j].finish == w.now and code_of(w)[jobs[j].pc - 1].b == CLASS_RELEASING)


@compiled
def victim(w: Any, r: Any, rank: Any) -> Any:
    """The least urgent job at work on a resource that is less urgent than `rank`; of equals, the last to come."""
    holdings = holdings_of(w)
    h = resources_of(w)[r].holders
    worst = int64(-1)
    j = holders_of(w)[h].first
    while j >= 0:
        held = holdings[j * w.n_holders + h]
        if held.rank > rank and at_work(w, j):
            if worst < 0:
                worst = j
            else:
                other = holdings[worst * w.n_holders + h]
                if held.rank > other.rank or (held.rank == other.rank and held.ticket > other.ticket):
                    worst = j
        j = held.following
    return worst


@compiled
def preempt(w: Any, j: Any, r: Any) -> Any:
    """Take units from less urgent jobs at work, if that makes enough of them; whether it did."""
    jobs = jobs_of(w)
    if queues_of(w)[r].head >= 0 and not before(jobs, j, queues_of(w)[r].head, resources_of(w)[r].discipline):
        return False
    h = resources_of(w)[r].holders
    spare = levels_of(w)[2 * r + 1].value - levels_of(w)[2 * r].value
    other = holders_of(w)[h].first
    while other >= 0:
        if holdings_of(w)[other * w.n_holders + h].rank > jobs[j].rank and at_work(w, other):
            spare += held_of(w)[other * w.n_resources + r]
        other = holdings_of(w)[other * w.n_holders + h].following
    if spare < jobs[j].units:
        return False
    while levels_of(w)[2 * r + 1].value - levels_of(w)[2 * r].value < jobs[j].units:
        taken = victim(w, r, jobs[j].rank)
        interrupt(w, taken, r, resources_of(w)[r].preemption)
    return True


@compiled
def interrupt(w: Any, j: Any, r: Any, mode: Any) -> None:
    """Take a resource from a job at work; it waits to get it back, at the place that it had."""
    jobs = jobs_of(w)
    h = resources_of(w)[r].holders
    now = w.now
    jobs[j].left = -1.0 if mode == RESAMPLE else (jobs[j].length if mode == RESTART else jobs[j].finish - now)
    jobs[j].working = 0
    jobs[j].due = -1
    jobs[j].pc -= 1
    flows_of(w)[jobs[j].process].interrupted += 1
    if w.tracing:
        note_job(w, DID_INTERRUPT, j, float64(r))
    jobs[j].units = held_of(w)[j * w.n_resources + r]
    held_of(w)[j * w.n_resources + r] = 0
    jobs[j].holding -= jobs[j].units
    jobs[j].rank = holdings_of(w)[j * w.n_holders + h].rank
    jobs[j].ticket = holdings_of(w)[j * w.n_holders + h].ticket
    jobs[j].together = -1
    forget(w, j, h)
    level(levels_of(w), 2 * r, now, -float64(jobs[j].units))
    jobs[j].order = value_of(w, resources_of(w)[r].order, j) if resources_of(w)[r].order >= 0 else 0.0
    queue_up(w, j, r)


@compiled
def tick(w: Any, clock: Any) -> Any:
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


# -- containers --------------------------------------------------------------------------------------------------------


@compiled
def move(w: Any, container: Any, amount: Any, out: Any) -> Any:
    """Put an amount in or take it out, if that can be done now."""
    row = w.first_container + container
    after = levels_of(w)[row].value - amount if out else levels_of(w)[row].value + amount
    if after < 0.0 or after > containers_of(w)[container].capacity:
        return False
    levels_of(w)[row].area += levels_of(w)[row].value * (w.now - levels_of(w)[row].since)
    levels_of(w)[row].since = w.now
    levels_of(w)[row].value = after
    return True


@compiled
def serve_container(w: Any, container: Any) -> None:
    """Let those who wait to put, then those who wait to get, go as long as it can be done."""
    jobs = jobs_of(w)
    get = w.n_resources + 2 * container
    moved = True
    while moved:
        moved = False
        for side in range(2):
            q = get + 1 - side
            while queues_of(w)[q].head >= 0 and move(w, container, jobs[queues_of(w)[q].head].amount, side == 1):
                j = queues_of(w)[q].head
                dequeue(w, j)
                go_on(w, jobs, j)
                moved = True


# -- jobs that come together and part ----------------------------------------------------------------------------------


@compiled
def batch_up(w: Any, j: Any, q: Any, size: Any) -> None:
    """Join a gate; if that makes enough, the first to come stands for all of them."""
    jobs = jobs_of(w)
    queue_up(w, j, q)
    if levels_of(w)[w.first_queue + q].value < size:
        return
    leader = queues_of(w)[q].head
    dequeue(w, leader)
    jobs[leader].depth += 1
    earlier = jobs[leader].inside
    last = int64(-1)
    for _ in range(int64(size) - 1):
        member = queues_of(w)[q].head
        dequeue(w, member)
        jobs[member].joined = jobs[leader].depth
        if last < 0:
            jobs[leader].inside = member
        else:
            jobs[last].following = member
        last = member
    if last >= 0:
        jobs[last].following = earlier
    go_on(w, jobs, leader)


@compiled
def unbatch(w: Any, j: Any, pc: Any) -> None:
    """Let the members of the latest batch go on from an instruction."""
    jobs = jobs_of(w)
    if jobs[j].depth == 0:
        return
    member = jobs[j].inside
    while member >= 0 and jobs[member].joined == jobs[j].depth:
        behind = jobs[member].following
        jobs[member].pc = pc
        go_on(w, jobs, member)
        member = behind
    jobs[j].inside = member
    jobs[j].depth -= 1


@compiled
def set_free(w: Any, j: Any) -> None:
    """Give a job's slot back, its fields as a free slot has them."""
    jobs = jobs_of(w)
    jobs[j].splits = 0
    jobs[j].family = -1
    jobs[j].depth = 0
    jobs[j].inside = -1
    jobs[j].born = math.nan
    jobs[j].following = w.free
    w.free = j
    w.unused += 1


@compiled
def leave(w: Any, j: Any, action: Any) -> Any:
    """Take one job out of the system; its slot stays."""
    jobs = jobs_of(w)
    if jobs[j].holding != 0:
        w.wrong = float64(jobs[j].holding)
        return STILL_HELD
    p = jobs[j].process
    now = w.now
    level(levels_of(w), w.first_process + p, now, -1.0)
    flows_of(w)[p].spent += now - jobs[j].born
    if action == DID_DEPART:
        flows_of(w)[p].departed += 1
        tally(tallies_of(w), w.first_sojourn + 2 * p, now - jobs[j].born)
        tally(tallies_of(w), w.first_sojourn + 2 * p + 1, jobs[j].waited)
    else:
        flows_of(w)[p].combined += 1
    if w.tracing:
        note_job(w, action, j, 0.0)
    return 0


@compiled
def leave_batches(w: Any, j: Any, action: Any) -> Any:
    """Take the members of a job's batches out of the system, those of the latest batch first, each with its own."""
    jobs = jobs_of(w)
    member = jobs[j].inside
    jobs[j].inside = -1
    while member >= 0:
        fault = leave(w, member, action)
        if fault != 0:
            return fault
        behind = jobs[member].following
        inner = jobs[member].inside
        if inner >= 0:
            last = inner
            while jobs[last].following >= 0:
                last = jobs[last].following
            jobs[last].following = behind
            behind = inner
        set_free(w, member)
        member = behind
    return 0


@compiled
def split(w: Any, j: Any, parts: Any, to: Any) -> None:
    """Make copies of a job, which run after it."""
    jobs = jobs_of(w)
    p = jobs[j].process
    jobs[j].family = w.families
    jobs[j].parts = parts
    w.families += 1
    parent = job_key(jobs[j].word, uint64(jobs[j].splits))
    jobs[j].splits += 1
    row = w.first_process + p
    for part in range(1, parts):
        copy = w.free
        w.free = jobs[copy].following
        w.unused -= 1
        flows_of(w)[p].copies += 1
        jobs[copy].word = job_key(parent, uint64(part))
        jobs[copy].pc = to
        jobs[copy].process = p
        jobs[copy].serial = flows_of(w)[p].arrived + flows_of(w)[p].copies
        jobs[copy].born = w.now
        jobs[copy].waited = 0.0
        for c in range(w.n_counters):
            counters_of(w)[copy * w.n_counters + c] = 0
        for c in range(w.n_attributes):
            attributes_of(w)[copy * w.n_attributes + c] = attributes_of(w)[j * w.n_attributes + c]
        jobs[copy].family = jobs[j].family
        jobs[copy].parts = parts
        level(levels_of(w), row, w.now, 1.0)
        if w.tracing:
            note_job(w, DID_SPLIT, copy, 0.0)
        go_on(w, jobs, copy)


@compiled
def combine(w: Any, j: Any, q: Any, v: Any) -> Any:
    """Merge the jobs at a combine if they are all there: 1 if the job stops here, 0 if not, 2 plus a fault's code."""
    jobs = jobs_of(w)
    wanted = int64(jobs[j].parts)
    if v >= 0:
        size = whole_of(w, v, j)
        if math.isnan(size):
            return 2 + BAD_COUNT
        wanted = int64(size)
    elif jobs[j].family < 0:
        return 0
    jobs[j].pc += 1
    queue_up(w, j, q)
    family = jobs[j].family
    there = 0
    other = queues_of(w)[q].head
    while other >= 0 and there < wanted:
        if v >= 0 or jobs[other].family == family:
            there += 1
        other = jobs[other].following
    if there < wanted:
        return 1
    first = int64(-1)
    absorbed = int64(-1)
    last = int64(-1)
    other = queues_of(w)[q].head
    while there > 0:
        behind = jobs[other].following
        if v >= 0 or jobs[other].family == family:
            there -= 1
            dequeue(w, other)
            jobs[other].following = -1
            if first < 0:
                first = other
            elif absorbed < 0:
                absorbed = last = other
            else:
                jobs[last].following = other
                last = other
        other = behind
    if v < 0:
        jobs[first].family = -1
    go_on(w, jobs, first)
    while absorbed >= 0:
        behind = jobs[absorbed].following
        fault = leave(w, absorbed, DID_COMBINE)
        if fault == 0:
            fault = leave_batches(w, absorbed, DID_COMBINE)
        if fault != 0:
            return 2 + fault
        set_free(w, absorbed)
        absorbed = behind
    return 1
