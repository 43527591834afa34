"""What the page shows of a run: the whole state, and differences that lead to it."""

import json
from collections.abc import Iterator
from typing import Any

import livenuts as ln
import numpy as np
import pytest
from liverecipes.page.hub import encode
from liverecipes.page.views import VIEWS, Generic, Nuts, Sim, Spc, View
from liverecipes.page.views.choice import choose
from liverecipes.page.views.generic import MOST_NAMES, MOST_PARTS, MOST_SERIES, MOST_TEXT
from liverecipes.spc.data import load
from liverecipes.spc.recipe import Settings, run
from liverecipes.spc.verdict import verdict
from scipy import stats

Messages = list[dict[str, Any]]


@pytest.fixture(scope="module")
def sampled() -> tuple[Messages, ln.Result]:
    """The messages of a small run of NUTS, and its result."""
    found: Messages = []
    model = ln.Model("pair").rv("mu", ln.dist.Normal(0, 1)).rv("theta", ln.dist.Normal("mu", 1), shape=(2, 1))
    return found, ln.sample(
        model,
        seed=1,
        num_chains=2,
        num_warmup=150,
        num_samples=700,
        sink=found.append,
        early_stop=False,
        progress=False,
    )


def shuffled(messages: Messages, seed: int) -> Iterator[dict[str, Any]]:
    """The messages in another order, that of each part kept: the parts are read beside each other."""
    random = np.random.default_rng(seed)
    parts: dict[str, Messages] = {}
    for message in messages:
        parts.setdefault(message["part"], []).append(message)
    end = parts["run"].pop()
    while parts:
        part = random.choice(list(parts))
        for _ in range(random.integers(1, 40)):
            if parts[part]:
                yield parts[part].pop(0)
        if not parts[part]:
            del parts[part]
    yield end


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_nuts_by_differences_is_nuts_as_a_whole(sampled: tuple[Messages, ln.Result], seed: int, mirror: Any) -> None:
    messages, result = sampled
    view = Nuts("r")
    random = np.random.default_rng(seed)
    mark = None
    for message in shuffled(messages, seed):
        view.take(message)
        if random.random() < 0.02:
            data = None if mark is None else view.since(mark, ["mu", "theta[1, 0]"])
            mirror.apply({"full": data is None} | (view.full(["mu", "theta[1, 0]"]) if data is None else data))
            mark = view.mark()
    rest = view.since(mark, ["mu", "theta[1, 0]"])
    assert rest is not None
    mirror.apply({"full": False} | rest)
    assert mirror.differences > 5
    whole = view.full(["mu,theta[1, 0]"])
    assert whole["shown"] == ["mu", "theta[1, 0]"]
    assert whole["names"] == ["mu", "theta[0, 0]", "theta[1, 0]"]
    for chain in (0, 1):
        for name, draws in (("mu", result.draws["mu"]), ("theta[1, 0]", result.draws["theta"][..., 1, 0])):
            np.testing.assert_array_equal(mirror.values["draws", name, chain][-500:], draws[chain, -500:])
            assert len(mirror.values["draws", name, chain]) == 700
            assert len(mirror.values["warmup", name, chain]) == 150
    assert [(row["phase"], row["iteration"], row["total"], row["draws"]) for row in whole["chains"]] == [
        ("done", 850, 850, 700)
    ] * 2
    assert whole["status"] == "completed"
    encode(whole)


def test_nuts_summary_and_divergences(sampled: tuple[Messages, ln.Result]) -> None:
    messages, result = sampled
    view = Nuts("r")
    for message in messages:
        if message["type"] == "nuts.draw/1" and message["draw"] in (3, 77) and message["chain"] == 1:
            message = message | {"stats": message["stats"] | {"diverging": True}}
        view.take(message)
        view.take(message)  # a restarted engine sends some again
    whole = view.full(["theta[1, 0]"])
    assert whole["divergent"] == {"0": [], "1": [3, 77]}
    assert [row["divergences"] for row in whole["chains"]] == [0, 2]
    (row,) = whole["summary"]
    expected = result.summary()["theta[1, 0]"]
    assert row["name"] == "theta[1, 0]"
    assert row["mean"] == pytest.approx(expected["mean"], abs=1e-12)
    assert row["sd"] == pytest.approx(expected["sd"], abs=1e-12)
    assert row["rhat"] == pytest.approx(expected["r_hat"], abs=0.01)
    assert row["ess"] > 100


