"""Distributions as data: what they compile to, their moments, tables of SciPy's, JSON, and errors at the door.

The laws of the samplers are tested in `test_samplers`; here, each family's first variates must be its sampler's.
"""

import json
import math
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from livesim import distributions as d
from livesim.distributions.inversion import tabulate
from livesim.random import Kind, draw, job_key, replication_key, stream_key, uniform
from livesim.random.batch import draw_jobs
from livesim.random.tables import tabulated
from scipy import stats

P = 1e-7
N = 1_000_000 if os.environ.get("LIVE_LONG") == "1" else 400_000
STREAM = stream_key(replication_key(5, 0), 0)


def variates(made: d.Distribution, n: int = N) -> np.ndarray:
    """Variates of the compiled sampler, with the table behind another one."""
    kind, parameters, table = made.compile().at(3)
    return draw_jobs(kind, parameters, np.array([9.0, 9.0, 9.0, *table]), STREAM, np.zeros(n, np.int64))[0]


LAWS: list[tuple[d.Distribution, Any]] = [
    (d.constant(3), None),
    (d.uniform(1, 4), stats.uniform(1, 3)),
    (d.exponential(mean=18.0), stats.expon(scale=18)),
    (d.exponential(rate=0.5), stats.expon(scale=2)),
    (d.triangular(1, 2, 5), stats.triang(0.25, 1, 4)),
    (d.normal(10, 3), stats.norm(10, 3)),
    (d.truncated_normal(1, 2), stats.truncnorm(-0.5, math.inf, 1, 2)),
    (d.truncated_normal(1, 2, -1, 4), stats.truncnorm(-1, 1.5, 1, 2)),
    (d.lognormal(mean=3, sd=2), stats.lognorm(math.sqrt(math.log(13 / 9)), scale=3 / math.sqrt(13 / 9))),
    (d.lognormal(mu=0.5, sigma=0.8), stats.lognorm(0.8, scale=math.exp(0.5))),
    (d.gamma(2.5, 3), stats.gamma(2.5, scale=3)),
    (d.erlang(stages=3, mean=6), stats.gamma(3, scale=2)),
    (d.weibull(1.5, 2), stats.weibull_min(1.5, scale=2)),
    (d.beta(2, 5), stats.beta(2, 5)),
    (d.beta(2, 5, 10, 20), stats.beta(2, 5, 10, 10)),
    (d.pareto(4.5, 3), stats.pareto(4.5, scale=3)),
    (d.pert(1, 2, 5), stats.beta(2, 4, 1, 4)),
    (d.bernoulli(0.3), stats.bernoulli(0.3)),
    (d.discrete_uniform(-2, 6), stats.randint(-2, 7)),
    (d.geometric(0.2), stats.geom(0.2)),
    (d.binomial(12, 0.3), stats.binom(12, 0.3)),
    (d.negative_binomial(2.5, 0.3), stats.nbinom(2.5, 0.3)),
    (d.poisson(4), stats.poisson(4)),
    (d.discrete([1, 2, 4], [5, 2, 3]), stats.rv_discrete(values=([1, 2, 4], [0.5, 0.2, 0.3]))),
    (d.discrete([1, 2, 4]), stats.rv_discrete(values=([1, 2, 4], [1 / 3] * 3))),
    (d.hyperexponential([0.4, 0.6], [1, 5]), None),
    (d.empirical([3, 1, 2, 2]), stats.rv_discrete(values=([1, 2, 3], [0.25, 0.5, 0.25]))),
    (d.empirical([3, 1, 7], interpolate=True), None),
    (d.from_scipy(stats.gamma(2.0, scale=3.0)), stats.gamma(2, scale=3)),
]
TRACE = d.trace([3, 1, 2], at_end="repeat")


@pytest.mark.parametrize(("made", "law"), LAWS, ids=lambda x: str(x) if isinstance(x, d.Distribution) else "")
def test_moments_are_those_of_the_law_and_of_the_variates(made: d.Distribution, law: Any) -> None:
    """Against SciPy to rounding; the variates' mean and variance within 5.5 standard errors (4e-8 each)."""
    mean, variance = made.mean(), made.variance()
    if law is not None:
        expected = [float(x) for x in law.stats(moments="mv")]
        np.testing.assert_allclose([mean, variance], expected, rtol=1e-9)
    values = variates(made)
    fourth = ((values - values.mean()) ** 4).mean()
    assert abs(values.mean() - mean) <= 5.5 * math.sqrt(variance / N)
    assert abs(values.var() - variance) <= 5.5 * math.sqrt(max(fourth - variance**2, 0.0) / N) + 1e-9
    if variance > 0.0:  # poison
        assert abs((1.02 * values + 0.02 * math.sqrt(variance)).mean() - mean) > 5.5 * math.sqrt(variance / N)


