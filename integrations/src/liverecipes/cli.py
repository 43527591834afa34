"""The `live` command: list and run recipes; list, follow, watch, stop and resume runs on the queue."""

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import livequeue
import numpy as np
from rich.console import Console

from . import __version__
from .errors import BadInput
from .queues import open_queue
from .resume import command_of, resume
from .spc import command as spc
from .terminal import printable
from .twin import command as twin

FINE, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0 fine, 1 the queue failed, 2 bad input, 130 Ctrl-C.

    `live run` and `live watch` ended by SIGTERM give 143.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without these characters is no reason to stop
    options = _parser().parse_args(argv)
    url = options.queue or os.environ.get("LIVE_QUEUE") or livequeue.default_url()
    try:
        code: int = options.execute(options, url)
        sys.stdout.flush()
    except BrokenPipeError:  # e.g. `live tail RUN | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FINE
    except KeyboardInterrupt:
        return INTERRUPTED
    except livequeue.QueueError as error:
        _complain(error)
        return FAILED
    except (BadInput, OSError) as error:
        _complain(error)
        return BAD_INPUT
    return code


def _complain(error: Exception) -> None:
    print(f"live: {printable(' '.join(str(error).splitlines()))}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="live", description="Live recipes: every result is a message on a queue.")
    parser.add_argument("--version", action="version", version=f"live {__version__}")
    queue = argparse.ArgumentParser(add_help=False)
    queue.add_argument(
        "--queue",
        metavar="URL",
        help="embedded:///folder, redis://host:6379/0, ... (default: $LIVE_QUEUE, or one a user)",
    )
    commands = parser.add_subparsers(required=True, dest="command")

    run = commands.add_parser("run", help="run a recipe")
    recipes = run.add_subparsers(required=True, dest="recipe")
    recipe = recipes.add_parser(
        "spc", parents=[queue], help="statistical process control with a live changepoint", description=spc.DESCRIPTION
    )
    spc.add_arguments(recipe)
    recipe.set_defaults(execute=spc.execute)
    recipe = recipes.add_parser(
        "factory-twin", parents=[queue], help="a factory that drifts, and its twin", description=twin.DESCRIPTION
    )
    twin.add_arguments(recipe)
    recipe.set_defaults(execute=twin.execute)

    listing = commands.add_parser("list", help="list the recipes")
    listing.set_defaults(execute=_list, queue=None, recipes=recipes.choices)
    runs = commands.add_parser("runs", parents=[queue], help="list the runs on the queue")
    runs.set_defaults(execute=_runs)
    tail = commands.add_parser("tail", parents=[queue], help="follow a run, a line a message, to its end")
    tail.add_argument("run", metavar="RUN")
    tail.add_argument("--json", action="store_true", help="each message as one line of JSON; NaN becomes null")
    tail.set_defaults(execute=_tail)
    watch = commands.add_parser("watch", parents=[queue], help="show runs in a browser or here, while they happen")
    watch.add_argument("run", nargs="?", metavar="RUN", help="the run to show first (default: the newest)")
    watch.add_argument("--port", type=int, default=0, metavar="N", help="where the page is (default: any free port)")
    watch.add_argument(
        "--token",
        metavar="T",
        help="what the address must hold to be answered (default: $LIVE_TOKEN, or a new one); "
        "other users of this machine may see it in the list of processes",
    )
    watch.add_argument("--token-file", metavar="FILE", help="read the token from a file, such as /dev/stdin")
    watch.add_argument("--open", action="store_true", help="open the page in the browser")
    watch.add_argument("--terminal", action="store_true", help="the same numbers here, to the run's end, and no page")
    watch.add_argument(
        "--view",
        action="append",
        default=[],
        metavar="MODULE:CLASS",
        help="a view of messages of your own, found from this folder on (docs/page.md); may be repeated",
    )
    watch.set_defaults(execute=_watch)
    stop = commands.add_parser("stop", parents=[queue], help="ask a run to stop, and keep what it has")
    stop.add_argument("run", metavar="RUN")
    stop.set_defaults(execute=_stop)
    again = commands.add_parser("resume", parents=[queue], help="go on with a run whose process is gone")
    again.add_argument("run", metavar="RUN")
    again.set_defaults(execute=_resume)
    return parser


def _list(options: argparse.Namespace, url: str) -> int:
    width = max(map(len, options.recipes))
    for name, parser in options.recipes.items():
        print(f"{name:<{width}}  {_first_sentence(parser.description)}")
    print("\nlive run RECIPE --help: its options; live runs: what has run")
    return FINE


def _first_sentence(text: str) -> str:
    first = " ".join(text.split()).split(". ", 1)[0]
    return first if first.endswith(".") else first + "."


def _runs(options: argparse.Namespace, url: str) -> int:
    with open_queue(url) as queue:
        infos = [queue.info(run) for run in queue.runs()]
    if not infos:
        print("No runs on the queue yet. Try: live run spc")
        return FINE
    now = time.time()
    rows = [("RUN", "WHAT", "AGE", "MESSAGES", "STATUS")]
    for info in infos:
        age = _age(now - info.created)
        rows.append((info.run, printable(info.label), age, str(sum(info.parts.values())), info.status))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return FINE


def _tail(options: argparse.Namespace, url: str) -> int:
    with open_queue(url) as queue:
        _known(queue, options.run)
        for message in queue.subscribe(options.run):
            if options.json:
                print(json.dumps(_jsonable(message), ensure_ascii=False), flush=True)
            else:
                print(line(message), flush=True)
    return FINE


def _watch(options: argparse.Namespace, url: str) -> int:
    # The web server and the views take a while to import, and no other command needs them.
    from .page import Page
    from .page.terminal import Terminal

    previous = signal.signal(signal.SIGTERM, _terminate)
    try:
        with open_queue(url, deadline=0.5) as queue:
            if options.run is not None:
                _known(queue, options.run)
            if options.terminal:
                _no_page(options)
                return FINE if Terminal(queue, options.run, Console()).show() else FAILED
            views = [_view(name) for name in options.view]
            with Page(queue, run=options.run, port=options.port, token=_token(options), views=views) as page:
                print(f"{page.url}\nCtrl-C ends the page; runs go on without it", flush=True)
                if options.open:
                    page.open()
                page.wait()
    finally:
        signal.signal(signal.SIGTERM, previous)
    return FAILED  # nobody ended it


def _no_page(options: argparse.Namespace) -> None:
    """Raise where something was asked of the page that is not served."""
    asked = {"--port": options.port, "--open": options.open, "--view": options.view}
    asked |= {"--token": options.token, "--token-file": options.token_file}
    if given := [name for name, value in asked.items() if value]:
        raise BadInput(f"{given[0]} is about the page, and --terminal serves none: leave one of them out")


def _token(options: argparse.Namespace) -> str | None:
    if options.token is not None and options.token_file is not None:
        raise BadInput("--token and --token-file: give one of them")
    if options.token_file is not None:
        return Path(options.token_file).read_text(encoding="utf-8", errors="replace").strip()
    return options.token or os.environ.get("LIVE_TOKEN") or None


def _view(name: str) -> Any:
    """Import a view that is named as `module:Class`, looked for in this folder too."""
    module, _, cls = name.partition(":")
    if not cls:
        raise BadInput(f"--view {name}: must be MODULE:CLASS, such as pendulum:Pendulum for pendulum.py in this folder")
    sys.path.insert(0, os.getcwd())
    try:
        return getattr(import_module(module), cls)
    except (ImportError, AttributeError, ValueError) as error:
        raise BadInput(f"--view {name}: {error}") from None
    finally:
        sys.path.pop(0)


def _terminate(number: int, _: object) -> None:
    raise SystemExit(128 + number)


def _stop(options: argparse.Namespace, url: str) -> int:
    with open_queue(url) as queue:
        _known(queue, options.run)
        info = queue.info(options.run)
        if info.ended:
            raise BadInput(f"{options.run}: this run has ended ({info.status}); there is nothing to stop")
        queue.request_stop(options.run)
    print(f"asked {options.run} to stop")
    return FINE


def _resume(options: argparse.Namespace, url: str) -> int:
    with open_queue(url) as queue:
        _known(queue, options.run)
        info = queue.info(options.run)
        if info.ended:
            raise BadInput(f"{options.run}: this run has ended ({info.status}); there is nothing to resume")
        words = command_of(queue, options.run)
        if words is None:
            result = resume(queue, options.run)
            print(f"{options.run}: {printable(repr(result))}")
            return INTERRUPTED if getattr(result, "status", None) == "interrupted" else FINE
    again = _parser().parse_args([*words, "--queue", url])
    code: int = again.execute(again, url)
    return code


def _known(queue: livequeue.Queue, run: str) -> None:
    runs = queue.runs()
    if run not in runs:
        newest = f"; the newest is {runs[-1]}" if runs else ""
        raise BadInput(f"{run}: no such run on the queue{newest} (live runs shows all)")


def line(message: dict[str, Any]) -> str:
    """Return one readable line of a message, whatever its type."""
    head = f"{message['part']} {message['seq']} "
    if message["type"] == "spc.point/1":
        value = "missing" if message["x"] is None else f"{message['x']:g}"
        alarms = "".join(f"  ALARM {alarm['text']}" for alarm in message["alarms"])
        recent = f"P(recent change) {message['recent']:.3f}  run {message['run_length']}"
        body = f"{message['label']}: {value}  {recent}{alarms}"
    else:
        fields = {key: value for key, value in message.items() if key not in ("type", "part", "seq")}
        body = f"{message['type']} " + "  ".join(f"{key}={_brief(value)}" for key, value in fields.items())
    return printable(head + body)


def _brief(value: Any) -> str:
    if isinstance(value, float | np.floating):
        return f"{value:.6g}"
    if isinstance(value, np.ndarray) and value.ndim == 0:
        return _brief(value[()])
    if isinstance(value, np.ndarray | list | tuple):
        shown = " ".join(_brief(item) for item in list(value)[:6])
        return f"[{shown}{' ...' if len(value) > 6 else ''}]"
    if isinstance(value, dict):
        return "{" + " ".join(f"{key}={_brief(item)}" for key, item in value.items()) + "}"
    return str(value)


def _jsonable(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _jsonable(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _jsonable(value.tolist())
    if isinstance(value, list | tuple):
        return [_jsonable(item) for item in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def _age(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


if __name__ == "__main__":
    raise SystemExit(main())
