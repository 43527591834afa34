"""Entities by hand: the same queues as verbs give, to the bit; order, errors, streams, warm-up."""

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import livesim_models
import pytest
from hypothesis import given
from hypothesis import strategies as st
from livesim import Entity, Model, SimulationError, arrive, depart, empirical, entities, exponential, hold, run, seize
from livesim import release as give_back
from livesim.entities import EntityError, Event, Level, Tally, Variates

SEED, UNTIL = 5, 5_000.0


# -- the barbershop by hand --------------------------------------------------------------------------------------------


@dataclass
class Shop:
    variates: Variates
    barbers: int
    came: int = 0
    waiting: deque[tuple[int, float]] = field(default_factory=deque)
    busy: Level = field(default_factory=Level)
    queue: Level = field(default_factory=Level)
    wait: Tally = field(default_factory=Tally)
    departures: dict[int, float] = field(default_factory=dict)


class Barbershop(Entity):
    """Customers who come and are served; its streams are those of the model `livesim_models.barbershop`."""

    def __init__(self, arrival: float = 18.0, service: float = 16.0, barbers: int = 1) -> None:
        self.arrival, self.service, self.barbers = exponential(mean=arrival), exponential(mean=service), barbers

    def init(self, variates: Variates) -> Shop:
        return Shop(variates, self.barbers)

    def handle(self, event: Any, now: float, state: Shop) -> Iterator[Event]:
        what, job = event
        if what == "open":
            yield now + state.variates.draw(self.arrival, "arrive", 0), "customer", ("come", 0)
            return
        if what == "come":
            yield now + state.variates.draw(self.arrival, "arrive", job + 1), "customer", ("come", job + 1)
            state.came += 1
            state.waiting.append((job, now))
        else:
            state.departures[job + 1] = now
            state.busy.set(now, state.busy.value - 1)
        while state.waiting and state.busy.value < state.barbers:
            job, since = state.waiting.popleft()
            state.wait.add(now - since)
            state.busy.set(now, state.busy.value + 1)
            yield now + state.variates.draw(self.service, "hold 1", job), "customer", ("done", job)
        state.queue.set(now, len(state.waiting))

    def statistics(self, state: Shop) -> dict[str, Any]:
        return {"busy": state.busy, "queue": state.queue, "wait": state.wait, "came": state.came}


def by_hand(seed: int = SEED, **options: Any) -> entities.Numbers:
    return entities.run({"customer": Barbershop()}, [(0.0, "customer", ("open", 0))], UNTIL, seed=seed, **options)


@pytest.mark.parametrize("replication", [0, 3])
def test_a_queue_by_hand_is_that_of_the_verbs_to_the_bit(replication: int) -> None:
    found = by_hand(replication=replication)
    verbs = run(livesim_models.barbershop(), UNTIL, seed=SEED, replication=replication, engine="reference")
    assert found["customer.came"] == verbs["customer"].arrived > 200
    for what in ("mean", "std", "min", "max", "count"):
        assert found[f"customer.wait.{what}"] == verbs.value(f"barber.wait.{what}")
    assert found["customer.busy.mean"] == verbs["barber"].busy.mean
    assert found["customer.queue.mean"] == pytest.approx(verbs["barber"].queue.mean, rel=1e-12)
    assert by_hand(seed=SEED + 1)["customer.wait.mean"] != found["customer.wait.mean"]  # poison


def test_a_warm_up_starts_monitors_anew() -> None:
    found = by_hand(warmup=2_000.0)
    verbs = run(livesim_models.barbershop(), UNTIL, seed=SEED, warmup=2_000.0, engine="reference")
    assert found["customer.wait.mean"] == verbs["barber"].wait.mean
    assert found["customer.busy.mean"] == verbs["barber"].busy.mean
    assert found.start == 2_000.0


def test_the_same_seed_gives_the_same_numbers() -> None:
    assert by_hand() == by_hand()
    assert by_hand(replication=1) != by_hand()
    assert entities.run({"lamp": Lamp()}, [(0, "lamp", "on")], 10.0).seed != 0


# -- the loop ----------------------------------------------------------------------------------------------------------


