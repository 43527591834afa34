"""The state of a run, from which another goes on."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from livesim.model.builder import Model

FORMAT = "livesim.snapshot/2"


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A run stopped between two events: jobs, queues, calendar, statistics, and where its random numbers are.

    `run(model, until, start=snapshot)` goes on from it, to the bits of one longer run.
    """

    model: str
    """The model, as JSON."""
    time: float
    seed: int | None
    """None for a state that was observed: the run that goes on from it draws one."""
    replication: int
    params: Mapping[str, float]
    warmup: float
    """Since when statistics count."""
    state: Mapping[str, np.ndarray] = field(repr=False)
    """Arrays of `livesim.engine.world`, its scalars, and counts and times in the system at the end of the warm-up."""

    def check(self, model: Model) -> None:
        """Refuse a model that is not the snapshot's."""
        if model.to_json() != self.model:
            own = Model.from_json(self.model)
            raise ValueError(f"start: the snapshot is of another model than {model!r}, which is:\n{own}")

    def save(self, path: str | Path) -> None:
        """Write the snapshot to a file of NumPy's format npz; nothing in it is pickled."""
        Path(path).write_bytes(self.to_bytes())

    def to_bytes(self) -> bytes:
        """What `save` writes."""
        about = {
            "format": FORMAT,
            "model": self.model,
            "time": self.time,
            "seed": None if self.seed is None else str(self.seed),  # 64 bits are too many for a number of JSON
            "replication": str(self.replication),
            "params": dict(self.params),
            "warmup": self.warmup,
            "digest": _digest(self.state),
        }
        file = io.BytesIO()
        np.savez(file, allow_pickle=False, about=np.array(json.dumps(about)), **self.state)
        return file.getvalue()

    @classmethod
    def load(cls, path: str | Path) -> Snapshot:
        """Read a snapshot that `save` wrote."""
        return cls.from_bytes(Path(path).read_bytes(), str(path))

    @classmethod
    def from_bytes(cls, data: bytes, path: str = "the data") -> Snapshot:
        """The snapshot that `to_bytes` wrote."""
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as file:
                state = {name: file[name] for name in file.files}
            about = json.loads(str(state.pop("about")))
            found = about["format"]
        except Exception as error:  # a damaged archive makes zipfile and NumPy raise what they please
            raise ValueError(f"{path}: not a livesim snapshot, or a damaged one: {error}") from error
        if found != FORMAT:
            raise ValueError(f"{path}: not a livesim snapshot: format {found!r}, wanted {FORMAT!r}")
        # The kernel trusts the state: a wrong index in it would be read as memory.
        if about.get("digest") != _digest(state):
            raise ValueError(f"{path}: the snapshot is damaged: its arrays are not those that were saved")
        seed = None if about["seed"] is None else int(about["seed"])
        replication = int(about["replication"])
        return cls(about["model"], about["time"], seed, replication, about["params"], about["warmup"], state)


def _digest(state: Mapping[str, np.ndarray]) -> str:
    """A checksum of arrays, their names, types and shapes."""
    sha = hashlib.sha256()
    for name in sorted(state):
        array = np.ascontiguousarray(state[name])
        sha.update(f"{name} {array.dtype.descr} {np.shape(state[name])}\n".encode())
        sha.update(array.tobytes())
    return sha.hexdigest()
