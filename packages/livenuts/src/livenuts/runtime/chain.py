"""One chain: its state, its draws, its messages. How it moves is in `moves`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from livenuts.adaptation.warmup import Lesson, Stretch
from livenuts.compiler.target import Bound
from livenuts.messages import Sink
from livenuts.runtime.compiled import Compiled
from livenuts.runtime.emission import send_draws
from livenuts.runtime.iteration import SEARCH, STATISTICS, Chain
from livenuts.runtime.recovery import DensityError, Recovery
from livenuts.runtime.settings import Settings, chain_key

# A divergence teaches the metric only if the draw got away from the old one.
_FAR_ENOUGH = 4
_INTEGERS = ("n_steps", "tree_depth", "index_in_trajectory")


class Drawn(NamedTuple):
    """What one chunk made of a chain."""

    state: np.ndarray
    rows: np.ndarray
    """(draw, number): position, gradient, `STATISTICS`; it may be memory that the next chunk writes to."""
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
    state: np.ndarray = field(init=False)
    """A `Chain` as its layout packs it; replaced, never changed, as the metric is."""
    metric: np.ndarray = field(init=False)
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

    @property
    def view(self) -> Chain:
        """The state by name, as views; integers are floats here."""
        return self.compiled.program.chain.view(self.state)

    # -- learning --------------------------------------------------------------------------------------------------

    def take_stretch(self) -> Stretch:
        """What was drawn since the last call, in warm-up."""
        taken, self._stretch = self._stretch, []
        stretch = Stretch(*(np.concatenate(parts) for parts in zip(*taken, strict=True)))
        if len(stretch.steps):
            return stretch
        # Every transition failed: the step size is to stay.
        step = np.exp(self.view.averaging.log_step)
        return stretch._replace(
            steps=np.array([step]), acceptance_rates=np.zeros(1), num_steps=np.zeros(1), diverging=np.zeros(1)
        )

    def learn(self, lesson: Lesson, metric: np.ndarray | None, learned: dict[str, Any] | None) -> None:
        """Go on as warm-up says, with its new `metric` if it has one; `learned` is its state, if it goes on."""
        self.state = self.state.copy()
        view = self.view
        if metric is not None:
            self.metric = metric
        if lesson.search:
            view.mode[...], view.search_direction[...] = SEARCH, 0.0
        if lesson.step is not None:
            view.averaging.log_step[...] = np.log(lesson.step)
            self.warmed = self.made
        self.learned = learned
        self.note()

    # -- drawing ---------------------------------------------------------------------------------------------------

    def take(self, values: dict[str, np.ndarray], drawn: Drawn) -> None:
        """Keep the next draws, learn from them in warm-up, and tell the sink."""
        first, warm = self.made, self.warmed is None
        self.state = drawn.state
        self.made = first + len(drawn.rows)
        statistics = drawn.rows[:, -len(STATISTICS) :].copy()
        if len(statistics):
            column = dict(zip(STATISTICS, statistics.T, strict=True))
            self.leapfrogs += int(column["n_steps"].sum())
            self.latest = dict(zip(STATISTICS, statistics[-1].tolist(), strict=True))
            if warm:
                self._stretch.append(_stretch(drawn.rows, column))
            else:
                self.divergences += int(column["diverging"].sum())
                self.statistics.append(statistics)
                for name, block in values.items():
                    self.draws[name].append(block)
        self.note()
        if self.sink is not None:
            self._send(values, statistics, first if self.warmed is None else first - self.warmed, warm)

    def _send(self, values: dict[str, np.ndarray], rows: np.ndarray, number: int, warm: bool) -> None:
        assert self.sink is not None
        send_draws(self.sink, self.index, number, values, statistics_columns(rows), warm=warm)

    # -- to go on elsewhere ----------------------------------------------------------------------------------------

    def note(self) -> None:
        """Remember the present state for whoever wants to `restore` it."""
        self.noted = {
            "state": self.state,
            "metric": self.metric,
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
        self.state, self.metric = state["state"], state["metric"]
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


def as_data(noted: Mapping[str, Any]) -> dict[str, Any]:
    """What a chain noted, as plain data, apart from what its whole group has in common."""
    return {name: value for name, value in noted.items() if name != "warmup"} | {
        "recoveries": [list(recovery) for recovery in noted["recoveries"]],
        "stretch": [list(stretch) for stretch in noted["stretch"]],
    }


def statistics_columns(rows: np.ndarray) -> dict[str, np.ndarray]:
    """Statistics by name in their own types, from the matrix that the program writes; the last axis is the name."""
    columns = {name: rows[..., column] for column, name in enumerate(STATISTICS)}
    for name in _INTEGERS:
        columns[name] = columns[name].astype(np.int64)
    for name in ("diverging", "recovered"):
        columns[name] = columns[name] != 0.0
    return columns


def _stretch(rows: np.ndarray, column: dict[str, np.ndarray]) -> Stretch:
    """What warm-up learns from."""
    dimension = (rows.shape[1] - len(STATISTICS)) // 2
    usable = (column["diverging"] == 0.0) | (np.abs(column["index_in_trajectory"]) > _FAR_ENOUGH)
    moves = [column[name] for name in ("step_size", "acceptance_rate", "n_steps", "diverging")]
    if column["recovered"].any():
        made = column["recovered"] == 0.0
        usable, moves = usable & made, [numbers[made] for numbers in moves]
    steps, acceptance_rates, num_steps, diverging = moves
    return Stretch(
        draws=rows[:, :dimension].copy(),
        gradients=rows[:, dimension : 2 * dimension].copy(),
        log_densities=column["lp"],
        steps=steps,
        acceptance_rates=acceptance_rates,
        num_steps=num_steps,
        diverging=diverging,
        usable=usable,
    )
