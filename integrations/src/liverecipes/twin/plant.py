"""The plant: a shop whose machines drift, which it never says. It only publishes what happens.

    python -m liverecipes.twin.plant --queue URL --run ID --shifts 40 --seed 1 --drift mill.service@12*1.35

It stands for a real one: all that the twin hears of it is `plant.start/1` (the machines' names, and how long a shift
is), `plant.events/1` and `plant.end/1`. The same seed gives the same events, so a plant that was killed is started
again and publishes the same messages.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from livesim import Snapshot, run

from .events import ARRIVE, BEGIN, DEPART, FAIL, FINISH, NO_JOB, NO_MACHINE, REPAIRED, Event, Events
from .line import QUANTITIES, Line, check_parameters, machine_of_step, model

Sink = Callable[[dict[str, Any]], object]


@dataclass(frozen=True)
class Drift:
    """A parameter that changes: `factor` times what it was, from the beginning of a shift, or over some."""

    parameter: str
    shift: int
    factor: float
    over: int = 0
    """How many shifts the change takes, evenly on the logarithm; 0: at once."""

    @classmethod
    def parse(cls, text: str) -> "Drift":
        """Read `mill.service@12*1.35`, or `mill.service@12*1.35/8` for a change over eight shifts.

        >>> Drift.parse("mill.service@12*1.35/8")
        Drift(parameter='mill.service', shift=12, factor=1.35, over=8)
        """
        try:
            parameter, _, rest = text.partition("@")
            shift, _, change = rest.partition("*")
            factor, _, over = change.partition("/")
            drift = cls(parameter, int(shift), float(factor), int(over) if over else 0)
        except ValueError:
            raise ValueError(f"drift {text!r}: must be PARAMETER@SHIFT*FACTOR, such as mill.service@12*1.35") from None
        if not (drift.shift >= 0 and 0 < drift.factor < float("inf") and drift.over >= 0):
            raise ValueError(f"drift {text!r}: the shift must be 0 or later, the factor positive")
        return drift

    def at(self, shift: int) -> float:
        """The logarithm of the change in a shift."""
        past = (shift - self.shift + 1) / max(self.over, 1)
        return float(np.log(self.factor)) * min(max(past, 0.0), 1.0)


@dataclass(frozen=True)
class Plant:
    """A line with the law of its drift."""

    line: Line
    seed: int
    drifts: tuple[Drift, ...] = ()
    wander: float = 0.005
    """Standard deviation, a shift, of a random walk of the logarithm of each mean service, failure and repair time."""

    def __post_init__(self) -> None:
        check_parameters(self.line, {drift.parameter: drift.factor for drift in self.drifts})
        if not 0 <= self.wander < 1:
            raise ValueError(f"wander: must be from 0 to 1, got {self.wander}")

    def truth(self, shifts: int) -> list[dict[str, float]]:
        """The parameters in each shift: what the twin has to find out."""
        base = self.line.parameters()
        moving = [name for name in base if name.rpartition(".")[2] in QUANTITIES]
        steps = self.wander * np.random.default_rng([self.seed, 1]).standard_normal((shifts, len(moving)))
        walk = dict(zip(moving, np.cumsum(steps, axis=0).T, strict=True))
        found = []
        for shift in range(shifts):
            now = dict(base)
            for name in base:
                change = sum(drift.at(shift) for drift in self.drifts if drift.parameter == name)
                now[name] *= float(np.exp(change + (walk[name][shift] if name in walk else 0.0)))
            found.append(now)
        return found

    def shifts(self, count: int) -> Iterator[Events]:
        """What happens, a batch a shift."""
        shop = model(self.line)
        machines = {machine.name: index for index, machine in enumerate(self.line.machines)}
        state: Snapshot | None = None
        at_work: set[int] = set()
        for shift, parameters in enumerate(self.truth(count)):
            until = (shift + 1) * self.line.shift
            seed = self.seed if state is None else None
            happened = run(shop, until=until, seed=seed, params=parameters, start=state, trace=True)
            state = happened.snapshot
            yield Events.of(until, _events(happened.trace, self.line, machines, at_work))


def _events(trace: Any, line: Line, machines: dict[str, int], at_work: set[int]) -> Iterator[Event]:
    """The rows of a livesim trace as events; `at_work` are the jobs at a machine, those that it keeps waiting too."""
    up = {name: line.machines[index].units for name, index in machines.items()}
    for time, action, process, job, step, detail in trace:
        if action == "capacity":
            name, units = detail.split()
            yield time, FAIL if int(units) < up[name] else REPAIRED, machines[name], NO_JOB
        elif process != "job":
            continue
        elif action == "arrive":
            yield time, ARRIVE, NO_MACHINE, job
        elif action == "hold" and job not in at_work:
            at_work.add(job)
            yield time, BEGIN, machine_of_step(step), job
        elif action == "release":
            at_work.discard(job)
            yield time, FINISH, machines[detail], job
        elif action == "depart":
            yield time, DEPART, NO_MACHINE, job


def publish(
    plant: Plant,
    shifts: int,
    sink: Sink,
    *,
    stop: Callable[[], bool] = lambda: False,
    wait: Callable[[], object] = lambda: None,
) -> None:
    """Send all events to a sink, a batch a shift; `wait` paces the shifts."""
    names = [machine.name for machine in plant.line.machines]
    units = [machine.units for machine in plant.line.machines]
    sink(
        {
            "type": "plant.start/1",
            "part": "run",
            "seq": 0,
            "label": f"plant with {len(names)} machines",
            "machines": names,
            "units": units,
            "shift": plant.line.shift,
            "shifts": shifts,
        }
    )
    done = 0
    for events in plant.shifts(shifts):
        if stop():
            break
        if done:
            wait()
        sink(events.message(done))
        done += 1
    status = "completed" if done == shifts else "stopped"
    sink({"type": "plant.end/1", "part": "run", "seq": 1, "status": status, "shifts": done})


def main(argv: Sequence[str] | None = None) -> int:
    """The plant as a process of its own."""
    import argparse
    import time

    import livequeue

    parser = argparse.ArgumentParser(prog="python -m liverecipes.twin.plant", description=__doc__.split("\n")[0])
    parser.add_argument("--queue", required=True, metavar="URL")
    parser.add_argument("--run", required=True, metavar="ID")
    parser.add_argument("--shifts", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--speed", type=float, default=0.0, help="shifts a second; 0: no waiting")
    parser.add_argument("--drift", action="append", default=[], metavar="PARAMETER@SHIFT*FACTOR")
    parser.add_argument("--wander", type=float, default=Plant.wander)
    options = parser.parse_args(argv)
    from .line import default_line

    drifts = tuple(Drift.parse(text) for text in options.drift)
    plant = Plant(default_line(), options.seed, drifts, options.wander)
    with livequeue.connect(options.queue) as queue:
        stop = queue.stop(options.run)
        sink = queue.publisher(options.run)

        def wait() -> None:
            sink.flush()
            if options.speed:
                time.sleep(1 / options.speed)

        try:
            publish(plant, options.shifts, sink, stop=stop, wait=wait)
        finally:
            sink.flush()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
