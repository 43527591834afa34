"""What runs and replications cannot be made of, refused in the words of the call that was asked for it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from livesim.model.builder import Model
from livesim.runtime.snapshot import Snapshot

MOST_INTERVALS = 10_000_000


def check_run(who: str, model: Any, until: Any, warmup: Any, drain: Any, every: Any, start: Any, engine: Any) -> None:
    """Refuse what no run can be made of; `who` was asked for it."""
    if not isinstance(model, Model):
        raise TypeError(f"{who}: expected a livesim.Model, got {model!r}")
    if not model.processes:
        raise ValueError(f"{who}: model {model.name!r} has no process, so nothing would happen")
    if not (_is_number(until) and 0 < until < math.inf):
        raise ValueError(f"{who}: until must be a finite time above 0, got {until!r}")
    if not (_is_number(warmup) and 0 <= warmup < until):
        raise ValueError(f"{who}: warmup must be a time from 0 to until={until:g}, got {warmup!r}")
    check_flag(f"{who}: drain", drain)
    if every is not None and not (_is_number(every) and until / MOST_INTERVALS <= every <= until):
        least = until / MOST_INTERVALS
        raise ValueError(f"{who}: every must be a time from {least:g} to until={until:g}, got {every!r}")
    if engine not in ("compiled", "reference"):
        raise ValueError(f"{who}: engine must be 'compiled' or 'reference', got {engine!r}")
    if start is None:
        return
    if not isinstance(start, Snapshot):
        raise TypeError(f"{who}: start must be a snapshot, as result.snapshot gives it, got {start!r}")
    start.check(model)
    if engine != "compiled":
        raise ValueError(f"{who}: only engine='compiled' goes on from a snapshot")
    if not start.time <= until:
        raise ValueError(f"{who}: the snapshot is of time {start.time:g}, which is after until={until:g}")
    if 0 < warmup < start.time:
        raise ValueError(f"{who}: warmup={warmup:g} lies before the snapshot's time {start.time:g}")


def check_index(what: str, number: Any) -> None:
    """Refuse what is no whole number of 64 bits."""
    if isinstance(number, bool) or not isinstance(number, (int, np.integer)) or not 0 <= number < 2**64:
        raise ValueError(f"{what} must be a whole number from 0 to 2**64 - 1, got {number!r}")


def check_flag(what: str, value: Any) -> None:
    """Refuse what is not True or False."""
    if not isinstance(value, bool):
        raise TypeError(f"{what} must be True or False, got {value!r}")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
