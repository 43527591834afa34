"""One run of a SimPy model, and its replications."""

from __future__ import annotations

import contextlib
import functools
import inspect
import math
import platform
import random
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from typing import Any

import numpy as np
import simpy

from livesim.messages import Sink
from livesim.monitors import Follower, Numbers, check_every, number
from livesim.runs import Runs
from livesim.runtime.checkpoint import Store
from livesim.runtime.experiment import Params
from livesim.runtime.hand import ByHand, alone
from livesim.runtime.replicate import replicate_subject
from livesim.simpy.environment import Environment
from livesim.variates import Variates, check_indices

Model = Callable[..., Any]
"""`model(env, rng, **params)`; it returns None, a dict of numbers, or a function that gives one at the end."""

_ALONE = threading.RLock()
"""Held while a model runs: the global generators of `random` and `numpy.random` are its own meanwhile."""


def run(
    model: Model,
    until: float | None = None,
    *,
    seed: int | None = None,
    params: Mapping[str, Any] | None = None,
    warmup: float = 0.0,
    every: float | None = None,
    replication: int = 0,
) -> Numbers:
    """Run a SimPy model once.

    model: `model(env, rng, **params)`. `env` is an `Environment`; `rng` a `numpy.random.Generator`. The generators of
        the modules `random` and `numpy.random` are seeded too, and are afterwards as they were before.
    until: the time up to which the environment is run, after the function has set it up, as `env.run(until)` does;
        None: the function runs it itself.
    seed, replication: of all random numbers. warmup: monitors count from this time on.
    every: keep what monitors add up to over time, in intervals of this length; wants `until`.

    The numbers are those of the monitors, and those that the function returns.
    """
    check_model(model, params)
    check_times(until, warmup)
    check_intervals(every, until)
    seed = secrets.randbits(63) if seed is None else seed
    check_indices("run", seed, replication)
    return _run(
        until, model, seed=int(seed), replication=int(replication), params=params or {}, warmup=warmup, every=every
    )


def replicate(
    model: Model,
    n: int = 100,
    *,
    until: float | None = None,
    warmup: float | str | None = None,
    seed: int | None = None,
    params: Params | None = None,
    every: float | None = None,
    relative: Mapping[str, float] | None = None,
    absolute: Mapping[str, float] | None = None,
    confidence: float = 0.95,
    least: int = 10,
    sink: Sink | None = None,
    stop: Callable[[], bool] | None = None,
    executor: Executor | Callable[[], Executor] | None = None,
    checkpoint: Store | None = None,
    progress: bool = True,
) -> Runs:
    """Run a SimPy model n times: replication k is `run(model, until, seed=seed, replication=k, ...)` to the bit.

    model, until: as for `run`. warmup: a time, or "mser5", which finds one cut for all in the levels of 20 pilot
        replications. params: values by name; arrays hold one number a replication, and a function of the replication's
        index gives a dict.
    executor: None makes one replication after another here; `lambda: ProcessPoolExecutor(mp_context=...)` or any other
        makes them in parallel. The model is then a function of a module that workers can import.

    The other arguments, the result, the messages and what becomes of replications that fail are those of
    `livesim.replicate`. Numbers that a replication does not have are NaN in it.
    """
    check_model(model, params if isinstance(params, Mapping) else None if params is None else params(0))
    check_times(until, 0.0 if warmup is None or isinstance(warmup, str) else warmup)
    check_intervals(every, until)

    return replicate_subject(
        SimPyModel(_name(model), functools.partial(_run, function=model), model), n=n, until=until, warmup=warmup,
        drain=False, every=every, seed=seed, params=params, relative=relative, absolute=absolute, confidence=confidence,
        least=least, events=False, start=None, engine="compiled", sink=sink, stop=stop, executor=executor or alone,
        checkpoint=checkpoint, progress=progress,
    )  # fmt: skip


class SimPyModel(ByHand):
    """A SimPy model to be replicated."""

    def plain(self) -> dict[str, Any]:
        return super().plain() | {"simpy": simpy.__version__, "python": platform.python_version()}


def _run(
    until: float | None,
    function: Model,
    *,
    seed: int,
    replication: int,
    params: Mapping[str, Any],
    warmup: float,
    every: float | None,
    halted: Callable[[], bool] | None = None,
) -> Numbers:
    variates = Variates(seed, replication)
    follower = Follower(warmup, every, math.inf if until is None else until)
    env = Environment(variates, follower, halted)
    with _ALONE, _seeded(variates):
        returned = function(env, variates.generator("rng"), **params)
        if inspect.isgenerator(returned):
            raise TypeError(
                f"{_name(function)} is a process, a generator; wanted a function that starts processes: "
                "def model(env, rng): env.process(...)"
            )
        if until is not None and env.now < until:
            env.run(until)
        if callable(returned):
            returned = returned()
    if env.now < warmup:
        raise ValueError(f"{_name(function)} ended at time {env.now:g}, before the warm-up's end {warmup:g}")
    found, more = env.numbers(), _returned(_name(function), returned)
    if both := sorted(found.keys() & more.keys()):
        raise ValueError(f"{_name(function)} returns {both[0]!r}, which a monitor of it is called too")
    return Numbers(found | more, env.now, warmup, env.scheduled(), seed, replication, follower.course())


@contextlib.contextmanager
def _seeded(variates: Variates) -> Iterator[None]:
    """Seed the generators of the modules `random` and `numpy.random`, and put them back afterwards."""
    python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002
    random.seed(variates.word("random"))
    np.random.seed(variates.word("numpy") & 0xFFFFFFFF)  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(legacy)  # noqa: NPY002


def check_model(model: Any, params: Mapping[str, Any] | None) -> None:
    """Refuse what is no function of an environment, a generator and these parameters."""
    if not callable(model):
        raise TypeError(f"a SimPy model is a function of (env, rng, ...), got {model!r:.80}")
    try:
        signature = inspect.signature(model)
    except ValueError:  # of a builtin
        return
    try:
        signature.bind(None, None, **(params or {}))
    except TypeError as error:
        raise TypeError(
            f"{_name(model)}{signature} cannot be called with (env, rng, **{params or {}}): {error}"
        ) from None


def check_times(until: Any, warmup: Any) -> None:
    """Refuse times that are none."""
    if until is not None and not (isinstance(until, (int, float)) and 0 < until < math.inf):
        raise ValueError(f"until must be a finite time above 0, or None, got {until!r}")
    if not (isinstance(warmup, (int, float)) and 0 <= warmup < (math.inf if until is None else until)):
        raise ValueError(f"warmup must be a time of 0 or more, before until, got {warmup!r}")


def check_intervals(every: Any, until: Any) -> None:
    """Refuse what is no length of intervals, and intervals without an end."""
    check_every(every)
    if every is not None and until is None:
        raise ValueError("every= wants until=, the time at which the last interval ends")


def _returned(name: str, returned: Any) -> dict[str, float]:
    if returned is None:
        return {}
    if not isinstance(returned, Mapping):
        raise TypeError(f"{name} must return a dict of numbers, None, or a function, got {returned!r:.80}")
    return {str(key): number(f"{name}: {key!r}", value) for key, value in returned.items()}


def _name(model: Any) -> str:
    while isinstance(model, functools.partial):
        model = model.func
    return str(getattr(model, "__qualname__", type(model).__qualname__))


__all__ = ["Model", "SimPyModel", "replicate", "run"]
