"""From model data to JAX values: expressions to arrays, distributions to NumPyro's."""

import operator
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from livenuts.compiler import kernels, odes
from livenuts.model.distributions import Distribution, families
from livenuts.model.expressions import FUNCTIONS, Call, Constant, Ref

_SPECIAL: dict[str, Callable[..., Any]] = {
    **kernels.TABLE,
    **odes.TABLE,
    "apply": lambda function, *arguments: function(*arguments),
    "sigmoid": jax.nn.sigmoid,
    "softmax": jax.nn.softmax,
    "softplus": jax.nn.softplus,
    "expit": jax.scipy.special.expit,
    "gammaln": jax.scipy.special.gammaln,
    "logit": jax.scipy.special.logit,
    "logsumexp": jax.scipy.special.logsumexp,
    "equal": jnp.equal,
    "not_equal": jnp.not_equal,
    "neg": operator.neg,
    "getitem": operator.getitem,
}
_OPERATORS = ("add", "sub", "mul", "truediv", "pow", "matmul", "mod", "lt", "le", "gt", "ge")
_CALLS: dict[str, Callable[..., Any]] = {
    **{name: getattr(operator, name) for name in _OPERATORS},
    **{name: getattr(jnp, name) for name in FUNCTIONS if name not in _SPECIAL},
    **_SPECIAL,
}


def evaluate(value: Any, environment: Mapping[str, Any]) -> Any:
    """The value of an expression, given those of the variables and data that it may refer to."""
    if isinstance(value, Ref):
        return environment[value.name]
    if isinstance(value, Constant):
        return jnp.asarray(value.value)
    if isinstance(value, Call):
        arguments = [evaluate(argument, environment) for argument in value.arguments]
        options = {name: evaluate(option, environment) for name, option in value.options}
        return _CALLS[value.function](*arguments, **options)
    if isinstance(value, Distribution):
        return materialize(value, environment)
    if isinstance(value, tuple):
        return tuple(evaluate(part, environment) for part in value)
    return value


def materialize(distribution: Any, environment: Mapping[str, Any]) -> Any:
    """The NumPyro distribution that a `Distribution` describes; any other object is taken to be one already."""
    if not isinstance(distribution, Distribution):
        return distribution
    parameters = {name: evaluate(value, environment) for name, value in distribution.parameters}
    family = families()[distribution.family]
    if isinstance(parameters.get("component_distributions"), tuple):
        parameters["component_distributions"] = list(parameters["component_distributions"])
    return family(**parameters, validate_args=False)


def numeric(name: str) -> Callable[..., Any]:
    """The JAX function behind an expression's function."""
    return _CALLS[name]
