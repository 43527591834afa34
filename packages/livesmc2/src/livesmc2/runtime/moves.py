"""Rejuvenation: particle marginal Metropolis-Hastings moves of all parameters, and more state particles if they fail.

Chopin, Jacob and Papaspiliopoulos 2013, "SMC²: an efficient algorithm for sequential analysis of state space models".
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from livesmc2.compiler.program import Program
from livesmc2.kernel.rng import derive
from livesmc2.runtime.blocks import Crew, Filters, Rule, Series, advance
from livesmc2.runtime.cloud import Anchor, Cloud, Normal, fitted_normal
from livesmc2.runtime.exchange import exchange

PRIOR, ONLINE, RESAMPLE, PROPOSE, REPLAY, EXCHANGE, FORECAST, SUMMARY, SMOOTH = range(9)
"""What random numbers are for: the first index below the seed."""

PROPOSALS = ("random_walk", "independent", "mixed")
_DEGREES_OF_FREEDOM = 5.0


class MoveSettings(NamedTuple):
    """How parameters are moved."""

    n_moves: int | None
    """None: until a parameter has been replaced `replacements` times on average, at least 2 and at most 20 moves."""
    proposal: str
    min_acceptance: float
    max_n_x: int
    covariance: np.ndarray | None
    """Of random-walk steps, on the line; None: 2.38² / d times that of the particles before resampling."""


@dataclass
class Rejuvenation:
    """What a rejuvenation did."""

    acceptance: list[float] = field(default_factory=list)
    """Of each move, the fraction of parameters that accepted."""
    exchanges: int = 0
    """How often the number of state particles was doubled."""
    faults: int = 0
    particle_steps: int = 0
    """State particles moved over an observation; filters given up early count as if they had not been."""


_LEAST_MOVES, _MOST_MOVES, _REPLACEMENTS = 2, 20, 1.0


def rejuvenate(
    program: Program, cloud: Cloud, series: Series, seed: int, rule: Rule, crew: Crew, settings: MoveSettings
) -> Rejuvenation:
    """Resample parameters and move them, with the law of their covariance taken before; changes the cloud."""
    time = series.length
    fitted = fitted_proposal(cloud, settings)
    cloud.resample(_uniform(derive(seed, RESAMPLE, time)))
    done = Rejuvenation()
    spare = Filters.empty(
        len(cloud.u),
        cloud.filters.x.shape[1],
        cloud.filters.n_x,
        cloud.filters.increments.shape[1],
        cloud.filters.offset,
    )
    _, log_past = cloud.log_past(cloud.u)
    while True:
        first = len(done.acceptance)
        while _goes_on(done.acceptance[first:], settings.n_moves):
            move = len(done.acceptance)
            log_past = _move(program, cloud, series, seed, move, rule, crew, fitted, log_past, spare, settings, done)
        recent = done.acceptance[first:]
        too_few = bool(recent) and float(np.mean(recent)) < settings.min_acceptance
        n_x = 2 * cloud.filters.n_x
        if not too_few or n_x > settings.max_n_x:
            return done
        spare = exchange(program, cloud, series, derive(seed, EXCHANGE, time, n_x), rule, crew, n_x)
        done.exchanges += 1


def _goes_on(acceptance: list[float], n_moves: int | None) -> bool:
    if n_moves is not None:
        return len(acceptance) < n_moves
    return len(acceptance) < _LEAST_MOVES or (sum(acceptance) < _REPLACEMENTS and len(acceptance) < _MOST_MOVES)


def fitted_proposal(cloud: Cloud, settings: MoveSettings) -> Normal:
    """The law by which proposals are scaled: of the weighted particles, on the line."""
    if settings.covariance is not None:
        return Normal(np.zeros(len(settings.covariance)), np.linalg.cholesky(settings.covariance))
    return fitted_normal(cloud.u, cloud.weights)


def propose(
    u: np.ndarray, fitted: Normal, settings: MoveSettings, move: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray | float]:
    """Proposals (n, d), and log q(u | proposal) - log q(proposal | u)."""
    n, d = u.shape
    z = rng.standard_normal((n, d))
    walks = settings.proposal == "random_walk" or (settings.proposal == "mixed" and move % 2 == 1)
    if walks or settings.covariance is not None:
        scale = 1.0 if settings.covariance is not None else 2.38 / math.sqrt(d)
        return u + scale * z @ fitted.cholesky.T, 0.0
    heavy = np.sqrt(_DEGREES_OF_FREEDOM / rng.chisquare(_DEGREES_OF_FREEDOM, n))
    proposal = fitted.mean + (z * heavy[:, None]) @ fitted.cholesky.T
    return proposal, _log_student(u, fitted) - _log_student(proposal, fitted)


def _log_student(u: np.ndarray, fitted: Normal) -> np.ndarray:
    """log density of Student's t, up to its constant."""
    z = np.linalg.solve(fitted.cholesky, (u - fitted.mean).T)
    power = -0.5 * (_DEGREES_OF_FREEDOM + u.shape[1])
    return np.asarray(power * np.log1p((z * z).sum(axis=0) / _DEGREES_OF_FREEDOM))


