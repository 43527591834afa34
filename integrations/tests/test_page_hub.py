"""How often the page is told, on a clock of the test's own: no figure here depends on the machine's speed."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import livequeue
import pytest
from liverecipes.page import hub as hubs
from liverecipes.page import watch as watches
from liverecipes.page.hub import Hub

MOST_A_SECOND = 10


class Clock:
    """Time that passes only where the hub sleeps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        there = SimpleNamespace(monotonic=lambda: self.now, time=time.time)
        monkeypatch.setattr(hubs, "time", there)
        monkeypatch.setattr(watches, "time", there)
        own = SimpleNamespace(
            sleep=self._sleep, to_thread=asyncio.to_thread, create_task=asyncio.create_task, shield=asyncio.shield,
            Task=asyncio.Task,
        )  # fmt: skip
        monkeypatch.setattr(hubs, "asyncio", own)

    async def _sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0.001)  # for the threads


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
def hub(memory: livequeue.Queue, clock: Clock) -> Iterator[Hub]:
    found = Hub(memory)
    yield found
    found.join()


def toy(seq: int) -> dict[str, Any]:
    return {"type": "toy.step/1", "part": "steps", "seq": seq, "x": float(seq)}


async def until(clock: Clock, end: float, stream: AsyncIterator[bytes]) -> list[tuple[float, bytes]]:
    """What is sent before the clock says so, and when."""
    found = []
    async for sent in stream:
        found.append((clock.now, sent))
        if clock.now >= end:
            return found
    return found


def views(sent: list[tuple[float, bytes]]) -> list[tuple[float, dict[str, Any]]]:
    return [
        (at, json.loads(line.partition(b"data: ")[2])) for at, line in sent if line.startswith(b"event: view")
    ]  # fmt: skip


def most_in_a_second(times: list[float]) -> int:
    return max(sum(start <= at < start + 1.0 - 1e-9 for at in times) for start in times)


async def busy(hub: Hub, memory: livequeue.Queue, clock: Clock, seconds: float) -> list[tuple[float, bytes]]:
    """What a page is sent of a run with a message at every moment."""
    with memory.publisher("r") as sink:
        sink(toy(0))
        sink.flush()
        taken = hubs.Watch._take

        def publish_on(watch: Any, batch: list[Any], cursor: str, epoch: int) -> bool:
            more = taken(watch, batch, cursor, epoch)
            if batch:
                sink(toy(batch[-1]["seq"] + 1))
                sink.flush()
            return more

        hubs.Watch._take = publish_on  # type: ignore[method-assign]
        try:
            return await until(clock, clock.now + seconds, hub.stream("r", []))
        finally:
            hubs.Watch._take = taken  # type: ignore[method-assign]
            hub.join()


def test_a_busy_run_is_told_ten_times_a_second(hub: Hub, memory: livequeue.Queue, clock: Clock) -> None:
    shown = views(asyncio.run(busy(hub, memory, clock, 5.0)))
    assert 5 < len(shown) <= 5 * MOST_A_SECOND + 1
    assert most_in_a_second([at for at, _ in shown]) <= MOST_A_SECOND
    assert shown[-1][1]["messages"] > len(shown)  # more came than was told of


def test_a_page_that_is_told_more_often_would_be_seen(
    hub: Hub, memory: livequeue.Queue, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hubs, "_TICK", 0.02)
    shown = views(asyncio.run(busy(hub, memory, clock, 5.0)))
    assert most_in_a_second([at for at, _ in shown]) > MOST_A_SECOND


@pytest.mark.parametrize("run", ["r", "nothing", None])
def test_a_silent_run_has_a_sign_of_life(run: str | None, hub: Hub, memory: livequeue.Queue, clock: Clock) -> None:
    with memory.publisher("r") as sink:
        sink(toy(0))
    began = clock.now
    sent = asyncio.run(until(clock, began + 100.0, hub.stream(run, [])))
    assert sum(line.startswith(b": ") for _, line in sent) >= 5
    times = [began, *(at for at, _ in sent)]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert max(gaps) <= 15.0
    assert len(sent) < 20


def test_a_slow_page_is_told_less_and_nothing_is_lost(
    hub: Hub, memory: livequeue.Queue, clock: Clock, mirror: Any
) -> None:
    """The slow one reads thrice: what came in between is one event, and it holds up neither the run nor the other."""

    async def both() -> tuple[list[dict[str, Any]], int]:
        quick_seen = 0
        slow_events: list[dict[str, Any]] = []

        async def next_view(stream: AsyncIterator[bytes], least: int) -> dict[str, Any]:
            async for sent in stream:
                if sent.startswith(b"event: view"):
                    data: dict[str, Any] = json.loads(sent.partition(b"data: ")[2])
                    if stream is slow:
                        slow_events.append(data)
                    if data["messages"] >= least:
                        return data
            raise AssertionError("the stream ended")

        with memory.publisher("r") as sink:
            slow, quick = hub.stream("r", []), hub.stream("r", [])
            for start, end in ((0, 10), (10, 1500), (1500, 40_000)):
                for seq in range(start, end):
                    sink(toy(seq))
                sink.flush()  # the run goes on whoever reads
                quick_seen = (await next_view(quick, end))["messages"]
                await next_view(slow, end)
            await slow.aclose()  # type: ignore[attr-defined]
            await quick.aclose()  # type: ignore[attr-defined]
            hub.join()
        return slow_events, quick_seen

    events, quick_seen = asyncio.run(both())
    assert quick_seen == 40_000
    assert [data["messages"] for data in events] == [10, 1500, 40_000]
    assert [data["full"] for data in events] == [True, False, True]  # too much for a difference is a whole state
    for data in events:
        mirror.apply(data)
    assert len(mirror.values["series", "x", "steps"]) == 40_000
    assert mirror.values["series", "x", "steps"][-500:] == [float(seq) for seq in range(39_500, 40_000)]


def test_what_no_view_can_take_is_said_once(
    memory: livequeue.Queue, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the family's view nor the plain one: each is logged once, and what comes after is read."""

    class Broken(watches.Generic):
        def take(self, message: dict[str, Any]) -> None:
            if 10 <= message["seq"] < 20:
                raise ValueError("not a message for me")
            super().take(message)

    monkeypatch.setattr(watches, "Generic", Broken)
    with memory.publisher("toys") as sink:
        for seq in range(30):
            sink(toy(seq))
    watch = watches.Watch(memory, "toys", 0.0, {"toy": Broken})
    try:
        deadline = time.monotonic() + 10
        while memory.length("toys") and len(caplog.records) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        while (watch.picture(None, []) is None) and time.monotonic() < deadline:
            time.sleep(0.01)
    finally:
        watch.close()
    assert [record.getMessage() for record in caplog.records] == [
        "run toys: a message that its view cannot take; shown plainly",
        "run toys, shown plainly: a message that its view cannot take; left out, as are others like it",
    ]
