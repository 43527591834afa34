"""`advi`: the normal distribution nearest to a posterior, by stochastic natural gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from livenuts.batches import Moments, Trace, diagnose
from livenuts.inference.importance import report, smoothed
from livenuts.inference.normal import Normal, dense, independent, symmetric_divergence
from livenuts.inference.options import choice, count, generator, starts
from livenuts.inference.session import Session
from livenuts.messages import Sink
from livenuts.result import Result

FAMILIES = ("mean_field", "full_rank")
# A stage is looked at after so many iterations, and then whenever it is so much longer.
_LOOK, _LOOK_GROWS = 100, 1.25
# Learning rates of the stages: the first, and what each is of the one before.
_FIRST_RATE, _RATE_FALLS = 0.1, 0.5
# A stage's iterates have settled when their R-hat is below, and its average is known when its error is below.
_GOOD_RHAT, _GOOD_ERROR = 1.1, 0.02
# One iteration moves the mean by no more than this many sd a coordinate, and changes scales by no more than this part.
_FARTHEST, _MOST_CHANGE = 1.0, 0.5
_FIRST_SCALE = 0.1
# Iterates that move by less than this stand still: nothing but rounding is left.
_STILL = 1e-9
# Draws of the fit that its evidence bound and Pareto k are read from, at least.
_FEWEST_DRAWS = 1000


class Iterate(NamedTuple):
    """A normal of the family."""

    mean: np.ndarray
    factor: np.ndarray
    """Scales (dimension,), or a lower triangle (dimension, dimension)."""

    def normal(self) -> Normal:
        return independent(self.mean, self.factor) if self.factor.ndim == 1 else dense(self.mean, self.factor)

    def scales(self) -> np.ndarray:
        """What multiplies each coordinate's own noise."""
        return self.factor if self.factor.ndim == 1 else np.diag(self.factor)


class Fit(NamedTuple):
    """What the stages came to."""

    best: Iterate
    """The average of the last stage's later half."""
    converged: bool
    elbo: tuple[np.ndarray, ...]
    """Blocks of one estimate an iteration."""


def advi(
    model: Any,
    *,
    num_samples: int = 1000,
    family: str = "mean_field",
    max_iterations: int = 20_000,
    num_gradient_draws: int = 16,
    tolerance: float = 0.05,
    seed: int | None = None,
    init: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    sink: Sink | None = None,
    stop: Callable[[], bool] | None = None,
    progress: bool = True,
) -> Result:
    """Fit a normal to a posterior on the unconstrained scale: automatic differentiation variational inference.

    Kucukelbir et al. 2017, with natural gradients (Tan 2021, of the Cholesky factor) of the path estimator (Roeder,
    Wu and Duvenaud 2017), whose noise vanishes where the normal is the posterior.

    **When it ends** (after Welandawe et al. 2022). Learning rates fall by halves. With each, iterates go on until their
    later half has split R-hat below 1.1 and its *average* is known to 0.02 (of an sd for means, of themselves for
    scales). The fit has converged when halving the rate moves that average by less than `tolerance`: the root of the
    symmetrised KL divergence between the two averages, a coordinate. The error of an average falls with the rate at
    least as its root, so it is then at most about 2.4 times `tolerance`. This says that the best normal near the start
    is found. It does not say that the normal is a good approximation, which Pareto k does, nor that no better one is
    elsewhere; and drift that is slow against 100 iterations can be missed.

    Parameters
    ----------
    model, seed, sink, stop, progress
        As in `ln.sample`; `stop` is asked every 100 iterations, and the fit is then what it had come to.
    num_samples
        Draws of the normal: one chain.
    family
        "mean_field": independent coordinates; its scales are too small where the posterior's coordinates correlate.
        "full_rank": any covariance.
    max_iterations
        Where it ends without having converged (`fit["converged"]`).
    num_gradient_draws
        Draws that a gradient is estimated from: pairs, each other's mirror image.
    tolerance
        See above.
    init
        Constrained values to start from, by variable.

    Returns
    -------
    Result
        `fit["converged"]`; `fit["elbo_trace"]` (iteration,); `fit["elbo"]`: the evidence lower bound of the fit;
        `fit["pareto_k"]`: below 0.7 the draws can be trusted with the weights exp(`stats["log_ratio"]`); above,
        use them to start NUTS (`warm_start=result`). `fit["effective_fraction"]`: what part of the draws those weights
        leave; where it is 1, k says nothing. `fit["mean"]` (dimension,) and `fit["covariance"]`
        (dimension, dimension; of mean field its diagonal), unconstrained.
    """
    settings = {
        "num_samples": count("num_samples", num_samples),
        "family": choice("family", family, FAMILIES),
        "max_iterations": count("max_iterations", max_iterations),
        "num_gradient_draws": count("num_gradient_draws", num_gradient_draws, 2),
        "tolerance": _positive("tolerance", tolerance),
    }
    given = starts(init, 1, "starts")[0]
    session = Session("advi", model, settings, seed, sink, stop, progress)

    def steps(session: Session) -> Iterator[Fit]:
        mean = session.densities.start(given, session.seed, 0)
        scales = np.full(len(mean), _FIRST_SCALE)
        first = Iterate(mean, scales if family == "mean_field" else np.diag(scales))
        return _fit(session, first, max_iterations, num_gradient_draws, float(tolerance))

    return session.run(steps, lambda session, fit: _draw(session, fit, num_samples), ("lp", "log_ratio"))


