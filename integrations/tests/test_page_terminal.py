"""`live watch --terminal`: the same numbers as the page's, from the same views, in a terminal and in a pipe."""

import contextlib
import io
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import livenuts as ln
import livequeue
import numpy as np
import pytest
from liverecipes.cli import main
from liverecipes.page.terminal import Terminal
from liverecipes.page.terminal.bart import BartDrawing
from liverecipes.page.terminal.generic import GenericDrawing
from liverecipes.page.terminal.nuts import NutsDrawing
from liverecipes.page.terminal.show import DRAWINGS
from liverecipes.page.terminal.sim import SimDrawing
from liverecipes.page.terminal.smc2 import Smc2Drawing
from liverecipes.page.terminal.spc import SpcDrawing
from liverecipes.page.views import VIEWS, Bart, Generic, Nuts, Sim, Smc2, Spc
from liverecipes.spc.data import load
from liverecipes.spc.recipe import Settings, run
from rich.console import Console

Messages = list[dict[str, Any]]
SIZES = [(40, 12), (80, 24), (100, 30), (250, 60)]


@pytest.fixture(scope="module")
def sampled() -> tuple[Messages, ln.Result]:
    found: Messages = []
    model = ln.Model("pair").rv("mu", ln.dist.Normal(0, 1)).rv("theta", ln.dist.Normal("mu", 1), shape=(2, 9))
    return found, ln.sample(
        model,
        seed=1,
        num_chains=2,
        num_warmup=150,
        num_samples=300,
        sink=found.append,
        early_stop=False,
        progress=False,
    )


@pytest.fixture(scope="module")
def nile() -> Messages:
    messages: Messages = []
    data = load("nile")
    run(data, Settings(prior=data.prior, nuts=False), 1, messages.append, messages.append)
    return messages


def fed(view: Any, messages: Messages) -> Any:
    for message in messages:
        view.take(message)
    return view


def drawn(drawing: Any, data: dict[str, Any], width: int = 80, height: int = 22) -> str:
    console = Console(file=io.StringIO(), width=width, height=height, record=True)
    console.print(drawing.picture(data, width, height))
    return console.export_text()


def toy(seq: int, part: str = "steps", **fields: Any) -> dict[str, Any]:
    return {"type": "toy.step/1", "part": part, "seq": seq, **fields}


def test_every_view_has_a_drawing() -> None:
    assert {view("r").name for view in (*VIEWS.values(), Generic)} == set(DRAWINGS)  # type: ignore[attr-defined]


def test_nuts_shows_the_numbers_of_the_page(sampled: tuple[Messages, ln.Result]) -> None:
    messages, result = sampled
    whole = fed(Nuts("r"), messages).full(["mu", "theta[0, 8]"])
    text = drawn(NutsDrawing("r"), whole)
    summary = {row["name"]: row for row in whole["summary"]}
    assert "pair  completed  run r" in text
    assert "draws 600" in text
    assert f"largest R-hat {max(row['rhat'] for row in summary.values()):.3f}" in text
    assert f"smallest ESS {min(row['ess'] for row in summary.values()):,.0f}" in text
    for name, draws in (("mu", result.draws["mu"]), ("theta[0, 8]", result.draws["theta"][..., 0, 8])):
        (row,) = [line for line in text.splitlines() if f" {name} " in line]
        mean, sd, rhat, ess = row.split("│")[1].replace(name, "").split()[:4]
        assert float(mean) == pytest.approx(draws.mean(), abs=1e-3)
        assert float(sd) == pytest.approx(draws.std(ddof=1), abs=1e-2)
        assert (float(rhat), int(ess.replace(",", ""))) == (
            round(summary[name]["rhat"], 3),
            round(summary[name]["ess"]),
        )
    assert len(re.findall(r"^│ [01] +█+ +450 of 450 +done", text, flags=re.M)) == 2
    lines = NutsDrawing("r").rows(whole)
    mean = float(f"{result.draws['mu'].mean():.4g}")
    assert lines[0].startswith(f"mu: mean {mean:g}, sd ")


def test_what_there_is_no_room_for_is_counted(sampled: tuple[Messages, ln.Result]) -> None:
    view = fed(Nuts("r"), sampled[0])
    names = view.full([])["names"]
    for height, shown in ((22, names), (22, names[:3]), (60, names), (60, names[:3])):
        text = drawn(NutsDrawing("r"), view.full(shown), height=height)
        rows = sum(f" {name} " in text for name in names)
        (more,) = re.findall(r"and (\d+) more", text) or ["0"]
        assert rows + int(more) == 19


