"""Six continuous families: each a density, a sampler, and both tails in logarithms."""

import math
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import log_ndtr, logit
from numpyro.distributions import Distribution, constraints
from numpyro.distributions.transforms import AffineTransform, ComposeTransform, ExpTransform, Transform, biject_to
from numpyro.distributions.util import promote_shapes

_LOG_2 = math.log(2.0)
_LOG_2_PI = math.log(2.0 * math.pi)
# Gauss and Legendre's rule on (0, 1): exact to rounding for the smooth integrand of Owen's T.
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(64)
_NODES, _WEIGHTS = 0.5 * (_NODES + 1.0), 0.5 * _WEIGHTS


def log1m_exp(x: Any) -> Any:
    """log(1 - exp(x)) for x < 0, exact at both ends; minus infinity at 0."""
    near = x > -_LOG_2
    return jnp.where(near, jnp.log(-jnp.expm1(jnp.where(near, x, -1.0))), jnp.log1p(-jnp.exp(jnp.where(near, -1.0, x))))


class Univariate(Distribution):  # type: ignore[misc]
    """A family whose parameters broadcast to its batch shape; both tails follow from `log_cdf` or `cdf`."""

    def __init__(self, *, validate_args: bool | None = None, **parameters: Any) -> None:
        names, values = zip(*parameters.items(), strict=True)
        batch = jax.lax.broadcast_shapes(*(jnp.shape(value) for value in values))
        for name, value in zip(names, promote_shapes(*values, shape=batch), strict=True):
            setattr(self, name, value)
        super().__init__(batch_shape=batch, validate_args=validate_args)

    def log_cdf(self, value: Any) -> Any:
        """The logarithm of P(X <= value)."""
        raise NotImplementedError

    def log_survival(self, value: Any) -> Any:
        """The logarithm of P(X > value)."""
        return log1m_exp(self.log_cdf(value))

    def cdf(self, value: Any) -> Any:
        return jnp.exp(self.log_cdf(value))

    def _normals(self, key: Any, sample_shape: tuple[int, ...]) -> Any:
        return jax.random.normal(key, (*sample_shape, *self.batch_shape))


class SkewNormal(Univariate):
    """The skew normal: density 2 phi(z) Phi(slant z) / scale, z = (x - loc) / scale.

    Azzalini 1985, "A class of distributions which includes the normal ones".
    """

    arg_constraints: ClassVar[dict[str, Any]] = {
        "loc": constraints.real,
        "scale": constraints.positive,
        "slant": constraints.real,
    }
    support = constraints.real

    def __init__(self, loc: Any = 0.0, scale: Any = 1.0, slant: Any = 0.0, *, validate_args: bool | None = None):
        super().__init__(loc=loc, scale=scale, slant=slant, validate_args=validate_args)

    def log_prob(self, value: Any) -> Any:
        z = (value - self.loc) / self.scale
        return _LOG_2 - 0.5 * (z * z + _LOG_2_PI) - jnp.log(self.scale) + log_ndtr(self.slant * z)

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Any:
        first, second = jax.random.split(key)
        tilt = self.slant / jnp.sqrt(1.0 + self.slant**2)
        half = jnp.abs(self._normals(first, sample_shape))
        z = tilt * half + jnp.sqrt(1.0 - tilt**2) * self._normals(second, sample_shape)
        return self.loc + self.scale * z

    def cdf(self, value: Any) -> Any:
        """Phi(z) - 2 T(z, slant), with Owen's T by quadrature."""
        z = (value - self.loc) / self.scale
        angle = jnp.arctan(self.slant)
        z, angle = jnp.broadcast_arrays(z, angle)
        cosines = jnp.cos(angle[..., None] * _NODES)
        owen = angle / (2.0 * math.pi) * jnp.sum(_WEIGHTS * jnp.exp(-0.5 * (z[..., None] / cosines) ** 2), axis=-1)
        return jax.scipy.special.ndtr(z) - 2.0 * owen

    def log_cdf(self, value: Any) -> Any:
        """Of the cdf: exact to 1e-15 of 1, not of itself, so no further out than 1e-10."""
        return jnp.log(self.cdf(value))

    def log_survival(self, value: Any) -> Any:
        mirrored = SkewNormal(-self.loc, self.scale, -self.slant)
        return mirrored.log_cdf(-value)

    @property
    def mean(self) -> Any:
        return self.loc + self.scale * self.slant / jnp.sqrt(1.0 + self.slant**2) * math.sqrt(2.0 / math.pi)

    @property
    def variance(self) -> Any:
        return self.scale**2 * (1.0 - 2.0 / math.pi * self.slant**2 / (1.0 + self.slant**2))


