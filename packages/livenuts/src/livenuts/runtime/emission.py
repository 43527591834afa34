"""Draws as messages: a chunk's columns in, one message a draw out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import repeat
from typing import Any

import numpy as np

from livenuts.messages import Sink


def send_draws(
    sink: Sink, chain: int, first: int, values: Mapping[str, np.ndarray], stats: Mapping[str, np.ndarray], *, warm: bool
) -> None:
    """Send draws `first`, `first + 1`, ... of a chain; each column holds a row a draw."""
    kind, part = ("nuts.warmup/1", f"chain-{chain}/warmup") if warm else ("nuts.draw/1", f"chain-{chain}")
    for draw, (value, statistic) in enumerate(zip(_rows(values), _rows(stats), strict=True), first):
        sink(
            {
                "type": kind,
                "part": part,
                "seq": draw,
                "chain": chain,
                "draw": draw,
                "values": value,
                "stats": statistic,
            }
        )


def _rows(columns: Mapping[str, np.ndarray]) -> Iterator[dict[str, Any]]:
    """The rows of columns: plain numbers, and views of the arrays, which only their owner can write to."""
    names, cells = tuple(columns), []
    for column in columns.values():
        if column.ndim == 1:
            cells.append(column.tolist())
        else:
            guarded = column.view()
            guarded.flags.writeable = False
            cells.append(list(guarded))
    # As the loop `for row in zip(*cells): yield dict(zip(names, row))`, in two thirds of its time.
    return map(dict, map(zip, repeat(names), zip(*cells, strict=True)))
