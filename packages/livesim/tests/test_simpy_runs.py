"""SimPy models under livesim: its random numbers and monitors, against livesim's own on the same variates."""

import importlib
import random
import sys
from collections.abc import Callable, Generator
from typing import Any

import livesim.simpy
import livesim_models
import numpy as np
import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st
from livesim import Model, arrive, depart, exponential, get, put, run
from livesim.simpy import Environment
from livesim.variates import Variates

Steps = Generator[Any, Any, Any]
SEED, UNTIL = 3, 20_000.0
ARRIVAL, SERVICE = exponential(mean=18.0), exponential(mean=16.0)


def barbershop(env: Environment, rng: np.random.Generator, barbers: int = 1, kind: str = "Resource") -> None:
    """The barbershop, with the streams of `livesim_models.barbershop`."""
    barber = getattr(simpy, kind)(env, barbers)
    env.watch("barber", barber)

    def customer(n: int) -> Steps:
        came = env.now
        with barber.request() as turn:
            yield turn
            yield env.timeout(env.draw(SERVICE, "customer/hold 1", n))
        env.record("sojourn", env.now - came)

    def arrivals() -> Steps:
        n = 0
        while True:
            yield env.timeout(env.draw(ARRIVAL, "customer/arrive", n))
            env.process(customer(n))
            n += 1

    env.process(arrivals())


@pytest.mark.parametrize("kind", ["Resource", "PriorityResource", "PreemptiveResource"])
@pytest.mark.parametrize("warmup", [0.0, 5_000.0])
def test_a_watched_resource_is_the_resource_of_the_verbs(kind: str, warmup: float) -> None:
    found = livesim.simpy.run(barbershop, UNTIL, seed=SEED, warmup=warmup, params={"kind": kind})
    verbs = run(livesim_models.barbershop(), UNTIL, seed=SEED, warmup=warmup, engine="reference")
    for what in ("mean", "std", "min", "max", "count"):
        assert found[f"barber.wait.{what}"] == verbs.value(f"barber.wait.{what}")
        assert found[f"sojourn.{what}"] == verbs.value(f"customer.sojourn.{what}")
    for metric in ("utilization", "busy.mean", "busy.last", "queue.mean", "queue.last"):
        assert found[f"barber.{metric}"] == pytest.approx(verbs.value(f"barber.{metric}"), rel=1e-12)
    other = livesim.simpy.run(barbershop, UNTIL, seed=SEED + 1, params={"kind": kind})
    assert other["barber.wait.mean"] != found["barber.wait.mean"]  # poison
    assert found.until == UNTIL
    assert found.start == warmup


def test_a_watched_container_is_the_container_of_the_verbs() -> None:
    def model(env: Environment, rng: np.random.Generator) -> None:
        tank = simpy.Container(env, capacity=20, init=5)
        env.watch("tank", tank)

        def visit(name: str, work: Callable[[], simpy.Event], mean: float) -> Steps:
            n = 0
            while True:
                yield env.timeout(env.draw(exponential(mean=mean), f"{name}/arrive", n))
                env.process(one(work))
                n += 1

        def one(work: Callable[[], simpy.Event]) -> Steps:
            yield work()

        env.process(visit("supply", lambda: tank.put(3), 3.0))
        env.process(visit("demand", lambda: tank.get(2), 2.0))

    verbs = (
        Model("tank")
        .container("tank", capacity=20, initial=5)
        .process("supply", arrive(every=exponential(mean=3.0)), put("tank", 3), depart())
        .process("demand", arrive(every=exponential(mean=2.0)), get("tank", 2), depart())
    )
    expected = run(verbs, 3_000.0, seed=SEED, engine="reference")
    found = livesim.simpy.run(model, 3_000.0, seed=SEED)
    assert expected.value("tank.put_queue.mean") > 0
    for metric in ("level.mean", "level.last", "get_queue.mean", "put_queue.mean", "get_wait.mean", "put_wait.count"):
        assert found[f"tank.{metric}"] == pytest.approx(expected.value(f"tank.{metric}"), rel=1e-9)


