"""The seven cases of the SMC² benchmark for livesmc2: the models and priors of smc2_particles.py, the same data."""

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from livesmc2 import StateSpaceModel
from scipy import stats

HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)


class Case(NamedTuple):
    """A model with its prior, data, and the exact log evidence where there is one."""

    model: StateSpaceModel
    prior: dict[str, Any]
    data: np.ndarray
    exact: float | None


def normal(y: float, mean: float, sd: float) -> float:
    """log density."""
    z = (y - mean) * (1.0 / sd)  # the same for all particles: one division a step
    return -0.5 * z * z - math.log(sd) - HALF_LOG_TWO_PI


def linear_gaussian() -> tuple[StateSpaceModel, dict[str, Any]]:
    model = StateSpaceModel(
        parameters=("rho", "sx", "sy"),
        state=("x",),
        initial=lambda rng, th: (rng.normal(0.0, th.sx / math.sqrt(1.0 - th.rho * th.rho)),),
        transition=lambda rng, x, th, t: (rng.normal(th.rho * x.x, th.sx),),
        log_likelihood=lambda y, x, th, t: normal(y, x.x, th.sy),
        log_likelihood_bound=lambda y, th, t: -math.log(th.sy) - HALF_LOG_TWO_PI,
    )
    half = stats.gamma(2, scale=0.5)
    return model, {"rho": stats.uniform(-1, 2), "sx": half, "sy": half}


def stochastic_volatility() -> tuple[StateSpaceModel, dict[str, Any]]:
    model = StateSpaceModel(
        parameters=("mu", "rho", "sigma"),
        state=("x",),
        initial=lambda rng, th: (rng.normal(th.mu, th.sigma / math.sqrt(1.0 - th.rho * th.rho)),),
        transition=lambda rng, x, th, t: (rng.normal(th.mu + th.rho * (x.x - th.mu), th.sigma),),
        log_likelihood=lambda y, x, th, t: -0.5 * y * y * math.exp(-x.x) - 0.5 * x.x - HALF_LOG_TWO_PI,
        # The density of N(0, v) at y is largest where v = y².
        log_likelihood_bound=lambda y, th, t: -0.5 - math.log(abs(y)) - HALF_LOG_TWO_PI,
    )
    return model, {"mu": stats.norm(0, 2), "rho": stats.beta(9, 1), "sigma": stats.gamma(2, scale=0.5)}


def seir() -> tuple[StateSpaceModel, dict[str, Any]]:
    def day(rng: Any, s: float, e: float, i: float, r: float, th: Any) -> Any:
        infected = rng.binomial(s, 1.0 - math.exp(-th.beta * i / 6000.0))
        began = rng.binomial(e, 1.0 - math.exp(-th.sigma))
        ended = rng.binomial(i, 1.0 - math.exp(-th.gamma))
        return s - infected, e + infected - began, i + began - ended, r + ended, began

    def log_likelihood(y: float, x: Any, th: Any, t: int) -> float:
        rate = max(x.new, 1e-4)
        return y * math.log(rate) - rate - math.lgamma(y + 1.0)

    def bound(y: float, th: Any, t: int) -> float:
        return y * math.log(y) - y - math.lgamma(y + 1.0) if y > 0.0 else 0.0

    model = StateSpaceModel(
        parameters=("beta", "sigma", "gamma"),
        state=("S", "E", "I", "R", "new"),
        initial=lambda rng, th: day(rng, 5997.0, 0.0, 3.0, 0.0, th),
        transition=lambda rng, x, th, t: day(rng, x.S, x.E, x.I, x.R, th),
        log_likelihood=log_likelihood,
        log_likelihood_bound=bound,
    )
    return model, {name: stats.uniform(1e-5, 1 - 1e-5) for name in ("beta", "sigma", "gamma")}


def gordon() -> tuple[StateSpaceModel, dict[str, Any]]:
    model = StateSpaceModel(
        parameters=("b", "c", "sx", "sy"),
        state=("x",),
        initial=lambda rng, th: (rng.normal(0.0, 2.0),),
        transition=lambda rng, x, th, t: (
            rng.normal(th.b * x.x + th.c * x.x / (1.0 + x.x * x.x) + 8.0 * math.cos(1.2 * (t - 1)), th.sx),
        ),
        log_likelihood=lambda y, x, th, t: normal(y, 0.05 * x.x * x.x, th.sy),
        log_likelihood_bound=lambda y, th, t: -math.log(th.sy) - HALF_LOG_TWO_PI,
    )
    prior = {"b": stats.norm(0.5, 0.5), "c": stats.norm(25, 10), "sx": stats.gamma(4), "sy": stats.gamma(2, scale=0.5)}
    return model, prior


