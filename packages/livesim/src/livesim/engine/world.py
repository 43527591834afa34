"""The state of a replication in flat arrays, and one record that says where they are.

A helper that LLVM does not inline costs 30 ns when it takes arrays, since each travels as seven words; a pointer to one
record costs what it costs in C. So the kernel and its helpers take `w`, a record of addresses, sizes and scalars, and
`jobs_of(w)` and the like (`livesim.engine.compiled.readers`) make arrays of it, which costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from livesim.compiler.program import STACK, Program
from livesim.histogram import PLACES, QUANTILES
from livesim.random import replication_key, stream_key


def _record(integers: str = "", reals: str = "", words: str = "") -> np.dtype[Any]:
    """A record of 8-byte fields."""
    fields: list[tuple[str, Any]] = [(name, np.int64) for name in integers.split()]
    fields += [(name, np.float64) for name in reals.split()]
    fields += [(name, np.uint64) for name in words.split()]
    return np.dtype(fields, align=True)


# -- the program -------------------------------------------------------------------------------------------------------

INSTRUCTION = _record("op a b c d e f g")
VALUE = _record("kind stream counter code0 code1 code2 code3 dynamic")
NUMBERS = _record(reals="p0 p1 p2 p3")
BYTECODE = _record("code argument")
BRANCH = _record("chance to")
SOURCE = _record("start kind a b c batch limit stream")
CLOCK = _record("resource kind a b c mode e f")
RESOURCE = _record("capacity most discipline order preemption holders")
CONTAINER = _record(reals="capacity initial")
STORE = _record("discipline order")

# -- the state ---------------------------------------------------------------------------------------------------------

LEVEL = _record(reals="value since area")
TALLY = _record(reals="count mean squares least largest")
FLOW = _record("arrived copies departed combined reneged interrupted arrivals", "spent")
QUEUE = _record("head tail longest")
SUPPLY = _record("scheduled failed touched")
HOLDERS = _record("first last")
SHELF = _record("head tail")
ITEM = _record("following preceding store", "order")
"""An item in a store, on its way there, or a free slot; following, preceding: its neighbours in the store's order."""
JOB = _record(
    "pc process serial due working queue ticket units together following preceding inside depth joined splits family "
    "parts holding item",
    "born waited finish length left mark rank order amount",
    "word",
)
"""`livesim.engine.reference.Job` says what the fields are, but for these. following, preceding: neighbours in a queue,
in the ready list, in a batch or among the free slots. inside: the first member of the latest batch that the job stands
for; earlier batches' follow. depth: how many batches it stands for. joined: of a member, which of them, from 1.
item: what it waits to put into a store."""
HOLDING = _record("following preceding ticket", "rank")
"""A job's place in the list of those that hold a resource which can be taken away."""
ENTRY = _record("action process serial pc", "time detail")

ARRAYS: dict[str, Any] = {
    "code": INSTRUCTION, "values": VALUE, "numbers": NUMBERS, "bytecode": BYTECODE, "constants": np.float64,
    "table": np.float64, "branches": BRANCH, "sets": np.int64, "sources": SOURCE, "clocks": CLOCK, "times": np.float64,
    "resources": RESOURCE, "containers": CONTAINER, "stores": STORE, "initial": np.float64, "keys": np.uint64,
    "levels": LEVEL, "tallies": TALLY, "bottoms": np.int64, "places": np.int64, "told": np.float64,
    "fractions": np.float64, "flows": FLOW, "queues": QUEUE, "supplies": SUPPLY, "holders": HOLDERS,
    "ticks": np.int64, "turns": np.int64, "stack": np.float64,
    "jobs": JOB, "held": np.int64, "counters": np.int64, "attributes": np.float64, "holdings": HOLDING,
    "shelves": SHELF, "items": ITEM, "fields": np.float64,
    "event_times": np.float64, "event_keys": np.int64, "entries": ENTRY,
}  # fmt: skip
SIZES = """n_sources n_clocks n_resources n_queues n_containers n_counters n_attributes n_holders n_fields n_items
first_job first_queue first_process first_container first_sojourn first_record first_below slots item_slots events_room
entries_room"""
SCALARS = """pending scheduled free unused ready ready_last events current tickets families traced fault fault_pc
fault_serial fault_process wanted started tracing fruitless free_item item"""
WORLD = _record(" ".join(ARRAYS) + " " + SIZES + " " + SCALARS, "now wrong")
"""pending: events in the calendar; scheduled: ever. free: the first free job slot; unused: how many are free. ready,
ready_last: jobs that were let go. current: the job that runs, where the kernel came back in the middle of one. wanted:
slots that the next step needs. fruitless: changes of capacity since a job moved. free_item: the first free slot for an
item; item: the one that an expression reads. wrong: the number that was at fault."""
STATE = (
    "levels", "tallies", "bottoms", "places", "flows", "queues", "supplies", "holders", "ticks", "turns", "jobs",
    "held", "counters", "attributes", "holdings", "shelves", "items", "fields", "event_times", "event_keys",
)  # fmt: skip
"""The arrays that a run changes; the trace is not part of its state."""
KEPT = (
    "slots",
    "item_slots",
    "events_room",
    "now",
    *(name for name in SCALARS.split() if name not in ("tracing", "traced")),
)


