"""A resource against an oracle that says who is served when, by priority, discipline, patience and preemption.

The oracle sorts everybody who waits at every change, and knows no linked lists, tickets or calendars.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from livesim import Model, arrive, depart, hold, label, now, record, release, renege, run, seize


class Visit(NamedTuple):
    """Somebody who comes at the time of his number, counted from 1."""

    units: int
    priority: int
    work: int
    """Units of time, and a 64th for each number before his: sums of these are exact."""
    patience: float


VISITS = st.lists(
    st.builds(Visit, st.integers(1, 2), st.integers(0, 2), st.integers(1, 6), st.sampled_from([1.5, 5.5, 99.5])),
    min_size=1,
    max_size=12,
)
Story = dict[int, tuple[float, float]]
"""Of each number that was served: when it was first, and when it left."""


def work(number: int, visit: Visit) -> float:
    return visit.work + number / 64


@dataclass
class Oracle:
    visits: list[Visit]
    capacity: int
    lifo: bool
    preempts: bool
    waiting: set[int] = field(default_factory=set)
    left: dict[int, float] = field(default_factory=dict)
    ends: dict[int, float] = field(default_factory=dict)
    """Of those at work."""
    first: dict[int, float] = field(default_factory=dict)

    def play(self) -> Story:
        story: Story = {}
        coming = list(range(1, len(self.visits) + 1))
        tiring = {number: number + self.visits[number - 1].patience for number in coming}
        while coming or self.ends:
            # What ends comes before who tires, and that before who comes.
            moments = [(time, 0, number) for number, time in self.ends.items()]
            moments += [(time, 1, number) for number, time in tiring.items()]
            moments += [(float(number), 2, number) for number in coming[:1]]
            self.now, kind, number = min(moments)
            if kind == 0:
                del self.ends[number]
                story[number] = (self.first[number], self.now)
            elif kind == 1:
                del tiring[number]
                if number not in self.first:
                    self.waiting.discard(number)
            else:
                coming.remove(number)
                self.left[number] = work(number, self.visits[number - 1])
                self.waiting.add(number)
                if self.preempts and self.line()[0] == number:
                    self.interrupt_for(number)
            while self.waiting and self.units(self.line()[0]) <= self.spare():
                self.begin(self.line()[0])
        return story

    def units(self, number: int) -> int:
        return self.visits[number - 1].units

    def priority(self, number: int) -> int:
        return self.visits[number - 1].priority

    def spare(self) -> int:
        return self.capacity - sum(map(self.units, self.ends))

    def line(self) -> list[int]:
        return sorted(self.waiting, key=lambda number: (self.priority(number), -number if self.lifo else number))

    def begin(self, number: int) -> None:
        self.waiting.remove(number)
        self.ends[number] = self.now + self.left[number]
        self.first.setdefault(number, self.now)

    def interrupt_for(self, number: int) -> None:
        """Send away the least urgent, of equals the last to come, if that makes room."""
        others = [other for other in self.ends if self.priority(other) > self.priority(number)]
        if self.spare() + sum(map(self.units, others)) < self.units(number):
            return
        for other in sorted(others, key=lambda other: (self.priority(other), other), reverse=True):
            if self.spare() < self.units(number):
                self.left[other] = self.ends.pop(other) - self.now
                self.waiting.add(other)


def told(visits: list[Visit], capacity: int, lifo: bool, preempts: bool, engine: str) -> Story:
    """The story of a model in which each visit is a process of its own."""
    model = Model("m").resource(
        "desk", capacity, discipline="lifo" if lifo else "fifo", preemption="resume" if preempts else None
    )
    for number, visit in enumerate(visits, 1):
        model.process(
            f"visit {number}",
            arrive(at=[number]),
            renege(visit.patience, "tired"),
            seize("desk", units=visit.units, priority=visit.priority),
            record("first", now()),
            hold(work(number, visit)),
            release("desk"),
            record("end", now()),
            label("tired"),
            depart(),
        )
    result = run(model, 500, seed=1, engine=engine)
    records = {number: result[f"visit {number}"].records for number in range(1, len(visits) + 1)}
    return {number: (kept["first"].mean, kept["end"].mean) for number, kept in records.items() if kept["end"].count}


@pytest.mark.parametrize("engine", ["compiled", "reference"])
@pytest.mark.parametrize("preempts", [False, True])
@pytest.mark.parametrize("lifo", [False, True])
def test_who_is_served_when(lifo: bool, preempts: bool, engine: str) -> None:
    @settings(max_examples=60, deadline=None, derandomize=True)
    @given(VISITS, st.integers(2, 3))
    def check(visits: list[Visit], capacity: int) -> None:
        assert told(visits, capacity, lifo, preempts, engine) == Oracle(visits, capacity, lifo, preempts).play()

    check()


def test_the_oracle_tells_one_rule_from_another() -> None:
    """Poison: each rule has a story of its own."""
    visits = [Visit(2, 1, 6, 99.5), Visit(1, 1, 1, 99.5), Visit(2, 1, 2, 99.5), Visit(2, 0, 1, 99.5)]
    stories = [Oracle(visits, 2, lifo, preempts).play() for lifo in (False, True) for preempts in (False, True)]
    assert all(stories[i] != stories[j] for i in range(4) for j in range(i))


@pytest.mark.parametrize("engine", ["compiled", "reference"])
def test_what_an_interruption_leaves_over_goes_to_the_first_in_line(engine: str) -> None:
    """The third takes one of the first's two units; the second, who goes before the first, takes the other."""
    visits = [Visit(2, 1, 6, 99.5), Visit(1, 1, 1, 99.5), Visit(1, 0, 1, 99.5)]
    story = told(visits, 2, True, True, engine)
    assert story == {1: (1, 8 + 1 / 64 + 3 / 64), 2: (3, 4 + 2 / 64), 3: (3, 4 + 3 / 64)}
