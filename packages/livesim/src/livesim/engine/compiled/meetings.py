"""Jobs that come together and part, and jobs that leave."""

from __future__ import annotations

import math

from numpy import float64, int64, uint64

from livesim.engine.compiled.constants import BAD_COUNT, DID_COMBINE, DID_DEPART, DID_SPLIT, STILL_HELD
from livesim.engine.compiled.queues import dequeue, go_on, queue_up
from livesim.engine.compiled.readers import (
    attributes_of,
    counters_of,
    flows_of,
    jobs_of,
    levels_of,
    queues_of,
    tallies_of,
)
from livesim.engine.compiled.statistics import level, note_job, tally
from livesim.engine.compiled.typed import World, routine
from livesim.engine.compiled.values import whole_of
from livesim.random.compiled import job_key


@routine
def batch_up(w: World, j: int, q: int, size: float) -> None:
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


@routine
def unbatch(w: World, j: int, pc: int) -> None:
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


@routine
def set_free(w: World, j: int) -> None:
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


@routine
def leave(w: World, j: int, action: int) -> int:
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
        tally(w, tallies_of(w), w.first_sojourn + 2 * p, now - jobs[j].born)
        tally(w, tallies_of(w), w.first_sojourn + 2 * p + 1, jobs[j].waited)
    else:
        flows_of(w)[p].combined += 1
    if w.tracing:
        note_job(w, action, j, 0.0)
    return 0


@routine
def leave_batches(w: World, j: int, action: int) -> int:
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


@routine
def split(w: World, j: int, parts: int, to: int) -> None:
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


@routine
def combine(w: World, j: int, q: int, v: int) -> int:
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
