"""What a run found, as tables that a person reads: `print(result)`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

TABLES = {
    "process": (
        "arrived",
        "completed",
        "in_process",
        "wait.mean",
        "wait.q95",
        "wait.max",
        "sojourn.mean",
        "sojourn.q95",
        "number.mean",
    ),
    "resource": ("utilization", "busy.mean", "queue.mean", "longest_queue", "wait.mean", "wait.q95", "wait.max"),
    "container": ("level.mean", "level.last", "get_queue.mean", "get_wait.mean", "put_queue.mean", "put_wait.mean"),
}
"""The columns for each kind of thing; the first of them tells the kind."""
TALLY = ("count", "mean", "std", "min", "q50", "q95", "max")


def of_run(head: str, values: Mapping[str, float]) -> str:
    """A table for each kind of thing that the model has; `-` where there was nothing to average."""
    names = list(dict.fromkeys(path.partition(".")[0] for path in values))
    tables = []
    for kind, columns in TABLES.items():
        found = [name for name in names if f"{name}.{columns[0]}" in values]
        tables.append(_table(kind, columns, found, values))
    tallies = [path.removesuffix(".count") for path in values if ".records." in path and path.endswith(".count")]
    tables.append(_table("record", TALLY, tallies, values))
    return "\n\n".join([head, *(table for table in tables if table)])


def _table(kind: str, columns: Sequence[str], names: Sequence[str], values: Mapping[str, float]) -> str:
    if not names:
        return ""
    first = max(len(kind), *map(len, names))
    widths = [max(len(column), 9) for column in columns]
    lines = [f"{kind:<{first}}  " + "  ".join(f"{c:>{w}}" for c, w in zip(columns, widths, strict=True))]
    for name in names:
        numbers = [float(values[f"{name}.{column}"]) for column in columns]
        cells = ("-" if math.isnan(n) else f"{n:.0f}" if n.is_integer() else f"{n:.4g}" for n in numbers)
        lines.append(f"{name:<{first}}  " + "  ".join(f"{c:>{w}}" for c, w in zip(cells, widths, strict=True)))
    return "\n".join(lines)


__all__ = ["of_run"]
