"""A state seen elsewhere, on a shop floor or in a ward, as one to start a run from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from livesim.compiler.program import ClockKind, Names, Op, Program, SourceKind, Then
from livesim.compiler.table import compile_model
from livesim.model.builder import Model
from livesim.runtime.snapshot import Snapshot

if TYPE_CHECKING:
    from livesim.engine.world import Arrays


@dataclass(frozen=True)
class InProcess:
    """A job that is in the system: in which process, at which step (as `describe` numbers them), and with what."""

    process: str
    step: int
    left: float | None = None
    """At a hold or a route: how much of it is left; None begins it."""
    holds: Mapping[str, int] = field(default_factory=dict)
    """Units of resources that it has."""
    attributes: Mapping[str, float] = field(default_factory=dict)
    arrived: float | None = None
    """When it came; None means at the time of the observation."""


def observed(model: Model, time: float, jobs: Sequence[InProcess]) -> Snapshot:
    """The state of a system at a time, for `run(model, until, start=...)`.

    Jobs do the step that they are at again, in the order given: at a hold, what is left of it; at a seize, those that
    wait join the queue, the first first. What is to arrive, and what fails, is drawn from that time on; schedules are
    where the time has them. Statistics count from that time.
    """
    from livesim.engine.compiled import Compiled  # imports Numba

    if not (isinstance(time, (int, float)) and 0 <= time < math.inf):
        raise ValueError(f"observed: the time must be 0 or more and finite, got {time!r}")
    program, names = compile_model(model)
    engine = Compiled(program, 0)
    arrays = engine.arrays
    w = arrays.world[0]
    if len(jobs) >= w["slots"]:
        arrays.grow_jobs(len(jobs) + 1)
    w["now"] = time
    arrays["levels"]["since"] = time
    _set_clocks(program, arrays, time)
    for number, job in enumerate(jobs, 1):
        _add(model, program, names, arrays, job, f"observed: job {number}, {job}", time)
    for r, resource in enumerate([*model.resources.values()]):
        held, most = arrays["levels"]["value"][2 * r], resource.largest_capacity()
        if held > most:
            raise ValueError(
                f"observed: {held:g} units of {resource.name!r} are held, but there are never more than {most}"
            )
    for row, flow in zip(program.sources.tolist(), arrays["flows"], strict=True):
        if row[1] == SourceKind.AT:
            flow["arrivals"] = int(np.sum(program.times[row[2] : row[2] + row[3]] < time))
    flows = arrays["flows"]
    before = np.stack(
        [flows[name] for name in ("arrived", "copies", "departed", "combined", "reneged", "interrupted")], 1
    )
    state = arrays.state() | {"before": before, "stayed": engine.staying()}
    return Snapshot(model.to_json(), float(time), None, 0, {}, float(time), state)


def _set_clocks(program: Program, arrays: Arrays, time: float) -> None:
    """Put schedules into the period that holds at a time."""
    for clock, (r, kind, a, b, then, *_) in enumerate(program.clocks.tolist()):
        if kind != ClockKind.SCHEDULE:
            continue
        rows = program.times[a : a + 3 * b].reshape(-1, 3)
        total = rows[-1, 1]
        cycle = int(time // total) if then == Then.REPEAT else 0
        # A change at the very time has happened.
        period = int(np.searchsorted(rows[:, 1], time - cycle * total, side="right"))
        arrays["ticks"][clock] = cycle * b + period
        capacity = rows[period % b, 2]
        if period == b and then != Then.REPEAT:
            capacity = 0 if then == Then.STOP else rows[-1, 2]
        arrays["supplies"]["scheduled"][r] = capacity
        arrays["levels"]["value"][2 * r + 1] = capacity


def _add(
    model: Model, program: Program, names: Names, arrays: Arrays, seen: InProcess, where: str, time: float
) -> None:
    """Put a job into a free slot, and into the list of those that run first."""
    process = _index(where, "process", seen.process, names.processes)
    steps = model.processes[seen.process].steps
    if not 2 <= seen.step <= len(steps):
        raise ValueError(f"{where}: step must be from 2 to {len(steps)}, got {seen.step}")
    # A step without an instruction of its own, such as a label, is the next one.
    pc = next(at for at, (name, number, _) in enumerate(names.steps) if name == seen.process and number >= seen.step)
    w, jobs = arrays.world[0], arrays["jobs"]
    slot = int(w["free"])
    job: Any = jobs[slot]
    w["free"], w["unused"] = job["following"], w["unused"] - 1
    flow = arrays["flows"][process]
    job["word"] = flow["arrived"]
    flow["arrived"] += 1
    born = time if seen.arrived is None else float(seen.arrived)
    if not born <= time:
        raise ValueError(f"{where}: arrived={born:g} lies after the time {time:g}")
    for name, content in {"pc": pc, "process": process, "serial": flow["arrived"], "born": born}.items():
        job[name] = content
    if seen.left is not None:
        if program.code[pc, 0] != Op.HOLD or not 0 <= seen.left < math.inf:
            raise ValueError(f"{where}: left= is the time, 0 or more, that a hold or route still takes")
        job["left"] = job["length"] = seen.left
    widths = len(names.attributes)
    arrays["attributes"][slot * widths : (slot + 1) * widths] = program.attributes
    for name, number in seen.attributes.items():
        arrays["attributes"][slot * widths + _index(where, "attribute", name, names.attributes)] = number
    for name, units in seen.holds.items():
        r = _index(where, "resource", name, names.resources)
        if units < 1 or units != int(units):
            raise ValueError(f"{where}: units of {name!r} must be a positive integer, got {units!r}")
        _hold(program, arrays, slot, r, int(units))
    arrays["levels"]["value"][int(w["first_process"]) + process] += 1
    job["following"] = -1
    if w["ready_last"] < 0:
        w["ready"] = slot
    else:
        jobs["following"][int(w["ready_last"])] = slot
    w["ready_last"] = slot


def _hold(program: Program, arrays: Arrays, slot: int, r: int, units: int) -> None:
    """Give a job units of a resource."""
    arrays["held"][slot * len(program.resources) + r] = units
    arrays["jobs"]["holding"][slot] += units
    arrays["levels"]["value"][2 * r] += units
    h, holders = int(program.resources[r, 5]), int(program.sizes[3])
    if h < 0:
        return
    ends, holdings = arrays["holders"][h], arrays["holdings"]
    last = int(ends["last"])
    holdings[slot * holders + h] = (-1, last, arrays.world[0]["tickets"], 0.0)
    arrays.world[0]["tickets"] += 1
    if last < 0:
        ends["first"] = slot
    else:
        holdings["following"][last * holders + h] = slot
    ends["last"] = slot


def _index(where: str, kind: str, name: str, known: Sequence[str]) -> int:
    if name not in known:
        raise ValueError(f"{where}: no {kind} {name!r}; there are: {', '.join(map(repr, known)) or 'none'}")
    return known.index(name)


__all__ = ["InProcess", "observed"]
