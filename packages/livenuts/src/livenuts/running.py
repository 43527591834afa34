"""Running diagnostics: what a listener knows of a run from the `nuts.draw/1` messages that came so far."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Mapping
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np

from livenuts.batches import BLOCK, Batches, diagnose
from livenuts.diagnostics import Summary, scalar_names


class Heard(NamedTuple):
    """What came of one chain."""

    draws: int
    missed: int
    """Draws before the newest that never came: lost, or sent before the listener joined."""
    divergences: int


class RunningSummary:
    """Mean, sd, effective sample size and R-hat of a run that goes on: a sink, or fed from a queue.

    Call it with the messages of one run, in the order of each part; it takes the draws and leaves the rest. A draw
    that comes again counts once. It may be called, and asked, from any thread. A draw costs a few microseconds, and
    memory is bounded: 16 KiB a scalar and chain.

    `names` are the variables to follow; all of them where it is left out.

    >>> import livenuts as ln
    >>> coin = ln.Model("coin").rv("p", ln.dist.Beta(1, 1)).obs("heads", ln.dist.Binomial(10, "p"), 7)
    >>> running = ln.RunningSummary()
    >>> result = ln.sample(coin, seed=1, sink=running, progress=False)
    >>> bool(abs(running.summary()["p"]["mean"] - result.draws["p"].mean()) < 1e-12)
    True
    """

    def __init__(self, names: Iterable[str] | str | None = None) -> None:
        self._wanted = None if names is None else [names] if isinstance(names, str) else list(names)
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._chains: dict[int, _Chain] = {}
        self._start: Mapping[str, Any] | None = None
        self._lock = threading.Lock()

    def __call__(self, message: Mapping[str, Any]) -> None:
        """Take in a message; ValueError where it cannot be of the same run as those before."""
        kind = message["type"]
        if kind == "nuts.draw/1":
            with self._lock:
                self._take(message)
        elif kind == "nuts.start/1":
            self._check(message)

    @property
    def chains(self) -> dict[int, Heard]:
        """What came of each chain so far."""
        with self._lock:
            return {k: self._chains[k].heard() for k in sorted(self._chains)}

    def summary(self) -> Summary:
        """The draws so far as a table with a row a scalar; it takes milliseconds for tens of scalars.

        `mean` and `sd` are of all draws that came. `ess_mean` is the number of independent draws that would know the
        mean as well, over split chains; up to 1024 draws a chain it is ArviZ's `ess(method="mean")`, beyond that the
        same of batches of draws. `mcse_mean` is sd / sqrt(ess_mean). `r_hat` is of split chains, without rank
        normalisation. What too few draws cannot tell is NaN. The table's `num_draws` is of the shortest chain.
        """
        with self._lock:
            chains = [self._chains[k] for k in sorted(self._chains)]
            traces = [chain.batches.trace(self._matrix(chain.waiting)) for chain in chains]
            heard = [chain.heard() for chain in chains]
            shapes = dict(self._shapes)
        rows = tuple(scalar for name, shape in shapes.items() for scalar in scalar_names(name, shape))
        shortest = min((chain.draws for chain in heard), default=0)
        divergences = sum(chain.divergences for chain in heard)
        return Summary(diagnose(traces, len(rows)), rows, len(heard), shortest, divergences)

    def __str__(self) -> str:
        return str(self.summary())

    def _check(self, start: Mapping[str, Any]) -> None:
        with self._lock:
            first = self._start or start
            for name in ("model", "digest", "seed"):
                if first[name] != start[name]:
                    raise ValueError(
                        f"a RunningSummary follows one run: {name} was {first[name]!r}, and is {start[name]!r} in the "
                        "start that came now; make a new one for every run"
                    )
            self._start = first

    def _take(self, message: Mapping[str, Any]) -> None:
        chain = self._chains.get(message["chain"])
        if chain is None:
            chain = self._new_chain(message)
        if message["seq"] < chain.next:
            return
        chain.next = message["seq"] + 1
        chain.waiting.append(message)
        if len(chain.waiting) == BLOCK:
            block, chain.waiting = chain.waiting, []
            chain.divergences += _divergences(block)
            chain.batches.add(self._matrix(block))

    def _new_chain(self, message: Mapping[str, Any]) -> _Chain:
        if not self._chains:
            values = message["values"]
            wanted = list(values) if self._wanted is None else self._wanted
            if unknown := [name for name in wanted if name not in values]:
                raise ValueError(f"RunningSummary: no variable {unknown[0]!r}; variables are {', '.join(values)}")
            self._shapes = {name: np.shape(values[name]) for name in wanted}
        chain = self._chains[message["chain"]] = _Chain(sum(map(math.prod, self._shapes.values())))
        return chain

    def _matrix(self, messages: list[Mapping[str, Any]]) -> np.ndarray:
        """The values of messages, a row a draw."""
        rows = [message["values"] for message in messages]
        sizes = {name: math.prod(shape) for name, shape in self._shapes.items()}
        matrix = np.empty((len(rows), sum(sizes.values())))
        ends = dict(zip(sizes, accumulate(sizes.values()), strict=True))
        scalars = [name for name, shape in self._shapes.items() if not shape]
        try:
            # Numbers message by message: they lie far apart in memory, and variable by variable it takes twice as long.
            numbers = [[row[name] for name in scalars] for row in rows]
            places = [ends[name] - 1 for name in scalars]
            matrix[:, places] = np.array(numbers, float).reshape(len(rows), len(scalars))
            for name in self._shapes.keys() - set(scalars):
                block = np.array([row[name] for row in rows], float)
                matrix[:, ends[name] - sizes[name] : ends[name]] = block.reshape(len(rows), sizes[name])
        except (KeyError, ValueError) as error:
            expected = ", ".join(f"{name} {list(shape)}" for name, shape in self._shapes.items())
            first, last = messages[0]["seq"], messages[-1]["seq"]
            raise ValueError(
                f"RunningSummary: not all of draws {first} to {last} of chain {messages[0]['chain']} have the "
                f"variables of the first draw: {expected}"
            ) from error
        return matrix


class _Chain:
    """One chain's draws, and the messages that wait to join them."""

    def __init__(self, size: int) -> None:
        self.batches = Batches(size)
        self.waiting: list[Mapping[str, Any]] = []
        self.next = 0
        self.divergences = 0

    def heard(self) -> Heard:
        draws = self.batches.draws + len(self.waiting)
        return Heard(draws, self.next - draws, self.divergences + _divergences(self.waiting))


def _divergences(messages: list[Mapping[str, Any]]) -> int:
    return sum(bool(message["stats"]["diverging"]) for message in messages)
