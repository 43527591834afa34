"""The seven reference models of the field's NUTS comparisons, for NumPyro and for PyMC, with their data.

simple, medium, stress: small hierarchies; schools: the centred eight schools; funnel: Neal's; logistic: 500 rows,
21 coefficients; sv: stochastic volatility, 100 steps. Data are made by seeded generators.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

NAMES = ("simple", "medium", "stress", "schools", "funnel", "logistic", "sv")


def data() -> dict[str, Any]:
    """The arrays of all seven models."""
    rng = np.random.default_rng(42)
    simple = rng.normal(3.0, 1.5, 50)
    medium = rng.normal(4.0, 0.8, 30), rng.normal(7.0, 0.8, 30)
    stress = np.stack([rng.normal(mean, 1.0, 40) for mean in (0.5, 3.0, 5.5)])
    rng = np.random.default_rng(123)
    slopes = rng.normal(0, 0.3, 20)
    features = rng.standard_normal((500, 20))
    labels = rng.binomial(1, 1 / (1 + np.exp(-(0.5 + features @ slopes))))
    rng = np.random.default_rng(456)
    log_scale = np.cumsum(0.15 * rng.standard_normal(100))
    returns = np.exp(log_scale) * rng.standard_t(10, 100)
    return {
        "simple": simple,
        "medium": medium,
        "stress": stress,
        "schools": (np.array([28.0, 8, -3, 7, -1, 1, 18, 12]), np.array([15.0, 10, 16, 11, 9, 11, 10, 18])),
        "logistic": (features, labels.astype(float)),
        "sv": returns,
    }


def numpyro_models() -> dict[str, tuple[Callable[..., None], tuple[Any, ...]]]:
    """Plain NumPyro models with their arguments."""
    import jax.numpy as jnp
    from numpyro import distributions as dist
    from numpyro import sample

    def simple(y: Any) -> None:
        mu, sigma = sample("mu", dist.Normal(0, 10)), sample("sigma", dist.Exponential(1.0))
        sample("y", dist.Normal(mu, sigma), obs=y)

    def medium(y_a: Any, y_b: Any) -> None:
        mu, sigma = sample("mu_global", dist.Normal(0, 10)), sample("sigma_global", dist.Exponential(1.0))
        alpha, beta = sample("alpha", dist.Normal(mu, sigma)), sample("beta", dist.Normal(mu, sigma))
        noise = sample("sigma_obs", dist.Exponential(2.0))
        sample("y_a", dist.Normal(alpha, noise), obs=y_a)
        sample("y_b", dist.Normal(beta, noise), obs=y_b)

    def stress(y: Any) -> None:
        mu, sigma = sample("mu_pop", dist.Normal(0, 10)), sample("sigma_pop", dist.Exponential(0.5))
        group = sample("group", dist.Normal(mu, sigma).expand([3]))
        noise = sample("noise", dist.Exponential(1.0).expand([3]))
        sample("y", dist.Normal(group[:, None], noise[:, None]), obs=y)

    def schools(y: Any, sigma: Any) -> None:
        mu, tau = sample("mu", dist.Normal(0, 5)), sample("tau", dist.HalfNormal(5.0))
        theta = sample("theta", dist.Normal(mu, tau).expand([8]))
        sample("y", dist.Normal(theta, sigma), obs=y)

    def funnel() -> None:
        y = sample("y", dist.Normal(0, 3))
        sample("x", dist.Normal(0, jnp.exp(y / 2)).expand([9]))

    def logistic(x: Any, y: Any) -> None:
        alpha, beta = sample("alpha", dist.Normal(0, 10)), sample("beta", dist.Normal(0, 10).expand([20]))
        sample("y", dist.Bernoulli(logits=alpha + x @ beta), obs=y)

    def sv(returns: Any) -> None:
        sigma, nu = sample("sigma", dist.Exponential(50.0)), sample("nu", dist.Exponential(0.1))
        log_scale = sample("s", dist.GaussianRandomWalk(sigma, 100))
        sample("r", dist.StudentT(nu, 0, jnp.exp(log_scale)), obs=returns)

    values = data()
    return {
        "simple": (simple, (values["simple"],)),
        "medium": (medium, values["medium"]),
        "stress": (stress, (values["stress"],)),
        "schools": (schools, values["schools"]),
        "funnel": (funnel, ()),
        "logistic": (logistic, values["logistic"]),
        "sv": (sv, (values["sv"],)),
    }


def pymc_model(name: str) -> Any:
    """One of the models for PyMC, with the variables' names of the NumPyro one.

    Constants are NumPy doubles: PyTensor holds a plain 3.0 in single precision, and takes its logarithm there.
    """
    import pymc as pm

    values = data()
    real = np.float64
    with pm.Model() as model:
        if name == "simple":
            mu, sigma = pm.Normal("mu", real(0.0), real(10.0)), pm.Exponential("sigma", real(1.0))
            pm.Normal("y", mu, sigma, observed=values["simple"])
        elif name == "medium":
            mu, sigma = pm.Normal("mu_global", real(0.0), real(10.0)), pm.Exponential("sigma_global", real(1.0))
            alpha, beta = pm.Normal("alpha", mu, sigma), pm.Normal("beta", mu, sigma)
            noise = pm.Exponential("sigma_obs", real(2.0))
            pm.Normal("y_a", alpha, noise, observed=values["medium"][0])
            pm.Normal("y_b", beta, noise, observed=values["medium"][1])
        elif name == "stress":
            mu, sigma = pm.Normal("mu_pop", real(0.0), real(10.0)), pm.Exponential("sigma_pop", real(0.5))
            group, noise = pm.Normal("group", mu, sigma, shape=3), pm.Exponential("noise", real(1.0), shape=3)
            pm.Normal("y", group[:, None], noise[:, None], observed=values["stress"])
        elif name == "schools":
            y, errors = values["schools"]
            mu, tau = pm.Normal("mu", real(0.0), real(5.0)), pm.HalfNormal("tau", real(5.0))
            pm.Normal("y", pm.Normal("theta", mu, tau, shape=8), errors, observed=y)
        elif name == "funnel":
            y = pm.Normal("y", real(0.0), real(3.0))
            pm.Normal("x", real(0.0), pm.math.exp(y / 2), shape=9)
        elif name == "logistic":
            features, labels = values["logistic"]
            alpha, beta = pm.Normal("alpha", real(0.0), real(10.0)), pm.Normal("beta", real(0.0), real(10.0), shape=20)
            pm.Bernoulli("y", logit_p=alpha + pm.math.dot(features, beta), observed=labels)
        elif name == "sv":
            sigma, nu = pm.Exponential("sigma", real(50.0)), pm.Exponential("nu", real(0.1))
            walk = pm.GaussianRandomWalk("s", sigma=sigma, shape=100, init_dist=pm.Normal.dist(real(0.0), sigma))
            pm.StudentT("r", nu=nu, mu=real(0.0), sigma=pm.math.exp(walk), observed=values["sv"])
        else:
            raise ValueError(f"no model {name!r}; models are {', '.join(NAMES)}")
    return model
