"""Models at the top level of a module, which other processes can import, and a task that samples one there."""

import functools
import hashlib
from typing import Any

import jax
import jax.numpy as jnp
import livenuts as ln
import numpy as np
import numpyro
import numpyro.distributions as nd
from livenuts import dist, ref
from livenuts.compiler.portable import from_plain
from livenuts.compiler.target import compile_model
from livenuts.runtime.checkpoint import decode

X = np.random.default_rng(1).normal(size=(40, 3))
Y = X @ np.array([1.0, -2.0, 0.5]) + np.random.default_rng(2).normal(size=40)
COUNTS = np.array([3, 0, 2, 5, 1])


@ln.model(coords={"column": ["a", "b", "c"]})
def regression(x: Any, y: Any, scale: float = 2.0) -> None:
    slope = ln.rv("slope", dist.Normal(0, scale), shape=x.shape[1], dims=("column",))
    ln.obs("y", dist.Normal(x @ slope, ln.rv("noise", dist.HalfNormal(1))), y)


def poisson(counts: Any, options: Any, *, rate: float) -> None:
    level = numpyro.sample("level", nd.Gamma(options["shape"], rate))
    numpyro.sample("counts", nd.Poisson(level), obs=counts)


def banana(position: Any) -> Any:
    x, y = position["x"], position["y"]
    return -0.5 * jnp.sum(x**2) - 0.5 * jnp.sum((y - x**2) ** 2)


def scaled(scales: Any, position: Any) -> Any:
    return -0.5 * jnp.sum((position / scales) ** 2)


@jax.jit
def jitted(position: Any) -> Any:
    return banana(position)


START = {"x": np.zeros(2), "y": np.zeros(2)}


def builder() -> ln.Model:
    return (
        ln.Model("line", coords={"column": np.array(["a", "b", "c"])})
        .data("x", X)
        .rv("slope", dist.Normal(0, 2), dims="column")
        .rv("noise", dist.HalfNormal(1))
        .det("twice", 2 * ref("noise"))
        .obs("n", dist.Poisson(2.0), COUNTS)
        .obs("y", dist.Normal(ref("x") @ ref("slope"), "noise"), Y)
    )


MODELS: dict[str, Any] = {
    "builder": builder(),
    "function": regression(X, y=jnp.asarray(Y), scale=1.5),
    "numpyro": ln.from_numpyro(poisson, COUNTS, {"shape": np.float64(2.0), "unused": [None, (1, "a")]}, rate=0.5),
    "log density": ln.from_logdensity(banana, START),
    "jitted": ln.from_logdensity(jitted, START),
    "partial": ln.from_logdensity(functools.partial(scaled, np.array([1.0, 3.0])), np.zeros(2)),
}


def fingerprint(result: ln.Result) -> str:
    state = hashlib.sha256()
    for group in (result.draws, result.stats):
        for name in sorted(group):
            state.update(name.encode() + np.ascontiguousarray(group[name]).tobytes())
    return state.hexdigest()


def sampled(model: Any) -> tuple[str, str]:
    """The digest of a model with its data, and of draws from it."""
    bound = compile_model(model)
    result = ln.sample(model, num_warmup=60, num_samples=40, num_chains=2, seed=3, progress=False)
    return bound.target.digest(bound.data), fingerprint(result)


def sampled_from_bytes(data: bytes) -> tuple[str, str]:
    return sampled(from_plain(decode(data)))
