"""Runs that are interrupted, killed, resumed and extended give the bits, and the messages, of undisturbed ones."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import livenuts as ln
import livenuts_portable
import numpy as np
import pytest
from livenuts import dist
from livenuts.runtime import moves
from livenuts.runtime import record as record_module
from livenuts.runtime.checkpoint import Checkpoint, Folder, decode, encode
from livenuts_faults import Faults, gaussian
from livenuts_portable import MODELS, fingerprint
from test_faults import now_and_then

RUN: dict[str, Any] = {"num_warmup": 150, "num_samples": 250, "num_chains": 2, "seed": 6, "progress": False}
ADAPTATIONS = ("pooled", "independent")


@pytest.fixture(autouse=True)
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write whenever the watch looks, not once a second."""
    monkeypatch.setattr(record_module, "_SECONDS", 0.0)


class Ear:
    """A sink that keeps the lossless messages, and may end everything at a message of its choice."""

    def __init__(self, at: tuple[str, int] | None = None, end: Callable[[], Any] = lambda: None) -> None:
        self.parts: dict[str, dict[int, str]] = {}
        self._at, self._end, self._lock = at, end, threading.Lock()

    def __call__(self, message: dict[str, Any]) -> None:
        part, seq = message["part"], message["seq"]
        if (part, seq) == self._at:
            self._end()
        if part == "progress" or "/" in part:
            return
        with self._lock:
            heard = self.parts.setdefault(part, {})
            text = str(message)
            assert heard.setdefault(seq, text) == text  # sent again, it is the same
            assert len(heard) == seq + 1 or seq < len(heard)  # and none is left out


def lossless(ear: Ear) -> dict[str, list[str]]:
    return {part: [heard[seq] for seq in range(len(heard))] for part, heard in ear.parts.items()}


@pytest.fixture(scope="module", params=ADAPTATIONS)
def whole(request: pytest.FixtureRequest) -> tuple[dict[str, Any], ln.Result, Ear]:
    """Settings, result and messages of an undisturbed run."""
    ear = Ear()
    run = RUN | {"adaptation": request.param}
    return run, ln.sample(MODELS["builder"], sink=ear, **run), ear


STORES: dict[str, Callable[[Path], Any]] = {"folder": lambda path: path / "run", "mapping": lambda _: {}}


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    return STORES[request.param](tmp_path)


class Crash(Exception):
    pass


def crash() -> None:
    raise Crash


PLACES = [("chain-0/warmup", 0), ("chain-1/warmup", 37), ("chain-0/warmup", 99), ("chain-1", 0), ("chain-0", 111)]


def test_a_checkpoint_changes_nothing(whole: tuple[dict[str, Any], ln.Result, Ear], store: Any) -> None:
    run, result, ear = whole
    again = Ear()
    kept = ln.sample(MODELS["builder"], checkpoint=store, sink=again, **run)
    assert fingerprint(kept) == fingerprint(result)
    assert again.parts == ear.parts


def test_resumed_wherever_it_ended(whole: tuple[dict[str, Any], ln.Result, Ear], tmp_path: Path) -> None:
    """A sink that raises ends the run; the next process goes on, hears what it hears again, and the rest."""
    run, result, ear = whole
    for number, place in enumerate(PLACES):
        store: Any = {} if number % 2 else tmp_path / str(number)
        with pytest.raises(Crash):
            ln.sample(MODELS["builder"], checkpoint=store, sink=Ear(place, crash), **run)
        again = Ear()
        resumed = ln.resume(store, sink=again, progress=False)
        assert fingerprint(resumed) == fingerprint(result)
        assert (resumed.status, resumed.seed) == ("completed", 6)
        assert lossless(again) == lossless(ear)
        np.testing.assert_array_equal(resumed.tuning.positions, result.tuning.positions)


