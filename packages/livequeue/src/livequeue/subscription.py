"""Reading a run: an iterator over its messages, in order within each part, that ends where the run ends."""

import threading
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeVar

from .errors import ProtocolError, ServerUnavailable
from .protocol import READABLE, RUN_PART, Message, is_end, matches, read_cursor, write_cursor
from .transport import Stored, Transport, patiently
from .wire import decode

_BLOCK = 0.5
_COUNT = 1000
_READ_BYTES = 16 << 20  # about how much one read may bring, so that large messages do not fill memory

T = TypeVar("T")
OnGap = Callable[[str, int, int], None]


class Subscription:
    """An iterator over the messages of a run, made by `Queue.subscribe`. Use it in one thread at a time.

    It ends at the run's end, when `timeout` seconds pass without a message (then `ended` is False), at the
    last stored message where `follow=False`, or when closed.
    """

    def __init__(
        self,
        transport: Transport,
        run: str,
        follow: bool,
        after: str | None,
        parts: tuple[str, ...] | None,
        types: tuple[str, ...] | None,
        timeout: float | None,
        on_gap: OnGap | None,
        deadline: float,
    ) -> None:
        self.run = run
        self.ended = False
        """True once the run's end has been seen."""
        self.gaps: dict[str, int] = {}
        """Part -> number of messages that are missing so far: dropped or trimmed telemetry, or lost."""
        self._transport = transport
        self._follow, self._parts, self._types = follow, parts, types
        self._timeout, self._on_gap, self._deadline = timeout, on_gap, deadline
        self._yielded = {} if after is None else read_cursor(run, after)  # part -> last position given out
        self._read = dict(self._yielded)  # part -> last position read
        self._parts_seen = ""
        self._found: deque[tuple[str, Stored]] = deque()
        self._end: Stored | None = None  # the run's end, held back until everything else is given out
        self._count = _COUNT
        self._reading = threading.Lock()
        self._closed = self._done = self._looked_back = False

    @property
    def cursor(self) -> str:
        """Where this reader is, after the last message given out: for `subscribe(after=...)`."""
        return write_cursor(self.run, self._yielded)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Message:
        message = self.next_message()
        if message is None:
            raise StopIteration
        return message

    def next_message(self) -> Message | None:
        """Return the next message, None at the end."""
        last = time.monotonic()
        while True:
            message = self.next_found()
            if message is not None:
                return message
            if self._closed or self._done:
                self.close()
                return None
            left = None if self._timeout is None else last + self._timeout - time.monotonic()
            wait = self._follow and self._end is None and not self.ended
            block = 0.0 if not wait else _BLOCK if left is None else min(_BLOCK, max(left, 0.0))
            if self._fill(block):
                continue
            if self._end is not None:  # nothing but the end is left
                self._found.append((RUN_PART, self._end))
                self._end = None
                self.ended = self._done = True
            elif not wait or (left is not None and left <= 0):
                self._done = True

    def next_found(self) -> Message | None:
        """Return the next message that was read already; None when it takes a look at the server."""
        while self._found and not self._closed:
            message = self._give(*self._found.popleft())
            if message is not None:
                return message
        return None

    @property
    def closed(self) -> bool:
        """True after `close`, and after the iteration's end."""
        return self._closed

    def _fill(self, block: float) -> bool:
        """Read what there is, waiting up to `block` seconds; tell whether there was anything."""
        with self._reading:
            self._look_back()
            wanted = {part: at for part, at in self._read.items() if part == RUN_PART or matches(part, self._parts)}
            reading = self._patiently(
                lambda: self._transport.read(self.run, wanted, self._parts_seen, self._count, block)
            )
        if reading is None:
            return False
        for part in reading.new_parts:
            self._read.setdefault(part, 0)
        self._parts_seen = reading.parts_seen
        size = total = 0
        for part, entries in reading.entries.items():
            self._read[part] = entries[-1].position
            total += len(entries)
            size += sum(len(entry.data) for entry in entries)
            if part == RUN_PART:
                if self._end is not None:  # the run went on: that was not its end
                    entries.insert(0, self._end)
                self._end = entries.pop() if is_end(entries[-1].kind) else None
                self.ended = False
            self._found.extend((part, entry) for entry in entries)
        if total:
            self._count = max(1, min(_COUNT, _READ_BYTES * total // (size * len(reading.entries) + 1)))
        return bool(total or reading.new_parts)

    def _look_back(self) -> None:
        """Once, with a cursor: see whether it already stands behind the run's end."""
        at = self._yielded.get(RUN_PART, 0)
        if not self._looked_back and at:
            held = self._patiently(lambda: self._transport.fetch(self.run, [(RUN_PART, at)]))
            self.ended = held is not None and held[0] is not None and is_end(held[0].kind)
        self._looked_back = True
        self._read.setdefault(RUN_PART, 0)

    def _patiently(self, action: Callable[[], T]) -> T | None:
        """Repeat a reading while the server is away; None when closed meanwhile."""
        try:
            return patiently(action, self._deadline, lambda: self._closed)
        except ServerUnavailable as error:
            if self._closed:
                return None
            raise ServerUnavailable(
                f"run {self.run!r}: nothing could be read for {self._deadline:.0f} s: {error}"
            ) from error

    def _give(self, part: str, entry: Stored) -> Message | None:
        """Move past one message, and return it if it is asked for."""
        before = self._yielded.get(part, 0)
        self._yielded[part] = entry.position
        missing = entry.position - before - 1
        if missing > 0:
            self.gaps[part] = self.gaps.get(part, 0) + missing
            if self._on_gap is not None:
                self._on_gap(part, before, missing)
        if not (matches(part, self._parts) and matches(entry.kind, self._types)):
            return None
        where = f"run {self.run!r}, part {part!r}, entry {entry.position}-0"
        try:
            message = decode(entry.data, READABLE)
        except ProtocolError as error:
            raise ProtocolError(f"{where}: {error}") from None
        if message.get("part") != part or message.get("type") != entry.kind:
            raise ProtocolError(f"{where}: it holds a message of part {message.get('part')!r}")
        return message

    def close(self) -> None:
        """Stop the iteration and give the connection back; another thread may call it."""
        self._closed = True
        if self._reading.acquire(blocking=False):
            try:
                self._transport.close()
            finally:
                self._reading.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
