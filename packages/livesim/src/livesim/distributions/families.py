"""The families, by the names and parameters of the field. Times are in the model's unit.

A parameter is a number or an expression of the model's (`param`, an attribute); families made of data take numbers.
Wrong parameters raise ValueError, or TypeError where they are no numbers; expressions are judged when they are drawn.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from livesim.distributions.distribution import Distribution, distribution, number

ENDS = ("error", "repeat", "last")


def constant(value: Any) -> Distribution:
    """Always the value."""
    return distribution("constant", value=value)


def uniform(low: Any, high: Any) -> Distribution:
    """Any number between low and high alike."""
    return distribution("uniform", low=low, high=high)


def exponential(*, mean: Any = None, rate: Any = None) -> Distribution:
    """Exponential by its mean or by its rate, 1 / mean; by name, for one is easily taken for the other."""
    if (mean is None) == (rate is None):
        raise TypeError(f"exponential takes mean or rate, got mean={mean}, rate={rate}")
    return distribution("exponential", mean=mean) if rate is None else distribution("exponential", rate=rate)


def triangular(low: Any, mode: Any, high: Any) -> Distribution:
    """Triangular from low to high with its peak at mode."""
    return distribution("triangular", low=low, mode=mode, high=high)


def normal(mean: Any, sd: Any) -> Distribution:
    """Normal; its values may be negative, which durations may not: see `truncated_normal`."""
    return distribution("normal", mean=mean, sd=sd)


def truncated_normal(mean: Any, sd: Any, low: Any = 0.0, high: Any = math.inf) -> Distribution:
    """Normal between low and high, by default from 0 up; mean and sd are those before truncation."""
    return distribution("truncated_normal", mean=mean, sd=sd, low=low, high=high)


def lognormal(*, mean: Any = None, sd: Any = None, mu: Any = None, sigma: Any = None) -> Distribution:
    """Lognormal by its own mean and sd, or by the mean mu and sd sigma of its logarithm."""
    if mu is None and sigma is None and mean is not None and sd is not None:
        return distribution("lognormal", mean=mean, sd=sd)
    if mean is None and sd is None and mu is not None and sigma is not None:
        return distribution("lognormal", mu=mu, sigma=sigma)
    raise TypeError(
        f"lognormal takes mean and sd (of the variable) or mu and sigma (of its logarithm), "
        f"got mean={mean}, sd={sd}, mu={mu}, sigma={sigma}"
    )


def gamma(shape: Any, scale: Any) -> Distribution:
    """Gamma with mean shape * scale."""
    return distribution("gamma", shape=shape, scale=scale)


def erlang(*, stages: Any, mean: Any) -> Distribution:
    """The sum of `stages` exponentials; `mean` is the sum's."""
    return distribution("erlang", stages=stages, mean=mean)


def weibull(shape: Any, scale: Any) -> Distribution:
    """Weibull; a shape below 1 is a failure rate that falls with age, above 1 one that rises."""
    return distribution("weibull", shape=shape, scale=scale)


def beta(a: Any, b: Any, low: Any = 0.0, high: Any = 1.0) -> Distribution:
    """Beta with shapes a and b, on [low, high]."""
    return distribution("beta", a=a, b=b, low=low, high=high)


def pareto(shape: Any, minimum: Any) -> Distribution:
    """Pareto of the first kind: P(X > x) = (minimum / x)^shape from the minimum on."""
    return distribution("pareto", shape=shape, minimum=minimum)


def pert(low: Any, mode: Any, high: Any, weight: Any = 4.0) -> Distribution:
    """A beta on [low, high] with this mode and mean (low + weight * mode + high) / (weight + 2)."""
    return distribution("pert", low=low, mode=mode, high=high, weight=weight)


def bernoulli(p: Any) -> Distribution:
    """1 with probability p, else 0."""
    return distribution("bernoulli", p=p)


def discrete_uniform(low: Any, high: Any) -> Distribution:
    """Any whole number from low to high alike, both among them."""
    return distribution("discrete_uniform", low=low, high=high)


def geometric(p: Any) -> Distribution:
    """The number of trials up to the first success: 1, 2, ..., with mean 1 / p, as in NumPy and SciPy."""
    return distribution("geometric", p=p)


def binomial(n: Any, p: Any) -> Distribution:
    """Successes in n trials."""
    return distribution("binomial", n=n, p=p)


def negative_binomial(r: Any, p: Any) -> Distribution:
    """Failures before the r-th success, as in NumPy and SciPy; r need not be whole."""
    return distribution("negative_binomial", r=r, p=p)


def poisson(mean: Any) -> Distribution:
    """Poisson."""
    return distribution("poisson", mean=mean)


