"""The verbs of a process: each makes one step, a frozen piece of data; `Model.process` checks them together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from numbers import Integral
from typing import Any, ClassVar

from livesim.distributions import Distribution
from livesim.model.expressions import Expression, equal, is_condition, literal
from livesim.model.values import Value, text, value

POLICIES = ("first_available", "shortest_queue", "round_robin", "random")


@dataclass(frozen=True, eq=False)
class Step:
    """One step of a process."""

    verb: ClassVar[str]

    @cached_property
    def _text(self) -> str:
        return f"{self.verb}({', '.join(f'{name}={text(content)}' for name, content in self.given().items())})"

    def __str__(self) -> str:
        return self._text

    __repr__ = __str__

    def given(self) -> dict[str, Any]:
        """The fields that are not as they are by default."""
        contents = {field.name: (getattr(self, field.name), field.default) for field in fields(self)}
        return {name: content for name, (content, default) in contents.items() if not equal(content, default)}

    def labels(self) -> tuple[str, ...]:
        """The labels that the step may jump to."""
        to = getattr(self, "to", None)
        return () if to is None else (to,)

    def falls_through(self) -> bool:
        """Whether a job may go on to the next step."""
        return True


@dataclass(frozen=True, eq=False)
class Arrive(Step):
    verb = "arrive"
    every: Value | None = None
    at: tuple[float, ...] | None = None
    rate: tuple[tuple[float, float, float], ...] | None = None
    then: str | None = None
    first: Value | None = None
    batch: Value = 1.0
    limit: int | None = None


@dataclass(frozen=True, eq=False)
class Seize(Step):
    verb = "seize"
    resources: tuple[str, ...]
    units: Value = 1.0
    priority: Value = 0.0
    policy: str | None = None


@dataclass(frozen=True, eq=False)
class Renege(Step):
    verb = "renege"
    after: Value
    to: str


@dataclass(frozen=True, eq=False)
class Balk(Step):
    verb = "balk"
    when: Value
    to: str


@dataclass(frozen=True, eq=False)
class Hold(Step):
    verb = "hold"
    time: Value


@dataclass(frozen=True, eq=False)
class Route(Step):
    verb = "route"
    time: Value


@dataclass(frozen=True, eq=False)
class Transport(Step):
    verb = "transport"
    conveyor: str


@dataclass(frozen=True, eq=False)
class Release(Step):
    verb = "release"
    resources: tuple[str, ...]
    units: Value | None = None


@dataclass(frozen=True, eq=False)
class Decide(Step):
    verb = "decide"
    branches: tuple[tuple[Value, str], ...]

    def labels(self) -> tuple[str, ...]:
        return tuple(to for _, to in self.branches)

    def falls_through(self) -> bool:
        return len(self.branches) == 1


@dataclass(frozen=True, eq=False)
class Assign(Step):
    verb = "assign"
    values: tuple[tuple[str, Value], ...]


@dataclass(frozen=True, eq=False)
class Label(Step):
    verb = "label"
    name: str


@dataclass(frozen=True, eq=False)
class Jump(Step):
    verb = "jump"
    to: str

    def falls_through(self) -> bool:
        return False


@dataclass(frozen=True, eq=False)
class Loop(Step):
    verb = "loop"
    to: str
    times: Value


@dataclass(frozen=True, eq=False)
class Record(Step):
    verb = "record"
    name: str
    value: Value


@dataclass(frozen=True, eq=False)
class Batch(Step):
    verb = "batch"
    size: Value


@dataclass(frozen=True, eq=False)
class Unbatch(Step):
    verb = "unbatch"


@dataclass(frozen=True, eq=False)
class Split(Step):
    verb = "split"
    parts: Value
    to: str | None = None


@dataclass(frozen=True, eq=False)
class Combine(Step):
    verb = "combine"
    count: Value | None = None


@dataclass(frozen=True, eq=False)
class Signal(Step):
    verb = "signal"
    name: str


@dataclass(frozen=True, eq=False)
class Wait(Step):
    verb = "wait"
    name: str


@dataclass(frozen=True, eq=False)
class Put(Step):
    """Into a container an amount, into a store an item: the names of its numbers, and their values."""

    verb = "put"
    container: str
    amount: Value = 1.0
    item: tuple[tuple[str, Value], ...] | None = None


@dataclass(frozen=True, eq=False)
class Get(Step):
    """Out of a container an amount, out of a store an item: the first that meets a condition."""

    verb = "get"
    container: str
    amount: Value = 1.0
    where: Expression | float | None = None
    into: tuple[tuple[str, str], ...] = ()
    """Attributes of the job, and the numbers of the item that they are set to."""


@dataclass(frozen=True, eq=False)
class Depart(Step):
    verb = "depart"

    def falls_through(self) -> bool:
        return False


VERBS: dict[str, type[Step]] = {step.verb: step for step in Step.__subclasses__()}


# -- the words of the language -----------------------------------------------------------------------------------------


def arrive(
    every: Any = None,
    *,
    at: Sequence[float] | None = None,
    rate: Sequence[tuple[float, float, float]] | None = None,
    then: str | None = None,
    first: Any = None,
    batch: Any = 1,
    limit: int | None = None,
) -> Arrive:
    """How jobs come: every so often, at given times, or at a rate that varies with time.

    every: the time between arrivals. The first comes after one such time, or at `first`.
    at: the times themselves, in order.
    rate: periods `(start, end, arrivals per unit of time)` that follow each other from 0: a Poisson process of that
        rate, by thinning (Lewis and Shedler 1979). `then` says what comes after the last period: "stop", "repeat"
        (from the first again) or "keep" (the last rate stays).
    batch: how many jobs come at once. limit: no more arrivals (of batches) than this.

    >>> print(arrive(every=18.0, limit=3))
    arrive(every=18, limit=3)
    """
    given = [name for name, content in (("every", every), ("at", at), ("rate", rate)) if content is not None]
    if len(given) != 1:
        raise ValueError(f"arrive takes one of every=, at= and rate=, got {' and '.join(given) or 'none'}")
    if (rate is None) != (then is None) or then not in (None, "stop", "repeat", "keep"):
        raise ValueError(
            "arrive: rate= goes with then='stop', 'repeat' or 'keep', what happens after its last period; "
            f"got then={then!r}"
        )
    if first is not None and every is None:
        raise ValueError("arrive: first= goes with every=")
    gap = None if every is None else positive("arrive", "every", value("arrive", "every", every))
    if isinstance(gap, float) and gap == 0.0 and limit is None:
        raise ValueError(
            "arrive: every=0 needs a limit=, as infinitely many would come at once; or give at= and batch="
        )
    return Arrive(
        gap,
        None if at is None else _times(at),
        None if rate is None else _rates(rate),
        then,
        None if first is None else positive("arrive", "first", value("arrive", "first", first)),
        _count("arrive", "batch", value("arrive", "batch", batch), least=0),
        None if limit is None else _limit(limit),
    )


def seize(*resources: str, units: Any = 1, priority: Any = 0, policy: str | None = None) -> Seize:
    """Take units of a resource, waiting in its queue while there are too few.

    Several resources: all of them at once, waiting until every one has the units free; with a `policy`, one of them,
    chosen on arrival at this step: "first_available", "shortest_queue", "round_robin" or "random".
    priority: the smaller the number, the sooner the job is served; equal ones by the resource's discipline.
    """
    if policy is not None and policy not in POLICIES:
        raise ValueError(f"seize: policy must be one of {', '.join(map(repr, POLICIES))}, got {policy!r}")
    if policy is not None and len(resources) < 2:
        raise ValueError("seize: a policy chooses between resources; name two or more")
    return Seize(
        _names("seize", "resource", resources),
        positive("seize", "units", value("seize", "units", units), strictly=True),
        value("seize", "priority", priority),
        policy,
    )


def renege(after: Any, to: str) -> Renege:
    """Give up the wait of the next step (a seize, a wait, a get or a put) after a time, and go on at a label."""
    return Renege(positive("renege", "after", value("renege", "after", after)), _name("renege", "label", to))


def balk(when: Any, to: str) -> Balk:
    """Go to a label, and do not join, where a condition holds: `balk(queue_length("barber") >= 4, "lost")`."""
    return Balk(_condition("balk", "when", when), _name("balk", "label", to))


def hold(time: Any) -> Hold:
    """Work, or wait, for a time; a preemption of a resource that the job holds interrupts it."""
    return Hold(positive("hold", "time", value("hold", "time", time)))


def route(time: Any) -> Route:
    """Travel for a time; what interrupts a hold does not interrupt a route."""
    return Route(positive("route", "time", value("route", "time", time)))


def transport(conveyor: str) -> Transport:
    """Travel by a conveyor, waiting for a place on it."""
    return Transport(_name("transport", "conveyor", conveyor))


def release(*resources: str, units: Any = None) -> Release:
    """Give back units of what the job holds, all unless `units` says how many; of several resources, those held."""
    given = None if units is None else positive("release", "units", value("release", "units", units), strictly=True)
    return Release(_names("release", "resource", resources), given)


def decide(choice: Any, to: str | None = None) -> Decide:
    """Go to a label with a probability or where a condition holds, else on; or to one of several labels.

    `decide(0.15, "rework")`; `decide(attribute("size") > 3, "large")`; `decide({"left": 0.3, "right": 0.7})`.
    """
    if isinstance(choice, Mapping):
        if to is not None or not choice:
            raise ValueError(
                f"decide: a mapping holds labels and their probabilities, and there is no other; got {to!r}"
            )
        branches = tuple((_probability(p), _name("decide", "label", label)) for label, p in choice.items())
        numbers = [p for p, _ in branches if isinstance(p, float)]
        if len(numbers) == len(branches) and not math.isclose(math.fsum(numbers), 1, rel_tol=1e-9):
            raise ValueError(f"decide: the probabilities must sum to 1, got {math.fsum(numbers):g}")
        return Decide(branches)
    if to is None:
        raise ValueError("decide: say where to go: decide(0.15, 'rework')")
    content = choice if is_condition(choice) else _probability(choice)
    return Decide(((content, _name("decide", "label", to)),))


def assign(**values: Any) -> Assign:
    """Set attributes of the job, in the order given; a distribution is drawn from once."""
    if not values:
        raise ValueError("assign: name an attribute and its value: assign(size=3)")
    return Assign(tuple((name, value("assign", name, content)) for name, content in values.items()))


def label(name: str) -> Label:
    """A place to jump to."""
    return Label(_name("label", "label", name))


def jump(to: str) -> Jump:
    """Go to a label."""
    return Jump(_name("jump", "label", to))


def loop(to: str, times: Any) -> Loop:
    """Go back to a label until the steps between have been done so many times in all."""
    return Loop(_name("loop", "label", to), _count("loop", "times", _expression("loop", "times", times)))


def record(name: str, content: Any) -> Record:
    """Add a value to the tally `name` of the process: `result["customer"].records["name"]`."""
    return Record(_name("record", "tally", name), value("record", "value", content))


def batch(size: Any) -> Batch:
    """Wait for so many jobs at this step; they go on as one, the first to come, until `unbatch`."""
    return Batch(_count("batch", "size", _expression("batch", "size", size)))


def unbatch() -> Unbatch:
    """Take the job's latest batch apart: its members go on from here, in the order in which they had come."""
    return Unbatch()