def test_warmup_that_was_trimmed_leaves_a_gap(sampled: tuple[Messages, ln.Result]) -> None:
    view = Nuts("r")
    for message in sampled[0]:
        if message["type"] != "nuts.warmup/1" or message["seq"] not in range(20, 50):
            view.take(message)
    (series,) = [each for each in view.full(["mu"])["warmup"] if each["chain"] == 0]
    assert series["count"] == 150
    assert [at for at, value in enumerate(series["tail"]) if np.isnan(value)] == list(range(20, 50))


def test_of_a_huge_model_the_first_scalars_are_followed() -> None:
    view = Nuts("r")
    start = {"type": "nuts.start/1", "part": "run", "seq": 0, "model": "huge", "settings": {}, "seed": 1}
    view.take(start | {"variables": [{"name": "a", "shape": [0]}, {"name": "field", "shape": [1000, 300]}]})
    values = {"a": np.empty(0), "field": np.arange(300_000.0).reshape(1000, 300)}
    draw = {"type": "nuts.draw/1", "part": "chain-0", "chain": 0, "values": values, "stats": {"diverging": False}}
    for seq in range(3):
        view.take(draw | {"seq": seq, "draw": seq})
    whole = view.full(["field[0, 199]"])
    assert (len(whole["names"]), whole["names"][-1]) == (200, "field[0, 199]")
    assert whole["draws"][0]["tail"] == [199.0] * 3


def test_more_chains_than_can_be_drawn() -> None:
    view = Nuts("r")
    draw = {"type": "nuts.draw/1", "seq": 0, "draw": 0, "values": {"x": 1.5}, "stats": {"diverging": True}}
    for chain in range(1000):
        view.take(draw | {"part": f"chain-{chain}", "chain": chain})
    whole = view.full([])
    assert len(whole["chains"]) == 64
    assert len({each["chain"] for each in whole["draws"]}) == 16


@pytest.mark.parametrize("failing", [None, 0, 3])
def test_sim_by_differences_is_sim_as_a_whole(failing: int | None, mirror: Any, simulated: Any) -> None:
    """The intervals are Student's, of the replications that did not fail; what is sent twice counts once."""
    messages = simulated(700, failing)
    view, mark = Sim("r"), None
    shown = ["barber.utilization", "customer.wait.mean"]
    for at, message in enumerate(messages):
        view.take(message)
        if message["type"] == "sim.replication/1":
            view.take(message)
        if at % 40 == 39 or message is messages[-1]:
            data = None if mark is None else view.since(mark, shown)
            mirror.apply({"full": data is None} | (view.full(shown) if data is None else data))
            mark = view.mark()
    assert mirror.differences > 5
    whole = view.full(shown)
    encode(whole)
    assert whole["names"][:2] == ["barber.queue.mean", "customer.wait.mean"]
    assert (whole["status"], whole["made"], whole["total"]) == ("completed", 700, 700)
    loads = np.random.default_rng(1).normal(0.5, 0.1, 700)
    if failing is not None:
        loads[failing] = np.nan
        assert whole["failed"] == 1
        assert whole["failures"] == [{"replication": failing, "error": "Oops: no"}]
    held = np.array(mirror.values["series", "barber.utilization", "value"][-500:], dtype=float)
    np.testing.assert_array_equal(held, loads[-500:])
    known = loads[np.isfinite(loads)]
    half = stats.t.ppf(0.975, len(known) - 1) * known.std(ddof=1) / np.sqrt(len(known))
    (resource,) = whole["resources"]
    for told in (whole["summary"][0], resource["utilization"]):
        assert told["mean"] == pytest.approx(known.mean())
        assert told["high"] - told["low"] == pytest.approx(2 * half)
    assert mirror.values["series", "barber.utilization", "high"][-1] == pytest.approx(known.mean() + half)
    waits = np.delete(loads, 1)
    assert whole["summary"][1]["mean"] == pytest.approx(10 * waits[np.isfinite(waits)].mean())


