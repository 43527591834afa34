"""What the publisher and the subscription ask of a message store; `memory` and `server` provide it."""

import time
from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeVar

from .errors import ServerUnavailable

T = TypeVar("T")


class Entry(NamedTuple):
    """One message on its way to a part's stream."""

    part: str
    position: int
    """The entry's id is `<position>-0`: seq + 1 in a lossless part, since the id 0-0 is not allowed."""
    kind: str
    data: bytes
    maxlen: int | None
    """How many entries a telemetry part keeps, about; None keeps all."""


class Stored(NamedTuple):
    """One message read from a part's stream."""

    position: int
    kind: str
    data: bytes


class Reading(NamedTuple):
    """What one `read` found."""

    entries: dict[str, list[Stored]]
    new_parts: list[str]
    parts_seen: str
    """Give it to the next `read`: how far the list of parts has been read."""


class Transport(Protocol):
    """One connection to a store. Not thread-safe: each publisher, subscription and queue opens its own.

    Any method raises ServerUnavailable when the connection breaks (what was asked may or may not have
    happened), QueueFull when the memory bound refuses a write, and ServerRefused for every other answer of a
    server.
    """

    shown: str
    """The URL, password hidden, for messages to people."""
    fresh: bool
    """True after (re)connecting, until the owner sets it False: look again at what the server holds."""

    def connect(self) -> None: ...
    def ping(self) -> None: ...
    def close(self) -> None: ...

    def check_keeps(self) -> None:
        """Raise ServerRefused where the store may evict what it was given."""

    def append(self, run: str, entries: list[Entry]) -> list[bool]:
        """Store a batch; False marks an entry whose id was taken or passed."""

    def tips(self, run: str, parts: list[str]) -> list[int]:
        """Position of the last entry of each part, 0 where there is none."""

    def fetch(self, run: str, wanted: list[tuple[str, int]]) -> list[Stored | None]:
        """Read single entries back."""

    def announce(self, run: str, parts: list[str]) -> None:
        """Enter the run in the list of runs, and the parts in the list of its parts. Twice does no harm."""

    def read(self, run: str, after: dict[str, int], parts_seen: str, count: int, block: float) -> Reading:
        """Return entries after these positions, at most `count` a part; wait up to `block` seconds."""

    def runs(self) -> list[tuple[str, float]]: ...
    def lengths(self, run: str) -> dict[str, int]: ...
    def delete(self, run: str) -> None: ...
    def set_stop(self, run: str, stop: bool) -> None: ...
    def get_stop(self, run: str) -> bool: ...
    def store_get(self, run: str, key: str) -> bytes | None: ...
    def store_set(self, run: str, key: str, value: bytes) -> None: ...
    def store_delete(self, run: str, key: str) -> bool: ...
    def store_keys(self, run: str) -> list[str]: ...


class Endpoint(Protocol):
    """Where a URL leads: opens transports, and keeps what they share (a bus, an embedded server) alive."""

    url: str
    """The URL that reaches the same store from another process."""
    shown: str
    travels: bool
    """Whether another process can reach it."""
    buffered: bool
    """Whether appending costs a round trip, so that messages are worth sending in batches."""

    def open(self) -> Transport: ...
    def close(self) -> None: ...


def patiently(action: Callable[[], T], deadline: float, give_up: Callable[[], bool] = lambda: False) -> T:
    """Repeat an idempotent action while the server is away, until the deadline or told to give up."""
    end = time.monotonic() + deadline
    pause = 0.02
    while True:
        try:
            return action()
        except ServerUnavailable:
            if give_up() or time.monotonic() + pause > end:
                raise
        time.sleep(pause)
        pause = min(2 * pause, 0.5)
