"""What a replication is made of: jobs, resources, queues and items, and the statistics of them."""

from __future__ import annotations

import heapq
import math
from collections import deque
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from livesim.compiler.program import Action, Fault, Program
from livesim.histogram import Buckets
from livesim.random import Kind, replication_key, stream_key

CONSTANT = int(Kind.CONSTANT)


class Outcome(NamedTuple):
    """What a run leaves, as arrays: the two interpreters are compared by these."""

    clock: float
    events: int
    levels: np.ndarray
    """float64 (resource busy, capacity; queue; process; container or store, 3): value, since when, area up to then."""
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

    __slots__ = ("area", "since", "value")

    def __init__(self, value: float = 0) -> None:
        self.value, self.since, self.area = value, 0.0, 0.0

    def set(self, now: float, value: float) -> None:
        self.area += self.value * (now - self.since)
        self.since, self.value = now, value


class Tally:
    """Count, mean, sum of squared deviations (Welford 1962), least and largest of numbers, and their buckets."""

    __slots__ = ("buckets", "count", "largest", "least", "mean", "squares")

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.count, self.mean, self.squares, self.least, self.largest = 0.0, 0.0, 0.0, math.inf, -math.inf
        self.buckets = Buckets()

    def add(self, x: float) -> None:
        self.count = n = self.count + 1.0
        d = x - self.mean
        self.mean = mean = self.mean + d / n
        self.squares += d * (x - mean)
        if x < self.least:
            self.least = x
        if x > self.largest:
            self.largest = x
        self.buckets.add(x)

    def row(self) -> tuple[float, float, float, float, float]:
        return self.count, self.mean, self.squares, self.least, self.largest


@dataclass(eq=False, slots=True)
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
    item: Item | None = None
    """What it waits to put into a store."""
    batches: list[list[Job]] | None = None
    splits: int = 0
    family: int = -1
    parts: int = 0


@dataclass(eq=False, slots=True)
class Item:
    """Something in a store, or on its way there: its numbers, and the one by which the store orders it."""

    fields: list[float]
    order: float = 0.0


@dataclass(eq=False, slots=True)
class Resource:
    capacity: Level
    busy: Level
    most: int
    discipline: int
    order: int
    preemption: int
    holders: dict[Job, tuple[float, int]] | None
    """The jobs that hold units, in the order in which they got them, where units can be taken away: rank and ticket."""
    scheduled: int
    down: bool = False


class Wrong(Exception):
    """A number that an instruction cannot use."""

    def __init__(self, fault: Fault, value: float) -> None:
        self.fault, self.value = fault, value


class State:
    """One replication between two steps."""

    def __init__(self, program: Program, seed: int, replication: int = 0, *, tracing: bool = False) -> None:
        self.code: list[list[int]] = program.code.tolist()
        self.values: list[list[int]] = program.values.tolist()
        self.parameters: list[list[float]] = program.parameters.tolist()
        self.numbers: list[float | None] = [
            parameters[0] if row[0] == CONSTANT and row[3] < 0 else None
            for row, parameters in zip(self.values, self.parameters, strict=True)
        ]
        """Of each value, the number that it always is."""
        self.bytecode: list[list[int]] = program.bytecode.tolist()
        self.constants: list[float] = program.constants.tolist()
        self.table: list[float] = program.table.tolist()
        self.branches: list[list[int]] = program.branches.tolist()
        self.sets: list[int] = program.sets.tolist()
        self.sources: list[list[int]] = program.sources.tolist()
        self.clocks: list[list[int]] = program.clocks.tolist()
        self.times: list[float] = program.times.tolist()
        self.limits: list[float] = program.containers[:, 0].tolist()
        self.stores: list[list[int]] = program.stores.tolist()
        self.fields = program.items.shape[1] - 1
        self.initial: list[float] = program.attributes.tolist()
        key = replication_key(seed, replication)
        self.keys = [stream_key(key, number) for number in program.streams.tolist()]
        queues, records, self.counters, _ = program.sizes.tolist()

        self.now = 0.0
        self.calendar: list[tuple[float, int, int, Any]] = []
        """Events: time, `Class`, number, and the clock, the job or the source."""
        self.ready: deque[Job] = deque()
        self.current: Job | None = None
        self.at = 0
        """The instruction that runs."""
        self.scheduled = self.tickets = self.families = self.events = self.fruitless = 0
        self.resources = [
            Resource(Level(capacity), Level(), most, discipline, order, mode, {} if holders >= 0 else None, capacity)
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
        self.shelves: list[list[Item]] = [[] for _ in self.stores]
        self.counts = [[0] * 6 for _ in self.sources]
        self.spent = [0.0] * len(self.sources)
        self.alive: set[Job] = set()
        self.item: Item | None = None
        """The item that an expression reads."""
        self.arrivals = [0] * len(self.sources)
        self.ticks = [0] * len(self.clocks)
        self.turns = [0] * len(self.sets)
        self.fault: tuple[Fault, int, int, int, float] | None = None
        """What went wrong, at which instruction, in which job of which process, with which value."""
        self.log: list[tuple[float, int, int, int, int, float]] | None = [] if tracing else None

    def schedule(self, time: float, event_class: int, what: Any) -> int:
        """Put an event into the calendar; its number."""
        number = self.scheduled
        self.scheduled += 1
        heapq.heappush(self.calendar, (time, event_class, number, what))
        return number

    def note(self, action: Action, job: Job, detail: float) -> None:
        """Write a row of the trace, if there is one."""
        if self.log is not None:
            self.log.append((self.now, action, job.process, job.serial, job.pc, detail))