def test_sim_that_fails_as_a_whole_says_so(simulated: Any) -> None:
    view = Sim("r")
    for message in simulated(3)[:4]:
        view.take(message)
    view.take(
        {
            "type": "sim.failure/1",
            "part": "run",
            "seq": 1,
            "error": "OSError: full",
            "recovered": False,
            "replication": None,
        }
    )
    whole = view.full([])
    assert whole["status"] == "failed"
    assert whole["failures"] == [{"replication": None, "error": "OSError: full"}]


def test_spc_shows_the_chart_and_the_answer() -> None:
    messages: Messages = []
    data = load("nile")
    run(data, Settings(prior=data.prior, nuts=False), 1, messages.append, messages.append)
    view, mark = Spc("mine"), None
    shown: Messages = []
    columns: Messages = []
    alarms: Messages = []
    for at, message in enumerate(messages):
        view.take(message)
        if at % 7 == 6 or message is messages[-1]:
            data_now = view.full([]) if mark is None else view.since(mark, [])
            assert data_now is not None
            shown += data_now["points"]
            columns += data_now["lengths"]
            alarms += data_now["alarms"]
            mark = view.mark()
    points = [message for message in messages if message["type"] == "spc.point/1"]
    assert [point["seq"] for point in shown] == [column["seq"] for column in columns] == list(range(100))
    assert [point["x"] for point in shown] == [point["x"] for point in points]
    assert {"1902"} <= {alarm["label"] for alarm in alarms}
    np.testing.assert_array_equal(columns[50]["lengths"], points[50]["lengths"])
    np.testing.assert_array_equal(columns[50]["probabilities"], points[50]["probabilities"])
    whole = view.full([])
    assert (whole["data"], whole["count"], whole["nuts"]) == ("nile", 100, None)
    answer = verdict(messages[-1], [point["label"] for point in points], [point["x"] for point in points])
    assert (whole["end"], whole["detail"]) == tuple(answer)
    encode(whole)


def toy(seq: int, part: str = "steps", **fields: Any) -> dict[str, Any]:
    return {"type": "toy.step/1", "part": part, "seq": seq, **fields}


def test_generic_finds_the_numbers_of_any_message() -> None:
    view = Generic("r")
    view.take(toy(0, x=1, deep={"y": 2.5, "no": "text", "z": [1, None, True]}, v=np.array([1.0, 2.0]), s=np.array(7)))
    whole = view.full([])
    assert whole["names"] == ["x", "deep.y", "deep.z[0]", "v[0]", "v[1]", "s"]
    assert {each["name"]: each["tail"] for each in whole["series"]}["deep.y"] == [2.5]
    assert whole["parts"] == [{"part": "steps", "count": 1, "type": "toy.step/1"}]
    assert "  y: 2.5" in whole["last"]["steps"].splitlines()


def test_generic_is_bounded_whatever_comes() -> None:
    view = Generic("r")
    for seq in range(300):
        view.take(toy(seq, f"part-{seq}", **{f"key-{seq}-{i}": float(i) for i in range(3)}, x=1.0, long="é" * 10_000))
    view.take(toy(0, deep=[[[[[[[1.0]]]]]]], wide=list(range(100_000)), many={str(i): i for i in range(100_000)}))
    whole = view.full([])
    assert len(whole["names"]) == MOST_NAMES
    assert len(whole["parts"]) == MOST_PARTS
    assert len(whole["series"]) <= MOST_SERIES
    assert max(map(len, whole["last"].values())) == MOST_TEXT
    encode(whole)


