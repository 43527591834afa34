"""A model's loops, compiled when they are first needed, or in plain Python for debugging."""

from __future__ import annotations

import collections
import functools
import linecache
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit
from numba.core.errors import NumbaError

from livesmc2.compiler import disk, support
from livesmc2.compiler.functions import OPTIONS, compilable, uncompiled
from livesmc2.compiler.identity import identity
from livesmc2.compiler.source import sources
from livesmc2.kernel import conditional, rng, weights
from livesmc2.kernel import samplers as _samplers  # noqa: F401 - attaches the generator's methods
from livesmc2.model.state_space import DRAWING, ModelError, StateSpaceModel

_SIGNATURES = {
    "filter_block": "void(i8[::1], i8[::1], f8[:,:,::1], f8[:,::1], f8[:,::1], f8[:,::1], f8[:,::1], i8, i8, u8, b1, "
    "u8[:,::1], f8[:,::1], i8, f8, i8, f8[::1], i8[::1])",
    "conditional_block": "void(i8[::1], i8[::1], f8[:,:,::1], f8[:,::1], f8[:,:,::1], f8[:,::1], i8[::1], f8[:,::1], "
    "f8[:,::1], f8[:,::1], i8, i8, u8, u8[:,::1], f8[:,::1], i8, f8, i8)",
    "traced_block": "void(i8[::1], f8[:,:,::1], f8[:,::1], f8[:,::1], f8[:,::1], f8[:,::1], i8, i8, u8[:,::1], i8, "
    "f8, i8, f8[:,:,::1], f8[:,::1], i8[::1], i8, i8[::1], f8[::1], f8[:,:,::1], f8[:,::1], i8[::1])",
    "simulate_block": "void(f8[:,::1], f8[:,::1], f8[:,::1], i8, u8, f8[:,:,::1], f8[:,:,::1])",
    "likelihood_block": "void(f8[:,::1], f8[:,::1], f8[:,::1], f8[:,::1], i8, f8[::1])",
    "backward_block": "void(f8[:,:,::1], f8[:,::1], f8[:,::1], f8[:,::1], u8, f8[:,:,::1])",
}
_HELPERS: dict[str, Any] = {
    "np": np,
    "as_tuple": support.as_tuple,
    "sum_of_present": support.sum_of_present,
    "weigh": weights.weigh,
    "effective_sample_size": weights.effective_sample_size,
    "resample": weights.resample,
    "resample_through": conditional.resample_through,
}


def _hash_in_python(key: Any, index: Any) -> float:
    return float((rng.derive(int(key), int(index)) >> 12) * 2.0**-52 + 2.0**-53)


_COMPILED: dict[str, Any] = {
    "make_rng": rng.make_rng,
    "seed_words": rng.seed_words_inline,
    "subkey": rng.subkey,
    "hashed_uniform": rng.hashed_uniform,
}
_PLAIN: dict[str, Any] = {
    "make_rng": rng.Rng,
    "seed_words": lambda key: tuple(int(word) for word in rng.seed_words(np.uint64(key))),
    "subkey": lambda key, index: np.uint64(rng.derive(int(key), int(index))),
    "hashed_uniform": _hash_in_python,
}


