"""Values of expressions, and draws."""

from __future__ import annotations

import math

from livesim.compiler.arithmetic import ARITY, apply
from livesim.compiler.program import EXPRESSION, Code, Fault
from livesim.engine.reference.state import Job, State, Wrong
from livesim.random import Kind, draw, job_key
from livesim.random import uniform as uniform_at

TRACE = int(Kind.TRACE)
FAR = 1 << 62
"""Where in a trace a copy reads, which has no number of its own: past its end."""
FIRST_OPERATOR = int(Code.ADD)


def value(s: State, v: int, job: Job) -> float:
    """A number, an expression's value, or a draw keyed by the job and by how many it drew here."""
    known = s.numbers[v]
    if known is not None:
        return known
    kind, stream, counter, code0, code1, code2, code3, dynamic = s.values[v]
    if kind == EXPRESSION:
        return evaluate(s, code0, job)
    p0, p1, p2, p3 = s.parameters[v]
    if dynamic:
        p0 = evaluate(s, code0, job) if code0 >= 0 else p0
        p1 = evaluate(s, code1, job) if code1 >= 0 else p1
        p2 = evaluate(s, code2, job) if code2 >= 0 else p2
        p3 = evaluate(s, code3, job) if code3 >= 0 else p3
    n = job.counters[counter] if counter >= 0 else 0
    if kind == TRACE:
        # The first job takes the first value.
        x, _ = draw(kind, p0, p1, p2, p3, s.table, 0, min(job.word, FAR) + n)
        n += 1
    else:
        x, n = draw(kind, p0, p1, p2, p3, s.table, job_key(s.keys[stream], job.word), n)
    if counter >= 0:
        job.counters[counter] = n
    return x


def drawn(s: State, v: int, n: int) -> float:
    """A number that belongs to no job, keyed by how many there were before."""
    known = s.numbers[v]
    return known if known is not None else value(s, v, Job(-1, -1, n, -1, s.now, [], [0] * s.counters))


def number(s: State, v: int, job: Job) -> float:
    x = value(s, v, job)
    if x != x:
        raise Wrong(Fault.NUMBER, x)
    return x


def probability(s: State, v: int, job: Job) -> float:
    x = value(s, v, job)
    if not 0.0 <= x <= 1.0:
        raise Wrong(Fault.PROBABILITY, x)
    return x


def whole(s: State, v: int, job: Job) -> int:
    """A whole number of at least 1."""
    x = value(s, v, job)
    if not (x >= 1 and x == math.floor(x) and x < 1e9):
        raise Wrong(Fault.COUNT, x)
    return int(x)


def uniform(s: State, job: Job, stream: int, counter: int) -> float:
    """A number between 0 and 1, keyed by the job and by how many it drew in the stream."""
    n = 0
    if counter >= 0:
        n = job.counters[counter]
        job.counters[counter] = n + 1
    return uniform_at(job_key(s.keys[stream], job.word), n)


def evaluate(s: State, start: int, job: Job) -> float:
    """The value of an expression: its code works on a stack."""
    stack: list[float] = []
    at = start
    while True:
        code, argument = s.bytecode[at]
        if code == Code.END:
            return stack[-1]
        if code >= FIRST_OPERATOR:
            operands = stack[-ARITY[code] :]
            del stack[-ARITY[code] :]
            stack.append(apply(code, *operands))
        else:
            stack.append(read(s, code, argument, at, job))
        at += 1


def read(s: State, code: int, argument: int, at: int, job: Job) -> float:
    """What a part of an expression finds in the job and in the system."""
    match code:
        case Code.CONSTANT:
            return s.constants[at]
        case Code.ATTRIBUTE:
            return job.attributes[argument]
        case Code.QUEUE_LENGTH:
            return float(len(s.queues[argument]))
        case Code.BUSY:
            return float(s.resources[argument].busy.value)
        case Code.FREE:
            return float(max(s.resources[argument].capacity.value - s.resources[argument].busy.value, 0))
        case Code.CAPACITY:
            return float(s.resources[argument].capacity.value)
        case Code.IN_PROCESS:
            return float(s.inside[argument].value)
        case Code.LEVEL:
            return float(s.amounts[argument].value)
        case Code.NOW:
            return s.now
        case Code.AGE:
            return s.now - job.born
    assert s.item is not None
    return s.item.fields[argument]
