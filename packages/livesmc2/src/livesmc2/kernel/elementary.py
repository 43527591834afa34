"""exp and log in plain arithmetic, for compiled loops and in plain Python, and `math` as a model's functions see it.

A call of the C library in a loop over particles cannot be vectorised, empties the registers around it, and unless it
is known to be pure is repeated for each particle. Both functions here are within one unit in the last place (0.92 is
the most that was found over all of their range), and equal to the bit wherever they run.
"""

from __future__ import annotations

import math
import struct
import types as python_types
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload, register_jitable

from livesmc2.kernel.rng import unannotated

_I64, _F64 = ir.IntType(64), ir.DoubleType()
_MASK = 2**64 - 1

_PER_LOG_TWO = 1.4426950408889634
# log 2 in two parts: the first has 32 bits, so that a whole number up to 2^20 times it is exact.
_LOG_TWO_HIGH, _LOG_TWO_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_ROUND = 1.5 * 2.0**52
"""Added to a small number it leaves the nearest whole number in the low bits."""
_SMALLEST_NORMAL, _HUGE_POWER = 2.0**-1022, 2.0**54
_LARGEST, _LEAST = 709.782712893384, -745.1332191019412
"""Beyond which exp is infinite, and zero."""
_ROOT_HALF = 0x3FE6A09E667F3BCD
"""The bits of sqrt(1/2)."""
_ONE = 1023 << 52
_C2, _C3, _C4, _C5, _C6, _C7, _C8, _C9, _C10, _C11, _C12, _C13 = (1.0 / math.factorial(k) for k in range(2, 14))
_EXPONENT = 0x7FF0000000000000


# -- bits --------------------------------------------------------------------------------------------------------------


def bits(x: float) -> int:
    """The 64 bits of a double, as a signed number."""
    return int(struct.unpack("<q", struct.pack("<d", x))[0])


def double(word: int) -> float:
    """The double of 64 bits; what lies above them is lost."""
    return float(struct.unpack("<d", struct.pack("<Q", word & _MASK))[0])


def _bitcast(source: Any, target: Any) -> Any:
    @intrinsic
    def cast(typing: Any, value: Any) -> Any:
        form = _I64 if target is types.int64 else _F64
        return target(source), lambda context, builder, signature, given: builder.bitcast(given[0], form)

    return cast


_to_bits, _to_double = _bitcast(types.float64, types.int64), _bitcast(types.int64, types.float64)


@overload(bits)
@unannotated
def _bits(x: Any) -> Any:
    return lambda x: _to_bits(x)


@overload(double)
@unannotated
def _double(word: Any) -> Any:
    return lambda word: _to_double(word)


_ROUND_BITS = bits(_ROUND)


# -- exp and log -------------------------------------------------------------------------------------------------------


@register_jitable(error_model="numpy", forceinline=True)
def exp_series(r: float) -> float:
    """(exp(r) - 1 - r) / r^2 for |r| <= log(2) / 2."""
    # In a tree (Estrin), whose latency is a third of Horner's chain.
    square = r * r
    fourth = square * square
    a = (_C2 + _C3 * r) + (_C4 + _C5 * r) * square
    b = (_C6 + _C7 * r) + (_C8 + _C9 * r) * square
    c = (_C10 + _C11 * r) + (_C12 + _C13 * r) * square
    return (a + b * fourth) + c * (fourth * fourth)


@register_jitable(error_model="numpy", forceinline=True)
def exp(x: float) -> float:
    """e^x; infinite above 709.78, zero below -745.13.

    >>> abs(exp(1.0) - math.e) < 1e-15
    True
    """
    shifted = x * _PER_LOG_TWO + _ROUND
    whole = shifted - _ROUND
    high, low = x - whole * _LOG_TWO_HIGH, whole * _LOG_TWO_LOW
    r = high - low
    p = 1.0 + (r + (r * r * exp_series(r) + ((high - r) - low)))
    power = bits(shifted) - _ROUND_BITS
    half = power >> 1  # two factors, as 2^power alone may not be a double where the result is
    y = p * double((half << 52) + _ONE) * double(((power - half) << 52) + _ONE)
    y = 0.0 if x < _LEAST else y
    return math.inf if x > _LARGEST else y


@register_jitable(error_model="numpy", forceinline=True)
def log(x: float) -> float:
    """The natural logarithm; -inf at zero, NaN below.

    With x = 2^k (1 + f), sqrt(1/2) <= 1 + f < sqrt(2), and s = f / (2 + f): log(1 + f) is 2 artanh(s), taken as f less
    a correction, so that the rounding of s does not count.
    """
    tiny = x < _SMALLEST_NORMAL
    word = bits(abs(x * _HUGE_POWER if tiny else x))
    above = word - _ROOT_HALF + _ONE
    f = double(word - ((above & _EXPONENT) - _ONE)) - 1.0
    power = double((above >> 52) + _ROUND_BITS) - (_ROUND + 1023.0) - (54.0 if tiny else 0.0)
    s = f / (2.0 + f)
    square = s * s
    fourth = square * square
    eighth = fourth * fourth
    a = (2.0 / 3.0 + 2.0 / 5.0 * square) + (2.0 / 7.0 + 2.0 / 9.0 * square) * fourth
    b = (2.0 / 11.0 + 2.0 / 13.0 * square) + (2.0 / 15.0 + 2.0 / 17.0 * square) * fourth
    c = (2.0 / 19.0 + 2.0 / 21.0 * square) + 2.0 / 23.0 * fourth
    p = (a + b * eighth) + c * (eighth * eighth)
    half = 0.5 * f * f
    y = power * _LOG_TWO_HIGH - ((half - (s * (half + square * p) + power * _LOG_TWO_LOW)) - f)
    y = x if x == math.inf else y
    y = y if x > 0.0 else math.nan
    return -math.inf if x == 0.0 else y


# -- math --------------------------------------------------------------------------------------------------------------


_declared: Any = cgutils.get_or_insert_function


def _pure(name: str) -> Any:
    """A function of the C library that is known to return and to do nothing else, so that a loop calls it once."""

    @intrinsic
    def call(typing: Any, x: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            function = _declared(builder.module, ir.FunctionType(_F64, [_F64]), name)
            for attribute in ("nounwind", "readnone", "willreturn", "speculatable"):
                set.add(function.attributes, attribute)  # llvmlite's own list lacks the last two
            return builder.call(function, given)

        return types.float64(types.float64), generate

    return call


def _stand_in(what: str, functions: dict[str, Any]) -> python_types.ModuleType:
    module = python_types.ModuleType("math", what)
    module.__dict__.update({name: value for name, value in vars(math).items() if not name.startswith("_")} | functions)
    return module


_PURE = {name: _pure(name) for name in ("lgamma", "log1p", "expm1", "erf", "erfc", "tanh", "atan")}
PURE_MATH = _stand_in("`math` for compiled functions that draw.", _PURE)
VECTOR_MATH = _stand_in("`math` for compiled functions that do not.", _PURE | {"exp": exp, "log": log})