def test_resumed_again_and_again(whole: tuple[dict[str, Any], ln.Result, Ear]) -> None:
    run, result, _ = whole
    store: dict[str, bytes] = {}
    with pytest.raises(Crash):
        ln.sample(MODELS["builder"], checkpoint=store, sink=Ear(("chain-0/warmup", 20), crash), **run)
    # Of the warm-up chain 0 alone is asked: chain 1 may be further, and says again only what is lossless.
    for place in (("chain-0/warmup", 60), ("chain-0", 10), ("chain-1", 120), ("chain-0", 200)):
        with pytest.raises(Crash):
            ln.resume(store, sink=Ear(place, crash), progress=False)
    assert fingerprint(ln.resume(store, progress=False)) == fingerprint(result)


def test_the_same_call_goes_on(whole: tuple[dict[str, Any], ln.Result, Ear], store: Any) -> None:
    run, result, _ = whole
    with pytest.raises(Crash):
        ln.sample(MODELS["builder"], checkpoint=store, sink=Ear(("chain-0", 50), crash), **run)
    again = ln.sample(MODELS["builder"], checkpoint=store, **run | {"seed": None})
    assert fingerprint(again) == fingerprint(result)


def test_a_finished_run_is_read(whole: tuple[dict[str, Any], ln.Result, Ear], store: Any) -> None:
    run, result, ear = whole
    ln.sample(MODELS["builder"], checkpoint=store, **run)
    again = Ear()
    read = ln.resume(store, sink=again, stop=lambda: True, progress=False)
    assert fingerprint(read) == fingerprint(result)
    assert lossless(again)["chain-1"] == lossless(ear)["chain-1"]


def test_a_stopped_run_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped in the middle: its chunks are of one draw."""
    monkeypatch.setattr(moves, "_FIRST_CHUNK", 1)
    monkeypatch.setattr(moves, "_CHUNK_SECONDS", 0.0)
    store: dict[str, bytes] = {}
    asked = iter(range(10_000))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stopped = ln.sample(MODELS["builder"], checkpoint=store, stop=lambda: next(asked) > 60, **RUN)
    assert stopped.status == "stopped"
    assert fingerprint(ln.resume(store, progress=False)) == fingerprint(ln.sample(MODELS["builder"], **RUN))


@pytest.mark.parametrize("adaptation", ADAPTATIONS)
def test_recoveries_are_kept(adaptation: str) -> None:
    """Failures before the crash are told again in their places."""
    logging.disable(logging.CRITICAL)
    try:
        run = RUN | {"adaptation": adaptation, "num_samples": 100}
        ear, again, store = Ear(), Ear(), {}
        model = gaussian(Faults("raise", where=now_and_then))
        result = ln.sample(model, sink=ear, **run)
        assert len(ear.parts["run"]) > 4
        with pytest.raises(Crash):
            ln.sample(model, checkpoint=store, sink=Ear(("chain-1", 60), crash), **run)
        resumed = ln.resume(store, model=model, sink=again, progress=False)
    finally:
        logging.disable(logging.NOTSET)
    assert fingerprint(resumed) == fingerprint(result)
    assert lossless(again) == lossless(ear)


# -- processes that are killed -----------------------------------------------------------------------------------------

SCRIPT = """
import os, signal, sys, time
sys.path.insert(0, {tests!r})
import livenuts as ln
from livenuts.runtime import record
from livenuts_portable import MODELS
import test_resume
record._SECONDS = 0.0
def kill():
    time.sleep(0.3)  # let the watching thread write what was drawn
    os.kill(os.getpid(), signal.SIGKILL)
