"""A state-space model: names and plain functions of one particle. It is data; nothing is compiled here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Names = Sequence[str] | Mapping[str, int]

FUNCTIONS = (
    "initial",
    "transition",
    "log_likelihood",
    "observe",
    "guide",
    "log_transition",
    "log_likelihood_bound",
)
"""The functions that a model may have; the first three it must."""
DRAWING = ("initial", "transition", "observe", "guide")
"""Those that are given a generator."""


class ModelError(ValueError):
    """A model function that does not compile, or does not return what its place wants."""


@dataclass(frozen=True)
class Fields:
    """Named numbers in a row: scalars (size 0) and small arrays (their length), which functions see as tuples."""

    sizes: dict[str, int]

    @classmethod
    def of(cls, what: str, names: Names) -> Fields:
        """From ("a", "b"), or from {"a": 0, "b": 3}: 0 is a scalar."""
        if isinstance(names, str) or not isinstance(names, (Sequence, Mapping)):
            raise TypeError(f"{what} must be a tuple of names, or a dict of names and lengths, got {names!r:.80}")
        sizes = {name: names[name] if isinstance(names, Mapping) else 0 for name in names}
        if len(sizes) != len(names):
            raise ValueError(f"{what}: a name occurs twice in {tuple(names)}")
        for name, size in sizes.items():
            if not isinstance(name, str) or not name.isidentifier() or name.startswith("_"):
                raise ValueError(f"{what}: a name is an identifier without a leading underscore, got {name!r}")
            if isinstance(size, bool) or not isinstance(size, int) or size < 0:
                raise ValueError(f"{what}: {name!r}: the length must be a whole number, 0 for a scalar, got {size!r}")
        return cls(sizes)

    @property
    def width(self) -> int:
        """How many numbers."""
        return sum(size or 1 for size in self.sizes.values())

    def places(self) -> Iterator[tuple[str, int, int]]:
        """(name, first column, length or 0) of each."""
        first = 0
        for name, size in self.sizes.items():
            yield name, first, size
            first += size or 1

    def labels(self) -> list[str]:
        """One label a column: `beta`, `mu[0]`, `mu[1]`."""
        return [f"{name}[{i}]" if size else name for name, _, size in self.places() for i in range(size or 1)]

    def split(self, columns: np.ndarray, axis: int) -> dict[str, np.ndarray]:
        """Views by name; an array's own axis is put last."""
        views = {}
        for name, first, size in self.places():
            part = np.moveaxis(columns, axis, -1)[..., first : first + (size or 1)]
            views[name] = part if size else part[..., 0]
        return views

    def join(self, what: str, values: Mapping[str, Any]) -> np.ndarray:
        """One row from values by name."""
        if set(values) != set(self.sizes):
            raise ValueError(f"{what} needs a value for each of {tuple(self.sizes)}, got {tuple(values)}")
        row = np.empty(self.width)
        for name, first, size in self.places():
            value = np.asarray(values[name], float)
            if value.shape != ((size,) if size else ()):
                wanted = f"{size} numbers" if size else "a number"
                raise ValueError(f"{what}: {name!r} must be {wanted}, got {values[name]!r:.80}")
            row[first : first + (size or 1)] = value
        return row


