"""Bad input where it comes in: an error of the field's kind that names the thing, the value and what would be right."""

import math

import numpy as np
import pytest
from livesim import (
    Model,
    Simulation,
    SimulationError,
    arrive,
    attribute,
    balk,
    batch,
    combine,
    compare,
    depart,
    exponential,
    failures,
    get,
    hold,
    item,
    level,
    loop,
    put,
    release,
    replicate,
    run,
    schedule,
    seize,
    split,
    trace,
)  # fmt: skip

SHOP = (
    Model("shop")
    .resource("barber")
    .process(
        "customer",
        arrive(every=exponential(mean=2)),
        seize("barber"),
        hold(exponential(mean=1)),
        release("barber"),
        depart(),
    )
)
INF, NAN = math.inf, math.nan


@pytest.mark.parametrize(
    ("make", "kind", "words"),
    [
        (lambda m: m.resource("r", INF), ValueError, "resource 'r': capacity must be a positive integer, got inf"),
        (lambda m: m.resource("r", NAN), ValueError, "resource 'r': capacity must be a positive integer, got nan"),
        (lambda m: m.resource("r", 10**30), ValueError, "resource 'r': capacity must be .* below 2\\*\\*53, got 1000"),
        (lambda m: m.container("c", initial="x"), ValueError, "'c': initial must be a finite number, got 'x'"),
        (lambda m: m.container("c", initial=None), ValueError, "'c': initial must be a finite number, got None"),
        (lambda m: m.conveyor("v", length=INF, speed=1, capacity=2), ValueError, "'v': length must be a finite .* inf"),
        (lambda m: m.conveyor("v", length=1, speed=INF, capacity=2), ValueError, "'v': speed must be a finite .* inf"),
        (lambda m: m.store("s", initial=[{"a": NAN}]), ValueError, "store 's': initial: 'a' must be a finite .* nan"),
        (lambda m: m.store("s", initial=[{"a": "x"}]), ValueError, "store 's': initial: 'a' must be a finite .* 'x'"),
        (lambda m: m.store("s", initial=[3]), TypeError, "'s': initial holds a mapping for each item.*got \\[3\\]"),
        (lambda m: m.store("s", initial=3), TypeError, "'s': initial holds a mapping for each item.*got 3"),
        (lambda m: m.store("s", capacity=NAN), ValueError, "store 's': capacity must be a positive integer, got nan"),
        (lambda m: arrive(at=3), TypeError, "arrive: at= must be times in order from 0 on, got 3"),
        (lambda m: arrive(at=["x"]), TypeError, "arrive: at= must be times in order from 0 on, got \\['x'\\]"),
        (lambda m: arrive(every=1, batch=1.5), ValueError, "batch must be a whole number of at least 0, got 1.5"),
        (lambda m: loop("x", 1.5), ValueError, "loop: times must be a whole number of at least 1, got 1.5"),
        (lambda m: batch(0), ValueError, "batch: size must be a whole number of at least 1, got 0"),
        (lambda m: split(INF), ValueError, "split: parts must be a whole number of at least 1, got inf"),
        (lambda m: combine(NAN), ValueError, "combine: count must be a whole number of at least 1, got nan"),
        (lambda m: put("s", item=3), TypeError, "put: item= is a mapping such as .*, got 3"),
        (lambda m: put("s", item={3: 4}), TypeError, "put: the name of a number is a non-empty string, got 3"),
        (lambda m: get("s", into=["a"]), TypeError, "get: into= is a mapping such as .*, got \\['a'\\]"),
        (lambda m: exponential(mean=2) + 1, TypeError, r"exponential\(mean=2\) is drawn .*: assign\(drawn="),
        (lambda m: 3 * exponential(mean=2) > 1, TypeError, "and then attribute\\('drawn'\\) is a number"),
        (lambda m: balk(3, "out"), TypeError, "balk: when must be a condition, such as .* >= 4, got 3"),
        (lambda m: get("s", where=True), TypeError, "get: where must be a condition, such as .*, got True"),
        (lambda m: attribute(3), TypeError, "attribute takes the name of an attribute, a non-empty string, got 3"),
        (lambda m: level(""), TypeError, "level takes the name of a container, a non-empty string, got ''"),
        (lambda m: m.resource("r", schedule([(0, 8, 0)], then="repeat")), ValueError, "resource 'r': .* no units"),
        (lambda m: arrive(rate=[(0, 9, 0)], then="stop"), ValueError, "rate is 0 in every period, so"),
        (lambda m: Model.from_json("{}"), ValueError, "not a livesim model: no 'format'"),
    ],
)  # fmt: skip
def test_when_the_model_is_built(make, kind, words):
    model = Model("m")
    with pytest.raises(kind, match=words):
        make(model)
    assert model.names() == []


