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


TYPES: dict[str, type] = {
    "spc.start/1": SpcStart,
    "spc.point/1": SpcPoint,
    "spc.end/1": SpcEnd,
    "spc.failure/1": SpcFailure,
}
