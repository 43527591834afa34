"""Missing observations: variables in the places where data are NaN.

The variables are as many numbers of the unconstrained scale as values are missing. Which ones they are is read from
the data, so that other data with as many missing values share the compiled code.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from numpyro.distributions import biject_to
from numpyro.distributions.constraints import independent, real


def variable_name(name: str) -> str:
    """The variable that holds the missing values of an observation."""
    return f"{name}_missing"


def check_can_be_missing(name: str, distribution: Any) -> None:
    """Refuse distributions of which single values cannot be variables."""
    support = distribution.support
    if distribution.event_shape and _element(support) is not real:
        raise ValueError(
            f"obs {name!r}: values are missing (NaN), but a part of a value of {type(distribution).__name__} cannot be "
            "a variable: leave whole values out, or mask them"
        )


def is_summed_out(distribution: Any) -> bool:
    """Whether missing values leave no trace: counts, independent of each other."""
    return bool(getattr(distribution.support, "is_discrete", False))


def _element(support: Any) -> Any:
    while isinstance(support, type(independent(real, 1))):
        support = support.base_constraint
    return support


class Filled(NamedTuple):
    """Observations with the missing ones filled in."""

    value: Any
    missing: Any
    """The values of the variable, (count,)."""
    log_jacobian: Any


def fill(distribution: Any, value: Any, unconstrained: Any) -> Filled:
    """Put unconstrained numbers, (count,), in the places of NaN, in order."""
    absent = jnp.isnan(value)
    places = _places(absent, unconstrained.size)
    support = _element(distribution.support)
    if support is real:
        filled = _put(unconstrained, absent, places)
        return Filled(jnp.where(absent, filled, value), unconstrained, jnp.float64(0.0))
    transform = biject_to(support)
    flat = _put(unconstrained, absent, places)
    inside = transform(flat)
    jacobian = jnp.where(absent, transform.log_abs_det_jacobian(flat, inside), 0.0)
    return Filled(
        jnp.where(absent, inside, value), inside.ravel().at[places].get(mode="promise_in_bounds"), jnp.sum(jacobian)
    )


def unfill(distribution: Any, value: Any, missing: Any) -> Any:
    """The unconstrained numbers of given missing values."""
    absent = jnp.isnan(value)
    places = _places(absent, missing.size)
    support = _element(distribution.support)
    if support is real:
        return missing
    return (
        biject_to(support)
        .inv(jnp.where(absent, _put(missing, absent, places), support.feasible_like(jnp.asarray(value))))
        .ravel()[places]
    )


def without_nan(distribution: Any, value: Any, counted: Any) -> Any:
    """The value with something harmless where it does not count, so that no NaN reaches a gradient."""
    counted = jnp.reshape(counted, (*jnp.shape(counted), *(1,) * len(distribution.event_shape)))
    return jnp.where(counted, value, distribution.support.feasible_like(jnp.asarray(value, jnp.float64)))


def _places(absent: Any, count: int) -> Any:
    """The places that are absent, in order."""
    return jnp.argsort(~absent.ravel(), stable=True)[:count]


@jax.custom_vjp
def _put(numbers: Any, absent: Any, places: Any) -> Any:
    """Numbers in the places that are absent, 0 elsewhere; its gradient is a gather, not a scatter."""
    order = jnp.clip(jnp.cumsum(absent.ravel()) - 1, 0, numbers.size - 1)
    chosen = numbers.at[order].get(mode="promise_in_bounds").reshape(absent.shape)
    return jnp.where(absent, chosen, 0.0)


def _put_forward(numbers: Any, absent: Any, places: Any) -> tuple[Any, Any]:
    return _put(numbers, absent, places), places


def _put_backward(places: Any, cotangent: Any) -> tuple[Any, None, None]:
    return cotangent.ravel().at[places].get(mode="promise_in_bounds"), None, None


_put.defvjp(_put_forward, _put_backward)