class ExGaussian(Univariate):
    """The sum of a Normal(loc, scale) and an Exponential(rate)."""

    arg_constraints: ClassVar[dict[str, Any]] = {
        "loc": constraints.real,
        "scale": constraints.positive,
        "rate": constraints.positive,
    }
    support = constraints.real

    def __init__(self, loc: Any = 0.0, scale: Any = 1.0, rate: Any = 1.0, *, validate_args: bool | None = None):
        super().__init__(loc=loc, scale=scale, rate=rate, validate_args=validate_args)

    def _parts(self, value: Any) -> tuple[Any, Any]:
        """z, and the logarithm of the density divided by the rate."""
        z, width = (value - self.loc) / self.scale, self.rate * self.scale
        return z, width * (0.5 * width - z) + log_ndtr(z - width)

    def log_prob(self, value: Any) -> Any:
        return jnp.log(self.rate) + self._parts(value)[1]

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Any:
        first, second = jax.random.split(key)
        waiting = jax.random.exponential(second, (*sample_shape, *self.batch_shape)) / self.rate
        return self.loc + self.scale * self._normals(first, sample_shape) + waiting

    def log_cdf(self, value: Any) -> Any:
        z, density = self._parts(value)
        return log_ndtr(z) + log1m_exp(density - log_ndtr(z))

    def log_survival(self, value: Any) -> Any:
        z, density = self._parts(value)
        return jnp.logaddexp(log_ndtr(-z), density)

    @property
    def mean(self) -> Any:
        return self.loc + 1.0 / self.rate

    @property
    def variance(self) -> Any:
        return self.scale**2 + 1.0 / self.rate**2


class InverseGaussian(Univariate):
    """The inverse Gaussian (Wald) with mean `loc` and shape `concentration`: variance loc^3 / concentration."""

    arg_constraints: ClassVar[dict[str, Any]] = {"loc": constraints.positive, "concentration": constraints.positive}
    support = constraints.positive

    def __init__(self, loc: Any = 1.0, concentration: Any = 1.0, *, validate_args: bool | None = None):
        super().__init__(loc=loc, concentration=concentration, validate_args=validate_args)

    def log_prob(self, value: Any) -> Any:
        distance = (value - self.loc) ** 2 / (self.loc**2 * value)
        return 0.5 * (jnp.log(self.concentration) - _LOG_2_PI - 3.0 * jnp.log(value) - self.concentration * distance)

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Any:
        """By the two roots of a chi-square (Michael, Schucany and Haas 1976)."""
        first, second = jax.random.split(key)
        ratio = self.loc * self._normals(first, sample_shape) ** 2 / self.concentration
        # The smaller root of x^2 - (2 + ratio) x + 1, without cancellation.
        root = 2.0 / (2.0 + ratio + jnp.sqrt(ratio * (4.0 + ratio)))
        uniform = jax.random.uniform(second, ratio.shape)
        return self.loc * jnp.where(uniform <= 1.0 / (1.0 + root), root, 1.0 / root)

    def _tails(self, value: Any) -> tuple[Any, Any]:
        spread, ratio = jnp.sqrt(self.concentration / value), value / self.loc
        return spread * (ratio - 1.0), 2.0 * self.concentration / self.loc + log_ndtr(-spread * (ratio + 1.0))

    def log_cdf(self, value: Any) -> Any:
        z, reflected = self._tails(value)
        return jnp.logaddexp(log_ndtr(z), reflected)

    def log_survival(self, value: Any) -> Any:
        z, reflected = self._tails(value)
        return log_ndtr(-z) + log1m_exp(reflected - log_ndtr(-z))

    @property
    def mean(self) -> Any:
        return jnp.broadcast_to(self.loc, self.batch_shape)

    @property
    def variance(self) -> Any:
        return self.loc**3 / self.concentration


