"""The state of a replication in flat arrays, and one record that says where they are.

A helper that LLVM does not inline costs 30 ns when it takes arrays, since each travels as seven words; a pointer to one
record costs what it costs in C. So the kernel and its helpers take `w`, a record of addresses, sizes and scalars, and
`jobs_of(w)` and the like make arrays of it, which costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import make_array, populate_array
from numba.np.numpy_support import from_dtype

from livesim.compiler.program import STACK, Program
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

# -- the state ---------------------------------------------------------------------------------------------------------

LEVEL = _record(reals="value since area")
TALLY = _record(reals="count mean squares least largest")
FLOW = _record("arrived copies departed combined reneged interrupted arrivals", "spent")
QUEUE = _record("head tail longest")
SUPPLY = _record("scheduled failed touched")
HOLDERS = _record("first last")
JOB = _record(
    "pc process serial due working queue ticket units together following preceding inside depth joined splits family "
    "parts holding",
    "born waited finish length left mark rank order amount",
    "word",
)
"""`livesim.engine.reference.Job` says what the fields are, but for these. following, preceding: neighbours in a queue,
in the ready list, in a batch or among the free slots. inside: the first member of the latest batch that the job stands
for; earlier batches' follow. depth: how many batches it stands for. joined: of a member, which of them, from 1."""
HOLDING = _record("following preceding ticket", "rank")
"""A job's place in the list of those that hold a resource which can be taken away."""
ENTRY = _record("action process serial pc", "time detail")

ARRAYS: dict[str, Any] = {
    "code": INSTRUCTION, "values": VALUE, "numbers": NUMBERS, "bytecode": BYTECODE, "constants": np.float64,
    "table": np.float64, "branches": BRANCH, "sets": np.int64, "sources": SOURCE, "clocks": CLOCK, "times": np.float64,
    "resources": RESOURCE, "containers": CONTAINER, "initial": np.float64, "keys": np.uint64,
    "levels": LEVEL, "tallies": TALLY, "flows": FLOW, "queues": QUEUE, "supplies": SUPPLY, "holders": HOLDERS,
    "ticks": np.int64, "turns": np.int64, "stack": np.float64,
    "jobs": JOB, "held": np.int64, "counters": np.int64, "attributes": np.float64, "holdings": HOLDING,
    "event_times": np.float64, "event_keys": np.int64, "entries": ENTRY,
}  # fmt: skip
SIZES = """n_sources n_clocks n_resources n_queues n_containers n_counters n_attributes n_holders
first_job first_queue first_process first_container first_sojourn first_record slots events_room entries_room"""
SCALARS = """pending scheduled free unused ready ready_last events current tickets families traced fault fault_pc
fault_serial fault_process wanted started tracing here drawer drawn fruitless"""
WORLD = _record(" ".join(ARRAYS) + " " + SIZES + " " + SCALARS, "now wrong")
"""pending: events in the calendar; scheduled: ever. free: the first free job slot; unused: how many are free. ready,
ready_last: jobs that were let go. current: the job that runs, where the kernel came back in the middle of one. wanted:
slots that the next step needs. here: the record's own address; drawer: that of `livesim.engine.draws.drawer`; drawn:
how many numbers the last draw has taken in its stream. fruitless: changes of capacity since a job moved. wrong: the
number that was at fault."""
STATE = (
    "levels", "tallies", "flows", "queues", "supplies", "holders", "ticks", "turns", "jobs", "held", "counters",
    "attributes", "holdings", "event_times", "event_keys",
)  # fmt: skip
"""The arrays that a run changes; the trace is not part of its state."""
KEPT = (
    "slots",
    "events_room",
    "now",
    *(name for name in SCALARS.split() if name not in ("here", "drawer", "tracing", "traced")),
)


START = {"due": -1, "left": -1.0, "queue": -1, "together": -1, "inside": -1, "family": -1, "born": np.nan}
"""What a free slot's fields hold where it is not 0; whoever changes one of them changes it back."""
MOST_JOBS = (1 << 24) - 4096
"""Job slots that the calendar's keys have room for."""


