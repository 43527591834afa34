"""What the tests of replications share."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import livesim as ls
import numpy as np


class Ear:
    """A sink that remembers: the messages of each part, as text, in the order in which they came."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []

    def __call__(self, message: dict[str, Any]) -> None:
        self.messages.append(message)

    def lossless(self) -> dict[str, list[str]]:
        """All parts but the telemetry; numbers as Python writes them, which is to the bit."""
        parts = defaultdict(list)
        for message in self.messages:
            if message["part"] != "progress":
                parts[message["part"]].append(repr(message))
        return dict(parts)


class Folder:
    """A remote sink: appends each part to a file of its own."""

    remote = True

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, message: dict[str, Any]) -> None:
        with (self.path / message["part"]).open("a") as file:
            file.write(json.dumps(message) + "\n")

    def flush(self) -> None:
        (self.path / "flushed").touch()

    def read(self, part: str) -> list[Any]:
        return [json.loads(line) for line in (self.path / part).read_text().splitlines()]


def same(one: ls.Runs, other: ls.Runs) -> bool:
    """Whether two sets of replications are the same to the bit."""
    return (
        one.rows.tobytes() == other.rows.tobytes()
        and one.events.tobytes() == other.events.tobytes()
        and one.errors == other.errors
        and one.warmup == other.warmup
        and (one._course is None) == (other._course is None)
        and (one._course is None or one._course.increments.tobytes() == other._course.increments.tobytes())  # type: ignore[union-attr]
    )


def late() -> ls.Model:
    """A model that fails in every replication, once the time is past 100."""
    hold = ls.hold(100.0 - ls.now())
    return ls.Model("late").process("customer", ls.arrive(every=ls.exponential(mean=5.0)), hold, ls.depart())


SERVICES = np.array([10.0, 12.0, -1.0, 14.0, 16.0, 11.0])
"""Of replications, of which number 2 fails."""
