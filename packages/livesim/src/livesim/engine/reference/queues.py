"""Queues, and jobs that give up their wait."""

from __future__ import annotations

import math

from livesim.compiler.program import Action, Class, Discipline, Fault
from livesim.engine.reference.state import Job, State, Wrong
from livesim.engine.reference.values import value


def before(job: Job, other: Job, discipline: int) -> bool:
    """Whether a job is served before another: by priority, then the discipline, then first come (or last come)."""
    if job.rank != other.rank:
        return job.rank < other.rank
    if job.order != other.order:
        return job.order < other.order
    if discipline == Discipline.LIFO:
        return job.ticket > other.ticket
    return job.ticket < other.ticket


def enqueue(s: State, job: Job, queue: int) -> None:
    """Let a job join a queue."""
    job.mark = s.now
    s.note(Action.WAIT, job, float(queue))
    if queue >= len(s.resources):
        job.rank, job.order, job.ticket = 0.0, 0.0, s.tickets
        s.tickets += 1
    link(s, job, queue)


def link(s: State, job: Job, queue: int) -> None:
    """Put a job at its place in a queue."""
    waiting = s.queues[queue]
    discipline = s.resources[queue].discipline if queue < len(s.resources) else Discipline.FIFO
    place = len(waiting)
    while place > 0 and before(job, waiting[place - 1], discipline):
        place -= 1
    waiting.insert(place, job)
    job.queue = queue
    s.lengths[queue].set(s.now, len(waiting))
    if len(waiting) > s.longest[queue]:
        s.longest[queue] = len(waiting)


def unlink(s: State, job: Job) -> None:
    waiting = s.queues[job.queue]
    waiting.remove(job)
    s.lengths[job.queue].set(s.now, len(waiting))
    job.queue = -1


def dequeue(s: State, job: Job) -> Job:
    """Take a job out of its queue with what it waited for."""
    queue, waited = job.queue, s.now - job.mark
    unlink(s, job)
    job.due = -1
    job.waited += waited
    s.waits[queue].add(waited)
    s.note(Action.GO, job, float(queue))
    return job


def wait_in(s: State, job: Job, queue: int, patience: int) -> bool:
    """Let a job wait in a queue, and give up after a time if it has a patience; it stops here."""
    if patience >= 0:
        time = value(s, patience, job)
        if not time >= 0.0:
            raise Wrong(Fault.TIME, time)
        if time < math.inf:
            job.due = s.schedule(s.now + time, Class.PATIENCE, job)
    job.pc += 1
    enqueue(s, job, queue)
    return False


def signal(s: State, job: Job, row: list[int]) -> bool:
    """Let everybody who waits for a signal go on."""
    job.pc += 1
    while s.queues[row[1]]:
        s.ready.append(dequeue(s, s.queues[row[1]][0]))
    return True


def wait(s: State, job: Job, row: list[int]) -> bool:
    return wait_in(s, job, row[1], row[4])
