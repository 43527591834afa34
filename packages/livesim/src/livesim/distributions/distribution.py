"""A distribution: a family's name and parameters, what they compile to, and what is known of the variable."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np

from livesim.distributions import moments
from livesim.random import Kind, check, draw, job_key, replication_key, stream_key
from livesim.random.continuous import lognormal_of_mean
from livesim.random.kinds import NAMES, TraceEnd
from livesim.random.tables import tabulated, weighted

SCALAR_KINDS: dict[str, tuple[Kind, ...]] = {
    "constant": (Kind.CONSTANT,),
    "uniform": (Kind.UNIFORM,),
    "exponential": (Kind.EXPONENTIAL, Kind.EXPONENTIAL_RATE),
    "triangular": (Kind.TRIANGULAR,),
    "normal": (Kind.NORMAL,),
    "truncated_normal": (Kind.TRUNCATED_NORMAL,),
    "lognormal": (Kind.LOGNORMAL, Kind.LOGNORMAL_MEAN),
    "gamma": (Kind.GAMMA,),
    "erlang": (Kind.ERLANG,),
    "weibull": (Kind.WEIBULL,),
    "beta": (Kind.BETA,),
    "pareto": (Kind.PARETO,),
    "pert": (Kind.PERT,),
    "bernoulli": (Kind.BERNOULLI,),
    "discrete_uniform": (Kind.DISCRETE_UNIFORM,),
    "geometric": (Kind.GEOMETRIC,),
    "binomial": (Kind.BINOMIAL,),
    "negative_binomial": (Kind.NEGATIVE_BINOMIAL,),
    "poisson": (Kind.POISSON,),
}
"""The kind of a family whose parameters are numbers or expressions; two where it can be given in two ways."""

TABLES: dict[str, tuple[str, ...]] = {
    "discrete": ("values", "weights"),
    "hyperexponential": ("probabilities", "means"),
    "empirical": ("data", "interpolate"),
    "trace": ("values", "at_end"),
    "tabulated": ("name", "intervals", "table", "mean", "variance"),
}
"""The parameters of a family that is drawn from a table of constants."""


class Compiled(NamedTuple):
    """What the engines draw from: a sampler's kind, its four parameters, and its part of the model's flat table."""

    kind: Kind
    parameters: tuple[Any, Any, Any, Any]
    """Numbers, or expressions as they were given."""
    table: tuple[float, ...] = ()

    def at(self, offset: int) -> Compiled:
        """The same, with its table beginning at `offset` of the flat table."""
        if not self.table:
            return self
        return self._replace(parameters=(float(offset), *self.parameters[1:]))


@dataclass(frozen=True, eq=False)
class Distribution:
    """A distribution of the model: it prints, compares, and is plain data.

    >>> from livesim.distributions import exponential
    >>> exponential(mean=18.0)
    exponential(mean=18.0)
    >>> exponential(mean=18.0).variance()
    324.0
    """

    family: str
    parameters: tuple[tuple[str, Any], ...]

    def __str__(self) -> str:
        return f"{self.family}({', '.join(f'{name}={_text(value)}' for name, value in self.parameters)})"

    __repr__ = __str__

    def _not_a_number(self, _: Any) -> Any:
        raise TypeError(
            f"{self} is drawn while the model runs, so nothing can be calculated with it before: "
            f"assign(drawn={self}), and then attribute('drawn') is a number"
        )

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _not_a_number
    __lt__ = __le__ = __gt__ = __ge__ = _not_a_number

    def __eq__(self, other: object) -> bool:
        # Expressions build larger ones by ==: here, one equals itself alone.
        if not isinstance(other, Distribution):
            return NotImplemented
        return (
            self.family == other.family
            and len(self.parameters) == len(other.parameters)
            and all(
                a == b and (x is y or (_is_plain(x) and _is_plain(y) and x == y))
                for (a, x), (b, y) in zip(self.parameters, other.parameters, strict=True)
            )
        )

    def __hash__(self) -> int:
        return hash((self.family, self.parameters))

    def __getitem__(self, name: str) -> Any:
        """A parameter by its name."""
        return dict(self.parameters)[name]

    def is_constant(self) -> bool:
        """Whether every parameter is a number: no expression waits for the run."""
        return self.family in TABLES or all(isinstance(value, int | float) for _, value in self.parameters)

    def compile(self) -> Compiled:
        """The kind, parameters and table that `livesim.random.draw` wants."""
        if self.family in TABLES:
            return _compile_table(self)
        names = tuple(name for name, _ in self.parameters)
        kind = next(kind for kind in SCALAR_KINDS[self.family] if NAMES[kind] == names)
        values = [value for _, value in self.parameters]
        if kind is Kind.LOGNORMAL_MEAN and self.is_constant():
            # The sampler's own arithmetic, done once.
            kind, values = Kind.LOGNORMAL, list(lognormal_of_mean(float(values[0]), float(values[1])))
        padded = [float(value) if isinstance(value, int | float) else value for value in values] + [0.0] * 4
        return Compiled(kind, (padded[0], padded[1], padded[2], padded[3]))

    def mean(self) -> float | None:
        """The mean; None if a parameter is an expression, infinity or NaN where the law has none."""
        return moments.mean(self.family, dict(self.parameters)) if self.is_constant() else None

    def variance(self) -> float | None:
        """The variance; None if a parameter is an expression, infinity or NaN where the law has none."""
        return moments.variance(self.family, dict(self.parameters)) if self.is_constant() else None

    def sample(self, n: int, seed: int = 0) -> list[float]:
        """n independent variates, to look at; a trace gives its first n values."""
        if not self.is_constant():
            raise ValueError(f"{self}: an expression has no value outside a run")
        kind, (p0, p1, p2, p3), table = self.compile()
        stream = stream_key(replication_key(seed, 0), 0)
        if kind is Kind.TRACE:
            return [draw(kind, p0, p1, p2, p3, table, stream, position)[0] for position in range(n)]
        return [draw(kind, p0, p1, p2, p3, table, job_key(stream, i), 0)[0] for i in range(n)]

    def to_dict(self, encode: Callable[[Any], Any] | None = None) -> dict[str, Any]:
        """Plain data for JSON; `encode` turns an expression into such data."""
        return {"family": self.family} | {
            name: _plain(value, f"{self}: {name}", encode) for name, value in self.parameters
        }

    @staticmethod
    def from_dict(data: Mapping[str, Any], decode: Callable[[Any], Any] | None = None) -> Distribution:
        """A distribution from `to_dict`'s data; `decode` turns an expression's data, a mapping, back."""
        rest = dict(data)
        family = rest.pop("family", None)
        if family not in SCALAR_KINDS and family not in TABLES:
            raise ValueError(f"family must be one of {', '.join([*SCALAR_KINDS, *TABLES])}, got {family!r}")
        for name, value in rest.items():
            if isinstance(value, Mapping) and set(value) == {"number"}:
                rest[name] = float(value["number"])
            elif isinstance(value, Mapping):
                if decode is None:
                    raise ValueError(f"{family}: {name} is an expression, and no decoder is given")
                rest[name] = decode(value)
        return distribution(family, **rest)


def distribution(family: str, **parameters: Any) -> Distribution:
    """A distribution of a family by its parameters' names, checked."""
    wanted = [TABLES[family]] if family in TABLES else [NAMES[kind] for kind in SCALAR_KINDS[family]]
    if not any(set(names) == set(parameters) for names in wanted):
        ways = " or ".join(f"({', '.join(names)})" for names in wanted)
        raise TypeError(f"{family} takes {ways}, got ({', '.join(parameters)})")
    if family in TABLES:
        checked = {name: _constant(value) for name, value in parameters.items()}
    else:
        checked = {name: _parameter(family, name, value) for name, value in parameters.items()}
    names = next(names for names in wanted if set(names) == set(parameters))
    made = Distribution(family, tuple((name, checked[name]) for name in names))
    if family not in TABLES:
        kind = next(kind for kind in SCALAR_KINDS[family] if NAMES[kind] == names)
        wrong = check(kind, [checked[name] for name in names])
        if wrong:
            raise ValueError(f"{family}: {wrong}")
    return made


