"""How chains move: to their starting positions, and on, chunk by chunk. A tiny model's chains share their calls."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from livenuts.adaptation import dual_averaging
from livenuts.adaptation.one_thread import one_thread
from livenuts.adaptation.warmup import Warmup
from livenuts.runtime.chain import ChainRun, Drawn
from livenuts.runtime.compiled import metric_vector, no_metric
from livenuts.runtime.iteration import DRAW, EVALUATE, NEVER, Controls, new_chain, width
from livenuts.runtime.recovery import MOST_FAILURES, DensityError, Recovery, rejected, words
from livenuts.runtime.settings import start_generator
from livenuts.tuning import Tuning

# A call lasts about this long: listeners hear twenty times a second, and Ctrl-C is not kept waiting.
_CHUNK_SECONDS = 0.05
_FIRST_CHUNK = 50
_START_TRIES = 100


class StartError(ValueError):
    """No starting position with a finite log density and gradient was found."""


# -- starting ----------------------------------------------------------------------------------------------------------


def evaluate(chains: Sequence[ChainRun]) -> None:
    """Take density and gradient where chains stand that have not yet."""
    for team in _teams(chains):
        try:
            states, _ = step(team, 0, 0)
        except jax.errors.JaxRuntimeError:
            if not team[0].compiled.calls_host:
                raise
            continue
        for chain, state in zip(team, states, strict=False):
            chain.state = state.copy()


def start(
    chains: Sequence[ChainRun],
    given: Sequence[Mapping[str, Any] | np.ndarray],
    warmup: Warmup,
    evaluate: Callable[[Sequence[ChainRun]], None] = evaluate,
) -> None:
    """Find positions with finite log density and gradient: the model's own, the given ones, or U(-2, 2).

    `given` holds constrained values by variable, or a position on the unconstrained scale, of each chain.
    """
    seeking = [_Seeker(chain, given[chain.index]) for chain in chains]
    unit = metric_vector(no_metric(chains[0].bound.target.dimension), chains[0].compiled.most_directions)
    for _ in range(_START_TRIES):
        for seeker in seeking:
            seeker.stand(unit)
        evaluate([seeker.chain for seeker in seeking])
        seeking = [seeker for seeker in seeking if not is_finite(seeker.chain)]
        for seeker in seeking:
            seeker.give_up_if_fixed()
        if not seeking:
            break
    for seeker in seeking:
        seeker.give_up()
    for chain in chains:
        if chain.settings.num_warmup > 0:
            first = warmup.first_metric(chain.view.state.gradient)
            chain.metric = metric_vector(first, chain.compiled.most_directions)


class _Seeker:
    """A chain on its way to a starting position."""

    def __init__(self, chain: ChainRun, given: Mapping[str, Any] | np.ndarray) -> None:
        self.chain = chain
        self._given: Mapping[str, Any] = {} if isinstance(given, np.ndarray) else given
        self._own = given if isinstance(given, np.ndarray) else chain.bound.description.start
        names = {item.name for item in chain.bound.target.variables}
        self._fixed = self._own is not None or set(self._given) >= names
        self._generator = start_generator(chain.seed, chain.settings.start_of(chain.index))

    def stand(self, metric: np.ndarray) -> None:
        """Take the next position."""
        target, data = self.chain.bound.target, self.chain.bound.data
        position = self._generator.uniform(-2.0, 2.0, target.dimension) if self._own is None else self._own
        if self._given:
            position = target.unconstrain(data, position, self._given)
        self.chain.state = self.chain.compiled.program.chain.pack(new_chain(np.asarray(position, np.float64)))
        self.chain.metric = metric

    def give_up_if_fixed(self) -> None:
        """There is no other position to try."""
        if self._fixed:
            self.give_up()

    def give_up(self) -> None:
        """Raise the StartError that says why."""
        chain = self.chain
        reasons = _suspects(chain, chain.view.state.position) or "the log density is not finite"
        tries = "the starting position" if self._fixed else f"any of {_START_TRIES} random starting positions"
        raise StartError(
            f"chain {chain.index}: no finite log density and gradient at {tries}: {reasons}. "
            "Give init= a position inside the support, or check the data against the model"
        )


def start_warm(
    chains: Sequence[ChainRun],
    tuning: Tuning,
    evaluate: Callable[[Sequence[ChainRun]], None] = evaluate,
) -> None:
    """Take positions, metrics and step sizes from another run."""
    sources = [chain.index % len(tuning.step_size) for chain in chains]
    metrics = tuning.metrics()
    for chain, source in zip(chains, sources, strict=True):
        chain.metric = metric_vector(metrics[source], chain.compiled.most_directions)
        chain.state = chain.compiled.program.chain.pack(new_chain(np.array(tuning.positions[source])))
    evaluate(chains)
    for chain, source in zip(chains, sources, strict=True):
        if not is_finite(chain):
            reasons = _suspects(chain, tuning.positions[source])
            raise StartError(f"chain {chain.index}: warm_start's position does not fit this model or data: {reasons}")
        averaging = dual_averaging.resume(np.log(tuning.step_size[source]))
        ready = chain.view._replace(averaging=averaging, mode=np.float64(DRAW))
        chain.state = chain.compiled.program.chain.pack(ready)


def is_finite(chain: ChainRun) -> bool:
    """Whether the chain has a density and a gradient that it can go on from."""
    view = chain.view
    known = view.mode != EVALUATE
    return bool(known and np.isfinite(view.state.log_density) and np.isfinite(view.state.gradient).all())


def _suspects(chain: ChainRun, position: np.ndarray) -> str:
    try:
        return "; ".join(chain.bound.target.suspects(chain.bound.data, position))
    except jax.errors.JaxRuntimeError as error:
        return words(error)


# -- going on ----------------------------------------------------------------------------------------------------------


def step(
    team: Sequence[ChainRun], until: int, draws: int, until_iteration: int = NEVER
) -> tuple[np.ndarray, jax.Array]:
    """One call: the states of the team's chains afterwards, and the record, with so many rows a chain."""
    chain = team[0]
    program = chain.compiled.program
    states, metrics = np.zeros((program.slots, program.chain.size)), np.zeros((program.slots, program.metric.size))
    keys = np.zeros(program.slots, np.uint64)
    for slot, member in enumerate(team):
        states[slot], metrics[slot], keys[slot] = member.state, member.metric, member.key
    controls = Controls(
        until=until,
        until_iteration=until_iteration,
        adapting=chain.warmed is None,
        max_depth=chain.settings.max_tree_depth,
        target_accept=chain.settings.target_accept,
    )
    ended, record = program.step(chain.bound.prepared, states, metrics, keys, controls, len(team), draws)
    return np.asarray(ended), record