ln.sample(MODELS["builder"], checkpoint={folder!r}, sink=test_resume.Ear({place!r}, kill), **test_resume.RUN)
"""


@pytest.mark.parametrize("place", [("chain-1/warmup", 80), ("chain-0", 77)])
def test_a_killed_process_is_taken_up(tmp_path: Path, place: tuple[str, int]) -> None:
    folder = tmp_path / "run"
    script = SCRIPT.format(tests=os.path.dirname(__file__), folder=str(folder), place=place)
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    state = Checkpoint(folder).states()[0]
    made = [chain["made"] for group in state["groups"] for chain in group["chains"]]
    assert 0 < max(made) < 400
    assert fingerprint(ln.resume(folder, progress=False)) == fingerprint(ln.sample(MODELS["builder"], **RUN))


# -- stores that fail --------------------------------------------------------------------------------------------------


class Full(dict[str, bytes]):
    """A store whose disk is full after so many writes."""

    def __init__(self, writes: int) -> None:
        super().__init__()
        self.writes = writes

    def __setitem__(self, name: str, value: bytes) -> None:
        self.writes -= 1
        if self.writes < 0:
            raise OSError(28, "No space left on device")
        super().__setitem__(name, value)


def test_a_full_disk_is_an_error_that_keeps_the_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    result = ln.sample(MODELS["builder"], **RUN)
    with pytest.raises(OSError, match="No space left") as caught:
        ln.sample(MODELS["builder"], checkpoint=Full(1), **RUN)
    monkeypatch.setattr(record_module, "_SECONDS", 60.0)  # the first write after the start is that at the end
    store = Full(5)
    with pytest.raises(OSError, match="No space left") as caught:
        ln.sample(MODELS["builder"], checkpoint=store, **RUN)
    error: Any = caught.value
    assert fingerprint(error.result) == fingerprint(result)
    store.writes = 1000
    assert fingerprint(ln.resume(store, progress=False)) == fingerprint(result)


def test_an_unwritable_place_is_an_error_at_the_door(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="file"):
        ln.sample(MODELS["builder"], checkpoint=tmp_path / "file" / "run", **RUN)
    with pytest.raises(NotADirectoryError, match="file is a file; give a folder"):
        ln.sample(MODELS["builder"], checkpoint=tmp_path / "file", **RUN)
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_second_writer_ends_the_first() -> None:
    store: dict[str, bytes] = {}

    def taken() -> None:
        ln.resume(store, progress=False)

    with pytest.raises(ln.CheckpointError, match="another process has taken this run over") as caught:
        ln.sample(MODELS["builder"], checkpoint=store, sink=Ear(("chain-0", 30), taken), **RUN)
    error: Any = caught.value
    result = ln.sample(MODELS["builder"], **RUN)
    assert fingerprint(ln.resume(store, progress=False)) == fingerprint(result)
    kept = error.result.num_draws
    np.testing.assert_array_equal(error.result.draws["noise"], result.draws["noise"][:, :kept])


def test_a_torn_state_falls_back_and_a_damaged_block_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_module, "_SECONDS", 60.0)  # a state at the start and one at the end
    result = ln.sample(MODELS["builder"], **RUN)
    with pytest.raises(Crash):
        ln.sample(MODELS["builder"], checkpoint=tmp_path, sink=Ear(("chain-0", 150), crash), **RUN)
    folder = Folder(tmp_path)
    whole = dict(folder)
    newest = max(("state-0", "state-1"), key=lambda name: (tmp_path / name).stat().st_mtime_ns)
    folder[newest] = whole[newest][: len(whole[newest]) // 2]
    with pytest.warns(UserWarning, match=f"{newest}: the entry is torn"):
        resumed = ln.resume(tmp_path, progress=False)
    assert fingerprint(resumed) == fingerprint(result)
    folder["draws-0-0"] = folder["draws-0-0"][:-1]  # a whole state counts them: the one before does not
    with pytest.warns(UserWarning, match="draws-0-0: the entry is torn"):
        assert fingerprint(ln.resume(tmp_path, progress=False)) == fingerprint(result)
    for name in whole:
        folder[name] = whole[name]
    folder["draws-0-0"] = folder["draws-0-0"][:-1]
    del folder[min(("state-0", "state-1"), key=lambda name: decode(whole[name])["serial"])]
    with pytest.raises(ln.CheckpointError, match=r"draws-0-0: the entry is torn.*delete the checkpoint"):
        ln.resume(tmp_path, progress=False)  # and no warning of a state that is not there: it would be an error
    folder["manifest"] = b"{}"
    with pytest.raises(ln.CheckpointError, match="manifest: not an entry"):
        ln.resume(tmp_path, progress=False)


def test_draws_are_written_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes written are those of the draws, once, and a state of fixed size a time."""
    monkeypatch.setattr(moves, "_FIRST_CHUNK", 1)
    monkeypatch.setattr(moves, "_CHUNK_SECONDS", 0.0)
    written: dict[str, int] = {}

    class Counting(dict[str, bytes]):
        def __setitem__(self, name: str, value: bytes) -> None:
            kind = "draws" if name.startswith("draws") else "other"
            written[kind] = written.get(kind, 0) + len(value)
            written[f"number of {kind}"] = written.get(f"number of {kind}", 0) + 1
            super().__setitem__(name, value)

    def sink(message: dict[str, Any]) -> None:
        if message["type"] == "nuts.draw/1" and message["seq"] % 50 == 0:
            time.sleep(0.1)

    result = ln.sample(MODELS["builder"], checkpoint=Counting(), sink=sink, **RUN)
    numbers = sum(values.nbytes for values in result.draws.values()) + 9 * 8 * 2 * 250
    assert written["number of draws"] > 4
    assert numbers <= written["draws"] < numbers + 500 * written["number of draws"]
    assert written["other"] < 40_000 * written["number of other"]


