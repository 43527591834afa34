"""From the queue to the pages: one reader a watched run, whatever the number of pages, and the list of runs.

Everything here belongs to the server's event loop.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Collection, Sequence
from typing import Any

import livequeue
import msgspec
import numpy as np

from .views import VIEWS, Views, family
from .watch import Picture, Watch

MOST_RUNS = 200
KEEP = 60.0
"""Seconds that a run is still read after the last page left it."""
HEARTBEAT = 10.0
_TICK = 0.1
_AFTER_FULL = 0.5
"""Seconds between two pictures where the first was a whole one."""
_SETTLED = 1.2
"""Seconds after the last message when one more difference is sent, for what is computed at most once a second."""
_LOOK = 1.0
_BUDGET = 0.25
"""Seconds that one look at the list of runs may take."""
_ENDED_STALE = 30.0
_LONGEST_ID = 2000
"""Characters of a cursor that is sent: a browser sends it back in a header, which has its bounds."""


def encode(value: Any) -> bytes:
    """Return JSON on one line: arrays as lists, NaN and infinities as null."""
    return msgspec.json.encode(value, enc_hook=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(f"no JSON for {type(value).__name__}")


def event(name: str, data: dict[str, Any], id: str = "") -> bytes:
    """Return one server-sent event."""
    line = f"id: {id}\n" if id and len(id) <= _LONGEST_ID else ""
    return f"event: {name}\n{line}data: ".encode() + encode(data) + b"\n\n"


def _pictured(watch: Watch, mark: Any, show: Sequence[str]) -> tuple[Picture | None, bytes]:
    """Return the watch's picture, and its event."""
    picture = watch.picture(mark, show)
    if picture is None:
        return None, b""
    head = {"run": watch.run, "view": picture.view, "full": picture.full}
    return picture, event("view", head | picture.data, picture.cursor)


class Hub:
    """The runs of a queue, and the watches of those that pages look at."""

    def __init__(self, queue: livequeue.Queue, views: Views = VIEWS) -> None:
        self.closing = False
        """Set it, and every stream ends."""
        self.version = 0
        """Counts the changes of the list of runs."""
        self.problem: str | None = None
        """Why the queue cannot be read."""
        self._queue, self._views = queue, views
        self._runs = Runs(queue)
        self._rows: list[dict[str, Any]] = []
        self._created: dict[str, float] = {}
        self._watches: dict[str, Watch] = {}
        self._wanted: Counter[str] = Counter()
        self._looking: asyncio.Task[None] | None = None
        self._looked = self._seen_from = -_LOOK  # when the last look ended, and when it began

    @property
    def pages(self) -> int:
        """How many pages listen."""
        return self._wanted.total()

    async def stream(self, run: str | None, show: Sequence[str]) -> AsyncIterator[bytes]:
        """Yield the server-sent events of one page, until the server ends or the page leaves."""
        watch: Watch | None = None
        last: Picture | None = None
        told = -1  # version of the list of runs
        gone = False
        asked = time.monotonic()
        ready = settled = spoke = 0.0
        yield b"retry: 1000\n\n"
        try:
            self._wanted[run or ""] += 1
            while not self.closing:
                await self._look()
                now = time.monotonic()
                if told != self.version:
                    told, spoke = self.version, now
                    yield event("runs", {"runs": self._rows, "now": time.time(), "problem": self.problem})
                if watch is not None and watch.gone:
                    self._leave(watch)
                    watch = last = None
                if run and watch is None:
                    watch = self._enter(run)
                    if watch is not None:
                        gone = False
                    elif not gone and self.problem is None and self._seen_from >= asked:
                        gone, spoke = True, now
                        yield event("gone", {"run": run})
                if watch is not None and watch.version and now >= ready:
                    quiet = last is not None and last.version == watch.version
                    if not quiet or (settled < watch.changed and now > watch.changed + _SETTLED):
                        mark = None if last is None else last.mark
                        settled = now if quiet else settled
                        last, line = await asyncio.to_thread(_pictured, watch, mark, show)
                        if last is not None:
                            yield line
                            spoke = time.monotonic()
                            # A picture that is long in the making comes less often.
                            ready = spoke + max(_AFTER_FULL if last.full and mark else 0.0, 3 * (spoke - now))
                if time.monotonic() >= spoke + HEARTBEAT:
                    spoke = time.monotonic()
                    yield b": still here\n\n"
                await asyncio.sleep(_TICK)
        finally:
            self._wanted -= Counter([run or ""])
            if watch is not None:
                self._leave(watch)

    async def stop(self, run: str) -> bool | None:
        """Ask the run to stop: whether there was something to stop, None where there is no such run."""
        return await asyncio.to_thread(self._stop, run)

    def _stop(self, run: str) -> bool | None:
        return self._queue.request_stop(run) if run in self._queue.runs() else None

    def close(self) -> None:
        """Tell streams and readers to end; any thread may call it."""
        self.closing = True
        for watch in list(self._watches.values()):
            watch.close()

    def join(self) -> None:
        """Wait for the readers, at most a second."""
        self.close()
        end = time.monotonic() + 1.0
        for watch in self._watches.values():
            watch.join(max(0.0, end - time.monotonic()))

    def _enter(self, run: str) -> Watch | None:
        created = self._created.get(run)
        if created is None:
            return None
        watch = self._watches.get(run)
        if watch is None:
            watch = self._watches[run] = Watch(self._queue, run, created, self._views)
        watch.pages += 1
        return watch

    def _leave(self, watch: Watch) -> None:
        watch.pages -= 1
        watch.left = time.monotonic()

    async def _look(self) -> None:
        """See to it that the list of runs is not much older than a second; wait only for the first."""
        if self._looking is None and time.monotonic() >= self._looked + _LOOK:
            self._looking = asyncio.create_task(self._look_now())
        if self._looking is not None and self._looked < 0:
            await asyncio.shield(self._looking)

    async def _look_now(self) -> None:
        began = time.monotonic()
        try:
            rows, problem = await asyncio.to_thread(self._runs.look, {*self._watches, *self._wanted})
        finally:
            self._looking, self._looked, self._seen_from = None, time.monotonic(), began
        if (rows, problem) != (self._rows, self.problem):
            self._rows, self.problem = rows, problem
            self.version += 1
        self._created = {row["run"]: row["created"] for row in rows}
        now = time.monotonic()
        for watch in list(self._watches.values()):
            watch.gone = problem is None and self._created.get(watch.run) != watch.created
            if watch.gone or (not watch.pages and now > watch.left + KEEP):
                watch.close()
                del self._watches[watch.run]


