"""The sampler in plain Python and NumPy: no labels, no running residual, no float32, every sum from the data.

It draws the same random numbers in the same order as the kernel, so on a small problem it takes the same decisions.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from livebart.kernel import random
from livebart.model.problem import Problem

GROW, PRUNE, CHANGE = 0, 1, 2


@dataclass(eq=False)
class Node:
    parent: "Node | None" = None
    is_right: bool = False
    value: float = 0.0
    rule: tuple[int, int, int] | None = None  # column, low, high
    children: "tuple[Node, Node] | None" = None

    @property
    def depth(self) -> int:
        return 0 if self.parent is None else self.parent.depth + 1

    @property
    def is_leaf(self) -> bool:
        return self.children is None

    @property
    def is_parent_of_leaves(self) -> bool:
        return self.children is not None and all(child.is_leaf for child in self.children)


@dataclass(eq=False)
class Tree:
    slots: list[Node] = field(default_factory=lambda: [Node()])
    """The root, then pairs of children; where a pair goes, the last one takes its place."""
    labels: list[Node] = field(default_factory=list)
    """Leaves; where one goes, the last one takes its place."""

    def __post_init__(self) -> None:
        self.labels = [self.slots[0]]

    def grow(self, leaf: Node, rule: tuple[int, int, int]) -> None:
        left, right = Node(leaf, False, leaf.value), Node(leaf, True, leaf.value)
        leaf.rule, leaf.children = rule, (left, right)
        self.slots += [left, right]
        self.labels[self.labels.index(leaf)] = left
        self.labels.append(right)

    def prune(self, node: Node) -> None:
        left, right = node.children
        node.rule, node.children, node.value = None, None, 0.0
        place = self.slots.index(left)
        pair = self.slots[-2:]
        del self.slots[-2:]
        if pair[0] is not left:
            self.slots[place : place + 2] = pair
        self.labels[self.labels.index(left)] = node
        last = self.labels.pop()
        if last is not right:
            self.labels[self.labels.index(right)] = last


class Reference:
    def __init__(self, problem: Problem, n_trees: int, seed: int, chain: int = 0) -> None:
        self.problem = problem
        self.random = random.seeded(seed, chain)
        self.trees = [Tree() for _ in range(n_trees)]
        self.told: Any = problem.prior[0]
        self.variance = float(self.told["noise_scale"] / self.told["noise_shape"])
        self.y = problem.response[: problem.rows].astype(float)
        self.weights = problem.weights[: problem.rows].astype(float) if len(problem.weights) else np.ones(problem.rows)
        self.decisions: list[tuple[int, bool]] = []

    # -- rules ---------------------------------------------------------------------------------------------------------

    def goes_right(self, rule: tuple[int, int, int]) -> np.ndarray:
        column, low, high = rule
        codes = self.problem.codes[column, : self.problem.rows].astype(int)
        return (codes >= low) & (codes <= high)

    def rows_at(self, node: Node) -> np.ndarray:
        if node.parent is None:
            return np.ones(self.problem.rows, bool)
        right = self.goes_right(node.parent.rule)
        return self.rows_at(node.parent) & (right if node.is_right else ~right)

    def codes_at(self, node: Node, column: int) -> list[int]:
        """The codes of a column that can come by at a node."""
        told = self.problem.columns[column]
        possible = set(range(told["codes"])) | ({255} if told["missing"] else set())
        while node.parent is not None:
            split, low, high = node.parent.rule
            if split == column:
                within = set(range(low, high + 1))
                possible = possible & within if node.is_right else possible - within
            node = node.parent
        return sorted(possible)

    def varies(self, node: Node, column: int) -> bool:
        return len(self.codes_at(node, column)) > 1

    def splittable(self, node: Node) -> bool:
        return any(self.varies(node, column) for column in self.problem.active)

    def split_probability(self, node: Node) -> float:
        return float(self.told["split"][node.depth]) if self.splittable(node) else 0.0

    def draw_rule(self, node: Node) -> tuple[int, int, int]:
        while True:
            column = int(self.problem.active[random.below(self.random, len(self.problem.active))])
            if self.varies(node, column):
                break
        codes = self.codes_at(node, column)
        told = self.problem.columns[column]
        if not told["ordered"]:
            while True:
                category = random.below(self.random, int(told["codes"]))
                if category in codes:
                    return column, category, category
        present = [code for code in codes if code < 255 or not told["missing"]]
        high = 255
        if told["missing"] and 255 in codes:
            kind = random.below(self.random, 3) if len(present) > 1 else 2
            if kind == 2:
                return column, 255, 255
            high = 254 + kind
        return column, present[1 + random.below(self.random, len(present) - 1)], high

    # -- sweeps --------------------------------------------------------------------------------------------------------

    def fit_of(self, tree: Tree) -> np.ndarray:
        fit = np.zeros(self.problem.rows)
        for leaf in tree.labels:
            fit[self.rows_at(leaf)] = leaf.value
        return fit

    def log_likelihood(self, partial: np.ndarray, rows: np.ndarray) -> float:
        """Of the rows of a leaf, its value integrated out, without what every leaf has in common."""
        tau, weight = float(self.told["leaf_variance"]), self.weights[rows].sum()
        total = (self.weights[rows] * partial[rows]).sum()
        both = self.variance + weight * tau
        return 0.5 * math.log(self.variance / both) + 0.5 * tau / self.variance * total**2 / both

    def update(self, tree: Tree, partial: np.ndarray) -> None:
        told, leaves = self.told, tree.labels
        parents = [node for node in tree.slots if node.is_parent_of_leaves]
        u = random.uniform(self.random)
        min_leaf = int(told["min_leaf"])
        kind, accepted = -1, False
        if len(leaves) == 1 or u < told["grow"]:
            node = leaves[random.below(self.random, len(leaves))]
            kind = GROW
            if self.splittable(node) and self.rows_at(node).sum() >= 2 * min_leaf:
                rule = self.draw_rule(node)
                here, right = self.rows_at(node), self.goes_right(rule)
                if min((here & right).sum(), (here & ~right).sum()) >= min_leaf:
                    odds = self.log_likelihood(partial, here & right) + self.log_likelihood(partial, here & ~right)
                    odds -= self.log_likelihood(partial, here)
                    before = (1.0 if len(leaves) == 1 else told["grow"]) / len(leaves)
                    odds += math.log(told["split"][node.depth] / (1 - told["split"][node.depth]))
                    tree.grow(node, rule)
                    odds += sum(math.log(1 - self.split_probability(child)) for child in node.children)
                    after = told["prune"] / sum(n.is_parent_of_leaves for n in tree.slots)
                    accepted = math.log(1 - random.uniform(self.random)) < odds + math.log(after / before)
                    if not accepted:
                        value = node.value
                        tree.prune(node)
                        node.value = value
        elif u < told["grow"] + told["prune"]:
            node, kind = parents[random.below(self.random, len(parents))], PRUNE
            rows = [self.rows_at(child) for child in node.children]
            odds = self.log_likelihood(partial, rows[0] | rows[1])
            odds -= sum(self.log_likelihood(partial, mask) for mask in rows)
            odds += math.log((1 - told["split"][node.depth]) / told["split"][node.depth])
            odds -= sum(math.log(1 - self.split_probability(child)) for child in node.children)
            before = told["prune"] / len(parents)
            after = (1.0 if len(leaves) == 2 else told["grow"]) / (len(leaves) - 1)
            accepted = math.log(1 - random.uniform(self.random)) < odds + math.log(after / before)
            if accepted:
                tree.prune(node)
        else:
            node, kind = parents[random.below(self.random, len(parents))], CHANGE
            rule = self.draw_rule(node)
            here, old = self.rows_at(node), self.goes_right(node.rule)
            new = self.goes_right(rule)
            if min((here & new).sum(), (here & ~new).sum()) >= min_leaf:
                odds = sum(self.log_likelihood(partial, here & mask) for mask in (new, ~new))
                odds -= sum(self.log_likelihood(partial, here & mask) for mask in (old, ~old))
                odds -= sum(math.log(1 - self.split_probability(child)) for child in node.children)
                before_rule, node.rule = node.rule, rule
                odds += sum(math.log(1 - self.split_probability(child)) for child in node.children)
                accepted = math.log(1 - random.uniform(self.random)) < odds
                if not accepted:
                    node.rule = before_rule
        self.decisions.append((kind, accepted))
        tau = float(told["leaf_variance"])
        for leaf in tree.labels:
            rows = self.rows_at(leaf)
            shrunk = tau / (self.variance + self.weights[rows].sum() * tau)
            mean = shrunk * (self.weights[rows] * partial[rows]).sum()
            leaf.value = mean + math.sqrt(shrunk * self.variance) * random.normal(self.random)

    def sweep(self) -> None:
        for tree in self.trees:
            others = sum((self.fit_of(other) for other in self.trees if other is not tree), np.zeros(self.problem.rows))
            self.update(tree, self.y - others)
        residual = self.y - sum(self.fit_of(tree) for tree in self.trees)
        rate = 0.5 * (self.told["noise_scale"] + (self.weights * residual**2).sum())
        self.variance = rate / random.gamma(self.random, 0.5 * (self.told["noise_shape"] + self.problem.rows))
