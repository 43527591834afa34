"""Every family of `numpyro.distributions`, and those of `livenuts.families`, as data: `dist.Normal("mu", 1.0)`.

Parameters are numbers, arrays, expressions, or strings that name a variable of the model.

>>> from livenuts import dist
>>> dist.Normal("mu", 2.0)
Normal(loc=mu, scale=2.0)
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any

from livenuts.model.distributions import Distribution, distribution, families, parameters


@functools.cache
def _family(name: str) -> Callable[..., Distribution]:
    def family(*arguments: Any, **keywords: Any) -> Distribution:
        return distribution(name, *arguments, **keywords)

    family.__name__ = family.__qualname__ = name
    home = "livenuts.families" if families()[name].__module__.startswith("livenuts") else "numpyro.distributions"
    family.__doc__ = f"`{home}.{name}` as data.\n\n{inspect.getdoc(families()[name]) or ''}".rstrip()
    given = [parameter.replace(annotation=parameter.empty) for parameter in parameters(name).values()]
    family.__signature__ = inspect.Signature(given)  # type: ignore[attr-defined]
    return family


def __getattr__(name: str) -> Any:
    if name.startswith("_"):
        raise AttributeError(name)
    if name not in families():
        import difflib

        close = difflib.get_close_matches(name, families(), n=3)
        hint = f"; did you mean {', '.join(close)}?" if close else ""
        raise AttributeError(f"no distribution {name!r} in livenuts.dist{hint}")
    return _family(name)


def __dir__() -> list[str]:
    return ["Distribution", *families()]


__all__ = ["Distribution"]
