"""Sweeps over all trees, and what is written of each."""

import numpy as np
from numba import njit

from livebart.kernel.borrow import borrowed
from livebart.kernel.layout import LANES, MAX_NODES
from livebart.kernel.noise import EVERY, draw_latent, draw_split_probabilities, draw_variance, synchronise
from livebart.kernel.source import digest
from livebart.kernel.trees import keep
from livebart.kernel.update import Scratch, update, update_weighted
from livebart.kernel.vectors import GROUP, change, squares, squares_weighted


def _make(weighted, source):
    # The key of the cache holds what is in this function's closure: nothing but plain values may be there.
    @njit(nogil=True, cache=True, error_model="numpy")
    def sweeps(
        number,
        state_,
        prior_,
        columns,
        active,
        place_of,
        cumulative,
        grid,
        rows,
        codes,
        response,
        positive,
        weights,
        residual,
        trees,
        sizes,
        labels,
        scratch_,
        variances,
        leaves,
        moves,
        kept,
        ends,
    ):
        """Make at most `number` sweeps, as many as `kept` and `trees` have room for; how many, and the nodes written.

        Of sweep i: the noise variance, the leaves of each tree, the moves proposed and accepted (2, 3), and the trees
        in preorder, one after the other; `ends` (sweep, tree) is where each ends, counted from the sweep's first node.
        No trees are written where `kept` is empty.
        """
        _ = source  # a part of the cache's key: a change in any file of the kernel compiles anew
        columns, active, place_of = borrowed(columns), borrowed(active), borrowed(place_of)
        cumulative, grid, codes = borrowed(cumulative), borrowed(grid), borrowed(codes)
        response, positive, weights = borrowed(response), borrowed(positive), borrowed(weights)
        residual, trees, sizes, labels = borrowed(residual), borrowed(trees), borrowed(sizes), borrowed(labels)
        kept, ends, leaves, moves = borrowed(kept), borrowed(ends), borrowed(leaves), borrowed(moves)
        state, prior = state_[0], prior_[0]
        scratch = Scratch(
            borrowed(scratch_.changes),
            borrowed(scratch_.sums),
            borrowed(scratch_.counts),
            borrowed(scratch_.leaf_sums),
            borrowed(scratch_.leaf_nodes),
            borrowed(scratch_.parents),
            borrowed(scratch_.stack),
        )
        n_trees = trees.shape[0]
        chunks = residual.shape[0] // LANES
        keeps = kept.shape[0] > 0
        written = 0
        for done in range(number):
            if keeps and kept.shape[0] - written < n_trees * MAX_NODES:
                return done, written
            if trees.shape[1] < MAX_NODES and sizes.max() + 2 > trees.shape[1]:  # by so many may each grow
                return done, written
            if state.sweep % EVERY == 0:
                synchronise(rows, response, residual, trees, sizes, labels)
            for kind in range(3):
                state.proposed[kind] = 0
                state.accepted[kind] = 0
            before, leaves_before = n_trees - 1, 1
            scratch.changes[:GROUP] = 0.0  # nothing is left to take from the residual
            for t in range(n_trees):
                nodes = trees[t]
                if weighted:
                    sizes[t] = update_weighted(
                        state,
                        prior,
                        columns,
                        active,
                        cumulative,
                        rows,
                        codes,
                        weights,
                        residual,
                        labels[before],
                        leaves_before,
                        nodes,
                        sizes[t],
                        labels[t],
                        scratch,
                    )
                else:
                    sizes[t] = update(
                        state,
                        prior,
                        columns,
                        active,
                        cumulative,
                        rows,
                        codes,
                        weights,
                        residual,
                        labels[before],
                        leaves_before,
                        nodes,
                        sizes[t],
                        labels[t],
                        scratch,
                    )
                before, leaves_before = t, (sizes[t] + 1) >> 1
            for label in range(0, leaves_before, GROUP):
                for k in range(max(leaves_before, label), label + GROUP):
                    scratch.changes[k] = 0.0
                change(
                    chunks,
                    residual.ctypes.data,
                    labels[before].ctypes.data,
                    np.uint8(label),
                    scratch.changes.ctypes.data + 4 * label,
                )
            residual[rows:] = 0.0
            if prior.probit != 0:
                draw_latent(state.random, prior.offset, rows, positive, response, residual)
            elif prior.fixed_noise == 0:
                if weighted:
                    squares_weighted(chunks, residual.ctypes.data, weights.ctypes.data, scratch.sums.ctypes.data)
                else:
                    squares(chunks, residual.ctypes.data, weights.ctypes.data, scratch.sums.ctypes.data)
                state.variance = draw_variance(state.random, prior, rows, scratch.sums[0])
            if prior.sparse != 0 and state.sweep >= prior.sparse_from:
                draw_split_probabilities(state, prior, trees, sizes, columns, active, place_of, cumulative, grid)
            state.sweep += 1

            variances[done] = state.variance
            for kind in range(3):
                moves[done, 0, kind] = state.proposed[kind]
                moves[done, 1, kind] = state.accepted[kind]
            first = written
            for t in range(n_trees):
                leaves[done, t] = (sizes[t] + 1) >> 1
                if keeps:
                    written = keep(trees[t], kept, written, scratch.stack)
                    ends[done, t] = written - first
        return number, written

    return sweeps


_source = digest()
sweeps = _make(False, _source)
sweeps_weighted = _make(True, _source)
