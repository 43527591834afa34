"""Particle marginal Metropolis-Hastings by itself: long chains for a fixed data set (Andrieu et al. 2010)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from livesmc2.compiler.program import program_of
from livesmc2.kernel.rng import derive
from livesmc2.model.prior import Prior
from livesmc2.model.state_space import Fields, StateSpaceModel
from livesmc2.runtime.blocks import Crew, Filters, Series, advance, make_rule
from livesmc2.runtime.cloud import fitted_normal
from livesmc2.runtime.moves import ONLINE, PRIOR, PROPOSE, REPLAY
from livesmc2.runtime.online import _positive, make_seed


@dataclass(frozen=True)
class PMMHResult:
    """Draws of parameters."""

    values: np.ndarray
    """(chain, draw, parameter number)."""
    log_likelihood: np.ndarray
    """The estimate that goes with each draw (chain, draw)."""
    acceptance: np.ndarray
    """Of each chain, after warm-up (chain,)."""
    seed: int
    _fields: Fields

    @property
    def draws(self) -> dict[str, np.ndarray]:
        """By name (chain, draw), or (chain, draw, length)."""
        return self._fields.split(self.values, 2)


def pmmh(
    model: StateSpaceModel,
    prior: Any,
    data: Any,
    n_x: int = 200,
    n_draws: int = 1000,
    n_warmup: int = 500,
    n_chains: int = 32,
    seed: int | None = None,
    *,
    covariates: Mapping[str, Any] | None = None,
    ess_threshold: float = 0.5,
    resampling: str = "systematic",
    threads: int | None = None,
    compiled: bool = True,
) -> PMMHResult:
    """Many chains side by side, each move one block of filters over threads.

    Chains begin at draws from the prior. In warm-up proposals are scaled by the covariance of all chains' last half,
    afterwards by what was found, fixed.
    """
    for name, value in (("n_x", n_x), ("n_draws", n_draws), ("n_warmup", n_warmup), ("n_chains", n_chains)):
        _positive(name, value)
    program, seed = program_of(model, compiled), make_seed(seed)
    law = prior if isinstance(prior, Prior) else Prior(prior, model.parameter_fields)
    rule, crew = make_rule(ess_threshold, resampling), Crew(threads)
    rows = model.rows(data)
    steps = len(rows)
    series = Series(rows, model.covariate_rows(covariates, steps), steps)
    theta = law.draw(np.random.Generator(np.random.SFC64(derive(seed, PRIOR))), n_chains)
    u = law.to_line(theta)
    filters, spare = (Filters.empty(n_chains, model.state_fields.width, n_x, max(steps, 1)) for _ in range(2))
    advance(program, filters, theta, series, 0, steps, root=derive(seed, ONLINE), rule=rule, crew=crew)
    _, log_prior = law.log_density_on_line(u)
    d = u.shape[1]
    past: list[np.ndarray] = [u.copy()]
    values, lls = np.empty((n_chains, n_draws, d)), np.empty((n_chains, n_draws))
    moved = np.zeros(n_chains)
    fitted = fitted_normal(u, np.full(n_chains, 1.0 / n_chains))
    total = filters.total(steps)
    for k in range(n_warmup + n_draws):
        if k <= n_warmup and (k < 50 or k % 25 == 0):
            seen = np.concatenate(past[len(past) // 2 :])
            fitted = fitted_normal(seen, np.full(len(seen), 1.0 / len(seen)))
        rng = np.random.Generator(np.random.SFC64(derive(seed, PROPOSE, k)))
        proposal = u + 2.38 / math.sqrt(d) * rng.standard_normal(u.shape) @ fitted.cholesky.T
        log_uniform = np.log1p(-rng.random(n_chains))
        theta_proposed, log_prior_proposed = law.log_density_on_line(proposal)
        inside = np.flatnonzero(np.isfinite(log_prior_proposed))
        with np.errstate(invalid="ignore"):
            needed = log_prior + total - log_prior_proposed + log_uniform
        needed[np.isneginf(total)] = -np.inf  # from an impossible start any possible proposal is accepted
        advance(
            program, spare, theta_proposed, series, 0, steps,
            root=derive(seed, REPLAY, k), rule=rule, crew=crew, rows=inside, floors=needed,
        )  # fmt: skip
        reached = np.full(n_chains, -np.inf)
        reached[inside] = spare.total(steps)[inside]
        accepted = (reached > -np.inf) & (reached >= needed)
        u[accepted], theta[accepted] = proposal[accepted], theta_proposed[accepted]
        total[accepted], log_prior[accepted] = reached[accepted], log_prior_proposed[accepted]
        if k < n_warmup:
            past.append(u.copy())
        else:
            values[:, k - n_warmup], lls[:, k - n_warmup] = theta, total
            moved += accepted
    crew.close()
    return PMMHResult(values, lls, moved / n_draws, seed, model.parameter_fields)
