"""The interpreter's loop: what `livesim.engine.reference` does, on flat arrays.

One function for all models: a model is data, so nothing is compiled for it. It comes back with a `Status` when it is
done, when an array is full (it is grown, and the function called again) or after a number of events. What runs at
every event is written here; the rest is in the modules beside this one, under the names that the reference has.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import types
from numpy import float64, int64, uint64

from livesim.engine.compiled.arrivals import next_arrival, start
from livesim.engine.compiled.calendar import push, replace
from livesim.engine.compiled.capacity import tick
from livesim.engine.compiled.constants import (
    ALL,
    ARRIVAL_SHIFTED,
    ASSIGN,
    BAD_AMOUNT,
    BAD_COUNT,
    BAD_NUMBER,
    BAD_PROBABILITY,
    BAD_TIME,
    BAD_UNITS,
    BATCH,
    BRANCH,
    CHOOSE,
    COMBINE,
    DECIDE,
    DEPART,
    DID_ARRIVE,
    DID_DEPART,
    DID_HOLD,
    DID_RELEASE,
    DONE,
    ERROR,
    EVERY,
    EXPONENTIAL,
    FINISH,
    GET,
    GET_ITEM,
    HOLD,
    IS_ENDLESS,
    JUMP,
    LOOP,
    MOST_FRUITLESS,
    MOST_LET_GO,
    MOST_STEPS,
    NO_CALENDAR,
    NO_ITEMS,
    NO_JOBS,
    NO_TRACE,
    NOT_HELD,
    PAUSED,
    PUT_ITEM,
    RECORD,
    RELEASE,
    SEIZE,
    SIGNAL,
    SPLIT,
    STILL_HELD,
    UNBATCH,
    WAIT,
)
from livesim.engine.compiled.holders import take_holder
from livesim.engine.compiled.meetings import batch_up, combine, leave_batches, split, unbatch
from livesim.engine.compiled.patience import give_up, patience
from livesim.engine.compiled.queues import dequeue, go_on, queue_up, wake
from livesim.engine.compiled.readers import (
    attributes_of,
    branches_of,
    code_of,
    containers_of,
    counters_of,
    event_keys_of,
    event_times_of,
    flows_of,
    held_of,
    initial_of,
    jobs_of,
    keys_of,
    levels_of,
    numbers_of,
    queues_of,
    resources_of,
    sources_of,
    tallies_of,
    values_of,
    world_at,
)
from livesim.engine.compiled.resources import choose, granted_at_once, release_some, serve
from livesim.engine.compiled.statistics import add, count, level, note, tally, tell
from livesim.engine.compiled.stocks import item_for, let_in, make_item, move, put_item, serve_container, take_item
from livesim.engine.compiled.values import drawn, next_uniform, value_of, whole_of
from livesim.native.routines import build
from livesim.random.compiled import job_key, uniform


def advance(address: Any, until: Any, arrivals_until: Any, stop: Any) -> Any:
    """Run every event up to and at `until` in the world at an address, and say why it came back.

    stop: events after which it does; below 0, it computes the quantiles and runs nothing.
    """
    w = world_at(address)
    if stop < 0:
        tell(w)
        return DONE
    code, values, numbers = code_of(w), values_of(w), numbers_of(w)
    jobs, held, counters, attributes = jobs_of(w), held_of(w), counters_of(w), attributes_of(w)
    levels, tallies, flows, queues = levels_of(w), tallies_of(w), flows_of(w), queues_of(w)
    resources, branches, keys = resources_of(w), branches_of(w), keys_of(w)
    times, entries = event_times_of(w), event_keys_of(w)
    n_resources, n_counters, n_attributes = w.n_resources, w.n_counters, w.n_attributes
    first_job, first_process, first_tally, first_record = w.first_job, w.first_process, w.first_sojourn, w.first_record
    most_rows = w.entries_room - 2 * w.slots - 64
    tracing = w.tracing != 0
    fault: Any = int64(0)
    if w.started == 0:
        fault = start(w)
        if fault != 0:
            return ERROR
        w.started = 1
    hole = False
    now = w.now
    n = w.pending
    number = w.scheduled
    status = DONE
    j: Any = int64(-1)
    i: Any = int64(0)
    wrong: Any = 0.0
    latest: Any = int64(-1)
    let_go: Any = int64(0)
    while True:
        # -- who is next -----------------------------------------------------------------------------------------------
        if n + 8 > w.events_room:
            status = NO_CALENDAR
            break
        if w.current >= 0:
            j = w.current
            w.current = -1
        elif w.ready >= 0:
            if w.events != latest:
                latest, let_go = w.events, int64(0)
            let_go += 1
            j = w.ready
            if let_go > MOST_LET_GO:
                fault, wrong = IS_ENDLESS, float64(MOST_LET_GO)
                w.fault_pc = jobs[j].pc
                w.fault_serial = jobs[j].serial
                w.fault_process = jobs[j].process
                break
            w.ready = jobs[j].following
            if jobs[j].following < 0:
                w.ready_last = -1
        else:
            # The hole stays open for jobs that were let go: the hold that the first of them begins fills it.
            if hole:
                n -= 1
                if n > 0:
                    replace(times, entries, n, times[n], entries[n])
                hole = False
            if n == 0:
                break
            time = times[0]
            if time > until:
                break
            if w.events >= stop:
                status = PAUSED
                break
            if w.free < 0:
                w.wanted = 1
                status = NO_JOBS
                break
            if tracing and w.traced > most_rows:
                status = NO_TRACE
                break
            key = entries[0]
            slot = key & 0xFFFFFF
            if slot < w.n_sources:
                if time > arrivals_until:
                    hole = True
                    continue
                row = sources_of(w)[slot]
                first = flows[slot].arrivals
                size = drawn(w, row.batch, first, time)
                if not (size >= 0.0 and size == math.floor(size) and size < 1e9):
                    fault, wrong = BAD_COUNT, size
                    now = time
                    w.fault_pc = row.start
                    w.fault_serial = 0
                    w.fault_process = slot
                    w.events += 1
                    hole = True
                    break
                if size > w.unused:
                    w.wanted = int64(size)
                    status = NO_JOBS
                    break
                hole = True
                now = time
                w.now = now
                w.events += 1
                flows[slot].arrivals = first + 1
                if row.limit < 0 or first + 1 < row.limit:
                    gap_value = row.a
                    if row.kind == EVERY and values[gap_value].kind == EXPONENTIAL and values[gap_value].dynamic == 0:
                        u = uniform(job_key(keys[values[gap_value].stream], uint64(first + 1)), int64(0))
                        following_time = now + -math.log(u) * numbers[gap_value].p0
                    else:
                        following_time = next_arrival(w, slot)
                        if math.isnan(following_time):
                            fault, wrong = BAD_TIME, w.wrong
                            w.fault_pc = row.start
                            w.fault_serial = 0
                            w.fault_process = slot
                            break
                    if following_time < np.inf:
                        replace(times, entries, n, following_time, ARRIVAL_SHIFTED | number << 24 | slot)
                        number += 1
                        hole = False
                for _ in range(int64(size)):
                    j = w.free
                    w.free = jobs[j].following
                    w.unused -= 1
                    jobs[j].word = uint64(flows[slot].arrived)
                    flows[slot].arrived += 1
                    jobs[j].pc = row.start
                    jobs[j].process = slot
                    jobs[j].serial = flows[slot].arrived + flows[slot].copies
                    jobs[j].born = now
                    jobs[j].waited = 0.0
                    for c in range(n_counters):
                        counters[j * n_counters + c] = 0
                    for c in range(n_attributes):
                        attributes[j * n_attributes + c] = initial_of(w)[c]
                    level(levels, first_process + slot, now, 1.0)
                    if w.tracing:
                        note(w, now, DID_ARRIVE, slot, jobs[j].serial, jobs[j].pc, 0.0)
                    if size != 1.0:
                        go_on(w, jobs, j)
                if size != 1.0:
                    continue
            elif slot < first_job:
                if time > arrivals_until:
                    inside = 0.0
                    for p in range(w.n_sources):
                        inside += levels[first_process + p].value
                    if inside == 0.0 or w.fruitless > MOST_FRUITLESS:
                        break
                    w.fruitless += 1
                hole = True
                now = time
                w.now = now
                w.events += 1
                n -= 1
                if n > 0:
                    replace(times, entries, n, times[n], entries[n])
                hole = False
                w.pending = n
                w.scheduled = number
                fault = tick(w, slot - w.n_sources)
                n, number = w.pending, w.scheduled
                if fault != 0:
                    wrong = w.wrong
                    w.fault_pc = -1
                    w.fault_serial = 0
                    w.fault_process = slot - w.n_sources
                    break
                continue
            else:
                j = slot - first_job
                hole = True
                if jobs[j].due != key:
                    continue
                now = time
                w.now = now
                w.events += 1
                jobs[j].due = -1
                w.fruitless = 0
                if jobs[j].queue >= 0:
                    give_up(w, j)
        jobs[j].working = 0
        # -- what it does ----------------------------------------------------------------------------------------------
        i = jobs[j].pc
        steps = 0
        joins: Any = int64(-1)
        while True:
            steps += 1
            if steps > MOST_STEPS:
                fault, wrong = IS_ENDLESS, float64(MOST_STEPS)
                break
            if tracing and w.traced > most_rows:
                w.current = j
                jobs[j].pc = i
                status = NO_TRACE
                break
            op = code[i].op
            if op == HOLD:
                if jobs[j].left >= 0.0:
                    x = jobs[j].left
                    jobs[j].left = -1.0
                else:
                    v = code[i].a
                    if values[v].kind == EXPONENTIAL and values[v].dynamic == 0:
                        c = values[v].counter
                        drawn_before = int64(0)
                        if c >= 0:
                            drawn_before = counters[j * n_counters + c]
                            counters[j * n_counters + c] = drawn_before + 1
                        x = (
                            -math.log(uniform(job_key(keys[values[v].stream], jobs[j].word), drawn_before))
                            * numbers[v].p0
                        )
                    else:
                        x = value_of(w, v, j)
                    if not (x >= 0.0 and x < np.inf):
                        fault, wrong = BAD_TIME, x
                        break
                    jobs[j].length = x
                if w.tracing:
                    note(w, now, DID_HOLD, jobs[j].process, jobs[j].serial, i, x)
                jobs[j].finish = now + x
                jobs[j].working = code[i].c
                key = code[i].b << 60 | number << 24 | (j + first_job)
                number += 1
                jobs[j].due = key
                if hole:
                    replace(times, entries, n, now + x, key)
                    hole = False
                else:
                    push(times, entries, n, now + x, key)
                    n += 1
                jobs[j].pc = i + 1
                break
            if op == SEIZE:
                wanted = value_of(w, code[i].b, j)
                priority = value_of(w, code[i].c, j)
                if math.isnan(priority):
                    fault, wrong = BAD_NUMBER, priority
                    break
                r = code[i].a
                if code[i].f == 1:
                    if not (wanted >= 1.0 and wanted == math.floor(wanted) and wanted <= resources[r].most):
                        fault, wrong = BAD_UNITS, wanted
                        break
                    spare = levels[2 * r + 1].value - levels[2 * r].value
                    usual = resources[r].order < 0 and resources[r].preemption == FINISH
                    if usual and (spare < wanted or queues[r].head < 0):
                        # Nobody waits and there is room, or there is none.
                        jobs[j].units = int64(wanted)
                        jobs[j].rank = priority
                        jobs[j].order = 0.0
                        jobs[j].ticket = w.tickets
                        w.tickets += 1
                        jobs[j].together = -1
                        if spare < wanted:
                            joins = r
                            break
                        tally(w, tallies, r, 0.0)
                        level(levels, 2 * r, now, wanted)
                        held[j * n_resources + r] += jobs[j].units
                        jobs[j].holding += jobs[j].units
                        if resources[r].holders >= 0:
                            take_holder(w, j, r, resources[r].holders)
                        i += 1
                        continue
                elif code[i].g != ALL:
                    r = choose(w, j, i, wanted)
                jobs[j].pc = i
                short = granted_at_once(w, j, i, r, wanted, priority)
                if short == -1:
                    i += 1
                    continue
                if short <= -2:
                    fault, wrong = -2 - short, w.wrong
                    break
                joins = short
                break
            if op == RELEASE:
                r = code[i].a
                if code[i].f == 1 and code[i].b < 0:
                    back = held[j * n_resources + r]
                    if back == 0:
                        fault, wrong = NOT_HELD, np.inf
                        break
                    if resources[r].holders < 0:
                        held[j * n_resources + r] = 0
                        jobs[j].holding -= back
                        level(levels, 2 * r, now, -float64(back))
                        if w.tracing:
                            note(w, now, DID_RELEASE, jobs[j].process, jobs[j].serial, i, float64(r))
                        while queues[r].head >= 0:
                            other = queues[r].head
                            if jobs[other].together >= 0:
                                serve(w, r)
                                break
                            if levels[2 * r + 1].value - levels[2 * r].value < jobs[other].units:
                                break
                            dequeue(w, other)
                            level(levels, 2 * r, now, float64(jobs[other].units))
                            held[other * n_resources + r] += jobs[other].units
                            jobs[other].holding += jobs[other].units
                            go_on(w, jobs, other)
                        i += 1
                        continue
                jobs[j].pc = i
                fault = release_some(w, j, i)
                if fault != 0:
                    wrong = w.wrong
                    break
                i += 1
            elif op == DEPART:
                if jobs[j].holding != 0:
                    fault, wrong = STILL_HELD, float64(jobs[j].holding)
                    break
                p = jobs[j].process
                level(levels, first_process + p, now, -1.0)
                flows[p].spent += now - jobs[j].born
                flows[p].departed += 1
                tally(w, tallies, first_tally + 2 * p, now - jobs[j].born)
                tally(w, tallies, first_tally + 2 * p + 1, jobs[j].waited)
                if w.tracing:
                    note(w, now, DID_DEPART, p, jobs[j].serial, i, 0.0)
                if jobs[j].inside >= 0:
                    fault = leave_batches(w, j, DID_DEPART)
                    if fault != 0:
                        wrong = w.wrong
                        break
                if jobs[j].splits != 0 or jobs[j].family >= 0:
                    jobs[j].splits = 0
                    jobs[j].family = -1
                if jobs[j].depth != 0:
                    jobs[j].depth = 0
                jobs[j].born = math.nan
                jobs[j].following = w.free
                w.free = j
                w.unused += 1
                break
            elif op == DECIDE:
                u = next_uniform(w, j, code[i].c, code[i].d)
                x = value_of(w, code[i].a, j)
                if not (x >= 0.0 and x <= 1.0):
                    fault, wrong = BAD_PROBABILITY, x
                    break
                i = code[i].b if u <= x else i + 1
            elif op == BRANCH:
                x = value_of(w, code[i].a, j)
                if math.isnan(x):
                    fault, wrong = BAD_NUMBER, x
                    break
                i = code[i].b if x != 0.0 else i + 1
            elif op == CHOOSE:
                u = next_uniform(w, j, code[i].c, code[i].d)
                chosen = code[i].a
                last = chosen + code[i].b - 1
                x = value_of(w, branches[chosen].chance, j)
                reached = x
                while x >= 0.0 and x <= 1.0 and chosen < last and u > reached:
                    chosen += 1
                    x = value_of(w, branches[chosen].chance, j)
                    reached += x
                if not (x >= 0.0 and x <= 1.0):
                    fault, wrong = BAD_PROBABILITY, x
                    break
                i = branches[chosen].to
            elif op == JUMP:
                i = code[i].a
            elif op == ASSIGN:
                x = value_of(w, code[i].b, j)
                if math.isnan(x):
                    fault, wrong = BAD_NUMBER, x
                    break
                attributes[j * n_attributes + code[i].a] = x
                i += 1
            elif op == LOOP:
                attributes[j * n_attributes + code[i].a] += 1.0
                x = value_of(w, code[i].b, j)
                if math.isnan(x):
                    fault, wrong = BAD_NUMBER, x
                    break
                if attributes[j * n_attributes + code[i].a] < x:
                    i = code[i].c
                else:
                    attributes[j * n_attributes + code[i].a] = 0.0
                    i += 1
            elif op == RECORD:
                x = value_of(w, code[i].b, j)
                if math.isnan(x):
                    fault, wrong = BAD_NUMBER, x
                    break
                add(tallies, first_record + code[i].a, x)
                if x < 0.0:
                    count(w, w.first_below + code[i].a, -x)
                else:
                    count(w, first_record + code[i].a, x)
                i += 1
            elif op == BATCH:
                jobs[j].pc = i
                size = whole_of(w, code[i].b, j)
                if math.isnan(size):
                    fault, wrong = BAD_COUNT, w.wrong
                    break
                jobs[j].pc = i + 1
                batch_up(w, j, code[i].a, size)
                break
            elif op == UNBATCH:
                unbatch(w, j, i + 1)
                i += 1
            elif op == SPLIT:
                c = values[code[i].a].counter
                drawn_before = counters[j * n_counters + c] if c >= 0 else int64(0)
                size = whole_of(w, code[i].a, j)
                if math.isnan(size):
                    fault, wrong = BAD_COUNT, w.wrong
                    break
                if size - 1 > w.unused:
                    # Come back to this step with room for the copies.
                    if c >= 0:
                        counters[j * n_counters + c] = drawn_before
                    w.wanted = int64(size)
                    w.current = j
                    jobs[j].pc = i
                    status = NO_JOBS
                    break
                split(w, j, int64(size), code[i].b)
                i += 1
            elif op == COMBINE:
                jobs[j].pc = i
                outcome = combine(w, j, code[i].a, code[i].b)
                if outcome >= 2:
                    fault, wrong = outcome - 2, w.wrong
                    break
                if outcome == 1:
                    break
                i += 1
            elif op == SIGNAL:
                wake(w, code[i].a)
                i += 1
            elif op == WAIT:
                joins = code[i].a
                break
            elif op == PUT_ITEM:
                if w.free_item < 0:
                    # Come back to this step with room for the item.
                    w.current = j
                    jobs[j].pc = i
                    status = NO_ITEMS
                    break
                slot = make_item(w, j, i)
                if slot < 0:
                    fault, wrong = BAD_NUMBER, w.wrong
                    break
                q = code[i].c
                if (
                    queues[q].head < 0
                    and levels[w.first_container + code[i].a].value < containers_of(w)[code[i].a].capacity
                ):
                    tally(w, tallies, q, 0.0)
                    jobs[j].pc = i
                    put_item(w, code[i].a, slot)
                    i += 1
                    continue
                jobs[j].item = slot
                joins = q
                break
            elif op == GET_ITEM:
                slot = item_for(w, j, i)
                if slot >= 0:
                    tally(w, tallies, code[i].c, 0.0)
                    take_item(w, j, i, slot)
                    jobs[j].pc = i
                    let_in(w, code[i].a)
                    i += 1
                    continue
                joins = code[i].c
                break
            else:
                x = value_of(w, code[i].b, j)
                if not (x >= 0.0 and x <= containers_of(w)[code[i].a].capacity):
                    fault, wrong = BAD_AMOUNT, x
                    break
                q = code[i].c
                if queues[q].head < 0 and move(w, code[i].a, x, op == GET):
                    tally(w, tallies, q, 0.0)
                    jobs[j].pc = i
                    serve_container(w, code[i].a)
                    i += 1
                    continue
                jobs[j].amount = x
                joins = q
                break
        if joins >= 0:
            if code[i].d >= 0:
                w.pending = n
                w.scheduled = number
                fault = patience(w, j, code[i].d, hole)
                if w.scheduled != number:
                    hole = False
                n, number = w.pending, w.scheduled
                wrong = w.wrong
            if fault == 0:
                jobs[j].pc = i + 1
                queue_up(w, j, joins)
        if fault != 0:
            w.fault_pc = i
            w.fault_serial = jobs[j].serial
            w.fault_process = jobs[j].process
            break
        if status != DONE:
            break
    if hole:
        n -= 1
        if n > 0:
            replace(times, entries, n, times[n], entries[n])
    w.pending = n
    w.scheduled = number
    w.now = now
    if fault != 0:
        w.fault = fault
        w.wrong = wrong
        return ERROR
    return status


def make() -> tuple[str, str]:
    """The module of `advance`, and its symbol."""
    return build(advance, types.int64(types.int64, types.float64, types.float64, types.int64))
