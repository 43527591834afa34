"""`smc`: particles from the prior to the posterior, through powers of the likelihood; it knows the evidence."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import brentq

from livenuts.adaptation.dual_averaging import settled
from livenuts.adaptation.fisher import Estimate, centered, estimate
from livenuts.adaptation.warmup import CUTOFF
from livenuts.inference.options import count, fraction
from livenuts.inference.session import Session
from livenuts.inference.tempered import Moved, Tempered, log_mean_exp, stage_key
from livenuts.messages import Sink
from livenuts.result import Result

_TARGET_ACCEPT = 0.8
# The pilot moves its particles until no coordinate correlates with where it was by more than this, so often at most.
_REMEMBERED, _MOST_MOVES = 0.2, 30
_MOST_STAGES = 1000


class Stage(NamedTuple):
    """What the pilot run fixed for a stage."""

    temper: float
    """The power of the likelihood that the stage ends with, from 0 to 1."""
    metric: Estimate
    step_size: float
    num_moves: int


class Cloud(NamedTuple):
    """Particles of equal weight, and the evidence so far."""

    positions: np.ndarray
    log_prior: np.ndarray
    log_likelihood: np.ndarray
    log_evidence: float


class Progress(NamedTuple):
    """Runs that have reached the posterior."""

    ladder: tuple[Stage, ...]
    log_evidence: tuple[float, ...]
    effective_sample_size: tuple[tuple[float, ...], ...]


def smc(
    model: Any,
    *,
    num_samples: int = 1000,
    num_chains: int = 4,
    seed: int | None = None,
    threshold: float = 0.5,
    sink: Sink | None = None,
    stop: Callable[[], bool] | None = None,
    progress: bool = True,
) -> Result:
    """Draw from a posterior by sequential Monte Carlo, tempering the likelihood; and estimate the evidence.

    Particles are drawn from the prior and go to the posterior through prior * likelihood^b, with b from 0 to 1: at
    each stage they are weighted, resampled (systematically), and moved by NUTS transitions that leave that stage's
    distribution invariant (Del Moral, Doucet and Jasra 2006). A pilot run chooses the stages, so that the
    conditional effective sample size is `threshold` of the particles (Zhou, Johansen and Aston 2016), and each stage's
    metric, step size and number of moves. The `num_chains` runs that follow keep to what the pilot chose: given it,
    the estimate of the evidence is unbiased for any number of particles, which an adaptive run's is not.

    Priors are the model's random variables, the likelihood its observations and factors. A multimodal posterior is
    covered as far as particles of the prior found its modes.

    Parameters
    ----------
    model, seed, sink, stop, progress
        As in `ln.sample`; `stop` is asked between stages. A run that has not reached the posterior is left out; one
        whose particles all came to have no likelihood too, with a warning and an evidence of 0.
    num_samples
        Particles of a run: its draws.
    num_chains
        Independent runs after the pilot.
    threshold
        Between 0 and 1; larger means more stages and a better known evidence.

    Returns
    -------
    Result
        `fit["log_evidence"]`: log of the mean of the runs' evidences; `fit["log_evidence_by_chain"]` (chain,): how far
        these are apart is how well it is known. `fit["tempers"]` (stage,), `fit["num_moves"]` (stage,),
        `fit["effective_sample_size"]` (chain, stage). `stats["log_likelihood"]` of each draw.

    Raises
    ------
    ValueError
        Where a variable has no prior to draw from, or no draw of it has a finite likelihood.
    """
    settings = {
        "num_samples": count("num_samples", num_samples, 2),
        "num_chains": count("num_chains", num_chains),
        "threshold": fraction("threshold", threshold),
    }
    session = Session("smc", model, settings, seed, sink, stop, progress)
    tempered = Tempered(session.bound)

    def steps(session: Session) -> Iterator[Progress]:
        state = Progress((), (), ())
        ladder: list[Stage] = []
        for stage in _pilot(session, tempered, num_samples, threshold):
            ladder.append(stage)
            yield state
        for chain in range(num_chains):
            cloud, sizes = _first(session, tempered, num_samples, chain + 1), [0.0] * len(ladder)
            for number in range(len(ladder)):
                if not np.isfinite(cloud.log_likelihood).any():
                    warnings.warn(f"smc: run {chain} died out: no particle had a finite likelihood", stacklevel=5)
                    cloud = cloud._replace(log_evidence=-math.inf)
                    break
                cloud, sizes[number] = _stage(session, tempered, cloud, ladder, number, chain + 1)
                yield state
            else:
                stats = {"lp": cloud.log_prior + cloud.log_likelihood, "log_likelihood": cloud.log_likelihood}
                session.keep(cloud.positions, stats)
            state = Progress(
                tuple(ladder),
                (*state.log_evidence, cloud.log_evidence),
                (*state.effective_sample_size, tuple(sizes)),
            )
            yield state

    def finish(_: Session, state: Progress) -> Mapping[str, Any]:
        if not state.log_evidence:
            return {}
        return {
            "log_evidence": log_mean_exp(np.array(state.log_evidence)),
            "log_evidence_by_chain": np.array(state.log_evidence),
            "tempers": np.array([stage.temper for stage in state.ladder]),
            "num_moves": np.array([stage.num_moves for stage in state.ladder]),
            "effective_sample_size": np.array(state.effective_sample_size),
        }

    return session.run(steps, finish, ("lp", "log_likelihood"))


def _first(session: Session, tempered: Tempered, number: int, run: int) -> Cloud:
    """Draws of the prior with their likelihood. Run 0 is the pilot."""
    seed = int(np.random.SeedSequence(session.seed, spawn_key=(run, 6)).generate_state(1, np.uint32)[0])
    positions = tempered.draw_prior(seed, number)
    unit = Estimate(np.ones(tempered.dimension), np.empty((0, tempered.dimension)), np.empty(0))
    found = tempered.move(positions, 0.0, unit, 0.0, np.uint64(0), 0)
    return Cloud(positions, found.log_prior, found.log_likelihood, 0.0)


def _stage(
    session: Session, tempered: Tempered, cloud: Cloud, ladder: list[Stage], number: int, run: int
) -> tuple[Cloud, float]:
    """Weight, resample and move; the cloud after it, and the effective sample size of the weights."""
    stage, before = ladder[number], ladder[number - 1].temper if number else 0.0
    log_weights = _log_weights(cloud, before, stage.temper)
    log_evidence = cloud.log_evidence + log_mean_exp(log_weights)
    size = effective_sample_size(log_weights)
    chosen = _resample(session, log_weights, run, number)
    moved = tempered.move(
        cloud.positions[chosen],
        stage.temper,
        stage.metric,
        stage.step_size,
        stage_key(session.seed, run, number),
        stage.num_moves,
    )
    cloud = Cloud(moved.positions, moved.log_prior, moved.log_likelihood, log_evidence)
    _tell(session, f"stages-{run - 1}", run - 1, number, stage, log_evidence, size, moved)
    return cloud, size


def _pilot(session: Session, tempered: Tempered, number: int, threshold: float) -> Iterator[Stage]:
    """The stages, chosen on the way."""
    cloud = _first(session, tempered, number, 0)
    if not np.isfinite(cloud.log_likelihood).any():
        raise ValueError(
            f"smc: none of {number} draws of the prior has a finite likelihood: narrow the prior, or use more particles"
        )
    temper, step_size = 0.0, tempered.dimension**-0.25
    scale = np.ones(tempered.dimension)
    for place in range(_MOST_STAGES):
        following = next_temper(cloud.log_likelihood, temper, threshold)
        log_weights = _log_weights(cloud, temper, following)
        size = effective_sample_size(log_weights)
        log_evidence = cloud.log_evidence + log_mean_exp(log_weights)
        positions = cloud.positions[_resample(session, log_weights, 0, place)]
        temper = following
        metric = _metric(tempered, positions, temper, scale)
        scale = metric.scale
        moved, step_size, num_moves = _settle(session, tempered, positions, temper, metric, step_size, place)
        cloud = Cloud(moved.positions, moved.log_prior, moved.log_likelihood, log_evidence)
        stage = Stage(temper, metric, step_size, num_moves)
        _tell(session, "pilot", None, place, stage, log_evidence, size, moved)
        yield stage
        if temper == 1.0:
            return
    raise ValueError(f"smc: the likelihood is not reached in {_MOST_STAGES} stages; they come to its power {temper:g}")


def _metric(tempered: Tempered, positions: np.ndarray, temper: float, scale: np.ndarray) -> Estimate:
    """Of least Fisher divergence, from particles and their gradients."""
    unit = Estimate(np.ones(tempered.dimension), np.empty((0, tempered.dimension)), np.empty(0))
    gradients = tempered.move(positions, temper, unit, 0.0, np.uint64(0), 0).gradients
    known = np.isfinite(gradients).all(1)
    return estimate(
        centered(positions[known]), centered(gradients[known]), tempered.most_directions, CUTOFF, fallback=scale
    )


def _settle(
    session: Session,
    tempered: Tempered,
    positions: np.ndarray,
    temper: float,
    metric: Estimate,
    step_size: float,
    place: int,
) -> tuple[Moved, float, int]:
    """Move the pilot's particles until they have forgotten where they were; the step size and number that it took.

    The first move only looks for the step size and does not count.
    """
    moved, number = None, 0
    for number in range(_MOST_MOVES + 1):
        key = stage_key(session.seed, 0, place) + np.uint64(number + 1)
        from_here = positions if moved is None else moved.positions
        moved = tempered.move(from_here, temper, metric, step_size, key, 1)
        rates = np.where(np.isfinite(moved.acceptance_rates), moved.acceptance_rates, 0.0)
        step_size = settled(np.full(len(rates), step_size), rates, _TARGET_ACCEPT)
        if number and remembered(positions, moved.positions) < _REMEMBERED:
            break
    assert moved is not None
    return moved, step_size, max(1, number)


def remembered(before: np.ndarray, after: np.ndarray) -> float:
    """The largest correlation over coordinates between where particles (n, dimension) were and are."""
    x, y = before - before.mean(0), after - after.mean(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = (x * y).sum(0) / np.sqrt((x**2).sum(0) * (y**2).sum(0))
    return float(np.nan_to_num(correlation, nan=0.0).max())


def next_temper(log_likelihood: np.ndarray, temper: float, threshold: float) -> float:
    """The next power of the likelihood: the conditional effective sample size falls to `threshold`, or 1.

    Particles of equal weight: it is that of the weights. Particles that the likelihood forbids do not count.
    """
    known = log_likelihood[np.isfinite(log_likelihood)]

    def excess(following: float) -> float:
        return effective_sample_size((following - temper) * known) / len(known) - threshold

    if excess(1.0) >= 0.0:
        return 1.0
    # The difference may be far below what a temper next to 1 resolves: search its logarithm.
    width = brentq(lambda log_width: excess(temper + math.exp(log_width)), -700.0, math.log(1.0 - temper), xtol=1e-6)
    following = temper + math.exp(width)
    return following if following > temper else math.nextafter(temper, 1.0)


def effective_sample_size(log_weights: np.ndarray) -> float:
    """(sum w)^2 / sum w^2."""
    weights = np.exp(log_weights - log_weights.max())
    return float(weights.sum() ** 2 / (weights**2).sum())


def _log_weights(cloud: Cloud, before: float, after: float) -> np.ndarray:
    finite = np.isfinite(cloud.log_likelihood)
    weights: np.ndarray = np.where(finite, (after - before) * np.where(finite, cloud.log_likelihood, 0.0), -np.inf)
    return weights


def _resample(session: Session, log_weights: np.ndarray, run: int, stage: int) -> np.ndarray:
    """Systematic resampling: each particle's expected number of copies is its weight times their number."""
    offset = np.random.Generator(
        np.random.Philox(np.random.SeedSequence(session.seed, spawn_key=(run, 7, stage)))
    ).uniform()
    weights = np.exp(log_weights - log_weights.max())
    edges = np.cumsum(weights)
    points = (np.arange(len(weights)) + offset) / len(weights) * edges[-1]
    chosen: np.ndarray = np.minimum(np.searchsorted(edges, points, side="right"), len(weights) - 1)
    return chosen


def _tell(
    session: Session,
    part: str,
    chain: int | None,
    number: int,
    stage: Stage,
    log_evidence: float,
    size: float,
    moved: Moved,
) -> None:
    content = {
        "chain": chain,
        "stage": number,
        "temper": stage.temper,
        "log_evidence": log_evidence,
        "effective_sample_size": size,
        "num_moves": stage.num_moves,
        "step_size": stage.step_size,
        "acceptance_rate": float(np.nanmean(moved.acceptance_rates)),
        "num_steps": int(moved.num_steps.sum()),
    }
    session.say("stage", part, content)
