"""The recipe spc on the page: the chart, the run-length posterior by point, the alarms and the answer.

`points` are numbered by their `seq`; a column of `lengths` is `{"seq", "lengths", "probabilities"}`: the most probable
run lengths after that point. A difference holds the points, columns and alarms that came, and the rest whole.
"""

from collections import deque
from collections.abc import Sequence
from typing import Any, ClassVar

from ...spc.verdict import Verdict, verdict

MOST_POINTS, MOST_COLUMNS, MOST_ROWS, MOST_ALARMS = 2000, 300, 60, 500
_SHOWN = ("seq", "label", "x", "center", "lower", "upper", "recent", "run_length", "phase", "alarms")


class Spc:
    """One run of the recipe."""

    name: ClassVar[str] = "spc"

    def __init__(self, run: str) -> None:
        self._run = run
        self._start: dict[str, Any] = {}
        self._status = "running"
        self._error: str | None = None
        self._points: deque[dict[str, Any]] = deque(maxlen=MOST_POINTS)
        self._columns: deque[dict[str, Any]] = deque(maxlen=MOST_COLUMNS)
        self._alarms: deque[dict[str, Any]] = deque(maxlen=MOST_ALARMS)
        self._next = self._alarm_count = 0
        self._labels: list[str] = []  # of the observed points, with their values: what the answer is about
        self._values: list[float] = []
        self._answer: Verdict | None = None
        self._structure = 0

    def take(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind == "spc.point/1":
            if message["seq"] >= self._next:
                self._point(message)
        elif kind == "spc.start/1":
            self._start = message
            self._structure += 1
        elif kind == "spc.failure/1":
            self._error, self._status = str(message["error"]), "failed"
        elif kind == "spc.end/1":
            self._status = str(message["status"])
            self._answer = verdict(message, self._labels, self._values)

    def _point(self, message: dict[str, Any]) -> None:
        self._next = message["seq"] + 1
        self._points.append({key: message[key] for key in _SHOWN})
        runs = sorted(zip(message["probabilities"].tolist(), message["lengths"].tolist(), strict=True), reverse=True)
        runs = sorted(runs[:MOST_ROWS], key=lambda run: run[1])
        lengths, probabilities = [length for _, length in runs], [probability for probability, _ in runs]
        self._columns.append({"seq": message["seq"], "lengths": lengths, "probabilities": probabilities})
        for alarm in message["alarms"]:
            self._alarm_count += 1
            self._alarms.append({"seq": message["seq"], "label": message["label"], **alarm})
        if message["x"] is not None:
            self._labels.append(message["label"])
            self._values.append(message["x"])

    def full(self, show: Sequence[str]) -> dict[str, Any]:
        data, nuts = self._start.get("data", {}), self._start.get("nuts")
        return {
            "data": data.get("name", ""),
            "source": data.get("source", ""),
            "count": data.get("count"),
            "label": self._start.get("label", ""),
            "settings": self._start.get("settings", {}),
            "nuts": None if nuts is None else self._run + nuts,
            **self._after(0),
        }

    def since(self, mark: Any, show: Sequence[str]) -> dict[str, Any] | None:
        structure, start = mark
        if structure != self._structure or self._next - start > MOST_POINTS:
            return None
        return {"from": start} | self._after(start)

    def mark(self) -> Any:
        return self._structure, self._next

    def _after(self, start: int) -> dict[str, Any]:
        return {
            "status": self._status,
            "points": [point for point in self._points if point["seq"] >= start],
            "lengths": [column for column in self._columns if column["seq"] >= start],
            "alarms": [alarm for alarm in self._alarms if alarm["seq"] >= start],
            "alarm_count": self._alarm_count,
            "end": None if self._answer is None else self._answer.sentence,
            "detail": None if self._answer is None else self._answer.detail,
            "error": self._error,
        }
