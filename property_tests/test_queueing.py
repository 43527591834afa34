"""M/M/1 from end to end: livesim makes the data, livenuts learns its rates, livesim says what they mean.

The posterior of exponential times is known (gamma), and so is what a queue of given rates does: each step is held
against its closed form.
"""

from typing import Any

import livenuts as ln
import livesim as ls
import numpy as np
import pytest
from livenuts import dist
from liverecipes.page.views import Sim
from scipy import stats

ARRIVAL, SERVICE = 10.0, 6.0


def shop() -> ls.Model:
    every = ls.arrive(every=ls.exponential(mean=ls.param("arrival", ARRIVAL)))
    service = ls.hold(ls.exponential(mean=ls.param("service", SERVICE)))
    made = ls.Model("shop").resource("barber")
    return made.process("customer", every, ls.seize("barber"), service, ls.release("barber"), ls.depart())


@pytest.fixture(scope="module")
def seen() -> dict[str, np.ndarray]:
    """Times between arrivals and of service, as a listener to the events sees them."""
    arrivals: list[float] = []
    lengths: list[float] = []

    def sink(message: dict[str, Any]) -> None:
        if message["type"] == "sim.event/1" and message["action"] == "arrive":
            arrivals.append(message["time"])
        elif message["type"] == "sim.event/1" and message["action"] == "hold":
            lengths.append(message["length"])

    ls.replicate(shop(), 1, until=3_000.0, seed=4, events=True, sink=sink, progress=False)
    return {"arrival": np.diff(arrivals), "service": np.array(lengths)}


@pytest.fixture(scope="module")
def posterior(seen: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Draws of the rates, by NUTS, under a gamma prior."""
    model = ln.Model("rates")
    for name, times in seen.items():
        model.rv(name, dist.Gamma(2.0, 10.0)).obs(f"{name} times", dist.Exponential(name), times)
    result = ln.sample(model, num_samples=1_000, seed=1, progress=False)
    return {name: result.draws[name].ravel() for name in seen}


def test_the_rates_are_those_of_the_conjugate_posterior(
    seen: dict[str, np.ndarray], posterior: dict[str, np.ndarray]
) -> None:
    """Kolmogorov and Smirnov on each twentieth draw: false alarm 1e-4 each; the poison is one time too few."""
    for name, times in seen.items():
        assert 200 < len(times) < 400
        thinned = posterior[name][::20]
        exact = stats.gamma(2.0 + len(times), scale=1.0 / (10.0 + times.sum()))
        assert stats.kstest(thinned, exact.cdf).pvalue > 1e-4
        assert exact.mean() == pytest.approx(1.0 / {"arrival": ARRIVAL, "service": SERVICE}[name], rel=0.25)
        poison = stats.gamma(2.0 + len(times), scale=1.0 / (10.0 + 0.8 * times.sum()))
        assert stats.kstest(thinned, poison.cdf).pvalue < 1e-4


def test_a_queue_under_what_is_known_of_its_rates(posterior: dict[str, np.ndarray]) -> None:
    """A replication a draw: utilization is load, draw by draw (4 sigma of what one replication may be off)."""
    draws = {name: 1.0 / rates[::10] for name, rates in posterior.items()}
    runs = ls.replicate(
        shop(), len(draws["service"]), until=40_000.0, warmup=2_000.0, seed=2, params=draws, progress=False
    )
    load = draws["service"] / draws["arrival"]
    assert load.max() < 0.95
    busy = runs.values("barber.utilization")
    off = (busy - load) / load
    assert abs(off.mean()) < 4 * off.std(ddof=1) / np.sqrt(len(off))
    assert np.corrcoef(busy, load)[0, 1] > 0.9
    assert abs(np.corrcoef(np.roll(busy, 1), load)[0, 1]) < 0.5  # the poison: another replication's draw
    number = np.mean(load / (1 - load))
    found = runs.values("customer.number.mean")
    assert abs(found.mean() - number) < 4 * (found - load / (1 - load)).std(ddof=1) / np.sqrt(len(found))


def test_the_page_says_what_the_result_says() -> None:
    """The live page's view, fed by the engine's own messages: its means and intervals are those of `runs.interval`."""
    view = Sim("shop-1")
    runs = ls.replicate(shop(), 60, until=500.0, seed=3, sink=view.take, events=True, progress=False)
    metrics = ["customer.wait.mean", "barber.queue.mean"]
    state = view.full(metrics)
    assert (state["model"], state["status"], state["made"], state["total"]) == ("shop", "completed", 60, 60)
    assert state["events"] == runs.events.sum()
    told = {each["name"]: each for each in state["summary"]}
    told["barber.utilization"] = state["resources"][0]["utilization"]
    for metric in [*metrics, "barber.utilization"]:
        interval = runs.interval(metric)
        assert told[metric]["mean"] == pytest.approx(interval.estimate)
        assert (told[metric]["low"], told[metric]["high"]) == pytest.approx((interval.low, interval.high))
    values = next(each for each in state["series"] if (each["name"], each["chain"]) == (metrics[0], "value"))
    assert values["tail"] == runs.values(metrics[0]).tolist()
