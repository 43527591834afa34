"""Quantiles that every tally keeps: within the error that is stated, in every way of running a model."""

import math
from collections.abc import Callable
from typing import Any

import livesim as ls
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from livesim import histogram
from livesim.compiler.table import compile_model
from livesim.engine.compiled import Compiled
from livesim.engine.reference import Reference
from livesim.entities import Tally
from livesim.histogram import NEGLIGIBLE, QUANTILES, RELATIVE_ERROR
from livesim.monitors import numbers_of
from livesim_models import barbershop
from livesim_runs import Ear, same

ENGINES = {"compiled": Compiled, "reference": Reference}
NUMBERS = st.one_of(
    st.floats(-1e300, 1e300),
    st.floats(0.0, 10.0),
    st.sampled_from([0.0, -0.0, 1.0, 5e-324, 2.0**-1022, 2.0**40, 1e300, -1e300]),
    st.integers(-40, 40).map(lambda power: 2.0**power),
    st.integers(-40, 40).map(lambda power: -(2.0**power) * (1.0 + 2.0**-6)),
)


def recorded(numbers: list[float]) -> ls.Model:
    """A model that records these numbers."""
    given = ls.trace(numbers, at_end="error")
    return ls.Model("m").process("p", ls.arrive(at=[1.0] * len(numbers)), ls.record("x", given), ls.depart())


def check(found: float, numbers: np.ndarray, q: float) -> None:
    """A quantile lies between neighbours in order, each as exact as is promised."""
    position = q * (len(numbers) - 1)
    low, high = numbers[math.floor(position)], numbers[math.ceil(position)]
    reach = [
        max(2.0**-1022, abs(x) * RELATIVE_ERROR, NEGLIGIBLE * np.abs(numbers[np.sign(numbers) * np.sign(x) >= 0]).max())
        for x in (low, high)
    ]
    assert low - reach[0] <= found * (1 + 1e-15)
    assert found * (1 - 1e-15) <= high + reach[1]
    if position == math.floor(position):
        assert abs(found - low) <= reach[0] * (1 + 1e-12)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(NUMBERS, min_size=1, max_size=30), st.sampled_from(sorted(ENGINES)))
def test_any_numbers_within_the_stated_error(numbers: list[float], engine: str) -> None:
    with np.errstate(all="ignore"):  # the mean and spread of such numbers overflow
        result = ls.run(recorded(numbers), 2.0, seed=1, engine=engine)
    ordered = np.sort(numbers)
    for name, q in QUANTILES.items():
        check(result.value(f"p.records.x.{name}"), ordered, q)
    check(result.quantile("p.records.x", 1 / 3), ordered, 1 / 3)
    assert result.quantile("p.records.x", 0.0) >= ordered[0]
    assert result.quantile("p.records.x", 1.0) <= ordered[-1]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(NUMBERS, min_size=1, max_size=30))
def test_both_interpreters_keep_the_same_whatever_the_order(numbers: list[float]) -> None:
    found = []
    with np.errstate(all="ignore"):
        for kind, given in ((Compiled, numbers), (Reference, numbers), (Compiled, sorted(numbers)[::-1])):
            engine: Any = kind(compile_model(recorded(given))[0], 1)
            engine.advance(2.0)
            found.append((*(part.tolist() for part in engine.histograms()), engine.quantiles().tobytes()))
    assert found[0] == found[1] == found[2]


SERVICES = {
    "constant": ls.constant(7.0),
    "exponential": ls.exponential(mean=11.0),
    "uniform": ls.uniform(0.0, 20.0),
    "lognormal": ls.lognormal(mean=8.0, sd=40.0),
    "tiny": ls.exponential(mean=1e-9),
}


def one_desk(service: Any) -> ls.Model:
    steps = [ls.seize("desk"), ls.hold(service), ls.release("desk"), ls.depart()]
    return ls.Model("m").resource("desk").process("p", ls.arrive(every=ls.exponential(mean=18.0)), *steps)


def off(result: ls.Result, path: str) -> float:
    """The largest error of a tally's quantiles, held against the exact ones; 1 is what is allowed."""
    worst = 0.0
    for name, q in QUANTILES.items():
        exact = result.value(f"{path}.p{round(100 * q)}")
        allowed = max(RELATIVE_ERROR * exact, NEGLIGIBLE * result.value(f"{path}.max"), 1e-300)
        worst = max(worst, abs(result.value(f"{path}.{name}") - exact) / allowed)
    return worst


@pytest.mark.parametrize("service", SERVICES)
def test_a_run_against_its_exact_order_statistics(service: str) -> None:
    result = ls.run(one_desk(SERVICES[service]), 60_000.0, seed=4, warmup=500.0, quantiles=tuple(QUANTILES.values()))
    assert result["p"].completed > 3_000
    assert off(result, "p.wait") <= 1
    assert off(result, "p.sojourn") <= 1


