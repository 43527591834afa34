"""Taking resources from jobs at work."""

from __future__ import annotations

from livesim.compiler.program import Action, Class, Mode
from livesim.engine.reference.queues import before, enqueue
from livesim.engine.reference.state import Job, State
from livesim.engine.reference.values import value


def preempt(s: State, job: Job, r: int) -> bool:
    """Take units from less urgent jobs at work, if that makes enough of them; whether it did."""
    resource = s.resources[r]
    if s.queues[r] and not before(job, s.queues[r][0], resource.discipline):
        return False
    spare = resource.capacity.value - resource.busy.value
    if spare + sum(w.held[r] for w in at_work_below(s, r, job.rank)) < job.units:
        return False
    while resource.capacity.value - resource.busy.value < job.units:
        taken = victim(s, r, job.rank)
        assert taken is not None
        interrupt(s, taken, r, resource.preemption)
    return True


def at_work_below(s: State, r: int, rank: float) -> list[Job]:
    """The jobs at work on a resource that are less urgent than `rank`."""
    return [job for job, (own, _) in (s.resources[r].holders or {}).items() if own > rank and at_work(s, job)]


def at_work(s: State, job: Job) -> bool:
    """Whether a job is in a hold that can be interrupted: work that ends now, before a release, is done."""
    done = job.finish == s.now and s.code[job.pc - 1][2] == Class.RELEASING
    return job.working and not done


def victim(s: State, r: int, rank: float) -> Job | None:
    """The least urgent job at work on a resource that is less urgent than `rank`; of equals, the last to come."""
    holders = s.resources[r].holders or {}
    return max(at_work_below(s, r, rank), key=holders.__getitem__, default=None)


def interrupt(s: State, job: Job, r: int, mode: int) -> None:
    """Take a resource from a job at work; it waits to get it back, at the place that it had."""
    resource = s.resources[r]
    assert resource.holders is not None
    job.left = -1.0 if mode == Mode.RESAMPLE else job.length if mode == Mode.RESTART else job.finish - s.now
    job.working, job.due = False, -1
    job.pc -= 1
    s.counts[job.process][5] += 1
    s.note(Action.INTERRUPT, job, float(r))
    job.units, job.together = job.held.pop(r), -1
    job.rank, job.ticket = resource.holders.pop(job)
    resource.busy.set(s.now, resource.busy.value - job.units)
    job.order = value(s, resource.order, job) if resource.order >= 0 else 0.0
    enqueue(s, job, r)
