"""Distributions as data: a family by name, NumPyro's or one of ours, with its parameters.

`dist.Normal("mu", 1)` holds the word "Normal" and its parameters; the compiler makes the NumPyro object. A string
parameter is a reference, except where the family itself takes a word.
"""

from __future__ import annotations

import functools
import inspect
from dataclasses import dataclass
from typing import Any

from livenuts.model.expressions import Ref, literal, references

LOCATION_SCALE = (
    "Normal",
    "StudentT",
    "Cauchy",
    "Laplace",
    "Logistic",
    "Gumbel",
    "LogNormal",
    "MultivariateNormal",
)
"""Families whose variables are a standard variable, scaled and moved (and, for LogNormal, exponentiated)."""


def check_reparam(name: str, family: str, reparam: str | None) -> None:
    """Refuse a reparametrisation that there is not, or that the variable's family has not."""
    if reparam not in (None, "non_centered"):
        raise ValueError(f"rv {name!r}: reparam must be 'non_centered' or None, got {reparam!r}")
    if reparam is not None and family not in LOCATION_SCALE:
        raise ValueError(
            f"rv {name!r}: {family} cannot be {reparam}: it is not a location and a scale; "
            f"families that are: {', '.join(LOCATION_SCALE)}"
        )


@dataclass(frozen=True, eq=False)
class Distribution:
    """A family and its parameters by name."""

    family: str
    parameters: tuple[tuple[str, Any], ...]

    def __str__(self) -> str:
        inside = ", ".join(f"{name}={_text(value)}" for name, value in self.parameters)
        return f"{self.family}({inside})"

    __repr__ = __str__

    def references(self) -> set[str]:
        """The names that the parameters refer to."""
        return set().union(*(_references(value) for _, value in self.parameters)) if self.parameters else set()


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(_text(part) for part in value)}]"
    return getattr(value, "__name__", str(value))


def _references(value: Any) -> set[str]:
    if isinstance(value, Distribution):
        return value.references()
    if isinstance(value, tuple):
        return set().union(*map(_references, value)) if value else set()
    return references(value)


@functools.cache
def families() -> dict[str, Any]:
    """Every family of `numpyro.distributions` and of `livenuts.families`: classes, and functions that choose one."""
    import numpyro.distributions

    from livenuts.families import FAMILIES

    excluded = {
        "Distribution",
        "Delta",
        "Unit",
        "ExpandedDistribution",
        "ImproperUniform",
        "MaskedDistribution",
    }
    found = {}
    for name in sorted(numpyro.distributions.__all__):
        value = getattr(numpyro.distributions, name)
        if callable(value) and name[:1].isupper() and name not in excluded and not name.endswith("Transform"):
            found[name] = value
    return found | FAMILIES


@functools.cache
def parameters(family: str) -> dict[str, inspect.Parameter]:
    """A family's parameters, by name."""
    found = dict(inspect.signature(families()[family]).parameters)
    found.pop("validate_args", None)
    return found


def distribution(family: str, *arguments: Any, **keywords: Any) -> Distribution:
    """A distribution by its family's name; arguments are bound to the family's own parameter names."""
    known = parameters(family)
    names = list(known)
    if len(arguments) > len(names):
        raise TypeError(f"dist.{family} takes at most {len(names)} parameters ({', '.join(names)})")
    bound = dict(zip(names, arguments, strict=False))
    for name, value in keywords.items():
        if name not in known:
            raise TypeError(f"dist.{family} has no parameter {name!r}; its parameters are {', '.join(names)}")
        if name in bound:
            raise TypeError(f"dist.{family}: parameter {name!r} is given twice")
        bound[name] = value
    missing = [
        name for name, p in known.items() if p.default is p.empty and p.kind is not p.VAR_KEYWORD and name not in bound
    ]
    if missing:
        raise TypeError(f"dist.{family} needs {', '.join(missing)}")
    return Distribution(family, tuple((name, _parameter(known[name], value)) for name, value in bound.items()))


def _parameter(parameter: inspect.Parameter, value: Any) -> Any:
    if isinstance(value, str):
        # "LKJ(concentration_method='onion')": the family wants a word, not a variable.
        return value if isinstance(parameter.default, str) else Ref(value)
    if parameter.name == "parameters":  # of a Custom: each on its own
        return tuple(_one(part) for part in (value if isinstance(value, (list, tuple)) else [value]))
    if isinstance(value, Distribution) or (parameter.name.endswith("shape") and isinstance(value, tuple)):
        return value
    if isinstance(value, (list, tuple)) and any(isinstance(part, (Distribution, str)) for part in value):
        return tuple(map(_one, value))
    return literal_or_same(value)


def _one(value: Any) -> Any:
    return Ref(value) if isinstance(value, str) else literal_or_same(value)


def literal_or_same(value: Any) -> Any:
    """Numbers, arrays and expressions as literals; anything else (a JAX tracer, an object) as it is."""
    if isinstance(value, Distribution) or hasattr(value, "aval"):
        return value
    try:
        return literal(value)
    except (TypeError, ValueError):
        return value
