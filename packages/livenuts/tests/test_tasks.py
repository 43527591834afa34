"""The task loop: results in order, errors with names, workers that die, on real pools of threads and processes."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from livenuts.runtime.tasks import Workers, WorkersDied
from livenuts_faults import (
    Awkward,
    count_up,
    die_always,
    die_in_mid_sentence,
    die_once,
    fail,
    fail_awkwardly,
    nap,
    square,
)


def spawned(workers: int = 2) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"))


def threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(3)


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessPoolExecutor]:
    """One pool of processes for the tests that break none."""
    with spawned() as made:
        yield made


class Inline(Executor):
    """The contract and nothing else: tasks run when they are submitted."""

    def submit(self, function: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(function(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future


class Forgetful(Inline):
    """Tasks run, and so many results are lost: their futures have an error of the executor's, or are cancelled."""

    def __init__(self, losses: int, error: Exception | None) -> None:
        self.losses, self.error = losses, error

    def submit(self, function: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future = super().submit(function, *args, **kwargs)
        if self.losses == 0:
            return future
        self.losses -= 1
        lost: Future[Any] = Future()
        if self.error is None:
            lost.cancel()
        else:
            lost.set_exception(self.error)
        return lost


class Silent(Inline):
    """No future ever finishes."""

    def submit(self, function: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        return Future()


def test_results_are_in_the_order_of_the_tasks(pool: ProcessPoolExecutor) -> None:
    for executor in (threads, pool, Inline()):
        with Workers(executor) as workers:
            assert workers.run(square, [3, -1, 2, 0]) == [9, 1, 4, 0]
            assert workers.run(nap, [0.2, 0.0, 0.1]) == [0.2, 0.0, 0.1]
            assert workers.run(square, []) == []


def test_a_lent_executor_stays_open_and_a_made_one_is_shut(pool: ProcessPoolExecutor) -> None:
    with Workers(pool) as workers:
        workers.run(square, [1])
    assert pool.submit(square, 2).result() == 4
    made: list[ThreadPoolExecutor] = []
    with Workers(lambda: made.append(threads()) or made[0]) as workers:  # type: ignore[func-returns-value]
        workers.run(square, [1])
    with pytest.raises(RuntimeError, match="after shutdown"):
        made[0].submit(square, 1)


def test_an_error_names_its_task(pool: ProcessPoolExecutor) -> None:
    for executor in (threads, pool):
        with Workers(executor) as workers, pytest.raises(ValueError, match="2 is not wanted") as caught:
            workers.run(fail, [1, 2, 3], names=["left", "middle", "right"])
        assert caught.value.__notes__ == ["in middle"]
        assert executor is threads or "livenuts_faults.py" in str(caught.value.__cause__)  # where it was, elsewhere


def test_an_error_that_cannot_travel_comes_as_its_words(pool: ProcessPoolExecutor) -> None:
    """Unpickled as it is, it would break the pool for everybody."""
    with Workers(pool) as workers:
        with pytest.raises(RuntimeError, match="Awkward: odd"):
            workers.run(fail_awkwardly, [1])
        assert workers.run(square, [2]) == [4]
    with Workers(threads) as workers, pytest.raises(Awkward):  # a thread's error has nowhere to travel to
        workers.run(fail_awkwardly, [1])


def test_what_cannot_travel_is_refused_by_name(pool: ProcessPoolExecutor) -> None:
    with Workers(pool) as workers:
        with pytest.raises(TypeError, match=r"the task's function cannot travel.*worker can import"):
            workers.run(lambda task: task, [1])
        with pytest.raises(TypeError, match="chain 0: 'lock' cannot travel"):
            workers.run(count_up, [{"made": [], "lock": threading.Lock()}], names=["chain 0"])
    with Workers(threads) as workers:
        assert workers.run(lambda task: task + 1, [1]) == [2]


def test_work_goes_on_until_it_says_so(pool: ProcessPoolExecutor) -> None:
    heard: list[tuple[int, int]] = []

    def then(index: int, result: dict[str, Any]) -> dict[str, Any] | None:
        heard.append((index, len(result["made"])))
        return result if len(result["made"]) < 3 + index else None

    for executor in (threads, pool):
        heard.clear()
        with Workers(executor) as workers:
            results = workers.run(count_up, [{"made": []}, {"made": []}], then=then)
        assert [result["made"] for result in results] == [[0, 1, 2], [0, 1, 2, 3]]
        assert [made for index, made in heard if index == 1] == [1, 2, 3, 4]


def test_stop_begins_nothing_more() -> None:
    began = time.monotonic()
    with Workers(lambda: ThreadPoolExecutor(1)) as workers:
        results = workers.run(nap, [0.2] * 50, then=lambda *_: 0.2, stop=lambda: time.monotonic() > began + 0.3)
    assert results[0] == 0.2  # what had begun was waited for
    assert results.count(None) > 40


def test_ctrl_c_leaves_at_once_and_begins_nothing_more() -> None:
    begun: list[int] = []

    def task(number: int) -> None:
        begun.append(number)
        if number == 0:
            signal.raise_signal(signal.SIGINT)
        time.sleep(0.1)

    with pytest.raises(KeyboardInterrupt), Workers(lambda: ThreadPoolExecutor(1)) as workers:
        workers.run(task, range(100))
    assert len(begun) < 10


def test_a_killed_worker_is_replaced(tmp_path: Path) -> None:
    with Workers(lambda: spawned(1)) as workers:
        assert workers.run(die_once, [(5, str(tmp_path))]) == [5]
        assert workers.rebuilt == 1


def test_a_worker_killed_while_it_sends_a_result_is_noticed(tmp_path: Path) -> None:
    """The pool itself waits for ever for the rest of the result."""
    with Workers(spawned) as workers:
        tasks = [(number, str(tmp_path)) for number in range(2)]
        (tmp_path / "died-1").touch()
        assert workers.run(die_in_mid_sentence, tasks) == [0, 1]
        assert workers.rebuilt == 1


def test_kills_lose_one_stretch_each() -> None:
    """Real SIGKILLs while work goes on: every number is there once."""
    kills = 0

    def then(index: int, result: dict[str, Any]) -> dict[str, Any] | None:
        nonlocal kills
        if len(result["made"]) == 4 and index == 0:
            with contextlib.suppress(ProcessLookupError):
                os.kill(result["pid"], signal.SIGKILL)
                kills += 1
        return result if len(result["made"]) < 12 else None

    with Workers(spawned) as workers:
        results = workers.run(count_up, [{"made": [], "seconds": 0.02}] * 2, then=then)
        assert [result["made"] for result in results] == [list(range(12))] * 2
        assert workers.rebuilt == kills == 1


def test_a_task_that_always_kills_is_an_error_that_names_it() -> None:
    with Workers(lambda: spawned(1), retries=1) as workers:
        with pytest.raises(WorkersDied, match=r"died 2 times while chain 7 ran, without a result") as caught:
            workers.run(die_always, [None], names=["chain 7"])
        assert isinstance(caught.value, BrokenExecutor)


def test_a_lent_pool_that_breaks_cannot_be_replaced(tmp_path: Path) -> None:
    words = r"executor=lambda: ProcessPoolExecutor\(...\)"
    with spawned(1) as lent, Workers(lent) as workers, pytest.raises(WorkersDied, match=words):
        workers.run(die_once, [(0, str(tmp_path))])


@pytest.mark.parametrize(
    ("executor", "error", "words"),
    [
        (3, TypeError, "function without arguments that makes one, got 3"),
        (lambda: 3, TypeError, "it made 3"),
        (lambda: ProcessPoolExecutor(1, mp_context=get_context("fork")), ValueError, "spawn"),
    ],
)
def test_what_is_no_executor_is_refused(executor: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        Workers(executor)


# dask's executor takes the five entries of a result for an error's three, if the worker dies while the result comes.
LOST = ValueError("too many values to unpack (expected 3)")


@pytest.mark.parametrize("error", [LOST, None])
def test_what_the_executor_loses_is_made_again(error: Exception | None) -> None:
    with Workers(Forgetful(3, error)) as workers:
        assert workers.run(square, [1, 2, 3, 4]) == [1, 4, 9, 16]
    words = r"failed 3 times while right ran.*the last time: " + ("ValueError: too many" if error else "CancelledError")
    with Workers(Forgetful(10, error), retries=2) as workers, pytest.raises(WorkersDied, match=words) as caught:
        workers.run(square, [1], names=["right"])
    assert caught.value.__cause__ is error or error is None


def test_an_executor_that_takes_no_tasks_is_an_error() -> None:
    def shut() -> ThreadPoolExecutor:
        made = threads()
        made.shutdown()
        return made

    words = "RuntimeError: cannot schedule new futures after shutdown"
    with Workers(shut()) as workers, pytest.raises(WorkersDied, match=rf"did not take left, right \({words}\)"):
        workers.run(square, [1, 2], names=["left", "right"])
    with Workers(shut) as workers, pytest.raises(WorkersDied, match=rf"failed 6 times while left ran.*{words}"):
        workers.run(square, [1], names=["left"])


def test_an_executor_that_is_shut_or_never_answers_keeps_nobody_waiting() -> None:
    with threads() as lent, Workers(lent) as workers, pytest.raises(WorkersDied, match="after shutdown"):
        workers.run(nap, [0.2] * 9, watch=lambda: lent.shutdown(wait=False, cancel_futures=True))
    began = time.monotonic()
    with Workers(Silent()) as workers:
        assert workers.run(square, [1, 2], stop=lambda: time.monotonic() > began + 0.1) == [None, None]
    assert time.monotonic() < began + 5.0


def test_loky_keeps_the_contract(tmp_path: Path) -> None:
    loky = pytest.importorskip("loky")
    make: Callable[[], Executor] = lambda: loky.get_reusable_executor(max_workers=1)  # noqa: E731
    with Workers(make) as workers:
        assert workers.run(die_once, [(number, str(tmp_path)) for number in range(2)]) == [0, 1]
