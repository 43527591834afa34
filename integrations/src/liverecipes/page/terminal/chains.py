"""What runs of chains share in a terminal: how fast they are, where each is, and the numbers that are followed."""

import math
import statistics
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from ...spc.view import bar
from ...terminal import printable
from .text import MARK, columns, count, duration, histogram, number

GOOD_RHAT = 1.01
SILENT = 5.0
"""Seconds after which a chain that is not done is called silent."""
_HISTOGRAM = 16

Fact = tuple[str, str, bool]
"""A name, a value, and whether it is a bad sign."""
Heads = dict[str, Callable[[dict[str, Any]], str | Text]]
"""Title of a column of the table of chains -> what stands there for a chain."""


class Pace:
    """Iterations a second over the last ten seconds."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def rate(self, made: int) -> float:
        """Return it, now that so many are made; 0 while it is not known."""
        now = time.monotonic()
        self._seen.append((now, made))
        while self._seen[0][0] < now - 10:
            self._seen.popleft()
        began, before = self._seen[0]
        return (made - before) / (now - began) if now - began > 0.5 else 0.0


def chain_facts(data: dict[str, Any], pace: Pace, *own: Fact) -> list[Fact]:
    """The same as the page's in the browser, which has them from the same data; the view's own before R-hat."""
    chains = data["chains"]
    made, total = (sum(chain[name] for chain in chains) for name in ("iteration", "total"))
    rate = pace.rate(made)
    rhats = [row["rhat"] for row in data["summary"] if math.isfinite(row["rhat"])]
    sizes = [row["ess"] for row in data["summary"] if math.isfinite(row["ess"])]
    left: list[Fact] = []
    if data["status"] == "running" and rate:
        left = [("iterations/s", number(rate, 3), False), ("left", f"≈ {duration((total - made) / rate)}", False)]
    return [
        ("draws", count(sum(chain["draws"] for chain in chains)), False),
        ("iterations", f"{count(made)} of {count(total)}", False),
        *left,
        *own,
        ("largest R-hat", rhat(max(rhats)) if rhats else "–", max(rhats, default=0.0) > GOOD_RHAT),
        ("smallest ESS", size(min(sizes)) if sizes else "–", False),
    ]


def chain_table(data: dict[str, Any], room: int, width: int, burnt: str, heads: Heads, others: int) -> RenderableType:
    """Where each chain is, in so many lines; `heads` are columns of the view's own, `others` the width without bars."""
    if not data["chains"]:
        return Text("no chain yet")
    middle = statistics.median(chain["iteration"] for chain in data["chains"])
    hidden = len(data["chains"]) - room
    shown = data["chains"][: room - (hidden > 0)]
    notes = [note(chain, middle, data["status"] == "running") for chain in shown]
    bars = min(24, width - others - max(map(len, notes), default=0))
    table = columns(("", "", "", "phase", *heads, ""), 1)
    table.columns[3].justify = table.columns[-1].justify = "left"
    for chain, told in zip(shown, notes, strict=True):
        share = chain["iteration"] / chain["total"] if chain["total"] else 0.0
        table.add_row(
            str(chain["chain"]),
            bar(share, bars) if bars >= 4 else "",
            f"{chain['iteration']} of {chain['total']}",
            burnt if chain["phase"] == "warmup" else chain["phase"],
            *(tell(chain) for tell in heads.values()),
            Text(told, "bold red"),
        )
    return table if hidden <= 0 else Group(table, Text(f"... and {hidden + 1} more chains", "dim"))


def followed(data: dict[str, Any], room: int) -> RenderableType:
    """The summary of the names that are shown, in so many lines."""
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


def followed_rows(data: dict[str, Any]) -> list[str]:
    """The same, a line each."""
    return [
        f"{row['name']}: mean {number(row['mean'])}, sd {number(row['sd'], 3)}, R-hat {rhat(row['rhat'])}, "
        f"ESS {size(row['ess'])}"
        for row in data["summary"]
    ]


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


def said(facts: list[Fact]) -> str:
    """Facts in one line."""
    return "  ".join(f"{name} {value}{MARK if bad else ''}" for name, value, bad in facts)
