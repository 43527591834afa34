"""Whether replications go on: `stop`, Ctrl-C, and the news for workers that are threads."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any


class Halt:
    """Whether to go on: asked by the loop and, between events, by workers that are threads. A context manager.

    The first Ctrl-C asks for an end, as `stop` does; a second one does not wait.
    """

    def __init__(self, stop: Callable[[], bool] | None) -> None:
        self._stop = stop
        self._event = threading.Event()
        self.interrupted = False
        self._exit = contextlib.ExitStack()

    def __call__(self) -> bool:
        return self._event.is_set()

    def set(self) -> None:
        """Go on no more."""
        self._event.set()

    def asked(self) -> bool:
        """Ask `stop` too; in the thread that called."""
        if not self._event.is_set() and self._stop is not None and self._stop():
            self.set()
        return self._event.is_set()

    def __enter__(self) -> Halt:
        self._exit.enter_context(self._heard())
        return self

    def __exit__(self, *_: object) -> None:
        self.set()
        self._exit.close()

    @contextlib.contextmanager
    def _heard(self) -> Iterator[None]:
        before = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is not threading.main_thread() or not callable(before):
            yield
            return

        def interrupt(number: int, frame: Any) -> None:
            try:
                before(number, frame)
            except BaseException:
                if self.interrupted:
                    raise
                self.interrupted = True
                self.set()

        signal.signal(signal.SIGINT, interrupt)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)
