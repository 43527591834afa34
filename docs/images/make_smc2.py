"""The fan chart of livesmc2's README: forecasts of the boarding school's influenza, made on days 4, 6 and 8."""

import math
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from livesmc2 import OnlineSMC2, StateSpaceModel
from scipy import stats

mpl.use("agg")
import matplotlib.pyplot as plt

FLU = np.array([3, 8, 26, 76, 225, 298, 258, 233, 189, 128, 68, 29, 14, 4], float)


def day(rng: Any, s: float, i: float, theta: Any) -> Any:
    """Ten steps of a chain binomial."""
    for _ in range(10):
        infected = rng.binomial(s, 1 - math.exp(-0.1 * theta.beta * i / 763))
        recovered = rng.binomial(i, 1 - math.exp(-0.1 * theta.gamma))
        s, i = s - infected, i + infected - recovered
    return s, i


def log_likelihood(y: float, x: Any, theta: Any, t: int) -> float:
    """Negative binomial."""
    mean, size = max(x.I, 1e-3), 1 / theta.invphi
    terms = math.lgamma(y + size) - math.lgamma(size) - math.lgamma(y + 1)
    return terms + size * math.log(size / (size + mean)) + y * math.log(mean / (size + mean))


def observe(rng: Any, x: Any, theta: Any, t: int) -> Any:
    """The same law."""
    size = 1 / theta.invphi
    return rng.negative_binomial(size, size / (size + max(x.I, 1e-3)))


MODEL = StateSpaceModel(
    parameters=("beta", "gamma", "invphi"),
    state=("S", "I"),
    initial=lambda rng, theta: day(rng, 762.0, 1.0, theta),
    transition=lambda rng, x, theta, t: day(rng, x.S, x.I, theta),
    log_likelihood=log_likelihood,
    observe=observe,
)
PRIOR = {
    "beta": stats.truncnorm(-2.0, np.inf, loc=2.0, scale=1.0),
    "gamma": stats.truncnorm(-0.8, np.inf, loc=0.4, scale=0.5),
    "invphi": stats.expon(scale=0.2),
}


def main() -> None:
    """Write smc2-fan.png."""
    smc = OnlineSMC2(MODEL, PRIOR, n_theta=400, n_x=200, seed=1)
    figure, axes = plt.subplots(1, 3, figsize=(9, 2.8), sharey=True, layout="constrained")
    panels = iter(axes)
    for y in FLU:
        smc.update(y)
        if smc.t not in (4, 6, 8):
            continue
        panel = next(panels)
        ahead = len(FLU) - smc.t
        days = np.arange(smc.t, len(FLU)) + 1
        fan = smc.forecast(ahead).quantiles([0.05, 0.25, 0.5, 0.75, 0.95])
        panel.fill_between(days, fan[0], fan[4], color="#9ecae1", lw=0)
        panel.fill_between(days, fan[1], fan[3], color="#4292c6", lw=0)
        panel.plot(days, fan[2], color="#08519c")
        panel.plot(np.arange(smc.t) + 1, FLU[: smc.t], "ko", ms=4)
        panel.plot(days, FLU[smc.t :], "o", ms=4, mfc="white", mec="black")
        panel.set(title=f"on day {smc.t}", xlabel="day", ylim=(0, 763))
        for side in ("top", "right"):
            panel.spines[side].set_visible(False)
    axes[0].set_ylabel("boys in bed")
    figure.savefig(Path(__file__).parent / "smc2-fan.png", dpi=110)


if __name__ == "__main__":
    main()
