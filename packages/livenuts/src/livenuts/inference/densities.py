"""A model's log density and gradient at many positions at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import jaxpr_as_fun

from livenuts.compiler.native import compile_native, compile_usual
from livenuts.compiler.target import Bound, compile_constrain
from livenuts.compiler.x64 import x64
from livenuts.inference.options import generator
from livenuts.runtime.moves import StartError
from livenuts.runtime.program import is_native

# Positions of one call, and the most numbers in its largest array.
_MOST_ROWS, _MOST_NUMBERS = 1024, 2**19
_START_TRIES = 100


@dataclass(frozen=True)
class _Programs:
    rows: int
    evaluate: Callable[..., Any]
    constrain: Callable[..., dict[str, jax.Array]]


class Densities:
    """The log density, its gradient, and the way to named values, of a bound model.

    Positions are taken one by one inside a compiled loop, so a position's bits do not depend on its company.
    """

    def __init__(self, bound: Bound) -> None:
        self.bound = bound
        self.dimension = bound.target.dimension
        self._programs = _compile(bound)

    def __call__(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Log densities (n,) and gradients (n, dimension) at positions (n, dimension), on the unconstrained scale."""
        values, gradients = np.empty(len(positions)), np.empty(positions.shape)
        with x64():
            for place, buffer, count in _chunks(positions, self._programs.rows):
                found = self._programs.evaluate(self.bound.prepared, buffer, np.int64(count))
                values[place : place + count], gradients[place : place + count] = (np.asarray(a)[:count] for a in found)
        return values, gradients

    def constrain(self, positions: np.ndarray) -> dict[str, np.ndarray]:
        """Variables and deterministics at positions (n, dimension), each (n, *shape)."""
        shapes = {item.name: item.shape for item in self.bound.target.outputs}
        found = {name: np.empty((len(positions), *shape)) for name, shape in shapes.items()}
        with x64():
            for place, buffer, count in _chunks(positions, self._programs.rows):
                made = self._programs.constrain(self.bound.data, buffer, np.int64(count))
                for name, values in found.items():
                    values[place : place + count] = np.asarray(made[name])[:count]
        return found

    def start(self, given: dict[str, Any], seed: int, index: int) -> np.ndarray:
        """A position with a finite log density and gradient: `sample`'s rule for chain `index`.

        The model's own position, where it has one, is the first one's; others start within 1 of it.
        """
        target, own = self.bound.target, self.bound.description.start
        random = generator(seed, index, "start")
        fixed = set(given) >= {variable.name for variable in target.variables}
        for attempt in range(_START_TRIES):
            if own is None:
                position = random.uniform(-2.0, 2.0, self.dimension)
            else:
                position = own if index == attempt == 0 else own + random.uniform(-1.0, 1.0, self.dimension)
            if given:
                position = target.unconstrain(self.bound.data, position, given)
            value, gradient = self(position[None])
            if np.isfinite(value).all() and np.isfinite(gradient).all():
                return np.asarray(position, float)
            if fixed:
                break
        reasons = "; ".join(target.suspects(self.bound.data, position)) or "the log density is not finite"
        tries = "the starting position" if fixed else f"any of {_START_TRIES} random starting positions"
        raise StartError(f"no finite log density and gradient at {tries}: {reasons}. Give init= a position")


def _chunks(positions: np.ndarray, rows: int) -> Any:
    """Places, buffers of `rows` rows, and how many rows of each count."""
    for place in range(0, len(positions), rows):
        chunk = positions[place : place + rows]
        buffer = np.zeros((rows, positions.shape[1]))
        buffer[: len(chunk)] = chunk
        yield place, buffer, len(chunk)


def _compile(bound: Bound) -> _Programs:
    """Compile for this model and shape of data, or take what was compiled before."""
    target, key = bound.target, ("densities", bound.shapes)
    with target.lock:
        if key not in target.programs:
            target.programs[key] = _compiled(bound)
        programs: _Programs = target.programs[key]
    return programs


def _compiled(bound: Bound) -> _Programs:
    dimension = bound.target.dimension
    rows = max(1, min(_MOST_ROWS, _MOST_NUMBERS // bound.target.width()))
    one = jaxpr_as_fun(bound.closed)

    def evaluate(data: Any, positions: jax.Array, count: jax.Array) -> Any:
        leaves = jax.tree.leaves(data)

        def step(row: Any, found: Any) -> Any:
            value, gradient = one(*leaves, positions[row])
            values, gradients = found
            update = jax.lax.dynamic_update_index_in_dim
            return update(values, value, row, 0), update(gradients, gradient, row, 0)

        return jax.lax.fori_loop(0, count, step, (jnp.zeros(rows), jnp.zeros((rows, dimension))))

    arguments = (bound.prepared, np.zeros((rows, dimension)), np.int64(0))
    num_bytes = sum(leaf.nbytes for leaf in [*jax.tree.leaves(bound.prepared), *bound.closed.consts])
    with x64():
        native = compile_native(evaluate, arguments) if is_native(bound.closed, num_bytes) else None
        compiled = native or compile_usual(evaluate, arguments)
    return _Programs(rows, compiled, compile_constrain(bound.target, bound.data, rows, dimension))
