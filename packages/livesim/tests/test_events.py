"""What happens is told while it happens, in bounded memory, from wherever the replications are made."""

import itertools
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import livesim as ls
import pytest
from livesim.runtime import events, simulation
from livesim_models import barbershop, factory
from livesim_runs import Ear, Folder, late

RUN: dict[str, Any] = {"until": 2_000.0, "seed": 5, "progress": False}


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as made:
        yield made


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small batches, and little room for them."""
    monkeypatch.setattr(simulation, "_TOLD_EVENTS", 50)
    monkeypatch.setattr(events, "MOST_ROWS", 200)


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("quantiles", [(), (0.5,)])
@pytest.mark.parametrize("engine", ["compiled", "reference"])
def test_a_run_tells_the_messages_of_one_replication(engine: str, quantiles: tuple[float, ...]) -> None:
    one, other = Ear(), Ear()
    asked: dict[str, Any] = {"until": 900.0, "warmup": 300.0, "seed": 5, "every": 100.0, "quantiles": quantiles}
    result = ls.run(factory(), sink=one, engine=engine, trace=True, **asked)
    ls.replicate(factory(), 1, sink=other, events=True, engine=engine, progress=False, **asked)
    assert one.lossless() == other.lossless()
    assert result.trace is not None
    assert len(one.lossless()["events-0"]) == len(result.trace) > 500
    assert repr(result.values()) == repr(ls.run(factory(), engine=engine, **asked).values())


@pytest.mark.usefixtures("often")
def test_events_come_before_the_run_has_ended() -> None:
    """A sink that has heard enough ends the run long before its end."""
    heard = []

    def sink(message: dict[str, Any]) -> None:
        heard.append(message)
        if len(heard) == 1_000:
            raise OverflowError("enough")

    with pytest.raises(OverflowError, match="enough"):
        ls.run(barbershop(), 1e9, seed=1, sink=sink)
    heard.clear()
    with pytest.raises(OverflowError, match="enough"):
        ls.replicate(barbershop(), 4, until=1e7, seed=1, sink=sink, events=True, progress=False)


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("workers", [1, 3])
def test_memory_is_bounded_and_the_order_is_that_of_the_replications(
    workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    most, ear = [0], Ear()
    put = events.Channel.__call__

    def watched(self: Any, *args: Any) -> None:
        put(self, *args)
        most[0] = max(most[0], self._rows)

    monkeypatch.setattr(events.Channel, "__call__", watched)
    with ThreadPoolExecutor(workers) as executor:
        ls.replicate(barbershop(), 6, sink=ear, events=True, executor=executor, **RUN)
    sent = [message for message in ear.messages if message["part"] != "progress"]
    total = sum(message["type"] == "sim.event/1" for message in sent)
    # The room that there is, for the others and for the replication whose turn it is, and a batch from each worker.
    assert most[0] < 2 * 200 + (workers + 1) * 4 * 50 < total / 2
    told = [message["replication"] for message in sent if message["type"] in ("sim.event/1", "sim.replication/1")]
    assert told == sorted(told)
    for before, after in itertools.pairwise(sent):
        if after["type"] == "sim.replication/1":
            assert before["part"] == f"events-{after['replication']}"


@pytest.mark.usefixtures("often")
@pytest.mark.filterwarnings("ignore:1 of 4 replications failed")
def test_a_remote_sink_hears_away_what_another_hears_at_home(pool: ProcessPoolExecutor, tmp_path: Path) -> None:
    """The same messages, those of the replication that fails too."""
    hold = ls.hold(ls.param("end", 1e9) - ls.now())
    model = ls.Model("m").process("p", ls.arrive(every=ls.exponential(mean=5.0)), hold, ls.depart())
    run = RUN | {"n": 4, "params": {"end": [1e9, 1e9, 100.0, 1e9]}, "events": True}
    home, brought, away = Ear(), Ear(), Folder(tmp_path)
    ls.replicate(model, sink=home, **run)
    ls.replicate(model, sink=brought, executor=pool, **run)
    ls.replicate(model, sink=away, executor=pool, **run)
    assert brought.lossless() == home.lossless()
    assert home.lossless().keys() == {"run", "replications", *(f"events-{k}" for k in range(4))}
    for part, messages in home.lossless().items():
        assert [repr(message) for message in away.read(part)] == messages
    assert (tmp_path / "flushed").exists()


def test_a_remote_sink_that_cannot_travel_is_refused(pool: ProcessPoolExecutor) -> None:
    def sink(message: dict[str, Any]) -> None: ...

    sink.remote = True  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match=r"sink cannot travel .* without remote=True it is called here instead"):
        ls.replicate(barbershop(), 2, sink=sink, events=True, executor=pool, **RUN)


@pytest.mark.usefixtures("often")
def test_replications_that_a_goal_leaves_over_are_not_told() -> None:
    ear = Ear()
    asked = RUN | {"n": 90, "relative": {"barber.utilization": 0.2}}
    runs = ls.replicate(barbershop(), sink=ear, events=True, **asked)
    assert len(runs) < 90
    assert {part for part in ear.lossless() if part.startswith("events")} == {f"events-{k}" for k in range(len(runs))}


def test_a_run_that_fails_tells_what_happened_up_to_there() -> None:
    ear = Ear()
    with pytest.raises(ls.SimulationError, match="a time must be finite and 0 or more"):
        ls.run(late(), 200.0, seed=1, sink=ear)
    kinds = [message["type"] for message in ear.messages]
    assert kinds[0] == "sim.start/1"
    assert kinds[-2:] == ["sim.failure/1", "sim.end/1"]
    assert ear.messages[-1]["status"] == "failed"
    assert ear.messages[-3]["time"] > 99.0


def test_the_sink_is_called_where_run_was() -> None:
    seen = set()
    ls.run(barbershop(), 300.0, seed=1, sink=lambda _: seen.add(threading.get_ident()))
    assert seen == {threading.get_ident()}
    with pytest.raises(TypeError, match="run: sink must be callable, got 3"):
        ls.run(barbershop(), 300.0, seed=1, sink=3)  # type: ignore[arg-type]
