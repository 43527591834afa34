"""The samplers, written once: plain Python for `Rng`, compiled for the generator of compiled loops, equal to the bit.

Each is exact up to the rounding of a double: inversion, or rejection with an exact acceptance probability. Where NumPy
would raise for an impossible parameter (a probability above 1, a negative scale) the value is NaN, which the filter
counts and reports. Values are floats, those of counts too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from types import FunctionType
from typing import Any

import numpy as np
from numba.extending import overload_method, register_jitable

from livesmc2.kernel.rng import Rng, RngType, layer, outlined, unit

NAN = math.nan
INFINITY = math.inf
HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)
LAYERS = 256
LARGEST_COUNT = 2.0**52


def _ziggurat() -> tuple[np.ndarray, np.ndarray, float]:
    """Right edges and densities of the 256 layers of equal area (Marsaglia and Tsang 2000)."""
    r = 3.6541528853610087963519472518
    area = r * math.exp(-r * r / 2) + math.sqrt(math.pi / 2) * math.erfc(r / math.sqrt(2))
    edges = np.zeros(LAYERS + 1)
    edges[0], edges[1] = area / math.exp(-r * r / 2), r
    for i in range(2, LAYERS):
        edges[i] = math.sqrt(-2 * math.log(area / edges[i - 1] + math.exp(-(edges[i - 1] ** 2) / 2)))
    return edges, np.exp(-0.5 * edges * edges), r


def _error_of_stirling(k: int) -> float:
    """log k! less Stirling's formula: by the series at k + 32, and from there down by log (k + 1)! - log k!."""
    far = k + 32.0
    error = (1.0 / 12 - (1.0 / 360 - 1.0 / 1260 / (far * far)) / (far * far)) / far
    for j in range(k + 31, k - 1, -1):
        error += (j + 0.5) * math.log1p(1.0 / j) - 1.0
    return error


_EDGES, _HEIGHTS, _TAIL = _ziggurat()
_INSIDE = np.array([int(_EDGES[i + 1] / _EDGES[i] * 2**52) for i in range(LAYERS)], np.int64)
_WIDTHS = _EDGES[:LAYERS] / 2.0**52
_OVER_TAIL = 1.0 / _TAIL
_STIRLING_ERRORS = np.array([0.0] + [_error_of_stirling(k) for k in range(1, 16)])


# -- continuous --------------------------------------------------------------------------------------------------------


@outlined
def _normal_edge(rng: Any, i: int, mantissa: int) -> float:
    """What the ziggurat does in one draw of sixty: the tail, and the corners of layers."""
    while True:
        if i == 0:
            while True:
                beyond = -_OVER_TAIL * math.log(unit(rng))
                y = -math.log(unit(rng))
                if y + y > beyond * beyond:
                    x = _TAIL + beyond
                    return -x if mantissa < 0 else x
        x = mantissa * _WIDTHS[i]
        if _HEIGHTS[i] + unit(rng) * (_HEIGHTS[i + 1] - _HEIGHTS[i]) < math.exp(-0.5 * x * x):
            return x
        i, mantissa = layer(rng)
        if abs(mantissa) < _INSIDE[i]:
            return mantissa * _WIDTHS[i]


def _standard_normal(rng: Any) -> float:
    i, mantissa = layer(rng)
    if abs(mantissa) < _INSIDE[i]:
        return mantissa * _WIDTHS[i]
    return _normal_edge(rng, i, mantissa)


@outlined
def _gamma_variate(rng: Any, shape: float) -> float:
    """Marsaglia and Tsang 2000, "A simple method for generating gamma variables"; below shape 1 with their boost."""
    if not 0.0 < shape < INFINITY:
        return 0.0 if shape == 0.0 else NAN
    boost = 1.0
    if shape < 1.0:
        boost = math.exp(math.log(unit(rng)) / shape)
        shape += 1.0
    d = shape - 1.0 / 3.0
    c = 1.0 / math.sqrt(9.0 * d)
    while True:
        x = _standard_normal(rng)
        v = 1.0 + c * x
        if v > 0.0:
            v = v * v * v
            u = unit(rng)
            square = x * x
            if u < 1.0 - 0.0331 * square * square or math.log(u) < 0.5 * square + d * (1.0 - v + math.log(v)):
                return boost * d * v


