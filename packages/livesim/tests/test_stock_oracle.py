"""Containers and stores against an oracle that says who gets what and when: whatever can happen does, in order, until
nothing can. It knows no linked lists, and looks at everybody again after every change. Hypothesis lets people come and
time pass, in any order; after each step the same people must have got the same, and the same must wait."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from livesim import (
    Model,
    Result,
    Simulation,
    arrive,
    assign,
    attribute,
    depart,
    get,
    item,
    label,
    now,
    put,
    record,
    renege,
    run,
)


class Visit(NamedTuple):
    """Somebody who comes at a whole time, and waits for so long; no two come at the same one."""

    time: int
    puts: bool
    size: int
    """What is put, or the least that is taken."""
    patience: float


Story = dict[int, tuple[float, int]]
"""Of each number that was served: when, and whose item he took, or his own number."""


@dataclass
class Oracle:
    capacity: int
    visits: list[Visit] = field(default_factory=list)
    come: int = 0
    """How many have."""
    putting: list[int] = field(default_factory=list)
    getting: list[int] = field(default_factory=list)
    tiring: list[tuple[float, int]] = field(default_factory=list)
    served: Story = field(default_factory=dict)

    def play(self, until: float) -> None:
        """Let happen what happens up to a time."""
        while True:
            moments = sorted(self.tiring)[:1]
            if self.come < len(self.visits):
                moments.append((float(self.visits[self.come].time), 0))
            if not moments or min(moments)[0] > until:
                return
            self.now, number = min(moments)
            if number == 0:
                self.come += 1
                visit = self.visits[self.come - 1]
                (self.putting if visit.puts else self.getting).append(self.come)
                self.tiring.append((visit.time + visit.patience, self.come))
            else:
                self.tiring.remove((self.now, number))
                queue = self.putting if self.visits[number - 1].puts else self.getting
                if number in queue:
                    queue.remove(number)
            while self.goes_on(self.visits):
                pass

    def serve(self, queue: list[int], number: int, whose: int) -> bool:
        queue.remove(number)
        self.served[number] = (self.now, whose)
        return True

    def goes_on(self, visits: list[Visit]) -> bool:
        """Let one thing happen, if anything can."""
        raise NotImplementedError


@dataclass
class StoreOracle(Oracle):
    order: Callable[[list[int], list[Visit]], list[int]] = lambda items, visits: items
    """The items, by whose they are, in the order of coming, in that of taking."""
    items: list[int] = field(default_factory=list)

    def goes_on(self, visits: list[Visit]) -> bool:
        for number in self.getting:
            for whose in self.order(self.items, visits):
                if visits[whose - 1].size >= visits[number - 1].size:
                    self.items.remove(whose)
                    return self.serve(self.getting, number, whose)
        if self.putting and len(self.items) < self.capacity:
            self.items.append(self.putting[0])
            return self.serve(self.putting, self.putting[0], self.putting[0])
        return False


@dataclass
class ContainerOracle(Oracle):
    held: int = 2

    def goes_on(self, visits: list[Visit]) -> bool:
        for queue, sign in ((self.putting, 1), (self.getting, -1)):
            if queue:
                after = self.held + sign * visits[queue[0] - 1].size
                if 0 <= after <= self.capacity:
                    self.held = after
                    return self.serve(queue, queue[0], queue[0])
        return False


def with_visits(model: Model, visits: list[Visit], steps: Callable[[int, Visit], list[Any]]) -> Model:
    """The model, with a process of its own for each visit."""
    for number, visit in enumerate(visits, 1):
        model.process(
            f"visit {number}",
            arrive(at=[visit.time]),
            assign(whose=number),
            renege(visit.patience, "tired"),
            *steps(number, visit),
            record("when", now()),
            record("whose", attribute("whose")),
            label("tired"),
            depart(),
        )
    return model


def told(model: Model, until: float, engine: str) -> Story:
    result: Result = run(model, until, seed=1, engine=engine)
    records = {int(name[6:]): result[name].records for name in model.processes if name.startswith("visit")}
    return {
        number: (kept["when"].mean, int(kept["whose"].mean)) for number, kept in records.items() if kept["when"].count
    }


def in_store(number: int, visit: Visit) -> list[Any]:
    if visit.puts:
        return [put("stock", item={"size": visit.size, "number": number})]
    return [get("stock", where=item("size") >= visit.size, into={"whose": "number"})]


def in_container(number: int, visit: Visit) -> list[Any]:
    return [put("stock", visit.size) if visit.puts else get("stock", visit.size)]


ORDERS: dict[str, tuple[Any, Callable[[list[int], list[Visit]], list[int]]]] = {
    "fifo": ("fifo", lambda items, visits: items),
    "lifo": ("lifo", lambda items, visits: items[::-1]),
    "smallest": (item("size"), lambda items, visits: sorted(items, key=lambda number: visits[number - 1].size)),
}


def store(order: str, capacity: int) -> Model:
    model = Model("m").store("stock", capacity=capacity, discipline=ORDERS[order][0])
    return model.process("never", arrive(at=[]), put("stock", item={"size": 0, "number": 0}), depart())


class Stock(RuleBasedStateMachine):
    """An oracle, and the model of the same visits; what kind of stock it is, subclasses say."""

    oracle: Oracle
    time = 0.0

    def model(self) -> Model:
        raise NotImplementedError

    @rule(puts=st.booleans(), size=st.integers(0, 4), patience=st.sampled_from([0.5, 2.5, 4.5, 99.5]))
    def come(self, puts: bool, size: int, patience: float) -> None:
        self.time = float(int(self.time) + 1)
        self.oracle.visits.append(Visit(int(self.time), puts, size, patience))

    @rule(quarters=st.integers(1, 12))
    def wait(self, quarters: int) -> None:
        self.time += quarters / 4

    @invariant()
    def the_same_were_served_and_wait(self) -> None:
        if not hasattr(self, "oracle") or not self.oracle.visits:
            return
        self.oracle.play(self.time)
        simulation = Simulation(self.model(), seed=1)
        simulation.step(until=self.time)
        waiting = {int(job.process[6:]) for job in simulation.jobs() if job.waits_for is not None}
        assert waiting == {*self.oracle.putting, *self.oracle.getting}

    def teardown(self) -> None:
        if not hasattr(self, "oracle") or not self.oracle.visits:
            return
        self.oracle.play(200)
        for engine in ("compiled", "reference"):
            assert told(self.model(), 200, engine) == self.oracle.served


class Shelf(Stock):
    order_of_the_oracle: ClassVar[str | None] = None

    @initialize(order=st.sampled_from(list(ORDERS)), capacity=st.integers(1, 3))
    def begin(self, order: str, capacity: int) -> None:
        self.order = order
        self.oracle = StoreOracle(capacity, order=ORDERS[self.order_of_the_oracle or order][1])

    def model(self) -> Model:
        return with_visits(store(self.order, self.oracle.capacity), self.oracle.visits, in_store)


class Tank(Stock):
    @initialize(capacity=st.integers(4, 6))
    def begin(self, capacity: int) -> None:
        self.oracle = ContainerOracle(capacity)

    def model(self) -> Model:
        empty = Model("m").container("stock", capacity=self.oracle.capacity, initial=2)
        return with_visits(empty, self.oracle.visits, in_container)


class Overfull(Tank):
    """Poison: an oracle whose tank holds one more."""

    @initialize(capacity=st.integers(4, 6))
    def begin(self, capacity: int) -> None:
        self.oracle, self.capacity = ContainerOracle(capacity + 1), capacity

    def model(self) -> Model:
        empty = Model("m").container("stock", capacity=self.capacity, initial=2)
        return with_visits(empty, self.oracle.visits, in_container)


LONG = settings(max_examples=60, stateful_step_count=20, deadline=None, derandomize=True)


@pytest.mark.parametrize("kind", [Shelf, Tank])
def test_who_gets_what(kind: type[Stock]) -> None:
    run_state_machine_as_test(kind, settings=LONG)


class Lifo(Shelf):
    """Poison: an oracle that takes the last item first, whatever the order."""

    order_of_the_oracle = "lifo"


@pytest.mark.parametrize("kind", [Overfull, Lifo])
def test_an_oracle_of_another_rule_finds_fault(kind: type[Stock]) -> None:
    quick = settings(LONG, max_examples=300, phases=[Phase.generate], report_multiple_bugs=False)
    with pytest.raises(AssertionError):
        run_state_machine_as_test(kind, settings=quick)


def test_each_order_has_a_story_of_its_own() -> None:
    visits = [Visit(1, True, 3, 9.5), Visit(2, True, 1, 9.5), Visit(3, False, 0, 9.5)]
    stories = {order: told(with_visits(store(order, 9), visits, in_store), 200, "compiled") for order in ORDERS}
    assert stories["fifo"][3] == (3, 1)
    assert stories["lifo"][3] == stories["smallest"][3] == (3, 2)
