"""Laws of one trajectory that hold in every case: hypothesis looks for a case in which they do not.

`test_transition.py` holds every trajectory to a recursion written apart from the package; the laws here need no second
program. All are exact, so nothing is random but the choice of cases, and that is fixed (`derandomize`): no false
alarms. The poisons at the end are wrong kernels, each of which breaks a law in 3 of 200 cases at least.
"""

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from livenuts.compiler.x64 import x64
from livenuts.kernel import transition, tree
from livenuts.kernel.integrator import PhasePoint, leapfrog
from livenuts.kernel.metric import Diagonal
from livenuts.kernel.tree import State
from livenuts_reference import DIRECTION, MASK, direction_key

DEPTH_LIMIT = 10


@pytest.fixture(autouse=True, scope="module")
def _double_precision() -> Iterator[None]:
    with x64():
        yield


def log_density(target: Any, x: Any) -> Any:
    """A bowl, quadratic and quartic, with a wall behind which the density is NaN: at sum(tilt x) = 3."""
    quadratic, quartic, wall, tilt = target
    inside = wall * jnp.log(3.0 - jnp.vdot(tilt, x))
    return inside - 0.5 * jnp.vdot(quadratic, x**2) - 0.25 * jnp.vdot(quartic, x**4)


evaluate = jax.jit(jax.value_and_grad(log_density, argnums=1))


@dataclass(frozen=True)
class Case:
    """A target, a metric, a point in phase space, a step size, a depth cap and a key."""

    quadratic: Any
    quartic: Any
    wall: float
    tilt: Any
    inverse_mass: Any
    position: Any
    momentum: Any
    step_size: float
    max_depth: int
    key: int

    @property
    def target(self) -> tuple[Any, Any, float, Any]:
        return self.quadratic, self.quartic, self.wall, self.tilt

    def energy(self, position: Any, momentum: Any) -> float:
        kinetic = 0.5 * float(momentum @ (self.inverse_mass * momentum))
        return kinetic - float(evaluate(self.target, position)[0])

    def leaves(self, doublings: int) -> tuple[int, int]:
        """The offsets of the first and the last leaf after so many doublings, all of them joined."""
        right = direction_key(self.key) & ((1 << doublings) - 1)
        return right - ((1 << doublings) - 1), right


def make(number: int, dimension: int, walled: bool, log_step: float, max_depth: int) -> Case:
    rng = np.random.default_rng(number)
    inverse_mass = np.exp(rng.normal(0.0, 0.5, dimension))
    tilt = walled * rng.normal(0.0, 1.0, dimension)
    position = rng.normal(0.0, 1.0, dimension)
    position /= max(1.0, (tilt @ position) / 2.9)  # on the right side of the wall
    return Case(
        quadratic=np.exp(rng.normal(0.0, 0.7, dimension)),
        quartic=np.exp(rng.normal(-2.0, 1.0, dimension)),
        wall=float(walled),
        tilt=tilt,
        inverse_mass=inverse_mass,
        position=position,
        momentum=rng.normal(0.0, 1.0, dimension) / np.sqrt(inverse_mass),
        step_size=float(np.exp(log_step)),
        max_depth=max_depth,
        key=int(rng.integers(2**64, dtype=np.uint64)),
    )


CASES = st.builds(
    make,
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 3]),
    st.booleans(),
    st.floats(-4.5, 2.0),
    st.integers(1, DEPTH_LIMIT),
)


def every_case(law: Callable[[Case], None]) -> Callable[[Case], None]:
    return settings(max_examples=500, deadline=None, derandomize=True)(given(CASES)(law))


def _trajectory(target: Any, inverse_mass: Any, position: Any, momentum: Any, key: Any, step: Any, depth: Any) -> Any:
    def here(x: Any) -> Any:
        return evaluate(target, x)

    value, gradient = here(position)
    state = State(position, gradient, value)
    room = tree.make_room(DEPTH_LIMIT, position.shape[0])
    return transition.trajectory(here, Diagonal(inverse_mass), state, momentum, key, step, depth, room)[:2]


_compiled = functools.cache(lambda poison: jax.jit(lambda *arguments: _trajectory(*arguments)))
_poison = ""


