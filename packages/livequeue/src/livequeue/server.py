"""Redis >= 6.2 or Valkey: the transport over one redis-py connection, in the commands that all of them share.

It uses redis-py's connection (sockets, TLS, passwords, parsing) but not its client: the client repeats
commands by itself, and a repeated XADD stores a message twice.
"""

import contextlib
import os
import re
import weakref
from collections.abc import Callable, Iterable
from typing import Any, Never

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from .errors import QueueFull, ServerRefused, ServerUnavailable
from .protocol import RUNS_KEY, part_key, parts_key, stop_key, store_key
from .transport import Entry, Reading, Stored

Command = tuple[bytes | str | int | float, ...]

_SOCKET_TIMEOUT = 5.0
_COME_BACK = ("LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY ")
"""Answers of a server that will serve again by itself."""


def hide_password(url: str) -> str:
    """Return the URL as it may be shown."""
    url = re.sub(r"(//[^:/@]*:)[^@/]*@", r"\1***@", url)
    return re.sub(r"([?&]password=)[^&]*", r"\1***", url)


class ServerEndpoint:
    """A server that somebody else runs."""

    travels = True
    buffered = True

    def __init__(self, url: str) -> None:
        self.url = url
        self.shown = hide_password(url)
        _connection_settings(url)

    def open(self) -> "ServerTransport":
        return ServerTransport(self.url)

    def close(self) -> None:
        """Nothing to end: the server is not ours."""


def _connection_settings(url: str) -> tuple[type[Any], dict[str, Any]]:
    """Let redis-py read the URL (host, db, password, TLS options), and return what makes a connection."""
    try:
        pool = redis.ConnectionPool.from_url(url, protocol=2)
    except ValueError as error:
        raise ValueError(f"{hide_password(url)}: {error}") from None
    settings = dict(pool.connection_kwargs)
    settings.setdefault("socket_timeout", _SOCKET_TIMEOUT)
    settings.setdefault("socket_connect_timeout", _SOCKET_TIMEOUT)
    # RESP2 and raw bytes, whatever the version of redis-py; retrying is our own business.
    settings.update(protocol=2, decode_responses=False, retry=Retry(NoBackoff(), 0), retry_on_timeout=False)
    settings.update(health_check_interval=0)
    return pool.connection_class, settings


