"""Counter-based random numbers: the published mixer, uniforms, normals, and no trace of structure in the keys."""

from collections.abc import Iterator

import jax.numpy as jnp
import numpy as np
import pytest
from livenuts.compiler.x64 import x64
from livenuts.kernel import random
from livenuts.runtime.settings import chain_key
from livenuts_checks import P, chi_square, p_value
from livenuts_reference import MASK, random_bits, random_normal, random_uniform, splitmix_finalizer
from scipy import stats

N = 1_000_000


@pytest.fixture(autouse=True)
def _double_precision() -> Iterator[None]:
    with x64():
        yield


def uniforms(key: int, count: int = N) -> np.ndarray:
    return np.asarray(random.uniform(jnp.uint64(key), jnp.arange(count)))


def test_bits_are_splitmix64s() -> None:
    """Against plain Python integers, and the first outputs of SplitMix64 with seed 1234567 (Vigna's reference)."""
    rng = np.random.default_rng(0)
    keys = [0, 1, MASK, *rng.integers(2**64, size=200, dtype=np.uint64).tolist()]
    counters = [0, 1, 2**40, *rng.integers(2**62, size=200).tolist()]
    bits = random.at(jnp.asarray(keys, jnp.uint64), jnp.asarray(counters))
    assert np.asarray(bits).tolist() == [random_bits(k, c) for k, c in zip(keys, counters, strict=True)]
    found = random.uniform(jnp.asarray(keys, jnp.uint64), jnp.asarray(counters))
    assert np.asarray(found).tolist() == [random_uniform(k, c) for k, c in zip(keys, counters, strict=True)]
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    assert np.asarray(random.at(jnp.uint64(1234567), jnp.arange(1, 5))).tolist() == published


def test_uniforms_never_touch_zero_or_one() -> None:
    least, most = random.to_uniform(jnp.asarray([0, MASK], jnp.uint64)).tolist()
    assert least == 2.0**-53
    assert most == 1.0 - 2.0**-53
    assert np.isfinite(np.asarray(random.normal(jnp.uint64(3), 1000))).all()


def lumpiness(values: np.ndarray) -> float:
    """p-value of equal counts in 1,000 cells."""
    counts = np.bincount((values * 1000).astype(int), minlength=1000).astype(float)
    return p_value(*chi_square(counts, np.full(1000, 1e-3)))


@pytest.mark.parametrize("key", [0, 1, 2**63, 0x9E3779B97F4A7C15])
def test_uniforms_are_uniform(key: int) -> None:
    """Four tests of a million numbers each at false-alarm rate 1e-7, for simple keys on purpose."""
    u = uniforms(key)
    assert lumpiness(u) > P
    assert stats.kstest(u, "uniform").pvalue > P
    for lag in (1, 2, 64):
        correlation = np.corrcoef(u[:-lag], u[lag:])[0, 1]
        assert abs(correlation) < 5.4 / np.sqrt(N)
    pairs = (u[:-1:2] * 32).astype(int) * 32 + (u[1::2] * 32).astype(int)
    assert p_value(*chi_square(np.bincount(pairs, minlength=1024).astype(float), np.full(1024, 1 / 1024))) > P
    # Poison: a tenth of the numbers below a tenth are gone.
    assert lumpiness(np.concatenate([u[u > 0.1], u[u <= 0.1][: int(0.09 * N)]])) < P


def test_neighbouring_keys_and_chains_are_independent() -> None:
    """Correlations over a million counters; each within 5.4 / sqrt(n), false-alarm rate 7e-8."""
    key = 12345
    rows = [uniforms(key), uniforms(key + 1), uniforms(key ^ (1 << 63)), uniforms(int(chain_key(7, 0)))]
    rows += [uniforms(int(chain_key(7, 1))), uniforms(int(chain_key(8, 0)))]
    correlations = np.corrcoef(rows)[np.triu_indices(len(rows), 1)]
    assert np.abs(correlations).max() < 5.4 / np.sqrt(N)
    # Keys of neighbouring iterations, as the sampler derives them, at one counter.
    keys = random.at(jnp.uint64(chain_key(7, 0)), jnp.arange(N))
    first, second = (np.asarray(random.uniform(keys, jnp.full(N, counter))) for counter in (1, 2))
    purposes = [np.asarray(random.uniform(random.mix(keys ^ p), jnp.full(N, 1))) for p in random_purposes()]
    series = [first, second, *purposes, np.roll(first, 1)]
    assert np.abs(np.corrcoef(series)[np.triu_indices(len(series), 1)]).max() < 5.4 / np.sqrt(N)
    assert all(lumpiness(row) > P for row in series)


