"""What a run is told, checked at the door, and what it derives from its seed."""

from __future__ import annotations

import operator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

METRICS = ("auto", "diag", "low_rank", "dense")
ADAPTATIONS = ("pooled", "independent")
CHAIN_METHODS = ("threads", "vectorized")


@dataclass(frozen=True)
class Settings:
    """The settings of a run."""

    num_warmup: int
    num_samples: int
    num_chains: int
    target_accept: float
    max_tree_depth: int
    metric: str
    adaptation: str
    early_stop: bool
    chain_method: str = "threads"
    num_superchains: int | None = None

    def __post_init__(self) -> None:
        for name, least in (("num_warmup", 0), ("num_samples", 0), ("num_chains", 1), ("max_tree_depth", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
                raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}")
            object.__setattr__(self, name, int(value))
        if self.num_warmup + self.num_samples == 0:
            raise ValueError("num_warmup and num_samples are both 0: nothing to do")
        if self.max_tree_depth > 20:
            raise ValueError(f"max_tree_depth must be at most 20 (a million steps a draw), got {self.max_tree_depth}")
        try:
            target = float(self.target_accept)
        except (TypeError, ValueError):
            target = float("nan")
        if not 0.0 < target < 1.0:
            raise ValueError(f"target_accept must be between 0 and 1, got {self.target_accept!r}")
        object.__setattr__(self, "target_accept", target)
        choosable = (("metric", METRICS), ("adaptation", ADAPTATIONS), ("chain_method", CHAIN_METHODS))
        for name, choices in choosable:
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} must be one of {', '.join(choices)}, got {getattr(self, name)!r}")
        if not isinstance(self.early_stop, (bool, np.bool_)):
            raise ValueError(f"early_stop must be True or False, got {self.early_stop!r}")
        object.__setattr__(self, "early_stop", bool(self.early_stop))

        if self.num_superchains is not None:
            groups = self.num_superchains
            whole = isinstance(groups, (int, np.integer)) and not isinstance(groups, bool)
            if not whole or not 2 <= groups <= self.num_chains or self.num_chains % groups:
                raise ValueError(
                    f"num_superchains must be a divisor of num_chains={self.num_chains} of at least 2, got {groups!r}"
                )
            object.__setattr__(self, "num_superchains", int(groups))

    def start_of(self, chain: int) -> int:
        """Which start a chain has: its own, or its superchain's."""
        return chain if self.num_superchains is None else chain // (self.num_chains // self.num_superchains)

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain values; superchains are named where there are some."""
        plain = asdict(self)
        if self.num_superchains is None:
            del plain["num_superchains"]
        return plain


def entropy(seed: Any) -> int:
    """The run's seed: the given one, or fresh entropy of 63 bits."""
    if seed is None:
        return int(np.random.SeedSequence().entropy) >> 65  # type: ignore[arg-type]
    try:
        value = operator.index(seed)
    except TypeError:
        value = -1
    if isinstance(seed, bool) or not 0 <= value < 2**63:
        raise ValueError(f"seed must be an integer from 0 to 2^63 - 1, or None, got {seed!r}")
    return value


def chain_key(seed: int, chain: int) -> np.uint64:
    """The 64-bit key of a chain's random numbers."""
    key: np.uint64 = np.random.SeedSequence(seed, spawn_key=(chain, 0)).generate_state(1, np.uint64)[0]
    return key


def start_generator(seed: int, chain: int) -> np.random.Generator:
    """The generator of a chain's starting positions."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=(chain, 1))))
