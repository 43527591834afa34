"""Messages, executors, checkpoints, stop: the same bits whatever happens on the way."""

import multiprocessing
import threading
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bart_data import friedman1
from livebart import BARTClassifier, BARTRegressor
from livebart.messages import TYPES
from livebart.runtime.checkpoint import CheckpointError
from livebart.runtime.progress import line

X, Y, _ = friedman1(60, p=6)
SMALL: dict[str, Any] = {"n_trees": 10, "n_burnin": 400, "n_draws": 400, "n_chains": 2, "random_state": 0}


class Listener:
    """A sink that keeps what it hears, by part."""

    def __init__(self) -> None:
        self.parts: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self._lock = threading.Lock()
        self.flushed = 0

    def __call__(self, message: dict[str, Any]) -> None:
        with self._lock:
            self.parts[message["part"]].append(message)

    def flush(self) -> None:
        self.flushed += 1


@pytest.fixture(scope="module")
def whole() -> tuple[BARTRegressor, Listener]:
    listener = Listener()
    return BARTRegressor(**SMALL).fit(X, Y, sink=listener), listener


def same_draws(one: Listener, other: Listener) -> None:
    for part in ("chain-0", "chain-1"):
        assert len(one.parts[part]) == len(other.parts[part])
        for a, b in zip(one.parts[part], other.parts[part], strict=True):
            assert all(np.array_equal(a[name], b[name]) for name in a)


def test_a_run_is_its_messages(whole: tuple[BARTRegressor, Listener]) -> None:
    bart, listener = whole
    assert [message["type"] for message in listener.parts["run"]] == ["bart.start/1", "bart.end/1"]
    assert listener.parts["run"][0]["columns"] == [f"x{j}" for j in range(6)]
    assert listener.parts["run"][1]["draws"] == [400, 400]
    told = listener.parts["run"][0]["settings"]
    assert set(told) == set(bart.get_params()) - {"n_jobs", "progress", "random_state", "warm_start"}
    assert all(told[name] == bart.get_params()[name] for name in SMALL.keys() & told.keys())
    assert told["categorical_features"] == []
    for part, messages in listener.parts.items():
        assert [message["seq"] for message in messages] == list(range(len(messages))), part
        for message in messages:
            assert set(message) == TYPES[message["type"]].__required_keys__
    told = [message["sigma"] for k in range(2) for message in listener.parts[f"chain-{k}"]]
    np.testing.assert_array_equal(told, bart.sigma_)
    draw = listener.parts["chain-1"][7]
    np.testing.assert_allclose(draw["splits"] / draw["splits"].sum(), bart.inclusion_proportions_[407])
    assert draw["splits"].sum() == (draw["leaves"].astype(int) - 1).sum()
    assert sum(draw["proposed"]) == 10
    assert listener.flushed


def test_any_executor_gives_the_same_bits(whole: tuple[BARTRegressor, Listener]) -> None:
    bart, heard = whole
    spawn = multiprocessing.get_context("spawn")
    for make in (lambda: ThreadPoolExecutor(2), lambda: ProcessPoolExecutor(1, mp_context=spawn)):
        listener = Listener()
        fitted = BARTRegressor(**SMALL).fit(X, Y, sink=listener, executor=make)
        np.testing.assert_array_equal(fitted.sample_f(X), bart.sample_f(X))
        same_draws(listener, heard)


class Death(BaseException):
    """What ends a process, as far as a test can see."""


