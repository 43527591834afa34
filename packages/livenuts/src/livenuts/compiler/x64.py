"""Double precision for our own traces and calls, whatever the user's global JAX setting."""

from contextlib import AbstractContextManager

import jax
import jax.experimental


def x64() -> AbstractContextManager[None]:
    """A context in which JAX computes in float64; it is local to the thread that enters it."""
    # Newer JAX has the context at its top, older JAX in `experimental`.
    home = jax if hasattr(jax, "enable_x64") else jax.experimental
    context: AbstractContextManager[None] = home.enable_x64(True)
    return context
