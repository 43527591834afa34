"""An engine's run on workers that are killed, over the queue: the stream and the result of an undisturbed run."""

import multiprocessing
import os
import signal
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import livenuts as ln
import livequeue
import livesim as ls
import numpy as np
from livenuts import dist

RUN: dict[str, Any] = {"num_samples": 20_000, "num_chains": 2, "seed": 3, "progress": False}


def model() -> ln.Model:
    return ln.Model("pair").rv("a", dist.Normal(0, 1)).rv("b", dist.Normal("a", 1), shape=2)


def stream(queue: livequeue.Queue, run: str) -> dict[str, list[Any]]:
    """The lossless messages of a run by part, as they compare."""
    found: dict[str, list[Any]] = {}
    for message in queue.subscribe(run, follow=False, parts=["run", "chain-*"]):
        if "/" not in message["part"]:
            values = {name: np.asarray(value).tobytes() for name, value in message.get("values", {}).items()}
            rest = {key: value for key, value in message.items() if key != "values"}
            found.setdefault(message["part"], []).append((str(rest), values))
    return found


def test_a_killed_worker_leaves_no_trace_on_the_queue() -> None:
    with livequeue.connect("embedded://") as queue:
        with queue.publisher("whole") as sink:
            whole = ln.sample(model(), sink=sink, **RUN)
        pools: list[ProcessPoolExecutor] = []

        def pool() -> ProcessPoolExecutor:
            pools.append(ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")))
            return pools[-1]

        def kill() -> None:
            """As soon as a worker's first draws are on the queue."""
            while not queue.length("killed") or "chain-1" not in queue.info("killed").parts:
                time.sleep(0.01)
            os.kill(next(iter(pools[-1]._processes)), signal.SIGKILL)

        killer = threading.Thread(target=kill)
        killer.start()
        with queue.publisher("killed") as sink:
            killed = ln.sample(model(), sink=sink, executor=pool, checkpoint=queue.store("killed"), **RUN)
        killer.join()
        assert len(pools) == 2
        np.testing.assert_array_equal(killed.draws["b"], whole.draws["b"])
        undisturbed = stream(queue, "whole")
        assert len(undisturbed["chain-0"]) == 20_000
        assert stream(queue, "killed") == undisturbed
        with queue.publisher("killed") as sink:  # a finished run, read again and sent again
            read = ln.resume(queue.store("killed"), sink=sink, progress=False)
        np.testing.assert_array_equal(read.draws["b"], whole.draws["b"])
        assert stream(queue, "killed") == undisturbed


def shop() -> ls.Model:
    made = ls.Model("shop").resource("barber")
    every, service = ls.arrive(every=ls.exponential(mean=10.0)), ls.hold(ls.exponential(mean=7.0))
    return made.process("customer", every, ls.seize("barber"), service, ls.release("barber"), ls.depart())


def test_killed_replications_leave_no_trace_on_the_queue() -> None:
    asked: dict[str, Any] = {"n": 800, "until": 500.0, "seed": 3, "progress": False}
    with livequeue.connect("embedded://") as queue:
        with queue.publisher("whole") as sink:
            whole = ls.replicate(shop(), sink=sink, **asked)
        pools: list[ProcessPoolExecutor] = []
        killed: list[int] = []

        def pool() -> ProcessPoolExecutor:
            pools.append(ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")))
            return pools[-1]

        with queue.publisher("killed") as sink:

            def kills(message: dict[str, Any]) -> None:
                sink(message)
                if message["part"] == "replications" and message["seq"] == 20:
                    killed.append(next(iter(pools[-1]._processes)))
                    os.kill(killed[-1], signal.SIGKILL)

            runs = ls.replicate(shop(), sink=kills, executor=pool, checkpoint=queue.store("killed"), **asked)
        assert killed
        assert len(pools) > 1
        assert runs.rows.tobytes() == whole.rows.tobytes()
        undisturbed = messages(queue, "whole")
        assert len(undisturbed["replications"]) == 800
        assert messages(queue, "killed") == undisturbed
        with queue.publisher("killed") as sink:  # a finished run, read again and sent again
            read = ls.resume(queue.store("killed"), sink=sink, progress=False)
        assert read.rows.tobytes() == whole.rows.tobytes()
        assert messages(queue, "killed") == undisturbed


def messages(queue: livequeue.Queue, run: str) -> dict[str, list[str]]:
    """The lossless messages of a simulation by part."""
    found: dict[str, list[str]] = {}
    for message in queue.subscribe(run, follow=False, parts=["run", "replications"]):
        found.setdefault(message["part"], []).append(repr(message))
    return found
