"""What would go on for ever at one time ends with an error that names it, in every way in which it can come about."""

import pytest
from livesim import (
    Model,
    Simulation,
    SimulationError,
    arrive,
    constant,
    depart,
    exponential,
    failures,
    hold,
    jump,
    label,
    param,
    release,
    replicate,
    run,
    seize,
    signal,
    wait,
)  # fmt: skip
from livesim.runtime import standstill


def still(*steps, every=1):
    return Model("still").process("part", arrive(every=every), *steps)


@pytest.mark.parametrize("engine", ["compiled", "reference"])
def test_holds_of_no_time(engine, monkeypatch):
    monkeypatch.setattr(standstill, "MOST_EVENTS", 100_000)
    monkeypatch.setattr("livesim.runtime.simulation._EVENTS", 50_000)
    model = still(label("again"), hold(0), jump("again"))
    with pytest.raises(
        SimulationError, match=r"process 'part', step 3, hold\(time=0\), job 1, at time 1: time stands still"
    ):
        run(model, until=10, seed=1, engine=engine)


@pytest.mark.parametrize("engine", ["compiled", "reference"])
@pytest.mark.parametrize("gap", [constant(0), param("gap", 0)])
def test_arrivals_without_a_gap(engine, gap, monkeypatch):
    monkeypatch.setattr(standstill, "MOST_EVENTS", 100_000)
    monkeypatch.setattr("livesim.runtime.simulation._EVENTS", 50_000)
    with pytest.raises(SimulationError, match="process 'part', arrivals, at time 0: time stands still"):
        run(still(depart(), every=gap), until=10, seed=1, engine=engine)


@pytest.mark.parametrize("engine", ["compiled", "reference"])
@pytest.mark.parametrize("gap", [5e-324, 1e-300, 1e-20])
def test_gaps_that_are_next_to_nothing(engine, gap, monkeypatch):
    """The clock moves, and would reach the end after as many events as nobody has time for."""
    monkeypatch.setattr(standstill, "MOST_EVENTS", 100_000)
    monkeypatch.setattr("livesim.runtime.simulation._EVENTS", 50_000)
    with pytest.raises(
        SimulationError, match=r"process 'part', arrivals, at time .*: time hardly moves, by .* in more than 100,000"
    ):
        run(still(depart(), every=gap), until=10, seed=1, engine=engine)
    model = still(label("again"), hold(gap), jump("again")).process("other", arrive(every=3), depart())
    with pytest.raises(SimulationError, match=r"process 'part', step 3, hold.*, at time 1: time stands still"):
        run(model, until=10, seed=1, engine=engine)


@pytest.mark.parametrize("engine", ["compiled", "reference"])
def test_a_schedule_or_failures_without_a_pause_name_their_resource(engine, monkeypatch):
    monkeypatch.setattr(standstill, "MOST_EVENTS", 100_000)
    monkeypatch.setattr("livesim.runtime.simulation._EVENTS", 50_000)
    tiny = constant(param("tiny", 0))
    model = still(depart()).resource("other", 1, failures=failures(up=1, down=1))
    model.resource("desk", 1, failures=failures(up=tiny, down=tiny))
    with pytest.raises(SimulationError, match="resource 'desk', schedule or failures, at time 0: time stands still"):
        run(model, until=10, seed=1, engine=engine)


def test_a_crowd_and_then_a_slow_pace_are_none(monkeypatch):
    monkeypatch.setattr(standstill, "MOST_EVENTS", 100_000)
    monkeypatch.setattr("livesim.runtime.simulation._EVENTS", 10_000)
    model = Model("crowd").process("p", arrive(at=[0], batch=90_000), hold(exponential(mean=1e-9)), depart())
    assert run(model.process("q", arrive(every=1), depart()), until=1e6, seed=1)["p"].completed == 90_000


def test_a_replication_that_stands_still_fails_alone():
    model = still(depart(), every=param("gap", 1))
    with pytest.warns(UserWarning, match="1 of 3 replications failed"):
        runs = replicate(model, n=3, until=10, params={"gap": [1, 0, 2]}, seed=1, progress=False)
    assert list(runs.errors) == [1]
    assert "time stands still" in str(runs.errors[1])


def test_a_gap_of_zero_is_refused_at_the_door():
    with pytest.raises(ValueError, match="arrive: every=0 needs a limit="):
        arrive(every=0)
    model = still(depart(), every=1).process("burst", arrive(every=0, limit=3), depart())
    assert run(model, until=10, seed=1)["burst"].completed == 3


def test_a_simulation_that_is_stepped(monkeypatch):
    monkeypatch.setattr(standstill, "MOST_EVENTS", 100_000)
    monkeypatch.setattr("livesim.runtime.stepping._EVENTS", 50_000)
    simulation = Simulation(still(label("again"), hold(0), jump("again")), seed=1)
    with pytest.raises(SimulationError, match="job 1, at time 1: time stands still"):
        simulation.step(until=10)


def test_jobs_that_signal_each_other_for_ever():
    model = (
        Model("talk")
        .process("ping", arrive(at=[0]), label("again"), wait("ping"), signal("pong"), jump("again"))
        .process("pong", arrive(at=[0]), label("again"), signal("ping"), wait("pong"), jump("again"))
    )
    with pytest.raises(SimulationError, match=r"process 'p[io]ng', step .*, at time 0: the job goes on for ever"):
        run(model, until=10, seed=1)


def test_many_jobs_at_one_time_are_none_of_these(monkeypatch):
    monkeypatch.setattr(standstill, "MOST_EVENTS", 100_000)
    monkeypatch.setattr("livesim.runtime.simulation._EVENTS", 10_000)
    model = (
        Model("many")
        .resource("desk", 5)
        .process(
            "visit",
            arrive(at=[0], batch=60_000),
            hold(1),
            seize("desk"),
            hold(exponential(mean=1e-6)),
            release("desk"),
            depart(),
        )
    )
    assert run(model, until=10, seed=1)["visit"].completed == 60_000
