"""Random numbers and distributions, as the interpreters see them: the stand-in until `livesim.random` is there.

A distribution is a kind and four parameters; `draw` turns them, a key and a counter into a value and the next counter.
It is written twice, in plain Python and for Numba, equal to the bit.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Any

from livesim.model.expressions import Expression, literal

MASK = 2**64 - 1
SEED_STEP = JOB_STEP = 0x9E3779B97F4A7C15
REPLICATION_STEP = 0xD1B54A32D192ED03
STREAM_STEP = 0xABC98388FB8FAC03
DRAW_STEP = 0xD1342543DE82EF95
CONSTANT, UNIFORM, EXPONENTIAL, TRIANGULAR, ERLANG = 0, 1, 2, 4, 10
KINDS = {
    "constant": (CONSTANT, ("value",)),
    "uniform": (UNIFORM, ("low", "high")),
    "exponential": (EXPONENTIAL, ("mean",)),
    "triangular": (TRIANGULAR, ("low", "mode", "high")),
    "erlang": (ERLANG, ("stages", "mean")),
}


@dataclass(frozen=True, eq=False)
class Distribution:
    """A family of distributions and its parameters, numbers or expressions."""

    family: str
    parameters: tuple[tuple[str, float | Expression], ...]

    def __str__(self) -> str:
        shown = [f"{name}={v:g}" if isinstance(v, float) else f"{name}={v}" for name, v in self.parameters]
        return f"{self.family}({', '.join(shown)})"

    __repr__ = __str__


def distribution(family: str, **parameters: Any) -> Distribution:
    """A distribution by its family's name."""
    return Distribution(family, tuple((name, literal(content)) for name, content in parameters.items()))


def exponential(mean: Any) -> Distribution:
    return distribution("exponential", mean=mean)


def uniform(low: Any, high: Any) -> Distribution:
    return distribution("uniform", low=low, high=high)


def triangular(low: Any, mode: Any, high: Any) -> Distribution:
    return distribution("triangular", low=low, mode=mode, high=high)


def erlang(stages: Any, mean: Any) -> Distribution:
    return distribution("erlang", stages=stages, mean=mean)


def mix(word: int) -> int:
    """SplitMix64's finaliser: a bijection of 64-bit words with full avalanche."""
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & MASK
    return word ^ (word >> 31)


def replication_key(seed: int, replication: int) -> int:
    return mix((mix((seed + SEED_STEP) & MASK) + replication * REPLICATION_STEP) & MASK)


def stream_key(replication: int, stream: int) -> int:
    return mix((replication + stream * STREAM_STEP) & MASK)


def job_key(stream: int, job: int) -> int:
    return mix((stream + job * JOB_STEP) & MASK)


def random(key: int, counter: int) -> float:
    """The number of a job's key at a counter, uniform on (0, 1)."""
    return (mix((key + counter * DRAW_STEP) & MASK) >> 12) * 2.0**-52 + 2.0**-53


def stream_number(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")


def draw(
    kind: int, p0: float, p1: float, p2: float, p3: float, table: Any, key: int, counter: int
) -> tuple[float, int]:
    """A value of a distribution, and the counter after the numbers that it took; NaN where a parameter is impossible."""
    if kind == EXPONENTIAL:
        if not p0 >= 0.0:
            return math.nan, counter
        return -math.log(random(key, counter)) * p0, counter + 1
    if kind == CONSTANT:
        return p0, counter
    if kind == UNIFORM:
        return p0 + (p1 - p0) * random(key, counter), counter + 1
    if kind == TRIANGULAR:
        if not p0 <= p1 <= p2 or p0 == p2:
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
