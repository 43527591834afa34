"""A start in few sweeps: each tree is drawn anew from its root (XBART: He and Hahn 2023).

At a node every rule is weighed by its prior and the marginal likelihood of its two sides, no split by its prior and
that of one leaf, and one of them is drawn. This looks one split ahead, so it is no Gibbs step; chains may start there.
"""

import math

import numpy as np
from numba import njit

from livebart.kernel.layout import MAX_NODES, MISSING, NOWHERE
from livebart.kernel.noise import draw_latent, draw_split_probabilities, draw_variance
from livebart.kernel.random import CALLED, normal, uniform
from livebart.kernel.rules import reach
from livebart.kernel.source import digest
from livebart.kernel.trees import grow, part_rows
from livebart.kernel.update import log_odds

_RULES = 3 * 256
"""Rules of one column, at most."""


@njit(**CALLED)
def _weigh(prior, variance, count, weight, total, right_count, right_weight, right_total):
    """Log marginal likelihood of a split over that of none; -inf if a side has too few rows."""
    if min(right_count, count - right_count) < max(prior.min_leaf, 1):
        return -math.inf
    exponent, factor = log_odds(prior, variance, weight, total, weight - right_weight, total - right_total)
    return exponent + 0.5 * math.log(factor)


@njit(**CALLED)
def _rules(
    nodes, node, column, columns, prior, variance, count, weight, total, counts, weights, sums, lows, highs, logs
):
    """Write a column's rules at a node with their log weights; how many. `counts`, `weights`, `sums` are by code."""
    c = columns[column]
    first, last, absent = reach(nodes, node, column, c.ordered != 0, c.codes, c.missing)
    found = 0
    if c.ordered == 0:
        if last <= first:
            return 0
        for category in range(c.codes):
            log = _weigh(prior, variance, count, weight, total, counts[category], weights[category], sums[category])
            lows[found], highs[found], logs[found] = category, category, log - math.log(last - first + 1.0)
            found += 1
        return found
    gone_count, gone_weight, gone_total = 0, 0.0, 0.0
    if absent:
        gone_count, gone_weight, gone_total = counts[MISSING], weights[MISSING], sums[MISSING]
        log = _weigh(prior, variance, count, weight, total, gone_count, gone_weight, gone_total)
        lows[found], highs[found], logs[found] = MISSING, MISSING, log - (math.log(3.0) if last > first else 0.0)
        found += 1
    right_count, right_weight, right_total = 0, 0.0, 0.0
    cost = math.log(last - first + 0.0) + (math.log(3.0) if absent else 0.0) if last > first else 0.0
    for low in range(last, first, -1):
        right_count += counts[low]
        right_weight += weights[low]
        right_total += sums[low]
        # Missing values, if there are any, go left, then right.
        log = _weigh(prior, variance, count, weight, total, right_count, right_weight, right_total)
        lows[found], highs[found], logs[found] = low, MISSING - 1 if absent else MISSING, log - cost
        found += 1
        if absent:
            log = _weigh(
                prior, variance, count, weight, total,
                right_count + gone_count, right_weight + gone_weight, right_total + gone_total,
            )  # fmt: skip
            lows[found], highs[found], logs[found] = low, MISSING, log - cost
            found += 1
    return found


