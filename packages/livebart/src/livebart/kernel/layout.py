"""How trees and data lie in memory.

Data: `codes` (column, row) of uint8, a column's bin or category; `labels` (tree, row) of uint8, the leaf of each tree
that a row is in; `residual` (row,) of float32. Rows are padded to a multiple of `LANES`; a padded row has the label
`NOWHERE` in every tree.

A tree is a row of `NODE` records. Node 0 is the root; children lie side by side (`left`, `left + 1`), the pairs
without holes, so a tree of L leaves is its first 2 L - 1 nodes. A row goes right where its code is in `[low, high]`.
That one form covers every kind of split:

- a cut of an ordered column: `[cut, 255]`;
- with missing values, whose code is 255: `[cut, 255]` takes them right, `[cut, 254]` left, `[255, 255]` parts them
  from all others;
- one category against the others: `[category, category]`.
"""

import numpy as np

LANES = 16
"""Rows in one vector; sums run in this many lanes on every machine, whatever its vectors' width."""
MAX_LEAVES = 128
"""A tree does not grow beyond."""
MAX_NODES = 2 * MAX_LEAVES - 1
FEW_NODES = 8
"""Room that trees begin with; so much more is added whenever one of them needs it."""
MISSING = 255
"""The code of a missing value in an ordered column."""
NOWHERE = 255
"""The label of a padded row."""

NODE = np.dtype(
    [
        ("weight", "<f8"),  # of a leaf: the sum of its rows' weights
        ("count", "<i4"),  # of a leaf: its rows
        ("column", "<i4"),
        ("value", "<f4"),  # of a leaf
        ("low", "u1"),
        ("high", "u1"),
        ("left", "u1"),  # 0: this is a leaf
        ("parent", "u1"),
        ("depth", "u1"),
        ("label", "u1"),  # of a leaf: the label of its rows
    ],
    align=True,
)

KEPT = np.dtype([("column", "<i4"), ("value", "<f4"), ("right", "<u2"), ("low", "u1"), ("high", "u1")], align=True)
"""A node of a kept tree, in preorder: the left child follows, the right child is `right` nodes on; 0 there: a leaf."""

STATE = np.dtype(
    [
        ("random", "<u8", (4,)),
        ("variance", "<f8"),  # of the noise, in units of the scaled response
        ("concentration", "<f8"),  # of the Dirichlet prior of split probabilities
        ("sweep", "<i8"),  # sweeps made
        ("proposed", "<i8", (3,)),  # grow, prune, change: in the last sweep
        ("accepted", "<i8", (3,)),
    ],
    align=True,
)

PRIOR = np.dtype(
    [
        ("leaf_variance", "<f8"),
        ("noise_shape", "<f8"),  # nu
        ("noise_scale", "<f8"),  # nu * lambda; the prior of the variance is noise_scale / chi2(noise_shape)
        ("min_leaf", "<i8"),
        ("grow", "<f8"),  # probability of each move in a tree with a split
        ("prune", "<f8"),
        ("fixed_noise", "u1"),
        ("probit", "u1"),
        ("offset", "<f8"),  # of probit's latent response
        ("sparse", "u1"),
        ("sparse_from", "<i8"),  # the sweep from which split probabilities are learned
        ("learn_concentration", "u1"),
        ("split", "<f8", (256,)),  # probability that a node of this depth is split
    ],
    align=True,
)
"""What the sampler is told of the prior, in units of the scaled response."""


def padded(rows: int) -> int:
    """The number of rows with padding."""
    return -(-rows // LANES) * LANES
