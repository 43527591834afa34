"""What an inference is told, checked at the door, and the random numbers that follow from its seed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

# The second number of a spawn key; 0 and 1 are those of NUTS (`runtime.settings`).
_PURPOSES = {"start": 1, "fit": 2, "draws": 3, "choice": 4}


def generator(seed: int, index: int, purpose: str) -> np.random.Generator:
    """The random numbers of one purpose of the chain, path or fit with this index."""
    sequence = np.random.SeedSequence(seed, spawn_key=(index, _PURPOSES[purpose]))
    return np.random.Generator(np.random.Philox(sequence))


def count(name: str, value: Any, least: int = 1) -> int:
    """A whole number of at least `least`."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}")
    return int(value)


def fraction(name: str, value: Any) -> float:
    """A number between 0 and 1, neither included."""
    try:
        number = math.nan if isinstance(value, (bool, str)) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not 0.0 < number < 1.0:
        raise ValueError(f"{name} must be between 0 and 1, got {value!r}")
    return number


def choice(name: str, value: Any, choices: Sequence[str]) -> str:
    """One of a few words."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}")
    return str(value)


def starts(init: Any, number: int, what: str) -> list[dict[str, Any]]:
    """Constrained starting values, a mapping for each of `number`."""
    if init is None:
        return [{} for _ in range(number)]
    if isinstance(init, Mapping):
        return [dict(init) for _ in range(number)]
    if isinstance(init, Sequence) and all(isinstance(start, Mapping) for start in init) and len(init) == number:
        return [dict(start) for start in init]
    raise ValueError(f"init takes a mapping of names to values, or one for each of {number} {what}, got {init!r:.80}")
