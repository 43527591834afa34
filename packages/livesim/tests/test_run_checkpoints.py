"""Runs that are stopped, killed or damaged and gone on with: the replications and messages of one that nothing hurt."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import livesim as ls
import numpy as np
import pytest
from livesim.runtime import record as record_module
from livesim.runtime.checkpoint import CheckpointError, Folder, decode, encode
from livesim_models import barbershop, factory
from livesim_runs import SERVICES, Ear, same

RUN: dict[str, Any] = {"n": 60, "until": 1_500.0, "seed": 5, "progress": False}


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write at every occasion."""
    monkeypatch.setattr(record_module, "_SECONDS", 0.0)


@pytest.fixture(scope="module")
def whole() -> tuple[ls.Runs, Ear]:
    ear = Ear()
    return ls.replicate(factory(), every=300.0, events=True, sink=ear, **RUN | {"until": 400.0, "n": 12}), ear


def after(count: int) -> Any:
    """A `stop` that is true once it was asked so often."""
    asked = iter(range(10**9))
    return lambda: next(asked) >= count


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("asked", [0, 1, 3, 6])
def test_a_stopped_run_goes_on_to_the_same_bits(whole: tuple[ls.Runs, Ear], asked: int) -> None:
    runs, ear = whole
    run = RUN | {"until": 400.0, "n": 12, "every": 300.0, "events": True}
    store: dict[str, bytes] = {}
    part = ls.replicate(factory(), checkpoint=store, stop=after(asked), **run)
    assert part.rows.tobytes() == runs.rows[: len(part)].tobytes()
    assert part.status == ("completed" if len(part) == 12 else "stopped")
    again = Ear()
    assert same(ls.resume(store, sink=again, progress=False), runs)
    assert again.lossless() == ear.lossless()
    again = Ear()
    assert same(ls.replicate(factory(), checkpoint=store, sink=again, **run | {"seed": None}), runs)  # finished: read
    assert again.lossless() == ear.lossless()


@pytest.mark.usefixtures("often")
def test_everything_that_was_asked_for_is_kept() -> None:
    """Parameters a replication, a state to start from, a warm-up that was found, a goal."""
    state = ls.run(barbershop(), 500.0, seed=1).snapshot
    ways: list[dict[str, Any]] = [
        {"params": {"service": np.linspace(9.0, 12.0, 60)}, "start": state, "drain": True},
        {"warmup": "mser5", "n": 4},
        {"relative": {"barber.utilization": 0.06}},
    ]
    for way in ways:
        store: dict[str, bytes] = {}
        runs = ls.replicate(barbershop(), **RUN | way)
        ls.replicate(barbershop(), checkpoint=store, stop=after(3), **RUN | way)
        made = ls.resume(store, progress=False) if store else runs
        assert same(made, runs)
        assert made.reached == runs.reached
    assert runs.reached
    assert len(runs) < 60


@pytest.mark.usefixtures("often")
@pytest.mark.filterwarnings("ignore:1 of 6 replications failed")
def test_failures_are_kept() -> None:
    store: dict[str, bytes] = {}
    runs = ls.replicate(barbershop(), params={"service": SERVICES}, checkpoint=store, **RUN | {"n": 6})
    assert ls.resume(store, progress=False).errors == runs.errors != {}


SCRIPT = """
import sys
import livesim as ls
from livesim.runtime import record
from livesim_models import barbershop
record._SECONDS = 0.0
ls.replicate(barbershop(), 100_000, until=1_500.0, seed=5, checkpoint=sys.argv[1], progress=False)
"""


def test_a_killed_process_is_gone_on_with(tmp_path: Path) -> None:
    """A real SIGKILL, as soon as some replications are on the disk."""
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "run")], env=os.environ | {"PYTHONPATH": path}
    )
    try:
        while not any(name.startswith("replications-") for name in Folder(tmp_path / "run")):
            assert process.poll() is None
            threading.Event().wait(0.005)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    kept = ls.resume(tmp_path / "run", stop=lambda: True, progress=False)
    assert 0 < len(kept) < 100_000
    again = ls.replicate(barbershop(), **RUN | {"n": len(kept)})
    assert kept.rows.tobytes() == again.rows.tobytes()
    more = ls.resume(tmp_path / "run", stop=after(3), progress=False)
    assert more.rows[: len(kept)].tobytes() == kept.rows.tobytes()
    np.testing.assert_array_equal(
        more.rows[-1], list(ls.run(barbershop(), 1_500.0, seed=5, replication=len(more) - 1).values().values())
    )


