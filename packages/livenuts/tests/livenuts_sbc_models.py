"""Five models for simulation-based calibration: missing data, a mixture, censoring, a time series, a process."""

from typing import Any

import livenuts as ln
import numpy as np
from livenuts import dist, ref
from livenuts_sbc import Case, Values
from scipy import linalg, stats

X = np.linspace(-1.0, 1.0, 8)
ABSENT = np.array([1, 4, 6])


def missing() -> Case:
    """A regression of which three of eight observations are missing."""
    model = ln.Model("sbc missing").data("x", X).rv("slope", dist.Normal(0, 1)).rv("noise", dist.Gamma(5, 10))
    y = np.where(np.isin(np.arange(8), ABSENT), np.nan, 0.0)
    model.obs("y", dist.Normal(ref("slope") * ref("x"), "noise"), y)

    def simulate(rng: np.random.Generator, wrong: float) -> tuple[Values, Values]:
        slope, noise = rng.normal(), rng.gamma(5, 0.1)
        y = rng.normal(slope * X, noise)
        y[ABSENT] += (wrong - 1.0) * (y[ABSENT] - slope * X[ABSENT])
        truth = {"slope": slope, "noise": noise, "y_missing": y[ABSENT]}
        y = y.copy()
        y[ABSENT] = np.nan
        return truth, {"y": y}

    def log_prior(v: Values) -> np.ndarray:
        gaps = stats.norm.logpdf(v["y_missing"], v["slope"][:, None] * X[ABSENT], v["noise"][:, None]).sum(-1)
        return stats.norm.logpdf(v["slope"]) + stats.gamma.logpdf(v["noise"], 5, scale=0.1) + gaps

    def log_likelihood(v: Values, data: Values) -> np.ndarray:
        terms = stats.norm.logpdf(data["y"], v["slope"][:, None] * X, v["noise"][:, None])
        return np.nansum(terms, axis=-1)

    return Case(model, simulate, log_prior, log_likelihood)


def mixture() -> Case:
    """Twelve draws of two normals that overlap, with unknown share, centre and width."""
    model = ln.Model("sbc mixture").rv("share", dist.Beta(2, 2)).rv("center", dist.Normal(1.5, 0.5))
    model.rv("width", dist.Gamma(8, 10))
    parts = [dist.Normal(-1.0, 0.7), dist.Normal("center", "width")]
    weights = dist.Categorical(probs=ln.stack([1.0 - ref("share"), ref("share")]))
    model.obs("y", dist.Mixture(weights, parts), np.zeros(12))

    def simulate(rng: np.random.Generator, wrong: float) -> tuple[Values, Values]:
        share, center, width = rng.beta(2, 2), rng.normal(1.5, 0.5), rng.gamma(8, 0.1)
        second = rng.uniform(size=12) < share
        y = np.where(second, rng.normal(center, wrong * width, 12), rng.normal(-1.0, 0.7, 12))
        return {"share": share, "center": center, "width": width}, {"y": y}

    def log_prior(v: Values) -> np.ndarray:
        total = stats.beta.logpdf(v["share"], 2, 2) + stats.norm.logpdf(v["center"], 1.5, 0.5)
        return total + stats.gamma.logpdf(v["width"], 8, scale=0.1)

    def log_likelihood(v: Values, data: Values) -> np.ndarray:
        share, center, width = (v[name][:, None] for name in ("share", "center", "width"))
        first = np.log1p(-share) + stats.norm.logpdf(data["y"], -1.0, 0.7)
        return np.logaddexp(first, np.log(share) + stats.norm.logpdf(data["y"], center, width)).sum(-1)

    return Case(model, simulate, log_prior, log_likelihood)


