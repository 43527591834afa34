"""Exact answers: Kalman filters, the forward algorithm, quadrature over priors; and models that the tests share."""

import math

import numpy as np
from livesmc2 import StateSpaceModel, models
from scipy import stats

HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)

# World-wide earthquakes of magnitude 7 or more a year, 1900-2006 (Zucchini and MacDonald, from US Geological Survey).
QUAKES = np.array([
    13, 14, 8, 10, 16, 26, 32, 27, 18, 32, 36, 24, 22, 23, 22, 18, 25, 21, 21, 14, 8, 11, 14, 23, 18, 17, 19, 20, 22,
    19, 13, 26, 13, 14, 22, 24, 21, 22, 26, 21, 23, 24, 27, 41, 31, 27, 35, 26, 28, 36, 39, 21, 17, 22, 17, 19, 15, 34,
    10, 15, 22, 18, 15, 20, 15, 22, 19, 16, 30, 27, 29, 23, 20, 16, 21, 21, 25, 16, 18, 15, 18, 14, 10, 15, 8, 15, 6,
    11, 8, 7, 18, 16, 13, 12, 13, 20, 15, 16, 12, 18, 15, 16, 13, 15, 16, 11, 11,
], float)  # fmt: skip

# Boys in bed each day, of 763: boarding school 1978 (British Medical Journal 1978; 1: 587).
FLU = np.array([3, 8, 26, 76, 225, 298, 258, 233, 189, 128, 68, 29, 14, 4], float)


def level_series(steps: int, seed: int = 5) -> np.ndarray:
    """A local level, sigma_level 0.3 and sigma_y 0.7."""
    rng = np.random.default_rng(seed)
    return np.cumsum(0.3 * rng.normal(size=steps)) + 0.7 * rng.normal(size=steps)