def test_numbers_of_the_start_are_settings_and_what_grows_comes_first() -> None:
    view = Generic("r")
    view.take(toy(0, "run", settings={"n": 400, "deep": {"rate": 0.5}}, seed=7))
    for seq in range(3):
        view.take(toy(seq, seed=seq, level=float(seq)))
    whole = view.full([])
    assert whole["names"] == whole["shown"] == ["seed", "level"]
    once = [{"name": "settings.n", "value": 400.0}, {"name": "settings.deep.rate", "value": 0.5}]
    assert whole["once"] == [*once, {"name": "seed", "value": 7.0}]

    # What part run says again is a series too, behind the others.
    mark = view.mark()
    view.take(toy(1, "run", settings={"n": 800}))
    view.take(toy(0, "late", x=1.0))
    assert view.since(mark, []) is None
    whole = view.full([])
    assert whole["names"] == ["seed", "level", "x", "settings.n"]
    assert [each["tail"] for each in whole["series"] if each["name"] == "settings.n"] == [[400.0, 800.0]]
    assert [each["name"] for each in whole["once"]] == ["settings.deep.rate", "seed"]


@pytest.mark.parametrize("view", [view("r") for view in (*VIEWS.values(), Generic)], ids=lambda view: view.name)
def test_before_the_first_message_and_after_too_many(view: View) -> None:
    encode(view.full(["nothing"]))
    mark = view.mark()
    assert view.since(mark, []) is not None
    if isinstance(view, Generic):
        view.take(toy(0, x=1.0))
        mark = view.mark()
        for seq in range(2001):
            view.take(toy(seq, x=1.0))
        assert view.since(mark, []) is None


def test_names_hold_commas() -> None:
    names = ["mu", "b[1, 2]", "a,c"]
    assert choose(["mu,b[1, 2]"], names, 1) == ["mu", "b[1, 2]"]
    assert choose(["a,c", "mu", "mu", "<b>"], names, 1) == ["a,c", "mu"]
    assert choose([], names, 2) == ["mu", "b[1, 2]"]
    assert choose(["unknown"], names, 1) == ["mu"]


@pytest.mark.parametrize(
    ("draws", "rhat", "ess"),
    [
        ([[1.0] * 30, [1.0] * 30], None, None),  # constant
        ([[1.0] * 30, [2.0] * 30], 1000.0, "any"),  # stuck, in two places
        ([[float("nan")] * 30, [float("inf")] * 30], None, None),
        ([[1e200 * k for k in range(30)], [1e300] * 30], "any", "any"),
        ([[0.5], [0.25]], None, None),  # too few
        ([[0.5, 0.2], []], None, None),
    ],
)
def test_what_has_no_rhat_yet_is_told_as_such(draws: list[list[float]], rhat: Any, ess: Any) -> None:
    view = Nuts("r")
    for chain, values in enumerate(draws):
        for seq, value in enumerate(values):
            head = {"type": "nuts.draw/1", "part": f"chain-{chain}", "seq": seq, "chain": chain, "draw": seq}
            view.take(head | {"values": {"x": value}, "stats": {"diverging": False}})
    (row,) = json.loads(encode(view.full(["x"])))["summary"]  # and no warning: they are errors here
    assert rhat in (row["rhat"], "any")
    assert ess in (row["ess"], "any")


def test_progress_is_what_came_and_not_what_a_sampler_has_ready(sampled: tuple[Messages, ln.Result]) -> None:
    view = Nuts("r")
    for message in sampled[0]:
        if message["type"] in ("nuts.start/1", "nuts.warmup/1") or message["seq"] < 100:
            view.take(message)
    view.take({"type": "nuts.progress/1", "chains": [{"chain": 0, "iteration": 850, "total": 850}]})
    whole = view.full([])
    assert [row["iteration"] for row in whole["chains"]] == [250, 250]
