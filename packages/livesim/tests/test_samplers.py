"""Samplers: the compiled ones are the reference's to the bit, and every law is SciPy's.

Each test of a law draws 400,000 variates (fixed keys) and compares its p-value with 1e-7; its poison, the same
variates enlarged by 2 % or with one count in fifty raised, must be caught by the same test.
LIVE_LONG=1 draws a million of each, and compares as many with the reference, in place of 10,000.
"""

import itertools
import math
import os
from typing import NamedTuple

import numpy as np
import pytest
from livesim.random import (
    Kind,
    arithmetic,
    check,
    continuous,
    counts,
    draw,
    job_key,
    replication_key,
    samplers,
    stream_key,
    uniform,
)
from livesim.random.batch import draw_jobs
from livesim.random.kinds import NAMES, TraceEnd
from livesim.random.tables import guide, tabulated, weighted
from scipy import special, stats

P = 1e-7
N = 1_000_000 if os.environ.get("LIVE_LONG") == "1" else 400_000
COMPARED = 1_000_000 if os.environ.get("LIVE_LONG") == "1" else 10_000
INF = math.inf
NOTHING = np.zeros(1)
ONE = np.zeros(1, np.int64)
STREAM = stream_key(replication_key(2024, 0), 0)


def padded(parameters: tuple[float, ...]) -> tuple[float, float, float, float]:
    return tuple(map(float, (*parameters, 0.0, 0.0, 0.0, 0.0)[:4]))


def variates(kind: Kind, parameters: tuple[float, ...], n: int = N, table: np.ndarray = NOTHING) -> np.ndarray:
    return draw_jobs(kind, padded(parameters), table, STREAM, np.zeros(n, np.int64))[0]


class Case(NamedTuple):
    kind: Kind
    parameters: tuple[float, ...]
    law: object
    table: tuple[float, ...] = (0.0,)

    def __str__(self) -> str:
        return f"{self.kind.name.lower()}{self.parameters}"


class Truncated:
    """SciPy's truncated normal, with a distribution function ten times as fast as its own."""

    def __init__(self, mean: float, sd: float, low: float, high: float) -> None:
        self.mean, self.sd, self.a, self.b = mean, sd, (low - mean) / sd, (high - mean) / sd
        frozen = stats.truncnorm(self.a, self.b, mean, sd)
        self.stats, self.ppf = frozen.stats, frozen.ppf

    def cdf(self, x: np.ndarray) -> np.ndarray:
        z = np.clip((x - self.mean) / self.sd, self.a, self.b)
        if self.a > 0.0:
            above = special.ndtr(-self.a)
            return (above - special.ndtr(-z)) / (above - special.ndtr(-self.b))
        below = special.ndtr(self.a)
        return (special.ndtr(z) - below) / (special.ndtr(self.b) - below)


def hyperexponential(probabilities: list[float], means: list[float]) -> object:
    class Law:
        def cdf(self, x: np.ndarray) -> np.ndarray:
            return sum(p * -np.expm1(-x / m) for p, m in zip(probabilities, means, strict=True))

    return Law()


