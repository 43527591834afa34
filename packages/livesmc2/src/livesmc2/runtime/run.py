"""`run`, `stream` and `run_many`: whole series in one call."""

from __future__ import annotations

import contextlib
import queue
import sys
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterable, Mapping, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from os import PathLike
from typing import Any

import numpy as np

from livesmc2.kernel.rng import derive
from livesmc2.messages import Message, Sink
from livesmc2.model.prior import Prior
from livesmc2.model.state_space import StateSpaceModel
from livesmc2.runtime import store
from livesmc2.runtime.announce import Announcements
from livesmc2.runtime.blocks import Crew
from livesmc2.runtime.online import OnlineSMC2, make_seed

_PROGRESS_SECONDS = 0.25
_CHECKPOINT_SECONDS = 10.0


def run(
    model: StateSpaceModel,
    prior: Any,
    data: Any,
    n_theta: int = 400,
    n_x: int = 200,
    seed: int | None = None,
    *,
    covariates: Mapping[str, Any] | None = None,
    sink: Sink | None = None,
    stop: Callable[[], bool] | None = None,
    checkpoint: str | PathLike[str] | MutableMapping[str, bytes] | None = None,
    progress: bool = False,
    **settings: Any,
) -> OnlineSMC2:
    """Take in `data` (T,), or (T, component), one observation after the other; the engine as it stands at the end.

    The other arguments are those of `OnlineSMC2`. stop: asked between observations; when it is true the run ends and
    keeps what it has. checkpoint: where the state is kept now and then; a run that finds its own there goes on from
    it, and sends again what was sent, so that it ends as if nothing had happened. Ctrl-C keeps what was done too.
    progress: a line on the terminal.
    """
    rows = model.rows(data)
    cov = model.covariate_rows(covariates, len(rows))
    smc = _found(model, prior, checkpoint, seed, rows, settings | {"n_theta": n_theta, "n_x": n_x})
    if smc is None:
        smc = OnlineSMC2(model, prior, n_theta, n_x, seed, sink=sink, **settings)
    elif sink is not None:
        smc._announce = Announcements(sink)
        smc._announce.start(smc)
        for step in smc.history:
            smc._announce.step(step)
    telling = _Telling(sink, progress, len(rows))
    status, error = "completed", None
    saved = time.monotonic()
    try:
        for t in range(smc.t, len(rows)):
            if stop is not None and stop():
                status = "stopped"
                break
            step = smc.update(rows[t], dict(zip(model.covariates, cov[t], strict=True)) or None)
            telling.update(smc)
            now = time.monotonic()
            if checkpoint is not None and (step.rejuvenated or now - saved > _CHECKPOINT_SECONDS):
                smc.save(checkpoint)
                saved = now
    except KeyboardInterrupt:
        status = "interrupted"
    except BaseException as failure:
        status, error = "failed", failure
    telling.close()
    if checkpoint is not None:
        smc.save(checkpoint)
    try:
        smc.close(status, error)
    except Exception as failure:
        error = error or failure
    if error is not None:
        with contextlib.suppress(AttributeError):
            error.result = smc  # type: ignore[attr-defined]
        error.add_note("what was inferred before this error is in its attribute `result`")
        raise error
    if status == "interrupted":
        warnings.warn(f"interrupted: the engine has taken in {smc.t} of {len(rows)} observations", stacklevel=2)
    return smc


def _found(
    model: StateSpaceModel, prior: Any, checkpoint: Any, seed: int | None, rows: np.ndarray, settings: dict[str, Any]
) -> OnlineSMC2 | None:
    """The engine that a checkpoint holds; an error where it is of another run."""
    if checkpoint is None or not store.exists(store.place(checkpoint)):
        return None
    smc = OnlineSMC2.load(
        checkpoint,
        model,
        prior,
        **{name: settings[name] for name in ("executor", "threads", "compiled") if name in settings},
    )
    for name, value in settings.items():
        if name in smc.settings and not np.array_equal(smc.settings[name], value):
            raise store.StoreError(f"the checkpoint is of a run with {name}={smc.settings[name]!r}, not {value!r}")
    if seed is not None and smc.seed != seed:
        raise store.StoreError(f"the checkpoint is of a run with seed={smc.seed}, not {seed}")
    seen = np.array([step.y for step in smc.history]).reshape(smc.t, rows.shape[1])
    if smc.t > len(rows) or not np.array_equal(seen, rows[: smc.t], equal_nan=True):
        raise store.StoreError("the checkpoint is of a run over other data: its first observations differ")
    return smc


