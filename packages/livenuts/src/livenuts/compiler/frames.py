"""What a model's statements do: lay out the flat vector, or evaluate the log density at one.

Both frames run inside a JAX trace, so a statement costs nothing when the sampler runs.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.distributions.constraints import is_dependent
from numpyro.distributions.distribution import ExpandedDistribution, Independent

from livenuts.compiler.densities import sum_log_prob
from livenuts.compiler.evaluate import materialize
from livenuts.compiler.missing import (
    check_can_be_missing,
    fill,
    is_summed_out,
    unfill,
    variable_name,
    without_nan,
)
from livenuts.compiler.reparam import lay_out
from livenuts.model.builder import num_missing
from livenuts.model.distributions import Distribution


class Variable(NamedTuple):
    """A free variable: its place in the flat vector and its shapes."""

    name: str
    start: int
    size: int
    unconstrained_shape: tuple[int, ...]
    shape: tuple[int, ...]
    dims: tuple[str, ...] | None


class Deterministic(NamedTuple):
    """A computed quantity."""

    name: str
    shape: tuple[int, ...]
    dims: tuple[str, ...] | None


def prepare(kind: str, name: str, distribution: Any, shape: tuple[int, ...] | None) -> Any:
    """The NumPyro distribution of a statement, expanded to its batch shape."""
    if isinstance(distribution, Distribution) and (names := distribution.references()):
        raise ValueError(
            f"{kind} {name!r}: {distribution} refers to {', '.join(map(repr, sorted(names)))} by name; "
            "in a model function write the value that ln.rv returned"
        )
    try:
        made = materialize(distribution, {})
    except (ValueError, TypeError) as error:
        raise ValueError(f"{kind} {name!r}: {distribution}: {error}") from error
    if shape is None or tuple(made.batch_shape) == shape:
        return made
    batch = tuple(made.batch_shape)
    if not _broadcasts(batch, shape):
        raise ValueError(f"{kind} {name!r}: parameters of shape {batch} do not broadcast to shape {shape}")
    return made.expand(shape)


def _broadcasts(batch: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Whether parameters of shape `batch` can fill `shape` without growing it."""
    try:
        return bool(np.broadcast_shapes(batch, shape) == shape)
    except ValueError:
        return False


def _check_free(name: str, distribution: Any) -> None:
    for method in ("log_prob", "support", "batch_shape", "event_shape"):
        if not hasattr(distribution, method):
            raise TypeError(f"rv {name!r}: expected a distribution, got {distribution!r:.80} (no {method})")
    if getattr(distribution.support, "is_discrete", False):
        raise ValueError(
            f"rv {name!r} is discrete ({type(distribution).__name__}): NUTS samples continuous variables only; "
            "sum the variable out of the log density, for example with a Mixture or ln.factor"
        )