def theta_logistic() -> tuple[StateSpaceModel, dict[str, Any]]:
    model = StateSpaceModel(
        parameters=("tau0", "tau1", "tau2", "sx", "sy"),
        state=("x",),
        initial=lambda rng, th: (rng.normal(0.0, 1.0),),
        transition=lambda rng, x, th, t: (rng.normal(x.x + th.tau0 - th.tau1 * math.exp(th.tau2 * x.x), th.sx),),
        log_likelihood=lambda y, x, th, t: normal(y, x.x, th.sy),
        log_likelihood_bound=lambda y, th, t: -math.log(th.sy) - HALF_LOG_TWO_PI,
    )
    cut, half = stats.truncnorm(0, 3), stats.gamma(2, scale=0.25)
    return model, {"tau0": cut, "tau1": cut, "tau2": cut, "sx": half, "sy": half}


def regimes() -> tuple[StateSpaceModel, dict[str, Any]]:
    def log_likelihood(y: float, x: Any, th: Any, t: int) -> float:
        # Both computed, one selected: no branch to mispredict.
        one, zero = normal(y, th.mu1, th.s1), normal(y, th.mu0, th.s0)
        return one if x.k == 1.0 else zero

    model = StateSpaceModel(
        parameters=("p00", "p11", "mu0", "mu1", "s0", "s1"),
        state=("k",),
        initial=lambda rng, th: (1.0 if rng.random() < 0.5 else 0.0,),
        transition=lambda rng, x, th, t: (1.0 if rng.random() < (th.p11 if x.k == 1.0 else 1.0 - th.p00) else 0.0,),
        log_likelihood=log_likelihood,
        log_likelihood_bound=lambda y, th, t: max(normal(y, th.mu0, th.s0), normal(y, th.mu1, th.s1)),
    )
    prior = {
        "p00": stats.beta(8, 2), "p11": stats.beta(8, 2), "mu0": stats.norm(0, 0.5), "mu1": stats.norm(2, 0.5),
        "s0": stats.gamma(4, scale=1 / 6), "s1": stats.gamma(4, scale=1 / 4),
    }  # fmt: skip
    return model, prior


def cox() -> tuple[StateSpaceModel, dict[str, Any]]:
    def log_likelihood(y: float, x: Any, th: Any, t: int) -> float:
        return y * x.x - math.exp(x.x) - math.lgamma(y + 1.0)

    def bound(y: float, th: Any, t: int) -> float:
        return y * math.log(y) - y - math.lgamma(y + 1.0) if y > 0.0 else 0.0

    model = StateSpaceModel(
        parameters=("mu", "phi", "sigma"),
        state=("x",),
        initial=lambda rng, th: (rng.normal(th.mu, th.sigma / math.sqrt(1.0 - th.phi * th.phi)),),
        transition=lambda rng, x, th, t: (rng.normal(th.mu + th.phi * (x.x - th.mu), th.sigma),),
        log_likelihood=log_likelihood,
        log_likelihood_bound=bound,
    )
    return model, {"mu": stats.norm(3, 1), "phi": stats.beta(9, 1), "sigma": stats.gamma(2, scale=0.1)}


MODELS = {
    "lg": linear_gaussian,
    "sv": stochastic_volatility,
    "seir": seir,
    "gordon": gordon,
    "theta": theta_logistic,
    "hmm": regimes,
    "cox": cox,
}
STEPS = {"lg": 50, "sv": 100, "seir": 60, "gordon": 50, "theta": 50, "hmm": 50, "cox": 50}
EXACT = {("lg", 50): -102.588, ("lg", 100): -195.214, ("hmm", 50): -41.962, ("hmm", 100): -87.307}


def case(name: str, steps: int | None = None) -> Case:
    """A case with the first `steps` of its data."""
    steps = STEPS[name] if steps is None else steps
    data = json.loads((Path(__file__).parent / "smc2_data.json").read_text())[name]
    return Case(*MODELS[name](), np.array(data[:steps]), EXACT.get((name, steps)))