FREE = np.zeros((), JOB)
"""What a free slot holds; whoever changes one of the fields that are not 0 changes it back."""
for _name, _content in {
    "due": -1, "left": -1.0, "queue": -1, "together": -1, "inside": -1, "family": -1, "item": -1, "born": np.nan,
}.items():  # fmt: skip
    FREE[_name] = _content
MOST_JOBS = (1 << 24) - 4096
"""Job slots that the calendar's keys have room for."""


FRACTIONS = np.array(list(QUANTILES.values()))
"""The quantiles that every tally tells."""


class Same:
    """A program as a key: equal to itself alone, and alive as long as it is a key."""

    __slots__ = ("program",)

    def __init__(self, program: Program) -> None:
        self.program = program

    def __hash__(self) -> int:
        return id(self.program)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and self.program is other.program


class Layout(NamedTuple):
    """How every replication of a program begins, but for its keys."""

    words: np.ndarray
    """int64 (field,): the record, with the addresses of tables, and where each array begins in `content`. Not as a
    record: NumPy takes long to copy one."""
    content: np.ndarray
    """uint8 (byte,): what a run changes, array after array, so that one copy begins another replication."""
    inside: np.ndarray
    """bool (array,): which of `ARRAYS` lie in `content`."""
    places: dict[str, tuple[np.dtype[Any], int, int]]
    """Of each of them: what it is made of, where it begins, and its length."""
    tables: dict[str, np.ndarray]
    """The others, which are the program's."""


@lru_cache(maxsize=16)
def lay_out(same: Same, slots: int) -> Layout:
    """Build what a program's replications begin with."""
    program = same.program
    queues, records, counters, holders = program.sizes.tolist()
    sources, clocks, resources = len(program.sources), len(program.clocks), len(program.resources)
    containers, fields = len(program.containers), program.items.shape[1] - 1
    items, room = len(program.items), 2 * (sources + clocks) + 64
    item_slots = items + (64 if (program.stores[:, 0] >= 0).any() else 0)
    world = np.zeros(1, WORLD)
    w = world[0]
    for name, size in {
        "n_sources": sources, "n_clocks": clocks, "n_resources": resources, "n_queues": queues,
        "n_containers": containers, "n_counters": counters, "n_attributes": len(program.attributes),
        "n_holders": holders, "n_fields": fields, "first_job": sources + clocks, "first_queue": 2 * resources,
        "first_process": 2 * resources + queues, "first_container": 2 * resources + queues + sources,
        "first_sojourn": queues, "first_record": queues + 2 * sources,
        "first_below": queues + 2 * sources + records, "n_items": items, "ready": -1,
        "ready_last": -1, "current": -1, "free": -1, "free_item": -1, "item": -1, "events_room": room,
    }.items():  # fmt: skip
        w[name] = size
    tables = {
        "code": program.code, "values": program.values, "numbers": program.parameters, "bytecode": program.bytecode,
        "constants": program.constants, "table": program.table, "branches": program.branches, "sets": program.sets,
        "sources": program.sources, "clocks": program.clocks, "times": program.times,
        "resources": program.resources, "containers": program.containers, "stores": program.stores,
        "initial": program.attributes, "fractions": FRACTIONS,
    }  # fmt: skip
    levels = np.zeros(2 * resources + queues + sources + containers, LEVEL)
    levels["value"][1 : 2 * resources : 2] = program.resources[:, 0]
    levels["value"][2 * resources + queues + sources :] = program.containers[:, 1]
    tallies = np.zeros(queues + 2 * sources + records, TALLY)
    rows = len(tallies) + records
    tallies["least"], tallies["largest"] = np.inf, -np.inf
    supplies = np.zeros(resources, SUPPLY)
    supplies["scheduled"] = program.resources[:, 0]
    lines = np.zeros(queues, QUEUE)
    lines["head"] = lines["tail"] = -1
    goods, numbers = free_items(w, item_slots)
    goods["store"][:items] = program.items[:, 0]
    numbers[: items * fields] = program.items[:, 1:].ravel()
    w["item_slots"], w["free_item"] = item_slots, items if item_slots else -1
    changing = {
        "keys": np.zeros(len(program.streams), np.uint64), "levels": levels, "tallies": tallies,
        "bottoms": np.zeros(rows, np.int64), "places": np.zeros(rows * PLACES, np.int64),
        "told": np.zeros(len(tallies) * len(QUANTILES)),
        "flows": np.zeros(sources, FLOW), "queues": lines, "supplies": supplies,
        "holders": np.full(holders, -1, HOLDERS), "shelves": np.full(containers, -1, SHELF),
        "ticks": np.zeros(clocks, np.int64), "turns": np.zeros(len(program.sets), np.int64), "stack": np.zeros(STACK),
        **free_jobs(w, slots), "items": goods, "fields": numbers, "event_times": np.zeros(room),
        "event_keys": np.zeros(room, np.int64), "entries": np.zeros(0, ENTRY),
    }  # fmt: skip
    w["slots"], w["unused"], w["free"] = slots, slots, 0
    places, end = {}, 0
    for name, array in changing.items():
        places[name] = array.dtype, end, len(array)
        w[name] = end
        end += array.nbytes
    for name, array in tables.items():
        w[name] = array.ctypes.data
    content = np.frombuffer(b"".join(array.tobytes() for array in changing.values()), np.uint8)
    return Layout(world.view(np.int64), content, np.array([name in changing for name in ARRAYS]), places, tables)


