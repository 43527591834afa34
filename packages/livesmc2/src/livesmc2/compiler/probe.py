"""A model's functions tried in plain Python before anything runs: what is wrong with them is said by name."""

from __future__ import annotations

from typing import Any

import numpy as np

from livesmc2.compiler import support
from livesmc2.compiler.program import Program, program_of
from livesmc2.kernel import rng
from livesmc2.model.prior import PriorError
from livesmc2.model.state_space import ModelError, StateSpaceModel

_SEEN = {
    "initial": "rng, theta",
    "transition": "rng, x, theta, t",
    "log_likelihood": "y, x, theta, t",
    "observe": "rng, x, theta, t",
    "guide": "rng, x, y, theta, t",
    "log_transition": "new, x, theta, t",
    "log_likelihood_bound": "y, theta, t",
}
"""The arguments that each function is called with."""


class _Probe:
    """The functions of an uncompiled program, called at a parameter: what is wrong with one is said by name."""

    def __init__(self, program: Program, theta: np.ndarray, y: np.ndarray, covariates: np.ndarray) -> None:
        self.program = program
        self.model, records = program.model, self.program.records
        self.known: dict[str, Any] = {
            "rng": rng.Rng(*(rng.derive(0, k) for k in range(3))),
            "theta": _fill(records["Theta"], self.model.parameter_fields, theta),
            "y": records["Observation"](*y) if self.model.observed else float(y[0]),
            "t": records["Time"](1, *covariates) if self.model.covariates else 1,
        }

    def call(self, name: str, **more: Any) -> Any:
        known = self.known | more
        names = _SEEN[name].split(", ")
        try:
            with np.errstate(all="ignore"):
                return self.program._functions[name](*(known[argument] for argument in names))
        except Exception as error:
            theta, state = tuple(self.model.parameter_fields.sizes), tuple(self.model.state_fields.sizes)
            raise ModelError(
                f"{name}({_SEEN[name]}) fails: {type(error).__name__}: {error}. theta has {theta}, x has {state}, rng "
                "has the methods of numpy.random.Generator, without size"
            ) from error

    def state(self, name: str, **more: Any) -> Any:
        return _state(self.model, name, self.call(name, **more), self.program.records["State"])


def _plain(program: Program) -> Program:
    return program_of(program.model, compiled=False) if program.compiled else program


def probe(program: Program, theta: np.ndarray, y: np.ndarray, covariates: np.ndarray) -> None:
    """Call each function once, in plain Python: one that fails, or returns too much or too little, is named."""
    model, asked = program.model, _Probe(_plain(program), theta, y, covariates)
    x = asked.state("initial")
    new = asked.state("transition", x=x)
    if model.log_transition is not None:
        _numbers("log_transition", (asked.call("log_transition", new=new, x=x),), 1, "a number")
    if np.isnan(y).any():
        return
    terms = asked.call("log_likelihood", x=new)
    wanted = 1 if not isinstance(terms, tuple) else model.observation_width
    _numbers("log_likelihood", terms if isinstance(terms, tuple) else (terms,), wanted, "a number")
    if model.log_likelihood_bound is not None:
        _numbers("log_likelihood_bound", (asked.call("log_likelihood_bound"),), 1, "a number")
    if model.observe is not None:
        seen = support.as_tuple(asked.call("observe", x=new))
        _numbers("observe", seen, model.observation_width, f"{model.observation_width} numbers")
    if model.guide is not None:
        given = asked.call("guide", x=x)
        if not isinstance(given, tuple) or len(given) != len(model.state_fields.sizes) + 1:
            raise ModelError(
                f"guide must return the fields {tuple(model.state_fields.sizes)} and log f - log q, got {given!r:.80}"
            )
        _state(model, "guide", given[:-1], asked.program.records["State"])


def check_possible(program: Program, theta: np.ndarray) -> None:
    """Refuse a prior that draws, among theta (n, d), parameters at which a state cannot be drawn: NaN.

    Models with covariates are asked for first states only, as no covariate is known yet.
    """
    model, plain = program.model, _plain(program)
    for row in theta:
        asked = _Probe(plain, row, np.zeros(model.observation_width), np.zeros(len(model.covariates)))
        x = asked.state("initial")
        _check_drawn(model, row, "initial", x)
        if not model.covariates:
            _check_drawn(model, row, "transition", asked.state("transition", x=x))


def _check_drawn(model: StateSpaceModel, theta: np.ndarray, name: str, state: Any) -> None:
    for field, value in zip(model.state_fields.sizes, state, strict=True):
        if np.isnan(value).any():
            drawn = ", ".join(f"{k}={v:.4g}" for k, v in zip(model.parameter_fields.labels(), theta, strict=True))
            raise PriorError(
                f"prior: it draws {drawn}, where {name} gives {field} = nan, as a draw with impossible arguments does "
                "(a standard deviation below 0, a probability above 1); give the parameter a prior on its range, or "
                "bound what the function makes of it"
            )


def _fill(record: Any, fields: Any, row: np.ndarray) -> Any:
    values = [
        tuple(np.float64(v) for v in row[first : first + size]) if size else np.float64(row[first])
        for _, first, size in fields.places()
    ]
    return record(*values)


def _state(model: StateSpaceModel, function: str, value: Any, record: Any) -> Any:
    fields = model.state_fields
    value = support.as_tuple(value)
    if len(value) != len(fields.sizes):
        raise ModelError(
            f"{function} must return the {len(fields.sizes)} fields of the state {tuple(fields.sizes)}, "
            f"got {len(value)}: {value!r:.80}"
        )
    for part, (name, size) in zip(value, fields.sizes.items(), strict=True):
        _numbers(
            f"{function}: {name!r}", part if size else (part,), size or 1, f"{size} numbers" if size else "a number"
        )
    return record(
        *(
            tuple(map(np.float64, part)) if size else np.float64(part)
            for part, size in zip(value, fields.sizes.values(), strict=True)
        )
    )


def _numbers(what: str, value: Any, count: int, wanted: str) -> None:
    if (
        not isinstance(value, tuple)
        or len(value) != count
        or not all(isinstance(v, (int, float, np.number, np.bool_)) for v in value)
    ):
        raise ModelError(f"{what} must give {wanted}, got {value!r:.80}")