def censored() -> Case:
    """Ten Weibull lifetimes, of which those beyond 1.5 are only known to be."""
    model = ln.Model("sbc censored").data("alive", np.zeros(10, bool))
    model.rv("shape", dist.Gamma(10, 6)).rv("scale", dist.Gamma(5, 3))
    model.obs("time", dist.Censored(dist.Weibull("scale", "shape"), right="alive"), np.ones(10))

    def simulate(rng: np.random.Generator, wrong: float) -> tuple[Values, Values]:
        shape, scale = rng.gamma(10, 1 / 6), rng.gamma(5, 1 / 3)
        time = scale * rng.weibull(shape, 10)
        alive = time > 1.5
        return {"shape": shape, "scale": scale}, {"time": np.where(alive, 1.5 * wrong, time), "alive": alive}

    def log_prior(v: Values) -> np.ndarray:
        return stats.gamma.logpdf(v["shape"], 10, scale=1 / 6) + stats.gamma.logpdf(v["scale"], 5, scale=1 / 3)

    def log_likelihood(v: Values, data: Values) -> np.ndarray:
        law = stats.weibull_min(v["shape"][:, None], scale=v["scale"][:, None])
        return np.where(data["alive"], law.logsf(data["time"]), law.logpdf(data["time"])).sum(-1)

    return Case(model, simulate, log_prior, log_likelihood)


def autoregression() -> Case:
    """Fifteen steps of a stationary AR(1) about a level."""
    model = ln.Model("sbc ar").rv("phi", dist.Uniform(-0.95, 0.95)).rv("scale", dist.Gamma(5, 10))
    model.rv("level", dist.Normal(0, 1)).obs("y", dist.AR("phi", "scale", 15, "level"), np.zeros(15))

    def simulate(rng: np.random.Generator, wrong: float) -> tuple[Values, Values]:
        phi, scale, level = rng.uniform(-0.95, 0.95), rng.gamma(5, 0.1), rng.normal()
        y = [rng.normal(0, scale / np.sqrt(1 - phi**2))]
        for _ in range(14):
            y.append(rng.normal(phi * y[-1], wrong * scale))
        return {"phi": phi, "scale": scale, "level": level}, {"y": level + np.array(y)}

    def log_prior(v: Values) -> np.ndarray:
        return stats.gamma.logpdf(v["scale"], 5, scale=0.1) + stats.norm.logpdf(v["level"])

    def log_likelihood(v: Values, data: Values) -> np.ndarray:
        apart = data["y"] - v["level"][:, None]
        total = stats.norm.logpdf(apart[:, 0], 0, v["scale"] / np.sqrt(1 - v["phi"] ** 2))
        steps = stats.norm.logpdf(apart[:, 1:], v["phi"][:, None] * apart[:, :-1], v["scale"][:, None])
        return total + steps.sum(-1)

    return Case(model, simulate, log_prior, log_likelihood)


def process() -> Case:
    """A squared exponential process at eight places, seen with noise."""
    model = ln.Model("sbc gp").data("x", X).rv("length", dist.LogNormal(-0.5, 0.5)).rv("noise", dist.Gamma(5, 10))
    kernel = ln.squared_exponential(ref("x"), ref("x"), 1.0, ref("length")) + ref("noise") ** 2 * np.eye(8)
    model.obs("y", dist.MultivariateNormal(0.0, kernel), np.zeros(8))

    def covariance(length: Any, noise: Any) -> np.ndarray:
        return np.exp(-0.5 * ((X[:, None] - X) / length) ** 2) + noise**2 * np.eye(8)

    def simulate(rng: np.random.Generator, wrong: float) -> tuple[Values, Values]:
        length, noise = rng.lognormal(-0.5, 0.5), rng.gamma(5, 0.1)
        y = linalg.cholesky(covariance(length, wrong * noise), lower=True) @ rng.normal(size=8)
        return {"length": length, "noise": noise}, {"y": y}

    def log_prior(v: Values) -> np.ndarray:
        return stats.lognorm.logpdf(v["length"], 0.5, scale=np.exp(-0.5)) + stats.gamma.logpdf(v["noise"], 5, scale=0.1)

    def log_likelihood(v: Values, data: Values) -> np.ndarray:
        whole = np.stack([covariance(*pair) for pair in zip(v["length"], v["noise"], strict=True)])
        whitened = np.linalg.solve(whole, np.broadcast_to(data["y"], (len(whole), 8))[..., None])[..., 0]
        return -0.5 * (np.linalg.slogdet(whole)[1] + whitened @ data["y"])

    return Case(model, simulate, log_prior, log_likelihood)


CASES = {case.__name__: case for case in (missing, mixture, censored, autoregression, process)}
