"""The generator's methods: exact laws (chi-square, Kolmogorov), equal bits in plain Python, NaN where impossible."""

import decimal
import functools
import inspect
import math
from collections.abc import Callable

import numpy as np
import pytest
from livesmc2.kernel import rng as streams
from livesmc2.kernel import samplers
from livesmc2.kernel.samplers import METHODS
from numba import njit
from scipy import stats

DRAWS = 200_000


@functools.lru_cache
def loop(method: str, count: int) -> Callable[..., None]:
    """A compiled loop that draws from a method of so many arguments."""
    space = {"make_rng": streams.make_rng, "seed_words": streams.seed_words_inline, "np": np}
    call = ", ".join(f"arguments[{k}]" for k in range(count))
    text = (
        "def draw(key, arguments, out):\n    a, b, c = seed_words(key)\n    rng = make_rng(a, b, c)\n"
        f"    for i in range(len(out)):\n        out[i] = rng.{method}({call})\n"
    )
    exec(text, space)
    return njit("void(u8, f8[::1], f8[::1])", error_model="numpy")(space["draw"])


def compiled(method: str, *arguments: float, draws: int = DRAWS) -> np.ndarray:
    """Draws of a method with fixed arguments, from one stream."""
    out = np.empty(draws)
    loop(method, len(arguments))(np.uint64(streams.derive(1, 2)), np.array(arguments, float), out)
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
# Small and large variances, at both sides of where one method takes over from the other, and the ends of n and p.
BINOMIALS = [
    (1, 0.5), (1, 1e-9), (2, 0.999), (3, 0.5), (5, 0.1), (6, 0.5), (7, 0.9), (10, 0.25), (12, 0.5), (13, 0.5),
    (60, 0.05), (60, 0.0527), (60, 0.053), (60, 0.8), (100, 0.03), (100, 0.0315), (5000, 0.001), (5000, 0.01),
    (20_000, 0.4), (20_000, 0.9999), (10**6, 3.01e-6), (10**6, 1e-5), (10**6, 0.3), (10**9, 2.99e-9), (10**9, 1e-7),
    (10**12, 5e-12), (2**52, 1e-14), (2**52, 2.0**-50),
]  # fmt: skip
POISSONS = [1e-6, 0.3, 1.5, 2.99, 3.01, 4.0, 6.0, 9.9, 10.1, 25.0, 800.0, 1e5]
COUNTS = [
    *(("binomial", arguments, stats.binom(*arguments)) for arguments in BINOMIALS),
    *(("poisson", (mean,), stats.poisson(mean)) for mean in POISSONS),
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
    """The p-value of counts against their law, cells of at least 20 expected, or cells of equal mass if there are many.

    Cells end where the law's own distribution function says, so it is the law's far tail that is compared too.
    """
    low, high = law.ppf(1e-12), law.ppf(1 - 1e-12)
    edges = np.unique(np.floor(np.linspace(low - 1, high, 400))) if high - low > 400 else np.arange(low - 1, high + 1)
    edges[-1] = np.inf
    expected = np.diff(law.cdf(edges), prepend=0.0) * len(draws)
    observed = np.diff(np.searchsorted(np.sort(draws), edges, side="right"), prepend=0)
    groups, wanted, seen = [], 0.0, 0
    for e, o in zip(expected, observed, strict=True):
        wanted, seen = wanted + e, seen + o
        if wanted >= 20:
            groups.append([wanted, seen])
            wanted, seen = 0.0, 0
    if not groups:
        return float(wanted)  # a law of one value: the draws cannot differ from it by chance
    groups[-1][0] += wanted
    groups[-1][1] += seen
    if len(groups) == 1:
        return 1.0
    expected, observed = np.array(groups).T
    return float(stats.chisquare(observed, expected * observed.sum() / expected.sum()).pvalue)


@pytest.mark.parametrize(("method", "arguments", "law"), COUNTS)
def test_laws_of_counts(method: str, arguments: tuple[float, ...], law: stats.rv_discrete) -> None:
    """Chi-square at a million draws, false alarms 5e-3 for all; the predecessor's rounded uniform is caught."""
    draws = compiled(method, *arguments, draws=1_000_000)
    assert (draws == np.floor(draws)).all()
    assert draws.min() >= law.support()[0]
    assert draws.max() <= law.support()[1]
    assert chi_square(draws, law) > 1e-4
    if method == "binomial" and law.var() > 3.0:
        n, p = arguments
        rounded = np.round(n * p + (np.random.default_rng(1).random(DRAWS) - 0.5) * 2 * law.std())
        assert chi_square(np.clip(rounded, 0, n), law) < 1e-4


@pytest.mark.parametrize(("n", "p"), [(60, 0.053), (5000, 0.001), (5000, 0.002), (30, 0.2)])
def test_rounded_normals_must_be_put_right(n: int, p: float) -> None:
    """A poison for the test above: proposals taken as they are, and its own rejection too eager by three hundredths."""
    law, q = stats.binom(n, p), 1.0 - p
    rng = np.random.default_rng(2)
    z = rng.standard_normal(1_000_000)
    k = np.floor(n * p + 0.5 + law.std() * z + (q - p) / 6 * (z * z - 1.0))
    assert chi_square(np.clip(k, 0, n), law) < 1e-4
    ratio = np.exp([log_ratio(float(j), n, n * p, q) for j in range(25)])
    accepted = rng.random(len(k)) < ratio[np.clip(k, 0, 24).astype(int)] - 0.03 * np.abs(z)
    assert chi_square(k[accepted & (k >= 0)], law) < 1e-4


def shapes_of_counts() -> list[tuple[float, float]]:
    """(n, p): 1500 binomials of variance 3 to 2000, p from 1e-8 to 1/2; n infinite stands for a Poisson of mean p."""
    rng = np.random.default_rng(3)
    made = [(math.inf, mean) for mean in np.geomspace(3.0, 1000.0, 200)]
    while len(made) < 1700:
        p = math.exp(rng.uniform(math.log(1e-8), math.log(0.5))) if rng.random() < 0.6 else rng.uniform(0.02, 0.5)
        n = max(1.0, round(math.exp(rng.uniform(math.log(3.0), math.log(2000.0))) / (p * (1 - p))))
        if 3.0 <= n * p * (1 - p) <= 2000.0:
            made.append((n, p))
    return made


def test_bounds_of_rounded_normals() -> None:
    """The mass wanted over that of the rounded normal lies between the bounds that the sampler relies on, everywhere.

    Deterministic, over all k within 9 deviations of 1700 laws; the poisons are bounds a fifth too tight. Smooth in
    (n, p), and closest to its bounds at small variances, where most of these laws are.
    """
    tightest = np.full(2, np.inf)
    for n, p in shapes_of_counts():
        mean, q = (p, 1.0) if n == math.inf else (n * p, 1.0 - p)
        variance = mean * q
        sd, skew = math.sqrt(variance), (2.0 * q - 1.0) / 6.0
        first, last = max(0.0, math.floor(mean - 9 * sd)), min(n, math.ceil(mean + 9 * sd))
        k = np.unique(np.round(np.linspace(first, last, 120)))
        ratio = np.array([log_ratio(float(j), n, mean, q) for j in k])
        # The z of each cell's two ends: the one nearer to zero has the tighter bound; inside the middle cell it is 0.
        root = np.sqrt(np.maximum(variance + 4 * skew * (np.stack([k - 0.5, k + 0.5]) - mean + skew), 0.0))
        ends = 2 * (np.stack([k - 0.5, k + 0.5]) - mean + skew) / (sd + root)
        z = np.where(ends[0] * ends[1] < 0, 0.0, np.abs(ends).min(axis=0))
        low = 1.0 - (samplers._LOW + samplers._LOW_4 * z**4) / variance
        slack = ratio[low > 0] - np.log(low[low > 0])
        assert (slack > 0).all(), (n, p)
        assert (ratio < math.log1p(samplers._HIGH / variance)).all(), (n, p)
        tightest = np.minimum(
            tightest,
            [
                (ratio[low > 0] - np.log1p(0.8 * (low[low > 0] - 1))).min(),
                (math.log1p(0.8 * samplers._HIGH / variance) - ratio).min(),
            ],
        )
    assert (tightest < 0).all()


def log_ratio(k: float, n: float, mean: float, q: float) -> float:
    return samplers.log_mass(k, n, mean, q) - samplers.log_cell(k, mean, q)


def exact_log_masses(n: int, p: float, last: int) -> list[float]:
    """Of 0 to `last`, in decimal arithmetic of 60 digits."""
    with decimal.localcontext(prec=60):
        odds = decimal.Decimal(p) / (1 - decimal.Decimal(p))
        mass, made = n * (1 - decimal.Decimal(p)).ln(), []
        for k in range(last + 1):
            made.append(float(mass))
            if k < n:
                mass += (odds * (n - k) / (k + 1)).ln()
        return made[: n + 1]


@pytest.mark.parametrize(
    ("n", "p"),
    [(1, 0.5), (10, 0.5), (60, 0.2), (5000, 0.001), (1000, 0.3), (10**9, 1e-8), (2**52, 1e-15), (2**52, 1e-14)],
)
def test_masses_of_counts(n: int, p: float) -> None:
    """Against 60 digits, and Poisson's against SciPy's; cells of the rounded normal sum to one."""
    mean, q = n * p, 1.0 - p
    exact = exact_log_masses(n, p, int(2 * mean) + 10)
    ours = [samplers.log_mass(float(k), float(n), mean, q) for k in range(len(exact))]
    np.testing.assert_allclose(ours, exact, atol=1e-13, rtol=1e-13)
    ks = np.arange(len(exact))
    poisson = [samplers.log_mass(float(k), math.inf, mean, 1.0) for k in ks]
    np.testing.assert_allclose(poisson, stats.poisson(mean).logpmf(ks), atol=1e-10, rtol=1e-10)
    if mean * q >= 3.0:
        total = sum(math.exp(samplers.log_cell(float(k), mean, q)) for k in range(int(mean + 20 * mean**0.5)))
        variance, skew = mean * q, (2 * q - 1) / 6
        root = math.sqrt(variance + 4 * skew * (-0.5 - mean + skew))
        assert total == pytest.approx(stats.norm.sf(2 * (-0.5 - mean + skew) / (math.sqrt(variance) + root)), abs=1e-9)


def test_plain_python_draws_the_same_bits() -> None:
    for method, arguments, _ in CONTINUOUS[:8] + COUNTS[::3]:
        np.testing.assert_allclose(compiled(method, *arguments)[:600], plain(method, 600, *arguments), rtol=1e-14)


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


def test_streams_differ_in_every_index() -> None:
    keys = {streams.derive(seed, a, b) for seed in range(20) for a in range(20) for b in range(20)}
    assert len(keys) == 8000
    assert streams.derive(3, 1, 2) == int(_subkey(np.uint64(streams.derive(3, 1)), 2))


@njit
def _subkey(key, index):  # type: ignore[no-untyped-def]
    return streams.subkey(key, index)
