"""The compiled program of a model: a chunk of draws in one call.

A chain's state crosses the call packed into one matrix and one vector: a call with few arguments costs a quarter
less. Whether the loop becomes one native function follows from the traced program alone: see `is_native`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun

from livenuts.adaptation.estimators import ESTIMATORS
from livenuts.compiler.native import compile_native, compile_usual, equations
from livenuts.compiler.x64 import x64
from livenuts.runtime.iteration import MAX_WINDOWS, STATISTICS, Chain, Controls, new_chain, run

# Operations that the single-function emitter does not know.
_FOREIGN = re.compile(
    "scatter.*|sort|top_k|conv_general_dilated|fft|.*callback|ffi_call|custom_call|cholesky|triangular_solve|lu|qr"
    "|eigh?|svd|schur|householder_product|geqrf|ormqr|tridiagonal.*"
)
# Above this many bytes of data and constants the usual form, which may use several cores, is as fast.
_NATIVE_BYTES = 512 * 1024
# XLA splits operations on larger matrices over threads, which the single-function emitter cannot.
_NATIVE_DENSE_DIMENSION = 64
# One call's output: rows are draws, so a message is never more than this many bytes away.
_BUFFER_BYTES = 4 * 2**20
_MOST_ROWS, _FEWEST_ROWS = 2048, 8


def is_native(closed: ClosedJaxpr, num_bytes: int) -> bool:
    """Whether the loop around this log density and gradient is to be one native function: a static rule."""
    if num_bytes > _NATIVE_BYTES or jax.default_backend() != "cpu":
        return False
    names = {equation.primitive.name for equation in equations(closed.jaxpr)}
    return not any(_FOREIGN.fullmatch(name) for name in names)


@dataclass(frozen=True)
class Program:
    """Compiled code for one model structure, one shape of data, one kind of metric."""

    dimension: int
    rows: int
    """The most draws one call can make."""
    native: bool
    step: Callable[..., tuple[jax.Array, jax.Array, jax.Array, jax.Array]]
    """(data, matrix, vector, key, controls) -> (matrix, vector, positions, statistics)"""
    pack: Callable[[Chain], tuple[Any, Any]]
    unpack: Callable[[Any, Any], Chain]


def build_program(closed: ClosedJaxpr, data: Any, dimension: int, metric: str, depth_limit: int, width: int) -> Program:
    """Trace and compile the sampling loop around a traced (data, position) -> (log density, gradient)."""
    estimator = ESTIMATORS[metric]
    rows = max(_FEWEST_ROWS, min(_MOST_ROWS, _BUFFER_BYTES // (8 * width)))
    evaluate = jaxpr_as_fun(closed)
    template = new_chain(np.zeros(dimension), estimator)
    pack, unpack = packing(template, dimension)

    def call(data: Any, matrix: jax.Array, vector: jax.Array, key: jax.Array, controls: Controls) -> Any:
        leaves = jax.tree.leaves(data)

        def log_density_and_gradient(position: jax.Array) -> tuple[jax.Array, jax.Array]:
            value, gradient = evaluate(*leaves, position)
            return value, gradient

        chain = unpack(matrix, vector)
        positions, statistics = jnp.zeros((rows, dimension)), jnp.zeros((rows, len(STATISTICS)))
        chain, positions, statistics = run(
            log_density_and_gradient, estimator, depth_limit, chain, key, controls, positions, statistics
        )
        return *pack(chain), positions, statistics

    num_bytes = sum(leaf.nbytes for leaf in [*jax.tree.leaves(data), *closed.consts])
    with x64():
        arguments = (data, *pack(template), np.uint64(0), controls_shape())
        suitable = is_native(closed, num_bytes) and (metric != "dense" or dimension <= _NATIVE_DENSE_DIMENSION)
        step = compile_native(call, arguments) if suitable else None
        native = step is not None
        if step is None:
            step = compile_usual(call, arguments)
    return Program(dimension, rows, native, step, pack, unpack)


def controls_shape() -> Controls:
    """Controls of the right types, to trace with."""
    zero = np.int64(0)
    return Controls(zero, zero, zero, np.float64(0.8), zero, zero, np.full(MAX_WINDOWS, -1, np.int64))


def packing(template: Chain, dimension: int) -> tuple[Callable[[Chain], Any], Callable[[Any, Any], Chain]]:
    """Functions from a chain to a float64 matrix (rows of `dimension`) and a vector of scalars, and back."""
    leaves, structure = jax.tree.flatten(template)

    def pack(chain: Chain) -> tuple[Any, Any]:
        values = jax.tree.leaves(chain)
        xp = jnp if any(isinstance(value, jax.Array) for value in values) else np
        matrix = [value.reshape(-1, dimension) for value in values if value.ndim]
        scalars = [value.astype(np.float64) for value in values if not value.ndim]
        return xp.concatenate(matrix), xp.stack(scalars)

    def unpack(matrix: Any, vector: Any) -> Chain:
        values, row, scalar = [], 0, 0
        for leaf in leaves:
            if leaf.ndim:
                height = leaf.size // dimension
                values.append(matrix[row : row + height].reshape(leaf.shape))
                row += height
            else:
                values.append(vector[scalar].astype(leaf.dtype))
                scalar += 1
        chain: Chain = jax.tree.unflatten(structure, values)
        return chain

    return pack, unpack
