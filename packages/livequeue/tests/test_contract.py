"""The promises of docs/protocol.md, one suite over every store."""

import asyncio
import contextlib
import pickle
import re
import threading
import time
from itertools import count, islice
from typing import Any

import livequeue
import numpy as np
import pytest
from livequeue import Queue


def start(label: str = "") -> dict[str, Any]:
    return {"type": "demo.start/1", "part": "run", "seq": 0, "label": label, "digest": "abc"}


def end(seq: int = 1) -> dict[str, Any]:
    return {"type": "demo.end/1", "part": "run", "seq": seq}


def draw(seq: int, part: str = "chain-0", value: float | None = None) -> dict[str, Any]:
    value = seq / 7 if value is None else value
    return {"type": "demo.draw/1", "part": part, "seq": seq, "values": {"mu": np.array([value, -value])}}


def progress(seq: int, part: str = "progress") -> dict[str, Any]:
    return {"type": "demo.progress/1", "part": part, "seq": seq, "done": seq}


def publish(queue: Queue, run: str, *messages: dict[str, Any]) -> None:
    with queue.publisher(run) as sink:
        for message in messages:
            sink(message)


def close_quietly(sink: livequeue.Publisher) -> None:
    """Close a publisher whose error was seen already."""
    with contextlib.suppress(livequeue.QueueError):
        sink.close()


def seqs(messages: Any, part: str) -> list[int]:
    return [message["seq"] for message in messages if message["part"] == part]


def test_every_message_arrives_once_in_order_and_the_run_ends(queue: Queue) -> None:
    publish(queue, "r", start(), *(draw(i, f"chain-{k}") for i in range(700) for k in range(3)), end())
    messages = list(queue.subscribe("r"))
    for k in range(3):
        assert seqs(messages, f"chain-{k}") == list(range(700))
    assert messages[-1]["type"] == "demo.end/1"
    assert queue.length("r") == len(messages) == 2102


def test_a_listener_hears_while_the_engine_works(queue: Queue) -> None:
    """Long before a batch is full; the bound is generous for busy machines."""
    with queue.publisher("r") as sink, queue.subscribe("r", timeout=10) as messages:
        for i in range(5):
            sent = time.monotonic()
            sink(draw(i))
            assert next(messages)["seq"] == i
            assert time.monotonic() - sent < 2.0


def test_a_new_part_wakes_a_waiting_listener(queue: Queue) -> None:
    with queue.publisher("r") as sink, queue.subscribe("r", timeout=10) as messages:
        for k in range(4):
            sink(draw(0, f"chain-{k}"))
            assert next(messages)["part"] == f"chain-{k}"


def test_values_survive(queue: Queue) -> None:
    values = {
        "nan": float("nan"),
        "inf": -np.inf,
        "none": None,
        "deep": [{"a": [1, "é", True]}],
        "f4": np.float32([1, 2]),
    }
    publish(queue, "r", {**draw(0), "values": values, "big": 2**64 - 1, "scalar": np.int16(-3)})
    (message,) = queue.subscribe("r", follow=False)
    assert np.isnan(message["values"]["nan"])
    assert message["values"]["inf"] == -np.inf
    assert message["values"]["deep"] == [{"a": [1, "é", True]}]
    assert message["values"]["f4"].dtype == np.float32
    assert message["big"] == 2**64 - 1
    assert message["scalar"] == -3
    with pytest.raises(ValueError, match="read-only"):
        message["values"]["f4"][0] = 0


def test_a_message_changed_after_the_call_is_stored_as_it_was(queue: Queue) -> None:
    message = draw(0)
    with queue.publisher("r") as sink:
        sink(message)
        message["values"]["mu"][:] = 99
    assert next(queue.subscribe("r", follow=False))["values"]["mu"].tolist() == [0, 0]


def test_a_cursor_goes_on_where_another_reader_stopped(queue: Queue) -> None:
    publish(queue, "r", start(), *(draw(i, f"chain-{k}") for i in range(50) for k in range(2)), end())
    with queue.subscribe("r") as messages:
        first = list(islice(messages, 37))
        cursor = messages.cursor
    with queue.subscribe("r", after=cursor) as messages:
        rest = list(messages)
        cursor = messages.cursor
    for part, length in (("run", 2), ("chain-0", 50), ("chain-1", 50)):
        assert seqs(first + rest, part) == list(range(length))
    with queue.subscribe("r", after=cursor, timeout=10) as messages:  # behind the end
        assert list(messages) == []
        assert messages.ended


