"""Many chains in one loop, a leapfrog step of every chain a trip, each chain at its own place in its own tree.

`vmap` over the loops of one chain would make every chain wait at each doubling, and at each draw, for the one with the
largest tree. Here a chain that has finished a draw begins the next one in the next trip; chains wait for each other
only where all of them are wanted: when a lesson is due, and at the end.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from livenuts.kernel import random
from livenuts.kernel.integrator import LogDensityAndGradient, PhasePoint, energy
from livenuts.kernel.metric import Metric
from livenuts.kernel.transition import alone, describe, join, side, steps_to_end
from livenuts.kernel.tree import empty_subtree, make_room, select, visit
from livenuts.runtime.iteration import DRAW, Chain, Controls, after, row, width

# Where a chain is: it begins a draw, it begins a doubling, or it is inside one.
_DRAW, _DOUBLING, _INSIDE = 0, 1, 2


class Lane(NamedTuple):
    """A chain and the tree that it is building."""

    chain: Chain
    trajectory: Any
    subtree: Any
    initial_energy: Any
    stage: Any


class Made(NamedTuple):
    """What a trip made of a lane."""

    lane: Lane
    is_draw: jax.Array
    """Whether this leapfrog step was the last one of a draw."""
    row: jax.Array
    """What is recorded of it then."""


def new_lane(chain: Chain, depth_limit: int) -> Lane:
    """A lane whose chain is to begin a draw."""
    state = chain.state
    nowhere = jnp.zeros_like(state.position)
    trajectory = alone(state, nowhere, jnp.float64(0.0))
    room = make_room(depth_limit, nowhere.shape[0])
    subtree = empty_subtree(PhasePoint(state.position, nowhere, state.gradient), room)
    return Lane(chain, trajectory, subtree, jnp.float64(0.0), jnp.int64(_DRAW))


def trip(
    log_density_and_gradient: LogDensityAndGradient,
    metric: Metric,
    lane: Lane,
    key: jax.Array,
    momentum: jax.Array,
    controls: Controls,
) -> Made:
    """One leapfrog step of one lane, with whatever begins before it and ends after it.

    `momentum` is asked for where the lane begins a draw.
    """
    chain, state = lane.chain, lane.chain.state
    drawing = chain.mode == DRAW
    step_size = jnp.exp(chain.averaging.log_step)
    draw_key = random.at(key, chain.iteration)
    direction_key = random.mix(draw_key ^ random.DIRECTION)

    begins = lane.stage == _DRAW
    initial_energy = jnp.where(begins, energy(metric, momentum, state.log_density), lane.initial_energy)
    trajectory = select(begins, alone(state, momentum, initial_energy), lane.trajectory)

    end, direction, near = side(trajectory, direction_key)
    offset = steps_to_end(direction_key, trajectory.depth, end)
    # What was left in candidate and room by the subtree before is never asked for.
    old = lane.subtree
    fresh = empty_subtree(near, old.room)._replace(candidate=old.candidate)
    inside = lane.stage == _INSIDE
    subtree = fresh._replace(
        end=select(inside, old.end, near),
        weight=jnp.where(inside, old.weight, fresh.weight),
        num_steps=jnp.where(inside, old.num_steps, fresh.num_steps),
        sum_acceptance=jnp.where(inside, old.sum_acceptance, fresh.sum_acceptance),
    )

    num_leaves = jnp.left_shift(jnp.int64(1), trajectory.depth)
    subtree = visit(
        log_density_and_gradient,
        metric,
        subtree,
        offset,
        initial_energy,
        step_size,
        direction,
        num_leaves,
        draw_key,
    )
    doubled = ~subtree.complete | (subtree.num_steps == num_leaves)
    trajectory = select(doubled, join(trajectory, subtree, direction_key), trajectory)

    max_depth = jnp.where(drawing, controls.max_depth, 1)
    done = doubled & ~(trajectory.growing & (trajectory.depth < max_depth))
    info, state = describe(trajectory), trajectory.state
    chain = select(done, after(chain, state, info, controls), chain)
    stage = jnp.where(done, _DRAW, jnp.where(doubled, _DOUBLING, _INSIDE))
    lane = Lane(chain, trajectory, subtree, initial_energy, stage)
    return Made(lane, done & drawing, row(state, info, step_size))


def run(
    log_density_and_gradient: LogDensityAndGradient,
    metric: Metric,
    lanes: Lane,
    keys: jax.Array,
    controls: Controls,
    trips: jax.Array,
    rows: int,
) -> tuple[jax.Array, Lane, jax.Array]:
    """At most so many trips, until every lane has made `controls.until` draws, or `rows` in this call.

    The trips that were made, the lanes, and the record of their draws. Lanes have one leading axis. The record is
    (row, lane, number); a lane's rows count from its first draw of the call.
    """
    first = lanes.chain.draw
    num_lanes, dimension = lanes.chain.state.position.shape
    last = jnp.minimum(controls.until, first + rows)
    every = jnp.arange(num_lanes)

    def draw_momentum(chain: Chain, key: jax.Array) -> jax.Array:
        draw_key = random.at(key, chain.iteration)
        return metric.momentum(random.normal(random.mix(draw_key ^ random.MOMENTUM), dimension))

    def move(lane: Lane, key: jax.Array, momentum: jax.Array) -> Made:
        return trip(log_density_and_gradient, metric, lane, key, momentum, controls)

    def unfinished(carry: tuple[jax.Array, Lane, jax.Array]) -> jax.Array:
        made, lanes, _ = carry
        return (made < trips) & (lanes.chain.draw < last).any()

    def step_all(carry: tuple[jax.Array, Lane, jax.Array]) -> tuple[jax.Array, Lane, jax.Array]:
        made, lanes, record = carry
        waiting = lanes.chain.draw >= last
        # Normals are dear beside the rest, and mostly nobody asks for new ones.
        momenta = lax.cond(
            ((lanes.stage == _DRAW) & ~waiting).any(),
            lambda: jax.vmap(draw_momentum)(lanes.chain, keys),
            lambda: jnp.zeros((num_lanes, dimension)),
        )
        new = jax.vmap(move)(lanes, keys, momenta)
        # A lane that waits stands between two draws: only its chain has to stay what it is.
        kept = jax.tree.map(lambda a, b: jnp.where(_like(waiting, b), a, b), lanes.chain, new.lane.chain)
        stage = jnp.where(waiting, _DRAW, new.lane.stage)
        place = jnp.where(new.is_draw & ~waiting, lanes.chain.draw - first, rows)  # the row `rows` is dropped
        record = record.at[place, every].set(new.row, mode="drop")
        return made + 1, new.lane._replace(chain=kept, stage=stage), record

    record = jnp.zeros((rows, num_lanes, width(dimension)))
    return lax.while_loop(unfinished, step_all, (jnp.int64(0), lanes, record))


def _like(mask: jax.Array, values: jax.Array) -> jax.Array:
    return mask.reshape(mask.shape + (1,) * (values.ndim - mask.ndim))
