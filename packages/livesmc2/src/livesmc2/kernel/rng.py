"""The generator that a model's functions are given: in compiled code four words on the stack, in plain Python `Rng`.

A stream belongs to one parameter particle at one time: its key is a hash of (seed, purpose, time, particle), so that
nothing is carried from step to step, and any split of the work gives the same bits. The generator is SFC64 (Doty-
Humphrey's small fast counting generator, as in NumPy). Both forms give the same bits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_jitable, register_model

_MASK = 2**64 - 1
_I64, _F64 = ir.IntType(64), ir.DoubleType()

MIX_1, MIX_2 = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
STEP = 0x9E3779B97F4A7C15
"""2^64 over the golden ratio, odd: what tells the indices of a level apart."""
_U1, _U2, _USTEP = np.uint64(MIX_1), np.uint64(MIX_2), np.uint64(STEP)
_S12, _S27, _S30, _S31 = (np.uint64(shift) for shift in (12, 27, 30, 31))


Function = TypeVar("Function", bound=Callable[..., Any])


def unannotated(function: Function) -> Function:
    """For `overload`: Numba compares the annotations of a typing function with those of what it returns."""
    function.__annotations__ = {}
    return function


# -- keys --------------------------------------------------------------------------------------------------------------


@register_jitable(error_model="numpy", forceinline=True)
def mix(word: Any) -> Any:
    """SplitMix64's finalizer: a bijection of 64-bit words with full avalanche."""
    word = (word ^ (word >> _S30)) * _U1
    word = (word ^ (word >> _S27)) * _U2
    return word ^ (word >> _S31)


@register_jitable(error_model="numpy", forceinline=True)
def subkey(key: Any, index: Any) -> Any:
    """The key of one index below a key."""
    return mix(np.uint64(key) + (np.uint64(index) + np.uint64(1)) * _USTEP)


@register_jitable(error_model="numpy", forceinline=True)
def hashed_uniform(key: Any, index: Any) -> Any:
    """A uniform of the open interval (0, 1), by hash."""
    return np.float64(subkey(key, index) >> _S12) * 2.0**-52 + 2.0**-53


def derive(seed: int, *path: int) -> int:
    """The key at the end of a path of indices from a seed; what compiled code calls `subkey`, repeated."""
    key = seed & _MASK
    for index in path:
        word = (key + (index + 1) * STEP) & _MASK
        word = ((word ^ (word >> 30)) * MIX_1) & _MASK
        word = ((word ^ (word >> 27)) * MIX_2) & _MASK
        key = word ^ (word >> 31)
    return key


# -- the compiled generator --------------------------------------------------------------------------------------------


class RngType(types.Type):
    """A pointer to the four words of a generator."""

    def __init__(self) -> None:
        super().__init__("livesmc2.Rng")


rng_type = RngType()


@register_model(RngType)
class _RngModel(models.PrimitiveModel):
    def __init__(self, manager: Any, form: Any) -> None:
        super().__init__(manager, form, ir.PointerType(_I64))


def _word(builder: Any, pointer: Any, index: int) -> Any:
    return builder.gep(pointer, [ir.Constant(_I64, index)])


