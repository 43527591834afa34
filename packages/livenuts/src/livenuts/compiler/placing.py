"""Sums of padded vectors, as the gradients of slices leave them, put together from their pieces.

XLA fuses every pad of such a sum, and what was padded, into one loop that asks for each number which pieces it lies
in, and computes anew what two of them share. Pieces that do not overlap are a concatenation; the others are added up
in as few of these as they fit into.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.extend.core import Literal


class Placed(NamedTuple):
    """A vector that is the sum of shorter ones, each from its own start, and zero elsewhere."""

    size: int
    pieces: tuple[tuple[int, Any], ...]
    """(start, vector)"""


def placed(equation: Any, values: list[Any]) -> Placed | None:
    """The equation's result in pieces: a vector padded with zeros, or a sum with one in pieces."""
    if equation.outvars[0].aval.ndim != 1 or equation.outvars[0].aval.dtype != np.float64:
        return None
    size = equation.outvars[0].aval.size
    if equation.primitive.name == "pad":
        ((low, high, interior),) = equation.params["padding_config"]
        filling = equation.invars[1]
        if interior or low < 0 or high < 0 or not isinstance(filling, Literal) or filling.val != 0.0:
            return None
        return Placed(size, tuple((int(low) + start, part) for start, part in _pieces(values[0])))
    if equation.primitive.name in ("add", "add_any") and any(isinstance(value, Placed) for value in values):
        if any(atom.aval.shape != (size,) for atom in equation.invars):
            return None
        return Placed(size, tuple(piece for value in values for piece in _pieces(value)))
    return None


def whole(value: Any) -> Any:
    """The array of a value that may be in pieces."""
    if not isinstance(value, Placed):
        return value
    sums: dict[tuple[int, int], Any] = {}
    for start, part in value.pieces:
        place = (start, start + part.shape[0])
        sums[place] = sums[place] + part if place in sums else part
    layers: list[dict[tuple[int, int], Any]] = []
    for place in sorted(sums, key=lambda place: (place[0] - place[1], place[0])):
        free = (layer for layer in layers if all(end <= place[0] or place[1] <= start for start, end in layer))
        layer = next(free, None)
        if layer is None:
            layer = {}
            layers.append(layer)
        layer[place] = sums[place]
    total = None
    for layer in layers:
        vector = _joined(value.size, layer)
        total = vector if total is None else total + vector
    return total


def _pieces(value: Any) -> tuple[tuple[int, Any], ...]:
    return value.pieces if isinstance(value, Placed) else ((0, value),)


def _joined(size: int, layer: dict[tuple[int, int], Any]) -> Any:
    parts, at = [], 0
    for (start, end), part in sorted(layer.items(), key=lambda item: item[0]):
        parts += [jnp.zeros(start - at)] * (start > at) + [part]
        at = end
    parts += [jnp.zeros(size - at)] * (size > at)
    return parts[0] if len(parts) == 1 else jnp.concatenate(parts)
