"""Bytes of a message: round trips, golden vectors, and bytes that nobody made."""

import json
import math
import os
import random
from pathlib import Path
from typing import Any

import livequeue
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from livequeue import ProtocolError, decode, encode
from livequeue.protocol import read_cursor, write_cursor
from livequeue.wire import DTYPES, MAX_DEPTH

VECTORS = Path(__file__).parent / "vectors"
FUZZ = int(os.environ.get("LIVE_FUZZ", "20000"))


def arrays() -> st.SearchStrategy[Any]:
    shapes = st.lists(st.integers(0, 4), max_size=4)

    def fill(name: str, shape: list[int], seed: int) -> Any:
        dtype = DTYPES[name]
        raw = np.random.default_rng(seed).bytes(math.prod(shape) * dtype.itemsize)
        if name == "|b1":
            return (np.frombuffer(raw, "|u1") % 2).astype(bool).reshape(shape)
        return np.frombuffer(raw, dtype).reshape(shape)  # any bits: NaNs with payloads, denormals, infinities

    return st.builds(fill, st.sampled_from(sorted(DTYPES)), shapes, st.integers(0, 2**32 - 1))


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | arrays(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
messages = st.dictionaries(st.text(), values, max_size=6)


def same(a: Any, b: Any) -> bool:
    """Equality to the bit, types included."""
    if isinstance(a, np.ndarray):
        return type(b) is np.ndarray and (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float):
        return (math.isnan(a) and math.isnan(b)) or (a == b and math.copysign(1, a) == math.copysign(1, b))
    return bool(a == b)


@given(messages)
def test_decode_undoes_encode(message: dict[str, Any]) -> None:
    data = encode(message)
    assert same(message, decode(data))
    assert encode(decode(data)) == data


def test_the_check_of_round_trips_can_fail() -> None:
    """The poisons: an array of another type, another order of bytes, a float that was an int."""
    array = np.arange(3.0)
    assert not same(array, array.astype("<f4"))
    assert not same(array, array[::-1])
    assert not same({"a": 1}, {"a": 1.0})
    assert not same({"a": 1, "b": 2}, {"b": 2, "a": 1})


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=">f8").reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(20, dtype=np.int16)[::-3],
        np.broadcast_to(np.float32(2), (2, 2)),
        np.array(5.1),
        np.zeros((0, 3)),
    ],
    ids=["big-endian", "fortran", "strided", "broadcast", "0-d", "empty"],
)
def test_any_memory_layout_arrives_as_c_order_little_endian(array: Any) -> None:
    found = decode(encode({"x": array}))["x"]
    assert found.dtype == array.dtype.newbyteorder("<")
    assert found.shape == array.shape
    assert found.tolist() == array.tolist()
    assert not found.flags.writeable


def test_a_dict_that_looks_like_an_array_stays_a_dict() -> None:
    message = {
        "x": {"dtype": "<f8", "shape": [1], "data": "text"},
        "y": {"dtype": "<f8", "shape": [], "data": None},
    }
    assert decode(encode(message)) == message


def test_numpy_scalars_become_python_scalars() -> None:
    message = decode(encode({"f": np.float32(0.5), "i": np.uint8(3), "b": np.True_, "d": np.float64(2)}))
    assert same(message, {"f": 0.5, "i": 3, "b": True, "d": 2.0})


def test_depth_is_bounded_both_ways() -> None:
    def nested(depth: int) -> Any:
        return [] if depth == 0 else [nested(depth - 1)]

    deepest = {"x": nested(MAX_DEPTH - 2)}
    assert decode(encode(deepest)) == deepest
    with pytest.raises(livequeue.InvalidMessage, match="nested deeper"):
        encode({"x": nested(MAX_DEPTH)})
    with pytest.raises(ProtocolError):
        decode(msgspec.msgpack.encode({"x": nested(MAX_DEPTH + 2)}))
    with pytest.raises(ProtocolError):
        decode(b"\x81\xa1x" + b"\x91" * 100_000 + b"\xc0")
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(livequeue.InvalidMessage, match="nested deeper"):
        encode({"x": endless})


def array_bytes(dtype: Any, shape: Any, data: Any) -> bytes:
    return msgspec.msgpack.encode({"x": {"dtype": dtype, "shape": shape, "data": data}})


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc0",
        b"\x90",
        b"\x81\x01\x02",
        b"\x81\xa1x\xc4\x01a",
        b"\x81\xa1x\xd4\x05a",  # an extension type
        b"\x81\xa1x\xd6\xff\x00\x00\x00\x00",  # a timestamp
        b"\x81\xa1x",
        b"\x81\xa1x\xc0\xc0",
        b"\x81\xa1\xff\xc0",
        b"\x81\x90\xc0",
        b"\xdf\xff\xff\xff\xff",
        b"\x81\xa1x\xc6\xff\xff\xff\xff",
        b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00\x8c\x08builtins",  # a pickle
        array_bytes("|O", [1], b"12345678"),
        array_bytes("<M8[s]", [1], b"12345678"),
        array_bytes(">f8", [1], b"12345678"),
        array_bytes("<c16", [1], b"1234567812345678"),
        array_bytes(["<f8"], [1], b"12345678"),
        array_bytes("<f8", [2**40], b"12345678"),
        array_bytes("<f8", [2**40, 0], b""),
        array_bytes("<f8", [-1], b"12345678"),
        array_bytes("<f8", [-1, -1], b"12345678"),
        array_bytes("<f8", [2], b"12345678"),
        array_bytes("<f8", [1.0], b"12345678"),
        array_bytes("<f8", [True], b"12345678"),
        array_bytes("<f8", 1, b"12345678"),
        array_bytes("<f8", [1] * 33, b"12345678"),
        array_bytes("|b1", [1], b"\x02"),
        bytes(9 * 2**20),
    ],
    ids=lambda data: data[:24].hex() or "empty",
)
def test_bytes_that_no_encoder_makes_are_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode(data)


