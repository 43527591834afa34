"""A model as prior and likelihood: draws from the prior, and NUTS on the prior times a power of the likelihood."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun

from livenuts.adaptation.fisher import Estimate
from livenuts.adaptation.warmup import MOST_DIRECTIONS
from livenuts.compiler.frames import Evaluation, Variable, prepare
from livenuts.compiler.native import compile_native, compile_usual
from livenuts.compiler.reparam import lay_out
from livenuts.compiler.target import Bound
from livenuts.compiler.x64 import x64
from livenuts.kernel import random
from livenuts.kernel.transition import transition
from livenuts.kernel.tree import State, make_room
from livenuts.runtime.compiled import make_metric, metric_vector, no_metric
from livenuts.runtime.layout import Layout
from livenuts.runtime.program import is_native

# Particles of one call, and the most numbers in its largest array.
_MOST_ROWS, _MOST_NUMBERS = 1024, 2**19
_MAX_DEPTH = 10
# A draw of the prior may round to the end of its support, which is infinitely far out on the unconstrained scale.
_FARTHEST = 600.0


class Moved(NamedTuple):
    """Particles after their moves."""

    positions: np.ndarray
    """(particle, dimension)"""
    gradients: np.ndarray
    """Of the tempered log density there."""
    log_prior: np.ndarray
    """(particle,), on the unconstrained scale."""
    log_likelihood: np.ndarray
    acceptance_rates: np.ndarray
    """(particle,): mean over the moves."""
    num_steps: np.ndarray
    """(particle,): leapfrog steps of all moves."""


class Tempered:
    """The compiled programs of a bound model."""

    def __init__(self, bound: Bound) -> None:
        self.bound = bound
        self.dimension = bound.target.dimension
        self.most_directions = min(self.dimension, MOST_DIRECTIONS)
        self._programs = _compile(bound, self.most_directions)

    def draw_prior(self, seed: int, number: int) -> np.ndarray:
        """`number` draws of the prior, on the unconstrained scale: (number, dimension)."""
        rows, parts = self._programs.rows, []
        with x64():
            for place in range(0, number, rows):
                count = min(rows, number - place)
                drawn = self._programs.draw_prior(self.bound.data, np.uint32(seed), np.array([place, count]))
                parts.append(np.asarray(drawn)[:count])
        return np.concatenate(parts)

    def move(
        self, positions: np.ndarray, temper: float, metric: Estimate, step_size: float, key: np.uint64, num_moves: int
    ) -> Moved:
        """Move each particle by `num_moves` NUTS transitions that leave prior * likelihood^temper invariant.

        A particle's random numbers follow from `key` and its row. With no moves it is only evaluated.
        """
        rows, parts = self._programs.rows, []
        vector = metric_vector(metric, self.most_directions)
        with x64():
            for place in range(0, len(positions), rows):
                chunk = positions[place : place + rows]
                buffer = np.zeros((rows, self.dimension))
                buffer[: len(chunk)] = chunk
                numbers = np.array([temper, step_size, place, len(chunk), num_moves])
                record = np.asarray(self._programs.move(self.bound.data, buffer, vector, np.uint64(key), numbers))
                parts.append(record[: len(chunk)])
        record, d = np.concatenate(parts), self.dimension
        likelihood = np.where(np.isnan(record[:, 2 * d + 1]), -np.inf, record[:, 2 * d + 1])
        return Moved(record[:, :d], record[:, d : 2 * d], record[:, 2 * d], likelihood, *record[:, 2 * d + 2 :].T)


@dataclass(frozen=True)
class _Programs:
    rows: int
    draw_prior: Callable[..., jax.Array]
    move: Callable[..., jax.Array]


def _compile(bound: Bound, most: int) -> _Programs:
    target = bound.target
    key = ("tempered", tuple((leaf.shape, str(leaf.dtype)) for leaf in jax.tree.leaves(bound.data)))
    with target.lock:
        if key not in target.programs:
            rows = max(1, min(_MOST_ROWS, _MOST_NUMBERS // (2 * target.width())))
            target.programs[key] = _Programs(rows, _compile_prior(bound, rows), _compile_move(bound, most, rows))
        programs: _Programs = target.programs[key]
    return programs


class _Prior(Evaluation):
    """The frame that draws every variable from its distribution."""

    def __init__(self, variables: Mapping[str, Variable], key: Any) -> None:
        super().__init__(variables, None)
        self._key = key
        self.unconstrained: dict[str, Any] = {}

    def rv(
        self,
        name: str,
        distribution: Any,
        shape: tuple[int, ...] | None,
        dims: tuple[str, ...] | None,
        reparam: str | None = None,
    ) -> Any:
        made = prepare("rv", name, distribution, shape)
        key = jax.random.fold_in(self._key, self._variables[name].start)
        try:
            value = made.sample(key)
        except (AttributeError, NotImplementedError) as error:
            raise ValueError(
                f"smc starts from draws of the prior, and {name!r} has none: {type(made).__name__} cannot be drawn from"
            ) from error
        unconstrained = jnp.ravel(lay_out(name, made, reparam)[0].inv(value))
        end = jnp.where(unconstrained > 0.0, _FARTHEST, -_FARTHEST)
        self.unconstrained[name] = jnp.where(jnp.isinf(unconstrained), end, unconstrained)
        self.values[name] = value
        return value

    def obs(self, name: str, distribution: Any, value: Any, *_: Any) -> Any:
        return self.rv(name, distribution, None, None) if value is None else value

    def factor(self, name: str, value: Any) -> None:
        pass


def _compile_prior(bound: Bound, rows: int) -> Callable[..., jax.Array]:
    target = bound.target
    variables = {variable.name: variable for variable in target.variables}

    def draw(data: Any, seed: jax.Array, place: jax.Array) -> jax.Array:
        key, first = jax.random.key(seed, impl="threefry2x32"), place[0]

        def one(row: Any, drawn: Any) -> Any:
            frame = _Prior(variables, jax.random.fold_in(key, first + row))
            bound.description.statements(frame, data)
            if undrawn := [name for name in variables if name not in frame.unconstrained]:
                raise ValueError(f"smc starts from draws of the prior, and {undrawn[0]!r} has none")
            position = jnp.concatenate([frame.unconstrained[name] for name in variables])
            return lax.dynamic_update_index_in_dim(drawn, position, row, 0)

        drawn: jax.Array = lax.fori_loop(0, place[1], one, jnp.zeros((rows, target.dimension)))
        return drawn

    with x64():
        return compile_usual(draw, (bound.data, np.uint32(0), np.zeros(2, np.int64)))


def _trace(bound: Bound) -> ClosedJaxpr:
    """(data leaves..., temper, position) -> ((tempered log density, (log prior, log likelihood)), gradient)."""
    target = bound.target
    names = {variable.name for variable in target.variables}

    def density(data: Any, temper: Any, position: Any) -> Any:
        frame = target.evaluation(data, position)
        prior = likelihood = jnp.float64(0.0)
        for name, term in frame.terms.items():
            if name in names:
                prior = prior + term
            else:
                likelihood = likelihood + term
        return prior + temper * likelihood, (prior, likelihood)

    leaves, structure = jax.tree.flatten(bound.data)

    def flat(*arguments: Any) -> Any:
        data = jax.tree.unflatten(structure, arguments[: len(leaves)])
        return jax.value_and_grad(density, argnums=2, has_aux=True)(data, *arguments[len(leaves) :])

    with x64():
        return jax.make_jaxpr(flat)(*leaves, jnp.float64(1.0), jnp.zeros(target.dimension))


def _compile_move(bound: Bound, most: int, rows: int) -> Callable[..., jax.Array]:
    dimension = bound.target.dimension
    closed = _trace(bound)
    evaluate = jaxpr_as_fun(closed)
    metric_layout = Layout(make_metric(no_metric(dimension), most))

    def move(data: Any, positions: jax.Array, metric_numbers: jax.Array, key: jax.Array, numbers: jax.Array) -> Any:
        leaves = jax.tree.leaves(data)
        metric = metric_layout.unpack(metric_numbers)
        temper, step_size = numbers[0], numbers[1]
        first, count, num_moves = (numbers[place].astype(jnp.int64) for place in (2, 3, 4))

        def log_density_and_gradient(position: jax.Array) -> tuple[jax.Array, jax.Array]:
            value, _, _, gradient = evaluate(*leaves, temper, position)
            return value, gradient

        def one(row: Any, carry: Any) -> Any:
            record, room = carry
            own = random.at(key, first + row)

            # A transition of step size 0 from a density of -inf evaluates the model: see `transition`.
            def again(number: Any, carry: Any) -> Any:
                state, acceptance, steps, room = carry
                moving = number > 0
                state, info, room = transition(
                    log_density_and_gradient,
                    metric,
                    state,
                    random.at(own, number),
                    jnp.where(moving, step_size, 0.0),
                    jnp.where(moving, _MAX_DEPTH, 1),
                    room,
                )
                return (
                    state,
                    acceptance + jnp.where(moving, info.acceptance_rate, 0.0),
                    steps + jnp.where(moving, info.num_steps, 0),
                    room,
                )

            start = State(positions[row], jnp.zeros(dimension), -jnp.float64(jnp.inf))
            carry = (start, jnp.float64(0.0), jnp.int64(0), room)
            state, acceptance, steps, room = lax.fori_loop(0, num_moves + 1, again, carry)
            _, prior, likelihood, _ = evaluate(*leaves, temper, state.position)
            made = jnp.maximum(num_moves, 1).astype(jnp.float64)
            statistics = jnp.stack([prior, likelihood, acceptance / made, steps.astype(jnp.float64)])
            line = jnp.concatenate([state.position, state.gradient, statistics])
            return lax.dynamic_update_index_in_dim(record, line, row, 0), room

        start = jnp.zeros((rows, 2 * dimension + 4)), make_room(_MAX_DEPTH, dimension)
        return lax.fori_loop(0, count, one, start)[0]

    arguments = (
        bound.data,
        np.zeros((rows, dimension)),
        np.zeros(metric_layout.size),
        np.uint64(0),
        np.zeros(5),
    )
    num_bytes = sum(leaf.nbytes for leaf in [*jax.tree.leaves(bound.data), *closed.consts])
    with x64():
        native = compile_native(move, arguments) if is_native(closed, num_bytes) else None
        return native or compile_usual(move, arguments)


def stage_key(seed: int, chain: int, stage: int) -> np.uint64:
    """The 64-bit key of a stage's moves."""
    sequence = np.random.SeedSequence(seed, spawn_key=(chain, 5, stage))
    key: np.uint64 = sequence.generate_state(1, np.uint64)[0]
    return key


def log_mean_exp(values: np.ndarray) -> float:
    """log(mean(exp(values))); -inf where all are."""
    largest = float(values.max())
    return largest if math.isinf(largest) else largest + math.log(float(np.exp(values - largest).mean()))
