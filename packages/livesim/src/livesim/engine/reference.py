"""The interpreter in plain Python: the specification of what every instruction does.

`livesim.engine.compiled` does the same float operations in the same order on flat arrays, and is equal to the bit.

What happens at one time happens in this order. The job that runs goes on until it has to wait. Jobs that were let go
(granted units, woken, a batch's members) run next, in the order in which they were let go. Then come the events of the
calendar, by `Class`: changes of capacity, ends of holds that lead to a release, other ends, patience that ran out,
arrivals; within a class in the order in which they were scheduled. So units come free before anyone asks for them, and
whoever is served at the moment its patience ends is served. A release serves the queue at once.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from livesim.compiler.arithmetic import ARITY, apply
from livesim.compiler.program import (
    ENDLESS,
    EXPRESSION,
    FRUITLESS,
    Action,
    Class,
    ClockKind,
    Code,
    Discipline,
    Fault,
    Mode,
    Op,
    Policy,
    Program,
    SourceKind,
    Status,
    Then,
)
from livesim.random import Kind, draw, job_key, replication_key, stream_key, uniform

CONSTANT, TRACE = int(Kind.CONSTANT), int(Kind.TRACE)
FAR = 1 << 62
"""Where in a trace a copy reads, which has no number of its own: past its end."""


class Outcome(NamedTuple):
    """What a run leaves, as arrays: the two interpreters are compared by these."""

    clock: float
    events: int
    levels: np.ndarray
    """float64 (resource busy, capacity; queue; process; container, 3): value, since when, area up to then."""
    tallies: np.ndarray
    """float64 (queue wait; process sojourn, wait; record, 5): count, mean, sum of squares, least, largest."""
    counts: np.ndarray
    """int64 (process, 6): arrived, copies, departed, combined, reneged, interrupted."""
    longest: np.ndarray
    """int64 (queue,): the longest that each queue was."""
    spent: np.ndarray
    """float64 (process,): time in the system of all jobs that left it."""


class Trace(NamedTuple):
    """Columns of what happened: times, and `Action`, process, job, instruction; and a detail."""

    time: np.ndarray
    what: np.ndarray
    """int64 (row, 4)"""
    detail: np.ndarray


class Waiting(NamedTuple):
    """A job that waits in a queue while it holds something."""

    process: int
    serial: int
    queue: int
    patient: bool
    """Whether it gives up after a time."""
    held: dict[int, int]


class Level:
    """A number over time, and the area below it."""

    def __init__(self, value: float = 0) -> None:
        self.value, self.since, self.area = value, 0.0, 0.0

    def set(self, now: float, value: float) -> None:
        self.area += self.value * (now - self.since)
        self.since, self.value = now, value


class Tally:
    """Count, mean, sum of squared deviations (Welford 1962), least and largest of numbers."""

    def __init__(self) -> None:
        self.row = [0.0, 0.0, 0.0, math.inf, -math.inf]

    def add(self, x: float) -> None:
        n, mean, squares, least, largest = self.row
        n += 1.0
        d = x - mean
        mean += d / n
        self.row = [n, mean, squares + d * (x - mean), min(least, x), max(largest, x)]


@dataclass(eq=False)
class Job:
    """One job: where it is in its process, what it holds and what it waits for."""

    process: int
    serial: int
    word: int
    """What its random numbers are keyed by: how many came before it, or a hash for a copy."""
    pc: int
    born: float
    attributes: list[float]
    counters: list[int]
    waited: float = 0.0
    held: dict[int, int] = field(default_factory=dict)
    held_rank: dict[int, float] = field(default_factory=dict)
    held_ticket: dict[int, int] = field(default_factory=dict)
    working: bool = False
    due: int = -1
    """The number of the event that it waits for; any other of its events is stale."""
    finish: float = 0.0
    length: float = 0.0
    left: float = -1.0
    """What is left of an interrupted hold; below 0, none was."""
    queue: int = -1
    mark: float = 0.0
    rank: float = 0.0
    order: float = 0.0
    ticket: int = 0
    units: int = 0
    together: int = -1
    """Where the set of resources begins that it waits for all at once."""
    amount: float = 0.0
    batches: list[list[Job]] = field(default_factory=list)
    splits: int = 0
    family: int = -1
    parts: int = 0


class Wrong(Exception):
    """A number that an instruction cannot use."""

    def __init__(self, fault: Fault, value: float) -> None:
        self.fault, self.value = fault, value


@dataclass(eq=False)
class Resource:
    capacity: Level
    busy: Level
    most: int
    discipline: int
    order: int
    preemption: int
    holders: list[Job] | None
    """The jobs that hold units, in the order in which they got them, where units can be taken away."""
    scheduled: int
    down: bool = False


class Reference:
    """One replication. `advance` runs it; `outcome` and `trace` say what came of it."""

    def __init__(self, program: Program, seed: int, replication: int = 0, *, tracing: bool = False) -> None:
        self.code = program.code.tolist()
        self.values = program.values.tolist()
        self.parameters = program.parameters.tolist()
        self.bytecode = program.bytecode.tolist()
        self.constants = program.constants.tolist()
        self.table = program.table.tolist()
        self.branches = program.branches.tolist()
        self.sets = program.sets.tolist()
        self.sources = program.sources.tolist()
        self.clocks = program.clocks.tolist()
        self.times = program.times.tolist()
        self.limits = program.containers[:, 0].tolist()
        self.initial = program.attributes.tolist()
        key = replication_key(seed, replication)
        self.keys = [stream_key(key, number) for number in program.streams.tolist()]
        queues, records, self.counters, _ = program.sizes.tolist()

        self.now = 0.0
        self.calendar: list[tuple[float, int, int, Any]] = []
        self.ready: deque[Job] = deque()
        self.current: Job | None = None
        self.at = 0
        """The instruction that runs."""
        self.scheduled = self.tickets = self.families = self.events = self.fruitless = 0
        self.resources = [
            Resource(Level(capacity), Level(), most, discipline, order, mode, [] if holders >= 0 else None, capacity)
            for capacity, most, discipline, order, mode, holders in program.resources.tolist()
        ]
        self.queues: list[list[Job]] = [[] for _ in range(queues)]
        self.lengths = [Level() for _ in range(queues)]
        self.longest = [0] * queues
        self.waits = [Tally() for _ in range(queues)]
        self.inside = [Level() for _ in self.sources]
        self.sojourns = [Tally() for _ in self.sources]
        self.waiting_times = [Tally() for _ in self.sources]
        self.records = [Tally() for _ in range(records)]
        self.amounts = [Level(held) for held in program.containers[:, 1].tolist()]
        self.counts = [[0] * 6 for _ in self.sources]
        self.spent = [0.0] * len(self.sources)
        self.alive: set[Job] = set()
        self.arrivals = [0] * len(self.sources)
        self.ticks = [0] * len(self.clocks)
        self.turns = [0] * len(self.sets)
        self.fault: tuple[Fault, int, int, int, float] | None = None
        """What went wrong, at which instruction, in which job of which process, with which value."""
        self.log: list[tuple[float, int, int, int, int, float]] | None = [] if tracing else None
        try:
            for clock in range(len(self.clocks)):
                self.start_clock(clock)
            for source in range(len(self.sources)):
                self.schedule_arrival(source)
        except Wrong as wrong:
            self.fault = (wrong.fault, -1, 0, -1, wrong.value)

    # -- the loop ------------------------------------------------------------------------------------------------------

    def advance(self, until: float, arrivals_until: float = math.inf, stop_events: int = 1 << 62) -> Status:
        """Run every event up to and at `until`; arrivals after `arrivals_until` do not come."""
        if self.fault:
            return Status.ERROR
        while True:
            if self.current is None and self.ready:
                self.current = self.ready.popleft()
            if self.current is None:
                if not self.calendar or self.calendar[0][0] > until:
                    return Status.DONE
                if self.events >= stop_events:
                    return Status.PAUSED
                time, event_class, number, what = self.calendar[0]
                if event_class == Class.CAPACITY and time > arrivals_until:
                    if not self.alive or self.fruitless > FRUITLESS:
                        return Status.DONE
                    self.fruitless += 1
                heapq.heappop(self.calendar)
                if isinstance(what, Job):
                    if what.due != number:
                        continue
                    self.now = time
                    self.events += 1
                    what.due = -1
                    self.fruitless = 0
                    if what.queue >= 0:
                        self.give_up(what)
                    self.current = what
                else:
                    kind, index = what
                    if kind == Class.ARRIVAL and time > arrivals_until:
                        continue
                    self.now = time
                    self.events += 1
                    try:
                        if kind == Class.ARRIVAL:
                            self.arrive(index)
                        else:
                            self.tick(index)
                    except Wrong as wrong:
                        pc = self.sources[index][0] if kind == Class.ARRIVAL else -1
                        self.fault = (wrong.fault, pc, 0, index, wrong.value)
                        return Status.ERROR
                    continue
            job, self.current = self.current, None
            job.working = False
            try:
                self.proceed(job)
            except Wrong as wrong:
                self.fault = (wrong.fault, self.at, job.serial, job.process, wrong.value)
                return Status.ERROR

    def schedule(self, time: float, event_class: int, what: Any) -> int:
        number = self.scheduled
        self.scheduled += 1
        heapq.heappush(self.calendar, (time, event_class, number, what))
        return number

    def proceed(self, job: Job) -> None:
        """Run a job's instructions until it waits, holds or leaves."""
        for _ in range(ENDLESS):
            self.at = job.pc
            op, a, b, c, d, e, f, g = self.code[job.pc]
            if op == Op.HOLD:
                if job.left >= 0.0:
                    time, job.left = job.left, -1.0
                else:
                    time = self.value(a, job)
                    if not 0.0 <= time < math.inf:
                        raise Wrong(Fault.TIME, time)
                    job.length = time
                self.note(Action.HOLD, job, time)
                job.finish = self.now + time
                job.working = c == 1
                job.due = self.schedule(job.finish, b, job)
                job.pc += 1
                return
            if op == Op.SEIZE:
                if not self.seize(job, a, b, c, d, e, f, g):
                    return
                job.pc += 1
            elif op == Op.RELEASE:
                self.release(job, a, b, f)
                job.pc += 1
            elif op == Op.DEPART:
                self.leave(job, Action.DEPART)
                return
            elif op == Op.DECIDE:
                job.pc = b if self.uniform(job, c, d) <= self.probability(a, job) else job.pc + 1
            elif op == Op.BRANCH:
                job.pc = b if self.number(a, job) != 0.0 else job.pc + 1
            elif op == Op.CHOOSE:
                u = self.uniform(job, c, d)
                chosen, reached = a, self.probability(self.branches[a][0], job)
                while chosen < a + b - 1 and u > reached:
                    chosen += 1
                    reached += self.probability(self.branches[chosen][0], job)
                job.pc = self.branches[chosen][1]
            elif op == Op.JUMP:
                job.pc = a
            elif op == Op.ASSIGN:
                job.attributes[a] = self.number(b, job)
                job.pc += 1
            elif op == Op.LOOP:
                job.attributes[a] += 1.0
                if job.attributes[a] < self.number(b, job):
                    job.pc = c
                else:
                    job.attributes[a] = 0.0
                    job.pc += 1
            elif op == Op.RECORD:
                self.records[a].add(self.number(b, job))
                job.pc += 1
            elif op == Op.BATCH:
                size = self.whole(b, job, 1)
                job.pc += 1
                self.enqueue(job, a)
                if len(self.queues[a]) >= size:
                    members = [self.dequeue(self.queues[a][0]) for _ in range(size)]
                    members[0].batches.append(members[1:])
                    self.ready.append(members[0])
                return
            elif op == Op.UNBATCH:
                job.pc += 1
                if job.batches:
                    for member in job.batches.pop():
                        member.pc = job.pc
                        self.ready.append(member)
            elif op == Op.SPLIT:
                self.split(job, self.whole(a, job, 1), b)
                job.pc += 1
            elif op == Op.COMBINE:
                if self.combine(job, a, b):
                    return
            elif op == Op.SIGNAL:
                job.pc += 1
                while self.queues[a]:
                    self.ready.append(self.dequeue(self.queues[a][0]))
            elif op == Op.WAIT:
                self.patience(job, d, e)
                job.pc += 1
                self.enqueue(job, a)
                return
            elif op in (Op.PUT, Op.GET):
                amount = self.value(b, job)
                if not 0.0 <= amount <= self.limits[a]:
                    raise Wrong(Fault.AMOUNT, amount)
                if self.queues[c] or not self.move(a, amount, op == Op.GET):
                    job.amount = amount
                    self.patience(job, d, e)
                    job.pc += 1
                    self.enqueue(job, c)
                    return
                self.waits[c].add(0.0)
                self.serve_container(a)
                job.pc += 1
        raise Wrong(Fault.ENDLESS, float(ENDLESS))

    # -- arrivals and departures ---------------------------------------------------------------------------------------

    def arrive(self, source: int) -> None:
        start, _, _, _, _, batch, limit, _ = self.sources[source]
        size = self.drawn(batch, self.arrivals[source])
        if not (size >= 0.0 and size == math.floor(size) and size < 1e9):
            raise Wrong(Fault.COUNT, size)
        self.arrivals[source] += 1
        if limit < 0 or self.arrivals[source] < limit:
            self.schedule_arrival(source)
        for _ in range(int(size)):
            word = self.counts[source][0]
            self.counts[source][0] += 1
            job = self.create(source, word, start, self.initial)
            self.note(Action.ARRIVE, job, 0.0)
            self.ready.append(job)

    def create(self, process: int, word: int, pc: int, attributes: list[float]) -> Job:
        """A new job; its number is how many the process has had."""
        serial = self.counts[process][0] + self.counts[process][1]
        self.inside[process].set(self.now, self.inside[process].value + 1)
        job = Job(process, serial, word, pc, self.now, list(attributes), [0] * self.counters)
        self.alive.add(job)
        return job

    def schedule_arrival(self, source: int) -> None:
        """Put the next arrival of a source into the calendar, if there is one."""
        _, kind, a, b, c, _, limit, stream = self.sources[source]
        n = self.arrivals[source]
        if limit == 0:
            return
        if kind == SourceKind.EVERY:
            gap = self.drawn(b if n == 0 else a, n)
            if not gap >= 0.0:
                raise Wrong(Fault.TIME, gap)
            time = self.now + gap
        elif kind == SourceKind.AT:
            time = self.times[a + n] if n < b else math.inf
        else:
            time = self.thinned(self.times[a : a + 3 * b], c, job_key(self.keys[stream], n))
        if time < math.inf:
            self.schedule(time, Class.ARRIVAL, (Class.ARRIVAL, source))

    def thinned(self, rows: list[float], then: int, key: int) -> float:
        """The next time of a Poisson process whose rate varies; infinite where there is none."""
        fastest = 0.0
        for rate in rows[2::3]:
            fastest = rate if rate > fastest else fastest
        if fastest == 0.0:
            return math.inf
        total, time, counter = rows[-2], self.now, 0
        while True:
            time += -math.log(uniform(key, counter)) / fastest
            phase = time
            if time >= total:
                if then == Then.STOP or (then == Then.KEEP and rows[-1] == 0.0):
                    return math.inf
                phase = time - math.floor(time / total) * total if then == Then.REPEAT else rows[-3]
            rate = rows[-1]
            for row in range(0, len(rows), 3):
                if rows[row] <= phase < rows[row + 1]:
                    rate = rows[row + 2]
            if uniform(key, counter + 1) * fastest <= rate:
                return time
            counter += 2

    def leave(self, job: Job, action: Action) -> None:
        """Take a job and the members of its batches out of the system."""
        if job.held:
            raise Wrong(Fault.STILL_HELD, float(sum(job.held.values())))
        self.alive.discard(job)
        p = job.process
        self.inside[p].set(self.now, self.inside[p].value - 1)
        self.spent[p] += self.now - job.born
        if action == Action.DEPART:
            self.counts[p][2] += 1
            self.sojourns[p].add(self.now - job.born)
            self.waiting_times[p].add(job.waited)
        else:
            self.counts[p][3] += 1
        self.note(action, job, 0.0)
        for members in reversed(job.batches):
            for member in members:
                self.leave(member, action)

    def split(self, job: Job, parts: int, to: int) -> None:
        job.family, job.parts = self.families, parts
        self.families += 1
        parent = job_key(job.word, job.splits)
        job.splits += 1
        for part in range(1, parts):
            self.counts[job.process][1] += 1
            copy = self.create(job.process, job_key(parent, part), to, job.attributes)
            copy.family, copy.parts = job.family, parts
            self.note(Action.SPLIT, copy, 0.0)
            self.ready.append(copy)

    def combine(self, job: Job, queue: int, count: int) -> bool:
        """Merge the jobs at a combine if they are all there; whether the job stops here."""
        wanted = self.whole(count, job, 1) if count >= 0 else job.parts
        job.pc += 1
        if count < 0 and job.family < 0:
            return False
        self.enqueue(job, queue)
        there = [other for other in self.queues[queue] if count >= 0 or other.family == job.family][:wanted]
        if len(there) == wanted:
            for other in there:
                self.dequeue(other)
            if count < 0:
                there[0].family = -1
            self.ready.append(there[0])
            for other in there[1:]:
                self.leave(other, Action.COMBINE)
        return True

    # -- resources -----------------------------------------------------------------------------------------------------

    def seize(self, job: Job, a: int, b: int, c: int, d: int, e: int, f: int, policy: int) -> bool:
        """Take units, or join a queue for them; whether they were taken."""
        units = self.value(b, job)
        rank = self.number(c, job)
        if f > 1 and policy != Policy.ALL:
            a, f = self.choose(job, a, f, policy, units), 1
        resources = [a] if f == 1 else self.sets[a : a + f]
        for r in resources:
            if not (units >= 1.0 and units == math.floor(units) and units <= self.resources[r].most):
                raise Wrong(Fault.UNITS, units)
        job.units, job.rank, job.ticket = int(units), rank, self.tickets
        job.together = a if f > 1 else -1
        self.tickets += 1
        short = self.first_short(job, resources)
        if short >= 0 and f == 1 and self.resources[a].preemption != Mode.FINISH and self.preempt(job, a):
            short = -1
        if short < 0:
            for r in resources:
                self.waits[r].add(0.0)
                self.take(job, r)
            return True
        self.patience(job, d, e)
        job.pc += 1
        self.enqueue(job, short)
        return False

    def choose(self, job: Job, a: int, count: int, policy: int, units: float) -> int:
        """The resource of a set that a policy prefers: one that has the units free, if there is one."""
        resources = self.sets[a : a + count]

        def spare(r: int) -> float:
            return self.resources[r].capacity.value - self.resources[r].busy.value

        open_ones = [r for r in resources if not self.queues[r] and spare(r) >= units]
        if policy == Policy.ROUND_ROBIN:
            self.turns[a] += 1
            return resources[(self.turns[a] - 1) % count]
        if policy == Policy.RANDOM:
            u = self.uniform(job, self.sets[a + count], self.sets[a + count + 1])
            among = open_ones or resources
            return among[min(int(u * len(among)), len(among) - 1)]
        if policy == Policy.FIRST_AVAILABLE and open_ones:
            return open_ones[0]
        return min(resources, key=lambda r: len(self.queues[r]) - spare(r))

    def first_short(self, job: Job, resources: list[int]) -> int:
        """The first resource that the job cannot have now: too few units free, or others wait before it. -1: none."""
        for r in resources:
            resource = self.resources[r]
            job.order = self.value(resource.order, job) if resource.order >= 0 else 0.0
            if math.isnan(job.order):
                raise Wrong(Fault.NUMBER, job.order)
            if resource.capacity.value - resource.busy.value < job.units:
                return r
            if self.queues[r] and not self.before(job, self.queues[r][0], resource.discipline):
                return r
        return -1

    def before(self, job: Job, other: Job, discipline: int) -> bool:
        """Whether a job is served before another: by priority, then the discipline, then first come (or last come)."""
        if job.rank != other.rank:
            return job.rank < other.rank
        if job.order != other.order:
            return job.order < other.order
        if discipline == Discipline.LIFO:
            return job.ticket > other.ticket
        return job.ticket < other.ticket

    def take(self, job: Job, r: int) -> None:
        resource = self.resources[r]
        resource.busy.set(self.now, resource.busy.value + job.units)
        job.held[r] = job.held.get(r, 0) + job.units
        if resource.holders is not None:
            self.forget(job, r)
            resource.holders.append(job)
            job.held_rank[r], job.held_ticket[r] = job.rank, job.ticket

    def forget(self, job: Job, r: int) -> None:
        """Take a job off the list of those that hold a resource."""
        holders = self.resources[r].holders
        if holders is not None and job in holders:
            holders.remove(job)

    def release(self, job: Job, a: int, b: int, f: int) -> None:
        resources = [a] if f == 1 else self.sets[a : a + f]
        resources = [r for r in resources if r in job.held]
        units = self.value(b, job) if b >= 0 else math.inf
        if b >= 0 and not (units >= 1.0 and units == math.floor(units)):
            raise Wrong(Fault.UNITS, units)
        if not resources or (b >= 0 and any(job.held[r] < units for r in resources)):
            raise Wrong(Fault.NOT_HELD, units)
        for r in resources:
            back = job.held[r] if b < 0 else int(units)
            job.held[r] -= back
            if job.held[r] == 0:
                del job.held[r]
                self.forget(job, r)
            self.resources[r].busy.set(self.now, self.resources[r].busy.value - back)
            self.note(Action.RELEASE, job, float(r))
        for r in resources:
            self.serve(r)

    def serve(self, r: int) -> None:
        """Let jobs go from a resource's queue, in order, as long as the first can have what it waits for."""
        while self.queues[r]:
            job = self.queues[r][0]
            if self.resources[r].capacity.value - self.resources[r].busy.value < job.units:
                return
            if job.together < 0:
                self.dequeue(job)
                self.take(job, r)
                self.ready.append(job)
                continue
            end = job.together + self.code[job.pc - 1][6]
            resources = self.sets[job.together : end]
            self.unlink(job)
            short = self.first_short(job, resources)
            if short < 0:
                self.granted(job, resources)
                self.ready.append(job)
            else:
                self.link(job, short)
                if short == r:
                    return

    def granted(self, job: Job, resources: list[int]) -> None:
        """Give a job that waited for several resources all of them."""
        job.due = -1
        job.waited += self.now - job.mark
        self.note(Action.GO, job, float(resources[0]))
        for r in resources:
            self.waits[r].add(self.now - job.mark)
            self.take(job, r)

    def preempt(self, job: Job, r: int) -> bool:
        """Take units from less urgent jobs at work, if that makes enough of them; whether it did."""
        resource = self.resources[r]
        if self.queues[r] and not self.before(job, self.queues[r][0], resource.discipline):
            return False
        spare = resource.capacity.value - resource.busy.value
        victims = [w for w in resource.holders or [] if w.held_rank[r] > job.rank and self.at_work(w)]
        if spare + sum(w.held[r] for w in victims) < job.units:
            return False
        while resource.capacity.value - resource.busy.value < job.units:
            victim = self.victim(r, job.rank)
            assert victim is not None
            self.interrupt(victim, r, resource.preemption)
        return True

    def victim(self, r: int, rank: float) -> Job | None:
        """The least urgent job at work on a resource that is less urgent than `rank`; of equals, the last to come."""
        working = [job for job in self.resources[r].holders or [] if job.held_rank[r] > rank and self.at_work(job)]
        return max(working, key=lambda job: (job.held_rank[r], job.held_ticket[r]), default=None)

    def at_work(self, job: Job) -> bool:
        """Whether a job is in a hold that can be interrupted: work that ends now, before a release, is done."""
        done = job.finish == self.now and self.code[job.pc - 1][2] == Class.RELEASING
        return job.working and not done

    def interrupt(self, job: Job, r: int, mode: int) -> None:
        """Take a resource from a job at work; it waits to get it back, at the place that it had."""
        job.left = -1.0 if mode == Mode.RESAMPLE else job.length if mode == Mode.RESTART else job.finish - self.now
        job.working, job.due = False, -1
        job.pc -= 1
        self.counts[job.process][5] += 1
        self.note(Action.INTERRUPT, job, float(r))
        job.units = job.held.pop(r)
        job.rank, job.ticket, job.together = job.held_rank[r], job.held_ticket[r], -1
        self.forget(job, r)
        resource = self.resources[r]
        resource.busy.set(self.now, resource.busy.value - job.units)
        job.order = self.value(resource.order, job) if resource.order >= 0 else 0.0
        self.enqueue(job, r)

    # -- capacity over time --------------------------------------------------------------------------------------------

    def start_clock(self, clock: int) -> None:
        _, kind, a, b, _, _, _, _ = self.clocks[clock]
        if kind == ClockKind.SCHEDULE:
            self.schedule_tick(clock, self.times[a + 1] if b > 0 else math.inf)
        else:
            self.schedule_tick(clock, self.now + self.lasting(a, 0))

    def schedule_tick(self, clock: int, time: float) -> None:
        if time < math.inf:
            self.schedule(time, Class.CAPACITY, (Class.CAPACITY, clock))

    def lasting(self, value: int, n: int) -> float:
        """How long a resource is up or down, the n-th time."""
        time = self.drawn(value, n)
        if not 0.0 <= time < math.inf:
            raise Wrong(Fault.TIME, time)
        return time

    def tick(self, clock: int) -> None:
        """A schedule's next period, a failure or a repair."""
        r, kind, a, b, c, mode, _, _ = self.clocks[clock]
        self.ticks[clock] += 1
        n, resource = self.ticks[clock], self.resources[r]
        if kind == ClockKind.SCHEDULE:
            cycle, period = n // b, n % b
            if cycle > 0 and c != Then.REPEAT:
                if c == Then.STOP:
                    resource.scheduled = 0
            else:
                total = self.times[a + 3 * b - 2]
                resource.scheduled = int(self.times[a + 3 * period + 2])
                self.schedule_tick(clock, cycle * total + self.times[a + 3 * period + 1])
        elif n % 2 == 1:
            resource.down = True
            self.schedule_tick(clock, self.now + self.lasting(b, n // 2))
        else:
            resource.down = False
            self.schedule_tick(clock, self.now + self.lasting(a, n // 2))
        self.set_capacity(r, 0 if resource.down else resource.scheduled, mode)

    def set_capacity(self, r: int, capacity: int, mode: int) -> None:
        resource = self.resources[r]
        resource.capacity.set(self.now, capacity)
        if self.log is not None:
            self.log.append((self.now, Action.CAPACITY, -1, capacity, -1, float(r)))
        if mode != Mode.FINISH:
            while resource.busy.value > capacity:
                victim = self.victim(r, -math.inf)
                if victim is None:
                    break
                self.interrupt(victim, r, mode)
        self.serve(r)

    # -- containers ----------------------------------------------------------------------------------------------------

    def move(self, container: int, amount: float, out: bool) -> bool:
        """Put an amount in or take it out, if that can be done now."""
        content = self.amounts[container]
        after = content.value - amount if out else content.value + amount
        if after < 0.0 or after > self.limits[container]:
            return False
        content.set(self.now, after)
        return True

    def serve_container(self, container: int) -> None:
        """Let those who wait to put, then those who wait to get, go as long as it can be done."""
        get = len(self.resources) + 2 * container
        moved = True
        while moved:
            moved = False
            for queue, out in ((get + 1, False), (get, True)):
                while self.queues[queue] and self.move(container, self.queues[queue][0].amount, out):
                    self.ready.append(self.dequeue(self.queues[queue][0]))
                    moved = True

    # -- queues --------------------------------------------------------------------------------------------------------

    def enqueue(self, job: Job, queue: int) -> None:
        job.mark = self.now
        self.note(Action.WAIT, job, float(queue))
        if queue >= len(self.resources):
            job.rank, job.order, job.ticket = 0.0, 0.0, self.tickets
            self.tickets += 1
        self.link(job, queue)

    def link(self, job: Job, queue: int) -> None:
        """Put a job at its place in a queue."""
        waiting = self.queues[queue]
        discipline = self.resources[queue].discipline if queue < len(self.resources) else Discipline.FIFO
        place = len(waiting)
        while place > 0 and self.before(job, waiting[place - 1], discipline):
            place -= 1
        waiting.insert(place, job)
        job.queue = queue
        self.lengths[queue].set(self.now, len(waiting))
        self.longest[queue] = max(self.longest[queue], len(waiting))

    def unlink(self, job: Job) -> None:
        waiting = self.queues[job.queue]
        waiting.remove(job)
        self.lengths[job.queue].set(self.now, len(waiting))
        job.queue = -1

    def dequeue(self, job: Job) -> Job:
        """Take a job out of its queue with what it waited for."""
        queue = job.queue
        self.unlink(job)
        job.due = -1
        job.waited += self.now - job.mark
        self.waits[queue].add(self.now - job.mark)
        self.note(Action.GO, job, float(queue))
        return job

    def patience(self, job: Job, value: int, to: int) -> None:
        """Let a job that is about to wait give up after a time."""
        if value >= 0:
            time = self.value(value, job)
            if not time >= 0.0:
                raise Wrong(Fault.TIME, time)
            if time < math.inf:
                job.due = self.schedule(self.now + time, Class.PATIENCE, job)

    def give_up(self, job: Job) -> None:
        queue = job.queue
        self.unlink(job)
        job.waited += self.now - job.mark
        self.counts[job.process][4] += 1
        self.note(Action.RENEGE, job, float(queue))
        job.pc = self.code[job.pc - 1][5]
        if queue < len(self.resources):
            self.serve(queue)
        else:
            container = (queue - len(self.resources)) // 2
            if container < len(self.amounts):
                self.serve_container(container)

    # -- numbers -------------------------------------------------------------------------------------------------------

    def value(self, value: int, job: Job) -> float:
        """A number, an expression's value, or a draw keyed by the job and by how many it drew here."""
        kind, stream, counter, *codes, _ = self.values[value]
        if kind == CONSTANT and codes[0] < 0:
            return self.parameters[value][0]
        if kind == EXPRESSION:
            return self.evaluate(codes[0], job)
        p0, p1, p2, p3 = (
            self.evaluate(code, job) if code >= 0 else number
            for code, number in zip(codes, self.parameters[value], strict=True)
        )
        n = job.counters[counter] if counter >= 0 else 0
        if kind == TRACE:
            # The first job takes the first value.
            x, _ = draw(kind, p0, p1, p2, p3, self.table, 0, min(job.word, FAR) + n)
            n += 1
        else:
            x, n = draw(kind, p0, p1, p2, p3, self.table, job_key(self.keys[stream], job.word), n)
        if counter >= 0:
            job.counters[counter] = n
        return x

    def drawn(self, value: int, n: int) -> float:
        """A number that belongs to no job, keyed by how many there were before."""
        return self.value(value, Job(-1, -1, n, -1, self.now, [], [0] * self.counters))

    def number(self, value: int, job: Job) -> float:
        x = self.value(value, job)
        if math.isnan(x):
            raise Wrong(Fault.NUMBER, x)
        return x

    def probability(self, value: int, job: Job) -> float:
        x = self.value(value, job)
        if not 0.0 <= x <= 1.0:
            raise Wrong(Fault.PROBABILITY, x)
        return x

    def whole(self, value: int, job: Job, least: int) -> int:
        x = self.value(value, job)
        if not (x >= least and x == math.floor(x) and x < 1e9):
            raise Wrong(Fault.COUNT, x)
        return int(x)

    def uniform(self, job: Job, stream: int, counter: int) -> float:
        n = job.counters[counter] if counter >= 0 else 0
        if counter >= 0:
            job.counters[counter] = n + 1
        return uniform(job_key(self.keys[stream], job.word), n)

    def evaluate(self, start: int, job: Job) -> float:
        """The value of an expression: its code works on a stack."""
        stack: list[float] = []
        at = start
        while True:
            code, argument = self.bytecode[at]
            if code == Code.END:
                return stack[-1]
            if code >= Code.ADD:
                operands = stack[-ARITY[code] :]
                del stack[-ARITY[code] :]
                stack.append(apply(code, *operands))
            else:
                stack.append(self.read(code, argument, at, job))
            at += 1

    def read(self, code: int, argument: int, at: int, job: Job) -> float:
        if code == Code.CONSTANT:
            return float(self.constants[at])
        if code == Code.ATTRIBUTE:
            return job.attributes[argument]
        if code == Code.QUEUE_LENGTH:
            return float(len(self.queues[argument]))
        if code == Code.BUSY:
            return float(self.resources[argument].busy.value)
        if code == Code.FREE:
            return float(max(self.resources[argument].capacity.value - self.resources[argument].busy.value, 0))
        if code == Code.CAPACITY:
            return float(self.resources[argument].capacity.value)
        if code == Code.IN_PROCESS:
            return float(self.inside[argument].value)
        if code == Code.LEVEL:
            return float(self.amounts[argument].value)
        return self.now if code == Code.NOW else self.now - job.born

    # -- what came of it -----------------------------------------------------------------------------------------------

    def note(self, action: Action, job: Job, detail: float) -> None:
        if self.log is not None:
            self.log.append((self.now, action, job.process, job.serial, job.pc, detail))

    def start_anew(self) -> None:
        """Start the statistics anew at the present time; counts go on."""
        for level in self.levels():
            level.since, level.area = self.now, 0.0
        for tally in self.tallies():
            tally.row = Tally().row
        self.spent = [0.0] * len(self.spent)
        self.longest = [len(queue) for queue in self.queues]

    def move_clock(self, time: float) -> None:
        """Set the clock to a time before the next event."""
        self.now = time

    def idle(self) -> bool:
        """Whether no event is to come."""
        return not self.calendar

    def staying(self, since: float) -> np.ndarray:
        """For each process, how long the jobs that are in it have been there after `since`, together."""
        found = np.zeros(len(self.sources))
        for job in self.alive:
            found[job.process] += self.now - max(job.born, since)
        return found

    def waiting(self) -> list[Waiting]:
        """The jobs that wait in a queue while they hold something."""
        there = [job for job in self.alive if job.queue >= 0 and job.held]
        return [Waiting(job.process, job.serial, job.queue, job.due >= 0, dict(job.held)) for job in there]

    def levels(self) -> list[Level]:
        resources = [level for resource in self.resources for level in (resource.busy, resource.capacity)]
        return [*resources, *self.lengths, *self.inside, *self.amounts]

    def tallies(self) -> list[Tally]:
        processes = [tally for pair in zip(self.sojourns, self.waiting_times, strict=True) for tally in pair]
        return [*self.waits, *processes, *self.records]

    def outcome(self) -> Outcome:
        levels, tallies = self.levels(), self.tallies()
        return Outcome(
            self.now,
            self.events,
            np.array([(level.value, level.since, level.area) for level in levels], np.float64).reshape(-1, 3),
            np.array([tally.row for tally in tallies], np.float64).reshape(-1, 5),
            np.array(self.counts, np.int64).reshape(-1, 6),
            np.array(self.longest, np.int64),
            np.array(self.spent, np.float64),
        )

    def trace(self) -> Trace:
        rows = self.log or []
        return Trace(
            np.array([row[0] for row in rows], np.float64),
            np.array([row[1:5] for row in rows], np.int64).reshape(-1, 4),
            np.array([row[5] for row in rows], np.float64),
        )
