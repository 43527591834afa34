"""A run event by event is the run in one go, and shows its state on the way."""

import math
from collections.abc import Callable

import livesim_models
import pytest
from livesim import (
    DeadlockError,
    Model,
    Simulation,
    SimulationError,
    arrive,
    assign,
    batch,
    depart,
    hold,
    now,
    observed,
    release,
    run,
    seize,
    unbatch,
)  # fmt: skip
from livesim.runtime.observed import InProcess


@pytest.mark.parametrize("build", livesim_models.EVERY)
def test_steps_are_the_run(build: Callable[[], Model]) -> None:
    """What happens, and the numbers so far, while jobs are conserved at every step."""
    model = build()
    whole = run(model, 40, seed=6, trace=True)
    simulation = Simulation(model, seed=6)
    rows = []
    while simulation.next_event <= 40:
        before = simulation.next_event
        happened = list(simulation.step())
        rows += happened
        assert all(time == simulation.now for time, *_ in happened)
        assert not happened or simulation.now == before <= simulation.next_event
    assert whole.trace is not None
    assert rows == list(whole.trace)
    simulation.step(until=40)
    jobs = simulation.jobs()
    for name in model.processes:
        assert sum(job.process == name for job in jobs) == whole[name].in_process
        assert repr(simulation.result[name]) == repr(whole[name])
    for name, resource in model.resources.items():
        assert sum(job.holds.get(name, 0) for job in jobs) == whole[name].busy.last, resource
        assert sum(job.waits_for == name for job in jobs) == whole[name].queue.last
    assert repr([run(model, 60, start=simulation.snapshot)[name] for name in model.processes]) == repr(
        [run(model, 60, seed=6)[name] for name in model.processes]
    )


def test_until_a_time_and_from_a_snapshot() -> None:
    model = livesim_models.clinic()
    simulation = Simulation(model, seed=2)
    early, late = simulation.step(until=15.5), simulation.step(until=33)
    assert simulation.now == 33
    whole = run(model, 33, seed=2, trace=True)
    assert whole.trace is not None
    assert [*early, *late] == list(whole.trace)
    again = Simulation(model, start=run(model, 15.5, seed=2).snapshot)
    assert (again.now, again.seed) == (15.5, 2)
    assert list(again.step(until=33)) == list(late)
    # Poison: another seed is another future.
    assert list(Simulation(model, seed=3, start=run(model, 15.5, seed=2).snapshot).step(until=33)) != list(late)


def test_what_a_job_does_is_shown() -> None:
    model = Model("m").resource("desk").process(
        "p", arrive(at=[1, 2, 3, 4]), assign(size=now()), batch(2), seize("desk"), hold(5), release("desk"), unbatch(),
        depart(),
    )  # fmt: skip
    simulation = Simulation(model, seed=1)
    assert (simulation.now, simulation.next_event, simulation.jobs()) == (0.0, 1.0, [])
    simulation.step(until=4)
    shown = [(job.job, job.step, job.waits_for, job.until, dict(job.holds), job.batched) for job in simulation.jobs()]
    assert shown == [
        (1, 5, None, 7.0, {"desk": 1}, False),
        (2, 4, None, None, {}, True),
        (3, 4, "desk", None, {}, False),
        (4, 4, None, None, {}, True),
    ]
    assert [job.attributes["size"] for job in simulation.jobs()] == [1, 2, 3, 4]
    simulation.step(until=99)
    assert (simulation.jobs(), simulation.next_event) == ([], math.inf)
    assert len(simulation.step()) == 0


def test_what_goes_wrong_is_said_as_by_a_run() -> None:
    model = Model("m").process("p", arrive(every=1), hold(1 - now()), depart())
    simulation = Simulation(model, seed=1)
    simulation.step()
    with pytest.raises(SimulationError, match=r"process 'p', step 2, hold\(.*\), job 2, at time 2: a time must be"):
        simulation.step(until=9)
    with pytest.raises(SimulationError, match="at time 0: a time must be"):
        Simulation(Model("m").process("p", arrive(at=[0]), hold(now() - 1), depart()), seed=1).step()
    crossed = Simulation(crossing(), seed=1)
    crossed.step(until=10)
    with pytest.raises(DeadlockError):
        crossed.result  # noqa: B018


def crossing() -> Model:
    model = Model("crossing").resource("north").resource("south")
    for name, first, second in (("up", "north", "south"), ("down", "south", "north")):
        model.process(
            name, arrive(at=[0]), seize(first), hold(1), seize(second), hold(1), release(first, second), depart()
        )
    return model


def test_what_cannot_be_is_refused() -> None:
    model = livesim_models.barbershop()
    with pytest.raises(TypeError, match=r"expected a livesim\.Model"):
        Simulation("shop")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="has no process"):
        Simulation(Model("m"))
    simulation = Simulation(model, start=observed(model, 5, [InProcess("customer", 2)]))
    with pytest.raises(ValueError, match="until must be a finite time from 5 on, got 3"):
        simulation.step(until=3)
    with pytest.raises(ValueError, match="of another model"):
        Simulation(livesim_models.rework(), start=simulation.snapshot)
