"""What a model says before data and after: draws of its observations from the prior and from the posterior."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.distributions.distribution import ExpandedDistribution, Independent

from livenuts.compiler.describe import Description, describe
from livenuts.compiler.frames import prepare
from livenuts.compiler.x64 import x64
from livenuts.result import Result
from livenuts.runtime.settings import entropy


class Generation:
    """The frame that draws every statement: variables where they are not given, and all observations."""

    def __init__(self, key: Any, given: Mapping[str, Any]) -> None:
        self._key = key
        self._given = given
        self.variables: dict[str, Any] = {}
        """Variables and deterministics."""
        self.drawn: dict[str, Any] = {}
        """Observations, and variables that were not given."""

    def _draw(self, name: str, distribution: Any) -> Any:
        # A key of the name's own: a statement more does not change the draws of the others.
        key = jax.random.fold_in(self._key, np.uint32(zlib.crc32(name.encode())))
        try:
            return jnp.asarray(distribution.sample(key))
        except NotImplementedError as error:
            while isinstance(distribution, (ExpandedDistribution, Independent)):
                distribution = distribution.base_dist
            raise NotImplementedError(f"{name!r}: {type(distribution).__name__} has no sampler: {error}") from error

    def rv(
        self,
        name: str,
        distribution: Any,
        shape: tuple[int, ...] | None,
        dims: tuple[str, ...] | None,
        reparam: str | None = None,
    ) -> Any:
        made = prepare("rv", name, distribution, shape)
        if name not in self._given:
            self.variables[name] = self.drawn[name] = self._draw(name, made)
            return self.variables[name]
        value = self._given[name]
        expected = tuple(made.batch_shape) + tuple(made.event_shape)
        if value.shape != expected:
            raise ValueError(f"rv {name!r} has shape {expected} in the model, and {value.shape} in the result's draws")
        self.variables[name] = value
        return value

    def obs(self, name: str, distribution: Any, value: Any, weights: Any = None, mask: Any = None) -> Any:
        made = prepare("obs", name, distribution, None)
        batch = tuple(made.batch_shape)
        if value is not None:
            shape = jnp.shape(value)[: jnp.ndim(value) - len(made.event_shape)]
            try:
                wanted = tuple(np.broadcast_shapes(batch, shape))
            except ValueError:  # new covariates, and the observations of the old ones
                wanted = batch
            made = made if wanted == batch else made.expand(wanted)
        self.drawn[name] = self._draw(name, made)
        return self.drawn[name]

    def det(self, name: str, value: Any, dims: tuple[str, ...] | None) -> Any:
        self.variables[name] = jnp.asarray(value)
        return value

    def factor(self, name: str, value: Any) -> None:
        pass


def posterior_predictive(
    result: Result, model: Any, *, seed: int | None = None, names: Iterable[str] | str | None = None
) -> dict[str, np.ndarray]:
    """Replications of the observations, one a posterior draw: each (chain, draw, *shape).

    `model` is the one that was sampled, or the same with new covariates: `model.with_data(x=new)`, or a model
    function called with them and None for what is to be predicted. Variables of the result keep their draws;
    deterministics are computed anew. What the result does not have is drawn from the model: observations, and variables
    of new groups. `names` may be those of deterministics, too; the default is all that is drawn. What is missing in
    the data is replicated as what is not.
    """
    description = describe(model)
    given = {name: draws.reshape(-1, *draws.shape[2:]) for name, draws in result.draws.items()}
    found = _generate(description, given, result.num_chains * result.num_draws, seed, names)
    return {name: draws.reshape(result.num_chains, result.num_draws, *draws.shape[1:]) for name, draws in found.items()}


def prior_predictive(
    model: Any, num_samples: int = 1000, *, seed: int | None = None, names: Iterable[str] | str | None = None
) -> dict[str, np.ndarray]:
    """Draws of everything from the prior: variables, deterministics and observations, each (num_samples, *shape)."""
    if not isinstance(num_samples, int) or num_samples < 1:
        raise ValueError(f"num_samples must be a positive integer, got {num_samples!r}")
    return _generate(describe(model), {}, num_samples, seed, names)


def _generate(
    description: Description,
    given: Mapping[str, np.ndarray],
    count: int,
    seed: int | None,
    names: Iterable[str] | str | None,
) -> dict[str, np.ndarray]:
    wanted = None if names is None else [names] if isinstance(names, str) else list(names)

    def one(data: Any, key: Any, values: Any) -> dict[str, Any]:
        frame = Generation(key, values)
        description.statements(frame, data)
        everything = frame.variables | frame.drawn
        if wanted is None:
            return frame.drawn if given else everything
        unknown = [name for name in wanted if name not in everything]
        if unknown:
            raise ValueError(f"no {unknown[0]!r} in model {description.name!r}; it has {', '.join(everything)}")
        return {name: everything[name] for name in wanted}

    with x64():
        keys = jax.random.split(jax.random.key(entropy(seed)), count)
        many = jax.jit(jax.vmap(one, in_axes=(None, 0, 0)))
        found = many(description.data, keys, dict(given))
        return {name: np.asarray(draws) for name, draws in found.items()}