def level_kalman(q: np.ndarray, h: np.ndarray, ys: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log-likelihood, filtered mean and variance of `local_level`, per pair of standard deviations; NaN is missing."""
    mean, variance, ll = np.zeros_like(q), np.ones_like(q), np.zeros_like(q)
    for t, y in enumerate(ys):
        if t:
            variance = variance + q * q
        if np.isnan(y):
            continue
        s = variance + h * h
        ll = ll - 0.5 * (np.log(2 * np.pi * s) + (y - mean) ** 2 / s)
        gain = variance / s
        mean, variance = mean + gain * (y - mean), (1 - gain) * variance
    return ll, mean, variance


def half_normal_grid(nodes: int = 120, most: float = 5.0) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights for an integral over the half-normal law of scale 1."""
    x, w = np.polynomial.legendre.leggauss(nodes)
    x, w = 0.5 * most * (x + 1), 0.5 * most * w
    return x, w * stats.halfnorm.pdf(x)


def level_posterior(ys: np.ndarray) -> dict[str, float]:
    """Exact evidence and posterior of `local_level` by quadrature: log_evidence, and mean and sd of everything."""
    x, w = half_normal_grid()
    q, h = np.meshgrid(x, x, indexing="ij")
    ll, mean, variance = level_kalman(q, h, ys)
    top = ll.max()
    mass = np.exp(ll - top) * np.outer(w, w)
    share = mass / mass.sum()
    out = {"log_evidence": top + math.log(mass.sum())}
    for name, value in (("sigma_level", q), ("sigma_y", h)):
        out[name] = float((share * value).sum())
        out[f"{name} sd"] = math.sqrt(float((share * (value - out[name]) ** 2).sum()))
    out["level"] = float((share * mean).sum())
    out["level sd"] = math.sqrt(float((share * (variance + (mean - out["level"]) ** 2)).sum()))
    return out


def ar_model() -> StateSpaceModel:
    """X_t = rho X_{t-1} + N(0, sx²) from its stationary law, Y_t = X_t + N(0, sy²)."""
    return StateSpaceModel(
        name="linear Gaussian",
        parameters=("rho", "sx", "sy"),
        state=("x",),
        initial=lambda rng, theta: (rng.normal(0.0, theta.sx / math.sqrt(1 - theta.rho * theta.rho)),),
        transition=lambda rng, x, theta, t: (rng.normal(theta.rho * x.x, theta.sx),),
        log_likelihood=lambda y, x, theta, t: -0.5 * ((y - x.x) / theta.sy) ** 2 - math.log(theta.sy) - HALF_LOG_TWO_PI,
        observe=lambda rng, x, theta, t: rng.normal(x.x, theta.sy),
    )


def ar_kalman(rho: float, sx: float, sy: float, ys: np.ndarray) -> float:
    """Its log-likelihood."""
    mean, variance, ll = 0.0, sx**2 / (1 - rho**2), 0.0
    for y in ys:
        if not np.isnan(y):
            s = variance + sy**2
            ll -= 0.5 * (math.log(2 * math.pi * s) + (y - mean) ** 2 / s)
            gain = variance / s
            mean, variance = mean + gain * (y - mean), (1 - gain) * variance
        mean, variance = rho * mean, rho**2 * variance + sx**2
    return ll


def forward(start: np.ndarray, rows: np.ndarray, emissions: np.ndarray) -> float:
    """The log-likelihood of a hidden Markov chain: the forward algorithm; emissions (T, state) are densities."""
    belief, ll = start, 0.0
    for t, density in enumerate(emissions):
        belief = (belief if t == 0 else belief @ rows) * density
        ll += math.log(belief.sum())
        belief = belief / belief.sum()
    return ll


def conjugate() -> tuple[StateSpaceModel, dict[str, object]]:
    """y ~ N(mu, 1), mu ~ N(0, 10²), without a hidden state to speak of."""
    model = StateSpaceModel(
        parameters=("mu",),
        state=("nothing",),
        initial=lambda rng, theta: (0.0,),
        transition=lambda rng, x, theta, t: (0.0,),
        log_likelihood=lambda y, x, theta, t: -0.5 * (y - theta.mu) ** 2 - HALF_LOG_TWO_PI,
    )
    return model, {"mu": stats.norm(0, 10)}


def conjugate_answer(ys: np.ndarray) -> tuple[float, float, float]:
    """Mean and sd of mu, and the log evidence."""
    n, precision = len(ys), len(ys) + 0.01
    mean = ys.sum() / precision
    log_evidence = (
        -0.5 * n * math.log(2 * math.pi) - 0.5 * math.log(100 * precision) - 0.5 * ((ys**2).sum() - precision * mean**2)
    )
    return mean, 1 / math.sqrt(precision), log_evidence


def deterministic_flu() -> tuple[StateSpaceModel, dict[str, object]]:
    """SIR by differential equations (Runge and Kutta, 20 steps a day), I(0) = 1, negative binomial reports.

    The Stan case study's model of the boarding school (Grinsztajn et al. 2021), its priors.
    """

    def day(s: float, i: float, beta: float, gamma: float) -> tuple[float, float]:
        h = 1.0 / 20.0
        for _ in range(20):
            a1, b1 = -beta * s * i / 763.0, beta * s * i / 763.0 - gamma * i
            s2, i2 = s + 0.5 * h * a1, i + 0.5 * h * b1
            a2, b2 = -beta * s2 * i2 / 763.0, beta * s2 * i2 / 763.0 - gamma * i2
            s3, i3 = s + 0.5 * h * a2, i + 0.5 * h * b2
            a3, b3 = -beta * s3 * i3 / 763.0, beta * s3 * i3 / 763.0 - gamma * i3
            s4, i4 = s + h * a3, i + h * b3
            a4, b4 = -beta * s4 * i4 / 763.0, beta * s4 * i4 / 763.0 - gamma * i4
            s += h / 6.0 * (a1 + 2.0 * a2 + 2.0 * a3 + a4)
            i += h / 6.0 * (b1 + 2.0 * b2 + 2.0 * b3 + b4)
        return s, i

    def log_likelihood(y: float, x: object, theta: object, t: int) -> float:
        mean, size = max(x.I, 1e-9), 1.0 / theta.invphi  # type: ignore[attr-defined]
        return (
            math.lgamma(y + size) - math.lgamma(size) - math.lgamma(y + 1.0)
            + size * math.log(size / (size + mean)) + y * math.log(mean / (size + mean))
        )  # fmt: skip

    model = StateSpaceModel(
        name="boarding school",
        parameters=("beta", "gamma", "invphi"),
        state=("S", "I"),
        initial=lambda rng, theta: day(762.0, 1.0, theta.beta, theta.gamma),
        transition=lambda rng, x, theta, t: day(x.S, x.I, theta.beta, theta.gamma),
        log_likelihood=log_likelihood,
        log_likelihood_bound=lambda y, theta, t: 0.0,
    )
    return model, flu_prior()


def flu_prior() -> dict[str, object]:
    """Of Grinsztajn et al. 2021."""
    return {
        "beta": stats.truncnorm(-2.0, np.inf, loc=2.0, scale=1.0),
        "gamma": stats.truncnorm(-0.8, np.inf, loc=0.4, scale=0.5),
        "invphi": stats.expon(scale=0.2),
    }


def stochastic_flu() -> tuple[StateSpaceModel, dict[str, object]]:
    """The same with chance: a chain binomial of ten steps a day."""

    def day(rng: object, s: float, i: float, beta: float, gamma: float) -> tuple[float, float]:
        for _ in range(10):
            infected = rng.binomial(s, 1.0 - math.exp(-0.1 * beta * i / 763.0))  # type: ignore[attr-defined]
            ended = rng.binomial(i, 1.0 - math.exp(-0.1 * gamma))  # type: ignore[attr-defined]
            s, i = s - infected, i + infected - ended
        return s, i

    def log_likelihood(y: float, x: object, theta: object, t: int) -> float:
        mean, size = max(x.I, 1e-3), 1.0 / theta.invphi  # type: ignore[attr-defined]
        return (
            math.lgamma(y + size) - math.lgamma(size) - math.lgamma(y + 1.0)
            + size * math.log(size / (size + mean)) + y * math.log(mean / (size + mean))
        )  # fmt: skip

    model = StateSpaceModel(
        name="boarding school, by chance",
        parameters=("beta", "gamma", "invphi"),
        state=("S", "I"),
        initial=lambda rng, theta: day(rng, 762.0, 1.0, theta.beta, theta.gamma),
        transition=lambda rng, x, theta, t: day(rng, x.S, x.I, theta.beta, theta.gamma),
        log_likelihood=log_likelihood,
        log_likelihood_bound=lambda y, theta, t: 0.0,
    )
    return model, flu_prior()


def mean_and_error(values: np.ndarray) -> tuple[float, float]:
    """The mean of independent values, and its standard error."""
    return float(np.mean(values)), float(np.std(values, ddof=1) / math.sqrt(len(values)))


def level() -> tuple[StateSpaceModel, dict[str, object]]:
    """`models.local_level`."""
    return models.local_level()
