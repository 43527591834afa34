"""Files: plain data with arrays as one entry that checks itself, in a file or in any mapping of bytes.

Nothing in an entry is ever executed. A file is replaced whole, and on the disk when the call returns.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

import numpy as np

_MAGIC = b"livesmc2.state/1\n"
_DTYPES = {"b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8"}
_ARRAY, _ITEMS = "$array", "$items"
_ENTRY = "smc2"

Place = str | os.PathLike[str] | MutableMapping[str, bytes]


class StoreError(ValueError):
    """A file that is missing, damaged, of another version, or of another model."""


# -- entries -----------------------------------------------------------------------------------------------------------


def encode(value: Any) -> bytes:
    """Plain data (None, bool, int, float, str, lists, dicts with str keys, arrays of numbers) as one entry."""
    arrays: list[bytes] = []
    text = json.dumps(_to_json(value, arrays)).encode()
    body = len(text).to_bytes(8, "little") + text + b"".join(arrays)
    return _MAGIC + hashlib.sha256(body).digest() + body


def decode(data: bytes) -> Any:
    """What `encode` was given (tuples come back as lists); a StoreError for anything else."""
    head = len(_MAGIC) + 32
    if data[: len(_MAGIC)] != _MAGIC:
        raise StoreError("not a file of livesmc2")
    if len(data) < head + 8 or hashlib.sha256(data[head:]).digest() != data[len(_MAGIC) : head]:
        raise StoreError("the entry is torn or damaged: its checksum does not fit")
    end = head + 8 + int.from_bytes(data[head : head + 8], "little")
    try:
        if end > len(data):
            raise ValueError("its text is longer than itself")
        value, used = _from_json(json.loads(data[head + 8 : end]), memoryview(data)[end:], 0)
        if end + used != len(data):
            raise ValueError("bytes are left over")
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError) as error:
        raise StoreError(f"not a file of livesmc2: {error}") from error
    return value


def _to_json(value: Any, arrays: list[bytes]) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value.item() if isinstance(value, np.generic) else value
    if isinstance(value, (np.ndarray, np.generic)):
        array = np.asarray(value)
        array = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(array.shape)
        if array.dtype.str[1:] not in _DTYPES:
            raise TypeError(f"a checkpoint holds arrays of numbers, got dtype {array.dtype}")
        arrays.append(array.tobytes())
        return {_ARRAY: [array.dtype.str[1:], list(array.shape)]}
    if isinstance(value, (list, tuple)):
        return [_to_json(part, arrays) for part in value]
    if isinstance(value, dict) and all(isinstance(name, str) for name in value):
        if _ARRAY in value or _ITEMS in value:
            return {_ITEMS: [[name, _to_json(part, arrays)] for name, part in value.items()]}
        return {name: _to_json(part, arrays) for name, part in value.items()}
    raise TypeError(f"a checkpoint holds plain data, got {value!r:.80}")


def _from_json(value: Any, data: memoryview, used: int) -> tuple[Any, int]:
    """The value, and how much of `data` it and everything before it used."""
    if isinstance(value, list):
        parts = []
        for part in value:
            made, used = _from_json(part, data, used)
            parts.append(made)
        return parts, used
    if not isinstance(value, dict):
        return value, used
    if _ARRAY in value:
        dtype, shape = value[_ARRAY]
        if dtype not in _DTYPES or not all(type(size) is int and size >= 0 for size in shape):
            raise ValueError(f"an array of {dtype!r:.20} {shape!r:.40}")
        end = used + math.prod(shape) * int(dtype[1:])
        if end > len(data):
            raise ValueError("an array is longer than the entry")
        return np.frombuffer(data[used:end], f"<{dtype}").reshape(shape).copy(), end
    pairs = value[_ITEMS] if _ITEMS in value else value.items()
    made = {}
    for name, part in pairs:
        if not isinstance(name, str):
            raise ValueError(f"a name is a string, got {name!r:.40}")
        made[name], used = _from_json(part, data, used)
    return made, used


# -- where entries are kept --------------------------------------------------------------------------------------------


class Folder(MutableMapping[str, bytes]):
    """A folder as a mapping of names to bytes: a file is replaced whole, and on the disk when the call returns."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def __getitem__(self, name: str) -> bytes:
        try:
            return (self.path / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            raise KeyError(name) from None

    def __setitem__(self, name: str, value: bytes) -> None:
        partial = self.path / f"{name}.partial-{os.getpid()}"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as file:
                file.write(value)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self.path / name)
        except BaseException:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
            raise
        if os.name == "posix":
            folder = os.open(self.path, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def __delitem__(self, name: str) -> None:
        try:
            (self.path / name).unlink()
        except FileNotFoundError:
            raise KeyError(name) from None

    def __iter__(self) -> Iterator[str]:
        if self.path.is_dir():
            yield from sorted(path.name for path in self.path.iterdir() if ".partial-" not in path.name)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return str(self.path)


def place(where: Any) -> Place:
    """A path or a mapping, checked."""
    if isinstance(where, (str, os.PathLike, MutableMapping)):
        return where
    raise TypeError(f"a checkpoint is a path or a mapping of str to bytes, got {where!r:.80}")


def write(where: Place, content: Any) -> None:
    """Write an entry: to a file, or as `smc2` into a mapping."""
    if isinstance(where, MutableMapping):
        where[_ENTRY] = encode(content)
    else:
        path = Path(where)
        Folder(path.parent)[path.name] = encode(content)


def exists(where: Place) -> bool:
    """Whether something was written there."""
    return _ENTRY in where if isinstance(where, MutableMapping) else Path(where).is_file()


def read(where: Place) -> Any:
    """What was written; StoreError where there is nothing, or nothing whole."""
    try:
        data = where[_ENTRY] if isinstance(where, MutableMapping) else Path(where).read_bytes()
    except (KeyError, FileNotFoundError):
        raise StoreError(f"{where!s:.80}: there is nothing") from None
    try:
        return decode(bytes(data))
    except StoreError as error:
        raise StoreError(f"{where!s:.80}: {error}") from error
