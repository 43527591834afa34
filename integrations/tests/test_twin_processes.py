"""Plant and twin as processes of their own, killed at any moment: the messages are what they would have been."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import livequeue
import pytest
from liverecipes.cli import main
from liverecipes.twin.line import default_line
from liverecipes.twin.plant import Plant, publish
from liverecipes.twin.recipe import run
from liverecipes.twin.twin import Settings

SHIFTS = 9
OPTIONS = ["--shifts", str(SHIFTS), "--history", "3", "--draws", "10", "--seed", "3", "--no-advice", "--drift", "none"]


def expected() -> list[dict[str, Any]]:
    plant: list[dict[str, Any]] = []
    said: list[dict[str, Any]] = []
    publish(Plant(default_line(), 3), SHIFTS, plant.append)
    run(plant, said.append, 3, Settings(history=3, draws=10), advise=False)
    return said


def comparable(messages: list[dict[str, Any]]) -> list[str]:
    return sorted(repr(sorted(message.items())) for message in messages)


@pytest.mark.timeout(900)
def test_plant_and_twin_killed_with_sigkill(tmp_path: Path) -> None:
    url = f"embedded://{tmp_path}/queue"
    report = tmp_path / "report.html"
    command = [sys.executable, "-m", "liverecipes.cli", "run", "factory-twin", "--queue", url, "--run", "t"]
    command += [*OPTIONS, "--no-page", "--quiet", "--report", str(report)]
    with livequeue.connect(url) as queue:
        first = subprocess.Popen([*command, "--speed", "2"], start_new_session=True)
        # After a shift that was tracked: the plant dies, and is started again by the command ...
        wait_for(queue, 4, first)
        for pid in children(first.pid):
            os.kill(pid, signal.SIGKILL)
        # ... then the twin does.
        wait_for(queue, 5, first)
        orphans = children(first.pid)
        first.kill()
        first.wait()
        for pid in orphans:
            os.kill(pid, signal.SIGKILL)
        done = subprocess.run(command, timeout=600)
        assert (done.returncode, report.exists()) == (0, True)
        said = list(queue.subscribe("t", follow=False))
        assert comparable(said) == comparable(expected())
        assert subprocess.run(command, timeout=600).returncode == 0  # a finished run is finished again, and the same
        assert comparable(list(queue.subscribe("t", follow=False))) == comparable(said)


def wait_for(queue: livequeue.Queue, shifts: int, process: subprocess.Popen[bytes]) -> None:
    while queue.info("t").parts.get("shifts", 0) < shifts if "t" in queue.runs() else True:
        assert process.poll() is None, "the command ended by itself"
        time.sleep(0.02)


def children(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += [int(child) for child in (task / "children").read_text().split()]
    return [child for child in found if "liverecipes.twin.plant" in Path(f"/proc/{child}/cmdline").read_text()]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--queue", "memory://"], "need a queue that both reach"),
        (["--shifts", "3"], "--shifts 3: must be more than the history's 8"),
        (["--drift", "mill@3"], "must be PARAMETER@SHIFT"),
        (["--drift", "oven.service@3*2"], "no parameter 'oven.service'"),
        (["--draws", "1"], "--draws: must be at least 10, got 1"),
        (["--speed", "-1"], "--speed -1.0: must be 0"),
        (["--report", "/nowhere/at/all.html"], "there is no folder /nowhere/at"),
    ],
)
def test_bad_options_are_answered_with_a_line(
    options: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    queue = [] if "--queue" in options else ["--queue", f"embedded://{tmp_path}/queue"]
    assert main(["run", "factory-twin", *queue, *options]) == 2
    assert words in capsys.readouterr().err