class _Telling:
    """Progress, as messages and as a line on the terminal."""

    def __init__(self, sink: Sink | None, shown: bool, total: int) -> None:
        self._sink, self._total = sink, total
        self._shown = shown and sys.stderr.isatty()
        self._sent = 0
        self._began = self._last = time.monotonic()

    def update(self, smc: OnlineSMC2) -> None:
        now = time.monotonic()
        if now - self._last < _PROGRESS_SECONDS:
            return
        self._last = now
        if self._sink is not None:
            message: Message = {
                "type": "smc2.progress/1",
                "part": "progress",
                "seq": self._sent,
                "done": smc.t,
                "total": self._total,
                "elapsed": now - self._began,
                "rejuvenations": smc.rejuvenations,
            }
            self._sink(message)
            self._sent += 1
        if self._shown:
            line = f"\r{smc.t}/{self._total} observations, log evidence {smc.log_evidence:.2f}, ESS {smc.ess:.0f} "
            print(line, end="", file=sys.stderr, flush=True)

    def close(self) -> None:
        if self._shown:
            print(file=sys.stderr)


class _Closed(Exception):
    """The listener of a stream is gone."""


def stream(
    model: StateSpaceModel, prior: Any, data: Any, *, buffer: int = 10_000, **arguments: Any
) -> Generator[Message, None, OnlineSMC2]:
    """The messages of `run(model, prior, data, **arguments)`, pulled as they come; a generator.

    Closing the generator stops the run; its return value (`StopIteration.value`) is the engine.
    """
    if isinstance(buffer, bool) or not isinstance(buffer, int) or buffer < 1:
        raise ValueError(f"buffer must be a positive integer, got {buffer!r}")
    if "sink" in arguments:
        raise TypeError("stream is its own sink; give sink= to run")
    return _pulled(model, prior, data, buffer, arguments)


def _pulled(
    model: StateSpaceModel, prior: Any, data: Any, buffer: int, arguments: dict[str, Any]
) -> Generator[Message, None, OnlineSMC2]:
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
            outcome.append(
                run(model, prior, data, sink=put, stop=lambda: closed.is_set() or wanted_stop(), **arguments)
            )
        except BaseException as error:
            outcome.append(error)
        with contextlib.suppress(_Closed):
            put(None)

    thread = threading.Thread(target=work, name="livesmc2-stream", daemon=True)
    thread.start()
    try:
        while (message := messages.get()) is not None:
            yield message
    finally:
        closed.set()
        thread.join()
    if isinstance(outcome[0], BaseException):
        raise outcome[0]
    engine: OnlineSMC2 = outcome[0]
    return engine


def run_many(
    model: StateSpaceModel,
    prior: Any,
    series: Iterable[Any],
    n_theta: int = 400,
    n_x: int = 200,
    seed: int | None = None,
    *,
    threads: int | None = None,
    sinks: Sequence[Sink] | None = None,
    **settings: Any,
) -> list[OnlineSMC2]:
    """An engine for each of many series (120 sensors): one compiled model, series over threads, in their order.

    Series k has the seed that follows from `seed` and k, so it is what it would be alone with that seed. sinks: one for
    each series, called from several threads, but each from one at a time. The other arguments are those of `run`.
    """
    for name in ("sink", "checkpoint"):
        if name in settings:
            raise TypeError(f"run_many: one {name} cannot serve many runs; give sinks=, or run each series by `run`")
    seed, crew = make_seed(seed), Crew(threads)
    law = prior if isinstance(prior, Prior) else Prior(prior, model.parameter_fields)
    rows = []
    for k, one_series in enumerate(series):
        try:
            rows.append(model.rows(one_series))
        except ValueError as error:
            raise ValueError(f"series {k}: {error}") from None
    if sinks is not None and len(sinks) != len(rows):
        raise ValueError(f"sinks: one for each of {len(rows)} series, got {len(sinks)}")

    def one(k: int) -> OnlineSMC2:
        sink = None if sinks is None else sinks[k]
        return run(model, law, rows[k], n_theta, n_x, derive(seed, k) >> 1, sink=sink, threads=1, **settings)

    if crew.threads == 1 or len(rows) < 2:
        return [one(k) for k in range(len(rows))]
    with ThreadPoolExecutor(crew.threads) as pool:
        return list(pool.map(one, range(len(rows))))