# -- what is refused ---------------------------------------------------------------------------------------------------


def test_another_run_is_refused_with_what_differs() -> None:
    store: dict[str, bytes] = {}
    model = MODELS["builder"]
    ln.sample(model, checkpoint=store, **RUN)
    other = model.with_data(y=model.values["y"] + 1.0)
    for arguments, words in (
        ({"seed": 7}, "seed is 6 there and 7 here"),
        ({"num_samples": 300}, "num_samples is 250 there and 300 here"),
        ({"target_accept": 0.9}, "target_accept is 0.8 there and 0.9 here"),
        ({"init": {"noise": 1.0}}, "other starting values"),
    ):
        with pytest.raises(ln.CheckpointError, match=words):
            ln.sample(model, checkpoint=store, **RUN | arguments)
    with pytest.raises(ln.CheckpointError, match="another model, or other data"):
        ln.sample(other, checkpoint=store, **RUN)
    with pytest.raises(ln.CheckpointError, match="another model, or other data"):
        ln.resume(store, model=other, progress=False)


def test_a_checkpoint_of_another_format_is_refused() -> None:
    for manifest in ({"format": "livenuts.run/9"}, {}, [1]):
        with pytest.raises(ln.CheckpointError, match=r"format|not a manifest"):
            ln.resume({"manifest": encode(manifest)})


def test_other_versions_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    store: dict[str, bytes] = {}
    ln.sample(MODELS["builder"], checkpoint=store, **RUN)
    monkeypatch.setattr(ln, "__version__", "9.9")
    with pytest.raises(ln.CheckpointError, match=r"livenuts is '.*' there and '9.9' here"):
        ln.resume(store, progress=False)


def closure(scale: float) -> Any:
    return ln.from_logdensity(lambda x: -0.5 * jnp.sum((x / scale) ** 2), np.zeros(2))


def test_a_model_without_import_path_is_asked_for() -> None:
    store: dict[str, bytes] = {}
    with pytest.raises(Crash):
        ln.sample(closure(1.0), checkpoint=store, sink=Ear(("chain-0", 30), crash), **RUN)
    with pytest.raises(ln.CheckpointError, match=r"no import path.*ln.resume\(checkpoint, model=...\)"):
        ln.resume(store, progress=False)
    with pytest.raises(ln.CheckpointError, match="another model"):
        ln.resume(store, model=closure(2.0), progress=False)
    resumed = ln.resume(store, model=closure(1.0), progress=False)
    assert fingerprint(resumed) == fingerprint(ln.sample(closure(1.0), **RUN))


def test_a_place_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ln.CheckpointError, match="nowhere holds no run"):
        ln.resume(tmp_path / "nowhere")
    with pytest.raises(TypeError, match="a path or a mapping"):
        ln.resume(3)  # type: ignore[arg-type]


# -- extending ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def longer() -> tuple[ln.Result, ln.Result, Ear]:
    ear = Ear()
    return (
        ln.sample(MODELS["function"], **RUN),
        ln.sample(MODELS["function"], sink=ear, **RUN | {"num_samples": 400}),
        ear,
    )


