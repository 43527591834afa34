"""The messages of part `run`: the start, the replications that failed, the end; and what a replication came to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from livesim.messages import Message, Sink
from livesim.runtime.experiment import Experiment


class Announcements:
    """One writer of part `run`, which numbers what it says."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._said = 0

    def _say(self, event: str, content: dict[str, Any]) -> None:
        self._sink({"type": f"sim.{event}/1", "part": "run", "seq": self._said} | content)
        self._said += 1

    def start(self, experiment: Experiment, warmup: float) -> None:
        """What is about to run."""
        content = {
            "model": experiment.subject.name,
            "digest": experiment.digest(),
            "settings": experiment.settings(),
            "seed": experiment.seed,
            "warmup": warmup,
        }
        self._say("start", content)

    def failure(self, error: str, replication: int) -> None:
        """A replication that failed; the others go on."""
        self._say("failure", {"error": error, "recovered": True, "replication": replication})

    def end(self, status: str, error: BaseException | None, count: int, failed: list[int]) -> BaseException | None:
        """Say what is left to say and flush; the first error of the run, or of saying it."""
        flush = getattr(self._sink, "flush", lambda: None)
        try:
            flush()  # the end is to come after every replication
            if error is not None:
                text = f"{type(error).__name__}: {error}"
                self._say("failure", {"error": text, "recovered": False, "replication": None})
            self._say("end", {"status": status, "replications": count, "failed": failed})
            flush()
        except Exception as failure:
            return error or failure
        return error


def replication_message(
    seq: int,
    replication: int,
    params: Mapping[str, float],
    values: Mapping[str, float],
    events: int,
    clock: float,
    error: str | None,
) -> Message:
    """`sim.replication/1`: what a replication came to."""
    return {
        "type": "sim.replication/1",
        "part": "replications",
        "seq": seq,
        "replication": replication,
        "params": dict(params),
        "values": dict(values),
        "events": events,
        "clock": clock,
        "error": error,
    }
