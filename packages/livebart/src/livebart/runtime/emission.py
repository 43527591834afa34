"""Draws as messages."""

from __future__ import annotations

import numpy as np

from livebart.messages import Sink
from livebart.model.forest import Forest
from livebart.runtime.chain import Block, Chain


def send_draws(sink: Sink, chain: Chain, first: int, block: Block) -> None:
    """Send a block of a chain's draws, the first of which is number `first`."""
    splits = Forest.of_blocks([(block.nodes, block.ends)], chain.n_trees).split_counts(len(chain.problem.columns))
    sigma = np.sqrt(block.variances) * chain.problem.scale
    for row in range(len(sigma)):
        sink(
            {
                "type": "bart.draw/1",
                "part": f"chain-{chain.index}",
                "seq": first + row,
                "chain": chain.index,
                "draw": first + row,
                "sigma": float(sigma[row]),
                "splits": splits[row],
                "leaves": block.leaves[row],
                "proposed": block.moves[row, 0].tolist(),
                "accepted": block.moves[row, 1].tolist(),
            }
        )
