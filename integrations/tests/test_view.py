"""The terminal view: it fits 24 lines of 80, says the same without colour, and hears only the queue."""

import io

import livequeue
from liverecipes.spc.data import load
from liverecipes.spc.recipe import Settings, run
from liverecipes.spc.view import View, Watch
from rich.console import Console


def watched(settings: Settings, count: int | None = None) -> Watch:
    watch = Watch("spc-test")
    nile = load("nile")

    def hear(message: dict[str, object]) -> None:
        if count is None or len(watch.points) < count:
            watch.consume(message)

    run(nile, settings, 1, hear, hear)
    return watch


def picture(watch: Watch, width: int = 80, height: int = 24) -> str:
    console = Console(file=io.StringIO(), width=width, height=height, record=True)
    console.print(watch)
    return console.export_text()


def test_at_the_end_it_shows_chart_runs_alarms_and_chains() -> None:
    nile = load("nile")
    text = picture(watched(Settings(prior=nile.prior, num_warmup=150, num_samples=50)))
    lines = text.splitlines()
    assert len(lines) <= 23
    assert max(map(len, lines)) <= 80
    for words in ("nile  point 100 of 100", "1871", "1970", "alarms: 2", "1902: likeliest run: since 1899", "1899 ███"):
        assert words in text
    assert sum("chain " in line and "draw    50" in line for line in lines) == 4
    assert text.count("●") > 40


def test_before_the_first_message_and_during_phase_one() -> None:
    assert "waiting for the first message" in picture(Watch("spc-test"))
    text = picture(watched(Settings(nuts=False), count=4))
    assert "learning what is normal: 4 of 10" in text
    assert "○" in text
    assert "not asked for" in text


def test_any_size_of_terminal() -> None:
    watch = watched(Settings(nuts=False))
    for width, height in ((40, 10), (80, 24), (250, 60)):
        assert max(map(len, picture(watch, width, height).splitlines())) <= width


def test_hostile_names_reach_no_terminal() -> None:
    watch = watched(Settings(nuts=False))
    assert watch.start is not None
    watch.start["data"]["name"] = "\x1b]0;gone\x07[red]x"
    watch.alarms = [("\x1b[2J", "[link=x]y")]
    text = picture(watch)
    assert "\x1b" not in text
    assert "[red]x" in text


def test_a_plain_listener_gets_lines(memory: livequeue.Queue) -> None:
    nile = load("nile")
    out = io.StringIO()
    settings = Settings(prior=nile.prior, num_warmup=50, num_samples=50, num_chains=2)
    view = View(memory, "r", Console(file=out, width=200))
    with memory.publisher("r") as sink, memory.publisher("r.nuts") as nuts_sink, view:
        run(nile, settings, 1, sink, nuts_sink)
    lines = out.getvalue().splitlines()
    assert lines[0] == "nile: 100 points, seed 1"
    assert "1902: alarm: likeliest run: since 1899" in lines
    assert lines[-1].startswith("NUTS completed: 100 draws")


def test_a_terminal_gets_a_picture_that_moves(memory: livequeue.Queue) -> None:
    nile = load("nile")
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=80, height=24, _environ={"TERM": "xterm"})
    with memory.publisher("r") as sink, memory.publisher("r.nuts") as nuts_sink, View(memory, "r", console):
        run(nile, Settings(prior=nile.prior, nuts=False), 1, sink, nuts_sink)
    assert "point 100 of 100" in out.getvalue()
    assert "1902: likeliest run: since 1899" in out.getvalue()