class Triangular(Univariate):
    """Piecewise linear on (low, high), largest at `peak`."""

    arg_constraints: ClassVar[dict[str, Any]] = {
        "low": constraints.real,
        "high": constraints.real,
        "peak": constraints.real,
    }

    def __init__(self, low: Any = 0.0, high: Any = 1.0, peak: Any = 0.5, *, validate_args: bool | None = None):
        super().__init__(low=low, high=high, peak=peak, validate_args=validate_args)

    @constraints.dependent_property(is_discrete=False, event_dim=0)  # type: ignore[untyped-decorator]
    def support(self) -> Any:
        return constraints.interval(self.low, self.high)

    def _sides(self, value: Any) -> tuple[Any, Any, Any]:
        """Whether on the rising side; the distance to its end of the support, and from there to the peak."""
        rising = value < self.peak
        near = jnp.where(rising, value - self.low, self.high - value)
        return rising, near, jnp.where(rising, self.peak - self.low, self.high - self.peak)

    def log_prob(self, value: Any) -> Any:
        _, near, side = self._sides(value)
        return _LOG_2 + jnp.log(near) - jnp.log(side) - jnp.log(self.high - self.low)

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Any:
        return self.icdf(jax.random.uniform(key, (*sample_shape, *self.batch_shape)))

    def icdf(self, q: Any) -> Any:
        width, left = self.high - self.low, self.peak - self.low
        rising = self.low + jnp.sqrt(q * width * left)
        return jnp.where(q * width < left, rising, self.high - jnp.sqrt((1.0 - q) * width * (self.high - self.peak)))

    def log_cdf(self, value: Any) -> Any:
        rising, tail = self._tail(value)
        return jnp.where(rising, tail, log1m_exp(tail))

    def log_survival(self, value: Any) -> Any:
        rising, tail = self._tail(value)
        return jnp.where(rising, log1m_exp(tail), tail)

    def _tail(self, value: Any) -> tuple[Any, Any]:
        rising, near, side = self._sides(value)
        return rising, 2.0 * jnp.log(near) - jnp.log(side) - jnp.log(self.high - self.low)

    @property
    def mean(self) -> Any:
        return (self.low + self.high + self.peak) / 3.0

    @property
    def variance(self) -> Any:
        low, high, peak = self.low, self.high, self.peak
        return (low**2 + high**2 + peak**2 - low * high - low * peak - high * peak) / 18.0


class LogitNormal(Univariate):
    """A probability whose logit is Normal(loc, scale)."""

    arg_constraints: ClassVar[dict[str, Any]] = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.unit_interval

    def __init__(self, loc: Any = 0.0, scale: Any = 1.0, *, validate_args: bool | None = None):
        super().__init__(loc=loc, scale=scale, validate_args=validate_args)

    def _standardized(self, value: Any) -> Any:
        return (logit(value) - self.loc) / self.scale

    def log_prob(self, value: Any) -> Any:
        z = self._standardized(value)
        return -0.5 * (z * z + _LOG_2_PI) - jnp.log(self.scale) - jnp.log(value) - jnp.log1p(-value)

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Any:
        return jax.nn.sigmoid(self.loc + self.scale * self._normals(key, sample_shape))

    def log_cdf(self, value: Any) -> Any:
        return log_ndtr(self._standardized(value))

    def log_survival(self, value: Any) -> Any:
        return log_ndtr(-self._standardized(value))

    def icdf(self, q: Any) -> Any:
        return jax.nn.sigmoid(self.loc + self.scale * jax.scipy.special.ndtri(q))


def _log1p_over(concentration: Any, z: Any) -> Any:
    """log(1 + concentration z) / concentration, and its limit z at 0, gradients included."""
    u = concentration * z
    small = jnp.abs(u) < 0.02
    series = z * jnp.polyval(jnp.array([(-1.0) ** k / (k + 1) for k in range(9, -1, -1)]), jnp.where(small, u, 0.0))
    divisor = jnp.where(small, 1.0, concentration)
    return jnp.where(small, series, jnp.log1p(jnp.where(small, 0.0, u)) / divisor)


