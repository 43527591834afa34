"""Chains on the page: traces of the named numbers of every iteration, and a running summary of the draws."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any, Generic, TypeVar

import livenuts
import numpy as np
from numpy.typing import NDArray

from ..series import RECENT, Series

MOST_NAMES = 200
MOST_TRACED = 16
"""Chains with traces and in the summary."""
MOST_CHAINS = 64
"""Chains in the table."""
LARGEST_RHAT = 1000.0
"""What is told of chains that stand still in different places, which have an infinite one."""
_BLOCK = 64
_EVERY = 1.0
"""Seconds between two summaries, at least."""

Message = dict[str, Any]


class Trace:
    """The warm-up of a chain, or its draws."""

    def __init__(self, columns: Mapping[str, int]) -> None:
        self.columns = columns
        """Name of a number -> its column; known at the latest when the first messages are entered."""
        self.waiting: list[Message] = []
        self.next = 0
        self._series = Series(0)

    @property
    def series(self) -> Series:
        """A column a name, a row an iteration."""
        if self._series.width != len(self.columns):
            self._series = Series(len(self.columns))
        return self._series


class Chain:
    """What is known of one chain."""

    def __init__(self, k: int, traced: bool, warmup: Mapping[str, int], draws: Mapping[str, int]) -> None:
        self.k, self.traced = k, traced
        self.warmup, self.draws = Trace(warmup), Trace(draws)
        self.progress: dict[str, Any] = {}
        self.heard: float | None = None
        """When its newest message came."""

    def lag(self) -> float | None:
        """Seconds since the chain was heard of."""
        return None if self.heard is None else time.monotonic() - self.heard


C = TypeVar("C", bound=Chain)


class Chains(Generic[C]):
    """The chains of a run, of which the first `MOST_TRACED` are traced.

    `make(k, traced)` makes a chain; `rows(chain, trace, messages)` returns the numbers of messages that came, in the
    trace's columns: (message, name).
    """

    def __init__(self, make: Callable[[int, bool], C], rows: Callable[[C, Trace, list[Message]], NDArray[Any]]) -> None:
        self.structure = 0
        """Counts what a difference cannot tell."""
        self._make, self._rows = make, rows
        self._chains: dict[int, C] = {}
        self._running = livenuts.RunningSummary()
        self._summary: dict[str, NDArray[Any]] = {}
        self._summary_at, self._summary_of = -math.inf, 0
        self._taken = 0

    def get(self, k: int) -> C | None:
        """Return chain k; None where there are too many."""
        chain = self._chains.get(k)
        if chain is None and len(self._chains) < MOST_CHAINS:
            chain = self._chains[k] = self._make(k, len(self._chains) < MOST_TRACED)
            self.structure += 1
        return chain

    def __iter__(self) -> Iterator[C]:
        return (chain for _, chain in sorted(self._chains.items()))

    def take(self, chain: C, trace: Trace, message: Message) -> bool:
        """Take a message of a chain, and tell whether it is new: a restarted engine sends some again."""
        if message["seq"] < trace.next:
            return False
        trace.next = message["seq"] + 1
        trace.waiting.append(message)
        chain.heard = time.monotonic()
        self._taken += 1
        if len(trace.waiting) == _BLOCK:
            self._enter(chain, trace)
        return True

    def full(self, shown: list[str]) -> dict[str, list[dict[str, Any]]]:
        """Return the histories of the numbers in `shown`, a list a phase."""
        self.take_in()
        found: dict[str, list[dict[str, Any]]] = {"warmup": [], "draws": []}
        for (k, phase), trace in self._traces().items():
            for name in shown:
                if name in trace.columns:
                    found[phase].append({"name": name, "chain": k} | trace.series.full(trace.columns[name]))
        return found

    def since(self, mark: Any, shown: list[str]) -> dict[str, list[dict[str, Any]]] | None:
        """Return what came after `mark`; None where only the whole will do."""
        self.take_in()
        structure, counts = mark
        traces = self._traces()
        if structure != self.structure:
            return None
        if sum(trace.series.count - counts[key] for key, trace in traces.items()) > RECENT:
            return None
        found: dict[str, list[dict[str, Any]]] = {"warmup": [], "draws": []}
        for (k, phase), trace in traces.items():
            start = counts[k, phase]
            if trace.series.count > start:
                for name in shown:
                    if name in trace.columns:
                        values = trace.series.since(start, trace.columns[name])
                        found[phase].append({"name": name, "chain": k, "from": start, "values": values})
        return found

    def mark(self) -> Any:
        """Return where the traces are, for `since`."""
        self.take_in()
        return self.structure, {key: trace.series.count for key, trace in self._traces().items()}

    def summarise(self, shown: list[str], columns: Mapping[str, int], over: bool) -> list[dict[str, Any]]:
        """Return mean, sd, R-hat and effective sample size of each name, not older than a second, or `over`."""
        now = time.monotonic()
        if self._summary_of != self._taken and (over or now >= self._summary_at + _EVERY):
            with np.errstate(all="ignore"):  # draws that are constant, not finite or too few have no R-hat
                self._summary = _told(self._running.summary().columns)
            self._summary_at, self._summary_of = now, self._taken
        if not self._summary or len(self._summary["mean"]) != len(columns):
            return []
        return [
            {"name": name} | {key: float(column[columns[name]]) for key, column in self._summary.items()}
            for name in shown
        ]

    def _traces(self) -> dict[tuple[int, str], Trace]:
        return {
            (chain.k, phase): trace
            for chain in self
            if chain.traced
            for phase, trace in (("warmup", chain.warmup), ("draws", chain.draws))
        }

    def take_in(self) -> None:
        """Enter all that waits."""
        for chain in self._chains.values():
            for trace in (chain.warmup, chain.draws):
                self._enter(chain, trace)

    def _enter(self, chain: C, trace: Trace) -> None:
        """Enter the messages that wait into the series and, if they are draws, into the summary."""
        messages, trace.waiting = trace.waiting, []
        if not messages or not chain.traced:
            return
        rows = self._rows(chain, trace, messages)
        if not trace.columns:
            return
        steps = [message["seq"] for message in messages]
        breaks = [0, *(at for at, (one, next) in enumerate(pairwise(steps), 1) if next != one + 1), len(steps)]
        for start, stop in pairwise(breaks):
            trace.series.add(rows[start:stop], steps[start])
        if trace is chain.draws:
            for step, row in zip(steps, rows, strict=True):
                # The named numbers as one variable: of a model with millions of them the others are left out.
                values = {"": row}
                self._running(
                    {"type": "nuts.draw/1", "chain": chain.k, "seq": step, "values": values, "stats": _NO_STATS}
                )


_NO_STATS = {"diverging": False}


def _told(columns: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The columns that are shown: no effective sample size of a constant or of what is not finite, a bounded R-hat."""
    moves = np.isfinite(columns["sd"]) & (columns["sd"] > 0)
    return {
        "mean": columns["mean"],
        "sd": columns["sd"],
        "rhat": np.minimum(columns["r_hat"], LARGEST_RHAT),
        "ess": np.where(moves, columns["ess_mean"], np.nan),
    }
