"""Replications: each is `run` to the bit, those that fail are marked, and precision, warm-up and courses are right."""

import io
import math
import sys
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import livesim as ls
import numpy as np
import pandas
import pytest
from livesim.analysis import mser5, overlapping_batch_means, replicate_until, student_quantile
from livesim.engine.compiled import Compiled
from livesim.runtime import progress, simulation
from livesim_models import EVERY, barbershop, factory
from livesim_runs import SERVICES, Ear, same

RUN: dict[str, Any] = {"until": 2_000.0, "seed": 5, "progress": False}


@pytest.mark.parametrize("build", EVERY)
def test_replication_k_is_run_k(build: Callable[[], ls.Model]) -> None:
    """Of every model of the tests: the same numbers, by the same paths, and the same course over time."""
    model = build()
    runs = ls.replicate(model, 3, until=200.0, seed=5, warmup=20.0, every=15.0, progress=False)
    assert not runs.errors
    for k in range(3):
        one = ls.run(model, 200.0, seed=5, replication=k, warmup=20.0, every=15.0)
        np.testing.assert_array_equal(runs.rows[k], list(one.values().values()))
        assert tuple(one.values()) == runs.paths
        assert runs.events[k] == one.events
        for path in ("number.mean", "completed", "sojourn.mean"):
            process = next(iter(model.processes))
            np.testing.assert_array_equal(runs.series(f"{process}.{path}")[k], one.series(f"{process}.{path}"))
        np.testing.assert_array_equal(runs.times, one.times)
    assert len(runs.times) == 12
    assert runs.rows[0].tobytes() != runs.rows[1].tobytes()


def test_the_numbers_are_those_of_the_parts() -> None:
    """`values` and the parts of a result are one table."""
    result = ls.run(factory(), 500.0, seed=1)
    for name in result:
        part = result[name]
        for field in vars(part):
            content = getattr(part, field)
            if isinstance(content, (int, float)):
                assert content == result.value(f"{name}.{field}") or math.isnan(content)
            elif hasattr(content, "mean"):
                np.testing.assert_equal(content.mean, result.value(f"{name}.{field}.mean"))


def test_both_engines_replicate_to_the_same_bits() -> None:
    made = [ls.replicate(barbershop(), 3, warmup=100.0, every=50.0, engine=e, **RUN) for e in ("compiled", "reference")]
    assert same(*made)


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_listeners_and_how_they_share_change_no_bit(workers: int) -> None:
    ear = Ear()
    whole = ls.replicate(barbershop(), 40, every=100.0, **RUN)
    made = ls.replicate(barbershop(), 40, every=100.0, executor=lambda: ThreadPoolExecutor(workers), sink=ear, **RUN)
    assert same(made, whole)
    sent = [message for message in ear.messages if message["type"] == "sim.replication/1"]
    np.testing.assert_array_equal([list(message["values"].values()) for message in sent], whole.rows)


def test_drained_and_continued_replications() -> None:
    drained = ls.replicate(barbershop(), 2, drain=True, **RUN)
    assert drained.rows[1].tolist() == list(
        ls.run(barbershop(), 2_000.0, seed=5, replication=1, drain=True).values().values()
    )
    state = ls.run(barbershop(), 1_000.0, seed=9, params={"service": 12.0}).snapshot
    futures = ls.replicate(barbershop(), 4, start=state, **RUN)
    assert futures.params(3) == {"service": 12.0}
    for k in range(4):
        one = ls.run(barbershop(), 2_000.0, seed=5, replication=k, start=state)
        assert futures.rows[k].tolist() == list(one.values().values())
    assert len({row.tobytes() for row in futures.rows}) == 4


# -- parameters --------------------------------------------------------------------------------------------------------


