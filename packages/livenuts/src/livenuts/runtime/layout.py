"""Trees of arrays as flat vectors of float64: what crosses a call, travels, and is kept."""

from math import prod
from typing import Any, Generic, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

T = TypeVar("T")


class Layout(Generic[T]):
    """Where the leaves of a tree lie in its vector; integers up to 2^53 keep every bit there."""

    def __init__(self, template: T) -> None:
        leaves, self._structure = jax.tree.flatten(template)
        self._parts = []
        start = 0
        for leaf in leaves:
            end = start + prod(leaf.shape)
            self._parts.append((start, end, leaf.shape, leaf.dtype))
            start = end
        self.size = start

    def pack(self, tree: T) -> Any:
        """The vector of a tree: NumPy's for a tree of NumPy's arrays and numbers."""
        leaves = jax.tree.leaves(tree)
        xp: Any = jnp if any(isinstance(leaf, jax.Array) for leaf in leaves) else np
        return xp.concatenate([xp.reshape(leaf, -1).astype(np.float64) for leaf in leaves])

    def unpack(self, vector: jax.Array) -> T:
        """The tree, its leaves in their types; to be traced."""
        leaves = [vector[start:end].reshape(shape).astype(dtype) for start, end, shape, dtype in self._parts]
        tree: T = jax.tree.unflatten(self._structure, leaves)
        return tree

    def view(self, vector: np.ndarray) -> T:
        """The tree as views of a NumPy vector, all float64: what is written to them is written to it."""
        leaves = [vector[start:end].reshape(shape) for start, end, shape, _ in self._parts]
        tree: T = jax.tree.unflatten(self._structure, leaves)
        return tree
