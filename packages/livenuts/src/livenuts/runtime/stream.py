"""`stream`: the messages of a run, pulled."""

from __future__ import annotations

import contextlib
import inspect
import queue
import threading
from collections.abc import Callable, Generator
from typing import Any

from livenuts.messages import Message
from livenuts.result import Result
from livenuts.runtime.sampling import sample


class _Closed(Exception):
    """The listener of a stream is gone."""


def stream(model: Any, *, buffer: int = 10_000, **arguments: Any) -> Generator[Message, None, Result]:
    """The messages of `sample(model, **arguments)`, pulled as they come; a generator.

    Closing the generator stops the run. `buffer` messages at most wait for the listener; then the sampler waits.
    The generator's return value (`StopIteration.value`) is the result. The run begins with the first message asked for.
    """
    if isinstance(buffer, bool) or not isinstance(buffer, int) or buffer < 1:
        raise ValueError(f"buffer must be a positive integer, got {buffer!r}")
    if "sink" in arguments:
        raise TypeError("stream is its own sink; give sink= to sample")
    if unknown := sorted(arguments.keys() - inspect.signature(sample).parameters.keys()):
        raise TypeError(f"stream takes the arguments of sample; {unknown[0]!r} is none of them")
    return _pulled(model, buffer, {"progress": False} | arguments)


def _pulled(model: Any, buffer: int, arguments: dict[str, Any]) -> Generator[Message, None, Result]:
    messages: queue.Queue[Message | None] = queue.Queue(maxsize=buffer)
    closed = threading.Event()
    wanted_stop: Callable[[], bool] = arguments.pop("stop", None) or (lambda: False)
    outcome: list[Any] = []

    def put(message: Message | None) -> None:
        while not closed.is_set():
            with contextlib.suppress(queue.Full):
                messages.put(message, timeout=0.1)
                return
        raise _Closed

    def work() -> None:
        try:
            outcome.append(sample(model, sink=put, stop=lambda: closed.is_set() or wanted_stop(), **arguments))
        except BaseException as error:
            outcome.append(error)
        with contextlib.suppress(_Closed):
            put(None)

    thread = threading.Thread(target=work, name="livenuts-stream", daemon=True)
    thread.start()
    try:
        while (message := messages.get()) is not None:
            yield message
    finally:
        closed.set()
        thread.join()
    if isinstance(outcome[0], BaseException):
        raise outcome[0]
    return outcome[0]
