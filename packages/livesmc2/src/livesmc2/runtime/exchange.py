"""More state particles for every parameter, by a conditional filter through a path of the old one.

The path is a draw from the exact posterior of the hidden states given the parameter, so the new filter has the law that
it must have, and neither weights nor evidence change (Chopin, Jacob and Papaspiliopoulos 2013, section 3.6.2; Andrieu,
Doucet and Holenstein 2010). A guide's correction log f - log q goes along the path with the states.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from livesmc2.compiler.program import Program, program_of
from livesmc2.kernel.conditional import resample_through
from livesmc2.kernel.rng import derive
from livesmc2.kernel.weights import SYSTEMATIC
from livesmc2.model.state_space import StateSpaceModel
from livesmc2.runtime.blocks import Crew, Filters, Rule, Series
from livesmc2.runtime.cloud import Anchor, Cloud, References

_BLOCKS = 32
"""Into how many tasks parameters are cut."""


def exchange(program: Program, cloud: Cloud, series: Series, key: int, rule: Rule, crew: Crew, n_x: int) -> Filters:
    """Give every parameter a filter of `n_x` particles, in place; a spare of the new size is returned."""
    time, old = series.length, cloud.filters
    n, width = len(cloud.theta), old.x.shape[1]
    path, corrections, origin = trace_paths(program, cloud, series, derive(key, 0), rule, crew)
    root = derive(key, 1)
    made = Filters.empty(n, width, n_x, old.increments.shape[1], old.offset)
    first = cloud.anchors[0]
    if first.x is None or first.w is None:
        lines = np.random.Generator(np.random.SFC64(root)).integers(n_x, size=n)
    else:
        lines = np.empty(n, np.int64)
        ancestors = np.empty(n_x + 1, np.int32)
        for m in range(n):
            lines[m] = resample_through(first.w[m], np.uint64(derive(root, m)), SYSTEMATIC, origin[m], ancestors)
            made.x[m] = first.x[m][:, ancestors[:n_x]]
        first.x, first.w = made.x.copy(), made.w.copy()
    first.lines = lines.copy()
    t0 = first.time
    for anchor in [*cloud.anchors[1:], Anchor(time)]:
        part = slice(t0 - first.time, anchor.time - first.time)
        _condition(program, made, lines, path[:, part], corrections[:, part], cloud.theta, series, t0, anchor.time,
                   root, rule, crew)  # fmt: skip
        anchor.x, anchor.w, anchor.lines = made.x.copy(), made.w.copy(), lines.copy()
        t0 = anchor.time
    cloud.filters = made
    cloud.references = References(path, corrections, first.time, np.full(n, time))
    return copy.deepcopy(made)


# -- a path of each filter ---------------------------------------------------------------------------------------------


class Trace(NamedTuple):
    """A task: a path of each of some filters, which are run again from their keys."""

    model: StateSpaceModel
    compiled: bool
    x: np.ndarray
    w: np.ndarray
    theta: np.ndarray
    ys: np.ndarray
    cov: np.ndarray
    t0: int
    keys: np.ndarray
    offset: int
    rule: Rule
    references: References
    lines: np.ndarray
    choice: np.ndarray


def trace(task: Trace) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(path (n, times, state), corrections (n, times), first ancestor (n,))."""
    n, steps = len(task.theta), len(task.ys) - task.t0
    path, corrections = np.empty((n, steps, task.x.shape[1])), np.empty((n, steps))
    origin, known = np.empty(n, np.int64), task.references
    program_of(task.model, task.compiled).traced_block(
        np.arange(n), task.x, task.w, task.theta, task.ys, task.cov, task.t0, len(task.ys), task.keys, task.offset,
        task.rule.threshold, task.rule.scheme, known.path, known.corrections, task.lines, known.start, known.until,
        task.choice, path, corrections, origin,
    )  # fmt: skip
    return path, corrections, origin


