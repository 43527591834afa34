"""One run, read by a thread of its own, and the view that it feeds: what the page and the terminal both show."""

import logging
import threading
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import livequeue

from .views import VIEWS, Generic, View, Views, family

_AGAIN = 0.5
_BATCH = 256
_log = logging.getLogger(__name__)


class Picture(NamedTuple):
    """What a view shows at a moment, and where to go on from there."""

    view: str
    """The view's name."""
    full: bool
    """Whether `data` is the whole state; a difference else."""
    data: dict[str, Any]
    cursor: str
    """Of the queue, behind the last message that is in it."""
    version: int
    mark: Any
    """For the next picture."""


class Watch:
    """A thread that reads one run, and the view that it feeds."""

    def __init__(self, queue: livequeue.Queue, run: str, created: float, views: Views = VIEWS) -> None:
        self.run, self.created = run, created
        self.gone = False
        """Whether the run was deleted, or its queue lost it."""
        self.pages = 0
        self.left = time.monotonic()
        """When the last page left."""
        self.version = 0
        self.changed = time.monotonic()
        self.ended = False
        """Whether the run's end has been read; a run may go on behind it."""
        self._queue, self._views = queue, views
        self._lock = threading.Lock()
        self._view: View | None = None
        self._plain = self._told = False
        self._epoch = 0  # counts the views that were begun
        self._cursor: str | None = None
        self._messages: livequeue.Subscription | None = None
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._follow, name=f"live page {run}", daemon=True)
        self._thread.start()

    def picture(self, mark: Any, show: Sequence[str]) -> Picture | None:
        """Return the difference to `mark`, or the whole state; None before the first message."""
        with self._lock:
            view, version, cursor, epoch = self._view, self.version, self._cursor, self._epoch
            if view is None:
                return None
            try:
                data = view.since(mark[1], show) if mark is not None and mark[0] == epoch else None
                full = data is None
                data = view.full(show) if data is None else data
                mark = epoch, view.mark()
            except Exception:
                self._failed("its view cannot be drawn")
                return None
        return Picture(view.name, full, data, cursor or "", version, mark)

    def _follow(self) -> None:
        while not self._closed.is_set():
            try:
                with self._lock:
                    cursor, epoch = self._cursor, self._epoch
                with self._queue.subscribe(self.run, after=cursor) as messages:
                    with self._lock:
                        self._messages = messages
                        current = epoch == self._epoch and not self._closed.is_set()
                    if current:
                        self._read(messages, epoch)
            except livequeue.QueueError:
                pass  # away, or bytes that are no message: on behind them
            self._closed.wait(_AGAIN)  # a run that has ended may go on

    def _read(self, messages: livequeue.Subscription, epoch: int) -> None:
        current = True
        while current:
            batch: list[dict[str, Any]] = []
            try:
                message = messages.next_message()
                if message is None:
                    return
                batch.append(message)
                while len(batch) < _BATCH and (message := messages.next_found()) is not None:
                    batch.append(message)
            finally:
                current = self._take(batch, messages.cursor, epoch)
                self.ended = messages.ended

    def _take(self, batch: list[dict[str, Any]], cursor: str, epoch: int) -> bool:
        """Feed the view, and tell whether it is still the one that this reading is for."""
        with self._lock:
            if epoch != self._epoch:
                return False
            for message in batch:
                try:
                    if self._view is None:
                        self._view = (Generic if self._plain else self._views.get(family(message), Generic))(self.run)
                    self._view.take(message)
                except Exception:
                    self._failed("a message that its view cannot take")
                    if epoch != self._epoch:
                        return False
            self._cursor = cursor
            if batch:
                self.version += 1
                self.changed = time.monotonic()
        return True

    def _failed(self, what: str) -> None:
        """Log it, and read the run again, from its beginning, for the view that takes any message.

        Where it is that view which failed, once: there is none to fall back on. Call it with the lock held.
        """
        if not self._plain:
            _log.exception("run %s: %s; shown plainly", self.run, what)
            self._plain, self._view, self._cursor = True, None, None
            self._epoch += 1
            if self._messages is not None:
                self._messages.close()
        elif not self._told:
            _log.exception("run %s, shown plainly: %s; left out, as are others like it", self.run, what)
            self._told = True

    def close(self) -> None:
        """Stop reading; the thread ends within a second."""
        self._closed.set()
        with self._lock:
            if self._messages is not None:
                self._messages.close()

    def join(self, timeout: float) -> None:
        self._thread.join(timeout)
