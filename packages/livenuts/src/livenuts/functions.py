"""Functions for expressions: `ln.exp(ref("s"))`. On arrays they are JAX's own, so models of both kinds read alike."""

from collections.abc import Callable
from typing import Any

from livenuts.model.distributions import Distribution
from livenuts.model.expressions import FUNCTIONS, Expression, call


def _function(name: str) -> Callable[..., Any]:
    def function(*arguments: Any, **options: Any) -> Any:
        if any(map(_symbolic, (*arguments, *options.values()))):
            return call(name, *arguments, **options)
        from livenuts.compiler.evaluate import numeric

        return numeric(name)(*arguments, **options)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"`{name}` of expressions (an expression) or of arrays."
    return function


def _symbolic(argument: Any) -> bool:
    if isinstance(argument, (list, tuple)):
        return any(map(_symbolic, argument))
    return isinstance(argument, (Expression, Distribution))


TABLE = {name: _function(name) for name in FUNCTIONS}
