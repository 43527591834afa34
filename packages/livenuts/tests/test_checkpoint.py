"""The checkpoint's entries and where they are kept: exact, self-checking, atomic, one writer at a time."""

import hashlib
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from livenuts.runtime.checkpoint import _MAGIC, Checkpoint, CheckpointError, Folder, decode, encode

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
ARRAYS = hnp.arrays(
    hnp.boolean_dtypes() | hnp.integer_dtypes() | hnp.unsigned_integer_dtypes() | hnp.floating_dtypes(sizes=(32, 64)),
    hnp.array_shapes(min_dims=0, min_side=0, max_side=3),
)
NAMES = st.text(max_size=3) | st.sampled_from(["$array", "$items"])
VALUES = st.recursive(
    SCALARS | ARRAYS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=9,
)


def same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray):
        little = a.dtype.newbyteorder("<")
        return b.dtype == little and b.shape == a.shape and b.tobytes() == a.astype(little).tobytes()
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(same(a[name], b[name]) for name in a)
    return type(a) is type(b) and (a == b or (a != a and b != b))


@given(VALUES)
@settings(max_examples=200, deadline=None)
def test_plain_data_comes_back_to_the_bit(value: Any) -> None:
    assert same(value, decode(encode(value)))


def test_what_is_not_plain_is_refused() -> None:
    for value in (object(), np.array([object()]), {1: 2}, np.array(["a"]), 1j, {"a": {1, 2}}):
        with pytest.raises(TypeError, match="a checkpoint holds"):
            encode(value)


def test_a_decoder_that_trusts_nothing() -> None:
    """Random and mutated entries, half of them with a checksum that fits: a CheckpointError or a value, never else."""
    rng = random.Random(7)
    good = encode({"a": np.arange(6.0).reshape(2, 3), "b": [1, "x", {"$array": 2}], "c": np.zeros((0, 3), "i4")})
    refused = 0
    for _ in range(int(os.environ.get("LIVE_FUZZ", "20000"))):
        data = bytearray(good)
        for _ in range(rng.randint(1, 6)):
            place = rng.randrange(len(data))
            how = rng.randrange(4)
            if how == 0:
                data[place] = rng.randrange(256)
            elif how == 1:
                data[place] ^= 1 << rng.randrange(8)
            elif how == 2:
                del data[place : place + rng.randint(1, 9)]
            else:
                data[place:place] = rng.choice([b"[", b"]", b'"', b"9999999999", b"{}", b"\xff", b"-1", b"null"])
            if not data:
                break
        head = len(_MAGIC) + 32
        if rng.random() < 0.7 and len(data) > head:
            data[: len(_MAGIC)] = _MAGIC
            data[len(_MAGIC) : head] = hashlib.sha256(data[head:]).digest()
        try:
            decode(bytes(data))
        except CheckpointError:
            refused += 1
    assert refused > 1000


@pytest.mark.parametrize("text", [b'{"$array": ["f8", [1099511627776]]}', b'{"$array": ["O", [1]]}', b"[" * 100_000])
def test_a_bomb_is_an_error(text: bytes) -> None:
    body = len(text).to_bytes(8, "little") + text
    with pytest.raises(CheckpointError):
        decode(_MAGIC + hashlib.sha256(body).digest() + body)


def test_a_pickle_is_not_an_entry(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="not an entry"):
        decode(b"\x80\x04cos\nsystem\n(S'touch /tmp/x'\ntR.")


def test_a_folder_is_a_mapping(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "deep" / "run")
    assert list(folder) == []
    with pytest.raises(KeyError):
        folder["a"]
    folder["a"] = b"1"
    folder["a"] = b"22"
    folder["b"] = b""
    assert (dict(folder), len(folder)) == ({"a": b"22", "b": b""}, 2)
    del folder["b"]
    with pytest.raises(KeyError):
        del folder["b"]


