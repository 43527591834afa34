"""Threads that do one piece of work a chain, while the main thread watches."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from typing import Any, TypeVar

from livenuts.compiler.x64 import x64

T = TypeVar("T")

_CORES = os.cpu_count() or 1
_WATCH_SECONDS = 0.05
# Work shorter than this is done sooner by one thread than handed to several.
_WORTH_A_HANDOVER = 5e-4
# From this length on every chain gets a thread, also on few cores: all of them are seen to advance.
_WORTH_A_THREAD = 0.05


class Crew:
    """Threads for the chains, and one that conducts them. XLA releases Python's lock while it computes."""

    def __init__(self, size: int, halted: threading.Event) -> None:
        self._size, self._halted = size, halted

    @functools.cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._size, thread_name_prefix="livenuts-chain")

    def run(self, conduct: Callable[[], None], watch: Callable[[], None]) -> None:
        """Call `conduct` in a thread, and `watch` here until it is done; an error of either halts and is raised."""
        errors: list[BaseException] = []
        done = threading.Event()  # a `join` that Ctrl-C breaks takes the thread for dead, until Python 3.13

        def inside() -> None:
            try:
                self._inside(conduct)
            except BaseException as error:
                errors.append(error)
            finally:
                done.set()

        conductor = threading.Thread(target=inside, name="livenuts-conductor")
        conductor.start()
        try:
            while not done.wait(_WATCH_SECONDS):
                watch()
        finally:
            if not done.is_set():
                self._halted.set()
            done.wait()
            conductor.join()
            if "_pool" in vars(self):
                self._pool.shutdown()
        if errors:
            raise errors[0]

    def each(self, work: Callable[[Sequence[T]], Any], items: Sequence[T], seconds: float) -> None:
        """From the conductor: do `work` on the items, a share of them a thread; the first error halts the others.

        An item's work takes so many seconds.
        """
        threads = min(len(items), _CORES) if seconds < _WORTH_A_THREAD else len(items)
        if seconds < _WORTH_A_HANDOVER:
            threads = 1

        def share(first: int) -> None:
            work(items[first::threads])

        others = [self._pool.submit(self._inside, partial(share, first)) for first in range(1, threads)]
        try:
            share(0)
        except BaseException:
            self._halted.set()
            raise
        finally:
            wait(others)
        for future in others:
            future.result()

    def _inside(self, work: Callable[[], None]) -> None:
        try:
            with x64():
                work()
        except BaseException:
            self._halted.set()
            raise