CONTINUOUS = [
    Case(Kind.UNIFORM, (-2, 5), stats.uniform(-2, 7)),
    Case(Kind.EXPONENTIAL, (18,), stats.expon(scale=18)),
    Case(Kind.EXPONENTIAL_RATE, (0.25,), stats.expon(scale=4)),
    Case(Kind.TRIANGULAR, (1, 2, 5), stats.triang(0.25, 1, 4)),
    Case(Kind.TRIANGULAR, (0, 0, 2), stats.triang(0, 0, 2)),
    Case(Kind.TRIANGULAR, (0, 2, 2), stats.triang(1, 0, 2)),
    Case(Kind.NORMAL, (10, 3), stats.norm(10, 3)),
    Case(Kind.TRUNCATED_NORMAL, (1, 1, 0, INF), Truncated(1, 1, 0, INF)),
    Case(Kind.TRUNCATED_NORMAL, (0, 1, -INF, INF), stats.norm()),
    Case(Kind.TRUNCATED_NORMAL, (0, 1, -0.5, 0.7), Truncated(0, 1, -0.5, 0.7)),
    Case(Kind.TRUNCATED_NORMAL, (0, 1, 0.1, 0.3), Truncated(0, 1, 0.1, 0.3)),
    Case(Kind.TRUNCATED_NORMAL, (0, 1, 3, INF), Truncated(0, 1, 3, INF)),
    Case(Kind.TRUNCATED_NORMAL, (0, 1, 3, 4), Truncated(0, 1, 3, 4)),
    Case(Kind.TRUNCATED_NORMAL, (5, 2, -INF, -1), Truncated(5, 2, -INF, -1)),
    Case(Kind.TRUNCATED_NORMAL, (5, 2, -4, 0), Truncated(5, 2, -4, 0)),
    Case(Kind.LOGNORMAL, (0.5, 0.8), stats.lognorm(0.8, scale=math.exp(0.5))),
    Case(Kind.LOGNORMAL_MEAN, (3, 2), stats.lognorm(math.sqrt(math.log(13 / 9)), scale=3 / math.sqrt(13 / 9))),
    Case(Kind.GAMMA, (0.05, 2), stats.gamma(0.05, scale=2)),
    Case(Kind.GAMMA, (0.7, 2), stats.gamma(0.7, scale=2)),
    Case(Kind.GAMMA, (1, 3), stats.gamma(1, scale=3)),
    Case(Kind.GAMMA, (2.5, 3), stats.gamma(2.5, scale=3)),
    Case(Kind.GAMMA, (50, 0.1), stats.gamma(50, scale=0.1)),
    Case(Kind.ERLANG, (1, 6), stats.gamma(1, scale=6)),
    Case(Kind.ERLANG, (3, 6), stats.gamma(3, scale=2)),
    Case(Kind.ERLANG, (16, 6), stats.gamma(16, scale=6 / 16)),
    Case(Kind.ERLANG, (17, 6), stats.gamma(17, scale=6 / 17)),
    Case(Kind.WEIBULL, (0.7, 2), stats.weibull_min(0.7, scale=2)),
    Case(Kind.WEIBULL, (3, 2), stats.weibull_min(3, scale=2)),
    Case(Kind.BETA, (0.3, 0.6, 0, 1), stats.beta(0.3, 0.6)),
    Case(Kind.BETA, (1, 1, 0, 1), stats.uniform()),
    Case(Kind.BETA, (0.5, 3, 0, 1), stats.beta(0.5, 3)),
    Case(Kind.BETA, (2, 5, 0, 1), stats.beta(2, 5)),
    Case(Kind.BETA, (2, 3, -1, 4), stats.beta(2, 3, -1, 5)),
    Case(Kind.PARETO, (2.5, 3), stats.pareto(2.5, scale=3)),
    Case(Kind.PERT, (1, 2, 5, 4), stats.beta(2, 4, 1, 4)),
    Case(
        Kind.HYPEREXPONENTIAL,
        (0, 3),
        hyperexponential([0.2, 0.5, 0.3], [1, 4, 20]),
        weighted([0.2, 0.7, 1], [1, 4, 20]),
    ),
]
DISCRETE = [
    Case(Kind.BERNOULLI, (0.3,), stats.bernoulli(0.3)),
    Case(Kind.DISCRETE_UNIFORM, (-2, 6), stats.randint(-2, 7)),
    Case(Kind.GEOMETRIC, (0.2,), stats.geom(0.2)),
    Case(Kind.GEOMETRIC, (0.97,), stats.geom(0.97)),
    Case(Kind.BINOMIAL, (12, 0.3), stats.binom(12, 0.3)),
    Case(Kind.BINOMIAL, (1000, 0.003), stats.binom(1000, 0.003)),
    Case(Kind.BINOMIAL, (12, 0.8), stats.binom(12, 0.8)),
    Case(Kind.BINOMIAL, (40, 0.25), stats.binom(40, 0.25)),
    Case(Kind.BINOMIAL, (500, 0.45), stats.binom(500, 0.45)),
    Case(Kind.BINOMIAL, (100_000, 0.999), stats.binom(100_000, 0.999)),
    Case(Kind.NEGATIVE_BINOMIAL, (2.5, 0.3), stats.nbinom(2.5, 0.3)),
    Case(Kind.NEGATIVE_BINOMIAL, (0.5, 0.05), stats.nbinom(0.5, 0.05)),
    Case(Kind.POISSON, (0.1,), stats.poisson(0.1)),
    Case(Kind.POISSON, (4,), stats.poisson(4)),
    Case(Kind.POISSON, (9.99,), stats.poisson(9.99)),
    Case(Kind.POISSON, (10,), stats.poisson(10)),
    Case(Kind.POISSON, (300,), stats.poisson(300)),
    Case(Kind.POISSON, (1e6,), stats.poisson(1e6)),
    Case(
        Kind.DISCRETE,
        (0, 3),
        stats.rv_discrete(values=([1, 2, 4], [0.5, 0.2, 0.3])),
        weighted([0.5, 0.7, 1], [1, 2, 4]),
    ),
]
EDGES = [
    Case(Kind.CONSTANT, (7,), None),
    Case(Kind.UNIFORM, (3, 3), None),
    Case(Kind.EXPONENTIAL, (0,), None),
    Case(Kind.TRIANGULAR, (2, 2, 2), None),
    Case(Kind.TRIANGULAR, (-8e307, 0, 8e307), None),
    Case(Kind.NORMAL, (1, 0), None),
    Case(Kind.TRUNCATED_NORMAL, (1, 0, 0, 2), None),
    Case(Kind.TRUNCATED_NORMAL, (0, 1, 2, 2), None),
    Case(Kind.TRUNCATED_NORMAL, (0, 1, 1e6, INF), None),
    Case(Kind.TRUNCATED_NORMAL, (0, 1, -INF, -1e6), None),
    Case(Kind.LOGNORMAL, (700, 100), None),
    Case(Kind.GAMMA, (1e-3, 1), None),
    Case(Kind.GAMMA, (1e12, 1), None),
    Case(Kind.ERLANG, (1e6, 1), None),
    Case(Kind.WEIBULL, (1e-3, 1), None),
    Case(Kind.BETA, (1e-3, 1e-3, 0, 1), None),
    Case(Kind.BETA, (1e-300, 1e300, 0, 1), None),
    Case(Kind.PARETO, (1e-3, 1), None),
    Case(Kind.PERT, (1, 1, 1, 4), None),
    Case(Kind.PERT, (0, 0, 1, 0), None),
    Case(Kind.BERNOULLI, (0,), None),
    Case(Kind.BERNOULLI, (1,), None),
    Case(Kind.GEOMETRIC, (1,), None),
    Case(Kind.GEOMETRIC, (1e-300,), None),
    Case(Kind.BINOMIAL, (0, 0.5), None),
    Case(Kind.BINOMIAL, (5, 0), None),
    Case(Kind.BINOMIAL, (5, 1), None),
    Case(Kind.BINOMIAL, (1e9, 1e-12), None),
    Case(Kind.BINOMIAL, (1e9, 0.5), None),
    Case(Kind.NEGATIVE_BINOMIAL, (3, 1), None),
    Case(Kind.NEGATIVE_BINOMIAL, (1e-3, 0.5), None),
    Case(Kind.POISSON, (0,), None),
    Case(Kind.POISSON, (1e9,), None),
    Case(Kind.EMPIRICAL, (1, 4), None, (9, 1, 2, 4, 8)),
    Case(Kind.EMPIRICAL_INTERPOLATED, (1, 4), None, (9, 1, 2, 4, 8)),
    Case(Kind.TABULATED, (1, 2), None, (9, *tabulated([0, 0.5, 1], [1, 2, 3, 4, 10, 2, 1, 0.5]))),
    Case(Kind.TRACE, (1, 2, TraceEnd.REPEAT), None, (9, 1, 2)),
]