def test_each_replication_has_its_own_parameters() -> None:
    draws = np.random.default_rng(1).uniform(8.0, 15.0, 6)
    runs = ls.replicate(barbershop(), 6, params={"service": draws}, **RUN)
    again = ls.replicate(barbershop(), 6, params=lambda k: {"service": draws[k]}, **RUN)
    assert same(runs, again)
    assert same(runs, ls.replicate(barbershop(), 6, params={"service": pandas.Series(draws)}, **RUN))
    for scalar in (np.float64(9.0), np.array(9.0)):
        assert same(*(ls.replicate(barbershop(), 2, params={"service": nine}, **RUN) for nine in (9.0, scalar)))
    for k in range(6):
        one = ls.run(barbershop(), 2_000.0, seed=5, replication=k, params={"service": float(draws[k])})
        assert runs.rows[k].tolist() == list(one.values().values())
        assert runs.params(k) == {"service": draws[k]}


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"n": 0}, "n must be a whole number of at least 1, got 0"),
    ({"n": 2.5}, "n must be a whole number"),
    ({"until": -1.0}, "until must be a finite time above 0, got -1.0"),
    ({"until": math.inf}, "until must be a finite time"),
    ({"warmup": "welch"}, "warmup must be a time, None or 'mser5', got 'welch'"),
    ({"warmup": 3_000.0}, "warmup must be a time from 0 to until=2000"),
    ({"every": 0.0}, "every must be a time from"),
    ({"every": 1e-6}, "every must be a time from 0.0002 to until=2000"),
    ({"seed": -1}, "seed must be a whole number from 0"),
    ({"params": {"servise": 3.0}}, "no parameter 'servise'; there are: 'service'"),
    (
        {"params": {"service": [1.0, 2.0]}},
        r"'service' must be a number, or one a replication: shape \(4,\), got \(2,\)",
    ),
    ({"params": {"service": [1.0, 2.0, math.nan, 4.0]}}, "'service' must be finite, got nan for replication 2"),
    ({"params": {"service": math.inf}}, "'service' must be a finite number"),
    ({"params": lambda k: {"service": 1.0} if k else {}}, r"replication 1 has \['service'\], replication 0 \[\]"),
    ({"params": {"service": -1.0}}, "exponential: mean must be a finite number of at least 0, got -1.0"),
    ({"params": 3}, "params must be a mapping of names to numbers or arrays, or a function, got 3"),
    ({"relative": {"customer.wait.mean": 5}}, "must be between 0 and 1, such as 0.05, got 5"),
    ({"absolute": {"customer.wait.mean": 0}}, "must be above 0, got 0"),
    ({"relative": {"customer.wait.men": 0.1}}, "'customer.wait.men': no 'men'; there are: count, mean, std, min, max"),
    ({"relative": {"customers.wait.mean": 0.1}}, "no 'customers'; there are: barber, customer"),
    ({"confidence": 95}, "confidence must be between 0 and 1, such as 0.95, got 95"),
    ({"least": 1}, "least must be a whole number of at least 2"),
    ({"events": 1}, "events must be True or False, got 1"),
    ({"drain": "yes"}, "drain must be True or False"),
    ({"engine": "rust"}, "engine must be 'compiled' or 'reference', got 'rust'"),
    ({"sink": 3}, "sink must be callable, got 3"),
    ({"stop": True}, "stop must be callable, got True"),
    ({"executor": "dask"}, "executor must be a concurrent.futures.Executor or a function"),
    ({"checkpoint": 3}, "checkpoint takes a path or a mapping of str to bytes, got 3"),
    ({"start": 3}, "start must be a snapshot, as result.snapshot gives it, got 3"),
]


@pytest.mark.parametrize(("given", "words"), WRONG, ids=[words[:40] for _, words in WRONG])
def test_bad_input_is_refused_at_the_door(given: dict[str, Any], words: str) -> None:
    heard: list[Any] = []
    with pytest.raises((ValueError, TypeError, KeyError), match=words):
        ls.replicate(barbershop(), **({"n": 4, "sink": heard.append} | RUN | given))
    assert heard == []


def test_a_warmup_is_not_looked_for_in_a_future() -> None:
    state = ls.run(barbershop(), 100.0, seed=1).snapshot
    with pytest.raises(ValueError, match="what goes on from a state is not in a warm-up"):
        ls.replicate(barbershop(), 2, start=state, warmup="mser5", **RUN)
    with pytest.raises(TypeError, match=r"expected a livesim.Model, got 'shop'"):
        ls.replicate("shop", 2, **RUN)  # type: ignore[arg-type]