class Program:
    """The loops of one model, as attributes by name: `filter_block`, `simulate_block`, ... (see `source`)."""

    def __init__(self, model: StateSpaceModel, compiled: bool = True) -> None:
        self.model, self.compiled = model, compiled
        self.identity = identity(model)
        self._sources = sources(model)
        self._made: dict[str, Callable[..., None]] = {}
        self._lock = threading.Lock()
        self.records = {
            "Theta": _record("Theta", tuple(model.parameter_fields.sizes)),
            "State": _record("State", tuple(model.state_fields.sizes)),
            "Observation": _record("Observation", model.observed),
            "Time": _record("Time", ("index", *model.covariates)),
        }

    def __getattr__(self, name: str) -> Callable[..., None]:
        if name.startswith("_") or name not in self._sources:
            raise AttributeError(name)
        with self._lock:
            if name not in self._made:
                self._made[name] = self._make(name)
        return self._made[name]

    @functools.cached_property
    def _functions(self) -> dict[str, Any]:
        convert = compilable if self.compiled else uncompiled
        return {name: convert(function, name in DRAWING) for name, function in self.model.functions().items()}

    def _make(self, name: str) -> Callable[..., None]:
        text = self._sources[name]
        if not self.compiled:
            return _quiet(self._executed(name, text, _PLAIN | self._functions))
        known = self._key(name)
        kept = None if known is None else disk.load(known, _SIGNATURES[name])
        if kept is not None:
            loop = njit(**OPTIONS)(self._executed(name, text, {}))
            loop.add_overload(kept)
            loop.disable_compile()
            return loop
        try:
            loop = njit(_SIGNATURES[name], **OPTIONS)(self._executed(name, text, _COMPILED | self._functions))
        except NumbaError as error:
            raise ModelError(self._blame(error)) from error
        if known is not None:
            (made,) = loop.overloads.values()
            disk.keep(known, made)
        return loop

    def _key(self, name: str) -> str | None:
        """Under which a loop's machine code is kept; None where it cannot be."""
        code, lasting, modules = self.identity
        if not lasting or not all(module in sys.modules for module in modules):  # which loading it would import
            return None
        return disk.key(name, self._sources[name], _SIGNATURES[name], repr(OPTIONS), code, *modules)

    def _executed(self, name: str, text: str, names: dict[str, Any]) -> Callable[..., None]:
        """The loop as a function over these names; a debugger finds its text."""
        file = f"<livesmc2 {name} {self.identity.code[:12]}>"
        linecache.cache[file] = (len(text), None, text.splitlines(True), file)
        # Machine code that is loaded from the disk wants the name of a module that can be imported.
        space: dict[str, Any] = {"__name__": __name__, **_HELPERS, **self.records, **names}
        exec(compile(text, file, "exec"), space)
        made: Callable[..., None] = space[name]
        return made

    def _blame(self, error: NumbaError) -> str:
        """Which of the model's functions does not compile, and what could not be typed."""
        text = str(error)
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        where = [line for line in lines if line.startswith("File ")]
        names = [
            name
            for name, function in self.model.functions().items()
            if any(f'{_file_of(function)}", line {line}:' in place for place in where for line in _lines_of(function))
        ]
        culprit = names[-1] if names else "a model function"
        reasons = [line for line in lines if any(word in line for word in _TELLING)]
        told = " | ".join(dict.fromkeys(reasons[:4])) or lines[0]
        return (
            f"{culprit} does not compile: {told}. Functions of a model are what Numba compiles: scalars, tuples, "
            "`math`, loops; every number is a float, and float(a bool) is written 1.0 if a else 0.0. "
            "With compiled=False the model runs in plain Python, slowly."
        )


_TELLING = ("Untyped global name", "Unknown attribute", "No implementation of function", "Use of unsupported",
            "Cannot unify", "has no attribute", "not defined", "Invalid use", "cannot determine", "Cannot determine",
            "too many values", "values to unpack", "unpack", "NameError", "not supported", "unsupported")  # fmt: skip


def _file_of(function: Any) -> str:
    return os.path.basename(getattr(function, "py_func", function).__code__.co_filename)  # Numba shows relative paths


def _lines_of(function: Any) -> set[int]:
    code = getattr(function, "py_func", function).__code__
    return {line for _, _, line in code.co_lines() if line is not None}


def _record(name: str, fields: tuple[str, ...]) -> Any:
    return collections.namedtuple(name, fields)


def _quiet(function: Callable[..., None]) -> Callable[..., None]:
    """Plain Python with the compiled loop's arithmetic: no warning where NumPy's scalars divide by zero."""

    @functools.wraps(function)
    def call(*arguments: Any) -> None:
        with np.errstate(all="ignore"):
            function(*arguments)

    return call


@functools.lru_cache(maxsize=64)
def _shared(digest: str, compiled: bool) -> list[Program]:
    return []


def program_of(model: StateSpaceModel, compiled: bool = True) -> Program:
    """The model's program; models of equal content share what was compiled."""
    if not isinstance(model, StateSpaceModel):
        raise TypeError(f"model must be a StateSpaceModel, got {model!r:.80}")
    kept = _shared(identity(model).code, compiled)
    if not kept:
        kept.append(Program(model, compiled))
    return kept[0]
