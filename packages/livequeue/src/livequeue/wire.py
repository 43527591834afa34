"""Bytes of a message: plain msgpack, with NumPy arrays as a map of dtype, shape and data.

On the wire the msgpack type `bin` occurs only as the `data` of an array. A message holds no bytes of its own,
so a map {dtype, shape, data} with binary data is always an array, and a user's dict with the same keys never
is.
"""

import math
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from .errors import InvalidMessage, ProtocolError

MAX_PAYLOAD = 8 * 1024 * 1024
"""Largest encoded message, in bytes."""

MAX_DEPTH = 32
"""Deepest nesting of lists and dicts in a message; the message itself is depth 0."""

MAX_NDIM = 32

DTYPES: dict[str, np.dtype[Any]] = {
    name: np.dtype(name)
    for name in ("|b1", "|i1", "<i2", "<i4", "<i8", "|u1", "<u2", "<u4", "<u8", "<f2", "<f4", "<f8")
}
"""Array types that may cross the queue; bytes are little-endian."""

_ARRAY_KEYS = {"dtype", "shape", "data"}
_INT_MIN, _INT_MAX = -(2**63), 2**64 - 1
_encode: Callable[[Any], bytes] = msgspec.msgpack.Encoder().encode
_decode: Callable[[bytes], Any] = msgspec.msgpack.Decoder().decode


def encode(message: dict[str, Any], max_payload: int = MAX_PAYLOAD) -> bytes:
    """Return the msgpack bytes of a message. The same content, in the same key order, gives the same bytes.

    NumPy scalars become Python scalars; arrays keep dtype and shape.

    >>> encode({"n": 1})
    b'\\x81\\xa1n\\x01'

    Raises:
        InvalidMessage: a value or a key of another type than the protocol allows, named by its path.
    """
    try:
        data = _encode(_plain(message, 0))
    except _Bad as bad:
        raise InvalidMessage(bad.text()) from None
    except UnicodeEncodeError as error:
        raise InvalidMessage(f"a string of the message cannot be written as UTF-8: {error}") from None
    if len(data) > max_payload:
        raise InvalidMessage(
            f"{len(data):,} bytes encoded, more than {max_payload:,}: split the message, or use queue.store"
        )
    return data


def decode(data: bytes, max_payload: int = MAX_PAYLOAD) -> dict[str, Any]:
    """Return the message in these bytes; arrays are read-only views of them.

    Raises:
        ProtocolError: for any bytes that `encode` cannot have made. No other error is raised.
    """
    if len(data) > max_payload:
        raise ProtocolError(f"{len(data):,} bytes, more than {max_payload:,} allowed for one message")
    try:
        tree = _decode(data)
    except (msgspec.MsgspecError, RecursionError, ValueError, TypeError, OverflowError) as error:
        raise ProtocolError(f"not a msgpack message: {error}") from None
    if type(tree) is not dict:
        raise ProtocolError(f"a message must be a map, got {type(tree).__name__}")
    return _dict(tree, 0)


