"""Any SimPy model, with livesim's random numbers, monitors, warm-up, replications and intervals.

A SimPy model is a function of an environment and a random number generator, and of parameters by name:

>>> import simpy
>>> import livesim.simpy
>>> def barbershop(env, rng, service=16.0):
...     barber = simpy.Resource(env, capacity=1)
...     env.watch("barber", barber)                        # utilization, queue and waits, which SimPy does not keep
...     def customer():
...         came = env.now
...         with barber.request() as turn:
...             yield turn
...             yield env.timeout(rng.exponential(service))
...         env.record("sojourn", env.now - came)
...     def arrivals():
...         while True:
...             yield env.timeout(rng.exponential(18.0))
...             env.process(customer())
...     env.process(arrivals())
>>> found = livesim.simpy.run(barbershop, until=20_000, seed=1)
>>> 0.8 < found["barber.utilization"] < 1.0
True
"""

from __future__ import annotations

import inspect
import math
import random
import secrets
import threading
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import simpy
from simpy.resources.base import BaseResource

from livesim.distributions import Distribution
from livesim.monitors import Follower, Level, Monitor, Numbers, Tally, check_every, number, numbers_of, start_anew
from livesim.variates import Variates, check_indices

Model = Callable[..., Any]
"""`model(env, rng, **params)`. It may run the environment itself; it returns None, a dict of numbers, or a function
that gives such a dict, which is called when the run is over."""

_ALONE = threading.Lock()
"""Held while a model runs: the global generators of `random` and `numpy.random` are its own meanwhile."""


class Environment(simpy.Environment):
    """SimPy's environment, with monitors and random numbers."""

    def __init__(self, variates: Variates, follower: Follower | None = None) -> None:
        super().__init__()
        self.variates = variates
        """Random numbers by stream and job, as a model in verbs draws them."""
        self._follower = Follower() if follower is None else follower
        self._monitors: dict[str, Monitor] = {}
        self._watched: dict[str, BaseResource[Any, Any]] = {}
        self._handled = 0

    def step(self) -> None:
        super().step()
        self._handled += 1

    def draw(self, distribution: Distribution, stream: str, job: int | None = None) -> float:
        """A number from a distribution of livesim: common random numbers, stream by stream and job by job."""
        return self.variates.draw(distribution, stream, job)

    def record(self, name: str, value: float) -> None:
        """Add a number to the tally `name`: "name.count", "name.mean", "name.std", "name.min" and "name.max"."""
        self._monitor(name, Tally).add(number(f"record: {name!r}", value))

    def level(self, name: str, value: float) -> None:
        """Set a number that lasts from now until it is set again: "name.mean" is over time, "name.last" at the end."""
        self._monitor(name, Level).set(self.now, number(f"level: {name!r}", value))

    def watch(self, name: str, resource: BaseResource[Any, Any]) -> None:
        """Keep the statistics of a resource, container or store from now on; of a resource's users and queue:

        "name.utilization", "name.busy.mean", "name.queue.mean", "name.wait.mean" and so on, as results of livesim have
        them. Of a container or store "name.level.mean", "name.get_queue.mean", "name.get_wait.mean", "name.put_...".
        """
        if not isinstance(resource, BaseResource):
            raise TypeError(f"watch: {name!r} must be a resource, container or store of SimPy, got {resource!r}")
        if name in self._watched:
            raise ValueError(f"watch: there is another {name!r} already; names are unique")
        if resource in self._watched.values():
            raise ValueError(f"watch: the resource that is to be {name!r} is watched already, by another name")
        self._watched[name] = resource
        _watch(self, name, resource)

    def numbers(self) -> dict[str, float]:
        """What the monitors found up to now."""
        self._catch_up(at_the_end=True)
        found: dict[str, float] = {}
        start = min(self._follower.warmup, self.now)
        for name, monitor in self._monitors.items():
            found |= numbers_of(name, monitor, start, self.now)
        for name, resource in self._watched.items():
            if isinstance(resource, simpy.Resource):
                found[f"{name}.utilization"] = found[f"{name}.busy.mean"] / resource.capacity
        return found

    def _monitor(self, name: str, kind: type[Any]) -> Any:
        self._catch_up()
        monitor = self._monitors.get(name)
        if monitor is None:
            monitor = self._monitors[name] = kind()
            if isinstance(monitor, Level):
                start_anew(monitor, min(self._follower.warmup, self.now))
        if not isinstance(monitor, kind):
            raise TypeError(f"{name!r} is a {type(monitor).__name__.lower()} already; give the other one another name")
        return monitor

    def _catch_up(self, *, at_the_end: bool = False) -> None:
        """What was to be done before now; a monitor is used for the first time since."""
        follower = self._follower
        while follower.next < self.now or (at_the_end and follower.next == self.now):
            follower.pass_by(self._monitors)


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
    check_every(every)
    if every is not None and until is None:
        raise ValueError("every= wants until=, the time at which the last interval ends")
    seed = secrets.randbits(63) if seed is None else seed
    check_indices("run", seed, replication)
    variates = Variates(seed, replication)
    follower = Follower(warmup, every, math.inf if until is None else until)
    env = Environment(variates, follower)
    with _ALONE:
        python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002
        try:
            random.seed(variates.word("random"))
            np.random.seed(variates.word("numpy") & 0xFFFFFFFF)  # noqa: NPY002 - for models that use it
            returned = model(env, variates.generator("rng"), **(params or {}))
            if inspect.isgenerator(returned):
                raise TypeError(
                    f"{_name(model)} is a process, a generator; wanted a function that starts processes: "
                    "def model(env, rng): env.process(...)"
                )
            if until is not None and env.now < until:
                env.run(until)
            if callable(returned):
                returned = returned()
        finally:
            random.setstate(python)
            np.random.set_state(legacy)  # noqa: NPY002
    values = env.numbers() | _returned(model, returned)
    return Numbers(values, env.now, warmup, env._handled, seed, replication, follower.course())


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


