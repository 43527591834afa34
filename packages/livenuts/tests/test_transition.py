"""The transition against a recursive NUTS in plain Python: the same trajectory, the same index, the exact law."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from livenuts.compiler.x64 import x64
from livenuts.kernel import random, transition, tree
from livenuts.kernel.metric import Diagonal
from livenuts.kernel.tree import State
from livenuts_checks import P, chi_square, p_value
from livenuts_reference import RecursiveNUTS

DEPTH_LIMIT = 10


@pytest.fixture(autouse=True)
def _double_precision() -> Iterator[None]:
    with x64():
        yield


# Targets, once for JAX and once for NumPy: `xp` is either module. Parameters `a` have shape (3,).


def gaussian(xp: Any, a: Any, x: Any) -> Any:
    rotated = xp.stack([x[0] + 0.3 * x[1], x[1] - 0.4 * x[2], x[2]])
    return -0.5 * (xp.exp(a) * rotated**2).sum()


def funnel(xp: Any, a: Any, x: Any) -> Any:
    return -(x[0] ** 2) / 18.0 - 0.5 * xp.exp(-x[0]) * (x[1] ** 2 + x[2] ** 2) - x[0]


def wells(xp: Any, a: Any, x: Any) -> Any:
    return -((x**2 - a**2) ** 2).sum()


def half_line(xp: Any, a: Any, x: Any) -> Any:
    """NaN where x[0] is negative."""
    return xp.log(x[0]) - x[0] - 0.5 * (x[1:] ** 2).sum()


def gradient_of(target: Callable[..., Any], a: np.ndarray, x: np.ndarray) -> np.ndarray:
    """By hand, so that the reference owes nothing to JAX."""
    if target is gaussian:
        rotated = np.array([x[0] + 0.3 * x[1], x[1] - 0.4 * x[2], x[2]])
        pulled = np.exp(a) * rotated
        return -np.array([pulled[0], 0.3 * pulled[0] + pulled[1], -0.4 * pulled[1] + pulled[2]])
    if target is funnel:
        square = x[1] ** 2 + x[2] ** 2
        narrow = np.exp(-x[0])
        return np.array([-x[0] / 9.0 + 0.5 * narrow * square - 1.0, -narrow * x[1], -narrow * x[2]])
    if target is wells:
        return -4.0 * (x**2 - a**2) * x
    return np.array([1.0 / x[0] - 1.0, -x[1], -x[2]])


TARGETS = (gaussian, funnel, wells, half_line)


def compiled(target: Callable[..., Any]) -> Callable[..., Any]:
    """`trajectory` as a jitted function of everything that a case may choose."""

    def call(a: Any, inverse_mass: Any, position: Any, momentum: Any, key: Any, step_size: Any, depth: Any) -> Any:
        evaluate = jax.value_and_grad(lambda x: target(jnp, a, x))
        log_density, gradient = evaluate(position)
        state = State(position, gradient, log_density)
        room = tree.make_room(DEPTH_LIMIT, 3)
        metric = Diagonal(inverse_mass)
        return transition.trajectory(evaluate, metric, state, momentum, key, step_size, depth, room)[:2]

    return jax.jit(call)


class Case:
    """A random target, metric, position, momentum and step size."""

    def __init__(self, target: Callable[..., Any], number: int) -> None:
        rng = np.random.default_rng([number, TARGETS.index(target)])
        self.target = target
        self.a = rng.normal(0.0, 1.5, 3)
        self.inverse_mass = np.exp(rng.normal(0.0, 0.7, 3))
        self.position = rng.normal(0.0, 1.5, 3)
        if target is half_line:
            self.position[0] = abs(self.position[0])
        self.momentum = rng.normal(0.0, 1.0, 3) / np.sqrt(self.inverse_mass)
        self.step_size = float(np.exp(rng.uniform(np.log(0.01), np.log(1.0))))
        self.max_depth = int(rng.choice([2, 6, 10, 10]))
        self.key = int(rng.integers(2**64, dtype=np.uint64))

    def expected(self, key: int | None = None) -> Any:
        with np.errstate(all="ignore"):
            nuts = RecursiveNUTS(
                lambda x: (float(self.target(np, self.a, x)), gradient_of(self.target, self.a, x)),
                self.inverse_mass,
                self.step_size,
                self.max_depth,
            )
            return nuts.transition(self.position, self.momentum, self.key if key is None else key)

    def arguments(self, key: Any = None) -> tuple[Any, ...]:
        key = np.uint64(self.key) if key is None else key
        return (self.a, self.inverse_mass, self.position, self.momentum, key, self.step_size, self.max_depth)


def disagreements(target: Callable[..., Any], numbers: range) -> tuple[list[int], list[Any]]:
    """The cases in which the kernel differs from the recursion in any way, and what the recursion found in each."""
    call = compiled(target)
    different, outcomes = [], []
    for number in numbers:
        case = Case(target, number)
        expected = case.expected()
        outcomes.append(expected)
        state, info = call(*case.arguments())
        here = {0: case.position} | {leaf.index: leaf.position for leaf in expected.visited}
        same = (
            (int(info.tree_depth), int(info.num_steps), bool(info.diverging), int(info.offset))
            == (expected.depth, expected.num_steps, expected.diverging, expected.index)
            and np.isclose(float(info.acceptance_rate), expected.acceptance_rate, rtol=1e-6, atol=1e-9)
            and np.allclose(state.position, here[int(info.offset)], rtol=1e-6, atol=1e-9)
            and np.allclose(state.gradient, gradient_of(target, case.a, np.asarray(state.position)), rtol=1e-9)
            and np.isclose(float(state.log_density), target(np, case.a, np.asarray(state.position)), rtol=1e-9)
        )
        if not same:
            different.append(number)
    return different, outcomes


@pytest.mark.parametrize("target", TARGETS)
def test_every_trajectory_is_that_of_the_recursion(target: Callable[..., Any]) -> None:
    """Exact: depth, steps, divergence, acceptance, the drawn leaf, its gradient and density, in 500 random cases."""
    different, outcomes = disagreements(target, range(500))
    assert different == []
    # The cases are worth the name: long trees, U-turns inside a half, divergences where the target has them.
    assert max(outcome.num_steps for outcome in outcomes) >= 127
    assert sum(outcome.num_steps < 2**outcome.depth - 1 and not outcome.diverging for outcome in outcomes) >= 10
    assert sum(outcome.diverging for outcome in outcomes) >= 5
    assert len({outcome.depth for outcome in outcomes}) >= 7


# -- poisons: each is a bug that was made before; the comparison above, or the law below, must see it ------------------

_build_subtree, _Trajectory = transition.build_subtree, transition._Trajectory


def merge_invalid(*arguments: Any) -> Any:
    """A turning or divergent half joins the trajectory (which ends there)."""
    new = _build_subtree(*arguments)
    near = arguments[2]
    return new._replace(complete=jnp.bool_(True), end=tree.select(new.complete, new.end, near))


def always_right(*arguments: Any) -> Any:
    """The new half goes forward in time whatever side it is on."""
    *before, _, depth, key, room = arguments
    return _build_subtree(*before, jnp.float64(1.0), depth, key, room)


def endpoint_gradient(*arguments: Any) -> Any:
    """The gradient of the trajectory's end is carried on with the drawn position."""
    new = _build_subtree(*arguments)
    return new._replace(room=new.room._replace(gradient=new.room.gradient.at[-2].set(new.end.gradient)))


