"""`live run spc`: read the data, run the recipe on the queue, show it, write the report."""

import argparse
import contextlib
import os
import re
import secrets
import shlex
import signal
import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import livequeue
from rich.console import Console

from ..errors import BadInput
from ..executors import FORMS, open_executor
from ..queues import open_queue
from ..resume import command_of, remember
from ..serving import page_of, report_path
from ..terminal import printable
from .conjugate import NormalInverseGamma
from .data import BUILT_IN, Series, load
from .recipe import NUTS_SUFFIX, Settings, run
from .report import report
from .verdict import unmonitored, verdict
from .view import View

DESCRIPTION = """Bayesian statistical process control with a live changepoint: a predictive chart with limits, online
changepoint detection (Adams and MacKay 2007), and at the end NUTS for when the process changed, from what to what."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `live run spc`."""
    default = Settings()
    add = parser.add_argument
    add("--data", default="nile", metavar="NAME|FILE", help=f"{', '.join(BUILT_IN)}, or a CSV file (default: nile)")
    add("--column", metavar="NAME", help="the column of a CSV file, by its name or by its number from 1")
    add("--run", metavar="ID", help="name of the run on the queue (default: a new one)")
    add("--report", metavar="FILE", help="where the HTML report goes (default: report-RUN.html)")
    add("--speed", type=float, metavar="N", help="points a second; 0: no waiting (default: all in ten seconds)")
    add("--seed", type=int, metavar="N", help="the same seed gives the same messages (default: random, and shown)")
    add("--no-view", action="store_true", help="no live view, only the answer")
    add("--quiet", action="store_true", help="say nothing at all")
    add(
        "--page",
        action=argparse.BooleanOptionalAction,
        help="a live page for the browser while the run lasts (default: if this is a terminal)",
    )
    add("--open", action="store_true", help="open that page")
    model = parser.add_argument_group("what is normal, and what is an alarm")
    add = model.add_argument
    add("--k", type=float, default=default.k, help="limits of the chart, in sigma (default: %(default)g)")
    add(
        "--hazard",
        type=float,
        default=default.hazard,
        help="prior probability of a change after any point (%(default)g)",
    )
    add(
        "--window",
        type=int,
        default=default.window,
        help="alarm on P(a change within the last WINDOW points) ... (%(default)s)",
    )
    add("--threshold", type=float, default=default.threshold, help="... above this (%(default)g)")
    add("--phase1", type=int, metavar="N", help=f"the first N observations set the prior ({default.phase_one})")
    add(
        "--prior",
        metavar="M,KAPPA,A,B",
        help="Normal-inverse-gamma prior of a level and its variance, instead of --phase1",
    )
    add(
        "--prior-change",
        type=float,
        default=default.prior_change,
        help="prior probability of a change at all (%(default)g)",
    )
    sampler = parser.add_argument_group("NUTS")
    add = sampler.add_argument
    add("--executor", metavar="WHERE", help=f"where chains are sampled: {FORMS} (default: in threads)")
    add("--no-nuts", action="store_true", help="exact posterior only")
    add("--warmup", type=int, default=default.num_warmup, metavar="N", help="warm-up iterations a chain (%(default)s)")
    add("--draws", type=int, default=default.num_samples, metavar="N", help="draws a chain (%(default)s)")
    add("--chains", type=int, default=default.num_chains, metavar="N", help="chains (%(default)s)")


def execute(options: argparse.Namespace, queue_url: str) -> int:
    """Run the command and return its exit code; raises BadInput and `livequeue.QueueError`."""
    series = load(options.data, options.column)
    settings = _settings(options, series)
    seed = secrets.randbits(32) if options.seed is None else options.seed
    if not 0 <= seed < 2**63:
        raise BadInput(f"--seed {seed}: must be at least 0 and below 2^63")
    if options.speed is not None and not 0 <= options.speed < float("inf"):
        raise BadInput(f"--speed {options.speed}: must be 0 (no waiting) or a number of points a second")
    name = options.run or f"spc-{_slug(series.name)}-{secrets.token_hex(3)}"
    path = report_path(options.report or f"report-{name}.html")
    count = len(series.values)
    pause = min(0.5, 10 / count) if options.speed is None else 1 / options.speed if options.speed else 0.0
    command = _command(options, seed)
    console = Console(quiet=options.quiet)
    interrupted = threading.Event()
    caught: list[int] = []
    with open_executor(options.executor) as executor, open_queue(queue_url) as queue:
        try:
            requests = queue.stop(name), queue.stop(name + NUTS_SUFFIX)
        except livequeue.InvalidMessage as error:
            raise BadInput(f"--run: {error}") from None
        for each in (name, name + NUTS_SUFFIX):  # a request to stop was meant for the run that had this id before
            queue.request_stop(each, False)

        def stop() -> bool:
            return interrupted.is_set() or any(requested() for requested in requests)

        def wait() -> None:
            if pause:
                interrupted.wait(pause)

        def interrupt(number: int, _: object) -> None:
            if caught:
                raise SystemExit(128 + number)
            caught.append(number)
            interrupted.set()
            with contextlib.suppress(RuntimeError):  # the signal came in the middle of another line
                console.print("stopping; again to abandon", markup=False, highlight=False)

        previous = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            with (
                page_of(options, queue, name, console),
                queue.publisher(name) as sink,
                queue.publisher(name + NUTS_SUFFIX) as nuts_sink,
            ):
                if command_of(queue, name) is None:  # a run of this id with other content is left alone
                    remember(queue, name, _again(options, command, name))
                if options.quiet or options.no_view:
                    run(series, settings, seed, sink, nuts_sink, stop=stop, wait=wait, executor=executor)
                else:
                    with View(queue, name, console):
                        run(series, settings, seed, sink, nuts_sink, stop=stop, wait=wait, executor=executor)
        except livequeue.Conflict:
            raise BadInput(
                f"--run {name}: this run is already on the queue with other content; choose another id, or none"
            ) from None
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler or signal.SIG_DFL)
        messages = list(queue.subscribe(name, follow=False))
        with queue.subscribe(name + NUTS_SUFFIX, follow=False, types="nuts.draw/1") as draws:
            path.write_text(report(name, messages, draws, command), encoding="utf-8")
    _say(console, messages, name, path, seed, _hints(options, queue_url, name))
    return 128 + caught[0] if caught else 0


