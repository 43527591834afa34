"""Arrays of the world's record, for compiled code: `jobs_of(w)` costs nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.numpy_support import from_dtype

from livesim.engine.world import ARRAYS, WORLD
from livesim.native.routines import view


@intrinsic
def world_at(context: Any, address: Any) -> Any:
    """The world whose record lies at an address."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return from_dtype(WORLD)(types.int64), generate


def _reader(name: str) -> Any:
    """A function for compiled code that makes the array of a name from the record of a world."""
    array = types.Array(from_dtype(np.dtype(ARRAYS[name])), 1, "C")

    @intrinsic
    def read(context: Any, w: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            offset = signature.args[0].offset(name)
            member = cgutils.get_record_member(builder, arguments[0], offset, cgutils.intp_t)  # type: ignore[no-untyped-call]
            return view(context, builder, array, builder.load(member))

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
bottoms_of = _reader("bottoms")
places_of = _reader("places")
told_of = _reader("told")
fractions_of = _reader("fractions")
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
stores_of = _reader("stores")
shelves_of = _reader("shelves")
items_of = _reader("items")
fields_of = _reader("fields")
