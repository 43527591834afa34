"""SimPy's documented examples in livesim's verbs: given SimPy's variates, the same things happen at the same times.

Each example is written twice, for SimPy and for livesim. SimPy runs with the seed of its documentation, and what it
draws goes into the model as traces, by job.
"""

import random
from collections import defaultdict
from collections.abc import Generator
from typing import Any

import pytest
import simpy
from livesim import (
    Model,
    Result,
    age,
    arrive,
    assign,
    attribute,
    balk,
    decide,
    depart,
    get,
    hold,
    in_process,
    jump,
    label,
    level,
    put,
    record,
    release,
    renege,
    route,
    run,
    seize,
    trace,
)

Steps = Generator[Any, Any, Any]


class Seen:
    """What SimPy drew, by purpose and job, and when what happened."""

    def __init__(self) -> None:
        self.random = random.Random(42)
        self.drawn: dict[str, dict[int, float]] = defaultdict(dict)
        self.log: list[tuple[float, str, int]] = []

    def keep(self, purpose: str, job: int, value: float) -> float:
        self.drawn[purpose][job] = value
        return value

    def trace(self, purpose: str, jobs: int) -> Any:
        """The draws in the order of jobs; those who drew none are given 1, which nobody uses."""
        return trace([float(self.drawn[purpose].get(job, 1.0)) for job in range(jobs)], at_end="last")


def happened(result: Result, process: str, *actions: str) -> list[tuple[float, str, int]]:
    """What a run's trace tells of some actions in a process, jobs counted from 0."""
    assert result.trace is not None
    rows = [(time, action, job - 1) for time, action, name, job, _, _ in result.trace if name == process]
    return [row for row in rows if row[1] in actions]


# -- bank renege -------------------------------------------------------------------------------------------------------


def simpy_bank(customers: int, between: float) -> Seen:
    env, seen = simpy.Environment(), Seen()
    counter = simpy.Resource(env)

    def customer(n: int) -> Steps:
        seen.log.append((env.now, "arrive", n))
        with counter.request() as turn:
            patience = env.timeout(seen.keep("patience", n, seen.random.uniform(1, 3)))
            served = yield turn | patience
            if turn in served:
                yield env.timeout(seen.keep("service", n, seen.random.expovariate(1 / 12.0)))
                seen.log.append((env.now, "release", n))
            else:
                seen.log.append((env.now, "renege", n))

    def source() -> Steps:
        for n in range(customers):
            env.process(customer(n))
            yield env.timeout(seen.keep("between", n, seen.random.expovariate(1 / between)))

    env.process(source())
    env.run()
    return seen


def bank(seen: Seen, customers: int) -> Model:
    return (
        Model("bank")
        .resource("counter")
        .process(
            "customer",
            arrive(at=[time for time, what, _ in seen.log if what == "arrive"]),
            renege(seen.trace("patience", customers), "gone"),
            seize("counter"),
            hold(seen.trace("service", customers)),
            release("counter"),
            label("gone"),
            depart(),
        )
    )


def test_bank_renege() -> None:
    seen = simpy_bank(5, 10.0)
    ours = happened(run(bank(seen, 5), 100.0, seed=0, trace=True), "customer", "arrive", "release", "renege")
    assert ours == seen.log
    documented = [
        (0.0, "arrive", 0), (3.8595, "release", 0), (10.2006, "arrive", 1), (12.7265, "arrive", 2),
        (13.9003, "renege", 2), (23.7507, "release", 1), (34.9993, "arrive", 3), (37.9599, "release", 3),
        (40.4798, "arrive", 4), (43.1401, "release", 4),
    ]  # fmt: skip
    assert [(round(time, 4), what, n) for time, what, n in ours] == documented


