"""Values of expressions, and draws."""

from __future__ import annotations

import math

import numpy as np
from numpy import float64, int64, uint64

from livesim.compiler.program import EXPRESSION, Code
from livesim.engine.compiled.constants import CONSTANT, TRACE
from livesim.engine.compiled.readers import (
    attributes_of,
    bytecode_of,
    constants_of,
    counters_of,
    fields_of,
    jobs_of,
    keys_of,
    levels_of,
    numbers_of,
    stack_of,
    table_of,
    values_of,
)
from livesim.engine.compiled.typed import Word, World, inlined, routine
from livesim.random.compiled import job_key, uniform
from livesim.random.samplers import draw

END, PUSH, ATTRIBUTE, QUEUE_LENGTH, BUSY, FREE_UNITS, CAPACITY, IN_PROCESS, LEVEL, NOW, AGE, ITEM = map(
    int, list(Code)[:12]
)
ADD, SUB, MUL, TRUEDIV, LT, LE, GT, GE, EQUAL, NOT_EQUAL, AND, OR, MINIMUM, MAXIMUM = map(int, list(Code)[12:26])
NEG, NOT, ABS, FLOOR, SQRT, EXP, LOG, WHERE = map(int, list(Code)[26:])
FAR = 1 << 62
FAR_WORD = np.uint64(FAR)


@routine
def evaluate(w: World, start: int, j: int) -> float:
    """The value of an expression for a job: its code works on a stack."""
    jobs = jobs_of(w)
    bytecode, stack, levels = bytecode_of(w), stack_of(w), levels_of(w)
    at = start
    top = -1
    while True:
        code = bytecode[at].code
        argument = bytecode[at].argument
        if code == END:
            return stack[top]
        if code <= ITEM:
            top += 1
            if code == PUSH:
                stack[top] = constants_of(w)[at]
            elif code == ATTRIBUTE:
                stack[top] = attributes_of(w)[j * w.n_attributes + argument]
            elif code == QUEUE_LENGTH:
                stack[top] = levels[w.first_queue + argument].value
            elif code == BUSY:
                stack[top] = levels[2 * argument].value
            elif code == FREE_UNITS:
                spare = levels[2 * argument + 1].value - levels[2 * argument].value
                stack[top] = spare if spare > 0.0 else 0.0
            elif code == CAPACITY:
                stack[top] = levels[2 * argument + 1].value
            elif code == IN_PROCESS:
                stack[top] = levels[w.first_process + argument].value
            elif code == LEVEL:
                stack[top] = levels[w.first_container + argument].value
            elif code == NOW:
                stack[top] = w.now
            elif code == AGE:
                stack[top] = w.now - jobs[j].born
            else:
                stack[top] = fields_of(w)[w.item * w.n_fields + argument]
        elif code >= NEG and code <= LOG:
            x = stack[top]
            if code == NEG:
                x = -x
            elif code == NOT:
                x = 1.0 if x == 0.0 else 0.0
            elif code == ABS:
                x = abs(x)
            elif code == FLOOR:
                x = float64(math.floor(x)) if abs(x) < 4503599627370496.0 else x
            elif code == SQRT:
                x = math.sqrt(x) if x >= 0.0 else math.nan
            elif code == EXP:
                x = math.exp(x)
            else:
                x = math.log(x) if x > 0.0 else (-np.inf if x == 0.0 else math.nan)
            stack[top] = x
        elif code == WHERE:
            top -= 2
            stack[top] = stack[top + 1] if stack[top] != 0.0 else stack[top + 2]
        else:
            top -= 1
            x = stack[top]
            y = stack[top + 1]
            if code == ADD:
                x = x + y
            elif code == SUB:
                x = x - y
            elif code == MUL:
                x = x * y
            elif code == TRUEDIV:
                x = x / y
            elif code == LT:
                x = float64(x < y)
            elif code == LE:
                x = float64(x <= y)
            elif code == GT:
                x = float64(x > y)
            elif code == GE:
                x = float64(x >= y)
            elif code == EQUAL:
                x = float64(x == y)
            elif code == NOT_EQUAL:
                x = float64(x != y)
            elif code == AND:
                x = float64(x != 0.0 and y != 0.0)
            elif code == OR:
                x = float64(x != 0.0 or y != 0.0)
            elif code == MINIMUM:
                x = y if y < x else x
            else:
                x = y if y > x else x
            stack[top] = x
        at += 1


@routine
def draw_here(w: World, v: int, j: int, word: Word, before: int) -> tuple[float, int]:
    """An expression's value, or a draw after `before` others here; and how many there are now."""
    row = values_of(w)[v]
    if row.kind == EXPRESSION:
        return evaluate(w, row.code0, j), before
    p = numbers_of(w)[v]
    p0 = evaluate(w, row.code0, j) if row.code0 >= 0 else p.p0
    p1 = evaluate(w, row.code1, j) if row.code1 >= 0 else p.p1
    p2 = evaluate(w, row.code2, j) if row.code2 >= 0 else p.p2
    p3 = evaluate(w, row.code3, j) if row.code3 >= 0 else p.p3
    if row.kind == TRACE:
        # The first job takes the first value.
        position = int64(word) if word < FAR_WORD else FAR
        x, _ = draw(row.kind, p0, p1, p2, p3, table_of(w), uint64(0), position + before)
        return x, before + 1
    return draw(row.kind, p0, p1, p2, p3, table_of(w), job_key(keys_of(w)[row.stream], word), before)


@inlined
def value_of(w: World, v: int, j: int) -> float:
    """A number, an expression's value, or a draw keyed by the job and by how many it drew here."""
    if values_of(w)[v].kind == CONSTANT and values_of(w)[v].dynamic == 0:
        return numbers_of(w)[v].p0
    return value_drawn(w, v, j)


@routine
def value_drawn(w: World, v: int, j: int) -> float:
    jobs = jobs_of(w)
    counter = values_of(w)[v].counter
    before = counters_of(w)[j * w.n_counters + counter] if counter >= 0 else int64(0)
    x, after = draw_here(w, v, j, jobs[j].word, before)
    if counter >= 0:
        counters_of(w)[j * w.n_counters + counter] = after
    return x


@inlined
def next_uniform(w: World, j: int, stream: int, counter: int) -> float:
    """A number between 0 and 1, keyed by the job and by how many it drew in the stream."""
    before = int64(0)
    if counter >= 0:
        before = counters_of(w)[j * w.n_counters + counter]
        counters_of(w)[j * w.n_counters + counter] = before + 1
    return uniform(job_key(keys_of(w)[stream], jobs_of(w)[j].word), before)


@inlined
def drawn(w: World, v: int, n: int, now: float) -> float:
    """A number that belongs to no job, keyed by how many there were before, at a time that has not come yet."""
    if values_of(w)[v].kind == CONSTANT and values_of(w)[v].dynamic == 0:
        return numbers_of(w)[v].p0
    return drawn_for_nobody(w, v, n, now)


@routine
def drawn_for_nobody(w: World, v: int, n: int, now: float) -> float:
    before = w.now
    w.now = now
    x, _ = draw_here(w, v, int64(0), uint64(n), int64(0))
    w.now = before
    return x


@routine
def whole_of(w: World, v: int, j: int) -> float:
    """A whole number of at least 1, or NaN."""
    x = value_of(w, v, j)
    if not (x >= 1.0 and x == math.floor(x) and x < 1e9):
        w.wrong = x
        return math.nan
    return x
