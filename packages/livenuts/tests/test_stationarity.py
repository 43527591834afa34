"""A transition leaves its target alone: from exact draws come exact draws, and a small wrong shows."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from livenuts.compiler.native import compile_native
from livenuts.compiler.x64 import x64
from livenuts.kernel import random, transition
from livenuts.kernel.metric import Diagonal
from livenuts.kernel.tree import State, make_room
from livenuts_checks import Z
from livenuts_reference import MASK, MOMENTUM, RecursiveNUTS, random_normal, splitmix_finalizer
from scipy.stats import norm

COUNT = 300_000
# A unit normal for the first coordinate, correlated 0.6 with the second.
PRECISION = np.linalg.inv(np.array([[1.0, 0.6], [0.6, 1.0]]))


@pytest.fixture(autouse=True)
def _double_precision() -> Iterator[None]:
    with x64():
        yield


def log_density(position: jax.Array) -> jax.Array:
    return -0.5 * position @ (PRECISION @ position)


def evaluate(position: jax.Array) -> tuple[jax.Array, jax.Array]:
    return log_density(position), -PRECISION @ position


class Louder(Diagonal):
    """Poison: momenta 2 % too large."""

    def momentum(self, standard_normal: jax.Array) -> jax.Array:
        return 1.02 * super().momentum(standard_normal)


def after_transitions(step_size: float, repeats: int, metric: type[Diagonal] = Diagonal) -> np.ndarray:
    """Positions after `repeats` transitions, each from an exact draw of the target: (COUNT, 2)."""
    rng = np.random.default_rng(7)
    starts = rng.normal(size=(COUNT, 2)) @ np.array([[1.0, 0.6], [0.0, 0.8]])

    def run(starts: Any, key: Any, step_size: Any) -> Any:
        def one(row: Any, positions: Any) -> Any:
            def again(number: Any, state: State) -> State:
                return transition.transition(
                    evaluate,
                    metric(jnp.ones(2)),
                    state,
                    random.at(key, row * repeats + number),
                    step_size,
                    jnp.int64(10),
                    make_room(10, 2),
                )[0]

            position = starts[row]
            value, gradient = evaluate(position)
            state = jax.lax.fori_loop(0, repeats, again, State(position, gradient, value))
            return jax.lax.dynamic_update_index_in_dim(positions, state.position, row, 0)

        return jax.lax.fori_loop(0, COUNT, one, jnp.zeros((COUNT, 2)))

    arguments = (starts, np.uint64(99), np.float64(step_size))
    compiled = compile_native(run, arguments)
    assert compiled is not None
    return np.asarray(compiled(*arguments))


def scores(positions: np.ndarray) -> dict[str, float]:
    """z-scores of independent draws: means, variances, covariance, tails."""
    x, y = positions.T
    claims: dict[str, tuple[np.ndarray, float]] = {
        "mean": (x, 0.0),
        "variance": (x**2, 1.0),
        "variance of the second": (y**2, 1.0),
        "covariance": (x * y, 0.6),
        "fourth moment": (x**4, 3.0),
    }
    claims |= {f"below {p}": ((x < norm.ppf(p)).astype(float), p) for p in (0.01, 0.1, 0.5, 0.9, 0.99)}
    return {
        name: float((values.mean() - expected) / (values.std() / np.sqrt(len(values))))
        for name, (values, expected) in claims.items()
    }


@pytest.mark.parametrize("step_size", [0.25, 0.9, 1.3])
def test_exact_draws_stay_exact(step_size: float) -> None:
    """300,000 independent draws, three transitions each. Ten z-scores within 5: false-alarm rate 6e-6 a case."""
    found = scores(after_transitions(step_size, 3))
    assert max(map(abs, found.values())) < Z, found


_build_subtree = transition.build_subtree


def merge_invalid(*arguments: Any) -> Any:
    """Poison: a half that turns inside itself joins the trajectory all the same (variance 1.38 once)."""
    new = _build_subtree(*arguments)
    return new._replace(
        complete=jnp.bool_(True),
        end=jax.tree.map(lambda end, near: jnp.where(new.complete, end, near), new.end, arguments[2]),
    )


def always_right(*arguments: Any) -> Any:
    """Poison: a half that belongs on the left is built forward in time from the left end."""
    *before, _, depth, key, room = arguments
    return _build_subtree(*before, jnp.float64(1.0), depth, key, room)


def endpoint_gradient(*arguments: Any) -> Any:
    """Poison: the drawn position keeps the gradient of the trajectory's end (variance 1.5 once)."""
    new = _build_subtree(*arguments)
    return new._replace(room=new.room._replace(gradient=new.room.gradient.at[-2].set(new.end.gradient)))


@pytest.mark.parametrize("poison", [merge_invalid, always_right, endpoint_gradient])
def test_a_wrong_tree_shows(monkeypatch: pytest.MonkeyPatch, poison: Callable[..., Any]) -> None:
    monkeypatch.setattr(transition, "build_subtree", poison)
    found = scores(after_transitions(0.25 if poison is merge_invalid else 0.9, 3))
    assert max(map(abs, found.values())) > 2 * Z, found


def test_louder_momenta_show() -> None:
    found = scores(after_transitions(0.9, 3, Louder))
    assert max(map(abs, found.values())) > 2 * Z, found


# -- how often the chain does not move ---------------------------------------------------------------------------------


def reference_momentum(key: int, dimension: int) -> np.ndarray:
    own = splitmix_finalizer((key ^ MOMENTUM) & MASK)
    return random_normal(own, dimension)


def test_duplicate_rate_is_that_of_the_exact_law() -> None:
    """4,000 transitions on a unit normal at the tuned step size: how often index 0 was drawn, against the sum of its
    exact probabilities (z within 5, false-alarm rate 6e-7), and below 12 %: a sampler that prefers the old state
    (uniform progressive sampling: a third) does not pass."""
    rng = np.random.default_rng(11)
    starts, keys = rng.normal(size=(4000, 1)), rng.integers(2**64, size=4000, dtype=np.uint64)
    step_size = 1.3

    def one(position: Any, key: Any) -> Any:
        state = State(position, -position, -0.5 * jnp.vdot(position, position))
        return transition.transition(
            lambda x: (-0.5 * jnp.vdot(x, x), -x),
            Diagonal(jnp.ones(1)),
            state,
            key,
            step_size,
            jnp.int64(10),
            make_room(10, 1),
        )[1]

    info = jax.jit(lambda starts, keys: jax.lax.map(lambda pair: one(*pair), (starts, keys)))(starts, keys)
    stayed = np.asarray(info.offset) == 0
    probabilities, uniform = [], []
    nuts = RecursiveNUTS(lambda x: (-0.5 * float(x @ x), -x), np.ones(1), step_size, 10)
    for position, key, offset in zip(starts, keys.tolist(), np.asarray(info.offset).tolist(), strict=True):
        outcome = nuts.transition(position, reference_momentum(key, 1), key)
        assert outcome.index == offset  # the whole transition, momentum included, is the reference's
        probabilities.append(outcome.law[0])
        total = 1.0 + sum(np.exp(leaf.log_weight) for leaf in outcome.visited if leaf.index in outcome.law)
        uniform.append(1.0 / total)
    exact = np.array(probabilities)
    z = (stayed.sum() - exact.sum()) / np.sqrt((exact * (1.0 - exact)).sum())
    assert abs(z) < Z
    assert stayed.mean() < 0.12
    # Poison: uniform progressive sampling stays more often; this check would see it.
    assert (np.sum(uniform) - exact.sum()) / np.sqrt((exact * (1.0 - exact)).sum()) > 2 * Z
