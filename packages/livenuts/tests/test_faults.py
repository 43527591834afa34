"""Log densities that fail: NaN is a divergence; a host callback that raises is recovered from, the same way every time.

The sampler runs as it does by default: compiled chunks, one thread a chain.
"""

import logging
import pickle
import threading
import zlib
from collections.abc import Iterator
from typing import Any

import livenuts as ln
import numpy as np
import pytest
from livenuts.runtime import chain as chain_module
from livenuts.runtime import moves
from livenuts.runtime.recovery import MOST_FAILURES
from livenuts_faults import Faults, evaluations, gaussian

RUN: dict[str, Any] = {
    "num_warmup": 100,
    "num_samples": 80,
    "num_chains": 1,
    "seed": 4,
    "target_accept": 0.9,
    "progress": False,
}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """JAX logs the traceback of every callback that raises."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


FAULTS = Faults()
MODEL = gaussian(FAULTS)


class Clean:
    """An undisturbed run, and which evaluation of the density belongs to which draw."""

    def __init__(self) -> None:
        faults = FAULTS.become()
        self.result = ln.sample(MODEL, **RUN)
        self.visited = faults.visited
        self.steps = self.result.stats["n_steps"][0]
        self.first = evaluations(self.steps, faults.count - int(self.steps.sum()))

    def evaluation(self, draw: int, leaf: int) -> frozenset[int]:
        return frozenset({self.first[draw] + leaf})


@pytest.fixture(scope="module")
def clean() -> Clean:
    return Clean()


def test_the_injector_knows_its_place(clean: Clean) -> None:
    """The evaluations counted on the host are the leapfrog steps, and an injector without faults changes nothing."""
    FAULTS.become()
    again = ln.sample(MODEL, **RUN)
    np.testing.assert_array_equal(again.draws["x"], clean.result.draws["x"])
    assert not clean.result.stats["recovered"].any()


def test_nan_is_a_divergence(clean: Clean) -> None:
    faults = FAULTS.become(kind="nan", at=clean.evaluation(draw=50, leaf=0))
    result = ln.sample(MODEL, **RUN)
    assert faults.hits
    assert result.stats["diverging"][0, 50]
    assert result.stats["n_steps"][0, 50] == 1
    assert not result.stats["recovered"].any()
    np.testing.assert_array_equal(result.draws["x"][:, :50], clean.result.draws["x"][:, :50])
    assert np.isfinite(result.draws["x"]).all()


@pytest.mark.parametrize("doubling", [0, 1, 2])
def test_a_callback_that_raises_is_recovered_from_at_any_depth(clean: Clean, doubling: int) -> None:
    """The first leaf of the tree's first, second and third doubling; doubling d begins with leaf 2^d - 1."""
    depth = clean.result.stats["tree_depth"][0]
    draw = int(np.flatnonzero(depth[20:] > doubling)[0]) + 20
    faults = FAULTS.become(kind="raise", at=clean.evaluation(draw, 2**doubling - 1))
    messages: list[dict[str, Any]] = []
    result = ln.sample(MODEL, sink=messages.append, **RUN)
    assert faults.hits == 2  # in the chunk, and once more where it is drawn one by one
    assert np.flatnonzero(result.stats["recovered"][0]).tolist() == [draw]
    assert result.stats["n_steps"][0, draw] == 0
    np.testing.assert_array_equal(result.draws["x"][0, draw], result.draws["x"][0, draw - 1])
    np.testing.assert_array_equal(result.draws["x"][0, :draw], clean.result.draws["x"][0, :draw])
    run = [message for message in messages if message["part"] == "run"]
    assert [(message["seq"], message["type"]) for message in run] == [
        (0, "nuts.start/1"),
        (1, "nuts.failure/1"),
        (2, "nuts.end/1"),
    ]
    warmed = int(result.tuning.num_warmup[0])
    wanted = {"error": "Fault: the sensor is unplugged", "recovered": True, "chain": 0, "iteration": warmed + draw}
    assert {name: run[1][name] for name in wanted} == wanted


def test_delays_change_nothing(clean: Clean) -> None:
    faults = FAULTS.become(kind="delay", at=frozenset(range(100, 110)))
    np.testing.assert_array_equal(ln.sample(MODEL, **RUN).draws["x"], clean.result.draws["x"])
    assert faults.hits == 10


def now_and_then(position: np.ndarray) -> bool:
    """About one position in a hundred."""
    return zlib.crc32(position.tobytes()) % 100 == 7


def heard(**arguments: Any) -> tuple[ln.Result, dict[str, list[str]]]:
    messages: dict[str, list[str]] = {}
    lock = threading.Lock()

    def sink(message: dict[str, Any]) -> None:
        if message["part"] != "progress" and "/" not in message["part"]:
            with lock:
                messages.setdefault(message["part"], []).append(str(message))

    FAULTS.become(where=now_and_then)
    return ln.sample(MODEL, sink=sink, **RUN | arguments), messages


