"""NUTS in a terminal: the facts, where each chain is, and the first variables."""

import math
import statistics
import time
from collections import deque
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from ...spc.view import bar
from ...terminal import printable
from .text import MARK, columns, count, duration, facts, histogram, number, panel, title

GOOD_RHAT = 1.01
SILENT = 5.0
"""Seconds after which a chain that is not done is called silent."""
_HISTOGRAM = 16
_OTHER_COLUMNS = 62
"""Width of the table of chains without bars and notes."""


class NutsDrawing:
    """Draws what `views.Nuts` keeps."""

    def __init__(self, run: str) -> None:
        self._run = run
        self._pace: deque[tuple[float, int]] = deque()  # seconds, iterations: the last ten seconds

    def picture(self, data: dict[str, Any], width: int, height: int) -> RenderableType:
        told = facts(self._facts(data), width - 4)
        failures = [Text(each, style="red", no_wrap=True, overflow="ellipsis") for each in failed(data)[-2:]]
        left = height - (2 + len(told.plain.splitlines())) - len(failures) - 3 - 3
        chains = max(1, min(len(data["chains"]), left // 2))
        return Group(
            panel(told, width, title(data["model"] or "NUTS", self._run, data["status"])),
            *failures,
            panel(self._chains(data, chains, width - 4), width, "chains"),
            panel(self._variables(data, max(1, left - max(1, chains))), width, "variables"),
        )

    def line(self, data: dict[str, Any]) -> str:
        said = [f"{name} {value}{MARK if bad else ''}" for name, value, bad in self._facts(data)]
        return f"{data['model'] or 'NUTS'} {data['status']}: {'  '.join(said)}"

    def rows(self, data: dict[str, Any]) -> list[str]:
        found = [
            f"{row['name']}: mean {number(row['mean'])}, sd {number(row['sd'], 3)}, R-hat {rhat(row['rhat'])}, "
            f"ESS {size(row['ess'])}"
            for row in data["summary"]
        ]
        return found + failed(data)

    def _facts(self, data: dict[str, Any]) -> list[tuple[str, str, bool]]:
        """The same as the page's in the browser, which has them from the same data."""
        chains, running = data["chains"], data["status"] == "running"
        made, total = (sum(chain[name] for chain in chains) for name in ("iteration", "total"))
        rate = self._rate(made)
        divergent = sum(chain["divergences"] or 0 for chain in chains)
        rhats = [row["rhat"] for row in data["summary"] if math.isfinite(row["rhat"])]
        sizes = [row["ess"] for row in data["summary"] if math.isfinite(row["ess"])]
        pace = []
        if running and rate:
            pace = [("iterations/s", number(rate, 3), False), ("left", f"≈ {duration((total - made) / rate)}", False)]
        return [
            ("draws", count(sum(chain["draws"] for chain in chains)), False),
            ("iterations", f"{count(made)} of {count(total)}", False),
            *pace,
            ("divergences", count(divergent), divergent > 0),
            ("largest R-hat", rhat(max(rhats)) if rhats else "–", max(rhats, default=0.0) > GOOD_RHAT),
            ("smallest ESS", size(min(sizes)) if sizes else "–", False),
        ]

    def _rate(self, made: int) -> float:
        now = time.monotonic()
        self._pace.append((now, made))
        while self._pace[0][0] < now - 10:
            self._pace.popleft()
        began, before = self._pace[0]
        return (made - before) / (now - began) if now - began > 0.5 else 0.0

    def _chains(self, data: dict[str, Any], room: int, width: int) -> RenderableType:
        if not data["chains"]:
            return Text("no chain yet")
        middle = statistics.median(chain["iteration"] for chain in data["chains"])
        hidden = len(data["chains"]) - room
        shown = data["chains"][: room - (hidden > 0)]
        notes = [note(chain, middle, data["status"] == "running") for chain in shown]
        bars = min(24, width - _OTHER_COLUMNS - max(map(len, notes), default=0))
        table = columns(("", "", "", "phase", "step", "depth", "accept", "div", ""), 1)
        table.columns[3].justify = table.columns[8].justify = "left"
        for chain, told in zip(shown, notes, strict=True):
            share = chain["iteration"] / chain["total"] if chain["total"] else 0.0
            table.add_row(
                str(chain["chain"]),
                bar(share, bars) if bars >= 4 else "",
                f"{chain['iteration']} of {chain['total']}",
                "warm-up" if chain["phase"] == "warmup" else chain["phase"],
                number(chain["step_size"], 3),
                number(chain["tree_depth"]),
                "–" if chain["acceptance_rate"] is None else f"{chain['acceptance_rate']:.2f}",
                Text(count(chain["divergences"] or 0), "red" if chain["divergences"] else ""),
                Text(told, "bold red"),
            )
        return table if hidden <= 0 else Group(table, Text(f"... and {hidden + 1} more chains", "dim"))

    def _variables(self, data: dict[str, Any], room: int) -> RenderableType:
        known = {row["name"]: row for row in data["summary"]}
        if not data["shown"]:
            return Text("none yet")
        drawn: dict[str, list[float]] = {}
        for each in data["draws"]:
            drawn.setdefault(each["name"], []).extend(each["tail"])
        table = columns(("", "mean", "sd", "R-hat", "ESS", "newest draws"), 1)
        shown = data["shown"][:room]
        if len(shown) < len(data["names"]):
            shown = shown[: room - 1]
        for name in shown:
            row = known.get(name)
            bad = row is not None and row["rhat"] > GOOD_RHAT
            cells = ("–",) * 3 if row is None else (number(row["mean"]), number(row["sd"], 3), rhat(row["rhat"]))
            table.add_row(
                printable(name),
                *cells[:2],
                Text(cells[2] + (MARK if bad else ""), "bold red" if bad else ""),
                "–" if row is None else size(row["ess"]),
                histogram(drawn.get(name, ()), _HISTOGRAM),
            )
        hidden = len(data["names"]) - len(shown)
        return Group(table, Text(f"... and {hidden} more", "dim")) if hidden else table


def rhat(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "–"


def size(ess: float) -> str:
    return count(ess) if math.isfinite(ess) else "–"


def note(chain: dict[str, Any], middle: float, running: bool) -> str:
    """Return what is odd about a chain, as the page says it."""
    if not running or chain["phase"] == "done":
        return ""
    if chain["lag"] is not None and chain["lag"] > SILENT:
        return f"silent for {duration(chain['lag'])}"
    behind = middle - chain["iteration"]
    return f"lags by {count(behind)}" if behind > max(50, 0.15 * middle) else ""


def failed(data: dict[str, Any]) -> list[str]:
    return [
        ("" if each["chain"] is None else f"chain {each['chain']}, iteration {each['iteration']}: ")
        + printable(each["error"])
        + (" (it went on)" if each["recovered"] else "")
        for each in data["failures"]
    ]