def _positive(name: str, value: Any) -> float:
    try:
        number = 0.0 if isinstance(value, (bool, str)) else float(value)
    except (TypeError, ValueError):
        number = 0.0
    if not 0.0 < number < np.inf:
        raise ValueError(f"{name} must be positive, got {value!r}")
    return number


def _fit(session: Session, iterate: Iterate, max_iterations: int, num_draws: int, tolerance: float) -> Iterator[Fit]:
    """The fit after every look at a stage."""
    random = generator(session.seed, 0, "fit")
    rate, settled = _FIRST_RATE, None
    stage: list[Iterate] = []
    trace: list[np.ndarray] = []
    made, look = 0, _LOOK
    while made < max_iterations:
        block = []
        for _ in range(min(_LOOK, max_iterations - made)):
            standard = random.standard_normal((num_draws // 2, len(iterate.mean)))
            iterate, elbo = step(session.densities, iterate, np.concatenate([standard, -standard]), rate)
            stage.append(iterate)
            block.append(elbo)
            session.say("elbo", "elbo", {"iteration": made + len(block) - 1, "elbo": elbo, "learning_rate": rate})
        made += len(block)
        trace.append(np.array(block))
        later = stage[len(stage) // 2 :]
        best, converged = average(later), False
        if len(stage) >= look:
            look = int(len(stage) * _LOOK_GROWS)
            if is_settled(later):
                if settled is not None:
                    moved = symmetric_divergence(best.normal(), settled.normal()) / len(best.mean)
                    converged = moved < tolerance**2
                settled, iterate, rate, stage, look = best, best, rate * _RATE_FALLS, [], _LOOK
        yield Fit(best, converged, tuple(trace))
        if converged:
            return


def step(densities: Any, iterate: Iterate, standard: np.ndarray, rate: float) -> tuple[Iterate, float]:
    """The next iterate, and an estimate of the evidence lower bound of this one, from standard normals (n, dimension).

    Draws where the log density or its gradient is not finite are left out; where all are, the normal is too wide.
    """
    normal = iterate.normal()
    points = normal.draw(standard)
    log_densities, gradients = densities(points)
    known = np.isfinite(log_densities) & np.isfinite(gradients).all(1)
    if not known.any():
        return iterate._replace(factor=iterate.factor * (1.0 - _MOST_CHANGE)), -np.inf
    elbo = float((log_densities - normal.log_density(points)).mean()) if known.all() else -np.inf
    standard, gradients = standard[known], gradients[known]
    # L' (gradient of log posterior less that of log normal): the path derivative, whitened.
    whole = iterate.factor.ndim == 2
    ascent = (gradients @ iterate.factor if whole else gradients * iterate.factor) + standard
    toward = np.clip(rate * ascent.mean(0), -_FARTHEST, _FARTHEST)
    if not whole:
        growth = np.clip(0.5 * rate * (ascent * standard).mean(0), -_MOST_CHANGE, _MOST_CHANGE)
        return Iterate(iterate.mean + iterate.factor * toward, iterate.factor * np.exp(growth)), elbo
    # The natural gradient of a Cholesky factor is L times the lower triangle, its diagonal halved (Tan 2021).
    triangle = np.tril(ascent.T @ standard) / len(standard)
    triangle[np.diag_indices_from(triangle)] *= 0.5
    triangle *= rate * min(1.0, _MOST_CHANGE / max(1e-300, rate * float(np.abs(triangle).max())))
    return Iterate(iterate.mean + iterate.factor @ toward, iterate.factor + iterate.factor @ triangle), elbo


def average(iterates: Sequence[Iterate]) -> Iterate:
    """The mean of means, and of scales: geometric for mean field."""
    mean = np.mean([one.mean for one in iterates], axis=0)
    factors = np.array([one.factor for one in iterates])
    return Iterate(mean, np.exp(np.log(factors).mean(0)) if factors.ndim == 2 else factors.mean(0))


def is_settled(iterates: Sequence[Iterate]) -> bool:
    """Whether iterates no longer drift, and are enough to know their average."""
    scales = np.array([one.scales() for one in iterates])
    means = np.array([one.mean for one in iterates]) / scales.mean(0)
    numbers = np.concatenate([means, np.log(scales)], axis=1)
    numbers = numbers[:, np.ptp(numbers, axis=0) > _STILL]
    whole = Trace(1, Moments(np.ones((len(numbers), 1)), numbers, np.zeros(numbers.shape)), ())
    found = diagnose([whole], numbers.shape[1])
    return bool((found["r_hat"] < _GOOD_RHAT).all() and (found["mcse_mean"] < _GOOD_ERROR).all())


def _draw(session: Session, fit: Fit, num_samples: int) -> Mapping[str, Any]:
    """Keep the draws; what there is to say of the fit."""
    normal = fit.best.normal()
    standard = generator(session.seed, 0, "draws").standard_normal(
        (max(num_samples, _FEWEST_DRAWS), session.densities.dimension)
    )
    points = normal.draw(standard)
    log_densities, _ = session.densities(points)
    log_ratios = log_densities - normal.log_density(points)
    weights, k = smoothed(log_ratios)
    session.keep(points[:num_samples], {"lp": log_densities[:num_samples], "log_ratio": log_ratios[:num_samples]})
    factor = fit.best.factor
    return report(log_ratios, weights, k) | {
        "converged": fit.converged,
        "elbo": float(log_ratios.mean()),
        "elbo_trace": np.concatenate(fit.elbo),
        "mean": fit.best.mean,
        "covariance": factor**2 if factor.ndim == 1 else factor @ factor.T,
    }