@pytest.mark.parametrize(("made", "law"), LAWS, ids=lambda x: str(x) if isinstance(x, d.Distribution) else "")
def test_sample_is_the_compiled_sampler(made: d.Distribution, law: Any) -> None:
    stream = stream_key(replication_key(0, 0), 0)
    kind, parameters, table = made.compile().at(2)
    flat = [9.0, 9.0, *table]
    expected = [draw(kind, *parameters, flat, job_key(stream, i), 0)[0] for i in range(50)]
    assert made.sample(50) == expected


@pytest.mark.parametrize(
    "made", [*[made for made, _ in LAWS], TRACE, d.truncated_normal(0, 1, -math.inf)], ids=lambda made: str(made)
)
def test_json_and_back(made: d.Distribution) -> None:
    again = d.Distribution.from_dict(json.loads(json.dumps(made.to_dict(), allow_nan=False)))
    assert again == made
    assert again.compile() == made.compile()
    assert hash(again) == hash(made)


class Expression:
    """What a model's expression is to a distribution: something that is no number."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, other: object) -> object:  # as a model's expressions: == is one more expression
        return Expression(f"{self.name} == {other}")

    def __bool__(self) -> bool:
        raise TypeError("no truth value before the model runs")

    __hash__ = object.__hash__


def test_expressions_pass_through() -> None:
    service = Expression("service")
    made = d.truncated_normal(service, 2)
    kind, parameters, table = made.compile()
    assert (kind, parameters[0] is service, parameters[1:], table) == (
        Kind.TRUNCATED_NORMAL,
        True,
        (2.0, 0.0, math.inf),
        (),
    )
    assert not made.is_constant()
    assert made.mean() is None
    assert made.variance() is None
    data = json.loads(json.dumps(made.to_dict(encode=lambda expression: {"param": expression.name})))
    again = d.Distribution.from_dict(data, decode=lambda data: data["param"] and service)
    assert again == made
    assert again != d.truncated_normal(Expression("other"), 2)
    assert again != d.truncated_normal(1, 2)
    assert again != d.normal(service, 2)
    assert again != 3
    assert len({again, made}) == 1
    with pytest.raises(ValueError, match="mean is an expression, and no encoder is given"):
        made.to_dict()
    with pytest.raises(ValueError, match="has no value outside a run"):
        made.sample(1)
    # By its own mean, a lognormal is converted in the run; constants are converted once, to the same bits.
    kind, _, _ = d.lognormal(mean=service, sd=2).compile()
    assert kind is Kind.LOGNORMAL_MEAN
    values = [3.0, 2.0, 0.0, 0.0]
    late = [draw(kind, *values, [], job_key(STREAM, i), 0)[0] for i in range(1000)]
    assert late == variates(d.lognormal(mean=3.0, sd=2.0), 1000).tolist()


def test_a_trace_gives_its_values_in_order() -> None:
    assert TRACE.sample(5) == [3, 1, 2, 3, 1]
    assert d.trace([3, 1], at_end="last").sample(4) == [3, 1, 1, 1]
    assert np.isnan(d.trace([3, 1], at_end="error").sample(4)).tolist() == [False, False, True, True]
    assert TRACE.mean() == 2.0


def test_it_prints_as_it_was_written() -> None:
    assert str(d.exponential(mean=18.0)) == "exponential(mean=18.0)"
    assert str(d.discrete([1, 2], [3, 4])) == "discrete(values=[1.0, 2.0], weights=[3.0, 4.0])"
    assert str(d.empirical(range(10))) == "empirical(data=[0.0, 1.0, 2.0, ... 10 values], interpolate=False)"
    assert str(TRACE) == "trace(values=[3.0, 1.0, 2.0], at_end='repeat')"
    assert d.gamma(np.float64(2), np.int64(3)) == d.gamma(2.0, 3)


SCIPY = [
    stats.norm(10, 2),
    stats.gamma(0.05),
    stats.cauchy(),
    stats.beta(0.5, 0.5),
    stats.uniform(1e6, 1),
    stats.johnsonsu(1, 2),
    stats.invgauss(0.4),
    stats.weibull_min(0.5),
    stats.pareto(1.1),
    stats.gengamma(2.0, 1.5),
    stats.rv_histogram((np.array([3, 0, 0, 5, 1]), np.arange(6.0))),
    stats.gumbel_r(3, 2),
]


@pytest.mark.parametrize("frozen", SCIPY, ids=lambda frozen: getattr(frozen, "dist", frozen).name or "histogram")
def test_tabulated_inverse_keeps_its_stated_error(frozen: Any) -> None:
    """Error in probability below 1e-9, and below 1e-4 of the tail's, beyond what rounding the variate does."""
    if not hasattr(frozen, "dist"):
        frozen = frozen.freeze() if hasattr(frozen, "freeze") else frozen()
    n, values = tabulate(frozen)
    table = [7.0, *tabulated(values[: n + 1], values[n + 1 :])]
    rng = np.random.default_rng(0)
    tails = 10.0 ** -rng.uniform(0.3, 10.5, 20_000)
    u = np.concatenate([rng.uniform(size=20_000), tails, 1.0 - tails, [2.0**-53, 1.0 - 2.0**-53]])
    u = np.sort(np.floor(u * 2.0**52).clip(0, 2.0**52 - 1) * 2.0**-52 + 2.0**-53)
    knots, coefficients = np.array(values[: n + 1]), np.array(values[n + 1 :]).reshape(n, 4)
    assert knots[0] == 2.0**-53
    assert knots[-1] == 1.0 - 2.0**-53
    assert (np.diff(knots) > 0).all()
    i = np.clip(np.searchsorted(knots, u, side="right") - 1, 0, n - 1)
    t = (u - knots[i]) / (knots[i + 1] - knots[i])
    c = coefficients[i].T
    x = c[0] + t * (c[1] + t * (c[2] + t * c[3]))
    assert (np.diff(x) >= -1e-14 * np.abs(x[1:])).all()
    rounding = 16 * np.finfo(float).eps * np.abs(x)
    below = np.maximum(frozen.cdf(x - rounding) - u, u - frozen.cdf(x + rounding))
    above = np.maximum(frozen.sf(x + rounding) - (1 - u), (1 - u) - frozen.sf(x - rounding))
    error = np.where(u < 0.5, below, above)
    tail = np.minimum(u, 1 - u)
    assert error.max() <= 1e-9
    assert (error / tail)[tail > 2.0**-35].max() <= 1e-4
    # The sampler evaluates this table: its variate at a job's uniform.
    for job in range(200):
        value, _ = draw(Kind.TABULATED, 1.0, float(n), 0.0, 0.0, table, job_key(STREAM, job), 0)
        v = uniform(job_key(STREAM, job), 0)
        assert abs(frozen.cdf(value) - v) <= 1e-9 + 1e-9 * (abs(value) > 1e5)
    # Poison: coefficients of the neighbouring interval.
    c = coefficients[np.clip(i + 1, 0, n - 1)].T
    wrong = c[0] + t * (c[1] + t * (c[2] + t * c[3]))
    assert np.abs(frozen.cdf(wrong) - u).max() > 1e-6