class Layout:
    """The frame that finds out which variables there are, and checks what can be checked without values.

    `arrays` maps the identity of a traced data array to its place among the data and its values. `checks` are those
    of observations that are such arrays, to be called with all data: new data can pass the same door without another
    trace.
    """

    def __init__(self, arrays: Mapping[int, tuple[int, np.ndarray]]) -> None:
        self.variables: list[Variable] = []
        self.deterministics: list[Deterministic] = []
        self.names: set[str] = set()
        self.size = 0
        self.checks: list[Callable[[Sequence[np.ndarray]], None]] = []
        self.summed_out: list[Variable] = []
        """Of observed counts of which some are missing; of size 0."""
        self._arrays = arrays

    def _claim(self, kind: str, name: str) -> None:
        if not isinstance(name, str) or not name:
            raise ValueError(f"{kind}: a name is a non-empty string, got {name!r}")
        if name in self.names:
            raise ValueError(f"{kind} {name!r}: the model already has a {name!r}; names are unique")
        self.names.add(name)

    def rv(
        self,
        name: str,
        distribution: Any,
        shape: tuple[int, ...] | None,
        dims: tuple[str, ...] | None,
        reparam: str | None = None,
    ) -> Any:
        self._claim("rv", name)
        made = prepare("rv", name, distribution, shape)
        _check_free(name, made)
        transform, _ = lay_out(name, made, reparam)
        full = tuple(made.batch_shape) + tuple(made.event_shape)
        unconstrained = tuple(transform.inverse_shape(full))
        size = math.prod(unconstrained)
        if dims is not None and len(dims) != len(full):
            raise ValueError(f"rv {name!r}: {len(dims)} dims {dims} for the shape {full}")
        self.variables.append(Variable(name, self.size, size, unconstrained, full, dims))
        self.size += size
        return transform(jnp.zeros(unconstrained))

    def obs(self, name: str, distribution: Any, value: Any, weights: Any = None, mask: Any = None) -> Any:
        if value is None:
            _check_unweighted(name, weights, mask)
            return self.rv(name, distribution, None, None)
        self._claim("obs", name)
        made = prepare("obs", name, distribution, None)
        check = _check_of(name, made, tuple(jnp.shape(value)))
        for role, part in (("weights", weights), ("mask", mask)):
            if part is not None and not _broadcasts(tuple(jnp.shape(part)), check.batch_shape):
                raise ValueError(
                    f"obs {name!r}: {role} of shape {tuple(jnp.shape(part))} for observations of shape "
                    f"{check.batch_shape}: they do not match"
                )
        read, read_mask = self._reader(value), self._reader(mask)
        if _is_masked(made) or read is None or read_mask is None:
            return value
        values, is_data = read(()), id(value) in self._arrays
        if mask is None and num_missing(values):
            check = check._replace(may_miss=True)
            value = self._missing(name, made, value, num_missing(values))
        check(values, read_mask(()))
        if is_data and not _is_traced(check.support):
            self.checks.append(lambda leaves: check(read(leaves), read_mask(leaves)))
        return value

    def _reader(self, value: Any) -> Callable[[Sequence[np.ndarray]], Any] | None:
        """How to find an array's values among data (of the first data, where there are none); None if nobody can."""
        if id(value) in self._arrays:
            place, values = self._arrays[id(value)]
            return lambda leaves: leaves[place] if leaves else values
        if value is None:
            return lambda _: None
        known = isinstance(value, (np.ndarray, np.generic, int, float))
        return (lambda _: np.asarray(value)) if known else None

    def _missing(self, name: str, distribution: Any, value: Any, count: int) -> Any:
        """A variable for the missing values; returns the observations with some values in their places."""
        check_can_be_missing(name, distribution)
        variable = Variable(variable_name(name), self.size, count, (count,), (count,), None)
        self._claim("obs", variable.name)
        if is_summed_out(distribution):
            self.summed_out.append(variable._replace(size=0))
            return value
        self.variables.append(variable)
        self.size += count
        return fill(distribution, value, jnp.zeros(count)).value

    def det(self, name: str, value: Any, dims: tuple[str, ...] | None) -> Any:
        self._claim("det", name)
        shape = tuple(jnp.shape(value))
        if dims is not None and len(dims) != len(shape):
            raise ValueError(f"det {name!r}: {len(dims)} dims {dims} for the shape {shape}")
        self.deterministics.append(Deterministic(name, shape, dims))
        return value

    def factor(self, name: str, value: Any) -> None:
        self._claim("factor", name)


class Check(NamedTuple):
    """What an observation's values must fulfil, whatever their distribution's parameters."""

    name: str
    family: str
    support: Any
    batch_shape: tuple[int, ...]
    may_miss: bool = False
    """Whether NaN is a missing value."""

    def __call__(self, values: np.ndarray, mask: np.ndarray | None = None) -> None:
        """Refuse the first NaN, and the first value outside the support, where the mask lets them count."""
        absent = np.isnan(values) if values.dtype.kind == "f" else np.zeros(values.shape, bool)
        if mask is not None:
            events = (1,) * (values.ndim - len(self.batch_shape))
            absent = absent & np.broadcast_to(mask, self.batch_shape).astype(bool).reshape(self.batch_shape + events)
        if absent.any() and not self.may_miss:
            where = [int(i) for i in np.argwhere(absent)[0]]
            raise ValueError(f"obs {self.name!r}: the value at {where} is NaN, where the mask is true")
        try:
            with np.errstate(invalid="ignore"):
                inside = np.broadcast_to(np.asarray(self.support(values)), self.batch_shape)
        except jax.errors.JAXTypeError:  # bounds that depend on variables: a start at -inf will name the variable
            return
        if self.may_miss:
            inside = inside | absent.reshape(*self.batch_shape, -1).any(axis=-1)
        if mask is not None:
            inside = inside | ~np.broadcast_to(mask, self.batch_shape).astype(bool)
        if not inside.all():
            where = [int(i) for i in np.argwhere(~inside)[0]]
            bad = values[tuple(where)]
            raise ValueError(
                f"obs {self.name!r}: the value {bad} at {where} is outside the support of {self.family}"
                f" ({_words(self.support)})"
            )