def test_bank_renege_of_a_thousand() -> None:
    seen = simpy_bank(1_000, 8.0)
    ours = happened(run(bank(seen, 1_000), 20_000.0, seed=0, trace=True), "customer", "arrive", "release", "renege")
    assert 300 < sum(what == "renege" for _, what, _ in ours) < 900
    assert ours == seen.log
    seen.drawn["patience"][500] += 0.7  # poison
    seen.drawn["service"][499] += 0.7
    assert (
        happened(run(bank(seen, 1_000), 20_000.0, seed=0, trace=True), "customer", "arrive", "release", "renege")
        != seen.log
    )


# -- car wash ----------------------------------------------------------------------------------------------------------


def simpy_car_wash(until: float) -> Seen:
    env, seen = simpy.Environment(), Seen()
    machines = simpy.Resource(env, 2)

    def car(n: int) -> Steps:
        seen.log.append((env.now, "arrive", n))
        with machines.request() as turn:
            yield turn
            seen.log.append((env.now, "hold", n))
            yield env.timeout(5)
            seen.random.randint(50, 99)  # how much dirt
            seen.log.append((env.now, "release", n))

    def source() -> Steps:
        for n in range(4):
            env.process(car(n))
        while True:
            yield env.timeout(seen.random.randint(5, 9))
            n += 1
            env.process(car(n))

    env.process(source())
    env.run(until)
    return seen


def car_wash(times: list[float]) -> Model:
    model = Model("car wash").resource("machine", 2)
    return model.process("car", arrive(at=times), seize("machine"), hold(5), release("machine"), depart())


@pytest.mark.parametrize("until", [20, 5_000])
def test_car_wash(until: int) -> None:
    seen = simpy_car_wash(until)
    times = [time for time, what, _ in seen.log if what == "arrive"]
    ours = happened(run(car_wash(times), until - 0.5, seed=0, trace=True), "car", "arrive", "hold", "release")
    assert sorted(ours) == sorted(seen.log)  # at one time we release before anybody arrives
    if until == 20:
        assert times == [0, 0, 0, 0, 5, 10, 16]
        leave = [(time, n) for time, what, n in ours if what == "release"]
        assert leave == [(5, 0), (5, 1), (10, 2), (10, 3), (15, 4), (15, 5)]


# -- gas station refuelling --------------------------------------------------------------------------------------------


def simpy_gas_station(until: float, threshold: float) -> Seen:
    env, seen = simpy.Environment(), Seen()
    pumps, tank = simpy.Resource(env, 2), simpy.Container(env, 200, init=200)

    def car(n: int) -> Steps:
        seen.log.append((env.now, "arrive", n))
        fuel = 50 - seen.keep("fuel", n, seen.random.randint(5, 25))
        with pumps.request() as turn:
            yield turn
            yield tank.get(fuel)
            yield env.timeout(fuel / 2)
            seen.log.append((env.now, "release", n))

    def control() -> Steps:
        while True:
            if tank.level / 200 * 100 < threshold:
                yield env.timeout(300)
                seen.log.append((env.now, "truck", round(200 - tank.level)))
                yield tank.put(200 - tank.level)
            yield env.timeout(10)

    def source() -> Steps:
        n = 0
        while True:
            yield env.timeout(seen.random.randint(30, 300))
            env.process(car(n))
            n += 1

    env.process(control())
    env.process(source())
    env.run(until)
    return seen


def gas_station(times: list[float], tank_levels: Any, threshold: float) -> Model:
    return (
        Model("gas station")
        .resource("pump", 2)
        .container("tank", capacity=200, initial=200)
        .process(
            "car",
            arrive(at=times),
            seize("pump"),
            assign(fuel=tank_levels),
            assign(fuel=50 - attribute("fuel")),
            get("tank", attribute("fuel")),
            hold(attribute("fuel") / 2),
            release("pump"),
            depart(),
        )
        .process(
            "control",
            arrive(at=[0]),
            label("check"),
            decide(level("tank") / 200 * 100 >= threshold, "enough"),
            hold(300),
            record("liters", 200 - level("tank")),
            put("tank", 200 - level("tank")),
            label("enough"),
            hold(10),
            jump("check"),
        )
    )


