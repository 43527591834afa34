"""SimPy as the oracle: given the same variates, every job departs at the same moment, to the last bit.

The variates are drawn here from `livesim.random` by the names of the steps; SimPy decides who is served when.
"""

from collections.abc import Callable, Generator
from typing import Any

import livesim_models
import pytest
import simpy
from livesim import Model, arrive, depart, exponential, hold, label, release, renege, run, seize
from livesim.random import Kind, draw, job_key, replication_key, stream_key, stream_number, uniform

SEED, UNTIL = 11, 3000.0
Departures = dict[tuple[str, int], float]


def key(place: str, job: int) -> int:
    """The key of the random numbers that a job (counted from 0) draws at a step."""
    return job_key(stream_key(replication_key(SEED, 0), stream_number(place)), job)


def lasting(place: str, job: int, mean: float) -> float:
    return draw(Kind.EXPONENTIAL, mean, 0.0, 0.0, 0.0, (), key(place, job), 0)[0]


def ours(model: Model) -> Departures:
    result = run(model, UNTIL, seed=SEED, trace=True)
    assert result.trace is not None
    return {(process, job): time for time, action, process, job, _, _ in result.trace if action == "depart"}


def theirs(start: Callable[[simpy.Environment, Departures], None]) -> Departures:
    env = simpy.Environment()
    ends: Departures = {}
    start(env, ends)
    env.run(until=UNTIL + 1e-9)
    return {key: time for key, time in ends.items() if time <= UNTIL}


def source(
    env: simpy.Environment, name: str, mean: float, job: Callable[[int], Generator[Any, Any, Any]]
) -> Generator[Any, Any, Any]:
    count = 0
    while True:
        yield env.timeout(lasting(f"{name}/arrive", count, mean))
        env.process(job(count))
        count += 1


def test_job_shop() -> None:
    def start(env: simpy.Environment, ends: Departures) -> None:
        stages = [simpy.Resource(env, 2) for _ in range(5)]

        def job(n: int) -> Generator[Any, Any, Any]:
            for at, (stage, mean) in enumerate(zip(stages, (8.0, 6.0, 10.0, 5.0, 7.0), strict=True), 1):
                with stage.request() as request:
                    yield request
                    yield env.timeout(lasting(f"job/hold {at}", n, mean))
            ends["job", n + 1] = env.now

        env.process(source(env, "job", 4.0, job))

    found, expected = ours(livesim_models.job_shop()), theirs(start)
    assert len(expected) > 400
    assert found == expected


def rework(chance: float) -> Callable[[simpy.Environment, Departures], None]:
    def start(env: simpy.Environment, ends: Departures) -> None:
        machine, repairer = simpy.Resource(env, 3), simpy.Resource(env, 1)

        def part(n: int) -> Generator[Any, Any, Any]:
            with machine.request() as request:
                yield request
                yield env.timeout(lasting("part/hold 1", n, 5.0))
            if uniform(key("part/decide 1", n), 0) <= chance:
                with repairer.request() as request:
                    yield request
                    yield env.timeout(lasting("part/hold 2", n, 8.0))
            ends["part", n + 1] = env.now

        env.process(source(env, "part", 4.0, part))

    return start


def test_rework() -> None:
    found = ours(livesim_models.rework())
    assert len(found) > 600
    assert found == theirs(rework(0.15))
    assert found != theirs(rework(0.16))  # poison


def classes(preemption: str | None) -> Model:
    model = Model("classes").resource("server", 2, preemption=preemption)
    for name, priority in (("urgent", 0), ("normal", 1)):
        model.process(
            name,
            arrive(every=exponential(mean=2.5)),
            seize("server", priority=priority),
            hold(exponential(mean=2.0)),
            release("server"),
            depart(),
        )
    return model


def test_priorities() -> None:
    def start(env: simpy.Environment, ends: Departures) -> None:
        server = simpy.PriorityResource(env, 2)

        def visit(name: str, priority: int) -> Callable[[int], Generator[Any, Any, Any]]:
            def job(n: int) -> Generator[Any, Any, Any]:
                with server.request(priority=priority) as request:
                    yield request
                    yield env.timeout(lasting(f"{name}/hold 1", n, 2.0))
                ends[name, n + 1] = env.now

            return job

        for name, priority in (("urgent", 0), ("normal", 1)):
            env.process(source(env, name, 2.5, visit(name, priority)))

    found, expected = ours(classes(None)), theirs(start)
    assert len(expected) > 2000
    assert found == expected


def test_preemption_with_the_rest_to_follow() -> None:
    """SimPy leaves the ejected job to ask again: it does so with the time of its first request, to keep its place."""

    def start(env: simpy.Environment, ends: Departures) -> None:
        server = simpy.PreemptiveResource(env, 2)

        def visit(name: str, priority: int) -> Callable[[int], Generator[Any, Any, Any]]:
            def job(n: int) -> Generator[Any, Any, Any]:
                left, asked = lasting(f"{name}/hold 1", n, 2.0), env.now
                while left is not None:
                    with server.request(priority=priority) as request:
                        request.key = (priority, asked, False)
                        server.put_queue.sort(key=lambda waiting: waiting.key)
                        yield request
                        finish = env.now + left
                        try:
                            yield env.timeout(left)
                            left = None
                        except simpy.Interrupt:
                            left = finish - env.now
                ends[name, n + 1] = env.now

            return job

        for name, priority in (("urgent", 0), ("normal", 1)):
            env.process(source(env, name, 2.5, visit(name, priority)))

    found, expected = ours(classes("resume")), theirs(start)
    urgent = {job: time for job, time in expected.items() if job[0] == "urgent"}
    assert len(urgent) > 1000
    assert {job: time for job, time in found.items() if job[0] == "urgent"} == urgent
    if found != expected:
        pytest.fail(f"{sum(found.get(job) != time for job, time in expected.items())} of {len(expected)} differ")


def test_reneging() -> None:
    model = (
        Model("bank")
        .resource("counter")
        .process(
            "client",
            arrive(every=exponential(mean=3.0)),
            renege(exponential(mean=4.0), "gone"),
            seize("counter"),
            hold(exponential(mean=4.0)),
            release("counter"),
            label("gone"),
            depart(),
        )
    )

    def start(env: simpy.Environment, ends: Departures) -> None:
        counter = simpy.Resource(env, 1)

        def client(n: int) -> Generator[Any, Any, Any]:
            with counter.request() as request:
                served = yield request | env.timeout(lasting("client/seize 1 renege", n, 4.0))
                if request in served:
                    yield env.timeout(lasting("client/hold 1", n, 4.0))
            ends["client", n + 1] = env.now

        env.process(source(env, "client", 3.0, client))

    found, expected = ours(model), theirs(start)
    assert len(expected) > 800
    assert found == expected