def _is_traced(support: Any) -> bool:
    """Whether a support's bounds depend on variables or data."""
    return any(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(support))


def _words(support: Any) -> str:
    return str(support).lstrip("_").replace("_", " ")


def _check_of(name: str, distribution: Any, shape: tuple[int, ...]) -> Check:
    """The check of an observation of this shape, which must be one that the distribution can have."""
    batch, event = tuple(distribution.batch_shape), tuple(distribution.event_shape)
    split = len(shape) - len(event)
    if split < 0 or shape[split:] != event:
        raise ValueError(f"obs {name!r}: data of shape {shape} for events of shape {event}")
    if not _broadcasts(batch, shape[:split]):
        raise ValueError(
            f"obs {name!r}: the distribution has shape {batch + event}, the data {shape}: they do not match"
        )
    return Check(name, type(distribution).__name__, distribution.support, shape[:split])


def observed_log_prob(distribution: Any, value: Any, scale: Any = None) -> Any:
    """The summed log density of an observation, -inf outside of bounds that depend on variables.

    NumPyro's own looks at bounds only while it validates, and Uniform(0, x) needs them. `scale` is the weight of all
    terms, or of each.
    """
    bounded = not _is_masked(distribution) and _is_traced(distribution.support)
    if not bounded and (scale is None or jnp.ndim(scale) == 0):
        total = sum_log_prob(distribution, value, observed=True)
        return total if scale is None else scale * total
    terms = distribution.log_prob(value)
    if bounded:
        terms = jnp.where(distribution.support(value), terms, -jnp.inf)
    return jnp.sum(terms if scale is None else scale * terms)


def _check_unweighted(name: str, weights: Any, mask: Any) -> None:
    if weights is not None or mask is not None:
        raise ValueError(f"obs {name!r}: weights and a mask are of observed values, and there are none (None)")


def _is_masked(distribution: Any) -> bool:
    """Whether some of the observations do not count, so that their values may be anything."""
    return hasattr(distribution, "_mask")


class Evaluation:
    """The frame that evaluates every statement at one point of the flat, unconstrained vector."""

    def __init__(self, variables: Mapping[str, Variable], position: Any) -> None:
        self._variables = variables
        self._position = position
        self.values: dict[str, Any] = {}
        """Constrained values of variables and deterministics."""
        self.terms: dict[str, Any] = {}
        """Each statement's part of the log density, summed; a variable's includes its log Jacobian."""

    def rv(
        self,
        name: str,
        distribution: Any,
        shape: tuple[int, ...] | None,
        dims: tuple[str, ...] | None,
        reparam: str | None = None,
    ) -> Any:
        made = prepare("rv", name, distribution, shape)
        variable = self._variables[name]
        flat = self._position[variable.start : variable.start + variable.size]
        unconstrained = flat.reshape(variable.unconstrained_shape)
        transform, standard = lay_out(name, made, reparam)
        value = transform(unconstrained)
        self._score(name, made, transform, standard, unconstrained, value)
        self.values[name] = value
        return value

    def _fill(self, name: str, distribution: Any, value: Any) -> tuple[Any, Any]:
        """An observation with its missing values, if any, and their log Jacobian."""
        variable = self._variables.get(variable_name(name))
        if variable is None or not variable.size:
            return value, None
        made = prepare("obs", name, distribution, None)
        filled = fill(made, value, self._position[variable.start : variable.start + variable.size])
        self.values[variable.name] = filled.missing
        return filled.value, filled.log_jacobian

    def _score(self, name: str, made: Any, transform: Any, standard: Any, unconstrained: Any, value: Any) -> None:
        if standard is None:
            jacobian = transform.log_abs_det_jacobian(unconstrained, value)
            self.terms[name] = sum_log_prob(made, value) + jnp.sum(jacobian)
        else:
            self.terms[name] = sum_log_prob(standard, unconstrained)

    def obs(self, name: str, distribution: Any, value: Any, weights: Any = None, mask: Any = None) -> Any:
        if value is None:
            return self.rv(name, distribution, None, None)
        made = prepare("obs", name, distribution, None)
        value, log_jacobian = self._fill(name, distribution, value)
        counted = mask
        if variable_name(name) in self._variables and log_jacobian is None:
            counted = ~jnp.isnan(value)
        if counted is not None:
            value = without_nan(made, value, counted)
            weights = jnp.where(counted, 1.0 if weights is None else weights, 0.0)
        self.terms[name] = observed_log_prob(made, value, weights)
        if log_jacobian is not None:
            self.terms[variable_name(name)] = log_jacobian
        return value

    def det(self, name: str, value: Any, dims: tuple[str, ...] | None) -> Any:
        self.values[name] = jnp.asarray(value, dtype=float) if not hasattr(value, "dtype") else value
        return value

    def factor(self, name: str, value: Any) -> None:
        self.terms[name] = jnp.sum(value)

    def log_density(self) -> Any:
        """The sum of all terms, in the order of the statements."""
        total = jnp.float64(0.0)
        for term in self.terms.values():
            total = total + term
        return total


