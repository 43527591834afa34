"""Stories with known ends: whole logs, in the order in which things happen. Both interpreters tell them."""

import pytest
from livesim import (
    Model,
    Result,
    arrive,
    assign,
    attribute,
    batch,
    combine,
    decide,
    depart,
    failures,
    free,
    get,
    hold,
    in_process,
    label,
    level,
    loop,
    put,
    record,
    release,
    renege,
    route,
    run,
    schedule,
    seize,
    signal,
    split,
    transport,
    unbatch,
    wait,
)  # fmt: skip
from livesim.model.verbs import Step


def story(
    model: Model, until: float = 100.0, *, engine: str = "compiled", only: str = ""
) -> list[tuple[float, str, str, int]]:
    """What happened, or the actions named: time, action, process and job."""
    result: Result = run(model, until, seed=1, trace=True, engine=engine)
    assert result.trace is not None
    rows = [(time, action, process, job) for time, action, process, job, _, _ in result.trace]
    return [row for row in rows if not only or row[1] in only.split()]


def departures(model: Model, engine: str, until: float = 100.0) -> list[tuple[float, int]]:
    return [(time, job) for time, _, _, job in story(model, until, engine=engine, only="depart")]


@pytest.fixture(params=["compiled", "reference"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def visit(*at: float, time: float = 2.0, **seizing: object) -> tuple[Step, ...]:
    return arrive(at=at), seize("inn", **seizing), hold(time), release("inn"), depart()  # type: ignore[arg-type]


# -- what happens at one time ------------------------------------------------------------------------------------------


def test_a_release_comes_before_an_arrival_at_the_same_time(engine: str) -> None:
    model = Model("inn").resource("inn").process("guest", *visit(0, 2))
    assert story(model, engine=engine) == [
        (0.0, "arrive", "guest", 1),
        (0.0, "hold", "guest", 1),
        (2.0, "release", "guest", 1),
        (2.0, "depart", "guest", 1),
        (2.0, "arrive", "guest", 2),
        (2.0, "hold", "guest", 2),
        (4.0, "release", "guest", 2),
        (4.0, "depart", "guest", 2),
    ]


def test_holds_that_lead_to_a_release_end_before_others(engine: str) -> None:
    """The walker's hold was scheduled first, but the room is free before he asks for it."""
    model = Model("inn").resource("inn")
    model.process(
        "walker", arrive(at=[0]), hold(5), record("free", free("inn")), seize("inn"), release("inn"), depart()
    )
    model.process("guest", *visit(1, time=4))
    assert run(model, 10, seed=1, engine=engine)["walker"].records["free"].mean == 1


def test_capacity_changes_before_a_release_serves_the_queue(engine: str) -> None:
    """The desk closes at 10: whoever is served at that moment was the last, though another waits."""
    model = Model("inn").resource("inn", schedule([(0, 10, 1), (10, 20, 0)], then="repeat"))
    model.process("guest", *visit(0, 1, time=10))
    assert departures(model, engine) == [(10.0, 1), (30.0, 2)]


def test_work_that_ends_as_a_machine_fails_is_done(engine: str) -> None:
    model = Model("inn").resource("inn", failures=failures(up=2, down=5, jobs="restart"))
    model.process("guest", *visit(0, 1, time=2))
    assert departures(model, engine) == [(2.0, 1), (9.0, 2)]


def test_whoever_is_served_as_patience_ends_is_served(engine: str) -> None:
    model = Model("inn").resource("inn")
    model.process(
        "guest", arrive(at=[0, 0, 0]), renege(2, "away"), seize("inn"), hold(2), release("inn"), label("away"), depart()
    )
    assert story(model, engine=engine, only="go renege depart") == [
        (2.0, "go", "guest", 2),
        (2.0, "depart", "guest", 1),
        (2.0, "renege", "guest", 3),
        (2.0, "depart", "guest", 3),
        (4.0, "depart", "guest", 2),
    ]


# -- who is served -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("discipline", "order"),
    [("fifo", [1, 2, 3, 4, 5]), ("lifo", [1, 5, 4, 3, 2]), (attribute("size"), [1, 3, 5, 2, 4])],
)
def test_disciplines(discipline: object, order: list[int], engine: str) -> None:
    """Sizes of the jobs that wait: 3, 1, 4, 2, from number 2 on."""
    model = Model("inn").resource("inn", discipline=discipline)  # type: ignore[arg-type]
    model.process(
        "guest", arrive(at=[0, 0.1, 0.2, 0.3, 0.4]), assign(size=9), *sizes(), seize("inn"), hold(2), release("inn"),
        depart(),
    )  # fmt: skip
    assert [job for _, job in departures(model, engine)] == order


def sizes() -> list[Step]:
    """Give the second to fifth job the sizes 3, 1, 4 and 2."""
    steps: list[Step] = []
    for size, inside in ((3.0, 2), (1.0, 3), (4.0, 4), (2.0, 5)):
        steps += [decide(in_process("guest") < inside, f"below {inside}"), assign(size=size), label(f"below {inside}")]
    return steps


def test_the_smaller_number_goes_first_and_equal_ones_as_they_came(engine: str) -> None:
    model = Model("inn").resource("inn")
    model.process("low", *visit(0, 0.1, 0.2, priority=2))
    model.process("high", *visit(0.3, 0.4, priority=1))
    ends = [(process, job) for _, _, process, job in story(model, engine=engine, only="depart")]
    assert ends == [("low", 1), ("high", 1), ("high", 2), ("low", 2), ("low", 3)]


def test_nobody_overtakes_the_first_in_line(engine: str) -> None:
    """One unit is free, but the first in line wants two: who comes after it waits behind it."""
    model = Model("inn").resource("inn", 2)
    model.process("one", *visit(0, 0.2, time=2, units=1))
    model.process("two", *visit(0.1, time=2, units=2))
    assert story(model, engine=engine, only="depart") == [
        (2.0, "depart", "one", 1),
        (4.0, "depart", "two", 1),
        (6.0, "depart", "one", 2),
    ]


def test_who_gives_up_lets_those_behind_move_up(engine: str) -> None:
    model = Model("inn").resource("inn", 2)
    model.process("one", *visit(0, 0.2, time=10))
    model.process(
        "two", arrive(at=[0.1]), renege(1, "away"), seize("inn", units=2), hold(1), release("inn"), label("away"),
        depart(),
    )  # fmt: skip
    assert story(model, engine=engine, only="go renege depart") == [
        (1.1, "renege", "two", 1),
        (1.1, "go", "one", 2),
        (1.1, "depart", "two", 1),
        (10.0, "depart", "one", 1),
        (11.1, "depart", "one", 2),
    ]


def test_several_at_once_are_taken_together_or_not_at_all(engine: str) -> None:
    """While the surgeon waits for the room, the nurse is free for others."""
    model = Model("clinic").resource("nurse").resource("room")
    model.process("cleaner", arrive(at=[0]), seize("room"), hold(5), release("room"), depart())
    model.process("surgeon", arrive(at=[1]), seize("nurse", "room"), hold(1), release("room", "nurse"), depart())
    model.process("patient", arrive(at=[2]), seize("nurse"), hold(1), release("nurse"), depart())
    assert story(model, engine=engine, only="depart") == [
        (3.0, "depart", "patient", 1),
        (5.0, "depart", "cleaner", 1),
        (6.0, "depart", "surgeon", 1),
    ]


@pytest.mark.parametrize(
    ("policy", "chosen"),
    [("first_available", "aabb"), ("shortest_queue", "baba"), ("round_robin", "abab")],
)
def test_policies(policy: str, chosen: str, engine: str) -> None:
    """Two units of a and three of b: the queue with more units to spare is the shorter one."""
    model = Model("desks").resource("a", 2).resource("b", 3)
    model.process("p", arrive(every=0.1, limit=4), seize("a", "b", policy=policy), hold(5), release("a", "b"), depart())
    result = run(model, 100, seed=1, trace=True, engine=engine)
    assert result.trace is not None
    released = {job: detail for _, action, _, job, _, detail in result.trace if action == "release"}
    assert "".join(released[job] for job in (1, 2, 3, 4)) == chosen


def test_a_random_policy_takes_all_that_are_free_alike(engine: str) -> None:
    """1,000 jobs, three desks that are always free: chi-squared with 2 degrees of freedom, a false alarm in 10,000."""
    model = Model("desks")
    for name in "abc":
        model.resource(name)
    names = ("a", "b", "c")
    model.process(
        "p", arrive(every=1, limit=1000), seize(*names, policy="random"), hold(0.5), release(*names), depart()
    )
    result = run(model, 2000, seed=1, engine=engine)
    counts = [result[name].wait.count for name in names]
    assert sum(counts) == 1000
    assert sum((count - 1000 / 3) ** 2 / (1000 / 3) for count in counts) < 18.42


# -- interruptions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "end"), [("resume", 14.0), ("restart", 18.0), ("resample", 18.0)])
def test_modes_of_interruption(mode: str, end: float, engine: str) -> None:
    """A hold of 10, interrupted at 4 for 4. A new draw of a number is that number."""
    model = Model("m").resource("inn", preemption=mode)
    model.process("slow", *visit(0, time=10, priority=1))
    model.process("fast", *visit(4, time=4, priority=0))
    assert story(model, engine=engine, only="depart") == [(8.0, "depart", "fast", 1), (end, "depart", "slow", 1)]


def test_equals_do_not_interrupt_and_the_last_to_come_is_interrupted_first(engine: str) -> None:
    model = Model("m").resource("inn", 2, preemption="resume")
    model.process("slow", *visit(0, 1, 2, time=10, priority=1))
    model.process("fast", *visit(4, time=4, priority=0))
    assert story(model, engine=engine, only="interrupt go depart") == [
        (4.0, "interrupt", "slow", 2),
        (8.0, "go", "slow", 2),  # at the place that it had: before the third
        (8.0, "depart", "fast", 1),
        (10.0, "go", "slow", 3),
        (10.0, "depart", "slow", 1),
        (15.0, "depart", "slow", 2),
        (20.0, "depart", "slow", 3),
    ]


@pytest.mark.parametrize(
    ("jobs", "ends"), [("finish", [5.0, 25.0]), ("resume", [23.0, 28.0]), ("restart", [25.0, 30.0])]
)
def test_shifts_end_with_their_jobs_or_without(jobs: str, ends: list[float], engine: str) -> None:
    model = Model("m").resource("inn", schedule([(0, 2, 1), (2, 20, 0), (20, 99, 1)], then="keep", jobs=jobs))
    model.process("guest", *visit(0, 1, time=5))
    assert [time for time, _ in departures(model, engine)] == ends


# -- jobs that come together and part ----------------------------------------------------------------------------------


def test_a_batch_goes_as_one_and_parts_in_order(engine: str) -> None:
    model = Model("bus").resource("inn")
    model.process("p", arrive(every=1, limit=4), batch(2), seize("inn"), hold(10), release("inn"), unbatch(), depart())
    assert departures(model, engine) == [(12.0, 1), (12.0, 2), (22.0, 3), (22.0, 4)]
    assert run(model, 100, seed=1, engine=engine)["inn"].wait.count == 2


def test_parts_of_one_job_come_together_again(engine: str) -> None:
    model = Model("m").process(
        "p", arrive(at=[0, 1]), split(2, "copy"), hold(10), label("meet"), combine(), depart(), label("copy"), hold(3),
        decide(1.0, "meet"), depart(),
    )  # fmt: skip
    assert story(model, engine=engine, only="split combine depart") == [
        (0.0, "split", "p", 2),
        (1.0, "split", "p", 4),
        (10.0, "combine", "p", 1),
        (10.0, "depart", "p", 2),
        (11.0, "combine", "p", 3),
        (11.0, "depart", "p", 4),
    ]


def test_a_signal_lets_go_who_waits_now(engine: str) -> None:
    model = Model("m")
    model.process("bell", arrive(at=[5]), signal("bell"), depart())
    model.process("p", arrive(at=[0, 1, 6]), renege(20, "late"), wait("bell"), label("late"), depart())
    assert departures(model, engine) == [(5.0, 1), (5.0, 1), (5.0, 2), (26.0, 3)]


def test_a_container_keeps_its_order_and_its_limits(engine: str) -> None:
    """A tank of 10 that holds 4. One asks for 6 and waits, one for 1 behind it; 7 do not fit, 3 wait behind them."""
    model = Model("m").container("tank", capacity=10, initial=4)
    model.process("taker", arrive(at=[0]), get("tank", 6), record("left", level("tank")), depart())
    model.process("sipper", arrive(at=[1]), get("tank", 1), depart())
    model.process("filler", arrive(at=[2]), put("tank", 7), depart())
    model.process("drop", arrive(at=[3]), put("tank", 3), depart())
    assert story(model, engine=engine, only="depart") == []
    result = run(model, 100, seed=1, engine=engine)
    assert result["tank"].level.last == 4
    assert (result["tank"].get_queue.last, result["tank"].put_queue.last) == (2, 2)


def test_a_belt_takes_its_time_and_has_so_many_places(engine: str) -> None:
    model = Model("m").conveyor("belt", length=6, speed=2, capacity=2)
    model.process("p", arrive(at=[0, 0, 1]), transport("belt"), depart())
    assert departures(model, engine) == [(3.0, 1), (3.0, 2), (6.0, 3)]


def test_loops_repeat_and_can_be_entered_again(engine: str) -> None:
    model = Model("m").process(
        "p",
        arrive(at=[0]),
        label("outer"),
        label("inner"),
        hold(1),
        loop("inner", 3),
        route(10),
        loop("outer", 2),
        depart(),
    )
    assert departures(model, engine) == [(26.0, 1)]


def test_a_batch_of_arrivals_and_a_limit(engine: str) -> None:
    model = Model("m").process("p", arrive(every=2, first=1, batch=2, limit=2), depart())
    assert departures(model, engine) == [(1.0, 1), (1.0, 2), (3.0, 3), (3.0, 4)]
