"""Split rules: which columns a node may split, and the draw of a rule from its prior there.

A column is drawn with its split probability among those that still vary at the node, given the node's ancestors; then
a rule of that column. Ordered columns: every cut with the same probability; where missing values come by, they go
left, go right or are parted from all others, with a third each. Categories: each one against the others, with the
same probability. Proposals are draws from this prior, so it cancels in every acceptance ratio.

`columns` describes column j: the number of its codes, whether it is ordered, whether it has missing values.
"""

import numpy as np
from numba import njit

from livebart.kernel.layout import MISSING
from livebart.kernel.random import CALLED, INLINE, below, uniform

COLUMN = np.dtype([("codes", "<i4"), ("ordered", "u1"), ("missing", "u1")], align=True)
_MOST_TRIES = 64


@njit(**CALLED)
def reach(nodes, node, column, ordered, codes, missing):
    """What of a column comes by at a node: first and last code and whether missing values do.

    For categories: 0, the number of categories left less one, false.
    """
    first, last, absent = 0, codes - 1, missing != 0
    while node != 0:
        parent = nodes[node].parent
        if nodes[parent].column == column:
            low, high = int(nodes[parent].low), int(nodes[parent].high)
            right = node == nodes[parent].left + 1
            if not ordered:
                if right:
                    return 0, 0, False
                last -= 1
            elif right:
                first = max(first, low)
                absent = absent and high == MISSING
            else:
                last = min(last, low - 1)
                absent = absent and high != MISSING
        node = parent
    return first, last, absent


@njit(**INLINE)
def varies(nodes, node, column, columns):
    """Whether a rule of this column can split the node."""
    c = columns[column]
    first, last, absent = reach(nodes, node, column, c.ordered != 0, c.codes, c.missing)
    return last > first or (absent and last >= first)


@njit(**INLINE)
def splittable(nodes, node, columns, active):
    """Whether any column can split the node; with more columns than ancestors one can."""
    if active.shape[0] > nodes[node].depth:
        return True
    for place in range(active.shape[0]):  # noqa: SIM110 (Numba compiles no generator here)
        if varies(nodes, node, active[place], columns):
            return True
    return False


@njit(**CALLED)
def column_of(cumulative, u):
    """The place of `u` among cumulative probabilities."""
    below_, above = 0, cumulative.shape[0] - 1
    target = u * cumulative[above]
    while below_ < above:
        middle = (below_ + above) >> 1
        if target < cumulative[middle]:
            above = middle
        else:
            below_ = middle + 1
    return below_


@njit(**CALLED)
def _column_among_varying(state, nodes, node, columns, active, cumulative):
    """A column that varies at the node, by looking at all."""
    total = 0.0
    number = 0
    for place in range(active.shape[0]):
        if varies(nodes, node, active[place], columns):
            number += 1
            total += cumulative[place] - (cumulative[place - 1] if place > 0 else 0.0)
    target = uniform(state)
    sum_ = 0.0
    last = -1
    for place in range(active.shape[0]):
        if varies(nodes, node, active[place], columns):
            last = active[place]
            share = cumulative[place] - (cumulative[place - 1] if place > 0 else 0.0)
            sum_ += share / total if total > 0.0 else 1.0 / number
            if target < sum_:
                return last
    return last


@njit(**INLINE)
def draw_column(state, nodes, node, columns, active, cumulative, sparse):
    """A column that varies at the node; there must be one."""
    for _ in range(_MOST_TRIES):
        u = uniform(state)
        place = column_of(cumulative, u) if sparse else int(u * active.shape[0])
        column = active[place]
        if varies(nodes, node, column, columns):
            return column
    return _column_among_varying(state, nodes, node, columns, active, cumulative)


@njit(**CALLED)
def _category(state, nodes, node, column, codes):
    """A category that comes by at the node."""
    while True:
        category = below(state, codes)
        here = node
        removed = False
        while here != 0 and not removed:
            here = nodes[here].parent
            removed = nodes[here].column == column and nodes[here].low == category
        if not removed:
            return category


@njit(**CALLED)
def draw_bounds(state, nodes, node, column, columns):
    """`low` and `high` of a rule of this column."""
    c = columns[column]
    if c.ordered == 0:
        category = _category(state, nodes, node, column, c.codes)
        return category, category
    first, last, absent = reach(nodes, node, column, True, c.codes, c.missing)
    high = MISSING
    if absent:
        kind = below(state, 3) if last > first else 2
        if kind == 2:
            return MISSING, MISSING
        high = MISSING - 1 + kind
    return first + 1 + below(state, last - first), high