class Constrained(Evaluation):
    """The frame that evaluates variables and deterministics alone, without their densities."""

    def _score(self, name: str, *_: Any) -> None:
        pass

    def obs(self, name: str, distribution: Any, value: Any, weights: Any = None, mask: Any = None) -> Any:
        return self.rv(name, distribution, None, None) if value is None else self._fill(name, distribution, value)[0]

    def factor(self, name: str, value: Any) -> None:
        pass


class Examination(Evaluation):
    """The frame that finds distributions whose parameters cannot be right at one point, where values are known."""

    def __init__(self, variables: Mapping[str, Variable], position: Any) -> None:
        super().__init__(variables, position)
        self.wrong: dict[str, str] = {}
        """What is wrong with a statement's parameters, in words."""

    def rv(
        self,
        name: str,
        distribution: Any,
        shape: tuple[int, ...] | None,
        dims: tuple[str, ...] | None,
        reparam: str | None = None,
    ) -> Any:
        self._examine(name, prepare("rv", name, distribution, None))
        return super().rv(name, distribution, shape, dims, reparam)

    def obs(self, name: str, distribution: Any, value: Any, weights: Any = None, mask: Any = None) -> Any:
        if value is not None:
            self._examine(name, prepare("obs", name, distribution, None))
        return super().obs(name, distribution, value, weights, mask)

    def _examine(self, name: str, distribution: Any) -> None:
        while isinstance(distribution, (ExpandedDistribution, Independent)):
            distribution = distribution.base_dist
        for parameter, constraint in getattr(distribution, "arg_constraints", {}).items():
            value = vars(distribution).get(parameter)
            if value is None or is_dependent(constraint):
                continue
            inside = np.asarray(constraint(value))
            if not inside.all():
                bad = np.asarray(value)[~inside][0] if inside.shape == np.shape(value) else np.asarray(value)
                self.wrong[name] = f"its {parameter} is {bad!s:.60}, not {_words(constraint)}"


class Inversion(Evaluation):
    """The frame that turns given constrained values of some variables into unconstrained ones."""

    def __init__(
        self,
        variables: Mapping[str, Variable],
        position: Any,
        given: Mapping[str, Any],
        check: Callable[..., None],
    ) -> None:
        super().__init__(variables, position)
        self._given = given
        self._check = check
        self.unconstrained: dict[str, Any] = {}

    def rv(
        self,
        name: str,
        distribution: Any,
        shape: tuple[int, ...] | None,
        dims: tuple[str, ...] | None,
        reparam: str | None = None,
    ) -> Any:
        if name not in self._given:
            return super().rv(name, distribution, shape, dims, reparam)
        made = prepare("rv", name, distribution, shape)
        value = jnp.asarray(self._given[name])
        self._check(name, made, value)
        self.unconstrained[name] = lay_out(name, made, reparam)[0].inv(value)
        self.values[name] = value
        return value

    def obs(self, name: str, distribution: Any, value: Any, weights: Any = None, mask: Any = None) -> Any:
        given = self._given.get(variable_name(name))
        if value is not None and given is not None:
            made = prepare("obs", name, distribution, None)
            self.unconstrained[variable_name(name)] = unfill(made, value, jnp.asarray(given, jnp.float64))
        return super().obs(name, distribution, value, weights, mask)
