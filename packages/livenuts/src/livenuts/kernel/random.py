"""Counter-based random numbers: a 64-bit key and a counter give a number, with no state to carry.

A number is SplitMix64's finalizer (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators")
applied to `key + counter * GOLDEN`. Every draw has its own key, so a draw's numbers depend on its index alone and
never on how draws are grouped into chunks. Threefry costs two to three times as much in a small model's leapfrog.
"""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)

# Purposes inside one draw: each gets a key of its own.
MOMENTUM = np.uint64(0xD1B54A32D192ED03)
DIRECTION = np.uint64(0xABC98388FB8FAC03)


def mix(z: jax.Array) -> jax.Array:
    """SplitMix64's finalizer: a bijection of 64-bit words with full avalanche."""
    z = (z ^ (z >> np.uint64(30))) * _MIX_1
    z = (z ^ (z >> np.uint64(27))) * _MIX_2
    return z ^ (z >> np.uint64(31))


def at(key: jax.Array, counter: jax.Array) -> jax.Array:
    """The 64 random bits of `key` at `counter` (any integer array)."""
    return mix(key + counter.astype(jnp.uint64) * GOLDEN)


def to_uniform(bits: jax.Array) -> jax.Array:
    """Uniforms on the open interval (0, 1) from the upper 52 bits: an odd multiple of 2^-53, so none rounds to 1."""
    return (bits >> np.uint64(12)).astype(jnp.float64) * 2.0**-52 + 2.0**-53


def uniform(key: jax.Array, counter: jax.Array) -> jax.Array:
    """The uniform of `key` at `counter`."""
    return to_uniform(at(key, counter))


def normal(key: jax.Array, dimension: int) -> jax.Array:
    """A vector of `dimension` independent standard normals (Box and Muller 1958), in pairs half a vector apart."""
    half = (dimension + 1) // 2
    counters = jnp.arange(1, half + 1, dtype=jnp.uint64)
    radius = jnp.sqrt(-2.0 * _log(uniform(key, counters)))
    turns = uniform(key, counters + np.uint64(half)) + np.array([[0.0], [0.25]])
    return (radius * _sine(turns)).reshape(2 * half)[:dimension]


# XLA:CPU calls a library's log, sin and cos for each number of its own; what follows it does for several at once.


def _log(x: jax.Array) -> jax.Array:
    """The logarithm of positive normal numbers: x = 2^k m with m near 1, log m = 2 artanh((m - 1) / (m + 1))."""
    bits = lax.bitcast_convert_type(x, jnp.int64)
    exponent = (bits - _ROOT_HALF) >> np.int64(52)
    mantissa = lax.bitcast_convert_type(bits - (exponent << np.int64(52)), jnp.float64)
    f = (mantissa - 1.0) / (mantissa + 1.0)
    return f * _polynomial(_ARTANH, f * f) + exponent.astype(jnp.float64) * math.log(2.0)


def _sine(turns: jax.Array) -> jax.Array:
    """sin(2 pi turns), by its Taylor series on a quarter turn."""
    rest = turns - jnp.round(turns)
    folded = jnp.abs(rest)
    folded = jnp.minimum(folded, 0.5 - folded)
    return jnp.copysign(folded * _polynomial(_SINE, folded * folded), rest)


def _polynomial(coefficients: Sequence[float], x: jax.Array) -> jax.Array:
    value = jnp.full_like(x, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        value = value * x + coefficient
    return value


_ROOT_HALF = np.float64(math.sqrt(0.5)).view(np.int64)
# To below the rounding of a double where they are used: |f| < 0.172, folded turns up to 0.25.
_ARTANH = [2.0 / (2 * k + 1) for k in range(11)]
_SINE = [(-1) ** k * (2.0 * math.pi) ** (2 * k + 1) / math.factorial(2 * k + 1) for k in range(12)]
