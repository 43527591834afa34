"""Particle filters of many parameters: their arrays, and how blocks of them are run over threads or an executor.

A filter's random numbers follow from the run's seed, what it is for, its row and the time, so any split of the rows
gives the same bits.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from livesmc2.compiler.program import Program, program_of
from livesmc2.kernel.weights import SCHEMES
from livesmc2.model.state_space import StateSpaceModel
from livesmc2.runtime.tasks import Workers

_WORTH_A_THREAD = 20_000
"""Particle-steps below which a call is made in the calling thread, and of the smallest block otherwise."""
_BLOCKS = 32
"""Into how many blocks rows are cut for workers: more than workers, as filters given up early make blocks uneven."""
_BLOCKS_A_THREAD = 8
"""The same for threads, at most."""
NEVER_GIVE_UP = -np.inf
GIVE_UP_IF_IMPOSSIBLE = -1e300


class Rule(NamedTuple):
    """When and how state particles are resampled."""

    threshold: float
    """Of the effective sample size, as a fraction of the number of particles."""
    scheme: int


def make_rule(threshold: float, scheme: str) -> Rule:
    """Checked."""
    if scheme not in SCHEMES:
        raise ValueError(f"resampling must be one of {', '.join(SCHEMES)}, got {scheme!r}")
    if not 0.0 < threshold <= 1.0:
        raise ValueError(f"ess_threshold must lie above 0 and be at most 1 (always resample), got {threshold!r}")
    return Rule(float(threshold), SCHEMES[scheme])


@dataclass
class Series:
    """Observations and covariates so far, with room for more: ys (T, components), cov (T, covariates)."""

    ys: np.ndarray
    cov: np.ndarray
    length: int = 0

    @classmethod
    def empty(cls, model: StateSpaceModel, room: int = 64) -> Series:
        """Room for `room` observations, to begin with."""
        return cls(np.empty((room, model.observation_width)), np.empty((room, len(model.covariates))))

    def append(self, y: np.ndarray, covariates: np.ndarray) -> None:
        """One more."""
        if self.length == len(self.ys):
            self.ys, self.cov = (np.concatenate([part, np.empty_like(part)]) for part in (self.ys, self.cov))
        self.ys[self.length], self.cov[self.length] = y, covariates
        self.length += 1

    def copy(self) -> Series:
        """An independent one."""
        return Series(self.ys.copy(), self.cov.copy(), self.length)


@dataclass
class Filters:
    """One particle filter a row: states x (n, state, n_x), normalised weights w (n, n_x), and since time `offset`
    log-likelihood increments and the keys of the random numbers behind them (n, capacity)."""

    x: np.ndarray
    w: np.ndarray
    increments: np.ndarray
    keys: np.ndarray
    offset: int = 0

    @classmethod
    def empty(cls, n: int, state_width: int, n_x: int, capacity: int, offset: int = 0) -> Filters:
        """Room for n filters."""
        return cls(
            np.zeros((n, state_width, n_x)),
            np.full((n, n_x), 1.0 / n_x),
            np.zeros((n, capacity)),
            np.zeros((n, capacity), np.uint64),
            offset,
        )

    @property
    def n_x(self) -> int:
        """State particles of each filter."""
        return self.x.shape[2]

    def grow(self, until: int) -> None:
        """Make room for increments up to time `until`."""
        capacity = self.increments.shape[1]
        if until - self.offset > capacity:
            more = max(capacity, until - self.offset - capacity)
            self.increments, self.keys = (
                np.concatenate([part, np.zeros((len(part), more), part.dtype)], axis=1)
                for part in (self.increments, self.keys)
            )

    def forget(self, offset: int) -> None:
        """Let go of increments before a time."""
        gone = offset - self.offset
        for name in ("increments", "keys"):
            part = getattr(self, name)
            kept = np.zeros_like(part)
            kept[:, : part.shape[1] - gone] = part[:, gone:]
            setattr(self, name, kept)
        self.offset = offset

    def total(self, until: int) -> np.ndarray:
        """Log-likelihoods (n,) of the observations from `offset` to before `until`."""
        return np.asarray(self.increments[:, : until - self.offset].sum(axis=1))

    def take(self, rows: np.ndarray) -> None:
        """Become the filters of these rows."""
        for name in ("x", "w", "increments", "keys"):
            setattr(self, name, np.ascontiguousarray(getattr(self, name)[rows]))

    def put(self, rows: np.ndarray, other: Filters) -> None:
        """Replace rows by those of another."""
        columns = min(self.increments.shape[1], other.increments.shape[1])
        self.x[rows], self.w[rows] = other.x[rows], other.w[rows]
        self.increments[rows, :columns] = other.increments[rows, :columns]
        self.keys[rows, :columns] = other.keys[rows, :columns]


class Crew:
    """Who runs blocks: this thread, some threads, or an executor's workers (long filters only)."""

    def __init__(self, threads: int | None = None, executor: Executor | Callable[[], Executor] | None = None) -> None:
        if threads is not None and (isinstance(threads, bool) or not isinstance(threads, int) or threads < 1):
            raise ValueError(f"threads must be a positive integer, or None for all cores, got {threads!r}")
        affinity = getattr(os, "sched_getaffinity", None)
        cores = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
        self.threads = cores if threads is None else threads
        self.workers = None if executor is None else Workers(executor)
        self._pool: ThreadPoolExecutor | None = None
        self.model: StateSpaceModel | None = None

    def take(self, model: StateSpaceModel) -> None:
        """The model that workers are given; an error names a function of it that cannot travel."""
        self.model = model
        if self.workers is not None:
            hint = "give the model functions of a module that a worker can import; a lambda cannot travel"
            for name, function in model.functions().items():
                self.workers.check(f"{name} of the model", function, hint)

    def each(self, work: Callable[[np.ndarray], None], rows: np.ndarray, particle_steps: int) -> None:
        """`work` on blocks of rows, over threads if that pays.

        The calling thread works too, and each takes the next block when it is done with one: handing a block out costs
        a microsecond, where a task in a pool costs thirty.
        """
        if self.threads == 1 or particle_steps < _WORTH_A_THREAD or len(rows) < 2:
            work(rows)
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.threads - 1, thread_name_prefix="livesmc2")
        count = self.threads * min(max(particle_steps // _WORTH_A_THREAD // self.threads, 1), _BLOCKS_A_THREAD)
        left = iter(np.array_split(rows, min(len(rows), count)))

        def go_on() -> None:
            for block in left:  # the iterator of a list hands each block out once, whoever asks
                work(block)

        helpers = [self._pool.submit(go_on) for _ in range(self.threads - 1)]
        try:
            go_on()
        finally:
            for _ in left:  # after an error nobody starts another block
                pass
            wait(helpers)
        for helper in helpers:
            helper.result()

    def close(self) -> None:
        """Let threads go."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None
        if self.workers is not None:
            self.workers.__exit__()


def advance(
    program: Program,
    filters: Filters,
    theta: np.ndarray,
    series: Series,
    t0: int,
    t1: int,
    *,
    root: int,
    rule: Rule,
    crew: Crew,
    rows: np.ndarray | None = None,
    floors: np.ndarray | None = None,
    travel: bool = False,
) -> int:
    """Run the filters of `rows` over observations t0 to t1 - 1; how many log-likelihoods were NaN or +inf.

    floors: below which log-likelihood (of t0 to t1 - 1) a filter may be given up; its last increment is -inf then.
    """
    n = len(theta)
    rows = np.arange(n) if rows is None else np.ascontiguousarray(rows, dtype=np.int64)
    if not len(rows):
        return 0
    filters.grow(t1)
    floors = np.full(n, NEVER_GIVE_UP) if floors is None else np.maximum(floors, GIVE_UP_IF_IMPOSSIBLE)
    if travel and crew.workers is not None:
        return _advance_on_workers(filters, theta, series, t0, t1, root, rule, crew, rows, floors)
    slots, faults = np.arange(n), np.zeros(n, np.int64)
    loop = program.filter_block

    def work(block: np.ndarray) -> None:
        loop(
            block, slots, filters.x, filters.w, theta, series.ys, series.cov, t0, t1, np.uint64(root), True,
            filters.keys, filters.increments, filters.offset, rule.threshold, rule.scheme, floors, faults,
        )  # fmt: skip

    crew.each(work, rows, len(rows) * filters.n_x * (t1 - t0) if program.compiled else 0)
    return int(faults.sum())


class Block(NamedTuple):
    """A task: filters of some rows, over all of the observations given."""

    model: StateSpaceModel
    slots: np.ndarray
    x: np.ndarray
    w: np.ndarray
    theta: np.ndarray
    ys: np.ndarray
    cov: np.ndarray
    t0: int
    root: int
    rule: Rule
    floors: np.ndarray


def run_block(block: Block) -> tuple[np.ndarray, ...]:
    """A worker's task: (x, w, increments, keys, faults)."""
    program = program_of(block.model)
    n, steps = len(block.theta), len(block.ys) - block.t0
    x, w = block.x.copy(), block.w.copy()
    increments, keys, faults = np.zeros((n, steps)), np.zeros((n, steps), np.uint64), np.zeros(n, np.int64)
    program.filter_block(
        np.arange(n), block.slots, x, w, block.theta, block.ys, block.cov, block.t0, len(block.ys),
        np.uint64(block.root), True, keys, increments, block.t0, block.rule.threshold, block.rule.scheme,
        block.floors, faults,
    )  # fmt: skip
    return x, w, increments, keys, faults


def _advance_on_workers(
    filters: Filters, theta: np.ndarray, series: Series, t0: int, t1: int, root: int, rule: Rule, crew: Crew,
    rows: np.ndarray, floors: np.ndarray,
) -> int:  # fmt: skip
    assert crew.workers is not None
    assert crew.model is not None
    parts = np.array_split(rows, min(len(rows), _BLOCKS))
    blocks = [
        Block(
            crew.model, part, filters.x[part], filters.w[part], theta[part], series.ys[:t1], series.cov[:t1],
            t0, root, rule, floors[part],
        )
        for part in parts
    ]  # fmt: skip
    names = [f"the filters of parameters {part[0]} to {part[-1]}" for part in parts]
    first, faults = t0 - filters.offset, 0
    for part, made in zip(parts, crew.workers.run(run_block, blocks, names=names), strict=True):
        filters.x[part], filters.w[part] = made[0], made[1]
        filters.increments[part, first : first + t1 - t0] = made[2]
        filters.keys[part, first : first + t1 - t0] = made[3]
        faults += int(made[4].sum())
    return faults
