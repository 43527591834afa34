"""Containers of amounts, and stores of items."""

from __future__ import annotations

import math

from livesim.compiler.program import Discipline, Fault, Op
from livesim.engine.reference.queues import dequeue, wait_in
from livesim.engine.reference.state import Item, Job, State, Wrong
from livesim.engine.reference.values import number, value

# -- containers --------------------------------------------------------------------------------------------------------


def move(s: State, container: int, amount: float, out: bool) -> bool:
    """Put an amount in or take it out, if that can be done now."""
    content = s.amounts[container]
    after = content.value - amount if out else content.value + amount
    if after < 0.0 or after > s.limits[container]:
        return False
    content.set(s.now, after)
    return True


def put_or_get(s: State, job: Job, row: list[int]) -> bool:
    """Put an amount into a container or take it out, behind those who wait to do the same."""
    op, container, wanted, queue, patience, *_ = row
    amount = value(s, wanted, job)
    if not 0.0 <= amount <= s.limits[container]:
        raise Wrong(Fault.AMOUNT, amount)
    if s.queues[queue] or not move(s, container, amount, op == Op.GET):
        job.amount = amount
        return wait_in(s, job, queue, patience)
    s.waits[queue].add(0.0)
    serve_container(s, container)
    job.pc += 1
    return True


def serve_container(s: State, container: int) -> None:
    """Let those who wait to put, then those who wait to get, go as long as it can be done."""
    get = len(s.resources) + 2 * container
    moved = True
    while moved:
        moved = False
        for queue, out in ((get + 1, False), (get, True)):
            while s.queues[queue] and move(s, container, s.queues[queue][0].amount, out):
                s.ready.append(dequeue(s, s.queues[queue][0]))
                moved = True


# -- stores ------------------------------------------------------------------------------------------------------------


def fill(s: State, items: list[list[float]]) -> None:
    """Put what stores hold at the start into them."""
    for store, *fields in items:
        item = Item(fields)
        rank_item(s, int(store), item)
        shelve(s, int(store), item)


def rank_item(s: State, store: int, item: Item) -> None:
    """Note by what an item is ordered in a store."""
    order = s.stores[store][1]
    s.item = item
    item.order = number(s, order, Job(-1, -1, 0, -1, s.now, [], [])) if order >= 0 else 0.0


def shelve(s: State, store: int, item: Item) -> None:
    """Give an item its place in a store."""
    shelf, place = s.shelves[store], len(s.shelves[store])
    while place > 0 and (s.stores[store][0] == Discipline.LIFO or item.order < shelf[place - 1].order):
        place -= 1
    shelf.insert(place, item)


def put(s: State, job: Job, row: list[int]) -> bool:
    """Put an item into a store, behind those who wait to do the same."""
    _, store, _, queue, patience, _, first, count = row
    item = Item([math.nan] * s.fields)
    for pair in range(first, first + 2 * count, 2):
        item.fields[s.sets[pair]] = number(s, s.sets[pair + 1], job)
    rank_item(s, store, item)
    if s.queues[queue] or s.amounts[store].value >= s.limits[store]:
        job.item = item
        return wait_in(s, job, queue, patience)
    s.waits[queue].add(0.0)
    put_item(s, store, item)
    job.pc += 1
    return True


def put_item(s: State, store: int, item: Item) -> None:
    """Put an item into a store that has room; the first waiting job that would take it takes it."""
    shelve(s, store, item)
    s.amounts[store].set(s.now, s.amounts[store].value + 1)
    for job in s.queues[len(s.resources) + 2 * store]:
        row = s.code[job.pc - 1]
        if accepts(s, job, row, item):
            dequeue(s, job)
            take_item(s, job, row, item)
            s.ready.append(job)
            return


def get(s: State, job: Job, row: list[int]) -> bool:
    """Take the first item of a store that meets the job's condition, or wait for one."""
    _, store, _, queue, patience, *_ = row
    item = next((item for item in s.shelves[store] if accepts(s, job, row, item)), None)
    if item is None:
        return wait_in(s, job, queue, patience)
    s.waits[queue].add(0.0)
    take_item(s, job, row, item)
    let_in(s, store)
    job.pc += 1
    return True


def accepts(s: State, job: Job, row: list[int], item: Item) -> bool:
    """Whether a job that gets would take an item: what cannot be compared does not meet a condition."""
    if row[2] < 0:
        return True
    s.item = item
    x = value(s, row[2], job)
    return x != 0.0 and not math.isnan(x)


def take_item(s: State, job: Job, row: list[int], item: Item) -> None:
    """Take an item out of its store, and give the job what it wants of its numbers."""
    _, store, _, _, _, _, first, count = row
    for pair in range(first, first + 2 * count, 2):
        job.attributes[s.sets[pair]] = item.fields[s.sets[pair + 1]]
    s.shelves[store].remove(item)
    s.amounts[store].set(s.now, s.amounts[store].value - 1)


def let_in(s: State, store: int) -> None:
    """Let those who wait to put items into a store do so as long as it has room."""
    queue = s.queues[len(s.resources) + 2 * store + 1]
    while queue and s.amounts[store].value < s.limits[store]:
        job = dequeue(s, queue[0])
        item, job.item = job.item, None
        assert item is not None
        s.ready.append(job)
        put_item(s, store, item)
