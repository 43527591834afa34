"""Chains on executors: the bits, and the messages, of chains at home, however often workers are killed."""

import contextlib
import logging
import multiprocessing
import os
import random
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing.forkserver import ensure_running
from pathlib import Path
from typing import Any

import livenuts as ln
import numpy as np
import pytest
from livenuts.runtime import chain as chain_module
from livenuts.runtime import record as record_module
from livenuts.runtime import remote as remote_module
from livenuts.runtime.tasks import WorkersDied
from livenuts_faults import FileSink
from livenuts_portable import MODELS, fingerprint
from test_resume import Ear, closure

RUN: dict[str, Any] = {"num_warmup": 150, "num_samples": 250, "num_chains": 3, "seed": 8, "progress": False}


@pytest.fixture(scope="module", autouse=True)
def compiled_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Workers share JAX's cache of compiled programs, so that a new one need not compile."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path_factory.mktemp("compiled")))
        yield


def forkserver() -> Any:
    """Workers are forked from a server that has imported livenuts, and no thread yet: a new one is there at once.

    A module that makes JAX arrays, as livenuts_portable does, would start threads there, and forked workers hang.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["livenuts.runtime.remote", "distributed"])
    ensure_running()
    return context


def processes(workers: int = 2) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, mp_context=forkserver())


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as made:
        yield made


@pytest.fixture(scope="module", params=["pooled", "independent"])
def whole(request: pytest.FixtureRequest) -> tuple[dict[str, Any], ln.Result, Ear]:
    run, ear = RUN | {"adaptation": request.param}, Ear()
    return run, ln.sample(MODELS["function"], sink=ear, **run), ear


def test_threads_and_processes_give_the_same_bits(
    whole: tuple[dict[str, Any], ln.Result, Ear], pool: ProcessPoolExecutor
) -> None:
    run, result, ear = whole
    executors: list[Any] = [lambda: ThreadPoolExecutor(2), pool]
    for executor in executors:
        again = Ear()
        made = ln.sample(MODELS["function"], executor=executor, sink=again, **run)
        assert fingerprint(made) == fingerprint(result)
        assert again.parts == ear.parts
        assert (made.status, made.lengths) == ("completed", [250] * 3)
        np.testing.assert_array_equal(made.tuning.step_size, result.tuning.step_size)


def test_a_remote_sink_is_called_in_the_workers(
    whole: tuple[dict[str, Any], ln.Result, Ear], pool: ProcessPoolExecutor, tmp_path: Path
) -> None:
    run, result, ear = whole
    sink = FileSink(str(tmp_path))
    assert fingerprint(ln.sample(MODELS["function"], executor=pool, sink=sink, **run)) == fingerprint(result)
    lines = sink.lines()
    assert {process for process, _, _ in lines["run"]} == {os.getpid()}
    for part, heard in ear.parts.items():
        assert [seq for _, seq, _ in lines[part]] == sorted(heard)
        assert [text for _, _, text in lines[part]] == [text.replace("\n", " ") for text in heard.values()]
        assert part == "run" or os.getpid() not in {process for process, _, _ in lines[part]}


@pytest.mark.parametrize("name", ["numpyro", "log density"])
def test_every_kind_of_model_travels(pool: ProcessPoolExecutor, name: str) -> None:
    run = RUN | {"num_chains": 2}
    made = ln.sample(MODELS[name], executor=pool, **run)
    assert fingerprint(made) == fingerprint(ln.sample(MODELS[name], **run))


def test_a_large_model_is_sent_to_workers_that_lack_it(
    pool: ProcessPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_module, "_LARGE", 0)
    monkeypatch.setattr(remote_module, "_TASK_SECONDS", 0.005)
    run = RUN | {"num_samples": 5000}
    model = MODELS["builder"].with_data(n=[1, 1, 2, 3, 5])
    made = ln.sample(model, executor=pool, **run)
    assert fingerprint(made) == fingerprint(ln.sample(model, **run))
    assert remote_module.advance({"model": None, "key": "unknown"}) == {"missing": True}
    twin = ln.Model.from_json(model.to_json()).det("extra", ln.ref("noise"))  # the same density, more to keep
    assert ln.sample(twin, executor=pool, **RUN).draws.keys() - made.draws.keys() == {"extra"}


def test_resumed_and_extended_on_an_executor(pool: ProcessPoolExecutor) -> None:
    store: dict[str, bytes] = {}
    asked = iter(range(10_000))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ln.sample(MODELS["function"], checkpoint=store, stop=lambda: next(asked) > 5, **RUN)
    result = ln.sample(MODELS["function"], **RUN)
    assert fingerprint(ln.resume(store, executor=pool, progress=False)) == fingerprint(result)
    longer = ln.sample(MODELS["function"], **RUN | {"num_samples": 300})
    assert fingerprint(ln.extend(result, 50, executor=pool, progress=False)) == fingerprint(longer)


def test_ctrl_c_keeps_what_was_drawn(pool: ProcessPoolExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_module, "_TASK_SECONDS", 0.02)

    def sink(message: dict[str, Any]) -> None:
        if message["part"] == "chain-1" and message["seq"] == 300:
            signal.raise_signal(signal.SIGINT)

    store: dict[str, bytes] = {}
    run = RUN | {"num_samples": 20_000}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = ln.sample(MODELS["function"], executor=pool, sink=sink, checkpoint=store, **run)
    assert made.status == "interrupted"
    assert max(made.lengths) > 0
    whole = ln.sample(MODELS["function"], **run)
    assert fingerprint(ln.resume(store, executor=pool, progress=False)) == fingerprint(whole)


# -- what does not work, says so ---------------------------------------------------------------------------------------


def test_what_cannot_travel_is_refused_at_the_door(pool: ProcessPoolExecutor) -> None:
    heard: list[Any] = []
    with pytest.raises(TypeError, match=r"has no import path.*top level of a module"):
        ln.sample(closure(1.0), executor=pool, sink=heard.append, **RUN)
    assert heard == []
    made = ln.sample(closure(1.0), executor=lambda: ThreadPoolExecutor(2), **RUN)  # a thread needs no path
    assert fingerprint(made) == fingerprint(ln.sample(closure(1.0), **RUN))
    sink = FileSink("nowhere")
    sink.lock = threading.Lock()  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match=r"sink cannot travel.*without remote=True it is called here"):
        ln.sample(MODELS["function"], executor=pool, sink=sink, **RUN)
    with pytest.raises(TypeError, match=r"executor must be a concurrent.futures.Executor or a function"):
        ln.sample(MODELS["function"], executor="dask", **RUN)  # type: ignore[arg-type]


def test_workers_of_other_versions_are_refused() -> None:
    """Their draws would be other draws."""
    home = remote_module.versions

    class Old(Executor):
        def submit(self, function: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            future: Future[Any] = Future()
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(remote_module, "versions", lambda: home() | {"livenuts": "0.0.7"})
                future.set_result(function(*args, **kwargs))
            return future

    with pytest.raises(RuntimeError, match=rf"livenuts is '{ln.__version__}' at home and '0.0.7' in this worker"):
        ln.sample(MODELS["function"], executor=Old(), **RUN)


def test_a_sink_that_raises_here_or_there_ends_the_run(pool: ProcessPoolExecutor, tmp_path: Path) -> None:
    def fails(message: dict[str, Any]) -> None:
        if message["part"] == "chain-1" and message["seq"] == 3:
            raise OSError("no listener")

    with pytest.raises(OSError, match="no listener"):
        ln.sample(MODELS["function"], executor=pool, sink=fails, **RUN)
    (tmp_path / "chain-2").mkdir()  # a folder where the worker wants to write a file
    with pytest.raises(IsADirectoryError) as caught:
        ln.sample(MODELS["function"], executor=pool, sink=FileSink(str(tmp_path)), **RUN)
    assert "in chain 2" in caught.value.__notes__


def test_a_lent_pool_that_breaks_keeps_what_was_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_module, "_TASK_SECONDS", 0.02)
    run = RUN | {"num_samples": 100_000, "num_chains": 2}
    with processes() as lent:

        def sink(message: dict[str, Any]) -> None:
            if message["part"] == "chain-0" and message["seq"] == 500:
                os.kill(next(iter(lent._processes)), signal.SIGKILL)

        with pytest.raises(WorkersDied, match=r"executor=lambda: ProcessPoolExecutor\(...\)") as caught:
            ln.sample(MODELS["function"], executor=lent, sink=sink, **run)
    error: Any = caught.value
    kept, chains = error.result.num_draws, np.flatnonzero(error.result.lengths)
    assert 0 < kept < 100_000
    short = ln.sample(MODELS["function"], **run | {"num_samples": kept})
    np.testing.assert_array_equal(short.draws["noise"][chains], error.result.draws["noise"])


# -- workers that are killed -------------------------------------------------------------------------------------------


class Killer(threading.Thread):
    """Kills a worker at random moments, each after work was done since the last."""

    def __init__(self, workers: Callable[[], list[int]], seed: int, most: int) -> None:
        super().__init__(daemon=True)
        self.workers, self.random, self.most = workers, random.Random(seed), most
        self.kills, self.done, self.over = 0, threading.Event(), threading.Event()

    def run(self) -> None:
        while self.kills < self.most and not self.over.is_set():
            self.done.clear()
            if not self.done.wait(30.0) or self.over.is_set():
                return
            time.sleep(self.random.uniform(0.0, 0.3))
            workers = self.workers()
            if workers and not self.over.is_set():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.random.choice(workers), signal.SIGKILL)
                    self.kills += 1


Elsewhere = contextlib.AbstractContextManager[tuple[Any, Callable[[], list[int]]]]
"""An executor, or a function that makes one, and the process ids of its workers."""


@contextlib.contextmanager
def replaced_pools() -> Iterator[tuple[Any, Callable[[], list[int]]]]:
    pools: list[ProcessPoolExecutor] = []

    def make() -> Executor:
        pools.append(processes())
        return pools[-1]

    yield make, lambda: [pid for pid, process in dict(pools[-1]._processes or {}).items() if process.is_alive()]


@contextlib.contextmanager
def dask_cluster() -> Iterator[tuple[Any, Callable[[], list[int]]]]:
    """Two processes of two threads; nannies replace the dead, however often they die, and dask gives up at once."""
    dask, distributed = pytest.importorskip("dask"), pytest.importorskip("distributed")  # no types, and slow to import
    cores: dict[str, Any] = {"n_workers": 2, "threads_per_worker": 2, "processes": True}
    wanted = {
        "distributed.worker.multiprocessing-method": forkserver().get_start_method(),
        "distributed.deploy.lost-worker-timeout": "1 hour",
        "distributed.scheduler.allowed-failures": 0,
    }
    with (
        dask.config.set(wanted),
        distributed.LocalCluster(**cores, dashboard_address=":0", silence_logs=logging.CRITICAL) as cluster,
        distributed.Client(cluster) as client,
    ):

        def alive() -> list[int]:
            known = set(cluster.scheduler.workers)
            return [nanny.pid for nanny in list(cluster.workers.values()) if nanny.worker_address in known]

        yield client.get_executor(pure=False, retries=2), alive


@pytest.mark.parametrize(("elsewhere", "kills_by_default"), [(replaced_pools, 20), (dask_cluster, 4)])
def test_killed_workers_lose_and_double_nothing(
    elsewhere: Callable[[], Elsewhere],
    kills_by_default: int,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    """Real SIGKILLs at random moments (LIVE_KILLS: more): every draw of an undisturbed run is there, once."""
    seed = int(os.environ.get("LIVE_SEED") or random.SystemRandom().randrange(2**32))
    wanted = int(os.environ.get("LIVE_KILLS") or (200 if os.environ.get("LIVE_LONG") == "1" else kills_by_default))
    print(f"LIVE_SEED={seed}")
    record_property("seed", seed)
    monkeypatch.setattr(remote_module, "_TASK_SECONDS", 0.02)
    monkeypatch.setattr(record_module, "_SECONDS", 0.1)
    run = RUN | {"num_samples": 8_000, "num_chains": 4}
    undisturbed = {
        adaptation: ln.sample(MODELS["builder"], adaptation=adaptation, **run)
        for adaptation in ("pooled", "independent")
    }
    kills = runs = 0
    killer = Killer(list, seed, 0)
    absorb = chain_module.ChainRun.absorb

    def absorbed(self: Any, *args: Any, **kwargs: Any) -> None:
        absorb(self, *args, **kwargs)
        killer.done.set()

    monkeypatch.setattr(chain_module.ChainRun, "absorb", absorbed)
    with elsewhere() as (executor, workers):
        while kills < wanted:
            adaptation = ("pooled", "independent")[runs % 2]
            killer = Killer(workers, seed + runs, wanted - kills)
            folder = tmp_path / str(runs)
            folder.mkdir()
            sink = FileSink(str(folder))
            killer.start()
            try:
                made = ln.sample(
                    MODELS["builder"], adaptation=adaptation, executor=executor, checkpoint={}, sink=sink, **run
                )
            finally:
                killer.over.set()
                killer.done.set()
                killer.join()
            assert fingerprint(made) == fingerprint(undisturbed[adaptation]), f"LIVE_SEED={seed}"
            for chain in range(4):
                lines = sink.lines()[f"chain-{chain}"]
                texts = {seq: text for _, seq, text in lines}
                assert sorted(texts) == list(range(8_000))
                assert len(set(lines)) >= len(texts) == len({(seq, text) for _, seq, text in lines})
            kills, runs = kills + killer.kills, runs + 1
    print(f"{kills} kills in {runs} runs")