def test_extended_is_one_longer_run(longer: tuple[ln.Result, ln.Result, Ear], tmp_path: Path) -> None:
    short, long, ear = longer
    again = Ear()
    extended = ln.extend(short, 150, sink=again, progress=False)
    assert fingerprint(extended) == fingerprint(long)
    assert lossless(again) == lossless(ear)
    assert extended.settings == long.settings
    short.save(tmp_path / "short.npz")
    loaded = ln.extend(ln.load(tmp_path / "short.npz"), 100, progress=False)
    assert fingerprint(ln.extend(loaded, 50, progress=False)) == fingerprint(long)


def test_extended_with_a_checkpoint(longer: tuple[ln.Result, ln.Result, Ear]) -> None:
    short, long, _ = longer
    store: dict[str, bytes] = {}
    with pytest.raises(Crash):
        ln.extend(short, 150, checkpoint=store, sink=Ear(("chain-1", 300), crash), progress=False)
    assert fingerprint(ln.resume(store, progress=False)) == fingerprint(long)
    with pytest.raises(ln.CheckpointError, match="holds a run already"):
        ln.extend(short, 150, checkpoint=store, progress=False)


def test_what_cannot_be_extended_is_refused(longer: tuple[ln.Result, ln.Result, Ear], tmp_path: Path) -> None:
    short, _, _ = longer
    with pytest.raises(TypeError, match="extend takes a result"):
        ln.extend(MODELS["builder"], 10)
    for number in (0, -1, True, 1.5):
        with pytest.raises(ValueError, match="num_samples must be a positive integer"):
            ln.extend(short, number)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="not what the result was made with"):
        ln.extend(short, 10, model=livenuts_portable.regression(livenuts_portable.X, livenuts_portable.Y + 1.0))
    stopped = ln.sample(MODELS["function"], stop=lambda: True, **RUN)
    with pytest.raises(ValueError, match=r"from a run that was completed; this one is 'stopped' with \[0, 0\] draws"):
        ln.extend(stopped, 10)


def test_a_closure_is_extended_here_and_asked_for_when_loaded(tmp_path: Path) -> None:
    short = ln.sample(closure(1.0), **RUN)
    long = ln.sample(closure(1.0), **RUN | {"num_samples": 300})
    assert fingerprint(ln.extend(short, 50, progress=False)) == fingerprint(long)
    short.save(tmp_path / "short.npz")
    loaded = ln.load(tmp_path / "short.npz")
    with pytest.raises(ValueError, match="no import path: give it"):
        ln.extend(loaded, 50)
    assert fingerprint(ln.extend(loaded, 50, model=closure(1.0), progress=False)) == fingerprint(long)


def test_warm_starts_resume_and_extend() -> None:
    """A warm start's lessons come at other draws; its warm-up goes on by them."""
    tuning = ln.sample(MODELS["builder"], **RUN).tuning
    run = RUN | {"warm_start": tuning, "seed": 9}
    result = ln.sample(MODELS["builder"], **run)
    for place in (("chain-0/warmup", 20), ("chain-1", 5)):
        store: dict[str, bytes] = {}
        with pytest.raises(Crash):
            ln.sample(MODELS["builder"], checkpoint=store, sink=Ear(place, crash), **run)
        assert fingerprint(ln.resume(store, progress=False)) == fingerprint(result)
    long = ln.sample(MODELS["builder"], **run | {"num_samples": 300})
    assert fingerprint(ln.extend(result, 50, progress=False)) == fingerprint(long)


def test_no_warm_up_and_no_draws() -> None:
    only_draws = RUN | {"num_warmup": 0}
    short = ln.sample(ln.Model("n").rv("x", dist.Normal(0, 1)), **only_draws | {"num_samples": 50})
    long = ln.sample(ln.Model("n").rv("x", dist.Normal(0, 1)), **only_draws)
    assert fingerprint(ln.extend(short, 200, progress=False)) == fingerprint(long)
    only_warmup = ln.sample(MODELS["builder"], **RUN | {"num_samples": 0})
    assert fingerprint(ln.extend(only_warmup, 250, progress=False)) == fingerprint(ln.sample(MODELS["builder"], **RUN))