@outlined
def _beta_variate(rng: Any, a: float, b: float) -> float:
    """A ratio of gammas, or Johnk's method (1964), in logarithms, where both shapes are at most 1."""
    if not (0.0 < a < INFINITY and 0.0 < b < INFINITY):
        return NAN
    if a > 1.0 or b > 1.0:
        x = _gamma_variate(rng, a)
        return x / (x + _gamma_variate(rng, b))
    while True:
        x = math.log(unit(rng)) / a
        y = math.log(unit(rng)) / b
        if math.exp(x) + math.exp(y) <= 1.0:
            most = max(x, y)
            return math.exp(x - most) / (math.exp(x - most) + math.exp(y - most))


# -- counts ------------------------------------------------------------------------------------------------------------

# Binomials and Poissons of a variance of at least 3 are rounded normals, put right by rejection: with d = (q - p) / 6
#
#     k = floor(mean + 1/2 + sd z + d (z^2 - 1)),    z a standard normal,
#
# is Cornish and Fisher's quantile to first order, so that the mass of k is known (a difference of two values of the
# normal integral) and the wanted mass over it lies between 1 - (_LOW + _LOW_4 z^4) / variance and 1 + _HIGH / variance
# for every z of its cell: a uniform below the first over the second accepts at once, in 89 of 100 draws at variance 3,
# in 98 at 15, and needs no logarithm. (In the tails rounded normals are the heavier law for every p.) The idea
# is that of Ahrens and Dieter 1982, "Computer generation of Poisson deviates from modified normal distributions". The
# bounds are checked over all n and p in the tests.
_LEAST_VARIANCE = 3.0
_HIGH = 0.09
_LOW, _LOW_4 = 0.12, 0.036
_HALF_ROOT, _SIXTH = math.sqrt(0.5), 1.0 / 6.0


def _stirling_error(k: float) -> float:
    """log k! less Stirling's (k + 1/2) log k - k + math.log(2 pi) / 2, for a whole number k >= 1."""
    if k < 16.0:
        return _STIRLING_ERRORS[int(k)]
    over = 1.0 / (k * k)
    return (1.0 / 12 - (1.0 / 360 - (1.0 / 1260 - over / 1680) * over) * over) / k


def _deviance(x: float, mean: float) -> float:
    """x math.log(x / mean) + mean - x, without cancellation where they are close."""
    away = (x - mean) / mean
    if abs(away) > 0.02:
        return x * math.log(x / mean) + mean - x
    total = 0.0
    for j in range(9, 1, -1):
        total = away * (1.0 / (j * (j - 1.0)) - total)
    return mean * away * total


def _log_less(q: float, p: float) -> float:
    """math.log(1 - p), where q is 1 - p rounded: log1p in operations that a compiler can take out of a loop."""
    return math.log(q) + ((1.0 - q) - p) / q


def log_mass(k: float, n: float, mean: float, q: float) -> float:
    """log of the mass of k, 0 <= k <= n: binomial of n trials with mean n (1 - q), Poisson where n is infinite.

    Loader 2000, "Fast and accurate computation of binomial probabilities": no difference of large numbers.
    """
    if k == 0.0:
        return n * _log_less(q, mean / n) if n < INFINITY else -mean
    if n == INFINITY:
        return -HALF_LOG_TWO_PI - 0.5 * math.log(k) - _stirling_error(k) - _deviance(k, mean)
    if k == n:
        return n * math.log(mean / n)
    errors = _stirling_error(n) - _stirling_error(k) - _stirling_error(n - k)
    scale = 0.5 * math.log(n / (k * (n - k))) - HALF_LOG_TWO_PI
    return scale + errors - _deviance(k, mean) - _deviance(n - k, n * q)


def log_cell(k: float, mean: float, q: float) -> float:
    """log of the probability that the rounded normal is k; -inf where only a z beyond the quantile's turn gives it."""
    variance = mean * q
    skew = (q + q - 1.0) * _SIXTH
    middle = variance + 4.0 * skew * (k - mean + skew)
    if middle <= 2.0 * skew:
        return -INFINITY
    deviation = math.sqrt(variance)
    left, right = math.sqrt(middle - 2.0 * skew), math.sqrt(middle + 2.0 * skew)
    width = 2.0 / (left + right)
    below = 2.0 * (k - 0.5 - mean + skew) / (deviation + left)
    if width < 0.002:
        z = below + 0.5 * width
        return math.log(width * (1.0 + width * width * (z * z - 1.0) / 24.0)) - 0.5 * z * z - HALF_LOG_TWO_PI
    above = below + width
    if below < 0.0:
        below, above = -above, -below
    return math.log(0.5 * (math.erfc(_HALF_ROOT * below) - math.erfc(_HALF_ROOT * above)))


