"""What a model is compiled to: one table of instructions, and the tables that it refers to."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np


class Op(IntEnum):
    """An instruction; the comment names its operands, columns 1 to 7 of the table. -1 stands for none."""

    HOLD = 0  # time (value), event class, whether an interruption stops it
    SEIZE = (
        1  # resource or set, units (value), priority (value), patience (value), where impatience goes, how many, policy
    )
    RELEASE = 2  # resource or set, units (value; all), -, -, -, how many
    DEPART = 3
    DECIDE = 4  # probability (value), where to, stream, counter
    BRANCH = 5  # condition (value), where to
    CHOOSE = 6  # first branch, how many, stream, counter
    JUMP = 7  # where to
    ASSIGN = 8  # attribute, value
    LOOP = 9  # attribute that counts, times (value), where to
    RECORD = 10  # tally, value
    BATCH = 11  # queue, size (value)
    UNBATCH = 12
    SPLIT = 13  # parts (value), where the copies go
    COMBINE = 14  # queue, count (value; the parts of one split)
    SIGNAL = 15  # queue
    WAIT = 16  # queue, -, -, patience (value), where impatience goes
    PUT = 17  # container, amount (value), queue, patience (value), where impatience goes
    GET = 18  # as PUT
    PUT_ITEM = 19  # store, -, queue, patience (value), where to, first pair of `sets` (field, value), how many
    GET_ITEM = 20  # store, condition (value; any), queue, patience, where to, first pair (attribute, field), how many


class Code(IntEnum):
    """An instruction of the stack machine that evaluates expressions; `argument` names an attribute, a queue, ..."""

    END = 0
    CONSTANT = 1
    ATTRIBUTE = 2
    QUEUE_LENGTH = 3
    BUSY = 4
    FREE = 5
    CAPACITY = 6
    IN_PROCESS = 7
    LEVEL = 8
    NOW = 9
    AGE = 10
    ITEM = 11
    ADD = 12
    SUB = 13
    MUL = 14
    TRUEDIV = 15
    LT = 16
    LE = 17
    GT = 18
    GE = 19
    EQUAL = 20
    NOT_EQUAL = 21
    AND = 22
    OR = 23
    MINIMUM = 24
    MAXIMUM = 25
    NEG = 26
    NOT = 27
    ABS = 28
    FLOOR = 29
    SQRT = 30
    EXP = 31
    LOG = 32
    WHERE = 33


STACK = 32
"""The deepest stack that an expression may need."""
EXPRESSION = -1
"""The kind of a value that is an expression; the other kinds are those of distributions."""


class Class(IntEnum):
    """Classes of events. At one time all of a class come before any of the next; within one, in the order scheduled."""

    CAPACITY = 0  # schedules, failures, repairs
    RELEASING = 1  # ends of holds whose next step is a release
    ENDING = 2  # other ends of holds and routes
    PATIENCE = 3
    ARRIVAL = 4


class Policy(IntEnum):
    """How a seize chooses one of several resources."""

    ALL = -1
    FIRST_AVAILABLE = 0
    SHORTEST_QUEUE = 1
    ROUND_ROBIN = 2
    RANDOM = 3


class Discipline(IntEnum):
    FIFO = 0
    LIFO = 1
    EXPRESSION = 2


class Mode(IntEnum):
    """What becomes of jobs at work when a resource is taken from them."""

    FINISH = 0
    RESUME = 1
    RESTART = 2
    RESAMPLE = 3


class SourceKind(IntEnum):
    EVERY = 0  # gap (value), first gap (value)
    AT = 1  # first time in `times`, how many
    RATE = 2  # first row of `times` (start, end, rate), how many rows, what follows


class Then(IntEnum):
    """What follows the last period of a schedule or a varying rate."""

    STOP = 0
    REPEAT = 1
    KEEP = 2


class ClockKind(IntEnum):
    SCHEDULE = 0  # first row of `times` (start, end, capacity), how many rows, what follows
    FAILURE = 1  # up (value), down (value)


class Action(IntEnum):
    """What the trace tells of."""

    ARRIVE = 0
    WAIT = 1  # joins a queue
    GO = 2  # leaves a queue with what it waited for
    HOLD = 3  # the detail is the time
    RELEASE = 4
    INTERRUPT = 5
    RENEGE = 6
    SPLIT = 7  # a copy begins
    COMBINE = 8  # ends in another job
    DEPART = 9
    CAPACITY = 10  # of a resource, no job; the detail is the resource


class Status(IntEnum):
    """Why an interpreter came back."""

    DONE = 0
    JOBS = 1  # no room for another job
    CALENDAR = 2  # no room in the calendar
    TRACE = 3  # no room in the trace
    PAUSED = 4  # as many events as were asked for
    ERROR = 5
    ITEMS = 6  # no room for another item


class Fault(IntEnum):
    """What was wrong with a number met during a run."""

    NONE = 0
    TIME = 1
    UNITS = 2
    NOT_HELD = 3
    STILL_HELD = 4
    NUMBER = 5
    COUNT = 6
    AMOUNT = 7
    PROBABILITY = 8
    ENDLESS = 9


ENDLESS = 1_000_000
"""A job that does more steps than this without stopping will never stop."""

LET_GO = 10_000_000
"""When more jobs than this were let go, one by the other, since the last event, they will never stop."""

FRUITLESS = 100_000
"""When nobody arrives any more, so many failures and repairs without any job moving mean that none will."""


class Program(NamedTuple):
    """The tables of a model with its parameters put in; arrays alone, so that both interpreters read the same."""

    code: np.ndarray
    """int64 (instruction, 8): an Op and its operands."""
    values: np.ndarray
    """int64 (value, 8): kind, stream, counter (-1: drawn once a job), the bytecode of each of four parameters (-1), and
    whether any of them has bytecode."""
    parameters: np.ndarray
    """float64 (value, 4): parameters that are numbers."""
    bytecode: np.ndarray
    """int64 (code, 2): a Code and its argument."""
    constants: np.ndarray
    """float64 (code,): the number of a CONSTANT."""
    table: np.ndarray
    """float64: what distributions look up."""
    branches: np.ndarray
    """int64 (branch, 2): probability (value) and where to."""
    sets: np.ndarray
    """int64: resources that are seized or released together."""
    sources: np.ndarray
    """int64 (process, 8): first instruction, SourceKind, three operands, batch (value), limit (-1), stream."""
    clocks: np.ndarray
    """int64 (clock, 8): resource, ClockKind, three operands, Mode."""
    times: np.ndarray
    """float64: times of arrivals, and rows (start, end, number) of schedules and rates."""
    resources: np.ndarray
    """int64 (resource, 6): first capacity, largest, Discipline, its expression (value), preemption, holders (-1)."""
    containers: np.ndarray
    """float64 (container or store, 2): capacity, what it holds at the start."""
    stores: np.ndarray
    """int64 (container or store, 2): Discipline (-1: a container), its expression (value)."""
    items: np.ndarray
    """float64 (item, 1 + field): the store that holds it at the start, and what it has (NaN: nothing)."""
    attributes: np.ndarray
    """float64 (attribute,): what a new job has."""
    streams: np.ndarray
    """uint64 (stream,): the number of each stream, from its name."""
    sizes: np.ndarray
    """int64 (4,): queues, tallies, counters a job, resources that can be taken away."""


class Names(NamedTuple):
    """What the rows of a program's tables are called."""

    processes: tuple[str, ...]
    resources: tuple[str, ...]
    """Resources, then conveyors."""
    containers: tuple[str, ...]
    """Containers, then stores."""
    queues: tuple[str, ...]
    tallies: tuple[tuple[str, str], ...]
    """Process and name of each tally."""
    attributes: tuple[str, ...]
    steps: tuple[tuple[str, int, str], ...]
    """Process, number and text of the step that each instruction came from."""