def test_tabulated_law() -> None:
    """Kolmogorov and Smirnov, p above 1e-7; poison: 2 % wider."""
    law = stats.johnsonsu(1, 2)
    values = variates(d.from_scipy(law))
    assert stats.kstest(values, law.cdf, method="asymp").pvalue > P
    assert stats.kstest(1.02 * values, law.cdf, method="asymp").pvalue < P


def test_empirical_laws() -> None:
    """Observations alike: chi-square; interpolated: uniform between neighbours, Kolmogorov and Smirnov."""
    data = [1.0, 2.0, 4.0, 8.0, 16.0]
    found = np.bincount(variates(d.empirical(data)).astype(int), minlength=17)[np.array(data, int)]
    assert found.sum() == N
    assert stats.chisquare(found).pvalue > P
    between = variates(d.empirical(data, interpolate=True))
    position = np.interp(between, data, np.linspace(0, 1, 5))
    assert stats.kstest(position, "uniform", method="asymp").pvalue > P
    assert stats.kstest(np.interp(1.02 * between, data, np.linspace(0, 1, 5)), "uniform", method="asymp").pvalue < P


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: d.exponential(mean=-1), ValueError, "exponential: mean must be a finite number of at least 0, got -1"),
        (lambda: d.exponential(rate=0), ValueError, "rate must be a finite number above 0, got 0"),
        (lambda: d.exponential(), TypeError, "takes mean or rate"),
        (lambda: d.exponential(mean=1, rate=1), TypeError, "takes mean or rate"),
        (lambda: d.exponential(mean="18"), TypeError, "mean must be a number or an expression, got '18'"),
        (lambda: d.exponential(mean=True), TypeError, "mean must be a number or an expression, got True"),
        (lambda: d.uniform(2, 1), ValueError, "got low=2, high=1"),
        (lambda: d.normal(0, math.nan), ValueError, "sd must be a finite number of at least 0, got nan"),
        (lambda: d.triangular(1, 5, 4), ValueError, "got mode=5, high=4"),
        (lambda: d.lognormal(mean=1, sigma=1), TypeError, "mean and sd .* or mu and sigma"),
        (lambda: d.lognormal(mean=0, sd=1), ValueError, "mean must be a finite number above 0, got 0"),
        (lambda: d.erlang(stages=2.5, mean=1), ValueError, "stages must be a whole number from 1"),
        (lambda: d.truncated_normal(0, 1, 5, 4), ValueError, "got low=5, high=4"),
        (lambda: d.truncated_normal(0, 0, 1, 2), ValueError, "holds it if sd is 0"),
        (lambda: d.beta(0, 1), ValueError, "a must be a number from"),
        (lambda: d.geometric(0), ValueError, "p must be a probability above 0, at most 1, got 0"),
        (lambda: d.bernoulli(1.5), ValueError, "p must be a probability, from 0 to 1, got 1.5"),
        (lambda: d.poisson(1e10), ValueError, "mean must be a number from 0 to 1e"),
        (lambda: d.discrete([]), ValueError, "discrete: values must hold one number or more, got none"),
        (lambda: d.discrete([1, 2], [1]), ValueError, "weights must be as many as the values, 2, got 1"),
        (lambda: d.discrete([1, 2], [1, -1]), ValueError, "weights must be at least 0, got -1"),
        (lambda: d.discrete([1, 2], [0, 0]), ValueError, "positive, finite sum"),
        (lambda: d.discrete([1, "2"]), TypeError, r"values\[1\] must be a number, got '2'"),
        (lambda: d.hyperexponential([0.5, 0.4], [1, 2]), ValueError, "must sum to 1, got 0.9"),
        (lambda: d.hyperexponential([0.5, 0.5], [1, -2]), ValueError, "means must be at least 0, got -2"),
        (lambda: d.empirical([1, math.inf]), ValueError, r"data\[1\] must be finite, got inf"),
        (lambda: d.empirical([1], interpolate=True), ValueError, "2 observations or more"),
        (lambda: d.empirical("12"), TypeError, "must be a sequence of numbers"),
        (lambda: d.trace([1], at_end="stop"), ValueError, "at_end must be one of 'error', 'repeat', 'last'"),
        (lambda: d.from_scipy(stats.poisson(3)), TypeError, "frozen continuous distribution"),
        (lambda: d.from_scipy(stats.norm), TypeError, "frozen continuous distribution"),
        (lambda: d.from_scipy(stats.norm(0, -1)), ValueError, "norm.* cannot be tabulated"),
        (lambda: d.Distribution.from_dict({"family": "normall"}), ValueError, "family must be one of constant"),
        (lambda: d.Distribution.from_dict({"family": "normal", "mean": 1}), TypeError, r"normal takes \(mean, sd\)"),
    ],
)
def test_errors_name_the_parameter_its_value_and_what_would_be_right(make: Any, error: type, words: str) -> None:
    with pytest.raises(error, match=words):
        make()


def test_a_distribution_is_made_without_numba_or_scipy() -> None:
    """Building, checking and saving a model stays fast: both are imported when they are first needed."""
    program = (
        "import sys; from livesim.distributions import exponential; exponential(mean=1.0).sample(3);"
        "import livesim.analysis; print(sorted({'numba', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
