"""Tasks on any executor: every task's result, in order of the tasks, however often workers die.

A task is a top-level function called with one argument of plain data. The executor is a
`concurrent.futures.Executor` or a function without arguments that makes one; a pool whose worker was killed is broken
for good, and only a function can make another. What a task raises comes home as its result: an error of its future is
the executor's own, and the task is given again. Standard library only and no import of this package, so that the file
may be copied into another one as it is.
"""

from __future__ import annotations

import contextlib
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from multiprocessing.reduction import ForkingPickler
from typing import Any, NamedTuple

_WATCH_SECONDS = 0.05
_UNNOTICED_SECONDS = 2.0
# How long tasks that run may take to end after a failure, before they are left alone.
_FAREWELL_SECONDS = 60.0


class WorkersDied(BrokenExecutor):
    """Workers died, or tasks were lost, again and again, or once in an executor that cannot be replaced."""


class Elsewhere(Exception):
    """The traceback of a task's error, in words: its cause here."""


class _Raised(NamedTuple):
    """What a task raised."""

    error: Exception
    told: str
    """The traceback."""


class Workers:
    """An executor for many tasks, replaced when it breaks. A context manager: it shuts down what it made itself.

    >>> from concurrent.futures import ThreadPoolExecutor
    >>> with Workers(ThreadPoolExecutor) as workers:
    ...     workers.run(abs, [-1, 2, -3])
    [1, 2, 3]
    """

    def __init__(self, executor: Executor | Callable[[], Executor], *, retries: int = 5) -> None:
        """A task is tried again `retries` times after its worker died, or it was lost, without a result in between."""
        check_executor(executor)
        self._make = None if isinstance(executor, Executor) else executor
        self._retries = retries
        self._executor = _checked(executor if isinstance(executor, Executor) else self._make_one())
        self._dead_since: float | None = None
        self.rebuilt = 0
        """How often a broken executor was replaced."""

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        if self._make is not None:
            self._executor.shutdown(wait=True)

    @property
    def travels(self) -> bool:
        """Whether tasks leave this process."""
        return not isinstance(self._executor, ThreadPoolExecutor)

    def check(self, name: str, value: Any, hint: str = "") -> None:
        """Refuse, by name, a value that cannot travel to the workers."""
        reason = _stuck(value) if self.travels else None
        if reason is None:
            return
        if isinstance(value, Mapping):
            name = next((f"{name}: {key!r}" for key, part in value.items() if _stuck(part)), name)
        raise TypeError(
            f"{name} cannot travel to the executor's workers ({reason}); "
            + (hint or "tasks are plain data, and functions are those of modules that a worker can import")
        )

    def run(
        self,
        function: Callable[[Any], Any],
        tasks: Sequence[Any],
        *,
        names: Sequence[str] | None = None,
        then: Callable[[int, Any], Any] | None = None,
        stop: Callable[[], bool] | None = None,
        watch: Callable[[], Any] | None = None,
    ) -> list[Any]:
        """The result of `function(task)` for each task, in the order of `tasks`.

        `then(index, result)` is told of each result and may return another task to take that place: work that goes
        on where it ended is cut so into short tasks, of which a dying worker loses one. When `stop()` is true no task
        is begun any more, and a place without result holds None. `watch()` is called a few times a second. An error
        in a task is raised as it is, with a note that names the task; no other task is begun then.
        """
        called = [f"task {index}" for index in range(len(tasks))] if names is None else list(names)
        if tasks:
            self.check("the task's function", function)
            self.check(called[0], tasks[0])
        results: list[Any] = [None] * len(tasks)
        waiting = dict(enumerate(tasks))
        running: dict[Future[Any], int] = {}
        given: dict[int, Any] = {}
        started: set[int] = set()
        deaths = [0] * len(tasks)
        halted = False
        try:
            while waiting or running:
                if stop is not None and not halted and stop():
                    halted = True
                    for future in running:
                        future.cancel()
                if halted:
                    waiting.clear()
                broken = self._submit(function, waiting, running, given, deaths)
                self._look_after(running)
                wait(running, _WATCH_SECONDS, FIRST_COMPLETED)
                done = [future for future in running if future.done()]  # `wait` does not see every cancelled one
                started |= {index for future, index in running.items() if future.running()}
                for future in sorted(done, key=running.__getitem__):
                    index = running.pop(future)
                    error = CancelledError("cancelled") if future.cancelled() else future.exception()
                    if error is None:
                        result = future.result()
                        if isinstance(result, _Raised):
                            raise _told(result, called[index])
                        results[index] = result
                        deaths[index] = 0
                        started.discard(index)
                        following = None if then is None else then(index, result)
                        if following is not None:
                            waiting[index] = following
                    elif not isinstance(error, Exception):  # Ctrl-C, which workers hear too
                        raise error
                    else:
                        waiting[index] = given[index]
                        if isinstance(error, BrokenExecutor):
                            broken = broken or error
                        elif not halted:
                            self._count([index], deaths, called, error)
                if broken is not None and not running and not halted:
                    self._replace(sorted(started & waiting.keys()) or sorted(waiting), deaths, called, broken)
                    started.clear()
                if watch is not None:
                    watch()
        except BaseException:
            _leave(running)
            raise
        return results

    def _submit(
        self,
        function: Callable[[Any], Any],
        waiting: dict[int, Any],
        running: dict[Future[Any], int],
        given: dict[int, Any],
        deaths: Sequence[int],
    ) -> BaseException | None:
        """Give the executor what waits, first what was lost most often; the error, if it does not take it."""
        for index in sorted(waiting, key=lambda place: (-deaths[place], place)):
            try:
                future = self._executor.submit(_call, function, waiting[index], self.travels)
            except Exception as error:
                return error
            given[index] = waiting.pop(index)
            running[future] = index
        return None

    def _look_after(self, running: Iterable[Future[Any]]) -> None:
        """Break an executor that does not notice that it is broken.

        A process that is killed while it sends a result leaves the pool waiting for the rest of it, for ever. Without
        any process, and without our own end of the pipe, the pool reads the pipe's end and knows.
        """
        if isinstance(self._executor, _OnDask) and self._executor.closed:
            for future in running:
                future.cancel()
        processes = getattr(self._executor, "_processes", None)
        if not isinstance(self._executor, ProcessPoolExecutor) or not processes:
            return
        alive = [process for process in list(processes.values()) if process.exitcode is None]
        if len(alive) == len(processes):
            self._dead_since = None
        elif self._dead_since is None:
            self._dead_since = time.monotonic()
        elif time.monotonic() - self._dead_since > _UNNOTICED_SECONDS:
            self._dead_since = None
            for process in alive:
                process.kill()
            self._executor._result_queue._writer.close()  # type: ignore[attr-defined]

    def _count(self, lost: Sequence[int], deaths: list[int], called: Sequence[str], error: BaseException) -> None:
        """Note that these tasks are to be given again; an error, where that was so too often."""
        for index in lost:
            deaths[index] += 1
        times = max(deaths[index] for index in lost)
        if times > self._retries:
            tasks = ", ".join(called[index] for index in lost)
            what = "workers died" if isinstance(error, BrokenExecutor) else "the executor failed"
            raise WorkersDied(
                f"{what} {times} times while {tasks} ran, without a result in between; "
                f"the last time: {type(error).__name__}: {error}"
            ) from error

    def _replace(self, lost: Sequence[int], deaths: list[int], called: Sequence[str], error: BaseException) -> None:
        if self._make is None:
            tasks = ", ".join(called[index] for index in lost)
            died = isinstance(error, BrokenExecutor)
            what = f"a worker died while {tasks} ran" if died else f"the executor did not take {tasks}"
            raise WorkersDied(
                f"{what} ({type(error).__name__}: {error}), and this executor cannot be used again; give a function "
                "that makes one, executor=lambda: ProcessPoolExecutor(...), and it is replaced"
            ) from error
        self._count(lost, deaths, called, error)
        _end(self._executor)
        self._executor, self._dead_since = self._make_one(), None
        self.rebuilt += 1

    def _make_one(self) -> Executor:
        assert self._make is not None
        made = self._make()
        if not isinstance(made, Executor):
            raise TypeError(f"executor: the function must make a concurrent.futures.Executor, it made {made!r:.80}")
        return _checked(made)


