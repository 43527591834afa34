"""One table of families: how each is made, its density by SciPy, and the law of a scalar made of its draws."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as nd
from livenuts.families import FAMILIES
from scipy import linalg, special, stats

AR, Censored, Custom, GARCH, ICAR, LinearGaussian, Truncated = (
    FAMILIES[name] for name in ("AR", "Censored", "Custom", "GARCH", "ICAR", "LinearGaussian", "Truncated")
)


class Case(NamedTuple):
    """A family at some parameters."""

    make: Callable[..., Any]
    """The distribution from its parameters, which gradients are taken by."""
    parameters: tuple[Any, ...]
    values: np.ndarray
    """Some values, with a leading axis."""
    log_density: Callable[[np.ndarray], Any]
    """SciPy's, of all values."""
    law: Any
    """SciPy's distribution of `statistic`."""
    statistic: Callable[[np.ndarray], np.ndarray] = np.asarray
    """A scalar of each draw."""
    batches: bool = True
    """Whether parameters of shape (3,) make a batch."""
    sampled: bool = True
    """Whether draws are looked at: not of families that are NumPyro's own, whose samplers take long to compile."""


QUANTILES = np.array([0.003, 0.1, 0.35, 0.6, 0.9, 0.997])


def univariate(make: Callable[..., Any], parameters: tuple[float, ...], law: Any) -> Case:
    discrete = hasattr(law, "pmf")
    values = law.ppf(QUANTILES).astype(float)
    return Case(make, parameters, values, law.logpmf if discrete else law.logpdf, law)


class LogitNormalLaw:
    """Of the inverse logit of Normal(0.3, 1.2)."""

    @staticmethod
    def cdf(x: np.ndarray) -> Any:
        return stats.norm.cdf(special.logit(x), 0.3, 1.2)

    @staticmethod
    def ppf(q: np.ndarray) -> Any:
        return special.expit(stats.norm.ppf(q, 0.3, 1.2))

    @staticmethod
    def logpdf(x: np.ndarray) -> Any:
        return stats.norm.logpdf(special.logit(x), 0.3, 1.2) - np.log(x * (1.0 - x))


def autocovariance(coefficients: np.ndarray, scale: float, steps: int) -> np.ndarray:
    """Of a stationary autoregression, (steps, steps)."""
    p = len(coefficients)
    companion, noise = np.eye(p, k=-1), np.zeros((p, p))
    companion[0], noise[0, 0] = coefficients, scale**2
    state = linalg.solve_discrete_lyapunov(companion, noise)
    lags = [state[0, 0]]
    for _ in range(steps - 1):
        state = companion @ state
        lags.append(state[0, 0])
    return linalg.toeplitz(lags)


def gaussian(make: Callable[..., Any], parameters: tuple[Any, ...], mean: Any, covariance: np.ndarray) -> Case:
    """A distribution of arrays that is multivariate normal once they are flat."""
    law = stats.multivariate_normal(np.ravel(mean), covariance)
    shape, size = np.shape(mean), np.size(mean)
    direction = np.cos(np.arange(size))
    values = np.ravel(mean) + np.random.default_rng(3).normal(size=(3, size)) @ linalg.cholesky(covariance)
    along = stats.norm(direction @ np.ravel(mean), np.sqrt(direction @ covariance @ direction))
    return Case(
        make,
        parameters,
        values.reshape(3, *shape),
        lambda x: law.logpdf(x.reshape(-1, size)),
        along,
        lambda x: x.reshape(len(x), size) @ direction,
        False,
    )


def autoregression() -> Case:
    coefficients = np.array([0.5, -0.3, 0.1])
    return gaussian(
        lambda c, scale, loc: AR(c, scale, 7, loc), (coefficients, 1.3, 0.7), np.full(7, 0.7),
        autocovariance(coefficients, 1.3, 7),
    )  # fmt: skip


def autoregression_of_order_one() -> Case:
    return gaussian(lambda c, s: AR(c, s, 5, 0.2), (0.8, 0.6), np.full(5, 0.2), autocovariance(np.array([0.8]), 0.6, 5))