def test_readers_in_turns_see_everything_once(queue: Queue) -> None:
    publish(queue, "r", start(), *(draw(i, f"chain-{k}") for i in range(20) for k in range(2)), end())
    seen, cursor = [], None
    for _ in range(42):
        with queue.subscribe("r", after=cursor) as messages:
            seen.append(next(messages))
            cursor = messages.cursor
    assert seqs(seen, "chain-0") == seqs(seen, "chain-1") == list(range(20))
    assert seqs(seen, "run") == [0, 1]


def test_a_cursor_of_another_run_or_nonsense_is_refused(queue: Queue) -> None:
    publish(queue, "r", start())
    with queue.subscribe("r", follow=False) as messages:
        list(messages)
        cursor = messages.cursor
    with pytest.raises(livequeue.ProtocolError, match="belongs to run 'r'"):
        queue.subscribe("other", after=cursor)
    for nonsense in ("", "x", "é", cursor[:-3], "A" * 1000):
        with pytest.raises(livequeue.ProtocolError, match="not a cursor"):
            queue.subscribe("r", after=nonsense)


def test_parts_and_types_select(queue: Queue) -> None:
    publish(queue, "r", start(), draw(0), progress(0), draw(0, "chain-1"), progress(0, "chain-1/warmup"), end())

    def parts(**selection: Any) -> set[str]:
        return {message["part"] for message in queue.subscribe("r", **selection)}

    def types(**selection: Any) -> list[str]:
        return [message["type"] for message in queue.subscribe("r", **selection)]

    assert parts(parts="chain-*") == {"chain-0", "chain-1", "chain-1/warmup"}
    assert parts(parts=["chain-1", "progress"]) == {"chain-1", "progress"}
    assert set(types(types="demo.*r*/1")) == {"demo.start/1", "demo.draw/1", "demo.progress/1"}
    assert types(types=["demo.end/1"]) == ["demo.end/1"]


def test_timeout_ends_quietly(queue: Queue) -> None:
    publish(queue, "r", start())
    with queue.subscribe("r", timeout=0.3) as messages:
        assert len(list(messages)) == 1
        assert not messages.ended
    with queue.subscribe("never", timeout=0.1) as messages:
        assert list(messages) == []


def test_a_listener_may_come_before_the_run(queue: Queue) -> None:
    found: list[Any] = []
    listener = threading.Thread(target=lambda: found.extend(queue.subscribe("r", timeout=20)))
    listener.start()
    time.sleep(0.2)
    publish(queue, "r", start(), draw(0), end())
    listener.join(20)
    assert [m["type"] for m in found] == ["demo.start/1", "demo.draw/1", "demo.end/1"]


def test_messages_after_an_end_are_part_of_the_run(queue: Queue) -> None:
    """A run that was extended: its first end is not its end."""
    publish(queue, "r", start(), draw(0), end(1))
    publish(queue, "r", draw(1), {**start(), "type": "demo.extend/1", "seq": 2}, end(3))
    messages = list(queue.subscribe("r"))
    assert seqs(messages, "run") == [0, 1, 2, 3]
    assert messages[-1]["seq"] == 3


def test_closing_a_waiting_subscription_ends_it(queue: Queue) -> None:
    messages = queue.subscribe("r")
    timer = threading.Timer(0.2, messages.close)
    timer.start()
    began = time.monotonic()
    assert list(messages) == []
    assert time.monotonic() - began < 5
    timer.join()


def test_closing_the_queue_ends_its_subscriptions(queue: Queue) -> None:
    other = livequeue.connect(queue.url)
    messages = other.subscribe("r")
    timer = threading.Timer(0.2, other.close)
    timer.start()
    assert list(messages) == []
    timer.join()


def test_the_same_messages_again_are_harmless(queue: Queue) -> None:
    messages = [start(), *(draw(i) for i in range(1200))]
    publish(queue, "r", *messages[:801])
    publish(queue, "r", *messages, end())
    assert seqs(queue.subscribe("r"), "chain-0") == list(range(1200))
    with queue.publisher("r") as sink:  # also to the same publisher, as a task that runs again does
        for message in messages[1:100] + messages[1:60]:
            sink(message)
    assert queue.length("r") == 1202


