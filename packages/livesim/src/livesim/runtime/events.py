"""What happens in a replication, told while it runs: from the worker, or at home in the order of the replications."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator

import numpy as np

from livesim.compiler.program import Action, Names
from livesim.engine.reference import Trace as Rows
from livesim.messages import Message, Sink
from livesim.result import Trace

MOST_ROWS = 200_000
"""Rows of traces that wait to be told; workers whose turn has not come wait then."""


class Events:
    """The one writer of the parts `events-k`, which numbers what it says."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._said: dict[int, int] = defaultdict(int)

    def __call__(self, replication: int, names: Names, rows: Rows) -> None:
        """Tell the next rows of a replication's trace."""
        for message in _messages(replication, self._said[replication], Trace(rows, names)):
            self._sink(message)
        self._said[replication] += len(rows.time)


class Channel:
    """Rows on their way from workers that are threads to the thread that tells of them; bounded."""

    def __init__(self, halted: Callable[[], bool]) -> None:
        self._halted = halted
        self._changed = threading.Condition()
        self._waiting: dict[int, list[tuple[Names, Rows]]] = defaultdict(list)
        self._rows = 0
        self._turn = 0

    def __call__(self, replication: int, names: Names, rows: Rows) -> None:
        """Hand over rows; in the worker. Waits while there are too many, unless it is this replication's turn."""
        with self._changed:
            while self._full(replication) and not self._halted():
                self._changed.wait(0.1)
            self._waiting[replication].append((names, rows))
            self._rows += len(rows.time)

    def _full(self, replication: int) -> bool:
        own = sum(len(rows.time) for _, rows in self._waiting[replication]) if replication == self._turn else self._rows
        return own > MOST_ROWS

    def take(self, replication: int) -> list[tuple[Names, Rows]]:
        """What has come of the replication whose turn it is."""
        with self._changed:
            self._turn = replication
            found = self._waiting.pop(replication, [])
            self._rows -= sum(len(rows.time) for _, rows in found)
            self._changed.notify_all()
        return found


def _messages(replication: int, first: int, trace: Trace) -> Iterator[Message]:
    lengths = np.where(trace.rows.what[:, 0] == int(Action.HOLD), trace.rows.detail, np.nan).tolist()
    for seq, (time, action, process, job, step, detail) in enumerate(trace):
        yield {
            "type": "sim.event/1",
            "part": f"events-{replication}",
            "seq": first + seq,
            "replication": replication,
            "time": time,
            "action": action,
            "process": process,
            "job": job,
            "step": step,
            "detail": detail,
            "length": lengths[seq] if action == "hold" else None,
        }


__all__ = ["Channel", "Events"]