@pytest.mark.parametrize(("until", "threshold"), [(1_000, 10), (1_000, 25), (200_000, 25)])
def test_gas_station(until: int, threshold: float) -> None:
    seen = simpy_gas_station(until, threshold)
    times = [time for time, what, _ in seen.log if what == "arrive"]
    model = gas_station(times, seen.trace("fuel", len(times)), threshold)
    result = run(model, until - 0.25, seed=0, trace=True)
    cars = [each for each in seen.log if each[1] != "truck"]
    assert sorted(happened(result, "car", "arrive", "release")) == sorted(cars)
    trucks = [liters for _, what, liters in seen.log if what == "truck"]
    assert result.value("control.records.liters.count") == len(trucks) > 0
    assert result.value("control.records.liters.mean") == pytest.approx(sum(trucks) / len(trucks), rel=1e-12)
    if until == 1_000 and threshold == 10:
        assert times == [87, 129, 284, 385, 459, 705, 750, 891]
        finished = {n: time - times[n] for time, what, n in cars if what == "release"}
        assert finished == {0: 18.5, 1: 19.0, 2: 21.0, 3: 13.5, 4: 22.0, 5: 76.5, 6: 29.0, 7: 13.0}


# -- machine shop ------------------------------------------------------------------------------------------------------


def simpy_machine_shop(machines: int, until: float) -> tuple[Seen, list[int]]:
    env, seen = simpy.Environment(), Seen()
    repairman = simpy.PreemptiveResource(env)
    made, broken = [0] * machines, [False] * machines

    def working(m: int) -> Steps:
        while True:
            left = seen.keep(f"part {m}", made[m], seen.random.normalvariate(10.0, 2.0))
            while left:
                begun = env.now
                try:
                    yield env.timeout(left)
                    left = 0
                except simpy.Interrupt:
                    broken[m] = True
                    left -= env.now - begun
                    with repairman.request(priority=1) as turn:
                        yield turn
                        yield env.timeout(30.0)
                    broken[m] = False
            made[m] += 1

    def breaking(m: int, process: simpy.Process) -> Steps:
        n = 0
        while True:
            yield env.timeout(seen.keep(f"failure {m}", n, seen.random.expovariate(1 / 300.0)))
            n += 1
            if not broken[m]:
                process.interrupt()

    def others() -> Steps:
        while True:
            left = 30.0
            while left:
                with repairman.request(priority=2) as turn:
                    yield turn
                    begun = env.now
                    try:
                        yield env.timeout(left)
                        left = 0
                        seen.log.append((env.now, "other job", 0))
                    except simpy.Interrupt:
                        left -= env.now - begun

    for m in range(machines):
        env.process(breaking(m, env.process(working(m))))
    env.process(others())
    env.run(until)
    return seen, made


def machine_shop(parts: list[Any], failures: list[Any]) -> Model:
    model = Model("machine shop").resource("repairman", preemption="resume")
    for m, (part, failure) in enumerate(zip(parts, failures, strict=True)):
        machine, breakdown = f"machine {m}", f"breakdown {m}"
        model.resource(machine, preemption="resume")
        model.process(
            f"parts {m}",
            arrive(at=[0]),
            label("next"),
            seize(machine, priority=1),
            hold(part),
            release(machine),
            record("made", 1),
            jump("next"),
        )
        model.process(
            breakdown,
            arrive(every=failure),
            balk(in_process(breakdown) > 1, "broken already"),
            seize(machine, priority=0),
            seize("repairman", priority=1),
            hold(30),
            release("repairman", machine),
            label("broken already"),
            depart(),
        )
    return model.process(
        "other jobs",
        arrive(at=[0]),
        label("next"),
        seize("repairman", priority=2),
        hold(30),
        release("repairman"),
        record("made", 1),
        jump("next"),
    )