def test_a_writer_that_goes_on_from_its_checkpoint(queue: Queue) -> None:
    publish(queue, "r", *(draw(i) for i in range(10)))
    publish(queue, "r", *(draw(i) for i in range(7, 20)))
    assert seqs(queue.subscribe("r", follow=False), "chain-0") == list(range(20))


@pytest.mark.parametrize("old_length", [1, 5, 400])
def test_another_run_under_the_same_id_is_refused_and_changes_nothing(queue: Queue, old_length: int) -> None:
    publish(queue, "r", *(draw(i) for i in range(old_length)))
    sink = queue.publisher("r")
    with pytest.raises(livequeue.Conflict, match=r"run 'r', part 'chain-0', seq 0.*reused run id"):  # noqa: PT012
        for i in range(10):
            sink(draw(i, value=-1.0))
        sink.flush()
    close_quietly(sink)
    assert queue.length("r") == old_length


def test_a_second_writer_at_the_same_time_is_found(queue: Queue) -> None:
    first = queue.publisher("r")
    first(draw(0))
    first.flush()
    publish(queue, "r", draw(0), draw(1, value=5.0))
    with pytest.raises(livequeue.Conflict, match="seq 1"):  # noqa: PT012
        first(draw(1))
        first.flush()
    close_quietly(first)
    assert queue.length("r") == 2


def test_another_digest_under_the_same_run_is_refused(queue: Queue) -> None:
    publish(queue, "r", start())
    sink = queue.publisher("r")
    with pytest.raises(livequeue.Conflict, match="part 'run', seq 0"):  # noqa: PT012
        sink({**start(), "digest": "other"})
        sink.flush()
    close_quietly(sink)


def test_holes_are_refused(queue: Queue) -> None:
    sink = queue.publisher("r")
    sink(draw(0))
    with pytest.raises(livequeue.InvalidMessage, match=r"part 'chain-0': seq 2 comes after 0; it must be 1"):
        sink(draw(2))
    sink(draw(1))  # the refused message did no harm
    sink.close()
    late = queue.publisher("r")
    with pytest.raises(livequeue.MessagesLost, match=r"part 'chain-0': seq 2 to 4 are missing"):  # noqa: PT012
        late(draw(5))
        late.flush()
    close_quietly(late)
    assert queue.length("r") == 2


def test_telemetry_is_trimmed_and_its_gaps_are_told(queue: Queue) -> None:
    with queue.publisher("r", maxlen=100) as sink:
        for i in range(3000):
            sink(progress(i))
    gaps: list[tuple[str, int, int]] = []
    with queue.subscribe("r", follow=False, on_gap=lambda *gap: gaps.append(gap)) as messages:
        found = seqs(messages, "progress")
    assert len(found) < 1000
    assert found == list(range(found[0], 3000))
    assert messages.gaps == {"progress": found[0]}
    assert gaps == [("progress", 0, found[0])]


def test_telemetry_that_begins_again_goes_on_at_the_end(queue: Queue) -> None:
    publish(queue, "r", *(progress(i) for i in range(5)))
    publish(queue, "r", *(progress(i) for i in range(3)))
    with queue.publisher("r") as sink:
        for i in (0, 1, 0, 1, 4):
            sink(progress(i))
    with queue.subscribe("r", follow=False) as messages:
        assert seqs(messages, "progress") == [0, 1, 2, 3, 4, 0, 1, 2, 0, 1, 0, 1, 4]
        assert messages.gaps == {"progress": 2}


def test_which_parts_are_telemetry_can_be_chosen(queue: Queue) -> None:
    with queue.publisher("r", telemetry=["noise-*"]) as sink:
        sink(progress(0, "noise-1"))
        sink(progress(5, "noise-1"))
        sink(progress(0))
        with pytest.raises(livequeue.InvalidMessage, match="it must be 1"):
            sink(progress(5))


