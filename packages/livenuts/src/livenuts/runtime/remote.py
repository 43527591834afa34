"""Chains on an executor: each is a row of short tasks, and every task goes on where the last one ended.

A task is plain data: the model, the settings, the chain's state. A worker that dies takes half a second of one chain
with it. The draws come home with the state; a sink that is remote hears them in the worker.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from typing import Any

from livenuts.compiler.portable import from_plain, to_plain
from livenuts.compiler.target import Bound, compile_model
from livenuts.compiler.x64 import x64
from livenuts.runtime.chain import ChainRun, as_data
from livenuts.runtime.checkpoint import encode
from livenuts.runtime.compiled import compile_chains
from livenuts.runtime.record import versions
from livenuts.runtime.settings import Settings
from livenuts.runtime.warming import alone, make_warmup

_TASK_SECONDS = 0.5
_KEPT_MODELS = 16
# A model of more bytes than this is sent to a worker when it asks for it, not with every task.
_LARGE = 1 << 20

_models: OrderedDict[str, Bound] = OrderedDict()
_lock = threading.Lock()


class Tasks:
    """What is the same in all tasks of a run."""

    def __init__(self, source: Any, bound: Bound, travels: bool, sink: Any) -> None:
        """`sink` is one that travels, or None. A NotPortable says that the model cannot."""
        self._model: Any = bound
        self._light = True
        self._common = {"versions": versions(), "key": "", "digest": "", "sink": sink}
        if travels:
            self._model = to_plain(source)
            data = encode([self._model, versions()])
            self._light = len(data) <= _LARGE
            self._common["key"] = hashlib.sha256(data).hexdigest()
            self._common["digest"] = bound.target.digest(bound.data)

    def first(self, chain: ChainRun) -> dict[str, Any]:
        """The chain's next task, with the model."""
        return self._common | {
            "model": self._model,
            "settings": chain.settings.to_dict(),
            "seed": chain.seed,
            "chain": chain.index,
            "state": as_data(chain.noted),
            "warmup": chain.noted["warmup"],
            "seconds": _TASK_SECONDS,
        }

    def next(self, chain: ChainRun) -> dict[str, Any]:
        """The chain's next task; a worker that lacks its model answers that it is missing."""
        return self.first(chain) | ({} if self._light else {"model": None})


def advance(task: dict[str, Any]) -> dict[str, Any]:
    """Go on with a chain for about half a second; in the worker."""
    bound = _prepared(task)
    if bound is None:
        return {"missing": True}
    settings, sink = Settings(**task["settings"]), task["sink"]
    compiled = compile_chains(bound, settings)
    chain = ChainRun(task["chain"], bound, compiled, settings, task["seed"], sink)
    chain.restore(task["state"], task["warmup"])
    ends = time.monotonic() + task["seconds"]
    try:
        with x64():
            alone(chain, make_warmup(chain, None), lambda: time.monotonic() > ends)
    finally:
        if sink is not None:  # a copy of the one at home
            getattr(sink, "flush", lambda: None)()
            getattr(sink, "close", lambda: None)()
    return {
        "state": as_data(chain.noted),
        "warmup": chain.noted["warmup"],
        "statistics": chain.statistics,
        "draws": chain.draws,
        "latest": chain.latest,
    }


def _check_versions(home: dict[str, str]) -> None:
    """Refuse to draw what may be other bits."""
    here = versions()
    if other := [name for name in here if here[name] != home[name]]:
        found = "; ".join(f"{name} is {home[name]!r} at home and {here[name]!r} in this worker" for name in other)
        raise RuntimeError(f"{found}: draws would not be the same bits everywhere, so give workers what home has")


def _prepared(task: dict[str, Any]) -> Bound | None:
    """The task's model, kept from one task to the next; None where it is neither kept nor given."""
    if isinstance(task["model"], Bound):
        return task["model"]
    key = task["key"]
    with _lock:
        if key not in _models:
            if task["model"] is None:
                return None
            _check_versions(task["versions"])
            bound = compile_model(from_plain(task["model"]))
            if bound.target.digest(bound.data) != task["digest"]:
                raise RuntimeError(
                    "the model that this worker rebuilt is not the one at home: its code, or a library, has another "
                    "version here, or it depends on a global variable"
                )
            _models[key] = bound
        _models.move_to_end(key)
        while len(_models) > _KEPT_MODELS:
            _models.popitem(last=False)
        return _models[key]