def test_a_chain_that_lags_is_silent_or_fails_is_named(sampled: tuple[Messages, ln.Result]) -> None:
    messages, _ = sampled
    held = [m for m in messages if m["type"] != "nuts.end/1" and not (m.get("chain") == 1 and m.get("draw", 0) > 20)]
    view = fed(Nuts("r"), held)
    view.take(
        {"type": "nuts.failure/1", "part": "run", "seq": 1, "error": "\x1b[2J", "chain": 1, "iteration": 9}
        | {"recovered": True}
    )
    whole = view.full([])
    text = drawn(NutsDrawing("r"), whole)
    assert "lags by" in text
    assert "chain 1, iteration 9: ?[2J (it went on)" in text
    whole["chains"][1]["lag"] = 12.0
    assert "silent for 12 s" in drawn(NutsDrawing("r"), whole)
    whole["summary"][0]["rhat"] = 1.2
    assert "1.200 ▲" in drawn(NutsDrawing("r"), whole)


def test_spc_shows_the_chart_the_alarms_and_the_answer(nile: Messages) -> None:
    whole = fed(Spc("mine"), nile).full([])
    text = drawn(SpcDrawing("mine"), whole)
    for words in (
        "nile  completed  run mine", "points 100 of 100", "alarms 2 ▲", "1902: likeliest run: since 1899", "1899 ███",
        "The process changed between 1898 and 1899", "1871", "1970",
    ):  # fmt: skip
        assert words in text
    assert text.count("●") > 40
    lines = SpcDrawing("mine").rows(whole)
    assert lines[0].startswith("1902: alarm: ")
    assert lines[-2] == whole["end"]


def test_sim_shows_resources_and_intervals(simulated: Any) -> None:
    whole = fed(Sim("r"), simulated(400, failing=3)).full([])
    text = drawn(SimDrawing("r"), whole)
    for words in (
        "shop  completed  run r", "replications 400 of 400", "failed 1 ▲", "events 24,000", "statistics from 20",
        "replication 3: Oops: no",
    ):  # fmt: skip
        assert words in text
    assert re.search(r"barber +0\.\d+ ± 0\.0\d+ ", text)
    assert re.search(r"barber.queue.mean +1\.\d+ ± 0\.\d+ +[▁▂▃▄▅▆▇█]+", text)
    assert re.match(
        r"shop completed: 400 of 400 replications; barber.queue.mean 1\.\d+ ± ", SimDrawing("r").line(whole)
    )
    assert SimDrawing("r").rows(whole)[0].startswith("barber: busy 0.")


def test_smc2_shows_states_and_parameters(recorded: Any) -> None:
    view = fed(Smc2("r"), recorded("smc2"))
    whole = view.full(view.full([])["names"])
    text = drawn(Smc2Drawing("r"), whole)
    for words in (
        "SEIR  completed  run r", "observations 70 of 70", "log evidence -221.299", "ESS 136 of 150", "rejuvenations 7",
        "states a filter 200", "95 % between",
    ):  # fmt: skip
        assert words in text
    assert re.search(r"new +1 +1 +2 +█[▁▂▃▄▅▆▇█]+", text)
    assert re.search(r"beta +0\.7981 +0\.5259 +0\.9927 +[▁▂▃▄▅▆▇█]+", text)
    lines = Smc2Drawing("r").rows(whole)
    assert lines[0] == "S: median 808, 95 % 689 to 947"
    assert len(lines) == 10
    assert "next y" not in text
    last = [m for m in recorded("smc2") if m["type"] == "smc2.step/1"][-1]
    ahead = {"seq": 70, "t": 70, "forecast": np.arange(10.0).reshape(5, 2, 1)}
    assert "next y 4 (0 to 8)" in drawn(Smc2Drawing("r"), fed(view, [last | ahead]).full([]))
    failure = {"type": "smc2.failure/1", "part": "run", "seq": 1, "error": "\x1b[2J", "recovered": False, "t": 4}
    text = drawn(Smc2Drawing("r"), fed(view, [failure]).full([]))
    assert "observation 4: ?[2J" in text


def test_bart_shows_columns_and_chains(recorded: Any) -> None:
    whole = fed(Bart("r"), recorded("bart")).full([])
    text = drawn(BartDrawing("r"), whole)
    for words in ("BARTRegressor  completed  run r", "draws 240", "sigma, now 1.01", "... and 6 more columns"):
        assert words in text
    assert re.search(r"x0 +█+ +24\.9 % +100 %", text)
    assert re.search(r"0 +6120 of 6120 +done +0\.9903 +2\.77 +12 % +12 % +7 %", text)
    assert re.search(r"sigma +1\.007 +0\.0168 +1\.069 ▲ +21 ", text)
    lines = BartDrawing("r").rows(whole)
    assert lines[0].startswith("sigma: mean 1.007, sd 0.0168, R-hat 1.069")
    assert "x7: 0.5 % of the splits, in 38 % of the draws" in lines


