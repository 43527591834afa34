"""The command line, as a stranger meets it."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import livenuts as ln
import livequeue
import pytest
from liverecipes.cli import line, main

FAST = ["--speed", "0", "--warmup", "100", "--draws", "100", "--chains", "2"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written to the user's own folders."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("LIVE_QUEUE", raising=False)


def live(*arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "liverecipes.cli", *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_run_from_start_to_report(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["run", "spc", "--seed", "4", "--run", "mine", *FAST]) == 0
    out = capsys.readouterr().out
    assert "The process changed between 1898 and 1899" in out
    assert f"report  {tmp_path}/report-mine.html" in out
    assert "run     mine; seed 4" in out
    assert "sampler mine.nuts" in out
    assert "live tail mine" in out
    assert "between 1898 and 1899" in Path("report-mine.html").read_text()

    assert main(["runs"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert rows[0].split() == ["RUN", "WHAT", "AGE", "MESSAGES", "STATUS"]
    assert re.match(r"mine +spc of nile +\d+ s +102 +completed", rows[1])

    assert main(["tail", "mine"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert len(told) == 102
    assert any(re.match(r"points 31 1902: 694 .* run 4  ALARM P\(run <= 10\) rose to 0.72", each) for each in told)

    assert main(["tail", "--json", "mine.nuts"]) == 0
    found = [json.loads(each) for each in capsys.readouterr().out.splitlines()]
    assert sum(message["type"] == "nuts.draw/1" for message in found) == 200

    # A run that has ended cannot be stopped, and an old request does not outlive its run: the same again is fine.
    assert main(["stop", "mine"]) == 2
    assert "mine: this run has ended (completed)" in capsys.readouterr().err
    with livequeue.connect(livequeue.default_url()) as queue:
        queue.request_stop("mine")
    assert main(["run", "spc", "--seed", "4", "--run", "mine", *FAST]) == 0

    # The same run id with other content is refused; the report of the first is left alone.
    assert main(["run", "spc", "--seed", "5", "--run", "mine", "--report", "other.html", *FAST]) == 2
    assert "this run is already on the queue with other content" in capsys.readouterr().err
    assert not Path("other.html").exists()


@pytest.mark.parametrize(
    ("url", "hints"),
    [
        ("embedded://{here}/a queue", ["runs --queue 'embedded://{here}/a queue'", "tail r --queue 'embedded:"]),
        ("memory://", []),
        ("embedded://", []),
    ],
)
def test_what_to_type_next_looks_at_the_same_queue(
    url: str, hints: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    url = url.format(here=tmp_path)
    assert main(["run", "spc", "--run", "r", "--speed", "0", "--no-nuts", "--no-view", "--queue", url]) == 0
    out = capsys.readouterr().out
    assert all("live " + hint.format(here=tmp_path) in out for hint in hints)
    assert out.count("live ") == len(hints) + 1


def test_a_csv_file_quietly(capsys: pytest.CaptureFixture[str]) -> None:
    Path("my data.csv").write_text("day,x\n" + "\n".join(f"{day},{5 + day % 3 + 20 * (day > 20)}" for day in range(40)))
    assert (
        main(["run", "spc", "--data", "my data.csv", "--quiet", "--no-nuts", "--report", "r.html", "--speed", "0"]) == 0
    )
    told = capsys.readouterr()
    assert told.out == told.err == ""
    page = Path("r.html").read_text()
    assert "The process changed between 20 and 21" in page
    assert "live run spc --data &#x27;my data.csv&#x27; --seed" in page


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--data", "nowhere.csv"], "nowhere.csv: no such file, and no built-in series"),
        (["--data", "bad.csv"], "bad.csv, line 2, column 1: 'x' is not a number"),
        (["--column", "flow"], "--column flow: the built-in series 'nile' has one column only"),
        (["--hazard", "2"], "--hazard: must be between 0 and 1, got 2.0"),
        (["--phase1", "2"], "--phase1: must be at least 3 observations, got 2"),
        (["--prior", "1,2"], "--prior 1,2: must be four numbers"),
        (["--prior", "1,2,0,4"], "--prior: KAPPA and B must be positive and A above 0.5"),
        (["--speed", "-1"], "--speed -1.0: must be 0 (no waiting) or a number of points a second"),
        (["--seed", "-1"], "--seed -1: must be at least 0"),
        (["--run", "no spaces"], "--run: run id 'no spaces'"),
        (["--report", "no/such/folder.html"], "--report no/such/folder.html: there is no folder no/such"),
        (["--report", "."], "--report .: this is a folder"),
        (["--executor", "cluster"], "--executor cluster: must be processes, processes:N or dask://HOST:PORT"),
        (["--executor", "processes:0"], "--executor processes:0: must be processes"),
        (["--executor", "dask://127.0.0.1:1"], "--executor dask://127.0.0.1:1: "),
        (["--queue", "carrier-pigeon://x"], "--queue:"),
        (["--queue", "redis://127.0.0.1:1/0"], "--queue:"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("bad.csv").write_text("1\nx\n3\n")
    assert main(["run", "spc", "--speed", "0", "--no-nuts", *arguments]) == 2
    told = capsys.readouterr()
    assert words in told.err
    assert told.err.startswith("live: ")
    assert told.err.count("\n") == 1
    assert not list(Path().glob("*.html"))


@pytest.mark.parametrize("arguments", [[], ["run"], ["run", "cake"], ["run", "spc", "--k", "three"], ["tail"]])
def test_usage_errors_exit_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as error:
        main(arguments)
    assert error.value.code == 2
    assert "usage: live" in capsys.readouterr().err


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--help"], ["run", "spc", "--help"], ["--version"]):
        with pytest.raises(SystemExit) as error:
            main(arguments)
        assert error.value.code == 0
    assert "nist-cusum" in capsys.readouterr().out


def test_an_empty_queue_and_an_unknown_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs"]) == 0
    assert "No runs on the queue yet" in capsys.readouterr().out
    for command in ("tail", "stop", "resume"):
        assert main([command, "ghost"]) == 2
        assert "ghost: no such run on the queue" in capsys.readouterr().err


def test_the_recipes_are_listed_with_their_question(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    rows = capsys.readouterr().out.splitlines()
    (spc,) = [row for row in rows if row.startswith("spc ")]
    assert spc.split(maxsplit=1)[1].startswith("Bayesian statistical process control with a live changepoint: ")
    assert spc.endswith("what.")


def wait_for_points(url: str, run: str, count: int) -> None:
    end = time.monotonic() + 60
    with livequeue.connect(url) as queue:
        while queue.length(run) < count:
            assert time.monotonic() < end, f"{run} has no {count} messages after a minute"
            time.sleep(0.05)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_leaves_a_report_and_exit_code_130(queue_url: str, number: signal.Signals, code: int) -> None:
    process = live("run", "spc", "--queue", queue_url, "--run", "cut", "--speed", "20", "--report", "cut.html")
    wait_for_points(queue_url, "cut", 40)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert err == ""
    assert "stopping; again to abandon" in out
    assert "The run was stopped after" in out
    assert "The run was stopped after" in Path("cut.html").read_text()


def test_ctrl_c_while_sampling_keeps_the_draws(queue_url: str) -> None:
    process = live(
        *["run", "spc", "--queue", queue_url, "--run", "cut", "--speed", "0", "--report", "cut.html"],
        *["--warmup", "100", "--draws", "10000000"],
    )
    wait_for_points(queue_url, "cut.nuts", 2000)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err == ""
    page = Path("cut.html").read_text()
    assert "Can the draws be trusted?" in page


def test_tail_and_stop_from_another_terminal(queue_url: str) -> None:
    run = live("run", "spc", "--queue", queue_url, "--run", "watched", "--speed", "20", "--no-view")
    wait_for_points(queue_url, "watched", 5)
    tail = live("tail", "watched", "--queue", queue_url)
    wait_for_points(queue_url, "watched", 30)
    assert main(["stop", "watched", "--queue", queue_url]) == 0
    run.communicate(timeout=60)
    assert run.returncode == 0
    told, _ = tail.communicate(timeout=60)
    assert tail.returncode == 0
    lines = told.splitlines()
    assert lines[0].startswith("run 0 spc.start/1")
    assert len(lines) >= 30
    assert "status=stopped" in lines[-1]


def lossless(queue: livequeue.Queue, run: str) -> list[str]:
    found = [m for m in queue.subscribe(run, follow=False) if "/" not in m["part"] and m["part"] != "progress"]
    return sorted(repr({key: str(value) for key, value in message.items()}) for message in found)


def test_a_recipe_that_was_killed_is_resumed_as_if_nothing_had_been(queue_url: str, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("\n".join(str(5 + day % 3 + 20 * (day > 60)) for day in range(120)))
    asked = ["run", "spc", "--data", "x.csv", "--no-nuts", "--seed", "7", "--queue", queue_url, "--no-view"]
    with livequeue.connect(queue_url) as queue:
        process = live(*asked, "--run", "cut", "--speed", "50")
        wait_for_points(queue_url, "cut", 20)
        process.kill()
        process.communicate()
        assert not queue.info("cut").ended
        assert main(["resume", "cut", "--queue", queue_url]) == 0
        assert queue.info("cut").status == "completed"
        assert main([*asked, "--run", "whole", "--speed", "0"]) == 0
        assert lossless(queue, "cut") == lossless(queue, "whole")


def test_chains_in_another_process_say_the_same(queue_url: str) -> None:
    asked = ["run", "spc", "--seed", "4", *FAST, "--quiet", "--queue", queue_url]
    assert main([*asked, "--run", "here"]) == 0
    assert main([*asked, "--run", "there", "--executor", "processes:1"]) == 0
    with livequeue.connect(queue_url) as queue:
        assert lossless(queue, "here.nuts") == lossless(queue, "there.nuts")
        assert len(lossless(queue, "there.nuts")) == 202


def test_a_sampler_that_died_is_resumed_from_its_checkpoint_on_the_queue(
    queue_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model = ln.Model("one").rv("a", ln.dist.Normal(0.0, 1.0)).obs("y", ln.dist.Normal("a", 1.0), [0.3, -0.2])

    def sample(queue: livequeue.Queue, run: str, die: bool) -> None:
        with queue.publisher(run) as publisher:

            def sink(message: dict[str, Any]) -> None:
                if die and message["seq"] >= (1 if message["part"] == "run" else 120):
                    raise OSError("the machine is gone")
                publisher(message)

            settings: dict[str, Any] = {"num_warmup": 100, "num_samples": 200, "num_chains": 2, "early_stop": False}
            ln.sample(model, seed=1, sink=sink, checkpoint=queue.store(run), progress=False, **settings)

    with livequeue.connect(queue_url) as queue:
        with pytest.raises(OSError, match="the machine is gone"):
            sample(queue, "cut", die=True)
        assert not queue.info("cut").ended
        queue.request_stop("cut")  # meant for the process that is gone
        assert main(["resume", "cut", "--queue", queue_url]) == 0
        assert "cut: <Result of 'one': 2 chains of 200 draws of a; completed>" in capsys.readouterr().out
        sample(queue, "whole", die=False)
        assert lossless(queue, "cut") == lossless(queue, "whole")


@pytest.mark.parametrize(
    ("family", "words"),
    [
        ("nuts", "holds no run; give the engine checkpoint=queue.store('r') when it runs"),
        ("smc2", "r: a run of smc2 goes on in the program that began it"),
    ],
)
def test_what_cannot_be_resumed_says_why(
    family: str, words: str, queue_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with livequeue.connect(queue_url) as queue, queue.publisher("r") as sink:
        sink({"type": f"{family}.start/1", "part": "run", "seq": 0})
        sink.flush()
        assert main(["resume", "r", "--queue", queue_url]) == 2
        assert words in capsys.readouterr().err
        sink({"type": f"{family}.end/1", "part": "run", "seq": 1, "status": "stopped"})
        sink.flush()
        assert main(["resume", "r", "--queue", queue_url]) == 2
        assert "r: this run has ended (stopped); there is nothing to resume" in capsys.readouterr().err


def test_one_line_of_any_message() -> None:
    message = {"type": "x.y/1", "part": "p", "seq": 3, "a": [1.0] * 9, "b": {"c": None}, "d": "\x1b[31m"}
    assert line(message) == "p 3 x.y/1 a=[1 1 1 1 1 1 ...]  b={c=None}  d=?[31m"
