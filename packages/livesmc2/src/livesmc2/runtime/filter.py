"""`particle_filter`: the hidden states of a model whose parameters are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from livesmc2.compiler.probe import probe
from livesmc2.compiler.program import Program, program_of
from livesmc2.kernel.rng import derive
from livesmc2.kernel.summary import weighted_quantiles
from livesmc2.model.state_space import ModelError, StateSpaceModel
from livesmc2.runtime.blocks import Crew, Filters, Series, advance, make_rule
from livesmc2.runtime.moves import ONLINE, SMOOTH
from livesmc2.runtime.online import _positive, make_seed
from livesmc2.runtime.step import LEVELS


@dataclass(frozen=True)
class FilterResult:
    """A particle filter's run. The estimate of the likelihood (not of its logarithm) is unbiased."""

    log_likelihood: float
    increments: np.ndarray
    """log p(y_t | y before t) (T,)."""
    ess: np.ndarray
    """Effective sample size of the state particles after each observation (T,)."""
    x: np.ndarray
    """State particles (T, state number, n_x); empty without `history`."""
    w: np.ndarray
    """Their weights (T, n_x)."""
    seed: int
    faults: int
    """Log-likelihoods that were NaN or +inf, counted as zero likelihood."""
    _program: Program
    _theta: np.ndarray
    _covariates: np.ndarray

    @property
    def state(self) -> dict[str, np.ndarray]:
        """State particles by name (T, n_x), or (T, n_x, length)."""
        return self._program.model.state_fields.split(self.x, 1)

    @property
    def mean(self) -> dict[str, np.ndarray]:
        """Filtered means by name (T,)."""
        return {name: np.einsum("tn...,tn->t...", part, self.w) for name, part in self.state.items()}

    @property
    def sd(self) -> dict[str, np.ndarray]:
        """Filtered standard deviations by name (T,)."""
        means = self._program.model.state_fields.split(np.einsum("tjn,tn->tj", self.x, self.w), 1)
        made = {}
        for name, part in self.state.items():
            away = part - np.expand_dims(means[name], 1)
            made[name] = np.sqrt(np.einsum("tn...,tn->t...", away**2, self.w))
        return made

    def quantiles(self, name: str, levels: Any = LEVELS) -> np.ndarray:
        """Filtered quantiles (level, T) of a scalar state."""
        part = self.state[name]
        if part.ndim != 2:
            raise ValueError(f"quantiles: {name!r} is an array; take them of its elements")
        return np.stack([weighted_quantiles(x, w, levels) for x, w in zip(part, self.w, strict=True)], axis=1)

    def smooth(self, n_draws: int = 100, seed: int = 0) -> dict[str, np.ndarray]:
        """Paths drawn from p(states | all observations), by name (n_draws, T): backward sampling.

        Needs the model's `log_transition`. Godsill, Doucet and West 2004, "Monte Carlo smoothing for nonlinear time
        series"; each path costs T n_x densities.
        """
        model = self._program.model
        if model.log_transition is None:
            raise ModelError("smooth needs the density of the transition: give the model a function `log_transition`")
        if not len(self.x):
            raise ValueError("smooth needs the particles of each time: run particle_filter with history=True")
        _positive("n_draws", n_draws)
        out = np.empty((n_draws, len(self.x), self.x.shape[1]))
        key = np.uint64(derive(make_seed(seed), SMOOTH))
        self._program.backward_block(self.x, self.w, self._theta[None], self._covariates, key, out)
        return model.state_fields.split(out, 2)


def particle_filter(
    model: StateSpaceModel,
    theta: Mapping[str, Any],
    data: Any,
    n_x: int = 1000,
    seed: int | None = 0,
    *,
    covariates: Mapping[str, Any] | None = None,
    ess_threshold: float = 0.5,
    resampling: str = "systematic",
    history: bool = True,
    compiled: bool = True,
) -> FilterResult:
    """Filter `data` (T,), or (T, component), with the parameters `theta`; NaN is missing.

    Bootstrap, or guided where the model has a `guide`. history: keep the particles of each time (T state n_x numbers).

    >>> from livesmc2.models import local_level
    >>> model, _ = local_level()
    >>> result = particle_filter(model, {"sigma_level": 0.5, "sigma_y": 1.0}, [0.1, float("nan"), -0.4], seed=1)
    >>> result.mean["level"].shape
    (3,)
    """
    program = program_of(model, compiled)
    _positive("n_x", n_x)
    seed = make_seed(seed)
    rule = make_rule(ess_threshold, resampling)
    rows = model.rows(data)
    cov = model.covariate_rows(covariates, len(rows))
    row = model.parameter_fields.join("theta", theta)
    if len(rows):
        probe(program, row, rows[0], cov[0])
    series = Series(rows, cov, len(rows))
    filters = Filters.empty(1, model.state_fields.width, n_x, max(len(rows), 1))
    crew, root, steps = Crew(1), derive(seed, ONLINE), len(rows)
    kept = steps if history else 0
    x, w, faults, ess = np.empty((kept, filters.x.shape[1], n_x)), np.empty((kept, n_x)), 0, np.empty(kept)
    if history:
        for t in range(steps):
            faults += advance(program, filters, row[None], series, t, t + 1, root=root, rule=rule, crew=crew)
            x[t], w[t] = filters.x[0], filters.w[0]
            ess[t] = 1.0 / (w[t] @ w[t])
    elif steps:
        faults = advance(program, filters, row[None], series, 0, steps, root=root, rule=rule, crew=crew)
    increments = filters.increments[0, :steps].copy()
    return FilterResult(float(increments.sum()), increments, ess, x, w, seed, faults, program, row, cov)


def log_likelihoods(
    model: StateSpaceModel,
    theta: Mapping[str, Any],
    data: Any,
    n_x: int = 1000,
    seed: int | None = 0,
    *,
    covariates: Mapping[str, Any] | None = None,
    ess_threshold: float = 0.5,
    resampling: str = "systematic",
    threads: int | None = None,
    compiled: bool = True,
) -> np.ndarray:
    """Estimates of the log-likelihood (n,), of n parameters given by name as arrays (n,), each with its own numbers."""
    program = program_of(model, compiled)
    _positive("n_x", n_x)
    rows = model.rows(data)
    columns = {name: np.asarray(value, float) for name, value in theta.items()}
    n = max((len(value) for value in columns.values() if value.ndim), default=1)
    each = [{name: value[k] if value.ndim else value for name, value in columns.items()} for k in range(n)]
    parameters = np.stack([model.parameter_fields.join("theta", one) for one in each])
    series = Series(rows, model.covariate_rows(covariates, len(rows)), len(rows))
    filters = Filters.empty(n, model.state_fields.width, n_x, max(len(rows), 1))
    crew = Crew(threads)
    root, rule = derive(make_seed(seed), ONLINE), make_rule(ess_threshold, resampling)
    advance(program, filters, parameters, series, 0, len(rows), root=root, rule=rule, crew=crew)
    crew.close()
    return filters.total(len(rows))
