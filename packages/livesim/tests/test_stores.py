"""Stores: stories with known ends, SimPy job by job, and an oracle that says who gets which item."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import pytest
import simpy
from livesim import (
    DeadlockError,
    Model,
    arrive,
    assign,
    attribute,
    depart,
    exponential,
    get,
    hold,
    item,
    label,
    now,
    put,
    queue_length,
    record,
    release,
    renege,
    run,
    seize,
    uniform,
)  # fmt: skip
from test_simpy import Departures, lasting, ours, source, theirs


@pytest.fixture(params=["compiled", "reference"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def taken(model: Model, engine: str) -> list[float]:
    """The sizes that takers got, in order."""
    result = run(model, 100, seed=1, engine=engine, trace=True)
    return [result[name].records["got"].mean for name in result if name.startswith("taker") and result[name].completed]


def takers(model: Model, *conditions: Any, at: float = 10) -> Model:
    """One process a condition, the first first."""
    for number, condition in enumerate(conditions):
        model.process(
            f"taker {number}",
            arrive(at=[at + number]),
            assign(room=number),
            get("shelf", where=condition, into={"got": "size"}),
            record("got", attribute("got")),
            depart(),
        )
    return model


SIZES = [{"size": 3, "due": 1}, {"size": 1, "due": 3}, {"size": 2, "due": 2}]


@pytest.mark.parametrize(
    ("discipline", "order"),
    [("fifo", [3, 1, 2]), ("lifo", [2, 1, 3]), (item("size"), [1, 2, 3]), (item("due"), [3, 2, 1])],
)
def test_which_item_is_taken_first(discipline: Any, order: list[float], engine: str) -> None:
    assert (
        taken(takers(Model("m").store("shelf", discipline=discipline, initial=SIZES), None, None, None), engine)
        == order
    )


def test_who_wants_another_item_holds_nobody_up(engine: str) -> None:
    """The first wants more than there is, and gets it when it comes; the second takes what there is."""
    model = takers(Model("m").store("shelf", initial=SIZES), item("size") > 3, item("size") < attribute("room") + 1)
    model.process("maker", arrive(at=[50]), put("shelf", item={"size": 4}), depart())
    assert taken(model, engine) == [4, 1]
    result = run(model, 100, seed=1, engine=engine)
    assert (result["shelf"].level.last, result["shelf"].get_wait.max) == (2, 40)


def test_a_full_store_lets_puts_in_as_they_came(engine: str) -> None:
    """Room for one: the item that is known first goes in first, and who tires takes his away."""
    model = Model("m").store("shelf", capacity=1)
    model.process(
        "maker", arrive(at=[0, 1, 2, 3]), assign(size=now()), renege(20 - 10 * attribute("size") / 2, "tired"),
        put("shelf", item={"size": attribute("size")}), label("tired"), record("until", now()), depart(),
    )  # fmt: skip
    takers(model, None, None, None, None, at=10)
    assert taken(model, engine) == [0, 1, 2]  # the fourth gave up at 3 + 5
    result = run(model, 100, seed=1, engine=engine)
    assert result["maker"].reneged == 1
    assert result["shelf"].put_wait.max == 9


def test_items_without_a_number_do_not_meet_a_condition_on_it(engine: str) -> None:
    model = takers(Model("m").store("shelf", initial=[{"due": 1}, {"size": 7}]), item("size") > 0, item("size") < 9)
    assert taken(model, engine) == [7]
    assert run(model, 100, seed=1, engine=engine)["shelf"].level.last == 1


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda m: m.store("s", capacity=0), "store 's': capacity must be a positive integer, got 0"),
        (lambda m: m.store("s", capacity=1, initial=SIZES), "3 items at the start are more than the capacity 1"),
        (lambda m: m.store("s", discipline="best"), "discipline must be one of 'fifo', 'lifo', got 'best'"),
        (lambda m: m.store("s", discipline=queue_length("r")), "by numbers of the items alone"),
        (lambda m: m.store("tank"), "already has a 'tank'"),
        (lambda m: m.process("p", arrive(every=1), put("shelf", 3), depart()), "come one by one, not by amounts"),
        (lambda m: m.process("p", arrive(every=1), put("tank", item={}), depart()), "items belong into a store"),
        (
            lambda m: m.process("p", arrive(every=1), get("tank", into={"a": "b"}), depart()),
            "items belong into a store",
        ),
        (
            lambda m: m.process("p", arrive(every=1), get("shelf", where=now() > 3), depart()),
            "attributes alone, not now",
        ),
        (lambda m: m.process("p", arrive(every=1), hold(item("size")), depart()), "read by a store's order and by get"),
        (lambda m: m.process("p", arrive(every=1), get("attic"), depart()), "no container 'attic'"),
        (
            lambda m: run(m.process("p", arrive(every=1), get("shelf", where=item("a") > 1), depart()), 9),
            "p/get 1: no put gives items a number",
        ),
        (lambda m: get("shelf", where=exponential(mean=1)), "cannot be the distribution"),
    ],
)
def test_what_is_wrong_is_said_at_the_door(build: Callable[[Model], object], words: str) -> None:
    with pytest.raises((ValueError, TypeError), match=words):
        build(Model("m").resource("r").container("tank").store("shelf", initial=SIZES))


def test_a_store_is_data() -> None:
    model = takers(Model("m").store("shelf", capacity=9, discipline=item("due"), initial=SIZES), item("size") > 1)
    model.process("maker", arrive(every=1), put("shelf", item={"size": uniform(0, 1), "due": 1}), depart())
    again = Model.from_json(model.to_json())
    assert again == model
    assert str(again) == str(model)
    assert "store 'shelf': capacity=9, discipline=item('due'), items at the start: 3" in model.describe()
    assert "where=(item(&#x27;size&#x27;) &gt; 1)" in model.diagram()


# -- SimPy -------------------------------------------------------------------------------------------------------------


def goods(discipline: Any, capacity: float, condition: Any, patience: float | None) -> Model:
    model = Model("goods").store("shelf", discipline=discipline, capacity=capacity)
    model.process(
        "maker", arrive(every=exponential(mean=2.0)), put("shelf", item={"size": exponential(mean=1.0)}), depart()
    )
    wait = [] if patience is None else [renege(exponential(mean=patience), "end")]
    model.process(
        "taker", arrive(every=exponential(mean=2.0)), assign(least=exponential(mean=0.7)), *wait,
        get("shelf", where=condition, into={"size": "size"}), hold(attribute("size")), label("end"), depart(),
    )  # fmt: skip
    return model


@pytest.mark.parametrize("capacity", [1, 3, 1000])
@pytest.mark.parametrize("kind", ["fifo", "filter", "priority"])
def test_simpy_gives_the_same_items_to_the_same_jobs(kind: str, capacity: int) -> None:
    """A wrong item shows in the time of a departure, which is that of taking plus the item's size."""
    condition = item("size") > attribute("least") if kind == "filter" else None
    model = goods(
        item("size") if kind == "priority" else "fifo", capacity, condition, 8.0 if kind != "filter" else None
    )

    def start(env: simpy.Environment, ends: Departures) -> None:
        shelf = {"fifo": simpy.Store, "filter": simpy.FilterStore, "priority": simpy.PriorityStore}[kind](env, capacity)

        def maker(n: int) -> Generator[Any, Any, Any]:
            yield shelf.put(lasting("maker/put 1 size", n, 1.0))
            ends["maker", n + 1] = env.now

        def taker(n: int) -> Generator[Any, Any, Any]:
            if kind == "filter":
                least = lasting("taker/assign 1 least", n, 0.7)
                size = yield shelf.get(lambda size: size > least)
                yield env.timeout(size)
            else:
                asked = shelf.get()
                yield asked | env.timeout(lasting("taker/get 1 renege", n, 8.0))
                if asked.triggered:
                    yield env.timeout(asked.value)
                else:
                    asked.cancel()
            ends["taker", n + 1] = env.now

        env.process(source(env, "maker", 2.0, maker))
        env.process(source(env, "taker", 2.0, taker))

    found, expected = ours(model), theirs(start)
    assert len(expected) > 1000
    assert found == expected


@pytest.mark.parametrize("engine", ["compiled", "reference"])
def test_who_waits_for_what_nobody_will_bring_is_a_deadlock(engine: str) -> None:
    """The maker needs the crane that the taker keeps; poison: with a maker that is still to come there is none."""
    model = Model("m").resource("crane").store("shelf")
    model.process("taker", arrive(at=[0]), seize("crane"), get("shelf"), release("crane"), depart())
    model.process("maker", arrive(at=[1]), seize("crane"), put("shelf"), release("crane"), depart())
    with pytest.raises(DeadlockError, match="taker 1 holds 1 of 'crane' and waits for 'shelf get'"):
        run(model, 100, seed=1, engine=engine)
    model.process("late", arrive(at=[200]), put("shelf"), depart())
    assert run(model, 100, seed=1, engine=engine)["taker"].in_process == 1
