"""Containers and stores against an oracle that says who gets what and when: whatever can happen does, in order, until
nothing can. It knows no linked lists, and looks at everybody again after every change."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from livesim import Model, Result, arrive, assign, attribute, depart, get, item, label, now, put, record, renege, run


class Visit(NamedTuple):
    """Somebody who comes at the time of his number, counted from 1, and waits for so long."""

    puts: bool
    size: int
    """What is put, or the least that is taken."""
    patience: float


VISITS = st.lists(
    st.builds(Visit, st.booleans(), st.integers(0, 4), st.sampled_from([0.5, 2.5, 4.5, 99.5])), min_size=1, max_size=14
)
Story = dict[int, tuple[float, int]]
"""Of each number that was served: when, and whose item he took, or his own number."""


@dataclass
class Oracle:
    capacity: int
    putting: list[int] = field(default_factory=list)
    getting: list[int] = field(default_factory=list)
    served: Story = field(default_factory=dict)

    def play(self, visits: list[Visit]) -> Story:
        ends = [(number + visit.patience, number) for number, visit in enumerate(visits, 1)]
        moments = [(float(number), number, True) for number in range(1, len(visits) + 1)]
        moments += [(end, number, False) for end, number in ends]
        heapq.heapify(moments)
        while moments:
            self.now, number, comes = heapq.heappop(moments)
            queue = self.putting if visits[number - 1].puts else self.getting
            if comes:
                queue.append(number)
            elif number in queue:
                queue.remove(number)
            while self.goes_on(visits):
                pass
        return self.served

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


def told(model: Model, visits: list[Visit], steps: Callable[[int, Visit], list[Any]], engine: str) -> Story:
    """The story of a model in which each visit is a process of its own."""
    for number, visit in enumerate(visits, 1):
        model.process(
            f"visit {number}",
            arrive(at=[number]),
            assign(whose=number),
            renege(visit.patience, "tired"),
            *steps(number, visit),
            record("when", now()),
            record("whose", attribute("whose")),
            label("tired"),
            depart(),
        )
    result: Result = run(model, 200, seed=1, engine=engine)
    records = {number: result[f"visit {number}"].records for number in range(1, len(visits) + 1)}
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


@pytest.mark.parametrize("engine", ["compiled", "reference"])
@pytest.mark.parametrize("order", ORDERS)
def test_who_gets_which_item(order: str, engine: str) -> None:
    discipline, ordered = ORDERS[order]

    @settings(max_examples=60, deadline=None, derandomize=True)
    @given(VISITS, st.integers(1, 3))
    def check(visits: list[Visit], capacity: int) -> None:
        model = Model("m").store("stock", capacity=capacity, discipline=discipline)
        model.process("never", arrive(at=[]), put("stock", item={"size": 0, "number": 0}), depart())
        assert told(model, visits, in_store, engine) == StoreOracle(capacity, order=ordered).play(visits)

    check()


@pytest.mark.parametrize("engine", ["compiled", "reference"])
def test_who_gets_how_much(engine: str) -> None:
    @settings(max_examples=80, deadline=None, derandomize=True)
    @given(VISITS, st.integers(4, 6))
    def check(visits: list[Visit], capacity: int) -> None:
        model = Model("m").container("stock", capacity=capacity, initial=2)
        assert told(model, visits, in_container, engine) == ContainerOracle(capacity).play(visits)

    check()


def test_the_oracle_tells_one_order_from_another() -> None:
    """Poison: the oracle of another order finds fault."""
    visits = [Visit(True, 3, 9.5), Visit(True, 1, 9.5), Visit(False, 0, 9.5)]
    stories = {
        order: told(Model("m").store("stock", discipline=ORDERS[order][0]), visits, in_store, "compiled")
        for order in ORDERS
    }
    assert stories["fifo"][3] == (3, 1)
    assert stories["lifo"][3] == stories["smallest"][3] == (3, 2)