BAD = [
    ({"part": "a", "seq": 0}, "run 'r': the message lacks 'type'; it has 'part', 'seq'"),
    ([], "run 'r': a message must be a dict, got list"),
    ({"type": "Draw"}, r"part 'chain-0': message\['type'\] is 'Draw'; it must look like 'engine.event/1'"),
    ({"part": "a b"}, r"message\['part'\] is 'a b'"),
    ({"part": None}, r"message\['part'\] is None"),
    ({"part": []}, r"message\['part'\] is \[\]"),
    ({"seq": -1}, r"message\['seq'\] is -1; it must be an int >= 0"),
    ({"seq": True}, r"message\['seq'\] is True"),
    ({"seq": 1.0}, r"message\['seq'\] is 1.0"),
    ({"x": {1: 2}}, r"seq 1: message\['x'\]: the key 1 is a int; keys must be str"),
    ({"x": [0, {"y": (1, 2)}]}, r"message\['x'\]\[1\]\['y'\]: \(1, 2\) is a tuple; make it a list"),
    ({"x": b"raw"}, "bytes do not travel in messages"),
    ({"x": {1, 2}}, "set; allowed are None, bool"),
    ({"x": 2**64}, "outside"),
    ({"x": np.array([1j])}, "an array of dtype complex128; allowed are"),
    ({"x": np.array(["a"])}, "an array of dtype <U1"),
    ({"x": np.array([None])}, "an array of dtype object"),
    ({"x": np.ma.masked_array([1.0], [True])}, "masked array"),
    ({"x": np.complex64(1)}, "NumPy scalar of dtype complex64"),
    ({"x": np.zeros(2**20 + 1)}, "more than 8,388,608"),
    ({"x": "\ud800"}, "UTF-8"),
]


@pytest.mark.parametrize(("message", "text"), BAD, ids=count())
def test_bad_messages_are_refused_at_the_door(queue: Queue, message: Any, text: str) -> None:
    with queue.publisher("r") as sink:
        sink(draw(0))
        whole = {**draw(1), **message} if isinstance(message, dict) and len(message) == 1 else message
        with pytest.raises(livequeue.InvalidMessage, match=text):
            sink(whole)
        sink(draw(1))
    assert queue.length("r") == 2


@pytest.mark.parametrize("run", ["", "a b", "a{b}", "a/b", "x" * 201, None, "new\nline"])
def test_bad_run_ids_are_refused(queue: Queue, run: Any) -> None:
    with pytest.raises(livequeue.InvalidMessage, match="run id"):
        queue.publisher(run)
    with pytest.raises(livequeue.InvalidMessage, match="run id"):
        queue.subscribe(run)


def test_runs_are_listed_oldest_first_and_deleted(queue: Queue) -> None:
    for run in ("b", "a", "c"):
        publish(queue, run, start(f"label of {run}"), draw(0), progress(0))
        time.sleep(0.002)
    assert queue.runs() == ["b", "a", "c"]
    publish(queue, "b", end())
    publish(queue, "a", {"type": "demo.failure/1", "part": "run", "seq": 1, "recovered": True})
    publish(queue, "c", {"type": "demo.failure/1", "part": "run", "seq": 1})
    info = queue.info("b")
    assert (info.run, info.label, info.ended, info.status) == ("b", "label of b", True, "ended")
    assert info.parts == {"run": 2, "chain-0": 1, "progress": 1}
    assert abs(info.created - time.time()) < 60
    assert (queue.info("a").status, queue.info("c").status) == ("running", "failed")
    queue.request_stop("b", stop=False)
    queue.request_stop("a")
    queue.store("b")["x"] = b"1"
    queue.delete("b")
    assert queue.runs() == ["a", "c"]
    assert queue.length("b") == 0
    queue.delete("a")
    assert not queue.stop("a")()
    assert dict(queue.store("b")) == {}
    with pytest.raises(KeyError, match="no run 'b'"):
        queue.info("b")
    publish(queue, "b", start("again"))
    assert queue.length("b") == 1


def test_stop(queue: Queue) -> None:
    publish(queue, "r", start())
    stop = queue.stop("r")
    assert stop() is False
    assert queue.request_stop("r") is True
    assert stop() is False  # asked a moment ago: no second question to the server
    time.sleep(stop.interval)
    assert stop() is True
    assert queue.request_stop("r", stop=False) is True
    assert queue.stop("r")() is False


