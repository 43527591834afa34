"""Save and load, fork, revise, checkpoints: going on is going on, to the bit."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from livesmc2 import OnlineSMC2, StoreError, models, run
from livesmc2.compiler import identity
from livesmc2_exact import conjugate, level, level_series
from scipy import stats

MODEL, PRIOR = level()
OPTIONS: dict[str, Any] = {"n_theta": 30, "n_x": 20, "seed": 3, "threads": 1, "min_acceptance": 0.3}


def engine(**more: Any) -> OnlineSMC2:
    return OnlineSMC2(MODEL, PRIOR, **(OPTIONS | more))


def same(a: OnlineSMC2, b: OnlineSMC2) -> bool:
    """Equal to the bit in all that can be seen."""
    return (
        a.log_evidence == b.log_evidence
        and a.t == b.t
        and all(np.array_equal(a.theta[name], b.theta[name]) for name in a.theta)
        and all(np.array_equal(a.state[name], b.state[name]) for name in a.state)
        and np.array_equal(a.state_weights, b.state_weights)
        and lossless([step.message(0) for step in a.history]) == lossless([step.message(0) for step in b.history])
    )


@pytest.mark.parametrize("window", [None, 6])
def test_loading_goes_on_to_the_bit(tmp_path: Path, window: int | None) -> None:
    ys = level_series(40)
    straight = engine(window=window)
    for k, y in enumerate(ys):
        straight.update(y)
        if k in (0, 11, 25):
            straight.save(tmp_path / f"{k}.smc2")
    for k in (0, 11, 25):
        again = OnlineSMC2.load(tmp_path / f"{k}.smc2", MODEL, PRIOR, threads=1)
        assert again.t == k + 1
        for y in ys[k + 1 :]:
            again.update(y)
        assert same(again, straight)
        assert again.forecast(3).observations.tolist() == straight.forecast(3).observations.tolist()


def test_files_are_refused_that_are_damaged_or_of_another_model(tmp_path: Path) -> None:
    smc = engine()
    smc.update(0.3)
    path = tmp_path / "a.smc2"
    smc.save(path)
    data = path.read_bytes()
    (tmp_path / "torn").write_bytes(data[:-100])
    (tmp_path / "flipped").write_bytes(data[:5000] + bytes([data[5000] ^ 1]) + data[5001:])
    (tmp_path / "other").write_bytes(b"something else")
    for name in ("torn", "flipped", "other"):
        with pytest.raises(StoreError, match=name):
            OnlineSMC2.load(tmp_path / name, MODEL, PRIOR)
    with pytest.raises(StoreError, match="there is nothing"):
        OnlineSMC2.load(tmp_path / "missing", MODEL, PRIOR)
    other, other_prior = conjugate()
    with pytest.raises(StoreError, match="another model"):
        OnlineSMC2.load(path, other, other_prior)
    elsewhere, _ = models.local_level(start=1.0)  # the same code, another constant
    with pytest.raises(StoreError, match="another model"):
        OnlineSMC2.load(path, elsewhere, PRIOR)
    with pytest.raises(StoreError, match="belongs to another prior"):
        OnlineSMC2.load(path, MODEL, PRIOR | {"sigma_y": stats.halfnorm(scale=2.0)})
    assert b"pickle" not in data


def test_a_file_outlives_the_version_of_python_that_wrote_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under another version bytecode differs, and the functions' source decides."""
    ys, stored = level_series(20), dict[str, bytes]()
    smc = engine()
    for y in ys[:15]:
        smc.update(y)
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr("sys.version", "3.99.0 (another)")
        elsewhere.setattr(identity, "identity", lambda model: identity.Identity("other bytecode", True, ()))
        smc.save(stored)
    again = OnlineSMC2.load(stored, MODEL, PRIOR, threads=1)
    for y in ys[15:]:
        smc.update(y)
        again.update(y)
    assert same(again, smc)
    changed = replace(MODEL, log_likelihood=lambda y, x, theta, t: 0.0)
    with pytest.raises(StoreError, match="another model: log_likelihood of the model, or what they refer to, differ"):
        OnlineSMC2.load(stored, changed, PRIOR)
    elsewhere_level, _ = models.local_level(start=1.0)
    with pytest.raises(StoreError, match="initial of the model"):
        OnlineSMC2.load(stored, elsewhere_level, PRIOR)
    spoken = dict[str, Any](__name__=__name__)
    exec("f = lambda rng, theta: (0.0,)", spoken)
    without = replace(MODEL, initial=spoken["f"])
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr("sys.version", "3.99.0 (another)")
        elsewhere.setattr(identity, "identity", lambda model: identity.Identity("other bytecode", True, ()))
        OnlineSMC2(without, PRIOR, 10, 10, seed=1).save(stored)
    with pytest.raises(StoreError, match=r"under Python 3.99.0, and there is no source of initial"):
        OnlineSMC2.load(stored, without, PRIOR)


