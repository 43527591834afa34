"""Units of resources: who gets them, and giving them back."""

from __future__ import annotations

import math

from livesim.compiler.program import Action, Fault, Mode, Policy
from livesim.engine.reference.interruption import preempt
from livesim.engine.reference.queues import before, dequeue, link, unlink, wait_in
from livesim.engine.reference.state import Job, State, Wrong
from livesim.engine.reference.values import number, uniform, value

ALL, FINISH = int(Policy.ALL), int(Mode.FINISH)


def seize(s: State, job: Job, row: list[int]) -> bool:
    """Take units, or join a queue for them."""
    _, a, wanted, priority, patience, _, count, policy = row
    units = value(s, wanted, job)
    rank = number(s, priority, job)
    if count > 1 and policy != ALL:
        a, count = choose(s, job, a, count, policy, units), 1
    resources = [a] if count == 1 else s.sets[a : a + count]
    for r in resources:
        if not (units >= 1.0 and units == math.floor(units) and units <= s.resources[r].most):
            raise Wrong(Fault.UNITS, units)
    job.units, job.rank, job.ticket = int(units), rank, s.tickets
    job.together = a if count > 1 else -1
    s.tickets += 1
    short = first_short(s, job, resources)
    preempts = short >= 0 and count == 1 and s.resources[a].preemption != FINISH and preempt(s, job, a)
    if short >= 0 and not preempts:
        return wait_in(s, job, short, patience)
    for r in resources:
        s.waits[r].add(0.0)
        take(s, job, r)
    if preempts:
        # Whoever was interrupted may have held more than was wanted.
        serve(s, a)
    job.pc += 1
    return True


def choose(s: State, job: Job, a: int, count: int, policy: int, units: float) -> int:
    """The resource of a set that a policy prefers: one that has the units free, if there is one."""
    resources = s.sets[a : a + count]

    def spare(r: int) -> float:
        return s.resources[r].capacity.value - s.resources[r].busy.value

    open_ones = [r for r in resources if not s.queues[r] and spare(r) >= units]
    if policy == Policy.ROUND_ROBIN:
        s.turns[a] += 1
        return resources[(s.turns[a] - 1) % count]
    if policy == Policy.RANDOM:
        u = uniform(s, job, s.sets[a + count], s.sets[a + count + 1])
        among = open_ones or resources
        return among[min(int(u * len(among)), len(among) - 1)]
    if policy == Policy.FIRST_AVAILABLE and open_ones:
        return open_ones[0]
    return min(resources, key=lambda r: len(s.queues[r]) - spare(r))


def first_short(s: State, job: Job, resources: list[int]) -> int:
    """The first resource that the job cannot have now: too few units free, or others wait before it. -1: none."""
    for r in resources:
        resource, queue = s.resources[r], s.queues[r]
        job.order = number(s, resource.order, job) if resource.order >= 0 else 0.0
        if resource.capacity.value - resource.busy.value < job.units:
            return r
        if queue and not before(job, queue[0], resource.discipline):
            return r
    return -1


def take(s: State, job: Job, r: int) -> None:
    """Give a job the units that it wants."""
    resource = s.resources[r]
    resource.busy.set(s.now, resource.busy.value + job.units)
    job.held[r] = job.held.get(r, 0) + job.units
    if resource.holders is not None:
        resource.holders.pop(job, None)
        resource.holders[job] = (job.rank, job.ticket)


def release(s: State, job: Job, row: list[int]) -> bool:
    """Give back units of one resource or of those held of a set, and serve their queues."""
    _, a, wanted, _, _, _, count, _ = row
    resources = [r for r in ([a] if count == 1 else s.sets[a : a + count]) if r in job.held]
    units = value(s, wanted, job) if wanted >= 0 else math.inf
    if wanted >= 0 and not (units >= 1.0 and units == math.floor(units)):
        raise Wrong(Fault.UNITS, units)
    if not resources or (wanted >= 0 and any(job.held[r] < units for r in resources)):
        raise Wrong(Fault.NOT_HELD, units)
    for r in resources:
        resource, held = s.resources[r], job.held[r]
        back = held if wanted < 0 else int(units)
        if back == held:
            del job.held[r]
            if resource.holders is not None:
                del resource.holders[job]
        else:
            job.held[r] = held - back
        resource.busy.set(s.now, resource.busy.value - back)
        s.note(Action.RELEASE, job, float(r))
    for r in resources:
        serve(s, r)
    job.pc += 1
    return True


def serve(s: State, r: int) -> None:
    """Let jobs go from a resource's queue, in order, as long as the first can have what it waits for."""
    resource, queue = s.resources[r], s.queues[r]
    while queue:
        job = queue[0]
        if resource.capacity.value - resource.busy.value < job.units:
            return
        if job.together < 0:
            dequeue(s, job)
            take(s, job, r)
            s.ready.append(job)
            continue
        resources = s.sets[job.together : job.together + s.code[job.pc - 1][6]]
        unlink(s, job)
        short = first_short(s, job, resources)
        if short < 0:
            take_together(s, job, resources)
            s.ready.append(job)
        else:
            link(s, job, short)
            if short == r:
                return


def take_together(s: State, job: Job, resources: list[int]) -> None:
    """Give a job that waited for several resources all of them."""
    waited = s.now - job.mark
    job.due = -1
    job.waited += waited
    s.note(Action.GO, job, float(resources[0]))
    for r in resources:
        s.waits[r].add(waited)
        take(s, job, r)
