"""The factory twin in a terminal: what the next shift will bring, what came, and what is believed of the machines."""

from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from ...terminal import printable
from .chains import Fact, said
from .text import columns, facts, number, panel, spark, title

_KPIS = {"throughput": "jobs done", "lead": "lead time, min", "wip": "jobs in the shop"}
_OTHER_LINES = 12
"""Lines of the picture that are neither facts nor parameters."""


class TwinDrawing:
    """Draws what `views.Twin` keeps."""

    def __init__(self, run: str) -> None:
        self._run = run

    def picture(self, data: dict[str, Any], width: int, height: int) -> RenderableType:
        told = facts(self._facts(data), width - 4)
        parts: list[RenderableType] = [
            panel(told, width, title(data["label"] or "factory twin", self._run, data["status"])),
            panel(self._kpis(data, width - 4), width, "the next shift, and those that came"),
        ]
        if data["answer"]:
            parts.append(Text(printable(data["answer"]), "bold"))
        room = max(1, height - _OTHER_LINES - len(told.plain.splitlines()))
        if data["names"] and data["shifts"]:
            parts.append(panel(self._parameters(data, room, width - 4), width, "machines, in minutes"))
        return Group(*parts)

    def line(self, data: dict[str, Any]) -> str:
        return f"factory twin {data['status']}: {said(self._facts(data))}"

    def rows(self, data: dict[str, Any]) -> list[str]:
        found = []
        for kpi, name in _KPIS.items():
            if kpi in data["next"]:
                low, _, middle, _, high = data["next"][kpi]["quantiles"]
                found.append(f"next shift, {name}: {number(middle)}, 90 % {number(low)} to {number(high)}")
        return found + ([printable(data["answer"])] if data["answer"] else [])

    def _facts(self, data: dict[str, Any]) -> list[Fact]:
        """The same as the page's in the browser."""
        changed = ", ".join(f"{each['parameter']} x {number(each['factor'], 3)}" for each in data["changed"])
        return [("shifts", str(data["count"]), False), ("changed", printable(changed) or "nothing", bool(changed))]

    def _kpis(self, data: dict[str, Any], width: int) -> RenderableType:
        table = columns(("", "next", "90 % between", "and", "last", "so far"), 1)
        table.columns[5].justify = "left"
        for kpi, name in _KPIS.items():
            came = [shift["kpis"][kpi] for shift in data["shifts"]]
            low, _, middle, _, high = data["next"].get(kpi, {}).get("quantiles", [None] * 5)
            last = number(came[-1] if came else None)
            table.add_row(name, number(middle), number(low), number(high), last, spark(came, max(8, width - 66)))
        return table

    def _parameters(self, data: dict[str, Any], room: int, width: int) -> RenderableType:
        table = columns(("", "median", "90 % between", "and", "the median so far"), 1)
        table.columns[4].justify = "left"
        moved = {each["parameter"] for each in data["changed"]}
        names = sorted(data["names"], key=lambda name: name not in moved)
        for name in names[:room]:
            held = [shift["parameters"][name] for shift in data["shifts"] if name in shift["parameters"]]
            low, middle, high = held[-1] if held else (None, None, None)
            mark = "! " if name in moved else ""
            trace = spark([each[1] for each in held], max(8, width - 56))
            table.add_row(mark + printable(name), number(middle), number(low), number(high), trace)
        return table if len(names) <= room else Group(table, Text(f"... and {len(names) - room} more", "dim"))
