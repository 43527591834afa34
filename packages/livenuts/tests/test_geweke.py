"""Geweke's joint distribution test of the transition (Geweke 2004, "Getting it right").

Data given parameters, parameters given data by one transition, and so on: the pair keeps the joint law of the prior
and the likelihood, of which every moment below is known exactly. Each of 256 chains begins with an exact draw, so its
mean has exactly the right expectation, and the chains are independent: their means' own spread is the standard error,
whatever the correlation inside a chain. A p-value is Student's t with 255 degrees; 17 moments in 5 runs must each
exceed 1e-6 / 85, so the false-alarm rate of the file is below 1e-6, and so is that of the long version.

A wrong gradient is harmless, and the last test holds it to that: any force that is a function of the position makes a
reversible, volume preserving step, and the energies decide what is drawn.
"""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from livenuts.compiler.native import compile_native, compile_usual
from livenuts.compiler.x64 import x64
from livenuts.kernel import random, transition, tree
from livenuts.kernel.metric import Diagonal, Metric, low_rank
from livenuts.kernel.tree import State, make_room
from scipy import stats

CHAINS, STEPS, LONG = 256, 1500, 30_000
OBSERVATIONS = 4
LEAST = 1e-6 / 85
DATA = np.uint64(0x5851F42D4C957F2D)
DIAGONAL = Diagonal(np.array([0.4, 0.3]))
# The log scale has standard deviation 0.7.
SPREAD = 0.7


@pytest.fixture(autouse=True)
def _double_precision() -> Iterator[None]:
    with x64():
        yield


def log_density(y: Any, position: Any) -> Any:
    """mu ~ N(0, 1), s ~ N(0, 0.7), y_i ~ N(mu, exp(s))."""
    mu, s = position
    residuals = (y - mu) * jnp.exp(-s)
    return -0.5 * mu**2 - 0.5 * (s / SPREAD) ** 2 - OBSERVATIONS * s - 0.5 * residuals @ residuals


# Each moment with its exact value; r are the residuals, (y - mu) exp(-s): standard normal, independent of mu and s.
MOMENTS: dict[str, tuple[Callable[..., Any], float]] = {
    "mu": (lambda mu, s, r: mu, 0.0),
    "s": (lambda mu, s, r: s, 0.0),
    "mu^2": (lambda mu, s, r: mu**2, 1.0),
    "s^2": (lambda mu, s, r: s**2, SPREAD**2),
    "mu^4": (lambda mu, s, r: mu**4, 3.0),
    "s^3": (lambda mu, s, r: s**3, 0.0),
    "mu s": (lambda mu, s, r: mu * s, 0.0),
    "mu^2 s^2": (lambda mu, s, r: mu**2 * s**2, SPREAD**2),
    "r": (lambda mu, s, r: r.mean(), 0.0),
    "mu r": (lambda mu, s, r: mu * r.mean(), 0.0),
    "s r": (lambda mu, s, r: s * r.mean(), 0.0),
    "r^2": (lambda mu, s, r: r @ r, OBSERVATIONS),
    "s r^2": (lambda mu, s, r: s * (r @ r), 0.0),
    "|mu| s": (lambda mu, s, r: abs(mu) * s, 0.0),
    "|mu| r^2": (lambda mu, s, r: abs(mu) * (r @ r), OBSERVATIONS * np.sqrt(2 / np.pi)),
    "mu tail": (lambda mu, s, r: (mu > stats.norm.ppf(0.95)) * 1.0, 0.05),
    "s tail": (lambda mu, s, r: (s < SPREAD * stats.norm.ppf(0.05)) * 1.0, 0.05),
}


def log_density_and_gradient(y: Any, position: Any) -> tuple[Any, Any]:
    return jax.value_and_grad(lambda x: log_density(y, x))(position)


def p_values(
    step_size: float,
    metric: Metric = DIAGONAL,
    steps: int = STEPS,
    evaluate: Callable[..., Any] = log_density_and_gradient,
) -> dict[str, float]:
    """Of each moment under the successive-conditional simulator, by one compiled loop."""
    rng = np.random.default_rng(2004)
    starts = rng.normal(size=(CHAINS, 2)) * [1.0, SPREAD]
    functions = [function for function, _ in MOMENTS.values()]

    def run(starts: Any, key: Any, step_size: Any) -> Any:
        def chain(number: Any, means: Any) -> Any:
            def step(t: Any, carry: Any) -> Any:
                position, sums = carry
                own = random.at(key, number * steps + t)
                noise = random.normal(random.mix(own ^ DATA), OBSERVATIONS)
                y = position[0] + jnp.exp(position[1]) * noise
                value, gradient = evaluate(y, position)
                state, *_ = transition.transition(
                    lambda x: evaluate(y, x),
                    metric,
                    State(position, gradient, value),
                    own,
                    step_size,
                    jnp.int64(6),
                    make_room(6, 2),
                )
                mu, s = state.position
                moments = jnp.stack([function(mu, s, (y - mu) * jnp.exp(-s)) for function in functions])
                return state.position, sums + moments

            start = (starts[number], jnp.zeros(len(functions)))
            sums = jax.lax.fori_loop(0, steps, step, start)[1]
            return jax.lax.dynamic_update_index_in_dim(means, sums / steps, number, 0)

        return jax.lax.fori_loop(0, CHAINS, chain, jnp.zeros((CHAINS, len(functions))))

    arguments = (starts, np.uint64(2004), np.float64(step_size))
    compiled = compile_native(run, arguments) or compile_usual(run, arguments)
    means = np.asarray(compiled(*arguments))
    exact = np.array([value for _, value in MOMENTS.values()])
    t = (means.mean(0) - exact) / (means.std(0, ddof=1) / np.sqrt(CHAINS))
    return dict(zip(MOMENTS, 2 * stats.t.sf(np.abs(t), CHAINS - 1), strict=True))


