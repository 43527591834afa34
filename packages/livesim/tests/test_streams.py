"""Streams of random numbers: known answers, avalanche, uniformity, and no trace of structure in the keys.

False-alarm rates: each p-value is compared with 1e-7, each correlation of n pairs with 5.4 / sqrt(n) (7e-8).
"""

import functools

import numpy as np
import pytest
from livesim.random import compiled, streams
from numba import njit
from scipy import stats

P = 1e-7
N = 1_000_000
BOUND = 5.4 / np.sqrt(N)


@njit
def uniforms_of_draws(key: int, n: int) -> np.ndarray:
    out = np.empty(n)
    for i in range(n):
        out[i] = compiled.uniform(key, i)
    return out


@njit
def uniforms_of_jobs(stream: int, counter: int, n: int) -> np.ndarray:
    out = np.empty(n)
    for i in range(n):
        out[i] = compiled.uniform(compiled.job_key(stream, i), counter)
    return out


@njit
def uniforms_of_streams(replication: int, n: int) -> np.ndarray:
    out = np.empty(n)
    for i in range(n):
        out[i] = compiled.uniform(compiled.job_key(compiled.stream_key(replication, i), 0), 0)
    return out


@njit
def uniforms_of_replications(seed: int, n: int) -> np.ndarray:
    out = np.empty(n)
    for i in range(n):
        replication = compiled.replication_key(seed, i)
        out[i] = compiled.uniform(compiled.job_key(compiled.stream_key(replication, 0), 0), 0)
    return out


@njit
def uniforms_of_seeds(n: int) -> np.ndarray:
    out = np.empty(n)
    for i in range(n):
        replication = compiled.replication_key(i, 0)
        out[i] = compiled.uniform(compiled.job_key(compiled.stream_key(replication, 0), 0), 0)
    return out


def key_of(seed: int, replication: int, stream: int, job: int) -> int:
    return streams.job_key(streams.stream_key(streams.replication_key(seed, replication), stream), job)


@functools.cache
def axes() -> dict[str, np.ndarray]:
    """A million uniforms along each index of a key, the others being 0."""
    replication = np.uint64(streams.replication_key(0, 0))
    stream = np.uint64(streams.stream_key(int(replication), 0))
    return {
        "draws": uniforms_of_draws(np.uint64(streams.job_key(int(stream), 0)), N),
        "jobs": uniforms_of_jobs(stream, 0, N),
        "jobs' second draws": uniforms_of_jobs(stream, 1, N),
        "streams": uniforms_of_streams(replication, N),
        "replications": uniforms_of_replications(np.uint64(0), N),
        "seeds": uniforms_of_seeds(N),
    }


def lumpiness(u: np.ndarray, cells: int = 1000) -> float:
    """p-value of equal counts in the cells."""
    return stats.chisquare(np.bincount((u * cells).astype(int), minlength=cells)).pvalue


def test_mix_is_splitmix64s() -> None:
    """The first outputs of SplitMix64 with seed 1234567, as its reference implementation publishes them."""
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    golden = 0x9E3779B97F4A7C15
    assert [streams.mix((1234567 + i * golden) & streams.MASK) for i in range(1, 5)] == published


def test_known_answers() -> None:
    """What a stored simulation rests on: these words may never change."""
    assert [streams.bits(key_of(42, 0, 0, 0), n) for n in range(3)] == [
        6147813864868140315,
        4750430648147960516,
        2650124260393857222,
    ]
    assert streams.uniform(key_of(42, 1, 2, 3), 4) == 0.9498306803698598
    assert streams.stream_number("customer/hold 2") == 17796088367380237879


@njit
def compiled_levels(word: int, index: int) -> tuple:
    return (
        compiled.replication_key(word, np.uint64(index)),
        compiled.stream_key(word, word),
        compiled.job_key(word, np.uint64(index)),
        compiled.bits(word, np.uint64(index)),
        compiled.uniform(word, index),
    )


def test_compiled_keys_are_the_references() -> None:
    """Every level, over simple and over random indices."""
    rng = np.random.default_rng(0)
    words = [0, 1, 2**63, streams.MASK, *rng.integers(2**64, size=500, dtype=np.uint64).tolist()]
    indices = [0, 1, 2, 2**62, *rng.integers(2**62, size=500).tolist()]
    for word, index in zip(words, indices, strict=True):
        assert compiled_levels(np.uint64(word), index) == (
            streams.replication_key(word, index),
            streams.stream_key(word, word),
            streams.job_key(word, index),
            streams.bits(word, index),
            streams.uniform(word, index),
        )


