"""Messages, stop, stream, threads and executors: the same bits however it is run."""

import itertools
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from typing import Any

import livesmc2_travelling as travelling
import numpy as np
import pytest
from livesmc2 import OnlineSMC2, messages, run, run_many, stream
from livesmc2.runtime import blocks, online
from livesmc2.runtime.tasks import Workers
from livesmc2_exact import level, level_series

MODEL, PRIOR = level()
YS = level_series(25)
OPTIONS: dict[str, Any] = {"n_theta": 60, "n_x": 40, "seed": 3, "max_n_x": 160, "min_acceptance": 0.7}


def test_messages_are_those_declared_and_count_without_gaps() -> None:
    told: list[dict[str, Any]] = []
    smc = run(MODEL, PRIOR, YS, sink=told.append, **OPTIONS)
    assert told[0]["type"] == "smc2.start/1"
    assert told[-1] == {
        "type": "smc2.end/1", "part": "run", "seq": 1, "status": "completed", "steps": 25,
        "log_evidence": smc.log_evidence,
    }  # fmt: skip
    for part in ("run", "steps"):
        assert [m["seq"] for m in told if m["part"] == part] == list(range(2 if part == "run" else 25))
    for message in told:
        assert set(message) == messages.TYPES[message["type"]].__required_keys__, message["type"]
    steps = [m for m in told if m["part"] == "steps"]
    assert [m["t"] for m in steps] == list(range(25))
    assert sum(m["log_evidence_increment"] for m in steps) == pytest.approx(smc.log_evidence)
    assert steps[3]["theta"]["quantiles"].shape == (5, 2)


def test_steps_forecast_as_far_as_asked() -> None:
    told: list[dict[str, Any]] = []
    smc = run(MODEL, PRIOR, YS[:6], sink=told.append, horizon=3, **OPTIONS)
    found = [m["forecast"] for m in told if m["part"] == "steps"]
    assert all(one.shape == (5, 3, 1) for one in found)
    assert (np.diff(found[-1], axis=0) > 0).all()
    exact = smc.forecast(3, n_draws=20_000).quantiles()
    assert (
        np.abs(found[-1][1:4, :, 0] - exact[1:4]).max() < 0.4
    )  # a quantile of 512 draws; those of the tails vary more
    assert told[0]["settings"]["horizon"] == 3
    silent = run(MODEL, PRIOR, YS[:6], **OPTIONS)
    assert silent.log_evidence == smc.log_evidence
    assert silent.history[-1].forecast is None


def test_a_sink_changes_nothing_and_one_that_raises_ends_the_run() -> None:
    silent, heard = run(MODEL, PRIOR, YS, **OPTIONS), run(MODEL, PRIOR, YS, sink=lambda m: None, **OPTIONS)
    assert silent.log_evidence == heard.log_evidence
    told: list[str] = []

    def breaks(message: dict[str, Any]) -> None:
        told.append(message["type"])
        if message.get("t") == 4 and message["type"] == "smc2.step/1":
            raise RuntimeError("the listener broke")

    with pytest.raises(RuntimeError, match="the listener broke") as caught:
        run(MODEL, PRIOR, YS, sink=breaks, **OPTIONS)
    assert caught.value.result.t == 5  # type: ignore[attr-defined]
    assert told[-2:] == ["smc2.failure/1", "smc2.end/1"]


def test_stop_keeps_what_there_is() -> None:
    count = itertools.count()
    told: list[dict[str, Any]] = []
    smc = run(MODEL, PRIOR, YS, stop=lambda: next(count) == 7, sink=told.append, **OPTIONS)
    assert smc.t == 7
    assert told[-1]["status"] == "stopped"
    pulled = stream(MODEL, PRIOR, YS, **OPTIONS)
    assert next(pulled)["type"] == "smc2.start/1"
    assert next(pulled)["type"] == "smc2.step/1"
    pulled.close()


