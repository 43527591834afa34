"""One native function: XLA:CPU's single-function emission of a whole loop, behind one door.

XLA:CPU usually runs a loop as a sequence of kernels, about 50 ns each. Marked as a small call, the loop becomes one
function: 1.6 to 13 times as fast for small models on jax 0.10, and quicker to compile. Not every operation is known
to that emitter; an unknown one fails cleanly at compile time. An argument that the function does not use aborts the
process (jaxlib 0.10), so each is read once, into an output of its own.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental.xla_metadata import set_xla_metadata

# The pass splits a sum of more than 32 numbers into windows, for the sake of single precision: sums of products cost
# five times as much (112 ns for 503 numbers, not 22).
_OPTIONS: dict[str, str | bool] = {"xla_disable_hlo_passes": "tree_reduction_rewriter"}


def compile_native(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Callable[..., Any] | None:
    """The compiled function for arguments of these shapes, or None where XLA cannot emit it as one function."""

    def witnessed(*values: Any) -> tuple[Any, Any]:
        seen = [jnp.ravel(leaf)[0].astype(jnp.float64) for leaf in jax.tree.leaves(values)]
        return function(*values), jnp.stack(seen)

    def call(*values: Any) -> Any:
        with set_xla_metadata(inlineable="false", xla_cpu_small_call="true"):
            return jax.jit(witnessed)(*values)

    try:
        compiled = compile_usual(call, arguments)
    except jax.errors.JaxRuntimeError:
        return None
    return lambda *values: compiled(*values)[0]


def compile_usual(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Callable[..., Any]:
    """The function compiled as JAX does it, for arguments of these shapes."""
    with _kept_on_disk():
        return jax.jit(function).lower(*arguments).compile(compiler_options=_OPTIONS)


@contextmanager
def _kept_on_disk() -> Iterator[None]:
    """Let JAX's persistent cache, where the user has one, keep programs that compile in less than a second too."""
    folder = "jax_compilation_cache_dir"
    wanted = {"jax_persistent_cache_min_compile_time_secs": 0.0, "jax_persistent_cache_min_entry_size_bytes": -1}
    before = {name: getattr(jax.config, name) for name in wanted} if getattr(jax.config, folder) else {}
    for name in before:
        jax.config.update(name, wanted[name])
    try:
        yield
    finally:
        for name, value in before.items():
            jax.config.update(name, value)
