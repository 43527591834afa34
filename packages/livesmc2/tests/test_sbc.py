"""Simulation-based calibration (Talts et al. 2018): parameters drawn from the prior, data from them, ranks uniform.

The rank of a truth is its weighted distribution function in the posterior, with a uniform share of ties. Chi-square
over 10 bins, false alarms 1e-3 for each parameter; the poison, a posterior half as wide, must be caught.
"""

import math
from typing import Any

import numpy as np
import pytest
from livesmc2 import OnlineSMC2, Prior, StateSpaceModel, models, run
from livesmc2_exact import level
from scipy import stats


def volatility() -> tuple[StateSpaceModel, dict[str, Any]]:
    """Stochastic volatility."""
    model = StateSpaceModel(
        parameters=("mu", "rho", "sigma"),
        state=("x",),
        initial=lambda rng, th: (rng.normal(th.mu, th.sigma / math.sqrt(1.0 - th.rho * th.rho)),),
        transition=lambda rng, x, th, t: (rng.normal(th.mu + th.rho * (x.x - th.mu), th.sigma),),
        log_likelihood=lambda y, x, th, t: -0.5 * y * y * math.exp(-x.x) - 0.5 * x.x - 0.918938533204672742,
        observe=lambda rng, x, th, t: rng.normal(0.0, math.exp(0.5 * x.x)),
    )
    return model, {"mu": stats.norm(0, 1), "rho": stats.beta(9, 2), "sigma": stats.gamma(2, scale=0.2)}


def epidemic() -> tuple[StateSpaceModel, dict[str, Any]]:
    """SEIR with a constant transmission rate."""
    return models.seir(1000, 5, walk=False)


def ranks(make: Any, replications: int, steps: int, squeeze: float = 1.0) -> np.ndarray:
    """(replication, parameter): where the truth lies in its posterior, from 0 to 1."""
    model, source = make()
    prior = Prior(source, model.parameter_fields)
    rng = np.random.default_rng(1)
    made = np.empty((replications, model.parameter_fields.width))
    for k, truth in enumerate(prior.draw(rng, replications)):
        named = {name: value[0] for name, value in model.parameter_fields.split(truth[None], 1).items()}
        _, ys = models.simulate(model, named, steps, seed=k)
        smc: OnlineSMC2 = run(model, prior, ys, 100, 100, seed=k, n_moves=5, threads=1)
        theta = np.stack([smc.theta[name] for name in model.parameters], axis=1)
        theta = theta.mean(axis=0) + squeeze * (theta - theta.mean(axis=0))
        made[k] = smc.weights @ (theta < truth) + rng.random() * (smc.weights @ (theta == truth))
    return made


def p_values(made: np.ndarray) -> np.ndarray:
    """Of uniformity, for each parameter."""
    counts = [np.bincount(np.minimum((10 * column).astype(int), 9), minlength=10) for column in made.T]
    return np.array([stats.chisquare(count).pvalue for count in counts])


def test_calibration_of_the_local_level() -> None:
    """The short one: 100 replications of 15 observations."""
    assert p_values(ranks(level, 100, 15)).min() > 1e-3


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize(("make", "steps"), [(level, 30), (volatility, 60), (epidemic, 50)])
def test_calibration(make: Any, steps: int) -> None:
    assert p_values(ranks(make, 500, steps)).min() > 1e-3


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_a_posterior_too_narrow_is_seen() -> None:
    assert p_values(ranks(level, 500, 30, squeeze=0.6)).min() < 1e-3
