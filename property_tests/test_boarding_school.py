"""livenuts and livesmc2 agree on the boarding school: the whole history at once, and day by day."""

import math
from typing import Any

import jax
import livenuts as ln
import numpy as np
import numpyro
import numpyro.distributions as nd
import pytest
from livesmc2 import OnlineSMC2, StateSpaceModel
from scipy import stats

# Boys in bed, 22 January to 4 February 1978 (Anonymous 1978, British Medical Journal 1:587).
IN_BED = [3, 8, 26, 76, 225, 298, 258, 233, 189, 128, 68, 29, 14, 4]
BOYS, STEPS = 763.0, 20
N_THETA = 1000


def slope(s: Any, i: Any, beta: Any, gamma: Any) -> tuple[Any, Any]:
    return -beta * s * i / BOYS, beta * s * i / BOYS - gamma * i


def by_nuts(cases: list[int]) -> dict[str, np.ndarray]:
    def model(y: Any) -> None:
        beta = numpyro.sample("beta", nd.TruncatedNormal(2.0, 1.0, low=0.0))
        gamma = numpyro.sample("gamma", nd.TruncatedNormal(0.4, 0.5, low=0.0))
        invphi = numpyro.sample("invphi", nd.Exponential(5.0))

        def step(x: Any, _: Any) -> Any:
            h = 1.0 / STEPS
            k1 = slope(*x, beta, gamma)
            k2 = slope(x[0] + h / 2 * k1[0], x[1] + h / 2 * k1[1], beta, gamma)
            k3 = slope(x[0] + h / 2 * k2[0], x[1] + h / 2 * k2[1], beta, gamma)
            k4 = slope(x[0] + h * k3[0], x[1] + h * k3[1], beta, gamma)
            new = tuple(at + h / 6 * (a + 2 * b + 2 * c + d) for at, a, b, c, d in zip(x, k1, k2, k3, k4, strict=True))
            return new, new[1]

        _, infected = jax.lax.scan(step, (BOYS - 1.0, 1.0), length=STEPS * len(cases))
        numpyro.sample("y", nd.NegativeBinomial2(infected[STEPS - 1 :: STEPS], 1.0 / invphi), obs=y)

    data = np.array(cases, float)
    result = ln.sample(ln.from_numpyro(model, data), num_samples=1000, num_chains=2, seed=1, progress=False)
    return {name: result.draws[name].ravel() for name in ("beta", "gamma", "invphi")}


def by_smc(cases: list[int]) -> OnlineSMC2:
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

    def log_likelihood(y: float, x: Any, theta: Any, t: int) -> float:
        mean, size = max(x.I, 1e-9), 1.0 / theta.invphi
        return (
            math.lgamma(y + size) - math.lgamma(size) - math.lgamma(y + 1.0)
            + size * math.log(size / (size + mean)) + y * math.log(mean / (size + mean))
        )  # fmt: skip

    model = StateSpaceModel(
        parameters=("beta", "gamma", "invphi"),
        state=("S", "I"),
        initial=lambda rng, theta: day(762.0, 1.0, theta.beta, theta.gamma),
        transition=lambda rng, x, theta, t: day(x.S, x.I, theta.beta, theta.gamma),
        log_likelihood=log_likelihood,
    )
    prior = {
        "beta": stats.truncnorm(-2.0, np.inf, loc=2.0, scale=1.0),
        "gamma": stats.truncnorm(-0.8, np.inf, loc=0.4, scale=0.5),
        "invphi": stats.expon(scale=0.2),
    }
    smc = OnlineSMC2(model, prior, n_theta=N_THETA, n_x=1, seed=1)
    for y in cases:
        smc.update(float(y))
    return smc


def distances(draws: dict[str, np.ndarray], smc: OnlineSMC2) -> list[float]:
    """Differences of means and of mean squares about them, in standard errors.

    NUTS' 2,000 draws count for 500 and livesmc2's parameters, which share ancestors, for a quarter of their number:
    fewer than in truth. So 4 standard errors are a false alarm of less than 4e-4 in all six together.
    """
    found = []
    for name, values in draws.items():
        theta, weights = smc.theta[name], smc.weights
        centre = values.mean()
        for ours, theirs in ((values - centre, theta - centre), ((values - centre) ** 2, (theta - centre) ** 2)):
            spread = ours.std() * math.sqrt(1 / 500 + 4 / N_THETA)
            found.append(abs(ours.mean() - weights @ theirs) / spread)
    return found


@pytest.fixture(scope="module")
def smc() -> OnlineSMC2:
    return by_smc(IN_BED)


def test_two_engines_have_one_posterior(smc: OnlineSMC2) -> None:
    assert max(distances(by_nuts(IN_BED), smc)) < 4.0


def test_other_data_are_noticed(smc: OnlineSMC2) -> None:
    """The poison: the first day's three boys were nine, the second day's eight twenty."""
    assert max(distances(by_nuts([9, 20, *IN_BED[2:]]), smc)) > 4.0
