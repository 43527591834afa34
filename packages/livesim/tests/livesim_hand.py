"""Models by hand that workers can import, shared by the tests."""

from collections.abc import Generator, Iterator
from typing import Any

import numpy as np
import simpy
from livesim import Entity, exponential
from livesim.entities import Event, Level, Tally, Variates
from livesim.simpy import Environment

Steps = Generator[Any, Any, Any]
ARRIVAL = exponential(mean=18.0)


def barbershop(env: Environment, rng: np.random.Generator, service: float = 16.0, kind: str = "Resource") -> None:
    """The barbershop for SimPy, with the streams of `livesim_models.barbershop`."""
    barber = getattr(simpy, kind)(env)
    law = exponential(mean=service)
    env.watch("barber", barber)

    def customer(n: int) -> Steps:
        came = env.now
        with barber.request() as turn:
            yield turn
            yield env.timeout(env.draw(law, "customer/hold 1", n))
        env.record("sojourn", env.now - came)

    def arrivals() -> Steps:
        n = 0
        while True:
            yield env.timeout(env.draw(ARRIVAL, "customer/arrive", n))
            env.process(customer(n))
            n += 1

    env.process(arrivals())


def rare(env: Environment, rng: np.random.Generator) -> dict[str, float]:
    """Finds "late" in some replications only, and fails in others."""
    draw = rng.random()
    if draw < 0.2:
        raise RuntimeError(f"drew {draw:.1f}")
    env.record("draw", draw)
    return {"late": draw} if draw > 0.6 else {}


def settling(env: Environment, rng: np.random.Generator) -> None:
    """A level that rises from 0 to about 10 by time 100, and stays."""

    def rise() -> Steps:
        while True:
            env.level("height", min(env.now / 10, 10.0) + 0.1 * rng.random())
            yield env.timeout(1.0)

    env.process(rise())


class Server(Entity):
    """A queue with one server; the third customer breaks it in the replications in which it comes late."""

    def __init__(self, patience: float = 1e9) -> None:
        self.patience = patience

    def init(self, variates: Variates) -> dict[str, Any]:
        return {"variates": variates, "queue": Level(), "wait": Tally(), "waiting": [], "busy": False, "came": 0}

    def handle(self, event: Any, now: float, state: dict[str, Any]) -> Iterator[Event]:
        draw, waiting = state["variates"].draw, state["waiting"]
        if event == "come":
            state["came"] += 1
            if state["came"] == 3 and now > self.patience:
                raise ValueError("too late")
            waiting.append(now)
            yield now + draw(exponential(mean=5.0), "between"), "server", "come"
        else:
            state["busy"] = False
        if waiting and not state["busy"]:
            state["busy"] = True
            state["wait"].add(now - waiting.pop(0))
            yield now + draw(exponential(mean=4.0), "service"), "server", "done"
        state["queue"].set(now, len(waiting))

    def statistics(self, state: dict[str, Any]) -> dict[str, Any]:
        return {"queue": state["queue"], "wait": state["wait"], "came": state["came"]}
