"""NUTS in a terminal: the facts, where each chain is, and the first variables."""

from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from ...terminal import printable
from .chains import Fact, Heads, Pace, chain_facts, chain_table, followed, followed_rows, said
from .text import count, facts, number, panel, title

_OTHER_COLUMNS = 62
"""Width of the table of chains without bars and notes."""


class NutsDrawing:
    """Draws what `views.Nuts` keeps."""

    def __init__(self, run: str) -> None:
        self._run, self._pace = run, Pace()

    def picture(self, data: dict[str, Any], width: int, height: int) -> RenderableType:
        told = facts(self._facts(data), width - 4)
        failures = [Text(each, style="red", no_wrap=True, overflow="ellipsis") for each in failed(data)[-2:]]
        left = height - (2 + len(told.plain.splitlines())) - len(failures) - 3 - 3
        chains = max(1, min(len(data["chains"]), left // 2))
        return Group(
            panel(told, width, title(data["model"] or "NUTS", self._run, data["status"])),
            *failures,
            panel(self._chains(data, chains, width - 4), width, "chains"),
            panel(followed(data, max(1, left - max(1, chains))), width, "variables"),
        )

    def line(self, data: dict[str, Any]) -> str:
        return f"{data['model'] or 'NUTS'} {data['status']}: {said(self._facts(data))}"

    def rows(self, data: dict[str, Any]) -> list[str]:
        return followed_rows(data) + failed(data)

    def _facts(self, data: dict[str, Any]) -> list[Fact]:
        divergent = sum(chain["divergences"] or 0 for chain in data["chains"])
        return chain_facts(data, self._pace, ("divergences", count(divergent), divergent > 0))

    def _chains(self, data: dict[str, Any], room: int, width: int) -> RenderableType:
        heads: Heads = {
            "step": lambda chain: number(chain["step_size"], 3),
            "depth": lambda chain: number(chain["tree_depth"]),
            "accept": lambda chain: "–" if chain["acceptance_rate"] is None else f"{chain['acceptance_rate']:.2f}",
            "div": lambda chain: Text(count(chain["divergences"] or 0), "red" if chain["divergences"] else ""),
        }
        return chain_table(data, room, width, "warm-up", heads, _OTHER_COLUMNS)


def failed(data: dict[str, Any]) -> list[str]:
    return [
        ("" if each["chain"] is None else f"chain {each['chain']}, iteration {each['iteration']}: ")
        + printable(each["error"])
        + (" (it went on)" if each["recovered"] else "")
        for each in data["failures"]
    ]