def test_threads_and_executors_give_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Updates, moves and exchanges, in this thread, in several, and as tasks of an executor."""
    expected = run(MODEL, PRIOR, YS, threads=1, **OPTIONS)
    assert sum(step.exchanges for step in expected.history) >= 2
    monkeypatch.setattr(online, "_WORTH_THE_WAY", 1)
    monkeypatch.setattr(blocks, "_WORTH_A_THREAD", 1)
    done: list[str] = []
    original = Workers.run

    def counted(self: Workers, function: Any, tasks: Any, **more: Any) -> Any:
        done.append(function.__name__)
        return original(self, function, tasks, **more)

    monkeypatch.setattr(Workers, "run", counted)
    for settings in ({"threads": 2}, {"threads": 7}, {"executor": ThreadPoolExecutor(1)},
                     {"executor": ThreadPoolExecutor(3)}):  # fmt: skip
        found = run(MODEL, PRIOR, YS, **OPTIONS, **settings)  # type: ignore[arg-type]
        assert found.log_evidence == expected.log_evidence
        assert np.array_equal(found.state["level"], expected.state["level"])
    moves = sum(len(step.acceptance) for step in expected.history)
    exchanges = sum(step.exchanges for step in expected.history)
    assert done.count("run_block") == 2 * (len(YS) + moves)
    assert done.count("trace") == done.count("condition") == 2 * exchanges


def spawned() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, mp_context=get_context("spawn"))


def test_b10_a_dead_worker_is_survived() -> None:
    """Defect B10: one crash killed the run. A worker that exits in its first task is replaced; processes give the
    bits of this one."""
    travelling.reset()
    model = travelling.model(deadly=True)
    settings: dict[str, Any] = {"n_moves": 2, "min_acceptance": 0.99, "max_n_x": 20}
    expected = run(travelling.model(), travelling.prior(), YS[:4], 20, 10, seed=1, **settings)
    assert expected.rejuvenations
    assert expected.n_x == 20
    found = run(model, travelling.prior(), YS[:4], 20, 10, seed=1, **settings, executor=spawned)
    assert found.log_evidence == expected.log_evidence
    assert np.array_equal(found.state["level"], expected.state["level"])
    assert travelling.died()


def test_a_lambda_cannot_travel() -> None:
    with (
        ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool,
        pytest.raises(TypeError, match="initial of the model"),
    ):
        OnlineSMC2(MODEL, PRIOR, executor=pool)


def test_many_series_are_what_each_would_be_alone() -> None:
    series = [level_series(8, seed=k) for k in range(5)]
    one = run_many(MODEL, PRIOR, series, 30, 20, seed=1, threads=1)
    two = run_many(MODEL, PRIOR, series, 30, 20, seed=1, threads=2)
    assert [smc.log_evidence for smc in one] == [smc.log_evidence for smc in two]
    alone = run(MODEL, PRIOR, series[3], 30, 20, one[3].seed)
    assert alone.log_evidence == one[3].log_evidence
    assert len({smc.seed for smc in one}) == 5
    assert [smc.log_evidence for smc in run_many(MODEL, PRIOR, iter(series[:2]), 30, 20, seed=1)] == [
        smc.log_evidence for smc in one[:2]
    ]
    told: list[list[dict[str, Any]]] = [[], [], []]
    run_many(MODEL, PRIOR, series[:3], 30, 20, seed=1, threads=2, sinks=[part.append for part in told])
    assert [[m["seq"] for m in part if m["part"] == "steps"] for part in told] == [list(range(8))] * 3
    assert [part[-1]["log_evidence"] for part in told] == [smc.log_evidence for smc in one[:3]]
    with pytest.raises(TypeError, match="one sink cannot serve many runs"):
        run_many(MODEL, PRIOR, series, 30, 20, seed=1, sink=print)
    with pytest.raises(ValueError, match="one for each of 5 series, got 1"):
        run_many(MODEL, PRIOR, series, 30, 20, seed=1, sinks=[print])
    with pytest.raises(ValueError, match="series 1: data must be an array"):
        run_many(MODEL, PRIOR, [[1.0], 2.0], 30, 20, seed=1)