def split(parts: Any, to: str | None = None) -> Split:
    """Become so many jobs: the job itself, which goes first, and copies of it, which go to a label if one is given."""
    target = None if to is None else _name("split", "label", to)
    return Split(_count("split", "parts", value("split", "parts", parts)), target)


def combine(count: Any = None) -> Combine:
    """Merge so many jobs that come to this step into the first of them; without a number, the parts of one split."""
    if count is None:
        return Combine()
    return Combine(_count("combine", "count", _expression("combine", "count", count)))


def signal(name: str) -> Signal:
    """Let every job go on that waits for the signal now."""
    return Signal(_name("signal", "signal", name))


def wait(name: str) -> Wait:
    """Wait until the signal is given; one given earlier does not count."""
    return Wait(_name("wait", "signal", name))


def put(container: str, amount: Any = 1, *, item: Mapping[str, Any] | None = None) -> Put:
    """Put an amount into a container, or an item into a store, waiting while there is no room.

    item: the numbers that the item has, by name; they are known before the wait. `put("shelf", item={"size": 3})`.
    """
    values = None
    if item is not None:
        numbers = _mapping("put", "item", item, '{"size": 3}')
        values = tuple((_name("put", "number", name), value("put", name, given)) for name, given in numbers.items())
    return Put(_name("put", "container", container), positive("put", "amount", value("put", "amount", amount)), values)


