"""Numbers and short words, as the page in the browser writes them, and what the drawings share."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ...spc.view import EIGHTHS
from ...terminal import printable

MARK = " ▲"
"""Behind a number that is a bad sign, so that it is seen without colour."""


def number(value: float | None, digits: int = 4) -> str:
    """Return a number with so many significant digits, – for none.

    >>> number(1234.5678), number(7), number(float("nan")), number(0.00001234)
    ('1235', '7', '–', '1.23e-05')
    """
    if value is None or not math.isfinite(value):
        return "–"
    if value == int(value) and abs(value) < 1e6:
        return str(int(value))
    size = abs(value)
    if size >= 1e6 or size < 1e-4:
        return f"{value:.{max(0, digits - 2)}e}"
    return f"{float(f'{value:.{digits}g}'):.10g}"


def count(value: float) -> str:
    """Return a count with commas between thousands."""
    return f"{round(value):,}"


def duration(seconds: float) -> str:
    """Return seconds as a person says them."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{round(seconds / size)} {unit}"
    return f"{max(0, round(seconds))} s"


def title(name: str, run: str, status: str) -> Text:
    """Return the first line of a picture: what runs, how it is, under which id."""
    return Text.assemble((printable(name), "bold"), f"  {printable(status)}  ", (f"run {printable(run)}", "dim"))


def facts(pairs: Sequence[tuple[str, str, bool]], width: int) -> Text:
    """Return pairs of a name and a value, and whether it is a bad sign, in as few lines as they fit."""
    text, used = Text(no_wrap=True, overflow="ellipsis"), 0
    for name, value, bad in pairs:
        shown = printable(value) + (MARK if bad else "")
        size = len(name) + 1 + len(shown)
        if used and used + 3 + size > width:
            text.append("\n")
            used = 0
        elif used:
            text.append("   ")
            used += 3
        text.append(f"{name} ", "dim").append(shown, "bold red" if bad else "bold")
        used += size
    return text


def columns(heads: Iterable[str], left: int = 1) -> Table:
    """Return a plain table: the first `left` columns are words, the others numbers."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    for place, head in enumerate(heads):
        table.add_column(head, justify="left" if place < left else "right", no_wrap=True, overflow="ellipsis")
    return table


def panel(inside: Any, width: int, heading: Text | str = "") -> Panel:
    return Panel(inside, title=heading or None, title_align="left", border_style="dim", width=width)


def spark(values: Iterable[float | None], width: int) -> str:
    """Return the last values as columns of eight heights.

    >>> spark([0.0, 1.0, 2.0, None, 8.0], 5)
    '▁▂▃ █'
    """
    newest = [None if value is None or not math.isfinite(value) else value for value in values][-width:]
    held = [value for value in newest if value is not None]
    low, high = min(held, default=0.0), max(held, default=0.0)
    room = high - low or 1.0
    return "".join(" " if value is None else EIGHTHS[1 + min(7, int(8 * (value - low) / room))] for value in newest)


def histogram(values: Iterable[float | None], width: int) -> str:
    """Return how often values fall into `width` stretches of their range.

    >>> histogram([0.0, 0.1, 0.9, 1.0, 1.0, 1.0], 2)
    '▄█'
    """
    held = [value for value in values if value is not None and math.isfinite(value)]
    if not held:
        return " " * width
    low, high = min(held), max(held)
    size = (high - low) / width or 1.0
    counts = [0] * width
    for value in held:
        counts[min(width - 1, int((value - low) / size))] += 1
    return "".join(EIGHTHS[math.ceil(8 * each / max(counts))] for each in counts)
