"""What a person, or a listener, sees while replications are made."""

from __future__ import annotations

import sys
import time
import warnings
from typing import NamedTuple

from livesim.messages import Sink

_MESSAGE_SECONDS = 0.25


class Made(NamedTuple):
    """How far a run is."""

    total: int
    replications: int
    failed: int
    events: int


class ProgressBar:
    """One bar; silent where nobody watches (not a terminal, not a notebook)."""

    def __init__(self, total: int) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from tqdm.auto import tqdm
        notebook = "ipykernel" in sys.modules
        self._bar = tqdm(total=total, unit=" replications", disable=False if notebook else None, leave=True)

    def update(self, made: Made, words: str = "") -> None:
        """Show how far the run is."""
        if made.failed:
            words = f"{made.failed} failed" + (f", {words}" if words else "")
        self._bar.set_postfix_str(words, refresh=False)
        self._bar.update(made.replications - self._bar.n)

    def close(self) -> None:
        """Leave the last state on the screen."""
        self._bar.close()


class ProgressMessages:
    """`sim.progress/1` messages, a few a second."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._sent = 0
        self._began = self._last = time.monotonic()

    def update(self, made: Made) -> None:
        """Send a message if it is time."""
        now = time.monotonic()
        if now - self._last < _MESSAGE_SECONDS:
            return
        self._sink(
            {
                "type": "sim.progress/1",
                "part": "progress",
                "seq": self._sent,
                "total": made.total,
                "made": made.replications,
                "failed": made.failed,
                "events": made.events,
                "elapsed": now - self._began,
            }
        )
        self._sent += 1
        self._last = now
