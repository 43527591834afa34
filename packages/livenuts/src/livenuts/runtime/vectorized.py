"""`chain_method="vectorized"`: all chains in one compiled program, on any JAX device.

Warm-up is the same as in threads, its lessons at fixed draws of all chains. All chains have one metric, from the
start on, so that moving them all is one product of matrices.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import jaxpr_as_fun

from livenuts.adaptation.fisher import Estimate
from livenuts.adaptation.warmup import Warmup, most_directions
from livenuts.compiler.native import compile_usual
from livenuts.compiler.target import Bound
from livenuts.compiler.x64 import x64
from livenuts.kernel.metric import Metric
from livenuts.kernel.tree import State
from livenuts.runtime.chain import ChainRun, Drawn
from livenuts.runtime.compiled import Compiled, make_metric, no_metric
from livenuts.runtime.iteration import NEVER, SEARCH, Chain, Controls, new_chain
from livenuts.runtime.lockstep import Lane, new_lane, run
from livenuts.runtime.program import Program, controls_shape
from livenuts.runtime.settings import Settings

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
    return [Member(k, bound, compiled, settings, seed, None) for k in range(settings.num_chains)]


class Member(ChainRun):
    """One of the chains: its draws, messages and learning are those of any chain, its moves are made by `Fleet`."""

    chain: Chain

    def _evaluated(self, position: np.ndarray, metric: Estimate) -> Chain | None:
        assert isinstance(self.compiled, Together)
        leaves = jax.tree.leaves(self.bound.prepared)
        value, gradient = (np.asarray(part) for part in self.compiled.evaluate(*leaves, position))
        if not (np.isfinite(value) and np.isfinite(gradient).all()):
            return None
        chain = new_chain(np.array(position, np.float64), self._metric(metric))
        # The evaluation counts as an iteration, as it does in a thread.
        return chain._replace(
            state=State(chain.state.position, gradient, value), iteration=np.int64(1), mode=np.int64(SEARCH)
        )

    def _pack(self, chain: Chain) -> None:
        self.chain = chain

    def note(self) -> None:
        """Nobody restores it."""

    def final_state(self) -> Chain:
        """The chain's state when its fleet last came to rest."""
        return self.chain


def run_together(chains: list[Any], warmup: Warmup, stop: Callable[[], bool]) -> None:
    """Warm-up, lesson by lesson, then the draws, unless told to stop between two calls."""
    if chains[0].warmed is None and not warmup.is_warm:
        # The typical gradient at the chains' starts makes the first metric; a start far out does not count for more.
        typical = np.median([np.abs(chain.chain.state.gradient) for chain in chains], axis=0)
        metric = make_metric(warmup.first_metric(typical), chains[0].compiled.most_directions)
        for chain in chains:
            chain.chain = chain.chain._replace(metric=metric)
    while chains[0].warmed is None:
        _advance(chains, warmup.until, stop)
        if any(chain.made < warmup.until for chain in chains):
            return
        lesson = warmup.learn([chain.take_stretch() for chain in chains])
        for chain in chains:
            chain.learn(lesson, None)
    _advance(chains, chains[0].total, stop)


def _advance(chains: list[Any], until: int, stop: Callable[[], bool]) -> None:
    """Make draws until every chain has `until`."""
    compiled, settings = chains[0].compiled, chains[0].settings
    warm = chains[0].warmed is None
    step, data, metric = compiled.program.step, chains[0].bound.prepared, chains[0].chain.metric
    lanes = jax.vmap(lambda chain: new_lane(chain, compiled.depth_limit))(_stack([c.chain for c in chains]))
    keys = np.array([chain.key for chain in chains])
    controls = Controls(
        until=np.int64(until),
        until_iteration=np.int64(NEVER),
        adapting=np.bool_(warm),
        max_depth=np.int64(settings.max_tree_depth),
        target_accept=np.float64(settings.target_accept),
    )
    trips = _FIRST_TRIPS
    try:
        while any(chain.made < until for chain in chains) and not stop():
            began = time.perf_counter()
            made, lanes, buffers = step(data, metric, lanes, keys, controls, np.int64(trips))
            per_trip = max((time.perf_counter() - began) / max(int(made), 1), 1e-7)
            trips = max(1, min(int(_CALL_SECONDS / per_trip), 8 * trips))
            counts = np.asarray(lanes.chain.draw) - np.array([chain.made for chain in chains])
            _hand_out(chains, buffers, counts, warm)
            elapsed = time.perf_counter() - began
            for chain in chains:
                chain.seconds["warmup" if warm else "sampling"] += elapsed
    finally:
        ended = jax.tree.map(np.asarray, lanes.chain)
        for k, chain in enumerate(chains):
            chain.chain = jax.tree.map(lambda values, k=k: values[k], ended)._replace(metric=metric)


