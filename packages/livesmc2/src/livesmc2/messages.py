"""The messages that livesmc2 sends, as plain dicts of these forms.

Parts `run` and `steps` are lossless: their content follows from model, prior, data, settings and seed alone. Part
`progress` is telemetry.
"""

from collections.abc import Callable
from typing import Any, TypedDict

import numpy as np

Message = dict[str, Any]
Sink = Callable[[Message], Any]
"""Any callable of one message. If it raises, the run stops; its `flush()`, if any, is called at the end."""


class Start(TypedDict):
    """`smc2.start/1` on part `run`, seq 0."""

    type: str
    part: str
    seq: int
    model: str
    digest: str
    """Of the model's functions and names."""
    settings: dict[str, Any]
    seed: int
    parameters: list[str]
    """One label a number: `beta`, `mu[0]`."""
    state: list[str]
    observed: list[str]
    levels: list[float]
    """Of the quantiles in steps."""


class Step(TypedDict):
    """`smc2.step/1` on part `steps`: what is believed after an observation; seq counts them as they are sent."""

    type: str
    part: str
    seq: int
    t: int
    """The observation's index; it goes back where an observation was revised."""
    y: list[float]
    """NaN where missing."""
    log_evidence: float
    log_evidence_increment: float
    """The logarithm of the probability (density) with which this observation was expected: its log score."""
    ess: float
    """Effective sample size of the parameters, before any rejuvenation."""
    n_x: int
    rejuvenated: bool
    acceptance: list[float]
    """Of each move of a rejuvenation, the fraction of parameters that moved."""
    exchanges: int
    """How often the number of state particles was doubled at this step."""
    faults: int
    """Log-likelihoods that were NaN or +inf, and counted as zero likelihood."""
    skipped: bool
    """No particle could explain the observation, and it counts as missing."""
    theta: dict[str, Any]
    """mean, sd (parameter,) and quantiles (level, parameter) in the order of the start message."""
    state: dict[str, Any]
    """The same of the state: over the states of all parameters."""
    forecast: np.ndarray | None
    """Quantiles (level, h, component) of the observations at t + 1, t + 2, ..., where a horizon was asked for."""


class Progress(TypedDict):
    """`smc2.progress/1` on part `progress`, a few times a second."""

    type: str
    part: str
    seq: int
    done: int
    """Observations so far."""
    total: int
    """Observations in all."""
    elapsed: float
    """Seconds since the run began."""
    rejuvenations: int


class End(TypedDict):
    """`smc2.end/1` on part `run`: nothing follows."""

    type: str
    part: str
    seq: int
    status: str
    """completed, stopped, interrupted or failed."""
    steps: int
    """Observations taken in."""
    log_evidence: float


class Failure(TypedDict):
    """`smc2.failure/1` on part `run`: what ended the run."""

    type: str
    part: str
    seq: int
    error: str
    recovered: bool
    t: int | None
    """The observation's index."""


TYPES: dict[str, type] = {
    "smc2.start/1": Start,
    "smc2.step/1": Step,
    "smc2.progress/1": Progress,
    "smc2.end/1": End,
    "smc2.failure/1": Failure,
}