def accepted(data: bytes) -> bool:
    """Decode; anything but a message or a ProtocolError is a bug and escapes."""
    try:
        message = decode(data)
    except ProtocolError:
        return False
    assert type(message) is dict
    encode(message, max_payload=1 << 30)  # what was let in is a message in full
    return True


@given(st.binary(max_size=200))
@settings(max_examples=500)
def test_random_bytes(data: bytes) -> None:
    accepted(data)


def test_fuzz_of_real_messages() -> None:
    """Mutations of real bytes: flips, cuts, insertions, splices. LIVE_FUZZ sets how many (a million in nox -s fuzz)."""
    rng = random.Random(20261120)
    seeds = [path.read_bytes() for path in sorted(VECTORS.glob("*.msgpack"))]
    let_in = 0
    for _ in range(FUZZ):
        data = bytearray(rng.choice(seeds))
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(data) + 1)
            kind = rng.randrange(4)
            if kind == 0 and at < len(data):
                data[at] = rng.choice((data[at] ^ (1 << rng.randrange(8)), rng.randrange(256), 0xC4, 0xDF, 0xFF))
            elif kind == 1:
                del data[at : at + rng.randint(1, 8)]
            elif kind == 2:
                data[at:at] = rng.randbytes(rng.randint(1, 8))
            else:
                other = rng.choice(seeds)
                data[at:] = other[rng.randrange(len(other)) :]
        let_in += accepted(bytes(data))
    assert 0 < let_in < FUZZ  # both branches were visited


VECTOR_MESSAGES: dict[str, dict[str, Any]] = {
    "draw": {
        "type": "nuts.draw/1",
        "part": "chain-2",
        "seq": 17,
        "chain": 2,
        "draw": 17,
        "values": {"mu": np.array(5.1), "theta": np.array([[1.5, -2.0], [0.0, 1e300]])},
        "stats": {"lp": -41.25, "diverging": False, "tree_depth": 3},
    },
    "start": {"type": "nuts.start/1", "part": "run", "seq": 0, "label": "Schülerschaft", "settings": {"seed": None}},
    "scalars": {
        "zero": 0, "small": -1, "big": 2**64 - 1, "low": -(2**63), "half": 0.5, "nan": math.nan, "inf": math.inf,
        "minus_inf": -math.inf, "true": True, "none": None, "text": "é\u2028\U0001f600", "list": [1, [2.0, "3"], {}],
    },
    "arrays": {name.strip("<|"): np.array([[0, 1], [1, 0]], name) for name in DTYPES},
    "empty": {"nothing": np.zeros((0, 3)), "scalar": np.array(7, "<i4")},
}  # fmt: skip


def twin(value: Any) -> Any:
    """The message as JSON for readers in other languages: arrays as {"array": dtype, "shape": , "values": }."""
    if isinstance(value, np.ndarray):
        return {"array": value.dtype.str, "shape": list(value.shape), "values": twin(value.ravel().tolist())}
    if isinstance(value, dict):
        return {key: twin(item) for key, item in value.items()}
    if isinstance(value, list):
        return [twin(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    return value


@pytest.mark.parametrize("name", sorted(VECTOR_MESSAGES))
def test_golden_vectors(name: str) -> None:
    """Bytes that were committed once decode to what their JSON twin says, and are made again the same."""
    message = VECTOR_MESSAGES[name]
    path = VECTORS / f"{name}.msgpack"
    if os.environ.get("LIVE_WRITE_VECTORS") == "1":
        path.write_bytes(encode(message))
        path.with_suffix(".json").write_text(json.dumps(twin(message), indent=1, ensure_ascii=False) + "\n")
    data = path.read_bytes()
    assert same(decode(data), message)
    assert encode(message) == data
    assert twin(decode(data)) == json.loads(path.with_suffix(".json").read_text())


@given(st.dictionaries(st.text(), st.integers(0, 2**63 - 1)))
def test_cursors_round_trip(positions: dict[str, int]) -> None:
    cursor = write_cursor("r", positions)
    assert read_cursor("r", cursor) == positions
    assert cursor.isascii()


@given(st.text())
def test_nonsense_is_no_cursor(text: str) -> None:
    with pytest.raises(ProtocolError):
        read_cursor("r", text)
