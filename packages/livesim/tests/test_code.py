"""Replications of code by hand: numbers under names that only a run can tell, and those of some runs alone."""

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import livesim as ls
import numpy as np
import pytest
from livesim.runtime.code import Code
from livesim.runtime.replicate import replicate_subject
from livesim_runs import Ear, same


@dataclass
class Walk:
    """What one run of `walk` found."""

    values: dict[str, float]
    until: float = 10.0
    events: int = 10
    course: dict[str, np.ndarray] | None = field(default=None)


def walk(until: float, *, seed: int, replication: int, params: Any, warmup: float, every: float | None) -> Walk:
    """A level that settles from 20; every third replication has a tally too, and number 4 fails."""
    if replication == 4:
        raise ValueError("no walk")
    random = np.random.default_rng([seed, replication])
    values = {"size.mean": random.normal(params["mean"]), "size.last": math.nan}
    count = 0 if every is None else int((until - warmup) / every * (1 + 1e-12))
    times = warmup + (every or 0.0) * np.arange(count)
    course = {"size": ((20 * np.exp(-times) + random.normal(params["mean"], 0.1, count)) * (every or 0.0))[:, None]}
    if replication % 3 == 0:
        values["jump.mean"], course["jump"] = 2.0, np.tile([4.0, 2.0], (count, 1))
    return Walk(values, course=course if every is not None else None)


WALK = Code("walk", walk, walk)
ASKED: dict[str, Any] = {
    "n": 8, "until": 10.0, "warmup": None, "drain": False, "every": None, "seed": 1, "params": {"mean": 3.0},
    "relative": None, "absolute": None, "confidence": 0.95, "least": 2, "events": False, "start": None,
    "engine": "compiled", "sink": None, "stop": None, "executor": None, "checkpoint": None, "progress": False,
}  # fmt: skip


def replicated(**asked: Any) -> ls.Runs:
    return replicate_subject(WALK, **ASKED | asked)


@pytest.mark.filterwarnings("ignore:1 of . replications failed")
def test_names_are_those_that_the_runs_tell() -> None:
    ear, store = Ear(), dict[str, bytes]()
    runs = replicated(every=1.0, sink=ear)
    assert runs.paths == ("size.mean", "size.last", "jump.mean")
    assert runs.values("jump.mean").tolist()[:4] == [
        2.0,
        pytest.approx(math.nan, nan_ok=True),
        pytest.approx(math.nan, nan_ok=True),
        2.0,
    ]
    assert list(runs.errors) == [4]
    assert runs.interval("size.mean").n == 7
    assert runs.series("jump.mean")[3].tolist() == [2.0] * 10
    assert np.isnan(runs.series("jump.mean")[[1, 4]]).all()
    np.testing.assert_allclose(
        runs.series("size.mean")[0],
        walk(10.0, seed=1, replication=0, params={"mean": 3.0}, warmup=0.0, every=1.0).course["size"][:, 0],
    )  # type: ignore[index]
    values = [message["values"] for message in ear.messages if message["part"] == "replications"]
    assert [len(each) for each in values] == [3, 2, 2, 3, 0, 2, 3, 2]
    for executor in (ThreadPoolExecutor, partial(ThreadPoolExecutor, 5)):
        assert same(replicated(every=1.0, executor=executor), runs)
    asked = iter(range(100))
    replicated(every=1.0, checkpoint=store, stop=lambda: next(asked) > 1)
    again = Ear()
    assert same(replicated(every=1.0, checkpoint=store, sink=again), runs)
    assert again.lossless() == ear.lossless()
    with pytest.raises(ls.CheckpointError, match="walk is code, which no checkpoint holds"):
        ls.resume(store)


@pytest.mark.filterwarnings("ignore:1 of . replications failed")
def test_a_warmup_is_found_in_its_levels() -> None:
    runs = replicated(warmup="mser5", until=40.0)
    assert 2.0 < runs.warmup < 12.0


def test_what_only_verbs_can_do_is_refused() -> None:
    for asked, words in (
        ({"drain": True}, "drain=True is for models of verbs; walk is code"),
        ({"events": True}, "events=True is for models of verbs"),
        ({"engine": "reference"}, "engine='reference' is for models of verbs"),
        ({"until": None, "warmup": "mser5"}, "until= must say how long"),
    ):
        with pytest.raises(ValueError, match=words):
            replicated(**asked)
    with pytest.raises(KeyError, match="no 'wait'; there are: size, jump"):
        replicated(relative={"wait.mean": 0.1})