def test_any_other_run_shows_its_parts_and_numbers() -> None:
    view = fed(Generic("r"), [toy(seq, level=float(seq), deep={"x": 2}) for seq in range(1200)])
    text = drawn(GenericDrawing("r"), view.full([]))
    assert re.search(r"steps +toy.step/1 +1,200", text)
    assert re.search(r"level +1199 +▁.*█", text)
    assert re.search(r"deep.x +2 ", text)
    assert GenericDrawing("r").line(view.full([])) == "r running: 1,200 messages; level 1199, deep.x 2"


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_a_picture_fits_its_terminal(
    width: int, height: int, sampled: tuple[Messages, ln.Result], nile: Messages, simulated: Any, recorded: Any
) -> None:
    names = ["mu", *(f"theta[{i}, {j}]" for i in range(2) for j in range(9))]
    many = [toy(seq, f"part-{seq % 40}", **{f"x{k}": 1.0 for k in range(30)}) for seq in range(120)]
    for drawing, data in (
        (NutsDrawing("r"), fed(Nuts("r"), sampled[0]).full(names)),
        (NutsDrawing("r"), Nuts("r").full([])),
        (SpcDrawing("r"), fed(Spc("r"), nile).full([])),
        (SpcDrawing("r"), Spc("r").full([])),
        (SimDrawing("r"), fed(Sim("r"), simulated(30, failing=3)).full([])),
        (SimDrawing("r"), Sim("r").full([])),
        (Smc2Drawing("r"), fed(Smc2("r"), recorded("smc2")).full(["S", "E", "I", "R", "beta", "gamma", "nu"])),
        (Smc2Drawing("r"), Smc2("r").full([])),
        (BartDrawing("r"), fed(Bart("r"), recorded("bart")).full([])),
        (BartDrawing("r"), Bart("r").full([])),
        (GenericDrawing("r"), fed(Generic("r"), many).full([])),
        (GenericDrawing("r"), Generic("r").full([])),
    ):
        lines = drawn(drawing, data, width, height).rstrip("\n").splitlines()
        assert max(map(len, lines)) <= width
        if height >= 24:
            assert len(lines) <= height


def test_hostile_names_reach_no_terminal(
    sampled: tuple[Messages, ln.Result], nile: Messages, simulated: Any, recorded: Any
) -> None:
    bad = "\x1b]0;gone\x07[red]x"
    start = {"type": "nuts.start/1", "part": "run", "seq": 0, "model": bad, "settings": {}, "seed": 1, "digest": ""}
    nuts = fed(Nuts("r"), [start | {"variables": [{"name": bad, "shape": [], "dims": None}]}]).full([])
    spc = fed(Spc("r"), nile).full([])
    spc["data"], spc["alarms"][0]["text"] = bad, bad
    generic = fed(Generic(bad), [toy(0, bad, **{bad: 1.0})]).full([])
    sim = fed(Sim(bad), simulated(3, failing=2)).full([])
    sim["model"] = sim["resources"][0]["name"] = sim["failures"][0]["error"] = sim["summary"][0]["name"] = bad
    labels = {"model": bad, "state": [bad, "a", "b", "c", "d", "e"], "parameters": [bad, "f", "g", "h"]}
    smc2 = fed(Smc2(bad), [m | labels if m["type"] == "smc2.start/1" else m for m in recorded("smc2")]).full([bad])
    columns = {"model": bad, "columns": [bad] * 10}
    bart = fed(Bart(bad), [m | columns if m["type"] == "bart.start/1" else m for m in recorded("bart")]).full([])
    drawings = (
        (Smc2Drawing(bad), smc2),
        (BartDrawing(bad), bart),
        (NutsDrawing(bad), nuts),
        (SpcDrawing(bad), spc),
        (GenericDrawing(bad), generic),
        (SimDrawing(bad), sim),
    )
    for drawing, data in drawings:
        text = drawn(drawing, data)
        assert "\x1b" not in text
        assert "[red]x" in text


