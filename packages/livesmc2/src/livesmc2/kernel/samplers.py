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

from livesmc2.kernel.rng import Rng, RngType, layer, spill, unit, unspill

NAN = math.nan
INFINITY = math.inf
HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)
LAYERS = 256
FACTORIALS = 8192
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


_EDGES, _HEIGHTS, _TAIL = _ziggurat()
_INSIDE = np.array([int(_EDGES[i + 1] / _EDGES[i] * 2**52) for i in range(LAYERS)], np.int64)
_WIDTHS = _EDGES[:LAYERS] / 2.0**52
_OVER_TAIL = 1.0 / _TAIL
_RECIPROCALS = np.array([0.0] + [1.0 / k for k in range(1, 128)])
_LOG_FACTORIALS = np.array([math.lgamma(k + 1.0) for k in range(FACTORIALS)])


def log_factorial(k: float) -> float:
    """log k! for a whole number k >= 0: a table, then Stirling's series (error below 1e-16 there)."""
    if k < FACTORIALS:
        return _LOG_FACTORIALS[int(k)]
    z = k + 1.0
    return (k + 0.5) * math.log(z) - z + HALF_LOG_TWO_PI + (1.0 / 12 - 1.0 / 360 / (z * z)) / z


# -- continuous --------------------------------------------------------------------------------------------------------


def _normal_edge(rng: Any, i: int, mantissa: int, sign: int) -> float:
    """What the ziggurat does in one draw of sixty: the tail, and the corners of layers."""
    while True:
        if i == 0:
            while True:
                beyond = -_OVER_TAIL * math.log(unit(rng))
                y = -math.log(unit(rng))
                if y + y > beyond * beyond:
                    x = _TAIL + beyond
                    return -x if sign else x
        x = mantissa * _WIDTHS[i]
        if _HEIGHTS[i] + unit(rng) * (_HEIGHTS[i + 1] - _HEIGHTS[i]) < math.exp(-0.5 * x * x):
            return -x if sign else x
        i, mantissa, sign = layer(rng)
        if mantissa < _INSIDE[i]:
            x = mantissa * _WIDTHS[i]
            return -x if sign else x


def _standard_normal(rng: Any) -> float:
    i, mantissa, sign = layer(rng)
    if mantissa < _INSIDE[i]:
        x = mantissa * _WIDTHS[i]
        return -x if sign else x
    copy = spill(rng)
    x = _normal_edge(copy, i, mantissa, sign)
    unspill(rng, copy)
    return x


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


def _binomial_by_inversion(rng: Any, n: float, none: float, odds: float) -> float:
    """Sequential search from 0, where n p < 10; `none` is (1 - p)^n. Beyond 110 no double uniform reaches."""
    u = unit(rng)
    k = 0
    rise = (n + 1.0) * odds
    while u > none and k < n and k < 110:
        u -= none
        k += 1
        none *= rise * _RECIPROCALS[k] - odds
    return float(k)


def _binomial_by_rejection(rng: Any, n: float, p: float, q: float) -> float:
    """BTRS: Hormann 1993, "The generation of binomial random variates"; p at most 1/2 and n p at least 10."""
    deviation = math.sqrt(n * p * q)
    b = 1.15 + 2.53 * deviation
    a = -0.0873 + 0.0248 * b + 0.01 * p
    c = n * p + 0.5
    inside = 0.92 - 4.2 / b
    while True:
        v = unit(rng)
        u = unit(rng) - 0.5
        left = 0.5 - abs(u)
        k = float(math.floor((2.0 * a / left + b) * u + c))
        if left >= 0.07 and v <= inside:
            return k
        if k < 0.0 or k > n:
            continue
        alpha = (2.83 + 5.1 / b) * deviation
        mode = float(math.floor((n + 1.0) * p))
        bound = log_factorial(mode) + log_factorial(n - mode) - log_factorial(k) - log_factorial(n - k)
        if math.log(v * alpha / (a / (left * left) + b)) <= bound + (k - mode) * math.log(p / q):
            return k


