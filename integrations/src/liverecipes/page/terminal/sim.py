"""A simulation in a terminal: how far it is, how busy resources are, and metrics with their intervals."""

from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from ...terminal import printable
from .text import columns, count, duration, facts, number, panel, spark, title

_OTHER_LINES = 10
"""Lines of the picture that are not rows of its tables."""


class SimDrawing:
    """Draws what `views.Sim` keeps."""

    def __init__(self, run: str) -> None:
        self._run = run

    def picture(self, data: dict[str, Any], width: int, height: int) -> RenderableType:
        heading = title(data["model"] or "simulation", self._run, data["status"])
        failures = [Text(printable(self._failure(each)), "red", no_wrap=True) for each in data["failures"][-2:]]
        room = max(2, height - _OTHER_LINES - len(failures))
        resources = min(len(data["resources"]), max(1, room // 3))
        parts: list[RenderableType] = [panel(facts(self._facts(data), width - 4), width, heading)]
        if resources:
            parts.append(panel(self._resources(data, resources), width, "resources"))
        parts.append(panel(self._metrics(data, room - resources, width - 4), width, "metrics, mean so far ± 95 %"))
        return Group(*parts, *failures)

    def line(self, data: dict[str, Any]) -> str:
        told = ", ".join(f"{each['name']} {_spread(each)}" for each in data["summary"][:4])
        made = f"{count(data['made'])} of {count(data['total'])} replications"
        return f"{data['model'] or 'simulation'} {data['status']}: {made}{'; ' if told else ''}{told}"

    def rows(self, data: dict[str, Any]) -> list[str]:
        found = [f"{each['name']}: busy {_spread(each['utilization'])}" for each in data["resources"]]
        found += [f"{each['name']}: {_spread(each)}" for each in data["summary"]]
        return found + [self._failure(each) for each in data["failures"]]

    def _failure(self, failure: dict[str, Any]) -> str:
        where = "" if failure["replication"] is None else f"replication {failure['replication']}: "
        return where + str(failure["error"])

    def _facts(self, data: dict[str, Any]) -> list[tuple[str, str, bool]]:
        """The same as the page's in the browser."""
        return [
            ("replications", f"{count(data['made'])} of {count(data['total'])}", False),
            ("failed", count(data["failed"]), data["failed"] > 0),
            ("events", count(data["events"]), False),
            ("statistics from", number(data["statistics_from"]), False),
            ("until", number(data["settings"].get("until")), False),
            *([] if data["elapsed"] is None else [("running for", duration(data["elapsed"]), False)]),
        ]

    def _resources(self, data: dict[str, Any], room: int) -> RenderableType:
        table = columns(("", "utilization", "mean queue", "mean wait"), 1)
        hidden = len(data["resources"]) - room
        for each in data["resources"][: room - (hidden > 0)]:
            table.add_row(printable(each["name"]), *(_spread(each[key]) for key in ("utilization", "queue", "wait")))
        return table if hidden <= 0 else Group(table, Text(f"... and {hidden + 1} more", "dim"))

    def _metrics(self, data: dict[str, Any], room: int, width: int) -> RenderableType:
        if not data["summary"]:
            return Text("no replication has ended so far")
        table = columns(("", "mean", "replications"), 1)
        table.columns[2].justify = "left"
        tails = {each["name"]: each["tail"] for each in data["series"] if each["chain"] == "value"}
        hidden = len(data["summary"]) - room
        for each in data["summary"][: max(1, room - (hidden > 0))]:
            name = each["name"]
            table.add_row(printable(name), _spread(each), spark(tails.get(name, []), max(8, width - 52)))
        return table if hidden <= 0 else Group(table, Text(f"... and {hidden + 1} more", "dim"))


def _spread(told: dict[str, Any] | None) -> str:
    if told is None or told.get("mean") is None:
        return number(None)
    half = told["high"] - told["mean"]
    return f"{number(told['mean'])} ± {number(half, 2)}" if half == half else number(told["mean"])
