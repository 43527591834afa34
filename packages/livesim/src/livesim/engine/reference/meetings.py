"""Jobs that come together and part, and jobs that leave."""

from __future__ import annotations

from livesim.compiler.program import Action, Fault
from livesim.engine.reference.arrivals import create
from livesim.engine.reference.queues import dequeue, enqueue
from livesim.engine.reference.state import Job, State, Wrong
from livesim.engine.reference.values import whole
from livesim.random import job_key


def batch(s: State, job: Job, row: list[int]) -> bool:
    """Join a gate; if that makes enough, the first to come stands for all of them."""
    queue = s.queues[row[1]]
    size = whole(s, row[2], job)
    job.pc += 1
    enqueue(s, job, row[1])
    if len(queue) >= size:
        first, *others = [dequeue(s, queue[0]) for _ in range(size)]
        first.batches = [*(first.batches or []), others]
        s.ready.append(first)
    return False


def unbatch(s: State, job: Job, row: list[int]) -> bool:
    """Let the members of the latest batch go on from here."""
    job.pc += 1
    if job.batches:
        for member in job.batches.pop():
            member.pc = job.pc
            s.ready.append(member)
    return True


def split(s: State, job: Job, row: list[int]) -> bool:
    """Make copies of a job, which run after it."""
    parts = whole(s, row[1], job)
    job.family, job.parts = s.families, parts
    s.families += 1
    parent = job_key(job.word, job.splits)
    job.splits += 1
    for part in range(1, parts):
        s.counts[job.process][1] += 1
        copy = create(s, job.process, job_key(parent, part), row[2], job.attributes)
        copy.family, copy.parts = job.family, parts
        s.note(Action.SPLIT, copy, 0.0)
        s.ready.append(copy)
    job.pc += 1
    return True


def combine(s: State, job: Job, row: list[int]) -> bool:
    """Merge the jobs at a combine if they are all there."""
    _, at, count, *_ = row
    queue = s.queues[at]
    wanted = whole(s, count, job) if count >= 0 else job.parts
    job.pc += 1
    if count < 0 and job.family < 0:
        return True
    enqueue(s, job, at)
    there = [other for other in queue if count >= 0 or other.family == job.family][:wanted]
    if len(there) == wanted:
        for other in there:
            dequeue(s, other)
        if count < 0:
            there[0].family = -1
        s.ready.append(there[0])
        for other in there[1:]:
            leave(s, other, Action.COMBINE)
    return False


def depart(s: State, job: Job, row: list[int]) -> bool:
    leave(s, job, Action.DEPART)
    return False


def leave(s: State, job: Job, action: Action) -> None:
    """Take a job and the members of its batches out of the system."""
    if job.held:
        raise Wrong(Fault.STILL_HELD, float(sum(job.held.values())))
    s.alive.discard(job)
    p, time = job.process, s.now - job.born
    inside = s.inside[p]
    inside.set(s.now, inside.value - 1)
    s.spent[p] += time
    if action == Action.DEPART:
        s.counts[p][2] += 1
        s.sojourns[p].add(time)
        s.waiting_times[p].add(job.waited)
    else:
        s.counts[p][3] += 1
    s.note(action, job, 0.0)
    for members in reversed(job.batches or []):
        for member in members:
            leave(s, member, action)
