"""Values that a step may hold: numbers, expressions, distributions."""

from __future__ import annotations

from typing import Any, TypeAlias

from livesim.distributions import Distribution
from livesim.model.expressions import Expression, literal

Value: TypeAlias = "float | Expression | Distribution"


def value(verb: str, what: str, content: Any) -> Value:
    """A value as a step holds it: a float, an expression or a distribution."""
    if isinstance(content, Distribution):
        return content
    try:
        return literal(content)
    except TypeError:
        raise TypeError(f"{verb}: {what} must be a number, an expression or a distribution, got {content!r}") from None


def text(content: Any) -> str:
    """A field of a step, as it is printed."""
    if isinstance(content, float):
        return f"{content:g}"
    if isinstance(content, str):
        return repr(content)
    if isinstance(content, tuple):
        return "[" + ", ".join(map(text, content)) + "]"
    return str(content)
