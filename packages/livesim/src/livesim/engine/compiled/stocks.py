"""Containers of amounts, and stores of items."""

from __future__ import annotations

import math

from numpy import int64

from livesim.engine.compiled.constants import LIFO
from livesim.engine.compiled.queues import dequeue, go_on
from livesim.engine.compiled.readers import (
    attributes_of,
    code_of,
    containers_of,
    fields_of,
    items_of,
    jobs_of,
    levels_of,
    queues_of,
    sets_of,
    shelves_of,
    stores_of,
)
from livesim.engine.compiled.statistics import level
from livesim.engine.compiled.typed import World, routine
from livesim.engine.compiled.values import value_of

# -- containers --------------------------------------------------------------------------------------------------------


@routine
def move(w: World, container: int, amount: float, out: bool) -> bool:
    """Put an amount in or take it out, if that can be done now."""
    row = w.first_container + container
    after = levels_of(w)[row].value - amount if out else levels_of(w)[row].value + amount
    if after < 0.0 or after > containers_of(w)[container].capacity:
        return False
    levels_of(w)[row].area += levels_of(w)[row].value * (w.now - levels_of(w)[row].since)
    levels_of(w)[row].since = w.now
    levels_of(w)[row].value = after
    return True


@routine
def serve_container(w: World, container: int) -> None:
    """Let those who wait to put, then those who wait to get, go as long as it can be done."""
    jobs = jobs_of(w)
    get = w.n_resources + 2 * container
    moved = True
    while moved:
        moved = False
        for side in range(2):
            q = get + 1 - side
            while queues_of(w)[q].head >= 0 and move(w, container, jobs[queues_of(w)[q].head].amount, side == 1):
                j = queues_of(w)[q].head
                dequeue(w, j)
                go_on(w, jobs, j)
                moved = True


# -- stores ------------------------------------------------------------------------------------------------------------


@routine
def make_item(w: World, j: int, i: int) -> int:
    """A new item with the numbers that a put gives it; -1 if one of them is none. There is a free slot."""
    slot = w.free_item
    w.free_item = items_of(w)[slot].following
    for field in range(w.n_fields):
        fields_of(w)[slot * w.n_fields + field] = math.nan
    first = code_of(w)[i].f
    for pair in range(first, first + 2 * code_of(w)[i].g, 2):
        x = value_of(w, sets_of(w)[pair + 1], j)
        if math.isnan(x):
            w.wrong = x
            return -1
        fields_of(w)[slot * w.n_fields + sets_of(w)[pair]] = x
    return slot if rank_item(w, code_of(w)[i].a, slot) else int64(-1)


@routine
def rank_item(w: World, store: int, slot: int) -> bool:
    """Note by what an item is ordered in a store; whether that is a number."""
    order = stores_of(w)[store].order
    w.item = slot
    value = value_of(w, order, int64(0)) if order >= 0 else 0.0
    items_of(w)[slot].order = value
    if math.isnan(value):
        w.wrong = value
        return False
    return True


@routine
def drop_item(w: World, slot: int) -> None:
    """Give an item's slot back."""
    items_of(w)[slot].following = w.free_item
    w.free_item = slot


@routine
def shelve(w: World, store: int, slot: int) -> None:
    """Give an item its place in a store."""
    items, shelves = items_of(w), shelves_of(w)
    discipline, value = stores_of(w)[store].discipline, items_of(w)[slot].order
    after = shelves[store].tail
    while after >= 0 and (discipline == LIFO or value < items[after].order):
        after = items[after].preceding
    behind = items[after].following if after >= 0 else shelves[store].head
    items[slot].preceding = after
    items[slot].following = behind
    if after >= 0:
        items[after].following = slot
    else:
        shelves[store].head = slot
    if behind >= 0:
        items[behind].preceding = slot
    else:
        shelves[store].tail = slot


@routine
def accepts(w: World, j: int, i: int, slot: int) -> bool:
    """Whether a job that gets would take an item: what cannot be compared does not meet a condition."""
    condition = code_of(w)[i].b
    if condition < 0:
        return True
    w.item = slot
    x = value_of(w, condition, j)
    return x != 0.0 and not math.isnan(x)


@routine
def item_for(w: World, j: int, i: int) -> int:
    """The first item of a store that a job would take; -1 if there is none."""
    slot = shelves_of(w)[code_of(w)[i].a].head
    while slot >= 0 and not accepts(w, j, i, slot):
        slot = items_of(w)[slot].following
    return slot


@routine
def take_item(w: World, j: int, i: int, slot: int) -> None:
    """Take an item out of its store, and give the job what it wants of its numbers."""
    items, store = items_of(w), code_of(w)[i].a
    first = code_of(w)[i].f
    for pair in range(first, first + 2 * code_of(w)[i].g, 2):
        x = fields_of(w)[slot * w.n_fields + sets_of(w)[pair + 1]]
        attributes_of(w)[j * w.n_attributes + sets_of(w)[pair]] = x
    ahead, behind = items[slot].preceding, items[slot].following
    if ahead >= 0:
        items[ahead].following = behind
    else:
        shelves_of(w)[store].head = behind
    if behind >= 0:
        items[behind].preceding = ahead
    else:
        shelves_of(w)[store].tail = ahead
    drop_item(w, slot)
    level(levels_of(w), w.first_container + store, w.now, -1.0)


@routine
def put_item(w: World, store: int, slot: int) -> None:
    """Put an item into a store that has room; the first waiting job that would take it takes it."""
    jobs = jobs_of(w)
    shelve(w, store, slot)
    level(levels_of(w), w.first_container + store, w.now, 1.0)
    j = queues_of(w)[w.n_resources + 2 * store].head
    while j >= 0:
        i = jobs[j].pc - 1
        if accepts(w, j, i, slot):
            dequeue(w, j)
            take_item(w, j, i, slot)
            go_on(w, jobs, j)
            return
        j = jobs[j].following


@routine
def let_in(w: World, store: int) -> None:
    """Let those who wait to put items into a store do so as long as it has room."""
    jobs, q = jobs_of(w), w.n_resources + 2 * store + 1
    row = w.first_container + store
    while queues_of(w)[q].head >= 0 and levels_of(w)[row].value < containers_of(w)[store].capacity:
        j = queues_of(w)[q].head
        slot = jobs[j].item
        jobs[j].item = -1
        dequeue(w, j)
        go_on(w, jobs, j)
        put_item(w, store, slot)
