"""Online SMC² in a terminal: what is believed of states and parameters now, and how the sampler is."""

from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from ...terminal import printable
from .chains import Fact, Pace, said
from .text import columns, count, duration, facts, number, panel, spark, title

_OTHER_LINES = 7
"""Lines of the picture that are neither facts nor rows of its tables."""


class Smc2Drawing:
    """Draws what `views.Smc2` keeps."""

    def __init__(self, run: str) -> None:
        self._run, self._pace = run, Pace()

    def picture(self, data: dict[str, Any], width: int, height: int) -> RenderableType:
        told = facts(self._facts(data), width - 4)
        failures = [Text(printable(each), "red", no_wrap=True, overflow="ellipsis") for each in _failed(data)[-2:]]
        room = max(2, height - 2 - len(told.plain.splitlines()) - len(failures) - _OTHER_LINES)
        known = set(data["states"])
        states = [name for name in data["shown"] if name in known]
        parameters = [name for name in data["shown"] if name not in known]
        above = max(room // 2, room - len(parameters)) if parameters else room
        above = min(above, max(1, len(states)))
        parts: list[RenderableType] = [
            panel(told, width, title(data["model"] or "SMC²", self._run, data["status"])),
            *failures,
            panel(self._fans(data, states, above, width - 4), width, "states"),
        ]
        if parameters:
            parts.append(panel(self._fans(data, parameters, max(1, room - above), width - 4), width, "parameters"))
        return Group(*parts)

    def line(self, data: dict[str, Any]) -> str:
        return f"{data['model'] or 'SMC²'} {data['status']}: {said(self._facts(data))}"

    def rows(self, data: dict[str, Any]) -> list[str]:
        low, _, high = _levels(data)
        found = []
        for name in data["shown"]:
            values = _now(data, name)
            if values is not None:
                told = f"{number(values[0])} to {number(values[2])}"
                found.append(f"{name}: median {number(values[1])}, {number(100 * (high - low), 3)} % {told}")
        return found + _failed(data)

    def _facts(self, data: dict[str, Any]) -> list[Fact]:
        """The same as the page's in the browser."""
        latest = {each["name"]: each["tail"][-1] if each["tail"] else None for each in data["steps"]}
        totals, total, rate = data["totals"], data["total"], self._pace.rate(data["count"])
        left: list[Fact] = []
        if data["status"] == "running" and rate and total:
            left = [("left", f"≈ {duration((total - data['count']) / rate)}", False)]
        of = f" of {count(total)}" if total else ""
        among = data["settings"].get("n_theta")
        ess = number(latest.get("ess"), 3)
        return [
            ("observations", f"{count(data['count'])}{of}", False),
            *left,
            ("log evidence", number(latest.get("log_evidence"), 6), False),
            ("ESS", f"{ess} of {count(among)}" if among else ess, False),
            ("rejuvenations", count(totals["rejuvenations"]), False),
            ("states a filter", number(latest.get("n_x")), False),
            *_next(data),
            *((what, count(totals[what]), True) for what in ("faults", "skipped") if totals[what]),
            *((what, count(totals[what]), False) for what in ("revised",) if totals[what]),
        ]

    def _fans(self, data: dict[str, Any], names: list[str], room: int, width: int) -> RenderableType:
        if not names:
            return Text("no observation was taken in so far")
        low, _, high = _levels(data)
        table = columns(("", "median", f"{number(100 * (high - low), 3)} % between", "and", "the median so far"), 1)
        table.columns[4].justify = "left"
        medians = {
            each["name"]: each["tail"] for each in data["quantiles"] if each["chain"] == len(data["levels"]) // 2
        }
        hidden = len(names) - room
        for name in names[: max(1, room - (hidden > 0))]:
            values = _now(data, name) or (None, None, None)
            cells = (number(values[1]), number(values[0]), number(values[2]))
            table.add_row(printable(name), *cells, spark(medians.get(name, []), max(8, width - 56)))
        return table if hidden <= 0 else Group(table, Text(f"... and {hidden + 1} more", "dim"))


def _levels(data: dict[str, Any]) -> tuple[float, float, float]:
    levels = data["levels"] or [0.0, 0.5, 1.0]
    return levels[0], levels[len(levels) // 2], levels[-1]


def _now(data: dict[str, Any], name: str) -> tuple[float, float, float] | None:
    """The lowest quantile, the middle one and the highest after the newest observation."""
    newest = [each["tail"][-1] for each in data["quantiles"] if each["name"] == name and each["tail"]]
    return (newest[0], newest[len(newest) // 2], newest[-1]) if newest else None


def _next(data: dict[str, Any]) -> list[Fact]:
    """The forecast of the next observation, where there is one."""
    if data["forecast"] is None:
        return []
    found: list[Fact] = []
    for name, levels in zip(data["seen_on"], data["forecast"]["quantiles"], strict=True):
        low, middle, high = (number(levels[place][0], 3) for place in (0, len(levels) // 2, -1))
        found.append((f"next {printable(name)}", f"{middle} ({low} to {high})", False))
    return found


def _failed(data: dict[str, Any]) -> list[str]:
    return [("" if each["t"] is None else f"observation {each['t']}: ") + each["error"] for each in data["failures"]]
