"""Sums by group as gathers and row sums: what a scatter does, in operations that one native function may hold.

The values of a group fill a column of a table of positions; empty places point at a zero behind the last value. A
group much larger than the others fills several columns, whose sums are summed by a further table.
"""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

# So many places a value are not worth a further table.
_UNEVEN = 2
# Heights of tables: each row is a gather of its own, since XLA will not put a large reduction in a native function.
_HEIGHTS = (4, 8, 16)


def tables(groups: np.ndarray, num_groups: int) -> list[np.ndarray]:
    """Tables for values whose groups are `groups`, numbers from 0 to `num_groups` - 1; others are left out.

    Shapes are rounded up, so that other data of the same kind are likely to have tables of the same shapes.
    """
    inside = np.flatnonzero((groups >= 0) & (groups < num_groups))
    ordered = inside[np.argsort(groups[inside], kind="stable")]
    made, empty, counts = [], groups.size, np.bincount(groups[ordered], minlength=num_groups)
    while (height := _plan(counts)[1]) < counts.max():
        columns = -(-counts // height)
        ends = np.cumsum(columns)
        width = _rounded(int(ends[-1]))
        made.append(_table(ordered, counts, ends - columns, (height, width), empty))
        ordered, empty, counts = np.arange(ends[-1]), width, columns
    shape = (_rounded(max(1, int(counts.max()))), num_groups)
    return [*made, _table(ordered, counts, np.arange(num_groups), shape, empty)]


def _table(ordered: np.ndarray, counts: np.ndarray, first: np.ndarray, shape: tuple[int, int], empty: int) -> Any:
    """A table whose columns, from `first` of each group on, hold the group's part of `ordered`."""
    within = np.arange(ordered.size) - np.repeat(np.cumsum(counts) - counts, counts)
    table = np.full(shape, empty, np.int32)
    table[within % shape[0], np.repeat(first, counts) + within // shape[0]] = ordered
    return table


def _plan(counts: np.ndarray) -> tuple[int, int]:
    """How many places and values all tables take from here on, and the height of the first."""
    largest, num_values = int(counts.max()), int(counts.sum())
    direct = counts.size * largest + num_values
    if largest <= _HEIGHTS[0] or (largest <= _HEIGHTS[-1] and counts.size * largest <= _UNEVEN * num_values):
        return direct, largest
    plans = [(direct, largest)] if largest <= _HEIGHTS[-1] else []
    for height in _HEIGHTS:
        if height < largest:
            columns = -(-counts // height)
            plans.append((height * int(columns.sum()) + num_values + _plan(columns)[0], height))
    return min(plans)


def _rounded(number: int) -> int:
    """The number rounded up to three significant bits."""
    unit = 1 << max(0, number.bit_length() - 3)
    return -(-number // unit) * unit


def sum_groups(tables: Sequence[Any], values: Any) -> Any:
    """The sum of each group's values, (num_groups, *rest) of values (n, *rest)."""
    for table in tables:
        padded = jnp.concatenate([values, jnp.zeros((1, *values.shape[1:]), values.dtype)])
        values = sum(padded.at[row].get(mode="promise_in_bounds") for row in table)
    return values
