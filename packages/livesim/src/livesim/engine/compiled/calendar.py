"""The calendar: a 4-ary heap in two arrays, its root left open between events.

Entries come in the order of (time, key); keys are unique, so the order is total. The event that is taken leaves a hole
at the root, and the next one to be scheduled fills it: a hold is one sift, not two. The smallest of four children is
found without branches, since mispredicted ones are what a heap costs.
"""

from __future__ import annotations

from numpy import int64

from livesim.engine.compiled.readers import event_keys_of, event_times_of
from livesim.engine.compiled.typed import Floats, Ints, World, inlined, routine


@inlined
def earlier(time: float, key: int, other_time: float, other_key: int) -> bool:
    return (time < other_time) | ((time == other_time) & (key < other_key))


@inlined
def push(times: Floats, keys: Ints, n: int, time: float, key: int) -> None:
    """Add an entry to a heap of n without a hole."""
    i = n
    while i > 0:
        parent = (i - 1) >> 2
        if not earlier(time, key, times[parent], keys[parent]):
            break
        times[i] = times[parent]
        keys[i] = keys[parent]
        i = parent
    times[i] = time
    keys[i] = key


@inlined
def replace(times: Floats, keys: Ints, n: int, time: float, key: int) -> None:
    """Put an entry in place of the root of a heap of n."""
    i = 0
    c = 1
    while c + 3 < n:
        a = c + int64(earlier(times[c + 1], keys[c + 1], times[c], keys[c]))
        d = c + 2 + int64(earlier(times[c + 3], keys[c + 3], times[c + 2], keys[c + 2]))
        c = d if earlier(times[d], keys[d], times[a], keys[a]) else a
        if not earlier(times[c], keys[c], time, key):
            times[i] = time
            keys[i] = key
            return
        times[i] = times[c]
        keys[i] = keys[c]
        i = c
        c = 4 * i + 1
    if c < n:
        b = c
        for e in range(c + 1, n):
            if earlier(times[e], keys[e], times[b], keys[b]):
                b = e
        if earlier(times[b], keys[b], time, key):
            times[i] = times[b]
            keys[i] = keys[b]
            i = b
    times[i] = time
    keys[i] = key


@routine
def schedule(w: World, time: float, event_class: int, slot: int, hole: bool) -> int:
    """Put an event into the calendar, at its root where that is a hole; its key."""
    key = event_class << 60 | w.scheduled << 24 | slot
    w.scheduled += 1
    if hole:
        replace(event_times_of(w), event_keys_of(w), w.pending, time, key)
    else:
        push(event_times_of(w), event_keys_of(w), w.pending, time, key)
        w.pending += 1
    return key
