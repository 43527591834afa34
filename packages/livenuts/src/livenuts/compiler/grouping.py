"""Sums by group as gathers and row sums: what a scatter does, in operations that one native function may hold.

The values of a group fill a row of a table of positions; empty places point at a zero behind the last value. A group
much larger than the others fills several rows, whose sums are summed by a further table.
"""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

# So many places a value are not worth a further table.
_UNEVEN = 2
# Widths of the rows of all tables but the last.
_WIDTHS = (4, 8, 16, 64, 256)


def tables(groups: np.ndarray, num_groups: int) -> list[np.ndarray]:
    """Tables for values whose groups are `groups`, numbers from 0 to `num_groups` - 1; others are left out.

    Shapes are rounded up, so that other data of the same kind are likely to have tables of the same shapes.
    """
    inside = np.flatnonzero((groups >= 0) & (groups < num_groups))
    ordered = inside[np.argsort(groups[inside], kind="stable")]
    made, empty, counts = [], groups.size, np.bincount(groups[ordered], minlength=num_groups)
    while (width := _width(counts)) < counts.max():
        rows = -(-counts // width)
        ends = np.cumsum(rows)
        height = _rounded(int(ends[-1]))
        starts = np.repeat(ends - rows, counts)
        within = np.arange(ordered.size) - np.repeat(np.cumsum(counts) - counts, counts)
        table = np.full((height, width), empty, np.int32)
        table[starts + within // width, within % width] = ordered
        made.append(table)
        ordered, empty, counts = np.arange(ends[-1]), height, rows
    within = np.arange(ordered.size) - np.repeat(np.cumsum(counts) - counts, counts)
    table = np.full((num_groups, _rounded(max(1, int(counts.max())))), empty, np.int32)
    table[np.repeat(np.arange(num_groups), counts), within] = ordered
    return [*made, table]


def _width(counts: np.ndarray) -> int:
    """The width of the next table's rows: that of the largest group, or a smaller one with less to read in all."""
    return _plan(counts)[1]


def _plan(counts: np.ndarray) -> tuple[int, int]:
    """How many places and values all tables take from here on, and the width of the first."""
    largest, num_values = int(counts.max()), int(counts.sum())
    direct = counts.size * largest + num_values
    if counts.size * largest <= _UNEVEN * num_values:
        return direct, largest
    plans = [(direct, largest)]
    for width in _WIDTHS:
        if width < largest:
            rows = -(-counts // width)
            plans.append((width * int(rows.sum()) + num_values + _plan(rows)[0], width))
    return min(plans)


def _rounded(number: int) -> int:
    """The number rounded up to three significant bits."""
    unit = 1 << max(0, number.bit_length() - 3)
    return -(-number // unit) * unit


def sum_groups(tables: Sequence[Any], values: Any) -> Any:
    """The sum of each group's values, (num_groups, *rest) of values (n, *rest)."""
    for table in tables:
        padded = jnp.concatenate([values, jnp.zeros((1, *values.shape[1:]), values.dtype)])
        values = jnp.sum(padded.at[table].get(mode="promise_in_bounds"), axis=1)
    return values
