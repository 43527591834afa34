"""What is kept between runs changes none of them."""

import threading

import livesim_models
import numpy as np
import pytest
from livesim import Model, arrive, depart, exponential, hold, param, release, replicate, run, seize
from livesim.compiler.table import compile_model
from livesim.engine.compiled import Compiled
from livesim.model.resources import Resource
from livesim.runtime.prepare import prepare


def shop(mean: float = 16.0) -> Model:
    arrivals, service = arrive(every=exponential(mean=18.0)), hold(exponential(mean=param("service", mean)))
    return (
        Model("shop")
        .resource("barber")
        .process("customer", arrivals, seize("barber"), service, release("barber"), depart())
    )


def test_a_model_is_compiled_once_for_its_parameters() -> None:
    model = shop()
    assert prepare(model, {"service": 2.0}) is prepare(model, {"service": 2.0})
    other = prepare(model, {"service": 3.0})
    assert other.program is not prepare(model, {"service": 2.0}).program
    assert other.measures is prepare(model, {"service": 2.0}).measures


def test_a_model_that_changed_is_compiled_again() -> None:
    """By what it is made of: one that grew, and one whose part was put in another's place by hand."""
    model = shop()
    alone = run(model, 1000, seed=1)
    model.process("walker", arrive(every=10.0), hold(1.0), depart())
    assert run(model, 1000, seed=1)["walker"].arrived == 100
    model.resources["barber"] = Resource("barber", 50, "fifo", None, None)
    assert run(model, 1000, seed=1)["barber"].wait.max == 0.0 < alone["barber"].wait.max


@pytest.mark.parametrize("slots", [4, 64, 128, 1000])
def test_bits_do_not_depend_on_the_room_at_the_start(slots: int) -> None:
    for build in livesim_models.EVERY[:6]:
        program, _ = compile_model(build())
        first, other = Compiled(program, 5), Compiled(program, 5, slots=slots)
        for simulation in (first, other):
            simulation.advance(300.0)
        for one, two in zip(first.outcome(), other.outcome(), strict=True):
            np.testing.assert_array_equal(one, two)


def test_a_run_leaves_the_next_one_nothing() -> None:
    """The same bits from a model that has just been run, long and with other parameters, as from a new one."""
    model = shop()
    run(model, 50_000, seed=3)
    run(model, 500, seed=1, params={"service": 30.0}, trace=True)
    assert run(model, 2000, seed=1).values() == run(shop(), 2000, seed=1).values()


def test_threads_share_what_is_kept() -> None:
    model, found = shop(), {}

    def work(seed: int) -> None:
        found[seed] = run(model, 5000, seed=seed).values()

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {seed: run(shop(), 5000, seed=seed).values() for seed in range(8)}


def test_parameters_of_their_own_for_each_replication() -> None:
    """More sets of parameters than are kept."""
    services = np.linspace(1.0, 15.0, 80)
    runs = replicate(shop(), 80, until=500, seed=2, params={"service": services}, progress=False)
    for k in (0, 40, 79):
        one = run(shop(), 500, seed=2, replication=k, params={"service": services[k]})
        assert runs.values("barber.utilization")[k] == one["barber"].utilization
