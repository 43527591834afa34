"""What is wrong is an error that names the thing, the value and what would be right; if possible before the run."""

from collections.abc import Callable
from typing import Any

import pytest
from livesim import (
    DeadlockError,
    Model,
    SimulationError,
    arrive,
    assign,
    attribute,
    combine,
    decide,
    depart,
    exponential,
    failures,
    get,
    hold,
    jump,
    label,
    loop,
    normal,
    now,
    param,
    put,
    queue_length,
    release,
    renege,
    run,
    schedule,
    seize,
    split,
    transport,
    wait,
)  # fmt: skip

E1 = exponential(mean=1)


def model(*steps: Any) -> Model:
    return Model("m").resource("desk", 2).container("tank", capacity=5).process("p", arrive(every=1), *steps)


BUILT: list[tuple[Callable[[], object], str]] = [
    (lambda: Model(""), "name is a non-empty string"),
    (lambda: Model("m").resource("desk", 0), "resource 'desk': capacity must be a positive integer, got 0"),
    (lambda: Model("m").resource("desk", 1.5), "positive integer, got 1.5"),
    (lambda: Model("m").resource("desk", discipline="best"), "discipline must be one of 'fifo', 'lifo', got 'best'"),
    (lambda: Model("m").resource("desk", preemption="yes"), "preemption must be one of 'resume', 'restart'"),
    (lambda: Model("m").resource("desk", discipline=queue_length("bar")), "no resource 'bar'"),
    (lambda: Model("m").resource("a").resource("a"), "already has a 'a'"),
    (lambda: Model("m").resource("a.b"), "holds no dot"),
    (lambda: Model("m").conveyor("belt", length=0, speed=1, capacity=1), "length must be a number above 0, got 0"),
    (lambda: Model("m").container("tank", capacity=5, initial=6), "initial must lie between 0 and the capacity 5"),
    (lambda: Model("m").process("p"), "step 1 must be arrive"),
    (lambda: Model("m").process("p", arrive(every=1), 3), "step 2: expected a verb such as hold"),
    (lambda: model(hold(1)), r"process 'p', step 2, hold\(time=1\): a process must not end here"),
    (lambda: model(arrive(every=2), depart()), "arrive is the first step, and no other"),
    (lambda: model(seize("bar"), depart()), r"step 2, seize\(.*\): no resource 'bar' in model 'm'; there are: 'desk'"),
    (lambda: model(seize("desk", units=3), depart()), "units must be a whole number up to the capacity 2, got 3"),
    (lambda: model(seize("desk"), depart()), "the job still holds 'desk'; release first"),
    (lambda: model(seize("desk"), release("desk"), release("desk"), depart()), "step 4, release.*none is held"),
    (lambda: model(jump("here"), depart()), "no label 'here' in this process; there are: none"),
    (lambda: model(label("a"), label("a"), depart()), "two labels 'a'"),
    (lambda: model(renege(1, "end"), hold(1), label("end"), depart()), "directly before a seize"),
    (lambda: model(transport("belt"), depart()), "no conveyor 'belt'"),
    (lambda: model(get("desk"), depart()), "no container 'desk'"),
    (lambda: model(put("tank", 6), depart()), "it would wait forever"),
    (lambda: model(hold(attribute("size")), depart()), "no step assigns the attribute 'size'"),
    (lambda: model(hold(queue_length("bar")), depart()), "no resource 'bar'"),
    (lambda: arrive(), "one of every=, at= and rate=, got none"),
    (lambda: arrive(every=-1), "every must be 0 or more and finite, got -1"),
    (lambda: arrive(at=[2, 1]), "times in order from 0 on, got 1 after 2"),
    (lambda: arrive(rate=[(0, 5, 1), (6, 7, 1)], then="stop"), "must start at 5"),
    (lambda: arrive(every=1, limit=-1), "limit must be a number of arrivals"),
    (lambda: seize(), "name a resource"),
    (lambda: seize("a", "a"), "named twice"),
    (lambda: seize("a", policy="random"), "name two or more"),
    (lambda: seize("a", "b", policy="best"), "policy must be one of 'first_available'"),
    (lambda: hold(-2), "hold: time must be 0 or more and finite, got -2"),
    (lambda: hold("3"), "must be a number, an expression or a distribution, got '3'"),
    (lambda: decide(1.5, "x"), "probability lies between 0 and 1, got 1.5"),
    (lambda: decide({"a": 0.5, "b": 0.4}), "must sum to 1, got 0.9"),
    (lambda: decide(0.5), "say where to go"),
    (lambda: loop("x", E1), "cannot be the distribution"),
    (lambda: assign(), "name an attribute"),
    (lambda: schedule([(0, 8, 1.5)], then="keep"), "must be a whole number"),
    (lambda: schedule([(0, 8, 1)], then="loop"), "then must be 'repeat'"),
    (lambda: schedule([(0, 8, 1)], then="keep", jobs="die"), "jobs must be one of 'finish'"),
    (lambda: failures(up=0, down=1), "up must be above 0"),
    (lambda: failures(up=now(), down=1), "must be a number or a distribution"),
    (lambda: param("", 1), "non-empty string"),
    (lambda: param("x", float("nan")), "must be a finite number"),
    (lambda: bool(now() > 3), "no truth value"),
    (lambda: now() ** 2, "powers are not in the language"),
    (lambda: run("shop", 10), "expected a livesim.Model"),
    (lambda: run(Model("m"), 10), "has no process"),
    (lambda: run(model(depart()), 0), "until must be a finite time above 0, got 0"),
    (lambda: run(model(depart()), 5, warmup=5), "warmup must be a time from 0"),
    (lambda: run(model(depart()), 5, seed=-1), "seed must be a whole number"),
    (lambda: run(model(depart()), 5, engine="fast"), "engine must be 'compiled' or 'reference'"),
    (lambda: run(model(depart()), 5, params={"x": 1}), "has no parameter 'x'; there are: none"),
    (lambda: run(model(depart()), 5, seed=1)["q"], "there are: 'desk', 'tank', 'p'"),
    (lambda: run(model(depart()), 5, seed=1).value("p.wait"), "is not a number; go on with one of count"),
    (lambda: run(model(depart()), 5, seed=1).value("p.waits"), "no 'waits'"),
    (lambda: run(model(hold(param("a", 1)), hold(param("a", 2)), depart()), 5), "two defaults"),
    (lambda: run(model(hold(exponential(mean=param("a", 1))), depart()), 5, params={"a": -1}), "p/hold 1: .*got -1"),
]