# -- failures ----------------------------------------------------------------------------------------------------------


def test_one_that_fails_is_marked_and_the_others_go_on() -> None:
    ear = Ear()
    with pytest.warns(UserWarning, match=r"1 of 6 replications failed \(2\); the first: .*service|time"):
        runs = ls.replicate(barbershop(), 6, params={"service": SERVICES}, every=500.0, sink=ear, **RUN)
    assert list(runs.errors) == [2]
    assert np.isnan(runs.rows[2]).all()
    assert np.isnan(runs.series("customer.number.mean")[2]).all()
    good = [0, 1, 3, 4, 5]
    for k in good:
        one = ls.run(barbershop(), 2_000.0, seed=5, replication=k, params={"service": float(SERVICES[k])})
        assert runs.rows[k].tolist() == list(one.values().values())
    assert runs.interval("customer.number.mean").n == 5
    assert runs.interval("customer.number.mean").estimate == pytest.approx(
        runs.values("customer.number.mean")[good].mean()
    )
    (failure,) = [m for m in ear.messages if m["type"] == "sim.failure/1"]
    assert (failure["recovered"], failure["replication"]) == (True, 2)
    assert ear.messages[-1]["failed"] == [2]
    assert "failed" in repr(runs)
    assert "replication 2 failed" in str(runs)
    assert [m["error"] is None for m in ear.messages if m["part"] == "replications"] == [True, True, False] + [True] * 3


def test_where_all_fail_it_is_an_error() -> None:
    ear, bad = Ear(), {"service": np.full(3, -1.0)}
    with pytest.raises(ls.SimulationError, match="every one of 3 replications failed; the first: ") as caught:
        ls.replicate(barbershop(), 3, params=bad, sink=ear, **RUN)
    assert len(caught.value.runs.errors) == 3  # type: ignore[attr-defined]
    assert ear.messages[-1]["status"] == "failed"
    with pytest.raises(ls.SimulationError, match="the pilot replications fail"):
        ls.replicate(barbershop(), 3, params=bad, warmup="mser5", **RUN)


def test_every_run_checks_littles_law(monkeypatch: pytest.MonkeyPatch) -> None:
    """From a warm-up on, and from a snapshot on; the poison is a job whose last hundredth of a minute is lost."""
    state = ls.run(barbershop(), 500.0, seed=9, warmup=100.0).snapshot
    ways: list[dict[str, Any]] = [{}, {"warmup": 300.0}, {"start": state}]
    for way in ways:
        ls.run(barbershop(), 2_000.0, seed=5, **way)
    checked = simulation._check_littles_law
    staying = Compiled.staying

    def poisoned(sim: Any, outcome: Any, stayed: Any, names: Any) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(Compiled, "staying", lambda self: staying(self) - 1e-2)
            checked(sim, outcome, stayed, names)

    monkeypatch.setattr(simulation, "_check_littles_law", poisoned)
    for way in ways:
        with pytest.raises(AssertionError, match="L = lambda W fails"):
            ls.run(barbershop(), 2_000.0, seed=5, **way)


# -- precision ---------------------------------------------------------------------------------------------------------


def test_replicates_until_the_interval_is_narrow() -> None:
    """As `analysis.replicate_until` does on the same values, however many workers make more than are needed."""
    metric = "customer.wait.mean"
    many = ls.replicate(barbershop(service=9.0), 400, **RUN)
    wanted = replicate_until(lambda k: float(many.values(metric)[k]), relative=0.05, least=10)
    for workers in (1, 4):
        runs = ls.replicate(
            barbershop(service=9.0),
            400,
            relative={metric: 0.05},
            executor=lambda n=workers: ThreadPoolExecutor(n),
            **RUN,
        )
        assert runs.reached
        assert runs.status == "completed"
        assert runs.values(metric).tobytes() == wanted.values.tobytes()
    assert 10 < len(runs) < 400
    both = ls.replicate(
        barbershop(service=9.0), 400, relative={metric: 0.3}, absolute={"barber.utilization": 0.01}, **RUN
    )
    assert len(both) > len(ls.replicate(barbershop(service=9.0), 400, relative={metric: 0.3}, **RUN))
    assert both.interval("barber.utilization").half_width <= 0.01
    few = ls.replicate(barbershop(service=9.0), 12, relative={metric: 0.001}, **RUN)
    assert (few.reached, len(few), few.status) == (False, 12, "completed")
    assert runs.reached is True
    assert many.reached is None


