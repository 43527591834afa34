"""Values of expressions and draws of the compiled interpreter, behind one address.

Numba links into a function what it calls, and optimises all of it again. The samplers, needed by twenty functions,
would be much of what the kernel takes to compile; called through a pointer they are compiled once, for 4 ns a call.
Constants and plain exponentials do not come here.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import carray, cfunc, njit, types  # type: ignore[attr-defined]
from numba.extending import intrinsic
from numpy import float64, int64, uint64

from livesim.compiler.program import EXPRESSION, Code
from livesim.engine.world import (
    ROOM,
    WORLD,
    attributes_of,
    bytecode_of,
    constants_of,
    jobs_of,
    keys_of,
    levels_of,
    numbers_of,
    pointer,
    stack_of,
    table_of,
    values_of,
)  # fmt: skip
from livesim.random import Kind
from livesim.random.compiled import draw_compiled, job_key

compiled = njit(nogil=True, cache=True, error_model="numpy")
inline = njit(nogil=True, cache=True, error_model="numpy", forceinline=True)

# Numba reads an enum's member as an object; a plain integer is a constant.
END, PUSH, ATTRIBUTE, QUEUE_LENGTH, BUSY, FREE_UNITS, CAPACITY, IN_PROCESS, LEVEL, NOW, AGE = map(int, list(Code)[:11])
ADD, SUB, MUL, TRUEDIV, LT, LE, GT, GE, EQUAL, NOT_EQUAL, AND, OR, MINIMUM, MAXIMUM = map(int, list(Code)[11:25])
NEG, NOT, ABS, FLOOR, SQRT, EXP, LOG, WHERE = map(int, list(Code)[25:])
TRACE = int(Kind.TRACE)
FAR = 1 << 62
FAR_WORD = np.uint64(FAR)


@compiled
def evaluate(w: Any, start: Any, j: Any) -> Any:
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
        if code <= AGE:
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
            else:
                stack[top] = w.now - jobs[j].born
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


@compiled
def draw_here(w: Any, v: Any, j: Any, word: Any, before: Any) -> Any:
    """An expression's value, or a draw after `before` others here; how many there are now is left in `w.drawn`."""
    row = values_of(w)[v]
    w.drawn = before
    if row.kind == EXPRESSION:
        return evaluate(w, row.code0, j)
    p = numbers_of(w)[v]
    p0 = evaluate(w, row.code0, j) if row.code0 >= 0 else p.p0
    p1 = evaluate(w, row.code1, j) if row.code1 >= 0 else p.p1
    p2 = evaluate(w, row.code2, j) if row.code2 >= 0 else p.p2
    p3 = evaluate(w, row.code3, j) if row.code3 >= 0 else p.p3
    if row.kind == TRACE:
        # The first job takes the first value.
        position = int64(word) if word < FAR_WORD else FAR
        no_key: Any = uint64(0)
        x, _ = draw_compiled(row.kind, p0, p1, p2, p3, table_of(w), no_key, position + before)
        w.drawn = before + 1
        return x
    x, after = draw_compiled(row.kind, p0, p1, p2, p3, table_of(w), job_key(keys_of(w)[row.stream], word), before)
    w.drawn = after
    return x


@cfunc(types.float64(types.int64, types.int64, types.int64, types.uint64, types.int64), cache=True)
def drawer(here: Any, v: Any, j: Any, word: Any, before: Any) -> Any:
    """`draw_here` of the world at an address."""
    return draw_here(carray(pointer(here), ROOM, WORLD)[0], v, j, word, before)  # type: ignore[call-arg]


@intrinsic
def _call(context: Any, address: Any, here: Any, v: Any, j: Any, word: Any, before: Any) -> Any:
    """Call what is at the address as `drawer` is called."""
    signature = types.float64(types.int64, types.int64, types.int64, types.int64, types.uint64, types.int64)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(ir.DoubleType(), [ir.IntType(64)] * 5)
        return builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), arguments[1:])

    return signature, generate


@inline
def draw_behind(w: Any, v: Any, j: Any, word: Any, before: Any) -> Any:
    """`draw_here`, through its address."""
    return _call(w.drawer, w.here, v, j, word, before)  # type: ignore[call-arg]
