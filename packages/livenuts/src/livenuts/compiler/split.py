"""A traced program cut in two: what depends on data alone, done once, and the rest, done at every step.

Two operations change their form on the way, because one operand is known beforehand: a scatter becomes sums by group
over tables made from its indices, and a matrix that is multiplied by vectors is stored with its longer axis
contiguous, which serves the product and its gradient alike.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import ClosedJaxpr, Literal

from livenuts.compiler.grouping import sum_groups, tables
from livenuts.compiler.native import compile_usual
from livenuts.compiler.numeric import evaluate_numerically
from livenuts.compiler.programs import evaluate, inlined, read, variables
from livenuts.compiler.x64 import x64

# A result this many times its operands, and of this many bytes, is made again at every step.
_GROWTH, _GROWN_BYTES = 4, 2**20
# So is what these make: XLA never writes it out.
_CHEAP = ("broadcast_in_dim", "iota")
# Larger scatters stay: no native function will hold what they become, and elsewhere a scatter is faster.
_MOST_UPDATES = 4096
# Up to so many bytes NumPy's arrays go with every call: a few microseconds, where the device takes 40 an array, once.
_HELD_BYTES = 2**14


class Prepared(NamedTuple):
    """What a step reads besides the position; a pytree of arrays."""

    arrays: list[Any]
    matrices: list[Any]
    """Each with its longer axis last."""
    tables: list[list[Any]]
    """Of each scatter, as `grouping.tables` makes them."""


class _Scatter(NamedTuple):
    """A scatter-add of whole rows, in terms of axes."""

    rows: tuple[int, ...]
    """Axes of the operand that the indices choose from."""
    columns: tuple[int, ...]
    """For each of these axes, the place of its index."""
    update_rows: tuple[int, ...]
    """Axes of the updates that run over the indices."""


class Split:
    """A program (data..., position) -> results, cut where the position comes in."""

    def __init__(self, closed: ClosedJaxpr) -> None:
        with x64():
            self._jaxpr = inlined(closed)
        self._consts = list(closed.consts)
        self._makers = {result: equation for equation in self._jaxpr.eqns for result in equation.outvars}
        self._again: set[int] = set()
        """Equations whose results are known, but as cheap to make as to read."""
        self._known: set[Any] = set()
        varying = self._find_known()
        self._scatters = {id(e): scatter for e in varying if (scatter := self._scatter(e)) is not None}
        self._sides = {id(e): side for e in varying if (side := self._known_side(e)) is not None}
        self._equations, self._arrays = self._find_read(varying)
        """The equations of every step, and the known arrays that they read."""
        self._matrices = variables(e.invars[self._sides[id(e)]] for e in varying if id(e) in self._sides)
        self._indices = [e.invars[1] for e in varying if id(e) in self._scatters]
        self._prologue: Callable[..., Any] | None = None
        self._rest: dict[Any, ClosedJaxpr] = {}

    def _find_known(self) -> list[Any]:
        """Find what does not depend on the position; returns the equations that do."""
        source = {v: _num_bytes(v) for v in self._jaxpr.invars[:-1]}  # bytes behind what is known
        constant: set[Any] = set()
        varying: list[Any] = []
        equation: Any
        for equation in self._jaxpr.eqns:
            operands = variables(equation.invars)
            if equation.effects or not all(v in source for v in operands):
                varying.append(equation)
                continue
            behind, made = sum(source[v] for v in operands), sum(_num_bytes(v) for v in equation.outvars)
            same = constant.issuperset(operands)
            if equation.primitive.name in _CHEAP or (same and all(v.aval.size == 1 for v in equation.outvars)):
                self._again.add(id(equation))
                source.update(dict.fromkeys(equation.outvars, behind))
                constant.update(equation.outvars if same else ())
            elif made > max(_GROWTH * behind, _GROWN_BYTES):
                varying.append(equation)
            else:
                source.update((v, _num_bytes(v)) for v in equation.outvars)
        self._known = set(source)
        return varying

    def _find_read(self, varying: list[Any]) -> tuple[list[Any], list[Any]]:
        waiting = [v for v in variables(self._jaxpr.outvars) if v in self._known]
        for equation in varying:
            replaced = 1 if id(equation) in self._scatters else self._sides.get(id(equation))
            operands = [v for place, v in enumerate(equation.invars) if place != replaced]
            waiting += [v for v in variables(operands) if v in self._known]
        kept = {id(equation) for equation in varying}
        arrays: dict[Any, None] = {}
        while waiting:
            v = waiting.pop(0)
            maker = self._makers.get(v)
            if maker is None or id(maker) not in self._again:
                arrays[v] = None
            elif id(maker) not in kept:
                kept.add(id(maker))
                waiting += variables(maker.invars)
        return [e for e in self._jaxpr.eqns if id(e) in kept], list(arrays)

    def _scatter(self, equation: Any) -> _Scatter | None:
        """How to read a scatter-add of whole rows at known indices, the kind that changes its form."""
        if equation.primitive.name not in ("scatter-add", "scatter_add") or equation.invars[1] not in self._known:
            return None
        numbers = equation.params["dimension_numbers"]
        operand, _, updates = (v.aval for v in equation.invars)
        columns = tuple(numbers.scatter_dims_to_operand_dims)
        rows, window = tuple(sorted(columns)), tuple(numbers.update_window_dims)
        whole = tuple(size for axis, size in enumerate(operand.shape) if axis not in rows)
        if (
            getattr(numbers, "operand_batching_dims", ())
            or tuple(numbers.inserted_window_dims) != rows
            or tuple(updates.shape[axis] for axis in window) != whole
            or not 0 < updates.size <= _MOST_UPDATES
        ):
            return None
        update_rows = tuple(axis for axis in range(updates.ndim) if axis not in window)
        return _Scatter(rows, tuple(columns.index(axis) for axis in rows), update_rows)

    def _known_side(self, equation: Any) -> int | None:
        """Which operand of a product is a known matrix, where the other is a vector that is not known."""
        if equation.primitive.name != "dot_general" or equation.params["dimension_numbers"][1][0]:
            return None
        for side in (0, 1):
            matrix, vector = equation.invars[side], equation.invars[1 - side]
            if isinstance(matrix, Literal) or matrix not in self._known or id(self._makers.get(matrix)) in self._again:
                continue
            if (matrix.aval.ndim, vector.aval.ndim) == (2, 1):
                return side
        return None

    # -- what is done once -----------------------------------------------------------------------------------------

    def prepare(self, leaves: Sequence[Any]) -> Prepared:
        """What a step reads, for these data."""
        given = dict(zip(self._jaxpr.invars, [*self._consts, *leaves], strict=False))
        computed = [v for v in self._arrays if v not in given]
        made = given | self._compute(given, [*computed, *self._matrices, *self._indices])
        matrices = [made[v].T if _is_tall(v) else made[v] for v in self._matrices]
        scatters = [e for e in self._equations if id(e) in self._scatters]
        groups = [tables(*_groups(self._scatters[id(e)], e, np.asarray(made[e.invars[1]]))) for e in scatters]
        arrays = [made[v] for v in self._arrays]
        prepared = Prepared(arrays, [np.ascontiguousarray(matrix) for matrix in matrices], groups)
        is_small = sum(leaf.nbytes for leaf in jax.tree.leaves(prepared)) <= _HELD_BYTES
        with x64():
            placed: Prepared = jax.tree.map(np.array, prepared) if is_small else jax.device_put(prepared)
        return placed

    def _compute(self, given: dict[Any, Any], wanted: list[Any]) -> dict[Any, Any]:
        """The wanted variables: by NumPy where it knows every operation, else compiled, always the same way."""
        needed, waiting = set(), list(wanted)
        while waiting:
            maker = self._makers.get(waiting.pop())
            if maker is not None and id(maker) not in needed:
                needed.add(id(maker))
                waiting += variables(maker.invars)
        equations = [equation for equation in self._jaxpr.eqns if id(equation) in needed]

        def run(evaluation: Callable[..., Any], arguments: Sequence[Any]) -> list[Any] | None:
            known = dict(zip(given, arguments, strict=True))
            for equation in equations:
                results = evaluation(equation, [read(known, atom) for atom in equation.invars])
                if results is None:
                    return None
                known.update(zip(equation.outvars, results, strict=True))
            return [known[v] for v in wanted]

        arguments = list(given.values())
        with x64(), np.errstate(all="ignore"):
            results = run(evaluate_numerically, arguments) if self._prologue is None else None
            if results is None:
                if self._prologue is None:
                    self._prologue = compile_usual(lambda values: run(evaluate, values), (arguments,))
                results = self._prologue(arguments)
        return dict(zip(wanted, results, strict=True))

    # -- what is done at every step --------------------------------------------------------------------------------

    def rest(self, prepared: Prepared) -> ClosedJaxpr:
        """The program (leaves of prepared..., position) -> results."""
        arguments = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), prepared)
        leaves, structure = jax.tree.flatten(arguments)
        key = (structure, tuple((leaf.shape, str(leaf.dtype)) for leaf in leaves))
        if key not in self._rest:
            position: Any = self._jaxpr.invars[-1].aval
            with x64():
                struct = jax.ShapeDtypeStruct(position.shape, position.dtype)
                self._rest[key] = jax.make_jaxpr(self._step)(arguments, struct)
        return self._rest[key]

    def _step(self, prepared: Prepared, position: Any) -> list[Any]:
        known = dict(zip(self._arrays, prepared.arrays, strict=True)) | {self._jaxpr.invars[-1]: position}
        matrices = dict(zip(self._matrices, prepared.matrices, strict=True))
        groups = iter(prepared.tables)
        for equation in self._equations:
            atoms = equation.invars
            if id(equation) in self._scatters:
                added = _add_up(self._scatters[id(equation)], next(groups), atoms[0].aval, read(known, atoms[2]))
                results = [added if self._is_zero(atoms[0]) else read(known, atoms[0]) + added]
            elif id(equation) in self._sides:
                side = self._sides[id(equation)]
                results = [_product(equation, side, matrices[atoms[side]], read(known, atoms[1 - side]))]
            else:
                results = evaluate(equation, [read(known, atom) for atom in atoms])
            known.update(zip(equation.outvars, results, strict=True))
        return [read(known, atom) for atom in self._jaxpr.outvars]

    def _is_zero(self, atom: Any) -> bool:
        """Whether an array is a broadcast zero, on which the gradient of a gather is added up."""
        maker = None if isinstance(atom, Literal) else self._makers.get(atom)
        if maker is None or maker.primitive.name != "broadcast_in_dim":
            return False
        return isinstance(maker.invars[0], Literal) and not np.any(maker.invars[0].val)


def _num_bytes(v: Any) -> int:
    return int(v.aval.size) * int(getattr(v.aval.dtype, "itemsize", 8))


def _is_tall(v: Any) -> bool:
    return bool(v.aval.shape[0] > v.aval.shape[1])


def _product(equation: Any, side: int, matrix: Any, vector: Any) -> Any:
    """The equation's product, with a matrix that is stored transposed if it is tall."""
    contracting, batch = equation.params["dimension_numbers"]
    axes = [tuple(contracting[0]), tuple(contracting[1])]
    if _is_tall(equation.invars[side]):
        axes[side] = (1 - axes[side][0],)
    operands = (matrix, vector) if side == 0 else (vector, matrix)
    return lax.dot_general_p.bind(*operands, **equation.params | {"dimension_numbers": (tuple(axes), batch)})


