"""Queues, and the jobs that were let go."""

from __future__ import annotations

from numpy import float64, int64

from livesim.engine.compiled.constants import DID_GO, DID_WAIT, LIFO
from livesim.engine.compiled.readers import jobs_of, levels_of, queues_of, resources_of, tallies_of
from livesim.engine.compiled.statistics import level, note_job, tally
from livesim.engine.compiled.typed import Jobs, World, inlined, routine


@inlined
def go_on(w: World, jobs: Jobs, j: int) -> None:
    """Let a job run next, after those that were let go before it."""
    jobs[j].following = -1
    if w.ready_last < 0:
        w.ready = j
    else:
        jobs[w.ready_last].following = j
    w.ready_last = j


@inlined
def before(jobs: Jobs, j: int, other: int, discipline: int) -> bool:
    """Whether a job is served before another: by priority, then the discipline, then first come (or last come)."""
    if jobs[j].rank != jobs[other].rank:
        return jobs[j].rank < jobs[other].rank
    if jobs[j].order != jobs[other].order:
        return jobs[j].order < jobs[other].order
    if discipline == LIFO:
        return jobs[j].ticket > jobs[other].ticket
    return jobs[j].ticket < jobs[other].ticket


@routine
def link(w: World, j: int, q: int) -> None:
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


@routine
def unlink(w: World, j: int) -> None:
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


@routine
def queue_up(w: World, j: int, q: int) -> None:
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


@routine
def dequeue(w: World, j: int) -> None:
    """Take a job out of its queue with what it waited for."""
    jobs = jobs_of(w)
    q = jobs[j].queue
    unlink(w, j)
    jobs[j].due = -1
    waited = w.now - jobs[j].mark
    jobs[j].waited += waited
    tally(w, tallies_of(w), q, waited)
    if w.tracing:
        note_job(w, DID_GO, j, float64(q))


@routine
def wake(w: World, q: int) -> None:
    """Let every job in a queue go."""
    jobs = jobs_of(w)
    while queues_of(w)[q].head >= 0:
        j = queues_of(w)[q].head
        dequeue(w, j)
        go_on(w, jobs, j)
