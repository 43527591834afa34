"""The seven reference models, written four times: builder, function, NumPyro, and SciPy in constrained space."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import livenuts as ln
import numpy as np
import numpyro
import numpyro.distributions as nd
from livenuts import dist, ref
from scipy import stats


def reference_data() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(42)
    data = {"simple": rng.normal(3.0, 1.5, 50), "a": rng.normal(4.0, 0.8, 30), "b": rng.normal(7.0, 0.8, 30)}
    data["groups"] = np.stack([rng.normal(mean, 1.0, 40) for mean in (0.5, 3.0, 5.5)])
    rng = np.random.default_rng(123)
    beta = rng.normal(0, 0.3, 20)
    data["X"] = rng.standard_normal((500, 20))
    data["hits"] = rng.binomial(1, 1 / (1 + np.exp(-(0.5 + data["X"] @ beta))))
    rng = np.random.default_rng(456)
    volatility = np.cumsum(0.15 * rng.standard_normal(100))
    data["returns"] = np.exp(volatility) * rng.standard_t(10, 100)
    data["effects"] = np.array([28.0, 8, -3, 7, -1, 1, 18, 12])
    data["errors"] = np.array([15.0, 10, 16, 11, 9, 11, 10, 18])
    return data


DATA = reference_data()


class Reference(NamedTuple):
    builder: ln.Model
    function: Any
    numpyro: Callable[[], None]
    scipy: Callable[[dict[str, Any]], float]
    """The log density of constrained values, without Jacobian."""
    positive: tuple[str, ...]
    """Variables under a logarithm: their log Jacobian is the sum of their logs."""


def simple() -> Reference:
    y = DATA["simple"]
    builder = ln.Model("simple").rv("mu", dist.Normal(0, 10)).rv("sigma", dist.Exponential(1.0))
    builder.obs("y", dist.Normal("mu", "sigma"), y)

    @ln.model
    def function(y: Any) -> None:
        mu, sigma = ln.rv("mu", dist.Normal(0, 10)), ln.rv("sigma", dist.Exponential(1.0))
        ln.obs("y", dist.Normal(mu, sigma), y)

    def in_numpyro() -> None:
        mu, sigma = numpyro.sample("mu", nd.Normal(0, 10)), numpyro.sample("sigma", nd.Exponential(1.0))
        numpyro.sample("y", nd.Normal(mu, sigma), obs=y)

    def scipy(v: dict[str, Any]) -> float:
        prior = stats.norm.logpdf(v["mu"], 0, 10) + stats.expon.logpdf(v["sigma"])
        return prior + stats.norm.logpdf(y, v["mu"], v["sigma"]).sum()

    return Reference(builder, function(y), in_numpyro, scipy, ("sigma",))


def medium() -> Reference:
    builder = ln.Model("medium").rv("mu", dist.Normal(0, 10)).rv("sg", dist.Exponential(1.0))
    builder.rv("alpha", dist.Normal("mu", "sg")).rv("beta", dist.Normal("mu", "sg")).rv("so", dist.Exponential(2.0))
    builder.obs("ya", dist.Normal("alpha", "so"), DATA["a"]).obs("yb", dist.Normal("beta", "so"), DATA["b"])

    @ln.model
    def function(a: Any, b: Any) -> None:
        mu, sg = ln.rv("mu", dist.Normal(0, 10)), ln.rv("sg", dist.Exponential(1.0))
        alpha, beta = ln.rv("alpha", dist.Normal(mu, sg)), ln.rv("beta", dist.Normal(mu, sg))
        so = ln.rv("so", dist.Exponential(2.0))
        ln.obs("ya", dist.Normal(alpha, so), a)
        ln.obs("yb", dist.Normal(beta, so), b)

    def in_numpyro() -> None:
        mu, sg = numpyro.sample("mu", nd.Normal(0, 10)), numpyro.sample("sg", nd.Exponential(1.0))
        alpha, beta = numpyro.sample("alpha", nd.Normal(mu, sg)), numpyro.sample("beta", nd.Normal(mu, sg))
        so = numpyro.sample("so", nd.Exponential(2.0))
        numpyro.sample("ya", nd.Normal(alpha, so), obs=DATA["a"])
        numpyro.sample("yb", nd.Normal(beta, so), obs=DATA["b"])

    def scipy(v: dict[str, Any]) -> float:
        total = stats.norm.logpdf(v["mu"], 0, 10) + stats.expon.logpdf(v["sg"]) + stats.expon.logpdf(v["so"], scale=0.5)
        total += stats.norm.logpdf([v["alpha"], v["beta"]], v["mu"], v["sg"]).sum()
        total += stats.norm.logpdf(DATA["a"], v["alpha"], v["so"]).sum()
        return total + stats.norm.logpdf(DATA["b"], v["beta"], v["so"]).sum()

    return Reference(builder, function(DATA["a"], DATA["b"]), in_numpyro, scipy, ("sg", "so"))


def stress() -> Reference:
    y = DATA["groups"]
    builder = ln.Model("stress").rv("mu", dist.Normal(0, 10)).rv("sg", dist.Exponential(0.5))
    builder.rv("g", dist.Normal("mu", "sg"), shape=3).rv("n", dist.Exponential(1.0), shape=3)
    builder.obs("y", dist.Normal(ref("g")[:, None], ref("n")[:, None]), y)

    @ln.model
    def function(y: Any) -> None:
        mu, sg = ln.rv("mu", dist.Normal(0, 10)), ln.rv("sg", dist.Exponential(0.5))
        g, n = ln.rv("g", dist.Normal(mu, sg), shape=3), ln.rv("n", dist.Exponential(1.0), shape=3)
        ln.obs("y", dist.Normal(g[:, None], n[:, None]), y)

    def in_numpyro() -> None:
        mu, sg = numpyro.sample("mu", nd.Normal(0, 10)), numpyro.sample("sg", nd.Exponential(0.5))
        with numpyro.plate("group", 3):
            g, n = numpyro.sample("g", nd.Normal(mu, sg)), numpyro.sample("n", nd.Exponential(1.0))
        numpyro.sample("y", nd.Normal(g[:, None], n[:, None]), obs=y)

    def scipy(v: dict[str, Any]) -> float:
        total = stats.norm.logpdf(v["mu"], 0, 10) + stats.expon.logpdf(v["sg"], scale=2.0)
        total += stats.norm.logpdf(v["g"], v["mu"], v["sg"]).sum() + stats.expon.logpdf(v["n"]).sum()
        return total + stats.norm.logpdf(y, v["g"][:, None], v["n"][:, None]).sum()

    return Reference(builder, function(y), in_numpyro, scipy, ("sg", "n"))


def schools() -> Reference:
    builder = ln.Model("eight schools").data("errors", DATA["errors"]).rv("mu", dist.Normal(0, 5))
    builder.rv("tau", dist.HalfNormal(5)).rv("theta", dist.Normal("mu", "tau"), shape=8)
    builder.obs("y", dist.Normal("theta", "errors"), DATA["effects"])

    @ln.model
    def function(effects: Any, errors: Any) -> None:
        mu, tau = ln.rv("mu", dist.Normal(0, 5)), ln.rv("tau", dist.HalfNormal(5))
        ln.obs("y", dist.Normal(ln.rv("theta", dist.Normal(mu, tau), shape=8), errors), effects)

    def in_numpyro() -> None:
        mu, tau = numpyro.sample("mu", nd.Normal(0, 5)), numpyro.sample("tau", nd.HalfNormal(5))
        theta = numpyro.sample("theta", nd.Normal(mu, tau).expand([8]))
        numpyro.sample("y", nd.Normal(theta, DATA["errors"]), obs=DATA["effects"])

    def scipy(v: dict[str, Any]) -> float:
        total = stats.norm.logpdf(v["mu"], 0, 5) + stats.halfnorm.logpdf(v["tau"], scale=5)
        total += stats.norm.logpdf(v["theta"], v["mu"], v["tau"]).sum()
        return total + stats.norm.logpdf(DATA["effects"], v["theta"], DATA["errors"]).sum()

    return Reference(builder, function(DATA["effects"], DATA["errors"]), in_numpyro, scipy, ("tau",))


def funnel() -> Reference:
    builder = ln.Model("funnel").rv("y", dist.Normal(0, 3)).rv("x", dist.Normal(0, ln.exp(ref("y") / 2)), shape=9)

    @ln.model
    def function() -> None:
        ln.rv("x", dist.Normal(0, ln.exp(ln.rv("y", dist.Normal(0, 3)) / 2)), shape=9)

    def in_numpyro() -> None:
        y = numpyro.sample("y", nd.Normal(0, 3))
        numpyro.sample("x", nd.Normal(0, jnp.exp(y / 2)).expand([9]))

    def scipy(v: dict[str, Any]) -> float:
        return stats.norm.logpdf(v["y"], 0, 3) + stats.norm.logpdf(v["x"], 0, np.exp(v["y"] / 2)).sum()

    return Reference(builder, function(), in_numpyro, scipy, ())


def logistic() -> Reference:
    builder = ln.Model("logistic").data("X", DATA["X"]).rv("alpha", dist.Normal(0, 10))
    builder.rv("beta", dist.Normal(0, 10), shape=20)
    builder.obs("y", dist.Bernoulli(logits=ref("alpha") + ref("X") @ ref("beta")), DATA["hits"])

    @ln.model
    def function(X: Any, y: Any) -> None:
        alpha, beta = ln.rv("alpha", dist.Normal(0, 10)), ln.rv("beta", dist.Normal(0, 10), shape=X.shape[1])
        ln.obs("y", dist.Bernoulli(logits=alpha + X @ beta), y)

    def in_numpyro() -> None:
        alpha = numpyro.sample("alpha", nd.Normal(0, 10))
        beta = numpyro.sample("beta", nd.Normal(0, 10).expand([20]).to_event(1))
        numpyro.sample("y", nd.Bernoulli(logits=alpha + DATA["X"] @ beta), obs=DATA["hits"])

    def scipy(v: dict[str, Any]) -> float:
        logits = v["alpha"] + DATA["X"] @ v["beta"]
        total = stats.norm.logpdf(v["alpha"], 0, 10) + stats.norm.logpdf(v["beta"], 0, 10).sum()
        return total + (DATA["hits"] * logits - np.logaddexp(0.0, logits)).sum()

    return Reference(builder, function(DATA["X"], DATA["hits"]), in_numpyro, scipy, ())


def volatility() -> Reference:
    r = DATA["returns"]
    builder = ln.Model("stochastic volatility").rv("sigma", dist.Exponential(50.0)).rv("nu", dist.Exponential(0.1))
    builder.rv("s", dist.GaussianRandomWalk("sigma", 100)).obs("r", dist.StudentT("nu", 0, ln.exp(ref("s"))), r)

    @ln.model
    def function(r: Any) -> None:
        sigma, nu = ln.rv("sigma", dist.Exponential(50.0)), ln.rv("nu", dist.Exponential(0.1))
        s = ln.rv("s", dist.GaussianRandomWalk(sigma, len(r)))
        ln.obs("r", dist.StudentT(nu, 0, ln.exp(s)), r)

    def in_numpyro() -> None:
        sigma, nu = numpyro.sample("sigma", nd.Exponential(50.0)), numpyro.sample("nu", nd.Exponential(0.1))
        s = numpyro.sample("s", nd.GaussianRandomWalk(sigma, 100))
        numpyro.sample("r", nd.StudentT(nu, 0, jnp.exp(s)), obs=r)

    def scipy(v: dict[str, Any]) -> float:
        total = stats.expon.logpdf(v["sigma"], scale=1 / 50) + stats.expon.logpdf(v["nu"], scale=10)
        total += stats.norm.logpdf(np.diff(v["s"], prepend=0.0), 0, v["sigma"]).sum()
        return total + stats.t.logpdf(r, v["nu"], 0, np.exp(v["s"])).sum()

    return Reference(builder, function(r), in_numpyro, scipy, ("sigma", "nu"))


MODELS = {f.__name__: f for f in (simple, medium, stress, schools, funnel, logistic, volatility)}