@pytest.mark.usefixtures("often")
def test_a_torn_block_is_made_again() -> None:
    runs, store = ls.replicate(barbershop(), **RUN), {}
    ls.replicate(barbershop(), checkpoint=store, **RUN)
    blocks = sorted((name for name in store if name.startswith("replications-")), key=lambda name: int(name[13:]))
    name = blocks[len(blocks) // 2]
    store[name] = store[name][:-9]
    with pytest.warns(UserWarning, match=rf"{name}: the entry is torn.*from {name[13:]} on are made again"):
        assert same(ls.resume(store, progress=False), runs)
    store["manifest"] = store["manifest"][:-1] + b"!"
    with pytest.raises(CheckpointError, match="manifest: the entry is torn or damaged"):
        ls.resume(store, progress=False)


@pytest.mark.usefixtures("often")
def test_another_experiment_is_refused_and_says_why(tmp_path: Path) -> None:
    ls.replicate(barbershop(), checkpoint=tmp_path / "run", stop=after(1), **RUN)
    others: list[tuple[ls.Model, dict[str, Any], str]] = [
        (factory(), {}, "another model"),
        (barbershop(), {"seed": 6}, "seed is 5 there and 6 here"),
        (barbershop(), {"until": 1_600.0}, "until is 1500.0 there and 1600.0 here"),
        (barbershop(), {"params": {"service": 3.0}}, "other parameters"),
    ]
    for model, changed, words in others:
        with pytest.raises(CheckpointError, match=words):
            ls.replicate(model, checkpoint=tmp_path / "run", **RUN | changed)
    with pytest.raises(CheckpointError, match="holds no replications"):
        ls.resume(tmp_path / "nothing")
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="is a file; give a folder"):
        ls.resume(tmp_path / "file")


def test_who_was_taken_over_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_module, "_SECONDS", 0.0)
    store: dict[str, bytes] = {}

    def stolen(message: dict[str, Any]) -> None:
        if message["part"] == "replications" and message["seq"] == 5:
            store["writer"] = b"another"

    with pytest.raises(CheckpointError, match="another process has taken this experiment over"):
        ls.replicate(barbershop(), checkpoint=store, sink=stolen, **RUN)


def test_a_sink_that_raises_ends_the_run_and_keeps_it() -> None:
    def fails(message: dict[str, Any]) -> None:
        if message["part"] == "replications" and message["seq"] == 7:
            raise OSError("no listener")

    store: dict[str, bytes] = {}
    with pytest.raises(OSError, match="no listener") as caught:
        ls.replicate(barbershop(), sink=fails, checkpoint=store, **RUN)
    assert len(caught.value.runs) == 7  # type: ignore[attr-defined]
    assert same(ls.resume(store, progress=False), ls.replicate(barbershop(), **RUN))


@pytest.mark.filterwarnings("ignore:interrupted")
def test_ctrl_c_keeps_what_was_made() -> None:
    def interrupts(message: dict[str, Any]) -> None:
        if message["part"] == "replications" and message["seq"] == 9:
            signal.raise_signal(signal.SIGINT)

    ear, before = Ear(), signal.getsignal(signal.SIGINT)

    def sink(message: dict[str, Any]) -> None:
        ear(message)
        interrupts(message)

    runs = ls.replicate(barbershop(), sink=sink, **RUN | {"n": 100_000})
    assert runs.status == "interrupted"
    assert 10 <= len(runs) < 100_000
    assert runs.rows[:10].tobytes() == ls.replicate(barbershop(), **RUN | {"n": 10}).rows.tobytes()
    assert (ear.messages[-1]["status"], ear.messages[-1]["replications"]) == ("interrupted", len(runs))
    assert signal.getsignal(signal.SIGINT) is before


def test_a_replication_on_its_way_is_given_up() -> None:
    """`stop` is heard in the middle of one that would take hours."""
    runs = ls.replicate(barbershop(), 2, until=1e12, seed=1, stop=after(1), progress=False)
    assert (runs.status, len(runs)) == ("stopped", 0)
    with pytest.raises(KeyboardInterrupt):
        ls.replicate(
            barbershop(), 2, until=1e12, seed=1, stop=lambda: signal.raise_signal(signal.SIGINT), progress=False
        )  # type: ignore[arg-type,func-returns-value]


def test_stopped_before_a_warmup_is_found_nothing_is_said_or_kept() -> None:
    ear, store = Ear(), dict[str, bytes]()
    asked: dict[str, Any] = {"until": 1e11, "seed": 1, "warmup": "mser5", "sink": ear, "progress": False}
    runs = ls.replicate(barbershop(), 2, stop=after(1), checkpoint=store, **asked)
    assert (runs.status, len(runs), ear.messages, store) == ("stopped", 0, [], {})
    with pytest.raises(KeyboardInterrupt):
        ls.replicate(barbershop(), 2, stop=lambda: signal.raise_signal(signal.SIGINT), **asked)  # type: ignore[arg-type,func-returns-value]
    assert ear.messages == []


def values() -> Iterator[Any]:
    yield from (None, True, 3, -0.5, "text", [1, [2.0, None]], {"a": {"b": []}, "$array": 1})
    yield {"rows": np.arange(6.0).reshape(2, 3), "bytes": np.frombuffer(b"abc", np.uint8), "none": [None, np.zeros(0)]}


@pytest.mark.parametrize("value", list(values()), ids=str)
def test_an_entry_comes_back(value: Any) -> None:
    data = encode(value)
    assert repr(decode(data)) == repr(value)
    for damaged in (data[:-1], data + b"x", data[:40], b"", data[:-3] + bytes(3)):
        if damaged != data:
            with pytest.raises(CheckpointError):
                decode(damaged)
    with pytest.raises(TypeError, match="a checkpoint holds"):
        encode({1: 2})