def test_a_run_that_died_goes_on_to_the_same_bits(whole: tuple[BARTRegressor, Listener], tmp_path: Path) -> None:
    bart, heard = whole
    store: dict[str, bytes] = {}

    class Dying(Listener):
        def __call__(self, message: dict[str, Any]) -> None:
            super().__call__(message)
            if message["type"] == "bart.draw/1" and message["draw"] == 250:
                raise Death

    settings = SMALL | {"n_jobs": 1}
    import livebart.runtime.run as runs

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "_CHECKPOINT_SECONDS", 0.0)
        for place in (store, tmp_path / "checkpoint"):
            with pytest.raises(Death):
                BARTRegressor(**settings).fit(X, Y, sink=Dying(), checkpoint=place)
            listener = Listener()
            fitted = BARTRegressor(**settings).fit(X, Y, sink=listener, checkpoint=place)
            np.testing.assert_array_equal(fitted.sample_f(X), bart.sample_f(X))
            same_draws(listener, heard)
    assert any(name.startswith("draws-0-") for name in store)
    with pytest.raises(CheckpointError, match="is of another run"):
        BARTRegressor(**(SMALL | {"random_state": 1})).fit(X, Y, checkpoint=store)
    longer = BARTRegressor(**(SMALL | {"n_draws": 450})).fit(X, Y, checkpoint=store)
    np.testing.assert_array_equal(longer.sigma_.reshape(2, -1)[:, :400], bart.sigma_.reshape(2, -1))


def test_a_torn_state_is_not_taken(whole: tuple[BARTRegressor, Listener]) -> None:
    store: dict[str, bytes] = {}
    import livebart.runtime.run as runs

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "_CHECKPOINT_SECONDS", 0.0)
        BARTRegressor(**SMALL).fit(X, Y, checkpoint=store)
    newest = max(("state-0-0", "state-0-1"), key=lambda name: (b'"sweep"' in store[name], len(store[name]), name))
    store[newest] = store[newest][:-3]
    with pytest.warns(UserWarning, match="torn or damaged"):
        fitted = BARTRegressor(**SMALL).fit(X, Y, checkpoint=store)
    np.testing.assert_array_equal(fitted.sigma_, whole[0].sigma_)


def test_stop_keeps_the_draws(whole: tuple[BARTRegressor, Listener]) -> None:
    stop, listener = threading.Event(), Listener()

    def sink(message: dict[str, Any]) -> None:
        listener(message)
        if message["type"] == "bart.draw/1":
            stop.set()

    with pytest.warns(UserWarning, match="stopped: the fit holds"):
        bart = BARTRegressor(**(SMALL | {"n_jobs": 1, "n_draws": 100_000})).fit(X, Y, sink=sink, stop=stop.is_set)
    made = bart.n_draws_
    assert 0 < made < 100_000
    np.testing.assert_array_equal(bart.sigma_[: min(made, 400)], whole[0].sigma_[: min(made, 400)])
    assert listener.parts["run"][-1]["status"] == "stopped"
    with pytest.raises(RuntimeError, match="stopped before the first draw"):
        BARTRegressor(**SMALL).fit(X, Y, stop=lambda: True)


def test_a_sink_that_raises_ends_the_run_and_keeps_the_draws() -> None:
    def sink(message: dict[str, Any]) -> None:
        if message["type"] == "bart.draw/1" and message["draw"] == 300:
            raise OSError("the disk is full")

    bart = BARTRegressor(**SMALL)
    with pytest.raises(OSError, match="the disk is full"):
        bart.fit(X, Y, sink=sink)
    assert 0 < bart.n_draws_ <= 400  # the other chain ends too, wherever it is


def test_the_progress_line() -> None:
    assert line(30, 120, 1.234, 6.0) == "[######..................] 30/120 sweeps, sigma 1.234, 18 s left"
    assert "compiling" in line(0, 120, 1.0, 3.0)


def test_a_classifier_goes_on_too() -> None:
    store: dict[str, bytes] = {}
    settings = {"n_trees": 10, "n_burnin": 50, "n_draws": 50, "n_chains": 1, "random_state": 0}
    BARTClassifier(**settings).fit(X, Y > 14, checkpoint=store)
    longer = BARTClassifier(**(settings | {"n_draws": 90})).fit(X, Y > 14, checkpoint=store)
    whole = BARTClassifier(**(settings | {"n_draws": 90})).fit(X, Y > 14)
    np.testing.assert_array_equal(longer.sample_f(X), whole.sample_f(X))