def reused_uniforms(*arguments: Any) -> Any:
    """Every doubling uses the leaf uniforms of the first."""
    *before, depth, key, room = arguments
    return _build_subtree(*before, depth, key - (jnp.uint64(1) << depth.astype(jnp.uint64)) * random.GOLDEN, room)


def unchecked_subtrees(*arguments: Any) -> Any:
    """Only divergence abandons a half: U-turns inside it go unseen."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tree, "_check_subtrees", lambda *_: jnp.bool_(False))
        return _build_subtree(*arguments)


def without_the_start(**fields: Any) -> Any:
    """The start has no weight: the first half is taken always."""
    if fields["depth"] is fields["num_steps"]:  # the trajectory of one state
        fields["weight"] = jnp.float64(0.0)
    return _Trajectory(**fields)


POISONS = [
    ("build_subtree", merge_invalid),
    ("build_subtree", always_right),
    ("build_subtree", endpoint_gradient),
    ("build_subtree", reused_uniforms),
    ("build_subtree", unchecked_subtrees),
    ("_Trajectory", without_the_start),
]


@pytest.mark.parametrize(("piece", "poison"), POISONS)
def test_the_comparison_sees_poison(monkeypatch: pytest.MonkeyPatch, piece: str, poison: Any) -> None:
    monkeypatch.setattr(transition, piece, poison)
    different, _ = disagreements(wells, range(60))
    assert len(different) >= 5


# -- the law of the selected index -------------------------------------------------------------------------------------


def index_counts(case: Case, num_keys: int) -> dict[int, dict[int, int]]:
    """How often each index was drawn over many keys, by the directions of the trajectory's doublings."""
    keys = np.random.default_rng(case.key).integers(2**64, size=num_keys, dtype=np.uint64)
    call = compiled(case.target)
    fixed = case.arguments(key=0)
    one = jax.jit(lambda keys: jax.lax.map(lambda key: call(*fixed[:4], key, *fixed[5:])[1].offset, keys))
    indices = np.asarray(one(keys))
    directions = np.asarray(random.mix(jnp.asarray(keys) ^ random.DIRECTION)) & np.uint64(2**case.max_depth - 1)
    counts: dict[int, dict[int, int]] = {}
    for bits, index in zip(directions.tolist(), indices.tolist(), strict=True):
        group = counts.setdefault(bits, {})
        group[index] = group.get(index, 0) + 1
    # A key for each group, to condition the recursion on its directions.
    counts_by_key: dict[int, dict[int, int]] = {}
    for key, bits in zip(keys.tolist(), directions.tolist(), strict=True):
        if bits in counts:
            counts_by_key[key] = counts.pop(bits)
    return counts_by_key


