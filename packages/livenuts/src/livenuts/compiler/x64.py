"""Double precision for our own traces and calls, whatever the user's global JAX setting."""

from contextlib import AbstractContextManager

import jax


def x64() -> AbstractContextManager[None]:
    """A context in which JAX computes in float64; it is local to the thread that enters it."""
    if hasattr(jax, "enable_x64"):
        context: AbstractContextManager[None] = jax.enable_x64(True)
        return context
    import jax.experimental

    older: AbstractContextManager[None] = getattr(jax.experimental, "enable_x64")()  # noqa: B009
    return older