def autoregression_from_a_scale() -> Case:
    """Not stationary: x_0 ~ N(0, 2), x_t = 1.1 x_(t-1) + noise."""
    moves = linalg.inv(np.eye(4) - 1.1 * np.eye(4, k=-1))
    covariance = moves @ np.diag([4.0, 0.25, 0.25, 0.25]) @ moves.T
    return gaussian(lambda c, s, first: AR(c, s, 4, 0.0, first), (1.1, 0.5, 2.0), np.zeros(4), covariance)


def state_space() -> Case:
    """A local linear trend, (level, slope), seen with noise: its covariance by adding up states."""
    transition, observation = np.array([[1.0, 1.0], [0.0, 0.9]]), np.array([[1.0, 0.3]])
    noises, start = np.array([0.1, 0.2]), np.array([1.0, -0.5])
    steps, k = 5, 2
    powers = [np.linalg.matrix_power(transition, i) for i in range(steps)]
    # States as a linear map of the initial state and of the noises.
    whole = np.block([[powers[t - s] if t >= s else np.zeros((k, k)) for s in range(steps)] for t in range(steps)])
    spread = linalg.block_diag(np.eye(k) * 0.7, *[np.diag(noises)] * (steps - 1))
    seen = np.kron(np.eye(steps), observation) @ whole
    mean = (seen[:, :k] @ start)[:, None]
    covariance = seen @ spread @ seen.T + 0.5 * np.eye(steps)

    def make(transition: Any, noises: Any, noise: Any, start: Any) -> Any:
        return LinearGaussian(transition, observation, jnp.diag(noises), noise * jnp.eye(1), start, 0.7 * np.eye(2), 5)

    return gaussian(make, (transition, noises, 0.5, start), mean, covariance)


ADJACENCY = np.array([[0, 1, 0, 0], [1, 0, 1, 1], [0, 1, 0, 1], [0, 1, 1, 0]])


def conditional_autoregression() -> Case:
    """Against a normal in coordinates of the plane of sum 0."""
    laplacian = np.diag(ADJACENCY.sum(0)) - ADJACENCY
    covariance = 1.5**2 * np.linalg.pinv(laplacian)
    plane = linalg.svd(np.ones((1, 4)))[2][1:]
    law = stats.multivariate_normal(np.zeros(3), plane @ covariance @ plane.T)
    values = law.rvs(3, random_state=1) @ plane
    direction = np.array([1.0, -2.0, 0.5, 0.3])
    return Case(
        lambda scale: ICAR(scale, ADJACENCY),
        (1.5,),
        values,
        lambda x: law.logpdf(x @ plane.T),
        stats.norm(0.0, np.sqrt(direction @ covariance @ direction)),
        lambda x: x @ direction,
        False,
    )


def conditional_variance() -> Case:
    def log_density(x: np.ndarray) -> Any:
        variance, total = np.full(len(x), 1.0), np.zeros(len(x))
        for t in range(x.shape[1]):
            total += stats.norm.logpdf(x[:, t], 0.1, np.sqrt(variance))
            variance = 0.2 + 0.3 * (x[:, t] - 0.1) ** 2 + 0.5 * variance
        return total

    # The first value is normal, whose variance is the stationary one, 0.2 / (1 - 0.8).
    values = np.random.default_rng(1).normal(size=(3, 6))
    return Case(
        lambda c, a, g: GARCH(c, a, g, 6, 0.1), (0.2, 0.3, 0.5), values, log_density, stats.norm(0.1, 1.0),
        lambda x: x[:, 0], False,
    )  # fmt: skip


def censored() -> Case:
    """Left, exact, right, between: of a Weibull."""
    law = stats.weibull_min(1.5, scale=2.0)
    left, right = np.array([True, False, False, False]), np.array([False, False, True, False])
    until = np.array([np.nan, np.nan, np.nan, 2.5])
    values = np.array([[0.5, 1.0, 3.0, 1.7], [0.1, 2.0, 9.0, 2.4]])

    def log_density(x: np.ndarray) -> Any:
        between = np.log(law.cdf(2.5) - law.cdf(x[:, 3]))
        return np.stack([law.logcdf(x[:, 0]), law.logpdf(x[:, 1]), law.logsf(x[:, 2]), between], axis=-1)

    return Case(
        lambda scale, c: Censored(nd.Weibull(scale, c), left, right, until), (2.0, 1.5), values, log_density, law,
        np.ravel, False,
    )  # fmt: skip