def _returned(model: Model, returned: Any) -> dict[str, float]:
    if returned is None:
        return {}
    if not isinstance(returned, Mapping):
        raise TypeError(f"{_name(model)} must return a dict of numbers, None, or a function, got {returned!r:.80}")
    return {str(name): number(f"{_name(model)}: {name!r}", value) for name, value in returned.items()}


def _name(model: Any) -> str:
    return str(getattr(model, "__qualname__", model))


# -- watching ----------------------------------------------------------------------------------------------------------


def _watch(env: Environment, name: str, resource: Any) -> None:
    """Have a resource tell its monitors.

    SimPy's way to monitor: its queues and the two methods that serve them are replaced in this one object. An event
    joins a queue when it is made, even if it is served at once, so its wait begins there.
    """
    is_resource = isinstance(resource, simpy.Resource)
    held = "busy" if is_resource else "level"

    def amount() -> float:
        if is_resource:
            return float(resource.count)
        return float(resource.level) if isinstance(resource, simpy.Container) else float(len(resource.items))

    def serving(serve: Callable[[Any], Any], wait: str | None) -> Callable[[Any], Any]:
        def served(event: Any) -> Any:
            proceed = serve(event)
            env.level(f"{name}.{held}", amount())
            if wait is not None and event.triggered:
                env.record(wait, env.now - event.asked)
            return proceed

        return served

    env.level(f"{name}.{held}", amount())
    for side in ("put",) if is_resource else ("put", "get"):
        queue = f"{name}.queue" if is_resource else f"{name}.{side}_queue"
        watched = _watched_queue(env, queue, getattr(resource, f"{side}_queue"))
        setattr(resource, f"{side}_queue", watched)
        if is_resource:
            resource.queue = watched
    put_wait, get_wait = (f"{name}.wait", None) if is_resource else (f"{name}.put_wait", f"{name}.get_wait")
    for wait in (put_wait, get_wait):
        if wait is not None:
            env._monitor(wait, Tally)
    resource._do_put = serving(resource._do_put, put_wait)
    resource._do_get = serving(resource._do_get, get_wait)


def _watched_queue(env: Environment, name: str, queue: Any) -> Any:
    """A queue of the same kind with the same content that tells a level its length."""
    kind: Any = type(queue)

    class Watched(kind):  # type: ignore[misc]
        def append(self, event: Any) -> None:
            event.asked = env.now
            super().append(event)
            env.level(name, len(self))

        def pop(self, *at: Any) -> Any:
            event = super().pop(*at)
            env.level(name, len(self))
            return event

        def remove(self, event: Any) -> None:
            super().remove(event)
            env.level(name, len(self))

    watched: Any = Watched()
    if hasattr(queue, "maxlen"):
        watched.maxlen = queue.maxlen
    for event in queue:
        watched.append(event)
    env.level(name, len(watched))
    return watched
