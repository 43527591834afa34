"""A block of successive replications: the task of a worker, which takes plain data and gives plain data."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from livesim.compiler.program import Names
from livesim.engine.reference import Trace
from livesim.runtime.events import Events
from livesim.runtime.experiment import versions
from livesim.runtime.simulation import Halted
from livesim.runtime.subject import Made, Settings, Subject


def make_block(task: dict[str, Any]) -> dict[str, Any]:
    """Replications `first`, `first + 1`, ..., one for each entry of `params`; in the worker.

    One that fails has its error's words in place of numbers. Those that were halted are left out.
    """
    _check_versions(task["versions"])
    began = time.perf_counter()
    subject: Subject = task["subject"]
    settings: Settings = task["settings"]
    writer = None if task["sink"] is None else Events(task["sink"])
    made: list[Made | None] = []
    traces: list[list[list[np.ndarray]]] = []
    errors: dict[str, str] = {}
    for replication, params in enumerate(task["params"], task["first"]):
        rows: list[list[np.ndarray]] = []

        def keep(_: int, names: Names, trace: Trace, rows: list[list[np.ndarray]] = rows) -> None:
            rows.append(list(trace))

        tell = (task["channel"] or writer or keep) if settings.events else None
        try:
            made.append(subject.make(settings._replace(tell=tell), task["seed"], replication, params, task["halted"]))
        except Halted:
            break
        except Exception as error:
            errors[str(replication)] = f"{type(error).__name__}: {error}"
            made.append(None)
        traces.append(rows)
        if writer is not None:
            getattr(task["sink"], "flush", lambda: None)()
    return _block(task["first"], made, errors) | {"traces": traces} | {"seconds": time.perf_counter() - began}


def _block(first: int, made: list[Made | None], errors: dict[str, str]) -> dict[str, Any]:
    """Replications as plain data. Where all have the same paths, as those of a model have, these are said once."""
    whole = [each for each in made if each is not None]
    paths: list[tuple[str, ...]] = []
    kinds: list[tuple[str, ...]] = []
    ratios: list[dict[str, list[int | None]]] = []
    for each in whole:
        if each.paths not in paths:
            paths.append(each.paths)
        named = tuple(each.ratios or ())
        if named not in kinds:
            kinds.append(named)
            ratios.append({path: list(ratio) for path, ratio in (each.ratios or {}).items()})
    return {
        "first": first,
        "errors": errors,
        "paths": [list(each) for each in paths],
        "form": [-1 if each is None else paths.index(each.paths) for each in made],
        "values": [None if each is None else each.values for each in made],
        "events": np.array([0 if each is None else each.events for each in made], np.int64),
        "clocks": np.array([np.nan if each is None else each.clock for each in made], np.float64),
        "ratios": ratios,
        "course_form": [-1 if each is None else kinds.index(tuple(each.ratios or ())) for each in made],
        "courses": [None if each is None else each.increments for each in made],
        "course_start": max((each.course_start for each in whole), default=0.0),
    }


def _check_versions(home: dict[str, str]) -> None:
    """Refuse to make what may be other bits."""
    here = versions()
    if other := [name for name in here if here[name] != home[name]]:
        found = "; ".join(f"{name} is {home[name]!r} at home and {here[name]!r} in this worker" for name in other)
        raise RuntimeError(f"{found}: numbers would not be the same bits everywhere, so give workers what home has")
