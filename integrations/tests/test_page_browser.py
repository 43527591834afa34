"""The page in a real browser: what a reader sees while a run happens, and when things go wrong."""

import contextlib
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import livenuts as ln
import livequeue
import numpy as np
import pytest
from livenuts import dist
from liverecipes.page import Page
from liverecipes.page.series import Series
from liverecipes.page.views import Generic
from liverecipes.spc.data import load
from liverecipes.spc.recipe import Settings, run

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
try:
    from playwright import sync_api as playwright
except ImportError:
    playwright = None  # type: ignore[assignment]

MISSING = "no Playwright" if playwright is None else "no Chromium" if CHROMIUM is None else None
pytestmark = [
    pytest.mark.skipif(
        MISSING is not None and "LIVE_REQUIRE_BROWSER" not in os.environ, reason=f"{MISSING}: nox -s browser"
    ),
    pytest.mark.timeout(120),
]

TOKEN = "a-token-of-these-tests"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    assert MISSING is None, MISSING
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield browser
        browser.close()


@pytest.fixture
def tab(browser: Any) -> Iterator[Callable[..., Any]]:
    """Open tabs; at the end no console has an error, but for those of `allowed` words."""
    contexts: list[Any] = []
    complaints: list[str] = []

    def open_tab(url: str, *, allowed: tuple[str, ...] = (), width: int = 1200, **options: Any) -> Any:
        def complain(text: str) -> None:
            if not any(words in text for words in allowed):
                complaints.append(text)

        contexts.append(browser.new_context(viewport={"width": width, "height": 900}, **options))
        opened = contexts[-1].new_page()
        opened.set_default_timeout(40_000)
        opened.on("console", lambda message: complain(message.text) if message.type in ("error", "warning") else None)
        opened.on("pageerror", lambda error: complain(str(error)))
        opened.goto(url)
        return opened

    yield open_tab
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture
def page(memory: livequeue.Queue) -> Iterator[Page]:
    with Page(memory, token=TOKEN) as served:
        yield served


def at(tab: Any, testid: str) -> Any:
    return tab.get_by_test_id(testid)


def see(tab: Any, testid: str, text: str) -> None:
    playwright.expect(at(tab, testid)).to_contain_text(text, timeout=40_000)


def wait_until(tab: Any, condition: str, argument: Any = None) -> None:
    tab.wait_for_function(condition, arg=argument, polling=20)


def see_ink(tab: Any, selector: str) -> None:
    """Wait until a canvas has more than ten colours; a blank one has one."""
    wait_until(
        tab,
        """selector => {
          const canvas = document.querySelector(selector);
          if (!canvas?.width || !canvas.height) return false;
          const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
          return new Set(new Uint32Array(data.buffer)).size > 10;
        }""",
        selector,
    )


def publish(publisher: Any, values: range) -> None:
    for value in values:
        publisher({"type": "toy.step/1", "part": "machine", "seq": value, "level": float(value)})
    publisher.flush()


DRAWN = "count => document.querySelector('[data-testid=number]')?.dataset.count === String(count)"


def drawn_values(tab: Any, count: int) -> list[float]:
    """What is on the plot, once it is so much."""
    wait_until(tab, DRAWN, count)
    wait_until(tab, "n => document.querySelector('[data-testid=number-plot]').columns?.[0].length === n", count)
    found: list[float] = tab.evaluate("document.querySelector('[data-testid=number-plot]').columns[1]")
    return found


class Sampling:
    """NUTS in a thread. `hold`: chain 0 stops at draw 50 until it is let go; `pause`: seconds after each message."""

    def __init__(self, queue: livequeue.Queue, run: str, draws: int, *, hold: bool = False, pause: float = 0.0) -> None:
        self.let_go = threading.Event()
        self.result: ln.Result | None = None
        self.queue, self.run, self.draws, self.hold, self.pause = queue, run, draws, hold, pause
        self.thread = threading.Thread(target=self._work)

    def __enter__(self) -> "Sampling":
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self.thread.is_alive():
            self.queue.request_stop(self.run)
            self.finish()

    def finish(self) -> ln.Result:
        self.let_go.set()
        self.thread.join()
        assert self.result is not None
        return self.result

    def _work(self) -> None:
        model = ln.Model("two").rv("a", dist.Normal(0.0, 1.0)).rv("b", dist.Normal(2.0, 1.0), shape=2)
        model = model.obs("y", dist.Normal("a", 1.0), [0.3, -0.2, 0.9])
        with self.queue.publisher(self.run) as publisher:

            def sink(message: dict[str, Any]) -> None:
                publisher(message)
                if self.hold and message["part"] == "chain-0" and message["seq"] == 50:
                    self.let_go.wait()
                time.sleep(self.pause)

            self.result = ln.sample(
                model,
                num_warmup=100,
                num_samples=self.draws,
                num_chains=2,
                seed=1,
                sink=sink,
                stop=self.queue.stop(self.run),
                progress=False,
            )


