"""The samplers: plain Python, and the source that Numba compiles, so that both give the same bits.

Every sampler takes a job's key and a counter and returns a value with the counter moved past the uniforms it used. The
methods are inversion, or rejection with an exact acceptance probability; each names its source. To keep CPython and
Numba equal to the bit, the functions here use only + - * /, sqrt, and the C library's log and exp; what Python would
raise for (a logarithm of zero, an overflowing exponential) does not occur. A parameter that is impossible gives NaN,
in exactly the cases that `livesim.random.kinds.check` refuses.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from livesim.random.kinds import (
    FARTHEST_TRUNCATION,
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

NAN = math.nan
INFINITY = math.inf
WHOLE_FROM = 2.0**52  # doubles from here on have no fraction
LARGEST_EXPONENT = 709.782712893384  # exp overflows above it
LOG_ROOT_TWO_PI = 0.5 * math.log(2.0 * math.pi)
ROOT_TWO_PI = math.sqrt(2.0 * math.pi)
ROOT_E = math.sqrt(math.e)
MOST_STAGES_AS_PRODUCT = 16  # a product of 16 uniforms, each at least 2^-53, does not underflow


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


def exp(x: float) -> float:
    """e^x, infinite where CPython would raise OverflowError."""
    return INFINITY if x > LARGEST_EXPONENT else math.exp(x)


def log_of_complement(p: float) -> float:
    """log(1 - p) for 0 < p < 1, right to rounding for small p too (Kahan's correction of the rounded 1 - p)."""
    q = 1.0 - p
    if q == 1.0:
        return -p
    return math.log(q) * (p / (1.0 - q))


def whole(x: float) -> float:
    """The floor of x >= 0."""
    return x if x >= WHOLE_FROM else float(int(x))


def whole_number(x: float) -> bool:
    """Whether x is a whole number, small enough to be drawn from or to."""
    return abs(x) <= LARGEST_COUNT and x == math.floor(x)


def normal_quantile(u: float) -> float:
    """The standard normal's inverse distribution function, relative error 1e-15.

    Wichura 1988, "Algorithm AS 241: the percentage points of the normal distribution", PPND16. Inversion keeps the
    numbers of two scenarios monotone in one another; Box and Muller's method would not, nor would a ziggurat.
    """
    q = u - 0.5
    if abs(q) <= 0.425:
        r = 0.180625 - q * q
        above = 2509.0809287301226727
        above = above * r + 33430.575583588128105
        above = above * r + 67265.770927008700853
        above = above * r + 45921.953931549871457
        above = above * r + 13731.693765509461125
        above = above * r + 1971.5909503065514427
        above = above * r + 133.14166789178437745
        above = above * r + 3.387132872796366608
        below = 5226.495278852854561
        below = below * r + 28729.085735721942674
        below = below * r + 39307.89580009271061
        below = below * r + 21213.794301586595867
        below = below * r + 5394.1960214247511077
        below = below * r + 687.1870074920579083
        below = below * r + 42.313330701600911252
        below = below * r + 1.0
        return q * above / below
    r = math.sqrt(-math.log(u if q < 0.0 else 1.0 - u))
    if r <= 5.0:
        r = r - 1.6
        above = 7.7454501427834140764e-4
        above = above * r + 0.0227238449892691845833
        above = above * r + 0.24178072517745061177
        above = above * r + 1.27045825245236838258
        above = above * r + 3.64784832476320460504
        above = above * r + 5.7694972214606914055
        above = above * r + 4.6303378461565452959
        above = above * r + 1.42343711074968357734
        below = 1.05075007164441684324e-9
        below = below * r + 5.475938084995344946e-4
        below = below * r + 0.0151986665636164571966
        below = below * r + 0.14810397642748007459
        below = below * r + 0.68976733498510000455
        below = below * r + 1.6763848301838038494
        below = below * r + 2.05319162663775882187
        below = below * r + 1.0
    else:
        r = r - 5.0
        above = 2.01033439929228813265e-7
        above = above * r + 2.71155556874348757815e-5
        above = above * r + 0.0012426609473880784386
        above = above * r + 0.026532189526576123093
        above = above * r + 0.29656057182850489123
        above = above * r + 1.7848265399172913358
        above = above * r + 5.4637849111641143699
        above = above * r + 6.6579046435011037772
        below = 2.04426310338993978564e-15
        below = below * r + 1.4215117583164458887e-7
        below = below * r + 1.8463183175100546818e-5
        below = below * r + 7.868691311456132591e-4
        below = below * r + 0.0148753612908506148525
        below = below * r + 0.13692988092273580531
        below = below * r + 0.59983220655588793769
        below = below * r + 1.0
    return above / below if q > 0.0 else -(above / below)


def triangular(u: float, low: float, mode: float, high: float) -> float:
    """The inverse distribution function of the triangular distribution."""
    width = high - low
    if u * width < mode - low:
        return low + math.sqrt(u * width) * math.sqrt(mode - low)
    return high - math.sqrt((1.0 - u) * width) * math.sqrt(high - mode)


def lognormal_of_mean(mean: float, sd: float) -> tuple[float, float]:
    """mu and sigma of the lognormal variable with this mean and standard deviation."""
    ratio = sd / mean
    variance = math.log(1.0 + ratio * ratio)
    return math.log(mean) - 0.5 * variance, math.sqrt(variance)


def erlang(stages: int, mean: float, key: int, counter: int) -> tuple[float, int]:
    """The sum of `stages` exponentials whose sum has this mean: the logarithm of a product, or a gamma if many."""
    if stages > MOST_STAGES_AS_PRODUCT:
        value, counter = standard_gamma(float(stages), key, counter)
        return value * (mean / stages), counter
    product = 1.0
    for i in range(stages):
        product *= uniform(key, counter + i)
    return -math.log(product) * (mean / stages), counter + stages


def standard_gamma(shape: float, key: int, counter: int) -> tuple[float, int]:
    """A gamma variate of scale 1.

    Marsaglia and Tsang 2000, "A simple method for generating gamma variables": at least 95 % of proposals are
    accepted. For a shape below 1, a variate of shape + 1 times u^(1 / shape).
    """
    boost = 1.0
    if shape < 1.0:
        boost = exp(math.log(uniform(key, counter)) / shape)
        counter += 1
        shape += 1.0
    d = shape - 1.0 / 3.0
    c = 1.0 / math.sqrt(9.0 * d)
    while True:
        x = normal_quantile(uniform(key, counter))
        u = uniform(key, counter + 1)
        counter += 2
        v = 1.0 + c * x
        if v > 0.0:
            v = v * v * v
            square = x * x
            if u < 1.0 - 0.0331 * square * square or math.log(u) < 0.5 * square + d * (1.0 - v + math.log(v)):
                return boost * d * v, counter


def beta(a: float, b: float, key: int, counter: int) -> tuple[float, int]:
    """A beta variate: the ratio of gammas, or Johnk's method (1964) where both shapes are at most 1."""
    if a > 1.0 or b > 1.0:
        x, counter = standard_gamma(a, key, counter)
        y, counter = standard_gamma(b, key, counter)
        return x / (x + y), counter
    while True:
        # In logarithms: u^(1 / a) underflows for small shapes, where the ratio is still a number.
        x = math.log(uniform(key, counter)) / a
        y = math.log(uniform(key, counter + 1)) / b
        counter += 2
        if math.exp(x) + math.exp(y) <= 1.0:
            return 1.0 / (1.0 + exp(y - x)), counter


def pert(low: float, mode: float, high: float, weight: float, key: int, counter: int) -> tuple[float, int]:
    """A beta variate on [low, high] with this mode; weight 4 is PERT's (Malcolm et al. 1959, Clark 1962)."""
    width = high - low
    if width == 0.0:
        return low, counter
    value, counter = beta(1.0 + weight * ((mode - low) / width), 1.0 + weight * ((high - mode) / width), key, counter)
    return low + width * value, counter


def truncated_normal(mean: float, sd: float, low: float, high: float, key: int, counter: int) -> tuple[float, int]:
    """A normal variate between low and high, which may be infinite."""
    if not (abs(mean) < INFINITY and 0.0 <= sd < INFINITY and low <= high and low < INFINITY and high > -INFINITY):
        return NAN, counter
    if sd == 0.0:
        return (mean if low <= mean <= high else NAN), counter
    a = (low - mean) / sd
    b = (high - mean) / sd
    if not (a <= FARTHEST_TRUNCATION and -b <= FARTHEST_TRUNCATION):
        return NAN, counter
    if b < 0.0:
        z, counter = truncated_standard_normal(-b, -a, key, counter)
        z = -z
    else:
        z, counter = truncated_standard_normal(a, b, key, counter)
    x = mean + sd * z
    if x < low:
        x = low
    if x > high:
        x = high
    return x, counter


def truncated_standard_normal(a: float, b: float, key: int, counter: int) -> tuple[float, int]:
    """A standard normal variate in [a, b], b >= 0, by the proposals of Robert 1995.

    "Simulation of truncated normal variables", Statistics and Computing 5: the normal itself where the interval holds
    the mean and is wide, a shifted exponential in a tail, a uniform in a narrow interval.
    """
    if a <= 0.0 and b - a >= ROOT_TWO_PI:
        while True:
            x = normal_quantile(uniform(key, counter))
            counter += 1
            if a <= x <= b:
                return x, counter
    if a > 0.0:
        root = math.sqrt(a * a + 4.0)
        if b - a > 2.0 * ROOT_E / (a + root) * math.exp(0.25 * (a * a - a * root)):
            rate = 0.5 * (a + root)
            while True:
                x = a - math.log(uniform(key, counter)) / rate
                u = uniform(key, counter + 1)
                counter += 2
                if x <= b and u <= math.exp(-0.5 * (x - rate) * (x - rate)):
                    return x, counter
    nearest = a if a > 0.0 else 0.0
    while True:
        x = a + (b - a) * uniform(key, counter)
        u = uniform(key, counter + 1)
        counter += 2
        if u <= math.exp(0.5 * (nearest - x) * (nearest + x)):
            return x, counter


def geometric(u: float, p: float) -> float:
    """The number of trials up to the first success, by inversion."""
    if p == 1.0:
        return 1.0
    return 1.0 + whole(math.log(u) / log_of_complement(p))


def log_factorial(k: float) -> float:
    """log(k!) by Stirling's series at 10 or above, relative error 1e-15."""
    shift = 1.0
    n = k + 1.0
    while n < 11.0:
        shift *= n
        n += 1.0
    r = 1.0 / (n * n)
    series = -691.0 / 360360.0
    series = series * r + 1.0 / 1188.0
    series = series * r - 1.0 / 1680.0
    series = series * r + 1.0 / 1260.0
    series = series * r - 1.0 / 360.0
    series = series * r + 1.0 / 12.0
    return (n - 0.5) * math.log(n) - n + LOG_ROOT_TWO_PI + series / n - math.log(shift)


def poisson(mean: float, key: int, counter: int) -> tuple[float, int]:
    """A Poisson variate: inversion below a mean of 10, else Hormann's transformed rejection.

    Hormann 1993, "The transformed rejection method for generating Poisson random variables", algorithm PTRS.
    """
    if mean < 10.0:
        u = uniform(key, counter)
        mass = math.exp(-mean)
        k = 0.0
        # What is left of u below 1e-17 is rounding: no count lies there.
        while u > mass and (k < mean or mass > 1e-17):
            u -= mass
            k += 1.0
            mass *= mean / k
        return k, counter + 1
    b = 0.931 + 2.53 * math.sqrt(mean)
    a = -0.059 + 0.02483 * b
    accepted_at_once = 0.9277 - 3.6224 / (b - 2.0)
    log_mean = math.log(mean)
    log_scale = math.log(1.1239 + 1.1328 / (b - 3.4))
    while True:
        u = uniform(key, counter) - 0.5
        v = uniform(key, counter + 1)
        counter += 2
        distance = 0.5 - abs(u)
        x = (2.0 * a / distance + b) * u + mean + 0.43
        if x < 0.0:
            continue
        k = whole(x)
        if distance >= 0.07 and v <= accepted_at_once:
            return k, counter
        if distance < 0.013 and v > distance:
            continue
        if math.log(v) + log_scale - math.log(a / (distance * distance) + b) <= (
            k * log_mean - mean - log_factorial(k)
        ):
            return k, counter


def binomial(n: float, p: float, key: int, counter: int) -> tuple[float, int]:
    """A binomial variate: inversion where fewer than 10 are expected, else Hormann's transformed rejection.

    Hormann 1993, "The generation of binomial random variates", algorithm BTRS. Above one half, failures are drawn.
    """
    rare = p if p <= 0.5 else 1.0 - p
    if n == 0.0 or rare == 0.0:
        k = 0.0
        counter += 1
    elif n * rare < 10.0:
        u = uniform(key, counter)
        counter += 1
        mass = math.exp(n * log_of_complement(rare))
        odds = rare / (1.0 - rare)
        k = 0.0
        while u > mass and k < n and (k < n * rare or mass > 1e-17):
            u -= mass
            k += 1.0
            mass *= (n - k + 1.0) / k * odds
    else:
        k, counter = binomial_by_rejection(n, rare, key, counter)
    return (k if p <= 0.5 else n - k), counter


def binomial_by_rejection(n: float, p: float, key: int, counter: int) -> tuple[float, int]:
    """Algorithm BTRS, for n p >= 10 and p <= 1/2."""
    spread = math.sqrt(n * p * (1.0 - p))
    b = 1.15 + 2.53 * spread
    a = -0.0873 + 0.0248 * b + 0.01 * p
    centre = n * p + 0.5
    accepted_at_once = 0.92 - 4.2 / b
    log_odds = math.log(p / (1.0 - p))
    scale = (2.83 + 5.1 / b) * spread
    mode = whole((n + 1.0) * p)
    at_mode = log_factorial(mode) + log_factorial(n - mode)
    while True:
        u = uniform(key, counter) - 0.5
        v = uniform(key, counter + 1)
        counter += 2
        distance = 0.5 - abs(u)
        x = (2.0 * a / distance + b) * u + centre
        if x < 0.0 or x >= n + 1.0:
            continue
        k = whole(x)
        if distance >= 0.07 and v <= accepted_at_once:
            return k, counter
        if math.log(v * scale / (a / (distance * distance) + b)) <= (
            at_mode - log_factorial(k) - log_factorial(n - k) + (k - mode) * log_odds
        ):
            return k, counter


def negative_binomial(r: float, p: float, key: int, counter: int) -> tuple[float, int]:
    """Failures before the r-th success: a Poisson variate whose mean is a gamma variate."""
    odds = (1.0 - p) / p
    if not (odds <= LARGEST_COUNT and r * odds <= LARGEST_COUNT):
        return NAN, counter
    value, counter = standard_gamma(r, key, counter)
    return poisson(value * odds, key, counter)
