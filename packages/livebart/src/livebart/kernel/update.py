"""One tree's update: a proposal, the pass over the data, the decision, new leaf values.

Bayesian backfitting (Chipman, George and McCulloch 2010, section 3.1). The residual is that of all trees, so the
partial residual's sum in a leaf is the residual's sum plus the leaf's rows times its value: no pass is needed to put
the tree back in.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from livebart.kernel.layout import LANES, MAX_LEAVES, MAX_NODES
from livebart.kernel.random import INLINE, below, normal, uniform
from livebart.kernel.rules import draw_bounds, draw_column, splittable
from livebart.kernel.trees import grow, join_rows, part_rows, prune
from livebart.kernel.vectors import GROUP, SPECIAL, change, fused, fused_weighted, tally, tally_weighted

# Put into the caller before types are inferred: a function that is called once is then compiled once.
SPLICED = {"nogil": True, "error_model": "numpy", "inline": "always"}
GROW, PRUNE, CHANGE, STAY = 0, 1, 2, 3
_MOST_SPECIAL = SPECIAL[-1]
_KINDS = len(SPECIAL)


class Scratch(NamedTuple):
    """Room that updates share."""

    changes: np.ndarray
    """What to take from the residual, by label of the tree before."""
    sums: np.ndarray
    """What a pass writes."""
    counts: np.ndarray
    leaf_sums: np.ndarray
    leaf_nodes: np.ndarray
    """The node of each label."""
    parents: np.ndarray
    """Nodes whose children are leaves."""
    stack: np.ndarray
    """For `keep`."""


def make_scratch() -> Scratch:
    return Scratch(
        changes=np.zeros(MAX_LEAVES + GROUP, np.float32),
        sums=np.zeros(GROUP + 4, np.float64),
        counts=np.zeros(2, np.int64),
        leaf_sums=np.zeros(MAX_LEAVES + GROUP, np.float64),
        leaf_nodes=np.zeros(MAX_LEAVES, np.int32),
        parents=np.zeros(MAX_LEAVES, np.int32),
        stack=np.zeros((2 * MAX_NODES, 2), np.int64),
    )


@njit(**INLINE)
def survey(nodes, size, scratch):
    """List a tree's leaves and the parents of two leaves; the number of such parents."""
    found = 0
    for k in range(size):
        left = nodes[k].left
        if left == 0:
            scratch.leaf_nodes[nodes[k].label] = k
        elif nodes[left].left == 0 and nodes[left + 1].left == 0:
            scratch.parents[found] = k
            found += 1
    return found


@njit(**INLINE)
def _split_probability(nodes, node, prior, columns, active):
    return prior.split[nodes[node].depth] if splittable(nodes, node, columns, active) else 0.0


@njit(**INLINE)
def log_odds(prior, variance, weight, total, left_weight, left_total):
    """The marginal likelihood of two leaves over that of one: e^(the first) times the root of the second."""
    tau = prior.leaf_variance
    right_weight, right_total = weight - left_weight, total - left_total
    both = variance + weight * tau
    left = variance + left_weight * tau
    right = variance + right_weight * tau
    quadratic = left_total * left_total / left + right_total * right_total / right - total * total / both
    return 0.5 * tau / variance * quadratic, variance * both / (left * right)


