"""The threads of a run: the caller's, which conducts the chains, more for more chains, and one that watches."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from typing import Any, TypeVar

from livenuts.compiler.x64 import x64

T = TypeVar("T")

_CORES = os.cpu_count() or 1
# A run that takes longer is watched, so often.
_WATCH_SECONDS = 0.05
# Work shorter than this is done sooner by one thread than handed to several.
_WORTH_A_HANDOVER = 5e-4
# From this length on every chain gets a thread, also on few cores: all of them are seen to advance.
_WORTH_A_THREAD = 0.05


class Crew:
    """Threads for the chains. XLA releases Python's lock while it computes."""

    def __init__(self, size: int, halted: threading.Event) -> None:
        self._size, self._halted = size, halted
        self._began, self._done = time.perf_counter(), threading.Event()
        self._errors: list[BaseException] = []
        self._watch: Callable[[], None] | None = None
        self._watcher: threading.Thread | None = None
        self._starting = threading.Lock()

    @functools.cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._size, thread_name_prefix="livenuts-chain")

    def run(self, conduct: Callable[[], None], watch: Callable[[], None], seconds: float) -> None:
        """Call `conduct`, and meanwhile, should it take longer than a moment, `watch`; it is expected to take so long.

        An error of either halts and is raised once `conduct` has come to its end; so is what Ctrl-C raises.
        """
        self._watch = watch
        try:
            with self._deferred_signals():
                if seconds > _WATCH_SECONDS:
                    self._start_watching()
                self._inside(conduct)
        finally:
            self._done.set()
            if self._watcher is not None:
                self._watcher.join()
            if "_pool" in vars(self):
                self._pool.shutdown()
        if self._errors:
            raise self._errors[0]

    def note(self) -> None:
        """From time to time, by whoever works: the run is going on."""
        if self._watcher is None and time.perf_counter() - self._began > _WATCH_SECONDS:
            self._start_watching()

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

    # -- watching --------------------------------------------------------------------------------------------------

    def _start_watching(self) -> None:
        with self._starting:
            if self._watcher is None:
                self._watcher = threading.Thread(target=self._keep_watching, name="livenuts-watch")
                self._watcher.start()

    def _keep_watching(self) -> None:
        assert self._watch is not None
        try:
            while not self._done.wait(_WATCH_SECONDS):
                self._watch()
        except BaseException as error:
            self._errors.append(error)
            self._halted.set()

    @contextlib.contextmanager
    def _deferred_signals(self) -> Iterator[None]:
        """Let what Ctrl-C raises wait for the end of what is being done; a second one does not wait."""
        before = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is not threading.main_thread() or not callable(before):
            yield
            return

        def interrupt(number: int, frame: Any) -> None:
            try:
                before(number, frame)
            except BaseException as error:
                if self._errors:
                    raise
                self._errors.append(error)
                self._halted.set()

        signal.signal(signal.SIGINT, interrupt)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)