def number(what: str, value: Any) -> int | float:
    """A real number as Python's own, or an error that names what it should have been."""
    if not is_number(value):
        raise TypeError(f"{what} must be a number, got {value!r}")
    return int(value) if isinstance(value, Integral) else float(value)


def is_number(value: Any) -> bool:
    """Whether the value is a real number, Python's or NumPy's; True and False are none."""
    return isinstance(value, Real) and not isinstance(value, bool | np.bool_)


def _parameter(family: str, name: str, value: Any) -> Any:
    """A number as Python's own; an expression as it is."""
    if is_number(value):
        return number(name, value)
    if value is None or isinstance(value, bool | str | bytes | complex | list | tuple | dict | set | Distribution):
        raise TypeError(f"{family}: {name} must be a number or an expression, got {value!r}")
    return value


def _is_plain(value: Any) -> bool:
    return isinstance(value, bool | int | float | str | tuple)


def _constant(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _plain(value: Any, what: str, encode: Callable[[Any], Any] | None) -> Any:
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, float) and not math.isfinite(value):
        return {"number": str(value)}  # JSON has no infinity
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if encode is None:
        raise ValueError(f"{what} is an expression, and no encoder is given")
    return encode(value)


def _compile_table(made: Distribution) -> Compiled:
    if made.family == "discrete":
        values, weights = made["values"], made["weights"]
        return Compiled(Kind.DISCRETE, (0.0, float(len(values)), 0.0, 0.0), weighted(_cumulative(weights), values))
    if made.family == "hyperexponential":
        probabilities, means = made["probabilities"], made["means"]
        table = weighted(_cumulative(probabilities), means)
        return Compiled(Kind.HYPEREXPONENTIAL, (0.0, float(len(means)), 0.0, 0.0), table)
    if made.family == "empirical":
        data = made["data"]
        kind = Kind.EMPIRICAL_INTERPOLATED if made["interpolate"] else Kind.EMPIRICAL
        return Compiled(kind, (0.0, float(len(data)), 0.0, 0.0), data)
    if made.family == "trace":
        end = float(TraceEnd[made["at_end"].upper()])
        return Compiled(Kind.TRACE, (0.0, float(len(made["values"])), end, 0.0), made["values"])
    n, values = made["intervals"], made["table"]
    return Compiled(Kind.TABULATED, (0.0, float(n), 0.0, 0.0), tabulated(values[: n + 1], values[n + 1 :]))


def _cumulative(weights: tuple[float, ...]) -> list[float]:
    """Sums of the weights up to each, divided by the whole; the last is 1 exactly."""
    found, total = [], 0.0
    for weight in weights:
        total += weight
        found.append(total)
    return [value / total for value in found]


def _text(value: Any) -> str:
    if isinstance(value, tuple) and len(value) > 6:
        return f"[{', '.join(map(str, value[:3]))}, ... {len(value)} values]"
    return str(list(value)) if isinstance(value, tuple) else repr(value) if isinstance(value, str) else str(value)
