"""The recipe: its messages, its alarms, and what it makes of awkward series."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import livequeue
import numpy as np
import pytest
from liverecipes.messages import TYPES
from liverecipes.spc.conjugate import NormalInverseGamma
from liverecipes.spc.data import Series, load
from liverecipes.spc.recipe import Settings, run
from liverecipes.spc.verdict import verdict

Messages = list[dict[str, Any]]
CHART = Settings(nuts=False)


def series(values: Iterable[float], labels: Iterable[str] | None = None) -> Series:
    x = np.array(list(values), dtype=float)
    return Series("test", tuple(labels or map(str, range(1, len(x) + 1))), x, "made here")


def messages_of(data: Series, settings: Settings = CHART, seed: int = 1) -> Messages:
    found: Messages = []
    run(data, replace(settings, prior=settings.prior or data.prior), seed, found.append, found.append)
    return found


def alarms(messages: Messages, rule: str) -> list[str]:
    return [m["label"] for m in messages if m["type"] == "spc.point/1" for a in m["alarms"] if a["rule"] == rule]


def sentence(messages: Messages) -> str:
    points = [m for m in messages if m["type"] == "spc.point/1" and m["x"] is not None]
    return verdict(messages[-1], [p["label"] for p in points], [p["x"] for p in points]).sentence


def test_nile() -> None:
    found = messages_of(load("nile"))
    assert [m["seq"] for m in found if m["part"] == "points"] == list(range(100))
    assert alarms(found, "recent change") == ["1902"]
    assert alarms(found, "run length") == ["1902"]
    point = next(m for m in found if m.get("label") == "1902")
    assert point["recent"] == pytest.approx(0.7205, abs=5e-5)
    assert point["alarms"][-1]["text"] == "likeliest run: since 1899"
    end = found[-1]
    assert end["change"]["log_bayes_factor"] == pytest.approx(19.553, abs=5e-4)
    assert sentence(found).startswith(
        "The process changed between 1898 and 1899 with probability 76%, from 1097 to 851"
    )


def test_every_message_has_the_fields_that_its_type_declares() -> None:
    found = messages_of(load("nist-cusum"))
    assert {m["type"] for m in found} == {name for name in TYPES if name.startswith("spc.")} - {"spc.failure/1"}
    for message in found:
        assert message.keys() == TYPES[message["type"]].__annotations__.keys()


def test_nist_cusum_series_is_caught_at_once() -> None:
    found = messages_of(load("nist-cusum"))
    assert alarms(found, "limits") == alarms(found, "recent change") == alarms(found, "run length") == ["13"]
    assert sentence(found).startswith("The process changed between 12 and 13")


def test_each_message_is_what_its_own_past_allows() -> None:
    """No look-ahead: a prefix of the data gives a prefix of the messages."""
    rng = np.random.default_rng(8)
    values = [*rng.normal(0, 1, 25), *rng.normal(4, 2, 25)]
    whole, half = messages_of(series(values)), messages_of(series(values[:30]))
    for earlier, later in zip(half[1:-1], whole[1:], strict=False):
        assert livequeue.encode(earlier) == livequeue.encode(later)


def test_limits_never_use_the_point_that_they_judge() -> None:
    rng = np.random.default_rng(9)
    values = list(rng.normal(0, 1, 20))
    one, other = messages_of(series([*values, 0.0])), messages_of(series([*values, 100.0]))
    for side in ("lower", "center", "upper"):
        assert one[-2][side] == other[-2][side]
    assert one[-2]["alarms"] == []
    assert {alarm["rule"] for alarm in other[-2]["alarms"]} == {"limits", "recent change", "run length"}


def test_the_same_seed_gives_the_same_bytes_of_every_lossless_message(memory: livequeue.Queue) -> None:
    settings = Settings(prior=load("nile").prior, num_warmup=100, num_samples=50, num_chains=2)

    def lossless(name: str, seed: int) -> dict[tuple[str, int], bytes]:
        with memory.publisher(name) as sink, memory.publisher(name + ".nuts") as nuts_sink:
            run(load("nile"), settings, seed, sink, nuts_sink)
        found = [*memory.subscribe(name, follow=False), *memory.subscribe(name + ".nuts", follow=False)]
        kept = [m for m in found if "/" not in m["part"] and m["part"] != "progress"]
        return {(m["type"].split(".")[0] + " " + m["part"], m["seq"]): livequeue.encode(m) for m in kept}

    first, second, third = lossless("a", 5), lossless("b", 5), lossless("c", 6)
    assert len(first) == 102 + 2 + 100
    assert first == second
    assert first.keys() == third.keys()
    assert first != third


def test_missing_observations_are_gaps_and_no_alarms() -> None:
    nan = float("nan")
    rng = np.random.default_rng(10)
    values = [*rng.normal(0, 1, 15), *[nan] * 40, *rng.normal(0, 1, 15)]
    found = messages_of(series(values))
    gaps = [m for m in found if m["type"] == "spc.point/1" and m["x"] is None]
    assert len(gaps) == 40
    assert all(m["score"] is None and m["alarms"] == [] and m["center"] is not None for m in gaps)
    assert alarms(found, "run length") == alarms(found, "recent change") == []
    assert found[-1]["observed"] == 30
    assert found[-2]["run_length"] == 70


def test_missing_observations_inside_phase_one_and_around_the_change() -> None:
    nan = float("nan")
    rng = np.random.default_rng(11)
    values = [nan, *rng.normal(0, 1, 20), nan, nan, *rng.normal(8, 1, 20), nan]
    found = messages_of(series(values))
    assert sum(m.get("phase") == 1 for m in found) == 11
    assert sentence(found).startswith("The process changed between 21 and 24")


@pytest.mark.parametrize("value", [5.0, 0.0, -0.1, 1e100, 1e-200])
def test_a_constant_series_has_no_change_and_no_alarm(value: float) -> None:
    found = messages_of(series([value] * 60), Settings())  # NUTS is asked for, and has nothing to do
    assert found[-1]["alarms"] == 0
    assert found[-1]["nuts"] is None
    assert sentence(found) == f"No change: every value is {value:g}."
    for message in found:
        if message["type"] == "spc.point/1" and message["phase"] == 2:
            assert np.isfinite([message["lower"], message["upper"], message["score"]]).all()


def test_a_constant_series_that_moves_raises_every_alarm() -> None:
    found = messages_of(series([5.1] * 20 + [5.2] * 20))
    assert alarms(found, "limits") == alarms(found, "run length") == ["21"]
    assert sentence(found).startswith("The process changed between 20 and 21")


@pytest.mark.parametrize("values", [[], [5.0], [float("nan")], [float("nan"), 5.0]])
def test_at_most_one_observation(values: list[float]) -> None:
    found = messages_of(series(values))
    assert found[-1]["change"] is None
    assert "nothing yet to compare" in sentence(found)


def test_two_observations() -> None:
    found = messages_of(series([1.0, 2.0]))
    assert 0 < found[-1]["change"]["probability"] < 0.9


def test_noise_alone_is_reported_as_noise() -> None:
    rng = np.random.default_rng(12)
    found = messages_of(series(rng.normal(10, 2, 200)))
    assert sentence(found).startswith("No sign of a change")


def test_a_change_of_the_noise_alone_is_not_called_a_change_of_level() -> None:
    rng = np.random.default_rng(13)
    found = messages_of(series([*rng.normal(10, 0.5, 60), *rng.normal(10, 4, 60)]))
    points = [m for m in found if m["type"] == "spc.point/1"]
    answer = verdict(found[-1], [p["label"] for p in points], [p["x"] for p in points])
    assert answer.sentence.startswith("The process changed between")
    assert "The level itself may not have moved; the noise went from 0." in answer.detail


def in_control_alarms(settings: Settings, points: int) -> tuple[int, int]:
    """Return detector alarms on in-control data, and on data with a shift of three sigma every 50 points."""
    rng = np.random.default_rng(14)
    steady = rng.normal(0, 1, points)
    shifted = steady + 3.0 * (np.arange(points) // 50 % 2)
    prior = replace(settings, prior=NormalInverseGamma(0, 0.1, 2, 2))
    counts = [
        len(alarms(found, "recent change")) for found in (messages_of(series(x), prior) for x in (steady, shifted))
    ]
    return counts[0], counts[1]


def test_detector_is_quiet_in_control_and_loud_when_the_level_moves() -> None:
    """About 0.7 false alarms in 1,000 points: more than 5 come by chance once in 1,000 seeds."""
    quiet, loud = in_control_alarms(CHART, 1000)
    assert quiet <= 5
    assert loud >= 15
    # Poison: a threshold that noise alone reaches.
    assert in_control_alarms(replace(CHART, threshold=0.03), 1000)[0] > 5


def test_stop_ends_the_run_with_what_there_is() -> None:
    found: Messages = []
    end = run(load("nile"), CHART, 1, found.append, found.append, stop=lambda: len(found) > 50)
    assert end["status"] == "stopped"
    assert end["points"] == 50
    assert end["change"] is not None


def test_a_failing_sampler_ends_the_run_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("no draws today")

    monkeypatch.setattr("liverecipes.spc.nuts.sample_levels", broken)
    found: Messages = []
    with pytest.raises(RuntimeError, match="no draws today"):
        run(load("nile"), Settings(prior=load("nile").prior), 1, found.append, found.append)
    assert [m["type"] for m in found[-2:]] == ["spc.failure/1", "spc.end/1"]
    assert found[-2]["error"] == "RuntimeError: no draws today"
    assert found[-1]["status"] == "failed"
    assert found[-1]["change"]["mode"] == 28


def test_a_failing_sink_ends_the_run() -> None:
    def sink(message: dict[str, Any]) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        run(load("nile"), CHART, 1, sink, sink)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("hazard", 0.0, "hazard: must be between 0 and 1, got 0.0"),
        ("hazard", float("nan"), "hazard: must be between 0 and 1, got nan"),
        ("k", -1.0, "k: must be above 0 and at most 30, got -1.0"),
        ("k", 100.0, "k: must be above 0 and at most 30, got 100.0"),
        ("phase_one", 1, "phase1: must be at least 3 observations, got 1"),
        ("prior", NormalInverseGamma(0, 0, 1, 1), "prior: KAPPA and B must be positive"),
        ("num_samples", 1, "draws: must be at least 10, got 1"),
    ],
)
def test_settings_are_checked_at_the_door(field: str, value: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        replace(CHART, **{field: value})


def test_an_unlikely_position_does_not_move_the_headline() -> None:
    rng = np.random.default_rng(19)
    values = rng.normal(0, 1, 40)
    values[20] = 1e6
    change = messages_of(series(values))[-1]["change"]
    assert change["mode"] == 20
    assert abs(change["before"]["median"]) < 1
    assert 0.5 < change["before"]["noise"] < 2
