"""Folding events: what a shift taught of each machine, how the shop did, and where everything is now."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from livesim import InProcess, Snapshot, observed
from livesim import Model as Shop

from .events import ARRIVE, BEGIN, DEPART, FAIL, FINISH, Events
from .line import seize_step

KPIS = ("throughput", "lead", "wip")
"""Jobs that left in a shift, their mean minutes in the shop, and jobs in the shop at its end."""


@dataclass
class Lesson:
    """What one shift taught of one quantity: sufficient for its law."""

    count: int = 0
    """Services, failures, repairs that ended; jobs that came."""
    total: float = 0.0
    """Minutes of it: of the services that ended; up, for failures; down, for repairs; of the shift, for jobs."""
    logs: float = 0.0
    """Sum of the logarithms of the services."""


@dataclass(frozen=True)
class Shift:
    """One shift as it was."""

    shift: int
    lessons: dict[str, Lesson]
    """By parameter, such as `mill.service`."""
    kpis: dict[str, float]


@dataclass
class _Work:
    machine: int
    began: float
    lost: float = 0.0
    """Minutes that its machine was down since."""


@dataclass
class _Station:
    units: int
    waiting: list[int] = field(default_factory=list)
    working: list[int] = field(default_factory=list)
    since: float = 0.0
    """When it was repaired, or failed, last; or the end of the shift before, if that was later."""
    down: bool = False


class Watcher:
    """Follows the events of a plant.

    It raises where they cannot have happened: a job that finishes where it did not begin, a machine that fails twice.
    """

    def __init__(self, names: list[str], units: list[int], shift: float) -> None:
        self.names = names
        self.shift_length = shift
        self.now = 0.0
        self.shift = 0
        self._came: dict[int, float] = {}
        self._work: dict[int, _Work] = {}
        self._stations = [_Station(n) for n in units]
        self._leads: list[float] = []
        self._lessons = self._blank()

    def _blank(self) -> dict[str, Lesson]:
        kinds = [f"{name}.{what}" for name in self.names for what in ("service", "up", "down")]
        return {name: Lesson() for name in ("every", *kinds)}

    def take(self, events: Events) -> Iterator[Shift]:
        """Follow a batch; each shift that ends with it comes at its end, when `present` is the shop as it was then."""
        for time, kind, machine, job in events:
            while time > self._end:
                yield self._close()
            self.now = time
            self._happen(time, kind, machine, job)
        while events.until >= self._end:
            yield self._close()
        self.now = events.until

    @property
    def _end(self) -> float:
        return (self.shift + 1) * self.shift_length

    def _happen(self, time: float, kind: int, machine: int, job: int) -> None:
        where = f"at {time:g}, job {job}"
        if kind == ARRIVE:
            if job in self._came:
                raise ValueError(f"{where} came a second time")
            self._came[job] = time
            self._lessons["every"].count += 1
            self._stations[0].waiting.append(job)
        elif kind == DEPART:
            if job not in self._came:
                raise ValueError(f"{where} left, and never came")
            self._leads.append(time - self._came.pop(job))
        elif kind == BEGIN:
            station = self._stations[machine]
            if job not in station.waiting:
                raise ValueError(f"{where} began at {self.names[machine]}, where it did not wait")
            station.waiting.remove(job)
            station.working.append(job)
            self._work[job] = _Work(machine, time)
        elif kind == FINISH:
            station = self._stations[machine]
            if job not in station.working:
                raise ValueError(f"{where} finished at {self.names[machine]}, where it did not begin")
            station.working.remove(job)
            work = self._work.pop(job)
            minutes = time - work.began - work.lost
            lesson = self._lessons[f"{self.names[machine]}.service"]
            lesson.count += 1
            lesson.total += minutes
            lesson.logs += float(np.log(max(minutes, 1e-9)))
            if machine + 1 < len(self._stations):
                self._stations[machine + 1].waiting.append(job)
        else:
            self._turn(time, machine, kind == FAIL)

    def _turn(self, time: float, machine: int, down: bool) -> None:
        """A machine fails, or is repaired."""
        station, name = self._stations[machine], self.names[machine]
        if station.down == down:
            raise ValueError(f"at {time:g} {name} {'failed' if down else 'was repaired'} a second time")
        passed = self._lessons[f"{name}.{'up' if down else 'down'}"]
        passed.count += 1
        passed.total += time - station.since
        if not down:
            for job in station.working:
                self._work[job].lost += time - max(station.since, self._work[job].began)
        station.down, station.since = down, time

    def _close(self) -> Shift:
        end = self._end
        for name, station in zip(self.names, self._stations, strict=True):
            self._lessons[f"{name}.{'down' if station.down else 'up'}"].total += end - station.since
            if station.down:
                for job in station.working:
                    self._work[job].lost += end - max(station.since, self._work[job].began)
            station.since = end
        self._lessons["every"].total = self.shift_length
        leads = self._leads
        kpis = {
            "throughput": float(len(leads)),
            "lead": float(np.mean(leads)) if leads else float("nan"),
            "wip": float(len(self._came)),
        }
        done = Shift(self.shift, self._lessons, kpis)
        self.shift += 1
        self.now = end
        self._leads, self._lessons = [], self._blank()
        return done

    def present(self, shop: Shop, longest: dict[str, float]) -> Snapshot:
        """The shop as it is, for livesim to go on from, with the jobs of `line.model`.

        longest: the most minutes of work behind a job that its law is asked to exceed, by machine: beyond, what is left
        is that of a job this old.
        """
        jobs = []
        for k, (name, station) in enumerate(zip(self.names, self._stations, strict=True)):
            for job in station.working:
                work = self._work[job]
                behind = self.now - work.began - work.lost
                seen = {
                    "process": "job",
                    "attributes": {"done": min(max(behind, 0.0), longest[name])},
                    "arrived": self._came[job],
                }
                if station.down:
                    jobs.append(InProcess(step=seize_step(k), **seen))  # type: ignore[arg-type]
                else:
                    jobs.append(InProcess(step=seize_step(k) + 1, holds={name: 1}, **seen))  # type: ignore[arg-type]
            if station.down:
                jobs.append(InProcess(f"{name}_repair", step=3, holds={name: station.units}))
            jobs += [
                InProcess("job", step=seize_step(k), arrived=self._came[job], attributes={"done": 0.0})
                for job in station.waiting
            ]
        return observed(shop, self.now, jobs)