@pytest.mark.parametrize("step_size", [0.3, 0.9, 1.6])
def test_transition_keeps_the_joint_law(step_size: float) -> None:
    """From long accurate trajectories to short ones that are often refused."""
    found = p_values(step_size)
    assert min(found.values()) > LEAST, found


def test_metric_with_directions_keeps_the_joint_law() -> None:
    """A direction across both coordinates."""
    metric = low_rank(np.array([0.6, 0.5]), np.array([[0.6, 0.8]]), np.array([3.0]), 1)
    found = p_values(0.7, metric)
    assert min(found.values()) > LEAST, found


@pytest.mark.long
@pytest.mark.parametrize("step_size", [0.15, 0.3, 0.6, 0.9, 1.6])
def test_transition_keeps_the_joint_law_at_length(step_size: float) -> None:
    """7,680,000 transitions each."""
    found = p_values(step_size, steps=LONG)
    assert min(found.values()) > LEAST, found


# -- poisons -----------------------------------------------------------------------------------------------------------

_build_subtree, _Trajectory, _is_turning, _energy = (
    transition.build_subtree,
    transition._Trajectory,
    transition.is_turning,
    transition.energy,
)


def eager(*arguments: Any) -> Any:
    """A new half counts for a third more than its weight: accepted too often."""
    new = _build_subtree(*arguments)
    return new._replace(weight=1.3 * new.weight)


def forgetful(**fields: Any) -> Any:
    """The trajectory's weight does not grow with its halves."""
    return _Trajectory(**fields | {"weight": jnp.float64(1.0)})


def merge_invalid(*arguments: Any) -> Any:
    """A half that turns or diverges joins the trajectory all the same."""
    return _build_subtree(*arguments)._replace(complete=jnp.bool_(True))


def light_kinetic(metric: Metric, momentum: Any, log_density: Any) -> Any:
    """A kinetic energy 15 % too small for the momenta that are drawn."""
    return _energy(metric, np.sqrt(0.85) * momentum, log_density)


def heavy_potential(metric: Metric, momentum: Any, log_density: Any) -> Any:
    """A log density 10 % too steep: that of another model."""
    return _energy(metric, momentum, 1.1 * log_density)


def newest_end_only(earlier: Any, later: Any, direction: Any) -> Any:
    """The U-turn is seen at the end that was built last, which depends on the direction."""
    return jnp.vdot(direction * (later[0] - earlier[0]), later[1]) <= 0.0


def direction_forgotten(earlier: Any, later: Any, direction: Any) -> Any:
    """Time runs forward on both sides: what was built backward always turns, and the error all but cancels."""
    return _is_turning(earlier, later, jnp.float64(1.0))


def louder(self: Diagonal, standard_normal: Any) -> Any:
    """Momenta 5 % too large."""
    return 1.05 * standard_normal / jnp.sqrt(self.inverse_mass)


POISONS: dict[str, tuple[str, Any]] = {
    "eager": ("build_subtree", eager),
    "forgetful": ("_Trajectory", forgetful),
    "merge invalid": ("build_subtree", merge_invalid),
    "light kinetic": ("energy", light_kinetic),
    "heavy potential": ("energy", heavy_potential),
    "newest end only": ("is_turning", newest_end_only),
    # A leaf above the start's density counts as much as the start, no more.
    "capped weights": ("_LARGEST_LOG_WEIGHT", 0.0),
    "louder": ("momentum", louder),
}


def poison(monkeypatch: pytest.MonkeyPatch, piece: str, wrong: Any) -> None:
    for owner in (transition, tree, Diagonal):
        if hasattr(owner, piece):
            monkeypatch.setattr(owner, piece, wrong)


@pytest.mark.parametrize("name", POISONS)
def test_poison_breaks_the_joint_law(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    poison(monkeypatch, *POISONS[name])
    found = p_values(0.3 if name == "newest end only" else 0.9)  # that one needs trees of some depth
    assert min(found.values()) < LEAST / 1e3, found


@pytest.mark.long
def test_a_forgotten_direction_breaks_the_joint_law_at_length(monkeypatch: pytest.MonkeyPatch) -> None:
    """The symmetric check masks it: it takes millions of transitions to see."""
    poison(monkeypatch, "is_turning", direction_forgotten)
    found = p_values(0.3, steps=LONG)
    assert min(found.values()) < LEAST / 1e3, found


def test_a_wrong_gradient_is_harmless() -> None:
    """A force 30 % too weak with a constant added: worse trajectories of the right law."""

    def wrong(y: Any, position: Any) -> tuple[Any, Any]:
        value, gradient = log_density_and_gradient(y, position)
        return value, 0.7 * gradient + 0.2

    found = p_values(0.9, evaluate=wrong)
    assert min(found.values()) > LEAST, found
