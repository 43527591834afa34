"""The factory twin on the page: what was expected of each shift and what came, and what is believed of the machines.

`shifts` are numbered by their `seq`; a difference holds those that came, and the rest whole.
"""

from collections import deque
from collections.abc import Sequence
from typing import Any, ClassVar

from ...twin.report import headline
from .choice import choose

MOST_SHIFTS = 2000
KPIS = ("throughput", "lead", "wip")
_DEFAULT_PARAMETERS = 6


class Twin:
    """One run of the recipe."""

    name: ClassVar[str] = "twin"

    def __init__(self, run: str) -> None:
        self._start: dict[str, Any] = {}
        self._status = "running"
        self._shifts: deque[dict[str, Any]] = deque(maxlen=MOST_SHIFTS)
        self._next: dict[str, Any] = {}
        self._changed: list[dict[str, Any]] = []
        self._count = 0
        self._names: list[str] = []
        self._answer: str | None = None
        self._structure = 0

    def take(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind == "twin.shift/1":
            if message["seq"] >= self._count:
                self._shift(message)
        elif kind == "twin.start/1":
            self._start = message
            self._structure += 1
        elif kind == "twin.end/1":
            self._status = str(message["status"])
            self._answer = headline(message)

    def _shift(self, message: dict[str, Any]) -> None:
        self._count = message["seq"] + 1
        if not self._names and message["parameters"]:
            # Services first: they are what drifts most often.
            self._names = sorted(message["parameters"], key=lambda name: not name.endswith(".service"))
            self._structure += 1
        expected = {kpi: message["expected"][kpi]["quantiles"] for kpi in KPIS if kpi in message["expected"]}
        shift = {name: message[name] for name in ("seq", "kpis", "parameters")} | {"expected": expected}
        self._shifts.append(shift)
        self._next, self._changed = message["next"], message["changed"]

    def full(self, show: Sequence[str]) -> dict[str, Any]:
        return {
            "label": self._start.get("label", ""),
            "machines": self._start.get("machines", []),
            "settings": self._start.get("settings", {}),
            "names": self._names,
            "shown": choose(show, self._names, _DEFAULT_PARAMETERS),
            **self._after(0),
        }

    def since(self, mark: Any, show: Sequence[str]) -> dict[str, Any] | None:
        structure, start = mark
        if structure != self._structure or self._count - start > MOST_SHIFTS:
            return None
        return self._after(start)

    def mark(self) -> Any:
        return self._structure, self._count

    def _after(self, start: int) -> dict[str, Any]:
        return {
            "status": self._status,
            "count": self._count,
            "shifts": [shift for shift in self._shifts if shift["seq"] >= start],
            "next": self._next,
            "changed": self._changed,
            "answer": self._answer,
        }
