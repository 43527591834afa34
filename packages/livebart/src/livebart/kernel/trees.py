"""What moves do to a tree and to the labels of its rows."""

import numpy as np
from numba import njit

from livebart.kernel.layout import MAX_LEAVES, NOWHERE
from livebart.kernel.random import CALLED, INLINE


@njit(**INLINE)
def grow(nodes, size, leaf, column, low, high, left_count, left_weight, right_count, right_weight):
    """Split a leaf: the left child keeps its label and value, the right one takes the next label."""
    label, left, depth = nodes[leaf].label, size, nodes[leaf].depth + 1
    for child in range(left, left + 2):
        nodes[child].value = nodes[leaf].value
        nodes[child].left = 0
        nodes[child].column = -1
        nodes[child].parent = leaf
        nodes[child].depth = depth
    nodes[left].label, nodes[left + 1].label = label, (size + 1) >> 1
    nodes[left].count, nodes[left].weight = left_count, left_weight
    nodes[left + 1].count, nodes[left + 1].weight = right_count, right_weight
    nodes[leaf].left = left
    nodes[leaf].column, nodes[leaf].low, nodes[leaf].high = column, low, high


@njit(**CALLED)
def prune(nodes, size, node):
    """Make a leaf of a node whose children are leaves; its label is the left child's, its value 0.

    The right child's label is free then; the largest label takes its place. Returned: (kept, freed, largest) labels.
    """
    left = int(nodes[node].left)
    kept, freed = nodes[left].label, nodes[left + 1].label
    nodes[node].label = kept
    nodes[node].count = nodes[left].count + nodes[left + 1].count
    nodes[node].weight = nodes[left].weight + nodes[left + 1].weight
    nodes[node].value = 0.0
    nodes[node].left = 0
    nodes[node].column = -1
    largest = (size - 1) >> 1
    for k in range(size):
        if nodes[k].left == 0 and nodes[k].label == largest and k != left and k != left + 1:
            nodes[k].label = freed
    last = size - 2
    if left != last:  # the last pair moves into the hole
        for k in range(2):
            nodes[left + k] = nodes[last + k]
            below = nodes[left + k].left
            if below != 0:
                nodes[below].parent = left + k
                nodes[below + 1].parent = left + k
        nodes[nodes[left].parent].left = left
    return kept, freed, largest


@njit(**CALLED)
def part_rows(labels, codes, leaf, low, high, right):
    """Give the rows of a leaf that a split sends right their label."""
    leaf, right, low = np.uint8(leaf), np.uint8(right), np.uint8(low)
    width = np.uint8(high - low)
    for i in range(labels.shape[0]):
        label = labels[i]
        goes = (label == leaf) & (np.uint8(codes[i] - low) <= width)
        labels[i] = right if goes else label


@njit(**CALLED)
def join_rows(labels, residual, kept, freed, largest, kept_value, freed_value):
    """Put two leaves' rows together and their values back into the residual."""
    joined = np.uint8(freed if kept == largest else kept)
    kept, freed, largest = np.uint8(kept), np.uint8(freed), np.uint8(largest)
    a, b, zero = np.float32(kept_value), np.float32(freed_value), np.float32(0.0)
    for i in range(labels.shape[0]):
        label = labels[i]
        in_kept, in_freed = label == kept, label == freed
        residual[i] += a if in_kept else (b if in_freed else zero)
        label = freed if label == largest else label
        labels[i] = joined if in_freed else label


@njit(**CALLED)
def keep(nodes, out, place, stack):
    """Write a tree in preorder to `out` from `place` on; the place after it. `stack` has room for its nodes twice."""
    top = 0
    stack[0, 0], stack[0, 1] = 0, -1
    while top >= 0:
        node, asks = int(stack[top, 0]), int(stack[top, 1])
        top -= 1
        if asks >= 0:
            out[asks].right = place - asks
        out[place].value = 0.0
        out[place].right = 0
        out[place].column = nodes[node].column
        out[place].low, out[place].high = 0, 0
        left = int(nodes[node].left)
        if left == 0:
            out[place].value = nodes[node].value
        else:
            out[place].low, out[place].high = nodes[node].low, nodes[node].high
            top += 1
            stack[top, 0], stack[top, 1] = left + 1, place
            top += 1
            stack[top, 0], stack[top, 1] = left, -1
        place += 1
    return place


@njit(**CALLED)
def route(kept, codes, labels, values):
    """The leaf of every row in a kept tree, counted in preorder, and the leaves' values; the number of leaves.

    The rows of a subtree bear one label until it is split: the label of its first leaf.
    """
    size = kept.shape[0]
    first = np.zeros(2 * MAX_LEAVES, np.uint8)  # the label of the rows at each node
    labels[:] = 0
    leaves = 0
    # The number of leaves left of a right child is not known when its parent is met: labels are given as they come.
    given = 1
    for k in range(size):
        right = kept[k].right
        if right == 0:
            values[first[k]] = kept[k].value
            leaves += 1
        else:
            first[k + 1] = first[k]
            first[k + right] = given
            part_rows(labels, codes[kept[k].column], first[k], kept[k].low, kept[k].high, given)
            given += 1
    return leaves


@njit(**CALLED)
def label_rows(nodes, size, codes, labels, stack):
    """Compute the labels of a tree's rows from its splits; padded rows keep theirs."""
    rows = labels.shape[0]
    names = np.zeros(256, np.uint8)
    names[NOWHERE] = NOWHERE
    for i in range(rows):
        labels[i] = NOWHERE if labels[i] == NOWHERE else 0
    top = 0
    stack[0, 0] = 0
    while top >= 0:  # on the way a row's label is its node
        k = stack[top, 0]
        top -= 1
        left = int(nodes[k].left)
        if left == 0:
            names[k] = nodes[k].label
            continue
        part_rows(labels, codes[nodes[k].column], k, nodes[k].low, nodes[k].high, left + 1)
        part_rows(labels, codes[nodes[k].column], k, 0, 255, left)
        top += 1
        stack[top, 0] = left
        top += 1
        stack[top, 0] = left + 1
    for i in range(rows):
        labels[i] = names[labels[i]]
