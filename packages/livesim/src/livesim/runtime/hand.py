"""What replications of SimPy models and of entities have in common."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from livesim.runtime.code import Code
from livesim.runtime.subject import Made, Settings


class ByHand(Code):
    """Code that can be halted: its `run` takes `halted=` too, and raises `Halted` soon after that has become true."""

    def make(
        self,
        settings: Settings,
        seed: int,
        replication: int,
        params: Mapping[str, Any],
        halted: Callable[[], bool] | None,
    ) -> Made:
        """One replication."""
        code = Code(self.name, functools.partial(self.run, halted=halted))
        return code.make(settings, seed, replication, params, None)


def source_of(thing: Any) -> str:
    """The text of a function or class, where there is one."""
    try:
        return inspect.getsource(thing)
    except (OSError, TypeError):
        return ""


def alone() -> ThreadPoolExecutor:
    """One thread: plain Python in two of them takes turns."""
    return ThreadPoolExecutor(1, thread_name_prefix="livesim")


__all__ = ["ByHand", "alone", "source_of"]