# -- warm-up and courses -----------------------------------------------------------------------------------------------


def test_one_cut_for_all_by_mser5() -> None:
    """In the mean of 20 pilots of each process's jobs in the system; what was cut is as if it was given."""
    model, until = barbershop(service=14.0), 20_000.0
    runs = ls.replicate(model, 4, until=until, warmup="mser5", seed=3, progress=False)
    pilots = ls.replicate(model, 20, until=until, every=until / 500, seed=3, progress=False)
    cut = mser5(pilots.series("customer.number.mean")).delete * until / 500
    assert 0 < cut < until / 2
    assert runs.warmup == pytest.approx(cut)
    assert pilots.mser5("customer.number.mean")[0] == pytest.approx(cut)
    assert same(runs, ls.replicate(model, 4, until=until, warmup=runs.warmup, seed=3, progress=False))
    curve = pilots.welch("customer.number.mean", window=20)
    assert len(curve) == 480
    assert curve[:10].mean() < 0.75 * curve[200:].mean()  # it starts empty


def test_a_queue_that_grows_for_ever_has_no_warmup() -> None:
    with pytest.warns(UserWarning, match="still grows or falls in the second half"):
        ls.replicate(barbershop(service=30.0), 2, until=5_000.0, warmup="mser5", seed=3, progress=False)


def test_what_is_kept_over_time_adds_up() -> None:
    """Means over time and over jobs, weighted by time and by jobs, are those of the whole."""
    result = ls.run(barbershop(), 5_000.0, seed=2, warmup=500.0, every=45.0)
    assert result.times[0] == 545.0
    assert result.times[-1] == 5_000.0
    for path in ("customer.number.mean", "barber.queue.mean", "barber.capacity.mean"):
        assert result.series(path).mean() == pytest.approx(result.value(path), rel=1e-9)
    assert result.series("barber.utilization").mean() == pytest.approx(result["barber"].utilization, rel=1e-9)
    done = result.series("customer.completed")
    assert done.sum() == result["customer"].completed
    waits = np.nansum(result.series("customer.wait.mean") * done) / done.sum()
    assert waits == pytest.approx(result["customer"].wait.mean, rel=1e-9)
    again = ls.run(barbershop(), 5_000.0, seed=2, warmup=500.0)
    assert again.values() == result.values()  # keeping changes nothing
    with pytest.raises(ValueError, match="kept nothing over time; run it with every="):
        again.series("customer.completed")
    with pytest.raises(KeyError, match=r"'customer\.sojourn' is not a number; go on with one of count, mean"):
        result.series("customer.sojourn")


def test_one_long_run_has_an_interval() -> None:
    """By overlapping batch means: of a level just so, of waits by their ratio; M/M/1 at load 0.5 is in it."""
    result = ls.run(barbershop(service=9.0), 400_000.0, seed=6, warmup=2_000.0, every=398.0)
    number = result.interval("customer.number.mean")
    assert str(number) == str(overlapping_batch_means(result.series("customer.number.mean")))
    assert 1.0 in number  # load / (1 - load)
    wait = result.interval("customer.wait.mean")
    assert 9.0 in wait
    assert wait.estimate == pytest.approx(result["customer"].wait.mean, rel=1e-9)
    assert 0.5 in result.interval("barber.utilization")
    assert 2.0 not in result.interval("customer.number.mean", 0.999)


