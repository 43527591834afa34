"""Functions that are compiled into the module of whoever calls them, once each.

Numba compiles a function that another one calls as a library of its own: it is optimised, and then optimised again in
each caller that it is linked into, with all that it calls. For a hundred small functions that is most of the time. A
routine has fixed types, is lowered straight into its caller's module, and is optimised there once.
"""

from __future__ import annotations

import gc
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
from numba import types
from numba.core.compiler import CompilerBase, Flags
from numba.core.compiler_lock import global_compiler_lock
from numba.core.compiler_machinery import PassManager
from numba.core.registry import cpu_target
from numba.core.typed_passes import (
    IRLegalization,
    NativeLowering,
    NoPythonBackend,
    NopythonTypeInference,
    PreLowerStripPhis,
)
from numba.core.typing import signature
from numba.core.typing.templates import infer, infer_global, make_intrinsic_template
from numba.core.untyped_passes import FixupArgs, IRProcessing, ReconstructSSA, TranslateByteCode
from numba.extending import intrinsic
from numba.np.arrayobj import make_array, populate_array
from numba.np.numpy_support import as_dtype, from_dtype

Function = TypeVar("Function", bound=Callable[..., Any])

SCALARS: Mapping[str, types.Type] = {
    "int": types.int64,
    "float": types.float64,
    "bool": types.boolean,
    "None": types.none,
    "tuple[float, int]": types.Tuple((types.float64, types.int64)),
    "tuple[float, float]": types.UniTuple(types.float64, 2),
}
"""Numba's types for annotations."""

_lowered: WeakKeyDictionary[Any, dict[Any, Any]] = WeakKeyDictionary()
"""The routines that each library holds already."""


class Pipeline(CompilerBase):
    """What Numba does to a function, without the passes that look for what routines do not have: closures, objects,
    array expressions, literals to unroll. They are a fifth of the time."""

    def define_pipelines(self) -> list[PassManager]:
        manager = PassManager("routine")
        for kind, name in (
            (TranslateByteCode, "analyzing bytecode"),
            (FixupArgs, "fix up args"),
            (IRProcessing, "processing IR"),
            (ReconstructSSA, "ssa"),
            (NopythonTypeInference, "nopython frontend"),
            (PreLowerStripPhis, "remove phis nodes"),
            (IRLegalization, "ensure IR is legal prior to lowering"),
            (NativeLowering, "native lowering"),
            (NoPythonBackend, "nopython mode backend"),
        ):
            manager.add_pass(kind, name)
        manager.finalize()
        return [manager]


def routine(
    function: Function,
    known: Mapping[str, types.Type],
    *,
    inline: bool = False,
    body: Callable[..., Any] | None = None,
) -> Function:
    """Let compiled code call a Python function; the function itself stays as it is.

    known: types by annotation, `"int"`, or by name and annotation, `"key: int"`, which comes first.
    inline: put it into each place that calls it. body: what is compiled in its place.
    """
    annotations = function.__annotations__
    parameters = list(inspect.signature(function).parameters.values())
    arguments = [
        known.get(f"{parameter.name}: {annotations[parameter.name]}", known.get(annotations[parameter.name]))
        for parameter in parameters
    ]
    typing = signature(known[annotations["return"]], *arguments)

    def generate(context: Any, builder: Any, given: Any, values: Any) -> Any:
        # A routine raises nothing, so there is no status to look at: `build` makes sure of that.
        description = _lower(context, body or function, typing, inline)
        return context.call_internal_no_propagate(builder, description, typing, values)[1]

    def typed(context: Any, *given: Any) -> Any:
        return typing, generate

    context = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    typed.__signature__ = inspect.Signature([context, *parameters])  # type: ignore[attr-defined]
    template = make_intrinsic_template(function, typed, function.__name__)
    infer(template)
    infer_global(function, types.Function(template))
    return function


def _lower(context: Any, function: Callable[..., Any], typing: Any, inline: bool) -> Any:
    """The description of a function that is in the library at work, where it is put if it is not there yet."""
    library = context.active_code_library
    there = _lowered.setdefault(library, {})
    if function not in there:
        compiler = Pipeline(
            context.typing_context, context, library, typing.args, typing.return_type, _flags(inline=inline), {}
        )
        there[function] = compiler.compile_extra(function).fndesc
    return there[function]


def _flags(*, inline: bool) -> Flags:
    flags = Flags()
    flags.no_compile = True
    flags.no_cpython_wrapper = True
    flags.no_cfunc_wrapper = True
    flags.error_model = "numpy"
    flags.forceinline = inline
    return flags


def build(entry: Callable[..., Any], typing: Any) -> tuple[str, str]:
    """A module in LLVM's language: a function with all the routines it calls; and its symbol.

    There is no reference counting in it, and no Python: it runs without Numba, and without the GIL.
    """
    target = cpu_target
    library = target.target_context.codegen().create_library(entry.__name__)
    flags = _flags(inline=False)
    flags.no_cfunc_wrapper = False
    collecting = gc.isenabled()
    gc.disable()  # A tenth of the time goes into looking for garbage, of which there is none yet.
    try:
        with global_compiler_lock:
            compiler = Pipeline(
                target.typing_context, target.target_context, library, typing.args, typing.return_type, flags, {}
            )
            description = compiler.compile_extra(entry).fndesc
            for other in dict.fromkeys(library._linking_libraries):  # Numba's own functions, such as int(x)
                library._final_module.link_in(other._get_module_for_linking(), preserve=True)
    finally:
        if collecting:
            gc.enable()
    return str(library._final_module), str(description.llvm_cfunc_wrapper_name)


# -- arrays that lie at an address -------------------------------------------------------------------------------------

ROOM = 0
"""A size for arrays whose own is not needed. All that reads it is what Numba does to a negative index, which is to add
the size: of 0 nothing is left in the machine code, and a job takes a sixth less time."""


def view(context: Any, builder: Any, array: Any, address: Any) -> Any:
    """An array of any size that lies at an address, which nobody counts references to."""
    kind = as_dtype(array.dtype)
    data = builder.inttoptr(address, context.get_data_type(array.dtype).as_pointer())
    step = context.get_constant(types.intp, kind.itemsize)
    size = context.get_constant(types.intp, ROOM)
    made = make_array(array)(context, builder)  # type: ignore[no-untyped-call]
    populate_array(made, data=data, shape=[size], strides=[step], itemsize=step, meminfo=None)  # type: ignore[no-untyped-call]
    return made._getvalue()


def array_at(kind: Any) -> Any:
    """A function for compiled code that takes an address for an array: Numba's `carray` takes long to compile."""
    array = types.Array(from_dtype(np.dtype(kind)), 1, "C")

    @intrinsic
    def read(context: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return view(context, builder, array, arguments[0])

        return array(types.int64), generate

    return read


def _same_bits(given: Any, wanted: Any) -> Any:
    """A function for compiled code that takes the 64 bits of one type for another."""

    @intrinsic
    def read(context: Any, x: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.bitcast(arguments[0], context.get_value_type(wanted))

        return wanted(given), generate

    return read


bits_of, float_of = _same_bits(types.float64, types.int64), _same_bits(types.int64, types.float64)


floats_at, integers_at, words_at = array_at(np.float64), array_at(np.int64), array_at(np.uint64)
