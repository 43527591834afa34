"""The shop: a line of machines that fail, as data, and as a livesim model of it.

Both the plant and its twin are made from a `Line`; what the plant keeps to itself is how its numbers drift.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from livesim import (
    Model,
    arrive,
    assign,
    attribute,
    decide,
    depart,
    exponential,
    failures,
    gamma,
    hold,
    label,
    param,
    release,
    seize,
)

QUANTITIES = ("service", "up", "down")
"""What drifts: mean minutes of a service, between failures, of a repair."""


@dataclass(frozen=True)
class Machine:
    """One machine of the line; all means in minutes."""

    name: str
    service: float
    """Mean of a service, a gamma law."""
    shape: float = 4.0
    """Of that law: its coefficient of variation is 1 / sqrt(shape)."""
    up: float = 240.0
    """Mean time from a repair to the next failure, exponential."""
    down: float = 12.0
    """Mean repair, exponential."""
    units: int = 1
    """How many such machines stand side by side; they fail together."""

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise ValueError(f"machine {self.name!r}: the name must be letters, digits and _, such as 'press'")
        for name in ("service", "shape", "up", "down"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"machine {self.name!r}: {name} must be positive, got {getattr(self, name)}")
        if self.units < 1:
            raise ValueError(f"machine {self.name!r}: units must be at least 1, got {self.units}")


@dataclass(frozen=True)
class Line:
    """Jobs that pass machine after machine, unlimited room to wait before each."""

    machines: tuple[Machine, ...]
    every: float
    """Mean minutes between jobs that come, exponential."""
    shift: float = 480.0
    """Minutes of a shift."""

    def __post_init__(self) -> None:
        names = [machine.name for machine in self.machines]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"line: machines must be at least one, each with a name of its own, got {names}")
        for name in ("every", "shift"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"line: {name} must be positive, got {getattr(self, name)}")

    def parameters(self) -> dict[str, float]:
        """Every number of the line by the name of its parameter in the model, such as `press.service`."""
        numbers = {"every": self.every}
        for machine in self.machines:
            for name in ("service", "shape", "up", "down"):
                numbers[f"{machine.name}.{name}"] = getattr(machine, name)
        return numbers


def default_line() -> Line:
    """Five machines, the third the bottleneck: 80 % busy, 84 % of what its failures leave."""
    return Line(
        machines=(
            Machine("saw", 4.2, shape=6.0, up=400.0, down=15.0),
            Machine("lathe", 4.0, shape=4.0, up=240.0, down=12.0),
            Machine("mill", 4.8, shape=4.0, up=300.0, down=15.0),
            Machine("grinder", 4.3, shape=3.0, up=200.0, down=8.0),
            Machine("wash", 3.0, shape=8.0, up=900.0, down=20.0),
        ),
        every=6.0,
    )


def model(line: Line) -> Model:
    """The line as a livesim model with the parameters `Line.parameters` names.

    A service is begun with `done` minutes of it behind (0 but for jobs found at work): its length is drawn until it
    exceeds them, which is the law of what is left, exactly. The processes `NAME_repair` have no arrivals: a job put
    there by hand is a repair that goes on, so that a machine can be found broken.
    """
    shop = Model("line")
    for machine in line.machines:
        up = exponential(mean=param(f"{machine.name}.up", machine.up))
        down = exponential(mean=param(f"{machine.name}.down", machine.down))
        shop = shop.resource(machine.name, capacity=machine.units, failures=failures(up=up, down=down))
    steps = [step for machine in line.machines for step in _visit(machine)]
    every = exponential(mean=param("every", line.every))
    shop = shop.process("job", arrive(every=every), assign(done=0), *steps, depart())
    for machine in line.machines:
        down = exponential(mean=param(f"{machine.name}.down", machine.down))
        shop = shop.process(
            f"{machine.name}_repair",
            arrive(at=[]),
            seize(machine.name, units=machine.units),
            hold(down),
            release(machine.name),
            depart(),
        )
    return shop


STEPS = 7
"""Of a visit to a machine."""


def seize_step(k: int) -> int:
    """The number of the step with which a job asks for machine k, counted from 0; the next one draws its service."""
    return STEPS * k + 3


def _visit(machine: Machine) -> Iterator[Any]:
    name = machine.name
    shape = param(f"{name}.shape", machine.shape)
    scale = param(f"{name}.service", machine.service) / param(f"{name}.shape", machine.shape)
    yield seize(name)
    yield label(f"draw {name}")
    yield assign(work=gamma(shape, scale))
    yield decide(attribute("work") <= attribute("done"), f"draw {name}")
    yield hold(attribute("work") - attribute("done"))
    yield assign(done=0)
    yield release(name)


def machine_of_step(step: int) -> int:
    """Which machine a job visits at a step, counted from 0."""
    return (step - 3) // STEPS


def check_parameters(line: Line, given: Mapping[str, float]) -> None:
    """Raise where a name is no parameter of the line."""
    known = line.parameters()
    for name in given:
        if name not in known:
            raise ValueError(f"no parameter {name!r} in this line; there are: {', '.join(known)}")
