"""What was asked for: a model to replicate, checked at the door, and as plain data for a worker or a checkpoint."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from livesim.job_times import check_quantiles
from livesim.runtime.checkpoint import encode
from livesim.runtime.checks import check_index
from livesim.runtime.snapshot import Snapshot
from livesim.runtime.subject import Settings, Subject, from_plain

Params = Mapping[str, ArrayLike] | Callable[[int], Mapping[str, float]]
"""Values of a model's parameters: numbers, arrays of one number a replication, or a function of its index."""

FORMAT = "livesim.replications/1"
WARMUPS = ("mser5",)


class Goal(NamedTuple):
    """A precision to go on to: the half-width of a metric's interval."""

    metric: str
    half_width: float
    relative: bool
    """Whether the half-width is a part of the mean."""


@dataclass(frozen=True, eq=False)
class Experiment:
    """Replications of one model, or of what else is a `Subject`."""

    subject: Subject
    n: int
    """How many; with goals, how many at most."""
    until: float | None
    """None where the subject knows itself when to end."""
    warmup: float | str
    drain: bool
    every: float | None
    seed: int
    fixed: Mapping[str, Any]
    drawn: Mapping[str, np.ndarray]
    """Parameters that have a number a replication, (n,)."""
    goals: tuple[Goal, ...]
    confidence: float
    least: int
    """Replications before the goals are looked at."""
    events: bool
    start: Snapshot | None
    engine: str
    quantiles: tuple[float, ...] = ()

    @classmethod
    def of(
        cls,
        subject: Subject,
        *,
        n: int,
        until: float | None,
        warmup: float | str | None,
        drain: bool,
        every: float | None,
        seed: int,
        params: Params | None,
        relative: Mapping[str, float] | None,
        absolute: Mapping[str, float] | None,
        confidence: float,
        least: int,
        events: bool,
        start: Snapshot | None,
        engine: str,
        quantiles: Sequence[float] = (),
    ) -> Experiment:
        """What `replicate` was told, checked."""
        warmup = 0.0 if warmup is None else warmup
        if isinstance(warmup, str) and warmup not in WARMUPS:
            raise ValueError(f"replicate: warmup must be a time, None or 'mser5', got {warmup!r}")
        found = isinstance(warmup, str)
        wanted = check_quantiles("replicate", quantiles, start)
        at = 0.0 if isinstance(warmup, str) else warmup
        subject.check(Settings(until, at, drain, every, engine, events, None, wanted), start)
        if found and until is None:
            raise ValueError("replicate: to look for a warm-up, until= must say how long replications are")
        if found and start is not None:
            raise ValueError("replicate: what goes on from a state is not in a warm-up: leave warmup or start out")
        check_count("replicate: n", n, 1)
        check_index("replicate: seed", seed)
        if not (isinstance(confidence, float) and 0.0 < confidence < 1.0):
            raise ValueError(f"replicate: confidence must be between 0 and 1, such as 0.95, got {confidence!r}")
        check_count("replicate: least", least, 2)
        if not isinstance(events, bool):
            raise TypeError(f"replicate: events must be True or False, got {events!r}")
        fixed, drawn = _parameters(subject, params, int(n), start)
        goals = (*_goals("relative", relative), *_goals("absolute", absolute))
        return cls(
            subject,
            n=int(n),
            until=None if until is None else float(until),
            warmup=warmup if isinstance(warmup, str) else float(warmup),
            drain=drain,
            every=None if every is None else float(every),
            seed=int(seed),
            fixed=fixed,
            drawn=drawn,
            goals=goals,
            confidence=confidence,
            least=int(least),
            events=events,
            start=start,
            engine=engine,
            quantiles=wanted,
        )

    def params(self, replication: int) -> dict[str, Any]:
        """The parameters of a replication."""
        return {**self.fixed, **{name: float(values[replication]) for name, values in self.drawn.items()}}

    def settings(self) -> dict[str, Any]:
        """The settings as plain values."""
        return {
            "n": self.n,
            "until": self.until,
            "warmup": self.warmup,
            "drain": self.drain,
            "every": self.every,
            "goals": [goal._asdict() for goal in self.goals],
            "confidence": self.confidence,
            "least": self.least,
            "events": self.events,
            "engine": self.engine,
            "quantiles": list(self.quantiles),
        }

    def told(self, *, warmup: float, every: float | None, events: bool) -> Settings:
        """What each replication is told."""
        start = None if self.start is None else {**self.start.state, "since": self.start.warmup}
        return Settings(self.until, warmup, self.drain, every, self.engine, events, start, self.quantiles)

    def manifest(self) -> dict[str, Any]:
        """All of it as plain data, for `Experiment.from_manifest`."""
        return {
            "format": FORMAT,
            "subject": self.subject.plain(),
            "settings": self.settings(),
            "seed": str(self.seed),  # 64 bits are too many for a number of JSON
            "fixed": dict(self.fixed),
            "drawn": dict(self.drawn),
            "start": None if self.start is None else np.frombuffer(self.start.to_bytes(), np.uint8),
            "versions": versions(),
        }

    @classmethod
    def from_manifest(cls, manifest: Mapping[str, Any]) -> Experiment:
        """What was asked for when the manifest was written."""
        given = dict(manifest["settings"])
        goals = tuple(Goal(**goal) for goal in given.pop("goals"))
        start, quantiles = manifest["start"], tuple(given.pop("quantiles"))
        return cls(
            from_plain(manifest["subject"]),
            seed=int(manifest["seed"]),
            fixed=manifest["fixed"],
            drawn=manifest["drawn"],
            goals=goals,
            start=None if start is None else Snapshot.from_bytes(start.tobytes()),
            quantiles=quantiles,
            **given,
        )

    def digest(self) -> str:
        """Of the model, its parameters and the state that it starts from."""
        whole = self.manifest()
        return hashlib.sha256(encode([whole[name] for name in ("subject", "fixed", "drawn", "start")])).hexdigest()