def test_a_bucket_beside_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Poison: both interpreters' quantiles, one bucket too high."""
    exact = ls.run(one_desk(SERVICES["exponential"]), 20_000.0, seed=4, quantiles=tuple(QUANTILES.values()))
    with monkeypatch.context() as patch:
        middles = histogram._middles
        patch.setattr(histogram, "_middles", lambda bucket: middles(bucket + 1))
        found = ls.run(one_desk(SERVICES["exponential"]), 20_000.0, seed=4, engine="reference")
    engine = Compiled(compile_model(one_desk(SERVICES["exponential"]))[0], 4)
    engine.advance(20_000.0)
    sojourn = engine.quantiles()[1].tolist()
    assert sojourn == [exact.value(f"p.sojourn.{name}") for name in QUANTILES]
    engine.arrays["bottoms"] += 1
    for wrong in (engine.quantiles()[1].tolist(), [found.value(f"p.sojourn.{name}") for name in QUANTILES]):
        values = exact.values() | {f"p.sojourn.{name}": x for name, x in zip(QUANTILES, wrong, strict=True)}
        moved = ls.run(one_desk(1.0), 10.0, seed=1)
        monkeypatch.setattr(moved, "_values", values)
        assert off(exact, "p.sojourn") <= 1 < off(moved, "p.sojourn")


QUANTILE_PATHS = [
    f"{path}.{name}" for path in ("customer.wait", "customer.sojourn", "barber.wait") for name in QUANTILES
]


def told(result: Any) -> list[float]:
    return [result.value(path) for path in QUANTILE_PATHS]


def go_on(model: ls.Model) -> list[float]:
    return told(ls.run(model, 3_000.0, start=ls.run(model, 1_000.0, seed=3).snapshot))


def from_a_file(model: ls.Model) -> list[float]:
    kept = ls.Snapshot.from_bytes(ls.run(model, 1_000.0, seed=3).snapshot.to_bytes())
    return told(ls.run(model, 3_000.0, start=kept))


def step_by_step(model: ls.Model) -> list[float]:
    simulation = ls.Simulation(model, seed=3)
    for _ in range(20):
        simulation.step()
    simulation.step(until=3_000.0)
    return told(simulation.result)


def replicated(model: ls.Model) -> list[float]:
    ear, store = Ear(), dict[str, bytes]()
    asked: dict[str, Any] = {"until": 3_000.0, "seed": 3, "progress": False, "checkpoint": store}
    runs = ls.replicate(model, 3, sink=ear, **asked)
    assert same(ls.resume(store, progress=False), runs)
    values = next(message["values"] for message in ear.messages if message["part"] == "replications")
    assert [values[path] for path in QUANTILE_PATHS] == runs.to_pandas().loc[0, QUANTILE_PATHS].tolist()
    mean = runs.values("customer.wait.q95").mean()
    assert runs.interval("customer.wait.q95").estimate == pytest.approx(mean, rel=1e-12)
    return [float(runs.values(path)[0]) for path in QUANTILE_PATHS]


@pytest.mark.parametrize("way", [go_on, from_a_file, step_by_step, replicated])
def test_every_way_of_running_a_model_keeps_them(way: Callable[[ls.Model], list[float]]) -> None:
    assert way(barbershop()) == told(ls.run(barbershop(), 3_000.0, seed=3))


def test_a_warm_up_forgets() -> None:
    """The first jobs wait long; none of those that come after the warm-up does."""
    model = one_desk(ls.constant(1.0)).process(
        "crowd", ls.arrive(at=[0.0], batch=90), *one_desk(1.0).processes["p"].steps[1:]
    )
    whole, rest = ls.run(model, 2_000.0, seed=1), ls.run(model, 2_000.0, seed=1, warmup=200.0)
    assert whole["desk"].wait.q99 > 50.0 > 5.0 > rest["desk"].wait.q99
    assert math.isnan(rest["crowd"].wait.q50)
    compiled = ls.run(model, 2_000.0, seed=1, warmup=200.0, engine="reference")
    assert compiled["desk"].wait == rest["desk"].wait


def test_tallies_by_hand_have_them() -> None:
    tally, numbers = Tally(), np.random.default_rng(1).normal(size=999)
    assert math.isnan(numbers_of("x", tally, 0.0, 1.0)["x.q50"])
    for number in numbers.tolist():
        tally.add(number)
    for name, q in QUANTILES.items():
        check(numbers_of("x", tally, 0.0, 1.0)[f"x.{name}"], np.sort(numbers), q)


def test_asking_for_what_is_not_there() -> None:
    result = ls.run(barbershop(), 300.0, seed=1)
    assert result.quantile("customer.wait", 0.95) == result["customer"].wait.q95
    with pytest.raises(ValueError, match=r"q must be between 0 and 1, such as 0.95, got 95"):
        result.quantile("customer.wait", 95)
    with pytest.raises(KeyError, match="no 'weight'; there are: wait, sojourn"):
        result.quantile("customer.weight", 0.5)