def run(case: Case) -> tuple[State, transition.Info]:
    """The trajectory's outcome as NumPy values."""
    outcome = _compiled(_poison)(
        case.target,
        case.inverse_mass,
        case.position,
        case.momentum,
        np.uint64(case.key),
        case.step_size,
        np.int64(case.max_depth),
    )
    return jax.tree.map(np.asarray, outcome)


def extent(info: transition.Info) -> tuple[Any, ...]:
    """What does not depend on which leaf was drawn."""
    return int(info.tree_depth), int(info.num_steps), bool(info.diverging), float(info.acceptance_rate)


# -- laws --------------------------------------------------------------------------------------------------------------


def tree_is_within_its_bounds(case: Case) -> None:
    """The cap holds, a complete tree has 2^depth - 1 leaves, acceptance is a mean of probabilities, and the drawn leaf
    lies within what was joined: never in a half that was given up, be it for a turn or for a divergence."""
    _, info = run(case)
    depth, steps, diverging, acceptance = extent(info)
    assert 1 <= depth <= case.max_depth
    assert 2 ** (depth - 1) <= steps <= 2**depth - 1
    assert 0.0 <= acceptance <= 1.0
    whole = steps == 2**depth - 1 and not diverging
    first, last = case.leaves(depth if whole else depth - 1)
    assert first <= int(info.offset) <= last


