"""Counter-based random numbers: a 64-bit key and a counter give a number, with no state to carry.

A number is SplitMix64's finalizer (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators")
applied to `key + counter * GOLDEN`. Every draw has its own key, so a draw's numbers depend on its index alone and
never on how draws are grouped into chunks. Threefry costs two to three times as much in a small model's leapfrog.
"""

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
    """A vector of `dimension` independent standard normals, by inversion."""
    counters = jnp.arange(1, dimension + 1, dtype=jnp.uint64)
    return lax.erf_inv(2.0 * uniform(key, counters) - 1.0) * np.sqrt(2.0)