def mixture_of_vectors() -> Case:
    weights, means = np.array([0.3, 0.7]), np.array([[0.0, 1.0], [-2.0, 2.0]])
    parts = [stats.multivariate_normal(mean, np.eye(2)) for mean in means]
    values = np.array([[0.0, 0.5], [-1.0, 1.0], [40.0, 40.0]])

    def make(weights: Any, means: Any) -> Any:
        return nd.MixtureSameFamily(nd.Categorical(weights), nd.MultivariateNormal(means, np.eye(2)))

    def log_density(x: np.ndarray) -> Any:
        return np.logaddexp(*[np.log(w) + part.logpdf(x) for w, part in zip(weights, parts, strict=True)])

    class Law:
        """Of the first coordinate."""

        @staticmethod
        def cdf(x: np.ndarray) -> Any:
            return 0.3 * stats.norm.cdf(x) + 0.7 * stats.norm.cdf(x, -2.0)

    return Case(make, (weights, means), values, log_density, Law, lambda x: x[:, 0], False)


def mixture_of_families() -> Case:
    class Law:
        @staticmethod
        def cdf(x: np.ndarray) -> Any:
            return 0.25 * stats.norm.cdf(x, -1.0, 0.5) + 0.75 * stats.t.cdf(x, 4.0, 2.0, 1.0)

    def make(weights: Any, loc: Any) -> Any:
        return nd.MixtureGeneral(nd.Categorical(weights), [nd.Normal(loc, 0.5), nd.StudentT(4.0, 2.0, 1.0)])

    def log_density(x: np.ndarray) -> Any:
        return np.logaddexp(np.log(0.25) + stats.norm.logpdf(x, -1, 0.5), np.log(0.75) + stats.t.logpdf(x, 4, 2, 1))

    weights = np.array([0.25, 0.75])
    return Case(make, (weights, -1.0), np.array([-3.0, 0.0, 2.0, 60.0]), log_density, Law, np.asarray, False)


def wishart() -> Case:
    scale = np.array([[1.0, 0.3], [0.3, 0.5]])
    law = stats.wishart(5, scale)
    values = law.rvs(3, random_state=1)
    return Case(
        lambda df: nd.Wishart(df, scale), (5.0,), values, lambda x: law.logpdf(np.moveaxis(x, 0, -1)),
        stats.chi2(5, scale=0.5), lambda x: x[:, 1, 1], False,
    )  # fmt: skip


def correlations() -> Case:
    """LKJ(2) of three variables; each correlation is Beta(2.5, 2.5) on (-1, 1)."""
    values = np.array([np.eye(3), [[1.0, 0.3, -0.2], [0.3, 1.0, 0.5], [-0.2, 0.5, 1.0]]])

    def log_density(x: np.ndarray) -> Any:
        # The integral of the determinant, from partial correlations that are independent: Beta(2.5, 2.5) twice,
        # Beta(2, 2) once, on (-1, 1) (Lewandowski, Kurowicka and Joe 2009).
        constant = sum(special.betaln(b, b) + (2 * b - 1) * np.log(2) for b in (2.5, 2.5, 2.0))
        return np.linalg.slogdet(x)[1] - constant

    return Case(
        lambda c: nd.LKJ(3, c),
        (2.0,),
        values,
        log_density,
        stats.beta(2.5, 2.5, -1.0, 2.0),
        lambda x: x[:, 0, 1],
        False,
    )


def dirichlet() -> Case:
    concentration = np.array([1.5, 0.7, 3.0])
    law = stats.dirichlet(concentration)
    values = law.rvs(3, random_state=1)
    return Case(
        nd.Dirichlet,
        (concentration,),
        values,
        lambda x: law.logpdf(x.T),
        stats.beta(1.5, 3.7),
        lambda x: x[:, 0],
        False,
    )


def multivariate_normal() -> Case:
    factor = np.array([[1.0, 0.0], [0.4, 0.7]])
    return gaussian(
        lambda mean, s: nd.MultivariateNormal(mean, s * factor @ factor.T), (np.array([0.5, -1.0]), 1.0),
        np.array([0.5, -1.0]), factor @ factor.T,
    )  # fmt: skip


