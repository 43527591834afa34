"""Entities by hand: what verbs cannot say, as classes that handle events, run by a loop in plain Python.

An entity is a description: what changes in a replication is its state, which `init` makes and `handle` changes. It
schedules events for itself and for others by returning (or yielding) them as `(time, entity, event)`.

>>> from livesim import Entity, entities, exponential
>>> class Lamp(Entity):
...     def init(self, variates):
...         return {"variates": variates, "burnt": 0}
...     def handle(self, event, now, state):
...         state["burnt"] += event == "out"
...         yield now + state["variates"].draw(exponential(mean=100), "life"), "lamp", "out"
...     def statistics(self, state):
...         return {"burnt": state["burnt"]}
>>> found = entities.run({"lamp": Lamp()}, start=[(0, "lamp", "on")], until=10_000, seed=1)
>>> 70 < found["lamp.burnt"] < 130
True
"""

from __future__ import annotations

import functools
import heapq
import math
import reprlib
import secrets
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from typing import Any

from livesim.messages import Sink
from livesim.monitors import Follower, Level, Numbers, Tally, check_every, number, numbers_of
from livesim.runs import Runs
from livesim.runtime.checkpoint import Store
from livesim.runtime.errors import SimulationError
from livesim.runtime.hand import ByHand, alone, source_of
from livesim.runtime.replicate import replicate_subject
from livesim.runtime.simulation import Halted
from livesim.variates import Variates, check_indices

Event = tuple[float, str, Any]
"""The time at which it happens, the name of the entity that handles it, and what happens: anything."""


class Entity:
    """Something that events happen to. Subclasses give `handle`, and `init` and `statistics` where they need them.

    One instance serves all replications, so nothing of a replication belongs into it: that is what the state is for.
    """

    def init(self, variates: Variates) -> Any:
        """The state at the start of a replication. `variates` are its random numbers; a state may keep them."""
        return None

    def handle(self, event: Any, now: float, state: Any) -> Iterable[Event] | None:
        """Do what an event does to the state, and give the events that follow from it, none of them before now."""
        raise NotImplementedError(f"{type(self).__name__} needs a method handle(self, event, now, state)")

    def statistics(self, state: Any) -> Mapping[str, Any]:
        """Numbers by name, asked for at the end; a `Level` or `Tally` gives its own, and obeys the warm-up."""
        return {}


class EntityError(SimulationError):
    """An entity raised an error, which is the cause of this one, or scheduled what cannot happen."""

    entity: str = ""
    event: Any = None
    time: float = math.nan
    state: Any = None


def run(
    entities: Mapping[str, Entity],
    start: Iterable[Event],
    until: float,
    *,
    seed: int | None = None,
    warmup: float = 0.0,
    every: float | None = None,
    replication: int = 0,
) -> Numbers:
    """Run entities from time 0 to `until`, events at that time included.

    Events come by time; those of one time in the order in which they were scheduled, `start`'s first. The numbers are
    those of each entity's `statistics`, as "entity.name", or "entity.name.mean" and so on for a monitor.

    seed, replication: of the random numbers; an entity's streams are its own, by its name.
    warmup: monitors among the statistics count from this time on; plain numbers are the entity's own.
    every: keep what monitors add up to over time, in intervals of this length.

    Raises EntityError, which holds the entity's state, where one raises.
    """
    start = list(start)
    _check(entities, start, until, warmup)
    check_every(every)
    seed = secrets.randbits(63) if seed is None else seed
    check_indices("run", seed, replication)
    return _run(until, entities, start, seed=int(seed), replication=int(replication), warmup=warmup, every=every)


