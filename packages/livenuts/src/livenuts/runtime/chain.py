"""One chain: its starting position, its chunks, its messages."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from livenuts.adaptation import dual_averaging
from livenuts.adaptation.fisher import Estimate
from livenuts.adaptation.warmup import Lesson, Stretch, Warmup
from livenuts.compiler.target import Bound
from livenuts.kernel.metric import Diagonal, LowRank, Metric
from livenuts.messages import Sink
from livenuts.runtime.iteration import DRAW, SEARCH, STATISTICS, Chain, Controls, new_chain
from livenuts.runtime.program import Program
from livenuts.runtime.settings import Settings, chain_key, start_generator
from livenuts.tuning import Tuning

# A call lasts about this long: listeners hear twenty times a second, and Ctrl-C is not kept waiting.
_CHUNK_SECONDS = 0.05
_FIRST_CHUNK = 50
_START_TRIES = 100
# A divergence teaches the metric only if the draw got away from the old one.
_FAR_ENOUGH = 4

_INTEGERS = ("n_steps", "tree_depth", "index_in_trajectory")


def make_metric(estimate: Estimate, most: int) -> Metric:
    """The kernel's metric, in NumPy, with room for `most` directions."""
    if most == 0:
        return Diagonal(estimate.scale**2)
    rank, dimension = estimate.directions.shape
    directions, variances = np.zeros((most, dimension)), np.ones(most)
    directions[:rank], variances[:rank] = estimate.directions, estimate.variances
    return LowRank(estimate.scale, directions, variances, np.int64(rank))


def read_metric(metric: Any) -> Estimate:
    """The estimate that a metric was made of."""
    if isinstance(metric, Diagonal):
        scale = np.sqrt(np.asarray(metric.inverse_mass))
        return Estimate(scale, np.empty((0, scale.shape[0])), np.empty(0))
    rank = int(metric.rank)
    return Estimate(*(np.array(part) for part in (metric.scale, metric.directions[:rank], metric.variances[:rank])))


def no_metric(dimension: int) -> Estimate:
    """The unit metric."""
    return Estimate(np.ones(dimension), np.empty((0, dimension)), np.empty(0))


class StartError(ValueError):
    """No starting position with a finite log density and gradient was found."""