def advance(chains: Sequence[ChainRun], until: int, stop: Callable[[], bool]) -> None:
    """Make draws until these chains, all of one kind, have `until`, unless told to stop between two chunks."""
    if chains[0].compiled.program.native:
        _advance(chains, until, stop)
        return
    with one_thread():  # a density with a decomposition in it: chains share the cores already
        _advance(chains, until, stop)


def _advance(chains: Sequence[ChainRun], until: int, stop: Callable[[], bool]) -> None:
    compiled, warm = chains[0].compiled, chains[0].warmed is None
    per_draw = compiled.seconds_per_draw
    draws = _FIRST_CHUNK if per_draw is None else max(1, int(_CHUNK_SECONDS / per_draw))
    while (behind := [chain for chain in chains if chain.made < until]) and not stop():
        front = min(chain.made for chain in behind)
        team = next(_teams([chain for chain in behind if chain.made == front]))
        count = min(max(1, draws // len(team)), compiled.program.rows // len(team), until - front)
        began = time.perf_counter()
        chunk(team, count)
        elapsed = time.perf_counter() - began
        for chain in team:
            chain.seconds["warmup" if warm else "sampling"] += elapsed
        per_draw = max(elapsed / (count * len(team)), 1e-7)
        compiled.seconds_per_draw = per_draw
        draws = max(1, min(int(_CHUNK_SECONDS / per_draw), 8 * draws))


def _teams(chains: Sequence[ChainRun]) -> Iterator[Sequence[ChainRun]]:
    """Chains that may share a call; where host code may fail, each has its own."""
    compiled = chains[0].compiled
    size = 1 if compiled.calls_host else min(compiled.program.slots, compiled.program.rows)
    for first in range(0, len(chains), size):
        yield chains[first : first + size]


def chunk(team: Sequence[ChainRun], count: int) -> None:
    """So many draws of every chain."""
    chain = team[0]
    record, made = _draw(team, count)
    values: dict[str, np.ndarray] = {}
    if chain.sink is not None or chain.warmed is not None:
        constrained = chain.compiled.constrain(chain.bound.data, record, np.int64(count * len(team)))
        values = {name: np.asarray(constrained[name]) for name in chain.draws}
    for slot, (member, drawn) in enumerate(zip(team, made, strict=True)):
        rows = slice(slot * count, slot * count + len(drawn.rows))
        member.take({name: block[rows].copy() for name, block in values.items()}, drawn)
        if drawn.error is not None:
            raise drawn.error


def _draw(team: Sequence[ChainRun], count: int) -> tuple[Any, list[Drawn]]:
    """The record of a call, and what it made of each chain; one by one where host code in the log density fails."""
    chain = team[0]
    try:
        states, record = step(team, chain.made + count, count)
    except jax.errors.JaxRuntimeError:
        if not chain.compiled.calls_host:
            raise
        return _draw_singly(chain, count)
    chain.failures = 0
    rows = np.asarray(record)
    return record, [Drawn(states[slot].copy(), rows[slot * count : (slot + 1) * count]) for slot in range(len(team))]


def _draw_singly(chain: ChainRun, count: int) -> tuple[np.ndarray, list[Drawn]]:
    """Draw iteration by iteration; where one fails the chain stays, and nothing is learned from it."""
    program, error = chain.compiled.program, None
    record = np.zeros((program.rows, width(program.dimension)))
    first, row = chain.state, 0
    try:
        while row < count and error is None:
            before = program.chain.view(chain.state)
            try:
                states, one = step([chain], chain.made + row + 1, 1, int(before.iteration) + 1)
                chain.failures = 0
                after, made = states[0].copy(), np.asarray(one)[0]
            except jax.errors.JaxRuntimeError as failure:
                chain.failures += 1
                chain.recoveries.append(Recovery(chain.made + row, words(failure)))
                stayed, made = rejected(before)
                after = program.chain.pack(stayed)
                if chain.failures >= MOST_FAILURES:
                    error = _density_error(chain, before.state.position)
                    error.__cause__ = failure
            chain.state, record[row] = after, made
            row += int(program.chain.view(after).draw - before.draw)
        return record, [Drawn(chain.state, record[:row], error)]
    finally:
        chain.state = first  # the chunk is taken as a whole, or not at all


def _density_error(chain: ChainRun, position: np.ndarray) -> DensityError:
    program = chain.compiled.program
    record = np.zeros((program.rows, width(program.dimension)))
    record[0, : len(position)] = position
    constrained = chain.compiled.constrain(chain.bound.data, record, np.int64(1))
    values = {name: np.asarray(constrained[name])[0].copy() for name in chain.draws}
    iteration, error = chain.recoveries[-1]
    number = iteration if chain.warmed is None else iteration - chain.warmed
    shown = ", ".join(f"{name} = {np.array2string(value, threshold=8)}" for name, value in values.items())
    return DensityError(
        f"chain {chain.index}: the log density failed {chain.failures} times in a row, "
        f"in {'warm-up iteration' if chain.warmed is None else 'draw'} {number} and before: {error}; "
        f"the chain stands at {shown}",
        chain.index,
        values,
    )


def expected_seconds(chain: ChainRun, until: int) -> float:
    """How long the chain's draws up to `until` may take; it has no bearing on them."""
    per_draw = chain.compiled.seconds_per_draw
    return (until - chain.made) * (_CHUNK_SECONDS / _FIRST_CHUNK if per_draw is None else per_draw)
