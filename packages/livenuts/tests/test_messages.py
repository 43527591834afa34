"""What a sink hears: the declared forms, gapless, in order, on time; and `stream`, the same messages pulled."""

import threading
import time
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import livenuts as ln
import numpy as np
import pytest
from livenuts import dist, ref
from livenuts.messages import TYPES

RUN: dict[str, Any] = {"num_warmup": 60, "num_samples": 40, "num_chains": 2, "seed": 1, "progress": False}
PLAIN = (type(None), bool, int, float, str, np.ndarray)


def model() -> ln.Model:
    return (
        ln.Model("heard", coords={"k": ["a", "b", "c"]})
        .rv("mu", dist.Normal(0, 1))
        .rv("v", dist.HalfNormal(1.0), dims="k")
        .det("twice", 2 * ref("v"))
    )


def slow(seconds: float) -> Any:
    """A log density that takes this long a leapfrog step, whatever the machine: it sleeps on the host."""

    def nap(_: Any) -> Any:
        time.sleep(seconds)
        return np.float32(0.0)  # callbacks run outside of our double precision

    @jax.custom_jvp
    def density(x: Any) -> Any:
        return -0.5 * x**2 + jax.pure_callback(nap, jax.ShapeDtypeStruct((), jnp.float32), x)

    density.defjvps(lambda tangent, answer, x: -x * tangent)
    return ln.from_logdensity(density, 0.1)


