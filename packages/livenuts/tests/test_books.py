"""Examples of Gelman et al. 2013, "Bayesian Data Analysis" (BDA3): against its numbers, and against exact ones.

A z-score beyond 5 has probability 6e-7.
"""

import livenuts as ln
import numpy as np
from livenuts import dist, ref
from livenuts_checks import z_of_mean
from scipy import stats

DOSE, DEATHS = np.array([-0.86, -0.30, -0.05, 0.73]), np.array([0, 1, 3, 5])


def test_bioassay() -> None:
    """Section 3.7: flat on the rectangle of the book's grid, (-5, 10) x (-10, 40); exact moments by that grid.

    The book has its mode at (0.8, 7.7), and no draw of a thousand with a negative slope.
    """
    alpha, beta = np.meshgrid(np.linspace(-5, 10, 601), np.linspace(-10, 40, 801), indexing="ij")
    logits = alpha[..., None] + beta[..., None] * DOSE
    log_density = (DEATHS * logits - 5 * np.logaddexp(0.0, logits)).sum(axis=-1)
    weights = np.exp(log_density - log_density.max())
    weights /= weights.sum()
    mode = np.unravel_index(weights.argmax(), weights.shape)
    assert np.abs(np.array([alpha[mode], beta[mode]]) - [0.8, 7.7]).max() < 0.1
    model = ln.Model("bioassay").rv("alpha", dist.Uniform(-5, 10)).rv("beta", dist.Uniform(-10, 40))
    logits = ref("alpha") + ref("beta") * DOSE
    model.obs("deaths", dist.Binomial(5, logits=logits), DEATHS)
    draws = ln.sample(model, num_samples=2000, seed=1, progress=False).draws
    for name, grid in (("alpha", alpha), ("beta", beta)):
        mean = (weights * grid).sum()
        assert abs(z_of_mean(draws[name], mean)) < 5
        assert abs(z_of_mean((draws[name] - mean) ** 2, (weights * (grid - mean) ** 2).sum())) < 5
    assert (draws["beta"] > 0).mean() > 0.999
    # The poison: one death fewer.
    worse = model.with_data(deaths=[0, 1, 2, 5])
    assert abs(z_of_mean(ln.sample(worse, seed=1, progress=False).draws["beta"], (weights * beta).sum())) > 5


def test_eight_schools() -> None:
    """Section 5.5, table 5.3: quantiles of 200 draws, whose own Monte Carlo error is near 1 in the middle.

    Exact: tau's marginal posterior by equation 5.21 on a grid, and school A's mean given it by 5.17.
    """
    y = np.array([28.0, 8, -3, 7, -1, 1, 18, 12])
    error = np.array([15.0, 10, 16, 11, 9, 11, 10, 18])
    model = ln.Model("schools").rv("mu", dist.Normal(0, 1000)).rv("tau", dist.Uniform(0, 100))
    model.rv("theta", dist.Normal("mu", "tau"), shape=8, reparam="non_centered").obs(
        "y", dist.Normal("theta", error), y
    )
    draws = ln.sample(model, num_samples=3000, seed=1, target_accept=0.95, progress=False).draws
    table = [[7, 10, 16], [3, 8, 12], [2, 7, 11], [4, 8, 11], [1, 5, 10], [2, 6, 10], [7, 10, 15], [3, 8, 13]]
    found = np.quantile(draws["theta"], [0.25, 0.5, 0.75], axis=(0, 1)).T
    assert np.abs(found - table).max() < 2.5
    tau = np.linspace(0.005, 99.995, 20_000)[:, None]
    precision = 1 / (error**2 + tau**2)
    center = (precision * y).sum(1) / precision.sum(1)
    fit = stats.norm.logpdf(y, center[:, None], precision**-0.5).sum(1) - 0.5 * np.log(precision.sum(1))
    weights = np.exp(fit - fit.max())
    weights /= weights.sum()
    first = (y[0] / error[0] ** 2 + center / tau[:, 0] ** 2) / (1 / error[0] ** 2 + 1 / tau[:, 0] ** 2)
    assert abs(z_of_mean(draws["tau"], (weights * tau[:, 0]).sum())) < 5
    assert abs(z_of_mean(draws["theta"][..., 0], (weights * first).sum())) < 5
