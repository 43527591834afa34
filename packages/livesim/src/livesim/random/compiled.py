"""The samplers for Numba: the same source as the reference, over 64-bit arithmetic that wraps by itself.

Keys are uint64 and counters int64. `fastmath` stays off and no operation is fused, so a draw has the reference's bits.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numba import njit, uint64
from numba.extending import overload, register_jitable

from livesim.random import arithmetic, continuous, counts, samplers, streams

MIX_1 = np.uint64(streams.MIX_1)
MIX_2 = np.uint64(streams.MIX_2)
SEED_STEP = np.uint64(streams.SEED_STEP)
REPLICATION_STEP = np.uint64(streams.REPLICATION_STEP)
STREAM_STEP = np.uint64(streams.STREAM_STEP)
JOB_STEP = np.uint64(streams.JOB_STEP)
DRAW_STEP = np.uint64(streams.DRAW_STEP)
S12, S27, S30, S31 = (np.uint64(shift) for shift in (12, 27, 30, 31))

INLINE: Any = {"nogil": True, "error_model": "numpy", "forceinline": True}
CALLED: Any = {"nogil": True, "error_model": "numpy"}

Function = TypeVar("Function", bound=Callable[..., Any])


def inlined(function: Function) -> Function:
    """Compile a function whose body goes wherever it is called."""
    return njit(cache=True, **INLINE)(function)


@inlined
def mix(word: Any) -> Any:
    word = (word ^ (word >> S30)) * MIX_1
    word = (word ^ (word >> S27)) * MIX_2
    return word ^ (word >> S31)


@inlined
def replication_key(seed: Any, replication: Any) -> Any:
    """As `streams.replication_key`."""
    return mix(mix(uint64(seed) + SEED_STEP) + uint64(replication) * REPLICATION_STEP)


@inlined
def stream_key(replication: Any, stream: Any) -> Any:
    """As `streams.stream_key`."""
    return mix(uint64(replication) + uint64(stream) * STREAM_STEP)


@inlined
def job_key(stream: Any, job: Any) -> Any:
    """As `streams.job_key`."""
    return mix(uint64(stream) + uint64(job) * JOB_STEP)


@inlined
def bits(key: Any, counter: Any) -> Any:
    """As `streams.bits`."""
    return mix(uint64(key) + uint64(counter) * DRAW_STEP)


@inlined
def uniform(key: Any, counter: Any) -> Any:
    """As `streams.uniform`."""
    return np.float64(bits(key, counter) >> S12) * 2.0**-52 + 2.0**-53


@overload(streams.uniform, jit_options=INLINE)
def _uniform(key: Any, counter: Any) -> Any:
    def implementation(key: Any, counter: Any) -> Any:
        return uniform(key, counter)

    return implementation


# A sampler that takes an array and is not inlined costs its caller 30 ns; one of scalars costs nothing that shows.
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
)
for _sampler in INLINED:
    register_jitable(**INLINE)(_sampler)
for _sampler in OUT_OF_LINE:
    register_jitable(**CALLED)(_sampler)

draw_compiled = inlined(samplers.draw)
