"""Summed log densities: a table of families whose sum is cheaper than the sum of its terms.

A family of the table is scored by its own form: logarithms of products for sums of logarithms, parameters that
observations share touched once (of data, what is summed over those observations is then computed once a data set).
Any other family is scored by NumPyro. Both give the same numbers to rounding.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from numpyro import distributions as nd
from numpyro.distributions import conjugate, discrete
from numpyro.distributions.distribution import ExpandedDistribution, Independent
from numpyro.distributions.util import clamp_probs

from livenuts.compiler import gaussian
from livenuts.compiler.logarithms import log_gamma, log_gamma_half_step, sum_log1p, sum_log1p_exp

Shape = tuple[int, ...]
_LOG_2 = math.log(2.0)
_LOG_PI = math.log(math.pi)
_HALF_LOG_2_PI = 0.5 * math.log(2.0 * math.pi)
# Fewer logarithms than this are not worth the splitting of their arguments.
_FEW = 16
# Nor are vectors of fewer numbers worth keeping.
_KEPT = 64


def sum_log_prob(distribution: Any, value: Any, observed: bool = False) -> Any:
    """The sum of `distribution.log_prob(value)`, the value being data if `observed`."""
    base = distribution
    while type(base) in (ExpandedDistribution, Independent):
        base = base.base_dist
    form = (OF_DATA if observed else FORMS).get(type(base))
    if form is None:
        return jnp.sum(distribution.log_prob(value))
    shape = jnp.broadcast_shapes(tuple(distribution.batch_shape) + tuple(distribution.event_shape), jnp.shape(value))
    return form(base, jnp.asarray(value, jnp.float64), shape)


def _total(x: Any, shape: Shape) -> Any:
    """The sum of x over all of a shape that it broadcasts to."""
    x = jnp.asarray(x, jnp.float64)
    return jnp.sum(x) * (math.prod(shape) / x.size)


def _total_log(x: Any, shape: Shape) -> Any:
    x = jnp.asarray(x, jnp.float64)
    return jnp.sum(jnp.log(x)) * (math.prod(shape) / x.size)


def _total_log1p(x: Any, shape: Shape) -> Any:
    """The same of log(1 + x), x not negative."""
    x = jnp.asarray(x, jnp.float64)
    total = jnp.sum(jnp.log1p(x)) if x.size < _FEW else sum_log1p(x)
    return total * (math.prod(shape) / x.size)


def _shared(shape: Shape, *parameters: Any) -> tuple[tuple[int, ...], Shape]:
    """The axes of a shape along which no parameter varies, and the shape with length one along them."""
    varying = jnp.broadcast_shapes((1,) * len(shape), *(jnp.shape(parameter) for parameter in parameters))
    axes = tuple(axis for axis in range(len(shape)) if varying[axis] == 1)
    return axes, tuple(1 if axis in axes else length for axis, length in enumerate(shape))


def _pooled(x: Any, shape: Shape, axes: tuple[int, ...]) -> Any:
    """The sum over some axes of a shape that x broadcasts to; they keep length one."""
    x = jnp.reshape(jnp.asarray(x, jnp.float64), (1,) * (len(shape) - jnp.ndim(x)) + jnp.shape(x))
    repeats = math.prod(shape[axis] // x.shape[axis] for axis in axes)
    total = jnp.sum(x, axis=axes, keepdims=True)
    return total if repeats == 1 else total * repeats


def _times(weight: Any, total: Callable[[Any], Any], plain: Callable[[Any], Any], x: Any, shape: Shape) -> Any:
    """The sum of weight * plain(x), where total(x) is the sum of plain(x)."""
    if jnp.size(weight) == 1:
        return jnp.reshape(weight, ()) * total(x)
    return _total(weight * plain(x), shape)


def _once(x: Any) -> Any:
    """The same, kept: XLA would compute a vector anew for each of the sums and gradients that read it."""
    return jax.lax.optimization_barrier(x) if jnp.size(x) >= _KEPT else x


def _standardized(value: Any, loc: Any, scale: Any) -> Any:
    """(value - loc) / scale with one division for each number of scale, gradient included."""
    return _once(value - loc) * (1.0 / jnp.asarray(scale, jnp.float64))


def _normal(loc: Any, scale: Any, value: Any, shape: Shape) -> Any:
    z = _standardized(value, loc, scale)
    return -0.5 * _total(z * z, shape) - _total_log(scale, shape) - math.prod(shape) * _HALF_LOG_2_PI


def _normal_form(d: Any, value: Any, shape: Shape) -> Any:
    return _normal(d.loc, d.scale, value, shape)


def _normal_data(loc: Any, scale: Any, value: Any, shape: Shape) -> Any:
    """The same of data, from the mean and the sum of squares about it where loc and scale are shared."""
    axes, groups = _shared(shape, loc, scale)
    count = math.prod(shape) // max(1, math.prod(groups))
    if count < 2:
        return _normal(loc, scale, value, shape)
    mean = _pooled(value, shape, axes) / count
    apart = value - mean
    rest, squares = _pooled(apart, shape, axes), _pooled(apart**2, shape, axes)  # the mean was rounded: some rest
    precision = 1.0 / jnp.asarray(scale, jnp.float64)
    z = (mean - loc) * precision
    total = count * _total(z * z, groups) + _total((2.0 * rest * z + squares * precision) * precision, groups)
    return -0.5 * total - _total_log(scale, shape) - math.prod(shape) * _HALF_LOG_2_PI


def _normal_data_form(d: Any, value: Any, shape: Shape) -> Any:
    return _normal_data(d.loc, d.scale, value, shape)


def _half_normal(d: Any, value: Any, shape: Shape) -> Any:
    return _normal(0.0, d.scale, value, shape) + math.prod(shape) * _LOG_2


def _log_normal(d: Any, value: Any, shape: Shape) -> Any:
    log = jnp.log(value)
    return _normal(d.loc, d.scale, log, shape) - _total(log, shape)


def _log_normal_data(d: Any, value: Any, shape: Shape) -> Any:
    log = jnp.log(value)
    return _normal_data(d.loc, d.scale, log, shape) - _total(log, shape)


def _random_walk(d: Any, value: Any, shape: Shape) -> Any:
    scale = jnp.asarray(d.scale, jnp.float64)
    first, steps = value[..., 0] * (1.0 / scale), (value[..., 1:] - value[..., :-1]) * (1.0 / scale[..., None])
    squares = _total(first * first, shape[:-1]) + _total(jnp.sum(steps * steps, axis=-1), shape[:-1])
    return -0.5 * squares - _total_log(scale, shape) - math.prod(shape) * _HALF_LOG_2_PI


def _euler_maruyama(d: Any, value: Any, shape: Shape) -> Any:
    times = jnp.asarray(d.t, jnp.float64)
    if times.ndim != 1 or len(shape) != 1:
        return jnp.sum(d.log_prob(value))
    try:  # a diffusion that depends on neither state nor time is one number
        drift, diffusion = jax.vmap(d.sde_fn, out_axes=(0, None))(value[:-1], times[:-1])
    except ValueError:
        drift, diffusion = jax.vmap(d.sde_fn)(value[:-1], times[:-1])
    intervals = jnp.diff(times)
    steps = _once((value[1:] - value[:-1] - intervals * drift) * (1.0 / jnp.sqrt(intervals)))
    first = sum_log_prob(d.init_dist, value[0]) - 0.5 * jnp.sum(jnp.log(intervals))
    return first + _normal(0.0, diffusion, steps, steps.shape)


def _student_t(d: Any, value: Any, shape: Shape) -> Any:
    df = jnp.asarray(d.df, jnp.float64)
    z = _standardized(value, d.loc, d.scale)
    constant = log_gamma_half_step(0.5 * df) - 0.5 * (jnp.log(df) + _LOG_PI)
    tails = _times(0.5 * (df + 1.0), lambda x: _total_log1p(x, shape), jnp.log1p, z * z * (1.0 / df), shape)
    return _total(constant, shape) - _total_log(d.scale, shape) - tails


def _cauchy(loc: Any, scale: Any, value: Any, shape: Shape) -> Any:
    z = _standardized(value, loc, scale)
    return -math.prod(shape) * _LOG_PI - _total_log(scale, shape) - _total_log1p(z * z, shape)


def _cauchy_form(d: Any, value: Any, shape: Shape) -> Any:
    return _cauchy(d.loc, d.scale, value, shape)


def _half_cauchy(d: Any, value: Any, shape: Shape) -> Any:
    return _cauchy(0.0, d.scale, value, shape) + math.prod(shape) * _LOG_2


def _laplace(d: Any, value: Any, shape: Shape) -> Any:
    distances = jnp.abs(_standardized(value, d.loc, d.scale))
    return -_total(distances, shape) - _total_log(d.scale, shape) - math.prod(shape) * _LOG_2


def _exponential(d: Any, value: Any, shape: Shape) -> Any:
    return _total_log(d.rate, shape) - _times(d.rate, lambda x: _total(x, shape), lambda x: x, value, shape)


def _gamma(d: Any, value: Any, shape: Shape) -> Any:
    concentration, rate = jnp.asarray(d.concentration, jnp.float64), jnp.asarray(d.rate, jnp.float64)
    logs = _times(concentration - 1.0, lambda x: _total_log(x, shape), jnp.log, value, shape)
    linear = _times(rate, lambda x: _total(x, shape), lambda x: x, value, shape)
    return logs - linear + _total(concentration * jnp.log(rate) - log_gamma(concentration), shape)


def _bernoulli_logits(d: Any, value: Any, shape: Shape) -> Any:
    logits = jnp.asarray(d.logits, jnp.float64)
    axes, groups = _shared(shape, logits)
    count = math.prod(shape) // max(1, math.prod(groups))
    slope = _pooled(value, shape, axes) - count * (logits > 0.0)
    linear = jnp.where(slope == 0.0, 0.0, slope * logits)  # nothing, not NaN, where logits are infinite and right
    return _total(linear, groups) - sum_log1p_exp(logits) * (math.prod(shape) / logits.size)


def _bernoulli_probs(d: Any, value: Any, shape: Shape) -> Any:
    probs = clamp_probs(d.probs)
    axes, groups = _shared(shape, probs)
    ones, zeros = _pooled(value, shape, axes), _pooled(1.0 - value, shape, axes)
    return _total(ones * jnp.log(probs) + zeros * jnp.log1p(-probs), groups)


def _binomial_logits(d: Any, value: Any, shape: Shape) -> Any:
    logits, count = jnp.asarray(d.logits, jnp.float64), jnp.asarray(d.total_count, jnp.float64)
    choices = log_gamma(count + 1.0) - log_gamma(value + 1.0) - log_gamma(count - value + 1.0)
    linear = value * logits - count * jnp.where(logits > 0.0, logits, 0.0)
    tails = _times(
        count,
        lambda x: sum_log1p_exp(x) * (math.prod(shape) / x.size),
        lambda x: jnp.log1p(jnp.exp(-jnp.abs(x))),
        logits,
        shape,
    )
    return _total(choices, shape) + _total(linear, shape) - tails


def _poisson(d: Any, value: Any, shape: Shape) -> Any:
    rate = jnp.asarray(d.rate, jnp.float64)
    axes, groups = _shared(shape, rate)
    events = _pooled(value, shape, axes)
    logs = jnp.where(events == 0.0, 0.0, events * jnp.log(rate))
    return _total(logs, groups) - _total(log_gamma(value + 1.0), shape) - _total(rate, shape)


def _gamma_poisson(d: Any, value: Any, shape: Shape) -> Any:
    concentration, rate = jnp.asarray(d.concentration, jnp.float64), jnp.asarray(d.rate, jnp.float64)
    counts = log_gamma(concentration + value)
    zeros = _times(concentration, lambda x: _total_log1p(x, shape), jnp.log1p, 1.0 / rate, shape)
    return (
        _total(counts, shape)
        - _total(log_gamma(concentration), shape)
        - _total(log_gamma(value + 1.0), shape)
        - zeros
        - _total(value * jnp.log1p(rate), shape)
    )


def _multivariate_normal(d: Any, value: Any, shape: Shape) -> Any:
    covariance = d.__dict__.get("covariance_matrix")
    if covariance is None or covariance.ndim != 2 or len(shape) != 1:
        return jnp.sum(d.log_prob(value))
    return gaussian.log_density(jnp.asarray(covariance, jnp.float64), jnp.broadcast_to(value - d.loc, shape))


FORMS: dict[type, Callable[[Any, Any, Shape], Any]] = {
    nd.Normal: _normal_form,
    nd.HalfNormal: _half_normal,
    nd.LogNormal: _log_normal,
    nd.GaussianRandomWalk: _random_walk,
    nd.EulerMaruyama: _euler_maruyama,
    nd.MultivariateNormal: _multivariate_normal,
    nd.StudentT: _student_t,
    nd.Cauchy: _cauchy_form,
    nd.HalfCauchy: _half_cauchy,
    nd.Laplace: _laplace,
    nd.Exponential: _exponential,
    nd.Gamma: _gamma,
    discrete.BernoulliLogits: _bernoulli_logits,
    discrete.BernoulliProbs: _bernoulli_probs,
    discrete.BinomialLogits: _binomial_logits,
    nd.Poisson: _poisson,
    conjugate.GammaPoisson: _gamma_poisson,
    conjugate.NegativeBinomial2: _gamma_poisson,
}
"""A form takes a distribution, a value and the shape of all terms, which parameters and value broadcast to."""

OF_DATA = {**FORMS, nd.Normal: _normal_data_form, nd.LogNormal: _log_normal_data}
"""The same for data, whose sums need not be cheap."""