def test_uniforms_never_touch_zero_or_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for word, expected in ((0, 2.0**-53), (streams.MASK, 1.0 - 2.0**-53)):
        monkeypatch.setattr(streams, "bits", lambda key, counter, word=word: word)
        assert streams.uniform(0, 0) == expected


@pytest.mark.parametrize("name", list(axes()))
def test_uniforms_are_uniform_along_every_index(name: str) -> None:
    """Cells, Kolmogorov and Smirnov, lags, and pairs of neighbours in two dimensions."""
    u = axes()[name]
    assert lumpiness(u) > P
    assert stats.kstest(u, "uniform").pvalue > P
    for lag in (1, 2, 64):
        assert abs(np.corrcoef(u[:-lag], u[lag:])[0, 1]) < BOUND * np.sqrt(N / (N - lag))
    pairs = (u[:-1:2] * 32).astype(int) * 32 + (u[1::2] * 32).astype(int)
    assert stats.chisquare(np.bincount(pairs, minlength=1024)).pvalue > P
    # The lowest bit that a uniform keeps is as fair as the highest.
    low = np.floor(u * 2.0**52).astype(np.int64) & 1
    assert abs(low.mean() - 0.5) < BOUND / 2
    assert lumpiness(np.concatenate([u[u > 0.1], u[u <= 0.1][: int(0.09 * N)]])) < P  # poison


def test_neighbouring_keys_are_independent() -> None:
    """Draws of neighbouring jobs, streams, replications and seeds, and of one job against the axes."""
    keys = [key_of(0, 0, 0, 0), key_of(0, 0, 0, 1), key_of(0, 0, 1, 0), key_of(0, 1, 0, 0), key_of(1, 0, 0, 0)]
    rows = [uniforms_of_draws(np.uint64(key), N) for key in keys] + list(axes().values())[1:]
    correlations = np.corrcoef(rows)[np.triu_indices(len(rows), 1)]
    assert np.abs(correlations).max() < BOUND
    shared = rows[0] + 0.01 * rows[1]  # poison
    assert abs(np.corrcoef(shared, rows[1])[0, 1]) > BOUND


@pytest.mark.parametrize("level", ["replication", "stream", "job", "bits"])
def test_every_bit_of_key_and_index_moves_half_of_the_output(level: str) -> None:
    """Avalanche: over 20,000 words each of the 64 x 64 flip frequencies is within 6 sd of a half (false alarm 8e-6)."""
    function = {
        "replication": compiled.replication_key,
        "stream": compiled.stream_key,
        "job": compiled.job_key,
        "bits": compiled.bits,
    }[level]

    @njit
    def flips(words: np.ndarray, other: np.ndarray, in_key: bool) -> np.ndarray:
        count = np.zeros((64, 64))
        one = np.uint64(1)
        for i in range(words.size):
            plain = function(words[i], other[i])
            for bit in range(64):
                flip = one << np.uint64(bit)
                moved = function(words[i] ^ flip, other[i]) if in_key else function(words[i], other[i] ^ flip)
                for out in range(64):
                    count[bit, out] += np.float64(((plain ^ moved) >> np.uint64(out)) & one)
        return count / words.size

    rng = np.random.default_rng(1)
    words = rng.integers(2**64, size=20_000, dtype=np.uint64)
    other = rng.integers(2**64, size=20_000, dtype=np.uint64)
    bound = 6 * 0.5 / np.sqrt(20_000)
    assert np.abs(flips(words, other, True) - 0.5).max() < bound
    assert np.abs(flips(words, other, False) - 0.5).max() < bound


def test_avalanche_catches_one_round_too_few() -> None:
    """The poison of the test above: without the last shift, the highest bit of a word moves few bits."""
    words = np.random.default_rng(2).integers(2**64, size=2000, dtype=np.uint64).tolist()

    def short(word: int) -> int:
        return ((word ^ (word >> 30)) * streams.MIX_1) & streams.MASK

    moved = [(short(word) ^ short(word ^ (1 << 62))).bit_count() for word in words]
    assert abs(np.mean(moved) - 32) > 6 * 4 / np.sqrt(2000)


def test_keys_of_a_large_model_differ() -> None:
    """200 replications x 20 streams x 50 jobs: no two keys alike (a collision by chance: 1e-9)."""
    keys = {key_of(7, r, s, j) for r in range(200) for s in range(20) for j in range(50)}
    assert len(keys) == 200_000


def test_names_of_streams_give_numbers_of_their_own() -> None:
    numbers = {streams.stream_number(f"process {p}/hold {h}") for p in range(100) for h in range(100)}
    assert len(numbers) == 10_000
    assert max(numbers) < 2**64