def test_a_nuts_run_from_its_first_message_to_its_end(
    page: Page, memory: livequeue.Queue, tab: Callable[..., Any]
) -> None:
    opened = tab(page.url)
    see(opened, "empty", "No runs on the queue yet")
    with Sampling(memory, "mine", 400, hold=True) as sampling:
        # The run appears by itself, is chosen because there is no other, and is seen on its way.
        see(opened, "about", "mine · nuts · running")
        assert opened.url.endswith("#mine")
        see(opened, "chain-0", "sampling")
        see(opened, "state", "live")
        see_ink(opened, "[data-testid=trace-plot] canvas")
        draws = sampling.finish().draws["a"]

    see(opened, "state", "ended")
    see(opened, "fact-draws", "800")
    see(opened, "chain-0", "done")
    assert opened.get_by_test_id("trace").count() == 3
    see(opened, "traces", "R-hat")
    see(opened, "traces", f"mean {float(f'{draws.mean():.4g}'):g}")
    # All draws are on the plot, in their order, behind those of the warm-up.
    wait_until(opened, "() => document.querySelector('[data-testid=trace-plot]').columns[0].length >= 400")
    opened.get_by_test_id("span-draws").click()
    wait_until(opened, "() => document.querySelector('[data-testid=trace-plot]').columns[0].length === 400")
    columns = opened.evaluate("document.querySelector('[data-testid=trace-plot]').columns.slice(1)")
    np.testing.assert_array_equal(columns, draws)
    assert not opened.get_by_test_id("stop").is_visible()

    # The choice of variables asks for them, and what was drawn goes.
    opened.get_by_test_id("pick").click()
    opened.get_by_test_id("pick-options").get_by_label("a", exact=True).uncheck()
    playwright.expect(opened.get_by_test_id("trace")).to_have_count(2)
    opened.get_by_test_id("chip-1").click()
    assert opened.get_by_test_id("chip-1").get_attribute("aria-pressed") == "true"


def test_the_stop_button_asks_first_and_keeps_the_draws(
    page: Page, memory: livequeue.Queue, tab: Callable[..., Any]
) -> None:
    with Sampling(memory, "long", 1_000_000, pause=0.002) as sampling:
        opened = tab(page.url)
        see(opened, "chain-0", "sampling")
        at(opened, "stop").click()
        at(opened, "go-on").click()
        assert not memory.stop("long")()
        at(opened, "stop").click()
        see(opened, "confirm", "Everything it has made so far is kept")
        at(opened, "stop-now").click()
        see(opened, "told", "Asked the run to stop")
        see(opened, "state", "ended")
        draws = sampling.finish().draws["a"]
    assert 0 < draws.size < 1_000_000
    see(opened, "about", "stopped")
    kept = opened.evaluate("document.querySelector('[data-testid=fact-draws] dd').textContent")
    assert int(kept.replace("\u2009", "")) >= draws.size


def test_a_chain_that_lags_and_its_divergences_are_seen(
    page: Page, memory: livequeue.Queue, tab: Callable[..., Any]
) -> None:
    rng = np.random.default_rng(1)
    with memory.publisher("odd") as publisher:
        settings = {"num_warmup": 0, "num_samples": 1000, "num_chains": 3}
        variables = [{"name": "x", "shape": [], "dims": None}]
        start = {"type": "nuts.start/1", "part": "run", "seq": 0, "model": "odd", "seed": 1, "digest": ""}
        publisher(start | {"settings": settings, "variables": variables})
        for chain, draws in enumerate((400, 40, 400)):
            for draw in range(draws):
                stats = {
                    "step_size": 0.5,
                    "tree_depth": 3,
                    "acceptance_rate": 0.9,
                    "diverging": chain == 1 and draw < 7,
                }
                head = {"type": "nuts.draw/1", "part": f"chain-{chain}", "seq": draw, "chain": chain, "draw": draw}
                publisher(head | {"values": {"x": float(rng.normal(chain))}, "stats": stats})
        publisher.flush()
        opened = tab(page.url)
        see(opened, "chain-1", "lags by 360")
        see(opened, "fact-divergences", "7")
        see(opened, "traces", "not mixed")
        playwright.expect(at(opened, "chain-0")).not_to_contain_text("lags")