def test_a_run_that_has_not_begun_finds_the_request(queue: Queue) -> None:
    assert queue.request_stop("later") is True
    assert queue.stop("later")() is True
    publish(queue, "later", start())
    assert queue.stop("later")() is True
    queue.delete("later")
    queue.delete("later")  # nothing to delete: a delete may be repeated
    assert queue.stop("later")() is False
    with pytest.raises(livequeue.InvalidMessage):
        queue.request_stop("not a run id")


def test_a_run_that_has_ended_cannot_be_stopped(queue: Queue) -> None:
    publish(queue, "r", start())
    queue.request_stop("r")
    publish(queue, "r", end())
    assert queue.request_stop("r", stop=False) is True
    assert queue.request_stop("r") is False
    assert queue.stop("r")() is False


def test_store_is_a_mapping_of_bytes(queue: Queue) -> None:
    store = queue.store("r")
    assert len(store) == 0
    store["b"] = b"\x00\xff" * 1000
    store["a"] = bytearray(b"1")
    store["a"] = b"2"
    assert dict(store) == {"a": b"2", "b": b"\x00\xff" * 1000}
    assert "a" in store
    assert list(store) == ["a", "b"]
    del store["a"]
    with pytest.raises(KeyError):
        store["a"]
    with pytest.raises(KeyError):
        del store["a"]
    with pytest.raises(TypeError, match="a checkpoint is bytes under a str"):
        store["a"] = "text"  # type: ignore[assignment]
    assert queue.runs() == ["r"]


def test_async_subscribe(queue: Queue) -> None:
    async def listen() -> list[Any]:
        async with queue.asubscribe("r", timeout=20) as messages:
            return [message async for message in messages]

    async def both() -> list[Any]:
        listening = asyncio.create_task(listen())
        await asyncio.sleep(0.1)
        await asyncio.to_thread(publish, queue, "r", start(), *(draw(i) for i in range(100)), end())
        return await listening

    messages = asyncio.run(both())
    assert seqs(messages, "chain-0") == list(range(100))
    assert messages[-1]["type"] == "demo.end/1"


def test_async_subscribe_can_be_cancelled(queue: Queue) -> None:
    async def listen() -> None:
        async with queue.asubscribe("r") as messages:
            async for _ in messages:
                pass

    async def cancel() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(listen(), 0.2)

    asyncio.run(cancel())


def test_threads_share_a_publisher(queue: Queue) -> None:
    def chain(part: str) -> None:
        for i in range(500):
            sink(draw(i, part))

    with queue.publisher("r") as sink:
        chains = [threading.Thread(target=chain, args=(f"chain-{k}",)) for k in range(4)]
        for thread in chains:
            thread.start()
        for thread in chains:
            thread.join()
        sink.flush()
        assert queue.length("r") == 2000
    messages = list(queue.subscribe("r", follow=False))
    for k in range(4):
        assert seqs(messages, f"chain-{k}") == list(range(500))


def test_many_listeners_each_hear_everything(queue: Queue) -> None:
    heard: list[list[Any]] = [[] for _ in range(4)]

    def listen(mine: list[Any]) -> None:
        mine.extend(queue.subscribe("r", timeout=20))

    threads = [threading.Thread(target=listen, args=(mine,)) for mine in heard]
    for thread in threads:
        thread.start()
    publish(queue, "r", start(), *(draw(i) for i in range(300)), end())
    for thread in threads:
        thread.join(30)
    assert [len(mine) for mine in heard] == [302] * 4


def test_a_closed_publisher_says_so(queue: Queue) -> None:
    sink = queue.publisher("r")
    sink(draw(0))
    sink.close()
    sink.close()
    with pytest.raises(livequeue.PublisherClosed, match="run 'r'"):
        sink(draw(1))


def test_the_error_of_the_body_is_the_one_to_see(queue: Queue) -> None:
    publish(queue, "r", draw(0))
    with pytest.raises(ZeroDivisionError), queue.publisher("r") as sink:  # noqa: PT012
        with contextlib.suppress(livequeue.Conflict):
            sink(draw(0, value=9.0))
        raise ZeroDivisionError


