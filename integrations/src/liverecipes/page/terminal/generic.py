"""Any other run in a terminal: its parts, and every number in its messages."""

from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from ...terminal import printable
from .text import columns, count, number, panel, spark, title


class GenericDrawing:
    """Draws what `views.Generic` keeps."""

    def __init__(self, run: str) -> None:
        self._run = run

    def picture(self, data: dict[str, Any], width: int, height: int) -> RenderableType:
        parts = min(len(data["parts"]), max(1, (height - 6) // 3))
        room = max(1, height - parts - 7)
        return Group(
            panel(self._parts(data, parts), width, title(self._run, self._run, data["status"])),
            panel(self._numbers(data, room, width - 4), width, "numbers"),
        )

    def line(self, data: dict[str, Any]) -> str:
        newest = ", ".join(f"{each['name']} {number(latest(each))}" for each in data["series"][:6])
        return f"{self._run} {data['status']}: {count(data['messages'])} messages{'; ' if newest else ''}{newest}"

    def rows(self, data: dict[str, Any]) -> list[str]:
        parts = [f"{each['part']}: {count(each['count'])} messages, the last {each['type']}" for each in data["parts"]]
        grown = [f"{each['name']} ({each['chain']}): {number(latest(each))}" for each in data["series"]]
        return parts + grown + [f"{each['name']}: {number(each['value'])}" for each in data["once"]]

    def _parts(self, data: dict[str, Any], room: int) -> RenderableType:
        table = columns(("part", "type of the last", "messages"), 2)
        hidden = len(data["parts"]) - room
        for each in data["parts"][: room - (hidden > 0)]:
            table.add_row(printable(each["part"]), printable(each["type"]), count(each["count"]))
        return table if hidden <= 0 else Group(table, Text(f"... and {hidden + 1} more parts", "dim"))

    def _numbers(self, data: dict[str, Any], room: int, width: int) -> RenderableType:
        if not data["series"]:
            return Text("its messages hold no numbers so far")
        table = columns(("", "part", "now", "newest"), 2)
        table.columns[3].justify = "left"
        several = len({each["chain"] for each in data["series"]}) > 1
        hidden = len(data["series"]) - room
        for each in data["series"][: room - (hidden > 0)]:
            part = printable(each["chain"]) if several else ""
            table.add_row(printable(each["name"]), part, number(latest(each)), spark(each["tail"], max(8, width - 44)))
        return table if hidden <= 0 else Group(table, Text(f"... and {hidden + 1} more", "dim"))


def latest(series: dict[str, Any]) -> float | None:
    newest: float | None = series["tail"][-1] if series["tail"] else None
    return newest