def versions() -> dict[str, str]:
    """Of the libraries that bits depend on."""
    import livesim

    # Numba is not imported for its version: that takes a third of a second.
    return {"livesim": livesim.__version__, "numba": metadata.version("numba"), "numpy": np.__version__}


def check_count(what: str, value: Any, least: int) -> None:
    """Refuse what is no whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"{what} must be a whole number of at least {least}, got {value!r}")


def _parameters(
    subject: Subject, params: Params | None, n: int, start: Snapshot | None
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Values for all replications, and arrays of one each."""
    given: dict[str, Any] = {} if start is None else dict(start.params)
    if callable(params):
        rows = [dict(params(replication)) for replication in range(n)]
        for replication, row in enumerate(rows):
            if row.keys() != rows[0].keys():
                raise ValueError(
                    f"params: replication {replication} has {sorted(row)}, replication 0 {sorted(rows[0])}"
                )
        given |= {name: np.array([row[name] for row in rows]) for name in rows[0]}
    elif params is None or isinstance(params, Mapping):
        given |= params or {}
    else:
        raise TypeError(f"params must be a mapping of names to numbers or arrays, or a function, got {params!r:.60}")
    drawn: dict[str, np.ndarray] = {}
    for name, value in list(given.items()):
        if not isinstance(value, (list, tuple)) and not hasattr(value, "__array__"):
            continue
        array = np.asarray(value)
        if array.ndim == 0:
            given[name] = array.item()
            continue
        if array.dtype.kind not in "iuf" or array.shape != (n,):
            raise ValueError(
                f"params: {name!r} must be a number, or one a replication: shape ({n},), got {array.shape}"
            )
        drawn[name] = array.astype(np.float64)
        if not np.isfinite(drawn[name]).all():
            at = int(np.argmin(np.isfinite(drawn[name])))
            raise ValueError(f"params: {name!r} must be finite, got {array[at]} for replication {at}")
    first = {name: float(values[0]) for name, values in drawn.items()}
    fixed = subject.parameters({**given, **first})
    return {name: number for name, number in fixed.items() if name not in drawn}, drawn


def _goals(kind: str, given: Mapping[str, float] | None) -> list[Goal]:
    goals = []
    if given is not None and not isinstance(given, Mapping):
        raise TypeError(
            f"replicate: {kind}: half-widths by metric, such as {{'customer.wait.mean': 0.05}}, got {given!r}"
        )
    for metric, half_width in (given or {}).items():
        most = 1.0 if kind == "relative" else math.inf
        if not (isinstance(half_width, (int, float)) and 0.0 < half_width < most):
            rule = "between 0 and 1, such as 0.05" if kind == "relative" else "above 0"
            raise ValueError(f"replicate: {kind}: the half-width of {metric!r} must be {rule}, got {half_width!r}")
        goals.append(Goal(metric, float(half_width), kind == "relative"))
    return goals
