"""The queue: what `connect` returns, to be asked for publishers, subscriptions, runs and checkpoints."""

import atexit
import contextlib
import math
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from dataclasses import dataclass
from numbers import Integral, Real
from types import TracebackType
from typing import Any, Self, TypeVar

from . import publisher as publishing
from .asubscription import AsyncSubscription
from .endpoint import open_endpoint
from .errors import QueueError
from .protocol import RUN_PART, TELEMETRY, TELEMETRY_MAXLEN, check_run, is_end, is_failure
from .publisher import Publisher, Settings
from .subscription import OnGap, Subscription
from .transport import Endpoint, Transport, patiently
from .wire import MAX_PAYLOAD

T = TypeVar("T")
_live: "weakref.WeakSet[Queue]" = weakref.WeakSet()


@dataclass(frozen=True)
class RunInfo:
    """What the queue knows of a run."""

    run: str
    created: float
    """The server's time when the run's first message came, seconds since 1970."""
    label: str
    """`label` or `model` of the run's first message, else its type."""
    parts: dict[str, int]
    """Part -> number of messages held."""
    ended: bool
    status: str
    """What the end says ("completed", ...) or "ended"; "failed" after a failure without an end; else "running"."""


def connect(url: str = "embedded://", *, deadline: float = 30.0) -> "Queue":
    """Return the queue at a URL.

    >>> with connect("memory://") as queue:
    ...     queue.runs()
    []

    Args:
        url: "memory://", "embedded://", "embedded:///path", "redis://host:6379/0", "rediss://..." or
            "unix:///path.sock".
        deadline: seconds that an operation waits for a server that went away, after it once answered.

    Raises:
        ServerUnavailable: no server answers at the URL.
    """
    return Queue(url, deadline)


