"""What to do: is a machine more worth its money, and which numbers matter?"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from livesim import Interval, compare, replicate
from livesim.analysis import mean_interval
from numpy.typing import NDArray

from .line import Line, model

Floats = NDArray[np.float64]
LEAD = "job.sojourn.mean"


@dataclass(frozen=True)
class Investment:
    """One more of a machine against the shop as it is: a pair of runs, on the same random numbers, for each draw."""

    machine: str
    shifts: int
    """How long each run is, from an empty shop on."""
    now: Floats
    """Mean minutes a job is in the shop (draw,)."""
    then: Floats
    """The same, with one machine more."""

    @property
    def saved(self) -> Interval:
        """Minutes a job that it saves, on average over what is believed, with a 95 % interval of this average."""
        return mean_interval(self.now - self.then)

    @property
    def range(self) -> tuple[float, float]:
        """90 % of what it may save: by what is not known of the machines, and by chance."""
        low, high = np.quantile(self.now - self.then, [0.05, 0.95])
        return float(low), float(high)


def loads(line: Line, parameters: Mapping[str, Floats]) -> dict[str, Floats]:
    """How busy each machine is (draw,): its work over what its failures leave of the time; 1 or more is too much."""
    found = {}
    for machine in line.machines:
        up, down = parameters[f"{machine.name}.up"], parameters[f"{machine.name}.down"]
        there = machine.units * up / (up + down)
        found[machine.name] = parameters[f"{machine.name}.service"] / parameters["every"] / there
    return found


def bottleneck(line: Line, parameters: Mapping[str, Floats]) -> str:
    """The machine that is busiest on average."""
    means = {name: float(load.mean()) for name, load in loads(line, parameters).items()}
    return max(means, key=lambda name: means[name])


def invest(line: Line, parameters: Mapping[str, Floats], machine: str, seed: int, shifts: int = 10) -> Investment:
    """Compare the line with one that has one `machine` more: a pair of runs for each draw (draw,) of the parameters."""
    if machine not in [each.name for each in line.machines]:
        raise ValueError(f"no machine {machine!r}; there are: {', '.join(each.name for each in line.machines)}")
    more = tuple(replace(each, units=each.units + (each.name == machine)) for each in line.machines)
    given = {name: np.asarray(values) for name, values in parameters.items()}
    found = compare(
        model(line),
        model(replace(line, machines=more)),
        metric=LEAD,
        until=shifts * line.shift,
        n=len(next(iter(given.values()))),
        params=(given, given),
        seed=seed,
        progress=False,
    )
    now, then = (np.asarray(runs.values(LEAD)) for runs in (found.first, found.second))
    return Investment(machine, shifts, now, then)


@dataclass(frozen=True)
class Drivers:
    """Which of many numbers drive a KPI, by a metamodel (BART) of simulations over a Latin hypercube."""

    names: tuple[str, ...]
    importance: Floats
    """(number,): inclusion proportions."""
    threshold: float
    """What a number that does nothing exceeds one time in twenty, the largest of all such (Bleich et al. 2014)."""
    accuracy: float
    """R² of the metamodel at points that it did not see."""

    @property
    def selected(self) -> list[str]:
        """Those that matter, the most important first."""
        order = np.argsort(-self.importance, kind="stable")
        return [self.names[k] for k in order if self.importance[k] > self.threshold]


def drivers(
    line: Line,
    center: Mapping[str, float],
    seed: int,
    *,
    kpi: str = LEAD,
    spread: float = 0.2,
    points: int = 400,
    repeats: int = 4,
    shifts: int = 20,
    permutations: int = 20,
) -> Drivers:
    """Simulate the line at points within `spread` of a center, all numbers at once, and ask BART which ones matter.

    center: a number for each parameter of the line. The KPI's logarithm is averaged over `repeats` runs a point; a
    fifth of the points is left out of the fit, to judge it.
    """
    from livebart import BARTRegressor
    from livebart.inspection import variable_importance
    from scipy.stats import qmc

    names = tuple(center)
    unit = qmc.LatinHypercube(len(names), rng=np.random.default_rng([seed, 2])).random(points)
    values = np.array([center[name] for name in names]) * (1 + spread * (2 * unit - 1))
    runs = replicate(
        model(line),
        n=points * repeats,
        until=shifts * line.shift,
        warmup=2 * line.shift,
        params={name: np.repeat(values[:, k], repeats) for k, name in enumerate(names)},
        seed=seed,
        progress=False,
    )
    y = np.log(np.asarray(runs.values(kpi)).reshape(points, repeats)).mean(axis=1)
    held = points // 5
    fit = BARTRegressor(n_trees=50, n_chains=2, random_state=seed).fit(unit[held:], y[held:])
    left = y[:held] - fit.predict(unit[:held])
    found = variable_importance(BARTRegressor(), unit, y, n_permutations=permutations, random_state=seed)
    threshold = float(np.quantile(found.null.max(axis=1), 0.95))
    return Drivers(names, np.asarray(found.proportions), threshold, float(1 - left.var() / y[:held].var()))
