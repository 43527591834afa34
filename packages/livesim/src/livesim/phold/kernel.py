"""PHOLD's loop, over a calendar for many events that are evenly spread: a small heap, and a ring of buckets before it.

A bucket is a span of time. The heap holds the events of the present one; later ones lie unsorted in linked lists, those
beyond the ring in one list, over which a new ring is laid when it has run dry. Which bucket a time belongs to is one
expression that never falls as time grows, so the order is that of a heap alone, to the last tie.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import types
from numpy import int64

from livesim.engine.compiled.calendar import push, replace
from livesim.native.routines import build, floats_at, integers_at, words_at
from livesim.random.compiled import uniform

IN_A_BUCKET = 8.0
"""How many events a bucket holds on average."""


def run(
    processes: Any, pings: Any, remote: Any, lookahead: Any, mean: Any, until: Any, keys_from: Any, handled_from: Any,
    floats_from: Any, integers_from: Any, n_buckets: Any, clock_from: Any,
) -> Any:  # fmt: skip
    """Run every event up to and at `until`; how many there were.

    keys, handled: uint64 and int64 (process,). floats: 2 numbers a ping, integers: 3 a ping and 1 a bucket, to work in.
    """
    total = processes * pings
    keys, handled = words_at(keys_from), integers_at(handled_from)
    heap_times, times = floats_at(floats_from), floats_at(floats_from + 8 * total)
    heap_keys, numbers = integers_at(integers_from), integers_at(integers_from + 8 * total)
    following, buckets = integers_at(integers_from + 16 * total), integers_at(integers_from + 24 * total)

    # An event's key is its number, which orders events of one time, above its process.
    n = int64(0)
    for slot in range(total):
        push(heap_times, heap_keys, n, 0.0, slot << 24 | slot // pings)
        n += 1
    number = int64(total)
    for bucket in range(n_buckets):
        buckets[bucket] = -1
    far = int64(-1)
    free = int64(-1)
    for slot in range(total):
        following[slot] = free
        free = slot
    start = 0.0
    per_time = total / ((mean + lookahead) * IN_A_BUCKET)
    current = int64(n_buckets)
    events = int64(0)
    now = 0.0
    while True:
        if n == 0:
            # The present bucket is empty: go on to the next that is not, or lay a new ring over what lies beyond.
            current += 1
            while current < n_buckets and buckets[current] < 0:
                current += 1
            if current >= n_buckets:
                start = np.inf
                slot = far
                while slot >= 0:
                    if times[slot] < start:
                        start = times[slot]
                    slot = following[slot]
                current = int64(0)
                slot = far
                far = int64(-1)
                while slot >= 0:
                    behind = following[slot]
                    place = (times[slot] - start) * per_time
                    if place < n_buckets:
                        following[slot] = buckets[int64(place)]
                        buckets[int64(place)] = slot
                    else:
                        following[slot] = far
                        far = slot
                    slot = behind
            slot = buckets[current]
            buckets[current] = -1
            while slot >= 0:
                behind = following[slot]
                push(heap_times, heap_keys, n, times[slot], numbers[slot])
                n += 1
                following[slot] = free
                free = slot
                slot = behind
            continue
        time = heap_times[0]
        if time > until:
            break
        now = time
        events += 1
        process = heap_keys[0] & 0xFFFFFF
        key = keys[process]
        drawn = 3 * handled[process]
        handled[process] += 1
        time = now + (lookahead - mean * math.log(uniform(key, drawn)))
        if uniform(key, drawn + 1) < remote:
            to = int64(uniform(key, drawn + 2) * processes)
            if to == process:
                to = to + 1 if to + 1 < processes else int64(0)
            process = to
        entry = number << 24 | process
        number += 1
        place = (time - start) * per_time
        if current < n_buckets and place < current + 1.0:
            replace(heap_times, heap_keys, n, time, entry)
            continue
        n -= 1
        if n > 0:
            replace(heap_times, heap_keys, n, heap_times[n], heap_keys[n])
        slot = free
        free = following[slot]
        times[slot] = time
        numbers[slot] = entry
        if current < n_buckets and place < n_buckets:
            following[slot] = buckets[int64(place)]
            buckets[int64(place)] = slot
        else:
            following[slot] = far
            far = slot
    floats_at(clock_from)[0] = now
    return events


def make() -> tuple[str, str]:
    """The module of `run`, and its symbol."""
    i, f = types.int64, types.float64
    return build(run, i(i, i, f, f, f, f, i, i, i, i, i, i))
