"""The stand-in's draws for Numba, equal to the bit to `livesim.draws`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import float64, njit, uint64

from livesim.draws import CONSTANT, EXPONENTIAL, TRIANGULAR, UNIFORM

DRAW_STEP = np.uint64(0xD1342543DE82EF95)
JOB_STEP = np.uint64(0x9E3779B97F4A7C15)
M1 = np.uint64(0xBF58476D1CE4E5B9)
M2 = np.uint64(0x94D049BB133111EB)
S30, S27, S31, S12 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(12)
inline = njit(nogil=True, cache=True, error_model="numpy", forceinline=True)


@inline
def mix(z: Any) -> Any:
    z = (z ^ (z >> S30)) * M1
    z = (z ^ (z >> S27)) * M2
    return z ^ (z >> S31)


@inline
def random(key: Any, counter: Any) -> Any:
    return float64(mix(key + uint64(counter) * DRAW_STEP) >> S12) * 2.0**-52 + 2.0**-53


@inline
def job_key(stream: Any, job: Any) -> Any:
    return mix(stream + job * JOB_STEP)


@njit(nogil=True, cache=True, error_model="numpy")
def draw_any(kind: Any, p0: Any, p1: Any, p2: Any, p3: Any, table: Any, key: Any, counter: Any) -> Any:
    if kind == CONSTANT:
        return p0, counter
    if kind == EXPONENTIAL:
        if not p0 >= 0.0:
            return math.nan, counter
        return -math.log(random(key, counter)) * p0, counter + 1
    if kind == UNIFORM:
        return p0 + (p1 - p0) * random(key, counter), counter + 1
    if kind == TRIANGULAR:
        if not (p0 <= p1 and p1 <= p2) or p0 == p2:
            return math.nan, counter
        u = random(key, counter)
        if u < (p1 - p0) / (p2 - p0):
            return p0 + math.sqrt(u * (p2 - p0) * (p1 - p0)), counter + 1
        return p2 - math.sqrt((1.0 - u) * (p2 - p0) * (p2 - p1)), counter + 1
    stages = int(p0)
    x = 0.0
    for i in range(stages):
        x -= math.log(random(key, counter + i))
    return x * p1 / p0, counter + stages


@inline
def draw_compiled(kind: Any, p0: Any, p1: Any, p2: Any, p3: Any, table: Any, key: Any, counter: Any) -> Any:
    if kind == EXPONENTIAL and p0 >= 0.0:
        return -math.log(random(key, counter)) * p0, counter + 1
    return draw_any(kind, p0, p1, p2, p3, table, key, counter)
