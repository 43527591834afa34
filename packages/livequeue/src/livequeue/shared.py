"""embedded:///path : one kept server for all processes of a user that name the same folder.

The folder holds the server's append-only file and three lock files. `users`: every user holds it shared; who
can take it alone is the last one, and ends the server. `gate`: held while somebody joins, starts or leaves.
`server`: held by the server process itself (it inherits the open file), so that a second server never starts
on the same data, however slow or stuck the first one is. Locks (flock) end with their holders, however those
end.
"""

import contextlib
import fcntl
import os
import subprocess
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from .errors import QueueError, ServerUnavailable
from .server import ServerTransport
from .valkey import SOCKET_PATH_MAX, START, private_folder, server_command, wait_until_ready

_live: "weakref.WeakSet[SharedServer]" = weakref.WeakSet()


class SharedServer:
    """A user of the server that serves a folder; starts it where none runs."""

    travels = True
    buffered = True

    def __init__(self, url: str, folder: Path, program: str, maxmemory: int) -> None:
        self.url = self.shown = url
        self._folder, self._program, self._maxmemory = folder, program, maxmemory
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise QueueError(f"{url}: the folder cannot be made: {error}") from error
        self._here = threading.Lock()
        self._closed = False
        self._users: IO[bytes] | None = None
        self._join()
        _live.add(self)

    def open(self) -> ServerTransport:
        return ServerTransport(self._server_url(), self.shown, self.revive)

    def close(self) -> None:
        """Leave; the last user ends the server, which first writes everything to its file."""
        with self._here:
            self._closed = True
            if self._users is None:
                return
            with self._gate():
                try:
                    fcntl.flock(self._users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    pass  # others use it
                else:
                    self._shut_down()
                self._users.close()
                self._users = None

    def revive(self) -> None:
        """Start the server again if it died."""
        with self._here:
            if self._closed:
                raise QueueError(f"{self.shown}: this queue is closed")
            if self._users is None:  # in a forked process
                self._join()
            elif not self._server_runs():  # alive is enough here: whether it answers, the caller will see
                with self._gate():
                    self._ensure()

    def _join(self) -> None:
        with self._gate():
            users = (self._folder / "users").open("ab")
            try:
                fcntl.flock(users, fcntl.LOCK_SH)
                self._ensure()
            except BaseException:
                users.close()
                raise
            self._users = users

    # --- with the gate held

    @contextlib.contextmanager
    def _gate(self) -> Iterator[None]:
        with (self._folder / "gate").open("ab") as gate:
            fcntl.flock(gate, fcntl.LOCK_EX)
            yield

    def _server_runs(self) -> bool:
        with (self._folder / "server").open("ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return True
            return False

    def _ensure(self) -> None:
        """Start the server unless it runs; wait until it answers."""
        with (self._folder / "server").open("ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:  # it runs, perhaps left behind by a killed user
                wait_until_ready(self._server_url(), self.shown, self._folder / "log")
                return
            socket = self._new_socket()
            command = server_command(
                self._program, self._folder, str(socket), self._maxmemory,
                "--appendonly", "yes", "--appendfsync", "everysec",
                "--daemonize", "yes", "--logfile", str(self._folder / "log"),
            )  # fmt: skip
            started = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, pass_fds=[lock.fileno()], check=False
            )
            if started.returncode != 0:
                raise QueueError(f"{self.shown}: the server did not start: {started.stdout.decode(errors='replace')}")
        # Only the server holds the lock now: an attempt that fails ends the wait early.
        wait_until_ready(self._server_url(), self.shown, self._folder / "log", alive=self._server_runs)

    def _new_socket(self) -> Path:
        """Return where the server shall listen, if possible where it did before, and note it."""
        socket = self._folder / "socket"
        if len(os.fsencode(socket)) > SOCKET_PATH_MAX:
            before = self._noted_socket()
            if before is not None and before.parent.is_dir() and before.parent.stat().st_uid == os.getuid():
                socket = before
            else:
                socket = private_folder() / "s"
        note = self._folder / "address.new"
        note.write_text(str(socket))
        note.replace(self._folder / "address")
        return socket

    def _noted_socket(self) -> Path | None:
        try:
            return Path((self._folder / "address").read_text())
        except FileNotFoundError:
            return None

    def _server_url(self) -> str:
        return f"unix://{self._noted_socket()}"

    def _shut_down(self) -> None:
        """End the server and wait until it is gone."""
        if not self._server_runs():
            return
        transport = ServerTransport(self._server_url(), self.shown)
        with contextlib.suppress(ServerUnavailable):
            transport.shut_down()
        end = time.monotonic() + START
        while self._server_runs() and time.monotonic() < end:
            time.sleep(0.01)
        socket = self._noted_socket()
        if socket is not None and socket.parent != self._folder and not self._server_runs():
            socket.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                socket.parent.rmdir()


def _after_fork() -> None:
    """In a forked child: let go of the parent's lock; the child joins by itself if it uses the queue."""
    for server in list(_live):
        server._here = threading.Lock()
        if server._users is not None:
            server._users.close()
            server._users = None


os.register_at_fork(after_in_child=_after_fork)
