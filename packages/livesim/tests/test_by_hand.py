"""Replications of SimPy models and of entities: the same promises as for verbs."""

import functools
import multiprocessing
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

import livesim as ls
import livesim.simpy
import livesim_hand
import livesim_models
import numpy as np
import pytest
from livesim import Runs, entities
from livesim_runs import Ear

START = [(0.0, "server", "come")]


def shop(n: int = 8, **options: Any) -> Runs:
    settings: dict[str, Any] = {"until": 2_000.0, "seed": 5, "progress": False} | options
    return livesim.simpy.replicate(livesim_hand.barbershop, n, **settings)


def server(n: int = 8, *, patience: float = 1e9, **options: Any) -> Runs:
    settings: dict[str, Any] = {"until": 500.0, "seed": 5, "progress": False} | options
    return entities.replicate({"server": livesim_hand.Server(patience)}, START, n, **settings)


def rare(n: int = 30, **options: Any) -> Runs:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # replications that fail are told of; that is tested below
        return livesim.simpy.replicate(livesim_hand.rare, n, seed=1, progress=False, **options)


def same(one: Runs, other: Runs) -> bool:
    return one.paths == other.paths and one.rows.tobytes() == other.rows.tobytes() and one.errors == other.errors


# -- one path ----------------------------------------------------------------------------------------------------------


def test_a_simpy_model_and_verbs_are_replicated_alike() -> None:
    """The same seeds, the same variates, the same numbers: replication by replication."""
    simpys = shop(n=5, warmup=500.0, every=250.0)
    verbs = ls.replicate(
        livesim_models.barbershop(), 5, until=2_000.0, warmup=500.0, every=250.0, seed=5, progress=False,
        engine="reference",
    )  # fmt: skip
    for theirs, ours in (("barber.wait", "barber.wait"), ("sojourn", "customer.sojourn")):
        for what in ("mean", "std", "max", "count"):
            assert simpys.values(f"{theirs}.{what}").tolist() == verbs.values(f"{ours}.{what}").tolist()
    assert simpys.values("barber.utilization") == pytest.approx(verbs.values("barber.utilization"), rel=1e-12)
    for path in ("barber.queue.mean", "barber.busy.mean", "barber.wait.mean"):
        assert simpys.series(path).shape == (5, 6)
        assert simpys.series(path) == pytest.approx(verbs.series(path), rel=1e-9, nan_ok=True)
    assert simpys.times.tolist() == verbs.times.tolist() == [750, 1000, 1250, 1500, 1750, 2000]
    assert simpys.interval("barber.wait.mean").n == 5


@pytest.mark.parametrize("replication", [0, 3])
def test_replication_k_is_run_k(replication: int) -> None:
    found = livesim.simpy.run(livesim_hand.barbershop, 2_000.0, seed=5, replication=replication)
    assert dict(found.values) == list(shop(4))[replication]
    by_hand = entities.run({"server": livesim_hand.Server()}, START, 500.0, seed=5, replication=replication)
    assert dict(by_hand.values) == list(server(4))[replication]


def test_a_parameter_may_have_a_number_a_replication() -> None:
    services = np.array([4.0, 8.0, 12.0, 16.0])
    runs = shop(4, params={"service": services, "kind": "PriorityResource"})
    assert np.all(np.diff(runs.values("barber.utilization")) > 0)
    alone = livesim.simpy.run(livesim_hand.barbershop, 2_000.0, seed=5, replication=2, params={"service": 12.0})
    assert runs.values("barber.wait.mean")[2] == alone["barber.wait.mean"]
    assert same(shop(4, params=lambda k: {"service": services[k]}), shop(4, params={"service": services}))


def test_a_function_with_some_arguments_bound_is_called_by_its_name() -> None:
    """Not by its address, which a checkpoint would take for another model."""
    runs = livesim.simpy.replicate(
        functools.partial(livesim_hand.barbershop, service=12.0), 4, until=2_000.0, seed=5, progress=False
    )
    assert runs.name == "barbershop"
    assert same(runs, shop(4, params={"service": 12.0}))


def spawned() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn"))


@pytest.mark.parametrize("make", [lambda: ThreadPoolExecutor(3), spawned], ids=["threads", "processes"])
def test_any_executor_gives_the_same_numbers(make: Callable[[], Any]) -> None:
    with make() as executor:
        assert same(shop(executor=executor), shop())
        assert same(server(executor=executor), server())
        assert same(rare(executor=executor), rare())


def test_what_cannot_travel_is_refused() -> None:
    with spawned() as executor, pytest.raises(TypeError, match="cannot travel to the executor's workers"):
        livesim.simpy.replicate(lambda env, rng: None, 3, executor=executor, progress=False)


