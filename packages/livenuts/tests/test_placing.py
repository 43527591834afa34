"""Sums of padded vectors in pieces: the same numbers as with the padding, to the last bit where nothing overlaps."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from livenuts.compiler.placing import Placed, placed, whole
from livenuts.compiler.programs import evaluate, read
from livenuts.compiler.x64 import x64

SIZE = 9
PIECES = st.lists(
    st.tuples(st.integers(0, SIZE - 1), st.integers(1, SIZE)).filter(lambda piece: sum(piece) <= SIZE),
    min_size=1,
    max_size=6,
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(PIECES)
def test_pieces_are_added_up_in_their_places(pieces: list[tuple[int, int]]) -> None:
    generator = np.random.default_rng(1)
    parts = [(start, generator.integers(-9, 9, length).astype(float)) for start, length in pieces]
    expected = np.zeros(SIZE)
    for start, part in parts:
        expected[start : start + len(part)] += part
    with x64():
        np.testing.assert_array_equal(whole(Placed(SIZE, tuple(parts))), expected)


def slices(x: Any) -> Any:
    """Slices of slices that overlap, that do not, and one of a single number."""
    path = x[2:]
    return (
        jnp.sum((path[1:] - x[0] * path[:-1]) ** 3)
        + x[1] * jnp.sum(jnp.sin(path))
        + path[0] ** 2
        + jnp.sum(path[::2] ** 2)
        + jnp.sum(jnp.concatenate([x[:3], path[4:]]) ** 2)
        + jnp.sum(jax.lax.pad(x[:4], 0.0, [(np.int64(1), np.int64(2), 0)]) * jnp.arange(7.0)) ** 2
    )


def test_gradients_of_slices_go_without_pads() -> None:
    """And the numbers are those of JAX; interior padding is left as it is."""
    position = np.random.default_rng(2).normal(size=12)
    with x64():
        program = jax.make_jaxpr(jax.grad(slices))(position)
        known: dict[Any, Any] = dict(zip(program.jaxpr.invars, [position], strict=True))
        known |= dict(zip(program.jaxpr.constvars, program.consts, strict=True))
        in_pieces = 0
        for equation in program.jaxpr.eqns:
            values = [read(known, atom) for atom in equation.invars]
            result = placed(equation, values)
            in_pieces += result is not None
            results = [result] if result is not None else evaluate(equation, [whole(value) for value in values])
            known.update(zip(equation.outvars, results, strict=True))
        assert in_pieces > 8
        got = whole(known[program.jaxpr.outvars[0]])
        np.testing.assert_allclose(got, jax.grad(slices)(position), rtol=1e-14)