def replicate(
    entities: Mapping[str, Entity],
    start: Iterable[Event],
    n: int = 100,
    *,
    until: float,
    warmup: float | str | None = None,
    seed: int | None = None,
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
    """Run entities n times: replication k is `run(entities, start, until, seed=seed, replication=k, ...)` to the bit.

    warmup: a time, or "mser5", which finds one cut for all in the levels of 20 pilot replications.
    executor: None makes one replication after another here; others make them in parallel, from classes of a module
        that workers can import.

    The other arguments, the result and the messages are those of `livesim.replicate`. A replication in which an entity
    raises is marked, with the entity's state in its error's words, and NaN in `runs.values`; the others go on.
    """
    start = list(start)
    _check(entities, start, until, 0.0 if warmup is None or isinstance(warmup, str) else warmup)
    check_every(every)
    run = functools.partial(_run, entities=dict(entities), start=start)
    return replicate_subject(
        System(", ".join(entities), run, dict(entities)), n=n, until=until, warmup=warmup, drain=False, every=every,
        seed=seed, params=None, relative=relative, absolute=absolute, confidence=confidence, least=least, events=False,
        start=None, engine="compiled", sink=sink, stop=stop, executor=executor or alone, checkpoint=checkpoint,
        progress=progress,
    )  # fmt: skip


class System(ByHand):
    """Entities to be replicated."""

    def plain(self) -> dict[str, Any]:
        """Its name, and the classes' texts and what their instances hold."""
        texts = {name: [source_of(type(each)), repr(vars(each))] for name, each in self.source.items()}
        return super().plain() | {"entities": texts}


def _run(
    until: float,
    entities: Mapping[str, Entity],
    start: Iterable[Event],
    *,
    seed: int,
    replication: int,
    warmup: float,
    every: float | None,
    params: Mapping[str, Any] | None = None,
    halted: Callable[[], bool] | None = None,
) -> Numbers:
    world = _World(entities, Variates(seed, replication), halted)
    for event in start:
        world.schedule(event, 0.0)
    follower = Follower(warmup, every, until)
    while follower.next <= until:
        if follower.next > 0:
            world.advance(follower.next)
        contents = world.statistics(follower.next)
        follower.pass_by({name: each for name, each in contents.items() if isinstance(each, (Level, Tally))})
    world.advance(until)
    values: dict[str, float] = {}
    for name, content in world.statistics(until).items():
        if isinstance(content, (Level, Tally)):
            values |= numbers_of(name, content, warmup, until)
        else:
            values[name] = number(f"statistics: {name}", content)
    return Numbers(values, until, warmup, world.events, seed, replication, follower.course())


class _World:
    """The calendar and the states of one replication."""

    def __init__(self, entities: Mapping[str, Entity], variates: Variates, halted: Callable[[], bool] | None) -> None:
        self.entities = entities
        self.halted = halted
        self.calendar: list[tuple[float, int, str, Any]] = []
        self.scheduled = self.events = 0
        self.states = {name: entity.init(variates.within(f"{name}/")) for name, entity in entities.items()}

    def schedule(self, event: Any, now: float) -> None:
        """Put an event into the calendar, or raise ValueError where it cannot happen."""
        if not (isinstance(event, tuple) and len(event) == 3):
            raise ValueError(f"an event is (time, entity, event), got {event!r:.80}")
        time, name, what = event
        if name not in self.entities:
            there = ", ".join(map(repr, self.entities))
            raise ValueError(f"event {what!r:.80} is for {name!r}; the entities are: {there}")
        if not now <= time < math.inf:
            raise ValueError(f"event {what!r:.80} for {name!r} is at {time:g}; it must be at {now:g} or later")
        heapq.heappush(self.calendar, (float(time), self.scheduled, name, what))
        self.scheduled += 1

    def advance(self, until: float) -> None:
        """Handle every event up to and at `until`."""
        while self.calendar and self.calendar[0][0] <= until:
            now, _, name, what = heapq.heappop(self.calendar)
            self.events += 1
            if self.events % 1024 == 0 and self.halted is not None and self.halted():
                raise Halted
            try:
                for event in self.entities[name].handle(what, now, self.states[name]) or ():
                    self.schedule(event, now)
            except Exception as error:
                raise self.wrong(error, name, f"event {what!r:.80}", what, now) from error

    def statistics(self, now: float) -> dict[str, Any]:
        """Numbers and monitors by "entity.name"."""
        found: dict[str, Any] = {}
        for name, entity in self.entities.items():
            try:
                found |= {f"{name}.{what}": content for what, content in entity.statistics(self.states[name]).items()}
            except Exception as error:
                raise self.wrong(error, name, "its statistics", None, now) from error
        return found

    def wrong(self, error: Exception, name: str, where: str, event: Any, now: float) -> EntityError:
        """The error of an entity, with its state."""
        state = self.states[name]
        found = EntityError(
            f"entity {name!r}, {where}, at time {now:g}: {type(error).__name__}: {error}; its state: {_shown(state)}"
        )
        found.entity, found.event, found.time, found.state = name, event, now, state
        return found


def _shown(state: Any) -> str:
    """A state in words, short; of an object without its own, its attributes."""
    form = reprlib.Repr()
    form.maxstring = form.maxother = 200
    kind: Any = type(state)
    plain = kind.__repr__ is object.__repr__ and hasattr(state, "__dict__")
    return form.repr(vars(state) if plain else state)


def _check(entities: Any, start: list[Event], until: Any, warmup: Any) -> None:
    if not isinstance(entities, Mapping) or not entities:
        raise TypeError(f"entities are a dict of names and entities, got {entities!r:.80}")
    for name, entity in entities.items():
        if not isinstance(name, str) or not name or "." in name:
            raise ValueError(f"an entity's name is a non-empty string without a dot, got {name!r}")
        if not isinstance(entity, Entity):
            raise TypeError(f"entity {name!r} must be an instance of a class of livesim.Entity, got {entity!r}")
    if not start:
        raise ValueError("start holds no event, so nothing would happen; give one, such as (0, 'lamp', 'on')")
    if not (isinstance(until, (int, float)) and 0 < until < math.inf):
        raise ValueError(f"until must be a finite time above 0, got {until!r}")
    if not (isinstance(warmup, (int, float)) and 0 <= warmup < until):
        raise ValueError(f"warmup must be a time from 0 to until={until:g}, got {warmup!r}")


__all__ = ["Entity", "EntityError", "Event", "Level", "Numbers", "Tally", "Variates", "replicate", "run"]
