"""Messages a second from publication to the live page: through the hub alone, and to the clients of its server.

    python benchmarks/page.py [--messages 200000] [--repeats 5] [--write]

A publisher, `live watch` and each client are processes of their own, with an embedded store between them. A client is
a plain HTTP connection that reads the page's server-sent events. Live: from the publisher's first call until the event
that holds the last message has come to every client. Stored: the messages are there already, and a reader in this
process takes them: the subscription alone, then with the page's view (the hub's thread).
"""

import argparse
import contextlib
import http.client
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import livequeue
import numpy as np
from liverecipes.page.watch import Watch
from report import command, machine, publish, table, versions

RUN = "bench"
Make = Callable[[int], Iterator[dict[str, Any]]]


def nuts_draws(count: int) -> Iterator[dict[str, Any]]:
    """Draws of 10 numbers and 5 statistics, of two chains in turn."""
    values = np.random.default_rng(0).normal(size=(count, 10))
    stats = {"lp": -41.2, "diverging": False, "tree_depth": 3, "step_size": 0.2, "acceptance_rate": 0.9}
    settings = {"num_warmup": 0, "num_samples": count // 2, "num_chains": 2}
    variables = [{"name": "theta", "shape": [10], "dims": None}]
    start = {"type": "nuts.start/1", "part": "run", "seq": 0, "model": "bench", "seed": 0, "digest": ""}
    yield start | {"settings": settings, "variables": variables}
    for i in range(count):
        draw, chain = divmod(i, 2)
        yield {
            "type": "nuts.draw/1", "part": f"chain-{chain}", "seq": draw, "chain": chain, "draw": draw,
            "values": {"theta": values[i]}, "stats": stats,
        }  # fmt: skip


def steps(count: int) -> Iterator[dict[str, Any]]:
    """Messages of an engine that the page does not know, of three numbers."""
    for i in range(count):
        yield {
            "type": "toy.step/1",
            "part": "steps",
            "seq": i,
            "time": i * 0.5,
            "level": i % 17,
            "mean": 0.1,
            "sd": 2.0,
        }


KINDS: dict[str, Make] = {"draws of NUTS": nuts_draws, "steps, shown plainly": steps}


def taken(view: dict[str, Any]) -> int:
    """How many messages, beside a start, are in what a page was sent."""
    if view["view"] == "nuts":
        return sum(int(chain["draws"]) for chain in view["chains"])
    return int(view["messages"])


def send(url: str, kind: str, count: int) -> None:
    """Publish the first message; when told to, the others, and print when that began and ended."""
    first, *rest = KINDS[kind](count)
    with livequeue.connect(url) as queue, queue.publisher(RUN) as sink:
        sink(first)
        sink.flush()
        print("ready", flush=True)
        sys.stdin.readline()
        began = time.monotonic()
        for message in rest:
            sink(message)
        sink.flush()
        print(began, time.monotonic(), flush=True)


def listen(port: int, token: str, count: int) -> None:
    """Read the page's events until they hold `count` messages; print when that was, and how many events there were."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", f"/events?run={RUN}", headers={"Cookie": f"live-{port}={token}"})
    answer = connection.getresponse()
    assert answer.status == 200
    events, shown = 0, False
    for line in answer:
        if line.startswith(b"event: "):
            shown = line == b"event: view\n"
        elif shown and line.startswith(b"data: "):
            if not events:
                print("ready", flush=True)
            events += 1
            if taken(json.loads(line[6:])) >= count:
                break
    print(time.monotonic(), events, flush=True)


@contextlib.contextmanager
def worker(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A process of this program, or of `live`, that has said its first word."""
    with subprocess.Popen(
        [sys.executable, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def says(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def live(url: str, kind: str, count: int, clients: int) -> tuple[float, float, float]:
    """Messages a second that were published, that came to all clients, and events a second to one of them."""
    with contextlib.ExitStack() as stack:
        watch = stack.enter_context(worker("-m", "liverecipes.cli", "watch", "--queue", url))
        found = re.search(r":(\d+)/\?token=([\w-]+)", says(watch))
        assert found is not None
        me = str(Path(__file__))
        listeners = [
            stack.enter_context(worker(me, "--listen", found[1], found[2], str(count))) for _ in range(clients)
        ]
        publisher = stack.enter_context(worker(me, "--send", url, kind, str(count)))
        for each in (publisher, *listeners):
            assert says(each) == "ready\n"
        assert publisher.stdin is not None
        publisher.stdin.write("go\n")
        publisher.stdin.flush()
        began, stored = map(float, says(publisher).split())
        ends = [says(each).split() for each in listeners]
    last = max(float(end) for end, _ in ends)
    return count / (stored - began), count / (last - began), int(ends[0][1]) / (last - began)


def stored(queue: livequeue.Queue, kind: str, count: int) -> tuple[float, float, float]:
    """Messages a second of a reader of what is stored: the subscription alone, and the hub's with its view.

    The third is the hub's processor time, in microseconds a message, pictures at ten a second included.
    """
    with queue.publisher(RUN) as sink:
        for message in KINDS[kind](count):
            sink(message)
    total = sum(queue.info(RUN).parts.values())
    began = time.perf_counter()
    with queue.subscribe(RUN, follow=False) as messages:
        assert sum(1 for _ in messages) == total
    alone = total / (time.perf_counter() - began)
    began, used = time.perf_counter(), time.process_time()
    watch = Watch(queue, RUN, 0.0)
    while (picture := watch.picture(None, [])) is None or taken({"view": picture.view} | picture.data) < count:
        time.sleep(0.1)
    seconds, used = time.perf_counter() - began, time.process_time() - used
    watch.close()
    watch.join(2.0)
    return alone, total / seconds, 1e6 * used / total


def main() -> None:
    if sys.argv[1:2] == ["--send"]:
        send(sys.argv[2], sys.argv[3], int(sys.argv[4]))
        return
    if sys.argv[1:2] == ["--listen"]:
        listen(int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=200_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--clients", type=int, nargs="*", default=[1, 8])
    parser.add_argument("--write", action="store_true", help="write benchmarks/results/page.md")
    options = parser.parse_args()
    busy = os.getloadavg()[1]
    found: dict[tuple[str, str], list[float]] = {}
    for _ in range(options.repeats):
        for kind in KINDS:
            rates: dict[str, float] = {}
            with tempfile.TemporaryDirectory(prefix="lq-") as folder:
                with livequeue.connect(f"embedded://{folder}/stored") as queue:
                    alone, hub, used = stored(queue, kind, options.messages)
                    rates |= {"read, stored": alone, "hub, stored": hub, "hub, microseconds": used}
                for clients in options.clients:
                    url = f"embedded://{folder}/live-{clients}"
                    with livequeue.connect(url):  # the store lasts as long as this
                        rates["published"], rates[f"to {clients}"], rates[f"events to {clients}"] = live(
                            url, kind, options.messages, clients
                        )
            for name, rate in rates.items():
                found.setdefault((kind, name), []).append(rate)
            print(kind, {name: round(rate) for name, rate in rates.items()}, file=sys.stderr)

    def cell(kind: str, name: str) -> str:
        runs = found[kind, name]
        form = "{:.1f}" if "microseconds" in name else "{:,.0f}"
        low, middle, high = (form.format(rate) for rate in (min(runs), statistics.median(runs), max(runs)))
        return f"{middle} ({low} to {high})"

    names = ["read, stored", "hub, stored", "hub, microseconds", *(f"to {clients}" for clients in options.clients)]
    heads = ["messages a second", "read alone, stored", "hub alone, stored", "its processor time a message, µs"]
    heads += [f"live to {n} client{'s' if n > 1 else ''}" for n in options.clients]
    rates_of_events = ", ".join(
        f"{statistics.median(found[kind, f'events to {n}']):.1f}" for kind in KINDS for n in options.clients
    )
    lines = [
        "# The page: messages a second",
        "",
        f"{versions('livequeue', 'livenuts', 'redis', 'hiredis', 'uvicorn')}; {machine()}. `{command()}`.",
        f"{options.messages:,} messages of one publishing process; medians of {options.repeats} interleaved runs",
        "(smallest to largest). Live: from the first publication until every client, a process with a plain HTTP",
        f"connection, had them all; publisher, store, server and clients share {os.cpu_count()} cores, with others'",
        f"work where the load average over the five minutes before is not small: it was {busy:.1f}.",
        "",
        *table(heads, [[kind, *(cell(kind, name) for name in names)] for kind in KINDS]),
        f"Events a second to a client, in the order of the table: {rates_of_events}; the server's limit is 10.",
    ]
    publish("page", lines, options.write)


if __name__ == "__main__":
    main()