@pytest.mark.parametrize(("build", "words"), BUILT)
def test_what_is_wrong_is_said_at_the_door(build: Callable[[], object], words: str) -> None:
    with pytest.raises((ValueError, TypeError, KeyError), match=words):
        build()


RUNS: list[tuple[tuple[Any, ...], str]] = [
    ((hold(1 - now()), depart()), r"process 'p', step 2, hold\(.*\), job 2, at time 2: a time must be finite"),
    ((hold(normal(0, 1)), depart()), "a time must be finite and 0 or more, got -"),
    ((seize("desk", units=now()), hold(9), release("desk"), depart()), "units must be a whole number .* got 3"),
    ((decide(now() / 2, "end"), label("end"), depart()), "a probability lies between 0 and 1, got 1.5"),
    ((decide(0.0, "end"), assign(x=1), label("end"), hold(attribute("x") / 0), depart()), "a time .* got inf"),
    ((label("a"), jump("a"), depart()), "goes on for ever in no time"),
    ((split(now()), combine(0.5 + now()), depart()), "a count must be a whole number"),
    ((put("tank", 4 + now()), get("tank", 4 + now()), depart()), "an amount must lie between 0 and the container's"),
    ((seize("desk"), decide(0.5, "end"), release("desk"), label("end"), depart()), "a job must hold nothing"),
    ((decide(1.0, "end"), assign(x=1), label("end"), hold(attribute("x")), depart()), "a time must be .* got nan"),
    ((seize("desk"), split(2), release("desk"), depart()), "one can only release what one holds"),
]


@pytest.mark.parametrize("engine", ["compiled", "reference"])
@pytest.mark.parametrize(("steps", "words"), RUNS)
def test_what_is_wrong_in_a_run_names_step_job_and_time(steps: tuple[Any, ...], words: str, engine: str) -> None:
    with pytest.raises(SimulationError, match=words):
        run(model(*steps), 50, seed=1, engine=engine)


def crossing() -> Model:
    crossed = Model("crossing").resource("north").resource("south")
    for name, first, second in (("up", "north", "south"), ("down", "south", "north")):
        crossed.process(
            name, arrive(at=[0]), seize(first), hold(1), seize(second), hold(1), release(first, second), depart()
        )
    return crossed


@pytest.mark.parametrize("engine", ["compiled", "reference"])
def test_a_deadlock_says_who_waits_for_what(engine: str) -> None:
    with pytest.raises(DeadlockError, match="up 1 holds 1 of 'north' and waits for 'south'") as caught:
        run(crossing(), 10, seed=1, engine=engine)
    assert [(job.process, job.waits_for, job.holds) for job in caught.value.jobs] == [
        ("up", "south", {"north": 1}),
        ("down", "north", {"south": 1}),
    ]


@pytest.mark.parametrize("engine", ["compiled", "reference"])
def test_waiting_with_something_in_hand_is_no_deadlock(engine: str) -> None:
    """Poison: the same crossing where one gives up, and one where the unit is held by a job that will go on."""
    patient = Model("m").resource("north").resource("south")
    patient.process("up", arrive(at=[0]), seize("north"), hold(1), renege(99, "out"), seize("south"), hold(1),
                    release("south"), label("out"), release("north"), depart())  # fmt: skip
    patient.process("down", arrive(at=[0]), seize("south"), hold(1), seize("north"), hold(1), release("north"),
                    release("south"), depart())  # fmt: skip
    assert run(patient, 50, seed=1, engine=engine)["up"].in_process == 1
    assert run(patient, 200, seed=1, engine=engine)["down"].completed == 1


def test_a_signal_that_never_comes_is_no_deadlock() -> None:
    assert run(model(wait("godot"), depart()), 5, seed=1)["p"].in_process == 5


@pytest.mark.parametrize("engine", ["compiled", "reference"])
def test_a_first_arrival_that_cannot_be_names_its_process(engine: str) -> None:
    model = Model("m").process("fine", arrive(every=1), depart())
    model = model.process("wrong", arrive(every=param("gap", 1)), depart())
    with pytest.raises(SimulationError, match=r"process 'wrong', arrivals, at time 0: a time must be .*, got -3"):
        run(model, until=10, seed=1, params={"gap": -3}, engine=engine)
