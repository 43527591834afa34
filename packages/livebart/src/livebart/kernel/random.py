"""Random numbers: xoshiro256++ (Blackman and Vigna 2021) and what is drawn from it. A state is four uint64."""

import math

import numpy as np
from numba import njit

INLINE = {"nogil": True, "error_model": "numpy", "forceinline": True}
CALLED = {"nogil": True, "error_model": "numpy"}

_S5, _S9, _S11, _S17, _S19, _S23, _S45, _S41 = (np.uint64(s) for s in (5, 9, 11, 17, 19, 23, 45, 41))
_LAYER = np.uint64(255)
_UNIT = 2.0**-53


def seeded(seed: int, chain: int) -> np.ndarray:
    """The state with which a chain begins: four numbers of NumPy's SeedSequence."""
    return np.random.SeedSequence([seed, chain]).generate_state(4, np.uint64)


@njit(**INLINE)
def next_word(state):
    s0, s1, s2, s3 = state[0], state[1], state[2], state[3]
    total = s0 + s3
    word = ((total << _S23) | (total >> _S41)) + s0
    shifted = s1 << _S17
    s2 ^= s0
    s3 ^= s1
    s1 ^= s2
    s0 ^= s3
    s2 ^= shifted
    s3 = (s3 << _S45) | (s3 >> _S19)
    state[0], state[1], state[2], state[3] = s0, s1, s2, s3
    return word


@njit(**INLINE)
def uniform(state):
    """In [0, 1)."""
    return float(next_word(state) >> _S11) * _UNIT


@njit(**INLINE)
def below(state, n):
    """An integer in [0, n)."""
    return int(uniform(state) * n)


# -- the normal distribution: 256 layers of equal area (Marsaglia and Tsang 2000; Doornik 2005) ------------------------

_TAIL = 3.6541528853610088
_AREA = 0.00492867323399


def _layers() -> np.ndarray:
    edges = np.zeros(257)
    height = math.exp(-0.5 * _TAIL * _TAIL)
    edges[0], edges[1] = _AREA / height, _TAIL
    for i in range(2, 256):
        edges[i] = math.sqrt(-2.0 * math.log(_AREA / edges[i - 1] + height))
        height = math.exp(-0.5 * edges[i] * edges[i])
    return edges


_EDGES = _layers()


@njit(**CALLED)
def _outside(state, layer, x, negative):
    """A normal draw where its layer's rectangle was missed; NaN if it is rejected."""
    if layer == 0:
        while True:
            a = -math.log(1.0 - uniform(state)) / _TAIL
            b = -math.log(1.0 - uniform(state))
            if 2.0 * b > a * a:
                return -(_TAIL + a) if negative else _TAIL + a
    top = math.exp(-0.5 * (_EDGES[layer] * _EDGES[layer] - x * x))
    bottom = math.exp(-0.5 * (_EDGES[layer + 1] * _EDGES[layer + 1] - x * x))
    return x if bottom + uniform(state) * (top - bottom) < 1.0 else math.nan


@njit(**INLINE)
def normal(state):
    while True:
        word = next_word(state)
        layer = int(word & _LAYER)
        u = 2.0 * (float(word >> _S11) * _UNIT) - 1.0
        x = u * _EDGES[layer]
        if abs(x) < _EDGES[layer + 1]:
            return x
        x = _outside(state, layer, x, u < 0.0)
        if not math.isnan(x):
            return x


@njit(**CALLED)
def gamma(state, shape):
    """With rate 1 (Marsaglia and Tsang 2000)."""
    if shape < 1.0:
        boost = (1.0 - uniform(state)) ** (1.0 / shape)
        shape += 1.0
    else:
        boost = 1.0
    d = shape - 1.0 / 3.0
    c = 1.0 / math.sqrt(9.0 * d)
    while True:
        x = normal(state)
        v = 1.0 + c * x
        if v <= 0.0:
            continue
        v = v * v * v
        if math.log(1.0 - uniform(state)) < 0.5 * x * x + d - d * v + d * math.log(v):
            return d * v * boost


@njit(**CALLED)
def log_gamma_draw(state, shape):
    """The logarithm of a gamma draw, which a small shape does not underflow."""
    if shape >= 1.0:
        return math.log(gamma(state, shape))
    return math.log(gamma(state, shape + 1.0)) + math.log(1.0 - uniform(state)) / shape


@njit(**INLINE)
def normal_above(state, bound):
    """A standard normal draw above `bound` (Robert 1995)."""
    if bound < 0.45:
        while True:
            x = normal(state)
            if x > bound:
                return x
    rate = 0.5 * (bound + math.sqrt(bound * bound + 4.0))
    while True:
        x = bound - math.log(1.0 - uniform(state)) / rate
        if uniform(state) <= math.exp(-0.5 * (x - rate) * (x - rate)):
            return x
