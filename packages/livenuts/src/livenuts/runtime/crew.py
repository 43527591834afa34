"""Threads that do one piece of work a chain, while the main thread watches."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from livenuts.compiler.x64 import x64

T = TypeVar("T")

_WATCH_SECONDS = 0.05


class Crew:
    """A thread a chain. XLA releases Python's lock while it computes."""

    def __init__(self, size: int, watch: Callable[[], None], halted: threading.Event) -> None:
        self._pool = ThreadPoolExecutor(size, thread_name_prefix="livenuts-chain")
        self._watch, self._halted = watch, halted

    def each(self, work: Callable[[T], None], items: Sequence[T]) -> None:
        """Do `work` on every item at the same time. The first error, also of the watch, halts the others."""

        def inside(item: T) -> None:
            with x64():
                work(item)

        futures: list[Future[None]] = [self._pool.submit(inside, item) for item in items]
        try:
            pending = set(futures)
            while pending:
                done, pending = wait(pending, timeout=_WATCH_SECONDS, return_when=FIRST_EXCEPTION)
                for future in done:
                    future.result()
                self._watch()
        finally:
            if not all(future.done() for future in futures):
                self._halted.set()
                wait(futures)

    def close(self) -> None:
        """Let the threads go."""
        self._pool.shutdown()
