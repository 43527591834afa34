"""memory:// : the store as plain dicts inside one process, with the same promises as a server."""

import threading
import time
from collections import deque
from dataclasses import dataclass, field

from .errors import QueueFull
from .transport import Entry, Reading, Stored

# What one entry costs beside its bytes (tuple, list slot, bytes object, str): keeps the bound honest for
# small ones.
_ENTRY_COST = 200


@dataclass
class _Run:
    created: float
    streams: dict[str, deque[Stored]] = field(default_factory=dict)
    parts: list[str] = field(default_factory=list)
    store: dict[str, bytes] = field(default_factory=dict)


class MemoryBus:
    """Streams, stop requests and checkpoints of one process; also its own endpoint."""

    travels = False
    buffered = False

    def __init__(self, url: str, maxmemory: int) -> None:
        self.url = self.shown = url
        self.maxmemory = maxmemory
        self.used = 0
        self.runs: dict[str, _Run] = {}
        self.stops: set[str] = set()
        self.changed = threading.Condition()

    def open(self) -> "MemoryTransport":
        return MemoryTransport(self)

    def close(self) -> None:
        """Nothing to end: the bus goes when nobody holds it."""

    def run(self, run: str) -> _Run:
        """Return the run's record, made on first use. Call it with the lock held."""
        if run not in self.runs:
            self.runs[run] = _Run(time.time())
        return self.runs[run]

    def streams(self, run: str) -> dict[str, deque[Stored]]:
        """Return the run's streams, empty for an unknown run. Call it with the lock held."""
        return self.runs[run].streams if run in self.runs else {}

    def claim(self, size: int) -> None:
        """Count memory, or raise. Call it with the lock held."""
        if size > 0 and self.used + size > self.maxmemory:
            raise QueueFull(
                f"{self.shown}: the memory bound of {self.maxmemory:,} bytes is reached; "
                "delete old runs with queue.delete(run), or connect with ?maxmemory=2gb"
            )
        self.used += size


class MemoryTransport:
    """A transport on a bus of this process; safe in threads, never unavailable."""

    def __init__(self, bus: MemoryBus) -> None:
        self._bus = bus
        self.shown = bus.shown
        self.fresh = True

    def connect(self) -> None:
        pass

    def ping(self) -> None:
        pass

    def close(self) -> None:
        pass

    def check_keeps(self) -> None:
        pass

    def append(self, run: str, entries: list[Entry]) -> list[bool]:
        bus = self._bus
        stored = []
        with bus.changed:
            bus.claim(sum(len(entry.data) + _ENTRY_COST for entry in entries))
            streams = bus.run(run).streams
            for part, position, kind, data, maxlen in entries:
                stream = streams.setdefault(part, deque())
                fits = not stream or position > stream[-1].position
                stored.append(fits)
                if fits:
                    stream.append(Stored(position, kind, data))
                    if maxlen is not None and len(stream) > maxlen:
                        bus.used -= len(stream.popleft().data) + _ENTRY_COST
                else:
                    bus.used -= len(data) + _ENTRY_COST
            bus.changed.notify_all()
        return stored

    def tips(self, run: str, parts: list[str]) -> list[int]:
        with self._bus.changed:
            streams = self._bus.streams(run)
            return [streams[part][-1].position if streams.get(part) else 0 for part in parts]

    def fetch(self, run: str, wanted: list[tuple[str, int]]) -> list[Stored | None]:
        with self._bus.changed:
            streams = self._bus.streams(run)
            return [
                next((entry for entry in streams.get(part, ()) if entry.position == position), None)
                for part, position in wanted
            ]

    def announce(self, run: str, parts: list[str]) -> None:
        with self._bus.changed:
            known = self._bus.run(run).parts
            known.extend(part for part in parts if part not in known)

    def read(self, run: str, after: dict[str, int], parts_seen: str, count: int, block: float) -> Reading:
        bus = self._bus
        end = time.monotonic() + block
        seen = int(parts_seen or 0)
        with bus.changed:
            while True:
                record = bus.runs.get(run)
                if record is not None:
                    entries = {}
                    for part, position in after.items():
                        found = _newer(record.streams.get(part), position, count)
                        if found:
                            entries[part] = found
                    new = record.parts[seen:]
                    if entries or new:
                        return Reading(entries, new, str(len(record.parts)))
                left = end - time.monotonic()
                if left <= 0:
                    return Reading({}, [], parts_seen)
                bus.changed.wait(left)

    def runs(self) -> list[tuple[str, float]]:
        with self._bus.changed:
            listed = [(run, record.created) for run, record in self._bus.runs.items()]
        return sorted(listed, key=lambda item: item[1])

    def lengths(self, run: str) -> dict[str, int]:
        with self._bus.changed:
            record = self._bus.runs.get(run)
            return {} if record is None else {part: len(record.streams.get(part, ())) for part in record.parts}

    def delete(self, run: str) -> None:
        bus = self._bus
        with bus.changed:
            record = bus.runs.pop(run, None)
            bus.stops.discard(run)
            if record is not None:
                bus.used -= sum(len(entry.data) + _ENTRY_COST for stream in record.streams.values() for entry in stream)
                bus.used -= sum(len(value) + _ENTRY_COST for value in record.store.values())

    def set_stop(self, run: str, stop: bool) -> None:
        with self._bus.changed:
            (self._bus.stops.add if stop else self._bus.stops.discard)(run)

    def get_stop(self, run: str) -> bool:
        return run in self._bus.stops

    def store_get(self, run: str, key: str) -> bytes | None:
        with self._bus.changed:
            record = self._bus.runs.get(run)
            return None if record is None else record.store.get(key)

    def store_set(self, run: str, key: str, value: bytes) -> None:
        with self._bus.changed:
            store = self._bus.run(run).store
            before = len(store[key]) + _ENTRY_COST if key in store else 0
            self._bus.claim(len(value) + _ENTRY_COST - before)
            store[key] = bytes(value)

    def store_delete(self, run: str, key: str) -> bool:
        with self._bus.changed:
            record = self._bus.runs.get(run)
            value = None if record is None else record.store.pop(key, None)
            if value is None:
                return False
            self._bus.used -= len(value) + _ENTRY_COST
            return True

    def store_keys(self, run: str) -> list[str]:
        with self._bus.changed:
            record = self._bus.runs.get(run)
            return [] if record is None else sorted(record.store)


def _newer(stream: deque[Stored] | None, position: int, count: int) -> list[Stored]:
    """Return up to `count` entries after the position, looking from the stream's end."""
    if not stream or stream[-1].position <= position:
        return []
    # Positions rise by one almost always, so the distance to the end tells the index.
    start = max(0, len(stream) - (stream[-1].position - position))
    while start > 0 and stream[start - 1].position > position:
        start -= 1
    while stream[start].position <= position:
        start += 1
    return [stream[index] for index in range(start, min(len(stream), start + count))]
