"""A run from a state that was observed goes on as the system would."""

from typing import Any

import pytest
from livesim import (
    InProcess,
    Model,
    arrive,
    assign,
    attribute,
    depart,
    exponential,
    hold,
    label,
    observed,
    release,
    run,
    schedule,
    seize,
)  # fmt: skip


def ward(**resource: Any) -> Model:
    """Steps: 2 a label, 3 an assignment, 4 the seize, 5 the hold."""
    return (
        Model("ward")
        .resource("bed", **resource)
        .process(
            "patient", arrive(at=[0, 1, 2, 30]), label("in"), assign(days=5), seize("bed"), hold(attribute("days")),
            release("bed"), depart(),
        )
    )  # fmt: skip


def departures(model: Model, until: float = 99.0, **options: Any) -> list[float]:
    result = run(model, until, seed=1, trace=True, **options)
    assert result.trace is not None
    return [time for time, action, *_ in result.trace if action == "depart"]


def test_the_future_of_an_observed_state_is_the_future_of_the_run() -> None:
    """At 3 the first has 2 of its 5 days left, the second and the third wait, the fourth is to come."""
    state = observed(ward(), 3, [
        InProcess("patient", 5, left=2, holds={"bed": 1}, attributes={"days": 5}, arrived=0),
        InProcess("patient", 4, attributes={"days": 5}, arrived=1),
        InProcess("patient", 3, arrived=2),
    ])  # fmt: skip
    whole = departures(ward())
    assert whole == [5, 10, 15, 35]
    assert departures(ward(), start=state) == whole
    result = run(ward(), 99, start=state)
    assert (result["patient"].arrived, result["patient"].completed) == (1, 4)
    assert (result["patient"].sojourn.max, result.start) == (13, 3)
    # Poison: one day more of the first moves them all but the last.
    longer = observed(ward(), 3, [InProcess("patient", 5, left=3, holds={"bed": 1}, attributes={"days": 5})])
    assert departures(ward(), start=longer) == [6, 35]


@pytest.mark.parametrize("time", [0, 3, 8, 11, 24, 30, 47])
def test_schedules_are_where_the_time_has_them(time: float) -> None:
    model = Model("m").resource("desk", schedule([(0, 8, 2), (8, 16, 0), (16, 24, 1)], then="repeat"))
    model.process("p", arrive(every=exponential(mean=1)), depart())
    result = run(model, 99, seed=1, start=observed(model, time, []), trace=True)
    whole = run(model, 99, seed=1, trace=True)
    assert result.trace is not None
    assert whole.trace is not None
    assert [row for row in result.trace if row[1] == "capacity"] == [
        row for row in whole.trace if row[1] == "capacity" and row[0] > time
    ]
    assert result["desk"].capacity.last == whole["desk"].capacity.last


def test_what_was_observed_can_be_interrupted() -> None:
    model = Model("m").resource("bed", preemption="resume")
    model.process("slow", arrive(at=[]), seize("bed", priority=1), hold(9), release("bed"), depart())
    model.process("fast", arrive(at=[7]), seize("bed", priority=-1), hold(1), release("bed"), depart())
    state = observed(model, 5, [InProcess("slow", 3, left=4, holds={"bed": 1})])
    assert departures(model, start=state) == [8, 10]


@pytest.mark.parametrize(
    ("job", "words"),
    [
        (InProcess("nurse", 3), "no process 'nurse'; there are: 'patient'"),
        (InProcess("patient", 9), "step must be from 2 to 7, got 9"),
        (InProcess("patient", 4, left=3), "left= is the time"),
        (InProcess("patient", 5, left=-1), "left= is the time"),
        (InProcess("patient", 5, holds={"chair": 1}), "no resource 'chair'"),
        (InProcess("patient", 5, holds={"bed": 0.5}), "positive integer, got 0.5"),  # type: ignore[dict-item]
        (InProcess("patient", 5, holds={"bed": 2}), "2 units of 'bed' are held, but there are never more than 1"),
        (InProcess("patient", 5, attributes={"age": 3}), "no attribute 'age'; there are: 'days'"),
        (InProcess("patient", 5, arrived=7), "arrived=7 lies after the time 5"),
    ],
)
def test_what_cannot_be_is_refused(job: InProcess, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        observed(ward(), 5, [job])


def test_more_jobs_than_there_is_room_for_at_first() -> None:
    model = ward(capacity=1000)
    jobs = [InProcess("patient", 5, left=1 + k, holds={"bed": 1}) for k in range(500)]
    there = run(model, 260, seed=1, start=observed(model, 40, jobs))["patient"]
    assert (there.completed, there.in_process) == (220, 280)


@pytest.mark.parametrize("time", [0.0, 40.0])
def test_who_came_before_the_clock_began_has_been_there_since(time: float) -> None:
    """Arrivals may be negative, where the clock is set to 0 at the observation; L = lambda W holds all the same."""
    state = observed(ward(), time, [InProcess("patient", 5, left=2, holds={"bed": 1}, arrived=time - 100)])
    there = run(ward(), time + 10, seed=1, start=state)["patient"]
    assert there.completed >= 1
    assert there.sojourn.max == 102
