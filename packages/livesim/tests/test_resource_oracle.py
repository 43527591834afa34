"""A resource against an oracle that says who is served when, by priority, discipline, patience and preemption.

The oracle sorts everybody who waits at every change, and knows no linked lists, tickets or calendars. Hypothesis lets
people come and time pass, in any order; after each step the same people must be at work, wait, and have left.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar, NamedTuple

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from livesim import Model, Simulation, arrive, depart, hold, label, now, record, release, renege, run, seize


class Visit(NamedTuple):
    """Somebody who comes at a whole time; no two come at the same one."""

    time: int
    units: int
    priority: int
    work: int
    """Units of time, and a 64th for each number before his: sums of these are exact."""
    patience: float


Story = dict[int, tuple[float, float]]
"""Of each number that was served: when it was first, and when it left."""


def work(number: int, visit: Visit) -> float:
    return visit.work + number / 64


@dataclass
class Oracle:
    capacity: int
    lifo: bool
    preempts: bool
    visits: list[Visit] = field(default_factory=list)
    come: int = 0
    """How many have."""
    waiting: set[int] = field(default_factory=set)
    tiring: dict[int, float] = field(default_factory=dict)
    left: dict[int, float] = field(default_factory=dict)
    ends: dict[int, float] = field(default_factory=dict)
    """Of those at work."""
    first: dict[int, float] = field(default_factory=dict)
    story: Story = field(default_factory=dict)

    def play(self, until: float) -> None:
        """Let happen what happens up to a time."""
        while True:
            # What ends comes before who tires, and that before who comes.
            moments = [(time, 0, number) for number, time in self.ends.items()]
            moments += [(time, 1, number) for number, time in self.tiring.items()]
            if self.come < len(self.visits):
                moments.append((float(self.visits[self.come].time), 2, self.come + 1))
            if not moments or min(moments)[0] > until:
                return
            self.now, kind, number = min(moments)
            if kind == 0:
                del self.ends[number]
                self.story[number] = (self.first[number], self.now)
            elif kind == 1:
                del self.tiring[number]
                if number not in self.first:
                    self.waiting.discard(number)
            else:
                visit = self.visits[self.come]
                self.come += 1
                self.tiring[number] = visit.time + visit.patience
                self.left[number] = work(number, visit)
                self.waiting.add(number)
                if self.preempts and self.line()[0] == number:
                    self.interrupt_for(number)
            while self.waiting and self.units(self.line()[0]) <= self.spare():
                self.begin(self.line()[0])

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


def model_of(oracle: Oracle) -> Model:
    """A model in which each visit is a process of its own."""
    discipline, preemption = "lifo" if oracle.lifo else "fifo", "resume" if oracle.preempts else None
    model = Model("m").resource("desk", oracle.capacity, discipline=discipline, preemption=preemption)
    for number, visit in enumerate(oracle.visits, 1):
        model.process(
            f"visit {number}",
            arrive(at=[visit.time]),
            renege(visit.patience, "tired"),
            seize("desk", units=visit.units, priority=visit.priority),
            record("first", now()),
            hold(work(number, visit)),
            release("desk"),
            record("end", now()),
            label("tired"),
            depart(),
        )
    return model


def told(model: Model, until: float, engine: str) -> Story:
    result = run(model, until, seed=1, engine=engine)
    records = {int(name[6:]): result[name].records for name in model.processes}
    return {number: (kept["first"].mean, kept["end"].mean) for number, kept in records.items() if kept["end"].count}


class Desk(RuleBasedStateMachine):
    """An oracle, and the model of the same visits."""

    wrong: ClassVar[dict[str, bool]] = {}
    """What a wrong oracle does always."""

    @initialize(capacity=st.integers(2, 3), lifo=st.booleans(), preempts=st.booleans())
    def begin(self, capacity: int, lifo: bool, preempts: bool) -> None:
        self.right = Oracle(capacity, lifo, preempts)
        self.oracle = replace(self.right, **self.wrong, visits=self.right.visits)
        self.time = 0.0

    @rule(
        units=st.integers(1, 2), priority=st.integers(0, 2), work=st.integers(1, 6),
        patience=st.sampled_from([1.5, 5.5, 99.5]),
    )  # fmt: skip
    def come(self, units: int, priority: int, work: int, patience: float) -> None:
        self.time = float(int(self.time) + 1)
        self.oracle.visits.append(Visit(int(self.time), units, priority, work, patience))

    @rule(quarters=st.integers(1, 20))
    def wait(self, quarters: int) -> None:
        self.time += quarters / 4

    @invariant()
    def the_same_are_at_work_wait_and_have_left(self) -> None:
        if not hasattr(self, "oracle") or not self.oracle.visits:
            return
        oracle = self.oracle
        model = model_of(self.right)
        oracle.play(self.time)
        simulation = Simulation(model, seed=1)
        simulation.step(until=self.time)
        jobs = {int(job.process[6:]): job for job in simulation.jobs()}
        at_work = {number: job.until for number, job in jobs.items() if job.waits_for is None}
        assert at_work == oracle.ends
        assert {number for number, job in jobs.items() if job.waits_for == "desk"} == oracle.waiting
        held = {number: dict(job.holds) for number, job in jobs.items() if number in at_work}
        assert held == {number: {"desk": oracle.units(number)} for number in oracle.ends}

    def teardown(self) -> None:
        if not hasattr(self, "oracle") or not self.oracle.visits:
            return
        self.oracle.play(500)
        for engine in ("compiled", "reference"):
            assert told(model_of(self.right), 500, engine) == self.oracle.story


LONG = settings(max_examples=60, stateful_step_count=20, deadline=None, derandomize=True)


def test_who_is_served_when() -> None:
    run_state_machine_as_test(Desk, settings=LONG)


@pytest.mark.parametrize("always", [{"lifo": True}, {"lifo": False}, {"preempts": True}, {"preempts": False}])
def test_an_oracle_of_another_rule_finds_fault(always: dict[str, bool]) -> None:
    """Poison: an oracle that always or never serves the last first, or interrupts."""

    class Wrong(Desk):
        wrong = always

    quick = settings(LONG, phases=[Phase.generate], report_multiple_bugs=False)
    with pytest.raises(AssertionError):
        run_state_machine_as_test(Wrong, settings=quick)


@pytest.mark.parametrize("engine", ["compiled", "reference"])
def test_what_an_interruption_leaves_over_goes_to_the_first_in_line(engine: str) -> None:
    """The third takes one of the first's two units; the second, who goes before the first, takes the other."""
    visits = [Visit(1, 2, 1, 6, 99.5), Visit(2, 1, 1, 1, 99.5), Visit(3, 1, 0, 1, 99.5)]
    story = told(model_of(Oracle(2, True, True, visits)), 500, engine)
    assert story == {1: (1, 8 + 1 / 64 + 3 / 64), 2: (3, 4 + 2 / 64), 3: (3, 4 + 3 / 64)}
