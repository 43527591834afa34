"""Quantiles of times that jobs took, from a trace: exact ones, of every job that counts.

The kernel keeps count, mean, spread and extremes of such times as they come; their quantiles need the times themselves.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from livesim.compiler.program import Action, Names
from livesim.engine.reference import Trace

PERCENT = "p{:02d}"
"""A quantile's name at the end of a path: "customer.sojourn.p95"."""


def check_quantiles(who: str, quantiles: Any, start: Any) -> tuple[float, ...]:
    """The quantiles, checked: whole percentages."""
    try:
        wanted = tuple(float(q) for q in quantiles)
    except (TypeError, ValueError):
        raise TypeError(f"{who}: quantiles must be numbers such as (0.5, 0.95), got {quantiles!r:.60}") from None
    for q in wanted:
        if not (0.0 < q < 1.0 and math.isclose(100 * q, round(100 * q), abs_tol=1e-9)):
            raise ValueError(f"{who}: a quantile must be a whole percentage between 0 and 1, such as 0.95, got {q!r}")
    if wanted and start is not None:
        raise ValueError(f"{who}: quantiles want every job from its arrival on, which a snapshot does not have")
    return tuple(sorted(set(wanted)))


def quantile_paths(names: Names, quantiles: Iterable[float]) -> tuple[str, ...]:
    """What `quantile_row` gives, by path."""
    kinds = [f"{process}.{what}" for process in names.processes for what in ("wait", "sojourn")]
    wanted = list(quantiles)
    return tuple(f"{kind}.{PERCENT.format(round(100 * q))}" for kind in kinds for q in wanted)


def quantile_row(names: Names, trace: Trace, first: int, quantiles: Sequence[float]) -> np.ndarray:
    """Quantiles of jobs' waits and times in the system: float64 (path,); NaN where no job departed.

    Of the jobs that departed in the trace's rows from `first` on, where statistics began.
    """
    times = job_times(names, trace, first)
    rows = [np.quantile(each, quantiles) if len(each) else np.full(len(quantiles), np.nan) for each in times]
    return np.concatenate([np.empty(0), *rows])


def job_times(names: Names, trace: Trace, first: int) -> list[np.ndarray]:
    """Of each process the waits, and then the times in the system, of the jobs that departed from row `first` on."""
    action, process, serial, _ = trace.what.T
    # A number for each job: those of a process follow each other.
    most = np.zeros(len(names.processes) + 1, np.int64)
    np.maximum.at(most, process, serial)  # changes of capacity, of no process, are in the last place
    job = serial + np.concatenate([[0], np.cumsum(most + 1)[:-1]])[process]
    begun = (action == Action.ARRIVE) | (action == Action.SPLIT)
    born = np.zeros(int((most + 1).sum()))
    born[job[begun]] = trace.time[begun]
    # Whoever departs has ended each wait that it began.
    waits = action == Action.WAIT
    moves = waits | (action == Action.GO) | (action == Action.RENEGE)
    waited = np.bincount(job[moves], np.where(waits, -trace.time, trace.time)[moves], len(born))
    left = np.flatnonzero(action == Action.DEPART)
    left = left[left >= first]
    found = []
    for number in range(len(names.processes)):
        gone = left[process[left] == number]
        found += [np.maximum(waited[job[gone]], 0.0), trace.time[gone] - born[job[gone]]]
    return found
