"""`chain_method="vectorized"`: all chains in one compiled program, on any JAX device.

Warm-up is the same as in threads, its lessons at fixed draws of all chains. All chains have one metric, from the
start on, so that moving them all is one product of matrices.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import jaxpr_as_fun

from livenuts.adaptation.warmup import Warmup, most_directions
from livenuts.compiler.native import compile_usual
from livenuts.compiler.target import Bound
from livenuts.compiler.x64 import x64
from livenuts.runtime.chain import ChainRun, Drawn
from livenuts.runtime.compiled import Compiled, make_metric, metric_vector, no_metric
from livenuts.runtime.iteration import NEVER, SEARCH, Chain, Controls, new_chain, width
from livenuts.runtime.layout import Layout
from livenuts.runtime.lockstep import Lane, new_lane, run
from livenuts.runtime.program import Program, some_controls
from livenuts.runtime.settings import Settings
from livenuts.runtime.warming import learn

# A call lasts about this long; what Python does with the draws of hundreds of chains is to be little beside it.
_CALL_SECONDS = 0.2
_FIRST_TRIPS = 64
# One call's output, over all chains.
_BUFFER_BYTES = 32 * 2**20
_MOST_ROWS, _FEWEST_ROWS = 256, 2
# Trees up to this depth share compiled code.
_DEPTH_LIMIT = 10


@dataclass
class Together(Compiled):
    """Compiled code for a fixed number of chains."""

    evaluate: Callable[..., Any] = lambda *_: None
    """(data leaves..., position) -> (log density, gradient)"""
    depth_limit: int = _DEPTH_LIMIT


def check(settings: Settings, **unsupported: Any) -> None:
    """Refuse what chains in one program cannot do."""
    for name, value in unsupported.items():
        if value is not None:
            raise ValueError(f"{name}= needs chain_method='threads': with 'vectorized' all chains are one program here")
    if settings.adaptation != "pooled":
        raise ValueError(
            f"chain_method='vectorized' gives all chains one metric: adaptation must be 'pooled', "
            f"got {settings.adaptation!r}"
        )


def make_chains(bound: Bound, settings: Settings, seed: int) -> list[ChainRun]:
    """The chains of a run; the data lie on the device."""
    with x64():
        data, prepared = jax.device_put((bound.data, bound.prepared))
        bound = bound._replace(description=bound.description._replace(data=data), prepared=prepared)
        compiled = _compile(bound, settings)
    return [ChainRun(k, bound, compiled, settings, seed, None) for k in range(settings.num_chains)]


def evaluate(chains: Sequence[ChainRun]) -> None:
    """Take density and gradient where chains stand; it counts as an iteration, as it does in a thread."""
    for chain in chains:
        assert isinstance(chain.compiled, Together)
        view = chain.view
        value, gradient = chain.compiled.evaluate(*jax.tree.leaves(chain.bound.prepared), view.state.position)
        view.state.log_density[...], view.state.gradient[...] = value, gradient
        view.iteration[...], view.mode[...] = 1, SEARCH


def run_together(chains: list[ChainRun], warmup: Warmup, stop: Callable[[], bool]) -> None:
    """Warm-up, lesson by lesson, then the draws, unless told to stop between two calls."""
    if chains[0].warmed is None and not warmup.is_warm:
        # The typical gradient at the chains' starts makes the first metric; a start far out does not count for more.
        typical = np.median([np.abs(chain.view.state.gradient) for chain in chains], axis=0)
        metric = metric_vector(warmup.first_metric(typical), chains[0].compiled.most_directions)
        for chain in chains:
            chain.metric = metric
    while chains[0].warmed is None:
        _advance(chains, warmup.until, stop)
        if not learn(chains, warmup):
            return
    _advance(chains, chains[0].total, stop)


def _advance(chains: Sequence[ChainRun], until: int, stop: Callable[[], bool]) -> None:
    """Make draws until every chain has `until`."""
    compiled, settings = chains[0].compiled, chains[0].settings
    assert isinstance(compiled, Together)
    warm, layout = chains[0].warmed is None, compiled.program.chain
    step, data, metric = compiled.program.step, chains[0].bound.prepared, chains[0].metric
    states = np.array([chain.state for chain in chains])
    lanes = jax.vmap(lambda state: new_lane(layout.unpack(state), compiled.depth_limit))(states)
    keys = np.array([chain.key for chain in chains])
    controls = Controls(
        until=np.int64(until),
        until_iteration=np.int64(NEVER),
        adapting=np.bool_(warm),
        max_depth=np.int64(settings.max_tree_depth),
        target_accept=np.float64(settings.target_accept),
    )
    trips = _FIRST_TRIPS
    while any(chain.made < until for chain in chains) and not stop():
        began = time.perf_counter()
        made, lanes, states, record = step(data, metric, lanes, keys, controls, np.int64(trips))
        per_trip = max((time.perf_counter() - began) / max(int(made), 1), 1e-7)
        trips = max(1, min(int(_CALL_SECONDS / per_trip), 8 * trips))
        _hand_out(chains, np.array(states), record, warm)
        elapsed = time.perf_counter() - began
        for chain in chains:
            chain.seconds["warmup" if warm else "sampling"] += elapsed


def _hand_out(chains: Sequence[ChainRun], states: np.ndarray, record: Any, warm: bool) -> None:
    """Give every chain the draws that it made, and its state.

    That is the state of its last draw: what its lane has of a tree beyond it is made again if the run ends here.
    """
    layout = chains[0].compiled.program.chain
    counts = [int(layout.view(state).draw) - chain.made for chain, state in zip(chains, states, strict=True)]
    most = max(counts)
    values: dict[str, np.ndarray] = {}
    if chains[0].sink is not None or not warm:
        made = chains[0].compiled.constrain(chains[0].bound.data, record, np.int64(most))
        values = {name: np.asarray(made[name])[:most] for name in chains[0].draws}
    rows = np.asarray(record)[:most]
    for k, (chain, count) in enumerate(zip(chains, counts, strict=True)):
        if count:
            own = {name: block[:count, k].copy() for name, block in values.items()}
            chain.take(own, Drawn(states[k], rows[:count, k]))
        else:
            chain.state = states[k]


def _compile(bound: Bound, settings: Settings) -> Together:
    """Compile for these chains, or take what a run before left behind."""
    target = bound.target
    depth_limit = max(_DEPTH_LIMIT, settings.max_tree_depth)
    most = most_directions(settings.metric, target.dimension)
    key = ("vectorized", settings.num_chains, most, depth_limit, bound.shapes)
    with target.lock:
        if key not in target.programs:
            metric = make_metric(no_metric(target.dimension), most)
            numbers = max(target.width(), width(target.dimension)) * settings.num_chains
            rows = max(_FEWEST_ROWS, min(_MOST_ROWS, _BUFFER_BYTES // (8 * numbers)))
            evaluate = jax.jit(jaxpr_as_fun(bound.closed))
            chain_layout, metric_layout = Layout(new_chain(np.zeros(target.dimension))), Layout(metric)
            step = _compile_step(bound, settings.num_chains, chain_layout, metric_layout, depth_limit, rows)
            program = Program(target.dimension, rows, settings.num_chains, False, step, chain_layout, metric_layout)
            constrain = _compile_constrain(bound, settings.num_chains, rows)
            target.programs[key] = Together(program, constrain, most, False, None, evaluate, depth_limit)
        compiled: Together = target.programs[key]
    return compiled


def _compile_step(
    bound: Bound, num_chains: int, chain_layout: Layout[Chain], metric_layout: Layout[Any], depth_limit: int, rows: int
) -> Callable[..., Any]:
    evaluate = jaxpr_as_fun(bound.closed)

    def call(data: Any, metric: jax.Array, lanes: Lane, keys: jax.Array, controls: Controls, trips: jax.Array) -> Any:
        leaves = jax.tree.leaves(data)

        def log_density_and_gradient(position: jax.Array) -> tuple[jax.Array, jax.Array]:
            value, gradient = evaluate(*leaves, position)
            return value, gradient

        unpacked = metric_layout.unpack(metric)
        made, lanes, record = run(log_density_and_gradient, unpacked, lanes, keys, controls, trips, rows)
        return made, lanes, jax.vmap(chain_layout.pack)(lanes.chain), record

    states = np.zeros((num_chains, chain_layout.size))
    lanes = jax.vmap(lambda state: new_lane(chain_layout.unpack(state), depth_limit))(states)
    keys, metric = np.zeros(num_chains, np.uint64), np.zeros(metric_layout.size)
    return compile_usual(call, (bound.prepared, metric, lanes, keys, some_controls(), np.int64(0)))


def _compile_constrain(bound: Bound, num_chains: int, rows: int) -> Callable[..., Any]:
    """Constrained values of all chains, row by row: a draw's bits do not depend on its row."""
    target = bound.target

    def constrain(data: Any, record: Any, count: Any) -> dict[str, Any]:
        positions = record[..., : target.dimension]
        empty = {item.name: jnp.zeros((rows, num_chains, *item.shape)) for item in target.outputs}

        def one(row: Any, filled: dict[str, Any]) -> dict[str, Any]:
            values = jax.vmap(lambda position: target.values(data, position))(positions[row])
            return {
                name: lax.dynamic_update_index_in_dim(block, values[name].astype(float), row, 0)
                for name, block in filled.items()
            }

        filled: dict[str, Any] = lax.fori_loop(0, count, one, empty)
        return filled

    return compile_usual(constrain, (bound.data, np.zeros((rows, num_chains, width(target.dimension))), np.int64(0)))
