"""A simulation on the page: what replications say so far, with intervals that narrow, and how busy resources are.

A difference holds `resources`, `summary` and `failures` whole, and of each series the values that came. A metric has
four series, told apart by `chain`: its value in each replication, and the mean so far with its interval's ends.
"""

from collections import deque
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from scipy import special

from ..series import RECENT, Series
from .choice import choose

MOST_NAMES, MOST_RESOURCES, MOST_FAILURES = 200, 40, 20
CONFIDENCE = 0.95
CURVES = ("value", "mean", "low", "high")
_TOLD = (".queue.mean", ".sojourn.mean", ".wait.mean", ".utilization", ".number.mean", ".level.mean")
_DEFAULT_SHOWN = 6
_BLOCK = 64


class Sim:
    """One run of livesim."""

    name: ClassVar[str] = "sim"

    def __init__(self, run: str) -> None:
        self._start: dict[str, Any] = {}
        self._status = "running"
        self._names: dict[str, int] = {}  # metric -> column
        self._values = _Estimates(0)
        self._next = self._failed = 0
        self._failures: deque[dict[str, Any]] = deque(maxlen=MOST_FAILURES)
        self._progress: dict[str, Any] = {}
        self._events = 0
        self._structure = 0  # counts what a difference cannot tell

    def take(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind == "sim.replication/1":
            if message["seq"] >= self._next:
                self._replication(message)
        elif kind == "sim.progress/1":
            self._progress = {key: message[key] for key in ("total", "made", "failed", "events", "elapsed")}
        elif kind == "sim.start/1":
            self._start = message
            self._status = "running"
            self._structure += 1
        elif kind == "sim.failure/1":
            if not message["recovered"]:
                self._failures.append({"replication": None, "error": str(message["error"])[:2000]})
                self._status = "failed"
        elif kind == "sim.end/1":
            self._status = str(message["status"])

    def _replication(self, message: dict[str, Any]) -> None:
        self._next = message["seq"] + 1
        self._events += message["events"]
        if message["error"] is not None:
            self._failed += 1
            self._failures.append({"replication": message["seq"], "error": str(message["error"])[:2000]})
        values = message["values"]
        if not self._names and values:
            told = [name for end in _TOLD for name in values if name.endswith(end)]
            chosen = list(dict.fromkeys([*told, *values]))[:MOST_NAMES]
            self._names = {name: column for column, name in enumerate(chosen)}
            self._values = _Estimates(len(chosen))
            self._values.skip(message["seq"])
            self._structure += 1
        if self._names:
            self._values.add(message["seq"], np.array([float(values.get(name, np.nan)) for name in self._names]))

    def full(self, show: Sequence[str]) -> dict[str, Any]:
        shown = choose(show, self._names, _DEFAULT_SHOWN)
        history = self._values.history()
        series = [
            {"name": name, "chain": curve} | history.full(4 * self._names[name] + at)
            for name in shown
            for at, curve in enumerate(CURVES)
        ]
        return {
            "model": str(self._start.get("model", "")),
            "settings": self._start.get("settings", {}),
            "statistics_from": self._start.get("warmup"),
            "names": list(self._names),
            "shown": shown,
            "series": series,
            **self._state(shown),
        }

    def since(self, mark: Any, show: Sequence[str]) -> dict[str, Any] | None:
        structure, start = mark
        history = self._values.history()
        if structure != self._structure or history.count - start > RECENT:
            return None
        shown = choose(show, self._names, _DEFAULT_SHOWN)
        series = [
            {"name": name, "chain": curve, "from": start, "values": history.since(start, 4 * self._names[name] + at)}
            for name in shown
            for at, curve in enumerate(CURVES)
            if history.count > start
        ]
        return {"series": series} | self._state(shown)

    def mark(self) -> Any:
        return self._structure, self._values.history().count

    def _state(self, shown: list[str]) -> dict[str, Any]:
        resources = [name.removesuffix(".utilization") for name in self._names if name.endswith(".utilization")]
        return {
            "status": self._status,
            "made": self._next,
            "total": int(self._start.get("settings", {}).get("n", self._progress.get("total", 0))),
            "failed": self._failed,
            "events": self._events,
            "elapsed": self._progress.get("elapsed"),
            "resources": [
                {"name": name} | {what: self._told(f"{name}.{path}") for what, path in
                 (("utilization", "utilization"), ("queue", "queue.mean"), ("wait", "wait.mean"))}
                for name in resources[:MOST_RESOURCES]
            ],
            "summary": [{"name": name} | (self._told(name) or {}) for name in shown],
            "failures": list(self._failures),
        }  # fmt: skip

    def _told(self, name: str) -> dict[str, float] | None:
        column = self._names.get(name)
        return None if column is None else dict(zip(CURVES[1:], self._values.latest(column), strict=True))


class _Estimates:
    """Values of metrics, a row a replication, and their means with Student's intervals so far (Welford 1962)."""

    def __init__(self, width: int) -> None:
        self._series = Series(4 * width)
        self._waiting: list[np.ndarray] = []
        self._first = 0
        self._count, self._mean, self._squares = np.zeros((3, width))
        self._latest = np.full((width, 4), np.nan)

    def skip(self, first: int) -> None:
        """Begin with replication `first`: those before have no values."""
        self._first = first

    def add(self, replication: int, values: np.ndarray) -> None:
        if replication != self._first + len(self._waiting):
            self.history()
            self._first = replication
        known = np.isfinite(values)
        self._count += known
        step = np.where(known, values - self._mean, 0.0)
        with np.errstate(all="ignore"):
            self._mean += np.where(known, step / self._count, 0.0)
            self._squares += step * np.where(known, values - self._mean, 0.0)
            freedom = self._count - 1
            error = np.sqrt(self._squares / freedom / self._count)
            half = special.stdtrit(freedom, 0.5 + 0.5 * CONFIDENCE) * error
        mean = np.where(self._count > 0, self._mean, np.nan)
        half = np.where(freedom > 0, half, np.nan)
        self._latest = np.stack([values, mean, mean - half, mean + half], axis=1)
        self._waiting.append(self._latest.ravel())
        if len(self._waiting) == _BLOCK:
            self.history()

    def history(self) -> Series:
        if self._waiting:
            self._series.add(np.array(self._waiting), self._first)
            self._first += len(self._waiting)
            self._waiting = []
        return self._series

    def latest(self, column: int) -> list[float]:
        """Mean and interval so far."""
        found: list[float] = self._latest[column, 1:].tolist()
        return found
