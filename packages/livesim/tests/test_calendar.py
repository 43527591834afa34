"""The calendar's machine code against `heapq`: ties, cancelled events, denormal and huge times, in random order."""

from __future__ import annotations

import ctypes
import heapq
import math
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from livesim.engine.compiled import calendar
from livesim.native import objects
from livesim.native.routines import build, floats_at, integers_at
from numba import types

TIMES = [0.0, 5e-324, 1e-310, 2.0**-1022, 0.1, 0.1 + 2.0**-56, 1.0, 1.0 + 2.0**-52, 3.0, 1e300, 1.7e308, math.inf]


def work(push: Any, replace: Any) -> Any:
    """One operation on a heap of n: add an entry, put one in place of the root, or take the root away."""

    def change(what: Any, n: Any, times_from: Any, keys_from: Any, time: Any, key: Any) -> Any:
        times, keys = floats_at(times_from), integers_at(keys_from)
        if what == 0:
            push(times, keys, n, time, key)
            return n + 1
        if what == 1:
            replace(times, keys, n, time, key)
            return n
        if n > 1:
            replace(times, keys, n - 1, times[n - 1], keys[n - 1])
        return n - 1

    return change


@pytest.fixture(scope="module")
def machine_code(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The operation in machine code, compiled into a folder of its own."""

    def make() -> tuple[str, str]:
        i = types.int64
        return build(work(calendar.push, calendar.replace), i(i, i, i, i, types.float64, i))

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NUMBA_CACHE_DIR", str(tmp_path_factory.mktemp("calendar")))
        i = ctypes.c_int64
        yield objects.function("calendar for a test", ("engine/compiled",), make, i, i, i, i, i, ctypes.c_double, i)


class Both:
    """The calendar and a list kept by `heapq`, told the same."""

    def __init__(self, change: Any, room: int = 4096) -> None:
        self.change, self.n, self.number = change, 0, 0
        self.times, self.keys = np.zeros(room), np.zeros(room, np.int64)
        self.shadow: list[tuple[float, int]] = []

    def _do(self, what: int, time: float, key: int) -> None:
        self.n = self.change(what, self.n, self.times.ctypes.data, self.keys.ctypes.data, time, key)

    def _key(self, event_class: int) -> int:
        self.number += 1
        return event_class << 60 | self.number << 24 | self.number % 1000

    def add(self, time: float, event_class: int) -> int:
        key = self._key(event_class)
        self._do(0, time, key)
        heapq.heappush(self.shadow, (time, key))
        return key

    def take(self) -> None:
        self._do(2, 0.0, 0)
        heapq.heappop(self.shadow)

    def take_and_add(self, time: float, event_class: int) -> None:
        key = self._key(event_class)
        self._do(1, time, key)
        heapq.heapreplace(self.shadow, (time, key))

    def check(self) -> None:
        assert self.n == len(self.shadow)
        if self.n:
            assert (self.times[0], self.keys[0]) == self.shadow[0]


def fuzz(change: Any, seed: int, steps: int) -> None:
    """Grow and shrink in turns, so that every size is passed; what is cancelled is passed over when it is taken."""
    chance, both = random.Random(seed), Both(change)
    cancelled: set[int] = set()
    for step in range(steps):
        time = chance.choice(TIMES) if chance.random() < 0.5 else chance.random() * 10.0 ** chance.randint(-9, 9)
        event_class, what = chance.randrange(5), chance.random()
        grows = (step // 500) % 2 == 0
        if both.n == 0 or (what < (0.6 if grows else 0.2) and both.n < 4000):
            key = both.add(time, event_class)
            if chance.random() < 0.2:
                cancelled.add(key)
        elif what < 0.8:
            both.take_and_add(time, event_class)
        else:
            both.take()
            while both.n and int(both.keys[0]) in cancelled:  # as the kernel does with an event that is not due
                both.take()
        both.check()
    while both.n:
        both.check()
        both.take()


@pytest.mark.parametrize("seed", range(4))
def test_a_long_fuzz(machine_code: Any, seed: int) -> None:
    fuzz(machine_code, seed, 20_000)


def test_a_heap_that_forgets_ties_is_seen() -> None:
    """Poison: a calendar that compares times alone."""

    def push(times: Any, keys: Any, n: Any, time: Any, key: Any) -> None:
        heap = sorted(
            [*zip(times[:n].tolist(), keys[:n].tolist(), strict=True), (time, key)], key=lambda entry: entry[0]
        )
        times[: n + 1], keys[: n + 1] = np.array([t for t, _ in heap]), [k for _, k in heap]

    both = Both(None)

    def change(what: int, n: int, _: int, __: int, time: float, key: int) -> int:
        push(both.times, both.keys, n, time, key)
        return n + 1

    both.change = change
    both.add(1.0, 4)
    both.check()
    both.add(1.0, 0)
    with pytest.raises(AssertionError):
        both.check()


def test_any_order_of_operations(machine_code: Any) -> None:
    class Machine(RuleBasedStateMachine):
        @initialize()
        def begin(self) -> None:
            self.both = Both(machine_code)

        @rule(time=st.one_of(st.sampled_from(TIMES), st.floats(0.0)), event_class=st.integers(0, 4))
        def add(self, time: float, event_class: int) -> None:
            self.both.add(time, event_class)

        @precondition(lambda self: self.both.n > 0)
        @rule(time=st.sampled_from(TIMES), event_class=st.integers(0, 4))
        def take_and_add(self, time: float, event_class: int) -> None:
            self.both.take_and_add(time, event_class)

        @precondition(lambda self: self.both.n > 0)
        @rule()
        def take(self) -> None:
            self.both.take()

        def teardown(self) -> None:
            while hasattr(self, "both") and self.both.n:
                self.both.check()
                self.both.take()

    run_state_machine_as_test(
        Machine, settings=settings(max_examples=60, stateful_step_count=40, deadline=None, derandomize=True)
    )