class Queue:
    """Runs on one store. Threads may share it, and it is a context manager."""

    def __init__(self, url: str, deadline: float) -> None:
        _check_seconds("deadline", deadline)
        self._endpoint = open_endpoint(url)
        self.url = self._endpoint.url
        """The URL that reaches the same queue from another process."""
        self._deadline = deadline
        self._closed = False
        self._lock = threading.Lock()
        self._transport = self._endpoint.open()
        try:
            self._transport.ping()
        except BaseException:
            self._transport.close()
            self._endpoint.close()
            raise
        self._publishers: weakref.WeakSet[Publisher] = weakref.WeakSet()
        self._subscriptions: weakref.WeakSet[Subscription] = weakref.WeakSet()
        _live.add(self)

    def __repr__(self) -> str:
        return f"<livequeue {self._endpoint.shown}>"

    def _ask(self, question: Callable[[Transport], T]) -> T:
        """Ask the store; every question is safe to repeat."""
        self._check_open()
        with self._lock:
            return patiently(lambda: question(self._transport), self._deadline)

    def _check_open(self) -> None:
        if self._closed:
            raise QueueError(f"{self._endpoint.shown}: this queue is closed")

    def publisher(
        self,
        run: str,
        *,
        telemetry: Iterable[str] = TELEMETRY,
        maxlen: int = TELEMETRY_MAXLEN,
        interval: float = 0.025,
        deadline: float | None = None,
        buffer: int = 64 << 20,
        retain: int = 16 << 20,
        max_payload: int = MAX_PAYLOAD,
    ) -> Publisher:
        """Return a sink for the run.

        Args:
            telemetry: shell patterns of the parts that may drop messages; all other parts are lossless.
            maxlen: about how many messages a telemetry part keeps.
            interval: longest time in seconds that a message waits for company, at most 0.05.
            deadline: seconds that a lossless part waits for a server that is away; by default the queue's.
            buffer: bytes that may wait here; when full, lossless parts wait and telemetry drops its oldest.
            retain: bytes of stored messages kept here, to be sent again if the server forgets them.
            max_payload: largest encoded message, in bytes.
        """
        self._check_open()
        _check_seconds("interval", interval)
        if not 0 < interval <= 0.05:
            raise ValueError(f"interval must be above 0 and at most 0.05 seconds, got {interval!r}")
        if isinstance(telemetry, str):
            raise ValueError(f"telemetry must be a collection of patterns, got the string {telemetry!r}")
        limit = self._deadline if deadline is None else deadline
        _check_seconds("deadline", limit)
        _check_size("maxlen", maxlen, 1)
        _check_size("buffer", buffer, 0)
        _check_size("retain", retain, 0)
        _check_size("max_payload", max_payload, 1)
        settings = Settings(tuple(telemetry), maxlen, interval, limit, buffer, retain, max_payload)
        publisher = Publisher(self._endpoint, run, settings)
        self._publishers.add(publisher)
        return publisher

    def subscribe(
        self,
        run: str,
        *,
        follow: bool = True,
        after: str | None = None,
        parts: str | Iterable[str] | None = None,
        types: str | Iterable[str] | None = None,
        timeout: float | None = None,
        on_gap: OnGap | None = None,
    ) -> Subscription:
        """Return an iterator over the run's messages, in order within each part.

        Args:
            follow: wait for more until the run's end; otherwise end after what is stored now.
            after: a `cursor` of an earlier subscription to the run: go on behind it.
            parts: names or shell patterns of the parts wanted.
            types: message types wanted, or shell patterns such as "nuts.*".
            timeout: seconds without any message after which the iteration ends quietly, with `ended` False.
            on_gap: called as on_gap(part, first missing seq, count) where messages of a part are missing.
        """
        self._check_open()
        if timeout is not None:
            _check_seconds("timeout", timeout)
        if on_gap is not None and not callable(on_gap):
            raise TypeError(f"on_gap must be a function or None, got {on_gap!r}")
        subscription = Subscription(
            self._endpoint.open(),
            check_run(run),
            follow,
            after,
            _patterns(parts),
            _patterns(types),
            timeout,
            on_gap,
            self._deadline,
        )
        self._subscriptions.add(subscription)
        return subscription

    def asubscribe(self, run: str, **options: Any) -> AsyncSubscription:
        """Return `subscribe` with the same options as an asynchronous iterator."""
        return AsyncSubscription(self.subscribe(run, **options))

    def runs(self) -> list[str]:
        """Return the run ids, oldest first."""
        return [run for run, _ in self._ask(lambda store: store.runs())]

    def info(self, run: str) -> RunInfo:
        """Return what the queue knows of the run, or raise KeyError."""
        check_run(run)
        created = dict(self._ask(lambda store: store.runs())).get(run)
        if created is None:
            raise KeyError(f"{self._endpoint.shown} has no run {run!r}")
        label, status, ended = "", "running", False
        with self.subscribe(run, follow=False, parts=[RUN_PART]) as messages:
            for message in messages:
                kind = str(message["type"])
                label = label or str(message.get("label") or message.get("model") or kind)
                ended = is_end(kind)
                failed = is_failure(kind) and not message.get("recovered")
                status = str(message.get("status") or "ended") if ended else "failed" if failed else status
        return RunInfo(run, created, label, self._ask(lambda store: store.lengths(run)), ended, status)

    def length(self, run: str) -> int:
        """Return how many messages of the run are held, over all parts; 0 for an unknown run."""
        check_run(run)
        return sum(self._ask(lambda store: store.lengths(run)).values())

    def delete(self, run: str) -> None:
        """Delete the run: messages, checkpoints and stop request. Close its publishers first.

        An unknown run is no error, so that a delete may be repeated.
        """
        check_run(run)
        self._ask(lambda store: store.delete(run))

    def request_stop(self, run: str, stop: bool = True) -> bool:
        """Ask the engine that works on the run to stop; with stop=False, take the request back.

        Return whether there was something to ask: of a run that has ended nothing is asked. A run that has not
        begun will find the request.
        """
        if stop and check_run(run) in self.runs() and self.info(run).ended:
            return False
        self._ask(lambda store: store.set_stop(run, stop))
        return True

    def stop(self, run: str) -> "Stop":
        """Return a cheap callable that tells whether a stop was requested; the news takes up to 0.25 s."""
        return Stop(self._endpoint, run)

    def store(self, run: str) -> "Store":
        """Return the run's checkpoints: a mapping of str to bytes, kept until the run is deleted."""
        return Store(self, check_run(run))

    def close(self) -> None:
        """Flush and close the queue's publishers, end its subscriptions, leave.

        An embedded server ends with its last user.
        """
        if self._closed:
            return
        self._closed = True
        with contextlib.ExitStack() as stack:  # each is closed, whatever another raises
            stack.callback(self._endpoint.close)
            stack.callback(self._transport.close)
            for subscription in list(self._subscriptions):
                stack.callback(subscription.close)
            for publisher in list(self._publishers):
                stack.callback(publisher.close)

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