def _hand_out(chains: list[Any], buffers: Any, counts: np.ndarray, warm: bool) -> None:
    """Give every chain the draws that it made."""
    most = int(counts.max())
    values: dict[str, np.ndarray] = {}
    if chains[0].sink is not None or not warm:
        made = chains[0].compiled.constrain(chains[0].bound.data, buffers.positions, np.int64(most))
        values = {name: np.asarray(made[name])[:most] for name in chains[0].draws}
    positions, statistics, gradients = (np.asarray(part)[:most] for part in buffers)
    for k, (chain, count) in enumerate(zip(chains, counts, strict=True)):
        if count:
            own = {name: block[:count, k].copy() for name, block in values.items()}
            rows = np.column_stack([statistics[:count, k], np.zeros(count)])
            chain.take(own, Drawn((None, None), positions[:, k], gradients[:, k], rows))


def _stack(trees: list[Any]) -> Any:
    return jax.tree.map(lambda *leaves: np.stack(leaves), *(tree._replace(metric=None) for tree in trees))


def _compile(bound: Bound, settings: Settings) -> Together:
    """Compile for these chains, or take what a run before left behind."""
    target = bound.target
    depth_limit = max(_DEPTH_LIMIT, settings.max_tree_depth)
    most = most_directions(settings.metric, target.dimension)
    key = ("vectorized", settings.num_chains, most, depth_limit, bound.shapes)
    with target.lock:
        if key not in target.programs:
            metric = make_metric(no_metric(target.dimension), most)
            width = target.width() * settings.num_chains
            rows = max(_FEWEST_ROWS, min(_MOST_ROWS, _BUFFER_BYTES // (8 * width)))
            evaluate = jax.jit(jaxpr_as_fun(bound.closed))
            step = _compile_step(bound, settings.num_chains, metric, depth_limit, rows)
            program = Program(target.dimension, rows, rows, False, step, _as_it_is, _as_it_is)
            constrain = _compile_constrain(bound, settings.num_chains, rows)
            target.programs[key] = Together(program, constrain, most, False, None, evaluate, depth_limit)
        compiled: Together = target.programs[key]
    return compiled


def _as_it_is(chain: Any, *_: Any) -> Any:
    return chain


def _compile_step(bound: Bound, num_chains: int, metric: Metric, depth_limit: int, rows: int) -> Callable[..., Any]:
    evaluate = jaxpr_as_fun(bound.closed)

    def call(data: Any, metric: Metric, lanes: Lane, keys: jax.Array, controls: Controls, trips: jax.Array) -> Any:
        leaves = jax.tree.leaves(data)

        def log_density_and_gradient(position: jax.Array) -> tuple[jax.Array, jax.Array]:
            value, gradient = evaluate(*leaves, position)
            return value, gradient

        return run(log_density_and_gradient, metric, lanes, keys, controls, trips, rows)

    chain = new_chain(np.zeros(bound.target.dimension), metric)
    lanes = jax.vmap(lambda chain: new_lane(chain, depth_limit))(_stack([chain] * num_chains))
    arguments = (bound.prepared, metric, lanes, np.zeros(num_chains, np.uint64), controls_shape(), np.int64(0))
    return compile_usual(call, arguments)


def _compile_constrain(bound: Bound, num_chains: int, rows: int) -> Callable[..., Any]:
    """Constrained values of all chains, row by row: a draw's bits do not depend on its row."""
    target = bound.target

    def constrain(data: Any, positions: Any, count: Any) -> dict[str, Any]:
        empty = {item.name: jnp.zeros((rows, num_chains, *item.shape)) for item in target.outputs}

        def one(row: Any, filled: dict[str, Any]) -> dict[str, Any]:
            values = jax.vmap(lambda position: target.evaluation(data, position).values)(positions[row])
            return {
                name: lax.dynamic_update_index_in_dim(block, values[name].astype(float), row, 0)
                for name, block in filled.items()
            }

        filled: dict[str, Any] = lax.fori_loop(0, count, one, empty)
        return filled

    return compile_usual(constrain, (bound.data, np.zeros((rows, num_chains, target.dimension)), np.int64(0)))