def get(container: str, amount: Any = 1, *, where: Any = None, into: Mapping[str, str] | None = None) -> Get:
    """Take an amount out of a container, or an item out of a store, waiting while there is none.

    where: a condition on the item and the job, such as `item("size") <= attribute("room")`; the first item in the
        store's order that meets it is taken. Whoever waits for another item holds nobody up.
    into: attributes of the job that are set to numbers of the item: `{"got": "size"}`.
    """
    condition = None if where is None else _condition("get", "where", where)
    wanted = _mapping("get", "into", {} if into is None else into, '{"got": "size"}')
    pairs = tuple((_name("get", "attribute", name), _name("get", "number", of)) for name, of in wanted.items())
    amount = positive("get", "amount", value("get", "amount", amount))
    return Get(_name("get", "container", container), amount, condition, pairs)


def depart() -> Depart:
    """Leave the system; the job must hold nothing."""
    return Depart()


# -- checks of one step ------------------------------------------------------------------------------------------------


def positive(verb: str, what: str, content: Value, *, strictly: bool = False) -> Value:
    """The value, or an error where it is a number that is negative, infinite or NaN (or 0)."""
    if isinstance(content, float) and not (math.isfinite(content) and (content > 0 or (content == 0 and not strictly))):
        raise ValueError(f"{verb}: {what} must be {'above 0' if strictly else '0 or more'} and finite, got {content:g}")
    return content


