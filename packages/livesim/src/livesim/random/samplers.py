"""The samplers: plain Python, and the source that Numba compiles, so that both give the same bits.

A sampler takes a job's key and a counter and returns a value with the counter moved past the uniforms it used. The
methods are inversion, or rejection with an exact acceptance probability. To keep CPython and Numba equal to the bit
they use only + - * /, sqrt, and the C library's log and exp; what Python would raise for (a logarithm of zero, an
overflowing exponential) does not occur. A parameter that is impossible gives NaN, in exactly the cases that
`livesim.random.kinds.check` refuses.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from livesim.random.arithmetic import INFINITY, NAN, exp, whole, whole_number
from livesim.random.continuous import (
    beta,
    erlang,
    lognormal_of_mean,
    normal_quantile,
    pert,
    standard_gamma,
    triangular,
    truncated_normal,
)
from livesim.random.counts import binomial, geometric, negative_binomial, poisson
from livesim.random.kinds import (
    LARGEST_COUNT,
    LARGEST_SHAPE,
    MOST_VARIED,
    SMALLEST_SHAPE,
    Kind,
    TraceEnd,
)
from livesim.random.streams import uniform

# Plain integers: the compiler folds them, and Python compares them faster than an enumeration's members.
CONSTANT = int(Kind.CONSTANT)
UNIFORM = int(Kind.UNIFORM)
EXPONENTIAL = int(Kind.EXPONENTIAL)
EXPONENTIAL_RATE = int(Kind.EXPONENTIAL_RATE)
TRIANGULAR = int(Kind.TRIANGULAR)
NORMAL = int(Kind.NORMAL)
TRUNCATED_NORMAL = int(Kind.TRUNCATED_NORMAL)
LOGNORMAL = int(Kind.LOGNORMAL)
LOGNORMAL_MEAN = int(Kind.LOGNORMAL_MEAN)
GAMMA = int(Kind.GAMMA)
ERLANG = int(Kind.ERLANG)
WEIBULL = int(Kind.WEIBULL)
BETA = int(Kind.BETA)
PARETO = int(Kind.PARETO)
PERT = int(Kind.PERT)
BERNOULLI = int(Kind.BERNOULLI)
DISCRETE_UNIFORM = int(Kind.DISCRETE_UNIFORM)
GEOMETRIC = int(Kind.GEOMETRIC)
BINOMIAL = int(Kind.BINOMIAL)
NEGATIVE_BINOMIAL = int(Kind.NEGATIVE_BINOMIAL)
POISSON = int(Kind.POISSON)
DISCRETE = int(Kind.DISCRETE)
HYPEREXPONENTIAL = int(Kind.HYPEREXPONENTIAL)
EMPIRICAL = int(Kind.EMPIRICAL)
EMPIRICAL_INTERPOLATED = int(Kind.EMPIRICAL_INTERPOLATED)
TABULATED = int(Kind.TABULATED)
TRACE = int(Kind.TRACE)
TRACE_REPEATS = int(TraceEnd.REPEAT)
TRACE_HOLDS_ITS_LAST = int(TraceEnd.LAST)


def draw(
    kind: int, p0: float, p1: float, p2: float, p3: float, table: Sequence[float], key: int, counter: int
) -> tuple[float, int]:
    """One variate of a kind with its parameters, and the counter past the uniforms it used.

    `key` is a `job_key`, `counter` the number of uniforms that the job has used in this stream; for a trace, `counter`
    is the position in the trace. `table` is the model's flat table. An impossible parameter gives NaN.
    """
    if kind == EXPONENTIAL:
        if not 0.0 <= p0 < INFINITY:
            return NAN, counter
        return -math.log(uniform(key, counter)) * p0, counter + 1
    if kind == CONSTANT:
        return (p0 if abs(p0) < INFINITY else NAN), counter
    if kind >= DISCRETE:
        return draw_from_table(kind, p0, p1, p2, table, key, counter)
    return draw_from_parameters(kind, p0, p1, p2, p3, key, counter)


def draw_from_parameters(
    kind: int, p0: float, p1: float, p2: float, p3: float, key: int, counter: int
) -> tuple[float, int]:
    """One variate of a kind that needs no table."""
    if kind == UNIFORM:
        if not (p0 <= p1 and p1 - p0 < INFINITY):
            return NAN, counter
        return p0 + (p1 - p0) * uniform(key, counter), counter + 1
    if kind == NORMAL:
        if not (abs(p0) < INFINITY and 0.0 <= p1 < INFINITY):
            return NAN, counter
        return p0 + p1 * normal_quantile(uniform(key, counter)), counter + 1
    if kind == LOGNORMAL:
        if not (abs(p0) < INFINITY and 0.0 <= p1 < INFINITY):
            return NAN, counter
        return exp(p0 + p1 * normal_quantile(uniform(key, counter))), counter + 1
    if kind == TRIANGULAR:
        if not (p0 <= p1 <= p2 and p2 - p0 < INFINITY):
            return NAN, counter
        return triangular(uniform(key, counter), p0, p1, p2), counter + 1
    if kind == GAMMA:
        if not (0.0 < p0 < INFINITY and 0.0 <= p1 < INFINITY):
            return NAN, counter
        value, counter = standard_gamma(p0, key, counter)
        return p1 * value, counter
    if kind == ERLANG:
        if not (1.0 <= p0 <= LARGEST_COUNT and p0 == math.floor(p0) and 0.0 <= p1 < INFINITY):
            return NAN, counter
        return erlang(int(p0), p1, key, counter)
    if kind == WEIBULL:
        if not (0.0 < p0 < INFINITY and 0.0 < p1 < INFINITY):
            return NAN, counter
        return p1 * exp(math.log(-math.log(uniform(key, counter))) / p0), counter + 1
    if kind == BERNOULLI:
        if not 0.0 <= p0 <= 1.0:
            return NAN, counter
        return (1.0 if uniform(key, counter) < p0 else 0.0), counter + 1
    if kind == DISCRETE_UNIFORM:
        if not (whole_number(p0) and whole_number(p1) and p0 <= p1):
            return NAN, counter
        return p0 + whole((p1 - p0 + 1.0) * uniform(key, counter)), counter + 1
    if kind == POISSON:
        if not 0.0 <= p0 <= LARGEST_COUNT:
            return NAN, counter
        return poisson(p0, key, counter)
    if kind == EXPONENTIAL_RATE:
        if not 0.0 < p0 < INFINITY:
            return NAN, counter
        return -math.log(uniform(key, counter)) / p0, counter + 1
    if kind == LOGNORMAL_MEAN:
        if not (0.0 < p0 < INFINITY and 0.0 <= p1 < INFINITY and p1 / p0 <= MOST_VARIED):
            return NAN, counter
        mu, sigma = lognormal_of_mean(p0, p1)
        return exp(mu + sigma * normal_quantile(uniform(key, counter))), counter + 1
    if kind == TRUNCATED_NORMAL:
        return truncated_normal(p0, p1, p2, p3, key, counter)
    if kind == BETA:
        if not (SMALLEST_SHAPE <= p0 <= LARGEST_SHAPE and SMALLEST_SHAPE <= p1 <= LARGEST_SHAPE):
            return NAN, counter
        if not (p2 <= p3 and p3 - p2 < INFINITY):
            return NAN, counter
        value, counter = beta(p0, p1, key, counter)
        return p2 + (p3 - p2) * value, counter
    if kind == PERT:
        if not (p0 <= p1 <= p2 and p2 - p0 < INFINITY and 0.0 <= p3 < INFINITY):
            return NAN, counter
        return pert(p0, p1, p2, p3, key, counter)
    if kind == PARETO:
        if not (0.0 < p0 < INFINITY and 0.0 < p1 < INFINITY):
            return NAN, counter
        return p1 * exp(-math.log(uniform(key, counter)) / p0), counter + 1
    if kind == GEOMETRIC:
        if not 0.0 < p0 <= 1.0:
            return NAN, counter
        return geometric(uniform(key, counter), p0), counter + 1
    if kind == BINOMIAL:
        if not (p0 >= 0.0 and whole_number(p0) and 0.0 <= p1 <= 1.0):
            return NAN, counter
        return binomial(p0, p1, key, counter)
    if kind == NEGATIVE_BINOMIAL:
        if not (0.0 < p0 < INFINITY and 0.0 < p1 <= 1.0):
            return NAN, counter
        return negative_binomial(p0, p1, key, counter)
    return NAN, counter


def draw_from_table(
    kind: int, p0: float, p1: float, p2: float, table: Sequence[float], key: int, counter: int
) -> tuple[float, int]:
    """One variate of a kind whose table begins at `p0` and describes `p1` entries."""
    start = int(p0)
    n = int(p1)
    if kind == TRACE:
        if counter >= n:
            if p2 == TRACE_REPEATS:
                return table[start + counter % n], counter + 1
            return (table[start + n - 1] if p2 == TRACE_HOLDS_ITS_LAST else NAN), counter + 1
        return table[start + counter], counter + 1
    u = uniform(key, counter)
    if kind == EMPIRICAL:
        return table[start + int(u * n)], counter + 1
    if kind == EMPIRICAL_INTERPOLATED:
        # The i-th of n sorted observations at probability i / (n - 1): Law 2015, section 6.2.4.
        position = u * (n - 1)
        i = start + int(position)
        rest = position - int(position)
        return table[i] + rest * (table[i + 1] - table[i]), counter + 1
    if kind == TABULATED:
        i = first_at_least(table, start + 1, start + n + 1, n, u)
        left = table[start + i]
        t = (u - left) / (table[start + i + 1] - left)
        c = start + 2 * n + 1 + 4 * i
        return table[c] + t * (table[c + 1] + t * (table[c + 2] + t * table[c + 3])), counter + 1
    i = first_at_least(table, start, start + n, n, u)
    if kind == DISCRETE:
        return table[start + 2 * n + i], counter + 1
    if kind == HYPEREXPONENTIAL:
        return -math.log(uniform(key, counter + 1)) * table[start + 2 * n + i], counter + 2
    return NAN, counter


def first_at_least(table: Sequence[float], start: int, guide: int, n: int, u: float) -> int:
    """The first of n ascending entries that is at least u; see `livesim.random.tables` for the guide."""
    i = int(table[guide + int(u * n)])
    while table[start + i] < u:
        i += 1
    return i
