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
from collections.abc import Callable

import numpy as np

from livesim.compiler.program import ENDLESS, FRUITLESS, LET_GO, Action, Class, Fault, Op, Program, Status
from livesim.engine.reference.arrivals import arrive, schedule_arrival
from livesim.engine.reference.capacity import start_clock, tick
from livesim.engine.reference.meetings import batch, combine, depart, split, unbatch
from livesim.engine.reference.queues import signal, unlink, wait
from livesim.engine.reference.resources import release, seize, serve
from livesim.engine.reference.state import Job, Level, Outcome, State, Tally, Trace, Waiting, Wrong
from livesim.engine.reference.stocks import fill, get, put, put_or_get, serve_container
from livesim.engine.reference.values import number, probability, uniform, value
from livesim.histogram import QUANTILES, Histograms, of_buckets, quantiles

CAPACITY, ARRIVAL = int(Class.CAPACITY), int(Class.ARRIVAL)


class Reference(State):
    """One replication. `advance` runs it; `outcome` and `trace` say what came of it."""

    def __init__(self, program: Program, seed: int, replication: int = 0, *, tracing: bool = False) -> None:
        super().__init__(program, seed, replication, tracing=tracing)
        pc = what = -1
        try:
            fill(self, program.items.tolist())
            for what in range(len(self.clocks)):
                start_clock(self, what)
            what = -1
            for source in range(len(self.sources)):
                pc = self.sources[source][0]
                schedule_arrival(self, source)
        except Wrong as wrong:
            self.fault = (wrong.fault, pc, 0, what, wrong.value)

    def advance(self, until: float, arrivals_until: float = math.inf, stop_events: int = 1 << 62) -> Status:
        """Run every event up to and at `until`; arrivals after `arrivals_until` do not come."""
        if self.fault:
            return Status.ERROR
        calendar, ready = self.calendar, self.ready
        latest, let_go = -1, 0
        while True:
            if self.current is None and ready:
                if self.events != latest:
                    latest, let_go = self.events, 0
                let_go += 1
                self.current = job = ready.popleft()
                if let_go > LET_GO:
                    self.fault = (Fault.ENDLESS, job.pc, job.serial, job.process, float(LET_GO))
                    return Status.ERROR
            if self.current is None:
                if not calendar or calendar[0][0] > until:
                    return Status.DONE
                if self.events >= stop_events:
                    return Status.PAUSED
                time, event_class, number, what = calendar[0]
                if event_class == CAPACITY and time > arrivals_until:
                    if not self.alive or self.fruitless > FRUITLESS:
                        return Status.DONE
                    self.fruitless += 1
                heapq.heappop(calendar)
                if event_class in (CAPACITY, ARRIVAL):
                    if event_class == ARRIVAL and time > arrivals_until:
                        continue
                    self.now = time
                    self.events += 1
                    try:
                        if event_class == ARRIVAL:
                            arrive(self, what)
                        else:
                            tick(self, what)
                    except Wrong as wrong:
                        pc = self.sources[what][0] if event_class == ARRIVAL else -1
                        self.fault = (wrong.fault, pc, 0, what, wrong.value)
                        return Status.ERROR
                    continue
                if what.due != number:
                    continue
                self.now = time
                self.events += 1
                what.due = -1
                self.fruitless = 0
                if what.queue >= 0:
                    give_up(self, what)
                self.current = what
            job, self.current = self.current, None
            job.working = False
            try:
                proceed(self, job)
            except Wrong as wrong:
                self.fault = (wrong.fault, self.at, job.serial, job.process, wrong.value)
                return Status.ERROR

    def start_anew(self) -> None:
        """Start the statistics anew at the present time; counts go on."""
        for level in self.levels():
            level.since, level.area = self.now, 0.0
        for tally in self.tallies():
            tally.clear()
        self.spent = [0.0] * len(self.spent)
        self.longest = [len(queue) for queue in self.queues]

    def move_clock(self, time: float) -> None:
        """Set the clock to a time before the next event."""
        self.now = time

    def idle(self) -> bool:
        """Whether no event is to come."""
        return not self.calendar

    def staying(self) -> np.ndarray:
        """For each process, how long the jobs that are in it have been there, together."""
        found = np.zeros(len(self.sources))
        for job in self.alive:
            found[job.process] += self.now - job.born
        return found

    def waiting(self) -> list[Waiting]:
        """The jobs that wait in a queue while they hold something."""
        there = [job for job in self.alive if job.queue >= 0 and job.held]
        return [Waiting(job.process, job.serial, job.queue, job.due >= 0, dict(job.held)) for job in there]

    def levels(self) -> list[Level]:
        """In the order of `Outcome.levels`."""
        resources = [level for resource in self.resources for level in (resource.busy, resource.capacity)]
        return [*resources, *self.lengths, *self.inside, *self.amounts]

    def tallies(self) -> list[Tally]:
        """In the order of `Outcome.tallies`."""
        processes = [tally for pair in zip(self.sojourns, self.waiting_times, strict=True) for tally in pair]
        return [*self.waits, *processes, *self.records]

    def outcome(self) -> Outcome:
        levels, tallies = self.levels(), self.tallies()
        return Outcome(
            self.now,
            self.events,
            np.array([(level.value, level.since, level.area) for level in levels], np.float64).reshape(-1, 3),
            np.array([tally.row() for tally in tallies], np.float64).reshape(-1, 5),
            np.array(self.counts, np.int64).reshape(-1, 6),
            np.array(self.longest, np.int64),
            np.array(self.spent, np.float64),
        )

    def quantiles(self) -> np.ndarray:
        """`livesim.histogram.QUANTILES` of what the tallies saw: float64 (tally, quantile)."""
        return quantiles(self.histograms(), self.outcome().tallies, list(QUANTILES.values()))

    def histograms(self) -> Histograms:
        """The buckets of the tallies, in the order of `Outcome.tallies`."""
        return of_buckets([tally.buckets for tally in self.tallies()])

    def forget_trace(self) -> None:
        """Begin the trace anew."""
        if self.log is not None:
            self.log = []

    def trace(self, first: int = 0) -> Trace:
        """The rows of the trace from number `first` on."""
        rows = (self.log or [])[first:]
        return Trace(
            np.array([row[0] for row in rows], np.float64),
            np.array([row[1:5] for row in rows], np.int64).reshape(-1, 4),
            np.array([row[5] for row in rows], np.float64),
        )