def test_a_store_is_watched_and_a_cancelled_request_leaves_the_queue() -> None:
    def model(env: Environment, rng: np.random.Generator) -> None:
        store, desk = simpy.Store(env, capacity=2), simpy.Resource(env)
        env.watch("store", store)
        env.watch("desk", desk)

        def sender() -> Steps:
            for item in range(4):
                yield env.timeout(1)
                yield store.put(item)

        def receiver() -> Steps:
            yield env.timeout(6)
            for _ in range(4):
                yield store.get()

        def owner() -> Steps:
            with desk.request() as turn:
                yield turn
                yield env.timeout(8)

        def impatient() -> Steps:
            with desk.request() as turn:
                yield turn | env.timeout(3)

        for process in (sender(), receiver(), owner(), impatient()):
            env.process(process)

    found = livesim.simpy.run(model, 10.0, seed=0)
    # Two items at 1 and 2; the third waits from 3 to 6, when the fourth, of 7, has a taker waiting since 6.
    assert found["store.level.mean"] == pytest.approx((1 * 1 + 4 * 2) / 10)
    assert found["store.put_queue.mean"] == pytest.approx(0.3)
    assert found["store.get_queue.mean"] == pytest.approx(0.1)
    assert (found["store.put_wait.max"], found["store.get_wait.max"]) == (3.0, 1.0)
    assert (found["desk.queue.mean"], found["desk.wait.count"], found["desk.utilization"]) == (0.3, 1, 0.8)


def test_what_a_function_returns() -> None:
    def by_itself(env: Environment, rng: np.random.Generator, length: float) -> dict[str, Any]:
        env.process(iter_timeouts(env, length))
        env.run()
        return {"end": env.now, "draw": rng.random()}

    def at_the_end(env: Environment, rng: np.random.Generator) -> Callable[[], dict[str, float]]:
        return lambda: {"end": env.now}

    def own_environment(env: Environment, rng: np.random.Generator) -> dict[str, float]:
        theirs = simpy.Environment()
        theirs.run(until=5)
        return {"end": theirs.now, "std": random.gauss(), "numpy": np.random.normal()}  # noqa: NPY002

    found = livesim.simpy.run(by_itself, seed=1, params={"length": 7.0})
    assert found["end"] == found.until == 7.0
    assert livesim.simpy.run(at_the_end, 9.0, seed=1)["end"] == 9.0
    assert livesim.simpy.run(own_environment, seed=1).values == livesim.simpy.run(own_environment, seed=1).values
    assert livesim.simpy.run(own_environment, seed=1)["std"] != livesim.simpy.run(own_environment, seed=2)["std"]


def iter_timeouts(env: simpy.Environment, length: float) -> Steps:
    yield env.timeout(length)


def test_the_global_generators_are_left_as_they_were() -> None:
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    expected = random.random(), np.random.random()  # noqa: NPY002
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    livesim.simpy.run(lambda env, rng: {"x": random.random() + np.random.random()}, seed=5)  # noqa: NPY002
    assert (random.random(), np.random.random()) == expected  # noqa: NPY002


