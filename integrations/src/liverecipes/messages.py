"""The messages of the recipes: what a listener finds on the queue. Arrays are NumPy arrays of floats or integers."""

from typing import Any, Literal, TypedDict

from numpy.typing import NDArray


class SpcStart(TypedDict):
    """`spc.start/1`, part `run`, seq 0: what was asked, before the first observation."""

    type: Literal["spc.start/1"]
    part: Literal["run"]
    seq: int
    label: str
    data: dict[str, Any]
    """`name`, `source`, `count` of points."""
    settings: dict[str, Any]
    seed: int
    digest: str
    """SHA-256 over data and settings: another digest under the same run id is refused."""
    versions: dict[str, str]
    nuts: str | None
    """The suffix of the run id under which NUTS will publish, `.nuts`; None if it will not run."""


class Alarm(TypedDict):
    """One alarm at one point."""

    rule: Literal["limits", "recent change", "run length"]
    text: str


class SpcPoint(TypedDict):
    """`spc.point/1`, part `points`, seq = index of the observation."""

    type: Literal["spc.point/1"]
    part: Literal["points"]
    seq: int
    label: str
    x: float | None
    """None: a missing observation."""
    phase: int
    """1: the prior is being learned, nothing is monitored; 2: monitored."""
    center: float | None
    lower: float | None
    upper: float | None
    """The prediction of x, made before x was seen."""
    score: float | None
    """x on the standard normal scale of that prediction."""
    recent: float
    """P(run length <= window): the probability of a change within the last `window` steps."""
    run_length: int
    """The most probable run length: how many steps ago the last change was."""
    lengths: NDArray[Any]
    probabilities: NDArray[Any]
    """The run-length posterior: the entries with probability at least 0.001, at most 64 of them."""
    log_evidence: float
    alarms: list[Alarm]


class SpcEnd(TypedDict):
    """`spc.end/1`, part `run`: the answer."""

    type: Literal["spc.end/1"]
    part: Literal["run"]
    seq: int
    status: Literal["completed", "stopped", "failed"]
    points: int
    observed: int
    """Points that are not missing."""
    alarms: int
    prior: dict[str, float] | None
    """Normal-inverse-gamma `m`, `kappa`, `a`, `b` of a segment; None before phase I ended."""
    change: dict[str, Any] | None
    """The exact posterior of one change; None for fewer than two observations."""
    nuts: dict[str, Any] | None
    """What NUTS found of the levels and the change time; None if it did not run or has too few draws."""


class SpcFailure(TypedDict):
    """`spc.failure/1`, part `run`: why the run failed; its end follows."""

    type: Literal["spc.failure/1"]
    part: Literal["run"]
    seq: int
    error: str


class PlantStart(TypedDict):
    """`plant.start/1`, part `run`, seq 0: what a plant says of itself, and all that it does."""

    type: Literal["plant.start/1"]
    part: Literal["run"]
    seq: int
    label: str
    machines: list[str]
    """In the order in which jobs pass them."""
    units: list[int]
    """How many of each stand side by side."""
    shift: float
    """Minutes."""
    shifts: int
    """How many it is going to work."""


class PlantEvents(TypedDict):
    """`plant.events/1`, part `events`: all that happened from the batch before until `until`, in order."""

    type: Literal["plant.events/1"]
    part: Literal["events"]
    seq: int
    until: float
    """Minutes since the plant began."""
    time: NDArray[Any]
    kind: NDArray[Any]
    """0 arrive, 1 begin, 2 finish, 3 fail, 4 repaired, 5 depart."""
    machine: NDArray[Any]
    """Index in `machines`; -1 for arrive and depart."""
    job: NDArray[Any]
    """A number of its own; -1 for fail and repaired."""


class PlantEnd(TypedDict):
    """`plant.end/1`, part `run`: nothing follows."""

    type: Literal["plant.end/1"]
    part: Literal["run"]
    seq: int
    status: Literal["completed", "stopped"]
    shifts: int


class TwinStart(TypedDict):
    """`twin.start/1`, part `run`, seq 0: what was asked, and of which machines."""

    type: Literal["twin.start/1"]
    part: Literal["run"]
    seq: int
    label: str
    machines: list[str]
    shift: float
    settings: dict[str, Any]
    seed: int
    digest: str
    """Of machines, settings and seed: another digest under the same run id is refused."""
    versions: dict[str, str]


class Outlook(TypedDict):
    """One number of a shift that has not come yet."""

    quantiles: list[float]
    """At 0.05, 0.25, 0.5, 0.75 and 0.95."""
    epistemic: float
    """Standard deviation for not knowing the machines ..."""
    aleatoric: float
    """... and for chance."""


class Changed(TypedDict):
    """A parameter that is surely more than a tenth off what the history said."""

    parameter: str
    factor: float
    probability: float


class TwinShift(TypedDict):
    """`twin.shift/1`, part `shifts`, seq = shift: what came, what had been expected, what is believed and expected now.

    `kpis` and what is expected have `throughput` (jobs done), `lead` (their mean minutes in the shop) and `wip` (jobs
    in the shop at the end).
    """

    type: Literal["twin.shift/1"]
    part: Literal["shifts"]
    seq: int
    shift: int
    kpis: dict[str, float]
    expected: dict[str, Outlook]
    """As said before the shift; empty while the history is learned."""
    pit: dict[str, float]
    """The predictive probability of less than what came."""
    parameters: dict[str, list[float]]
    """Quantiles 0.05, 0.5 and 0.95 of the mean minutes, by name, such as `mill.service`."""
    changed: list[Changed]
    next: dict[str, Outlook]


class TwinEnd(TypedDict):
    """`twin.end/1`, part `run`: the answer."""

    type: Literal["twin.end/1"]
    part: Literal["run"]
    seq: int
    status: str
    shifts: int
    changed: list[Changed]
    advice: dict[str, Any] | None
    """What one more of the busiest machine would save, and which numbers the lead time hangs on."""


TYPES: dict[str, type] = {
    "spc.start/1": SpcStart,
    "spc.point/1": SpcPoint,
    "spc.end/1": SpcEnd,
    "spc.failure/1": SpcFailure,
    "plant.start/1": PlantStart,
    "plant.events/1": PlantEvents,
    "plant.end/1": PlantEnd,
    "twin.start/1": TwinStart,
    "twin.shift/1": TwinShift,
    "twin.end/1": TwinEnd,
}