def _move(
    program: Program, cloud: Cloud, series: Series, seed: int, move: int, rule: Rule, crew: Crew, fitted: Normal,
    log_past: np.ndarray, spare: Filters, settings: MoveSettings, done: Rejuvenation,
) -> np.ndarray:  # fmt: skip
    """One move of every parameter: a fresh filter for its proposal, accepted or refused with everything it made."""
    time = series.length
    rng = np.random.Generator(np.random.SFC64(derive(seed, PROPOSE, time, move)))
    proposal, log_q = propose(cloud.u, fitted, settings, move, rng)
    log_uniform = np.log1p(-rng.random(len(proposal)))
    theta, log_past_proposed = cloud.log_past(proposal)
    rows = np.flatnonzero(np.isfinite(log_past_proposed))
    with np.errstate(invalid="ignore"):
        # The log-likelihood from which on a proposal is accepted; a filter that cannot reach it is given up.
        needed = log_past + cloud.filters.total(time) - log_past_proposed - log_q + log_uniform
    root = derive(seed, REPLAY, time, move)
    anchors, faults = replay(program, cloud.anchors, theta, series, spare, root, rule, crew, rows, needed)
    reached = np.full(len(proposal), -np.inf)
    reached[rows] = spare.total(time)[rows]
    accepted = np.flatnonzero((reached > -np.inf) & (reached >= needed))
    cloud.u[accepted], cloud.theta[accepted] = proposal[accepted], theta[accepted]
    cloud.filters.put(accepted, spare)
    cloud.references.until[accepted] = 0
    for anchor, (x, w) in zip(cloud.anchors[1:], anchors, strict=True):
        assert anchor.x is not None
        assert anchor.w is not None
        anchor.x[accepted], anchor.w[accepted] = x[accepted], w[accepted]
    done.acceptance.append(len(accepted) / len(proposal))
    done.faults += faults
    done.particle_steps += len(rows) * spare.n_x * (time - cloud.anchors[0].time)
    log_past = log_past.copy()
    log_past[accepted] = log_past_proposed[accepted]
    return log_past


def replay(
    program: Program, anchors: list[Anchor], theta: np.ndarray, series: Series, filters: Filters, root: int, rule: Rule,
    crew: Crew, rows: np.ndarray, needed: np.ndarray,
) -> tuple[list[tuple[np.ndarray, np.ndarray]], int]:  # fmt: skip
    """Fresh filters from the older anchor on, with their states at the later anchor; how many faults there were."""
    first, later = anchors[0], anchors[1:]
    if first.x is not None and first.w is not None:
        filters.x[rows], filters.w[rows] = first.x[rows], first.w[rows]
    states, faults, t0 = [], 0, first.time
    for anchor in later:
        impossible = np.full(len(theta), -1e300)
        faults += advance(
            program, filters, theta, series, t0, anchor.time,
            root=root, rule=rule, crew=crew, rows=rows, floors=impossible, travel=True,
        )  # fmt: skip
        states.append((filters.x.copy(), filters.w.copy()))
        t0 = anchor.time
        reached = filters.increments[:, first.time - filters.offset : t0 - filters.offset].sum(axis=1)
        with np.errstate(invalid="ignore"):
            needed = needed - reached
        rows = rows[np.isfinite(reached[rows])]
    if t0 < series.length:
        faults += advance(
            program, filters, theta, series, t0, series.length,
            root=root, rule=rule, crew=crew, rows=rows, floors=needed, travel=True,
        )  # fmt: skip
    return states, faults


def _uniform(key: int) -> float:
    return float((key >> 12) * 2.0**-52 + 2.0**-53)
