"""NUTS on the page: traces of the first scalars of every chain, where each chain is, and running diagnostics.

A difference holds `chains`, `summary`, `divergent` and `failures` whole, and of each series the values that came.
"""

import math
from collections import deque
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from livenuts.diagnostics import scalar_names
from numpy.typing import NDArray

from .chains import MOST_NAMES, Chain, Chains, Trace
from .choice import choose

_DEFAULT_SHOWN = 4


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
        self._chains = Chains(lambda k, traced: _Chain(k, traced, self._names, self._names), self._rows)
        self._failures: deque[dict[str, Any]] = deque(maxlen=20)

    def take(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind == "nuts.draw/1":
            chain = self._chains.get(message["chain"])
            if chain is not None and self._chains.take(chain, chain.draws, message):
                chain.stats = message["stats"]
                if chain.stats["diverging"]:
                    chain.diverged(message["draw"])
        elif kind == "nuts.warmup/1":
            chain = self._chains.get(message["chain"])
            if chain is not None and self._chains.take(chain, chain.warmup, message):
                chain.stats = message["stats"]
        elif kind == "nuts.progress/1":
            for each in message["chains"]:
                chain = self._chains.get(each["chain"])
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
        self._chains.take_in()  # names may come with the first values
        shown = choose(show, self._names, _DEFAULT_SHOWN)
        return {
            "model": self._model,
            "settings": self._settings,
            "variables": self._variables[:MOST_NAMES],
            "names": list(self._names),
            "shown": shown,
            **self._chains.full(shown),
            **self._state(shown),
        }

    def since(self, mark: Any, show: Sequence[str]) -> dict[str, Any] | None:
        shown = choose(show, self._names, _DEFAULT_SHOWN)
        came = self._chains.since(mark, shown)
        return None if came is None else came | self._state(shown)

    def mark(self) -> Any:
        return self._chains.mark()

    def _begin(self, start: dict[str, Any]) -> None:
        self._model, self._settings, self._variables = str(start["model"]), start["settings"], start["variables"]
        self._status = "running"
        self._chains.structure += 1
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
        self._chains.structure += 1

    def _rows(self, chain: "_Chain", trace: Trace, messages: list[dict[str, Any]]) -> NDArray[Any]:
        """The named scalars of each draw: (draw, scalar)."""
        rows = [message["values"] for message in messages]
        if self._layout is None:
            self._lay_out({name: np.shape(value) for name, value in rows[0].items()})
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
        over = self._status != "running"
        return {
            "status": self._status,
            "chains": [self._row(chain) for chain in self._chains],
            "summary": self._chains.summarise(shown, self._names, over),
            "divergent": {str(chain.k): list(chain.divergent) for chain in self._chains},
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
            "lag": None if over else chain.lag(),
        }


class _Chain(Chain):
    stats: dict[str, Any]
    """Of its newest iteration."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.stats = {}
        self.divergences = 0
        self.divergent: deque[int] = deque(maxlen=200)

    def diverged(self, draw: int) -> None:
        self.divergences += 1
        self.divergent.append(draw)