def random_purposes() -> tuple[np.uint64, np.uint64]:
    return random.MOMENTUM, random.DIRECTION


def test_directions_are_fair_coins() -> None:
    """Each of the ten direction bits, and each pair of neighbours, over a million keys; within 5.4 sd."""
    keys = random.at(jnp.uint64(3), jnp.arange(N))
    bits = np.asarray(random.mix(keys ^ random.DIRECTION))[:, None] >> np.arange(10, dtype=np.uint64) & np.uint64(1)
    signs = 2.0 * bits - 1.0
    assert np.abs(signs.mean(0)).max() < 5.4 / np.sqrt(N)
    assert np.abs((signs[:, 1:] * signs[:, :-1]).mean(0)).max() < 5.4 / np.sqrt(N)


def test_chain_keys_differ() -> None:
    keys = {int(chain_key(seed, chain)) for seed in range(100) for chain in range(100)}
    assert len(keys) == 10_000


def test_normals_are_normal_to_the_tails() -> None:
    """A million; Kolmogorov-Smirnov and tail counts, z within 5."""
    z = np.asarray(random.normal(jnp.uint64(42), N))
    assert stats.kstest(z, "norm").pvalue > P
    for cut in (1.0, 2.0, 3.0, 4.0):
        probability = stats.norm.sf(cut)
        for beyond in ((z > cut).mean(), (z < -cut).mean()):
            assert abs(beyond - probability) < 5 * np.sqrt(probability / N)
    assert stats.kstest(1.02 * z, "norm").pvalue < P  # poison


@pytest.mark.parametrize("dimension", [1, 2, 7, 2000])
def test_normals_are_those_of_box_and_muller(dimension: int) -> None:
    key, expected = 5, random_normal(5, dimension)
    np.testing.assert_allclose(random.normal(jnp.uint64(key), dimension), expected, rtol=1e-13, atol=1e-14)


def test_logarithm_and_sine_are_right_to_rounding() -> None:
    """Against NumPy's, over the whole range of uniforms and of turns, and at the folds."""
    u = np.concatenate([2.0 ** -np.arange(1.0, 54.0), 1.0 - 2.0 ** -np.arange(2.0, 54.0), uniforms(9, 100_000)])
    near_root = np.sqrt(0.5) * (1.0 + np.arange(-5, 6) * 2.0**-52)
    for x in (u, near_root, u * 1e300, u * 1e-290):
        np.testing.assert_allclose(random._log(jnp.asarray(x)), np.log(x), rtol=4e-16, atol=1e-17)
    turns = np.concatenate([u, u + 0.25, np.arange(0.0, 1.25, 0.125)])
    np.testing.assert_allclose(random._sine(jnp.asarray(turns)), np.sin(2.0 * np.pi * turns), rtol=0.0, atol=1e-15)


def test_the_two_of_a_pair_have_nothing_in_common() -> None:
    """Correlations of a million pairs, of their squares too, within 5.4 / sqrt(n): false-alarm rate 7e-8 each."""
    first, second = np.asarray(random.normal(jnp.uint64(11), 2 * N)).reshape(2, N)
    for one, other in ((first, second), (first**2, second**2), (first, second**2), (np.abs(first), np.abs(second))):
        assert abs(np.corrcoef(one, other)[0, 1]) < 5.4 / np.sqrt(N)
    cells = np.floor((np.arctan2(first, second) / (2 * np.pi) + 0.5) * 64).clip(0, 63).astype(int)
    assert p_value(*chi_square(np.bincount(cells, minlength=64).astype(float), np.full(64, 1 / 64))) > P
    shared = 0.01 * first + second  # poison
    assert abs(np.corrcoef(first, shared)[0, 1]) > 5.4 / np.sqrt(N)


def test_every_input_bit_moves_half_of_the_output() -> None:
    """Avalanche: over 20,000 words each of the 64 x 64 flip frequencies is within 6 sd of a half (false alarm 8e-6)."""
    words = np.random.default_rng(1).integers(2**64, size=20_000, dtype=np.uint64)
    plain = np.asarray(random.mix(jnp.asarray(words)))
    shifts = np.arange(64, dtype=np.uint64)
    for bit in range(64):
        flipped = plain ^ np.asarray(random.mix(jnp.asarray(words ^ np.uint64(1 << bit))))
        frequency = ((flipped[:, None] >> shifts) & np.uint64(1)).mean(0)
        assert np.abs(frequency - 0.5).max() < 6 * 0.5 / np.sqrt(20_000)
    assert splitmix_finalizer(int(words[0])) == int(plain[0])