@intrinsic
def pointer(context: Any, address: Any) -> Any:
    """An address as a pointer."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], ir.IntType(8).as_pointer())

    return types.voidptr(types.int64), generate


ROOM = 1 << 40
"""A size for arrays made of addresses, whose own is not needed: larger than any index."""


def _reader(name: str) -> Any:
    """A function for compiled code that makes the array of a name from the record of a world.

    An intrinsic, not `carray` in a function: thirty such functions, each compiled by itself, would take long.
    """
    kind = np.dtype(ARRAYS[name])
    array = types.Array(from_dtype(kind), 1, "C")

    @intrinsic
    def read(context: Any, w: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            offset = signature.args[0].offset(name)
            member = cgutils.get_record_member(builder, arguments[0], offset, cgutils.intp_t)  # type: ignore[no-untyped-call]
            data = builder.inttoptr(builder.load(member), context.get_data_type(array.dtype).as_pointer())
            step = context.get_constant(types.intp, kind.itemsize)
            size = context.get_constant(types.intp, ROOM)
            made = make_array(array)(context, builder)  # type: ignore[no-untyped-call]
            populate_array(made, data=data, shape=[size], strides=[step], itemsize=step, meminfo=None)  # type: ignore[no-untyped-call]
            return made._getvalue()

        return array(w), generate

    return read


code_of = _reader("code")
values_of = _reader("values")
numbers_of = _reader("numbers")
bytecode_of = _reader("bytecode")
constants_of = _reader("constants")
table_of = _reader("table")
branches_of = _reader("branches")
sets_of = _reader("sets")
sources_of = _reader("sources")
clocks_of = _reader("clocks")
times_of = _reader("times")
resources_of = _reader("resources")
containers_of = _reader("containers")
initial_of = _reader("initial")
keys_of = _reader("keys")
levels_of = _reader("levels")
tallies_of = _reader("tallies")
flows_of = _reader("flows")
queues_of = _reader("queues")
supplies_of = _reader("supplies")
holders_of = _reader("holders")
ticks_of = _reader("ticks")
turns_of = _reader("turns")
stack_of = _reader("stack")
jobs_of = _reader("jobs")
held_of = _reader("held")
counters_of = _reader("counters")
attributes_of = _reader("attributes")
holdings_of = _reader("holdings")
event_times_of = _reader("event_times")
event_keys_of = _reader("event_keys")
entries_of = _reader("entries")


class Arrays:
    """The arrays of one replication, and the record that holds their addresses."""

    def __init__(self, program: Program, seed: int, replication: int, slots: int, tracing: bool) -> None:
        queues, records, counters, holders = program.sizes.tolist()
        sources, clocks, resources = len(program.sources), len(program.clocks), len(program.resources)
        containers = len(program.containers)
        self.world = np.zeros(1, WORLD)
        w = self.world[0]
        for name, size in {
            "n_sources": sources, "n_clocks": clocks, "n_resources": resources, "n_queues": queues,
            "n_containers": containers, "n_counters": counters, "n_attributes": len(program.attributes),
            "n_holders": holders, "first_job": sources + clocks, "first_queue": 2 * resources,
            "first_process": 2 * resources + queues, "first_container": 2 * resources + queues + sources,
            "first_sojourn": queues, "first_record": queues + 2 * sources, "tracing": int(tracing),
            "ready": -1, "ready_last": -1, "current": -1, "free": -1,
        }.items():  # fmt: skip
            w[name] = size
        key = replication_key(seed, replication)
        self.arrays: dict[str, np.ndarray] = {
            "code": program.code, "values": program.values, "numbers": program.parameters,
            "bytecode": program.bytecode, "constants": program.constants, "table": program.table,
            "branches": program.branches, "sets": program.sets, "sources": program.sources, "clocks": program.clocks,
            "times": program.times, "resources": program.resources, "containers": program.containers,
            "initial": program.attributes,
            "keys": np.array([stream_key(key, number) for number in program.streams.tolist()], np.uint64),
            "levels": np.zeros(2 * resources + queues + sources + containers, LEVEL),
            "tallies": np.zeros(queues + 2 * sources + records, TALLY),
            "flows": np.zeros(sources, FLOW),
            "queues": np.zeros(queues, QUEUE),
            "supplies": np.zeros(resources, SUPPLY),
            "holders": np.zeros(holders, HOLDERS),
            "ticks": np.zeros(clocks, np.int64),
            "turns": np.zeros(len(program.sets), np.int64),
            "stack": np.zeros(STACK),
        }  # fmt: skip
        self["levels"]["value"][1 : 2 * resources : 2] = program.resources[:, 0]
        self["levels"]["value"][2 * resources + queues + sources :] = program.containers[:, 1]
        self["tallies"]["least"], self["tallies"]["largest"] = np.inf, -np.inf
        self["supplies"]["scheduled"] = program.resources[:, 0]
        for name in ("head", "tail"):
            self["queues"][name] = -1
        for name in ("first", "last"):
            self["holders"][name] = -1
        self.grow_jobs(slots)
        self.grow_calendar(2 * (sources + clocks) + 64)
        self.grow_entries(2 * slots + 1024 if tracing else 0)

    def __getitem__(self, name: str) -> np.ndarray:
        return self.arrays[name]

    def place(self) -> None:
        """Write the addresses of the arrays into the record."""
        for name, array in self.arrays.items():
            self.world[0][name] = array.ctypes.data
        self.world[0]["here"] = self.world.ctypes.data

    def state(self) -> dict[str, np.ndarray]:
        """A copy of what a run changes."""
        scalars = {name: np.array(self.world[0][name]) for name in KEPT}
        return {name: self[name].copy() for name in STATE} | scalars

    def set_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Go back to a state that a run of the same model was in."""
        for name in STATE:
            self.arrays[name] = state[name].copy()
        for name in KEPT:
            self.world[0][name] = state[name]
        if self.world[0]["tracing"]:
            self.grow_entries(2 * int(self.world[0]["slots"]))
        self.place()

    def grow_jobs(self, slots: int) -> None:
        """Make room for so many jobs in all."""
        w = self.world[0]
        old = int(w["slots"])
        if slots > MOST_JOBS:
            raise MemoryError(f"{old:,} jobs are in the system at time {w['now']:g}, and more come than leave")
        new: dict[str, np.ndarray] = {
            "jobs": np.zeros(slots, JOB),
            "held": np.zeros(slots * w["n_resources"], np.int64),
            "counters": np.zeros(slots * w["n_counters"], np.int64),
            "attributes": np.zeros(slots * w["n_attributes"]),
            "holdings": np.zeros(slots * w["n_holders"], HOLDING),
        }
        for name, content in START.items():
            new["jobs"][name] = content
        new["jobs"]["following"] = np.arange(1, slots + 1)
        for name, array in new.items():
            if old:
                array[: len(self[name])] = self[name]
            self.arrays[name] = array
        new["jobs"]["following"][-1] = w["free"]
        w["free"] = old
        w["unused"] += slots - old
        w["slots"] = slots

    def grow_calendar(self, room: int) -> None:
        """Make room for so many more events."""
        for name, kind in (("event_times", np.float64), ("event_keys", np.int64)):
            self.arrays[name] = np.concatenate([self.arrays.get(name, np.zeros(0, kind)), np.zeros(room, kind)])
        self.world[0]["events_room"] += room

    def grow_entries(self, room: int) -> None:
        """Make room for so many more rows of the trace."""
        self.arrays["entries"] = np.concatenate([self.arrays.get("entries", np.zeros(0, ENTRY)), np.zeros(room, ENTRY)])
        self.world[0]["entries_room"] += room
