"""What is known in part: censored observations, and variables cut to an interval."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from numpyro.distributions import Distribution, constraints

from livenuts.families.tails import check_has_tails, log_between, log_cdf, log_survival


class Censored(Distribution):  # type: ignore[misc]
    """Observations of which some are only known to lie below, above, or between two values.

    An observation is exact, unless `left` is true of it (the variable is at most the value), `right` is (at least
    the value: an event that has not happened yet), or `until` is above it (the variable lies between the value and
    `until`). Each is one flag or number for all, or an array. The base is any family with a cdf; tails are exact for
    those of `livenuts.families.tails` (Weibull, exponential, log-normal among them). Draws are of the base: what
    would have been seen without censoring.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}
    pytree_data_fields = ("base_dist", "left", "right", "until")

    def __init__(
        self,
        base_dist: Any,
        left: Any = False,
        right: Any = False,
        until: Any = None,
        *,
        validate_args: bool | None = None,
    ) -> None:
        check_has_tails("Censored", base_dist)
        self.left, self.right, self.until = left, right, until
        shapes = [jnp.shape(part) for part in (left, right, until) if part is not None]
        batch = jax.lax.broadcast_shapes(base_dist.batch_shape, *shapes)
        self.base_dist = base_dist.expand(batch)
        super().__init__(batch, validate_args=validate_args)

    @constraints.dependent_property(event_dim=0)  # type: ignore[untyped-decorator]
    def support(self) -> Any:
        return self.base_dist.support

    @property
    def is_discrete(self) -> bool:
        return bool(self.base_dist.is_discrete)

    def log_prob(self, value: Any) -> Any:
        base, left, right = self.base_dist, jnp.asarray(self.left, bool), jnp.asarray(self.right, bool)
        below = value - 1 if self.is_discrete else value  # P(X >= k) of counts is P(X > k - 1)
        between = jnp.zeros((), bool) if self.until is None else jnp.asarray(self.until) > value
        terms = _where(~(left | right | between), base.log_prob, value)
        terms = _where(left, lambda x: log_cdf(base, x), value, terms)
        terms = _where(right, lambda x: log_survival(base, x), below, terms)
        if self.until is not None:
            wanted = between & ~left & ~right
            until = jnp.where(wanted, self.until, value)
            terms = jnp.where(wanted, jnp.where(wanted, log_between(base, below, until), 0.0), terms)
        return terms

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Any:
        return self.base_dist.sample(key, sample_shape)


def _where(wanted: Any, function: Any, value: Any, other: Any = 0.0) -> Any:
    """function(value) where it is wanted; where nobody wants it, it is not computed."""
    if not isinstance(wanted, jax.core.Tracer) and not wanted.any():
        return jnp.broadcast_to(jnp.asarray(other, float), jnp.shape(value)) if jnp.ndim(other) == 0 else other
    return jnp.where(wanted, function(value), other)


def _tighter(plain: Any, of_arrays: Any, one: Any, other: Any) -> Any:
    """The tighter of two bounds, either of which may be none; numbers stay numbers."""
    if one is None or other is None:
        return other if one is None else one
    return (
        plain(one, other) if all(isinstance(bound, (int, float)) for bound in (one, other)) else of_arrays(one, other)
    )


class Truncated(Distribution):  # type: ignore[misc]
    """A family with a cdf, cut to low < x <= high and scaled to be a density there; None is no bound."""

    arg_constraints: ClassVar[dict[str, Any]] = {}
    pytree_data_fields = ("base_dist", "low", "high")

    def __init__(self, base_dist: Any, low: Any = None, high: Any = None, *, validate_args: bool | None = None) -> None:
        check_has_tails("Truncated", base_dist)
        if low is None and high is None:
            raise ValueError("Truncated: give low, high, or both")
        self.low, self.high = low, high
        shapes = [jnp.shape(part) for part in (low, high) if part is not None]
        batch = jax.lax.broadcast_shapes(base_dist.batch_shape, *shapes)
        self.base_dist = base_dist.expand(batch)
        super().__init__(batch, validate_args=validate_args)

    @property
    def is_discrete(self) -> bool:
        return bool(self.base_dist.is_discrete)

    @constraints.dependent_property(event_dim=0)  # type: ignore[untyped-decorator]
    def support(self) -> Any:
        """The base's, cut."""
        base = self.base_dist.support
        low, high = self.low, self.high
        if self.is_discrete:
            begin = getattr(base, "lower_bound", 0) if low is None else jnp.floor(low).astype(int) + 1
            return (
                constraints.integer_greater_than(begin) if high is None else constraints.integer_interval(begin, high)
            )
        low = _tighter(max, jnp.maximum, low, getattr(base, "lower_bound", None))
        high = _tighter(min, jnp.minimum, high, getattr(base, "upper_bound", None))
        if high is None:
            return constraints.greater_than(low)
        return constraints.less_than(high) if low is None else constraints.interval(low, high)

    def _log_mass(self) -> Any:
        if self.low is None:
            return log_cdf(self.base_dist, self.high)
        if self.high is None:
            return log_survival(self.base_dist, self.low)
        return log_between(self.base_dist, self.low, self.high)

    def log_prob(self, value: Any) -> Any:
        terms = self.base_dist.log_prob(value) - self._log_mass()
        return jnp.where(self.support(value), terms, -jnp.inf)

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Any:
        """By bisection of the cdf between the bounds, 60 halvings: to rounding."""
        uniform = jax.random.uniform(key, (*sample_shape, *self.batch_shape), minval=1e-12)
        low = self._end(self.low, -1.0, uniform.shape)
        high = self._end(self.high, 1.0, uniform.shape)
        # The share of the mass below x, from the lower tail: P(low < X <= x) / P(low < X <= high).
        target = jnp.log(uniform) + self._log_mass()

        def halve(_: int, ends: tuple[Any, Any]) -> tuple[Any, Any]:
            middle = 0.5 * (ends[0] + ends[1])
            if self.is_discrete:
                middle = jnp.floor(middle)
            below = log_cdf(self.base_dist, middle) if self.low is None else log_between(self.base_dist, low, middle)
            return jnp.where(below < target, middle, ends[0]), jnp.where(below < target, ends[1], middle)

        low_end, high_end = jax.lax.fori_loop(0, 60, halve, (low, high))
        return high_end if self.is_discrete else 0.5 * (low_end + high_end)

    def _end(self, bound: Any, side: float, shape: tuple[int, ...]) -> Any:
        """A bound, or a place beyond which the base has no mass worth a draw."""
        if bound is not None:
            return jnp.broadcast_to(jnp.asarray(bound, float), shape)
        base = jnp.where(jnp.isfinite(self.base_dist.mean), self.base_dist.mean, 0.0)
        other = self.low if side > 0 else self.high
        start = jnp.broadcast_to(jnp.maximum(base, other) if side > 0 else jnp.minimum(base, other), shape)
        if side < 0 and hasattr(self.base_dist.support, "lower_bound"):
            return jnp.broadcast_to(jnp.asarray(self.base_dist.support.lower_bound, float), shape) - 1.0

        def further(carry: tuple[Any, Any]) -> tuple[Any, Any]:
            return start + side * carry[1], 2.0 * carry[1]

        def is_inside(carry: tuple[Any, Any]) -> Any:
            tail = log_survival if side > 0 else log_cdf
            return jnp.any(tail(self.base_dist, carry[0]) > self._log_mass() - 40.0) & (carry[1] < 1e18)

        end, _ = jax.lax.while_loop(is_inside, further, (start, jnp.asarray(1.0, start.dtype)))
        return end