class ServerTransport:
    """One connection to a server; it connects on first use and again after each failure."""

    def __init__(self, url: str, shown: str | None = None, revive: Callable[[], None] | None = None) -> None:
        self.shown = shown or hide_password(url)
        self.fresh = True
        self._revive = revive
        kind, settings = _connection_settings(url)
        self._connection: Any = kind(**settings)
        # Whoever forgets to close a transport leaves no open socket behind.
        weakref.finalize(self, _disconnect, self._connection).atexit = False
        self._connected = False
        self._process = os.getpid()
        # A blocking read must return well before the socket gives up.
        self._longest_block = min(2.0, 0.4 * float(settings["socket_timeout"]))

    # --- the connection

    def connect(self) -> None:
        if self._connected and self._process == os.getpid():
            return
        self._connection.disconnect()  # in a forked process: the parent's socket, which redis-py leaves open there
        self._process = os.getpid()
        if self._revive is not None:
            self._revive()
        with self._guard():
            self._connection.connect()
        self._connected = self.fresh = True

    def ping(self) -> None:
        try:
            self._call("PING")
        except (ServerUnavailable, ServerRefused) as error:
            hint = "is the server running, and the URL right? connect('embedded://') needs no server"
            raise type(error)(f"{error} ({hint})") from error

    def shut_down(self) -> None:
        """End the server after it wrote its append-only file; it hangs up instead of answering."""
        with contextlib.suppress(ServerUnavailable):
            self._call("SHUTDOWN", "NOSAVE")
        self.close()

    def close(self) -> None:
        self._connected = False
        _disconnect(self._connection)

    @contextlib.contextmanager
    def _guard(self) -> Any:
        """Turn redis-py's errors into ours; after one that leaves the conversation unclear, hang up."""
        try:
            yield
        except redis.ResponseError as error:
            self._refused(error)
        except redis.AuthenticationError as error:
            self.close()
            raise ServerRefused(f"{self.shown}: {error}; check the user and password in the URL") from error
        except (redis.ConnectionError, redis.TimeoutError, OSError) as error:
            self.close()
            raise ServerUnavailable(f"{self.shown}: {error or type(error).__name__}") from error
        except BaseException:
            self.close()  # e.g. Ctrl-C between a command and its answer
            raise

    def _refused(self, error: redis.RedisError) -> Never:
        text = str(error)
        if isinstance(error, redis.exceptions.OutOfMemoryError) or text.startswith("OOM"):
            raise QueueFull(
                f"{self.shown}: the server's memory bound (maxmemory) is reached; delete old runs with "
                "queue.delete(run) or `livequeue delete`, or give it more"
            ) from error
        if isinstance(error, redis.AuthenticationError) or text.startswith(("NOAUTH", "WRONGPASS")):
            self.close()
            raise ServerRefused(f"{self.shown}: {text}; check the user and password in the URL") from error
        if isinstance(error, redis.ConnectionError | redis.ReadOnlyError) or text.startswith(_COME_BACK):
            self.close()
            raise ServerUnavailable(f"{self.shown}: {text}") from error
        raise ServerRefused(f"{self.shown}: {text}") from error

    def _call(self, *command: bytes | str | int | float) -> Any:
        return self._calls([command])[0]

    def _calls(self, commands: Iterable[Command]) -> list[Any]:
        """Send commands in one go and return their answers; raise the first error after all are read."""
        self.connect()
        commands = list(commands)
        with self._guard():
            self._connection.send_packed_command(self._connection.pack_commands(commands))
            answers = self._answers(len(commands))
        for answer in answers:
            if isinstance(answer, redis.RedisError):
                self._refused(answer)
        return answers

    def _answers(self, count: int) -> list[Any]:
        read = self._connection.read_response
        answers = []
        for _ in range(count):
            try:
                answers.append(read())
            except (redis.ResponseError, redis.AuthenticationError) as error:
                answers.append(error)
        return answers

    # --- streams

    def check_keeps(self) -> None:
        try:
            answer: bytes = self._call("INFO", "memory")
        except ServerRefused:  # not allowed to ask, or a server without INFO: fakeredis, which then hangs up
            self.close()
            self.connect()
            return
        memory = dict(line.split(":", 1) for line in answer.decode(errors="replace").splitlines() if ":" in line)
        policy = memory.get("maxmemory_policy", "noeviction")
        # The volatile-* policies delete only keys that expire, and none of ours does.
        if memory.get("maxmemory", "0") != "0" and policy.startswith("allkeys"):
            raise ServerRefused(
                f"{self.shown}: its maxmemory-policy is {policy}, which may delete results in silence when memory "
                "is short; set it right with: CONFIG SET maxmemory-policy noeviction"
            )

    def append(self, run: str, entries: list[Entry]) -> list[bool]:
        self.connect()
        packed = [b"*1\r\n$5\r\nMULTI\r\n"]
        heads: dict[tuple[str, str], tuple[bytes, bytes]] = {}
        for part, position, kind, data, maxlen in entries:
            head = heads.get((part, kind))
            if head is None:
                head = heads[part, kind] = _xadd_head(run, part, kind, maxlen)
            identifier = b"%d-0" % position
            packed.append(
                b"%b%d\r\n%b%b%d\r\n%b\r\n" % (head[0], len(identifier), identifier, head[1], len(data), data)
            )
        packed.append(b"*1\r\n$4\r\nEXEC\r\n")
        with self._guard():
            self._connection.send_packed_command([b"".join(packed)])  # one system call, not one a message
            *queued, results = self._answers(len(entries) + 2)
        for answer in (*queued, results):
            if isinstance(answer, redis.RedisError):  # nothing was executed
                self._refused(answer)
        stored = []
        for result in results:
            if isinstance(result, redis.RedisError):
                if "equal or smaller" not in str(result):
                    self._refused(result)
                stored.append(False)
            else:
                stored.append(True)
        return stored

    def tips(self, run: str, parts: list[str]) -> list[int]:
        answers = self._calls(("XREVRANGE", part_key(run, part), "+", "-", "COUNT", 1) for part in parts)
        return [_position(answer[0][0]) if answer else 0 for answer in answers]

    def fetch(self, run: str, wanted: list[tuple[str, int]]) -> list[Stored | None]:
        answers = self._calls(
            ("XRANGE", part_key(run, part), f"{position}-0", f"{position}-0") for part, position in wanted
        )
        return [_stored(answer[0]) if answer else None for answer in answers]

    def announce(self, run: str, parts: list[str]) -> None:
        seconds, microseconds = self._call("TIME")
        now = f"{int(seconds)}.{int(microseconds):06d}"
        self._call("ZADD", RUNS_KEY, "NX", now, run)
        # A stream, so that a reader blocked in XREAD wakes when a part appears; naming one twice does no
        # harm.
        if parts:
            self._calls(("XADD", parts_key(run), "*", "part", part) for part in parts)

    def read(self, run: str, after: dict[str, int], parts_seen: str, count: int, block: float) -> Reading:
        keys = [parts_key(run), *(part_key(run, part) for part in after)]
        ids = [parts_seen or "0-0", *(f"{position}-0" for position in after.values())]
        wait: Command = ()
        if block > 0:
            wait = ("BLOCK", max(1, int(1000 * min(block, self._longest_block))))
        answer = self._call("XREAD", "COUNT", count, *wait, "STREAMS", *keys, *ids)
        names = dict(zip((key.encode() for key in keys[1:]), after, strict=True))
        entries: dict[str, list[Stored]] = {}
        new_parts: list[str] = []
        for key, items in answer or ():
            if key in names:
                entries[names[key]] = [_stored(item) for item in items]
            else:
                new_parts = [_part(item) for item in items]
                parts_seen = items[-1][0].decode()
        return Reading(entries, new_parts, parts_seen)

    # --- runs, stop requests, checkpoints

    def runs(self) -> list[tuple[str, float]]:
        answer = self._call("ZRANGE", RUNS_KEY, 0, -1, "WITHSCORES")
        return [(run.decode(), float(score)) for run, score in zip(answer[::2], answer[1::2], strict=True)]

    def _parts(self, run: str) -> list[str]:
        return list(dict.fromkeys(_part(item) for item in self._call("XRANGE", parts_key(run), "-", "+")))

    def lengths(self, run: str) -> dict[str, int]:
        parts = self._parts(run)
        return dict(zip(parts, self._calls(("XLEN", part_key(run, part)) for part in parts), strict=True))

    def delete(self, run: str) -> None:
        # The list of parts goes last: an interrupted delete can be repeated.
        keys = [
            *(part_key(run, part) for part in self._parts(run)),
            stop_key(run),
            store_key(run),
            parts_key(run),
        ]
        self._calls([*(("DEL", key) for key in keys), ("ZREM", RUNS_KEY, run)])

    def set_stop(self, run: str, stop: bool) -> None:
        if stop:
            self._call("SET", stop_key(run), 1)
        else:
            self._call("DEL", stop_key(run))

    def get_stop(self, run: str) -> bool:
        return bool(self._call("EXISTS", stop_key(run)))

    def store_get(self, run: str, key: str) -> bytes | None:
        value: bytes | None = self._call("HGET", store_key(run), key)
        return value

    def store_set(self, run: str, key: str, value: bytes) -> None:
        self.announce(run, [])  # so that delete and runs() know of a run that has only a checkpoint
        self._call("HSET", store_key(run), key, bytes(value))

    def store_delete(self, run: str, key: str) -> bool:
        return bool(self._call("HDEL", store_key(run), key))

    def store_keys(self, run: str) -> list[str]:
        return sorted(key.decode() for key in self._call("HKEYS", store_key(run)))


