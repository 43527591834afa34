"""Where a URL leads: one function from URLs to endpoints."""

import os
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from .memory import MemoryBus
from .server import ServerEndpoint
from .transport import Endpoint

DEFAULT_MAXMEMORY = 1 << 30
"""Memory bound, in bytes, of memory:// and of embedded servers."""

_UNITS = {"": 1, "b": 1, "kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30}
_buses: dict[str, MemoryBus] = {}

_KNOWN = "memory://, embedded://, embedded:///path, redis://host:6379/0, rediss://..., unix:///path.sock"


def default_url() -> str:
    """Return the URL of the user's own queue: persistent, embedded, one a user."""
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return f"embedded://{Path(state).absolute() / 'live' / 'queue'}"


def open_endpoint(url: str) -> Endpoint:
    """Return what the URL leads to; an embedded server is started where needed."""
    if not isinstance(url, str) or "://" not in url:
        raise ValueError(f"{url!r} is not the URL of a queue; known are {_KNOWN}")
    scheme = url.split("://", 1)[0]
    if scheme == "memory":
        name = urlsplit(url).netloc
        # memory:// is a bus of its own; memory://name is one that the whole process shares.
        bus = _buses.get(name) or MemoryBus(url, _maxmemory(url))
        if name:
            _buses[name] = bus
        return bus
    if scheme == "embedded":
        from .embedded import open_embedded  # imports a server's wheel: only where it is used

        parts = urlsplit(url)
        if parts.netloc:
            raise ValueError(f"{url!r}: write embedded:// (a private queue) or embedded:///path (a kept one)")
        return open_embedded(url, unquote(parts.path), _maxmemory(url))
    if scheme in ("redis", "rediss", "unix"):
        return ServerEndpoint(url)
    raise ValueError(f"{url!r}: unknown kind of queue {scheme!r}; known are {_KNOWN}")


def _maxmemory(url: str) -> int:
    """Read ?maxmemory=512mb from the URL, as bytes."""
    options = parse_qs(urlsplit(url).query, keep_blank_values=True)
    strangers = set(options) - {"maxmemory"}
    if strangers:
        raise ValueError(f"{url!r}: unknown option {', '.join(sorted(strangers))}; known is maxmemory")
    text = options.get("maxmemory", [str(DEFAULT_MAXMEMORY)])[-1].lower()
    digits = text.rstrip("bkmg")
    if not digits.isdigit() or text[len(digits) :] not in _UNITS or int(digits) == 0:
        raise ValueError(f"{url!r}: maxmemory must be a size such as 512mb or 2gb, got {text!r}")
    return int(digits) * _UNITS[text[len(digits) :]]