class Logger(Entity):
    """Keeps what it is told, in order."""

    def init(self, variates: Variates) -> list[Any]:
        return []

    def handle(self, event: Any, now: float, state: list[Any]) -> list[Event]:
        state.append((now, event))
        return [(now, "log", "echo")] if event == "call" else []

    def statistics(self, state: list[Any]) -> dict[str, float]:
        order = ["first", "call", "second", "echo", "at the end"]
        return {"right": [what for _, what in state] == order, "times": math.fsum(time for time, _ in state)}


def test_events_come_by_time_and_those_of_one_time_in_the_order_of_scheduling() -> None:
    start = [(2.0, "log", "at the end"), (1.0, "log", "first"), (1.0, "log", "call"), (1.0, "log", "second")]
    found = entities.run({"log": Logger()}, [*start, (2.5, "log", "after it")], until=2.0, seed=0)
    assert (found["log.right"], found["log.times"], found.events) == (1.0, 6.0, 5)


class Family(Entity):
    """An event has a name and children, each after a delay."""

    def init(self, variates: Variates) -> list[int]:
        return []

    def handle(self, event: Any, now: float, state: list[int]) -> Iterator[Event]:
        name, children = event
        state.append(name)
        for delay, child in children:
            yield now + delay, "family", child

    def statistics(self, state: list[int]) -> dict[str, float]:
        return {str(place): name for place, name in enumerate(state)}


NAMES = st.integers(0, 9)
FAMILIES = st.recursive(
    st.tuples(NAMES, st.just([])),
    lambda families: st.tuples(NAMES, st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0, 2.5]), families), max_size=3)),
    max_leaves=20,
)


@given(st.lists(st.tuples(st.sampled_from([0.0, 1.0, 1.5]), FAMILIES), min_size=1, max_size=5))
def test_the_order_of_events_is_that_of_a_list_that_is_searched(families: list[Any]) -> None:
    """The oracle: of those scheduled, the first of the earliest, until none is left up to time 5."""
    there, seen = list(families), []
    while due := [event for event in there if event[0] <= 5.0]:
        time, (name, children) = first = min(due, key=lambda event: event[0])
        there.remove(first)
        seen.append(name)
        there += [(time + delay, child) for delay, child in children]
    start = [(time, "family", family) for time, family in families]
    found = entities.run({"family": Family()}, start, until=5.0, seed=0)
    assert [*found.values.values()] == seen
    assert found.events == len(seen)


class Lamp(Entity):
    def handle(self, event: Any, now: float, state: Any) -> None:
        return None


class Faulty(Entity):
    def __init__(self, fault: Any) -> None:
        self.fault = fault

    def init(self, variates: Variates) -> dict[str, int]:
        return {"done": 0}

    def handle(self, event: Any, now: float, state: dict[str, int]) -> Iterator[Any]:
        state["done"] += 1
        yield (now + 1, "pump", "go") if state["done"] < 4 else self.fault(now)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (lambda now: 1 / 0, "ZeroDivisionError"),
        (lambda now: (now - 1, "pump", "go"), "'go' for 'pump' is at 2; it must be at 3 or later"),
        (lambda now: (math.nan, "pump", "go"), "at nan"),
        (lambda now: (now, "tank", "fill"), "event 'fill' is for 'tank'; the entities are: 'pump'"),
        (lambda now: "go", r"an event is \(time, entity, event\), got 'go'"),
    ],
)
def test_an_entity_that_goes_wrong_is_reported_with_its_state(fault: Any, words: str) -> None:
    with pytest.raises(EntityError, match=rf"^entity 'pump', event 'go', at time 3: .*{words}.*'done': 4") as caught:
        entities.run({"pump": Faulty(fault)}, [(0, "pump", "go")], 100.0, seed=0)
    error = caught.value
    assert (error.entity, error.event, error.time, error.state) == ("pump", "go", 3.0, {"done": 4})
    assert isinstance(error, SimulationError)
    assert isinstance(error.__cause__, Exception)


class Divided(Lamp):
    def init(self, variates: Variates) -> list[int]:
        return [0]

    def statistics(self, state: list[int]) -> dict[str, float]:
        return {"share": 1 / state[0]}