def test_an_interval_by_hand() -> None:
    runs = ls.replicate(barbershop(), 8, **RUN)
    values = runs.values("customer.wait.mean")
    half = student_quantile(0.95, 7) * values.std(ddof=1) / math.sqrt(8)
    interval = runs.interval("customer.wait.mean", 0.9)
    assert interval.low == pytest.approx(values.mean() - half)
    assert (interval.n, interval.confidence) == (8, 0.9)
    assert runs.quantile("customer.wait.mean", 0.5, 0.9).estimate == pytest.approx(np.median(values))
    assert "customer.wait.mean" in str(runs)
    assert len(list(runs)) == 8
    with pytest.raises(KeyError, match="no 'waits'; there are: "):
        runs.values("customer.waits.mean")
    short = ls.replicate(barbershop(), 3, until=1.0, seed=1, progress=False)
    with pytest.raises(ValueError, match="is NaN in replication 0: there was nothing to average"):
        short.interval("customer.wait.mean")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        str(short)
    with pytest.raises(ValueError, match="needs two replications or more, got 1"):
        ls.replicate(barbershop(), 1, **RUN).interval("customer.wait.mean")


def test_nothing_is_shown_where_nobody_watches(capfd: pytest.CaptureFixture[str]) -> None:
    ls.replicate(barbershop(), 3, **RUN | {"progress": True})
    assert capfd.readouterr() == ("", "")


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.filterwarnings("ignore:1 of 6 replications failed")
def test_a_bar_where_somebody_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    params = {"service": SERVICES}
    ls.replicate(barbershop(), 6, params=params, relative={"barber.utilization": 0.01}, **RUN | {"progress": True})
    last = screen.getvalue().replace("\n", "\r").split("\r")[-2]
    assert "6/6" in last
    assert "1 failed, barber.utilization 0." in last
    screen.truncate(0)
    ls.replicate(barbershop(), 6, params=params, **RUN)
    assert not screen.getvalue().strip("\0")


def test_progress_is_told_as_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_MESSAGE_SECONDS", 0.0)
    ear = Ear()
    ls.replicate(barbershop(), 30, sink=ear, **RUN)
    told = [message for message in ear.messages if message["part"] == "progress"]
    assert [message["seq"] for message in told] == list(range(len(told)))
    made = [message["made"] for message in told]
    assert made == sorted(made)
    assert made[-1] == 30
    assert {message["total"] for message in told} == {30}
    assert all(message["events"] >= 100 * message["made"] for message in told)


class Flushed(Ear):
    """A sink that has to be flushed, and may fail in that."""

    def __init__(self, fails: bool) -> None:
        super().__init__()
        self.fails = fails
        self.flushed: list[str] = []

    def flush(self) -> None:
        self.flushed.append(self.messages[-1]["type"])
        if self.fails:
            raise OSError("the disk is full")


def test_a_sink_is_flushed_before_and_after_the_end() -> None:
    sink, threads = Flushed(fails=False), set[int]()

    def called(message: dict[str, Any]) -> None:
        threads.add(threading.get_ident())
        sink(message)

    called.flush = sink.flush  # type: ignore[attr-defined]
    ls.replicate(barbershop(), 20, sink=called, events=True, **RUN)
    assert sink.flushed[-1] == "sim.end/1"
    assert sink.flushed[0] in ("sim.replication/1", "sim.progress/1")
    assert threads == {threading.get_ident()}
    parts = [message["part"] for message in sink.messages if message["part"] != "progress"]
    for k in range(20):  # what happened in a replication, and then what it came to
        ends = len(parts) - 1 - parts[::-1].index(f"events-{k}")
        assert parts[ends + 1] == "replications"
    with pytest.raises(OSError, match="the disk is full") as caught:
        ls.replicate(barbershop(), 3, sink=Flushed(fails=True), **RUN)
    assert len(caught.value.runs) == 3  # type: ignore[attr-defined]


def test_events_are_the_trace() -> None:
    ear = Ear()
    ls.replicate(barbershop(), 2, sink=ear, events=True, **RUN)
    trace = ls.run(barbershop(), 2_000.0, seed=5, replication=1, trace=True).trace
    assert trace is not None
    sent = [message for message in ear.messages if message["part"] == "events-1"]
    fields = ("time", "action", "process", "job", "step", "detail")
    assert [tuple(message[field] for field in fields) for message in sent] == list(trace)
    assert [message["seq"] for message in sent] == list(range(len(trace)))
    lengths = trace.rows.detail[trace.rows.what[:, 0] == 3]
    assert [message["length"] for message in sent if message["action"] == "hold"] == lengths.tolist()
    assert all(message["length"] is None for message in sent if message["action"] != "hold")
