"""Both tails of a distribution in logarithms: what censoring and truncation ask for.

A family of the table has its own form, exact as far out as doubles reach. Of any other with a `cdf`, the logarithms
are those of the cdf: right to 1e-16 of 1, so of no use beyond about 1e-12.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.special import gammainc, gammaincc, log_ndtr
from numpyro import distributions as nd
from numpyro.distributions.distribution import ExpandedDistribution, Independent

from livenuts.families.continuous import log1m_exp

Tail = Callable[[Any, Any], Any]
_LOG_2 = math.log(2.0)
_TINY = 1e-300


def log_cdf(distribution: Any, value: Any) -> Any:
    """The logarithm of P(X <= value)."""
    return _tail(distribution, value, 0)


def log_survival(distribution: Any, value: Any) -> Any:
    """The logarithm of P(X > value)."""
    return _tail(distribution, value, 1)


def log_between(distribution: Any, low: Any, high: Any) -> Any:
    """The logarithm of P(low < X <= high), from whichever tail holds both ends; minus infinity if low >= high."""
    lower = (log_cdf(distribution, low), log_cdf(distribution, high))
    upper = (log_survival(distribution, high), log_survival(distribution, low))
    use_upper = lower[0] > -_LOG_2
    small, large = (jnp.where(use_upper, above, below) for below, above in zip(lower, upper, strict=True))
    empty = ~(small < large)
    difference = jnp.where(empty, -1.0, small - large)
    return jnp.where(empty, -jnp.inf, large + jnp.where(jnp.isneginf(difference), 0.0, log1m_exp(difference)))


def check_has_tails(user: str, distribution: Any) -> None:
    """Refuse a distribution without a cdf."""
    base = _base(distribution)
    if base.event_shape:
        raise ValueError(f"{user}: {type(base).__name__} is a distribution of vectors; it needs one of scalars")
    if _form(base) is None and type(base).cdf in (nd.Distribution.cdf,):
        raise ValueError(f"{user}: {type(base).__name__} has no cdf; families that have one are {', '.join(_names())}")


def _base(distribution: Any) -> Any:
    while type(distribution) in (ExpandedDistribution, Independent):
        distribution = distribution.base_dist
    return distribution


def _form(base: Any) -> tuple[Tail, Tail] | None:
    if hasattr(base, "log_survival"):
        kind = type(base)
        return kind.log_cdf, kind.log_survival
    return FORMS.get(type(base))


def _names() -> list[str]:
    return sorted(kind.__name__ for kind in FORMS)


def _tail(distribution: Any, value: Any, side: int) -> Any:
    base = _base(distribution)
    form = _form(base)
    if form is not None:
        return form[side](base, value)
    cdf = base.cdf(value)
    inside = (cdf > 0.0) & (cdf < 1.0)
    safe = jnp.where(inside, cdf, 0.5)
    tail = jnp.log1p(-safe) if side else jnp.log(safe)
    end = jnp.where((cdf <= 0.0) == bool(side), 0.0, -jnp.inf)
    return jnp.where(inside, tail, end)


def _above(value: Any, low: Any) -> tuple[Any, Any]:
    """Whether a value is inside a support that begins at `low`, and a value that is."""
    inside = value > low
    return inside, jnp.where(inside, value, low + 1.0)


def _from_survival(survival: Tail, low: float = 0.0) -> tuple[Tail, Tail]:
    """Both tails of a family on (low, infinity), from its log survival."""

    def upper(d: Any, value: Any) -> Any:
        inside, safe = _above(value, low)
        return jnp.where(inside, survival(d, safe), 0.0)

    def lower(d: Any, value: Any) -> Any:
        inside, safe = _above(value, low)
        return jnp.where(inside, log1m_exp(jnp.minimum(survival(d, safe), -_TINY)), -jnp.inf)

    return lower, upper


def _symmetric(lower: Callable[[Any], Any]) -> tuple[Tail, Tail]:
    """Both tails of a location and scale family that is symmetric, from its standard log cdf."""
    return (
        lambda d, value: lower((value - d.loc) / d.scale),
        lambda d, value: lower((d.loc - value) / d.scale),
    )


def _log_normal(sign: float, outside: float) -> Tail:
    def tail(d: Any, value: Any) -> Any:
        inside, safe = _above(value, 0.0)
        return jnp.where(inside, log_ndtr(sign * (jnp.log(safe) - d.loc) / d.scale), outside)

    return tail


def _laplace(z: Any) -> Any:
    return jnp.where(z < 0.0, z - _LOG_2, jnp.log1p(-0.5 * jnp.exp(-jnp.abs(z))))


def _cauchy(z: Any) -> Any:
    """From arctan(1 / z) in the tail, where 1/2 + arctan(z) / pi would cancel."""
    far = z < -1.0
    tail = jnp.log(jnp.arctan(-1.0 / jnp.where(far, z, -2.0)) / math.pi)
    return jnp.where(far, tail, jnp.log(0.5 + jnp.arctan(jnp.where(far, 0.0, z)) / math.pi))


def _gamma_tail(sign: int) -> Tail:
    """By the incomplete gamma function where it is a number, by the first terms of its expansion beyond."""

    def tail(d: Any, value: Any) -> Any:
        inside, safe = _above(value, 0.0)
        a, x = d.concentration, safe * d.rate
        probability = gammaincc(a, x) if sign > 0 else gammainc(a, x)
        usable = probability > 1e-280
        log_power = a * jnp.log(x) - x - jax.scipy.special.gammaln(a)
        beyond = log_power - jnp.log(x - a + 1.0 + (a - 1.0) / (x - a + 3.0)) if sign > 0 else log_power - jnp.log(a)
        near = jnp.log(jnp.where(usable, probability, 0.5))
        return jnp.where(inside, jnp.where(usable, near, beyond), 0.0 if sign > 0 else -jnp.inf)

    return tail


def _half_normal(d: Any, value: Any) -> Any:
    return _LOG_2 + log_ndtr(-value / d.scale)


def _gumbel(d: Any, value: Any) -> Any:
    return -jnp.exp(-(value - d.loc) / d.scale)


def _uniform(d: Any, value: Any, sign: int) -> Any:
    share = (value - d.low) / (d.high - d.low) if sign < 0 else (d.high - value) / (d.high - d.low)
    inside = share > 0.0
    return jnp.where(inside, jnp.log(jnp.minimum(jnp.where(inside, share, 1.0), 1.0)), -jnp.inf)


FORMS: dict[type, tuple[Tail, Tail]] = {
    nd.Normal: _symmetric(log_ndtr),
    nd.Logistic: _symmetric(jax.nn.log_sigmoid),
    nd.Laplace: _symmetric(_laplace),
    nd.Cauchy: _symmetric(_cauchy),
    nd.Gumbel: (_gumbel, lambda d, value: log1m_exp(jnp.minimum(_gumbel(d, value), -_TINY))),
    nd.LogNormal: (_log_normal(1.0, -jnp.inf), _log_normal(-1.0, 0.0)),
    nd.HalfNormal: _from_survival(_half_normal),
    nd.Exponential: _from_survival(lambda d, value: -d.rate * value),
    nd.Weibull: _from_survival(lambda d, value: -((value / d.scale) ** d.concentration)),
    nd.Gamma: (_gamma_tail(-1), _gamma_tail(1)),
    nd.Uniform: (lambda d, value: _uniform(d, value, -1), lambda d, value: _uniform(d, value, 1)),
}
"""The logarithms of the lower and of the upper tail."""
