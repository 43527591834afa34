"""Discrete-event simulation: a model is data, and one interpreter runs it.

>>> from livesim import Model, arrive, depart, exponential, hold, release, run, seize
>>> shop = Model("barbershop").resource("barber").process(
...     "customer", arrive(every=exponential(mean=18)), seize("barber"), hold(exponential(mean=16)),
...     release("barber"), depart())
>>> result = run(shop, until=200_000, seed=42)
>>> 0.85 < result["barber"].utilization < 0.93
True
"""

from livesim import analysis, entities
from livesim.analysis.intervals import Interval
from livesim.distributions import (
    bernoulli,
    beta,
    binomial,
    constant,
    discrete,
    discrete_uniform,
    empirical,
    erlang,
    exponential,
    from_scipy,
    gamma,
    geometric,
    hyperexponential,
    lognormal,
    negative_binomial,
    normal,
    pareto,
    pert,
    poisson,
    trace,
    triangular,
    truncated_normal,
    uniform,
    weibull,
)  # fmt: skip
from livesim.entities import Entity
from livesim.model.builder import Model
from livesim.model.expressions import (
    age,
    attribute,
    busy,
    capacity,
    exp,
    floor,
    free,
    in_process,
    item,
    level,
    log,
    maximum,
    minimum,
    now,
    param,
    queue_length,
    sqrt,
    where,
)  # fmt: skip
from livesim.model.resources import failures, schedule
from livesim.model.verbs import (
    arrive,
    assign,
    balk,
    batch,
    combine,
    decide,
    depart,
    get,
    hold,
    jump,
    label,
    loop,
    put,
    record,
    release,
    renege,
    route,
    seize,
    signal,
    split,
    transport,
    unbatch,
    wait,
)  # fmt: skip
from livesim.result import Result
from livesim.runs import Runs
from livesim.runtime.checkpoint import CheckpointError
from livesim.runtime.compare import Best, Comparison, compare, select_best
from livesim.runtime.errors import DeadlockError, SimulationError
from livesim.runtime.observed import InProcess, observed
from livesim.runtime.replicate import replicate, resume
from livesim.runtime.run import run
from livesim.runtime.snapshot import Snapshot
from livesim.runtime.stepping import JobState, Simulation

__version__ = "0.1.0"

__all__ = [
    "Best", "CheckpointError", "Comparison", "DeadlockError", "Entity", "InProcess", "Interval", "JobState",
    "Model", "Result", "Runs", "Simulation", "SimulationError", "Snapshot", "age", "analysis", "arrive", "assign",
    "attribute", "balk", "batch", "bernoulli", "beta", "binomial", "busy", "capacity", "combine", "compare",
    "constant", "decide", "depart", "discrete", "discrete_uniform", "empirical", "entities", "erlang", "exp",
    "exponential", "failures", "floor", "free", "from_scipy", "gamma", "geometric", "get", "hold",
    "hyperexponential", "in_process", "item", "jump", "label", "level", "log", "lognormal", "loop", "maximum",
    "minimum", "negative_binomial", "normal", "now", "observed", "param", "pareto", "pert", "poisson", "put",
    "queue_length", "record", "release", "renege", "replicate", "resume", "route", "run", "schedule", "seize",
    "select_best", "signal", "split", "sqrt", "trace", "transport", "triangular", "truncated_normal", "unbatch",
    "uniform", "wait", "weibull", "where",
]  # fmt: skip
