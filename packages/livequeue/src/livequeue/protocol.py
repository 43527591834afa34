"""Names of the protocol: message types, keys on the server, entry ids, cursors."""

import base64
import re
from fnmatch import fnmatchcase
from typing import Any

import msgspec

from .errors import InvalidMessage, ProtocolError

Message = dict[str, Any]

TELEMETRY = ("progress", "*/*")
"""Default patterns of the parts that may drop messages; every other part is lossless."""

TELEMETRY_MAXLEN = 10_000
RUN_PART = "run"
RUNS_KEY = "live:v1:runs"

READABLE = 512 << 20
"""Bytes of the largest message that a reader takes: a server's own limit for one value."""

MAX_SEQ = 2**53  # readers in other languages keep seq in a double
_TYPE = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+/[1-9][0-9]*")
_END = re.compile(r"[a-z0-9_.]+\.end/[0-9]+")
_FAILURE = re.compile(r"[a-z0-9_.]+\.failure/[0-9]+")
_NAME = re.compile(r"[A-Za-z0-9_.:@+=,~-]+")
_PART = re.compile(r"[A-Za-z0-9_.:@+=,~-]+(/[A-Za-z0-9_.:@+=,~-]+)*")


def check_run(run: object) -> str:
    """Return the run id, or raise: 1 to 200 letters, digits and `_.:@+=,~-`."""
    if not isinstance(run, str) or len(run) > 200 or not _NAME.fullmatch(run):
        raise InvalidMessage(f"run id {run!r}: it must be 1 to 200 letters, digits or any of _.:@+=,~-")
    return run


def check_part(run: str, part: object) -> str:
    """Return the part's name, or raise: like a run id, with `/` between names."""
    if not isinstance(part, str) or len(part) > 200 or not _PART.fullmatch(part):
        raise InvalidMessage(
            f"run {run!r}: message['part'] is {part!r}; it must be a name like 'chain-2' or 'chain-2/warmup'"
        )
    return part


def check_type(run: str, part: str, kind: object) -> str:
    """Return the message's type, or raise: `engine.event/1`."""
    if not isinstance(kind, str) or len(kind) > 100 or not _TYPE.fullmatch(kind):
        raise InvalidMessage(
            f"run {run!r}, part {part!r}: message['type'] is {kind!r}; it must look like 'engine.event/1'"
        )
    return kind


def is_end(kind: str) -> bool:
    """Tell whether a message of this type, in part `run`, ends the run."""
    return _END.fullmatch(kind) is not None


def is_failure(kind: str) -> bool:
    return _FAILURE.fullmatch(kind) is not None


def matches(name: str, patterns: tuple[str, ...] | None) -> bool:
    """Tell whether the name is matched by one of the shell patterns; None matches everything."""
    return patterns is None or any(fnmatchcase(name, pattern) for pattern in patterns)


# The run id stands in braces, a hash tag: all keys of a run lie on one node of a cluster.
def part_key(run: str, part: str) -> str:
    return f"live:v1:{{{run}}}:part:{part}"


def parts_key(run: str) -> str:
    return f"live:v1:{{{run}}}:parts"


def stop_key(run: str) -> str:
    return f"live:v1:{{{run}}}:stop"


def store_key(run: str) -> str:
    return f"live:v1:{{{run}}}:store"


def write_cursor(run: str, positions: dict[str, int]) -> str:
    """Return the cursor: opaque to users, the last position read of each part."""
    raw = msgspec.msgpack.encode([1, run, positions])
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def read_cursor(run: str, cursor: str) -> dict[str, int]:
    """Return the positions in a cursor of this run."""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        version, owner, positions = msgspec.msgpack.decode(raw, type=tuple[int, str, dict[str, int]])
    except (msgspec.MsgspecError, ValueError, TypeError) as error:
        raise ProtocolError(f"run {run!r}: {cursor!r} is not a cursor: {error}") from None
    if not all(0 <= position < 2**63 for position in positions.values()):
        raise ProtocolError(f"run {run!r}: {cursor!r} is not a cursor: a position out of range")
    if version != 1:
        raise ProtocolError(f"run {run!r}: a cursor of version {version}; this release reads version 1")
    if owner != run:
        raise ProtocolError(f"run {run!r}: the cursor belongs to run {owner!r}")
    return positions
