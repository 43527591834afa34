"""A traced log density with cheaper logarithms and exponentials, before it is differentiated.

The logarithm of an exponential is its argument, exactly, and dividing by an exponential is multiplying by that of the
negative; a variable on the positive axis is such an exponential. A sum of many logarithms is the logarithm of a
product (see `logarithms.sum_log`). An array of exponentials is computed once.
"""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Literal

from livenuts.compiler.logarithms import exp_once, sum_log
from livenuts.compiler.programs import evaluate, inlined, read, variables

# Of fewer numbers, what is saved is less than what it takes.
_FEWEST = 16


def simplified(closed: ClosedJaxpr) -> Callable[..., Any]:
    """The function of a program with one result, to the rounding of its logarithms."""
    jaxpr = inlined(closed)
    makers = {result: equation for equation in jaxpr.eqns for result in equation.outvars}
    uses: dict[Any, int] = {}
    for equation in jaxpr.eqns:
        for v in variables(equation.invars):
            uses[v] = uses.get(v, 0) + 1

    def made_by(name: str, atom: Any) -> Any:
        """The operand of the equation of this name that makes a variable, if it is one."""
        maker = None if isinstance(atom, Literal) else makers.get(atom)
        return maker.invars[0] if maker is not None and maker.primitive.name == name else None

    def run(*arguments: Any) -> Any:
        known = dict(zip(jaxpr.invars, [*closed.consts, *arguments], strict=True))
        inverses: dict[Any, Any] = {}
        for equation in jaxpr.eqns:
            name, operand = equation.primitive.name, equation.invars[0] if equation.invars else None
            if name == "log" and (inner := made_by("exp", operand)) is not None:
                results = [read(known, inner)]
            elif name == "exp":
                results = [_exponential(read(known, operand))]
            elif name == "div" and (inner := made_by("exp", equation.invars[1])) is not None:
                if inner not in inverses:
                    inverses[inner] = _exponential(-read(known, inner))
                results = [read(known, operand) * inverses[inner]]
            elif name == "reduce_sum" and (inner := _logarithms(equation, made_by("log", operand), uses)) is not None:
                exponent = made_by("exp", inner)
                results = [sum_log(read(known, inner)) if exponent is None else read(known, exponent).sum()]
            else:
                results = evaluate(equation, [read(known, atom) for atom in equation.invars])
            known.update(zip(equation.outvars, results, strict=True))
        return read(known, jaxpr.outvars[0])

    return run


def _exponential(x: Any) -> Any:
    return exp_once(x) if jnp.size(x) >= _FEWEST else jnp.exp(x)


def _logarithms(equation: Any, inner: Any, uses: dict[Any, int]) -> Any:
    """What a full sum takes the logarithms of, where there are many and nothing else reads them."""
    if inner is None or isinstance(inner, Literal) or inner.aval.dtype != np.float64:
        return None
    logarithms = equation.invars[0]
    if len(equation.params["axes"]) < logarithms.aval.ndim or uses[logarithms] > 1:
        return None
    return inner if logarithms.aval.size >= _FEWEST else None
