"""Random numbers for code by hand, keyed as a model's are: by seed, replication, stream, job, and how many so far."""

from __future__ import annotations

from typing import Any

import numpy as np

from livesim.distributions import Distribution
from livesim.distributions.distribution import Compiled
from livesim.random import Kind, draw, job_key, replication_key, stream_key, stream_number


class Variates:
    """The random numbers of one replication.

    A stream is a purpose, such as "service". Its numbers follow from seed, replication, the stream's name, the job and
    how many that job drew there, so two scenarios share them job by job, whatever the order of events; streams do not
    touch each other. A model's own are here too: job 0 of the stream "customer/hold 1" holds as long as the first
    customer of a model does at its first hold.

    >>> from livesim import exponential
    >>> variates = Variates(seed=1)
    >>> first = variates.draw(exponential(mean=3), "service", job=0)
    >>> first == Variates(seed=1).draw(exponential(mean=3), "service", job=0)
    True
    """

    def __init__(self, seed: int, replication: int = 0, *, prefix: str = "") -> None:
        """`prefix` stands before the names of all streams."""
        self.prefix = prefix
        self._replication = replication_key(seed, replication)
        self._keys: dict[str, int] = {}
        self._compiled: dict[Distribution, Compiled] = {}
        self._drawn: dict[tuple[str, int], int] = {}
        self._following: dict[str, int] = {}
        self._generators: dict[str, np.random.Generator] = {}

    def within(self, prefix: str) -> Variates:
        """The same numbers, of streams whose names begin with `prefix`."""
        same = Variates(0, prefix=self.prefix + prefix)
        same._replication = self._replication
        return same

    def draw(self, distribution: Distribution, stream: str, job: int | None = None) -> float:
        """A number from a distribution of livesim: the job's next in the stream; without a job, the next job's."""
        if not isinstance(distribution, Distribution):
            raise TypeError(f"draw: wanted a distribution such as exponential(mean=3), got {distribution!r}")
        compiled = self._compiled.get(distribution)
        if compiled is None:
            if not distribution.is_constant():
                raise ValueError(f"draw: {distribution}: an expression has a value in a model only")
            compiled = self._compiled[distribution] = distribution.compile()
        number, before = self._position(stream, job)
        kind, (p0, p1, p2, p3), table = compiled
        if kind is Kind.TRACE:  # the first job takes the first value
            value, after = draw(kind, p0, p1, p2, p3, table, 0, number + before)[0], before + 1
        else:
            value, after = draw(kind, p0, p1, p2, p3, table, job_key(self._key(stream), number), before)
        if value != value:
            raise ValueError(f"draw: {distribution} has no more values, at stream {stream!r}, job {number}")
        if job is not None:
            self._drawn[stream, job] = after
        return value

    def generator(self, stream: str) -> np.random.Generator:
        """NumPy's generator with the stream's key; the same one, where it is, each time that it is asked for."""
        if stream not in self._generators:
            self._generators[stream] = np.random.Generator(np.random.Philox(key=self._key(f"{stream}/generator")))
        return self._generators[stream]

    def word(self, stream: str) -> int:
        """64 random bits of the stream, to seed another generator with."""
        return self._key(f"{stream}/word")

    def _key(self, stream: str) -> int:
        if stream not in self._keys:
            self._keys[stream] = stream_key(self._replication, stream_number(self.prefix + stream))
        return self._keys[stream]

    def _position(self, stream: str, job: int | None) -> tuple[int, int]:
        """The job's number, and how many it drew in the stream before."""
        if job is None:
            number = self._following.setdefault(stream, 0)
            if number < 0:
                raise ValueError(f"draw: stream {stream!r} is drawn from by job; say job= here too, or name another")
            self._following[stream] = number + 1
            return number, 0
        if not 0 <= job < 2**64:
            raise ValueError(f"draw: stream {stream!r}: job must be a whole number from 0 to 2**64 - 1, got {job!r}")
        if self._following.setdefault(stream, -1) >= 0:
            raise ValueError(f"draw: stream {stream!r} is drawn from without a job; leave job= out, or name another")
        return job, self._drawn.get((stream, job), 0)


def check_indices(what: str, seed: Any, replication: Any) -> None:
    """Refuse a seed or a replication's number that is none."""
    for name, number in (("seed", seed), ("replication", replication)):
        if isinstance(number, bool) or not isinstance(number, (int, np.integer)) or not 0 <= number < 2**64:
            raise ValueError(f"{what}: {name} must be a whole number from 0 to 2**64 - 1, got {number!r}")