def _binomial_variate(rng: Any, n: float, p: float) -> float:
    if not (0.0 <= p <= 1.0 and 0.0 <= n <= LARGEST_COUNT and n == math.floor(n)):
        return NAN
    less = p if p <= 0.5 else 1.0 - p
    if n == 0.0 or less == 0.0:
        return 0.0 if p <= 0.5 else n
    q = 1.0 - less
    copy = spill(rng)
    if n * less >= 10.0:
        k = _binomial_by_rejection(copy, n, less, q)
    else:
        k = _binomial_by_inversion(copy, n, math.exp(n * math.log(q)), less / q)
    unspill(rng, copy)
    return k if p <= 0.5 else n - k


def _poisson_variate(rng: Any, mean: float) -> float:
    """Inversion below 10, above it PTRS: Hormann 1993, "The transformed rejection method for ... Poisson"."""
    if not 0.0 <= mean <= LARGEST_COUNT:
        return NAN
    if mean < 10.0:
        none = math.exp(-mean)
        u = unit(rng)
        k = 0
        while u > none and k < 110:
            u -= none
            k += 1
            none *= mean * _RECIPROCALS[k]
        return float(k)
    root = math.sqrt(mean)
    b = 0.931 + 2.53 * root
    a = -0.059 + 0.02483 * b
    over_alpha = 1.1239 + 1.1328 / (b - 3.4)
    inside = 0.9277 - 3.6224 / (b - 2.0)
    while True:
        u = unit(rng) - 0.5
        v = unit(rng)
        left = 0.5 - abs(u)
        count = float(math.floor((2.0 * a / left + b) * u + mean + 0.43))
        if left >= 0.07 and v <= inside:
            return count
        if count < 0.0 or (left < 0.013 and v > left):
            continue
        bound = count * math.log(mean) - mean - log_factorial(count)
        if math.log(v * over_alpha / (a / (left * left) + b)) <= bound:
            return count


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
    copy = spill(rng)
    x = _gamma_variate(copy, float(shape))
    unspill(rng, copy)
    return scale * x if scale >= 0.0 else NAN


def _standard_gamma(rng: Any, shape: float) -> float:
    copy = spill(rng)
    x = _gamma_variate(copy, float(shape))
    unspill(rng, copy)
    return x


def _chisquare(rng: Any, df: float) -> float:
    copy = spill(rng)
    x = 2.0 * _gamma_variate(copy, 0.5 * df)
    unspill(rng, copy)
    return x


def _standard_t(rng: Any, df: float) -> float:
    x = _standard_normal(rng)
    copy = spill(rng)
    half = _gamma_variate(copy, 0.5 * df)
    unspill(rng, copy)
    return x * math.sqrt(0.5 * df / half)


def _beta(rng: Any, a: float, b: float) -> float:
    copy = spill(rng)
    x = _beta_variate(copy, float(a), float(b))
    unspill(rng, copy)
    return x


def _binomial(rng: Any, n: float, p: float) -> float:
    return _binomial_variate(rng, float(n), p)


def _poisson(rng: Any, lam: float = 1.0) -> float:
    copy = spill(rng)
    k = _poisson_variate(copy, float(lam))
    unspill(rng, copy)
    return k


def _negative_binomial(rng: Any, n: float, p: float) -> float:
    if not (n > 0.0 and 0.0 < p <= 1.0):
        return NAN
    copy = spill(rng)
    k = _poisson_variate(copy, _gamma_variate(copy, float(n)) * ((1.0 - p) / p))
    unspill(rng, copy)
    return k


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
_INLINED = (_standard_normal, _binomial_variate)
_CALLED = (
    log_factorial,
    _normal_edge,
    _gamma_variate,
    _beta_variate,
    _binomial_by_inversion,
    _binomial_by_rejection,
    _poisson_variate,
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
