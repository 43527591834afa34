"""The compiled program of a model: a chunk of draws of one chain, or of several in turn, in one call.

A call costs what a tiny model takes for dozens of draws, so such a model's chains share calls; and whatever crosses it
is packed into few arrays. Whether the loop becomes one native function follows from the traced program alone: see
`is_native`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun

from livenuts.compiler.native import compile_native, compile_usual
from livenuts.compiler.programs import equations
from livenuts.compiler.x64 import x64
from livenuts.kernel.metric import Metric
from livenuts.kernel.tree import make_room
from livenuts.runtime.iteration import Chain, Controls, new_chain, run, width
from livenuts.runtime.layout import Layout

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
# The most chains of a call, and how many numbers their states and metrics may have together.
_MOST_SLOTS, _SLOT_NUMBERS = 8, 2**15


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
    """The most draws one call can make, over all its chains."""
    slots: int
    """The most chains of one call."""
    native: bool
    step: Callable[..., Any]
    """(data, states, metrics, keys, controls, chains, draws) -> (states, record): see `call` below."""
    chain: Layout[Chain]
    metric: Layout[Any]


def build_program(
    closed: ClosedJaxpr, data: Any, dimension: int, metric: Metric, depth_limit: int, num_outputs: int
) -> Program:
    """Trace and compile the sampling loop around a traced (data, position) -> (log density, gradient).

    `metric` is any metric of the kind and shape that the chains will have; `num_outputs` counts the numbers of a draw
    in the model's own terms.
    """
    rows = max(_FEWEST_ROWS, min(_MOST_ROWS, _BUFFER_BYTES // (8 * max(num_outputs, width(dimension)))))
    evaluate = jaxpr_as_fun(closed)
    chain_layout, metric_layout = Layout(new_chain(np.zeros(dimension))), Layout(metric)
    slots = max(1, min(_MOST_SLOTS, _SLOT_NUMBERS // (chain_layout.size + metric_layout.size)))

    def call(data: Any, states: jax.Array, metrics: jax.Array, keys: jax.Array, numbers: jax.Array) -> Any:
        """The states (slot, number) of the first chains after their draws, and the record of these.

        Every chain has the same number of rows in the record (row, number), one chain's after the other's.
        """
        controls = Controls(*(numbers[place].astype(leaf.dtype) for place, leaf in enumerate(some_controls())))
        chains, draws = (numbers[place].astype(jnp.int64) for place in (-2, -1))
        leaves = jax.tree.leaves(data)

        def log_density_and_gradient(position: jax.Array) -> tuple[jax.Array, jax.Array]:
            value, gradient = evaluate(*leaves, position)
            return value, gradient

        def advance(slot: jax.Array, carry: Any) -> Any:
            states, record, room = carry
            chain, record, room = run(
                log_density_and_gradient,
                metric_layout.unpack(metrics[slot]),
                chain_layout.unpack(states[slot]),
                keys[slot],
                controls,
                record,
                slot * draws,
                room,
            )
            states = lax.dynamic_update_index_in_dim(states, chain_layout.pack(chain), slot, 0)
            return states, record, room

        start = states, jnp.zeros((rows, width(dimension))), make_room(depth_limit, dimension)
        states, record, _ = lax.fori_loop(jnp.int64(0), chains, advance, start)
        return states, record

    num_bytes = sum(leaf.nbytes for leaf in [*jax.tree.leaves(data), *closed.consts])
    metric_size = max(np.size(leaf) for leaf in jax.tree.leaves(metric))
    with x64():
        arguments = (
            data,
            np.zeros((slots, chain_layout.size)),
            np.zeros((slots, metric_layout.size)),
            np.zeros(slots, np.uint64),
            np.zeros(len(Controls._fields) + 2),
        )
        suitable = is_native(closed, num_bytes) and metric_size <= _NATIVE_METRIC_SIZE
        step = compile_native(call, arguments) if suitable else None
        native = step is not None
        if step is None:
            step = compile_usual(call, arguments)

    def made(data: Any, states: Any, metrics: Any, keys: Any, controls: Controls, chains: int, draws: int) -> Any:
        return step(data, states, metrics, keys, np.array([*controls, chains, draws], np.float64))

    return Program(dimension, rows, slots, native, made, chain_layout, metric_layout)


def some_controls() -> Controls:
    """Controls of the right types, to trace with."""
    zero = np.int64(0)
    return Controls(zero, zero, np.bool_(False), zero, np.float64(0.8))
