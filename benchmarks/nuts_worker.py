"""One sampler with one model in one process, run on request: `nuts_worker.py SAMPLER MODEL DRAWS WARMUP CHAINS`.

Reads a seed a line, writes a JSON line for each run: wall seconds, leapfrogs where known, and the file of the draws.
The first line it writes has the seconds of imports and the versions.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

Run = Callable[[int], tuple[dict[str, np.ndarray], int | None]]


def livenuts(name: str, warmup: int, draws: int, chains: int) -> tuple[Run, dict[str, str]]:
    import jax
    import livenuts as ln
    from seven_models import numpyro_models

    function, arguments = numpyro_models()[name]

    def run(seed: int) -> tuple[dict[str, np.ndarray], int | None]:
        model = ln.from_numpyro(function, *arguments)
        result = ln.sample(model, num_warmup=warmup, num_samples=draws, num_chains=chains, seed=seed, progress=False)
        return result.draws, int(result.stats["n_steps"].sum())

    return run, {"livenuts": ln.__version__, "jax": jax.__version__}


def nutpie(name: str, warmup: int, draws: int, chains: int) -> tuple[Run, dict[str, str]]:
    import nutpie as peer
    import pymc
    from seven_models import pymc_model

    state: dict[str, Any] = {}

    def run(seed: int) -> tuple[dict[str, np.ndarray], int | None]:
        if not state:
            state["model"] = peer.compile_pymc_model(pymc_model(name))
        trace = peer.sample(
            state["model"], draws=draws, tune=warmup, chains=chains, seed=seed, cores=min(chains, 2), progress_bar=False
        )
        posterior = trace["posterior"]
        return {str(v): posterior[v].values for v in posterior.data_vars if not str(v).endswith("__")}, int(
            trace["sample_stats"]["n_steps"].values.sum()
        )

    return run, {"nutpie": peer.__version__, "pymc": pymc.__version__}


def numpyro(name: str, warmup: int, draws: int, chains: int) -> tuple[Run, dict[str, str]]:
    import jax
    import numpyro as peer
    from numpyro.infer import MCMC, NUTS
    from seven_models import numpyro_models

    jax.config.update("jax_enable_x64", True)
    peer.set_host_device_count(2)
    function, arguments = numpyro_models()[name]
    mcmc = MCMC(
        NUTS(function),
        num_warmup=warmup,
        num_samples=draws,
        num_chains=chains,
        chain_method="parallel" if chains == 1 else "sequential",
        progress_bar=False,
    )

    def run(seed: int) -> tuple[dict[str, np.ndarray], int | None]:
        mcmc.run(jax.random.key(seed), *arguments, extra_fields=("num_steps",))
        samples = {name: np.asarray(values) for name, values in mcmc.get_samples(group_by_chain=True).items()}
        return samples, int(np.asarray(mcmc.get_extra_fields()["num_steps"]).sum())

    return run, {"numpyro": peer.__version__, "jax": jax.__version__}


SAMPLERS = {"livenuts": livenuts, "nutpie": nutpie, "numpyro": numpyro}


def main() -> None:
    sampler, name = sys.argv[1:3]
    draws, warmup, chains = (int(text) for text in sys.argv[3:6])
    folder = sys.argv[6]
    began = time.perf_counter()
    run, versions = SAMPLERS[sampler](name, warmup, draws, chains)
    versions["python"] = sys.version.split()[0]
    print(json.dumps({"import": time.perf_counter() - began, "versions": versions}), flush=True)
    for line in sys.stdin:
        seed = int(line)
        began = time.perf_counter()
        samples, leapfrogs = run(seed)
        wall = time.perf_counter() - began
        path = os.path.join(folder, f"{sampler}-{name}-{seed}.npz")
        np.savez(path, **samples)  # type: ignore[arg-type]
        print(json.dumps({"wall": wall, "leapfrogs": leapfrogs, "path": path}), flush=True)


if __name__ == "__main__":
    main()
