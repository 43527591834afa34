"""Models that were written elsewhere: a JAX log density, a NumPyro model, a PyMC model."""

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


@dataclass(frozen=True, eq=False)
class PymcModel:
    """A PyMC model."""

    model: Any

    @property
    def name(self) -> str:
        return getattr(self.model, "name", "") or "model"


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


def from_pymc(model: Any) -> PymcModel:
    """Sample a PyMC model, its density turned into JAX by PyTensor.

    Draws hold its free variables and deterministics under their names, with its dims and coords. What PyMC imputes
    is imputed. A discrete variable is refused. Data are part of the program: `pm.set_data` needs another call.
    """
    if not all(hasattr(model, part) for part in ("value_vars", "free_RVs", "logp")):
        raise TypeError(f"from_pymc takes a pymc.Model, got {model!r:.60}")
    return PymcModel(model)
