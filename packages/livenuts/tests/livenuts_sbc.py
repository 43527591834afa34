"""Simulation-based calibration: three models with their simulators, ranks, and an exact test of uniform ranks.

Talts, Betancourt, Simpson, Vehtari and Gelman 2018, "Validating Bayesian inference algorithms with simulation-based
calibration". Parameters from the prior, data from the parameters, draws from the posterior: the rank of each
parameter among independent draws is uniform. The same holds for the log prior and the log likelihood, which see
errors that no single parameter shows (Modrak et al. 2023, "Simulation-based calibration checking for Bayesian
computation: the choice of test quantities shapes sensitivity").
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import livenuts as ln
import numpy as np
from livenuts import dist, ref
from scipy import special, stats

Values = dict[str, np.ndarray]


class Case(NamedTuple):
    """A model whose observations are replaced for each replication, and the same model as NumPy and SciPy know it."""

    model: ln.Model
    simulate: Callable[[np.random.Generator, float], tuple[Values, Values]]
    """(generator, wrong) -> (parameters, data); `wrong` multiplies one scale of the prior, 1 is right."""
    log_prior: Callable[[Values], np.ndarray]
    """Of values with a leading axis of draws, and so the next."""
    log_likelihood: Callable[[Values, Values], np.ndarray]

    def quantities(self, values: Values, data: Values) -> Values:
        """Every scalar of the parameters, the log prior and the log likelihood; each of shape (draws,)."""
        found = {}
        for name, array in values.items():
            columns = array.reshape(len(array), -1).T
            found |= {f"{name}[{i}]": column for i, column in enumerate(columns)}
        found["log prior"] = self.log_prior(values)
        found["log likelihood"] = self.log_likelihood(values, data)
        return found


ERRORS = np.array([15.0, 10, 16, 11, 9, 11, 10, 18]) / 3.0


def hierarchical(name: str = "hierarchical") -> Case:
    """Eight groups with known errors, not centred."""
    model = ln.Model(f"sbc {name}").data("errors", ERRORS).rv("mu", dist.Normal(0, 5)).rv("tau", dist.HalfNormal(5))
    model.rv("z", dist.Normal(0, 1), shape=8).det("theta", ref("mu") + ref("tau") * ref("z"))
    model.obs("y", dist.Normal("theta", "errors"), np.zeros(8))

    def simulate(rng: np.random.Generator, wrong: float) -> tuple[Values, Values]:
        values = {"mu": rng.normal(0, 5), "tau": abs(rng.normal(0, 5)), "z": wrong * rng.normal(size=8)}
        values["theta"] = values["mu"] + values["tau"] * values["z"]
        return values, {"y": rng.normal(values["theta"], ERRORS)}

    def log_prior(v: Values) -> np.ndarray:
        return -(v["mu"] ** 2) / 50 - v["tau"] ** 2 / 50 - 0.5 * (v["z"] ** 2).sum(-1)

    def log_likelihood(v: Values, data: Values) -> np.ndarray:
        return stats.norm.logpdf(data["y"], v["theta"], ERRORS).sum(-1)

    return Case(model, simulate, log_prior, log_likelihood)


def constrained(name: str = "constrained") -> Case:
    """A simplex, a probability, a rate, and an ordered pair of which one bounds the other's support."""
    model = ln.Model(f"sbc {name}").rv("p", dist.Dirichlet(np.array([1.5, 1.0, 3.0]))).rv("q", dist.Beta(2.0, 2.0))
    model.rv("rate", dist.Gamma(2.0, 1.0)).rv("low", dist.Uniform(0.0, 2.0)).rv("high", dist.Uniform("low", 3.0))
    model.obs("counts", dist.Multinomial(total_count=10, probs="p"), np.array([4, 3, 3]))
    model.obs("heads", dist.Binomial(6, "q"), np.array([3]))
    model.obs("events", dist.Poisson("rate"), np.array([1, 2]))
    model.obs("ends", dist.Normal(0.5 * (ref("low") + ref("high")), 0.5), np.zeros(2))

    def simulate(rng: np.random.Generator, wrong: float) -> tuple[Values, Values]:
        low = rng.uniform(0, 2)
        values = {"p": rng.dirichlet([1.5, 1, 3]), "q": rng.beta(2, 2), "rate": wrong * rng.gamma(2.0, 1.0)}
        values |= {"low": low, "high": rng.uniform(low, 3)}
        data = {"counts": rng.multinomial(10, values["p"]), "heads": rng.binomial(6, values["q"], 1)}
        data["events"] = rng.poisson(values["rate"], 2)
        return values, data | {"ends": rng.normal(0.5 * (low + values["high"]), 0.5, 2)}

    def log_prior(v: Values) -> np.ndarray:
        total = (np.log(v["p"]) * [0.5, 0.0, 2.0]).sum(-1) + stats.beta.logpdf(v["q"], 2, 2)
        return total + stats.gamma.logpdf(v["rate"], 2) - np.log(3.0 - v["low"])

    def log_likelihood(v: Values, data: Values) -> np.ndarray:
        total = (data["counts"] * np.log(v["p"])).sum(-1) + stats.binom.logpmf(data["heads"], 6, v["q"])
        total = total + stats.poisson.logpmf(data["events"], v["rate"][:, None]).sum(-1)
        middle = 0.5 * (v["low"] + v["high"])[:, None]
        return total + stats.norm.logpdf(data["ends"], middle, 0.5).sum(-1)

    return Case(model, simulate, log_prior, log_likelihood)


