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
    """A state that the trajectory may move to."""

    state: State
    energy: jax.Array
    offset: jax.Array
    """Signed number of leapfrog steps from the start of the trajectory."""


class Seams(NamedTuple):
    """Leaves that later U-turn checks come back to; each array has shape (max_depth + 1, dimension).

    `first` holds the first leaf of each unfinished balanced subtree, at the number of ones in its index without the
    lowest bit; the last row takes what nobody reads. `last` holds the last leaf of the newest left half of each
    size, at the number of trailing ones of its index.
    """

    first_position: jax.Array
    first_momentum: jax.Array
    last_position: jax.Array
    last_momentum: jax.Array


class Subtree(NamedTuple):
    """A finished or abandoned subtree."""

    end: PhasePoint
    candidate: Candidate
    weight: jax.Array
    """Sum of exp(H0 - H) over the leaves."""
    num_steps: jax.Array
    sum_acceptance: jax.Array
    """Sum over the leaves of min(1, exp(H0 - H))."""
    diverging: jax.Array
    complete: jax.Array
    """Neither divergent nor turning: only then may the subtree join the trajectory."""
    seams: Seams


def no_seams(max_depth: int, dimension: int) -> Seams:
    """Empty checkpoints for subtrees of depth up to `max_depth`."""
    rows = jnp.zeros((max_depth + 1, dimension))
    return Seams(rows, rows, rows, rows)


def is_turning(
    earlier: tuple[jax.Array, jax.Array], later: tuple[jax.Array, jax.Array], direction: jax.Array
) -> jax.Array:
    """Whether the stretch between two (position, momentum) leaves has begun to turn back on itself.

    `earlier` and `later` are in the order of visits; `direction` is +1 or -1, the sign of time.
    """
    displacement = direction * (later[0] - earlier[0])
    return (jnp.vdot(displacement, earlier[1]) <= 0.0) | (jnp.vdot(displacement, later[1]) <= 0.0)


def _row(rows: jax.Array, index: jax.Array) -> jax.Array:
    return lax.dynamic_index_in_dim(rows, index, 0, keepdims=False)


def _set_row(rows: jax.Array, row: jax.Array, index: jax.Array) -> jax.Array:
    return lax.dynamic_update_index_in_dim(rows, row, index, 0)


def _check_subtrees(
    seams: Seams,
    leaf: PhasePoint,
    index: jax.Array,
    ones: jax.Array,
    trailing: jax.Array,
    direction: jax.Array,
) -> jax.Array:
    """Whether any of the balanced subtrees that end at this leaf turns, from the smallest to the largest."""
    here = (leaf.position, leaf.momentum)

    def unfinished(carry: tuple[jax.Array, jax.Array]) -> jax.Array:
        level, turning = carry
        return (level <= trailing) & ~turning

    def check(carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        level, _ = carry
        first = ones - level + 1
        start = (_row(seams.first_position, first), _row(seams.first_momentum, first))
        # The smallest subtree has one leaf a half: its seam checks are the check of its ends once more.
        middle = jnp.minimum(first + 1, ones)
        second_start = (_row(seams.first_position, middle), _row(seams.first_momentum, middle))
        first_end = (_row(seams.last_position, level - 1), _row(seams.last_momentum, level - 1))
        turning = is_turning(start, here, direction)
        across = is_turning(start, second_start, direction) | is_turning(first_end, here, direction)
        return level + 1, turning | (across & (level > 1))

    return lax.while_loop(unfinished, check, (jnp.int64(1), jnp.bool_(False)))[1]


def build_subtree(
    log_density_and_gradient: LogDensityAndGradient,
    metric: Metric,
    start: PhasePoint,
    candidate: Candidate,
    initial_energy: jax.Array,
    step_size: jax.Array,
    direction: jax.Array,
    depth: jax.Array,
    key: jax.Array,
    seams: Seams,
) -> Subtree:
    """Extend the trajectory from its end `start` by 2^depth leaves in `direction`.

    `candidate` gives the shapes and the offset of `start`; it is returned only when the first leaf diverges. The
    leaf's uniform is number 2^depth + leaf of `key`, so no two doublings share one.
    """
    num_leaves = jnp.left_shift(jnp.int64(1), depth)

    def unfinished(tree: Subtree) -> jax.Array:
        return (tree.num_steps < num_leaves) & tree.complete

    def next_leaf(tree: Subtree) -> Subtree:
        return visit(
            log_density_and_gradient,
            metric,
            tree,
            candidate.offset,
            initial_energy,
            step_size,
            direction,
            num_leaves,
            key,
        )

    return lax.while_loop(unfinished, next_leaf, empty_subtree(start, candidate, seams))


def empty_subtree(start: PhasePoint, candidate: Candidate, seams: Seams) -> Subtree:
    """A subtree without leaves, which begins at `start`."""
    zero = jnp.float64(0.0)
    return Subtree(start, candidate, zero, jnp.int64(0), zero, jnp.bool_(False), jnp.bool_(True), seams)


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
    trash = tree.seams.first_position.shape[0] - 1
    index = tree.num_steps
    leaf, log_density = leapfrog(log_density_and_gradient, metric, tree.end, step_size * direction)
    leaf, log_density = lax.optimization_barrier((leaf, log_density))  # as in `leapfrog`
    leaf_energy = energy(metric, leaf.momentum, log_density)
    log_weight = jnp.where(jnp.isfinite(leaf_energy), initial_energy - leaf_energy, -jnp.inf)
    diverging = log_weight < -DIVERGENCE_THRESHOLD
    leaf_weight = jnp.exp(jnp.minimum(log_weight, _LARGEST_LOG_WEIGHT))
    weight = tree.weight + leaf_weight
    take = random.uniform(key, num_leaves + index) * weight < leaf_weight

    bits = index.astype(jnp.uint64)
    ones = lax.population_count(bits >> 1).astype(jnp.int64)
    trailing = lax.population_count((bits ^ (bits + 1)) >> 1).astype(jnp.int64)
    first = jnp.where(trailing == 0, ones, trash)
    seams = Seams(
        _set_row(tree.seams.first_position, leaf.position, first),
        _set_row(tree.seams.first_momentum, leaf.momentum, first),
        _set_row(tree.seams.last_position, leaf.position, trailing),
        _set_row(tree.seams.last_momentum, leaf.momentum, trailing),
    )
    turning = _check_subtrees(seams, leaf, index, ones, trailing, direction)
    steps = (index + 1) * direction.astype(jnp.int64)
    here = Candidate(State(leaf.position, leaf.gradient, log_density), leaf_energy, start_offset + steps)
    return Subtree(
        end=leaf,
        candidate=select(take, here, tree.candidate),
        weight=weight,
        num_steps=index + 1,
        sum_acceptance=tree.sum_acceptance + jnp.minimum(leaf_weight, 1.0),
        diverging=diverging,
        complete=~(diverging | turning),
        seams=seams,
    )


def select(condition: jax.Array, if_true: T, if_false: T) -> T:
    """`jnp.where` over two trees of arrays."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), if_true, if_false)
