"""Replications on executors: the bits and the messages of those at home, also where workers are killed."""

import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from multiprocessing.forkserver import ensure_running
from typing import Any

import livesim as ls
import pytest
from livesim.compiler.table import compile_model
from livesim.engine.compiled import Compiled
from livesim.runtime import block as block_module
from livesim.runtime import collector as collector_module
from livesim.runtime.tasks import WorkersDied
from livesim_models import barbershop, factory
from livesim_runs import SERVICES, Ear, same

RUN: dict[str, Any] = {"n": 40, "until": 400.0, "seed": 8, "progress": False}


def forkserver() -> Any:
    """Workers are forked from a server that has imported livesim, and no thread yet."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["livesim.engine.compiled", "livesim.runtime.block", "distributed"])
    ensure_running()
    return context


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(2, mp_context=forkserver()) as made:
        yield made


def test_the_kernel_lets_other_threads_run() -> None:
    """Its clock is seen to move, from another thread, while it runs: it holds no lock of Python's."""
    simulation = Compiled(compile_model(barbershop())[0], 1)
    until, seen = 2e7, set()
    thread = threading.Thread(target=simulation.advance, args=(until,))
    thread.start()
    while thread.is_alive():
        seen.add(float(simulation.arrays.world[0]["now"]))
    assert len({now for now in seen if 0.0 < now < 0.999 * until}) > 2


def test_processes_give_the_same_bits_and_messages(pool: ProcessPoolExecutor) -> None:
    state = ls.run(factory(), 100.0, seed=3).snapshot
    ways: list[dict[str, Any]] = [{"every": 90.0, "events": True}, {"start": state, "n": 6}]
    for way in ways:
        at_home, away = Ear(), Ear()
        runs = ls.replicate(factory(), sink=at_home, **RUN | way)
        assert same(ls.replicate(factory(), sink=away, executor=pool, **RUN | way), runs)
        assert away.lossless() == at_home.lossless()


@pytest.mark.filterwarnings("ignore:1 of 6 replications failed")
def test_failures_come_home(pool: ProcessPoolExecutor) -> None:
    run = RUN | {"n": 6, "params": {"service": SERVICES}}
    assert ls.replicate(barbershop(), executor=pool, **run).errors == ls.replicate(barbershop(), **run).errors


def test_a_goal_is_reached_at_the_same_replication(pool: ProcessPoolExecutor) -> None:
    run = RUN | {"n": 500, "relative": {"barber.utilization": 0.05}}
    here = ls.replicate(barbershop(), **run)
    assert len(here) < 500
    assert same(ls.replicate(barbershop(), executor=pool, **run), here)


def test_workers_of_other_versions_are_refused() -> None:
    """Their numbers might be others."""
    home = block_module.versions

    class Old(Executor):
        def submit(self, function: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            future: Future[Any] = Future()
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(block_module, "versions", lambda: home() | {"livesim": "0.0.7"})
                future.set_result(function(*args, **kwargs))
            return future

    with pytest.raises(RuntimeError, match=rf"livesim is '{ls.__version__}' at home and '0.0.7' in this worker"):
        ls.replicate(barbershop(), executor=Old(), **RUN)


def test_a_lent_pool_that_breaks_keeps_what_was_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collector_module, "_BLOCK_SECONDS", 0.005)
    with ProcessPoolExecutor(2, mp_context=forkserver()) as lent:

        def kills(message: dict[str, Any]) -> None:
            if message["part"] == "replications" and message["seq"] == 20:
                os.kill(next(iter(lent._processes)), signal.SIGKILL)

        with pytest.raises(WorkersDied, match=r"executor=lambda: ProcessPoolExecutor\(...\)") as caught:
            ls.replicate(barbershop(), executor=lent, sink=kills, **RUN | {"n": 100_000})
    runs = caught.value.runs  # type: ignore[attr-defined]
    assert 20 < len(runs) < 100_000
    assert runs.rows[:30].tobytes() == ls.replicate(barbershop(), **RUN | {"n": 30}).rows[: len(runs)].tobytes()


def killer(
    workers: Callable[[], list[int]], at: set[int], ear: Ear
) -> tuple[Callable[[dict[str, Any]], None], list[int]]:
    """A sink that kills a worker when it hears of some replications, and whom it killed."""
    killed: list[int] = []

    def sink(message: dict[str, Any]) -> None:
        ear(message)
        if message["part"] == "replications" and message["seq"] in at and (alive := workers()):
            killed.append(alive[0])
            os.kill(alive[0], signal.SIGKILL)

    return sink, killed


def test_killed_processes_lose_and_double_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collector_module, "_BLOCK_SECONDS", 0.01)
    run, whole, ear, pools = RUN | {"n": 1_500}, Ear(), Ear(), []

    def make() -> Executor:
        pools.append(ProcessPoolExecutor(2, mp_context=forkserver()))
        return pools[-1]

    def workers() -> list[int]:
        return [pid for pid, process in dict(pools[-1]._processes or {}).items() if process.is_alive()]

    sink, killed = killer(workers, {10, 600}, ear)
    runs = ls.replicate(barbershop(), executor=make, sink=sink, **run)
    assert same(runs, ls.replicate(barbershop(), sink=whole, **run))
    assert ear.lossless() == whole.lossless()
    assert killed
    assert len(pools) > 1


def test_dask_workers_that_are_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    dask, distributed = pytest.importorskip("dask"), pytest.importorskip("distributed")  # no types, and slow to import
    monkeypatch.setattr(collector_module, "_BLOCK_SECONDS", 0.01)
    wanted = {
        "distributed.worker.multiprocessing-method": forkserver().get_start_method(),
        "distributed.deploy.lost-worker-timeout": "1 hour",
        "distributed.scheduler.allowed-failures": 0,
    }
    cores: dict[str, Any] = {"n_workers": 2, "threads_per_worker": 1, "processes": True}
    with (
        dask.config.set(wanted),
        distributed.LocalCluster(**cores, dashboard_address=":0", silence_logs=logging.CRITICAL) as cluster,
        distributed.Client(cluster) as client,
    ):

        def alive() -> list[int]:
            known = set(cluster.scheduler.workers)
            return [nanny.pid for nanny in list(cluster.workers.values()) if nanny.worker_address in known]

        run, whole, ear = RUN | {"n": 1_000}, Ear(), Ear()
        sink, killed = killer(alive, {10, 400}, ear)
        runs = ls.replicate(barbershop(), executor=client.get_executor(pure=False, retries=2), sink=sink, **run)
    assert same(runs, ls.replicate(barbershop(), sink=whole, **run))
    assert ear.lossless() == whole.lossless()
    assert killed
