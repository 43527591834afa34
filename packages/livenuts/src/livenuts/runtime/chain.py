"""One chain: its starting position, its chunks, its messages."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import numpy as np

from livenuts.adaptation import dual_averaging
from livenuts.adaptation.fisher import Estimate
from livenuts.adaptation.one_thread import one_thread
from livenuts.adaptation.warmup import Lesson, Stretch, Warmup
from livenuts.compiler.target import Bound
from livenuts.kernel.metric import Metric
from livenuts.messages import Sink
from livenuts.runtime.compiled import Compiled, make_metric, no_metric
from livenuts.runtime.emission import send_draws
from livenuts.runtime.iteration import DRAW, NEVER, SEARCH, Chain, Controls, new_chain
from livenuts.runtime.recovery import MOST_FAILURES, RECORDED, DensityError, Recovery, rejected, words
from livenuts.runtime.settings import Settings, chain_key, start_generator
from livenuts.tuning import Tuning

# A call lasts about this long: listeners hear twenty times a second, and Ctrl-C is not kept waiting.
_CHUNK_SECONDS = 0.05
_FIRST_CHUNK = 50
_START_TRIES = 100
# A divergence teaches the metric only if the draw got away from the old one.
_FAR_ENOUGH = 4
_INTEGERS = ("n_steps", "tree_depth", "index_in_trajectory")


class StartError(ValueError):
    """No starting position with a finite log density and gradient was found."""


class Drawn(NamedTuple):
    """What one chunk made; rows beyond those of `rows` mean nothing."""

    packed: tuple[Any, Any]
    positions: Any
    gradients: Any
    rows: np.ndarray
    """(draw, column of RECORDED)"""
    error: DensityError | None = None


@dataclass
class ChainRun:
    """The state and the results of one chain of a run."""

    index: int
    bound: Bound
    compiled: Compiled
    settings: Settings
    seed: int
    sink: Sink | None
    packed: tuple[Any, Any] = field(init=False)
    draws: dict[str, list[np.ndarray]] = field(default_factory=dict)
    statistics: list[np.ndarray] = field(default_factory=list)
    made: int = 0
    """Iterations made, warm-up included."""
    warmed: int | None = None
    """Iterations that warm-up took, once it is over."""
    divergences: int = 0
    """After warm-up."""
    leapfrogs: int = 0
    latest: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=lambda: {"warmup": 0.0, "sampling": 0.0})
    recoveries: list[Recovery] = field(default_factory=list)
    failures: int = 0
    """Failures of the log density's host code in a row."""
    noted: dict[str, Any] = field(default_factory=dict)
    """The chain's state after its last chunk, as `restore` takes it; replaced, never changed."""
    learned: dict[str, Any] | None = None
    """What the chain's group had learned at its last lesson, while warm-up lasts."""
    _stretch: list[Stretch] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.key = chain_key(self.seed, self.index)
        self.draws = {name: [] for name in self.bound.target.names()}

    @property
    def kept(self) -> int:
        """Draws made after warm-up."""
        return 0 if self.warmed is None else self.made - self.warmed

    @property
    def total(self) -> int:
        """Iterations that the chain will make, as far as is known now."""
        return (self.settings.num_warmup if self.warmed is None else self.warmed) + self.settings.num_samples

    # -- starting --------------------------------------------------------------------------------------------------

    def start(self, given: dict[str, Any], warmup: Warmup) -> None:
        """Find a position with finite log density and gradient: the model's own, the given one, or U(-2, 2)."""
        target, data = self.bound.target, self.bound.data
        own = self.bound.description.start
        generator = start_generator(self.seed, self.index)
        fixed = own is not None or set(given) >= {variable.name for variable in target.variables}
        for _ in range(1 if fixed else _START_TRIES):
            position = generator.uniform(-2.0, 2.0, target.dimension) if own is None else own
            if given:
                position = target.unconstrain(data, position, given)
            chain = self._evaluated(position, no_metric(target.dimension))
            if chain is not None:
                if self.settings.num_warmup > 0:
                    first = warmup.first_metric(np.array(chain.state.gradient))
                    chain = chain._replace(metric=self._metric(first))
                self._pack(chain)
                return
        reasons = self._suspects(position) or "the log density is not finite"
        tries = "the starting position" if fixed else f"any of {_START_TRIES} random starting positions"
        raise StartError(
            f"chain {self.index}: no finite log density and gradient at {tries}: {reasons}. "
            "Give init= a position inside the support, or check the data against the model"
        )

    def start_warm(self, tuning: Tuning) -> None:
        """Take position, metric and step size from another run."""
        source = self.index % len(tuning.step_size)
        chain = self._evaluated(tuning.positions[source], tuning.metrics()[source])
        if chain is None:
            reasons = self._suspects(tuning.positions[source])
            raise StartError(f"chain {self.index}: warm_start's position does not fit this model or data: {reasons}")
        averaging = dual_averaging.resume(np.log(tuning.step_size[source]))
        self._pack(chain._replace(averaging=averaging, mode=np.int64(DRAW)))

    def _evaluated(self, position: np.ndarray, metric: Estimate) -> Chain | None:
        """A chain that knows density and gradient at `position`; None where they are not finite."""
        fresh = new_chain(position, self._metric(metric))
        try:
            matrix, vector, _ = self._step(self.compiled.program.pack(fresh), until=0)
            chain = self.compiled.program.unpack(np.asarray(matrix), np.asarray(vector))
        except jax.errors.JaxRuntimeError:
            if self.compiled.calls_host:
                return None
            raise
        finite = np.isfinite(chain.state.log_density) and np.isfinite(chain.state.gradient).all()
        return chain if finite else None

    def _suspects(self, position: np.ndarray) -> str:
        try:
            return "; ".join(self.bound.target.suspects(self.bound.data, position))
        except jax.errors.JaxRuntimeError as error:
            return words(error)

    def _metric(self, estimate: Estimate) -> Metric:
        return make_metric(estimate, self.compiled.most_directions)

    def _pack(self, chain: Chain) -> None:
        self.packed = self.compiled.program.pack(chain)

    # -- running ---------------------------------------------------------------------------------------------------

    def _step(self, packed: tuple[Any, Any], until: int, until_iteration: int = NEVER) -> tuple[Any, Any, Any]:
        controls = Controls(
            until=np.int64(until),
            until_iteration=np.int64(until_iteration),
            adapting=np.bool_(self.warmed is None),
            max_depth=np.int64(self.settings.max_tree_depth),
            target_accept=np.float64(self.settings.target_accept),
        )
        return self.compiled.program.step(self.bound.prepared, *packed, self.key, controls)

    def run(self, until: int, stop: Callable[[], bool]) -> None:
        """Make draws until there are `until`, chunk by chunk, unless told to stop between two chunks."""
        if self.compiled.program.native:
            self._run(until, stop)
            return
        with one_thread():  # a density with a decomposition in it: chains share the cores already
            self._run(until, stop)

    def _run(self, until: int, stop: Callable[[], bool]) -> None:
        program, warm = self.compiled.program, self.warmed is None
        most = program.gradient_rows if warm else program.rows
        per_draw = self.compiled.seconds_per_draw
        length = _FIRST_CHUNK if per_draw is None else max(1, int(_CHUNK_SECONDS / per_draw))
        while self.made < until and not stop():
            count = min(length, most, until - self.made)
            began = time.perf_counter()
            self._chunk(count)
            elapsed = time.perf_counter() - began
            self.seconds["warmup" if warm else "sampling"] += elapsed
            per_draw = max(elapsed / count, 1e-7)
            self.compiled.seconds_per_draw = per_draw
            length = max(1, min(int(_CHUNK_SECONDS / per_draw), 8 * length))

    def expected_seconds(self, until: int) -> float:
        """How long the draws up to `until` may take; it has no bearing on them."""
        per_draw = self.compiled.seconds_per_draw
        return (until - self.made) * (_CHUNK_SECONDS / _FIRST_CHUNK if per_draw is None else per_draw)

    def take_stretch(self) -> Stretch:
        """What was drawn since the last call, in warm-up."""
        taken, self._stretch = self._stretch, []
        stretch = Stretch(*(np.concatenate(parts) for parts in zip(*taken, strict=True)))
        if len(stretch.steps):
            return stretch
        # Every transition failed: the step size is to stay.
        step = np.exp(self.final_state().averaging.log_step)
        return stretch._replace(steps=np.array([step]), acceptance_rates=np.zeros(1), num_steps=np.zeros(1))

    def learn(self, lesson: Lesson, learned: dict[str, Any] | None) -> None:
        """Go on as warm-up says; `learned` is its state, if it goes on."""
        chain = self.final_state()
        if lesson.metric is not None:
            chain = chain._replace(metric=self._metric(lesson.metric))
        if lesson.search:
            chain = chain._replace(mode=np.int64(SEARCH), search_direction=np.float64(0.0))
        if lesson.step is not None:
            step = np.float64(np.log(lesson.step))
            chain = chain._replace(averaging=chain.averaging._replace(log_step=step))
            self.warmed = self.made
        self.learned = learned
        self._pack(chain)
        self.note()

    def _chunk(self, count: int) -> None:
        drawn = self._draw(count)
        values: dict[str, np.ndarray] = {}
        if self.sink is not None or self.warmed is not None:
            count = len(drawn.rows)
            constrained = self.compiled.constrain(self.bound.data, drawn.positions, np.int64(count))
            values = {name: np.asarray(constrained[name])[:count].copy() for name in self.draws}
        self.packed = drawn.packed
        self.take(values, drawn)
        if drawn.error is not None:
            raise drawn.error

    def take(self, values: dict[str, np.ndarray], drawn: Drawn) -> None:
        """Keep the next draws, learn from them in warm-up, and tell the sink."""
        first, warm, rows = self.made, self.warmed is None, drawn.rows
        self.made = first + len(rows)
        if len(rows):
            column = dict(zip(RECORDED, rows.T, strict=True))
            self.leapfrogs += int(column["n_steps"].sum())
            self.latest = dict(zip(RECORDED, rows[-1].tolist(), strict=True))
            if warm:
                self._stretch.append(_stretch(drawn, column))
            else:
                self.divergences += int(column["diverging"].sum())
                self.statistics.append(rows)
                for name, block in values.items():
                    self.draws[name].append(block)
        self.note()
        if self.sink is not None:
            self._send(values, rows, first if self.warmed is None else first - self.warmed, warm)

    def _draw(self, count: int) -> Drawn:
        """So many draws in one call; one by one where host code in the log density fails."""
        try:
            matrix, vector, buffers = self._step(self.packed, until=self.made + count)
            statistics = np.asarray(buffers.statistics)[:count]
        except jax.errors.JaxRuntimeError:
            if not self.compiled.calls_host:
                raise
            return self._draw_singly(count)
        self.failures = 0
        rows = np.column_stack([statistics, np.zeros(count)])
        return Drawn((matrix, vector), buffers.positions, buffers.gradients, rows)

    def _draw_singly(self, count: int) -> Drawn:
        """Draw iteration by iteration; where one fails the chain stays, and nothing is learned from it."""
        program = self.compiled.program
        positions, gradients = np.zeros((2, program.rows, program.dimension))
        packed, rows, error = self.packed, np.zeros((count, len(RECORDED))), None
        row = 0
        while row < count and error is None:
            before = program.unpack(*map(np.asarray, packed))
            try:
                matrix, vector, buffers = self._step(packed, self.made + row + 1, int(before.iteration) + 1)
                after, statistics = (
                    program.unpack(np.asarray(matrix), np.asarray(vector)),
                    np.asarray(buffers.statistics),
                )
                self.failures = 0
                made = np.append(statistics[0], 0.0)
            except jax.errors.JaxRuntimeError as failure:
                self.failures += 1
                self.recoveries.append(Recovery(self.made + row, words(failure)))
                after, made = rejected(before)
                if self.failures >= MOST_FAILURES:
                    error = self._density_error(before.state.position)
                    error.__cause__ = failure
            packed = program.pack(after)
            rows[row], positions[row], gradients[row] = made, after.state.position, after.state.gradient
            row += int(after.draw - before.draw)
        return Drawn(packed, positions, gradients, rows[:row], error)

    def _density_error(self, position: np.ndarray) -> DensityError:
        rows = np.zeros((self.compiled.program.rows, len(position)))
        rows[0] = position
        constrained = self.compiled.constrain(self.bound.data, rows, np.int64(1))
        values = {name: np.asarray(constrained[name])[0].copy() for name in self.draws}
        iteration, error = self.recoveries[-1]
        number = iteration if self.warmed is None else iteration - self.warmed
        shown = ", ".join(f"{name} = {np.array2string(value, threshold=8)}" for name, value in values.items())
        return DensityError(
            f"chain {self.index}: the log density failed {self.failures} times in a row, "
            f"in {'warm-up iteration' if self.warmed is None else 'draw'} {number} and before: {error}; "
            f"the chain stands at {shown}",
            self.index,
            values,
        )

    def _send(self, values: dict[str, np.ndarray], rows: np.ndarray, number: int, warm: bool) -> None:
        assert self.sink is not None
        send_draws(self.sink, self.index, number, values, statistics_columns(rows), warm=warm)

    # -- to go on elsewhere ----------------------------------------------------------------------------------------

    def note(self) -> None:
        """Remember the present state for whoever wants to `restore` it."""
        self.noted = {
            "packed": self.packed,
            "made": self.made,
            "warmed": self.warmed,
            "divergences": self.divergences,
            "leapfrogs": self.leapfrogs,
            "failures": self.failures,
            "recoveries": tuple(self.recoveries),
            "stretch": tuple(self._stretch),
            "seconds": dict(self.seconds),
            "warmup": self.learned,
            "blocks": len(self.statistics),
        }

    def restore(self, state: Mapping[str, Any], learned: dict[str, Any] | None) -> None:
        """Go on from what `as_data` gave, after the draws that it counts were kept."""
        matrix, vector = state["packed"]
        self.packed = (matrix, vector)
        self.made, self.warmed, self.learned = state["made"], state["warmed"], learned
        self.divergences, self.leapfrogs, self.failures = state["divergences"], state["leapfrogs"], state["failures"]
        self.recoveries = [Recovery(*recovery) for recovery in state["recoveries"]]
        self._stretch = [Stretch(*stretch) for stretch in state["stretch"]]
        self.seconds = dict(state["seconds"])
        self.note()

    def keep(self, statistics: np.ndarray, draws: Mapping[str, np.ndarray]) -> None:
        """Take in a block of draws that was made elsewhere."""
        self.statistics.append(statistics)
        for name in self.draws:
            self.draws[name].append(draws[name])

    def absorb(self, done: Mapping[str, Any], *, heard: bool) -> None:
        """Take in what a worker made of this chain; `heard` if the sink has heard it there."""
        blocks = len(self.statistics)
        for place, statistics in enumerate(done["statistics"]):
            self.keep(statistics, {name: done["draws"][name][place] for name in self.draws})
        self.latest = done["latest"] or self.latest
        self.restore(done["state"], done["warmup"])
        if not heard:
            self.send_again(blocks)

    def send_again(self, first_block: int = 0) -> None:
        """Send the kept draws from this block on."""
        number = sum(len(rows) for rows in self.statistics[:first_block])
        for place in range(first_block, len(self.statistics)) if self.sink is not None else ():
            rows = self.statistics[place]
            self._send({name: parts[place] for name, parts in self.draws.items()}, rows, number, warm=False)
            number += len(rows)

    # -- afterwards ------------------------------------------------------------------------------------------------

    def progress(self) -> dict[str, Any]:
        """Where the chain is, for listeners."""
        return {
            "chain": self.index,
            "iteration": self.made,
            "phase": "warmup" if self.warmed is None else "sampling",
            "total": self.total,
            "divergences": self.divergences,
            "leapfrogs": self.leapfrogs,
            "step_size": self.latest.get("step_size", 0.0),
            "acceptance_rate": self.latest.get("acceptance_rate", 0.0),
            "tree_depth": int(self.latest.get("tree_depth", 0)),
        }

    def final_state(self) -> Chain:
        """The chain's state after its last chunk, as NumPy arrays."""
        matrix, vector = (np.asarray(part) for part in self.packed)
        return self.compiled.program.unpack(matrix, vector)


