"""Kept trees of all draws, and what they say of rows."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from livebart.kernel.layout import KEPT, LANES
from livebart.kernel.predict import predict

_ROWS = 4096
_NUMBERS = 1 << 24
"""Values of f held at a time: 64 MiB."""


@dataclass(frozen=True)
class Forest:
    """The trees of draws, chain after chain; values are in units of the scaled response."""

    nodes: np.ndarray
    """(node,) of `kernel.layout.KEPT`: every draw's trees in preorder, one after the other."""
    starts: np.ndarray
    """(draw,): a draw's first node."""
    ends: np.ndarray
    """(draw, tree): where a tree ends, counted from the draw's first node."""

    @property
    def n_draws(self) -> int:
        return len(self.starts)

    @classmethod
    def of_blocks(cls, blocks: list[tuple[np.ndarray, np.ndarray]], n_trees: int) -> Forest:
        """The forest of blocks of draws: (nodes, ends) of each."""
        nodes = np.concatenate([np.zeros(0, KEPT), *(nodes for nodes, _ in blocks)])
        ends = np.concatenate([np.zeros((0, n_trees), np.int32), *(ends for _, ends in blocks)])
        starts = np.concatenate([[0], np.cumsum(ends[:, -1], dtype=np.int64)])[:-1].astype(np.int64)
        return cls(nodes, starts, ends)

    def take(self, draws: np.ndarray | slice) -> Forest:
        """The forest of some draws; nodes are shared."""
        return Forest(self.nodes, self.starts[draws], self.ends[draws])

    def sums(self, codes: np.ndarray, rows: int, n_jobs: int = 1) -> Iterator[tuple[slice, np.ndarray]]:
        """The sum of trees, (draw, row) of float32, for one block of rows after the other."""
        block = max(LANES, min(_ROWS, _NUMBERS // max(self.n_draws, 1) // LANES * LANES))
        starts = range(0, rows, block)

        def one(start: int) -> tuple[slice, np.ndarray]:
            part = np.ascontiguousarray(codes[:, start : start + block])
            out = np.empty((self.n_draws, part.shape[1]), np.float32)
            predict(self.nodes, self.starts, self.ends, part, out)
            stop = min(start + block, rows)
            return slice(start, stop), out[:, : stop - start]

        if n_jobs == 1 or len(starts) == 1:
            yield from map(one, starts)
            return
        with ThreadPoolExecutor(n_jobs) as pool:
            for first in range(0, len(starts), n_jobs):  # no more blocks at a time than threads
                yield from pool.map(one, starts[first : first + n_jobs])

    def split_counts(self, n_columns: int) -> np.ndarray:
        """(draw, column): how many nodes split the column."""
        counts = np.zeros((self.n_draws, n_columns), np.int32)
        for draw, start in enumerate(self.starts):
            columns = self.nodes["column"][start : start + self.ends[draw, -1]]
            counts[draw] = np.bincount(columns[columns >= 0], minlength=n_columns)
        return counts

    def tree(self, draw: int, tree: int) -> np.ndarray:
        """The nodes of one tree, in preorder."""
        start = self.starts[draw]
        first = self.ends[draw, tree - 1] if tree else 0
        return self.nodes[start + first : start + self.ends[draw, tree]]


def tree_as_data(nodes: np.ndarray, columns: list[Any], center: float, scale: float) -> dict[str, Any]:
    """A tree as nested dicts: a leaf has a `value`, a split a column and what of it goes right.

    Values are in the response's own units; `center` is this tree's share of the response's centre.
    """

    def at(k: int) -> dict[str, Any]:
        node = nodes[k]
        if node["right"] == 0:
            return {"value": center + scale * float(node["value"])}
        column = columns[node["column"]]
        low, high = int(node["low"]), int(node["high"])
        split: dict[str, Any] = {"column": column.name}
        if column.categories is not None:
            split["equals"] = column.categories[low] if low < len(column.categories) else None
        else:
            split["above"] = None if low == 255 and column.missing else float(column.cuts[low - 1])
            split["missing"] = bool(column.missing and high == 255)
        return split | {"left": at(k + 1), "right": at(k + int(node["right"]))}

    return at(0)
