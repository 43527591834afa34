"""The interpreter for Numba: what `livesim.engine.reference` does, on flat arrays."""

from livesim.engine.compiled.interpreter import Compiled

__all__ = ["Compiled"]
