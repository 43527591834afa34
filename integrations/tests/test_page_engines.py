"""What the page shows of online SMC² and of BART: messages of real runs, as `recorded/make.py` recorded them."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import livenuts
import numpy as np
import pytest
from liverecipes.page.hub import encode
from liverecipes.page.views import Bart, Smc2
from liverecipes.page.views.bart import MOST_COLUMNS, MOST_LEAVES
from liverecipes.page.views.chains import MOST_NAMES
from liverecipes.page.views.smc2 import MOST_AHEAD, MOST_LABELS, MOST_REJUVENATIONS

Messages = list[dict[str, Any]]
Recorded = Callable[[str], Messages]
SCHEMAS = Path(__file__).parents[2] / "docs" / "schema"


@pytest.mark.parametrize("name", ["smc2", "smc2-revised", "bart"])
def test_recordings_are_of_the_messages_that_there_are(name: str, recorded: Recorded) -> None:
    for message in recorded(name):
        schema = json.loads((SCHEMAS / (message["type"].replace("/", "-") + ".json")).read_text(encoding="utf-8"))
        form = schema["$defs"][schema["$ref"].rsplit("/", 1)[-1]] if "$ref" in schema else schema
        assert set(message) <= set(form["properties"]), "run recorded/make.py again"


def fed(view: Any, messages: Messages) -> Any:
    for message in messages:
        view.take(message)
    return view


def by_differences(view: Any, messages: Messages, show: list[str], mirror: Any, every: int) -> list[dict[str, Any]]:
    """Feed the view, twice each message, and give the mirror a picture after each `every` of them."""
    mark, pictures = None, []
    for at, message in enumerate(messages):
        view.take(message)
        view.take(message)  # a restarted engine sends some again
        if at % every == every - 1 or message is messages[-1]:
            data = None if mark is None else view.since(mark, show)
            pictures.append({"full": data is None} | (view.full(show) if data is None else data))
            mirror.apply(pictures[-1])
            mark = view.mark()
    return pictures


def shuffled(messages: Messages, seed: int) -> Messages:
    """The messages in another order, that of each part kept, the end last: the parts are read beside each other."""
    random = np.random.default_rng(seed)
    order = sorted(range(len(messages)), key=random.permutation(len(messages)).__getitem__)
    parts: dict[str, list[dict[str, Any]]] = {}
    for message in messages[:-1]:
        parts.setdefault(message["part"], []).append(message)
    mixed = [parts[messages[place]["part"]].pop(0) for place in order if place != len(messages) - 1]
    return [*mixed, messages[-1]]


# SMC²


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_smc2_by_differences_is_what_the_steps_said(seed: int, recorded: Recorded, mirror: Any) -> None:
    messages = recorded("smc2")
    view = Smc2("r")
    pictures = by_differences(view, shuffled(messages, seed), ["new", "beta"], mirror, 3)
    assert mirror.differences > 5
    steps = [message for message in messages if message["type"] == "smc2.step/1"]
    start = next(message for message in messages if message["type"] == "smc2.start/1")
    whole = view.full(["new", "beta"])
    encode(whole)
    for what, label in (("state", "new"), ("theta", "beta")):
        place = start["state" if what == "state" else "parameters"].index(label)
        for level in range(5):
            told = [step[what]["quantiles"][level, place] for step in steps]
            assert mirror.values["quantiles", label, level] == told
    for name in ("ess", "log_evidence", "log_evidence_increment", "n_x"):
        assert mirror.values["steps", name, ""] == [step[name] for step in steps]
    np.testing.assert_array_equal(mirror.values["observations", "y", ""], [step["y"][0] for step in steps])
    assert whole["names"] == [*start["state"], *start["parameters"]]
    assert (whole["states"], whole["levels"]) == (start["state"], start["levels"])
    assert (whole["status"], whole["count"], whole["total"], whole["model"]) == ("completed", 70, 70, "SEIR")
    moved = [step for step in steps if step["rejuvenated"]]
    assert whole["totals"] == {"rejuvenations": len(moved), "exchanges": 1, "faults": 0, "skipped": 0, "revised": 0}
    assert [event["t"] for event in whole["rejuvenations"]] == [step["t"] for step in moved]
    assert whole["rejuvenations"][-1]["acceptance"] == pytest.approx(np.mean(moved[-1]["acceptance"]))
    # Of the whole states and the differences since, each rejuvenation came once.
    last = max(at for at, picture in enumerate(pictures) if picture["full"])
    came = [event["t"] for picture in pictures[last:] for event in picture["rejuvenations"]]
    assert came == [step["t"] for step in moved]


def test_observations_are_drawn_on_the_state_that_they_are_of(recorded: Recorded) -> None:
    """Reports are Poisson around `new`; in another unit, or of another sign, they are on no state."""
    messages = recorded("smc2")
    whole = fed(Smc2("r"), messages).full([])
    assert whole["seen_on"] == {"y": "new"}
    assert whole["shown"] == ["new", "S", "E", "I", "beta", "sigma", "gamma", "nu"]
    for factor in (1000.0, -1.0, math.nan):
        other = [m | {"y": [factor * y for y in m["y"]]} if "y" in m else m for m in messages]
        assert fed(Smc2("r"), other).full([])["seen_on"] == {"y": None}


def test_the_newest_forecast_is_told(recorded: Recorded) -> None:
    messages = recorded("smc2")
    view = fed(Smc2("r"), messages)
    assert view.full([])["forecast"] is None
    last = [message for message in messages if message["type"] == "smc2.step/1"][-1]
    mark = view.mark()
    quantiles = np.arange(5.0)[:, None, None] + np.zeros((1, 1000, 1))
    view.take(last | {"seq": 70, "t": 70, "forecast": quantiles})
    assert view.since(mark, []) is None  # there is a place for it now
    mark = view.mark()
    view.take(last | {"seq": 71, "t": 71, "forecast": quantiles + 1})
    told = view.since(mark, [])["forecast"]
    assert told["first"] == 72
    np.testing.assert_array_equal(told["quantiles"], quantiles[:, :MOST_AHEAD].transpose(2, 0, 1) + 1)
    view.take(last | {"seq": 72, "t": 72, "forecast": None})
    assert view.full([])["forecast"] is None


def test_a_revision_puts_new_steps_in_the_place_of_old_ones(recorded: Recorded, mirror: Any) -> None:
    messages = recorded("smc2-revised")
    view = Smc2("r")
    by_differences(view, messages, [], mirror, 1)
    steps = [message for message in messages if message["type"] == "smc2.step/1"]
    back = next(at for at in range(1, len(steps)) if steps[at]["t"] < steps[at - 1]["t"])
    newest = {step["t"]: step for step in steps}
    assert len(steps) > len(newest) == 20
    assert steps[back]["t"] == 4
    told = [newest[t]["state"]["quantiles"][2, 0] for t in range(20)]
    assert mirror.values["quantiles", "level", 2] == told
    whole = view.full([])
    assert whole["totals"]["revised"] == 1
    assert [event["t"] for event in whole["rejuvenations"]] == [t for t in range(20) if newest[t]["rejuvenated"]]
    assert whole["totals"]["rejuvenations"] == len(whole["rejuvenations"])
    assert whole["count"] == 20


def test_smc2_of_an_engine_that_was_loaded_begins_where_it_was(recorded: Recorded) -> None:
    messages = recorded("smc2")
    steps = [message for message in messages if message["type"] == "smc2.step/1"][30:]
    view = fed(Smc2("r"), [messages[0], *(step | {"seq": seq} for seq, step in enumerate(steps))])
    whole = view.full(["new"])
    (ess,) = [each for each in whole["steps"] if each["name"] == "ess"]
    assert (whole["count"], ess["count"], ess["tail"][30:]) == (70, 70, [step["ess"] for step in steps])
    assert np.isnan(ess["tail"][:30]).all()


def test_smc2_that_fails_says_where(recorded: Recorded) -> None:
    failure = {"type": "smc2.failure/1", "part": "run", "seq": 1, "error": "X: no", "recovered": False, "t": 4}
    view = fed(Smc2("r"), [*recorded("smc2")[:5], failure])
    whole = view.full([])
    assert whole["status"] == "failed"
    assert whole["failures"] == [{"t": 4, "error": "X: no"}]
    view.take({"type": "smc2.end/1", "part": "run", "seq": 2, "status": "failed", "steps": 4, "log_evidence": -1.0})
    assert view.full([])["status"] == "failed"


def step_of(t: int, states: int, parameters: int, observed: int, **fields: Any) -> dict[str, Any]:
    quantiles = {what: {"quantiles": np.arange(5.0)[:, None] + np.arange(n)} for what, n in
                 (("state", states), ("theta", parameters))}  # fmt: skip
    step = {"type": "smc2.step/1", "part": "steps", "seq": t, "t": t, "y": [2.0 + t % 2] * observed, "ess": 7.0}
    step |= {"n_x": 9, "log_evidence": -t, "log_evidence_increment": -1.0, "rejuvenated": True, "acceptance": [0.5]}
    return step | {"exchanges": 0, "faults": 1, "skipped": False} | quantiles | fields


def test_smc2_is_bounded_whatever_comes() -> None:
    view = Smc2("r")
    mark = view.mark()
    for t in range(3000):
        view.take(step_of(t, 400, 300, 90))
    assert view.since(mark, []) is None
    whole = view.full([])
    assert len(whole["names"]) == 2 * MOST_LABELS
    assert len(whole["rejuvenations"]) == MOST_REJUVENATIONS
    assert whole["totals"]["faults"] == 3000
    assert len(encode(view.full(whole["names"]))) < 10_000_000
    mark = view.mark()
    for t in range(3000, 5001):
        view.take(step_of(t, 400, 300, 90))
    assert view.since(mark, []) is None


def test_smc2_before_its_start_and_with_names_that_are_twice() -> None:
    view = fed(Smc2("r"), [step_of(0, 2, 1, 1)])
    assert view.full([])["names"] == ["state[0]", "state[1]", "parameters[0]"]
    start = {"type": "smc2.start/1", "part": "run", "seq": 0, "model": "m", "settings": {"n_theta": 5}}
    labels = {"parameters": ["x"], "state": ["x", "z"], "observed": ["y"], "levels": [0.1, 0.2, 0.5, 0.8, 0.9]}
    mark = view.mark()
    view.take(start | labels)
    assert view.since(mark, []) is None
    whole = view.full(["x (parameter)"])
    assert whole["names"] == ["x", "z", "x (parameter)"]
    assert [each["tail"] for each in whole["quantiles"]] == [[0.0], [1.0], [2.0], [3.0], [4.0]]


# BART


@pytest.mark.parametrize("seed", [1, 2])
def test_bart_by_differences_is_what_the_draws_said(seed: int, recorded: Recorded, mirror: Any) -> None:
    messages = recorded("bart")
    view = Bart("r")
    show = ["sigma", "leaves a tree", "accepted prune", "splits x3"]
    pictures = by_differences(view, shuffled(messages, seed), show, mirror, 7)
    assert mirror.differences > 5
    draws = [[m for m in messages if m["type"] == "bart.draw/1" and m["chain"] == chain] for chain in (0, 1)]
    for chain in (0, 1):
        assert mirror.values["draws", "sigma", chain] == [m["sigma"] for m in draws[chain]]
        shares = [m["splits"][3] / m["splits"].sum() for m in draws[chain]]
        np.testing.assert_allclose(mirror.values["draws", "splits x3", chain], shares, rtol=1e-14)
        sizes = [m["leaves"].mean() for m in draws[chain]]
        np.testing.assert_allclose(mirror.values["draws", "leaves a tree", chain], sizes, rtol=1e-14)
        rates = [m["accepted"][1] / m["proposed"][1] for m in draws[chain]]
        np.testing.assert_allclose(mirror.values["draws", "accepted prune", chain], rates, rtol=1e-14)
    whole = view.full(show)
    encode(whole)
    assert (whole["status"], whole["model"], whole["column_count"]) == ("completed", "BARTRegressor", 10)
    assert [(row["phase"], row["iteration"], row["total"]) for row in whole["chains"]] == [("done", 6120, 6120)] * 2

    # livebart's own definitions: the mean over draws of a column's share, the share of draws that split it.
    splits = np.array([[m["splits"] for m in chain] for chain in draws])
    shares = splits / splits.sum(axis=2, keepdims=True)
    order = np.argsort(-shares.mean(axis=(0, 1)))
    assert [each["name"] for each in whole["columns"]] == [f"x{column}" for column in order]
    assert {each["name"] for each in whole["columns"][:5]} == {f"x{column}" for column in range(5)}
    for each, column in zip(whole["columns"], order, strict=True):
        by_chain = shares[:, :, column].mean(axis=1)
        assert each["share"] == pytest.approx(by_chain.mean())
        assert (each["low"], each["high"]) == pytest.approx((by_chain.min(), by_chain.max()))
        assert each["used"] == (splits[:, :, column] > 0).mean()
    leaves = np.concatenate([m["leaves"] for chain in draws for m in chain])
    np.testing.assert_allclose(whole["leaves"], np.bincount(leaves, minlength=MOST_LEAVES + 1)[1:] / leaves.size)
    for row, chain in zip(whole["chains"], draws, strict=True):
        proposed, accepted = (np.sum([m[what] for m in chain], axis=0) for what in ("proposed", "accepted"))
        assert list(row["accepted"].values()) == pytest.approx(list(accepted / proposed))
        assert row["leaves"] == pytest.approx(np.mean([m["leaves"] for m in chain]))

    # What is added up is sent where it changed.
    told = [picture for picture in pictures if not picture["full"]]
    assert 0 < sum("columns" in picture for picture in told) < len(told)


def test_bart_has_the_diagnostics_of_the_sampler_of_chains(recorded: Recorded) -> None:
    messages = recorded("bart")
    running, sigmas = livenuts.RunningSummary(), []
    for m in messages:
        if m["type"] == "bart.draw/1":
            head = {"type": "nuts.draw/1", "chain": m["chain"], "seq": m["seq"], "stats": {"diverging": False}}
            running(head | {"values": {"sigma": m["sigma"]}})
            sigmas.append(m["sigma"])
    expected = running.summary()["sigma"]
    (row,) = fed(Bart("r"), messages).full(["sigma"])["summary"]
    assert row["mean"] == pytest.approx(np.mean(sigmas))
    assert (row["rhat"], row["ess"]) == pytest.approx((expected["r_hat"], expected["ess_mean"]))


def test_of_burn_in_progress_tells_sigma(recorded: Recorded) -> None:
    messages = recorded("bart")
    told = [m for m in messages if m["type"] == "bart.progress/1" and m["chains"][0]["sweep"] <= 6000]
    whole = fed(Bart("r"), [messages[0], *told]).full([])
    assert whole["shown"] == ["sigma", "leaves a tree"]
    series = next(each for each in whole["warmup"] if each["chain"] == 0)
    known = {m["chains"][0]["sweep"]: m["chains"][0]["sigma"] for m in told if m["chains"][0]["sweep"]}
    assert known
    assert series["count"] == max(known)
    assert {value for value in series["low"] if value == value} == set(known.values())
    row = whole["chains"][0]
    assert (row["phase"], row["iteration"], row["total"]) == ("warmup", max(known), 6120)
    assert whole["columns"] == []


def test_bart_of_a_classifier_shows_the_trees_first(recorded: Recorded) -> None:
    start = recorded("bart")[0] | {"model": "BARTClassifier"}
    assert fed(Bart("r"), [start]).full([])["shown"] == ["leaves a tree"]


def draw_of(draw: int, chain: int, columns: int, **fields: Any) -> dict[str, Any]:
    found = {"type": "bart.draw/1", "part": f"chain-{chain}", "seq": draw, "chain": chain, "draw": draw, "sigma": 1.0}
    found |= {"splits": np.arange(columns), "leaves": np.array([1, 2, 500]), "proposed": [0, 1, 0]}
    return found | {"accepted": [0, 1, 0]} | fields


def test_bart_is_bounded_whatever_comes() -> None:
    view = Bart("r")
    for chain in range(100):
        for draw in range(3):
            view.take(draw_of(draw, chain, 5000))
    whole = view.full([])
    assert (len(whole["names"]), len(whole["columns"]), whole["column_count"]) == (MOST_NAMES, MOST_COLUMNS, 5000)
    assert len({each["chain"] for each in whole["draws"]}) == 16
    assert whole["columns"][0]["name"] == "x4999"
    assert whole["leaves"][-1] == pytest.approx(1 / 3)
    # Of a move that was never proposed there is no share; and no warning: they are errors here.
    assert whole["chains"][0]["accepted"] == {"grow": None, "prune": 1.0, "change": None}
    assert encode(view.full(["accepted grow"])).count(b"null") > 0
    mark = view.mark()
    for draw in range(3, 2010):
        view.take(draw_of(draw, 0, 5000, splits=np.zeros(5000, int)))
    assert view.since(mark, []) is None


def test_bart_that_fails_says_why_and_columns_may_have_one_name(recorded: Recorded) -> None:
    start = recorded("bart")[0] | {"columns": ["a", "a", "b"]}
    failure = {"type": "bart.failure/1", "part": "run", "seq": 1, "error": "X: no", "recovered": False}
    view = fed(Bart("r"), [start, draw_of(0, 0, 3, splits=np.array([1, 2, 1])), failure])
    whole = view.full(["splits a", "splits a [1]"])
    assert whole["status"] == "failed"
    assert whole["failures"] == [{"error": "X: no", "recovered": False}]
    assert [each["tail"] for each in whole["draws"]] == [[0.25], [0.5]]