def _make(weighted, fused, tally):
    """The update for data with or without weights."""

    @njit(**SPLICED)
    def data_pass(
        rows, residual, weights, before, size_before, labels, leaves, codes, leaf, sibling, low, high, parted, scratch
    ):
        """Bring the residual up to date; the sums of the tree's leaves, and those of a split in `scratch.sums[:2]`."""
        chunks = residual.shape[0] // LANES
        pads = residual.shape[0] - rows
        r, w, c = residual.ctypes.data, weights.ctypes.data, codes.ctypes.data
        before_, labels_ = before.ctypes.data, labels.ctypes.data
        changes, sums, counts = scratch.changes.ctypes.data, scratch.sums.ctypes.data, scratch.counts.ctypes.data
        leaf, sibling, low, width = np.uint8(leaf), np.uint8(sibling), np.uint8(low), np.uint8(high - low)
        if size_before <= _MOST_SPECIAL and leaves <= _MOST_SPECIAL:
            i, j = max(size_before, 2) - 2, max(leaves, 2) - 2
            kind = (i * _KINDS + j) * 3 + parted
            fused(kind, chunks, r, w, before_, changes, labels_, c, leaf, sibling, low, width, sums, counts)
            total = scratch.sums[0]
            if not weighted and pads > 0:
                total -= pads * residual[rows]
            for label in range(1, leaves):
                scratch.leaf_sums[label] = scratch.sums[label]
                total -= scratch.sums[label]
            scratch.leaf_sums[0] = total
            first = j + 2
        else:
            for label in range(0, size_before, GROUP):
                change(chunks, r, before_, np.uint8(label), changes + 4 * label)
            first = GROUP
            for label in range(leaves - 1 - (leaves - 1) % GROUP, -1, -GROUP):
                kind = parted if label == 0 else 0
                tally(kind, chunks, r, w, labels_, np.uint8(label), c, leaf, sibling, low, width, sums, counts)
                for k in range(GROUP):
                    scratch.leaf_sums[label + k] = scratch.sums[k]
        for k in range(parted):
            scratch.sums[k] = scratch.sums[first + k]
            scratch.sums[2 + k] = scratch.sums[first + parted + k] if weighted else float(scratch.counts[k])

    @njit(**SPLICED)
    def update(
        state,
        prior,
        columns,
        active,
        cumulative,
        rows,
        codes,
        weights,
        residual,
        before,
        leaves_before,
        nodes,
        size,
        labels,
        scratch,
    ):
        """Move one tree; its new number of nodes. `scratch.changes` is that of the tree before, then of this one."""
        random = state.random
        leaves = (size + 1) >> 1
        parents = survey(nodes, size, scratch)

        # -- a proposal ------------------------------------------------------------------------------------------------
        move, node = STAY, 0
        u = uniform(random)
        if leaves == 1 or u < prior.grow:
            node = scratch.leaf_nodes[below(random, leaves)]
            able = size < MAX_NODES and splittable(nodes, node, columns, active)
            if able and nodes[node].count >= 2 * prior.min_leaf:
                move = GROW
            state.proposed[GROW] += 1
        elif u < prior.grow + prior.prune:
            node, move = scratch.parents[below(random, parents)], PRUNE
            state.proposed[PRUNE] += 1
        else:
            node, move = scratch.parents[below(random, parents)], CHANGE
            state.proposed[CHANGE] += 1
        column, low, high = 0, 0, 0
        if move != STAY and move != PRUNE:
            column = draw_column(random, nodes, node, columns, active, cumulative, prior.sparse != 0)
            low, high = draw_bounds(random, nodes, node, column, columns)

        # -- the data --------------------------------------------------------------------------------------------------
        left = int(nodes[node].left)
        parted, a, b = 0, 0, 0
        if move == GROW:
            parted, a = 1, nodes[node].label
        elif move == CHANGE:
            parted, a, b = 2, nodes[left].label, nodes[left + 1].label
        data_pass(
            rows,
            residual,
            weights,
            before,
            leaves_before,
            labels,
            leaves,
            codes[column],
            a,
            b,
            low,
            high,
            parted,
            scratch,
        )
        for label in range(leaves):
            leaf = scratch.leaf_nodes[label]
            scratch.leaf_sums[label] += nodes[leaf].weight * nodes[leaf].value

        # -- the decision ----------------------------------------------------------------------------------------------
        variance = state.variance
        accepted = False
        if move == GROW:
            total, weight, count = scratch.leaf_sums[a], nodes[node].weight, nodes[node].count
            right_weight, right_count = scratch.sums[2], scratch.counts[0]
            right_total = scratch.sums[0] + right_weight * nodes[node].value
            if min(right_count, count - right_count) >= prior.min_leaf:
                exponent, factor = log_odds(prior, variance, weight, total, weight - right_weight, total - right_total)
                split = prior.split[nodes[node].depth]
                parent = nodes[node].parent
                was_parent = (
                    node != 0 and nodes[nodes[parent].left].left == 0 and nodes[nodes[parent].left + 1].left == 0
                )
                forward = (1.0 if leaves == 1 else prior.grow) / leaves
                backward = prior.prune / (parents + 1 - was_parent)
                grow(
                    nodes,
                    size,
                    node,
                    column,
                    low,
                    high,
                    count - right_count,
                    weight - right_weight,
                    right_count,
                    right_weight,
                )
                first = _split_probability(nodes, size, prior, columns, active)
                second = _split_probability(nodes, size + 1, prior, columns, active)
                ratio = split / (1.0 - split) * (1.0 - first) * (1.0 - second) * backward / forward
                accepted = math.log((1.0 - uniform(random)) / ratio / math.sqrt(factor)) < exponent
                if accepted:
                    part_rows(labels, codes[column], a, low, high, leaves)
                    scratch.leaf_sums[a], scratch.leaf_sums[leaves] = total - right_total, right_total
                    size += 2
                else:
                    nodes[node].left = 0
                    nodes[node].column = -1
        elif move == PRUNE:
            kept, freed = nodes[left].label, nodes[left + 1].label
            first_total = scratch.leaf_sums[kept]
            total = first_total + scratch.leaf_sums[freed]
            first_weight = nodes[left].weight
            weight = first_weight + nodes[left + 1].weight
            exponent, factor = log_odds(prior, variance, weight, total, first_weight, first_total)
            split = prior.split[nodes[node].depth]
            first = _split_probability(nodes, left, prior, columns, active)
            second = _split_probability(nodes, left + 1, prior, columns, active)
            forward = prior.prune / parents
            backward = (1.0 if leaves == 2 else prior.grow) / (leaves - 1)
            ratio = (1.0 - split) / (split * (1.0 - first) * (1.0 - second)) * backward / forward
            accepted = math.log((1.0 - uniform(random)) / ratio * math.sqrt(factor)) < -exponent
            if accepted:
                kept_value, freed_value = nodes[left].value, nodes[left + 1].value
                kept, freed, largest = prune(nodes, size, node)
                join_rows(labels, residual, kept, freed, largest, kept_value, freed_value)
                scratch.leaf_sums[kept] = total
                scratch.leaf_sums[freed] = scratch.leaf_sums[largest]
                size -= 2
        elif move == CHANGE:
            first_total = scratch.leaf_sums[a]
            total = first_total + scratch.leaf_sums[b]
            first_weight = nodes[left].weight
            weight, count = first_weight + nodes[left + 1].weight, nodes[left].count + nodes[left + 1].count
            right_count = scratch.counts[0] + scratch.counts[1]
            right_weight = scratch.sums[2] + scratch.sums[3]
            right_total = scratch.sums[0] + scratch.sums[1]
            right_total += scratch.sums[2] * nodes[left].value + scratch.sums[3] * nodes[left + 1].value
            if min(right_count, count - right_count) >= prior.min_leaf:
                old_exponent, old_factor = log_odds(prior, variance, weight, total, first_weight, first_total)
                exponent, factor = log_odds(prior, variance, weight, total, weight - right_weight, total - right_total)
                ratio = 1.0 / (1.0 - _split_probability(nodes, left, prior, columns, active))
                ratio /= 1.0 - _split_probability(nodes, left + 1, prior, columns, active)
                old_column, old_low, old_high = nodes[node].column, nodes[node].low, nodes[node].high
                nodes[node].column, nodes[node].low, nodes[node].high = column, low, high
                ratio *= 1.0 - _split_probability(nodes, left, prior, columns, active)
                ratio *= 1.0 - _split_probability(nodes, left + 1, prior, columns, active)
                u = (1.0 - uniform(random)) / ratio * math.sqrt(old_factor / factor)
                accepted = math.log(u) < exponent - old_exponent
                if accepted:
                    join_rows(labels, residual, a, b, b, nodes[left].value, nodes[left + 1].value)
                    part_rows(labels, codes[column], a, low, high, b)
                    nodes[left].value, nodes[left + 1].value = 0.0, 0.0
                    nodes[left].count, nodes[left].weight = count - right_count, weight - right_weight
                    nodes[left + 1].count, nodes[left + 1].weight = right_count, right_weight
                    scratch.leaf_sums[a], scratch.leaf_sums[b] = total - right_total, right_total
                else:
                    nodes[node].column, nodes[node].low, nodes[node].high = old_column, old_low, old_high
        if accepted:
            state.accepted[move] += 1

        # -- new values ------------------------------------------------------------------------------------------------
        for k in range(size):
            if nodes[k].left == 0:
                scratch.leaf_nodes[nodes[k].label] = k
        tau = prior.leaf_variance
        for label in range((size + 1) >> 1):
            leaf = scratch.leaf_nodes[label]
            shrunk = tau / (variance + nodes[leaf].weight * tau)
            value = np.float32(scratch.leaf_sums[label] * shrunk + math.sqrt(shrunk * variance) * normal(random))
            scratch.changes[label] = value - nodes[leaf].value
            nodes[leaf].value = value
        return size

    return update


update = _make(False, fused, tally)
update_weighted = _make(True, fused_weighted, tally_weighted)