@dataclass
class Compiled:
    """What the chains of a run share: compiled code, and how fast it turned out to be."""

    program: Program
    constrain: Callable[..., dict[str, jax.Array]]
    most_directions: int
    seconds_per_draw: float | None = None
    """The size of the next run's first chunk; it has no bearing on the draws."""


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
        reasons = "; ".join(target.suspects(data, position)) or "the log density is not finite"
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
            reasons = "; ".join(self.bound.target.suspects(self.bound.data, tuning.positions[source]))
            raise StartError(f"chain {self.index}: warm_start's position does not fit this model or data: {reasons}")
        averaging = dual_averaging.resume(np.log(tuning.step_size[source]))
        self._pack(chain._replace(averaging=averaging, mode=np.int64(DRAW)))

    def _evaluated(self, position: np.ndarray, metric: Estimate) -> Chain | None:
        """A chain that knows density and gradient at `position`; None where they are not finite."""
        fresh = new_chain(position, self._metric(metric))
        matrix, vector, _ = self._step(self.compiled.program.pack(fresh), until=0)
        chain = self.compiled.program.unpack(np.asarray(matrix), np.asarray(vector))
        finite = np.isfinite(chain.state.log_density) and np.isfinite(chain.state.gradient).all()
        return chain if finite else None

    def _metric(self, estimate: Estimate) -> Metric:
        return make_metric(estimate, self.compiled.most_directions)

    def _pack(self, chain: Chain) -> None:
        self.packed = self.compiled.program.pack(chain)

    # -- running ---------------------------------------------------------------------------------------------------

    def _step(self, packed: tuple[Any, Any], until: int) -> tuple[Any, Any, Any]:
        controls = Controls(
            until=np.int64(until),
            adapting=np.bool_(self.warmed is None),
            max_depth=np.int64(self.settings.max_tree_depth),
            target_accept=np.float64(self.settings.target_accept),
        )
        return self.compiled.program.step(self.bound.prepared, *packed, self.key, controls)

    def run(self, until: int, stop: Callable[[], bool]) -> None:
        """Make draws until there are `until`, chunk by chunk, unless told to stop between two chunks."""
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
        return Stretch(*(np.concatenate(parts) for parts in zip(*taken, strict=True)))

    def learn(self, lesson: Lesson) -> None:
        """Go on as warm-up says."""
        chain = self.final_state()
        if lesson.metric is not None:
            chain = chain._replace(metric=self._metric(lesson.metric))
        if lesson.search:
            chain = chain._replace(mode=np.int64(SEARCH), search_direction=np.float64(0.0))
        if lesson.step is not None:
            step = np.float64(np.log(lesson.step))
            chain = chain._replace(averaging=chain.averaging._replace(log_step=step))
            self.warmed = self.made
        self._pack(chain)

    def _chunk(self, count: int) -> None:
        first, warm = self.made, self.warmed is None
        matrix, vector, buffers = self._step(self.packed, until=first + count)
        values: dict[str, np.ndarray] = {}
        if self.sink is not None or not warm:
            constrained = self.compiled.constrain(self.bound.data, buffers.positions, np.int64(count))
            values = {name: np.asarray(constrained[name])[:count].copy() for name in self.draws}
        rows = np.asarray(buffers.statistics)[:count].copy()
        self.packed = (matrix, vector)
        self.take(values, rows, buffers.positions, buffers.gradients)

    def take(self, values: dict[str, np.ndarray], rows: np.ndarray, positions: Any, gradients: Any) -> None:
        """Keep the next draws, one for each of `rows`, learn from them in warm-up, and tell the sink."""
        first, warm = self.made, self.warmed is None
        self.made = first + len(rows)
        column = dict(zip(STATISTICS, rows.T, strict=True))
        self.leapfrogs += int(column["n_steps"].sum())
        self.latest = dict(zip(STATISTICS, rows[-1].tolist(), strict=True))
        if warm:
            usable = (column["diverging"] == 0.0) | (np.abs(column["index_in_trajectory"]) > _FAR_ENOUGH)
            draws, slopes = (np.asarray(part)[: len(rows)].copy() for part in (positions, gradients))
            taught = (column["lp"], column["step_size"], column["acceptance_rate"])
            self._stretch.append(Stretch(draws, slopes, *taught, usable))
        else:
            self.divergences += int(column["diverging"].sum())
            self.statistics.append(rows)
            for name, block in values.items():
                self.draws[name].append(block)
        if self.sink is not None:
            self._send(values, rows, first, warm)

    def _send(self, values: dict[str, np.ndarray], rows: np.ndarray, first: int, warm: bool) -> None:
        """One message a draw, built column by column."""
        assert self.sink is not None
        kind, part = ("nuts.warmup/1", f"chain-{self.index}/warmup") if warm else ("nuts.draw/1", f"chain-{self.index}")
        number = first if self.warmed is None else first - self.warmed
        columns = [list(column) for column in values.values()]
        stats = statistics_columns(rows)
        for draw, (row, statistic) in enumerate(
            zip(
                zip(*columns, strict=True),
                zip(*(c.tolist() for c in stats.values()), strict=True),
                strict=True,
            ),
            number,
        ):
            self.sink(
                {
                    "type": kind,
                    "part": part,
                    "seq": draw,
                    "chain": self.index,
                    "draw": draw,
                    "values": dict(zip(values, row, strict=True)),
                    "stats": dict(zip(stats, statistic, strict=True)),
                }
            )

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


def statistics_columns(rows: np.ndarray) -> dict[str, np.ndarray]:
    """Statistics by name in their own types, from the matrix that the program writes; the last axis is the name."""
    columns = {name: rows[..., column] for column, name in enumerate(STATISTICS)}
    for name in _INTEGERS:
        columns[name] = columns[name].astype(np.int64)
    columns["diverging"] = columns["diverging"] != 0.0
    return columns