def as_data(noted: Mapping[str, Any]) -> dict[str, Any]:
    """What a chain noted, as plain data, apart from what its whole group has in common."""
    return {name: value for name, value in noted.items() if name != "warmup"} | {
        "packed": [np.asarray(part) for part in noted["packed"]],
        "recoveries": [list(recovery) for recovery in noted["recoveries"]],
        "stretch": [list(stretch) for stretch in noted["stretch"]],
    }


def statistics_columns(rows: np.ndarray) -> dict[str, np.ndarray]:
    """Statistics by name in their own types, from the matrix that the program writes; the last axis is the name."""
    columns = {name: rows[..., column] for column, name in enumerate(RECORDED)}
    for name in _INTEGERS:
        columns[name] = columns[name].astype(np.int64)
    for name in ("diverging", "recovered"):
        columns[name] = columns[name] != 0.0
    return columns


def _stretch(drawn: Drawn, column: dict[str, np.ndarray]) -> Stretch:
    """What warm-up learns from."""
    made = column["recovered"] == 0.0
    usable = (column["diverging"] == 0.0) | (np.abs(column["index_in_trajectory"]) > _FAR_ENOUGH)
    return Stretch(
        draws=np.asarray(drawn.positions)[: len(made)].copy(),
        gradients=np.asarray(drawn.gradients)[: len(made)].copy(),
        log_densities=column["lp"],
        steps=column["step_size"][made],
        acceptance_rates=column["acceptance_rate"][made],
        num_steps=column["n_steps"][made],
        usable=usable & made,
    )
