"""Chains on an executor: each is a row of short tasks, and every task goes on where the last one ended.

A task is plain data: the problem, the chain's state. A worker that dies takes half a second of one chain with it. The
draws come home with the state; a sink that is remote hears them in the worker.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from typing import Any

import numba
import numpy as np

from livebart.kernel.source import digest
from livebart.model.problem import Problem
from livebart.runtime.chain import Block, Chain, block_from_data, block_to_data
from livebart.runtime.emission import send_draws

_TASK_SECONDS = 0.5
_KEPT_PROBLEMS = 4
# A problem of more bytes than this is sent to a worker when it asks for it, not with every task.
_LARGE = 1 << 20

_problems: OrderedDict[str, Problem] = OrderedDict()
_lock = threading.Lock()


def versions() -> dict[str, str]:
    """What draws depend on besides data and seed."""
    return {"numba": numba.__version__, "numpy": np.__version__, "livebart's kernel": digest()}


class Tasks:
    """What is the same in all tasks of a run."""

    def __init__(self, problem: Problem, travels: bool, sink: Any) -> None:
        """`sink` is one that travels, or None."""
        self._problem: Any = problem.to_data() if travels else problem
        size = sum(value.nbytes for value in vars(problem).values() if isinstance(value, np.ndarray))
        self._light = not travels or size <= _LARGE
        self._common = {"versions": versions(), "key": problem.digest() if travels else "", "sink": sink}

    def first(self, chain: Chain) -> dict[str, Any]:
        """The chain's next task, with the problem."""
        return self._common | {
            "problem": self._problem,
            "chain": (chain.index, chain.n_trees, chain.n_burnin, chain.total, chain.seed),
            "state": chain.to_data(),
            "seconds": _TASK_SECONDS,
        }

    def next(self, chain: Chain) -> dict[str, Any]:
        """The chain's next task; a worker that lacks its problem answers that it is missing."""
        return self.first(chain) | ({} if self._light else {"problem": None})


def advance(task: dict[str, Any]) -> dict[str, Any]:
    """Go on with a chain for about half a second; in the worker."""
    problem = _prepared(task)
    if problem is None:
        return {"missing": True}
    index, n_trees, n_burnin, total, seed = task["chain"]
    chain = Chain(index, problem, n_trees, n_burnin, total, seed)
    chain.restore(task["state"])
    sink, ends = task["sink"], time.monotonic() + task["seconds"]

    def tell(blocks: list[Block]) -> None:
        for block in blocks if sink is not None else ():
            send_draws(sink, chain, chain.drawn - len(block.variances), block)

    looked = False

    def stop() -> bool:  # at least one step is made
        nonlocal looked
        looked, before = True, looked
        return before and time.monotonic() > ends

    try:
        chain.advance(stop, tell)
    finally:
        if sink is not None:  # a copy of the one at home
            getattr(sink, "flush", lambda: None)()
            getattr(sink, "close", lambda: None)()
    return {"state": chain.to_data(), "blocks": [block_to_data(block) for block in chain.blocks]}


def absorb(chain: Chain, done: dict[str, Any]) -> list[Block]:
    """Take in what a worker made of a chain; the new blocks."""
    blocks = [block_from_data(block) for block in done["blocks"]]
    chain.restore(done["state"])
    chain.blocks.extend(blocks)
    return blocks


def _prepared(task: dict[str, Any]) -> Problem | None:
    """The task's problem, kept from one task to the next; None where it is neither kept nor given."""
    if isinstance(task["problem"], Problem):
        return task["problem"]
    key = task["key"]
    with _lock:
        if key not in _problems:
            if task["problem"] is None:
                return None
            home, here = task["versions"], versions()
            if other := [name for name in here if here[name] != home[name]]:
                found = "; ".join(f"{name} is {home[name]} at home and {here[name]} in this worker" for name in other)
                raise RuntimeError(f"{found}: draws would not be the same bits, so give workers what home has")
            _problems[key] = Problem.from_data(task["problem"])
        _problems.move_to_end(key)
        while len(_problems) > _KEPT_PROBLEMS:
            _problems.popitem(last=False)
        return _problems[key]
