"""The generator's methods: exact laws (chi-square, Kolmogorov), equal bits in plain Python, NaN where impossible."""

import inspect
import math

import numpy as np
import pytest
from livesmc2.kernel import rng as streams
from livesmc2.kernel.samplers import METHODS, log_factorial
from numba import njit
from scipy import stats

DRAWS = 200_000


def compiled(method: str, *arguments: float) -> np.ndarray:
    """Draws of a method with fixed arguments, from one stream."""
    space = {"make_rng": streams.make_rng, "seed_words": streams.seed_words_inline, "np": np}
    call = ", ".join(repr(float(a)) for a in arguments)
    text = (
        "def draw(key, out):\n    a, b, c = seed_words(key)\n    rng = make_rng(a, b, c)\n"
        f"    for i in range(len(out)):\n        out[i] = rng.{method}({call})\n"
    )
    exec(text, space)
    out = np.empty(DRAWS)
    njit("void(u8, f8[::1])", error_model="numpy")(space["draw"])(np.uint64(streams.derive(1, 2)), out)
    return out


def plain(method: str, count: int, *arguments: float) -> list[float]:
    stream = streams.Rng(*(int(w) for w in streams.seed_words(np.uint64(streams.derive(1, 2)))))
    return [getattr(stream, method)(*map(float, arguments)) for _ in range(count)]


CONTINUOUS = [
    ("normal", (1.0, 2.0), stats.norm(1, 2)),
    ("standard_normal", (), stats.norm()),
    ("uniform", (2.0, 5.0), stats.uniform(2, 3)),
    ("random", (), stats.uniform()),
    ("exponential", (3.0,), stats.expon(scale=3)),
    ("gamma", (0.3, 2.0), stats.gamma(0.3, scale=2)),
    ("gamma", (4.5,), stats.gamma(4.5)),
    ("standard_gamma", (1.5,), stats.gamma(1.5)),
    ("beta", (0.4, 0.7), stats.beta(0.4, 0.7)),
    ("beta", (3.0, 2.0), stats.beta(3, 2)),
    ("lognormal", (0.5, 0.8), stats.lognorm(0.8, scale=math.exp(0.5))),
    ("laplace", (1.0, 2.0), stats.laplace(1, 2)),
    ("logistic", (1.0, 2.0), stats.logistic(1, 2)),
    ("weibull", (1.7,), stats.weibull_min(1.7)),
    ("chisquare", (3.0,), stats.chi2(3)),
    ("standard_t", (4.0,), stats.t(4)),
    ("standard_exponential", (), stats.expon()),
]
COUNTS = [
    ("binomial", (10, 0.25), stats.binom(10, 0.25)),
    ("binomial", (5000, 0.001), stats.binom(5000, 0.001)),
    ("binomial", (5000, 0.01), stats.binom(5000, 0.01)),
    ("binomial", (60, 0.8), stats.binom(60, 0.8)),
    ("binomial", (20_000, 0.4), stats.binom(20_000, 0.4)),
    ("poisson", (0.3,), stats.poisson(0.3)),
    ("poisson", (9.9,), stats.poisson(9.9)),
    ("poisson", (10.1,), stats.poisson(10.1)),
    ("poisson", (800.0,), stats.poisson(800)),
    ("negative_binomial", (2.5, 0.2), stats.nbinom(2.5, 0.2)),
    ("geometric", (0.15,), stats.geom(0.15)),
    ("integers", (3, 9), stats.randint(3, 9)),
]


@pytest.mark.parametrize(("method", "arguments", "law"), CONTINUOUS)
def test_continuous_laws(method: str, arguments: tuple[float, ...], law: stats.rv_continuous) -> None:
    """Kolmogorov and Smirnov at 200,000 draws, false alarms 1e-4 each; a scale off by 2 % is caught."""
    draws = compiled(method, *arguments)
    assert stats.kstest(draws, law.cdf).pvalue > 1e-4
    if method == "normal":
        assert stats.kstest(draws * 1.02, law.cdf).pvalue < 1e-4


def chi_square(draws: np.ndarray, law: stats.rv_discrete) -> float:
    """The p-value of counts against their law, cells of at least 20 expected."""
    low, high = int(law.ppf(1e-9)), int(law.ppf(1 - 1e-9)) + 1
    expected = law.pmf(np.arange(low, high + 1)) * len(draws)
    observed = np.bincount((np.clip(draws, low, high) - low).astype(int), minlength=len(expected))
    cells = np.minimum(np.cumsum(expected) // 20, (expected.sum() - 20) // 20).astype(int)
    wanted, seen = np.bincount(cells, expected), np.bincount(cells, observed)
    keep = wanted > 5
    return float(stats.chisquare(seen[keep], wanted[keep] * seen[keep].sum() / wanted[keep].sum()).pvalue)


@pytest.mark.parametrize(("method", "arguments", "law"), COUNTS)
def test_laws_of_counts(method: str, arguments: tuple[float, ...], law: stats.rv_discrete) -> None:
    """Chi-square at 200,000 draws, false alarms 1e-4 each; the predecessor's rounded uniform is caught."""
    draws = compiled(method, *arguments)
    assert (draws == np.floor(draws)).all()
    assert chi_square(draws, law) > 1e-4
    if method == "binomial":
        n, p = arguments
        rounded = np.round(n * p + (np.random.default_rng(1).random(DRAWS) - 0.5) * 2 * law.std())
        assert chi_square(np.clip(rounded, 0, n), law) < 1e-4


def test_plain_python_draws_the_same_bits() -> None:
    for method, arguments, _ in CONTINUOUS[:8] + COUNTS[:10:2]:
        np.testing.assert_allclose(compiled(method, *arguments)[:300], plain(method, 300, *arguments), rtol=1e-14)


def test_names_and_arguments_are_numpys() -> None:
    for name in METHODS:
        theirs = getattr(np.random.Generator, name)
        ours = [parameter for parameter in inspect.signature(METHODS[name][0]).parameters if parameter != "rng"]
        documented = theirs.__doc__.split(")")[0]
        assert all(argument in documented for argument in ours), name


@pytest.mark.parametrize(
    ("method", "arguments"),
    [("binomial", (10, 1.2)), ("binomial", (-1, 0.5)), ("binomial", (2.5, 0.5)), ("poisson", (-1.0,)),
     ("normal", (0.0, -1.0)), ("gamma", (-1.0, 1.0)), ("beta", (0.0, 1.0)), ("negative_binomial", (1.0, 0.0)),
     ("exponential", (-1.0,)), ("geometric", (0.0,)), ("poisson", (math.nan,)), ("integers", (3, 3))],
)  # fmt: skip
def test_impossible_arguments_give_nan(method: str, arguments: tuple[float, ...]) -> None:
    assert math.isnan(plain(method, 1, *arguments)[0])


def test_log_factorial() -> None:
    for k in (0, 1, 5, 8191, 8192, 10**6, 10**9):
        assert log_factorial(float(k)) == pytest.approx(math.lgamma(k + 1), rel=1e-14, abs=1e-14)


def test_streams_differ_in_every_index() -> None:
    keys = {streams.derive(seed, a, b) for seed in range(20) for a in range(20) for b in range(20)}
    assert len(keys) == 8000
    assert streams.derive(3, 1, 2) == int(_subkey(np.uint64(streams.derive(3, 1)), 2))


@njit
def _subkey(key, index):  # type: ignore[no-untyped-def]
    return streams.subkey(key, index)
