"""What a person, or a listener, sees while chains run."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TextIO

import numpy as np

from livebart.messages import Sink
from livebart.runtime.chain import Chain

_MESSAGE_SECONDS = 0.25
_LINE_SECONDS = 0.2
_WIDTH = 24


def line(made: int, total: int, sigma: float, elapsed: float) -> str:
    """One line: a bar, sweeps, sigma and the time to go."""
    filled = _WIDTH * made // max(total, 1)
    left = f"{elapsed * (total - made) / made:.0f} s left" if made else "compiling"
    return f"[{'#' * filled}{'.' * (_WIDTH - filled)}] {made}/{total} sweeps, sigma {sigma:.4g}, {left}"


class ProgressBar:
    """One line over all chains, on a terminal."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._began = time.monotonic()
        self._first: int | None = None
        self._last = -_LINE_SECONDS

    def update(self, chains: Sequence[Chain], *, last: bool = False) -> None:
        """Show where the chains are."""
        elapsed = time.monotonic() - self._began
        if elapsed - self._last < _LINE_SECONDS and not last:
            return
        self._last = elapsed
        made = sum(chain.made for chain in chains)
        text = line(made, sum(chain.sweeps for chain in chains), mean_sigma(chains), elapsed)
        self._stream.write(f"\r{text}\033[K" + ("\n" if last else ""))
        self._stream.flush()


class ProgressMessages:
    """`bart.progress/1` messages, a few a second."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._sent = 0
        self._began = self._last = time.monotonic()

    def update(self, chains: Sequence[Chain]) -> None:
        """Send a message if it is time."""
        now = time.monotonic()
        if now - self._last < _MESSAGE_SECONDS:
            return
        self._last = now
        self._sink(
            {
                "type": "bart.progress/1",
                "part": "progress",
                "seq": self._sent,
                "total": max(chain.sweeps for chain in chains),
                "n_burnin": chains[0].n_burnin,
                "elapsed": now - self._began,
                "chains": [
                    {"chain": chain.index, "sweep": chain.made, "sigma": mean_sigma([chain])} for chain in chains
                ],
            }
        )
        self._sent += 1


def mean_sigma(chains: Sequence[Chain]) -> float:
    """The noise's standard deviation now, in units of the response, over chains."""
    return float(np.mean([np.sqrt(chain.state["variance"][0]) * chain.problem.scale for chain in chains]))
