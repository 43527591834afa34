"""What a person, or a listener, sees while chains run."""

import sys
import time
import warnings
from typing import Any

from livenuts.messages import Sink
from livenuts.runtime.chain import ChainRun

_MESSAGE_SECONDS = 0.25


class ProgressBar:
    """One bar over all chains; silent where nobody watches (not a terminal, not a notebook)."""

    def __init__(self, chains: list[ChainRun]) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from tqdm.auto import tqdm
        notebook = "ipykernel" in sys.modules
        total = sum(chain.total for chain in chains)
        self._bar = tqdm(total=total, unit=" draws", disable=False if notebook else None, leave=True)

    def update(self, chains: list[ChainRun]) -> None:
        """Show where the chains are."""
        made = sum(chain.made for chain in chains)
        warming = sum(chain.warmed is None for chain in chains)
        self._bar.total = sum(chain.total for chain in chains)
        phase = "warm-up" if warming == len(chains) else "sampling" if not warming else f"warm-up ({warming} left)"
        steps = [chain.latest["step_size"] for chain in chains if chain.latest]
        divergences = sum(chain.divergences for chain in chains)
        self._bar.set_description_str(phase, refresh=False)
        if steps:
            self._bar.set_postfix_str(
                f"step size {sum(steps) / len(steps):.3g}, divergences {divergences}", refresh=False
            )
        self._bar.update(made - self._bar.n)

    def close(self) -> None:
        """Leave the last state on the screen."""
        self._bar.close()


class ProgressMessages:
    """`nuts.progress/1` messages, a few a second."""

    def __init__(self, sink: Sink, num_warmup: int) -> None:
        self._sink, self._num_warmup = sink, num_warmup
        self._sent = 0
        self._began = self._last = time.monotonic()

    def update(self, chains: list[ChainRun], *, last: bool = False) -> None:
        """Send a message if it is time."""
        now = time.monotonic()
        if now - self._last < _MESSAGE_SECONDS and not last:
            return
        message: dict[str, Any] = {
            "type": "nuts.progress/1",
            "part": "progress",
            "seq": self._sent,
            "total": max(chain.total for chain in chains),
            "num_warmup": self._num_warmup,
            "elapsed": now - self._began,
            "chains": [chain.progress() for chain in chains],
        }
        self._sink(message)
        self._sent += 1
        self._last = now