def test_revising_is_having_had_it_right() -> None:
    ys = level_series(30)
    right = ys.copy()
    right[17], right[4] = 2.0, np.nan
    straight = engine()
    for y in right:
        straight.update(y)
    for every in (None, 5):
        smc = engine(snapshot_every=every)
        for y in ys:
            smc.update(y)
        smc.revise(17, 2.0)
        smc.revise(4, np.nan)
        assert same(smc, straight)
    with pytest.raises(ValueError, match="index of an observation"):
        smc.revise(30, 1.0)


def test_a_fork_is_independent() -> None:
    ys = level_series(30)
    smc = engine()
    for y in ys[:15]:
        smc.update(y)
    fork = smc.fork()
    fork.update(9.0)
    for y in ys[15:]:
        smc.update(y)
    straight = engine()
    for y in ys:
        straight.update(y)
    assert same(smc, straight)
    assert fork.t == 16


class Crash(Exception):
    """What kills a run in a test."""


@pytest.mark.parametrize("after", [1, 9, 23])
def test_a_run_killed_anywhere_ends_as_if_nothing_had_happened(after: int) -> None:
    ys = level_series(30)
    whole: list[dict[str, Any]] = []
    expected = run(MODEL, PRIOR, ys, sink=whole.append, **OPTIONS)
    store: dict[str, bytes] = {}
    told: list[dict[str, Any]] = []

    def deadly(message: dict[str, Any]) -> None:
        if message["type"] == "smc2.step/1" and message["t"] == after:
            raise Crash
        told.append(message)

    with pytest.raises(Crash) as caught:
        run(MODEL, PRIOR, ys, sink=deadly, checkpoint=store, **OPTIONS)
    assert caught.value.result.t == after + 1  # type: ignore[attr-defined]
    again: list[dict[str, Any]] = []
    found = run(MODEL, PRIOR, ys, sink=again.append, checkpoint=store, **OPTIONS)
    assert same(found, expected)
    assert lossless(again) == lossless(whole)
    with pytest.raises(StoreError, match="other data"):
        run(MODEL, PRIOR, ys + 1, checkpoint=store, **OPTIONS)
    with pytest.raises(StoreError, match="n_theta"):
        run(MODEL, PRIOR, ys, checkpoint=store, **(OPTIONS | {"n_theta": 31}))


def lossless(messages: list[dict[str, Any]]) -> list[str]:
    """As text to the last bit, without what may drop."""
    with np.printoptions(floatmode="unique", threshold=10**6):
        return [repr(message) for message in messages if message["part"] != "progress"]


YS = level_series(12)


class AnyOrder(RuleBasedStateMachine):
    """Updates, gaps, revisions, saves, forecasts, forks in any order give what the straight run gives."""

    @initialize(window=st.sampled_from([None, 4]), every=st.sampled_from([None, 3]), horizon=st.sampled_from([0, 2]))
    def begin(self, window: int | None, every: int | None, horizon: int) -> None:
        self.seen: list[float] = []
        self.stored: dict[str, bytes] = {}
        self.options: dict[str, Any] = {
            "window": window, "snapshot_every": every, "horizon": horizon, "n_x": 10, "max_n_x": 20,
            "min_acceptance": 0.7,
        }  # fmt: skip
        self.smc = engine(**self.options)

    @rule(gap=st.booleans())
    @precondition(lambda self: len(self.seen) < len(YS))
    def update(self, gap: bool) -> None:
        y = float("nan") if gap else float(YS[len(self.seen)])
        self.seen.append(y)
        self.smc.update(y)

    @rule(place=st.integers(0, len(YS) - 1), y=st.sampled_from([0.5, float("nan")]))
    @precondition(lambda self: self.seen)
    def revise(self, place: int, y: float) -> None:
        place %= len(self.seen)
        self.seen[place] = y
        self.smc.revise(place, y)

    @rule()
    def save_and_load(self) -> None:
        self.smc.save(self.stored)
        self.smc = OnlineSMC2.load(self.stored, MODEL, PRIOR, threads=1)

    @rule()
    def forecast(self) -> None:
        self.smc.forecast(2, n_draws=10)

    @rule()
    def fork(self) -> None:
        other = self.smc.fork()
        other.update(0.0)
        other.revise(0, 1.0)

    @rule()
    def continue_in_a_fork(self) -> None:
        self.smc = self.smc.fork()

    def teardown(self) -> None:
        straight = engine(**self.options)
        for y in self.seen:
            straight.update(y)
        assert same(self.smc, straight)


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(
    max_examples=15, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)
