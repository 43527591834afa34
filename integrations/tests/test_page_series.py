"""A bounded history says what the whole one would say."""

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from liverecipes.page.series import BUCKETS, RECENT, TAIL, Series

AWKWARD = np.array([np.nan, np.inf, -np.inf, 0.0, 1e300])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3000), st.sampled_from([0, 0, 0, 1, 7, 2500])), max_size=8),
    st.integers(0, 2**32 - 1),
)
def test_extremes_and_newest_values_are_those_of_the_whole_history(blocks: list[tuple[int, int]], seed: int) -> None:
    random = np.random.default_rng(seed)
    series, whole = Series(2), np.empty((0, 2))
    for length, gap in blocks:
        rows = random.standard_normal((length, 2))
        rows[random.random(rows.shape) < 0.1] = random.choice(AWKWARD)
        series.add(rows, len(whole) + gap)
        if length:  # steps left out before nothing are not known of
            missing = np.full((gap, 2), np.nan)
            whole = np.concatenate([whole, missing, np.where(np.isfinite(rows), rows, np.nan)])
    count, stride = len(whole), series.stride
    assert series.count == count
    assert stride & (stride - 1) == 0
    assert -(-count // stride) <= BUCKETS
    assert stride == 1 or count > BUCKETS * stride // 2
    for column in (0, 1):
        found = series.full(column)
        stretches = [whole[start : start + stride, column] for start in range(0, count, stride)]
        assert_same(found["low"], [np.fmin.reduce(each) for each in stretches])
        assert_same(found["high"], [np.fmax.reduce(each) for each in stretches])
        assert found["tail_first"] == max(0, count - TAIL)
        assert_same(found["tail"], whole[-TAIL:, column])
        for back in (0, min(count, 1), min(count, RECENT)):
            assert_same(series.since(count - back, column), whole[count - back :, column])


def assert_same(found: list[float], expected: Any) -> None:
    np.testing.assert_array_equal(np.array(found), np.array(expected))


def test_steps_that_came_before_are_not_taken_again() -> None:
    series = Series()
    series.add([0.0, 1.0, 2.0])
    series.add([9.0, 9.0, 3.0], first=1)
    series.add([9.0], first=-5)
    assert series.full()["tail"] == [0.0, 1.0, 2.0, 3.0]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 6000), st.integers(0, 6000), st.integers(0, 3000), st.integers(0, 2**32 - 1))
def test_steps_that_are_cut_off_leave_what_was_before(length: int, count: int, more: int, seed: int) -> None:
    """Exactly, but for one stretch, where its values are not held any more, and newest values that were overwritten."""
    random = np.random.default_rng(seed)
    rows, others = random.standard_normal(length), random.standard_normal(more)
    series = Series()
    series.add(rows)
    held_from = max(0, length - RECENT)
    series.cut(count)
    count = min(count, length)
    assert series.count == count
    series.add(others)
    whole = np.concatenate([rows[:count], others])
    assert series.count == len(whole)
    stride, found = series.stride, series.full()
    for at, start in enumerate(range(0, len(whole), stride)):
        stretch = whole[start : start + stride]
        if start <= count < start + stride and start < held_from:
            assert found["low"][at] <= stretch.min()
            assert found["high"][at] >= stretch.max()
        else:
            assert (found["low"][at], found["high"][at]) == (stretch.min(), stretch.max())
    tail = np.array(found["tail"])
    steps = np.arange(found["tail_first"], len(whole))
    lost = np.isnan(tail)
    assert (steps[lost] < held_from).all()
    assert (steps[~lost] >= min(held_from, count)).all()
    assert_same(tail[~lost].tolist(), whole[steps[~lost]])


@pytest.mark.parametrize("first", [10**9, 2**53])
def test_a_jump_of_any_length(first: int) -> None:
    series = Series()
    series.add([1.0])
    series.add([2.0], first)
    found = series.full()
    assert found["count"] == first + 1
    assert found["low"][0] == 1.0
    assert found["high"][-1] == 2.0
    assert found["tail"][-1] == 2.0
    assert np.isnan(found["tail"][:-1]).all()


def test_memory_does_not_grow() -> None:
    series = Series(3)
    block = np.ones((1000, 3))
    for _ in range(10):
        series.add(block)
    tracemalloc.start()
    try:
        for _ in range(1000):
            series.add(block)
        kept = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert series.count == 1_010_000
    assert kept < 100_000