def test_statistics_that_go_wrong_are_reported_too() -> None:
    with pytest.raises(EntityError, match=r"^entity 'lamp', its statistics, at time 5: ZeroDiv.*; its state: \[0\]$"):
        entities.run({"lamp": Divided()}, [(0, "lamp", "on")], 5.0, seed=0)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: entities.run({}, [(0, "a", 1)], 1), "a dict of names and entities"),
        (lambda: entities.run({"a": Lamp}, [(0, "a", 1)], 1), "'a' must be an instance of a class of livesim.Entity"),
        (lambda: entities.run({"a.b": Lamp()}, [(0, "a.b", 1)], 1), "without a dot"),
        (lambda: entities.run({"a": Lamp()}, [], 1), "start holds no event"),
        (lambda: entities.run({"a": Lamp()}, [(0, "b", 1)], 1), "for 'b'; the entities are: 'a'"),
        (lambda: entities.run({"a": Lamp()}, [(-1, "a", 1)], 1), "must be at 0 or later"),
        (lambda: entities.run({"a": Lamp()}, [(0, "a", 1)], math.inf), "until must be a finite time above 0"),
        (lambda: entities.run({"a": Lamp()}, [(0, "a", 1)], 5, warmup=5), "warmup must be a time from 0 to until=5"),
        (lambda: entities.run({"a": Lamp()}, [(0, "a", 1)], 5, seed=-1), "seed must be a whole number"),
        (lambda: entities.run({"a": Entity()}, [(0, "a", 1)], 5, seed=1), "Entity needs a method handle"),
        (lambda: by_hand()["customer.weight"], "no metric 'customer.weight'; there are: customer.busy.last"),
    ],
)
def test_mistakes_are_named(call: Any, words: str) -> None:
    with pytest.raises((TypeError, ValueError, KeyError, EntityError), match=words):
        call()


# -- random numbers ----------------------------------------------------------------------------------------------------


def test_streams_are_those_of_a_model() -> None:
    """A trace of the model's first hold, against the stream of its name."""
    model = Model("one").resource("desk", 100)
    model.process("visit", arrive(every=3.0), seize("desk"), hold(exponential(mean=2)), give_back("desk"), depart())
    result = run(model, 90.0, seed=7, trace=True)
    assert result.trace is not None
    holds = {job: float(text) for _, action, _, job, _, text in result.trace if action == "hold"}
    variates = Variates(7).within("visit/")
    assert len(holds) == 30
    for job, length in holds.items():
        assert variates.draw(exponential(mean=2), "hold 1", job - 1) == pytest.approx(length, rel=1e-5)


def test_streams_jobs_and_draws_are_their_own() -> None:
    law = exponential(mean=1)
    one, other = Variates(3), Variates(3)
    together = [one.draw(law, "a", job) for job in (0, 0, 1)]
    other.draw(law, "b", 0)
    assert other.draw(law, "a", 1) == together[2]
    assert [other.draw(law, "a", 0), other.draw(law, "a", 0)] == together[:2]
    assert len({*together, Variates(4).draw(law, "a", 0), Variates(3, 1).draw(law, "a", 0)}) == 5
    assert [Variates(3).draw(law, "c"), one.draw(law, "c"), one.draw(law, "c")] == [
        Variates(3).draw(law, "c", 0), Variates(3).draw(law, "c", 0), Variates(3).draw(law, "c", 1)
    ]  # fmt: skip
    assert one.generator("g") is one.generator("g")
    drawn = [Variates(3, replication).generator("g").random() for replication in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_mixture_of_jobs_and_none_is_refused() -> None:
    variates, law = Variates(3), empirical([1.0, 2.0])
    variates.draw(law, "a")
    variates.draw(law, "b", 3)
    with pytest.raises(ValueError, match="stream 'a' is drawn from without a job"):
        variates.draw(law, "a", 1)
    with pytest.raises(ValueError, match="stream 'b' is drawn from by job"):
        variates.draw(law, "b")
    with pytest.raises(TypeError, match=r"a distribution such as exponential\(mean=3\), got 3"):
        variates.draw(3, "c")  # type: ignore[arg-type]


def test_a_trace_gives_its_values_and_says_where_it_ends() -> None:
    from livesim import trace

    variates, law = Variates(3), trace([4.0, 5.0], at_end="error")
    assert [variates.draw(law, "a"), variates.draw(law, "a")] == [4.0, 5.0]
    with pytest.raises(ValueError, match="no more values, at stream 'a', job 2"):
        variates.draw(law, "a")
