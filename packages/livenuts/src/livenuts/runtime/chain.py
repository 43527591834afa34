"""One chain: its starting position, its chunks, its messages."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from livenuts.adaptation import dual_averaging
from livenuts.adaptation.estimators import ESTIMATORS
from livenuts.adaptation.windows import Windows, stan_windows
from livenuts.compiler.target import Bound
from livenuts.messages import Sink
from livenuts.runtime.iteration import DRAW, MAX_WINDOWS, STATISTICS, Chain, Controls, new_chain
from livenuts.runtime.program import Program
from livenuts.runtime.settings import Settings, chain_key, start_generator
from livenuts.tuning import Tuning

# A call lasts about this long: listeners hear twenty times a second, and Ctrl-C is not kept waiting.
_CHUNK_SECONDS = 0.05
_FIRST_CHUNK = 50
_START_TRIES = 100

_INTEGERS = ("n_steps", "tree_depth", "index_in_trajectory")


class StartError(ValueError):
    """No starting position with a finite log density and gradient was found."""


@dataclass
class Compiled:
    """What the chains of a run share: compiled code, and how fast it turned out to be."""

    program: Program
    constrain: Callable[..., dict[str, jax.Array]]
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
    divergences: int = 0
    """After warm-up."""
    leapfrogs: int = 0
    latest: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=lambda: {"warmup": 0.0, "sampling": 0.0})
    windows: Windows = field(init=False)

    def __post_init__(self) -> None:
        self.key = chain_key(self.seed, self.index)
        self.windows = stan_windows(self.settings.num_warmup)
        self.draws = {name: [] for name in self.bound.target.names()}

    @property
    def kept(self) -> int:
        """Draws made after warm-up."""
        return max(0, self.made - self.settings.num_warmup)

    # -- starting --------------------------------------------------------------------------------------------------

    def start(self, given: dict[str, Any]) -> None:
        """Find a position with finite log density and gradient: the model's own, the given one, or U(-2, 2)."""
        target, data = self.bound.target, self.bound.data
        own = self.bound.description.start
        generator = start_generator(self.seed, self.index)
        fixed = own is not None or set(given) >= {variable.name for variable in target.variables}
        for _ in range(1 if fixed else _START_TRIES):
            position = generator.uniform(-2.0, 2.0, target.dimension) if own is None else own
            if given:
                position = target.unconstrain(data, position, given)
            packed = self.compiled.program.pack(new_chain(position, ESTIMATORS[self.settings.metric_kind]))
            matrix, vector, _, _ = self._step(packed, until=0)
            state = self.compiled.program.unpack(np.asarray(matrix), np.asarray(vector)).state
            if np.isfinite(state.log_density) and np.isfinite(state.gradient).all():
                self.packed = (matrix, vector)
                return
        reasons = "; ".join(target.suspects(data, position)) or "the log density is not finite"
        tries = "the starting position" if fixed else f"any of {_START_TRIES} random starting positions"
        raise StartError(
            f"chain {self.index}: no finite log density and gradient at {tries}: {reasons}. "
            "Give init= a position inside the support, or check the data against the model"
        )

    def start_warm(self, tuning: Tuning) -> None:
        """Take position, metric and step size from another run; warm-up then tunes the step size only."""
        source = self.index % len(tuning.step_size)
        estimator = ESTIMATORS[self.settings.metric_kind]
        self.windows = Windows(self.settings.num_warmup, self.settings.num_warmup, ())
        chain = new_chain(tuning.positions[source], estimator)
        matrix, vector, _, _ = self._step(self.compiled.program.pack(chain), until=0)
        chain = self.compiled.program.unpack(np.asarray(matrix), np.asarray(vector))
        if not (np.isfinite(chain.state.log_density) and np.isfinite(chain.state.gradient).all()):
            reasons = "; ".join(self.bound.target.suspects(self.bound.data, tuning.positions[source]))
            raise StartError(f"chain {self.index}: warm_start's position does not fit this model or data: {reasons}")
        self.packed = self.compiled.program.pack(
            chain._replace(
                metric=estimator.from_inverse_mass(tuning.inverse_mass[source]),
                averaging=dual_averaging.start(np.log(tuning.step_size[source])),
                mode=np.int64(DRAW),
            )
        )

    # -- running ---------------------------------------------------------------------------------------------------

    def _step(self, packed: tuple[Any, Any], until: int) -> tuple[Any, Any, Any, Any]:
        ends = np.full(MAX_WINDOWS, -1, np.int64)
        ends[: len(self.windows.ends)] = self.windows.ends
        controls = Controls(
            until=np.int64(until),
            num_warmup=np.int64(self.settings.num_warmup),
            max_depth=np.int64(self.settings.max_tree_depth),
            target_accept=np.float64(self.settings.target_accept),
            window_first=np.int64(self.windows.first),
            window_last=np.int64(self.windows.last),
            window_ends=ends,
        )
        return self.compiled.program.step(self.bound.data, *packed, self.key, controls)

    def run(self, stop: Callable[[], bool]) -> None:
        """Make all draws, chunk by chunk, unless told to stop between two chunks."""
        total = self.settings.num_warmup + self.settings.num_samples
        per_draw = self.compiled.seconds_per_draw
        length = _FIRST_CHUNK if per_draw is None else max(1, int(_CHUNK_SECONDS / per_draw))
        while self.made < total and not stop():
            phase_end = self.settings.num_warmup if self.made < self.settings.num_warmup else total
            count = min(length, self.compiled.program.rows, phase_end - self.made)
            began = time.perf_counter()
            self._chunk(count)
            elapsed = time.perf_counter() - began
            self.seconds["sampling" if phase_end == total else "warmup"] += elapsed
            per_draw = max(elapsed / count, 1e-7)
            self.compiled.seconds_per_draw = per_draw
            length = max(1, min(int(_CHUNK_SECONDS / per_draw), 8 * length))

    def _chunk(self, count: int) -> None:
        first, warm = self.made, self.made < self.settings.num_warmup
        matrix, vector, positions, statistics = self._step(self.packed, until=first + count)
        values: dict[str, np.ndarray] = {}
        if self.sink is not None or not warm:
            constrained = self.compiled.constrain(self.bound.data, positions, np.int64(count))
            values = {name: np.asarray(constrained[name])[:count].copy() for name in self.draws}
        rows = np.asarray(statistics)[:count].copy()
        self.packed = (matrix, vector)
        self.made = first + count
        self.leapfrogs += int(rows[:, STATISTICS.index("n_steps")].sum())
        self.latest = dict(zip(STATISTICS, rows[-1].tolist(), strict=True))
        if not warm:
            self.divergences += int(rows[:, STATISTICS.index("diverging")].sum())
            self.statistics.append(rows)
            for name, column in values.items():
                self.draws[name].append(column)
        if self.sink is not None:
            self._send(values, rows, first, warm)

    def _send(self, values: dict[str, np.ndarray], rows: np.ndarray, first: int, warm: bool) -> None:
        """One message a draw, built column by column."""
        assert self.sink is not None
        kind, part = ("nuts.warmup/1", f"chain-{self.index}/warmup") if warm else ("nuts.draw/1", f"chain-{self.index}")
        number = first if warm else first - self.settings.num_warmup
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
            "phase": "warmup" if self.made < self.settings.num_warmup else "sampling",
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
