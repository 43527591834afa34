"""Defects of an earlier engine, each by its number in the list that this package began from: none is inherited."""

import pytest
from livesim import (
    Model,
    SimulationError,
    arrive,
    assign,
    attribute,
    batch,
    combine,
    decide,
    depart,
    exponential,
    hold,
    label,
    release,
    route,
    run,
    schedule,
    seize,
    split,
    transport,
    unbatch,
)  # fmt: skip
from test_traces import story


@pytest.fixture(params=["compiled", "reference"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_d1_an_interrupted_job_waits_once_and_no_phantom_holds_the_server(engine: str) -> None:
    model = Model("shop").resource("server", preemption="resume")
    for name, gap, service, priority in (("normal", 20, 10, 1), ("rush", 50, 3, 0)):
        model.process(
            name,
            arrive(every=exponential(mean=gap)),
            seize("server", priority=priority),
            hold(exponential(mean=service)),
            release("server"),
            depart(),
        )
    result = run(model, 10_000, seed=1, drain=True, engine=engine)
    assert result["normal"].completed == result["normal"].arrived > 400
    assert result["normal"].interrupted > 20
    assert result["server"].busy.last == 0
    assert result["server"].utilization == pytest.approx(0.5 + 0.06, abs=0.07)


def test_d2_an_interrupted_job_goes_on_with_its_hold_wherever_it_seized(engine: str) -> None:
    """It keeps the tool while it waits for the server, and holds for 10 in all."""
    model = Model("shop").resource("server", preemption="resume").resource("tool")
    model.process(
        "normal", arrive(at=[0]), seize("server", priority=1), seize("tool"), assign(x=1), hold(10), release("tool"),
        release("server"), depart(),
    )  # fmt: skip
    model.process("rush", arrive(at=[4]), seize("server", priority=0), hold(3), release("server"), depart())
    assert story(model, engine=engine) == [
        (0.0, "arrive", "normal", 1),
        (0.0, "hold", "normal", 1),
        (4.0, "arrive", "rush", 1),
        (4.0, "interrupt", "normal", 1),
        (4.0, "wait", "normal", 1),
        (4.0, "hold", "rush", 1),
        (7.0, "release", "rush", 1),
        (7.0, "go", "normal", 1),
        (7.0, "depart", "rush", 1),
        (7.0, "hold", "normal", 1),
        (13.0, "release", "normal", 1),
        (13.0, "release", "normal", 1),
        (13.0, "depart", "normal", 1),
    ]


def test_d3_a_rise_of_capacity_wakes_the_queue_before_anyone_jumps_it(engine: str) -> None:
    model = Model("desk").resource("clerk", schedule([(0, 10, 0), (10, 20, 1)], then="keep"))
    model.process("client", arrive(at=[1, 10]), seize("clerk"), hold(2), release("clerk"), depart())
    assert story(model, engine=engine) == [
        (1.0, "arrive", "client", 1),
        (1.0, "wait", "client", 1),
        (10.0, "capacity", "", 0),
        (10.0, "go", "client", 1),
        (10.0, "hold", "client", 1),
        (10.0, "arrive", "client", 2),
        (10.0, "wait", "client", 2),
        (12.0, "release", "client", 1),
        (12.0, "go", "client", 2),
        (12.0, "depart", "client", 1),
        (12.0, "hold", "client", 2),
        (14.0, "release", "client", 2),
        (14.0, "depart", "client", 2),
        (20.0, "capacity", "", 0),
    ]


@pytest.mark.parametrize(("then", "low", "high"), [("stop", 60, 140), ("repeat", 850, 1150), ("keep", 950, 1250)])
def test_d4_what_follows_the_last_period_is_said(then: str, low: int, high: int, engine: str) -> None:
    """Rates 0.9 and 1.1 for 50 each: 100 arrivals expected at first, then none, as many again, or 1.1 for ever."""
    rate = [(0, 50, 0.9), (50, 100, 1.1)]
    result = run(Model("m").process("p", arrive(rate=rate, then=then), depart()), 1000, seed=3, engine=engine)
    assert low < result["p"].arrived < high
    with pytest.raises(ValueError, match="what happens after its last period"):
        arrive(rate=rate)


def test_d5_one_part_is_the_job_itself(engine: str) -> None:
    result = run(Model("m").process("p", arrive(every=1), split(1), depart()), 10, seed=1, engine=engine)
    assert (result["p"].arrived, result["p"].copies, result["p"].completed) == (10, 0, 10)


def test_d6_copies_have_numbers_of_their_own(engine: str) -> None:
    model = Model("m").process("p", arrive(every=1), split(3), split(3), split(3), depart())
    departed = [job for _, action, _, job in story(model, 20, engine=engine) if action == "depart"]
    assert sorted(departed) == list(range(1, 27 * 20 + 1))


def test_d7_waits_add_up_and_travel_is_no_wait(engine: str) -> None:
    model = Model("line").resource("first").resource("second")
    model.process(
        "p", arrive(at=[0], batch=3), seize("first"), hold(2), release("first"), route(5), seize("second"), hold(3),
        release("second"), depart(),
    )  # fmt: skip
    result = run(model, 20, seed=1, engine=engine)
    assert result["p"].wait.max == 4 + 2  # the third: 2 others at first, then 1 left of the second's 3, and so on
    assert result["p"].sojourn.max == 4 + 2 + 5 + 2 + 3
    assert (result["first"].longest_queue, result["first"].queue.last) == (2, 0)
    assert result["first"].utilization == 6 / 20


def test_d8_nobody_releases_what_another_holds(engine: str) -> None:
    thief = (
        Model("m").resource("safe").process("owner", arrive(at=[0]), seize("safe"), hold(9), release("safe"), depart())
    )
    with pytest.raises(ValueError, match=r"process 'thief', step 2, release.*no way here seizes 'safe'"):
        thief.process("thief", arrive(at=[1]), release("safe"), depart())
    thief.process(
        "sneak", arrive(at=[1]), decide(1.0, "past"), seize("safe"), label("past"), release("safe"), depart()
    )  # fmt: skip
    with pytest.raises(SimulationError, match=r"'sneak', step 5, release.* job 1, at time 1: one can only release"):
        run(thief, 10, seed=1, engine=engine)


def test_d9_and_d10_both_engines_know_every_verb() -> None:
    model = Model("m").conveyor("belt", length=10, speed=4, capacity=1)
    model.process("p", arrive(at=[0, 1]), transport("belt"), depart())
    assert story(model, engine="compiled") == story(model, engine="reference")
    assert story(model)[-1] == (5.0, "depart", "p", 2)


def test_d11_the_smallest_random_number_has_a_logarithm() -> None:
    result = run(Model("m").process("p", arrive(every=exponential(mean=1)), depart()), 200_000, seed=5)
    assert 0 < result["p"].arrived < 210_000


def test_d12_a_run_without_a_seed_can_be_repeated() -> None:
    model = Model("m").process("p", arrive(every=exponential(mean=1)), hold(exponential(mean=3)), depart())
    first = run(model, 100)
    assert run(model, 100, seed=first.seed)["p"].sojourn == first["p"].sojourn
    assert run(model, 100, seed=first.seed + 1)["p"].sojourn != first["p"].sojourn


def test_d14_batches_go_in_the_order_of_coming_and_the_first_survives_a_combination(engine: str) -> None:
    together = Model("m").process("p", arrive(every=1, limit=3), batch(3), unbatch(), depart())
    assert [job for _, action, _, job in story(together, engine=engine) if action == "depart"] == [1, 2, 3]
    merged = Model("m").process("p", arrive(every=1, limit=3), assign(x=1), combine(3), hold(attribute("x")), depart())
    ends = [(action, job) for _, action, _, job in story(merged, engine=engine) if action in ("combine", "depart")]
    assert ends == [("combine", 2), ("combine", 3), ("depart", 1)]