def test_a_checkpoint_is_resumed_by_the_same_call() -> None:
    kept: dict[str, bytes] = {}
    whole = shop(12)
    heard = Ear()
    shop(12, checkpoint=kept, stop=lambda: len(heard.messages) > 4, sink=heard)
    again = Ear()
    assert same(shop(12, checkpoint=kept, sink=again), whole)
    plain = Ear()
    shop(12, sink=plain)
    assert again.lossless() == plain.lossless()
    with pytest.raises(ls.CheckpointError, match="of other replications: another model"):
        livesim.simpy.replicate(livesim_hand.settling, 12, until=2_000.0, seed=5, checkpoint=kept, progress=False)
    with pytest.raises(ls.CheckpointError, match="n is 12 there and 13 here"):
        shop(13, checkpoint=kept)
    rares: dict[str, bytes] = {}
    assert same(rare(checkpoint=rares), rare())
    assert same(rare(checkpoint=rares), rare())


def test_messages_tell_it_all() -> None:
    ear = Ear()
    runs = rare(sink=ear)
    lossless = [message for message in ear.messages if message["part"] != "progress"]
    assert [m["type"] for m in lossless if m["part"] == "run"][:1] == ["sim.start/1"]
    assert lossless[-1]["type"] == "sim.end/1"
    assert lossless[-1]["failed"] == sorted(runs.errors)
    told = [message for message in lossless if message["type"] == "sim.replication/1"]
    assert [message["seq"] for message in told] == list(range(30))
    for message in told:
        values, row = message["values"], dict(zip(runs.paths, runs.rows[message["seq"]], strict=True))
        assert [*values.values()] == pytest.approx([row[path] for path in values], rel=0, abs=0, nan_ok=True)
        assert (message["error"] is None) == bool(values)
        assert ("late" in values) == (np.isfinite(row["late"]) and not message["error"])


# -- what is found now and then ----------------------------------------------------------------------------------------


def test_a_number_that_some_replications_have_is_missing_in_the_others() -> None:
    runs = rare()
    draws = runs.values("draw.mean")
    assert np.array_equal(runs.values("late"), np.where(draws > 0.6, draws, np.nan), equal_nan=True)
    assert set(runs.errors) == set(np.flatnonzero(np.isnan(draws)))
    assert 0 < len(runs.errors) < 15 < np.isfinite(draws).sum()


def test_a_replication_that_fails_is_marked_and_the_others_go_on() -> None:
    with pytest.warns(UserWarning, match=r"of 8 replications failed .*entity 'server', event 'come', at time"):
        runs = server(patience=12.0)
    assert 0 < len(runs.errors) < 8
    for words in runs.errors.values():
        assert "ValueError: too late; its state: {" in words
        assert "'came': 3" in words
    whole = server()
    kept = [k for k in range(8) if k not in runs.errors]
    assert np.array_equal(runs.rows[kept], whole.rows[kept])
    assert np.isnan(runs.rows[list(runs.errors)]).all()
    with pytest.raises(ls.SimulationError, match=r"every one of 3 replications failed; the first: EntityError"):
        server(3, patience=0.0)


def test_a_precision_ends_the_replications() -> None:
    runs = shop(500, relative={"barber.utilization": 0.05})
    assert runs.reached
    assert 10 <= len(runs) < 100
    assert runs.interval("barber.utilization").relative_half_width < 0.05
    assert same(shop(len(runs)), runs)
    with pytest.raises(KeyError, match=r"metric 'barber\.sojourn\.mean': .*no 'sojourn'; there are: busy"):
        shop(20, relative={"barber.sojourn.mean": 0.05})


# -- warm-up -----------------------------------------------------------------------------------------------------------


def test_a_warm_up_is_found_in_levels() -> None:
    runs = livesim.simpy.replicate(
        livesim_hand.settling, 5, until=1_000.0, warmup="mser5", seed=1, progress=False
    )  # fmt: skip
    assert 80 <= runs.warmup <= 150
    assert runs.values("height.mean") == pytest.approx(10.05, abs=0.05)
    biased = livesim.simpy.replicate(livesim_hand.settling, 5, until=1_000.0, seed=1, progress=False)
    assert np.all(biased.values("height.mean") < 9.7)  # poison
    assert server(3, warmup="mser5", until=2_000.0).warmup < 1_000
    with pytest.raises(ValueError, match="there is no level over time in which a warm-up could be found"):
        livesim.simpy.replicate(draws_only, 3, until=10.0, warmup="mser5", progress=False)


def draws_only(env: livesim.simpy.Environment, rng: np.random.Generator) -> None:
    env.record("draw", rng.random())


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: shop(0), "n must be a whole number of at least 1, got 0"),
        (lambda: shop(warmup="welch"), "warmup must be a time, None or 'mser5', got 'welch'"),
        (lambda: shop(warmup=2_000.0), "warmup must be a time of 0 or more, before until, got 2000"),
        (lambda: shop(until=None, every=5.0), "every= wants until="),
        (lambda: shop(until=None, warmup="mser5"), "until= must say how long replications are"),
        (lambda: shop(every=-1), "every must be the length of an interval, above 0, got -1"),
        (lambda: shop(params={"service": np.ones(3)}), r"'service' must be a number, or one a replication"),
        (lambda: shop(params={"servise": 3.0}), "cannot be called with"),
        (lambda: shop(confidence=95), "confidence must be between 0 and 1"),
        (lambda: server(until=-1), "until must be a finite time above 0"),
        (lambda: server(seed=-1), "seed must be a whole number"),
    ],
)
def test_mistakes_are_named(call: Callable[[], Any], words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=words):
        call()