def discrete(values: Iterable[float], weights: Iterable[float] | None = None) -> Distribution:
    """One of the values, in proportion to its weight (which need not sum to 1), or each alike.

    >>> discrete([1, 2, 4], [5, 2, 3]).mean()
    2.1
    """
    kept = _numbers("discrete: values", values)
    heavy = (1.0,) * len(kept) if weights is None else _numbers("discrete: weights", weights)
    _check_weights("discrete: weights", heavy, "values", len(kept))
    return distribution("discrete", values=kept, weights=heavy)


def hyperexponential(probabilities: Iterable[float], means: Iterable[float]) -> Distribution:
    """An exponential with one of the means, in proportion to the probabilities: more variable than an exponential."""
    phases = _numbers("hyperexponential: means", means)
    chances = _numbers("hyperexponential: probabilities", probabilities)
    _check_weights("hyperexponential: probabilities", chances, "means", len(phases))
    if min(phases) < 0.0:
        raise ValueError(f"hyperexponential: means must be at least 0, got {min(phases)}")
    if abs(math.fsum(chances) - 1.0) > 1e-9:
        raise ValueError(f"hyperexponential: probabilities must sum to 1, got {math.fsum(chances)}")
    return distribution("hyperexponential", probabilities=chances, means=phases)


def empirical(data: Iterable[float], *, interpolate: bool = False) -> Distribution:
    """One of the observations, each alike; or, interpolated, any number between the smallest and the largest.

    Interpolated, the distribution function is a line between neighbouring order statistics (Law 2015, "Simulation
    Modeling and Analysis", section 6.2.4).
    """
    if not isinstance(interpolate, bool):
        raise TypeError(f"empirical: interpolate must be True or False, got {interpolate!r}")
    observations = _numbers("empirical: data", data)
    if interpolate and len(observations) < 2:
        raise ValueError("empirical: data must hold 2 observations or more to interpolate between, got 1")
    return distribution("empirical", data=tuple(sorted(observations)), interpolate=interpolate)


def trace(values: Iterable[float], *, at_end: str) -> Distribution:
    """The values one after the other; past the last, as `at_end` says: "error", "repeat" from the first, or "last"."""
    if at_end not in ENDS:
        raise ValueError(f"trace: at_end must be one of {', '.join(map(repr, ENDS))}, got {at_end!r}")
    return distribution("trace", values=_numbers("trace: values", values), at_end=at_end)


def from_scipy(frozen: Any) -> Distribution:
    """Any frozen continuous distribution of SciPy's, by a table of its inverse distribution function.

    A variate is off by at most what changes the distribution function by 1e-9, and by 1e-4 of the tail's own
    probability (see `livesim.distributions.inversion`). The table is the data: drawing needs no SciPy.

    >>> from scipy import stats
    >>> from_scipy(stats.weibull_min(2.0, scale=3.0))["name"]
    'weibull_min(2.0, scale=3.0)'
    """
    from scipy import stats

    from livesim.distributions.inversion import tabulate

    if not isinstance(getattr(frozen, "dist", None), stats.rv_continuous):
        raise TypeError(
            f"from_scipy takes a frozen continuous distribution such as scipy.stats.gamma(2.0), got {frozen!r}"
        )
    given = [*map(str, frozen.args), *(f"{key}={value}" for key, value in frozen.kwds.items())]
    name = f"{frozen.dist.name}({', '.join(given)})"
    try:
        table = tabulate(frozen)
    except ValueError as error:
        raise ValueError(f"from_scipy: {name} cannot be tabulated: {error}") from None
    mean, variance = (float(moment) for moment in frozen.stats(moments="mv"))
    return distribution(
        "tabulated", name=name, intervals=table.intervals, table=table.values, mean=mean, variance=variance
    )


def _numbers(what: str, values: Iterable[float]) -> tuple[float, ...]:
    """Finite numbers, one or more."""
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise TypeError(f"{what} must be a sequence of numbers, got {values!r}")
    kept = tuple(float(number(f"{what}[{i}]", value)) for i, value in enumerate(values))
    if not kept:
        raise ValueError(f"{what} must hold one number or more, got none")
    for i, value in enumerate(kept):
        if not math.isfinite(value):
            raise ValueError(f"{what}[{i}] must be finite, got {value}")
    return kept


def _check_weights(what: str, weights: tuple[float, ...], others: str, count: int) -> None:
    if len(weights) != count:
        raise ValueError(f"{what} must be as many as the {others}, {count}, got {len(weights)}")
    if min(weights) < 0.0:
        raise ValueError(f"{what} must be at least 0, got {min(weights)}")
    if not 0.0 < sum(weights) < math.inf:
        raise ValueError(f"{what} must have a positive, finite sum, got {sum(weights)}")
