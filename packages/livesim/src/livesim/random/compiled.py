"""The samplers for Numba: the same source as the reference, over 64-bit arithmetic that wraps by itself.

Keys are uint64 and counters int64. `fastmath` stays off and no operation is fused, so a draw has the reference's bits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numba import types, uint64

from livesim.native.routines import SCALARS, routine
from livesim.random import arithmetic, continuous, counts, samplers, streams

MIX_1 = np.uint64(streams.MIX_1)
MIX_2 = np.uint64(streams.MIX_2)
SEED_STEP = np.uint64(streams.SEED_STEP)
REPLICATION_STEP = np.uint64(streams.REPLICATION_STEP)
STREAM_STEP = np.uint64(streams.STREAM_STEP)
JOB_STEP = np.uint64(streams.JOB_STEP)
DRAW_STEP = np.uint64(streams.DRAW_STEP)
S12, S27, S30, S31 = (np.uint64(shift) for shift in (12, 27, 30, 31))

Word: TypeAlias = Any
"""64 bits without a sign."""

KNOWN = {
    **SCALARS,
    "Word": types.uint64,
    "key: int": types.uint64,
    "Sequence[float]": types.Array(types.float64, 1, "C"),
}


def inlined(function: Any) -> Any:
    """Put a function into the compiled ones that call it."""
    return routine(function, KNOWN, inline=True)


@inlined
def mix(word: Word) -> Word:
    word = (word ^ (word >> S30)) * MIX_1
    word = (word ^ (word >> S27)) * MIX_2
    return word ^ (word >> S31)


@inlined
def replication_key(seed: Word, replication: Word) -> Word:
    """As `streams.replication_key`."""
    return mix(mix(seed + SEED_STEP) + replication * REPLICATION_STEP)


@inlined
def stream_key(replication: Word, stream: Word) -> Word:
    """As `streams.stream_key`."""
    return mix(replication + stream * STREAM_STEP)


@inlined
def job_key(stream: Word, job: Word) -> Word:
    """As `streams.job_key`."""
    return mix(stream + job * JOB_STEP)


@inlined
def bits(key: Word, counter: Word) -> Word:
    """As `streams.bits`."""
    return mix(key + counter * DRAW_STEP)


@inlined
def uniform(key: Word, counter: int) -> float:
    """As `streams.uniform`."""
    return np.float64(bits(key, uint64(counter)) >> S12) * 2.0**-52 + 2.0**-53


routine(streams.uniform, KNOWN, inline=True, body=uniform)

# What is short, or takes the table, goes into its callers.
INLINED: tuple[Callable[..., Any], ...] = (
    arithmetic.exp,
    arithmetic.whole,
    arithmetic.whole_number,
    arithmetic.log_of_complement,
    samplers.first_at_least,
)
OUT_OF_LINE: tuple[Callable[..., Any], ...] = (
    continuous.normal_quantile,
    continuous.triangular,
    continuous.lognormal_of_mean,
    continuous.erlang,
    continuous.standard_gamma,
    continuous.beta,
    continuous.pert,
    continuous.truncated_normal,
    continuous.truncated_standard_normal,
    counts.geometric,
    counts.log_factorial,
    counts.poisson,
    counts.binomial,
    counts.binomial_by_rejection,
    counts.negative_binomial,
    samplers.draw_from_parameters,
    samplers.draw_from_table,
    samplers.draw,
)
for _sampler in INLINED:
    inlined(_sampler)
for _sampler in OUT_OF_LINE:
    routine(_sampler, KNOWN)
