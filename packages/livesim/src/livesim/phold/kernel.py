"""PHOLD's loop, over a calendar for many events that are evenly spread: a small heap, and a ring of buckets before it.

A bucket is a span of time. The heap holds the events of the present one; later ones lie unsorted in linked lists, those
beyond the ring in one list, over which a new ring is laid when it has run dry. Which bucket a time belongs to is one
expression that never falls as time grows, so the order is that of a heap alone, to the last tie.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import carray, types
from numpy import int64

from livesim.engine.compiled.calendar import push, replace
from livesim.native.routines import build, pointer
from livesim.random.compiled import uniform

IN_A_BUCKET = 8.0
"""How many events a bucket holds on average."""


def run(
    processes: Any, pings: Any, remote: Any, lookahead: Any, mean: Any, until: Any, keys_at: Any, handled_at: Any,
    floats_at: Any, integers_at: Any, n_buckets: Any, clock_at: Any,
) -> Any:  # fmt: skip
    """Run every event up to and at `until`; how many there were.

    keys, handled: uint64 and int64 (process,). floats: 2 numbers a ping, integers: 3 a ping and 1 a bucket, to work in.
    """
    total = processes * pings
    keys = carray(pointer(keys_at), processes, np.uint64)
    handled = carray(pointer(handled_at), processes, np.int64)
    floats = carray(pointer(floats_at), 2 * total, np.float64)
    integers = carray(pointer(integers_at), 3 * total + n_buckets, np.int64)
    heap_times, times = floats[:total], floats[total:]
    heap_keys, numbers = integers[:total], integers[total : 2 * total]
    following, buckets = integers[2 * total : 3 * total], integers[3 * total :]
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
    carray(pointer(clock_at), 1, np.float64)[0] = now
    return events


def make() -> tuple[str, str]:
    """The module of `run`, and its symbol."""
    i, f = types.int64, types.float64
    return build(run, i(i, i, f, f, f, f, i, i, i, i, i, i))