class Stop:
    """Tells whether somebody requested a stop: `stop()` -> bool. It can be pickled, like a publisher.

    A server that is away says nothing, and that is no reason to stop.
    """

    interval = 0.25
    """Seconds between two questions to the server."""

    def __init__(self, endpoint: Endpoint, run: str) -> None:
        self.run = check_run(run)
        self._url, self._shown, self._travels = endpoint.url, endpoint.shown, endpoint.travels
        self._endpoint: Endpoint | None = endpoint
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._transport: Transport | None = None
        self._answer = False
        self._next = 0.0

    def __call__(self) -> bool:
        if time.monotonic() >= self._next and self._lock.acquire(blocking=False):
            try:
                pause = self.interval
                try:
                    if self._endpoint is None:
                        self._endpoint = open_endpoint(self._url)
                        weakref.finalize(self, self._endpoint.close)
                    if self._transport is None:
                        self._transport = self._endpoint.open()
                    self._answer = self._transport.get_stop(self.run)
                except QueueError:
                    pause = 30.0  # do not slow the engine by asking a server that is away
                self._next = time.monotonic() + pause
            finally:
                self._lock.release()
        return self._answer

    def __getstate__(self) -> dict[str, Any]:
        if not self._travels:
            raise TypeError(f"the stop of {self._shown} cannot travel: that queue lives in this process")
        return {"url": self._url, "shown": self._shown, "run": self.run}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.run, self._url, self._shown = state["run"], state["url"], state["shown"]
        self._travels, self._endpoint = True, None
        self._begin()


class Store(MutableMapping[str, bytes]):
    """Checkpoints of one run, by name; each write replaces the whole value."""

    def __init__(self, queue: Queue, run: str) -> None:
        self._queue, self._run = queue, run

    def __getitem__(self, key: str) -> bytes:
        value = self._queue._ask(lambda store: store.store_get(self._run, key))
        if value is None:
            raise KeyError(key)
        return value

    def __setitem__(self, key: str, value: bytes) -> None:
        if not isinstance(key, str) or not isinstance(value, bytes | bytearray | memoryview):
            raise TypeError(
                f"run {self._run!r}: a checkpoint is bytes under a str, got {key!r}: {type(value).__name__}"
            )
        data = bytes(value)
        self._queue._ask(lambda store: store.store_set(self._run, key, data))

    def __delitem__(self, key: str) -> None:
        if key not in self:
            raise KeyError(key)
        self._queue._ask(lambda store: store.store_delete(self._run, key))

    def __iter__(self) -> Iterator[str]:
        return iter(self._queue._ask(lambda store: store.store_keys(self._run)))

    def __len__(self) -> int:
        return len(self._queue._ask(lambda store: store.store_keys(self._run)))


def _patterns(given: str | Iterable[str] | None) -> tuple[str, ...] | None:
    return None if given is None else (given,) if isinstance(given, str) else tuple(given)


def _check_seconds(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, Real) or math.isnan(value) or value < 0:
        raise ValueError(f"{name} must be a number of seconds >= 0, got {value!r}")


def _check_size(name: str, value: Any, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ValueError(f"{name} must be an int >= {least}, got {value!r}")


def _goodbye() -> None:
    """At the interpreter's end: send what waits, then leave the servers."""
    publishing.close_all(deadline=5.0)
    for queue in list(_live):
        with contextlib.suppress(QueueError):
            queue.close()


atexit.register(_goodbye)
