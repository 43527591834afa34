"""Make the long references of the seven models: `python make_references.py [model ...]` writes JSON beside this file.

None of them comes from livenuts. Five models are solved by quadrature: given the scales everything else is normal, so
one or two integrals are left, taken by the trapezoidal rule on the whole line, where it converges exponentially.
The logistic regression is sampled by importance from its Laplace approximation, so its draws are independent. The
stochastic volatility has no such way: 8 chains of 20,000 draws by nutpie on PyMC (`pip install nutpie pymc`).

A file holds, for every scalar, `[value, Monte Carlo standard error]` of mean, sd, 5 % and 95 % quantile; an error of
0 means that the value is right to 1e-6 of an sd.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy import integrate, interpolate, optimize, special, stats

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from livenuts_models import DATA  # noqa: E402
from livenuts_posteriors import QUANTILES, estimates  # noqa: E402

Summary = dict[str, list[float]]


def normalized(log_weights: np.ndarray) -> np.ndarray:
    weights = np.exp(log_weights - log_weights.max())
    return weights / weights.sum()


def exact(mean: float, sd: float, quantiles: Callable[[float], float]) -> Summary:
    values = {"mean": mean, "sd": sd} | {name: quantiles(p) for name, p in QUANTILES.items()}
    return {name: [float(value), 0.0] for name, value in values.items()}


def of_density(nodes: np.ndarray, log_density: np.ndarray, transform: Callable = lambda u: u) -> Summary:
    """Of `transform(u)`, u with this log density on equidistant nodes that cover all of its mass."""
    density = normalized(log_density)
    assert max(density[0], density[-1]) < 1e-11 * density.max(), (density[0], density[-1])
    fine = np.linspace(nodes[0], nodes[-1], 400_001)
    finer = np.exp(interpolate.CubicSpline(nodes, np.log(density.clip(1e-25 * density.max())))(fine))
    cumulative = integrate.cumulative_trapezoid(finer, fine, initial=0.0)
    values, step = transform(fine), fine[1] - fine[0]
    total = finer.sum() * step
    mean = float((values * finer).sum() * step / total)
    sd = float(np.sqrt(((values - mean) ** 2 * finer).sum() * step / total))
    return exact(mean, sd, lambda p: float(transform(np.interp(p * cumulative[-1], cumulative, fine))))


def of_mixture(weights: np.ndarray, means: np.ndarray, variances: np.ndarray) -> Summary:
    """Of a mixture of normals."""
    kept = weights > 1e-14 * weights.max()
    weights, means, sds = weights[kept] / weights[kept].sum(), means[kept], np.sqrt(variances[kept])
    mean = float(weights @ means)
    sd = float(np.sqrt(weights @ (sds**2 + (means - mean) ** 2)))

    def quantile(p: float) -> float:
        return optimize.brentq(
            lambda x: weights @ stats.norm.cdf((x - means) / sds) - p, mean - 20 * sd, mean + 20 * sd, xtol=1e-10
        )

    return exact(mean, sd, quantile)


def log_likelihood_of_mean(y: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Normal observations of unknown mean m are one observation of m, mean(y) ~ N(m, scale^2 / n), and this factor."""
    deviations = ((y - y.mean()) ** 2).sum()
    return -(len(y) - 1) * np.log(scale) - deviations / (2 * scale**2)


def simple() -> dict[str, Summary]:
    y = DATA["simple"]
    log_sigma = np.linspace(-1.5, 1.5, 4001)
    sigma = np.exp(log_sigma)
    noise = sigma**2 / len(y)
    log_density = (
        log_sigma - sigma + log_likelihood_of_mean(y, sigma) + stats.norm.logpdf(y.mean(), 0, np.sqrt(100 + noise))
    )
    variance = 1 / (1 / 100 + 1 / noise)
    return {
        "mu": of_mixture(normalized(log_density), variance * y.mean() / noise, variance),
        "sigma": of_density(log_sigma, log_density, np.exp),
    }


def medium() -> dict[str, Summary]:
    """Given both scales, (mu, alpha, beta) is normal and seen through the two sample means."""
    a, b = DATA["a"], DATA["b"]
    log_sg, log_so = np.linspace(-5.0, 5.0, 401), np.linspace(-1.3, 0.9, 301)
    sg, so = (grid.ravel() for grid in np.exp(np.meshgrid(log_sg, log_so, indexing="ij")))
    among, noise = sg**2, so**2 / 30
    covariance = np.full((len(sg), 3, 3), 100.0)
    covariance[:, 1, 1] += among
    covariance[:, 2, 2] += among
    seen = covariance[:, 1:, 1:] + noise[:, None, None] * np.eye(2)
    means = np.array([a.mean(), b.mean()])
    inverse = np.linalg.inv(seen)
    log_evidence = -0.5 * np.log(np.linalg.det(seen)) - 0.5 * np.einsum("i,kij,j->k", means, inverse, means)
    log_density = np.log(sg) - sg + np.log(so) - 2 * so + log_evidence
    log_density += log_likelihood_of_mean(a, so) + log_likelihood_of_mean(b, so)
    gain = covariance[:, :, 1:] @ inverse
    conditional_mean = gain @ means
    conditional_variance = np.diagonal(covariance - gain @ covariance[:, 1:, :], axis1=1, axis2=2)
    weights = normalized(log_density)
    grid = weights.reshape(len(log_sg), len(log_so))
    found = {
        name: of_mixture(weights, conditional_mean[:, k], conditional_variance[:, k])
        for k, name in enumerate(("mu", "alpha", "beta"))
    }
    with np.errstate(divide="ignore"):
        found["sg"] = of_density(log_sg, np.log(grid.sum(1)), np.exp)
        found["so"] = of_density(log_so, np.log(grid.sum(0)), np.exp)
    return found


