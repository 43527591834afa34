"""Queues with known answers, at 4 standard errors over replications: a false alarm in 16,000 checks. Each has a poison.

The standard error comes from the replications' own spread, with Student's t at the same tail for few of them.
"""

import math
from collections.abc import Callable

import numpy as np
import pytest
from livesim import (
    Model,
    arrive,
    balk,
    decide,
    depart,
    erlang,
    exponential,
    failures,
    free,
    hold,
    jump,
    label,
    param,
    queue_length,
    record,
    release,
    run,
    seize,
)  # fmt: skip

LEVEL = 4.94
"""Student's t on 29 degrees of freedom, two-sided, at the tail of 4 standard deviations (6.3e-5)."""


def off_by(model: Model, metric: str, truth: float, *, params: dict[str, float] | None = None) -> float:
    """How many standard errors the mean of 30 replications lies from the truth."""
    values = [run(model, 30_000, seed=7, replication=n, warmup=2_000, params=params).value(metric) for n in range(30)]
    return (float(np.mean(values)) - truth) / (float(np.std(values, ddof=1)) / math.sqrt(len(values)))


def erlang_c(servers: int, load: float) -> float:
    """The probability of waiting in M/M/c (Erlang 1917)."""
    terms = [load**k / math.factorial(k) for k in range(servers)]
    last = load**servers / math.factorial(servers) * servers / (servers - load)
    return last / (sum(terms) + last)


def erlang_b(servers: int, load: float) -> float:
    """The probability of blocking in M/M/c/c (Erlang 1917)."""
    terms = [load**k / math.factorial(k) for k in range(servers + 1)]
    return terms[-1] / sum(terms)


def queue(servers: int, service: Callable[..., object] = exponential) -> Model:
    return (
        Model("queue")
        .resource("server", servers)
        .process(
            "job",
            arrive(every=exponential(mean=param("gap", 1.0))),
            seize("server"),
            hold(service(mean=param("service", 0.8))),
            release("server"),
            depart(),
        )
    )


CASES = {
    "M/M/1 wait": (queue(1), "job.wait.mean", 0.8 * 0.8 / 0.2),
    "M/M/1 number": (queue(1), "job.number.mean", 0.8 / 0.2),
    "M/M/1 utilization": (queue(1), "server.utilization", 0.8),
    "M/M/1 queue": (queue(1), "server.queue.mean", 0.64 / 0.2),
    "M/E3/1 wait": (queue(1, lambda mean: erlang(stages=3, mean=mean)), "job.wait.mean", 0.64 * (1 + 1 / 3) / 2 / 0.2),
    "M/D/1 wait": (queue(1, lambda mean: mean), "job.wait.mean", 0.64 / 2 / 0.2),
}


@pytest.mark.parametrize("case", CASES)
def test_single_servers(case: str) -> None:
    model, metric, truth = CASES[case]
    assert abs(off_by(model, metric, truth)) < LEVEL
    assert abs(off_by(model, metric, truth, params={"service": 0.8 * 1.03})) > LEVEL


@pytest.mark.parametrize("servers", [2, 5])
def test_several_servers_erlang_c(servers: int) -> None:
    load = 0.8 * servers
    truth = erlang_c(servers, load) * load / (servers - load)
    params = {"service": load}
    assert abs(off_by(queue(servers), "server.wait.mean", truth, params=params)) < LEVEL
    assert abs(off_by(queue(servers), "server.wait.mean", truth, params={"service": load * 1.03})) > LEVEL


def test_loss_erlang_b() -> None:
    """M/M/4/4: who finds no server free goes away. The fraction lost, by the departures' two labels."""
    lost = (
        Model("loss")
        .resource("line", 4)
        .process(
            "call",
            arrive(every=exponential(mean=param("gap", 1.0))),
            balk(free("line") < 1, "lost"),
            seize("line"),
            hold(exponential(mean=3.0)),
            release("line"),
            record("lost", 0),
            jump("end"),
            label("lost"),
            record("lost", 1),
            label("end"),
            depart(),
        )
    )
    assert abs(off_by(lost, "call.records.lost.mean", erlang_b(4, 3.0))) < LEVEL
    assert abs(off_by(lost, "call.records.lost.mean", erlang_b(4, 3.0), params={"gap": 1.03})) > LEVEL


def two_classes(preemption: str | None) -> Model:
    model = Model("two classes").resource("server", preemption=preemption)
    for name, priority in (("urgent", 0), ("normal", 1)):
        model.process(
            name,
            arrive(every=exponential(mean=param("gap", 2.5))),
            seize("server", priority=priority),
            hold(exponential(mean=1.0)),
            release("server"),
            depart(),
        )
    return model


