"""NUTS on the page: traces of the first scalars of every chain, where each chain is, and running diagnostics.

A difference holds `chains`, `summary`, `divergent` and `failures` whole, and of each series the values that came.
"""

import math
import time
from collections import deque
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar

import livenuts
import numpy as np
from livenuts.diagnostics import scalar_names

from ..series import RECENT, Series
from .choice import choose

MOST_NAMES = 200
MOST_TRACED = 16
"""Chains with traces and in the summary."""
MOST_CHAINS = 64
"""Chains in the table."""
LARGEST_RHAT = 1000.0
"""What is told of chains that stand still in different places, which have an infinite one."""
_DEFAULT_SHOWN = 4
_BLOCK = 64
_EVERY = 1.0
"""Seconds between two summaries, at least."""


class Nuts:
    """One run of livenuts."""

    name: ClassVar[str] = "nuts"

    def __init__(self, run: str) -> None:
        self._model = ""
        self._status = "running"
        self._settings: dict[str, Any] = {}
        self._variables: list[dict[str, Any]] = []
        self._layout: list[tuple[str, int, int]] | None = None  # variable, its elements, how many have a name here
        self._names: dict[str, int] = {}  # scalar -> column
        self._chains: dict[int, _Chain] = {}
        self._failures: deque[dict[str, Any]] = deque(maxlen=20)
        self._structure = 0  # counts what a difference cannot tell
        self._running = livenuts.RunningSummary()
        self._summary: dict[str, np.ndarray] = {}
        self._summary_at, self._summary_of = -math.inf, 0
        self._taken = 0

    def take(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind == "nuts.draw/1":
            chain = self._chain(message["chain"])
            if chain is not None and chain.take(message, chain.draws):
                if message["stats"]["diverging"]:
                    chain.diverged(message["draw"])
                self._filled(chain, chain.draws)
        elif kind == "nuts.warmup/1":
            chain = self._chain(message["chain"])
            if chain is not None and chain.take(message, chain.warmup):
                self._filled(chain, chain.warmup)
        elif kind == "nuts.progress/1":
            for each in message["chains"]:
                chain = self._chain(each["chain"])
                if chain is not None:
                    chain.progress = each
        elif kind == "nuts.start/1":
            self._begin(message)
        elif kind == "nuts.failure/1":
            where = {key: message.get(key) for key in ("recovered", "chain", "iteration")}
            self._failures.append({"error": str(message["error"])[:2000]} | where)
            self._status = self._status if message.get("recovered") else "failed"
        elif kind == "nuts.end/1":
            self._status = str(message["status"])

    def full(self, show: Sequence[str]) -> dict[str, Any]:
        self._take_in()
        shown = choose(show, self._names, _DEFAULT_SHOWN)
        series: dict[str, list[dict[str, Any]]] = {"warmup": [], "draws": []}
        for (k, phase), trace in self._traces().items():
            for name in shown:
                series[phase].append({"name": name, "chain": k} | self._series(trace).full(self._names[name]))
        return {
            "model": self._model,
            "settings": self._settings,
            "variables": self._variables[:MOST_NAMES],
            "names": list(self._names),
            "shown": shown,
            **series,
            **self._state(shown),
        }

    def since(self, mark: Any, show: Sequence[str]) -> dict[str, Any] | None:
        self._take_in()
        structure, counts = mark
        traces = self._traces()
        if structure != self._structure:
            return None
        if sum(trace.series.count - counts[key] for key, trace in traces.items()) > RECENT:
            return None
        shown = choose(show, self._names, _DEFAULT_SHOWN)
        series: dict[str, list[dict[str, Any]]] = {"warmup": [], "draws": []}
        for (k, phase), trace in traces.items():
            start = counts[k, phase]
            if trace.series.count > start:
                for name in shown:
                    values = self._series(trace).since(start, self._names[name])
                    series[phase].append({"name": name, "chain": k, "from": start, "values": values})
        return series | self._state(shown)

    def mark(self) -> Any:
        self._take_in()
        return self._structure, {key: trace.series.count for key, trace in self._traces().items()}

    def _begin(self, start: dict[str, Any]) -> None:
        self._model, self._settings, self._variables = str(start["model"]), start["settings"], start["variables"]
        self._status = "running"
        self._structure += 1
        if self._layout is None:
            self._lay_out({str(each["name"]): tuple(each["shape"]) for each in self._variables})

    def _lay_out(self, shapes: dict[str, tuple[int, ...]]) -> None:
        """Give the first scalars their columns."""
        self._layout = []
        for name, shape in shapes.items():
            size, room = math.prod(shape), MOST_NAMES - len(self._names)
            if not size or not room:
                continue
            # The names of the first rows alone: a variable may have millions of elements.
            rows = min(shape[0], -(-room // (size // shape[0]))) if shape else 1
            names = scalar_names(name, (rows, *shape[1:]) if shape else ())[:room]
            for scalar in names:
                self._names[scalar] = len(self._names)
            self._layout.append((name, size, len(names)))
        self._structure += 1

    def _chain(self, k: int) -> "_Chain | None":
        chain = self._chains.get(k)
        if chain is None and len(self._chains) < MOST_CHAINS:
            chain = self._chains[k] = _Chain(k, traced=len(self._chains) < MOST_TRACED)
            self._structure += 1
        return chain

    def _traces(self) -> dict[tuple[int, str], "_Trace"]:
        return {
            (k, phase): trace
            for k, chain in sorted(self._chains.items())
            if chain.traced
            for phase, trace in (("warmup", chain.warmup), ("draws", chain.draws))
        }

    def _series(self, trace: "_Trace") -> Series:
        """The trace's series, made wide enough once the scalars are known."""
        if trace.series.width != len(self._names):
            trace.series = Series(len(self._names))
        return trace.series

    def _filled(self, chain: "_Chain", trace: "_Trace") -> None:
        self._taken += 1
        if len(trace.waiting) == _BLOCK:
            self._enter(chain, trace)

    def _take_in(self) -> None:
        for chain in self._chains.values():
            for trace in (chain.warmup, chain.draws):
                self._enter(chain, trace)

    def _enter(self, chain: "_Chain", trace: "_Trace") -> None:
        """Enter the messages that wait into the series and, if they are draws, into the summary."""
        messages, trace.waiting = trace.waiting, []
        if not messages or not chain.traced:
            return
        if self._layout is None:
            self._lay_out({name: np.shape(value) for name, value in messages[0]["values"].items()})
        if not self._names:
            return
        rows = self._matrix([message["values"] for message in messages])
        series = self._series(trace)
        steps = [message["seq"] for message in messages]
        breaks = [0, *(at for at, (one, next) in enumerate(pairwise(steps), 1) if next != one + 1), len(steps)]
        for start, stop in pairwise(breaks):
            series.add(rows[start:stop], steps[start])
        if trace is chain.draws:
            for message, row in zip(messages, rows, strict=True):
                # The named scalars as one variable: of a model with millions of them the others are left out.
                self._running(message | {"values": {"": row}})

    def _matrix(self, rows: list[dict[str, Any]]) -> np.ndarray:
        """The named scalars of each draw: (draw, scalar)."""
        assert self._layout is not None
        blocks = [np.empty((len(rows), 0))]
        for name, size, named in self._layout:
            arrays = [row[name] for row in rows]
            if any(np.size(array) != size for array in arrays[:: len(arrays) - 1 or 1]):
                raise ValueError(f"{name}: not every draw has its {size} elements")
            if size > named:
                arrays = [np.ravel(array)[:named] for array in arrays]
            blocks.append(np.array(arrays, dtype=float).reshape(len(rows), named))
        return np.concatenate(blocks, axis=1)

    def _state(self, shown: list[str]) -> dict[str, Any]:
        return {
            "status": self._status,
            "chains": [self._row(chain) for _, chain in sorted(self._chains.items())],
            "summary": self._summarise(shown),
            "divergent": {str(k): list(chain.divergent) for k, chain in sorted(self._chains.items())},
            "failures": list(self._failures),
        }

    def _row(self, chain: "_Chain") -> dict[str, Any]:
        stats, progress = chain.stats, chain.progress
        draws, warmed = chain.draws.next, chain.warmup.next
        warmup, samples = (int(self._settings.get(name, 0)) for name in ("num_warmup", "num_samples"))
        over = self._status != "running"
        return {
            "chain": chain.k,
            "phase": "done" if over or (samples and draws >= samples) else "sampling" if draws else "warmup",
            # What came, not how far a sampler is that computes ahead of a slow sink.
            "iteration": warmed + draws or int(progress.get("iteration", 0)),
            # Warm-up may end before its time.
            "total": warmed + samples if draws and warmed else progress.get("total", warmup + samples),
            "draws": draws,
            "divergences": chain.divergences if draws else progress.get("divergences", 0),
            "step_size": stats.get("step_size", progress.get("step_size")),
            "acceptance_rate": stats.get("acceptance_rate", progress.get("acceptance_rate")),
            "tree_depth": stats.get("tree_depth"),
            "lag": None if over or chain.heard is None else time.monotonic() - chain.heard,
        }

    def _summarise(self, shown: list[str]) -> list[dict[str, Any]]:
        now = time.monotonic()
        due = now >= self._summary_at + _EVERY or self._status != "running"
        if self._summary_of != self._taken and due:
            with np.errstate(all="ignore"):  # draws that are constant, not finite or too few have no R-hat
                self._summary = _told(self._running.summary().columns)
            self._summary_at, self._summary_of = now, self._taken
        if not self._summary or len(self._summary["mean"]) != len(self._names):
            return []
        return [
            {"name": name} | {key: float(column[self._names[name]]) for key, column in self._summary.items()}
            for name in shown
        ]


def _told(columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The columns that are shown: no effective sample size of a constant or of what is not finite, a bounded R-hat."""
    moves = np.isfinite(columns["sd"]) & (columns["sd"] > 0)
    return {
        "mean": columns["mean"],
        "sd": columns["sd"],
        "rhat": np.minimum(columns["r_hat"], LARGEST_RHAT),
        "ess": np.where(moves, columns["ess_mean"], np.nan),
    }


class _Trace:
    """The warm-up of a chain, or its draws."""

    def __init__(self) -> None:
        self.series = Series(0)
        self.waiting: list[dict[str, Any]] = []
        self.next = 0


class _Chain:
    def __init__(self, k: int, traced: bool) -> None:
        self.k, self.traced = k, traced
        self.warmup, self.draws = _Trace(), _Trace()
        self.stats: dict[str, Any] = {}
        self.progress: dict[str, Any] = {}
        self.heard: float | None = None
        self.divergences = 0
        self.divergent: deque[int] = deque(maxlen=200)

    def take(self, message: dict[str, Any], trace: _Trace) -> bool:
        """Tell whether the message is new: a restarted engine sends some again."""
        if message["seq"] < trace.next:
            return False
        trace.next = message["seq"] + 1
        trace.waiting.append(message)
        self.stats = message["stats"]
        self.heard = time.monotonic()
        return True

    def diverged(self, draw: int) -> None:
        self.divergences += 1
        self.divergent.append(draw)
