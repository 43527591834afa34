"""BART in a terminal: the facts, where each chain is, which columns the trees split, and sigma."""

from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from ...spc.view import bar
from ...terminal import printable
from .chains import Fact, Heads, Pace, chain_facts, chain_table, followed, followed_rows, said
from .text import columns, facts, number, panel, title

_FOLLOWED = 2
"""Sigma and the size of trees: what is told of the series."""
_OTHER_COLUMNS = 74
"""Width of the table of chains without bars and notes."""
_OTHER_OF_BARS = 36


class BartDrawing:
    """Draws what `views.Bart` keeps."""

    def __init__(self, run: str) -> None:
        self._run, self._pace = run, Pace()

    def picture(self, data: dict[str, Any], width: int, height: int) -> RenderableType:
        told = facts(self._facts(data), width - 4)
        failures = [Text(printable(each["error"]), "red", no_wrap=True) for each in data["failures"][-2:]]
        left = height - (2 + len(told.plain.splitlines())) - len(failures) - 3 - 3 - 5
        chains = max(1, min(len(data["chains"]), left // 2))
        brief = data | {"names": data["shown"][:_FOLLOWED], "shown": data["shown"][:_FOLLOWED]}
        return Group(
            panel(told, width, title(data["model"] or "BART", self._run, data["status"])),
            *failures,
            panel(self._chains(data, chains, width - 4), width, "chains"),
            panel(followed(brief, _FOLLOWED), width),
            panel(
                self._columns(data, max(1, left - chains), width - 4), width, "columns, by their share of the splits"
            ),
        )

    def line(self, data: dict[str, Any]) -> str:
        return f"{data['model'] or 'BART'} {data['status']}: {said(self._facts(data))}"

    def rows(self, data: dict[str, Any]) -> list[str]:
        split = [
            f"{each['name']}: {_percent(each['share'], 1)} of the splits, in {_percent(each['used'])} of the draws"
            for each in data["columns"]
        ]
        return followed_rows(data) + split + [str(each["error"]) for each in data["failures"]]

    def _facts(self, data: dict[str, Any]) -> list[Fact]:
        sigmas = [chain["sigma"] for chain in data["chains"] if chain["sigma"] is not None]
        now = number(sum(sigmas) / len(sigmas)) if sigmas else "–"
        return chain_facts(data, self._pace, ("sigma, now", now, False))

    def _chains(self, data: dict[str, Any], room: int, width: int) -> RenderableType:
        heads: Heads = {
            "sigma": lambda chain: number(chain["sigma"]),
            "leaves": lambda chain: number(chain["leaves"], 3),
            "grow": lambda chain: _percent(chain["accepted"]["grow"]),
            "prune": lambda chain: _percent(chain["accepted"]["prune"]),
            "change": lambda chain: _percent(chain["accepted"]["change"]),
        }
        return chain_table(data, room, width, "burn-in", heads, _OTHER_COLUMNS)

    def _columns(self, data: dict[str, Any], room: int, width: int) -> RenderableType:
        found = data["columns"]
        if not found:
            return Text("no draws yet")
        table = columns(("", "", "share", "in draws"), 2)
        hidden = data["column_count"] - room
        most = max(each["share"] for each in found) or 1.0
        for each in found[: max(1, room - (hidden > 0))]:
            length = max(4, min(40, width - _OTHER_OF_BARS))
            cells = _percent(each["share"], 1), _percent(each["used"])
            table.add_row(printable(each["name"]), bar(each["share"] / most, length), *cells)
        return table if hidden <= 0 else Group(table, Text(f"... and {hidden + 1} more columns", "dim"))


def _percent(share: float | None, digits: int = 0) -> str:
    return "–" if share is None else f"{100 * share:.{digits}f} %"