def test_an_update_is_on_the_screen_within_half_a_second(
    page: Page, memory: livequeue.Queue, tab: Callable[..., Any]
) -> None:
    with memory.publisher("toy") as publisher:
        publish(publisher, range(5))
        opened = tab(page.url)
        assert drawn_values(opened, 5) == list(range(5))
        waits = []
        for count in range(6, 15):
            time.sleep(0.15)
            start = time.monotonic()
            publish(publisher, range(count - 1, count))
            wait_until(opened, DRAWN, count)
            waits.append(time.monotonic() - start)
    assert statistics.median(waits) < 0.5


def serve(url: str, port: int, token: str = TOKEN) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "liverecipes.cli", "watch", "--queue", url]
    process = subprocess.Popen([*command, "--port", str(port), "--token", token], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert f":{port}/?token={token}" in process.stdout.readline()
    return process


def test_a_killed_server_comes_back_and_nothing_is_lost_or_doubled(queue_url: str, tab: Callable[..., Any]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with contextlib.ExitStack() as stack:
        queue = stack.enter_context(livequeue.connect(queue_url))
        publisher = stack.enter_context(queue.publisher("toy"))
        publish(publisher, range(300))
        server = serve(queue_url, port)
        try:
            opened = tab(f"http://127.0.0.1:{port}/?token={TOKEN}", allowed=("Failed to load resource", "net::ERR_"))
            assert drawn_values(opened, 300) == list(range(300))
            server.send_signal(signal.SIGKILL)
            see(opened, "state", "reconnecting")
            publish(publisher, range(300, 500))
            server.communicate()
            server = serve(queue_url, port)
            see(opened, "state", "live")
            assert drawn_values(opened, 500) == list(range(500))
            publish(publisher, range(500, 510))
            assert drawn_values(opened, 510) == list(range(510))

            # Another token: the page says what to do, and asks on.
            server.kill()
            server.communicate()
            server = serve(queue_url, port, "another-token")
            see(opened, "problem", "Open the address that the server printed")
        finally:
            server.kill()
            server.communicate()


@contextlib.contextmanager
def serving(*arguments: str, cwd: Path) -> Iterator[str]:
    """`live watch`, and the address it prints."""
    command = [sys.executable, "-m", "liverecipes.cli", "watch", *arguments]
    process = subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.terminate()  # a killed one would leave the queue's server behind
        process.communicate()


def test_two_pages_and_a_late_one_show_the_same(page: Page, memory: livequeue.Queue, tab: Callable[..., Any]) -> None:
    with memory.publisher("toy") as publisher:
        publish(publisher, range(10))
        tabs = [tab(page.url), tab(page.url)]
        for each in tabs:
            assert drawn_values(each, 10) == list(range(10))
        publish(publisher, range(10, 900))
        tabs.append(tab(page.url))
        publish(publisher, range(900, 950))
        for each in tabs:
            assert drawn_values(each, 950) == list(range(950))


def test_a_second_run_appears_and_is_chosen_by_its_link(
    page: Page, memory: livequeue.Queue, tab: Callable[..., Any]
) -> None:
    settings = Settings(nuts=False, prior=load("nile").prior)
    with memory.publisher("toy") as publisher:
        publish(publisher, range(3))
        opened = tab(page.url)
        see(opened, "about", "toy · toy · running")
        with memory.publisher("nile") as other:
            run(load("nile"), settings, 1, other, other)
        opened.locator("[data-run=nile] a").click()
        see(opened, "verdict", "The process changed between 1898 and 1899")
        see(opened, "alarms", "P(run <= 10) rose to 0.72")
        assert opened.url.endswith("#nile")
        wait_until(opened, "() => document.querySelector('canvas[data-testid=heat-canvas]').dataset.columns === '100'")
        see_ink(opened, "[data-testid=heat-canvas]")
        see_ink(opened, "[data-testid=chart-plot] canvas")
        opened.go_back()
        see(opened, "parts", "machine")


def test_steps_have_their_names_once_they_are_known(
    page: Page, memory: livequeue.Queue, tab: Callable[..., Any]
) -> None:
    messages: list[dict[str, Any]] = []
    run(load("nile"), Settings(nuts=False, prior=load("nile").prior), 1, messages.append, messages.append)
    with memory.publisher("nile") as publisher:
        for message in messages[:4]:
            publisher(message)
        publisher.flush()
        opened = tab(page.url)
        wait_until(opened, "() => Number(document.querySelector('[data-testid=recent-plot]')?.dataset.painted) > 0")
        opened.evaluate(
            """() => {
              window.written = [];
              const write = CanvasRenderingContext2D.prototype.fillText;
              CanvasRenderingContext2D.prototype.fillText = function (text, ...rest) {
                if (this.canvas.closest("[data-testid=recent-plot]")) window.written.push(text);
                return write.call(this, text, ...rest);
              };
            }"""
        )
        for message in messages[4:-1]:  # the end would change the axis
            publisher(message)
        publisher.flush()
        wait_until(opened, "() => window.written.includes('1901')")


def test_the_variables_that_were_chosen_outlive_a_reload(
    page: Page, memory: livequeue.Queue, tab: Callable[..., Any]
) -> None:
    fields = dict.fromkeys(("a", "b&c", "d[0, 1]", "é"), 1.0)
    with memory.publisher("many") as publisher:
        publisher({"type": "toy.step/1", "part": "p", "seq": 0, **fields})
        publisher.flush()
        opened = tab(page.url)
        playwright.expect(opened.get_by_test_id("number")).to_have_count(4)
        opened.get_by_test_id("pick").click()
        for name in ("a", "é"):
            opened.get_by_test_id("pick-options").get_by_label(name, exact=True).uncheck()
        playwright.expect(opened.get_by_test_id("number")).to_have_count(2)
        opened.reload()
        playwright.expect(opened.get_by_test_id("number")).to_have_count(2)
        see(opened, "numbers", "b&c")
        see(opened, "numbers", "d[0, 1]")
        # The address alone carries them, to another browser too; and the list's link to the run keeps them.
        other = tab(f"{page.url}#{opened.url.partition('#')[2]}")
        playwright.expect(other.get_by_test_id("number")).to_have_count(2)
        other.evaluate("location.hash = 'nothing'")
        see(other, "empty", "There is no run nothing")
        other.locator("[data-run=many] a").click()
        playwright.expect(other.get_by_test_id("number")).to_have_count(2)


def example() -> dict[str, str]:
    """The files of the worked example in docs/page.md."""
    text = (Path(__file__).parents[2] / "docs" / "page.md").read_text(encoding="utf-8")
    blocks = re.findall(r"`(\w+\.(?:py|js))`[^`](?:(?!```).)*?```(?:python|js)\n(.*?)```", text, flags=re.S)
    return dict(blocks)


def test_the_worked_example_of_a_view_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tab: Callable[..., Any]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("LIVE_QUEUE", raising=False)
    files = example()
    assert set(files) == {"swing.py", "pendulum.py", "pendulum.js"}
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    swing = subprocess.Popen([sys.executable, "swing.py"], cwd=tmp_path)
    try:
        with serving("--view", "pendulum:Pendulum", cwd=tmp_path) as address:
            opened = tab(address, allowed=("Failed to load resource",))
            see(opened, "about", "pendulum-1 · pendulum · running")
            wait_until(opened, "() => document.querySelector('[data-testid=angle-plot]')?.columns?.[0].length > 50")
            see(opened, "state", "ended")
            wait_until(opened, "() => document.querySelector('[data-testid=angle-plot]').columns[0].length === 600")
            columns = opened.evaluate("document.querySelector('[data-testid=angle-plot]').columns")
            time_ = np.arange(600) / 100
            np.testing.assert_allclose(columns[1], 0.3 * np.exp(-0.1 * time_) * np.cos(5 * time_), atol=1e-12)
            see(opened, "fact-swings", "5")
            see(opened, "fact-time", "5.99 s")
            see_ink(opened, "[data-testid=angle-plot] canvas")
    finally:
        swing.send_signal(signal.SIGINT)
        swing.wait()


def test_a_simulation_from_its_first_replication_to_its_end(
    page: Page, memory: livequeue.Queue, tab: Callable[..., Any], simulated: Callable[..., list[dict[str, Any]]]
) -> None:
    messages = simulated(300, failing=7)
    with memory.publisher("shop-1") as publisher:
        for message in messages[:100]:
            publisher(message)
        publisher.flush()
        opened = tab(page.url)
        see(opened, "about", "shop-1 · sim · running")
        wait_until(opened, "() => document.querySelector('[data-testid=metric-plot]')?.columns?.[0].length > 0")
        for message in messages[100:]:
            publisher(message)
    see(opened, "fact-status", "completed")
    see(opened, "fact-replications", "300 of 300")
    see(opened, "failures", "replication 7: Oops: no")
    see(opened, "resources", "barber")
    wait_until(opened, "() => document.querySelector('[data-testid=metric-plot]').columns[0].length === 300")
    columns = opened.evaluate("document.querySelector('[data-testid=metric-plot]').columns")
    high, low, value, mean = (np.array(column[10:], dtype=float) for column in columns[1:])
    assert (low < mean).all()
    assert (mean < high).all()
    assert (high - low)[-1] < (high - low)[0] / 3
    assert np.ptp(value) > (high - low)[-1]
    see_ink(opened, "[data-testid=metric-plot] canvas")


def publish_all(memory: livequeue.Queue, run: str, messages: list[dict[str, Any]]) -> None:
    with memory.publisher(run) as publisher:
        for message in messages:
            publisher(message)


def test_online_smc2_from_its_first_observation_to_its_end(
    page: Page, memory: livequeue.Queue, tab: Callable[..., Any], recorded: Callable[[str], list[dict[str, Any]]]
) -> None:
    messages = recorded("smc2")
    ahead = np.array([10.0, 20.0, 30.0, 40.0, 5000.0])[:, None, None] + np.arange(7)[:, None]
    messages = [m | {"forecast": ahead + m["t"]} if m["type"] == "smc2.step/1" else m for m in messages]
    steps = [message for message in messages if message["type"] == "smc2.step/1"]
    with memory.publisher("city") as publisher:
        for message in messages[:1]:
            publisher(message)
        publisher.flush()
        opened = tab(page.url)
        see(opened, "view", "No observation was taken in so far")
        for message in messages[1:40]:
            publisher(message)
        publisher.flush()
        # The state that the reports are of comes first, by itself, and large.
        see(opened, "first", "new")
        see_ink(opened, "[data-testid=fan-plot] canvas")
        for message in messages[40:]:
            publisher(message)
    see(opened, "fact-status", "completed")
    see(opened, "fact-observations", "70 of 70")
    see(opened, "fact-log-evidence", "-221.299")
    see(opened, "fact-rejuvenations", "7")
    see(opened, "legend", "bands: 50 % and 95 %. Points: observations.")
    see(opened, "parameters", "now 0.7981 · 95 % 0.5259 to 0.9927")
    wait_until(opened, "() => document.querySelector('[data-testid=fan-plot]').columns?.[0].length === 77")
    every = opened.evaluate("document.querySelector('[data-testid=fan-plot]').columns")
    columns = [column[:70] for column in every]
    expected = np.array([step["state"]["quantiles"][[4, 0, 3, 1, 2], 4] for step in steps]).T
    np.testing.assert_array_equal(columns[1:6], expected)
    observed = [None if np.isnan(step["y"][0]) else step["y"][0] for step in steps]
    assert columns[6] == observed
    assert None in observed
    # The forecast is ahead of it; its far ends do not press all else flat.
    assert every[0] == list(range(77))
    np.testing.assert_array_equal([column[70:] for column in every[7:]], (ahead + 69)[[4, 0, 3, 1, 2], :, 0])
    assert all(set(column[:70]) == {None} for column in every[7:])
    see(opened, "legend", "Ahead: the forecast of the next 7 observations.")
    moved = [step["t"] for step in steps if step["rejuvenated"]]
    at(opened, "acceptance-plot").scroll_into_view_if_needed()
    wait_until(
        opened, "n => document.querySelector('[data-testid=acceptance-plot]').columns?.[0].length === n", len(moved)
    )
    see_ink(opened, "[data-testid=ess-plot] canvas")
    # Another choice is another set of fans; where no state is chosen, none stands first.
    at(opened, "pick").click()
    for name in ("S", "E", "I", "new", "sigma", "nu"):
        at(opened, "pick-options").get_by_label(name, exact=True).uncheck()
    playwright.expect(at(opened, "fan")).to_have_count(2)
    assert at(opened, "first").locator("figure").count() == 0


def test_an_observation_that_is_set_right_is_drawn_in_its_place(
    page: Page, memory: livequeue.Queue, tab: Callable[..., Any], recorded: Callable[[str], list[dict[str, Any]]]
) -> None:
    messages = recorded("smc2-revised")
    newest = {step["t"]: step for step in messages if step["type"] == "smc2.step/1"}
    with memory.publisher("level") as publisher:
        for message in messages[:21]:
            publisher(message)
        publisher.flush()
        opened = tab(page.url)
        see(opened, "fact-observations", "20")
        wait_until(opened, "() => document.querySelector('[data-testid=fan-plot]')?.columns?.[0].length === 20")
        for message in messages[21:]:
            publisher(message)
    see(opened, "fact-revised", "1")
    told = [newest[t]["state"]["quantiles"][2, 0] for t in range(20)]
    wait_until(
        opened,
        "told => String(document.querySelector('[data-testid=fan-plot]').columns[5]) === String(told)",
        told,
    )


def test_bart_from_its_burn_in_to_its_end(
    page: Page, memory: livequeue.Queue, tab: Callable[..., Any], recorded: Callable[[str], list[dict[str, Any]]]
) -> None:
    messages = recorded("bart")
    draws = [message for message in messages if message["type"] == "bart.draw/1"]
    burning = [m for m in messages if m["type"] == "bart.progress/1" and m["chains"][0]["sweep"] < 6000]
    idle = burning[0] | {"chains": [{"chain": chain, "sweep": 0, "sigma": 1.1} for chain in (0, 1)]}
    with memory.publisher("friedman") as publisher:
        for message in (messages[0], idle):
            publisher(message)
        publisher.flush()
        opened = tab(page.url)
        see(opened, "fact-time-left", "compiling")
        for message in burning:
            publisher(message)
        publisher.flush()
        see(opened, "chain-1", "5\u2009649 of 6\u2009120")
        see(opened, "view", "No draws so far")
        see_ink(opened, "[data-testid=trace-plot] canvas")
        for message in draws:
            publisher(message)
        publisher(messages[-1])
    see(opened, "fact-status", "completed")
    see(opened, "fact-draws", "240")
    see(opened, "chain-0", "11.5 %")
    see(opened, "traces", "R-hat 1.069 ▲ not mixed")
    at(opened, "span-draws").click()
    wait_until(opened, "() => document.querySelector('[data-testid=trace-plot]').columns[0].length === 120")
    columns = opened.evaluate("document.querySelector('[data-testid=trace-plot]').columns.slice(1)")
    assert columns == [[m["sigma"] for m in draws if m["chain"] == chain] for chain in (0, 1)]
    rows = at(opened, "columns").locator("tbody tr")
    playwright.expect(rows).to_have_count(10)
    assert [rows.nth(place).locator("td").first.inner_text() for place in range(2)] == ["x0", "x1"]
    lengths = opened.evaluate("[...document.querySelectorAll('[data-testid=columns] .fill')].map(e => e.offsetWidth)")
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[0] > 10 * lengths[-1] > 0
    see(opened, "leaves", "48.1 %")


def test_the_views_of_engines_fit_a_narrow_screen(
    page: Page, memory: livequeue.Queue, tab: Callable[..., Any], recorded: Callable[[str], list[dict[str, Any]]]
) -> None:
    start, *rest = recorded("bart")
    names = [f"a_column_with_a_long_name_{place}" for place in range(10)]
    publish_all(memory, "bart", [start | {"columns": names}, *rest])
    publish_all(memory, "smc2", recorded("smc2"))
    opened = tab(f"{page.url}#smc2", width=375)
    see(opened, "fact-status", "completed")
    assert opened.evaluate("document.documentElement.scrollWidth") <= 375
    opened.evaluate("location.hash = 'bart'")
    see(opened, "columns", "a_column_with_a_long_name_0")
    assert opened.evaluate("document.documentElement.scrollWidth") <= 375


def test_settings_are_told_and_not_drawn(page: Page, memory: livequeue.Queue, tab: Callable[..., Any]) -> None:
    with memory.publisher("toy") as publisher:
        publisher({"type": "toy.start/1", "part": "run", "seq": 0, "settings": {"rate": 0.25}})
        publish(publisher, range(3))
        opened = tab(page.url)
        see(opened, "once", "settings.rate")
        see(opened, "once", "0.25")
        assert drawn_values(opened, 3) == [0.0, 1.0, 2.0]
        assert at(opened, "number").count() == 1


def test_a_view_whose_module_is_broken_is_told(
    tmp_path: Path, memory: livequeue.Queue, tab: Callable[..., Any]
) -> None:
    class Broken(Generic):
        name = "toy"
        script = tmp_path / "toy.js"

    Broken.script.write_text("export default function mount( {", encoding="utf-8")
    with Page(memory, token=TOKEN, views=[Broken]) as page, memory.publisher("toy") as publisher:
        publish(publisher, range(3))
        opened = tab(page.url, allowed=("Unexpected token",))
        see(opened, "told", "The view toy cannot be loaded")


def test_hostile_words_are_words(page: Page, memory: livequeue.Queue, tab: Callable[..., Any]) -> None:
    hostile = "<img src=/static/icon.svg onerror=alert(1)><script>alert(2)</script>"
    with memory.publisher("toy") as publisher:
        start = {"type": "toy.start/1", "part": "run", "seq": 0, "label": hostile, hostile: 1.5}
        publisher(start)
        publisher.flush()
        opened = tab(page.url)
        see(opened, "label", hostile)
        see(opened, "last", hostile)
        see(opened, "once", hostile)
    assert opened.locator("main img, main script, nav img, nav script").count() == 0


def test_without_the_token_there_is_nothing(page: Page, tab: Callable[..., Any]) -> None:
    opened = tab(page.url.replace(TOKEN, "wrong-token"), allowed=("403",))
    assert "needs the address that `live watch` printed" in opened.inner_text("body")
    assert opened.get_by_test_id("runs").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_narrow_screen_and_both_themes(
    scheme: str, page: Page, memory: livequeue.Queue, tab: Callable[..., Any]
) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    with memory.publisher("toy") as publisher:
        publish(publisher, range(50))
        opened = tab(page.url, width=375, color_scheme=scheme)
        drawn_values(opened, 50)
        assert opened.evaluate("document.documentElement.scrollWidth") <= 375
        own = opened.evaluate(background)
        assert own == {"light": "rgb(251, 250, 247)", "dark": "rgb(18, 23, 28)"}[scheme]
        for _ in range(2 if scheme == "light" else 1):
            at(opened, "theme").click()
        assert opened.evaluate(background) != own
        opened.reload()
        assert opened.evaluate(background) != own


def test_the_page_keeps_a_history_as_the_server_does(page: Page, tab: Callable[..., Any]) -> None:
    rng = np.random.default_rng(1)
    opened = tab(page.url)
    series = Series()
    opened.evaluate("async () => { window.kept = new (await import('/static/series.js')).Series() }")
    for size in (1, 499, 600, 3, 1900, 7000):
        values = rng.normal(size=size)
        values[rng.random(size) < 0.01] = np.nan
        first = max(0, series.count + int(rng.integers(-3, 4)))
        plain = [None if np.isnan(value) else value for value in values.tolist()]
        series.add(values, first)
        opened.evaluate("([values, first]) => kept.add(values, first)", [plain, first])
        found = opened.evaluate(
            "({count: kept.count, stride: kept.stride, low: kept.low, high: kept.high, tail: kept.tail})"
        )
        expected = {
            key: [None if value != value else value for value in item] if isinstance(item, list) else item
            for key, item in series.full().items()
        }
        assert found == {key: expected[key] for key in found}
    # Edges of bands: of a stretch of many steps the upper one is its greatest value, the lower one its least.
    columns = opened.evaluate(
        "async () => (await import('/static/series.js')).overview([kept, kept, kept], 0, ['high', 'low'])"
    )
    assert series.stride > 1
    assert len(columns[0]) == 2 * len(expected["low"])
    assert columns[1] == [value for value in expected["high"] for _ in range(2)]
    assert columns[2] == [value for value in expected["low"] for _ in range(2)]
    assert columns[3] == [value for pair in zip(expected["low"], expected["high"], strict=True) for value in pair]
