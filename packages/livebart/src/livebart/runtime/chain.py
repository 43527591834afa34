"""One chain: its state, how it moves on, what it drew."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from livebart.kernel import random
from livebart.kernel.grow_from_root import grow_from_root
from livebart.kernel.layout import FEW_NODES, KEPT, MAX_NODES, NODE, NOWHERE, STATE
from livebart.kernel.predict import label_all
from livebart.kernel.sweep import sweeps, sweeps_weighted
from livebart.kernel.update import Scratch, make_scratch
from livebart.model.problem import Problem

_CALL_SECONDS = 0.05
_MOST_SWEEPS = 200
# Rough costs, which decide how much is done between two looks at the world, never what is done.
_SECONDS_A_TREE, _SECONDS_A_ROW = 3e-7, 3e-10


class Block(NamedTuple):
    """Draws of a chain, in order."""

    nodes: np.ndarray
    """The trees, as `Forest.nodes`; one byte array where it is kept or travels."""
    ends: np.ndarray
    """(draw, tree)"""
    variances: np.ndarray
    """(draw,): of the noise, scaled."""
    moves: np.ndarray
    """(draw, 2, 3): proposed and accepted; grow, prune, change."""
    leaves: np.ndarray
    """(draw, tree)"""


@dataclass
class Chain:
    """A chain of a problem, from its first sweep on."""

    index: int
    problem: Problem
    n_trees: int
    n_burnin: int
    total: int
    """Draws to make, after burn-in."""
    seed: int
    state: np.ndarray = field(init=False)
    trees: np.ndarray = field(init=False)
    sizes: np.ndarray = field(init=False)
    residual: np.ndarray = field(init=False)
    response: np.ndarray = field(init=False)
    cumulative: np.ndarray = field(init=False)
    """Split probabilities of active columns, added up."""
    _scratch: Scratch = field(init=False, repr=False)
    labels: np.ndarray | None = None
    """(tree, row); made when it is needed."""
    blocks: list[Block] = field(default_factory=list)
    drawn: int = 0
    """Draws made after burn-in."""

    def __post_init__(self) -> None:
        problem = self.problem
        self.state = np.zeros(1, STATE)
        self.state["random"][0] = random.seeded(self.seed, self.index)
        noise_scale, noise_shape = problem.prior["noise_scale"][0], problem.prior["noise_shape"][0]
        self.state["variance"] = 1.0 if problem.probit else noise_scale / noise_shape
        self.state["concentration"] = problem.grid[len(problem.grid) // 2, 0]
        self.trees = np.zeros((self.n_trees, FEW_NODES), NODE)
        self.trees["column"] = -1
        self.trees["count"][:, 0] = problem.rows
        self.trees["weight"][:, 0] = problem.weights.sum(dtype=np.float64) if len(problem.weights) else problem.rows
        self.sizes = np.ones(self.n_trees, np.int32)
        self.residual = problem.response.copy()
        self.response = problem.response.copy()
        self._scratch = make_scratch()
        self.cumulative = np.arange(1.0, len(problem.active) + 1) / max(len(problem.active), 1)

    @property
    def made(self) -> int:
        """Sweeps made, burn-in included."""
        return int(self.state["sweep"][0])

    @property
    def sweeps(self) -> int:
        """Sweeps to make, burn-in included."""
        return self.n_burnin + self.total

    @property
    def done(self) -> bool:
        return self.made >= self.sweeps

    def _label(self) -> np.ndarray:
        if self.labels is None:
            labels = np.zeros((self.n_trees, len(self.residual)), np.uint8)
            labels[:, self.problem.rows :] = NOWHERE
            label_all(self.trees, self.sizes, self.problem.codes, labels)
            self.labels = labels
        return self.labels

    def advance(self, stop: Callable[[], bool], tell: Callable[[list[Block]], None] | None = None) -> None:
        """Make sweeps until all are made or `stop()` is true; `tell` is given new draws, in burn-in none."""
        cost = self.n_trees * (_SECONDS_A_TREE + _SECONDS_A_ROW * self.problem.rows)
        at_once = int(min(max(_CALL_SECONDS / cost, 1), _MOST_SWEEPS))
        room = np.zeros(self.n_trees * (MAX_NODES + 12 * at_once), KEPT)
        while not self.done and not stop():
            blocks = []
            if self.made < self.problem.from_root:
                self._grow_from_root()
            elif self.made < self.n_burnin:
                self.call(min(at_once, self.n_burnin - self.made), room[:0])
            else:
                blocks.append(self.call(min(at_once, self.sweeps - self.made), room))
                self.drawn += len(blocks[0].variances)
                self.blocks += blocks
            if tell is not None:
                tell(blocks)

    def _grow_from_root(self) -> None:
        problem = self.problem
        self.trees = with_room(self.trees, MAX_NODES)
        grow_from_root(
            self.state,
            problem.prior,
            problem.columns,
            problem.active,
            problem.place_of,
            self.cumulative,
            problem.grid,
            problem.rows,
            problem.codes,
            self.response,
            problem.positive,
            problem.weights,
            self.residual,
            self.trees,
            self.sizes,
            self._label(),
        )
        self.trees = with_room(self.trees, max(int(self.sizes.max()), FEW_NODES))

    def call(self, number: int, room: np.ndarray) -> Block:
        """Make at most `number` sweeps; what they drew, its trees where `room` has length."""
        problem = self.problem
        variances, ends = np.zeros(number), np.zeros((number, self.n_trees), np.int32)
        moves, leaves = np.zeros((number, 2, 3), np.int32), np.zeros((number, self.n_trees), np.uint8)
        run = sweeps_weighted if len(problem.weights) else sweeps
        made, written = 0, 0
        while True:
            here, nodes = run(
                number - made,
                self.state,
                problem.prior,
                problem.columns,
                problem.active,
                problem.place_of,
                self.cumulative,
                problem.grid,
                problem.rows,
                problem.codes,
                self.response,
                problem.positive,
                problem.weights,
                self.residual,
                self.trees,
                self.sizes,
                self._label(),
                self._scratch,
                variances[made:],
                leaves[made:],
                moves[made:],
                room[written:],
                ends[made:],
            )
            made, written = made + here, written + nodes
            if made == number or int(self.sizes.max()) + 2 <= self.trees.shape[1]:
                break
            self.trees = with_room(self.trees, min(self.trees.shape[1] + FEW_NODES, MAX_NODES))
        return Block(room[:written].copy(), ends[:made], variances[:made], moves[:made], leaves[:made])

    # -- to go on elsewhere --------------------------------------------------------------------------------------------

    def to_data(self) -> dict[str, Any]:
        """The state as plain arrays, the draws apart."""
        used = int(self.sizes.max())
        data = {
            "state": self.state.view(np.uint8).copy(),
            "trees": self.trees[:, :used].copy().view(np.uint8),
            "sizes": self.sizes.copy(),
            "residual": self.residual.copy(),
            "cumulative": self.cumulative.copy(),
            "drawn": self.drawn,
        }
        return data | ({"response": self.response.copy()} if self.problem.probit else {})

    def restore(self, data: dict[str, Any]) -> None:
        """Go on from what `to_data` gave."""
        self.state = data["state"].view(STATE).copy()
        trees = data["trees"].view(NODE).reshape(self.n_trees, -1)
        self.sizes = data["sizes"].copy()
        self.trees = with_room(trees, max(trees.shape[1], FEW_NODES))
        self.residual, self.cumulative = data["residual"].copy(), data["cumulative"].copy()
        self.drawn = data["drawn"]
        if self.problem.probit:
            self.response = data["response"].copy()
        self.labels = None


def with_room(trees: np.ndarray, nodes: int) -> np.ndarray:
    """Trees (tree, node) of so many nodes each; none that is used may lie beyond."""
    found = np.zeros((len(trees), nodes), NODE)
    found["column"] = -1
    kept = min(nodes, trees.shape[1])
    found[:, :kept] = trees[:, :kept]
    return found


def block_to_data(block: Block) -> dict[str, np.ndarray]:
    """A block as plain arrays."""
    return block._asdict() | {"nodes": block.nodes.view(np.uint8)}


def block_from_data(data: dict[str, Any]) -> Block:
    """What `block_to_data` was of."""
    return Block(**(data | {"nodes": data["nodes"].view(KEPT)}))
