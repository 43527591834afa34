"""Continuous variates, each with the source of its method."""

from __future__ import annotations

import math

from livesim.random.arithmetic import INFINITY, NAN, exp
from livesim.random.kinds import FARTHEST_TRUNCATION
from livesim.random.streams import uniform

ROOT_TWO_PI = math.sqrt(2.0 * math.pi)
ROOT_E = math.sqrt(math.e)
MOST_STAGES_AS_PRODUCT = 16  # a product of 16 uniforms, each at least 2^-53, does not underflow


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
