"""Reading and evaluating traced programs, equation by equation."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

CALLS = {"jit": "jaxpr", "pjit": "jaxpr", "closed_call": "call_jaxpr", "core_call": "call_jaxpr"}
"""Calls of an inner program, and the parameter that holds it."""


def equations(jaxpr: Jaxpr) -> Iterator[Any]:
    """Every equation of a traced program, those of its inner programs included."""
    for equation in jaxpr.eqns:
        yield equation
        for parameter in equation.params.values():
            for inner in jax.tree.leaves(parameter, is_leaf=lambda p: isinstance(p, (ClosedJaxpr, Jaxpr))):
                if isinstance(inner, ClosedJaxpr):
                    yield from equations(inner.jaxpr)
                elif isinstance(inner, Jaxpr):
                    yield from equations(inner)


def inlined(closed: ClosedJaxpr) -> Jaxpr:
    """The program without inner calls; its constants come first among its arguments."""

    def run(jaxpr: Jaxpr, arguments: Sequence[Any]) -> list[Any]:
        known = dict(zip([*jaxpr.constvars, *jaxpr.invars], arguments, strict=True))
        for equation in jaxpr.eqns:
            values = [read(known, atom) for atom in equation.invars]
            inner = equation.params.get(CALLS.get(equation.primitive.name, ""))
            if isinstance(inner, ClosedJaxpr):
                results = run(inner.jaxpr, [*inner.consts, *values])
            else:
                results = evaluate(equation, values)
            known.update(zip(equation.outvars, results, strict=True))
        return [read(known, atom) for atom in jaxpr.outvars]

    atoms = [*closed.jaxpr.constvars, *closed.jaxpr.invars]
    shapes = [jax.ShapeDtypeStruct(v.aval.shape, v.aval.dtype) for v in atoms]
    return jax.make_jaxpr(lambda *arguments: run(closed.jaxpr, arguments))(*shapes).jaxpr


def evaluate(equation: Any, values: Sequence[Any]) -> list[Any]:
    """The results of an equation for other operands of the same shapes."""
    functions, parameters = (), equation.primitive.get_bind_params(equation.params)
    if isinstance(parameters, tuple):  # older JAX
        functions, parameters = parameters
    results = equation.primitive.bind(*functions, *values, **parameters)
    return list(results) if equation.primitive.multiple_results else [results]


def read(known: dict[Any, Any], atom: Any) -> Any:
    """The value of a literal or of a variable that is known."""
    return atom.val if isinstance(atom, Literal) else known[atom]


def variables(atoms: Iterable[Any]) -> list[Any]:
    """The variables among atoms, each once."""
    return list(dict.fromkeys(atom for atom in atoms if not isinstance(atom, Literal)))
