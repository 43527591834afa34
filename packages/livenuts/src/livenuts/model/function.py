"""Models as functions: `@model` and the statements `rv`, `obs`, `det`, `factor` that a model function makes."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

from livenuts.model.builder import _shape, axes


class Frame(Protocol):
    """What runs a model function: each statement is one call."""

    def rv(
        self,
        name: str,
        distribution: Any,
        shape: tuple[int, ...] | None,
        dims: tuple[str, ...] | None,
        reparam: str | None = None,
    ) -> Any: ...
    def obs(self, name: str, distribution: Any, value: Any, weights: Any = None, mask: Any = None) -> Any: ...
    def det(self, name: str, value: Any, dims: tuple[str, ...] | None) -> Any: ...
    def factor(self, name: str, value: Any) -> None: ...


_frame: ContextVar[Frame | None] = ContextVar("livenuts_frame", default=None)


@contextmanager
def running(frame: Frame) -> Iterator[None]:
    """Let the statements made inside go to `frame`."""
    token = _frame.set(frame)
    try:
        yield
    finally:
        _frame.reset(token)


def _current(statement: str, name: str) -> Frame:
    frame = _frame.get()
    if frame is None:
        raise RuntimeError(
            f"ln.{statement}({name!r}, ...) outside of a model: write it in a function under @ln.model, "
            "and give ln.sample the function called with its data"
        )
    return frame


def rv(
    name: str,
    distribution: Any,
    *,
    shape: int | Sequence[int] | None = None,
    dims: Sequence[str] | str | None = None,
    reparam: str | None = None,
) -> Any:
    """A random variable's value, in a model function; the arguments are those of `Model.rv`."""
    sizes = None if shape is None else _shape(name, shape)
    return _current("rv", name).rv(name, distribution, sizes, axes(dims), reparam)


def obs(name: str, distribution: Any, value: Any, *, weights: Any = None, mask: Any = None) -> Any:
    """Condition on `value`; with None, the variable is free. `weights`, `mask` and NaN are as in `Model.obs`.

    Returns the value, what is missing filled in.
    """
    return _current("obs", name).obs(name, distribution, value, weights, mask)


def det(name: str, value: Any, *, dims: Sequence[str] | str | None = None) -> Any:
    """Keep a computed quantity with the draws."""
    return _current("det", name).det(name, value, axes(dims))


def factor(name: str, value: Any) -> None:
    """Add `value`, summed over its elements, to the log density."""
    _current("factor", name).factor(name, value)


@dataclass(frozen=True, eq=False)
class FunctionModel:
    """A model function with its arguments: what `ln.sample` takes."""

    function: Callable[..., Any]
    arguments: dict[str, Any]
    coords: dict[str, Any]

    @property
    def name(self) -> str:
        return getattr(self.function, "__name__", "model")

    def __repr__(self) -> str:
        return f"<model {self.name}({', '.join(self.arguments)})>"


def model(function: Callable[..., Any] | None = None, *, coords: dict[str, Any] | None = None) -> Any:
    """Make a function of statements a model: calling it binds data, and does not run it.

    Arrays among the arguments are data: another array of the same shape needs no new compilation. Anything else
    (numbers, strings, None) is part of the model's structure.
    """
    if function is None:
        return functools.partial(model, coords=coords)
    signature = inspect.signature(function)

    @functools.wraps(function)
    def bind(*args: Any, **kwargs: Any) -> FunctionModel:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"model {function.__name__}{signature}: {error}") from None
        bound.apply_defaults()
        return FunctionModel(function, dict(bound.arguments), dict(coords or {}))

    return bind