# -- instructions ------------------------------------------------------------------------------------------------------


def proceed(s: State, job: Job) -> None:
    """Run a job's instructions until it waits, holds or leaves."""
    code = s.code
    for _ in range(ENDLESS):
        s.at = job.pc
        row = code[job.pc]
        if not INSTRUCTIONS[row[0]](s, job, row):
            return
    raise Wrong(Fault.ENDLESS, float(ENDLESS))


def give_up(s: State, job: Job) -> None:
    """Let a job whose patience ran out leave its queue, and those behind it move up."""
    queue = job.queue
    unlink(s, job)
    job.waited += s.now - job.mark
    s.counts[job.process][4] += 1
    s.note(Action.RENEGE, job, float(queue))
    job.pc = s.code[job.pc - 1][5]
    job.item = None
    if queue < len(s.resources):
        serve(s, queue)
    else:
        container = (queue - len(s.resources)) // 2
        if container < len(s.amounts) and s.stores[container][0] < 0:
            serve_container(s, container)


def hold(s: State, job: Job, row: list[int]) -> bool:
    """Work for a time, or for what is left of it."""
    if job.left >= 0.0:
        time, job.left = job.left, -1.0
    else:
        time = value(s, row[1], job)
        if not 0.0 <= time < math.inf:
            raise Wrong(Fault.TIME, time)
        job.length = time
    s.note(Action.HOLD, job, time)
    job.finish = s.now + time
    job.working = row[3] == 1
    job.due = s.schedule(job.finish, row[2], job)
    job.pc += 1
    return False


def decide(s: State, job: Job, row: list[int]) -> bool:
    _, chance, to, stream, counter, *_ = row
    job.pc = to if uniform(s, job, stream, counter) <= probability(s, chance, job) else job.pc + 1
    return True


def branch(s: State, job: Job, row: list[int]) -> bool:
    job.pc = row[2] if number(s, row[1], job) != 0.0 else job.pc + 1
    return True


def choose(s: State, job: Job, row: list[int]) -> bool:
    """Go to one of several labels by their probabilities."""
    _, first, count, stream, counter, *_ = row
    u = uniform(s, job, stream, counter)
    chosen, reached = first, probability(s, s.branches[first][0], job)
    while chosen < first + count - 1 and u > reached:
        chosen += 1
        reached += probability(s, s.branches[chosen][0], job)
    job.pc = s.branches[chosen][1]
    return True


def jump(s: State, job: Job, row: list[int]) -> bool:
    job.pc = row[1]
    return True


def assign(s: State, job: Job, row: list[int]) -> bool:
    job.attributes[row[1]] = number(s, row[2], job)
    job.pc += 1
    return True


def loop(s: State, job: Job, row: list[int]) -> bool:
    """Count a round, and go back if there are more to do."""
    _, counter, times, to, *_ = row
    job.attributes[counter] += 1.0
    if job.attributes[counter] < number(s, times, job):
        job.pc = to
    else:
        job.attributes[counter] = 0.0
        job.pc += 1
    return True


def record(s: State, job: Job, row: list[int]) -> bool:
    s.records[row[1]].add(number(s, row[2], job))
    job.pc += 1
    return True


INSTRUCTIONS: list[Callable[[State, Job, list[int]], bool]] = [
    {
        Op.HOLD: hold, Op.SEIZE: seize, Op.RELEASE: release, Op.DEPART: depart, Op.DECIDE: decide, Op.BRANCH: branch,
        Op.CHOOSE: choose, Op.JUMP: jump, Op.ASSIGN: assign, Op.LOOP: loop, Op.RECORD: record, Op.BATCH: batch,
        Op.UNBATCH: unbatch, Op.SPLIT: split, Op.COMBINE: combine, Op.SIGNAL: signal, Op.WAIT: wait, Op.PUT: put_or_get,
        Op.GET: put_or_get, Op.PUT_ITEM: put, Op.GET_ITEM: get,
    }[op]
    for op in Op
]  # fmt: skip
"""What each `Op` does; whether the job goes on with the next instruction."""