def _expm1_over(concentration: Any, e: Any) -> Any:
    """(exp(concentration e) - 1) / concentration, and its limit e at 0, gradients included."""
    u = concentration * e
    small = jnp.abs(u) < 0.02
    coefficients = jnp.array([1.0 / math.factorial(k + 1) for k in range(7, -1, -1)])
    series = e * jnp.polyval(coefficients, jnp.where(small, u, 0.0))
    return jnp.where(small, series, jnp.expm1(jnp.where(small, 0.0, u)) / jnp.where(small, 1.0, concentration))


class _Excess(constraints.Constraint):  # type: ignore[misc]
    """Above a threshold, and below its end where a generalised Pareto's concentration is negative."""

    is_discrete = False
    event_dim = 0

    def __init__(self, loc: Any, scale: Any, concentration: Any) -> None:
        self.loc, self.scale, self.concentration = loc, scale, concentration

    def __call__(self, x: Any) -> Any:
        z = (x - self.loc) / self.scale
        return (z >= 0.0) & (1.0 + self.concentration * z >= 0.0)

    def feasible_like(self, prototype: Any) -> Any:
        return jnp.broadcast_to(self.loc + 0.5 * self.scale * _expm1_over(self.concentration, 1.0), prototype.shape)

    def tree_flatten(self) -> Any:
        return (self.loc, self.scale, self.concentration), (("loc", "scale", "concentration"), {})


class _ExponentialToPareto(Transform):  # type: ignore[misc]
    """A standard exponential variable to an excess: (exp(concentration e) - 1) / concentration."""

    domain = constraints.positive
    codomain = constraints.positive

    def __init__(self, concentration: Any) -> None:
        self.concentration = concentration

    def __call__(self, x: Any) -> Any:
        return _expm1_over(self.concentration, x)

    def _inverse(self, y: Any) -> Any:
        return _log1p_over(self.concentration, y)

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Any:
        return self.concentration * x

    def tree_flatten(self) -> Any:
        return (self.concentration,), (("concentration",), {})


class GeneralizedPareto(Univariate):
    """Excesses over a threshold `loc`: P(X > x) = (1 + concentration z)^(-1 / concentration), z = (x - loc) / scale.

    Concentration 0 is the exponential; where it is negative, z ends at -1 / concentration.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {
        "loc": constraints.real,
        "scale": constraints.positive,
        "concentration": constraints.real,
    }

    def __init__(
        self, loc: Any = 0.0, scale: Any = 1.0, concentration: Any = 0.0, *, validate_args: bool | None = None
    ):
        super().__init__(loc=loc, scale=scale, concentration=concentration, validate_args=validate_args)

    @constraints.dependent_property(is_discrete=False, event_dim=0)  # type: ignore[untyped-decorator]
    def support(self) -> Any:
        return _Excess(self.loc, self.scale, self.concentration)

    def log_survival(self, value: Any) -> Any:
        return -_log1p_over(self.concentration, (value - self.loc) / self.scale)

    def log_cdf(self, value: Any) -> Any:
        return log1m_exp(self.log_survival(value))

    def log_prob(self, value: Any) -> Any:
        survival = self.log_survival(value)
        return survival * (1.0 + self.concentration) - jnp.log(self.scale)

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Any:
        waiting = jax.random.exponential(key, (*sample_shape, *self.batch_shape))
        return self.loc + self.scale * _expm1_over(self.concentration, waiting)

    def icdf(self, q: Any) -> Any:
        return self.loc + self.scale * _expm1_over(self.concentration, -jnp.log1p(-q))


@biject_to.register(_Excess)  # type: ignore[untyped-decorator]
def _transform_to_excess(constraint: Any) -> Any:
    """Through a standard exponential variable, so that no sign of the concentration is special."""
    scaled = AffineTransform(constraint.loc, constraint.scale, domain=constraints.positive)
    return ComposeTransform([ExpTransform(), _ExponentialToPareto(constraint.concentration), scaled])
