"""The messages that livenuts sends, as plain dicts of these forms.

Parts `chain-k/warmup` and `progress` are telemetry. The others are lossless: their content follows from model, data,
settings and seed alone.
"""

from collections.abc import Callable
from typing import Any, TypedDict

Message = dict[str, Any]
Sink = Callable[[Message], Any]
"""Any callable of one message. If it raises, the run stops; its `flush()`, if any, is called at the end."""


class Start(TypedDict):
    """`nuts.start/1` on part `run`, seq 0."""

    type: str
    part: str
    seq: int
    model: str
    digest: str
    """Of the log density and the data."""
    settings: dict[str, Any]
    seed: int
    variables: list[dict[str, Any]]
    """Of each: name, shape, dims (or None)."""


class Draw(TypedDict):
    """`nuts.draw/1` on part `chain-k`; seq is the draw's number in its chain."""

    type: str
    part: str
    seq: int
    chain: int
    draw: int
    values: dict[str, Any]
    """Constrained values by variable: a float, or an array of the variable's shape."""
    stats: dict[str, Any]
    """lp, energy, acceptance_rate, step_size, n_steps, tree_depth, diverging, index_in_trajectory, recovered. Of `advi`
    and `pathfinder` lp, log_ratio, diverging; of `smc` lp, log_likelihood, diverging."""


class Warmup(Draw):
    """`nuts.warmup/1` on part `chain-k/warmup`: an iteration of warm-up, with the fields of a draw."""


class Elbo(TypedDict):
    """`nuts.elbo/1` on part `elbo`: an iteration of `advi`; seq = iteration."""

    type: str
    part: str
    seq: int
    iteration: int
    elbo: float
    """An estimate of the evidence lower bound, noisy; -inf where a draw had no finite log density."""
    learning_rate: float


class Path(TypedDict):
    """`nuts.path/1` on part `path-k`: a step of L-BFGS in `pathfinder`; seq = iteration."""

    type: str
    part: str
    seq: int
    path: int
    iteration: int
    lp: float
    """Log density there."""
    elbo: float
    """The evidence lower bound of the normal there, estimated."""


class Stage(TypedDict):
    """`nuts.stage/1` on parts `pilot` and `stages-k`: a stage of `smc`; seq = stage."""

    type: str
    part: str
    seq: int
    chain: int | None
    """None in the pilot run."""
    stage: int
    temper: float
    """The power of the likelihood that is reached."""
    log_evidence: float
    """So far."""
    effective_sample_size: float
    """Of the stage's weights."""
    num_moves: int
    step_size: float
    acceptance_rate: float
    num_steps: int
    """Leapfrog steps of all particles."""


class Progress(TypedDict):
    """`nuts.progress/1` on part `progress`, a few times a second."""

    type: str
    part: str
    seq: int
    total: int
    """Iterations a chain will make, warm-up included."""
    num_warmup: int
    elapsed: float
    """Seconds since the chains started."""
    chains: list[dict[str, Any]]
    """Of each: chain, iteration, phase, divergences, step_size, acceptance_rate, leapfrogs."""


class End(TypedDict):
    """`nuts.end/1` on part `run`: nothing follows."""

    type: str
    part: str
    seq: int
    status: str
    """completed, stopped, interrupted or failed."""
    draws: list[int]
    """Draws made by each chain."""


class Failure(TypedDict):
    """`nuts.failure/1` on part `run`: what went wrong in a transition that was rejected, or before the end."""

    type: str
    part: str
    seq: int
    error: str
    recovered: bool
    """Whether the run went on."""
    chain: int | None
    iteration: int | None
    """The chain's iteration, counted from the start of warm-up, if the run went on."""


TYPES: dict[str, type] = {
    "nuts.start/1": Start,
    "nuts.draw/1": Draw,
    "nuts.warmup/1": Warmup,
    "nuts.elbo/1": Elbo,
    "nuts.path/1": Path,
    "nuts.stage/1": Stage,
    "nuts.progress/1": Progress,
    "nuts.end/1": End,
    "nuts.failure/1": Failure,
}