def _limit(limit: Any) -> int:
    if isinstance(limit, bool) or not isinstance(limit, Integral) or limit < 0:
        raise ValueError(f"arrive: limit must be a number of arrivals, 0 or more, got {limit!r}")
    return int(limit)


def _count(verb: str, what: str, content: Any, *, least: int = 1) -> Any:
    """The value, or an error where it is a number that is not whole or too small."""
    if isinstance(content, float) and not (
        content >= least and math.isfinite(content) and content == math.floor(content)
    ):
        raise ValueError(f"{verb}: {what} must be a whole number of at least {least}, got {content:g}")
    return content


def _mapping(verb: str, what: str, given: Any, example: str) -> Mapping[str, Any]:
    if not isinstance(given, Mapping):
        raise TypeError(f"{verb}: {what}= is a mapping such as {example}, got {given!r}")
    return given


def periods(what: str, given: Sequence[tuple[float, float, float]]) -> tuple[tuple[float, float, float], ...]:
    """Periods `(start, end, number)` as floats, or an error where they leave gaps, overlap or go below 0."""
    try:
        rows = tuple((float(start), float(end), float(number)) for start, end, number in given)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{what}: periods are (start, end, number), got {given!r}") from error
    if not rows:
        raise ValueError(f"{what}: no periods")
    expected = 0.0
    for start, end, number in rows:
        if start != expected or not start < end < math.inf:
            raise ValueError(f"{what}: period ({start:g}, {end:g}) must start at {expected:g} and end later")
        if not 0 <= number < math.inf:
            raise ValueError(f"{what}: period ({start:g}, {end:g}) has {number:g}; it must be 0 or more")
        expected = end
    return rows


def _rates(given: Sequence[tuple[float, float, float]]) -> tuple[tuple[float, float, float], ...]:
    rows = periods("arrive: rate", given)
    if not any(number for _, _, number in rows):
        raise ValueError("arrive: rate is 0 in every period, so that nobody would come; give one a rate above 0")
    return rows


def _times(at: Sequence[float]) -> tuple[float, ...]:
    try:
        times = tuple(float(time) for time in at)
    except (TypeError, ValueError):
        raise TypeError(f"arrive: at= must be times in order from 0 on, got {at!r}") from None
    for before, after in zip((0.0, *times), times, strict=False):
        if not before <= after < math.inf:
            raise ValueError(f"arrive: at= must be times in order from 0 on, got {after:g} after {before:g}")
    return times


def _name(verb: str, what: str, name: Any) -> str:
    if not isinstance(name, str) or not name:
        raise TypeError(f"{verb}: the name of a {what} is a non-empty string, got {name!r}")
    return name


def _names(verb: str, what: str, names: tuple[Any, ...]) -> tuple[str, ...]:
    if not names:
        raise ValueError(f"{verb}: name a {what}")
    if len(set(names)) < len(names):
        raise ValueError(f"{verb}: a {what} is named twice in {names}; ask for units=")
    return tuple(_name(verb, what, name) for name in names)


def _expression(verb: str, what: str, content: Any) -> Expression | float:
    checked = value(verb, what, content)
    if isinstance(checked, Distribution):
        raise TypeError(f"{verb}: {what} cannot be the distribution {checked}; assign it to an attribute first")
    return checked


def _condition(verb: str, what: str, content: Any) -> Expression | float:
    """The expression, or an error where it is a plain number, which holds always or never."""
    checked = _expression(verb, what, content)
    if not isinstance(checked, Expression):
        raise TypeError(f"{verb}: {what} must be a condition, such as queue_length('barber') >= 4, got {content!r}")
    return checked


def _probability(content: Any) -> Expression | float:
    number = literal(content)
    if isinstance(number, float) and not 0 <= number <= 1:
        raise ValueError(f"decide: a probability lies between 0 and 1, got {number:g}")
    return number
