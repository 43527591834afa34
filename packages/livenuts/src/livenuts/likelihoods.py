"""The log likelihood of every observation at every draw."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from livenuts.compiler.frames import prepare
from livenuts.compiler.portable import from_plain
from livenuts.compiler.target import Bound, compile_model
from livenuts.compiler.x64 import x64
from livenuts.result import Result


class _Given:
    """The frame whose variables are known; it keeps what each observation is worth."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values
        self.found: dict[str, Any] = {}

    def rv(self, name: str, *_: Any, **__: Any) -> Any:
        return self._values[name]

    def obs(self, name: str, distribution: Any, value: Any, weights: Any = None, mask: Any = None) -> Any:
        if value is None:
            return self._values[name]
        made = prepare("obs", name, distribution, None)
        terms = made.log_prob(value)
        counted = jnp.ones(jnp.shape(terms), bool)
        if hasattr(made, "_mask"):
            counted = jnp.broadcast_to(jnp.asarray(made._mask, bool), jnp.shape(terms))
        else:
            terms = jnp.where(made.support(value), terms, -jnp.inf)
        if mask is not None:
            counted = counted & jnp.asarray(mask, bool)
        missing = jnp.isnan(jnp.asarray(value, float))
        if made.event_dim:
            missing = missing.any(axis=tuple(range(-made.event_dim, 0)))
        terms = terms if weights is None else weights * terms
        self.found[name] = jnp.where(counted & ~missing, terms, jnp.nan)
        return value

    def det(self, name: str, value: Any, dims: Any) -> Any:
        return value

    def factor(self, name: str, value: Any) -> None:
        pass


def log_likelihood(result: Result, model: Any = None) -> dict[str, np.ndarray]:
    """The log likelihood of each observation, by the name of the `obs`: (chain, draw, *shape).

    `shape` is that of independent observations: a vector that has one multivariate density is one of them. Observations
    that are masked or missing are NaN. A `factor` is no observation, and is left out.

    The model is that of the result; one that a result cannot rebuild, or the same model with other data, is given as
    `model`.
    """
    bound = _bound(result, model)
    names = [variable.name for variable in bound.target.variables]
    if missing := [name for name in names if name not in result.draws]:
        raise ValueError(f"log_likelihood: the model has {missing[0]!r}, and the result's draws have not")
    shape = result.num_chains, result.num_draws
    values = {name: result.draws[name].reshape(-1, *result.draws[name].shape[2:]) for name in names}
    for variable in bound.target.variables:
        if values[variable.name].shape[1:] != variable.shape:
            raise ValueError(
                f"log_likelihood: {variable.name!r} has shape {variable.shape} in the model and "
                f"{values[variable.name].shape[1:]} in the result"
            )

    def one(data: Any, row: dict[str, Any]) -> dict[str, Any]:
        frame = _Given(row)
        bound.description.statements(frame, data)
        return frame.found

    with x64():
        found = jax.jit(lambda data, rows: jax.lax.map(lambda row: one(data, row), rows))(bound.data, values)
        terms = {name: np.asarray(term) for name, term in found.items()}
    if not terms:
        raise ValueError(
            f"model {result.model!r} has no observation of its own (`obs`): a factor or a log density has no points"
        )
    return {name: term.reshape(*shape, *term.shape[1:]) for name, term in terms.items()}


def _bound(result: Result, model: Any) -> Bound:
    if model is None:
        model = None if result.continuation is None else result.continuation.model
    if model is None:
        raise ValueError("the result cannot rebuild its model: give it, model=...")
    return compile_model(from_plain(model) if isinstance(model, dict) else model)
