"""The leaves of rows: sums of kept trees for new rows, labels of the training rows."""

import numpy as np
from numba import njit

from livebart.kernel.borrow import borrowed
from livebart.kernel.layout import LANES, MAX_LEAVES, MAX_NODES
from livebart.kernel.source import digest
from livebart.kernel.trees import label_rows, route
from livebart.kernel.vectors import GROUP, change


def _make(source):
    @njit(nogil=True, cache=True, error_model="numpy")
    def predict(kept, starts, ends, codes, out):
        """The sum of trees of every draw, for rows `codes` (column, row): `out` (draw, row) of float32.

        A draw's nodes begin at `starts`, and `ends` (draw, tree) is where its trees end, counted from there. Rows are
        padded as in `layout`.
        """
        _ = source
        kept, codes, out = borrowed(kept), borrowed(codes), borrowed(out)
        rows = codes.shape[1]
        labels = np.empty(rows, np.uint8)
        values = np.zeros(MAX_LEAVES + GROUP, np.float32)
        for draw in range(ends.shape[0]):
            total = out[draw]
            total[:] = 0.0
            first = start = starts[draw]
            for t in range(ends.shape[1]):
                stop = first + ends[draw, t]
                leaves = route(kept[start:stop], codes, labels, values)
                start = stop
                for label in range(0, leaves, GROUP):
                    for k in range(max(leaves, label), label + GROUP):
                        values[k] = 0.0
                    change(
                        rows // LANES,
                        total.ctypes.data,
                        labels.ctypes.data,
                        np.uint8(label),
                        values.ctypes.data + 4 * label,
                    )
            for i in range(rows):
                total[i] = -total[i]

    return predict


def _make_label_all(source):
    @njit(nogil=True, cache=True, error_model="numpy")
    def label_all(trees, sizes, codes, labels):
        """The labels (tree, row) of all rows, of which the padded ones have theirs already."""
        _ = source
        stack = np.zeros((2 * MAX_NODES, 2), np.int64)
        for t in range(trees.shape[0]):
            label_rows(trees[t], sizes[t], codes, labels[t], stack)

    return label_all


predict = _make(digest())
label_all = _make_label_all(digest())
