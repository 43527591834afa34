"""Models that were written elsewhere: a JAX log density, a NumPyro model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, eq=False)
class LogDensityModel:
    """A log density over a pytree of unconstrained arrays, with the position that chains start from."""

    function: Callable[[Any], Any]
    position: Any

    @property
    def name(self) -> str:
        return getattr(self.function, "__name__", "log density")


@dataclass(frozen=True, eq=False)
class NumpyroModel:
    """A NumPyro model function with its arguments."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    @property
    def name(self) -> str:
        return getattr(self.function, "__name__", "model")


def from_logdensity(function: Callable[[Any], Any], position: Any) -> LogDensityModel:
    """Sample any JAX log density.

    `function` maps a pytree of unconstrained arrays to a scalar log density, up to a constant. `position` has the
    pytree's structure and shapes; chains start from it. Draws are named by the pytree's keys; a bare array is "x".
    """
    if not callable(function):
        raise TypeError(f"from_logdensity takes a function of a position, got {function!r}")
    return LogDensityModel(function, position)


def from_numpyro(function: Callable[..., Any], *args: Any, **kwargs: Any) -> NumpyroModel:
    """Sample a NumPyro model called with these arguments: `from_numpyro(model, X, y)`.

    Plates, masks, scales, deterministic sites and `numpyro.factor` mean what they mean there; a discrete latent
    variable is refused. Arrays among the arguments are data, as in `@model`.
    """
    if not callable(function):
        raise TypeError(f"from_numpyro takes a NumPyro model function, got {function!r}")
    return NumpyroModel(function, args, kwargs)
