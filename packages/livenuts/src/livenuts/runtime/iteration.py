"""One iteration of a chain, and the loop over them: a transition, then what the step size learns from it.

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
from livenuts.kernel import random
from livenuts.kernel.integrator import LogDensityAndGradient
from livenuts.kernel.metric import Metric
from livenuts.kernel.transition import Info, transition
from livenuts.kernel.tree import Room, State, select

DRAW, SEARCH, EVALUATE = 0, 1, 2
SEARCH_ACCEPTANCE = 0.8
NEVER = 2**53
"""An iteration that no chain comes to; the largest number up to which float64 holds every integer."""
# Beyond exp(+-25) the search has lost its way: it keeps the last step size.
_SEARCH_LIMIT = 25.0

STATISTICS = (
    "lp",
    "energy",
    "acceptance_rate",
    "step_size",
    "n_steps",
    "tree_depth",
    "diverging",
    "index_in_trajectory",
    "recovered",
)
"""What is recorded of a draw; it is recovered where host code in the log density failed, which is known outside."""


class Chain(NamedTuple):
    """Everything that a chain's future depends on, besides its key and its metric."""

    state: State
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
    until_iteration: Any
    """Or until this many iterations of any kind are made."""
    adapting: Any
    """Whether draws teach the step size."""
    max_depth: Any
    target_accept: Any


def new_chain(position: np.ndarray) -> Chain:
    """A chain, in NumPy, that will first evaluate its density at `position`, then search a step size from 0.1."""
    nothing = np.int64(0)
    return Chain(
        state=State(position, np.zeros(position.shape[0]), np.float64(-np.inf)),
        averaging=dual_averaging.start(np.log(np.float64(0.1))),
        draw=nothing,
        iteration=nothing,
        mode=np.int64(EVALUATE),
        search_direction=np.float64(0.0),
    )


def run(
    log_density_and_gradient: LogDensityAndGradient,
    metric: Metric,
    chain: Chain,
    key: jax.Array,
    controls: Controls,
    record: jax.Array,
    first_row: jax.Array,
    room: Room,
) -> tuple[Chain, jax.Array, Room]:
    """Iterate until `controls.until` draws or `controls.until_iteration` iterations are made.

    Draws are written to `record` as `row` makes them, from `first_row` on. The trip count is dynamic and every random
    number is keyed by the iteration, so any division of a run into calls gives the same bits.
    """
    first = first_row - chain.draw

    def unfinished(carry: tuple[Chain, jax.Array, Room]) -> jax.Array:
        chain = carry[0]
        wanted = (chain.draw < controls.until) | (chain.mode == EVALUATE)
        return wanted & (chain.iteration < controls.until_iteration)

    def iterate(carry: tuple[Chain, jax.Array, Room]) -> tuple[Chain, jax.Array, Room]:
        chain, record, room = carry
        drawing = chain.mode == DRAW
        step_size = jnp.where(chain.mode == EVALUATE, 0.0, jnp.exp(chain.averaging.log_step))
        state, info, room = transition(
            log_density_and_gradient,
            metric,
            chain.state,
            random.at(key, chain.iteration),
            step_size,
            jnp.where(drawing, controls.max_depth, 1),
            room,
        )
        # Other iterations write the row that the next draw overwrites.
        record = lax.dynamic_update_index_in_dim(record, row(state, info, step_size), first + chain.draw, 0)
        return after(chain, state, info, controls), record, room

    return lax.while_loop(unfinished, iterate, (chain, record, room))


def row(state: State, info: Info, step_size: jax.Array) -> jax.Array:
    """What is recorded of a draw: its position, its gradient, its `STATISTICS`."""
    numbers = [
        state.log_density,
        info.energy,
        info.acceptance_rate,
        step_size,
        info.num_steps.astype(jnp.float64),
        info.tree_depth.astype(jnp.float64),
        info.diverging.astype(jnp.float64),
        info.offset.astype(jnp.float64),
        jnp.float64(0.0),
    ]
    return jnp.concatenate([state.position, state.gradient, jnp.stack(numbers)])


def width(dimension: int) -> int:
    """Numbers in a `row`."""
    return 2 * dimension + len(STATISTICS)


def after(chain: Chain, state: State, info: Info, controls: Controls) -> Chain:
    """The chain after an iteration that led to `state`."""
    chain = lax.cond(
        chain.mode == DRAW,
        lambda: _draw(chain, state, info, controls),
        lambda: _prepare(chain, state, info),
    )
    return chain._replace(iteration=chain.iteration + 1)


def _draw(chain: Chain, state: State, info: Info, controls: Controls) -> Chain:
    """Accept the draw and, during warm-up, learn from it."""
    learned = dual_averaging.update(chain.averaging, info.acceptance_rate, controls.target_accept)
    averaging = select(controls.adapting, learned, chain.averaging)
    return chain._replace(state=state, averaging=averaging, draw=chain.draw + 1)


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
