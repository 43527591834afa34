"""The publisher: a sink that buffers messages, sends them in batches, and keeps the lossless promises.

Lossless parts. Message `seq` is appended under the explicit id `<seq + 1>-0`. After every (re)connection, and
before a part's first message, the part's last entry on the server is compared with what this publisher knows.
What the server already holds is read back and compared, not appended; what it has forgotten is sent again
from `_retained`, or reported as lost. So a repeated batch cannot double, and a restarted server cannot leave
a hole.
"""

import os
import sys
import threading
import time
import weakref
from collections import deque
from types import TracebackType
from typing import Any, NamedTuple, Self

from .endpoint import open_endpoint
from .errors import (
    Conflict,
    InvalidMessage,
    MessagesLost,
    PublisherClosed,
    QueueError,
    QueueFull,
    ServerUnavailable,
)
from .protocol import (
    MAX_SEQ,
    TELEMETRY,
    TELEMETRY_MAXLEN,
    Message,
    check_part,
    check_run,
    check_type,
    matches,
)
from .transport import Endpoint, Entry, Transport
from .wire import MAX_PAYLOAD, encode

_BATCH_COUNT = 512
_BATCH_BYTES = 1 << 20
_LINGER = 2.0  # seconds that an idle background thread lives
_MIB = 1 << 20

live: "weakref.WeakSet[Publisher]" = weakref.WeakSet()
"""Publishers of this process, closed when the interpreter ends."""


class Settings(NamedTuple):
    """How a publisher behaves; it travels with a pickled publisher."""

    telemetry: tuple[str, ...] = TELEMETRY
    maxlen: int = TELEMETRY_MAXLEN
    interval: float = 0.025
    deadline: float = 30.0
    buffer: int = 64 * _MIB
    retain: int = 16 * _MIB
    max_payload: int = MAX_PAYLOAD


class _Part:
    """What the publisher knows of one part."""

    __slots__ = (
        "acked",
        "base",
        "contacted",
        "kinds",
        "maxlen",
        "name",
        "next",
        "offset",
        "telemetry",
        "tip",
    )

    def __init__(self, name: str, telemetry: bool, maxlen: int) -> None:
        self.name = name
        self.telemetry = telemetry
        self.maxlen = maxlen if telemetry else None
        self.kinds: set[str] = set()  # message types that were checked
        self.next: int | None = None  # the seq that must come next; None before the first message
        # A position is seq + 1. Telemetry may begin again at seq 0 (a restarted task): it goes on at the
        # stream's end, by `base` for a restart that this publisher saw, by `offset` for what the server held
        # before.
        self.base = 0
        self.offset: int | None = None if telemetry else 0
        self.contacted = False  # whether `tip` was asked on this connection
        self.tip = 0  # position of the server's last entry, as far as this connection knows
        self.acked = 0  # highest position that we know to be stored


class _Item(NamedTuple):
    """A message that waits."""

    order: int  # over all parts: messages are sent in the order in which they were taken
    part: _Part
    position: int
    kind: str
    data: bytes

    def entry(self) -> Entry:
        part = self.part
        return Entry(part.name, self.position + (part.offset or 0), self.kind, self.data, part.maxlen)


class _Lane:
    """Waiting messages of one class, first in, first out."""

    def __init__(self) -> None:
        self.items: deque[_Item] = deque()
        self.bytes = 0
        self.taken = 0  # messages ever put in
        self.done = 0  # messages stored or dropped

    def put(self, item: _Item) -> None:
        self.items.append(item)
        self.bytes += len(item.data)
        self.taken += 1

    def pop(self) -> _Item:
        item = self.items.popleft()
        self.bytes -= len(item.data)
        return item


def _first_order(lane: _Lane) -> int:
    return lane.items[0].order


