"""A model made ready to run, once for each set of parameters."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from livesim.compiler.program import Names, Program
from livesim.compiler.table import compile_model
from livesim.measures import Measures
from livesim.model.builder import Model


class Prepared(NamedTuple):
    """What every run of a model with one set of parameters needs."""

    program: Program
    names: Names
    measures: Measures


class Content:
    """A model as a key: equal to models that are made of the same parts, which nobody can change.

    So a model that has grown since is another key, and the parts live as long as theirs.
    """

    __slots__ = ("model", "parts")

    def __init__(self, model: Model) -> None:
        self.model = model
        self.parts: tuple[Any, ...] = model.parts()

    def __hash__(self) -> int:
        return hash(self.parts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Content) and self.parts == other.parts


def prepare(model: Model, params: Mapping[str, float]) -> Prepared:
    """The tables of a model with its parameters put in, all of which are given, and its measures."""
    return _prepare(Content(model), tuple(params.items()))


@lru_cache(maxsize=16)
def _prepare(content: Content, params: tuple[tuple[str, float], ...]) -> Prepared:
    program, names = compile_model(content.model, dict(params))
    return Prepared(program, names, _measures(names))


@lru_cache(maxsize=16)
def _measures(names: Names) -> Measures:
    return Measures(names)