@pytest.mark.parametrize("weeks", [1, 4])
def test_machine_shop(weeks: int) -> None:
    until = weeks * 7 * 24 * 60
    seen, made = simpy_machine_shop(10, until)
    parts = [seen.trace(f"part {m}", len(seen.drawn[f"part {m}"])) for m in range(10)]
    failures = [seen.trace(f"failure {m}", len(seen.drawn[f"failure {m}"])) for m in range(10)]
    result = run(machine_shop(parts, failures), until - 0.25, seed=0)
    assert [result.value(f"parts {m}.records.made.count") for m in range(10)] == made
    assert result.value("other jobs.records.made.count") == len(seen.log)
    if weeks == 4:
        assert made == [3251, 3273, 3242, 3343, 3387, 3244, 3269, 3185, 3302, 3279]  # as documented


# -- event latency -----------------------------------------------------------------------------------------------------


def test_event_latency() -> None:
    """A sender, a cable that takes 10, a receiver: what was sent at 5, 10, ... is there 10 later."""
    env = simpy.Environment()
    cable = simpy.Store(env)
    received: list[tuple[float, float]] = []

    def travel(sent: float) -> Steps:
        yield env.timeout(10)
        cable.put(sent)

    def sender() -> Steps:
        while True:
            yield env.timeout(5)
            env.process(travel(env.now))

    def receiver() -> Steps:
        while True:
            sent = yield cable.get()
            received.append((env.now, sent))

    env.process(sender())
    env.process(receiver())
    env.run(100)
    model = Model("latency").process("message", arrive(every=5), route(10), record("latency", age()), depart())
    result = run(model, 99.0, seed=0, trace=True)
    ours = [time for time, action, *_ in result.trace or () if action == "depart"]
    assert ours == [time for time, _ in received] == list(range(15, 100, 5))
    assert result.value("message.records.latency.min") == result.value("message.records.latency.max") == 10


# -- process communication ---------------------------------------------------------------------------------------------


def simpy_communication(consumers: int, until: float) -> Seen:
    env, seen = simpy.Environment(), Seen()
    pipes = [simpy.Store(env) for _ in range(consumers)]

    def generator() -> Steps:
        n = 0
        while True:
            yield env.timeout(seen.random.randint(6, 10))
            seen.log.append((env.now, "arrive", n))
            for pipe in pipes:
                pipe.put((env.now, n))
            n += 1

    def consumer(which: int) -> Steps:
        while True:
            sent, n = yield pipes[which].get()
            seen.log.append((env.now, "late" if sent < env.now else "received", which))
            yield env.timeout(seen.keep(f"work {which}", n, seen.random.randint(4, 8)))

    env.process(generator())
    for which in range(consumers):
        env.process(consumer(which))
    env.run(until)
    return seen


@pytest.mark.parametrize(("consumers", "until"), [(1, 100), (2, 100), (3, 20_000)])
def test_process_communication(consumers: int, until: int) -> None:
    """A consumer is busy after each message: a server. One process for each of them stands for the broadcast."""
    seen = simpy_communication(consumers, until)
    times = [time for time, what, _ in seen.log if what == "arrive"]
    model = Model("communication")
    for which in range(consumers):
        model.resource(f"consumer {which}").process(
            f"message {which}",
            arrive(at=times),
            seize(f"consumer {which}"),
            decide(age() == 0, "in time"),
            record("late by", age()),
            label("in time"),
            hold(seen.trace(f"work {which}", len(times))),
            release(f"consumer {which}"),
            depart(),
        )
    result = run(model, until - 0.5, seed=0, trace=True)
    assert result.trace is not None
    for which in range(consumers):
        got = [time for time, action, name, *_ in result.trace if action == "hold" and name == f"message {which}"]
        assert got == [time for time, what, n in seen.log if what in ("late", "received") and n == which]
        late = sum(what == "late" and n == which for _, what, n in seen.log)
        assert result.value(f"message {which}.records.late by.count") == late
    if consumers == 1:
        assert times == [6, 12, 19, 26, 36, 46, 52, 58, 65, 75, 85, 95]  # as documented
        assert result.value("message 0.records.late by.count") == 1
