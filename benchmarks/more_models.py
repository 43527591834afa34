"""Four larger models beyond the seven, for NumPyro and for PyMC, with their data.

radon: 919 houses in 85 counties, varying intercepts (Gelman and Hill 2007, chapter 12); horseshoe: logistic regression
of 200 rows on 100 features under a horseshoe prior, 202 parameters; ar1: a latent AR(1) path of 500 steps seen with
noise; gp: 200 points of a Gaussian process, marginal, by Cholesky. Radon is the Minnesota survey, `radon.csv`, made
from PyMC3 3.2's `examples/data/radon.csv` (Apache 2.0): county, floor, and radon activity in pCi/L; the other data are
made by seeded generators.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

NAMES = ("radon", "horseshoe", "ar1", "gp")


def data() -> dict[str, Any]:
    """The arrays of all four models."""
    houses = np.loadtxt(Path(__file__).parent / "radon.csv", delimiter=",", skiprows=1)
    rng = np.random.default_rng(7)
    features = rng.standard_normal((200, 100))
    slopes = np.where(np.arange(100) < 5, 1.5, 0.0)
    labels = rng.binomial(1, 1 / (1 + np.exp(-features @ slopes))).astype(float)
    rng = np.random.default_rng(8)
    path = np.zeros(500)
    for step in range(1, 500):
        path[step] = 0.9 * path[step - 1] + 0.5 * rng.standard_normal()
    rng = np.random.default_rng(9)
    times = np.linspace(0.0, 10.0, 200)
    return {
        "radon": (houses[:, 0].astype(np.int64), houses[:, 1], np.log(houses[:, 2] + 0.1)),
        "horseshoe": (features, labels),
        "ar1": path + 0.5 * rng.standard_normal(500),
        "gp": (times, np.sin(times) + 0.3 * rng.standard_normal(200)),
    }


def numpyro_models() -> dict[str, tuple[Callable[..., None], tuple[Any, ...]]]:
    """Plain NumPyro models with their arguments."""
    import jax.numpy as jnp
    from numpyro import distributions as dist
    from numpyro import sample

    def radon(county: Any, floor: Any, y: Any) -> None:
        mu, tau = sample("mu", dist.Normal(0, 10)), sample("tau", dist.Exponential(1.0))
        alpha = sample("alpha", dist.Normal(mu, tau).expand([85]))
        beta, sigma = sample("beta", dist.Normal(0, 10)), sample("sigma", dist.Exponential(1.0))
        sample("y", dist.Normal(alpha[county] + beta * floor, sigma), obs=y)

    def horseshoe(x: Any, y: Any) -> None:
        alpha, tau = sample("alpha", dist.Normal(0, 5)), sample("tau", dist.HalfCauchy(0.1))
        local = sample("lambda", dist.HalfCauchy(1.0).expand([100]))
        z = sample("z", dist.Normal(0, 1).expand([100]))
        sample("y", dist.Bernoulli(logits=alpha + x @ (tau * local * z)), obs=y)

    def ar1(y: Any) -> None:
        phi, sigma = sample("phi", dist.Uniform(0, 1)), sample("sigma", dist.Exponential(1.0))
        noise = sample("noise", dist.Exponential(1.0))
        times = np.arange(500.0)
        path = sample("x", dist.EulerMaruyama(times, lambda x, t: ((phi - 1) * x, sigma), dist.Normal(0, 1)))
        sample("y", dist.Normal(path, noise), obs=y)

    def gp(times: Any, y: Any) -> None:
        scale, length = sample("scale", dist.HalfNormal(2.0)), sample("length", dist.LogNormal(0, 1))
        noise = sample("noise", dist.HalfNormal(1.0))
        squares = ((times[:, None] - times) / length) ** 2
        covariance = scale**2 * jnp.exp(-0.5 * squares) + (noise**2 + 1e-8) * jnp.eye(200)
        sample("y", dist.MultivariateNormal(0, covariance_matrix=covariance), obs=y)

    values = data()
    return {
        "radon": (radon, values["radon"]),
        "horseshoe": (horseshoe, values["horseshoe"]),
        "ar1": (ar1, (values["ar1"],)),
        "gp": (gp, values["gp"]),
    }


def pymc_model(name: str) -> Any:
    """One of the models for PyMC, with the variables' names of the NumPyro one; constants as in `seven_models`."""
    import pymc as pm
    from pytensor.tensor.linalg import cholesky

    values = data()
    real = np.float64
    with pm.Model() as model:
        if name == "radon":
            county, floor, y = values["radon"]
            mu, tau = pm.Normal("mu", real(0.0), real(10.0)), pm.Exponential("tau", real(1.0))
            alpha = pm.Normal("alpha", mu, tau, shape=85)
            beta, sigma = pm.Normal("beta", real(0.0), real(10.0)), pm.Exponential("sigma", real(1.0))
            pm.Normal("y", alpha[county] + beta * floor, sigma, observed=y)
        elif name == "horseshoe":
            features, labels = values["horseshoe"]
            intercept, tau = pm.Normal("alpha", real(0.0), real(5.0)), pm.HalfCauchy("tau", real(0.1))
            local = pm.HalfCauchy("lambda", real(1.0), shape=100)
            z = pm.Normal("z", real(0.0), real(1.0), shape=100)
            pm.Bernoulli("y", logit_p=intercept + pm.math.dot(features, tau * local * z), observed=labels)
        elif name == "ar1":
            phi, sigma = pm.Uniform("phi", real(0.0), real(1.0)), pm.Exponential("sigma", real(1.0))
            noise = pm.Exponential("noise", real(1.0))
            start = pm.Normal.dist(real(0.0), real(1.0))
            path = pm.AR("x", rho=phi[None], sigma=sigma, init_dist=start, steps=499)
            pm.Normal("y", path, noise, observed=values["ar1"])
        elif name == "gp":
            times, y = values["gp"]
            scale, length = pm.HalfNormal("scale", real(2.0)), pm.LogNormal("length", real(0.0), real(1.0))
            noise = pm.HalfNormal("noise", real(1.0))
            squares = ((times[:, None] - times) / length) ** 2
            covariance = scale**2 * pm.math.exp(-0.5 * squares) + (noise**2 + real(1e-8)) * np.eye(200)
            pm.MvNormal("y", np.zeros(200), chol=cholesky(covariance), observed=y)
        else:
            raise ValueError(f"no model {name!r}; models are {', '.join(NAMES)}")
    return model
