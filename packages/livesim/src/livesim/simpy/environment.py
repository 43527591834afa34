"""SimPy's environment with monitors and random numbers, and how a resource is watched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import simpy
from simpy.resources.base import BaseResource

from livesim.distributions import Distribution
from livesim.monitors import Follower, Level, Monitor, Tally, number, numbers_of, start_anew
from livesim.runtime.simulation import Halted
from livesim.variates import Variates


class Environment(simpy.Environment):
    """SimPy's environment, with monitors and random numbers."""

    def __init__(
        self, variates: Variates, follower: Follower | None = None, halted: Callable[[], bool] | None = None
    ) -> None:
        super().__init__()
        self.variates = variates
        """Random numbers by stream and job, as a model in verbs draws them."""
        self._follower = Follower() if follower is None else follower
        self._monitors: dict[str, Monitor] = {}
        self._watched: dict[str, BaseResource[Any, Any]] = {}
        self._handled = 0
        self._halted = halted

    def step(self) -> None:
        """SimPy's, and a look now and then at whether the replication is still wanted."""
        super().step()
        self._handled += 1
        if self._handled % 1024 == 0 and self._halted is not None and self._halted():
            raise Halted

    def draw(self, distribution: Distribution, stream: str, job: int | None = None) -> float:
        """A number from a distribution of livesim: common random numbers, stream by stream and job by job."""
        return self.variates.draw(distribution, stream, job)

    def record(self, name: str, value: float) -> None:
        """Add a number to the tally `name`: "name.count", "name.mean", "name.std", "name.min" and "name.max"."""
        self._monitor(name, Tally).add(number(f"record: {name!r}", value))

    def level(self, name: str, value: float) -> None:
        """Set a number that lasts from now until it is set again: "name.mean" is over time, "name.last" at the end.

        Before it is set for the first time it is 0.
        """
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

    @property
    def handled(self) -> int:
        """Events so far."""
        return self._handled

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
