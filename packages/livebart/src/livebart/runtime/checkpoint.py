"""Checkpoints: a run's manifest, its chains' states, and their draws so far, in a folder or any mapping of bytes.

The manifest is written once. A chain's state is written now and then, into two entries in turn, so that one is whole
whatever happens to the other. Draws are appended in blocks that are never touched again. Every entry checks itself;
nothing in it is ever executed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import secrets
import warnings
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

import numpy as np

_MAGIC = b"livebart.checkpoint/1\n"
_DTYPES = {"b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8"}
_ARRAY, _ITEMS = "$array", "$items"
_MANIFEST, _WRITER = "manifest", "writer"

Store = str | os.PathLike[str] | MutableMapping[str, bytes]


class CheckpointError(ValueError):
    """A checkpoint that is missing, damaged, of another run, or taken over by another process."""


# -- entries -----------------------------------------------------------------------------------------------------------


def encode(value: Any) -> bytes:
    """Plain data (None, bool, int, float, str, lists, dicts with str keys, arrays of numbers) as one entry."""
    arrays: list[bytes] = []
    text = json.dumps(_to_json(value, arrays)).encode()
    body = len(text).to_bytes(8, "little") + text + b"".join(arrays)
    return _MAGIC + hashlib.sha256(body).digest() + body


def decode(data: bytes) -> Any:
    """What `encode` was given (tuples come back as lists); a CheckpointError for anything else."""
    head = len(_MAGIC) + 32
    if data[: len(_MAGIC)] != _MAGIC:
        raise CheckpointError("not an entry of a livebart checkpoint")
    if len(data) < head + 8 or hashlib.sha256(data[head:]).digest() != data[len(_MAGIC) : head]:
        raise CheckpointError("the entry is torn or damaged: its checksum does not fit")
    end = head + 8 + int.from_bytes(data[head : head + 8], "little")
    try:
        if end > len(data):
            raise ValueError("its text is longer than itself")
        value, used = _from_json(json.loads(data[head + 8 : end]), memoryview(data)[end:], 0)
        if end + used != len(data):
            raise ValueError("bytes are left over")
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError) as error:
        raise CheckpointError(f"not an entry of a livebart checkpoint: {error}") from error
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


class Checkpoint:
    """The checkpoint of one run, for one writer at a time: who begins to write takes it over from who did before."""

    def __init__(self, store: Store) -> None:
        if isinstance(store, (str, os.PathLike)):
            if Path(store).is_file():
                raise NotADirectoryError(f"checkpoint {store} is a file; give a folder, or a path to make one at")
            store = Folder(store)
        if not isinstance(store, MutableMapping):
            raise TypeError(f"checkpoint takes a path or a mapping of str to bytes, got {store!r:.80}")
        self._store = store
        self._writer = secrets.token_bytes(16)
        self._serials: dict[int, int] = {}
        self.shown = repr(store) if isinstance(store, Folder) else f"<{type(store).__name__}>"

    def _read(self, name: str) -> Any:
        """An entry's content, or None where there is none."""
        try:
            data = self._store[name]
        except KeyError:
            return None
        try:
            return decode(bytes(data))
        except CheckpointError as error:
            raise CheckpointError(f"checkpoint {self.shown}: {name}: {error}") from error

    def manifest(self) -> dict[str, Any] | None:
        """What the run was told, or None where no run has begun."""
        found = self._read(_MANIFEST)
        if found is not None and not isinstance(found, dict):
            raise CheckpointError(f"checkpoint {self.shown}: {_MANIFEST}: not a manifest")
        return found

    def clear(self) -> None:
        """Make room for a new run: what an older one left without a manifest goes."""
        for name in list(self._store):
            if name.startswith(("draws-", "state-")):
                del self._store[name]
        self.take_over()

    def write_manifest(self, manifest: dict[str, Any]) -> None:
        """Make what was written so far a run."""
        self._write(_MANIFEST, manifest)

    def take_over(self) -> None:
        """Become the one who writes; a process that still does will get an error instead of mixing into this run."""
        self._store[_WRITER] = self._writer

    def _write(self, name: str, value: Any) -> None:
        try:
            writer = self._store[_WRITER]
        except KeyError:
            writer = b""
        if bytes(writer) != self._writer:
            raise CheckpointError(f"checkpoint {self.shown}: another process has taken this run over")
        self._store[name] = encode(value)

    def append(self, chain: int, first: int, block: dict[str, Any]) -> None:
        """Keep a chain's draws from number `first` on; a state that counts them must follow."""
        self._write(f"draws-{chain}-{first}", block)

    def blocks(self, chain: int, count: int) -> list[dict[str, Any]]:
        """A chain's first `count` draws, as the blocks that were appended; each has an array `variances`."""
        found, first = [], 0
        while first < count:
            name = f"draws-{chain}-{first}"
            block = self._read(name)
            if block is None:
                raise CheckpointError(f"checkpoint {self.shown}: {name} is missing")
            found.append(block)
            first += len(block["variances"])
        if first != count:
            raise CheckpointError(f"checkpoint {self.shown}: draws-{chain}: {first} draws where {count} are counted")
        return found

    def write_state(self, chain: int, state: dict[str, Any]) -> None:
        """Write a chain's newest state over the older of the two kept."""
        serial = self._serials.get(chain, 0) + 1
        self._serials[chain] = serial
        self._write(f"state-{chain}-{serial % 2}", {"serial": serial, "state": state})

    def states(self, chain: int) -> list[dict[str, Any]]:
        """A chain's states that are whole, newest first; of a damaged one a warning tells."""
        found = []
        for place in range(2):
            try:
                entry = self._read(f"state-{chain}-{place}")
            except CheckpointError as error:
                warnings.warn(f"{error}; the state before it is taken", stacklevel=5)
                continue
            if entry is not None:
                found.append((entry["serial"], entry["state"]))
        found.sort(key=lambda entry: -entry[0])
        if found:
            self._serials[chain] = found[0][0]
        return [state for _, state in found]