@pytest.mark.parametrize("adaptation", ["pooled", "independent"])
def test_recovery_is_the_same_every_time(monkeypatch: pytest.MonkeyPatch, adaptation: str) -> None:
    """Two chains, faults in warm-up and after: draws, tuning and messages do not depend on how draws are grouped."""
    run: dict[str, Any] = {"num_chains": 2, "adaptation": adaptation}
    first, messages = heard(**run)
    recovered = first.stats["recovered"].sum(axis=1)
    assert recovered.sum() > 3
    assert not first.stats["diverging"].any()
    said = [eval(text) for text in messages["run"][1:-1]]
    assert [message["seq"] for message in said] == list(range(1, len(said) + 1))
    places = [(message["iteration"], message["chain"]) for message in said]
    assert places == sorted(places)
    warmed = first.tuning.num_warmup
    assert sum(iteration < warmed[chain] for iteration, chain in places) > 3
    assert sum(iteration >= warmed[chain] for iteration, chain in places) == recovered.sum()
    for seconds in (0.0, 10.0):
        monkeypatch.setattr(moves, "_FIRST_CHUNK", 1)
        monkeypatch.setattr(moves, "_CHUNK_SECONDS", seconds)
        again, same = heard(**run)
        assert same == messages
        for name, values in first.draws.items():
            np.testing.assert_array_equal(again.draws[name], values)
        np.testing.assert_array_equal(again.tuning.step_size, first.tuning.step_size)


def test_step_size_and_metric_ignore_what_failed(monkeypatch: pytest.MonkeyPatch, clean: Clean) -> None:
    run = RUN | {"num_warmup": 300, "early_stop": False}
    FAULTS.become()
    quiet = ln.sample(MODEL, **run).tuning.step_size[0]

    def often(position: np.ndarray) -> bool:
        return zlib.crc32(position.tobytes()) % 40 == 7

    FAULTS.become(where=often)
    faulty = ln.sample(MODEL, **run)
    assert faulty.stats["recovered"].mean() > 0.03
    assert faulty.tuning.step_size[0] == pytest.approx(quiet, rel=0.1)

    def learns_from_failures(rows: np.ndarray, column: dict[str, np.ndarray]) -> Any:
        """The poison: a failed transition counts as one whose acceptance was 0."""
        return stretch(rows, column | {"recovered": np.zeros(len(rows))})

    stretch = chain_module._stretch
    monkeypatch.setattr(chain_module, "_stretch", learns_from_failures)
    poisoned = ln.sample(MODEL, **run)
    assert poisoned.tuning.step_size[0] != pytest.approx(quiet, rel=0.1)


def test_failures_without_end_are_an_error_with_the_position(clean: Clean) -> None:
    fine = set(clean.visited[: clean.first[40]])
    FAULTS.become(where=lambda position: position.tobytes() not in fine)
    messages: list[dict[str, Any]] = []
    with pytest.raises(ln.DensityError, match=rf"failed {MOST_FAILURES} times in a row, in draw 49.*x = \[") as caught:
        ln.sample(MODEL, sink=messages.append, **RUN)
    error: Any = caught.value
    assert "Fault: the sensor is unplugged" in str(error)
    assert error.chain == 0
    assert pickle.loads(pickle.dumps(error)).position["x"].tolist() == error.position["x"].tolist()  # from a worker
    np.testing.assert_array_equal(error.position["x"], clean.result.draws["x"][0, 39])
    np.testing.assert_array_equal(error.result.draws["x"][0, :40], clean.result.draws["x"][0, :40])
    assert error.result.stats["recovered"][0].sum() == MOST_FAILURES
    run = [message for message in messages if message["part"] == "run"]
    assert [message.get("recovered") for message in run] == [None, *[True] * MOST_FAILURES, False, None]
    assert run[-2]["error"] == f"DensityError: {error}"
    assert run[-1]["status"] == "failed"


def test_no_start_where_the_callback_fails() -> None:
    FAULTS.become(where=lambda _: True)
    with pytest.raises(ValueError, match=r"chain 0: no finite log density.*Fault: the sensor is unplugged"):
        ln.sample(MODEL, **RUN)


def test_a_search_for_the_step_size_that_fails_is_cut_short() -> None:
    """Evaluation 0 is the start, the next are the search."""
    for number in range(1, 4):
        faults = FAULTS.become(kind="raise", at=frozenset({number}))
        result = ln.sample(MODEL, **RUN)
        assert faults.hits
        assert result.draws["x"].std() > 0.5


def test_what_is_not_the_callback_is_not_recovered_from(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of XLA itself, in a model that calls no host code, is raised as it is."""
    import jax

    step = moves.step

    def broken(team: Any, until: int, *rest: Any) -> Any:
        if until > 130:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED")
        return step(team, until, *rest)

    monkeypatch.setattr(moves, "step", broken)
    model = ln.Model("plain").rv("x", ln.dist.Normal(0, 1))
    with pytest.raises(jax.errors.JaxRuntimeError, match="EXHAUSTED"):
        ln.sample(model, **RUN)