def _end(executor: Executor) -> None:
    """Shut a broken executor down; a pool of processes waits for each of its workers, so those left are killed."""
    for process in list((getattr(executor, "_processes", None) or {}).values()):
        with contextlib.suppress(ValueError):  # it was closed
            process.kill()
    executor.shutdown(wait=True)


def check_executor(executor: Any) -> None:
    """Refuse what is neither an executor nor a function."""
    if not isinstance(executor, Executor) and not callable(executor):
        raise TypeError(
            "executor must be a concurrent.futures.Executor or a function without arguments that makes one, "
            f"got {executor!r:.80}"
        )


def _checked(executor: Executor) -> Executor:
    """The executor as it is used here.

    A pool of forked processes is refused: a fork takes the locks of other threads along, and nobody to release them.
    """
    context = getattr(executor, "_mp_context", None)
    if context is not None and context.get_start_method() == "fork":
        raise ValueError(
            "executor: its processes are forked, which a process with threads does not survive; give "
            "ProcessPoolExecutor(..., mp_context=multiprocessing.get_context('spawn'))"
        )
    client = getattr(executor, "_client", None)
    if type(executor).__module__.startswith("distributed.") and client is not None:
        return _OnDask(executor, client)
    return executor


class _OnDask(Executor):
    """dask's executor, with futures that are answered whenever workers die.

    Those of distributed 2026.8 never hear of a task that was given up after its result was lost with a worker; and a
    result whose worker dies while it comes is taken for an error: a ValueError, as it has not three parts.
    """

    def __init__(self, executor: Any, client: Any) -> None:
        self._lent, self._client = executor, client
        self._options = getattr(executor, "_kwargs", {}) | {"pure": False}

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        theirs = self._client.submit(function, *args, **kwargs, **self._options)
        future: Future[Any] = Future()
        future.add_done_callback(lambda done: theirs.cancel() if done.cancelled() and not self.closed else None)
        self._client.loop.add_callback(self._answer, theirs, future)
        return future

    @property
    def closed(self) -> bool:
        """Whether nothing more will come."""
        return self._client.status in ("closing", "closed")

    @staticmethod
    async def _answer(theirs: Any, future: Future[Any]) -> None:
        result, error = None, None
        try:
            result = await theirs
        except BaseException as failure:
            error = failure if isinstance(failure, Exception) else CancelledError(str(failure))
        if not future.set_running_or_notify_cancel():
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._lent.shutdown(wait=wait)


def _call(function: Callable[[Any], Any], task: Any, travels: bool) -> Any:
    """Run a task in a worker; an error that would break on its way home comes as a RuntimeError of its words."""
    try:
        return function(task)
    except Exception as error:
        if not travels:
            return _Raised(error, "")
        told = traceback.format_exc()
        stuck = _stuck(error, both_ways=True)
        return _Raised(RuntimeError(f"{type(error).__name__}: {error}") if stuck else error, told)


def _told(raised: _Raised, name: str) -> Exception:
    """A task's error with what is known of it here."""
    error = raised.error
    error.add_note(f"in {name}")
    if raised.told:
        error.__cause__ = Elsewhere(raised.told)
    return error


def _stuck(value: Any, both_ways: bool = False) -> str | None:
    """Why a value cannot travel between processes, or None."""
    try:
        data = ForkingPickler.dumps(value)
        if both_ways:
            ForkingPickler.loads(data)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def _leave(running: dict[Future[Any], int]) -> None:
    """Cancel what has not begun and see the rest end."""
    wait([future for future in running if not future.cancel()], _FAREWELL_SECONDS)
