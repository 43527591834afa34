"""A block of successive replications: the task of a worker, which takes plain data and gives plain data."""

from __future__ import annotations

import functools
import time
from typing import Any

import numpy as np

from livesim.compiler.program import Names, Program
from livesim.compiler.table import compile_model
from livesim.engine.reference import Trace as Columns
from livesim.measures import Measures
from livesim.model.builder import Model
from livesim.runtime.experiment import Experiment, versions
from livesim.runtime.simulation import Halted, Plan, simulate


def common(
    experiment: Experiment, *, width: int, warmup: float, every: float | None, events: bool, halted: Any
) -> dict[str, Any]:
    """What is the same in all tasks of an experiment.

    width: how many numbers a replication has. halted: a function, where tasks stay in this process.
    """
    start = experiment.start
    return {
        "width": width,
        "model": experiment.model.to_json(),
        "versions": versions(),
        "seed": experiment.seed,
        "plan": {
            "until": experiment.until,
            "warmup": warmup,
            "drain": experiment.drain,
            "every": every,
            "engine": experiment.engine,
        },
        "start": None if start is None else dict(start.state),
        "since": 0.0 if start is None else start.warmup,
        "events": events,
        "halted": halted,
    }


def make_block(task: dict[str, Any]) -> dict[str, Any]:
    """Replications `first`, `first + 1`, ..., one for each entry of `params`; in the worker.

    One that fails has a row of NaN and its error's words. Halted ones are left out.
    """
    _check_versions(task["versions"])
    began = time.perf_counter()
    first: int = task["first"]
    rows, events, clocks = [], [], []
    courses: list[np.ndarray | None] = []
    traces: list[list[np.ndarray] | None] = []
    errors: dict[str, str] = {}
    course_start = 0.0
    for replication, params in enumerate(task["params"], first):
        try:
            program, names, measures = _compiled(task["model"], tuple(params.items()))
            plan = Plan(program, names, measures, **task["plan"])
            made = simulate(
                plan,
                task["seed"],
                replication,
                start=task["start"],
                since=task["since"],
                tracing=task["events"],
                halted=task["halted"],
            )
        except Halted:
            break
        except Exception as error:
            errors[str(replication)] = f"{type(error).__name__}: {error}"
            rows.append(np.full(task["width"], np.nan))
            events.append(0)
            clocks.append(np.nan)
            courses.append(None)
            traces.append(None)
            continue
        rows.append(made.values)
        events.append(made.outcome.events)
        clocks.append(made.outcome.clock)
        courses.append(made.increments)
        traces.append(list(made.simulation.trace()) if task["events"] else None)
        course_start = made.course_start
    return {
        "first": first,
        "values": np.array(rows).reshape(-1, task["width"]),
        "events": np.array(events, np.int64),
        "clocks": np.array(clocks, np.float64),
        "errors": errors,
        "courses": courses,
        "course_start": course_start,
        "traces": traces,
        "seconds": time.perf_counter() - began,
    }


def columns(trace: list[np.ndarray]) -> Columns:
    """A trace of a block, as the engine gave it."""
    return Columns(*trace)


@functools.lru_cache(maxsize=16)
def _model(text: str) -> Model:
    return Model.from_json(text)


@functools.lru_cache(maxsize=64)
def _compiled(text: str, params: tuple[tuple[str, float], ...]) -> tuple[Program, Names, Measures]:
    program, names = compile_model(_model(text), dict(params))
    return program, names, Measures(names)


def _check_versions(home: dict[str, str]) -> None:
    """Refuse to make what may be other bits."""
    here = versions()
    if other := [name for name in here if here[name] != home[name]]:
        found = "; ".join(f"{name} is {home[name]!r} at home and {here[name]!r} in this worker" for name in other)
        raise RuntimeError(f"{found}: numbers would not be the same bits everywhere, so give workers what home has")
