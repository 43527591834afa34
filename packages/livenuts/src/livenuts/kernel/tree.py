"""One doubling of the trajectory: a subtree of 2^depth leapfrog steps, built by iteration.

Leaves are visited in time order. A leaf is drawn from the subtree with probability proportional to its weight
exp(-H) (multinomial sampling; Betancourt 2017, "A conceptual introduction to Hamiltonian Monte Carlo", appendix A.3).
The subtree is abandoned at once when it diverges, or when any of the balanced subtrees inside it makes a U-turn, as
the recursive algorithm does; a recursion is replaced by checkpoints (Phan, Pradhan and Jankowiak 2019, "Composable
effects for flexible and accelerated probabilistic programming in NumPyro", section 3.2).

The U-turn criterion is Betancourt's generalised one, rho . M^-1 p <= 0 at either end, where rho is the sum of the
momenta. In a Euclidean metric M^-1 rho is the displacement between the ends, in steps and up to half the end
momenta, so the criterion is evaluated on the displacement: no sums to carry, no mass to multiply by. Besides its two
ends, every balanced subtree is checked across the seam of its halves: the first half with the first leaf of the
second, and the last leaf of the first half with the second (Stan 2.21's additional checks).
"""

from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jax import lax

from livenuts.kernel import random
from livenuts.kernel.integrator import LogDensityAndGradient, PhasePoint, energy, leapfrog
from livenuts.kernel.metric import Metric

T = TypeVar("T")

# A leaf whose energy exceeds the start's by more than this is a divergence (Stan's default).
DIVERGENCE_THRESHOLD = 1000.0
# exp(500) leaves room for a thousand such leaves: a start that far out in the tail is not in equilibrium anyway.
_LARGEST_LOG_WEIGHT = 500.0


class State(NamedTuple):
    """Where a chain stands."""

    position: Any
    gradient: Any
    log_density: Any


class Candidate(NamedTuple):
    """A state that the trajectory may move to; its position and gradient may be kept elsewhere."""

    log_density: jax.Array
    energy: jax.Array
    offset: jax.Array
    """Signed number of leapfrog steps from the start of the trajectory."""


class Room(NamedTuple):
    """Memory that a subtree is built in; what another one left there has no bearing.

    Positions and momenta of leaves that later U-turn checks come back to: a leaf of even index begins balanced
    subtrees, and is in the row that is the number of ones in its index until all of them are finished; a leaf of odd
    index ends left halves, and is in row max_depth - 1 + t, where t is the number of trailing ones of its index. The
    last two rows of `position`, and of `gradient`, are the subtree's candidate and what takes its place when a leaf
    is not chosen: a choice is where to write, not what.
    """

    position: jax.Array
    """(2 max_depth + 2, dimension)"""
    momentum: jax.Array
    """(2 max_depth, dimension)"""
    gradient: jax.Array
    """(2, dimension)"""


class Subtree(NamedTuple):
    """A finished or abandoned subtree."""

    end: PhasePoint
    candidate: Candidate
    """Of the state in `room`."""
    weight: jax.Array
    """Sum of exp(H0 - H) over the leaves."""
    num_steps: jax.Array
    sum_acceptance: jax.Array
    """Sum over the leaves of min(1, exp(H0 - H))."""
    diverging: jax.Array
    complete: jax.Array
    """Neither divergent nor turning: only then may the subtree join the trajectory."""
    room: Room

    @property
    def state(self) -> State:
        """The candidate's."""
        return State(self.room.position[-2], self.room.gradient[-2], self.candidate.log_density)


def make_room(max_depth: int, dimension: int) -> Room:
    """Room for subtrees of depth up to `max_depth`."""
    rows = 2 * max_depth
    return Room(jnp.zeros((rows + 2, dimension)), jnp.zeros((rows, dimension)), jnp.zeros((2, dimension)))


def is_turning(
    earlier: tuple[jax.Array, jax.Array], later: tuple[jax.Array, jax.Array], direction: jax.Array
) -> jax.Array:
    """Whether the stretch between two (position, momentum) leaves has begun to turn back on itself.

    `earlier` and `later` are in the order of visits; `direction` is +1 or -1, the sign of time.
    """
    displacement = direction * (later[0] - earlier[0])
    return (jnp.vdot(displacement, earlier[1]) <= 0.0) | (jnp.vdot(displacement, later[1]) <= 0.0)


def row_of(rows: jax.Array, index: jax.Array) -> jax.Array:
    """rows[index]"""
    return lax.dynamic_slice(rows, (index, jnp.zeros_like(index)), (1, rows.shape[1]))[0]


def set_row(rows: jax.Array, row: jax.Array, index: jax.Array) -> jax.Array:
    """The rows with another one at `index`."""
    return lax.dynamic_update_slice(rows, row[None], (index, jnp.zeros_like(index)))