def state_space(name: str = "state space") -> Case:
    """A local level of 20 steps, seen with noise: 22 unknowns."""
    model = ln.Model(f"sbc {name}").rv("step", dist.Gamma(5.0, 10.0)).rv("noise", dist.Gamma(5.0, 10.0))
    model.rv("x", dist.GaussianRandomWalk("step", 20)).obs("y", dist.Normal("x", "noise"), np.zeros(20))

    def simulate(rng: np.random.Generator, wrong: float) -> tuple[Values, Values]:
        step, noise = rng.gamma(5.0, 0.1, 2)
        x = np.cumsum(rng.normal(0, wrong * step, 20))
        return {"step": step, "noise": noise, "x": x}, {"y": rng.normal(x, noise)}

    def log_prior(v: Values) -> np.ndarray:
        total = stats.gamma.logpdf([v["step"], v["noise"]], 5, scale=0.1).sum(0)
        return total + stats.norm.logpdf(np.diff(v["x"], prepend=0.0), 0, v["step"][:, None]).sum(-1)

    def log_likelihood(v: Values, data: Values) -> np.ndarray:
        return stats.norm.logpdf(data["y"], v["x"], v["noise"][:, None]).sum(-1)

    return Case(model, simulate, log_prior, log_likelihood)


CASES = {case.__name__: case for case in (hierarchical, constrained, state_space)}

# Ranks go from 0 to this number of draws.
DRAWS = 31


def ranks(case: Case, replications: int, *, thin: int, wrong: float = 1.0, **settings: Any) -> dict[str, np.ndarray]:
    """How many of 31 posterior draws, `thin` apart, are below the truth, for each quantity and replication."""
    found: dict[str, list[int]] = {}
    for number in range(replications):
        truth, data = case.simulate(np.random.default_rng([20181, number]), wrong)
        run = ln.sample(
            case.model.with_data(**data),
            seed=number,
            num_samples=DRAWS * thin,
            **{"num_warmup": 300, "num_chains": 1, "progress": False} | settings,
        )
        draws = case.quantities({name: run.draws[name][0, thin - 1 :: thin] for name in truth}, data)
        true = case.quantities({name: np.asarray(value)[None] for name, value in truth.items()}, data)
        for name, values in draws.items():
            found.setdefault(name, []).append(int((values < true[name][0]).sum()))
    return {name: np.array(values) for name, values in found.items()}


def p_value_of_ranks(found: np.ndarray, draws: int = DRAWS) -> float:
    """That independent uniform ranks on 0, ..., draws have a cumulative histogram this far out anywhere.

    Sailynoja, Buerkner and Vehtari 2022, "Graphical test for discrete uniformity and its applications in goodness-of-
    fit evaluation and multiple sample comparison": the smallest of the pointwise two-sided binomial tail
    probabilities, and the exact probability that it is so small, by recursion over the cells (their algorithm 2).
    """
    cells, total = draws + 1, len(found)
    seen = np.cumsum(np.bincount(found, minlength=cells))[:-1]
    share = np.arange(1, cells) / cells
    tails = np.minimum(stats.binom.cdf(seen, total, share), stats.binom.sf(seen - 1, total, share))
    smallest = min(1.0, 2.0 * tails.min()) * (1.0 + 1e-9)
    # Counts stay inside while both tails of each are larger than the smallest found.
    lowest = stats.binom.ppf(smallest / 2, total, share).astype(int)
    highest = total - stats.binom.ppf(smallest / 2, total, 1.0 - share).astype(int)
    below, probability = np.array([0]), np.array([1.0])
    for cell in range(cells - 1):
        here = np.arange(lowest[cell], highest[cell] + 1)
        if not len(here):
            return 1.0
        more, left = here - below[:, None], total - below[:, None]
        chance = 1.0 / (cells - cell)
        ways = special.gammaln(left + 1) - special.gammaln(np.maximum(more, 0) + 1)
        ways = ways - special.gammaln(np.maximum(left - more, 0) + 1)
        step = np.exp(ways + more * np.log(chance) + (left - more) * np.log1p(-chance))
        probability = probability @ np.where((more >= 0) & (more <= left), step, 0.0)
        below = here
    return float(min(draws * smallest, max(0.0, 1.0 - probability.sum())))