def trace_paths(
    program: Program, cloud: Cloud, series: Series, seed: int, rule: Rule, crew: Crew
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One path of the hidden state for each parameter, drawn from its filter by ancestry.

    Nothing but keys need be kept for it. (path (n_theta, times since the older anchor, state), corrections (n_theta,
    times), and the particle at that anchor that each path came from (n_theta,)).
    """
    n, anchor, filters, known = len(cloud.theta), cloud.anchors[0], cloud.filters, cloud.references
    x = filters.x if anchor.x is None else anchor.x
    w = filters.w if anchor.w is None else anchor.w
    lines = np.zeros(n, np.int64) if anchor.lines is None else anchor.lines
    choice = np.random.Generator(np.random.SFC64(seed)).random(n)
    ys, cov = series.ys[: series.length], series.cov[: series.length]
    tasks = [
        Trace(program.model, program.compiled, x[rows], w[rows], cloud.theta[rows], ys, cov, anchor.time,
              filters.keys[rows], filters.offset, rule, known.of(rows), lines[rows], choice[rows])
        for rows in _parts(n)
    ]  # fmt: skip
    made = _run(trace, tasks, crew, n * filters.n_x * (series.length - anchor.time))
    path, corrections, origin = (np.concatenate([part[k] for part in made]) for k in range(3))
    return path, corrections, origin


# -- filters through paths ---------------------------------------------------------------------------------------------


class Condition(NamedTuple):
    """A task: filters that go on from x and w, conditional on paths."""

    model: StateSpaceModel
    compiled: bool
    slots: np.ndarray
    x: np.ndarray
    w: np.ndarray
    path: np.ndarray
    corrections: np.ndarray
    lines: np.ndarray
    theta: np.ndarray
    ys: np.ndarray
    cov: np.ndarray
    t0: int
    root: int
    rule: Rule


def condition(task: Condition) -> tuple[np.ndarray, ...]:
    """(x, w, lines, keys, increments)."""
    n, steps = len(task.theta), len(task.ys) - task.t0
    x, w, lines = task.x.copy(), task.w.copy(), task.lines.copy()
    keys, increments = np.zeros((n, steps), np.uint64), np.zeros((n, steps))
    program_of(task.model, task.compiled).conditional_block(
        np.arange(n), task.slots, x, w, task.path, task.corrections, lines, task.theta, task.ys, task.cov, task.t0,
        len(task.ys), np.uint64(task.root), keys, increments, task.t0, task.rule.threshold, task.rule.scheme,
    )  # fmt: skip
    return x, w, lines, keys, increments


def _condition(
    program: Program, made: Filters, lines: np.ndarray, path: np.ndarray, corrections: np.ndarray, theta: np.ndarray,
    series: Series, t0: int, t1: int, root: int, rule: Rule, crew: Crew,
) -> None:  # fmt: skip
    """Run filters from t0 to t1 through their paths; changes `made` and `lines`."""
    parts = _parts(len(theta))
    tasks = [
        Condition(program.model, program.compiled, rows, made.x[rows], made.w[rows], path[rows].copy(),
                  corrections[rows].copy(), lines[rows], theta[rows], series.ys[:t1], series.cov[:t1], t0, root, rule)
        for rows in parts
    ]  # fmt: skip
    columns = slice(t0 - made.offset, t1 - made.offset)
    results = _run(condition, tasks, crew, len(theta) * made.n_x * (t1 - t0))
    for rows, result in zip(parts, results, strict=True):
        made.x[rows], made.w[rows], lines[rows] = result[:3]
        made.keys[rows, columns], made.increments[rows, columns] = result[3:]


def _parts(n: int) -> list[np.ndarray]:
    return np.array_split(np.arange(n), min(n, _BLOCKS))


def _run(function: Callable[[Any], Any], tasks: Sequence[Any], crew: Crew, particle_steps: int) -> list[Any]:
    """Results in order, from the executor's workers, or over threads if that pays."""
    if crew.workers is not None:
        return crew.workers.run(function, tasks)
    results: list[Any] = [None] * len(tasks)

    def work(places: np.ndarray) -> None:
        for place in places:
            results[place] = function(tasks[place])

    crew.each(work, np.arange(len(tasks)), particle_steps if tasks[0].compiled else 0)
    return results