def stress() -> dict[str, Summary]:
    """Given (mu, sg) the groups are independent, each with one integral over its noise."""
    groups = DATA["groups"]
    mu_nodes, log_sg, log_n = np.linspace(-70.0, 75.0, 581), np.linspace(-2.0, 5.0, 281), np.linspace(-1.2, 1.2, 121)
    mu, sg = (grid.ravel() for grid in np.meshgrid(mu_nodes, np.exp(log_sg), indexing="ij"))
    n = np.exp(log_n)
    prior = stats.norm.logpdf(mu, 0, 10) + np.log(sg) - 0.5 * sg
    near = prior - (np.abs(mu - 3.0) / sg).clip(0, 40) > -60  # the rest of the grid has no mass
    mu, sg, prior = mu[near], sg[near], prior[near]
    log_noise = [np.log(n) - n + log_likelihood_of_mean(y, n) for y in groups]

    def seen(y: np.ndarray) -> np.ndarray:
        """Log density of the sample mean at each (mu, sg) and each noise."""
        variance = sg[:, None] ** 2 + n**2 / len(y)
        return -0.5 * np.log(variance) - 0.5 * (y.mean() - mu[:, None]) ** 2 / variance

    each = [special.logsumexp(seen(y) + noise, axis=1) for y, noise in zip(groups, log_noise, strict=True)]
    whole = prior + sum(each)
    weights = np.zeros(near.shape)
    weights[near] = normalized(whole)
    grid = weights.reshape(len(mu_nodes), len(log_sg))
    found = {}
    with np.errstate(divide="ignore"):
        found["mu"] = of_density(mu_nodes, np.log(grid.sum(1)))
        found["sg"] = of_density(log_sg, np.log(grid.sum(0)), np.exp)
        for j, (y, noise) in enumerate(zip(groups, log_noise, strict=True)):
            others = np.exp(whole - each[j] - (whole - each[j]).max())
            nodes = np.linspace(y.mean() - 2.5, y.mean() + 2.5, 601)
            kept = others > 1e-16
            spread = (nodes - mu[kept, None]) / sg[kept, None]
            prior_g = others[kept] @ (np.exp(-0.5 * spread**2) / sg[kept, None])
            by_noise = np.exp(-0.5 * len(y) * (y.mean() - nodes[:, None]) ** 2 / n**2 - np.log(n) + noise - noise.max())
            found[f"g[{j}]"] = of_density(nodes, np.log(prior_g) + np.log(by_noise.sum(1)))
            found[f"n[{j}]"] = of_density(log_n, noise + np.log(others @ np.exp(seen(y))), np.exp)
    return found


def schools() -> dict[str, Summary]:
    """Given tau everything is normal."""
    y, errors = DATA["effects"], DATA["errors"]
    log_tau = np.linspace(-33.0, 4.0, 4_001)
    tau = np.exp(log_tau)
    total = tau[:, None] ** 2 + errors**2
    precision = 1 / 25 + (1 / total).sum(1)
    mean = (y / total).sum(1) / precision
    log_density = log_tau - tau**2 / 50 - 0.5 * np.log(total).sum(1) - 0.5 * np.log(precision)
    log_density += 0.5 * precision * mean**2 - 0.5 * (y**2 / total).sum(1)
    weights = normalized(log_density)
    found = {"mu": of_mixture(weights, mean, 1 / precision), "tau": of_density(log_tau, log_density, np.exp)}
    for j in range(8):
        share = tau**2 / total[:, j]  # of the observation in the conditional mean of theta
        center = share * y[j] + (1 - share) * mean
        found[f"theta[{j}]"] = of_mixture(weights, center, share * errors[j] ** 2 + (1 - share) ** 2 / precision)
    return found


def funnel() -> dict[str, Summary]:
    y = np.linspace(-45.0, 45.0, 20_001)
    x = of_mixture(stats.norm.pdf(y, 0, 3), np.zeros_like(y), np.exp(y))
    x |= {"mean": [0.0, 0.0], "sd": [float(np.exp(2.25)), 0.0]}
    return {"y": exact(0.0, 3.0, stats.norm(0, 3).ppf)} | {f"x[{i}]": x for i in range(9)}