@outlined
def _rounded_normal_edge(rng: Any, n: float, mean: float, q: float, k: float, v: float) -> float:
    """What `_rounded_normal` does where the first look does not decide."""
    variance = mean * q
    deviation = math.sqrt(variance)
    skew = (q + q - 1.0) * _SIXTH
    while True:
        level = math.log(v * (1.0 + _HIGH / variance))
        if 0.0 <= k <= n and level <= log_mass(k, n, mean, q) - log_cell(k, mean, q):
            return k
        z = _standard_normal(rng)
        v = unit(rng)
        k = float(math.floor(mean + 0.5 + deviation * z + skew * (z * z - 1.0)))


def _rounded_normal(rng: Any, n: float, mean: float, q: float) -> float:
    """A binomial of n trials, at most 1/2 likely each, or a Poisson (n infinite, q = 1), of variance mean q >= 3."""
    variance = mean * q
    z = _standard_normal(rng)
    v = unit(rng)
    square = z * z
    k = float(math.floor(mean + 0.5 + math.sqrt(variance) * z + (q + q - 1.0) * _SIXTH * (square - 1.0)))
    if 0.0 <= k <= n and v * (variance + _HIGH) < variance - _LOW - _LOW_4 * square * square:
        return k
    return _rounded_normal_edge(rng, n, mean, q, k, v)


def _further(u: float, k: float, mass: float, below: float, rise: float, odds: float, n: float) -> float:
    """Sequential search, on from k: `mass` is that of k, `below` the probability of at most k, and u lies above it."""
    while u > below and k < n and k < 110.0:  # beyond 110 no double uniform reaches
        k += 1.0
        mass *= rise / k - odds
        below += mass
    return k


def _by_inversion(rng: Any, n: float, none: float, rise: float, odds: float) -> float:
    """Sequential search from 0, for a small variance: the mass of k is that of k - 1 times rise / k - odds.

    The first values are looked at without branches, which nothing could predict.
    """
    u = unit(rng)
    mass = none
    below = none
    k = 1.0 if u > below else 0.0
    for j in range(1, 7):
        mass *= rise * (1.0 / j) - odds
        below += mass
        k += 1.0 if u > below else 0.0
    if u > below:
        k = _further(u, 6.0, mass, below, rise, odds, n)
    return min(k, n)


def _binomial_variate(rng: Any, n: float, p: float) -> float:
    if not (0.0 <= p <= 1.0 and 0.0 <= n <= LARGEST_COUNT and n == math.floor(n)):
        return NAN
    less = p if p <= 0.5 else 1.0 - p
    q = 1.0 - less
    mean = n * less
    if mean * q >= _LEAST_VARIANCE:
        k = _rounded_normal(rng, n, mean, q)
    elif mean > 0.0:
        odds = less / q
        k = _by_inversion(rng, n, math.exp(n * _log_less(q, less)), (n + 1.0) * odds, odds)
    else:
        k = 0.0
    return k if p <= 0.5 else n - k


@outlined
def _poisson_variate(rng: Any, mean: float) -> float:
    if not 0.0 <= mean <= LARGEST_COUNT:
        return NAN
    if mean >= _LEAST_VARIANCE:
        return _rounded_normal(rng, INFINITY, mean, 1.0)
    return _by_inversion(rng, INFINITY, math.exp(-mean), mean, 0.0)


def _geometric_variate(rng: Any, p: float) -> float:
    """Trials up to the first success, by inversion."""
    if not 0.0 < p <= 1.0:
        return NAN
    if p == 1.0:
        return 1.0
    return max(1.0, float(math.ceil(math.log(unit(rng)) / math.log1p(-p))))


# -- the methods of a generator: names, arguments and defaults of numpy.random.Generator -------------------------------


def _normal(rng: Any, loc: float = 0.0, scale: float = 1.0) -> float:
    return loc + scale * _standard_normal(rng) if scale >= 0.0 else NAN


def _standard_normal_method(rng: Any) -> float:
    return _standard_normal(rng)


def _lognormal(rng: Any, mean: float = 0.0, sigma: float = 1.0) -> float:
    return math.exp(mean + sigma * _standard_normal(rng)) if sigma >= 0.0 else NAN


def _uniform(rng: Any, low: float = 0.0, high: float = 1.0) -> float:
    return low + (high - low) * unit(rng)


def _random(rng: Any) -> float:
    return unit(rng)


def _exponential(rng: Any, scale: float = 1.0) -> float:
    return -scale * math.log(unit(rng)) if scale >= 0.0 else NAN


def _standard_exponential(rng: Any) -> float:
    return -math.log(unit(rng))


