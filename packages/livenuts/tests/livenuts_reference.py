"""Slow, plain references, written apart from the package: NUTS by recursion, SplitMix64, Stan's dual averaging.

The NUTS here is the textbook's: recursive doubling (Hoffman and Gelman 2014, algorithm 6) with multinomial sampling
inside a subtree, biased progressive sampling between the trajectory and a new half (Betancourt 2017, appendix A.3)
and the generalised U-turn criterion with Stan's two extra checks across the seam of the halves. Python floats and
NumPy only; leaves are kept in a list and every probability is computed from all of them.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15
MOMENTUM = 0xD1B54A32D192ED03
DIRECTION = 0xABC98388FB8FAC03


def splitmix_finalizer(z: int) -> int:
    """Steele, Lea and Flood 2014, figure 16: `mix64variant13`."""
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def random_bits(key: int, counter: int) -> int:
    return splitmix_finalizer((key + counter * GOLDEN) & MASK)


def random_uniform(key: int, counter: int) -> float:
    return (random_bits(key, counter) >> 12) * 2.0**-52 + 2.0**-53


def random_normal(key: int, dimension: int) -> np.ndarray:
    """Box and Muller's: radii from the first half of the uniforms, turns from the second."""
    half = (dimension + 1) // 2
    u = np.array([random_uniform(key, counter) for counter in range(1, 2 * half + 1)])
    radius, angle = np.sqrt(-2.0 * np.log(u[:half])), 2.0 * np.pi * u[half:]
    return np.concatenate([radius * np.sin(angle), radius * np.cos(angle)])[:dimension]


def direction_key(key: int) -> int:
    return splitmix_finalizer(key ^ DIRECTION)


@dataclass
class Leaf:
    position: np.ndarray
    momentum: np.ndarray
    gradient: np.ndarray
    log_weight: float
    """H0 - H."""
    index: int
    """Signed leapfrog steps from the start."""


@dataclass
class Stretch:
    """Leaves in the order of time, and whether they may join a trajectory."""

    leaves: list[Leaf]
    turning: bool = False
    diverging: bool = False


@dataclass
class Outcome:
    depth: int
    num_steps: int
    diverging: bool
    acceptance_rate: float
    law: dict[int, float]
    """The exact probability of each index, given the directions."""
    index: int
    """What was drawn, with the package's convention for which uniform decides what."""
    visited: list[Leaf] = field(default_factory=list)


class RecursiveNUTS:
    """One transition of NUTS on `target(position) -> (log density, gradient)` with a diagonal inverse mass."""

    def __init__(self, target: Callable, inverse_mass: np.ndarray, step_size: float, max_depth: int) -> None:
        self.target, self.inverse_mass = target, inverse_mass
        self.step_size, self.max_depth = step_size, max_depth

    def hamiltonian(self, momentum: np.ndarray, log_density: float) -> float:
        return 0.5 * float(momentum @ (self.inverse_mass * momentum)) - log_density

    def step(self, leaf: Leaf, sign: int) -> Leaf:
        step_size = sign * self.step_size
        half = leaf.momentum + 0.5 * step_size * leaf.gradient
        position = leaf.position + step_size * self.inverse_mass * half
        log_density, gradient = self.target(position)
        momentum = half + 0.5 * step_size * gradient
        log_weight = self.initial_energy - self.hamiltonian(momentum, log_density)
        log_weight = log_weight if np.isfinite(log_weight) else -np.inf
        leaf = Leaf(position, momentum, gradient, log_weight, leaf.index + sign)
        self.visited.append(leaf)
        return leaf

    def turns(self, left: Leaf, right: Leaf) -> bool:
        """rho . velocity <= 0 at either end, rho by the displacement from left to right in time."""
        displacement = right.position - left.position
        return bool(displacement @ left.momentum <= 0.0 or displacement @ right.momentum <= 0.0)

    def turning(self, left: list[Leaf], right: list[Leaf]) -> bool:
        """Of two neighbouring halves: the whole, and each half with the nearest leaf of the other."""
        return self.turns(left[0], right[-1]) or self.turns(left[0], right[0]) or self.turns(left[-1], right[-1])

    def subtree(self, edge: Leaf, sign: int, depth: int) -> Stretch:
        """2^depth leaves beyond `edge`, unless they turn or diverge on the way."""
        if depth == 0:
            leaf = self.step(edge, sign)
            return Stretch([leaf], diverging=leaf.log_weight < -1000.0)
        near = self.subtree(edge, sign, depth - 1)
        if near.turning or near.diverging:
            return near
        far = self.subtree(near.leaves[-1] if sign > 0 else near.leaves[0], sign, depth - 1)
        if far.turning or far.diverging:
            return far
        left, right = (near.leaves, far.leaves) if sign > 0 else (far.leaves, near.leaves)
        return Stretch(left + right, turning=self.turning(left, right))

    def transition(self, position: np.ndarray, momentum: np.ndarray, key: int) -> Outcome:
        log_density, gradient = self.target(position)
        self.initial_energy = self.hamiltonian(momentum, log_density)
        self.visited: list[Leaf] = []
        directions = direction_key(key)
        whole = [Leaf(position, momentum, gradient, 0.0, 0)]
        law, index = {0: 1.0}, 0
        depth, diverging = 0, False
        while depth < self.max_depth:
            sign = 1 if directions >> depth & 1 else -1
            new = self.subtree(whole[-1] if sign > 0 else whole[0], sign, depth)
            depth += 1
            if new.turning or new.diverging:
                diverging = new.diverging
                break
            old_weight = sum(np.exp(leaf.log_weight) for leaf in whole)
            weights = {leaf.index: np.exp(leaf.log_weight) for leaf in new.leaves}
            new_weight = sum(weights.values())
            move = min(1.0, new_weight / old_weight)
            law = {i: p * (1.0 - move) for i, p in law.items()}
            law |= {i: move * w / new_weight for i, w in weights.items()}
            if random_uniform(directions, depth) * old_weight < new_weight:
                index = self.draw(weights, key, depth - 1)
            left, right = (whole, new.leaves) if sign > 0 else (new.leaves, whole)
            whole = left + right
            if self.turning(left, right):
                break
        rates = [min(1.0, np.exp(min(leaf.log_weight, 0.0))) for leaf in self.visited]
        return Outcome(depth, len(rates), diverging, float(np.mean(rates)), law, index, self.visited)

    def draw(self, weights: dict[int, float], key: int, depth: int) -> int:
        """One leaf in proportion to its weight: in order of visits, each replaces the last with its share."""
        total, chosen = 0.0, 0
        for number, index in enumerate(sorted(weights, key=abs)):
            total += weights[index]
            if random_uniform(key, (1 << depth) + number) * total < weights[index]:
                chosen = index
        return chosen