def test_a_failed_write_leaves_the_old_entry_and_no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Folder(tmp_path)
    folder["a"] = b"old"

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        folder["a"] = b"new"
    assert dict(folder) == {"a": b"old"}
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


STORES = {"folder": lambda path: path / "run", "mapping": lambda _: {}}


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    return STORES[request.param](tmp_path)


def entries(store: Any) -> Any:
    return store if isinstance(store, dict) else Folder(store)


def test_states_take_turns_and_a_damaged_one_falls_back(store: Any) -> None:
    checkpoint = Checkpoint(store)
    assert checkpoint.manifest() is None
    checkpoint.clear()
    checkpoint.write_manifest({"seed": 1})
    for number in range(5):
        checkpoint.write_state({"number": number})
    again = Checkpoint(store)
    assert again.manifest() == {"seed": 1}
    assert [state["number"] for state in again.states()] == [4, 3]
    newest = max(("state-0", "state-1"), key=lambda name: decode(entries(store)[name])["serial"])
    whole = entries(store)[newest]
    for torn in (whole[:-3], whole[: len(whole) // 2], b"", whole[:40] + b"\0" + whole[41:]):
        entries(store)[newest] = torn
        with pytest.warns(UserWarning, match=rf"{newest}: .* the state before it is taken"):
            assert [state["number"] for state in Checkpoint(store).states()] == [3]
    again = Checkpoint(store)
    with pytest.warns(UserWarning, match="taken"):
        again.states()
    again.take_over()
    again.write_state({"number": 9})  # over the damaged one, not over the whole one
    assert [state["number"] for state in Checkpoint(store).states()] == [9, 3]


def test_a_damaged_manifest_is_an_error_that_names_it(store: Any) -> None:
    checkpoint = Checkpoint(store)
    checkpoint.clear()
    checkpoint.write_manifest({"seed": 1})
    entries(store)["manifest"] = entries(store)["manifest"][:-1]
    with pytest.raises(CheckpointError, match="manifest: the entry is torn"):
        Checkpoint(store).manifest()


def block(count: int) -> dict[str, Any]:
    return {"statistics": np.zeros((count, 2)), "draws": {"x": np.arange(float(count))}}


def test_blocks_are_followed_and_a_missing_or_damaged_one_is_named(store: Any) -> None:
    checkpoint = Checkpoint(store)
    checkpoint.clear()
    for first, count in ((0, 3), (3, 4), (7, 2)):
        checkpoint.append(1, first, block(count))
    assert [len(found["statistics"]) for found in checkpoint.blocks(1, 9)] == [3, 4, 2]
    assert [len(found["statistics"]) for found in checkpoint.blocks(1, 7)] == [3, 4]
    assert checkpoint.blocks(0, 0) == []
    with pytest.raises(CheckpointError, match="7 draws where 5 are counted"):
        checkpoint.blocks(1, 5)
    entries(store)["draws-1-3"] = b"torn"
    with pytest.raises(CheckpointError, match="draws-1-3: not an entry"):
        checkpoint.blocks(1, 9)
    del entries(store)["draws-1-3"]
    with pytest.raises(CheckpointError, match="draws-1-3 is missing"):
        checkpoint.blocks(1, 9)


def test_the_second_writer_takes_over_and_the_first_hears_of_it(store: Any) -> None:
    first, second = Checkpoint(store), Checkpoint(store)
    first.clear()
    first.write_state({"by": "first"})
    second.states()
    second.take_over()
    second.write_state({"by": "second"})
    with pytest.raises(CheckpointError, match="another process has taken this run over"):
        first.write_state({"by": "first"})
    with pytest.raises(CheckpointError, match="taken this run over"):
        first.append(0, 0, block(1))
    assert Checkpoint(store).states()[0] == {"by": "second"}


def test_a_checkpoint_is_a_path_or_a_mapping() -> None:
    with pytest.raises(TypeError, match="a path or a mapping of str to bytes, got 3"):
        Checkpoint(3)  # type: ignore[arg-type]
