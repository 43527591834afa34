"""Models as JSON values, and back. Nothing in a text is executed: each part comes in by the door it was built by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from livesim.distributions import Distribution
from livesim.model import verbs
from livesim.model.expressions import CONDITIONS, FUNCTIONS, OPERATORS, STATES, Call, Parameter, State, call, param
from livesim.model.resources import Failures, Schedule, failures, schedule

if TYPE_CHECKING:
    from livesim.model.builder import Model

FORMAT = "livesim.model/1"


def encode(content: Any) -> Any:
    """A JSON value for a value of a step: a number, an expression, a distribution, or a tuple of them."""
    if isinstance(content, Parameter):
        return {"param": content.name, "default": content.default}
    if isinstance(content, State):
        return {"state": content.kind, "of": content.name}
    if isinstance(content, Call):
        return {"call": content.function, "arguments": [encode(argument) for argument in content.arguments]}
    if isinstance(content, Distribution):
        return {"distribution": content.to_dict(encode)}
    if isinstance(content, tuple):
        return [encode(part) for part in content]
    if isinstance(content, float) and content in (float("inf"), float("-inf")):
        return {"number": str(content)}
    if content is None or isinstance(content, (bool, int, float, str)):
        return content
    raise TypeError(f"{content!r} cannot be saved")


def decode(content: Any) -> Any:
    """What `encode` was given; a ValueError for anything else."""
    match content:
        case None | bool() | int() | float() | str():
            return content
        case [*parts]:
            return [decode(part) for part in parts]
        case {"number": str(number), **rest} if not rest:
            return float(number)
        case {"param": str(name), "default": default, **rest} if not rest:
            return param(name, default)
        case {"state": str(kind), "of": str(name), **rest} if kind in STATES and not rest:
            return State(kind, name)
        case {"call": str(function), "arguments": [*arguments], **rest} if not rest:
            arity = FUNCTIONS.get(function, 2 if function in OPERATORS or function in CONDITIONS else None)
            if arity != len(arguments):
                raise ValueError(f"no function {function!r} of {len(arguments)} arguments")
            return call(function, *map(decode, arguments))
        case {"distribution": Mapping() as data, **rest} if not rest:
            return Distribution.from_dict(data, decode)
    raise ValueError(f"unknown value {content!r:.60}")


def to_dict(model: Model) -> dict[str, Any]:
    """The whole model as JSON values."""
    resources: list[dict[str, Any]] = []
    for resource in model.resources.values():
        capacity = resource.capacity
        row: dict[str, Any] = {"name": resource.name, "capacity": capacity}
        if isinstance(capacity, Schedule):
            row["capacity"] = {"periods": encode(capacity.periods), "then": capacity.then, "jobs": capacity.jobs}
        row |= {"discipline": encode(resource.discipline), "preemption": resource.preemption, "failures": None}
        if isinstance(resource.failures, Failures):
            failing = resource.failures
            row["failures"] = {"up": encode(failing.up), "down": encode(failing.down), "jobs": failing.jobs}
        resources.append(row)
    return {
        "format": FORMAT,
        "name": model.name,
        "resources": resources,
        "conveyors": [vars(conveyor) for conveyor in model.conveyors.values()],
        "containers": [{name: encode(part) for name, part in vars(c).items()} for c in model.containers.values()],
        "stores": [{name: encode(part) for name, part in vars(store).items()} for store in model.stores.values()],
        "processes": [
            {"name": process.name, "steps": [_step(step) for step in process.steps]}
            for process in model.processes.values()
        ],
    }


def from_dict(whole: Mapping[str, Any], model: Model) -> Model:
    """Add what `to_dict` wrote to an empty model of that name."""
    for row in whole["resources"]:
        given = dict(row)
        capacity, failing = given.pop("capacity"), given.pop("failures")
        if isinstance(capacity, Mapping):
            capacity = schedule(capacity["periods"], then=capacity["then"], jobs=capacity["jobs"])
        if failing is not None:
            failing = failures(up=decode(failing["up"]), down=decode(failing["down"]), jobs=failing["jobs"])
        model.resource(
            given.pop("name"), capacity, failures=failing, **{name: decode(part) for name, part in given.items()}
        )
    for row in whole["conveyors"]:
        model.conveyor(**row)
    for row in whole["containers"]:
        model.container(**{name: decode(part) for name, part in row.items()})
    for row in whole.get("stores", []):
        given = {name: decode(part) for name, part in row.items()}
        model.store(given.pop("name"), **given | {"initial": [dict(item) for item in given["initial"]]})
    for row in whole["processes"]:
        model.process(row["name"], *map(_rebuilt, row["steps"]))
    return model


def _step(step: verbs.Step) -> dict[str, Any]:
    """A step as its verb and what it holds, without what is as it is by default."""
    return {"verb": step.verb} | {name: encode(part) for name, part in step.given().items()}


def _rebuilt(row: Mapping[str, Any]) -> verbs.Step:
    """A step, built again by its verb."""
    given = {name: decode(part) for name, part in row.items() if name != "verb"}
    verb = row["verb"]
    if verb not in verbs.VERBS:
        raise ValueError(f"unknown verb {verb!r}")
    if verb in ("seize", "release"):
        names = given.pop("resources")
        return verbs.seize(*names, **given) if verb == "seize" else verbs.release(*names, **given)
    if verb == "decide":
        branches = given["branches"]
        if len(branches) == 1:
            return verbs.decide(*branches[0])
        return verbs.decide({label: chance for chance, label in branches})
    if verb in ("put", "get"):
        given |= {name: dict(given[name]) for name in ("item", "into") if name in given}
    if verb == "assign":
        return verbs.assign(**dict(given["values"]))
    if verb == "record":
        return verbs.record(given["name"], given["value"])
    built = getattr(verbs, verb)(**given)
    assert isinstance(built, verbs.Step)
    return built
