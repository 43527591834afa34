"""One NUTS transition: a momentum, doublings until a U-turn, one state of the trajectory.

Hoffman and Gelman 2014, "The No-U-Turn sampler", with multinomial sampling inside a subtree and biased progressive
sampling between the trajectory and a new half (Betancourt 2017, appendix A.3.2). A half that diverges or turns
inside itself never joins the trajectory; when the joined trajectory turns, it is complete and the state drawn from
it stands.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from livenuts.kernel import random
from livenuts.kernel.integrator import LogDensityAndGradient, PhasePoint, energy
from livenuts.kernel.metric import Metric
from livenuts.kernel.tree import Candidate, Room, State, Subtree, build_subtree, is_turning, row_of, select, set_row


class Info(NamedTuple):
    """What happened in one transition; scalars."""

    acceptance_rate: jax.Array
    """Mean over all leaves of min(1, exp(H0 - H)): what dual averaging drives to its target."""
    num_steps: jax.Array
    tree_depth: jax.Array
    diverging: jax.Array
    energy: jax.Array
    """The Hamiltonian at the state that was drawn."""
    offset: jax.Array
    """Signed leapfrog steps from the old state to the new one: 0 means that the chain did not move."""


class _Trajectory(NamedTuple):
    """What the doublings so far have made."""

    ends: PhasePoint
    """The left one and the right one; each array has shape (2, dimension)."""
    state: State
    candidate: Candidate
    """Of `state`."""
    weight: jax.Array
    depth: jax.Array
    num_steps: jax.Array
    sum_acceptance: jax.Array
    diverging: jax.Array
    growing: jax.Array


def transition(
    log_density_and_gradient: LogDensityAndGradient,
    metric: Metric,
    state: State,
    key: jax.Array,
    step_size: jax.Array,
    max_depth: jax.Array,
    room: Room,
) -> tuple[State, Info, Room]:
    """Draw the next state; `key` is a 64-bit integer that no other transition uses.

    `room` is memory to work in, for trees of up to the depth it was made for: what it holds has no bearing. A state
    whose log density is -inf accepts its first leaf whatever it is: with step size 0 that evaluates the density at a
    new position, and the program needs no second copy of the model.
    """
    dimension = state.position.shape[0]
    momentum = metric.momentum(random.normal(random.mix(key ^ random.MOMENTUM), dimension))
    return trajectory(log_density_and_gradient, metric, state, momentum, key, step_size, max_depth, room)


def trajectory(
    log_density_and_gradient: LogDensityAndGradient,
    metric: Metric,
    state: State,
    momentum: jax.Array,
    key: jax.Array,
    step_size: jax.Array,
    max_depth: jax.Array,
    room: Room,
) -> tuple[State, Info, Room]:
    """The transition given its momentum."""
    initial_energy = energy(metric, momentum, state.log_density)
    direction_key = random.mix(key ^ random.DIRECTION)

    def unfinished(carry: tuple[_Trajectory, Room]) -> jax.Array:
        return carry[0].growing & (carry[0].depth < max_depth)

    def double(carry: tuple[_Trajectory, Room]) -> tuple[_Trajectory, Room]:
        tree, room = carry
        end, direction, near = side(tree, direction_key)
        # The new half starts at the trajectory's end: its candidates count their steps from there.
        offset = steps_to_end(direction_key, tree.depth, end)
        new = build_subtree(
            log_density_and_gradient,
            metric,
            near,
            offset,
            initial_energy,
            step_size,
            direction,
            tree.depth,
            key,
            room,
        )
        return join(tree, new, direction_key), new.room

    tree, room = lax.while_loop(unfinished, double, (alone(state, momentum, initial_energy), room))
    return tree.state, describe(tree), room


def alone(state: State, momentum: jax.Array, initial_energy: jax.Array) -> _Trajectory:
    """A trajectory of one leaf."""
    start = PhasePoint(state.position, momentum, state.gradient)
    zero = jnp.int64(0)
    return _Trajectory(
        ends=PhasePoint(*(jnp.stack([array, array]) for array in start)),
        state=state,
        candidate=Candidate(state.log_density, initial_energy, zero),
        weight=jnp.float64(1.0),
        depth=zero,
        num_steps=zero,
        sum_acceptance=jnp.float64(0.0),
        diverging=jnp.bool_(False),
        growing=jnp.bool_(True),
    )


def side(tree: _Trajectory, direction_key: jax.Array) -> tuple[jax.Array, jax.Array, PhasePoint]:
    """Which end the next doubling leaves from, 0 or 1, the sign of time on that side, and the end itself."""
    end = ((direction_key >> tree.depth.astype(jnp.uint64)) & 1).astype(jnp.int64)
    return end, (2 * end - 1).astype(jnp.float64), _end(tree, end)


def _end(tree: _Trajectory, end: jax.Array) -> PhasePoint:
    return PhasePoint(*(row_of(rows, end) for rows in tree.ends))


def join(tree: _Trajectory, new: Subtree, direction_key: jax.Array) -> _Trajectory:
    """The trajectory after a doubling that made `new`."""
    end, direction, near = side(tree, direction_key)
    far = _end(tree, 1 - end)
    # Biased progressive sampling: the newer, farther half is favoured.
    take = new.complete & (random.uniform(direction_key, tree.depth + 1) * tree.weight < new.weight)
    first = (new.room.position[0], new.room.momentum[0])
    start, seam, newest = far[:2], near[:2], new.end[:2]
    turning = (
        is_turning(start, newest, direction) | is_turning(start, first, direction) | is_turning(seam, newest, direction)
    )
    return _Trajectory(
        ends=PhasePoint(*(set_row(rows, row, end) for rows, row in zip(tree.ends, new.end, strict=True))),
        state=select(take, new.state, tree.state),
        candidate=select(take, new.candidate, tree.candidate),
        weight=tree.weight + new.weight,
        depth=tree.depth + 1,
        num_steps=tree.num_steps + new.num_steps,
        sum_acceptance=tree.sum_acceptance + new.sum_acceptance,
        diverging=new.diverging,
        growing=new.complete & ~turning,
    )


def describe(tree: _Trajectory) -> Info:
    """What happened, once the trajectory has stopped growing."""
    return Info(
        acceptance_rate=tree.sum_acceptance / jnp.maximum(tree.num_steps, 1),
        num_steps=tree.num_steps,
        tree_depth=tree.depth,
        diverging=tree.diverging,
        energy=tree.candidate.energy,
        offset=tree.candidate.offset,
    )


def steps_to_end(direction_key: jax.Array, depth: jax.Array, end: jax.Array) -> jax.Array:
    """Signed steps from the start to the end that the next doubling leaves from.

    Doubling d added 2^d leaves on the side of bit d of the directions, so the lower `depth` bits are the number of
    leaves on the right; the others, out of 2^depth - 1, are on the left.
    """
    all_leaves = jnp.left_shift(jnp.uint64(1), depth.astype(jnp.uint64)) - 1
    right = (direction_key & all_leaves).astype(jnp.int64)
    return lax.select(end == 1, right, right - all_leaves.astype(jnp.int64))