def law_p_value(case: Case, counts: dict[int, dict[int, int]], law: Callable[[Any], dict[int, float]]) -> float:
    """Of the chi-square statistic, summed over the groups of directions."""
    statistic, degrees = 0.0, 0
    for key, group in counts.items():
        expected = law(case.expected(key))
        if set(group) - {i for i, p in expected.items() if p > 0.0}:
            return 0.0  # an index that cannot be
        cells = sorted(expected)
        s, d = chi_square(np.array([group.get(i, 0) for i in cells], float), np.array([expected[i] for i in cells]))
        statistic, degrees = statistic + s, degrees + d
    return p_value(statistic, degrees)


def law_case(target: Callable[..., Any] = wells) -> Case:
    """A few doublings with uneven weights, some of them refused, whatever the directions."""
    case = Case(target, 0)
    case.a, case.inverse_mass = np.array([1.0, 0.7, 1.3]), np.array([1.0, 0.6, 1.2])
    case.position, case.momentum = np.array([0.9, -0.6, 1.5]), np.array([-0.8, 0.9, 0.4])
    case.step_size, case.max_depth = 0.19, 4
    return case


def by_the_book(outcome: Any) -> dict[int, float]:
    return outcome.law


def uniform_progressive(outcome: Any) -> dict[int, float]:
    """Multinomial over the whole trajectory: as valid as the biased law, and not what is promised."""
    weights = {i: np.exp(leaf.log_weight) for i, leaf in {leaf.index: leaf for leaf in outcome.visited}.items()}
    joined = {i: w for i, w in weights.items() if i in outcome.law} | {0: 1.0}
    total = sum(joined.values())
    return {i: w / total for i, w in joined.items()}


def test_selected_index_follows_its_exact_law() -> None:
    """Chi-square over 16 groups of directions, 200,000 keys; false-alarm rate 1e-7."""
    case = law_case()
    counts = index_counts(case, 200_000)
    outcomes = [case.expected(key) for key in counts]
    assert len(counts) == 16
    assert max(len(outcome.law) for outcome in outcomes) >= 8  # long enough to tell laws apart
    assert any(outcome.num_steps < 2**outcome.depth - 1 for outcome in outcomes)  # and some halves were refused
    assert law_p_value(case, counts, by_the_book) > P
    assert law_p_value(case, counts, uniform_progressive) < 1e-30
    # The start is kept as rarely as the law says: biased progressive sampling moves.
    kept = sum(group.get(0, 0) for group in counts.values()) / 200_000
    exact = np.mean([outcome.law[0] for outcome in outcomes])
    assert abs(kept - exact) < 5 * np.sqrt(exact * (1 - exact) / 200_000) + 0.002  # groups are not equally frequent


@pytest.mark.parametrize(
    ("piece", "poison"),
    [("build_subtree", merge_invalid), ("build_subtree", always_right), ("_Trajectory", without_the_start)],
)
def test_the_law_sees_poison(monkeypatch: pytest.MonkeyPatch, piece: str, poison: Any) -> None:
    monkeypatch.setattr(transition, piece, poison)
    case = law_case()
    assert law_p_value(case, index_counts(case, 50_000), by_the_book) < 1e-20