def process(env: Environment, rng: np.random.Generator) -> Steps:
    yield env.timeout(1)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: livesim.simpy.run(3), r"a function of \(env, rng, ...\), got 3"),  # type: ignore[arg-type]
        (lambda: livesim.simpy.run(lambda env: None), "cannot be called with"),
        (lambda: livesim.simpy.run(barbershop, 5.0, params={"barber": 2}), r"barbershop\(env.*unexpected.*'barber'"),
        (lambda: livesim.simpy.run(process, 5.0), "process is a process, a generator"),
        (lambda: livesim.simpy.run(barbershop, -1), "until must be a finite time above 0, or None, got -1"),
        (lambda: livesim.simpy.run(barbershop, 10, warmup=10), "warmup must be a time of 0 or more, before until"),
        (
            lambda: livesim.simpy.run(lambda env, rng: env.run(5), warmup=7),
            "time 5, before the warm-up's end 7",
        ),
        (lambda: livesim.simpy.run(barbershop, 10, seed=1.5), "seed must be a whole number"),  # type: ignore[arg-type]
        (lambda: livesim.simpy.run(lambda env, rng: 3), "must return a dict of numbers, None, or a function, got 3"),
        (lambda: livesim.simpy.run(lambda env, rng: {"a": "b"}), "'a' must be a number, got 'b'"),
        (lambda: livesim.simpy.run(lambda env, rng: env.watch("a", 3)), "'a' must be a resource, container or store"),
        (lambda: livesim.simpy.run(lambda env, rng: [env.record("a", 1), env.level("a", 1)]), "'a' is a tally already"),
        (lambda: livesim.simpy.run(lambda env, rng: env.record("a", 1) or {"a.mean": 1}), "'a.mean', which a monitor"),
        (lambda: livesim.simpy.run(lambda env, rng: env.record("a", None)), "'a' must be a number, got None"),
    ],
)
def test_mistakes_are_named(call: Any, words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=words):
        call()


def test_without_simpy_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("livesim.simpy")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "simpy", None)
    with pytest.raises(ImportError, match=r"pip install 'livesim\[simpy\]'"):
        importlib.import_module("livesim.simpy")


def test_what_a_process_raises_comes_out() -> None:
    def model(env: Environment, rng: np.random.Generator) -> None:
        def wrong() -> Steps:
            yield env.timeout(1)
            raise KeyError("patient 7")

        env.process(wrong())

    with pytest.raises(KeyError, match="patient 7"):
        livesim.simpy.run(model, 5.0)


VISITS = st.lists(
    st.tuples(
        st.floats(0, 10),  # when it comes
        st.floats(0, 5),  # how long it works
        st.none() | st.floats(0, 3),  # how long it waits
        st.integers(0, 2),  # its priority
        st.booleans(),  # whether it preempts
    ),
    max_size=20,
)


@settings(max_examples=60, deadline=None)
@given(VISITS, st.integers(1, 3), st.sampled_from([simpy.Resource, simpy.PriorityResource, simpy.PreemptiveResource]))
def test_what_is_watched_is_what_an_onlooker_sees(visits: list[Any], capacity: int, kind: Any) -> None:
    """The oracle looks at users and queue between any two events, and hears of each grant."""
    env = Environment(Variates(0))
    desk = kind(env, capacity)
    env.watch("desk", desk)
    waits: list[float] = []

    def visit(come: float, work: float, patience: float | None, priority: int, preempt: bool) -> Steps:
        yield env.timeout(come)
        asked = env.now
        options = {} if kind is simpy.Resource else {"priority": priority, "preempt": preempt}
        with desk.request(**options) as turn:
            turn.callbacks.append(lambda _: waits.append(turn.usage_since - asked))
            try:
                yield turn if patience is None else turn | env.timeout(patience)
                if turn.triggered:
                    yield env.timeout(work)
            except simpy.Interrupt:
                pass

    for each in visits:
        env.process(visit(*each))
    busy = queued = 0.0
    while env.peek() < float("inf"):
        length = env.peek() - env.now
        busy += len(desk.users) * length
        queued += len(desk.queue) * length
        env.step()
    found = env.numbers()
    if env.now > 0:
        assert found["desk.busy.mean"] * env.now == pytest.approx(busy, rel=1e-9, abs=1e-12)
        assert found["desk.queue.mean"] * env.now == pytest.approx(queued, rel=1e-9, abs=1e-12)
        assert found["desk.utilization"] == pytest.approx(busy / env.now / capacity, rel=1e-9, abs=1e-12)
    assert found["desk.wait.count"] == len(waits)
    if waits:
        assert found["desk.wait.mean"] == pytest.approx(sum(waits) / len(waits), rel=1e-9, abs=1e-12)
        assert found["desk.wait.max"] == max(waits)