@pytest.mark.parametrize(
    ("preemption", "name", "truth"),
    [
        # Cobham 1954: the residual work 0.8 over (1 - 0.4), and over (1 - 0.4) (1 - 0.8).
        (None, "urgent", 0.8 / 0.6 + 1),
        (None, "normal", 0.8 / (0.6 * 0.2) + 1),
        # White and Christie 1958: the urgent see an M/M/1 of their own.
        ("resume", "urgent", 1 / 0.6),
        ("resume", "normal", 1 / 0.6 + 0.8 / (0.6 * 0.2)),
    ],
)
def test_priorities(preemption: str | None, name: str, truth: float) -> None:
    model = two_classes(preemption)
    assert abs(off_by(model, f"{name}.sojourn.mean", truth)) < LEVEL
    assert abs(off_by(model, f"{name}.sojourn.mean", truth, params={"gap": 2.25})) > LEVEL


def test_resampling_an_exponential_is_resuming_it() -> None:
    """The exponential has no memory, so a new draw is as long as the rest."""
    assert abs(off_by(two_classes("resample"), "normal.sojourn.mean", 1 / 0.6 + 0.8 / 0.12)) < LEVEL
    # Poison: to begin again with the same time is longer, since long jobs are interrupted more often.
    assert off_by(two_classes("restart"), "normal.sojourn.mean", 1 / 0.6 + 0.8 / 0.12) > LEVEL


def test_breakdowns() -> None:
    """M/M/1 whose server fails, by Avi-Itzhak and Naor 1963 (it fails while idle too)."""
    service, up, down, gap = 1.0, 20.0, 2.0, 2.0
    model = (
        Model("breakdowns")
        .resource("server", failures=failures(up=exponential(mean=up), down=exponential(mean=down), jobs="resume"))
        .process("job", arrive(every=exponential(mean=param("gap", gap))), seize("server"),
                 hold(exponential(mean=service)), release("server"), depart())
    )  # fmt: skip
    # The time C that a service S takes with the failures in it: E[C] = s (1 + d/u) and
    # E[C^2] = 2 s^2 (1 + d/u)^2 + 2 d^2 s/u. Who comes to an idle, failed server waits for the rest of the repair.
    slow = service * (1 + down / up)
    second = 2 * slow**2 + 2 * down**2 * service / up
    load = slow / gap
    failed = down / (up + down)
    sojourn = slow + second / gap / 2 / (1 - load) + failed * down
    assert abs(off_by(model, "job.sojourn.mean", sojourn)) < LEVEL
    assert abs(off_by(model, "job.sojourn.mean", sojourn, params={"gap": gap * 0.95})) > LEVEL


def test_finite_room() -> None:
    """M/M/2/5: who finds three waiting goes away."""
    load, servers, places = 1.6, 2, 5
    weights = [
        load**k / (math.factorial(k) if k <= servers else 2 * servers ** (k - servers)) for k in range(places + 1)
    ]
    model = (
        Model("finite room")
        .resource("server", servers)
        .process(
            "job",
            arrive(every=exponential(mean=param("gap", 1.0))),
            balk(queue_length("server") >= places - servers, "lost"),
            seize("server"),
            hold(exponential(mean=load)),
            release("server"),
            record("lost", 0),
            jump("end"),
            label("lost"),
            record("lost", 1),
            label("end"),
            depart(),
        )
    )
    truth = weights[-1] / sum(weights)
    assert abs(off_by(model, "job.records.lost.mean", truth)) < LEVEL
    assert abs(off_by(model, "job.records.lost.mean", truth, params={"gap": 1.03})) > LEVEL


def test_machine_repair() -> None:
    """Five machines, one repairer: how busy the repairer is (Palm's machine interference, M/M/1//N)."""
    machines, up, repair = 5, 10.0, 2.0
    weights = [
        math.factorial(machines) / math.factorial(machines - k) * (repair / up) ** k for k in range(machines + 1)
    ]
    model = (
        Model("machine repair")
        .resource("repairer")
        .process(
            "machine",
            arrive(at=[0], batch=machines),
            label("up"),
            hold(exponential(mean=param("up", up))),
            seize("repairer"),
            hold(exponential(mean=repair)),
            release("repairer"),
            jump("up"),
        )
    )
    truth = 1 - 1 / sum(weights)
    assert abs(off_by(model, "repairer.utilization", truth)) < LEVEL
    assert abs(off_by(model, "repairer.utilization", truth, params={"up": up * 1.03})) > LEVEL


def test_jackson_network() -> None:
    """Two stations with feedback: each is as an M/M/1 of its own (Jackson 1957), so their numbers add up."""
    again, first, second = 0.3, 0.5, 0.8
    model = (
        Model("network")
        .resource("first")
        .resource("second")
        .process(
            "job",
            arrive(every=exponential(mean=param("gap", 1.0))),
            label("enter"),
            seize("first"),
            hold(exponential(mean=first)),
            release("first"),
            decide(1 - again, "out"),
            seize("second"),
            hold(exponential(mean=second)),
            release("second"),
            jump("enter"),
            label("out"),
            depart(),
        )
    )
    loads = [first / (1 - again), second * again / (1 - again)]
    truth = sum(load / (1 - load) for load in loads)
    assert abs(off_by(model, "job.number.mean", truth)) < LEVEL
    assert abs(off_by(model, "job.number.mean", truth, params={"gap": 1.03})) > LEVEL