def test_numbers_of_numpy_are_numbers():
    model = (
        Model("m")
        .resource("r", np.int64(3))
        .conveyor("v", length=np.float64(2), speed=np.int32(1), capacity=np.int32(2))
        .container("c", capacity=np.float64(5), initial=np.int64(2))
        .process("p", arrive(every=np.float64(1), limit=np.int64(4)), batch(np.int64(2)), depart())
    )
    assert Model.from_json(model.to_json()) == model
    assert run(model, 10, seed=1)["p"].arrived == 4


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda: Simulation(SHOP, seed=-1), ValueError, "Simulation: seed must be a whole number from 0 to .* got -1"),
        (lambda: run(SHOP, 10, trace="yes"), TypeError, "run: trace must be True or False, got 'yes'"),
        (lambda: run(SHOP, 10, seed=1).value(3), TypeError, "a metric is a path such as 'barber.utilization', got 3"),
        (lambda: replicate(SHOP, 2, until=9, progress=False).values(3), TypeError, "a metric is a path .* got 3"),
        (lambda: run(SHOP, 10, params=3), TypeError, "params: a mapping of names to numbers.*got 3"),
        (lambda: replicate(SHOP, 5, until=9, relative=0.1), TypeError, "relative: half-widths by metric.*0.1"),
        (lambda: compare(SHOP, SHOP, metric="barber.utilization", until=9, n=1), ValueError, "n must .*2, got 1"),
        (lambda: compare(SHOP, "x", metric="barber.utilization", until=9), TypeError, "expected a livesim.Model"),
        (lambda: run(SHOP, 10, every=4).interval("barber.queue.mean"), ValueError, "interval: .* need 40 .*, got 2"),
    ],
)  # fmt: skip
def test_when_it_is_run(call, kind, words):
    with pytest.raises(kind, match=words):
        call()


def test_a_metric_that_is_not_there_costs_no_replications(monkeypatch):
    monkeypatch.setattr("livesim.runtime.compare.replicate", lambda *a, **k: pytest.fail("replications were made"))
    with pytest.raises(KeyError, match="no 'utilisation'; there are: utilization"):
        compare(SHOP, SHOP, metric="barber.utilisation", until=10, params=({}, None))


@pytest.mark.parametrize("engine", ["compiled", "reference"])
@pytest.mark.parametrize(("up", "time"), [([-1], 0), ([3, -1], 4)])
def test_failures_that_cannot_be_name_their_resource(up, time, engine):
    model = Model("m").resource("first", failures=failures(up=5, down=1))
    model.resource("desk", failures=failures(up=trace(up, at_end="error"), down=1))
    model.process("p", arrive(every=1), depart())
    with pytest.raises(SimulationError, match=f"resource 'desk', failures, at time {time}: a time must be .*, got -1"):
        run(model, 10, seed=1, engine=engine)


@pytest.mark.parametrize("engine", ["compiled", "reference"])
def test_items_without_what_orders_them_are_not_taken_for_failures(engine):
    model = Model("m").resource("desk", failures=failures(up=5, down=1))
    model.store("shelf", initial=[{"size": 1}], discipline=item("due"))
    model.process("p", arrive(every=1), put("shelf", item={"due": 1, "size": 1}), depart())
    with pytest.raises(SimulationError, match="a store's items at the start, at time 0: a number must not be NaN"):
        run(model, 10, seed=1, engine=engine)
