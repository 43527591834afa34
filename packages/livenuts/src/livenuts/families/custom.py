"""A family of the user's own: a log density, and a sampler where there is one."""

from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from numpyro.distributions import Distribution, constraints

from livenuts.families.skellam import INTEGER

SUPPORTS = {
    "real": constraints.real,
    "positive": constraints.positive,
    "nonnegative": constraints.nonnegative,
    "unit_interval": constraints.unit_interval,
    "integer": INTEGER,
    "nonnegative_integer": constraints.nonnegative_integer,
    "real_vector": constraints.real_vector,
    "positive_ordered_vector": constraints.positive_ordered_vector,
    "ordered_vector": constraints.ordered_vector,
    "simplex": constraints.simplex,
}


class Custom(Distribution):  # type: ignore[misc]
    """A distribution by its log density: `Custom(log_density, [parameter, ...])`.

    `log_density(value, *parameters)` is written in JAX. For scalar events it returns the terms, of the shape that
    value and parameters broadcast to; for vectors (a support that is one, with `event_shape`) a term a vector.
    `sampler(key, shape, *parameters)` makes draws of that whole shape, for predictions.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}
    pytree_data_fields = ("parameters",)
    pytree_aux_fields = ("log_density", "sampler", "_support")

    def __init__(
        self,
        log_density: Callable[..., Any],
        parameters: Any = (),
        support: str = "real",
        event_shape: tuple[int, ...] = (),
        sampler: Callable[..., Any] | None = None,
        *,
        validate_args: bool | None = None,
    ) -> None:
        if not callable(log_density):
            raise TypeError(f"Custom: log_density must be a function of (value, *parameters), got {log_density!r:.60}")
        if sampler is not None and not callable(sampler):
            raise TypeError(f"Custom: sampler must be a function of (key, shape, *parameters), got {sampler!r:.60}")
        if support not in SUPPORTS:
            raise ValueError(f"Custom: support must be one of {', '.join(SUPPORTS)}, got {support!r}")
        self.log_density, self.sampler = log_density, sampler
        self.parameters = tuple(parameters) if isinstance(parameters, (tuple, list)) else (parameters,)
        self._support = SUPPORTS[support]
        if self._support.event_dim != len(event_shape):
            raise ValueError(
                f"Custom: event_shape must have {self._support.event_dim} axes for the support {support!r}, "
                f"got {tuple(event_shape)!r}"
            )
        # Parameters of vectors may have any shape: batches of them are made by `shape=`.
        shapes = () if event_shape else [jnp.shape(parameter) for parameter in self.parameters]
        super().__init__(jax.lax.broadcast_shapes((), *shapes), tuple(event_shape), validate_args=validate_args)

    def log_prob(self, value: Any) -> Any:
        terms = self.log_density(value, *self.parameters)
        wanted = jax.lax.broadcast_shapes(jnp.shape(value)[: jnp.ndim(value) - self.event_dim], self.batch_shape)
        if jnp.shape(terms) != wanted:
            raise ValueError(
                f"Custom: log_density must return terms of shape {wanted} for values of shape {jnp.shape(value)}, "
                f"got {jnp.shape(terms)}"
            )
        return terms

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Any:
        if self.sampler is None:
            raise NotImplementedError("a Custom distribution needs a sampler for this: Custom(..., sampler=)")
        return self.sampler(key, (*sample_shape, *self.batch_shape, *self.event_shape), *self.parameters)