def test_idle_publishers_keep_no_thread(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("livequeue.publisher._LINGER", 0.05)
    with queue.publisher("r") as sink:
        for i in range(3):
            sink(draw(i))
            sink.flush()
            time.sleep(0.2)
            assert not [t for t in threading.enumerate() if t.name == "livequeue r"]
    assert queue.length("r") == 3


def test_pickle(queue: Queue) -> None:
    sink = queue.publisher("r", interval=0.01)
    sink(draw(0))
    sink.flush()
    if queue.url.startswith("memory"):
        with pytest.raises(TypeError, match=r"memory://.*cannot travel"):
            pickle.dumps(sink)
        with pytest.raises(TypeError, match=r"memory://.*cannot travel"):
            pickle.dumps(queue.stop("r"))
    else:
        with pickle.loads(pickle.dumps(sink)) as copy:
            copy(draw(1))
        queue.request_stop("r")
        assert pickle.loads(pickle.dumps(queue.stop("r")))()
        assert queue.length("r") == 2
    sink.close()


@pytest.mark.parametrize("error", [livequeue.Conflict, livequeue.MessagesLost])
def test_closing_does_not_repeat_an_error_that_was_raised(queue: Queue, error: type[Exception]) -> None:
    publish(queue, "r", draw(0))
    with livequeue.connect(queue.url) if not queue.url.startswith("memory") else queue as other:
        sink, bad = other.publisher("r"), draw(0, value=9.0) if error is livequeue.Conflict else draw(5)
        with pytest.raises(error):  # noqa: PT012
            sink(bad)
            sink.flush()
        if not queue.url.startswith("memory"):
            with pytest.raises(error):  # a call is told again
                sink(bad)
        sink.close()
        with contextlib.suppress(error), other.publisher("r") as sink:
            sink(bad)
            sink.flush()
        seen = other.publisher("r")
        with contextlib.suppress(error):
            seen(bad)
            seen.flush()  # and the queue closes it


def test_closing_tells_an_error_that_nobody_saw(queue: Queue) -> None:
    publish(queue, "r", draw(0))
    with pytest.raises(livequeue.Conflict), queue.publisher("r") as sink:
        sink(draw(0, value=9.0))


def test_a_closed_queue_says_so(queue: Queue) -> None:
    other = livequeue.connect(queue.url)
    store = other.store("r")
    other.close()
    for use in (other.runs, lambda: other.publisher("r"), lambda: other.subscribe("r"), lambda: store["x"]):
        with pytest.raises(livequeue.QueueError, match="this queue is closed"):
            use()


NAN = float("nan")


@pytest.mark.parametrize("seconds", [NAN, np.float64("nan"), -1, -float("inf"), "1", True, [1]], ids=repr)
def test_seconds_are_checked(queue: Queue, seconds: Any) -> None:
    for use in (
        lambda: queue.subscribe("r", timeout=seconds),
        lambda: queue.asubscribe("r", timeout=seconds),
        lambda: queue.publisher("r", deadline=seconds),
        lambda: queue.publisher("r", interval=seconds),
        lambda: livequeue.connect(queue.url, deadline=seconds),
    ):
        with pytest.raises(ValueError, match=re.escape(repr(seconds))):
            use()


def test_seconds_may_be_none_or_all(queue: Queue) -> None:
    publish(queue, "r", start(), end())
    for seconds in (0, np.float32(1), float("inf")):
        assert len(list(queue.subscribe("r", timeout=seconds))) == 2
        livequeue.connect("memory://", deadline=seconds).close()


@pytest.mark.parametrize("name", ["maxlen", "buffer", "retain", "max_payload"])
@pytest.mark.parametrize("size", [NAN, -1, 1.5, "1", True, None], ids=repr)
def test_sizes_are_checked(queue: Queue, name: str, size: Any) -> None:
    with pytest.raises(ValueError, match=rf"{name} must be an int >= [01], got {size!r}"):
        queue.publisher("r", **{name: size})


def test_on_gap_is_checked(queue: Queue) -> None:
    with pytest.raises(TypeError, match="on_gap must be a function or None, got 'print'"):
        queue.subscribe("r", on_gap="print")  # type: ignore[arg-type]


def test_connecting_options_are_checked(queue: Queue) -> None:
    with pytest.raises(ValueError, match="interval"):
        queue.publisher("r", interval=1.0)
    with pytest.raises(ValueError, match="telemetry"):
        queue.publisher("r", telemetry="progress")
