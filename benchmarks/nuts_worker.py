"""One sampler with one model in one process, run on request: `nuts_worker.py SAMPLER MODEL DRAWS WARMUP CHAINS FOLDER`.

Reads a line `SEED VARIANT` for each run and answers with a line of JSON: seconds, leapfrogs of the draws where known,
and the file of the draws. The first line that it writes has the seconds of imports and the versions.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import more_models
import numpy as np
import seven_models


class Sampled(NamedTuple):
    draws: dict[str, np.ndarray] | None
    """(chain, draw, *shape) by name."""
    leapfrogs: int | None
    wall: float | None = None
    """Where a sampler's own clock is fairer to it than ours."""


Run = Callable[[int, str], Sampled]
Made = tuple[Run, dict[str, str]]


def numpyro_model(name: str) -> tuple[Callable[..., None], tuple[Any, ...]]:
    return (seven_models if name in seven_models.NAMES else more_models).numpyro_models()[name]


def pymc_model(name: str) -> Any:
    return (seven_models if name in seven_models.NAMES else more_models).pymc_model(name)


def livenuts(name: str, warmup: int, draws: int, chains: int) -> Made:
    import jax
    import livenuts as ln

    ln.sample  # noqa: B018 - what a listener does without is imported here, not in the first run
    function, arguments = numpyro_model(name)
    settings: dict[str, Any] = {"num_warmup": warmup, "num_samples": draws, "num_chains": chains, "progress": False}

    def run(seed: int, variant: str) -> Sampled:
        if variant == "all-warmup":
            settings["early_stop"] = False
        else:
            settings.pop("early_stop", None)
        result = ln.sample(ln.from_numpyro(function, *arguments), seed=seed, **settings)
        return Sampled(result.draws, int(result.stats["n_steps"].sum()))

    return run, {"livenuts": ln.__version__, "jax": jax.__version__}


def nutpie(name: str, warmup: int, draws: int, chains: int) -> Made:
    """Without the draws of warm-up, which the others do not return either: that saves nutpie a fifth on small models.

    Its diagonal metric is its fastest: `low_rank` saves leapfrogs (sv: a seventh), and takes as long or longer.
    The variant `default` keeps them, as nutpie does unless told otherwise. The variant `raw` leaves the draws in
    nutpie's Arrow buffers, not readable as arrays: its sampling loop alone.
    """
    import numba
    import nutpie as peer
    import pymc

    settings = {"draws": draws, "tune": warmup, "chains": chains, "cores": min(chains, 2)}
    models: list[Any] = []

    def run(seed: int, variant: str) -> Sampled:
        if not models:
            models.append(peer.compile_pymc_model(pymc_model(name)))
        raw = variant == "raw"
        trace = peer.sample(
            models[0], seed=seed, save_warmup=variant == "default", progress_bar=False, return_raw_trace=raw, **settings
        )
        if raw:
            return Sampled(None, None)
        posterior = trace["posterior"]
        values = {str(v): posterior[v].values for v in posterior.data_vars if not str(v).endswith("__")}
        return Sampled(values, int(trace["sample_stats"]["n_steps"].values.sum()))

    return run, {"nutpie": peer.__version__, "pymc": pymc.__version__, "numba": numba.__version__}


def numpyro(name: str, warmup: int, draws: int, chains: int) -> Made:
    """`MCMC.run` as documented, its chains on a device each, the fastest of its methods on a CPU.

    Most of a warm `MCMC.run` is tracing. The variant `jit` puts the whole run of a chain into one jitted function.
    """
    import jax
    import numpyro as peer
    from numpyro.infer import MCMC, NUTS

    jax.config.update("jax_enable_x64", True)
    peer.set_host_device_count(chains)
    function, arguments = numpyro_model(name)
    settings: dict[str, Any] = {"num_warmup": warmup, "num_samples": draws, "progress_bar": False}
    mcmc = MCMC(NUTS(function), num_chains=chains, chain_method="parallel", **settings)

    @jax.jit
    def chain(key: Any) -> Any:
        mcmc = MCMC(NUTS(function), num_chains=1, **settings)
        mcmc.run(key, *arguments, extra_fields=("num_steps",))
        return mcmc.get_samples(), mcmc.get_extra_fields()["num_steps"].sum()

    def run(seed: int, variant: str) -> Sampled:
        key = jax.random.key(seed)
        if variant == "jit":
            return in_threads(chain, jax.random.split(key, chains))
        mcmc.run(key, *arguments, extra_fields=("num_steps",))
        values = {name: np.asarray(column) for name, column in mcmc.get_samples(group_by_chain=True).items()}
        return Sampled(values, int(np.asarray(mcmc.get_extra_fields()["num_steps"]).sum()))

    return run, {"numpyro": peer.__version__, "jax": jax.__version__}