def drawn_state_is_on_the_path(case: Case) -> None:
    """As many leapfrog steps away as the offset says, with its own density, gradient and energy."""
    state, info = run(case)
    offset = int(info.offset)
    value, gradient = evaluate(case.target, state.position)
    np.testing.assert_allclose(state.log_density, value, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(state.gradient, gradient, rtol=1e-9, atol=1e-9)
    there = walk(case, offset)
    np.testing.assert_allclose(state.position, there.position, rtol=1e-6, atol=1e-9)
    assert float(info.energy) == pytest.approx(case.energy(there.position, there.momentum), rel=1e-6, abs=1e-9)
    if offset == 0:
        np.testing.assert_array_equal(state.position, case.position)


@jax.jit
def _walk(target: Any, inverse_mass: Any, position: Any, momentum: Any, step_size: Any, steps: Any) -> PhasePoint:
    def step(_: Any, point: PhasePoint) -> PhasePoint:
        return leapfrog(lambda x: evaluate(target, x), Diagonal(inverse_mass), point, step_size)[0]

    return jax.lax.fori_loop(0, steps, step, PhasePoint(position, momentum, evaluate(target, position)[1]))


def walk(case: Case, offset: int) -> PhasePoint:
    step_size = case.step_size if offset >= 0 else -case.step_size
    point = _walk(case.target, case.inverse_mass, case.position, case.momentum, step_size, np.int64(abs(offset)))
    return jax.tree.map(np.asarray, point)


def mirror_image_is_the_same(case: Case) -> None:
    """Target and start reflected in the origin: the same bits, reflected."""
    state, info = run(case)
    mirrored = replace(case, tilt=-case.tilt, position=-case.position, momentum=-case.momentum)
    image, image_info = run(mirrored)
    assert extent(image_info) == extent(info)
    assert int(image_info.offset) == int(info.offset)
    np.testing.assert_array_equal(image.position, -state.position)


def time_reversed_is_the_same(case: Case) -> None:
    """Momentum reversed and every direction too: the same leaves, in the same order, to the bit."""
    turned = replace(case, momentum=-case.momentum, key=opposite(case.key))
    assert direction_key(turned.key) == direction_key(case.key) ^ MASK
    assert extent(run(turned)[1]) == extent(run(case)[1])


def opposite(key: int) -> int:
    """The key whose directions are all the other way: SplitMix64's finalizer is undone."""
    z = direction_key(key) ^ MASK
    for shift, factor in ((31, 0x94D049BB133111EB), (27, 0xBF58476D1CE4E5B9)):
        z = ((z ^ (z >> shift) ^ (z >> 2 * shift)) * pow(factor, -1, 1 << 64)) & MASK
    return z ^ (z >> 30) ^ (z >> 60) ^ DIRECTION


def other_units_are_the_same(case: Case) -> None:
    """Coordinates in units that are powers of two, metric and target with them: the same bits, rescaled."""
    state, info = run(case)
    unit = 2.0 ** np.arange(-2, 2 * len(case.position) - 2, 2)
    rescaled = replace(
        case,
        quadratic=case.quadratic / unit**2,
        quartic=case.quartic / unit**4,
        tilt=case.tilt / unit,
        inverse_mass=case.inverse_mass * unit**2,
        position=case.position * unit,
        momentum=case.momentum / unit,
    )
    there, there_info = run(rescaled)
    assert extent(there_info) == extent(info)
    assert int(there_info.offset) == int(info.offset)
    np.testing.assert_array_equal(there.position, state.position * unit)


def other_order_is_the_same(case: Case) -> None:
    """Coordinates in another order: the same tree, to rounding."""
    state, info = run(case)
    names = ("quadratic", "quartic", "tilt", "inverse_mass", "position", "momentum")
    there, there_info = run(replace(case, **{name: getattr(case, name)[::-1] for name in names}))
    assert extent(there_info)[:3] == extent(info)[:3]
    assert int(there_info.offset) == int(info.offset)
    np.testing.assert_allclose(there.position[::-1], state.position, rtol=1e-5, atol=1e-8)


def cap_beyond_the_end_changes_nothing(case: Case) -> None:
    """A tree that ended by itself is the same under a higher cap; one that was cut has the leaves of the cut."""
    state, info = run(case)
    freer, freer_info = run(replace(case, max_depth=DEPTH_LIMIT))
    if int(info.tree_depth) < case.max_depth:
        np.testing.assert_array_equal(freer.position, state.position)
        assert extent(freer_info) == extent(info)
    assert int(freer_info.num_steps) >= int(info.num_steps)


def same_key_gives_the_same_bits(case: Case) -> None:
    for first, second in zip(jax.tree.leaves(run(case)), jax.tree.leaves(run(case)), strict=True):
        np.testing.assert_array_equal(first, second)


def energy_error_is_that_of_the_shadow(case: Case) -> None:
    """On a quadratic bowl leapfrog conserves H - step^2 sum(a^2 m x^2) / 8 exactly, so the error of any leaf is known,
    and it is of second order in the step."""
    bowl = replace(case, quartic=np.zeros_like(case.quartic), wall=0.0, tilt=np.zeros_like(case.tilt))
    fastest = np.sqrt((bowl.quadratic * bowl.inverse_mass).max())
    bowl = replace(bowl, step_size=min(bowl.step_size, 1.9 / fastest))
    state, info = run(bowl)
    weights = bowl.step_size**2 * bowl.quadratic**2 * bowl.inverse_mass / 8
    error = float(weights @ (state.position**2 - bowl.position**2))
    before = bowl.energy(bowl.position, bowl.momentum)
    assert float(info.energy) - before == pytest.approx(error, rel=1e-6, abs=1e-8 * max(1.0, before))
    assert not info.diverging


def flat_potential_never_turns(case: Case) -> None:
    """A straight line up to the cap; every doubling weighs as much as all before it, so the draw is from the last."""
    zero = np.zeros_like(case.quadratic)
    flat = replace(case, quadratic=zero, quartic=zero, wall=0.0, tilt=zero)
    state, info = run(flat)
    assert extent(info) == (flat.max_depth, 2**flat.max_depth - 1, False, 1.0)
    offset, (first, last) = int(info.offset), flat.leaves(flat.max_depth - 1)
    assert offset < first or offset > last
    line = flat.position + offset * flat.step_size * flat.inverse_mass * flat.momentum
    np.testing.assert_allclose(state.position, line, rtol=1e-9, atol=1e-9)


def path_is_traced_back(case: Case) -> None:
    """From the drawn state, as many steps the other way: back to where it began."""
    offset = int(run(case)[1].offset)
    there = walk(case, offset)
    back = walk(replace(case, position=there.position, momentum=there.momentum), -offset)
    np.testing.assert_allclose(back.position, case.position, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(back.momentum, case.momentum, rtol=1e-6, atol=1e-8)


LAWS = (
    tree_is_within_its_bounds,
    drawn_state_is_on_the_path,
    path_is_traced_back,
    mirror_image_is_the_same,
    time_reversed_is_the_same,
    other_units_are_the_same,
    other_order_is_the_same,
    cap_beyond_the_end_changes_nothing,
    same_key_gives_the_same_bits,
    energy_error_is_that_of_the_shadow,
    flat_potential_never_turns,
)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_law(law: Callable[[Case], None]) -> None:
    every_case(law)()


def test_cases_are_worth_the_name() -> None:
    """Long trees and short ones, halves given up for a turn and for a divergence, in both dimensions."""
    found = [extent(run(case)[1])[:3] for case in some_cases(300)]
    assert {depth for depth, _, _ in found} >= set(range(1, 9))
    assert sum(diverging for _, _, diverging in found) >= 20
    assert sum(steps < 2**depth - 1 and not diverging for depth, steps, diverging in found) >= 20


def some_cases(count: int, log_steps: tuple[float, float] = (-4.5, 2.0)) -> list[Case]:
    rng = np.random.default_rng(9)
    return [
        make(number, (1, 3)[number % 2], number % 4 > 1, rng.uniform(*log_steps), int(rng.integers(1, DEPTH_LIMIT + 1)))
        for number in range(count)
    ]


# -- poisons -----------------------------------------------------------------------------------------------------------

_build_subtree, _is_turning = transition.build_subtree, tree.is_turning


def merge_invalid(*arguments: Any) -> Any:
    """A half that turns or diverges joins the trajectory, which ends there."""
    new = _build_subtree(*arguments)
    return new._replace(complete=jnp.bool_(True), end=tree.select(new.complete, new.end, arguments[2]))


def always_right(*arguments: Any) -> Any:
    """The new half goes forward in time whatever side it is on."""
    *before, _, depth, key, room = arguments
    return _build_subtree(*before, jnp.float64(1.0), depth, key, room)


def endpoint_gradient(*arguments: Any) -> Any:
    """The gradient of the trajectory's end is carried on with the drawn position."""
    new = _build_subtree(*arguments)
    return new._replace(room=new.room._replace(gradient=new.room.gradient.at[-2].set(new.end.gradient)))


def unbounded_acceptance(*arguments: Any) -> Any:
    """exp(H0 - H) is averaged as it is, above 1 too."""
    new = _build_subtree(*arguments)
    return new._replace(sum_acceptance=new.weight)


def direction_forgotten(earlier: Any, later: Any, direction: Any) -> Any:
    """Time runs forward on both sides."""
    return _is_turning(earlier, later, jnp.float64(1.0))


def absolute_scale(earlier: Any, later: Any, direction: Any) -> Any:
    """A U-turn check that knows a length."""
    return _is_turning(earlier, later, direction) | (jnp.vdot(later[0], later[0]) > 9.0)


POISONS: list[tuple[str, Any, Callable[[Case], None]]] = [
    ("build_subtree", merge_invalid, tree_is_within_its_bounds),
    ("build_subtree", always_right, time_reversed_is_the_same),
    ("build_subtree", endpoint_gradient, drawn_state_is_on_the_path),
    ("build_subtree", unbounded_acceptance, tree_is_within_its_bounds),
    ("is_turning", direction_forgotten, time_reversed_is_the_same),
    ("is_turning", absolute_scale, other_units_are_the_same),
]


@pytest.mark.parametrize(("piece", "poison", "law"), POISONS, ids=lambda value: getattr(value, "__name__", value))
def test_poison_breaks_a_law(monkeypatch: pytest.MonkeyPatch, piece: str, poison: Any, law: Any) -> None:
    for owner in (transition, tree):
        if hasattr(owner, piece):
            monkeypatch.setattr(owner, piece, poison)
    monkeypatch.setattr(f"{__name__}._poison", poison.__name__)  # compiled anew
    broken = 0
    for case in some_cases(400, (-4.0, -1.0))[1::2]:
        try:
            law(case)
        except AssertionError:
            broken += 1
    assert broken >= 3
