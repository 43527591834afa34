"""Process control in a terminal: the chart, the run lengths, the alarms and the answer."""

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ...spc.view import chart, since_change
from ...terminal import printable
from .text import MARK, facts, panel, title

_OTHER_LINES = 13
"""Lines of the picture that are not the chart's rows."""


class SpcDrawing:
    """Draws what `views.Spc` keeps."""

    def __init__(self, run: str) -> None:
        self._run = run

    def picture(self, data: dict[str, Any], width: int, height: int) -> RenderableType:
        points, window = data["points"], data["settings"].get("window", 0)
        end = [Text(printable(each)) for each in (data["error"], data["end"]) if each]
        used = sum(1 + len(each.plain) // width for each in end)
        room = max(4, min(20, height - _OTHER_LINES - used))
        both = Table.grid(expand=True, padding=0)
        both.add_column(ratio=1)
        both.add_column(ratio=1)
        both.width = width
        newest = data["lengths"][-1] if data["lengths"] else {"lengths": [], "probabilities": []}
        since = since_change(points, newest["lengths"], newest["probabilities"], 3)
        alarms = [f"{each['label']}: {each['text']}" for each in data["alarms"][-3:]] or ["none so far"]
        told = Text("\n".join([*map(printable, alarms), "", ""][:3]), no_wrap=True, overflow="ellipsis")
        half = width // 2
        both.add_row(
            panel(since, half, "since the last change"), panel(told, width - half, f"alarms: {data['alarm_count']}")
        )
        heading = title(data["data"] or "process control", self._run, data["status"])
        return Group(
            panel(
                Group(
                    facts(self._facts(data), width - 4),
                    chart(points, data["count"] or 0, window, width - 4, room),
                ),
                width,
                heading,
            ),
            both,
            *end,
        )

    def line(self, data: dict[str, Any]) -> str:
        said = [f"{name} {value}{MARK if bad else ''}" for name, value, bad in self._facts(data)]
        return f"{data['data'] or 'process control'} {data['status']}: {'  '.join(said)}"

    def rows(self, data: dict[str, Any]) -> list[str]:
        alarms = [f"{each['label']}: alarm: {each['text']}" for each in data["alarms"]]
        return alarms + [each for each in (data["error"], data["end"], data["detail"]) if each]

    def _facts(self, data: dict[str, Any]) -> list[tuple[str, str, bool]]:
        """The same as the page's in the browser."""
        last = data["points"][-1] if data["points"] else None
        seen = 0 if last is None else last["seq"] + 1
        threshold = data["settings"].get("threshold", 0.5)
        return [
            ("points", f"{seen} of {data['count']}" if data["count"] else str(seen), False),
            (
                "P(recent change)",
                "–" if last is None else f"{last['recent']:.3f}",
                bool(last and last["recent"] > threshold),
            ),
            ("steps since change", "–" if last is None else str(last["run_length"]), False),
            ("alarms", str(data["alarm_count"]), data["alarm_count"] > 0),
            *([("sampler", data["nuts"], False)] if data["nuts"] else []),
        ]
