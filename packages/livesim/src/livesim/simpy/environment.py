"""SimPy's environment with monitors and random numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import simpy
from simpy.resources.base import BaseResource

from livesim.distributions import Distribution
from livesim.monitors import Follower, Level, Monitor, Tally, number, numbers_of, start_anew
from livesim.runtime.simulation import Halted
from livesim.simpy.watching import watch
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
        self._next = self._follower.next
        if halted is not None:
            self.step = _looking(self.step, halted)  # type: ignore[method-assign]

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
        watch(self, name, resource)

    def scheduled(self) -> int:
        """Events so far, those to come included; asking for it counts as one."""
        return next(self._eid)

    def numbers(self) -> dict[str, float]:
        """What the monitors found up to now."""
        while self._next <= self.now:
            self._pass_by()
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

    def _catch_up(self) -> None:
        """Do what was to be done before now; a monitor is about to be used."""
        while self._next < self._now:
            self._pass_by()

    def _pass_by(self) -> None:
        self._follower.pass_by(self._monitors)
        self._next = self._follower.next

    def tally(self, name: str) -> Callable[[float], None]:
        """What `record` does for one name, faster."""
        monitor = self._monitor(name, Tally)

        def add(value: float) -> None:
            self._catch_up()
            monitor.add(value)

        return add

    def gauge(self, name: str) -> Callable[[float], None]:
        """What `level` does for one name, faster."""
        monitor = self._monitor(name, Level)

        def change(value: float) -> None:
            self._catch_up()
            monitor.set(self._now, value)

        return change


def _looking(step: Callable[[], None], halted: Callable[[], bool]) -> Callable[[], None]:
    """SimPy's step, and a look now and then at whether the replication is still wanted."""
    count = 0

    def look() -> None:
        nonlocal count
        step()
        count += 1
        if count % 1024 == 0 and halted():
            raise Halted

    return look
