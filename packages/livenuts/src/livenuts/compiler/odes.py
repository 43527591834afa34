"""Solutions of ordinary differential equations at given times, differentiable in everything but the times."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.scipy.linalg import expm


def linear_ode(matrix: Any, start: Any, times: Any) -> Any:
    """x(t) of dx/dt = matrix x with x(0) = start, by the matrix exponential: (times, k). Exact for any step."""
    matrix, start, times = jnp.asarray(matrix), jnp.asarray(start), jnp.asarray(times)
    if matrix.ndim != 2 or matrix.shape != start.shape * 2:
        raise ValueError(f"linear_ode: a matrix (k, k) and a start (k,), got {matrix.shape} and {start.shape}")
    return jax.vmap(lambda t: expm(matrix * t) @ start)(times)


def ode(field: Callable[..., Any], start: Any, times: Any, *parameters: Any, steps: int = 10) -> Any:
    """x(t) of dx/dt = field(t, x, *parameters) with x(times[0]) = start: (times, k).

    The classical method of Runge and Kutta, `steps` equal steps between two times: its error falls with the fourth
    power of `steps`. For stiff equations, or an error that is to be controlled, see `ln.diffrax_ode`.
    """
    times = jnp.asarray(times)
    start = jnp.asarray(start, jnp.result_type(float, *map(jnp.asarray, jax.tree.leaves((start, parameters)))))
    if times.ndim != 1 or times.size < 2:
        raise ValueError(f"ode: times must be an array of at least two, got shape {times.shape}")

    def step(x: Any, at: Any) -> Any:
        t, h = at
        a = jnp.asarray(field(t, x, *parameters))
        b = jnp.asarray(field(t + 0.5 * h, x + 0.5 * h * a, *parameters))
        c = jnp.asarray(field(t + 0.5 * h, x + 0.5 * h * b, *parameters))
        d = jnp.asarray(field(t + h, x + h * c, *parameters))
        return x + h / 6.0 * (a + 2.0 * b + 2.0 * c + d), None

    def interval(x: Any, ends: Any) -> Any:
        h = (ends[1] - ends[0]) / steps
        x, _ = lax.scan(step, x, (ends[0] + h * jnp.arange(steps), jnp.broadcast_to(h, (steps,))))
        return x, x

    _, rest = lax.scan(interval, start, (times[:-1], times[1:]))
    return jnp.concatenate([start[None], rest])


def diffrax_ode(
    field: Callable[..., Any], start: Any, times: Any, *parameters: Any, rtol: float = 1e-8, atol: float = 1e-8
) -> Any:
    """The same by diffrax, step sizes controlled: for functions under `@ln.model`, and `ln.apply`.

    Kvaerno5, an implicit method, so that stiff equations do; derivatives by the recursive checkpoints of diffrax.
    """
    try:
        import diffrax  # type: ignore[import-not-found, unused-ignore]
    except ImportError as error:
        raise ImportError("diffrax_ode needs diffrax: pip install 'livenuts[diffrax]'") from error
    times = jnp.asarray(times, float)
    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(lambda t, x, given: jnp.asarray(field(t, x, *given))),
        diffrax.Kvaerno5(),
        t0=times[0],
        t1=times[-1],
        dt0=None,
        y0=jnp.asarray(start, float),
        args=parameters,
        saveat=diffrax.SaveAt(ts=times),
        stepsize_controller=diffrax.PIDController(rtol=rtol, atol=atol),
        max_steps=100_000,
    )
    return solution.ys


TABLE = {function.__name__: function for function in (linear_ode, ode)}