def _laplace(rng: Any, loc: float = 0.0, scale: float = 1.0) -> float:
    u = unit(rng)
    half = math.log(u + u) if u < 0.5 else -math.log(2.0 - u - u)
    return loc + scale * half if scale >= 0.0 else NAN


def _logistic(rng: Any, loc: float = 0.0, scale: float = 1.0) -> float:
    u = unit(rng)
    return loc + scale * math.log(u / (1.0 - u)) if scale >= 0.0 else NAN


def _weibull(rng: Any, a: float) -> float:
    return math.exp(math.log(-math.log(unit(rng))) / a) if a > 0.0 else NAN


def _gamma(rng: Any, shape: float, scale: float = 1.0) -> float:
    x = _gamma_variate(rng, float(shape))
    return scale * x if scale >= 0.0 else NAN


def _standard_gamma(rng: Any, shape: float) -> float:
    return _gamma_variate(rng, float(shape))


def _chisquare(rng: Any, df: float) -> float:
    return 2.0 * _gamma_variate(rng, 0.5 * df)


def _standard_t(rng: Any, df: float) -> float:
    x = _standard_normal(rng)
    half = _gamma_variate(rng, 0.5 * df)
    return x * math.sqrt(0.5 * df / half)


def _beta(rng: Any, a: float, b: float) -> float:
    return _beta_variate(rng, float(a), float(b))


def _binomial(rng: Any, n: float, p: float) -> float:
    return _binomial_variate(rng, float(n), p)


def _poisson(rng: Any, lam: float = 1.0) -> float:
    return _poisson_variate(rng, float(lam))


def _negative_binomial(rng: Any, n: float, p: float) -> float:
    if not (n > 0.0 and 0.0 < p <= 1.0):
        return NAN
    return _poisson_variate(rng, _gamma_variate(rng, float(n)) * ((1.0 - p) / p))


def _geometric(rng: Any, p: float) -> float:
    return _geometric_variate(rng, p)


def _integers(rng: Any, low: float, high: float) -> float:
    """A whole number from low to high - 1 (NumPy's `integers` with both bounds given)."""
    return math.floor(low + (high - low) * unit(rng)) if high > low else NAN


METHODS: dict[str, tuple[Callable[..., float], str]] = {
    "normal": (_normal, "rng, loc=0.0, scale=1.0"),
    "standard_normal": (_standard_normal_method, "rng"),
    "lognormal": (_lognormal, "rng, mean=0.0, sigma=1.0"),
    "uniform": (_uniform, "rng, low=0.0, high=1.0"),
    "random": (_random, "rng"),
    "exponential": (_exponential, "rng, scale=1.0"),
    "standard_exponential": (_standard_exponential, "rng"),
    "laplace": (_laplace, "rng, loc=0.0, scale=1.0"),
    "logistic": (_logistic, "rng, loc=0.0, scale=1.0"),
    "weibull": (_weibull, "rng, a"),
    "gamma": (_gamma, "rng, shape, scale=1.0"),
    "standard_gamma": (_standard_gamma, "rng, shape"),
    "chisquare": (_chisquare, "rng, df"),
    "standard_t": (_standard_t, "rng, df"),
    "beta": (_beta, "rng, a, b"),
    "binomial": (_binomial, "rng, n, p"),
    "poisson": (_poisson, "rng, lam=1.0"),
    "negative_binomial": (_negative_binomial, "rng, n, p"),
    "geometric": (_geometric, "rng, p"),
    "integers": (_integers, "rng, low, high"),
}
"""The methods, each with the arguments that the compiled generator gives it."""

# What is short goes into the loop; what is long stays a call, and the generator's words stay in registers.
_INLINED = (_log_less, _standard_normal, _rounded_normal, _by_inversion, _binomial_variate)
_CALLED = (
    _stirling_error,
    _deviance,
    log_mass,
    log_cell,
    _further,
    _geometric_variate,
)
for _function in _INLINED:
    register_jitable(error_model="numpy", forceinline=True)(_function)
for _function in _CALLED:
    register_jitable(error_model="numpy")(_function)


def _register(name: str, method: Callable[..., float], arguments: str) -> None:
    setattr(Rng, name, method)
    bare = FunctionType(method.__code__, globals(), name, method.__defaults__)  # Numba compares annotations too
    typed: Callable[..., Any] = eval(f"lambda {arguments}: bare", {"bare": bare})
    overload_method(RngType, name, jit_options={"error_model": "numpy", "forceinline": True})(typed)


for _name, (_method, _arguments) in METHODS.items():
    _register(_name, _method, _arguments)