@njit(**CALLED)
def _draw_tree(state, prior, columns, active, cumulative, rows, codes, weights, residual, nodes, labels, order, room):
    """Draw a tree from its root; its number of nodes. `order` has the rows, `room` a column's rules."""
    random, variance = state.random, state.variance
    weighted = weights.shape[0] > 0
    lows, highs = room[0], room[1]
    number = active.shape[0]
    logs = np.empty(number * _RULES + 1)
    place_of_rule = np.empty(number + 1, np.int64)
    counts, sums, masses = np.zeros(256, np.int64), np.zeros(256), np.zeros(256)
    starts, stops = np.zeros(MAX_NODES, np.int64), np.zeros(MAX_NODES, np.int64)
    for i in range(rows):
        order[i] = i
        labels[i] = 0
    nodes[0].left, nodes[0].column, nodes[0].label, nodes[0].depth = 0, -1, 0, 0
    nodes[0].count = rows
    nodes[0].weight = weights[:rows].sum() if weighted else float(rows)
    stops[0] = rows
    size, k = 1, 0
    while k < size < nodes.shape[0]:  # children come after their parents: every node is met once
        start, stop = starts[k], stops[k]
        count, weight, total = nodes[k].count, nodes[k].weight, 0.0
        for at in range(start, stop):
            total += residual[order[at]] * (weights[order[at]] if weighted else 1.0)
        split = prior.split[nodes[k].depth]
        found, possible = 0, 0.0
        for j in range(number):
            column = active[j]
            place_of_rule[j] = found
            counts[:], sums[:], masses[:] = 0, 0.0, 0.0
            for at in range(start, stop):
                i = order[at]
                code = codes[column, i]
                mass = weights[i] if weighted else 1.0
                counts[code] += 1
                masses[code] += mass
                sums[code] += mass * residual[i]
            these = _rules(
                nodes, k, column, columns, prior, variance, count, weight, total, counts, masses, sums,
                lows[j], highs[j], logs[found:],
            )  # fmt: skip
            if these > 0:
                share = cumulative[j] - (cumulative[j - 1] if j > 0 else 0.0)
                possible += share
                for rule in range(these):
                    logs[found + rule] += math.log(max(share, 1e-300))
            found += these
        place_of_rule[number] = found
        if found > 0:
            for rule in range(found):
                logs[rule] += math.log(split / possible)
            logs[found] = math.log(1.0 - split)
            largest = logs[: found + 1].max()
            mass = 0.0
            for rule in range(found + 1):
                mass += math.exp(logs[rule] - largest)
            target, rule = uniform(random) * mass, 0
            while rule < found:
                target -= math.exp(logs[rule] - largest)
                if target < 0.0:
                    break
                rule += 1
            if rule < found:
                j = 0
                while place_of_rule[j + 1] <= rule:
                    j += 1
                low, high = int(lows[j, rule - place_of_rule[j]]), int(highs[j, rule - place_of_rule[j]])
                column = active[j]
                middle, right_weight = stop, 0.0
                at = start
                while at < middle:  # left rows first
                    i = order[at]
                    if low <= codes[column, i] <= high:
                        middle -= 1
                        order[at], order[middle] = order[middle], i
                        right_weight += weights[i] if weighted else 1.0
                    else:
                        at += 1
                label = nodes[k].label
                right = (size + 1) >> 1
                grow(
                    nodes, size, k, column, low, high,
                    middle - start, weight - right_weight, stop - middle, right_weight,
                )  # fmt: skip
                part_rows(labels, codes[column], label, low, high, right)
                starts[size], stops[size] = start, middle
                starts[size + 1], stops[size + 1] = middle, stop
                size += 2
        k += 1
    tau = prior.leaf_variance
    for k in range(size):
        if nodes[k].left == 0:
            total = 0.0
            for i in range(rows):
                if labels[i] == nodes[k].label:
                    total += residual[i] * (weights[i] if weighted else 1.0)
            shrunk = tau / (variance + nodes[k].weight * tau)
            nodes[k].value = np.float32(total * shrunk + math.sqrt(shrunk * variance) * normal(random))
    return size


def _make(source):
    @njit(nogil=True, cache=True, error_model="numpy")
    def grow_from_root(
        state_, prior_, columns, active, place_of, cumulative, grid, rows, codes, response, positive, weights, residual,
        trees, sizes, labels,
    ):  # fmt: skip
        """One sweep in which every tree is drawn anew."""
        _ = source
        state, prior = state_[0], prior_[0]
        order = np.empty(rows, np.int64)
        room = np.zeros((2, active.shape[0], _RULES), np.uint8)
        values = np.zeros(256, np.float32)
        for t in range(trees.shape[0]):
            for sign in (1, -1):  # the tree goes out of the residual; a new one goes in
                if sign < 0:
                    sizes[t] = _draw_tree(
                        state, prior, columns, active, cumulative, rows, codes, weights, residual, trees[t], labels[t],
                        order, room,
                    )  # fmt: skip
                for k in range(sizes[t]):
                    if trees[t, k].left == 0:
                        values[trees[t, k].label] = sign * trees[t, k].value
                values[NOWHERE] = 0.0
                for i in range(rows):
                    residual[i] += values[labels[t, i]]
        if prior.probit != 0:
            draw_latent(state.random, prior.offset, rows, positive, response, residual)
        elif prior.fixed_noise == 0:
            squares = 0.0
            for i in range(rows):
                squares += float(residual[i]) * residual[i] * (weights[i] if weights.shape[0] > 0 else 1.0)
            state.variance = draw_variance(state.random, prior, rows, squares)
        if prior.sparse != 0 and state.sweep >= prior.sparse_from:
            draw_split_probabilities(state, prior, trees, sizes, columns, active, place_of, cumulative, grid)
        state.sweep += 1

    return grow_from_root


grow_from_root = _make(digest())
