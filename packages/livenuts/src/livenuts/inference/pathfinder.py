"""`pathfinder`: normals along the way of L-BFGS to a mode, the best of each path, reweighted together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.special import logsumexp

from livenuts.inference.importance import report, smoothed
from livenuts.inference.lbfgs import Point, path
from livenuts.inference.normal import Normal
from livenuts.inference.options import count, generator, starts
from livenuts.inference.session import Session
from livenuts.messages import Sink
from livenuts.result import Result

_MOST_STEPS = 300
# A path ends where a Newton step promises less than this many nats.
_TOLERANCE = 1e-9


class Fit(NamedTuple):
    """The best normal of a path."""

    normal: Normal
    elbo: float


def pathfinder(
    model: Any,
    *,
    num_samples: int = 1000,
    num_paths: int = 8,
    history: int = 12,
    num_elbo_draws: int = 50,
    seed: int | None = None,
    init: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    sink: Sink | None = None,
    stop: Callable[[], bool] | None = None,
    progress: bool = True,
) -> Result:
    """Approximate a posterior by normals found on the way to its modes (Zhang et al. 2022).

    Every path runs L-BFGS from a starting point of its own, on the unconstrained scale. Each of its steps suggests a
    normal, from the point, the gradient and the inverse Hessian there; the path's answer is the one with the greatest
    evidence lower bound, less two standard errors. With one path the draws are those of its normal. With several,
    `num_samples` draws of each are weighted by posterior over *mixture* of the normals, the weights' tail is smoothed
    (PSIS), and `num_samples` are drawn from all of them with replacement: paths to one mode do not count it twice, and
    modes get their weight.

    Parameters
    ----------
    model, seed, sink, stop, progress
        As in `ln.sample`; `stop` is asked between paths.
    num_samples
        Draws of the result, one chain of them.
    num_paths
        Starting points.
    history
        Pairs of steps and gradients that an inverse Hessian is made of: 2 `history` directions at most.
    num_elbo_draws
        Draws that tell a normal's evidence lower bound.
    init
        Constrained starting values by variable, for all paths or as one mapping a path; else U(-2, 2), unconstrained.

    Returns
    -------
    Result
        `fit["pareto_k"]`: below 0.7 the draws can be trusted; above, use them to start NUTS (`warm_start=result`).
        `fit["effective_fraction"]`: of the draws that were weighted; where it is 1, k says nothing.
        `fit["log_evidence"]`: the log of the mean weight, as good as k says. `fit["elbo"]`: of each path's normal
        (path,). `fit["means"]` and `fit["standard_deviations"]`: of the normals (path, dimension), unconstrained.
        `stats["log_ratio"]`: log posterior over the mixture, of each draw.
    """
    settings = {
        "num_samples": count("num_samples", num_samples),
        "num_paths": count("num_paths", num_paths),
        "history": count("history", history),
        "num_elbo_draws": count("num_elbo_draws", num_elbo_draws, 2),
    }
    given = starts(init, num_paths, "paths")
    session = Session("pathfinder", model, settings, seed, sink, stop, progress)

    def steps(session: Session) -> Iterator[list[Fit]]:
        fits: list[Fit] = []
        for index in range(num_paths):
            start = session.densities.start(given[index], session.seed, index)
            fits = [*fits, _follow(session, index, start, history, num_elbo_draws)]
            yield fits

    def finish(session: Session, fits: list[Fit]) -> Mapping[str, Any]:
        return _draw(session, fits, num_samples)

    return session.run(steps, finish, ("lp", "log_ratio"))


def _follow(session: Session, index: int, start: np.ndarray, history: int, num_elbo_draws: int) -> Fit:
    """One path, and the best normal on it; every step is a message."""
    densities = session.densities

    def evaluate(position: np.ndarray) -> tuple[float, np.ndarray]:
        values, gradients = densities(position[None])
        return float(values[0]), gradients[0]

    visited = list(path(evaluate, start, history, _MOST_STEPS, _TOLERANCE))
    if not visited:
        raise ValueError(f"pathfinder: path {index} found no step upwards from its start; give other values as init=")
    # The same standard normals for every step: a lucky draw favours none.
    standard = generator(session.seed, index, "fit").standard_normal((num_elbo_draws, densities.dimension))
    points = np.concatenate([normal.draw(standard) for _, normal in visited])
    values, _ = densities(points)
    best, best_score = None, -np.inf
    for number, (point, normal) in enumerate(visited):
        block = slice(number * num_elbo_draws, (number + 1) * num_elbo_draws)
        elbo, error = _elbo(values[block], normal.log_density(points[block]))
        _tell(session, index, number, point, elbo)
        # The greatest of many noisy bounds is lucky: one that is known less well must be greater.
        if best is None or elbo - 2.0 * error >= best_score:
            best, best_score = Fit(normal, elbo), elbo - 2.0 * error
    assert best is not None
    return best


def _elbo(log_densities: np.ndarray, log_normals: np.ndarray) -> tuple[float, float]:
    """The evidence lower bound from draws of a normal, and its standard error; -inf where one of them cannot be."""
    terms = log_densities - log_normals
    if not np.isfinite(terms).all():
        return -np.inf, 0.0
    return float(terms.mean()), float(terms.std() / np.sqrt(len(terms)))


def _tell(session: Session, index: int, number: int, point: Point, elbo: float) -> None:
    content = {"path": index, "iteration": number, "lp": point.log_density, "elbo": elbo}
    session.say("path", f"path-{index}", content)


def _draw(session: Session, fits: Sequence[Fit], num_samples: int) -> Mapping[str, Any]:
    """Keep the draws; what there is to say of the fit."""
    normals = [fit.normal for fit in fits]
    drawn = []
    for index, normal in enumerate(normals):
        random = generator(session.seed, index, "draws")
        drawn.append(normal.draw(random.standard_normal((num_samples, session.densities.dimension))))
    points = np.concatenate(drawn)
    log_densities, _ = session.densities(points)
    mixture = logsumexp([normal.log_density(points) for normal in normals], axis=0) - np.log(len(normals))
    log_ratios = np.where(np.isfinite(log_densities), log_densities, -np.inf) - mixture
    weights, k = smoothed(log_ratios)
    chosen = np.arange(num_samples)
    if len(fits) > 1:
        chosen = generator(session.seed, 0, "choice").choice(len(points), num_samples, p=weights)
    session.keep(points[chosen], {"lp": log_densities[chosen], "log_ratio": log_ratios[chosen]})
    return report(log_ratios, weights, k) | {
        "log_evidence": float(logsumexp(log_ratios) - np.log(len(points))),
        "elbo": np.array([fit.elbo for fit in fits]),
        "means": np.stack([normal.mean for normal in normals]),
        "standard_deviations": np.stack([normal.standard_deviations() for normal in normals]),
    }
