"""Neighbours on a map."""

import math
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular
from numpyro.distributions import Distribution, constraints


class ICAR(Distribution):  # type: ignore[misc]
    """Intrinsic conditional autoregression on a connected graph, its values summing to 0.

    The density is that of exp(-sum over neighbours of (x_i - x_j)^2 / (2 scale^2)) on the vectors of sum 0, where
    it is proper, normalised included: covariance scale^2 times the pseudo-inverse of the graph's Laplacian. Besag,
    York and Mollié 1991; the constraint is exact, not a narrow prior.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {"scale": constraints.positive}
    pytree_data_fields = ("scale", "adjacency", "_factor")

    def __init__(self, scale: Any = 1.0, adjacency: Any = None, *, validate_args: bool | None = None) -> None:
        shape = jnp.shape(adjacency)
        if len(shape) != 2 or shape[0] != shape[1] or shape[0] < 2:
            raise ValueError(f"ICAR: adjacency must be a square matrix of 0 and 1, got shape {shape}")
        if not isinstance(adjacency, jax.core.Tracer):
            _check(np.asarray(adjacency))
        self.scale, self.adjacency = scale, adjacency
        # The Laplacian has one null direction, the constant; with it filled in, it is positive definite.
        weights = jnp.asarray(adjacency, float)
        laplacian = jnp.diag(weights.sum(axis=0)) - weights
        self._factor = jnp.linalg.cholesky(laplacian + 1.0 / shape[0])
        super().__init__(jnp.shape(scale), shape[:1], validate_args=validate_args)

    @constraints.dependent_property(is_discrete=False, event_dim=1)  # type: ignore[untyped-decorator]
    def support(self) -> Any:
        return constraints.zero_sum(1)

    def log_prob(self, value: Any) -> Any:
        rank = self.event_shape[0] - 1
        squares = jnp.sum((value @ self._factor) ** 2, axis=-1) / jnp.square(self.scale)
        determinant = 2.0 * jnp.sum(jnp.log(jnp.diagonal(self._factor)))
        return 0.5 * (determinant - squares - rank * math.log(2.0 * math.pi)) - rank * jnp.log(self.scale)

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Any:
        z = jax.random.normal(key, (*sample_shape, *self.batch_shape, *self.event_shape))
        x = solve_triangular(jnp.broadcast_to(self._factor, (*z.shape, z.shape[-1])), z[..., None], trans=1, lower=True)
        x = x[..., 0] - x[..., 0].mean(axis=-1, keepdims=True)
        return jnp.asarray(self.scale)[..., None] * x

    @property
    def mean(self) -> Any:
        return jnp.zeros((*self.batch_shape, *self.event_shape))


def _check(adjacency: np.ndarray) -> None:
    if not np.isin(adjacency, (0, 1)).all() or (adjacency != adjacency.T).any() or np.diagonal(adjacency).any():
        raise ValueError("ICAR: adjacency must be symmetric, of 0 and 1, with 0 on its diagonal")
    reached, waiting = {0}, [0]
    while waiting:
        new = set(np.flatnonzero(adjacency[waiting.pop()]).tolist()) - reached
        reached |= new
        waiting += sorted(new)
    if len(reached) < len(adjacency):
        apart = min(set(range(len(adjacency))) - reached)
        raise ValueError(f"ICAR: the graph must be connected, but no path leads from node 0 to node {apart}")
