"""Means and variances of the families, where they are known."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any

Parameters = Mapping[str, Any]


def mean(family: str, parameters: Parameters) -> float:
    """The mean of a family's variable; infinite or NaN where there is none."""
    return float(MOMENTS[family](parameters)[0])


def variance(family: str, parameters: Parameters) -> float:
    """The variance of a family's variable; infinite or NaN where there is none."""
    return float(MOMENTS[family](parameters)[1])


def _exponential(p: Parameters) -> tuple[float, float]:
    mean = p["mean"] if "mean" in p else 1.0 / p["rate"]
    return mean, mean * mean


def _uniform(p: Parameters) -> tuple[float, float]:
    width = p["high"] - p["low"]
    return p["low"] + 0.5 * width, width * width / 12.0


def _triangular(p: Parameters) -> tuple[float, float]:
    low, mode, high = p["low"], p["mode"], p["high"]
    square = low * low + mode * mode + high * high - low * mode - low * high - mode * high
    return (low + mode + high) / 3.0, square / 18.0


def _truncated_normal(p: Parameters) -> tuple[float, float]:
    from scipy import stats

    if p["sd"] == 0.0:
        return p["mean"], 0.0
    a, b = (p["low"] - p["mean"]) / p["sd"], (p["high"] - p["mean"]) / p["sd"]
    if a == b:
        return p["low"], 0.0
    found = stats.truncnorm.stats(a, b, p["mean"], p["sd"])
    return float(found[0]), float(found[1])


def _lognormal(p: Parameters) -> tuple[float, float]:
    if "mean" in p:
        return p["mean"], p["sd"] * p["sd"]
    try:
        mean = math.exp(p["mu"] + 0.5 * p["sigma"] * p["sigma"])
        return mean, mean * mean * math.expm1(p["sigma"] * p["sigma"])
    except OverflowError:
        return math.inf, math.inf


def _weibull(p: Parameters) -> tuple[float, float]:
    try:
        first, second = math.gamma(1.0 + 1.0 / p["shape"]), math.gamma(1.0 + 2.0 / p["shape"])
    except OverflowError:
        return math.inf, math.inf
    return p["scale"] * first, p["scale"] ** 2 * (second - first * first)


def _beta(a: float, b: float, low: float, high: float) -> tuple[float, float]:
    width = high - low
    return low + width * a / (a + b), width * width * (a / (a + b)) * (b / (a + b)) / (a + b + 1.0)


def _pert(p: Parameters) -> tuple[float, float]:
    width = p["high"] - p["low"]
    if width == 0.0:
        return p["low"], 0.0
    a = 1.0 + p["weight"] * (p["mode"] - p["low"]) / width
    b = 1.0 + p["weight"] * (p["high"] - p["mode"]) / width
    return _beta(a, b, p["low"], p["high"])


def _pareto(p: Parameters) -> tuple[float, float]:
    shape, least = p["shape"], p["minimum"]
    mean = least * shape / (shape - 1.0) if shape > 1.0 else math.inf
    spread = shape / ((shape - 1.0) ** 2 * (shape - 2.0)) if shape > 2.0 else math.inf
    return mean, least * least * spread


def _discrete_uniform(p: Parameters) -> tuple[float, float]:
    n = p["high"] - p["low"] + 1
    return 0.5 * (p["low"] + p["high"]), (n * n - 1.0) / 12.0


def _negative_binomial(p: Parameters) -> tuple[float, float]:
    mean = p["r"] * (1.0 - p["p"]) / p["p"]
    return mean, mean / p["p"]


def _weighted(values: tuple[float, ...], weights: tuple[float, ...]) -> tuple[float, float]:
    total = math.fsum(weights)
    mean = math.fsum(w * v for w, v in zip(weights, values, strict=True)) / total
    return mean, math.fsum(w * (v - mean) ** 2 for w, v in zip(weights, values, strict=True)) / total


def _hyperexponential(p: Parameters) -> tuple[float, float]:
    mean, between = _weighted(p["means"], p["probabilities"])
    within, _ = _weighted(tuple(m * m for m in p["means"]), p["probabilities"])
    return mean, between + within


def _empirical(p: Parameters) -> tuple[float, float]:
    data = p["data"]
    if not p["interpolate"]:
        return _weighted(data, (1.0,) * len(data))
    # A mixture of uniforms between neighbouring observations, each as likely.
    middles = tuple(0.5 * (a + b) for a, b in itertools.pairwise(data))
    mean, between = _weighted(middles, (1.0,) * len(middles))
    within = math.fsum((b - a) ** 2 for a, b in itertools.pairwise(data)) / (12.0 * len(middles))
    return mean, between + within


def _trace(p: Parameters) -> tuple[float, float]:
    return _weighted(p["values"], (1.0,) * len(p["values"]))


MOMENTS: dict[str, Callable[[Parameters], tuple[float, float]]] = {
    "constant": lambda p: (p["value"], 0.0),
    "uniform": _uniform,
    "exponential": _exponential,
    "triangular": _triangular,
    "normal": lambda p: (p["mean"], p["sd"] * p["sd"]),
    "truncated_normal": _truncated_normal,
    "lognormal": _lognormal,
    "gamma": lambda p: (p["shape"] * p["scale"], p["shape"] * p["scale"] * p["scale"]),
    "erlang": lambda p: (p["mean"], p["mean"] * p["mean"] / p["stages"]),
    "weibull": _weibull,
    "beta": lambda p: _beta(p["a"], p["b"], p["low"], p["high"]),
    "pareto": _pareto,
    "pert": _pert,
    "bernoulli": lambda p: (p["p"], p["p"] * (1.0 - p["p"])),
    "discrete_uniform": _discrete_uniform,
    "geometric": lambda p: (1.0 / p["p"], (1.0 - p["p"]) / (p["p"] * p["p"])),
    "binomial": lambda p: (p["n"] * p["p"], p["n"] * p["p"] * (1.0 - p["p"])),
    "negative_binomial": _negative_binomial,
    "poisson": lambda p: (p["mean"], p["mean"]),
    "discrete": lambda p: _weighted(p["values"], p["weights"]),
    "hyperexponential": _hyperexponential,
    "empirical": _empirical,
    "trace": _trace,
    "tabulated": lambda p: (p["mean"], p["variance"]),
}
"""A family's mean and variance, from its parameters."""