@dataclass(frozen=True, eq=False)
class StateSpaceModel:
    """Hidden states that move, and what is observed of them, given unknown parameters.

    parameters, state: names of scalars, or a dict of names and lengths ({"mu": 3}: a tuple of three). A function sees
        them as `theta.beta`, `x.I`, `theta.mu[2]`; every number is a float.
    initial(rng, theta): the state at the first observation, as a tuple in the order of `state`; observation 0 is
        scored on it (the literature's x_0).
    transition(rng, x, theta, t): the state at t from the one at t - 1, t = 1, 2, ...
    log_likelihood(y, x, theta, t): log p(y | x), in full (constants count in the evidence). With several observed
        names it may return a tuple of terms, one a name: those of missing components (NaN) are left out.
    observed: names of the components of an observation, `y.cases`; without, y is a number.
    covariates: names of what is known at each time; with them t is a record, `t.index`, `t.rain`, else the index.

    Optional:
    observe(rng, x, theta, t): draw y (a number, or a tuple); forecasts of observations need it.
    guide(rng, x, y, theta, t): the state drawn from a proposal q, and after its fields log f - log q, the correction.
    log_transition(new, x, theta, t): log f(new | x), where it has a density; smoothing needs it.
    log_likelihood_bound(y, theta, t): a number that log_likelihood never exceeds, whatever the state. With it moves
        that cannot be accepted any more are given up early; the answers are the same. 0 will do for counts.

    `rng` has the methods and argument names of `numpy.random.Generator`, without `size`; counts are floats.

    >>> import math
    >>> walk = StateSpaceModel(
    ...     parameters=("sigma",), state=("level",),
    ...     initial=lambda rng, theta: (rng.normal(0.0, 10.0),),
    ...     transition=lambda rng, x, theta, t: (rng.normal(x.level, theta.sigma),),
    ...     log_likelihood=lambda y, x, theta, t: -0.5 * (y - x.level) ** 2 - 0.5 * math.log(2 * math.pi))
    >>> walk.state
    ('level',)
    """

    parameters: Any
    state: Any
    initial: Callable[..., Any]
    transition: Callable[..., Any]
    log_likelihood: Callable[..., Any]
    observe: Callable[..., Any] | None = None
    guide: Callable[..., Any] | None = None
    log_transition: Callable[..., Any] | None = None
    log_likelihood_bound: Callable[..., Any] | None = None
    observed: tuple[str, ...] = ()
    covariates: tuple[str, ...] = ()
    name: str = "model"
    parameter_fields: Fields = field(init=False, repr=False)
    state_fields: Fields = field(init=False, repr=False)

    def __post_init__(self) -> None:
        fields = {what: Fields.of(what, getattr(self, what)) for what in ("parameters", "state")}
        object.__setattr__(self, "parameter_fields", fields["parameters"])
        object.__setattr__(self, "state_fields", fields["state"])
        if not fields["state"].sizes:
            raise ValueError("state must name at least one number")
        if both := sorted(set(fields["state"].sizes) & set(fields["parameters"].sizes)):
            raise ValueError(f"{both[0]!r} names a parameter and a state; give them different names")
        for what in ("observed", "covariates"):
            sizes = Fields.of(what, getattr(self, what)).sizes
            if any(sizes.values()):
                raise ValueError(f"{what} are scalars: give a tuple of names, got {getattr(self, what)!r}")
            object.__setattr__(self, what, tuple(sizes))
        if "index" in self.covariates:
            raise ValueError("covariates: 'index' is the index of time itself; choose another name")
        for function in FUNCTIONS:
            value = getattr(self, function)
            if value is None and function not in FUNCTIONS[:3]:
                continue
            if not callable(value):
                raise TypeError(f"{function} must be a function, got {value!r:.80}")

    def functions(self) -> dict[str, Callable[..., Any]]:
        """The functions that it has, by name."""
        return {name: getattr(self, name) for name in FUNCTIONS if getattr(self, name) is not None}

    @property
    def observation_width(self) -> int:
        """How many numbers an observation is."""
        return max(1, len(self.observed))

    def rows(self, data: Any) -> np.ndarray:
        """Observations as rows (T, observation_width); a NaN is missing."""
        rows = np.asarray(data, float)
        if rows.ndim == 1 and self.observation_width == 1:
            rows = rows[:, None]
        if rows.ndim != 2 or rows.shape[1] != self.observation_width:
            form = "(T,)" if self.observation_width == 1 else f"(T, {self.observation_width})"
            raise ValueError(f"data must be an array of shape {form}, got shape {rows.shape}")
        if np.isinf(rows).any():
            raise ValueError(f"data: observation {int(np.argwhere(np.isinf(rows))[0, 0])} is infinite; NaN is missing")
        return np.ascontiguousarray(rows)

    def row(self, y: Any) -> np.ndarray:
        """One observation as a row (observation_width,)."""
        if isinstance(y, Mapping):
            y = Fields(dict.fromkeys(self.observed, 0)).join("an observation", y)
        row = np.atleast_1d(np.asarray(y, float))
        if row.shape != (self.observation_width,):
            form = "a number" if self.observation_width == 1 else f"{self.observation_width} numbers {self.observed}"
            raise ValueError(f"an observation of this model is {form}, got {y!r:.80}")
        if np.isinf(row).any():
            raise ValueError(f"an observation must be finite, or NaN where it is missing, got {y!r:.80}")
        return row

    def covariate_rows(self, covariates: Mapping[str, Any] | None, count: int) -> np.ndarray:
        """Covariates of `count` times as rows (count, number of covariates)."""
        given = {} if covariates is None else dict(covariates)
        if set(given) != set(self.covariates):
            raise ValueError(f"covariates needs a value for each of {self.covariates}, got {tuple(given)}")
        rows = np.empty((count, len(self.covariates)))
        for column, name in enumerate(self.covariates):
            value = np.asarray(given[name], float)
            if value.shape not in ((), (count,)):
                raise ValueError(f"covariates: {name!r} must be a number or {count} of them, got shape {value.shape}")
            if not np.isfinite(value).all():
                raise ValueError(f"covariates: {name!r} must be finite, got {given[name]!r:.80}")
            rows[:, column] = value
        return rows