class _Bad(Exception):
    """A value that cannot be sent; the path to it grows while the error climbs."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.path: list[str] = []

    def text(self) -> str:
        return f"message{''.join(reversed(self.path))}: {self.what}"


def _plain(value: Any, depth: int) -> Any:
    """Return the value as what msgpack can hold, or raise `_Bad`. Exact types come first: the hot path."""
    kind = type(value)
    if kind is float or kind is str or kind is bool or value is None:
        return value
    if kind is int:
        if not _INT_MIN <= value <= _INT_MAX:
            raise _Bad(f"the integer {value} is outside -2**63 .. 2**64-1: send it as a float or a str")
        return value
    if kind is dict:
        return _plain_dict(value, depth)
    if isinstance(value, np.ndarray):
        if isinstance(value, np.ma.MaskedArray):
            raise _Bad("a masked array; fill it, or send data and mask as two arrays")
        return _plain_array(value)
    if isinstance(value, np.generic):
        return _plain_scalar(value)
    if kind is list:
        if depth >= MAX_DEPTH:
            raise _Bad(f"nested deeper than {MAX_DEPTH}")
        items = []
        for index, item in enumerate(value):
            try:
                items.append(_plain(item, depth + 1))
            except _Bad as bad:
                bad.path.append(f"[{index}]")
                raise
        return items
    raise _Bad(f"{_show(value)} is a {_name(kind)}; {_remedy(value)}")


def _plain_dict(value: dict[Any, Any], depth: int) -> dict[str, Any]:
    if depth >= MAX_DEPTH:
        raise _Bad(f"nested deeper than {MAX_DEPTH}")
    plain = {}
    for key, item in value.items():
        if type(key) is not str:
            raise _Bad(f"the key {_show(key)} is a {type(key).__name__}; keys must be str")
        kind = type(item)
        if kind is float or kind is str or kind is bool:  # saves a call for most values
            plain[key] = item
            continue
        try:
            plain[key] = _plain(item, depth + 1)
        except _Bad as bad:
            bad.path.append(f"[{key!r}]")
            raise
    return plain


def _plain_array(array: np.ndarray[Any, Any]) -> dict[str, Any]:
    dtype = array.dtype
    name = dtype.str
    if name not in DTYPES:
        name = dtype.newbyteorder("<").str
        if name not in DTYPES:
            raise _Bad(f"an array of dtype {dtype}; allowed are bool, int, uint and float up to 64 bits")
        array = array.astype(DTYPES[name])
    if array.ndim > MAX_NDIM:
        raise _Bad(f"an array of {array.ndim} dimensions; at most {MAX_NDIM}")
    return {"dtype": name, "shape": list(array.shape), "data": array.tobytes()}


def _plain_scalar(value: np.generic) -> Any:
    if value.dtype.newbyteorder("<").str not in DTYPES:
        raise _Bad(f"a NumPy scalar of dtype {value.dtype}; allowed are bool, int, uint and float up to 64 bits")
    return value.item()


def _show(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _name(kind: type) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _remedy(value: object) -> str:
    if isinstance(value, tuple):
        return "make it a list"
    if isinstance(value, bytes | bytearray | memoryview):
        return "bytes do not travel in messages: use an array of uint8, or queue.store"
    if hasattr(value, "__array__"):
        return "make it a NumPy array: numpy.asarray(value)"
    if isinstance(value, bool | int | float | str | dict | list):
        return "a subclass is not sent: convert it to the plain type"
    return "allowed are None, bool, int, float, str, list, dict with str keys, NumPy arrays and scalars"


def _dict(tree: dict[Any, Any], depth: int) -> dict[str, Any]:
    if depth > MAX_DEPTH:
        raise ProtocolError(f"nested deeper than {MAX_DEPTH}")
    for key, item in tree.items():
        if type(key) is not str:
            raise ProtocolError(f"a key of type {type(key).__name__}; keys must be str")
        kind = type(item)
        if kind is float or kind is str or kind is int or kind is bool or item is None:
            continue
        tree[key] = _value(item, depth + 1)
    return tree


def _value(item: Any, depth: int) -> Any:
    kind = type(item)
    if kind is dict:
        if len(item) == 3 and type(item.get("data")) is bytes and item.keys() == _ARRAY_KEYS:
            return _array(item["dtype"], item["shape"], item["data"])
        return _dict(item, depth)
    if kind is list:
        if depth > MAX_DEPTH:
            raise ProtocolError(f"nested deeper than {MAX_DEPTH}")
        return [_value(each, depth + 1) for each in item]
    if kind is float or kind is str or kind is int or kind is bool or item is None:
        return item
    raise ProtocolError(f"a msgpack {kind.__name__} outside an array")


def _array(name: Any, shape: Any, data: bytes) -> np.ndarray[Any, Any]:
    dtype = DTYPES.get(name) if type(name) is str else None
    if dtype is None:
        raise ProtocolError(f"an array of dtype {_show(name)}; allowed are {', '.join(DTYPES)}")
    if type(shape) is not list or len(shape) > MAX_NDIM or not all(type(n) is int and n >= 0 for n in shape):
        raise ProtocolError(f"an array of shape {_show(shape)}; it must be a list of up to {MAX_NDIM} sizes")
    # Checked with Python's integers before NumPy sees any of it: a shape of 2**40 must not allocate.
    if math.prod(shape) * dtype.itemsize != len(data) or any(n >= 2**31 for n in shape):
        raise ProtocolError(f"an array of {name} and shape {_show(shape)} cannot have {len(data)} bytes")
    if name == "|b1" and data.translate(None, b"\0\1"):
        raise ProtocolError("an array of bool holds bytes other than 0 and 1")
    return np.frombuffer(data, dtype).reshape(shape)
