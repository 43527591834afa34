"""`live run factory-twin`: start the plant as a process of its own, follow it with a twin, write the report."""

import argparse
import contextlib
import secrets
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import livequeue
from rich.console import Console

from ..errors import BadInput
from ..queues import open_queue
from ..resume import command_of, remember
from ..serving import page_of, report_path
from .plant import Drift, Plant
from .recipe import NUTS_SUFFIX, PLANT_SUFFIX, run
from .report import headline, report
from .twin import Settings

DESCRIPTION = """A factory and its digital twin. The plant, a process of its own, only publishes what happens; its
machines drift, and it never says how. The twin learns them from history (NUTS), tracks them (SMC²), simulates the shop
from now on over what it believes (livesim), and ends with what to buy and what matters (BART)."""
EXAMPLE_DRIFT = "mill.service@16*1.2"
DRIFT = f"a planted change; default {EXAMPLE_DRIFT}: the mill is a fifth slower from shift 16 on; 'none': none"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `live run factory-twin`."""
    default = Settings()
    add = parser.add_argument
    add("--shifts", type=int, default=32, metavar="N", help="how many shifts the plant works (%(default)s)")
    add("--drift", action="append", metavar="P@S*F", help=DRIFT)
    add("--follow", metavar="RUN", help="follow a plant that another program publishes, and start none")
    add("--run", metavar="ID", help="name of the run; one that was cut short goes on (default: a new one)")
    add("--report", metavar="FILE", help="where the HTML report goes (default: report-RUN.html)")
    add("--speed", type=float, default=0.0, metavar="N", help="shifts a second; 0: no waiting (default)")
    add("--seed", type=int, metavar="N", help="the same seed gives the same messages (default: random, and shown)")
    add("--quiet", action="store_true", help="say nothing at all")
    add(
        "--page", action=argparse.BooleanOptionalAction, help="a live page while the run lasts (default: in a terminal)"
    )
    add("--open", action="store_true", help="open that page")
    add("--history", type=int, default=default.history, help="shifts to learn from before tracking (%(default)s)")
    add("--draws", type=int, default=default.draws, help="draws of the parameters in each outlook (%(default)s)")
    add("--frozen", action="store_true", help="never learn after the history, to see what becomes of such a twin")
    add("--no-advice", action="store_true", help="leave out what to buy and what matters")


def execute(options: argparse.Namespace, queue_url: str) -> int:
    """Run the recipe; return the exit code."""
    seed = secrets.randbits(31) if options.seed is None else options.seed
    if not 0 <= seed < 2**31:
        raise BadInput(f"--seed {seed}: must be at least 0 and below 2^31")
    if not 0 <= options.speed < float("inf"):
        raise BadInput(f"--speed {options.speed}: must be 0 (no waiting) or a number of shifts a second")
    try:
        settings = Settings(history=options.history, draws=options.draws, frozen=options.frozen)
        drifts = _drifts(options.drift)
    except ValueError as error:
        raise BadInput(f"--{error}") from None
    if options.shifts <= options.history:
        raise BadInput(f"--shifts {options.shifts}: must be more than the history's {options.history}")
    if queue_url.startswith("memory:") or queue_url == "embedded://":
        raise BadInput(
            f"--queue {queue_url}: plant and twin are two processes and need a queue that both reach, such as "
            "embedded:///folder"
        )
    name = options.run or f"twin-{secrets.token_hex(3)}"
    path = report_path(options.report or f"report-{name}.html")
    plant = options.follow or name + PLANT_SUFFIX
    console = Console(quiet=options.quiet)
    interrupted = threading.Event()

    def interrupt(number: int, _: object) -> None:
        if interrupted.is_set():
            raise SystemExit(128 + number)
        interrupted.set()
        with contextlib.suppress(RuntimeError):  # the signal came in the middle of another line
            console.print("stopping; again to abandon", markup=False, highlight=False)

    with open_queue(queue_url) as queue:
        for each in (name, plant) if options.follow is None else (name,):
            queue.request_stop(each, False)
        if command_of(queue, name) is None:  # a run of this id with other content is left alone
            remember(queue, name, [*shlex.split(_command(options, seed))[1:], f"--run={name}"])
        requested = queue.stop(name)
        previous = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            with (
                _plant(options, queue, plant, seed, drifts),
                page_of(options, queue, name, console),
                queue.publisher(name) as sink,
                queue.publisher(name + NUTS_SUFFIX) as nuts_sink,
            ):
                end = run(
                    _told(queue, plant, interrupted),
                    _Telling(sink, console),
                    seed,
                    settings,
                    nuts_sink=nuts_sink,
                    checkpoint=queue.store(name),
                    stop=lambda: interrupted.is_set() or requested(),
                    advise=not options.no_advice,
                )
        except livequeue.Conflict:
            raise BadInput(
                f"--run {name}: this run is on the queue with other content; choose another id, or none"
            ) from None
        except ValueError as error:
            raise BadInput(str(error)) from None
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler or signal.SIG_DFL)
        messages = list(queue.subscribe(name, follow=False))
        path.write_text(report(name, messages, _command(options, seed)), encoding="utf-8")
    console.print()
    console.print(headline(end), style="bold", markup=False, highlight=False)
    console.print(
        f"\nreport  {path.resolve()}\nrun     {name}; seed {seed}", markup=False, highlight=False, soft_wrap=True
    )
    return 130 if interrupted.is_set() else 0


def _told(queue: livequeue.Queue, plant: str, interrupted: threading.Event) -> Iterator[dict[str, Any]]:
    """What the plant says, to its end, or to an interruption."""
    cursor = None
    while not interrupted.is_set():
        with queue.subscribe(plant, after=cursor, timeout=0.5) as messages:
            yield from messages
            cursor = messages.cursor
            if messages.ended:
                return


class _Telling:
    """A sink that says each shift in a line, too."""

    def __init__(self, sink: Any, console: Console) -> None:
        self.sink, self.console = sink, console
        self.flush = sink.flush

    def __call__(self, message: dict[str, Any]) -> None:
        self.sink(message)
        if message["type"] == "twin.shift/1":
            self.console.print(shift_line(message), markup=False, highlight=False, soft_wrap=True)


def shift_line(message: dict[str, Any]) -> str:
    """One shift in one line."""
    kpis, text = message["kpis"], f"shift {message['shift'] + 1:3d}  "
    for kpi, unit in (("throughput", "jobs"), ("lead", "min"), ("wip", "in the shop")):
        text += f"{kpis[kpi]:.0f} {unit}"
        if message["expected"]:
            low, *_, high = message["expected"][kpi]["quantiles"]
            text += f" ({low:.0f} to {high:.0f})"
        text += "   "
    text = text.rstrip()
    changed = ", ".join(f"{each['parameter']} x {each['factor']:.2f}" for each in message["changed"])
    return text + (f"   {changed}" if changed else "")


def _drifts(given: list[str] | None) -> tuple[Drift, ...]:
    from .line import default_line

    if given == ["none"]:
        return ()
    drifts = tuple(Drift.parse(text) for text in given or [EXAMPLE_DRIFT])
    Plant(default_line(), 0, drifts)  # its parameters exist
    return drifts


@contextlib.contextmanager
def _plant(
    options: argparse.Namespace, queue: livequeue.Queue, run: str, seed: int, drifts: tuple[Drift, ...]
) -> Iterator[None]:
    """The plant as a process of its own; one that dies is started again, and says the same."""
    if options.follow is not None:
        yield
        return
    command = [sys.executable, "-m", "liverecipes.twin.plant", "--queue", queue.url, "--run", run]
    command += ["--shifts", str(options.shifts), "--seed", str(seed), "--speed", str(options.speed)]
    for drift in drifts:
        command += ["--drift", f"{drift.parameter}@{drift.shift}*{drift.factor}/{drift.over}"]
    over = threading.Event()

    def keep() -> None:
        while not over.is_set():
            # A session of its own: Ctrl-C in the terminal is the twin's to answer.
            with subprocess.Popen(command, start_new_session=True) as process:
                while process.poll() is None and not over.wait(0.05):
                    pass
                if process.poll() is None:
                    process.terminate()
            if process.returncode == 0:
                return
            over.wait(0.5)

    keeper = threading.Thread(target=keep, daemon=True)
    keeper.start()
    try:
        yield
    finally:
        over.set()
        keeper.join()


def _command(options: argparse.Namespace, seed: int) -> str:
    """The command line that repeats the run's messages."""
    words = ["live", "run", "factory-twin", "--seed", str(seed), "--shifts", str(options.shifts)]
    for drift in options.drift or []:
        words += ["--drift", drift]
    default = Settings()
    for option in ("history", "draws"):
        if getattr(options, option) != getattr(default, option):
            words += [f"--{option}", str(getattr(options, option))]
    words += ["--frozen"] * options.frozen + ["--no-advice"] * options.no_advice
    if options.follow is not None:
        words += ["--follow", options.follow]
    return shlex.join(words)