def truncated(base: Any, law: Any, low: float, high: float) -> Case:
    mass = law.cdf(high) - law.cdf(low)

    class Law:
        @staticmethod
        def cdf(x: np.ndarray) -> Any:
            return np.clip((law.cdf(x) - law.cdf(low)) / mass, 0.0, 1.0)

    def make(scale: Any) -> Any:
        return Truncated(base(scale), None if np.isinf(low) else low, None if np.isinf(high) else high)

    values = law.ppf(law.cdf(low) + mass * QUANTILES)
    return Case(make, (1.3,), values, lambda x: law.logpdf(x) - np.log(mass), Law, np.asarray, False)


def truncated_poisson() -> Case:
    law = stats.poisson(3.0)

    class Law:
        @staticmethod
        def pmf(k: np.ndarray) -> Any:
            return np.where((k > 1) & (k <= 6), law.pmf(k) / (law.cdf(6) - law.cdf(1)), 0.0)

    values = np.arange(2.0, 7.0)
    return Case(
        lambda rate: Truncated(nd.Poisson(rate), 1, 6),
        (3.0,),
        values,
        lambda x: np.log(Law.pmf(x)),
        Law,
        np.asarray,
        False,
    )


def custom() -> Case:
    """A Rayleigh distribution."""
    law = stats.rayleigh(scale=1.7)

    def make(scale: Any) -> Any:
        return Custom(
            lambda x, s: jnp.log(x) - 2.0 * jnp.log(s) - 0.5 * (x / s) ** 2,
            (scale,),
            "positive",
            sampler=lambda key, shape, s: s * jnp.sqrt(2.0 * jax.random.exponential(key, shape)),
        )

    return univariate(make, (1.7,), law)


CASES: dict[str, Case] = {
    "SkewNormal": univariate(FAMILIES["SkewNormal"], (0.5, 2.0, -3.0), stats.skewnorm(-3.0, 0.5, 2.0)),
    "ExGaussian": univariate(FAMILIES["ExGaussian"], (0.5, 2.0, 0.7), stats.exponnorm(1 / 1.4, 0.5, 2.0)),
    "InverseGaussian": univariate(FAMILIES["InverseGaussian"], (1.5, 2.0), stats.invgauss(0.75, scale=2.0)),
    "Triangular": univariate(FAMILIES["Triangular"], (-1.0, 3.0, 2.0), stats.triang(0.75, -1.0, 4.0)),
    "LogitNormal": univariate(FAMILIES["LogitNormal"], (0.3, 1.2), LogitNormalLaw),
    "GeneralizedPareto": univariate(FAMILIES["GeneralizedPareto"], (1.0, 2.0, 0.4), stats.genpareto(0.4, 1.0, 2.0)),
    "GeneralizedPareto, ends": univariate(
        FAMILIES["GeneralizedPareto"], (1.0, 2.0, -0.3), stats.genpareto(-0.3, 1.0, 2.0)
    ),
    "GeneralizedPareto, exponential": univariate(
        FAMILIES["GeneralizedPareto"], (1.0, 2.0, 0.0), stats.genpareto(0.0, 1.0, 2.0)
    ),
    "Skellam": univariate(FAMILIES["Skellam"], (3.0, 5.0), stats.skellam(3.0, 5.0)),
    "AR": autoregression(),
    "AR, order 1": autoregression_of_order_one(),
    "AR, from a scale": autoregression_from_a_scale(),
    "GARCH": conditional_variance(),
    "LinearGaussian": state_space(),
    "ICAR": conditional_autoregression(),
    "Censored": censored(),
    "Truncated": truncated(lambda s: nd.Weibull(s, 2.5), stats.weibull_min(2.5, scale=1.3), 0.7, 1.8),
    "Truncated, far": truncated(lambda s: nd.Normal(0.0, s), stats.norm(0.0, 1.3), 6.0, np.inf),
    "Truncated, above": truncated(lambda s: nd.Logistic(0.2, s), stats.logistic(0.2, 1.3), -np.inf, 0.5),
    "Truncated, counts": truncated_poisson(),
    "Mixture": mixture_of_families(),
    "Mixture of vectors": mixture_of_vectors(),
    "Custom": custom(),
    "MultivariateNormal": multivariate_normal(),
    "Wishart": wishart()._replace(sampled=False),
    "LKJ": correlations()._replace(sampled=False),
    "Dirichlet": dirichlet()._replace(sampled=False),
}