def _groups(scatter: _Scatter, equation: Any, indices: np.ndarray) -> tuple[np.ndarray, int]:
    """The row that each index chooses, -1 where it is outside and dropped, and the number of rows."""
    sizes = [equation.invars[0].aval.shape[axis] for axis in scatter.rows]
    columns = [indices[..., place].ravel().astype(np.int64) for place in scatter.columns]
    if "CLIP" in str(equation.params["mode"]):
        columns = [np.clip(column, 0, size - 1) for column, size in zip(columns, sizes, strict=True)]
    inside = np.logical_and.reduce([(c >= 0) & (c < size) for c, size in zip(columns, sizes, strict=True)])
    flat = np.zeros(columns[0].shape, np.int64)
    for column, size in zip(columns, sizes, strict=True):
        flat = flat * size + column
    return np.where(inside, flat, -1), math.prod(sizes)


def _add_up(scatter: _Scatter, groups: Sequence[Any], operand: Any, updates: Any) -> Any:
    """The updates summed by row, in the operand's shape."""
    window = tuple(axis for axis in range(updates.ndim) if axis not in scatter.update_rows)
    flat = jnp.transpose(updates, (*scatter.update_rows, *window))
    flat = flat.reshape(-1, *(updates.shape[axis] for axis in window))
    order = (*scatter.rows, *(axis for axis in range(operand.ndim) if axis not in scatter.rows))
    shaped = sum_groups(groups, flat).reshape([operand.shape[axis] for axis in order])
    return jnp.transpose(shaped, tuple(int(place) for place in np.argsort(order)))
