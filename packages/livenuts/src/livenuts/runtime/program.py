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

from livenuts.compiler.native import compile_native, compile_usual
from livenuts.compiler.programs import equations
from livenuts.compiler.x64 import x64
from livenuts.kernel.metric import Metric
from livenuts.runtime.iteration import STATISTICS, Buffers, Chain, Controls, new_chain, run

# Operations that the single-function emitter does not know.
_FOREIGN = re.compile(
    "scatter.*|sort|top_k|conv_general_dilated|fft|.*callback|ffi_call|custom_call|cholesky|triangular_solve|lu|qr"
    "|eigh?|svd|schur|householder_product|geqrf|ormqr|tridiagonal.*"
)
# Above this many bytes of data and constants the usual form, which may use several cores, is as fast.
_NATIVE_BYTES = 512 * 1024
# Numbers in the largest block of a metric's directions, up to which XLA was seen to emit one function.
_NATIVE_METRIC_SIZE = 256 * 256
# One call's output: rows are draws, so a message is never more than this many bytes away.
_BUFFER_BYTES = 4 * 2**20
_MOST_ROWS, _FEWEST_ROWS = 2048, 8
# Gradients are wanted in warm-up alone, which goes by short steps.
_MOST_GRADIENTS = 256


def is_native(closed: ClosedJaxpr, num_bytes: int) -> bool:
    """Whether the loop around this log density and gradient is to be one native function: a static rule."""
    if num_bytes > _NATIVE_BYTES or jax.default_backend() != "cpu":
        return False
    names = {equation.primitive.name for equation in equations(closed.jaxpr)}
    return not any(_FOREIGN.fullmatch(name) for name in names)


def calls_host(closed: ClosedJaxpr) -> bool:
    """Whether the log density runs code outside of XLA, which may raise."""
    names = {equation.primitive.name for equation in equations(closed.jaxpr)}
    return any("callback" in name or name == "ffi_call" for name in names)


@dataclass(frozen=True)
class Program:
    """Compiled code for one model structure, one shape of data, one kind of metric."""

    dimension: int
    rows: int
    """The most draws one call can make."""
    gradient_rows: int
    """The most draws one call can make whose gradients are wanted."""
    native: bool
    step: Callable[..., tuple[jax.Array, jax.Array, Buffers]]
    """(data, matrix, vector, key, controls) -> (matrix, vector, buffers)"""
    pack: Callable[[Chain], tuple[Any, Any]]
    unpack: Callable[[Any, Any], Chain]


def build_program(
    closed: ClosedJaxpr, data: Any, dimension: int, metric: Metric, depth_limit: int, width: int
) -> Program:
    """Trace and compile the sampling loop around a traced (data, position) -> (log density, gradient).

    `metric` is any metric of the kind and shape that the chains will have.
    """
    rows = max(_FEWEST_ROWS, min(_MOST_ROWS, _BUFFER_BYTES // (8 * width)))
    gradient_rows = min(rows, _MOST_GRADIENTS)
    evaluate = jaxpr_as_fun(closed)
    template = new_chain(np.zeros(dimension), metric)
    pack, unpack = packing(template, dimension)

    def call(data: Any, matrix: jax.Array, vector: jax.Array, key: jax.Array, numbers: jax.Array) -> Any:
        controls = Controls(*(numbers[place].astype(leaf.dtype) for place, leaf in enumerate(controls_shape())))
        leaves = jax.tree.leaves(data)

        def log_density_and_gradient(position: jax.Array) -> tuple[jax.Array, jax.Array]:
            value, gradient = evaluate(*leaves, position)
            return value, gradient

        heights = (rows, dimension), (rows, len(STATISTICS)), (gradient_rows, dimension)
        buffers = Buffers(*(jnp.zeros(shape) for shape in heights))
        chain = unpack(matrix, vector)
        chain, buffers = run(log_density_and_gradient, depth_limit, chain, key, controls, buffers)
        return *pack(chain), buffers

    num_bytes = sum(leaf.nbytes for leaf in [*jax.tree.leaves(data), *closed.consts])
    metric_size = max(np.size(leaf) for leaf in jax.tree.leaves(metric))
    with x64():
        arguments = (data, *pack(template), np.uint64(0), np.array(controls_shape(), np.float64))
        suitable = is_native(closed, num_bytes) and metric_size <= _NATIVE_METRIC_SIZE
        step = compile_native(call, arguments) if suitable else None
        native = step is not None
        if step is None:
            step = compile_usual(call, arguments)

    def made(data: Any, matrix: Any, vector: Any, key: Any, controls: Controls) -> Any:
        return step(data, matrix, vector, key, np.array(controls, np.float64))

    return Program(dimension, rows, gradient_rows, native, made, pack, unpack)


def controls_shape() -> Controls:
    """Controls of the right types, to trace with."""
    zero = np.int64(0)
    return Controls(zero, zero, np.bool_(False), zero, np.float64(0.8))


def packing(template: Chain, dimension: int) -> tuple[Callable[[Chain], Any], Callable[[Any, Any], Chain]]:
    """Functions from a chain to a float64 matrix (rows of `dimension`) and a vector of everything else, and back."""
    leaves, structure = jax.tree.flatten(template)
    in_matrix = [leaf.ndim > 0 and leaf.shape[-1] == dimension for leaf in leaves]

    def pack(chain: Chain) -> tuple[Any, Any]:
        values = jax.tree.leaves(chain)
        xp = jnp if any(isinstance(value, jax.Array) for value in values) else np
        pairs = list(zip(values, in_matrix, strict=True))
        matrix = [value.reshape(-1, dimension) for value, inside in pairs if inside]
        vector = [value.astype(np.float64).reshape(-1) for value, inside in pairs if not inside]
        return xp.concatenate(matrix), xp.concatenate(vector)

    def unpack(matrix: Any, vector: Any) -> Chain:
        values, row, place = [], 0, 0
        for leaf, inside in zip(leaves, in_matrix, strict=True):
            if inside:
                height = leaf.size // dimension
                values.append(matrix[row : row + height].reshape(leaf.shape))
                row += height
            else:
                values.append(vector[place : place + leaf.size].reshape(leaf.shape).astype(leaf.dtype))
                place += leaf.size
        chain: Chain = jax.tree.unflatten(structure, values)
        return chain

    return pack, unpack