def free_jobs(w: np.void, slots: int) -> dict[str, np.ndarray]:
    """Arrays for so many jobs, of which those that are not there yet are free, one after the other."""
    jobs = np.zeros(slots, JOB)
    old = int(w["slots"])
    jobs[old:] = FREE
    jobs["following"][old:] = np.arange(old + 1, slots + 1)
    jobs["following"][-1] = w["free"]
    return {
        "jobs": jobs,
        "held": np.zeros(slots * w["n_resources"], np.int64),
        "counters": np.zeros(slots * w["n_counters"], np.int64),
        "attributes": np.zeros(slots * w["n_attributes"]),
        "holdings": np.zeros(slots * w["n_holders"], HOLDING),
    }


def free_items(w: np.void, slots: int) -> tuple[np.ndarray, np.ndarray]:
    """Arrays for so many items and for their numbers; those that are not there yet are free, one after the other."""
    old = int(w["item_slots"])
    items = np.zeros(slots, ITEM)
    items["following"][old:] = np.arange(old + 1, slots + 1)
    items["following"][-1:] = w["free_item"]
    return items, np.full(slots * w["n_fields"], np.nan)


class Arrays:
    """The arrays of one replication, and the record that holds their addresses."""

    def __init__(self, program: Program, seed: int, replication: int, slots: int, tracing: bool) -> None:
        layout = lay_out(Same(program), slots)
        self._places, self._tables = layout.places, layout.tables
        self._content = layout.content.copy()
        self._own: dict[str, np.ndarray] = {}
        """What was looked at, or is in memory of its own since it grew."""
        words = layout.words.copy()
        words[: len(ARRAYS)][layout.inside] += self._content.ctypes.data
        self.world = words.view(WORLD)
        self.address: int = words.ctypes.data
        """What the kernel is given."""
        key = replication_key(seed, replication)
        self["keys"][:] = [stream_key(key, number) for number in program.streams.tolist()]
        if tracing:
            self.world["tracing"] = 1
            self.grow_entries(2 * slots + 1024)

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._own:
            if name in self._tables:
                return self._tables[name]
            kind, begin, length = self._places[name]
            self._own[name] = np.ndarray(length, kind, self._content, begin)
        return self._own[name]

    def __setitem__(self, name: str, array: np.ndarray) -> None:
        """Put an array in place of another, and its address into the record."""
        self._own[name] = array
        self.world[name] = array.ctypes.data

    def state(self) -> dict[str, np.ndarray]:
        """A copy of what a run changes."""
        scalars = {name: np.array(self.world[0][name]) for name in KEPT}
        return {name: self[name].copy() for name in STATE} | scalars

    def set_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Go back to a state that a run of the same model was in."""
        for name in STATE:
            self[name] = state[name].copy()
        for name in KEPT:
            self.world[0][name] = state[name]
        if self.world[0]["tracing"]:
            self.grow_entries(2 * int(self.world[0]["slots"]))

    def grow_jobs(self, slots: int) -> None:
        """Make room for so many jobs in all."""
        w = self.world[0]
        old = int(w["slots"])
        if slots > MOST_JOBS:
            raise MemoryError(f"{old:,} jobs are in the system at time {w['now']:g}, and more come than leave")
        for name, array in free_jobs(w, slots).items():
            array[: len(self[name])] = self[name]
            self[name] = array
        w["free"] = old
        w["unused"] += slots - old
        w["slots"] = slots

    def grow_items(self, slots: int) -> None:
        """Make room for so many more items."""
        w = self.world[0]
        old = int(w["item_slots"])
        for name, array in zip(("items", "fields"), free_items(w, old + slots), strict=True):
            array[: len(self[name])] = self[name]
            self[name] = array
        w["free_item"] = old
        w["item_slots"] = old + slots

    def grow_calendar(self, room: int) -> None:
        """Make room for so many more events."""
        for name in ("event_times", "event_keys"):
            self[name] = np.concatenate([self[name], np.zeros(room, self[name].dtype)])
        self.world[0]["events_room"] += room

    def grow_entries(self, room: int) -> None:
        """Make room for so many more rows of the trace."""
        self["entries"] = np.concatenate([self["entries"], np.zeros(room, ENTRY)])
        self.world[0]["entries_room"] += room
