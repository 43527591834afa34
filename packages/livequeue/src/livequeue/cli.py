"""livequeue runs|tail|export|delete: look at a queue from a terminal."""

import argparse
import json
import math
import os
import signal
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from typing import IO, Any

import numpy as np

from . import __version__
from .endpoint import default_url
from .errors import QueueError
from .protocol import Message
from .queue import Queue, connect


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    options = _parser().parse_args(arguments)
    url = options.queue or os.environ.get("LIVE_QUEUE") or default_url()
    try:
        with connect(url) as queue:
            return int(options.command(queue, options) or 0)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BrokenPipeError:  # e.g. piped into head; what is still buffered must not complain at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (QueueError, KeyError, ValueError, OSError) as error:
        print(f"livequeue: {error.args[0] if isinstance(error, KeyError) else error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="livequeue", description="Look at a queue of live results.")
    parser.add_argument("--version", action="version", version=f"livequeue {__version__}")
    commands = parser.add_subparsers(required=True, metavar="runs|tail|export|delete")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--queue",
        metavar="URL",
        help="the queue; by default $LIVE_QUEUE, else the user's own (embedded:///...)",
    )
    reading = argparse.ArgumentParser(add_help=False)
    reading.add_argument("run", help="the run's id")
    reading.add_argument("--parts", nargs="+", metavar="PART", help="only these parts (shell patterns)")
    reading.add_argument("--types", nargs="+", metavar="TYPE", help="only these message types (shell patterns)")

    runs = commands.add_parser("runs", parents=[common], help="list the runs, oldest first")
    runs.set_defaults(command=_runs)
    tail = commands.add_parser("tail", parents=[common, reading], help="print messages as they come")
    tail.add_argument("--follow", action=argparse.BooleanOptionalAction, default=True, help="wait for more (default)")
    tail.set_defaults(command=_tail)
    export = commands.add_parser("export", parents=[common, reading], help="write stored messages as JSON lines")
    export.add_argument("--out", metavar="FILE", help="write to this file; by default to standard output")
    export.set_defaults(command=_export)
    delete = commands.add_parser("delete", parents=[common], help="delete a run")
    delete.add_argument("run", help="the run's id")
    delete.set_defaults(command=_delete)
    return parser


def _runs(queue: Queue, options: argparse.Namespace) -> None:
    for run in queue.runs():
        info = queue.info(run)
        created = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(info.created))
        print(f"{run}  {created}  {info.status:8}  {sum(info.parts.values()):>8} messages  {info.label}")


def _tail(queue: Queue, options: argparse.Namespace) -> None:
    _check_run(queue, options)
    with queue.subscribe(options.run, follow=options.follow, parts=options.parts, types=options.types) as messages:
        _write(messages, sys.stdout, flush=True)


def _export(queue: Queue, options: argparse.Namespace) -> None:
    _check_run(queue, options)
    with ExitStack() as stack:
        out = stack.enter_context(open(options.out, "w", encoding="utf-8")) if options.out else sys.stdout
        messages = queue.subscribe(options.run, follow=False, parts=options.parts, types=options.types)
        _write(stack.enter_context(messages), out, flush=False)


def _delete(queue: Queue, options: argparse.Namespace) -> None:
    _check_run(queue, options)
    queue.delete(options.run)


def _check_run(queue: Queue, options: argparse.Namespace) -> None:
    # Waiting for a run that has not begun is what `tail` is for; the others need one.
    if options.command is not _tail or not options.follow:
        queue.info(options.run)
    elif options.run not in queue.runs():
        print(f"livequeue: no run {options.run!r} yet; waiting for it (Ctrl-C ends)", file=sys.stderr)


def _write(messages: Iterable[Message], out: IO[str], flush: bool) -> None:
    for message in messages:
        print(to_json(message), file=out, flush=flush)
    out.flush()


def to_json(message: Message) -> str:
    """Return the message as one line of JSON: arrays as lists, NaN and infinities as strings."""
    return json.dumps(_jsonable(message), ensure_ascii=False, allow_nan=False)


def _jsonable(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return _jsonable(value.tolist())
    if isinstance(value, dict):
        return {key: _jsonable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_jsonable(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value