def in_threads(chain: Callable[[Any], Any], keys: Any) -> Sampled:
    """A thread a chain, which XLA lets run beside each other: on a CPU twice as fast as `vmap` or faster."""
    import jax

    with ThreadPoolExecutor(len(keys)) as threads:
        found = list(threads.map(lambda key: jax.block_until_ready(chain(key)), keys))
    values = {name: np.stack([np.asarray(draws[name]) for draws, _ in found]) for name in found[0][0]}
    return Sampled(values, sum(int(leapfrogs) for _, leapfrogs in found))


def blackjax(name: str, warmup: int, draws: int, chains: int) -> Made:
    """Its window adaptation and NUTS, the whole of a chain in one jitted function; a thread a chain.

    The log density is NumPyro's of the model. Chains start uniform on (-2, 2), as NumPyro's and ours do.
    """
    import blackjax as peer
    import jax
    from blackjax.adaptation.base import get_filter_adapt_info_fn
    from jax.flatten_util import ravel_pytree
    from numpyro.infer.util import initialize_model

    jax.config.update("jax_enable_x64", True)
    function, arguments = numpyro_model(name)
    info = initialize_model(jax.random.key(0), function, model_args=arguments)
    start, unravel = ravel_pytree(info.param_info.z)

    def log_density(position: Any) -> Any:
        return -info.potential_fn(position)

    def chain(key: Any) -> Any:
        start_key, warm_key, key = jax.random.split(key, 3)
        position = unravel(jax.random.uniform(start_key, start.shape, minval=-2.0, maxval=2.0))
        adaptation = peer.window_adaptation(
            peer.nuts, log_density, target_acceptance_rate=0.8, adaptation_info_fn=get_filter_adapt_info_fn()
        )
        (state, parameters), _ = adaptation.run(warm_key, position, warmup)
        step = peer.nuts(log_density, **parameters).step

        def draw(state: Any, key: Any) -> Any:
            state, info = step(key, state)
            return state, (state.position, info.num_integration_steps)

        positions, leapfrogs = jax.lax.scan(draw, state, jax.random.split(key, draws))[1]
        return jax.vmap(info.postprocess_fn)(positions), leapfrogs.sum()

    compiled = jax.jit(chain)

    def run(seed: int, _: str) -> Sampled:
        return in_threads(compiled, jax.random.split(jax.random.key(seed), chains))

    return run, {"blackjax": peer.__version__, "jax": jax.__version__}


def pymc(name: str, warmup: int, draws: int, chains: int) -> Made:
    """PyMC's own NUTS, its log density compiled by numba, up to twice as fast as PyTensor's C code; a process a chain.

    Its own clock is read, because `pm.sample` compiles again in every call.
    """
    import logging

    import pymc as peer

    logging.getLogger("pymc").setLevel(logging.ERROR)
    settings: dict[str, Any] = {"draws": draws, "tune": warmup, "chains": chains, "cores": min(chains, 2)}
    settings |= {"backend": "numba", "compute_convergence_checks": False, "progressbar": False}

    def run(seed: int, _: str) -> Sampled:
        with pymc_model(name):
            trace = peer.sample(nuts_sampler="pymc", random_seed=seed, **settings)
        posterior = trace["posterior"]
        values = {str(v): posterior[v].values for v in posterior.data_vars}
        leapfrogs = int(trace["sample_stats"]["n_steps"].values.sum())
        return Sampled(values, leapfrogs, wall=float(posterior.attrs["sampling_time"]))

    return run, {"pymc": peer.__version__}


SAMPLERS: dict[str, Callable[[str, int, int, int], Made]] = {
    "livenuts": livenuts,
    "nutpie": nutpie,
    "numpyro": numpyro,
    "blackjax": blackjax,
    "pymc": pymc,
}


def main() -> None:
    sampler, name = sys.argv[1:3]
    draws, warmup, chains = (int(text) for text in sys.argv[3:6])
    folder = sys.argv[6]
    began = time.perf_counter()
    run, versions = SAMPLERS[sampler](name, warmup, draws, chains)
    versions["python"] = sys.version.split()[0]
    print(json.dumps({"import": time.perf_counter() - began, "versions": versions}), flush=True)
    for line in sys.stdin:
        seed, _, variant = line.strip().partition(" ")
        began = time.perf_counter()
        sampled = run(int(seed), variant)
        wall = time.perf_counter() - began
        path = None
        if sampled.draws is not None:
            path = os.path.join(folder, f"{sampler}-{name}.npz")
            np.savez(path, **sampled.draws)  # type: ignore[arg-type]
        wall = wall if sampled.wall is None else sampled.wall
        print(json.dumps({"wall": wall, "leapfrogs": sampled.leapfrogs, "path": path}), flush=True)


if __name__ == "__main__":
    main()