def _settings(options: argparse.Namespace, series: Series) -> Settings:
    prior = series.prior
    if options.prior is not None:
        if options.phase1 is not None:
            raise BadInput("--prior and --phase1: give one of them")
        try:
            m, kappa, a, b = (float(number) for number in options.prior.split(","))
        except ValueError:
            raise BadInput(
                f"--prior {options.prior}: must be four numbers M,KAPPA,A,B, such as 900,0.01,1,1e4"
            ) from None
        prior = NormalInverseGamma(m, kappa, a, b)
    elif options.phase1 is not None:
        prior = None
    try:
        return _asked(options, prior)
    except ValueError as error:
        raise BadInput(f"--{error}") from None


def _asked(options: argparse.Namespace, prior: NormalInverseGamma | None) -> Settings:
    return Settings(
        k=options.k,
        hazard=options.hazard,
        window=options.window,
        threshold=options.threshold,
        phase_one=Settings().phase_one if options.phase1 is None else options.phase1,
        prior=prior,
        prior_change=options.prior_change,
        nuts=not options.no_nuts,
        num_warmup=options.warmup,
        num_samples=options.draws,
        num_chains=options.chains,
    )


def _command(options: argparse.Namespace, seed: int) -> str:
    """Return the command line that repeats the run's messages."""
    words = ["live", "run", "spc", "--data", options.data, "--seed", str(seed)]
    asked = Settings()
    same = {
        "column": None, "k": asked.k, "hazard": asked.hazard, "window": asked.window, "threshold": asked.threshold,
        "phase1": None, "prior": None, "prior_change": asked.prior_change, "warmup": asked.num_warmup,
        "draws": asked.num_samples, "chains": asked.num_chains,
    }  # fmt: skip
    for option, default in same.items():
        value = getattr(options, option)
        if value != default:
            words += [f"--{option.replace('_', '-')}={value}"]
    if options.no_nuts:
        words.append("--no-nuts")
    return shlex.join(words)


def _again(options: argparse.Namespace, command: str, name: str) -> list[str]:
    """Return the command line that goes on with the run from elsewhere; its data stay where they were."""
    words = shlex.split(command)[1:]
    if options.data not in BUILT_IN:
        words[words.index("--data") + 1] = str(Path(options.data).resolve())
    if options.executor is not None:
        words.append(f"--executor={options.executor}")
    if options.speed is not None:
        words.append(f"--speed={options.speed}")
    return [*words, f"--run={name}"]


def _hints(options: argparse.Namespace, queue_url: str, name: str) -> list[str]:
    """Return the commands to type next; a queue that ended with this process has nothing to list or follow."""
    live = os.environ.get("LIVE_PROGRAM", "live")  # where the command is, if not on the path of who will type it
    where = ""
    if options.queue:
        where = " --queue " + ("URL" if urlsplit(queue_url).password else shlex.quote(queue_url))
    hints = [f"{live} runs{where}", f"{live} tail {name}{where}"]
    if queue_url == "embedded://" or queue_url.startswith("memory://"):
        hints = []
    return [*hints, f"{live} run spc --data yours.csv"]


def _say(console: Console, messages: list[dict[str, Any]], name: str, path: Path, seed: int, hints: list[str]) -> None:
    end = next(message for message in messages if message["type"] == "spc.end/1")
    points = [message for message in messages if message["type"] == "spc.point/1" and message["x"] is not None]
    answer = verdict(end, [point["label"] for point in points], [point["x"] for point in points])

    console.print()
    for text, style in ((answer.sentence, "bold"), (answer.detail, ""), (unmonitored(points), "")):
        if not text:
            continue
        console.print(printable(text), style=style, markup=False, highlight=False, soft_wrap=not console.is_terminal)
    console.print()
    for text in (
        f"report  {path.resolve()}",
        f"run     {name}; seed {seed}",
        f"sampler {name}{NUTS_SUFFIX}" if end["nuts"] is not None else "",
        *(f"{'next' if index == 0 else '':<8}{hint}" for index, hint in enumerate(hints)),
    ):
        if text:
            console.print(text, markup=False, highlight=False, soft_wrap=True)


def _slug(name: str) -> str:
    """Return what of a file's name can stand in a run id."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name.rsplit(".", 1)[0]).strip("-")[:40] or "data"
