"""Counts, each with the source of its method."""

from __future__ import annotations

import math

from livesim.random.arithmetic import NAN, log_of_complement, whole
from livesim.random.continuous import standard_gamma
from livesim.random.kinds import LARGEST_COUNT
from livesim.random.streams import uniform

LOG_ROOT_TWO_PI = 0.5 * math.log(2.0 * math.pi)


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