def _check_subtrees(
    room: Room,
    previous: PhasePoint,
    leaf: PhasePoint,
    ones: jax.Array,
    trailing: jax.Array,
    direction: jax.Array,
) -> jax.Array:
    """Whether any of the balanced subtrees that end at this leaf turns, from the smallest to the largest.

    The leaf's index has so many `ones` above its lowest bit, and so many of its `trailing` bits are ones: it ends
    that many subtrees. The smallest is the previous leaf and this one, and has no seam.
    """
    here, last_row = leaf[:2], room.momentum.shape[0] // 2 - 1

    def at(row: jax.Array) -> tuple[jax.Array, jax.Array]:
        return row_of(room.position, row), row_of(room.momentum, row)

    def unfinished(carry: tuple[jax.Array, jax.Array]) -> jax.Array:
        level, turning = carry
        return (level <= trailing) & ~turning

    def check(carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        level, _ = carry
        start, second_start = at(ones - level + 1), at(ones - level + 2)
        first_end = at(last_row + level - 1)
        turning = is_turning(start, here, direction)
        across = is_turning(start, second_start, direction) | is_turning(first_end, here, direction)
        return level + 1, turning | across

    turning = (trailing > 0) & is_turning(previous[:2], here, direction)
    return lax.while_loop(unfinished, check, (jnp.int64(2), turning))[1]


def build_subtree(
    log_density_and_gradient: LogDensityAndGradient,
    metric: Metric,
    start: PhasePoint,
    start_offset: jax.Array,
    initial_energy: jax.Array,
    step_size: jax.Array,
    direction: jax.Array,
    depth: jax.Array,
    key: jax.Array,
    room: Room,
) -> Subtree:
    """Extend the trajectory from its end `start` by 2^depth leaves in `direction`.

    `start` is `start_offset` signed steps from where the trajectory began. The leaf's uniform is number
    2^depth + leaf of `key`, so no two doublings share one. When the first leaf diverges there is no candidate, but
    what memory was left with.
    """
    num_leaves = jnp.left_shift(jnp.int64(1), depth)

    def unfinished(tree: Subtree) -> jax.Array:
        return (tree.num_steps < num_leaves) & tree.complete

    def next_leaf(tree: Subtree) -> Subtree:
        return visit(
            log_density_and_gradient,
            metric,
            tree,
            start_offset,
            initial_energy,
            step_size,
            direction,
            num_leaves,
            key,
        )

    return lax.while_loop(unfinished, next_leaf, empty_subtree(start, room))


def empty_subtree(start: PhasePoint, room: Room) -> Subtree:
    """A subtree without leaves, which begins at `start`."""
    zero, none = jnp.float64(0.0), jnp.int64(0)
    return Subtree(start, Candidate(zero, zero, none), zero, none, zero, jnp.bool_(False), jnp.bool_(True), room)


def visit(
    log_density_and_gradient: LogDensityAndGradient,
    metric: Metric,
    tree: Subtree,
    start_offset: jax.Array,
    initial_energy: jax.Array,
    step_size: jax.Array,
    direction: jax.Array,
    num_leaves: jax.Array,
    key: jax.Array,
) -> Subtree:
    """The subtree with its next leaf; `start_offset` counts the steps to where the subtree began."""
    index = tree.num_steps
    leaf, log_density = leapfrog(log_density_and_gradient, metric, tree.end, step_size * direction)
    leaf, log_density = lax.optimization_barrier((leaf, log_density))  # as in `leapfrog`
    leaf_energy = energy(metric, leaf.momentum, log_density)
    log_weight = lax.select(jnp.isfinite(leaf_energy), initial_energy - leaf_energy, jnp.float64(-jnp.inf))
    diverging = log_weight < -DIVERGENCE_THRESHOLD
    leaf_weight = jnp.exp(jnp.minimum(log_weight, _LARGEST_LOG_WEIGHT))
    weight = tree.weight + leaf_weight
    take = random.uniform(key, num_leaves + index) * weight < leaf_weight

    bits = index.astype(jnp.uint64)
    ones = lax.population_count(bits >> 1).astype(jnp.int64)
    trailing = lax.population_count((bits ^ (bits + 1)) >> 1).astype(jnp.int64)
    half, chosen = tree.room.momentum.shape[0] // 2, lax.select(take, jnp.int64(0), jnp.int64(1))
    row = lax.select(trailing == 0, ones, half - 1 + trailing)
    room = Room(
        set_row(set_row(tree.room.position, leaf.position, row), leaf.position, 2 * half + chosen),
        set_row(tree.room.momentum, leaf.momentum, row),
        set_row(tree.room.gradient, leaf.gradient, chosen),
    )
    turning = _check_subtrees(room, tree.end, leaf, ones, trailing, direction)
    steps = (index + 1) * direction.astype(jnp.int64)
    here = Candidate(log_density, leaf_energy, start_offset + steps)
    return Subtree(
        end=leaf,
        candidate=select(take, here, tree.candidate),
        weight=weight,
        num_steps=index + 1,
        sum_acceptance=tree.sum_acceptance + jnp.minimum(leaf_weight, 1.0),
        diverging=diverging,
        complete=~(diverging | turning),
        room=room,
    )


def select(condition: jax.Array, if_true: T, if_false: T) -> T:
    """One of two trees of arrays."""
    return jax.tree.map(lambda a, b: lax.select(condition, a, b), if_true, if_false)
