"""What can go wrong in a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class SimulationError(RuntimeError):
    """A step met a number that it cannot use, such as a negative time; it names process, step, job and time."""


@dataclass(frozen=True)
class Stuck:
    """A job in a deadlock: what it waits for, and what it holds meanwhile."""

    process: str
    job: int
    waits_for: str
    holds: dict[str, int]

    def __str__(self) -> str:
        holds = ", ".join(f"{units} of {name!r}" for name, units in self.holds.items())
        return f"{self.process} {self.job} holds {holds} and waits for {self.waits_for!r}"


class DeadlockError(SimulationError):
    """Jobs wait for each other for ever; `jobs` says who waits for what."""

    def __init__(self, message: str, jobs: Sequence[Stuck]) -> None:
        super().__init__(message)
        self.jobs = tuple(jobs)
