"""The model builder: resources and processes by name, checked when they are added."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from livesim.distributions import Distribution
from livesim.model.describe import describe, diagram
from livesim.model.expressions import STATES, Expression, Parameter, State, leaves
from livesim.model.flow import check_holdings
from livesim.model.resources import (
    MODES,
    Container,
    Conveyor,
    Failures,
    Resource,
    Schedule,
    Store,
    number_of,
    one_of,
    positive_number,
    whole,
)
from livesim.model.serialize import FORMAT, from_dict, to_dict
from livesim.model.verbs import (
    Arrive,
    Assign,
    Get,
    Label,
    Put,
    Release,
    Renege,
    Seize,
    Step,
    Transport,
    Wait,
)


@dataclass(frozen=True, eq=False)
class Process:
    """A name and its steps; the first is `arrive`."""

    name: str
    steps: tuple[Step, ...]


class Model:
    """A system of resources and processes as data. Every method adds to the model and returns it.

    >>> from livesim import Model, arrive, depart, exponential, hold, release, seize
    >>> shop = Model("barbershop").resource("barber").process(
    ...     "customer", arrive(every=exponential(mean=18)), seize("barber"), hold(exponential(mean=16)),
    ...     release("barber"), depart())
    >>> shop
    <Model 'barbershop': barber, customer>
    """

    def __init__(self, name: str = "model") -> None:
        if not isinstance(name, str) or not name:
            raise ValueError(f"a model's name is a non-empty string, got {name!r}")
        self.name = name
        self.resources: dict[str, Resource] = {}
        self.conveyors: dict[str, Conveyor] = {}
        self.containers: dict[str, Container] = {}
        self.stores: dict[str, Store] = {}
        self.processes: dict[str, Process] = {}
        self._parameters: tuple[tuple[Any, ...], dict[str, float]] | None = None
        """What `parameters` found last, and in which parts."""

    def resource(
        self,
        name: str,
        capacity: int | Schedule = 1,
        *,
        discipline: str | Expression = "fifo",
        preemption: str | None = None,
        failures: Failures | None = None,
    ) -> Model:
        """Add a resource of `capacity` units, or one whose capacity follows a `schedule`.

        discipline: how jobs of equal priority wait: "fifo", "lifo", or an expression, the smallest value first.
        preemption: None, or what becomes of the hold of a less urgent job that a seize interrupts: "resume" (the rest
            of it follows), "restart" (all of it again) or "resample" (a new draw).
        failures: breakdowns of the whole resource, from `livesim.failures`.
        """
        self._new_name("resource", name)
        where = f"resource {name!r}"
        if not isinstance(capacity, Schedule):
            capacity = whole(f"{where}: capacity", capacity, 1)
        elif not any(number for _, _, number in capacity.periods):
            raise ValueError(f"{where}: {capacity} has no units at any time; give a period a capacity above 0")
        if not isinstance(discipline, Expression):
            one_of(f"{where}: discipline", discipline, ("fifo", "lifo"))
        if preemption is not None:
            one_of(f"{where}: preemption", preemption, MODES)
        _check_failures(where, failures)
        self._check_states(where, discipline)
        self.resources[name] = Resource(name, capacity, discipline, preemption, failures)
        return self

    def conveyor(self, name: str, *, length: float, speed: float, capacity: int) -> Model:
        """Add a conveyor: jobs travel `length / speed`, at most `capacity` of them at once."""
        self._new_name("conveyor", name)
        where = f"conveyor {name!r}"
        self.conveyors[name] = Conveyor(
            name,
            positive_number(f"{where}: length", number_of(f"{where}: length", length)),
            positive_number(f"{where}: speed", number_of(f"{where}: speed", speed)),
            whole(f"{where}: capacity", capacity, 1),
        )
        return self

    def container(self, name: str, *, capacity: float = float("inf"), initial: float = 0.0) -> Model:
        """Add a container that holds at most `capacity`, and `initial` at the start."""
        self._new_name("container", name)
        limit = positive_number(f"container {name!r}: capacity", capacity)
        if not 0 <= number_of(f"container {name!r}: initial", initial) <= limit:
            raise ValueError(
                f"container {name!r}: initial must lie between 0 and the capacity {limit:g}, got {initial!r}"
            )
        self.containers[name] = Container(name, limit, float(initial))
        return self

    def store(
        self,
        name: str,
        *,
        capacity: float = math.inf,
        discipline: str | Expression = "fifo",
        initial: Sequence[Mapping[str, float]] = (),
    ) -> Model:
        """Add a store of items, at most `capacity` of them; each has numbers by name.

        discipline: which item is taken first: "fifo", "lifo", or an expression of its numbers, the smallest value first
            and equal ones as they came: `item("due")`.
        initial: the items that are there at the start: `[{"size": 3}, {"size": 1}]`.
        """
        self._new_name("store", name)
        where = f"store {name!r}"
        if capacity != math.inf:
            capacity = float(whole(f"{where}: capacity", capacity, 1))
        if not isinstance(discipline, Expression):
            one_of(f"{where}: discipline", discipline, ("fifo", "lifo"))
        for leaf in leaves(discipline):
            if isinstance(leaf, State) and leaf.kind != "item":
                raise ValueError(
                    f"{where}: its order is by numbers of the items alone, such as item('due'), not by {leaf}"
                )
        if not isinstance(initial, Sequence) or not all(isinstance(given, Mapping) for given in initial):
            raise TypeError(f"{where}: initial holds a mapping for each item, such as [{{'size': 3}}], got {initial!r}")
        items = tuple(
            tuple((str(of), number_of(f"{where}: initial: {of!r}", number)) for of, number in given.items())
            for given in initial
        )
        if len(items) > capacity:
            raise ValueError(f"{where}: {len(items)} items at the start are more than the capacity {capacity:g}")
        self.stores[name] = Store(name, capacity, discipline, items)
        return self

    def process(self, name: str, *steps: Step) -> Model:
        """Add a process: `arrive(...)`, then its steps. Anything wrong in it is an error that names the step."""
        self._new_name("process", name)
        self._check_steps(name, steps)
        check_holdings(name, steps)
        self.processes[name] = Process(name, steps)
        return self

    def names(self) -> list[str]:
        """Every name in the model: resources, conveyors, containers, stores and processes."""
        return [*self.resources, *self.conveyors, *self.containers, *self.stores, *self.processes]

    def parts(self) -> tuple[Resource | Conveyor | Container | Store | Process, ...]:
        """What the model is made of. None of it ever changes: the same parts are the same model."""
        return (
            *self.resources.values(), *self.conveyors.values(), *self.containers.values(), *self.stores.values(),
            *self.processes.values(),
        )  # fmt: skip

    def parameters(self) -> dict[str, float]:
        """The parameters that the model names, and their defaults."""
        parts = self.parts()
        if self._parameters is not None and self._parameters[0] == parts:
            return dict(self._parameters[1])
        found: dict[str, float] = {}
        for leaf in self._leaves():
            if isinstance(leaf, Parameter) and found.setdefault(leaf.name, leaf.default) != leaf.default:
                both = f"{found[leaf.name]:g} and {leaf.default:g}"
                raise ValueError(f"param {leaf.name!r} has two defaults in model {self.name!r}: {both}")
        self._parameters = parts, found
        return dict(found)

    def to_json(self) -> str:
        """The whole model as a JSON text, with the version of its format."""
        return json.dumps(to_dict(self), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Model:
        """The model that `to_json` wrote; anything else is a ValueError. Nothing in the text is ever executed."""
        try:
            whole = json.loads(text)
            if whole["format"] != FORMAT:
                raise ValueError(f"format {whole['format']!r}; this version reads {FORMAT!r}")
            return from_dict(whole, cls(whole["name"]))
        except KeyError as error:
            raise ValueError(f"not a livesim model: no {error}") from error
        except (TypeError, AttributeError, IndexError, ValueError, OverflowError, RecursionError) as error:
            raise ValueError(f"not a livesim model: {error}") from error

    def save(self, path: str | Path) -> None:
        """Write the model as JSON."""
        Path(path).write_text(self.to_json(), encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Model:
        """Read a model that `save` wrote."""
        return cls.from_json(Path(path).read_text(encoding="utf-8"))

    def describe(self) -> str:
        """The model as a table that a person can check; `print(model)` shows it."""
        return describe(self)

    def diagram(self) -> str:
        """The processes as an SVG image; notebooks show it by themselves."""
        return diagram(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Model) and self.to_json() == other.to_json()

    __hash__ = None  # type: ignore[assignment]

    def __str__(self) -> str:
        return self.describe()

    def _repr_svg_(self) -> str:
        return self.diagram()

    def __repr__(self) -> str:
        return f"<Model {self.name!r}: {', '.join(self.names()) or 'empty'}>"

    # -- checks at the door --------------------------------------------------------------------------------------------

    def _leaves(self) -> Iterable[Parameter | State]:
        for resource in self.resources.values():
            for content in (resource.discipline, resource.failures):
                yield from _leaves(content)
        for store in self.stores.values():
            yield from _leaves(store.discipline)
        for process in self.processes.values():
            for step in process.steps:
                yield from _leaves(step)

    def _new_name(self, kind: str, name: str) -> None:
        if not isinstance(name, str) or not name:
            raise ValueError(f"{kind}: a name is a non-empty string, got {name!r}")
        if "." in name:
            raise ValueError(f"{kind} {name!r}: a name holds no dot: results are read as 'customer.wait.mean'")
        if name in self.names():
            raise ValueError(f"{kind} {name!r}: model {self.name!r} already has a {name!r}; names are unique")

    def _known(self, where: str, kind: str, name: str, known: Iterable[str]) -> None:
        if name not in known:
            there = ", ".join(map(repr, known)) or "none"
            raise ValueError(f"{where}: no {kind} {name!r} in model {self.name!r}; there are: {there}")

    def _check_steps(self, name: str, steps: tuple[Any, ...]) -> None:
        if not steps or not isinstance(steps[0], Arrive):
            raise ValueError(f"process {name!r}: step 1 must be arrive(...), got {steps[0] if steps else 'nothing'}")
        attributes = {attribute for step in steps if isinstance(step, Assign) for attribute, _ in step.values}
        attributes |= {attribute for step in steps if isinstance(step, Get) for attribute, _ in step.into}
        for number, step in enumerate(steps, 1):
            if not isinstance(step, Step):
                raise TypeError(f"process {name!r}, step {number}: expected a verb such as hold(3), got {step!r}")
            self._check_step(f"process {name!r}, step {number}, {step}", number, step, steps, name, attributes)

    def _check_step(
        self, where: str, number: int, step: Step, steps: tuple[Step, ...], process: str, attributes: set[str]
    ) -> None:
        if (number == 1) != isinstance(step, Arrive):
            raise ValueError(f"{where}: arrive is the first step, and no other")
        if step.falls_through() and number == len(steps):
            raise ValueError(f"{where}: a process must not end here; end it with depart()")
        following = steps[number] if number < len(steps) else None
        if isinstance(step, Renege) and not isinstance(following, (Seize, Wait, Get, Put)):
            raise ValueError(
                f"{where}: renege belongs directly before a seize, wait, get or put, not before {following}"
            )
        if isinstance(step, Label) and [s.name for s in steps if isinstance(s, Label)].count(step.name) > 1:
            raise ValueError(f"{where}: there are two labels {step.name!r}")
        for to in step.labels():
            known = [s.name for s in steps if isinstance(s, Label)]
            if to not in known:
                there = ", ".join(map(repr, known)) or "none"
                raise ValueError(f"{where}: no label {to!r} in this process; there are: {there}")
        if isinstance(step, (Seize, Release)):
            for resource in step.resources:
                self._known(where, "resource", resource, self.resources)
        if isinstance(step, Seize) and isinstance(step.units, float):
            for resource in step.resources:
                most = self.resources[resource].largest_capacity()
                if step.units > most or step.units != int(step.units):
                    raise ValueError(
                        f"{where}: units must be a whole number up to the capacity {most}, got {step.units:g}"
                    )
        if isinstance(step, Transport):
            self._known(where, "conveyor", step.conveyor, self.conveyors)
        if isinstance(step, (Get, Put)):
            self._check_stock(where, step)
        self._check_states(where, step, process, attributes)

    def _check_stock(self, where: str, step: Get | Put) -> None:
        """A store takes items, a container amounts; a condition reads what cannot change while the job waits."""
        self._known(where, "container", step.container, [*self.containers, *self.stores])
        of_items = step.item is not None if isinstance(step, Put) else step.where is not None or bool(step.into)
        if step.container in self.stores:
            if step.amount != 1.0:
                raise ValueError(
                    f"{where}: {step.container!r} is a store of items, which come one by one, not by amounts"
                )
            condition = step.where if isinstance(step, Get) else None
            for leaf in leaves(condition):
                if isinstance(leaf, State) and leaf.kind not in ("item", "attribute"):
                    raise ValueError(f"{where}: where= reads the item and the job's attributes alone, not {leaf}")
            return
        if of_items:
            raise ValueError(f"{where}: {step.container!r} is a container of amounts; items belong into a store")
        most = self.containers[step.container].capacity
        if isinstance(step.amount, float) and step.amount > most:
            raise ValueError(f"{where}: more than the capacity {most:g} of {step.container!r}: it would wait forever")

    def _check_states(
        self, where: str, content: Any, process: str | None = None, attributes: Iterable[str] | None = None
    ) -> None:
        known: dict[str, Iterable[str]] = {
            "a resource": self.resources,
            "a process": [*self.processes, *([process] if process else [])],
            "a container": [*self.containers, *self.stores],
        }
        for leaf in _leaves(content):
            if not isinstance(leaf, State):
                continue
            kind = STATES[leaf.kind]
            if kind == "an attribute":
                if attributes is not None and leaf.name not in attributes:
                    there = ", ".join(map(repr, sorted(attributes))) or "none"
                    raise ValueError(f"{where}: no step assigns the attribute {leaf.name!r}; there are: {there}")
            elif kind == "an item":
                if not isinstance(content, Get):
                    raise ValueError(f"{where}: {leaf} is read by a store's order and by get(..., where=) alone")
            elif kind != "nothing":
                self._known(where, kind.split()[-1], leaf.name, known[kind])


def _check_failures(where: str, failures: Any) -> None:
    if failures is not None and not isinstance(failures, Failures):
        raise TypeError(f"{where}: failures must be made by livesim.failures(...), got {failures!r}")


def _leaves(content: Any) -> Iterable[Parameter | State]:
    """Every parameter and state that a part of a model reads."""
    if isinstance(content, Expression):
        yield from leaves(content)
    elif isinstance(content, Distribution):
        if not content.is_constant():
            for _, parameter in content.parameters:
                yield from leaves(parameter)
    elif isinstance(content, tuple):
        for part in content:
            yield from _leaves(part)
    elif isinstance(content, (Step, Failures)):
        for part in vars(content).values():
            yield from _leaves(part)
