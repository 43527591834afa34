"""The messages that livesim sends, as plain dicts of these forms.

Parts `run`, `replications` and `events-k` are lossless: their content follows from model, settings and seed alone.
Part `progress` is telemetry.
"""

from collections.abc import Callable
from typing import Any, TypedDict

Message = dict[str, Any]
Sink = Callable[[Message], Any]
"""Any callable of one message. If it raises, the run stops; its `flush()`, if any, is called at the end."""


class Start(TypedDict):
    """`sim.start/1` on part `run`, seq 0."""

    type: str
    part: str
    seq: int
    model: str
    digest: str
    """Of the model, its parameters and the state that it starts from."""
    settings: dict[str, Any]
    seed: int
    warmup: float
    """From which time on statistics count: as given, or as it was found in pilot replications."""


class Replication(TypedDict):
    """`sim.replication/1` on part `replications`; seq is the replication's number."""

    type: str
    part: str
    seq: int
    replication: int
    params: dict[str, float]
    values: dict[str, float]
    """Numbers by path, such as `customer.wait.mean`; NaN where there is nothing to average; none if it failed."""
    events: int
    clock: float
    """The time at its end."""
    error: str | None
    """Why it failed."""


class Event(TypedDict):
    """`sim.event/1` on part `events-k`, when asked for; seq is its number in replication k."""

    type: str
    part: str
    seq: int
    replication: int
    time: float
    action: str
    """arrive, wait, go, hold, release, interrupt, renege, split, combine, depart or capacity."""
    process: str
    """Empty for a change of capacity."""
    job: int
    step: int
    """Its number in the process, from 1."""
    detail: str
    length: float | None
    """Of a hold: how long it takes."""


class Progress(TypedDict):
    """`sim.progress/1` on part `progress`, a few times a second."""

    type: str
    part: str
    seq: int
    total: int
    """Replications asked for: the most there can be, if they go on to a precision."""
    made: int
    failed: int
    events: int
    elapsed: float
    """Seconds."""


class End(TypedDict):
    """`sim.end/1` on part `run`: nothing follows."""

    type: str
    part: str
    seq: int
    status: str
    """completed, stopped, interrupted or failed."""
    replications: int
    failed: list[int]
    """The replications that failed."""


class Failure(TypedDict):
    """`sim.failure/1` on part `run`: a replication that failed, or what ended the run before its end."""

    type: str
    part: str
    seq: int
    error: str
    recovered: bool
    """Whether the run went on."""
    replication: int | None


TYPES: dict[str, type] = {
    "sim.start/1": Start,
    "sim.replication/1": Replication,
    "sim.event/1": Event,
    "sim.progress/1": Progress,
    "sim.end/1": End,
    "sim.failure/1": Failure,
}
