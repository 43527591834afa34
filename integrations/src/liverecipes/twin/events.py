"""What a plant publishes: events in the order in which they happened, as columns."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

KINDS = ("arrive", "begin", "finish", "fail", "repaired", "depart")
"""A job comes, begins at a machine, has finished there, leaves; a machine fails, and is repaired."""
ARRIVE, BEGIN, FINISH, FAIL, REPAIRED, DEPART = range(len(KINDS))
NO_MACHINE, NO_JOB = -1, -1

Event = tuple[float, int, int, int]
"""Time in minutes, index of the kind, index of the machine or -1, number of the job or -1."""


@dataclass(frozen=True)
class Events:
    """All that happened from the end of the batch before until `until`, in order."""

    until: float
    time: NDArray[np.float64]
    kind: NDArray[np.uint8]
    machine: NDArray[np.int16]
    job: NDArray[np.int64]

    @classmethod
    def of(cls, until: float, rows: Iterable[Event]) -> "Events":
        """A batch of rows."""
        columns = list(zip(*rows, strict=True)) or [(), (), (), ()]
        time, kind, machine, job = columns
        return cls(
            float(until),
            np.array(time, np.float64),
            np.array(kind, np.uint8),
            np.array(machine, np.int16),
            np.array(job, np.int64),
        )

    def __iter__(self) -> Iterator[Event]:
        return zip(self.time.tolist(), self.kind.tolist(), self.machine.tolist(), self.job.tolist(), strict=True)

    def __len__(self) -> int:
        return len(self.time)

    def message(self, seq: int) -> dict[str, Any]:
        """`plant.events/1`, part `events`."""
        return {
            "type": "plant.events/1",
            "part": "events",
            "seq": seq,
            "until": self.until,
            "time": self.time,
            "kind": self.kind,
            "machine": self.machine,
            "job": self.job,
        }

    @classmethod
    def from_message(cls, message: Mapping[str, Any], machines: Sequence[str], since: float) -> "Events":
        """A batch that came from outside, checked: its columns, its times within (since, until], machines, kinds."""
        where = f"plant.events/1 number {message.get('seq')}"
        columns: dict[str, NDArray[Any]] = {}
        for name, types in (("time", "f"), ("kind", "iu"), ("machine", "iu"), ("job", "iu")):
            column = message.get(name)
            if not (isinstance(column, np.ndarray) and column.ndim == 1 and column.dtype.kind in types):
                raise ValueError(f"{where}: {name} must be an array (event,) of numbers, got {column!r:.80}")
            columns[name] = column
        if len({len(column) for column in columns.values()}) > 1:
            lengths = {name: len(column) for name, column in columns.items()}
            raise ValueError(f"{where}: its columns must be equally long, got {lengths}")
        until = message.get("until")
        if not (isinstance(until, float | int) and since <= until < float("inf")):
            raise ValueError(f"{where}: until must be a time from {since:g} on, got {until!r}")
        time, kind, machine = columns["time"], columns["kind"], columns["machine"]
        if len(time) and not (time[0] >= since and time[-1] <= until and bool(np.all(np.diff(time) >= 0))):
            raise ValueError(f"{where}: times must not go back, and lie from {since:g} to {until:g}")
        if len(kind) and not int(kind.max()) < len(KINDS):
            raise ValueError(f"{where}: a kind is 0 to {len(KINDS) - 1} ({', '.join(KINDS)}), got {int(kind.max())}")
        at_machine = (kind != ARRIVE) & (kind != DEPART)
        known = (machine >= 0) & (machine < len(machines))
        if not bool(np.all(known | ~at_machine)):
            first = int(machine[at_machine & ~known][0])
            raise ValueError(f"{where}: there is no machine {first}; they are 0 to {len(machines) - 1}")
        return cls.of(float(until), zip(*(columns[name].tolist() for name in columns), strict=True))


__all__ = ["KINDS", "Event", "Events"]