class Runs:
    """The list of runs, kept up to date by looks of bounded length. Use it in one thread at a time."""

    def __init__(self, queue: livequeue.Queue) -> None:
        self._queue = queue
        self._known: dict[str, dict[str, Any]] = {}
        self._seen: dict[str, float] = {}
        self._order: list[str] = []

    def look(self, watched: Collection[str]) -> tuple[list[dict[str, Any]], str | None]:
        """Return the newest runs, newest first, and why the queue could not be asked, if so."""
        problem = None
        try:
            runs = self._queue.runs()
            self._order = list(dict.fromkeys([*runs[: -MOST_RUNS - 1 : -1], *(run for run in watched if run in runs)]))
            for gone in self._known.keys() - set(self._order):
                del self._known[gone], self._seen[gone]
            self._look_at(watched)
        except livequeue.QueueError as error:
            problem = " ".join(str(error).split())[:500]
        return [self._known[run] for run in self._order if run in self._known], problem

    def _look_at(self, watched: Collection[str]) -> None:
        began = time.monotonic()
        for run in sorted(self._order, key=lambda run: (run not in watched, self._seen.get(run, 0.0))):
            now = time.monotonic()
            if now > began + _BUDGET and self._known:
                return
            ended = run in self._known and self._known[run]["ended"]
            if ended and run not in watched and now < self._seen[run] + _ENDED_STALE:
                continue
            try:
                self._known[run] = self._row(run)
                self._seen[run] = now
            except KeyError:  # deleted meanwhile
                self._known.pop(run, None)
                self._seen.pop(run, None)

    def _row(self, run: str) -> dict[str, Any]:
        before = self._known.get(run)
        try:
            info = self._queue.info(run)
        except livequeue.ProtocolError as error:
            info = livequeue.RunInfo(run, 0.0, str(error), {}, False, "unreadable")
        same = before is not None and before["created"] == info.created and before["engine"]
        return {
            "run": run,
            "label": info.label[:200],
            "engine": before["engine"] if before is not None and same else self._engine(run),
            "status": info.status[:50],
            "ended": info.ended,
            "created": info.created,
            "messages": sum(info.parts.values()),
        }

    def _engine(self, run: str) -> str:
        for parts in ("run", None):
            with (
                contextlib.suppress(livequeue.ProtocolError),
                self._queue.subscribe(run, follow=False, parts=parts) as messages,
            ):
                for message in messages:
                    return family(message)
        return ""