@pytest.mark.parametrize("case", CONTINUOUS + DISCRETE + EDGES, ids=str)
def test_compiled_is_the_reference_to_the_bit(case: Case) -> None:
    """Values and counters, from counter 0 and from a later one."""
    table = np.array(case.table, float)
    flat = table.tolist()
    for first in (0, 7):
        start = np.full(COMPARED // 2, first, np.int64)
        values, counters = draw_jobs(case.kind, padded(case.parameters), table, STREAM, start)
        assert not np.isnan(values).any()
        p = padded(case.parameters)
        for job in range(COMPARED // 2):
            value, counter = draw(int(case.kind), *p, flat, job_key(STREAM, job), first)
            assert value == values[job], (job, first)
            assert math.copysign(1.0, value) == math.copysign(1.0, values[job])
            assert counter == counters[job]


def ks_pvalue(case: Case, values: np.ndarray) -> float:
    return stats.kstest(values, case.law.cdf, method="asymp").pvalue


@pytest.mark.parametrize("case", CONTINUOUS, ids=str)
def test_continuous_law(case: Case) -> None:
    values = variates(case.kind, case.parameters, table=np.array(case.table, float))
    assert ks_pvalue(case, values) > P
    poison = 1.5 if case.parameters[0] == 0.05 else 1.02  # that gamma is spread over a thousand decades
    assert ks_pvalue(case, poison * values) < P


def chi_square_pvalue(case: Case, values: np.ndarray) -> float:
    """Cells of at least 50 expected counts, tails pooled."""
    support = np.arange(values.min(), values.max() + 1)
    if len(support) > 500:
        edges = np.unique(np.floor(case.law.ppf(np.linspace(0, 1, 201)[1:-1])))
    else:
        edges = support[case.law.pmf(support) * N >= 50][:-1]
    expected = np.diff(np.concatenate([[0.0], case.law.cdf(edges), [1.0]])) * N
    found = np.bincount(np.searchsorted(edges, values), minlength=len(edges) + 1)
    keep = expected > 0
    assert not found[~keep].any()
    return stats.chisquare(found[keep], expected[keep], sum_check=False).pvalue


@pytest.mark.parametrize("case", DISCRETE, ids=str)
def test_discrete_law(case: Case) -> None:
    values = variates(case.kind, case.parameters, table=np.array(case.table, float))
    assert (values == np.floor(values)).all()
    assert chi_square_pvalue(case, values) > P
    poisoned = values.copy()
    poisoned[::50] += max(1.0, np.round(values.std()))
    if case.kind in (Kind.BERNOULLI, Kind.DISCRETE):
        poisoned[::50] = 1.0
    assert chi_square_pvalue(case, poisoned) < P


@pytest.mark.parametrize("case", [c for c in CONTINUOUS + DISCRETE if hasattr(c.law, "stats")], ids=str)
def test_moments_and_tails(case: Case) -> None:
    """Mean and variance within 5.5 standard errors where the fourth moment exists; tail counts within 5.5 sd."""
    values = variates(case.kind, case.parameters, table=np.array(case.table, float))
    mean, variance, kurtosis = (float(x) for x in case.law.stats(moments="mvk"))
    assert abs(values.mean() - mean) < 5.5 * math.sqrt(variance / N)
    if math.isfinite(kurtosis) and kurtosis < 50:
        assert abs(values.var() - variance) < 5.5 * variance * math.sqrt((kurtosis + 2) / N) + 1e-12 * variance
    for q in (1e-4, 1e-3, 0.999, 0.9999):
        cut = float(case.law.ppf(q))
        probability = float(case.law.cdf(cut))
        sd = math.sqrt(probability * (1 - probability) / N)
        assert abs((values <= cut).mean() - probability) <= 5.5 * sd + 1 / N


def test_normal_quantile_is_right_to_rounding() -> None:
    """Against SciPy over the whole range of uniforms, both tails to 2^-53; relative error 2e-15."""
    u = np.concatenate([2.0 ** -np.arange(1.0, 54.0), np.linspace(1e-6, 0.5, 5000), [0.075, 0.0750001, 0.0749999]])
    found = np.array([continuous.normal_quantile(x) for x in u.tolist()])
    np.testing.assert_allclose(found, special.ndtri(u), rtol=2e-15, atol=1e-16)
    mirrored = np.array([continuous.normal_quantile(1.0 - x) for x in u.tolist()])
    exact = 1.0 - (1.0 - u) == u
    np.testing.assert_array_equal(mirrored[exact], -found[exact])


def test_log_factorial_is_right_to_rounding() -> None:
    k = np.concatenate([np.arange(200.0), 10.0 ** np.arange(3, 10)])
    found = [counts.log_factorial(x) for x in k.tolist()]
    np.testing.assert_allclose(found, special.gammaln(k + 1), rtol=2e-15, atol=5e-15)


def test_log_of_complement_is_right_for_small_probabilities() -> None:
    p = np.concatenate([10.0 ** -np.arange(1.0, 300.0), np.linspace(0.01, 0.99, 99)])
    np.testing.assert_allclose([arithmetic.log_of_complement(x) for x in p.tolist()], np.log1p(-p), rtol=1e-15)


def test_guide_finds_what_a_search_finds() -> None:
    """Where entries lie on multiples of 1 / n, one bit beside them, and at random, with entries alike."""
    rng = np.random.default_rng(0)
    for n in (1, 2, 3, 7, 49, 1000):
        for upper in (
            np.arange(1, n + 1) / n,
            np.sort(np.concatenate([rng.uniform(size=n - 1), [1.0]])),
            np.concatenate([np.sort(rng.integers(0, 5, n - 1) / 5), [1.0]]),
        ):
            table = [*upper.tolist(), *guide(upper.tolist())]
            u = np.concatenate([upper, np.nextafter(upper, 0), np.nextafter(upper, 1), rng.uniform(size=1000)])
            u = u[(u > 0) & (u < 1)]
            found = [samplers.first_at_least(table, 0, n, n, x) for x in u.tolist()]
            np.testing.assert_array_equal(found, np.searchsorted(upper, u))


def test_inversion_is_monotone_in_the_uniform() -> None:
    """What one uniform makes keeps its order: jobs of two scenarios stay in step."""
    order = np.argsort([uniform(job_key(STREAM, job), 0) for job in range(2000)])
    for kind, parameters in [
        (Kind.UNIFORM, (1, 2)),
        (Kind.NORMAL, (0, 1)),
        (Kind.LOGNORMAL_MEAN, (3, 2)),
        (Kind.TRIANGULAR, (0, 1, 3)),
    ]:
        assert (np.diff(variates(kind, parameters, 2000)[order]) >= 0).all()
    for kind, parameters in [(Kind.EXPONENTIAL, (3,)), (Kind.WEIBULL, (2, 1)), (Kind.PARETO, (2, 1))]:
        assert (np.diff(variates(kind, parameters, 2000)[order]) <= 0).all()


VALUES = [math.nan, -INF, -1e308, -3.0, -0.5, 0.0, 5e-324, 1e-9, 0.5, 1.0, 2.0, 2.5, 1e5, 1e9, 2e9, 1e308, INF]


@pytest.mark.parametrize("kind", list(NAMES), ids=lambda kind: kind.name.lower())
def test_draw_gives_nan_exactly_where_check_refuses(kind: Kind) -> None:
    """Over a grid of awkward values for every parameter, in the reference and compiled; no value raises or hangs."""
    values = VALUES if len(NAMES[kind]) < 4 else VALUES[1::2]
    for parameters in itertools.product(values, repeat=len(NAMES[kind])):
        refused = check(kind, parameters) is not None
        p = padded(parameters)
        value, counter = draw(int(kind), *p, [0.0], job_key(STREAM, 0), 0)
        assert math.isnan(value) == refused, parameters
        assert isinstance(value, float)
        again, same = (float(found[0]) for found in draw_jobs(kind, p, NOTHING, STREAM, ONE))
        assert math.isnan(again) == refused
        assert counter == same
        assert refused or again == value


@pytest.mark.parametrize("kind", list(NAMES), ids=lambda kind: kind.name.lower())
def test_compiled_is_the_reference_for_random_parameters(kind: Kind) -> None:
    """A thousand parameter sets of each kind, over six decades, that `check` lets pass."""
    rng = np.random.default_rng(int(kind))
    tried = 0
    while tried < 1000:
        parameters = 10.0 ** rng.uniform(-3, 3, 4)
        parameters[rng.uniform(size=4) < 0.3] %= 1.0
        parameters[rng.uniform(size=4) < 0.3] //= 1.0
        if rng.uniform() < 0.7:
            parameters.sort()
        p = padded(tuple(parameters[: len(NAMES[kind])]))
        if check(kind, p[: len(NAMES[kind])]) is None:
            tried += 1
            stream = stream_key(STREAM, tried)
            values, counters = draw_jobs(kind, p, NOTHING, stream, ONE + 3)
            assert draw(int(kind), *p, [], job_key(stream, 0), 3) == (values[0], counters[0])


def test_check_names_the_parameter_its_value_and_what_would_be_right() -> None:
    assert check(Kind.EXPONENTIAL, (-1.0,)) == "mean must be a finite number of at least 0, got -1.0"
    assert check(Kind.UNIFORM, (3, 2)) == "low, high must be in this order, with a finite distance, got low=3, high=2"
    assert check(Kind.BINOMIAL, (2.5, 0.5)) == "n must be a whole number from 0 to 1e+09, got 2.5"
    assert "within 1e+06 sd" in check(Kind.TRUNCATED_NORMAL, (0, 1, 1e7, INF))


def test_check_leaves_expressions_to_the_run() -> None:
    assert check(Kind.UNIFORM, ("attribute", 2)) is None
    assert check(Kind.NORMAL, ("attribute", -2)) is not None


def test_trace_ends_as_said() -> None:
    """The counter is the position; past the end a trace repeats, holds its last value, or is an error."""
    table = [9.0, 1.0, 2.0]
    for end, expected in (
        (TraceEnd.REPEAT, [1, 2, 1, 2, 1]),
        (TraceEnd.LAST, [1, 2, 2, 2, 2]),
        (TraceEnd.ERROR, [1, 2, math.nan, math.nan, math.nan]),
    ):
        found = [draw(int(Kind.TRACE), 1.0, 2.0, float(end), 0.0, table, 5, position) for position in range(5)]
        np.testing.assert_array_equal([value for value, _ in found], expected)
        assert [counter for _, counter in found] == [1, 2, 3, 4, 5]