def _disconnect(connection: Any) -> None:
    with contextlib.suppress(redis.RedisError, OSError):
        connection.disconnect()


def _xadd_head(run: str, part: str, kind: str, maxlen: int | None) -> tuple[bytes, bytes]:
    """Return the bytes of an XADD command before its id and between id and payload, each up to a length."""
    words = ["XADD", part_key(run, part)]
    if maxlen is not None:
        words += ["MAXLEN", "~", str(maxlen)]
    before = b"*%d\r\n%b$" % (len(words) + 5, b"".join(map(_bulk, words)))
    return before, b"\r\n%b%b%b$" % (_bulk("t"), _bulk(kind), _bulk("d"))


def _bulk(word: str) -> bytes:
    data = word.encode()
    return b"$%d\r\n%b\r\n" % (len(data), data)


def _position(identifier: bytes) -> int:
    return int(identifier.split(b"-")[0])


def _part(item: Any) -> str:
    name: str = item[1][1].decode(errors="replace")
    return name


def _stored(item: Any) -> Stored:
    identifier, fields = item
    if len(fields) != 4:  # not ours; no bytes at all will not decode, and the reader will say so
        return Stored(_position(identifier), "", b"")
    return Stored(_position(identifier), fields[1].decode(errors="replace"), fields[3])