def of_batches(values: np.ndarray) -> list[float]:
    return [float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))]


def logistic() -> dict[str, Summary]:
    """Importance sampling: a multivariate t around the mode, 50 batches of 100,000."""
    design = np.column_stack([np.ones(500), DATA["X"]])
    hits, degrees = DATA["hits"], 40.0
    mode = np.zeros(21)
    for _ in range(50):
        p = 1 / (1 + np.exp(-design @ mode))
        hessian = design.T @ ((p * (1 - p))[:, None] * design) + np.eye(21) / 100
        mode = mode + np.linalg.solve(hessian, design.T @ (hits - p) - mode / 100)
    factor = np.linalg.cholesky(np.linalg.inv(hessian) * 1.05)
    rng = np.random.default_rng(0)
    batches, share = [], []
    for _ in range(50):
        z = rng.normal(size=(100_000, 21))
        t = z / np.sqrt(rng.chisquare(degrees, size=(100_000, 1)) / degrees)
        beta = mode + t @ factor.T
        logits = beta @ design.T
        log_target = logits @ hits - np.logaddexp(0.0, logits).sum(1) - 0.005 * (beta**2).sum(1)
        log_proposal = -0.5 * (degrees + 21) * np.log1p((t**2).sum(1) / degrees)
        weights = normalized(log_target - log_proposal)
        share.append(1 / (weights @ weights) / len(weights))
        mean = weights @ beta
        sd = np.sqrt(weights @ (beta - mean) ** 2)
        quantiles = []
        for k in range(21):
            order = np.argsort(beta[:, k])
            below = np.cumsum(weights[order]) - 0.5 * weights[order]
            quantiles.append(np.interp(list(QUANTILES.values()), below, beta[order, k]))
        batches.append(np.column_stack([mean, sd, quantiles]))
    print(f"logistic: {np.mean(share):.2f} effective draws a draw")
    batch = np.array(batches)
    names = ["alpha", *(f"beta[{i}]" for i in range(20))]
    return {
        name: {quantity: of_batches(batch[:, k, q]) for q, quantity in enumerate(("mean", "sd", *QUANTILES))}
        for k, name in enumerate(names)
    }


def volatility() -> dict[str, Summary]:
    """NUTS by nutpie."""
    import nutpie
    import pymc as pm
    from arviz_stats.base import array_stats

    with pm.Model() as model:
        sigma, nu = pm.Exponential("sigma", 50.0), pm.Exponential("nu", 0.1)
        start = pm.Normal.dist(0, sigma)
        s = pm.GaussianRandomWalk("s", sigma=sigma, init_dist=start, steps=len(DATA["returns"]) - 1)
        pm.StudentT("r", nu=nu, mu=0, sigma=pm.math.exp(s), observed=DATA["returns"])
    compiled = nutpie.compile_pymc_model(model)
    settings = {"draws": 20_000, "tune": 2000, "chains": 8, "cores": 2, "target_accept": 0.95, "seed": 2026}
    posterior = nutpie.sample(compiled, progress_bar=False, **settings).posterior
    scalars = {name: posterior[name].values for name in ("sigma", "nu")}
    scalars |= {f"s[{i}]": posterior["s"].values[..., i] for i in range(100)}
    found = {
        name: {quantity: list(pair) for quantity, pair in estimates(draws).items()} for name, draws in scalars.items()
    }
    worst = max(float(array_stats.rhat(draws, chain_axis=0, draw_axis=1)) for draws in scalars.values())
    ess = min(float(array_stats.ess(draws, chain_axis=0, draw_axis=1)) for draws in scalars.values())
    print(f"volatility: R-hat at most {worst:.4f}, ESS at least {ess:.0f}")
    assert worst < 1.01
    return found


METHODS = {
    simple: "quadrature over sigma",
    medium: "quadrature over sg and so",
    stress: "quadrature over mu, sg and the noises",
    schools: "quadrature over tau",
    funnel: "closed form; quantiles of x by quadrature over y",
    logistic: "importance sampling from a multivariate t, 5,000,000 draws",
    volatility: "nutpie 0.16.11 on PyMC 6.4.0, 8 chains of 20,000 draws, target acceptance 0.95, seed 2026",
}


if __name__ == "__main__":
    for make, method in METHODS.items():
        if make.__name__ in (sys.argv[1:] or [make.__name__]):
            lines = [f"    {json.dumps(name)}: {json.dumps(summary)}" for name, summary in make().items()]
            text = f'{{\n  "method": {json.dumps(method)},\n  "quantities": {{\n' + ",\n".join(lines) + "\n  }\n}\n"
            (HERE / f"{make.__name__}.json").write_text(text, encoding="utf-8")