class Publisher:
    """A sink for one run: `publisher(message)` takes a message, and it is on the queue within 50 ms.

    Made by `Queue.publisher`. It may be called from several threads (one thread at a time a part), pickled to
    other processes, and used as a context manager, which flushes and closes it.

    Lossless parts wait when the server is away or slow, and raise after `deadline` seconds. Errors met in the
    background are raised by the next call, `flush` or `close`. A message whose call raised was not taken.
    """

    remote = True
    """Tells engines that this sink may travel to workers and be called there."""

    def __init__(self, endpoint: Endpoint, run: str, settings: Settings) -> None:
        self.run = check_run(run)
        self.dropped = 0
        """Telemetry messages dropped so far because the server was away or slow."""
        self._settings = settings
        self._url = endpoint.url
        self._shown = endpoint.shown
        self._travels = endpoint.travels
        self._buffered = endpoint.buffered
        self._endpoint: Endpoint | None = endpoint
        self._reset()

    def _reset(self) -> None:
        """Begin with nothing waiting or connected: when made, when unpickled, and in a forked process."""
        self._changed = threading.Condition()
        self._sending = threading.Lock()  # held while talking to the server
        self._parts: dict[str, _Part] = {}
        self._lossless = _Lane()
        self._telemetry = _Lane()
        self._flight: list[_Item] = []  # taken from the lanes, not yet known to be stored
        self._retained: deque[Entry] = deque()
        self._retained_bytes = 0
        self._error: QueueError | None = None
        self._told: QueueError | None = None  # the last error that was raised to a caller
        self._away_since: float | None = None
        self._hurry = False
        self._idle = False  # the thread waits for messages
        self._closed = False
        self._abandoned = False
        self._owns_endpoint = False
        self._transport: Transport | None = None
        self._thread: threading.Thread | None = None
        live.add(self)

    # --- what a user calls

    def __call__(self, message: Message) -> None:
        """Take one message.

        Raises:
            InvalidMessage: the message breaks the contract, or leaves a hole in its part.
            QueueError: the queue cannot take it, or could not store an earlier one.
        """
        try:
            part, seq, kind = self._parts[message["part"]], message["seq"], message["type"]
            known = kind in part.kinds and type(seq) is int and 0 <= seq <= MAX_SEQ
        except (KeyError, TypeError):
            known = False
        if not known:
            part, seq, kind = self._introduce(message)
        try:
            data = encode(message, self._settings.max_payload)
        except InvalidMessage as error:
            raise InvalidMessage(f"run {self.run!r}, part {part.name!r}, seq {seq}: {error}") from None
        if self._buffered:
            self._enqueue(part, seq, kind, data)
        else:
            self._store_now(part, seq, kind, data)

    def flush(self) -> None:
        """Return when every message taken so far is stored, or raise what hindered it."""
        with self._changed:
            lossless, telemetry = self._lossless.taken, self._telemetry.taken
            while self._lossless.done < lossless or self._telemetry.done < telemetry:
                self._raise_error()
                self._wake(hurry=True)
                self._changed.wait(1.0)
            self._raise_error()

    def close(self) -> None:
        """Flush, and give the connection back. Closing twice does nothing.

        An error that ended the publisher, and was raised by a call or `flush` before, is not raised again.
        """
        with self._changed:
            if self._closed:
                return
            self._closed = True
            told = self._error is not None and self._error is self._told
        try:
            if not told:
                self.flush()
        finally:
            self._hang_up()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except QueueError:
            if error is None:  # else the body's own error is the one to see
                raise

    def __repr__(self) -> str:
        return f"<livequeue publisher of run {self.run!r} to {self._shown}>"

    def __getstate__(self) -> dict[str, Any]:
        if not self._travels:
            raise TypeError(
                f"a publisher to {self._shown} cannot travel to another process: that queue lives here; "
                "use livequeue.connect('embedded://') or a server's URL"
            )
        return {"url": self._url, "shown": self._shown, "run": self.run, "settings": tuple(self._settings)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.run, self.dropped, self._settings = state["run"], 0, Settings(*state["settings"])
        self._url, self._shown = state["url"], state["shown"]
        self._travels = self._buffered = True
        self._endpoint = None  # opened by the first message
        self._reset()

    # --- taking messages

    def _introduce(self, message: Message) -> tuple[_Part, int, str]:
        """Check part, seq and type of a message in full, and remember them."""
        if not isinstance(message, dict):
            raise InvalidMessage(f"run {self.run!r}: a message must be a dict, got {type(message).__name__}")
        for key in ("type", "part", "seq"):
            if key not in message:
                raise InvalidMessage(
                    f"run {self.run!r}: the message lacks {key!r}; it has {', '.join(map(repr, message))}"
                )
        name = check_part(self.run, message["part"])
        kind = check_type(self.run, name, message["type"])
        seq = message["seq"]
        if type(seq) is not int or not 0 <= seq <= MAX_SEQ:
            raise InvalidMessage(f"run {self.run!r}, part {name!r}: message['seq'] is {seq!r}; it must be an int >= 0")
        with self._changed:
            part = self._parts.get(name)
            if part is None:
                part = _Part(name, matches(name, self._settings.telemetry), self._settings.maxlen)
                self._parts[name] = part
            part.kinds.add(kind)
        return part, seq, kind

    def _place(self, part: _Part, seq: int) -> int:
        """Return the position of the part's next message, or raise where it leaves a hole."""
        expected = part.next
        if expected is not None and seq != expected:
            if part.telemetry:
                part.base += max(0, expected - seq)
            elif seq > expected:
                raise InvalidMessage(
                    f"run {self.run!r}, part {part.name!r}: seq {seq} comes after {expected - 1}; "
                    f"it must be {expected}, or an earlier one that is sent again"
                )
        return part.base + seq + 1

    def _enqueue(self, part: _Part, seq: int, kind: str, data: bytes) -> None:
        lossless, telemetry, settings = self._lossless, self._telemetry, self._settings
        with self._changed:
            self._check_open()
            while not part.telemetry and lossless.bytes > settings.buffer:
                self._wake(hurry=True)
                self._changed.wait(1.0)
                self._check_open()
            item = _Item(lossless.taken + telemetry.taken, part, self._place(part, seq), kind, data)
            part.next = seq + 1
            if part.telemetry:
                telemetry.put(item)
                while telemetry.bytes > settings.buffer // 8 and len(telemetry.items) > 1:
                    telemetry.pop()
                    telemetry.done += 1
                    self.dropped += 1
            else:
                lossless.put(item)
            waiting = len(lossless.items) + len(telemetry.items)
            self._wake(hurry=waiting >= _BATCH_COUNT or lossless.bytes >= _BATCH_BYTES)

    def _store_now(self, part: _Part, seq: int, kind: str, data: bytes) -> None:
        with self._sending:
            self._check_open()
            self._send([_Item(0, part, self._place(part, seq), kind, data)])
            part.next = seq + 1

    def _check_open(self) -> None:
        self._raise_error()
        if self._closed:
            raise PublisherClosed(f"run {self.run!r}: the publisher is closed")

    def _raise_error(self) -> None:
        error = self._error
        if error is None:
            return
        self._told = error
        if isinstance(error, QueueFull | ServerUnavailable):
            self._error = None  # said once; then the background tries again
            self._changed.notify_all()
        raise error

    # --- the background thread

    def _wake(self, hurry: bool) -> None:
        """See that a thread is there, and in a hurry if need be. Call it with the lock held."""
        if self._thread is None:
            thread = threading.Thread(target=self._work, name=f"livequeue {self.run}", daemon=True)
            thread.start()
            self._thread = thread
        if hurry and not self._hurry:
            self._hurry = True
            self._changed.notify_all()
        elif self._idle:
            self._changed.notify_all()

    def _has_work(self) -> bool:
        waiting = self._flight or self._lossless.items or self._telemetry.items
        return bool(waiting) and self._error is None and not self._abandoned

    def _work(self) -> None:
        """Send what waits, every `interval` or as soon as a batch is full, until nothing came for a while."""
        while True:
            with self._changed:
                self._idle = True
                found = self._changed.wait_for(lambda: self._has_work() or self._abandoned, _LINGER)
                self._idle = False
                if not found or self._abandoned:
                    self._thread = None
                    return
                self._changed.wait_for(lambda: self._hurry, self._settings.interval)
                if not self._flight:
                    self._take_batch()
                waiting = len(self._lossless.items) + len(self._telemetry.items)
                self._hurry = waiting >= _BATCH_COUNT
            started = time.monotonic()
            problem: QueueError | None = None
            stored = False
            try:
                with self._sending:
                    self._send(self._flight)
            except ServerUnavailable as error:
                problem = self._still_patient(error, started)
            except QueueFull as error:
                problem = None if self._drop_telemetry() else error
            except QueueError as error:
                problem = error
            except Exception as error:  # a bug must not leave flush() waiting for ever
                problem = QueueError(f"run {self.run!r}: {type(error).__name__}: {error}")
                problem.__cause__ = error
            else:
                self._away_since = None
                stored = True
            with self._changed:
                if stored:
                    for item in self._flight:
                        (self._telemetry if item.part.telemetry else self._lossless).done += 1
                    self._flight = []
                self._error = problem
                self._changed.notify_all()

    def _take_batch(self) -> None:
        """Fill the flight, in the order in which the messages came."""
        size = 0
        while len(self._flight) < _BATCH_COUNT and size < _BATCH_BYTES:
            lanes = [lane for lane in (self._lossless, self._telemetry) if lane.items]
            if not lanes:
                break
            item = min(lanes, key=_first_order).pop()
            size += len(item.data)
            self._flight.append(item)

    def _still_patient(self, error: ServerUnavailable, started: float) -> QueueError | None:
        """Wait a little before the next attempt, or give the error that ends the waiting."""
        if self._away_since is None:
            self._away_since = started
        away = time.monotonic() - self._away_since
        if away >= self._settings.deadline and not self._drop_telemetry():
            return ServerUnavailable(f"run {self.run!r}: nothing could be stored for {away:.0f} s: {error}")
        time.sleep(min(0.5, 0.02 + away / 4))
        return None

    def _drop_telemetry(self) -> bool:
        """Drop what is in flight if nothing lossless waits: telemetry is no reason to stop an engine."""
        with self._changed:
            if self._lossless.items or not all(item.part.telemetry for item in self._flight):
                return False
            self.dropped += len(self._flight)
            self._telemetry.done += len(self._flight)
            self._flight = []
            return True

    def _hang_up(self) -> None:
        with self._changed:
            self._abandoned = True
            thread = self._thread
            self._changed.notify_all()
        if thread is not None and thread is not threading.current_thread():
            thread.join(10.0)
        if self._sending.acquire(timeout=1.0):  # else the thread hangs in a socket, and ends with the process
            try:
                if self._transport is not None:
                    self._transport.close()
                if self._endpoint is not None and self._owns_endpoint:
                    self._endpoint.close()
            finally:
                self._sending.release()

    # --- talking to the server, `_sending` held

    def _send(self, items: list[_Item]) -> None:
        """Store these messages, and first what the server has forgotten. It is safe to repeat."""
        if self._endpoint is None:
            self._endpoint, self._owns_endpoint = open_endpoint(self._url), True
        if self._transport is None:
            self._transport = self._endpoint.open()
        transport = self._transport
        transport.connect()
        try:
            entries = self._contact(transport, items)
            entries += [item.entry() for item in items]
            while entries:
                size, count = 0, 0
                while count < min(len(entries), _BATCH_COUNT) and size < _BATCH_BYTES:
                    size += len(entries[count].data)
                    count += 1
                self._append(transport, entries[:count])
                del entries[:count]
        except BaseException:
            transport.fresh = True  # compare again before anything else is sent
            raise

    def _contact(self, transport: Transport, items: list[_Item]) -> list[Entry]:
        """Compare what the server holds with what we know; return the entries that it has forgotten."""
        first: dict[_Part, int] = {}
        if transport.fresh:
            transport.check_keeps()
            for part in list(self._parts.values()):
                part.contacted = False
                if part.acked and not part.telemetry:
                    first[part] = part.acked + 1
        for item in items:
            if not item.part.contacted and item.part not in first:
                first[item.part] = item.position
        forgotten: list[Entry] = []
        if first:
            tips = transport.tips(self.run, [part.name for part in first])
            for (part, position), tip in zip(first.items(), tips, strict=True):
                forgotten += self._compare(part, position, tip)
            new = [part.name for part in first if part.tip == 0]
            if new:
                transport.announce(self.run, new)
            for part in first:
                part.contacted = True
        transport.fresh = False
        return forgotten

    def _compare(self, part: _Part, position: int, tip: int) -> list[Entry]:
        """Return what the server lacks before `position`, or raise where that is not to be had."""
        part.tip = tip
        if part.telemetry:
            if part.offset is None:
                part.offset = max(0, tip + 1 - position)
            return []
        if position <= tip + 1:
            return []
        again = [entry for entry in self._retained if entry.part == part.name and entry.position > tip]
        have = again[0].position if again else position
        if have > tip + 1:
            raise MessagesLost(
                f"run {self.run!r}, part {part.name!r}: seq {tip} to {have - 2} are missing on {self._shown}, "
                f"and seq {have - 1} comes next. Did the server restart without an append-only file, or was "
                "the run deleted? Publish the part again from seq 0, or use another run id"
            )
        return again

    def _append(self, transport: Transport, entries: list[Entry]) -> None:
        old: list[Entry] = []
        new: list[Entry] = []
        for entry in entries:
            part = self._parts[entry.part]
            known = not part.telemetry and entry.position <= part.tip
            (old if known else new).append(entry)
        self._verify(transport, old)
        if not new:
            return
        stored = transport.append(self.run, new)
        # "Equal or smaller" is no proof that the message is there: read it back.
        self._verify(transport, [e for e, ok in zip(new, stored, strict=True) if not ok and e.maxlen is None])
        for entry in new:
            self._remember(entry)

    def _verify(self, transport: Transport, entries: list[Entry]) -> None:
        """Check that exactly these messages are stored."""
        if not entries:
            return
        held = transport.fetch(self.run, [(entry.part, entry.position) for entry in entries])
        for entry, other in zip(entries, held, strict=True):
            where = f"run {self.run!r}, part {entry.part!r}, seq {entry.position - 1}"
            if other is None:
                raise MessagesLost(f"{where}: the stream on {self._shown} has gone past it, but it is not there")
            if (other.kind, other.data) != (entry.kind, entry.data):
                raise Conflict(
                    f"{where}: {self._shown} holds another message: a second writer, or a reused run id; "
                    f"use another run id, or delete the old run with queue.delete({self.run!r})"
                )
            self._remember(entry)

    def _remember(self, entry: Entry) -> None:
        part = self._parts[entry.part]
        part.tip = max(part.tip, entry.position)
        if part.telemetry or entry.position <= part.acked:
            return
        part.acked = entry.position
        if self._buffered:
            self._retained.append(entry)
            self._retained_bytes += len(entry.data)
            while self._retained_bytes > self._settings.retain:
                self._retained_bytes -= len(self._retained.popleft().data)


def close_all(deadline: float) -> None:
    """Close the publishers that nobody closed, when the interpreter ends; tell what could not be stored."""
    for publisher in list(live):
        publisher._settings = publisher._settings._replace(deadline=min(deadline, publisher._settings.deadline))
        try:
            publisher.close()
        except (QueueError, RuntimeError) as error:  # RuntimeError: too late to start a thread
            print(f"livequeue: messages were not stored: {error}", file=sys.stderr)


def _after_fork() -> None:
    """Give the child clean publishers: what waits, and the connection, belong to the parent."""
    for publisher in list(live):
        if publisher._travels:
            publisher._endpoint = None
        publisher._reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
