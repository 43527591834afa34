"""What a sweep draws besides trees: the noise, probit's latent response, the split probabilities."""

import math

import numpy as np
from numba import njit

from livebart.kernel.random import CALLED, gamma, log_gamma_draw, normal_above, uniform
from livebart.kernel.rules import column_of, reach

EVERY = 64
"""Sweeps after which the residual is computed anew from the trees."""
_BLOCK = 1024


@njit(**CALLED)
def synchronise(rows, response, residual, trees, sizes, labels):
    """Compute the residual from the trees: what float32 rounding has added up is gone."""
    values = np.zeros(256, np.float64)
    fit = np.zeros(_BLOCK, np.float64)
    for start in range(0, rows, _BLOCK):
        stop = min(start + _BLOCK, rows)
        fit[:] = 0.0
        for t in range(trees.shape[0]):
            for k in range(sizes[t]):
                if trees[t, k].left == 0:
                    values[trees[t, k].label] = trees[t, k].value
            for i in range(start, stop):
                fit[i - start] += values[labels[t, i]]
        for i in range(start, stop):
            residual[i] = response[i] - fit[i - start]
    residual[rows:] = 0.0


@njit(**CALLED)
def draw_variance(random, prior, rows, squares):
    """The noise variance given the sum of squares of the residual."""
    rate = 0.5 * (prior.noise_scale + squares)
    return rate / gamma(random, 0.5 * (prior.noise_shape + rows))


@njit(**CALLED)
def draw_latent(random, offset, rows, positive, response, residual):
    """Albert and Chib's (1993) latent response, normal about the fit: with `offset` above 0 in the positive class."""
    for i in range(rows):
        fit = response[i] - residual[i]
        above = fit + offset
        error = np.float32(normal_above(random, -above) if positive[i] != 0 else -normal_above(random, above))
        residual[i] = error
        response[i] = fit + error


@njit(**CALLED)
def _count_splits(random, trees, sizes, columns, active, place_of, cumulative, counts):
    """Splits by place of column, and the draws that a prior without exhausted columns would have thrown away.

    The split probabilities are those of a draw that is repeated while the column does not vary at the node; with the
    repeated draws their conditional law is a Dirichlet again.
    """
    counts[:] = 0.0
    number = active.shape[0]
    spent = np.zeros(256, np.int64)
    for t in range(trees.shape[0]):
        nodes = trees[t]
        for k in range(sizes[t]):
            if nodes[k].left == 0:
                continue
            counts[place_of[nodes[k].column]] += 1.0
            exhausted, found, here = 0.0, 0, k
            while here != 0:
                here = int(nodes[here].parent)
                column = nodes[here].column
                place = place_of[column]
                seen = False
                for j in range(found):
                    seen = seen or spent[j] == place
                c = columns[column]
                first, last, absent = reach(nodes, k, column, c.ordered != 0, c.codes, c.missing)
                if not seen and not (last > first or (absent and last >= first)):
                    spent[found] = place
                    found += 1
                    exhausted += cumulative[place] - (cumulative[place - 1] if place > 0 else 0.0)
            if exhausted > 0.0:
                share = min(exhausted / cumulative[number - 1], 1.0 - 1e-12)
                while uniform(random) < share:
                    u = uniform(random) * exhausted
                    for j in range(found):
                        place = spent[j]
                        u -= cumulative[place] - (cumulative[place - 1] if place > 0 else 0.0)
                        if u < 0.0 or j == found - 1:
                            counts[place] += 1.0
                            break


@njit(**CALLED)
def draw_split_probabilities(state, prior, trees, sizes, columns, active, place_of, cumulative, grid):
    """Linero's (2018) Dirichlet prior: new split probabilities, then the concentration, on a grid.

    `grid` has the concentrations, the logarithms of their prior and of the Dirichlet's constant, added.
    """
    random = state.random
    number = active.shape[0]
    counts = np.empty(number)
    _count_splits(random, trees, sizes, columns, active, place_of, cumulative, counts)
    largest = -math.inf
    for j in range(number):
        counts[j] = log_gamma_draw(random, state.concentration / number + counts[j])
        largest = max(largest, counts[j])
    total = 0.0
    for j in range(number):
        total += math.exp(counts[j] - largest)
    log_total = largest + math.log(total)
    logs, total = 0.0, 0.0
    for j in range(number):
        logs += counts[j] - log_total
        total += math.exp(counts[j] - log_total)
        cumulative[j] = total
    if prior.learn_concentration != 0:
        weights = np.empty(grid.shape[0])
        largest = -math.inf
        for k in range(grid.shape[0]):
            weights[k] = grid[k, 1] + grid[k, 0] / number * logs
            largest = max(largest, weights[k])
        total = 0.0
        for k in range(grid.shape[0]):
            total += math.exp(weights[k] - largest)
            weights[k] = total
        state.concentration = grid[column_of(weights, uniform(random)), 0]
