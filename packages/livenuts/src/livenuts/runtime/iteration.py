"""One iteration of a chain, and the loop over them: a transition, then what warm-up learns from it.

Three kinds of iteration share one transition, so the program holds one copy of the model's gradient: EVALUATE takes
density and gradient at a new position (step size 0), SEARCH doubles or halves the step size until one leapfrog step
crosses an acceptance of 0.8 (Stan's heuristic), DRAW is a draw. Only DRAW counts and is written out.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from livenuts.adaptation import dual_averaging
from livenuts.adaptation.dual_averaging import DualAveraging
from livenuts.adaptation.estimators import Estimator
from livenuts.kernel import random
from livenuts.kernel.integrator import LogDensityAndGradient
from livenuts.kernel.transition import Info, transition
from livenuts.kernel.tree import State

DRAW, SEARCH, EVALUATE = 0, 1, 2
SEARCH_ACCEPTANCE = 0.8
# Beyond exp(+-25) the search has lost its way: it keeps the last step size.
_SEARCH_LIMIT = 25.0
MAX_WINDOWS = 32

STATISTICS = (
    "lp",
    "energy",
    "acceptance_rate",
    "step_size",
    "n_steps",
    "tree_depth",
    "diverging",
    "index_in_trajectory",
)


class Chain(NamedTuple):
    """Everything that a chain's future depends on, besides its key."""

    state: State
    metric: Any
    moments: Any
    averaging: DualAveraging
    draw: Any
    """Draws made so far, warm-up included."""
    iteration: Any
    """Iterations of any kind made so far: the counter of the random numbers."""
    mode: Any
    search_direction: Any


class Controls(NamedTuple):
    """What may differ from call to call without compiling again."""

    until: Any
    """Go on until this many draws are made."""
    num_warmup: Any
    max_depth: Any
    target_accept: Any
    window_first: Any
    window_last: Any
    window_ends: Any
    """The iterations after which the metric changes, padded with -1 to MAX_WINDOWS."""


def new_chain(position: np.ndarray, estimator: Estimator[Any, Any]) -> Chain:
    """A chain, in NumPy, that will first evaluate its density at `position`, then search a step size from 0.1."""
    dimension = position.shape[0]
    nothing = np.int64(0)
    return Chain(
        state=State(position, np.zeros(dimension), np.float64(-np.inf)),
        metric=estimator.identity(dimension),
        moments=estimator.init(dimension),
        averaging=dual_averaging.start(np.log(np.float64(0.1))),
        draw=nothing,
        iteration=nothing,
        mode=np.int64(EVALUATE),
        search_direction=np.float64(0.0),
    )


def run(
    log_density_and_gradient: LogDensityAndGradient,
    estimator: Estimator[Any, Any],
    depth_limit: int,
    chain: Chain,
    key: jax.Array,
    controls: Controls,
    positions: jax.Array,
    statistics: jax.Array,
) -> tuple[Chain, jax.Array, jax.Array]:
    """Iterate until `controls.until` draws are made, writing one row of `positions` and `statistics` a draw.

    The trip count is dynamic and every random number is keyed by the iteration, so any division of a run into calls
    gives the same bits.
    """
    first = chain.draw

    def unfinished(carry: tuple[Chain, jax.Array, jax.Array]) -> jax.Array:
        chain = carry[0]
        return (chain.draw < controls.until) | (chain.mode == EVALUATE)

    def iterate(carry: tuple[Chain, jax.Array, jax.Array]) -> tuple[Chain, jax.Array, jax.Array]:
        chain, positions, statistics = carry
        drawing = chain.mode == DRAW
        step_size = jnp.where(chain.mode == EVALUATE, 0.0, jnp.exp(chain.averaging.log_step))
        state, info = transition(
            log_density_and_gradient,
            chain.metric,
            chain.state,
            random.at(key, chain.iteration),
            step_size,
            jnp.where(drawing, controls.max_depth, 1),
            depth_limit,
        )
        row = chain.draw - first  # other iterations write the row that the next draw overwrites
        values = jnp.stack(
            [
                state.log_density,
                info.energy,
                info.acceptance_rate,
                step_size,
                info.num_steps.astype(jnp.float64),
                info.tree_depth.astype(jnp.float64),
                info.diverging.astype(jnp.float64),
                info.offset.astype(jnp.float64),
            ]
        )
        positions = lax.dynamic_update_index_in_dim(positions, state.position, row, 0)
        statistics = lax.dynamic_update_index_in_dim(statistics, values, row, 0)
        chain = lax.cond(
            drawing,
            lambda: _draw(estimator, chain, state, info, controls),
            lambda: _prepare(chain, state, info),
        )
        return chain._replace(iteration=chain.iteration + 1), positions, statistics

    return lax.while_loop(unfinished, iterate, (chain, positions, statistics))


def _draw(estimator: Estimator[Any, Any], chain: Chain, state: State, info: Info, controls: Controls) -> Chain:
    """Accept the draw and, during warm-up, learn from it."""
    moved = chain._replace(state=state, draw=chain.draw + 1)
    return lax.cond(
        chain.draw < controls.num_warmup,
        lambda: _adapt(estimator, moved, chain.draw, info, controls),
        lambda: moved,
    )


def _adapt(estimator: Estimator[Any, Any], chain: Chain, t: jax.Array, info: Info, controls: Controls) -> Chain:
    averaging = dual_averaging.update(chain.averaging, info.acceptance_rate, controls.target_accept)
    learning = (t >= controls.window_first) & (t < controls.window_last) & ~info.diverging
    moments = estimator.update(chain.moments, chain.state.position, chain.state.gradient, learning.astype(jnp.float64))
    chain = chain._replace(averaging=averaging, moments=moments)

    def close_window() -> Chain:
        return chain._replace(
            metric=estimator.metric(moments),
            moments=estimator.init(chain.state.position.shape[0]),
            mode=jnp.int64(SEARCH),
            search_direction=jnp.float64(0.0),
        )

    chain = lax.cond(jnp.any(controls.window_ends == t), close_window, lambda: chain)
    last = t == controls.num_warmup - 1
    log_step = jnp.where(last, averaging.log_average, averaging.log_step)
    return chain._replace(averaging=chain.averaging._replace(log_step=log_step))


def _prepare(chain: Chain, state: State, info: Info) -> Chain:
    """After EVALUATE, begin the search; after SEARCH, go on until the acceptance crosses its threshold."""
    evaluating = chain.mode == EVALUATE
    up = info.acceptance_rate > SEARCH_ACCEPTANCE
    sign = jnp.where(up, 1.0, -1.0)
    direction = jnp.where(chain.search_direction == 0.0, sign, chain.search_direction)
    log_step = chain.averaging.log_step
    crossed = (direction != sign) | (jnp.abs(log_step) > _SEARCH_LIMIT)
    moved = jnp.where(crossed, log_step, log_step + direction * np.log(2.0))
    found = crossed & ~evaluating
    log_step = jnp.where(evaluating, log_step, moved)
    restarted = dual_averaging.start(log_step)
    averaging = jax.tree.map(
        lambda new, old: jnp.where(found, new, old), restarted, chain.averaging._replace(log_step=log_step)
    )
    keep = chain.state
    return chain._replace(
        state=State(
            keep.position,
            jnp.where(evaluating, state.gradient, keep.gradient),
            jnp.where(evaluating, state.log_density, keep.log_density),
        ),
        averaging=averaging,
        mode=jnp.where(found, DRAW, SEARCH),
        search_direction=jnp.where(evaluating | found, 0.0, direction),
    )
