"""Ready models, each a function that returns (model, prior): examples to read, and to start from.

>>> model, prior = local_level()
>>> model.parameters, sorted(prior)
(('sigma_level', 'sigma_y'), ['sigma_level', 'sigma_y'])
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from livesmc2.model.state_space import StateSpaceModel

HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)

Ready = tuple[StateSpaceModel, dict[str, Any]]


def _normal_log_density(y: float, mean: float, sd: float) -> float:
    z = (y - mean) / sd
    return -0.5 * z * z - math.log(sd) - HALF_LOG_TWO_PI


def _negative_binomial_log_mass(y: float, mean: float, size: float) -> float:
    """Of a count with variance mean + mean² / size."""
    return (
        math.lgamma(y + size)
        - math.lgamma(size)
        - math.lgamma(y + 1.0)
        - size * math.log1p(mean / size)
        + y * (math.log(mean) - math.log(size + mean))
    )


def local_level(start: float = 0.0, start_sd: float = 1.0) -> Ready:
    """A level that walks, seen with noise: level_t ~ N(level_{t-1}, sigma_level²), y_t ~ N(level_t, sigma_y²).

    The first level is N(start, start_sd²). Priors: half-normal of scale 1 for both.
    """
    from scipy import stats

    model = StateSpaceModel(
        name="local level",
        parameters=("sigma_level", "sigma_y"),
        state=("level",),
        initial=lambda rng, theta: (rng.normal(start, start_sd),),
        transition=lambda rng, x, theta, t: (rng.normal(x.level, theta.sigma_level),),
        log_likelihood=lambda y, x, theta, t: _normal_log_density(y, x.level, theta.sigma_y),
        observe=lambda rng, x, theta, t: rng.normal(x.level, theta.sigma_y),
        log_transition=lambda new, x, theta, t: _normal_log_density(new.level, x.level, theta.sigma_level),
    )
    return model, {"sigma_level": stats.halfnorm(scale=1.0), "sigma_y": stats.halfnorm(scale=1.0)}


def seir(population: float, infectious: float = 1.0, *, walk: bool = True, exposed: float = 0.0) -> Ready:
    """A chain-binomial SEIR epidemic in discrete days, reports Poisson around the new infectious.

    S -> E with 1 - exp(-beta I / N), E -> I with 1 - exp(-sigma), I -> R with 1 - exp(-gamma), as in Temfack and
    Wyse 2025. The first report is scored on the state after day one. With `walk` the transmission rate moves,
    log beta_t ~ N(log beta_{t-1}, nu²), from the parameter beta on; the state `rate` is beta_t.
    """
    from scipy import stats

    susceptible = population - infectious - exposed

    def day(rng: Any, s: float, e: float, i: float, r: float, beta: float, sigma: float, gamma: float) -> Any:
        infected = rng.binomial(s, 1.0 - math.exp(-beta * i / population))
        began = rng.binomial(e, 1.0 - math.exp(-sigma))
        ended = rng.binomial(i, 1.0 - math.exp(-gamma))
        return s - infected, e + infected - began, i + began - ended, r + ended, began, beta

    def initial(rng: Any, theta: Any) -> Any:
        return day(rng, susceptible, exposed, infectious, 0.0, theta.beta, theta.sigma, theta.gamma)

    def walking(rng: Any, x: Any, theta: Any, t: Any) -> Any:
        beta = x.rate * math.exp(theta.nu * rng.standard_normal())
        return day(rng, x.S, x.E, x.I, x.R, beta, theta.sigma, theta.gamma)

    def constant(rng: Any, x: Any, theta: Any, t: Any) -> Any:
        return day(rng, x.S, x.E, x.I, x.R, theta.beta, theta.sigma, theta.gamma)

    def log_likelihood(y: float, x: Any, theta: Any, t: Any) -> float:
        rate = max(x.new, 1e-4)
        return y * math.log(rate) - rate - math.lgamma(y + 1.0)

    model = StateSpaceModel(
        name="SEIR",
        parameters=("beta", "sigma", "gamma", "nu") if walk else ("beta", "sigma", "gamma"),
        state=("S", "E", "I", "R", "new", "rate"),
        initial=initial,
        transition=walking if walk else constant,
        log_likelihood=log_likelihood,
        observe=lambda rng, x, theta, t: rng.poisson(max(x.new, 1e-4)),
        # The largest probability of y over all rates, at rate y.
        log_likelihood_bound=lambda y, theta, t: (
            y * math.log(max(y, 1e-4)) - max(y, 1e-4) - math.lgamma(y + 1.0) if y > 0.0 else 0.0
        ),
    )
    prior: dict[str, Any] = {name: stats.uniform(1e-5, 1.0 - 1e-5) for name in ("beta", "sigma", "gamma")}
    return model, prior | ({"nu": stats.uniform(0.01, 0.29)} if walk else {})


def hidden_markov(states: int, emission: str = "normal") -> Ready:
    """A hidden Markov chain of any number of states, emissions "normal" (mu, sd) or "poisson" (rate).

    Row k of the transition matrix is softmax(0, ..., logit, ...): `stay[k]` is the probability to stay, the others
    are equal. The first state is uniform. Emission parameters are arrays of one a state; name them in the prior.
    """
    from scipy import stats

    if states < 2:
        raise ValueError(f"hidden_markov: states must be at least 2, got {states!r}")
    if emission not in ("normal", "poisson"):
        raise ValueError(f"hidden_markov: emission must be 'normal' or 'poisson', got {emission!r}")

    def initial(rng: Any, theta: Any) -> Any:
        return (math.floor(states * rng.random()),)

    def transition(rng: Any, x: Any, theta: Any, t: Any) -> Any:
        k = int(x.k)
        u = rng.random()
        stay = theta.stay[k]
        other = math.floor((u - stay) / (1.0 - stay) * (states - 1)) if u > stay else 0.0
        other = min(other, states - 2.0)
        moved = other + 1.0 if other >= k else other
        return (x.k if u <= stay else moved,)

    def normal(y: float, x: Any, theta: Any, t: Any) -> float:
        k = int(x.k)
        return _normal_log_density(y, theta.mu[k], theta.sd[k])

    def poisson(y: float, x: Any, theta: Any, t: Any) -> float:
        rate = theta.rate[int(x.k)]
        return y * math.log(rate) - rate - math.lgamma(y + 1.0)

    def draw_normal(rng: Any, x: Any, theta: Any, t: Any) -> float:
        k = int(x.k)
        return float(rng.normal(theta.mu[k], theta.sd[k]))

    def draw_poisson(rng: Any, x: Any, theta: Any, t: Any) -> float:
        return float(rng.poisson(theta.rate[int(x.k)]))

    def log_transition(new: Any, x: Any, theta: Any, t: Any) -> float:
        stay = theta.stay[int(x.k)]
        return math.log(stay if new.k == x.k else (1.0 - stay) / (states - 1))

    normals = emission == "normal"
    model = StateSpaceModel(
        name=f"hidden Markov chain of {states} states",
        parameters={"stay": states, "mu": states, "sd": states} if normals else {"stay": states, "rate": states},
        state=("k",),
        initial=initial,
        transition=transition,
        log_likelihood=normal if normals else poisson,
        observe=draw_normal if normals else draw_poisson,
        log_transition=log_transition,
    )
    stays = {"stay": stats.beta(8, 2)}
    if not normals:
        return model, stays | {"rate": [stats.gamma(4, scale=5.0 * (k + 1)) for k in range(states)]}
    means = [stats.norm(2.0 * k, 0.5) for k in range(states)]
    return model, stays | {"mu": means, "sd": stats.gamma(4, scale=0.25)}


def negative_binomial_counts() -> Ready:
    """Counts around a log-rate that is an AR(1): y ~ NB(mean exp(x), variance mean + mean² / size).

    x_t ~ N(mu + phi (x_{t-1} - mu), sigma²), stationary at the start.
    """
    from scipy import stats

    def initial(rng: Any, theta: Any) -> Any:
        return (rng.normal(theta.mu, theta.sigma / math.sqrt(1.0 - theta.phi * theta.phi)),)

    def transition(rng: Any, x: Any, theta: Any, t: Any) -> Any:
        return (rng.normal(theta.mu + theta.phi * (x.log_rate - theta.mu), theta.sigma),)

    model = StateSpaceModel(
        name="negative binomial counts",
        parameters=("mu", "phi", "sigma", "size"),
        state=("log_rate",),
        initial=initial,
        transition=transition,
        log_likelihood=lambda y, x, theta, t: _negative_binomial_log_mass(y, math.exp(x.log_rate), theta.size),
        observe=lambda rng, x, theta, t: rng.negative_binomial(
            theta.size, theta.size / (theta.size + math.exp(x.log_rate))
        ),
        log_likelihood_bound=lambda y, theta, t: 0.0,
        log_transition=lambda new, x, theta, t: _normal_log_density(
            new.log_rate, theta.mu + theta.phi * (x.log_rate - theta.mu), theta.sigma
        ),
    )
    prior = {
        "mu": stats.norm(1.0, 2.0),
        "phi": stats.beta(9, 1),
        "sigma": stats.gamma(2, scale=0.1),
        "size": stats.gamma(2, scale=10.0),
    }
    return model, prior


def simulate(
    model: StateSpaceModel, theta: Mapping[str, Any], steps: int, seed: int = 0, covariates: Any = None
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """States by name (T,) and observations (T,), or (T, component), drawn from a model with `observe`."""
    from livesmc2.compiler.program import program_of
    from livesmc2.kernel.rng import derive
    from livesmc2.model.state_space import ModelError
    from livesmc2.runtime.moves import FORECAST
    from livesmc2.runtime.online import make_seed

    if model.observe is None:
        raise ModelError("simulate needs a function `observe` in the model; it has none")
    row = model.parameter_fields.join("theta", theta)[None]
    width = model.state_fields.width
    x, y = np.empty((steps, 1, width)), np.empty((steps, 1, model.observation_width))
    cov = model.covariate_rows(covariates, steps)
    key = np.uint64(derive(make_seed(seed), FORECAST))
    program_of(model).simulate_block(np.zeros((1, width)), row, cov, 0, key, x, y)
    return model.state_fields.split(x[:, 0], 1), y[:, 0] if model.observed else y[:, 0, 0]