def publish_slowly(queue: livequeue.Queue, messages: Messages, pause: float) -> threading.Thread:
    def work() -> None:
        with queue.publisher("r") as sink:
            for message in messages:
                sink(message)
                time.sleep(pause)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_a_run_of_nuts_in_a_pipe_while_it_happens(
    queue_url: str, sampled: tuple[Messages, ln.Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("liverecipes.page.terminal.show._LINES", 0.3)
    out = io.StringIO()
    with livequeue.connect(queue_url) as queue:
        thread = publish_slowly(queue, sampled[0], 0.002)
        # No run is named, and the first may not be there yet.
        assert Terminal(queue, None, Console(file=out, width=200)).show()
        thread.join()
    lines = [line for line in out.getvalue().splitlines() if not line.startswith("No runs")]
    progress = [line for line in lines if line.startswith("pair ")]
    assert len(progress) >= 2
    assert progress[0].startswith("pair running: ")
    assert "draws 600" in progress[-1]
    assert progress[-1].startswith("pair completed: ")
    assert sum(line.startswith("theta[") for line in lines) == 18
    assert "\x1b" not in out.getvalue()


def test_a_run_of_spc_moves_in_a_terminal(queue_url: str, nile: Messages) -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=80, height=24, _environ={"TERM": "xterm"})
    with livequeue.connect(queue_url) as queue:
        thread = publish_slowly(queue, nile, 0.01)
        while "r" not in queue.runs():
            time.sleep(0.01)
        assert Terminal(queue, "r", console).show()
        thread.join()
    shown = [int(count) for count in re.findall(r"points \x1b\[0m\x1b\[1m(\d+) of 100", out.getvalue())]
    assert len(set(shown)) >= 3
    assert shown == sorted(shown)
    assert shown[-1] == 100
    assert "The process changed between 1898 and 1899" in out.getvalue()


def test_a_run_that_was_deleted_is_told(memory: livequeue.Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("liverecipes.page.terminal.show._LOOK", 0.1)
    with memory.publisher("r") as sink:
        sink(toy(0, x=1.0))
    out = io.StringIO()
    found: list[bool] = []
    thread = threading.Thread(target=lambda: found.append(Terminal(memory, "r", Console(file=out)).show()))
    thread.start()
    while "1 messages" not in out.getvalue():
        time.sleep(0.02)
    memory.delete("r")
    thread.join(20)
    assert found == [False]
    assert out.getvalue().endswith("r: the run was deleted\n")


@contextlib.contextmanager
def in_a_terminal(*arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The command with a terminal of its own, and the end from which to read."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "liverecipes.cli", "watch", "--terminal", *arguments]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "24"}
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        try:
            yield process, ours
        finally:
            process.kill()
            os.close(ours)


def read_until(terminal: int, words: bytes) -> bytes:
    found = b""
    while words not in found:
        found += os.read(terminal, 65536)
    return found


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_gives_the_terminal_back(queue_url: str, number: signal.Signals, code: int) -> None:
    with livequeue.connect(queue_url) as queue, queue.publisher("r") as sink:
        sink(toy(0, level=7.0))
        sink.flush()
        with in_a_terminal("--queue", queue_url) as (process, terminal):
            read_until(terminal, b"level")
            process.send_signal(number)
            rest = read_until(terminal, b"\x1b[?25h")  # the cursor is shown again
            assert process.wait(10) == code
            assert b"Traceback" not in rest


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--terminal", "--port", "80"], "--port is about the page, and --terminal serves none"),
        (["--terminal", "--open"], "--open is about the page"),
        (["--terminal", "ghost"], "ghost: no such run on the queue"),
        (["--token", "a-good-token", "--token-file", "f"], "--token and --token-file: give one of them"),
        (["--token-file", "nowhere"], "nowhere"),
        (["--token-file", "short"], "--token (or its file, or $LIVE_TOKEN): must be"),
        (["--view", "pendulum"], "--view pendulum: must be MODULE:CLASS"),
        (["--view", "nowhere:X"], "--view nowhere:X: No module named 'nowhere'"),
        (["--view", "mine:Nothing"], "--view mine:Nothing: module 'mine' has no attribute 'Nothing'"),
        (["--view", "mine:NoName"], "view NoName: name must be the family of its messages"),
        (["--view", "mine:Taken"], "view Taken: the page has a view 'nuts' of its own"),
        (["--view", "mine:NoScript"], "view NoScript: script must be the Path of its JavaScript module"),
        (["--view", "mine:NoMethods"], "view NoMethods: there is no method take"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: list[str], words: str, queue_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("short").write_text("abc\n")
    Path("mine.py").write_text(
        "from pathlib import Path\n\nclass NoName: pass\n\nclass NoScript: name = 'mine'\n\n"
        "class Taken: name = 'nuts'\n\n"
        "class NoMethods: name, script = 'mine', Path(__file__)\n"
    )
    assert main(["watch", "--queue", queue_url, *arguments]) == 2
    told = capsys.readouterr().err
    assert words in told
    assert told.startswith("live: ")
    assert told.count("\n") == 1
