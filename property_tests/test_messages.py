"""What every engine's messages must be: declared, gapless, the same for the same seed, and fit for the queue.

An engine joins by one line in ENGINES: a function that runs it with a sink and a seed.
"""

import importlib
import math
import threading
import warnings
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import livebart
import livenuts as ln
import livequeue
import livesim as ls
import livesmc2
import msgspec
import numpy as np
import pytest
from livenuts import dist
from livequeue.wire import encode

Message = dict[str, Any]
Run = Callable[[Callable[[Message], Any], int], Any]


def nuts(sink: Callable[[Message], Any], seed: int) -> Any:
    model = ln.Model("pair").rv("a", dist.Normal(0, 1)).rv("b", dist.Normal("a", 1), shape=2)
    model.det("c", ln.exp(ln.ref("a")))
    return ln.sample(model, num_warmup=60, num_samples=40, num_chains=2, seed=seed, sink=sink, progress=False)


def sim(sink: Callable[[Message], Any], seed: int) -> Any:
    """With events; one replication fails."""
    shop = ls.Model("shop").resource("barber")
    service = ls.hold(ls.exponential(mean=ls.param("service", 7.0)))
    every = ls.arrive(every=ls.exponential(mean=10.0))
    shop.process("customer", every, ls.seize("barber"), service, ls.release("barber"), ls.depart())
    services = {"service": [7.0, 6.0, -1.0, *range(1, 10)]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ls.replicate(shop, 12, until=100.0, seed=seed, params=services, events=True, sink=sink, progress=False)


def smc2(sink: Callable[[Message], Any], seed: int) -> Any:
    """With a missing observation."""
    model, prior = livesmc2.models.local_level()
    return livesmc2.run(model, prior, [0.1, math.nan, 0.7, 1.5, 0.9], 30, 20, seed=seed, sink=sink, progress=False)


def bart(sink: Callable[[Message], Any], seed: int) -> Any:
    x = np.random.default_rng(0).normal(size=(40, 3))
    trees = livebart.BARTRegressor(10, n_burnin=20, n_draws=15, n_chains=2, random_state=seed)
    return trees.fit(x, x[:, 0], sink=sink)


ENGINES: dict[str, Run] = {"livenuts": nuts, "livesim": sim, "livesmc2": smc2, "livebart": bart}


def is_telemetry(part: str) -> bool:
    return part == "progress" or "/" in part


def collect(run: Run, seed: int) -> list[Message]:
    messages: list[Message] = []
    lock = threading.Lock()

    def sink(message: Message) -> None:
        with lock:
            messages.append(message)

    run(sink, seed)
    return messages


def lossless_bytes(messages: list[Message]) -> dict[str, list[bytes]]:
    """The encoded messages of each lossless part, in order."""
    parts = defaultdict(list)
    for message in messages:
        if not is_telemetry(message["part"]):
            parts[message["part"]].append(encode(message))
    return dict(parts)


@pytest.fixture(scope="module", params=sorted(ENGINES))
def engine(request: pytest.FixtureRequest) -> tuple[str, Run, list[Message]]:
    run = ENGINES[request.param]
    return request.param, run, collect(run, seed=3)


def test_messages_are_those_declared(engine: tuple[str, Run, list[Message]]) -> None:
    name, _, messages = engine
    declared = importlib.import_module(f"{name}.messages").TYPES
    for message in messages:
        form = declared[message["type"]]
        assert set(message) == form.__required_keys__, message["type"]
        msgspec.convert(message, form)
    with pytest.raises(msgspec.ValidationError):  # the poison: a field of another type
        msgspec.convert({**messages[0], "seq": "0"}, declared[messages[0]["type"]])


def test_parts_count_from_zero_without_gaps(engine: tuple[str, Run, list[Message]]) -> None:
    counted: dict[str, int] = defaultdict(int)
    for message in engine[2]:
        assert message["seq"] == counted[message["part"]]
        counted[message["part"]] += 1
    assert engine[2][0]["part"] == "run"
    assert engine[2][-1]["part"] == "run"
    assert engine[2][-1]["type"].split("/")[0].endswith(".end")


def test_the_same_seed_gives_the_same_bytes(engine: tuple[str, Run, list[Message]]) -> None:
    _, run, messages = engine
    assert lossless_bytes(collect(run, seed=3)) == lossless_bytes(messages)
    assert lossless_bytes(collect(run, seed=4)) != lossless_bytes(messages)


@pytest.mark.parametrize("url", ["memory://", "embedded://"])
def test_messages_survive_the_queue(engine: tuple[str, Run, list[Message]], url: str) -> None:
    _, run, messages = engine
    with livequeue.connect(url) as queue:
        for _ in range(2):  # sending a run twice is harmless
            with queue.publisher("run") as sink:
                run(sink, 3)
        subscription = queue.subscribe("run", timeout=10.0)
        read = list(subscription)
        assert subscription.ended
        assert lossless_bytes(read) == lossless_bytes(messages)
        for message in read:
            for value in message.get("values", {}).values():
                assert np.asarray(value).dtype == np.float64
        with pytest.raises(livequeue.Conflict), queue.publisher("run") as sink:
            run(sink, 4)  # another seed under the same run id


def test_a_listener_behind_the_queue_knows_what_a_sink_knows() -> None:
    known, late, poison = (ln.RunningSummary() for _ in range(3))
    with livequeue.connect("embedded://") as queue:
        with queue.publisher("run") as sink:

            def both(message: Message) -> None:
                known(message)
                sink(message)

            nuts(both, 3)
        for message in queue.subscribe("run", timeout=10.0):
            late(message)
            if message["part"] != "chain-1" or message["seq"] != 7:
                poison(message)
    assert str(late) == str(known)
    assert late.chains == known.chains
    assert str(poison) != str(known)
    assert poison.chains[1].missed == 1
