"""NUTS for the levels before and after one change, with the change time summed out inside the log density."""

from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from types import ModuleType
from typing import Any, NamedTuple, TypedDict

import jax.numpy as jnp
import livenuts as ln
import numpy as np
from arviz_stats.base import array_stats  # type: ignore[attr-defined]
from jax.scipy.special import logsumexp
from livenuts import dist
from numpy.typing import NDArray

from .conjugate import FloatArray, NormalInverseGamma


class Estimate(TypedDict):
    """What the draws say about one number, and how well they say it."""

    mean: float
    median: float
    sd: float
    lower: float
    """2.5 % quantile."""
    upper: float
    """97.5 % quantile."""
    mcse: float
    """Monte Carlo standard error of the mean."""
    ess_bulk: float
    ess_tail: float
    r_hat: float


class LevelDraws(NamedTuple):
    """The posterior sample, in the data's unit, and what it says of the change time."""

    level: FloatArray
    """(chain, draw, 2): before and after."""
    probabilities: FloatArray
    """P(change after the first c observations | one change), c = 1, ..., n - 1: the mean over the draws."""
    mode: FloatArray
    """(chain, draw): the same probability, of the most probable position only, draw by draw."""
    divergences: int


def log_likelihoods(level: Any, variance: Any, sums: Any, squares: Any, xp: ModuleType = np) -> Any:
    """Return the log likelihood of each change position c = 1, ..., n - 1, shape (..., n - 1).

    `level` and `variance` have shape (..., 2): before and after; `sums` and `squares` are the cumulative sums of the
    data and of their squares, so that every position costs the same few operations.
    """
    n = sums.shape[-1]
    count = xp.arange(1, n)

    def segment(side: int, size: Any, total: Any, total_squares: Any) -> Any:
        mu, v = level[..., side, None], variance[..., side, None]
        return -0.5 * (size * xp.log(2 * xp.pi * v) + (total_squares - 2 * mu * total + size * mu**2) / v)

    before = segment(0, count, sums[:-1], squares[:-1])
    return before + segment(1, n - count, sums[-1] - sums[:-1], squares[-1] - squares[:-1])


@ln.model
def one_change(sums: Any, squares: Any, kappa: Any, a: Any) -> None:
    """Two segments with a level and a variance each; the data are in units of the prior's center and scale."""
    variance = ln.rv("variance", dist.InverseGamma(a, a), shape=2)
    level = ln.rv("level", dist.Normal(0.0, jnp.sqrt(variance / kappa)))
    positions = log_likelihoods(level, variance, sums, squares, jnp)
    ln.factor("change", logsumexp(positions) - jnp.log(sums.shape[-1] - 1.0))


def sample_levels(
    values: FloatArray,
    prior: NormalInverseGamma,
    *,
    num_warmup: int,
    num_samples: int,
    num_chains: int,
    seed: int,
    sink: Callable[[dict[str, Any]], object] | None = None,
    stop: Callable[[], bool] | None = None,
    executor: Executor | None = None,
) -> LevelDraws:
    """Sample the model of `posterior.change_posterior`; `values` are at least two observations, none missing.

    A stopped run returns the draws that it has; with chains of unequal length, as many a chain as the shortest has.
    """
    center, scale = float(prior.m), float(np.sqrt(prior.b / prior.a))
    standardized = (values - center) / scale
    sums, squares = np.cumsum(standardized), np.cumsum(standardized**2)
    result = ln.sample(
        one_change(sums, squares, float(prior.kappa), float(prior.a)),
        num_warmup=num_warmup,
        num_samples=num_samples,
        num_chains=num_chains,
        seed=seed,
        sink=sink,
        stop=stop,
        executor=executor,
        progress=False,
    )
    level = np.asarray(result.draws["level"])
    probabilities = position_probabilities(level, np.asarray(result.draws["variance"]), sums, squares)
    return LevelDraws(center + scale * level, *probabilities, int(np.sum(np.asarray(result.stats["diverging"]))))


def position_probabilities(
    level: FloatArray, variance: FloatArray, sums: FloatArray, squares: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return P(c) averaged over the draws, shape (n - 1,), and P(most probable c) of each draw, (chain, draw).

    Averaging each draw's conditional probabilities (Rao and Blackwell) wastes nothing on drawing c itself.
    """
    flat_level, flat_variance = level.reshape(-1, 2), variance.reshape(-1, 2)
    block = max(1, 2_000_000 // len(sums))  # bounds memory for long series

    def conditional(rows: slice) -> FloatArray:
        logs = log_likelihoods(flat_level[rows], flat_variance[rows], sums, squares)
        weights = np.exp(logs - logs.max(axis=-1, keepdims=True))
        normalized: FloatArray = weights / weights.sum(axis=-1, keepdims=True)
        return normalized

    blocks = [slice(start, start + block) for start in range(0, len(flat_level), block)]
    mean: NDArray[np.float64] = sum((conditional(rows).sum(axis=0) for rows in blocks), np.zeros(len(sums) - 1)) / max(
        1, len(flat_level)
    )
    best = int(np.argmax(mean))
    mode = np.concatenate([conditional(rows)[:, best] for rows in blocks] or [np.zeros(0)])
    return mean, mode.reshape(level.shape[:2])


def estimate(draws: FloatArray) -> Estimate:
    """Summarise one quantity's draws, shape (chain, draw)."""
    lower, upper = np.quantile(draws, [0.025, 0.975])
    half = draws.shape[1] // 2
    halves = [draws[0, :half], draws[0, -half:]]
    axes: Mapping[str, int] = {"chain_axis": 0, "draw_axis": 1}
    with np.errstate(invalid="ignore", divide="ignore"):  # draws that are all equal have no R-hat
        return Estimate(
            mean=float(draws.mean()),
            median=float(np.median(draws)),
            sd=float(draws.std(ddof=1)),
            lower=float(lower),
            upper=float(upper),
            mcse=float(array_stats.mcse(draws, method="mean", **axes)),
            ess_bulk=float(array_stats.ess(draws, method="bulk", **axes)),
            ess_tail=float(array_stats.ess(draws, method="tail", prob=(0.05, 0.95), **axes)),
            # One chain is judged by its halves.
            r_hat=float(array_stats.rhat(draws if len(draws) > 1 else np.stack(halves), **axes)),
        )