class Listener:
    """A sink that keeps what it hears, and when, and from which thread."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.times: list[float] = []
        self.threads: list[str] = []
        self.flushed: list[int] = []
        self._lock = threading.Lock()

    def __call__(self, message: dict[str, Any]) -> None:
        with self._lock:
            self.messages.append(message)
            self.times.append(time.perf_counter())
            self.threads.append(threading.current_thread().name)

    def flush(self) -> None:
        self.flushed.append(len(self.messages))

    def part(self, name: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["part"] == name]


def living() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("livenuts")}


def only_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and only_plain(part) for key, part in value.items())
    if isinstance(value, list):
        return all(map(only_plain, value))
    return isinstance(value, (*PLAIN, np.generic))


def check_conformance(messages: list[dict[str, Any]]) -> None:
    """Every message has its type's fields and no other, plain values, and its part's next number."""
    expected: dict[str, int] = {}
    for message in messages:
        declared = TYPES[message["type"]]
        assert set(message) == declared.__required_keys__, message["type"]
        assert only_plain(message), message
        assert message["seq"] == expected.get(message["part"], 0), message["part"]
        expected[message["part"]] = message["seq"] + 1
        if message["type"] in ("nuts.draw/1", "nuts.warmup/1"):
            assert message["seq"] == message["draw"]
            suffix = "" if message["type"] == "nuts.draw/1" else "/warmup"
            assert message["part"] == f"chain-{message['chain']}{suffix}"
    assert [messages[0]["type"], messages[-1]["type"]] == ["nuts.start/1", "nuts.end/1"]


def test_messages_are_as_declared() -> None:
    listener = Listener()
    result = ln.sample(model(), sink=listener, **RUN)
    check_conformance(listener.messages)
    start, end = listener.part("run")
    assert start["model"] == "heard"
    assert start["seed"] == 1
    assert start["settings"] | {"num_warmup": 60, "num_samples": 40, "num_chains": 2} == start["settings"]
    assert [(v["name"], v["shape"], v["dims"]) for v in start["variables"]] == [
        ("mu", [], None),
        ("v", [3], ["k"]),
        ("twice", [3], None),
    ]
    assert (end["status"], end["draws"]) == ("completed", [40, 40])
    for chain in (0, 1):
        assert len(listener.part(f"chain-{chain}")) == 40
        assert len(listener.part(f"chain-{chain}/warmup")) == 60
    stats = listener.part("chain-0")[3]["stats"]
    names = "lp energy acceptance_rate step_size n_steps tree_depth diverging index_in_trajectory recovered"
    assert set(stats) == set(names.split())
    kinds = {name: type(value) for name, value in stats.items()}
    assert kinds["diverging"] is bool
    assert kinds["n_steps"] is kinds["tree_depth"] is kinds["index_in_trajectory"] is int
    assert kinds["lp"] is float
    assert listener.part("chain-1")[7]["values"]["twice"].shape == (3,)
    assert result.lengths == [40, 40]
    # Flushed before the end, so that nothing comes after it, and once it is said.
    assert listener.flushed == [len(listener.messages) - 1, len(listener.messages)]


def test_conformance_sees_poison() -> None:
    """A gap, a missing field and an array of objects are each caught by the same check."""
    listener = Listener()
    ln.sample(model(), sink=listener, **RUN)
    where = next(i for i, m in enumerate(listener.messages) if m["type"] == "nuts.draw/1")
    draw = listener.messages[where]
    for wrong in (
        [*listener.messages[:where], *listener.messages[where + 1 :]],
        [*listener.messages[:where], {k: v for k, v in draw.items() if k != "stats"}, *listener.messages[where + 1 :]],
        [*listener.messages[:where], draw | {"values": {"x": object()}}, *listener.messages[where + 1 :]],
        listener.messages[1:],
        listener.messages[:-1],
    ):
        with pytest.raises(AssertionError):
            check_conformance(wrong)


def test_a_digest_is_of_model_and_data() -> None:
    def digest(what: Any, **arguments: Any) -> str:
        listener = Listener()
        ln.sample(what, sink=listener, **RUN | arguments)
        return str(listener.messages[0]["digest"])

    coin = ln.Model("coin").rv("p", dist.Beta(1, 1)).obs("k", dist.Binomial(10, "p"), 7)
    assert digest(coin) == digest(coin, seed=2, num_samples=3)
    assert digest(coin) != digest(coin.with_data(k=8))
    other = ln.Model("coin").rv("p", dist.Beta(2, 1)).obs("k", dist.Binomial(10, "p"), 7)
    assert digest(coin) != digest(other)


def test_a_listener_hears_ten_times_a_second() -> None:
    """A model that sleeps 5 ms a step, some 15 ms a draw: its 200 draws arrive in bursts, at least eight a second
    (ten by design; it sleeps more than it works, so load matters little)."""
    listener = Listener()
    ln.sample(slow(0.005), num_warmup=0, num_samples=200, num_chains=1, max_tree_depth=2, sink=listener, progress=False)
    times = [t for t, m in zip(listener.times, listener.messages, strict=True) if m["type"] == "nuts.draw/1"]
    elapsed = times[-1] - times[0]
    bursts = 1 + sum(b - a > 0.004 for a, b in pairwise(times))
    assert elapsed > 0.3, "the model is meant to be slow"
    assert bursts / elapsed > 8.0


def test_a_listener_cannot_write_to_the_draws() -> None:
    """Arrays are views of what the run keeps, read-only; numbers are plain floats."""

    def sink(message: dict[str, Any]) -> None:
        if message["type"] == "nuts.draw/1":
            assert type(message["values"]["mu"]) is float
            message["values"]["v"] *= 2.0

    with pytest.raises(ValueError, match="read-only"):
        ln.sample(model(), sink=sink, **RUN)
    # What it does to its own message is its own affair.
    result = ln.sample(model(), sink=lambda message: message.clear(), **RUN)
    np.testing.assert_array_equal(result.draws["v"], ln.sample(model(), **RUN).draws["v"])


def test_one_thread_at_a_time_for_each_part() -> None:
    """A sink that is called again on a part before it returned would see it."""
    inside: set[str] = set()

    def sink(message: dict[str, Any]) -> None:
        assert message["part"] not in inside
        inside.add(message["part"])
        time.sleep(1e-5)
        inside.remove(message["part"])

    ln.sample(model(), sink=sink, **RUN)
    assert living() == set()


# -- stop, failure -----------------------------------------------------------------------------------------------------

FOREVER: dict[str, Any] = {"num_warmup": 20, "num_samples": 10_000_000, "num_chains": 2, "seed": 1, "progress": False}


def test_stop_keeps_the_draws() -> None:
    listener = Listener()
    result = ln.sample(
        model(), sink=listener, stop=lambda: all(len(listener.part(f"chain-{k}")) > 30 for k in (0, 1)), **FOREVER
    )
    assert result.status == "stopped"
    assert result.num_draws == min(result.lengths) > 30
    check_conformance(listener.messages)
    assert listener.messages[-1]["status"] == "stopped"
    assert listener.messages[-1]["draws"] == result.lengths
    # What it kept is what a whole run begins with.
    again = ln.sample(model(), **FOREVER | {"num_samples": 30})
    np.testing.assert_array_equal(result.draws["v"][:, :30], again.draws["v"])
    assert living() == set()


def test_stop_before_the_first_draw() -> None:
    result = ln.sample(model(), stop=lambda: True, **FOREVER)
    assert (result.status, result.num_draws) == ("stopped", 0)
    assert result.draws["v"].shape == (2, 0, 3)


class Deaf(Listener):
    """A sink that fails at one message."""

    def __init__(self, kind: str, seq: int) -> None:
        super().__init__()
        self.kind, self.seq = kind, seq

    def __call__(self, message: dict[str, Any]) -> None:
        if message["type"] == self.kind and message["seq"] == self.seq:
            raise OSError("the line is dead")
        super().__call__(message)


@pytest.mark.parametrize(("kind", "seq"), [("nuts.draw/1", 25), ("nuts.warmup/1", 3), ("nuts.progress/1", 0)])
def test_a_sink_that_raises_stops_the_run_and_keeps_the_draws(kind: str, seq: int) -> None:
    sink = Deaf(kind, seq)
    with pytest.raises(OSError, match="the line is dead") as caught:
        ln.sample(model(), sink=sink, **FOREVER)
    result = caught.value.result  # type: ignore[attr-defined]
    assert result.status == "failed"
    assert "result" in caught.value.__notes__[0]
    if kind == "nuts.draw/1":
        assert result.num_draws > 20
        assert result.num_chains == sum(length > 0 for length in result.lengths)
    assert [message["type"] for message in sink.part("run")] == ["nuts.start/1", "nuts.failure/1", "nuts.end/1"]
    assert "the line is dead" in sink.part("run")[1]["error"]
    assert living() == set()


def test_a_stop_that_raises_ends_the_run() -> None:
    def stop() -> bool:
        raise RuntimeError("asked too much")

    with pytest.raises(RuntimeError, match="asked too much"):
        ln.sample(model(), stop=stop, **FOREVER)
    assert living() == set()


# -- stream ------------------------------------------------------------------------------------------------------------


def test_a_stream_gives_the_messages_of_a_sink() -> None:
    listener = Listener()
    result = ln.sample(model(), sink=listener, **RUN)
    messages = []
    pulled = ln.stream(model(), **RUN)
    while True:
        try:
            messages.append(next(pulled))
        except StopIteration as stop:
            returned = stop.value
            break
    check_conformance(messages)
    np.testing.assert_array_equal(returned.draws["v"], result.draws["v"])
    assert {m["part"] for m in messages} >= {"run", "chain-0", "chain-1", "chain-0/warmup"}
    assert len([m for m in messages if m["type"] == "nuts.draw/1"]) == 80


@pytest.mark.parametrize("buffer", [1, 10_000])
def test_closing_a_stream_stops_the_run(buffer: int) -> None:
    """At once, whether the sampler is ahead or waits for room; no thread stays."""
    pulled = ln.stream(model(), buffer=buffer, **FOREVER)
    first = [next(pulled) for _ in range(200)]
    assert first[0]["type"] == "nuts.start/1"
    assert living() != set()
    began = time.perf_counter()
    pulled.close()
    assert time.perf_counter() - began < 5.0
    assert living() == set()


def test_a_stream_that_is_not_pulled_does_not_start() -> None:
    ln.stream(model(), **FOREVER).close()
    assert living() == set()


def test_errors_come_through_a_stream() -> None:
    with pytest.raises(ValueError, match="no free variable"):
        list(ln.stream(ln.Model("empty"), **RUN))
    with pytest.raises(TypeError, match="its own sink"):
        list(ln.stream(model(), sink=print, **RUN))
    assert living() == set()


def test_a_sink_that_refuses_the_first_message_leaves_a_result_too() -> None:
    def refuse(message: dict[str, Any]) -> None:
        raise OSError("full")

    with pytest.raises(OSError, match="full") as caught:
        ln.sample(ln.Model("m").rv("x", ln.dist.Normal(0, 1)), sink=refuse, progress=False)
    assert caught.value.result.num_draws == 0  # type: ignore[attr-defined]