@intrinsic
def make_rng(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """A generator in the frame of the caller, from three mixed words."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = cgutils.alloca_once(builder, _I64, size=4)
        for index, word in enumerate([*arguments, ir.Constant(_I64, 1)]):
            builder.store(word, _word(builder, pointer, index))
        return pointer

    return rng_type(types.uint64, types.uint64, types.uint64), generate


def _copy(builder: Any, target: Any, source: Any) -> None:
    for index in range(4):
        builder.store(builder.load(_word(builder, source, index)), _word(builder, target, index))


def outlined(function: Callable[..., float]) -> Callable[..., float]:
    """A sampler that stays a call in compiled code: `function(rng, *numbers)`, seldom reached or long.

    It works on a copy of the generator, whose words in the loop around it so stay in registers, and it is never
    inlined there, where its own values would push them out.
    """

    @intrinsic
    def call(typing: Any, rng: Any, numbers: Any) -> Any:
        inner = types.float64(rng_type, *numbers.types)

        def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            copy = cgutils.alloca_once(builder, _I64, size=4)
            _copy(builder, copy, given[0])
            compiled = context.compile_subroutine(builder, function, inner)
            target = context.declare_function(builder.module, compiled.fndesc)
            values = [copy, *cgutils.unpack_tuple(builder, given[1])]
            _, drawn = context.call_conv.call_function(
                builder, target, inner.return_type, inner.args, values, attrs=("noinline",)
            )
            _copy(builder, given[0], copy)
            return drawn

        return types.float64(rng_type, numbers), generate

    def sampler(rng: Any, *numbers: Any) -> float:
        return function(rng, *numbers)

    @overload(sampler)
    @unannotated
    def _sampler(rng: Any, *numbers: Any) -> Any:
        return lambda rng, *numbers: call(rng, numbers)

    return sampler


def _next_word(builder: Any, pointer: Any) -> Any:
    places = [_word(builder, pointer, index) for index in range(4)]
    a, b, c, count = (builder.load(place) for place in places)
    word = builder.add(builder.add(a, b), count)
    builder.store(builder.add(count, ir.Constant(_I64, 1)), places[3])
    builder.store(builder.xor(b, builder.lshr(b, ir.Constant(_I64, 11))), places[0])
    builder.store(builder.add(c, builder.shl(c, ir.Constant(_I64, 3))), places[1])
    rotated = builder.or_(builder.shl(c, ir.Constant(_I64, 24)), builder.lshr(c, ir.Constant(_I64, 40)))
    builder.store(builder.add(rotated, word), places[2])
    return word


@intrinsic
def _next_unit(typing: Any, rng: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        word = builder.lshr(_next_word(builder, arguments[0]), ir.Constant(_I64, 12))
        scaled = builder.fmul(builder.sitofp(word, _F64), ir.Constant(_F64, 2.0**-52))
        return builder.fadd(scaled, ir.Constant(_F64, 2.0**-53))

    return types.float64(rng_type), generate


@intrinsic
def _next_layer(typing: Any, rng: Any) -> Any:
    form = types.UniTuple(types.int64, 2)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        word = _next_word(builder, arguments[0])
        layer = builder.and_(word, ir.Constant(_I64, 0xFF))
        return context.make_tuple(builder, form, [layer, builder.ashr(word, ir.Constant(_I64, 11))])

    return form(rng_type), generate


# -- the two primitives from which every sampler is made ---------------------------------------------------------------


def unit(rng: Any) -> float:
    """A uniform on the open interval (0, 1): an odd multiple of 2^-53."""
    return (rng.next_word() >> 12) * 2.0**-52 + 2.0**-53


def layer(rng: Any) -> tuple[int, int]:
    """One word cut for a ziggurat: a layer (8 bits) and a mantissa with its sign (53 bits)."""
    word = rng.next_word()
    return word & 0xFF, (word >> 11) - (2**53 if word >> 63 else 0)


@overload(unit)
@unannotated
def _unit(rng: Any) -> Any:
    if isinstance(rng, RngType):
        return lambda rng: _next_unit(rng)
    return None


@overload(layer)
@unannotated
def _layer(rng: Any) -> Any:
    if isinstance(rng, RngType):
        return lambda rng: _next_layer(rng)
    return None


class Rng:
    """The generator in plain Python, with the methods and argument names of `numpy.random.Generator`.

    >>> Rng(1, 2, 3).uniform(0.0, 1.0) == Rng(1, 2, 3).random()
    True
    """

    __slots__ = ("_a", "_b", "_c", "_count")

    # The samplers are attached by `livesmc2.kernel.samplers`.
    normal: Callable[..., float]
    uniform: Callable[..., float]
    random: Callable[..., float]

    def __init__(self, a: int, b: int, c: int) -> None:
        self._a, self._b, self._c, self._count = int(a), int(b), int(c), 1

    def next_word(self) -> int:
        """64 random bits."""
        a, b, c, count = self._a, self._b, self._c, self._count
        word = (a + b + count) & _MASK
        self._count = (count + 1) & _MASK
        self._a = b ^ (b >> 11)
        self._b = (c + (c << 3)) & _MASK
        self._c = ((((c << 24) & _MASK) | (c >> 40)) + word) & _MASK
        return word


@njit(error_model="numpy")
def seed_words(key: Any) -> Any:
    """The three words that seed a stream, from its key."""
    a = subkey(key, 0)
    b = subkey(a, 1)
    return a, b, subkey(b, 2)


@register_jitable(error_model="numpy", forceinline=True)
def seed_words_inline(key: Any) -> Any:
    """`seed_words`, for compiled loops."""
    a = subkey(key, 0)
    b = subkey(a, 1)
    return a, b, subkey(b, 2)
