"""One engine of BART in one process, run on request: `bart_worker.py ENGINE`.

Reads a job, a line of JSON, and answers with a line of JSON. All engines get the same data, trees, sweeps and priors:
CGM's, with the noise prior's scale as the data file has it.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

Data = dict[str, Any]
WATCHED = 20


class Fit(NamedTuple):
    sigma: np.ndarray
    """(chain * draw,)"""
    sample_f: Callable[[np.ndarray], np.ndarray]
    """f (chain * draw, row) at new rows."""


Run = Callable[..., Fit]


def livebart(data: Data, trees: int, burn: int, draws: int, seed: int, chains: int = 1) -> Fit:
    from livebart import BARTRegressor

    bart = BARTRegressor(trees, burn, draws, chains, sigma_hat=float(data["sigma_hat"]), random_state=seed)
    bart.fit(data["X"], data["y"])
    return Fit(bart.sigma_, bart.sample_f)


def bartz(data: Data, trees: int, burn: int, draws: int, seed: int, chains: int = 1) -> Fit:
    from bartz import Bart

    scale = float(np.sqrt(data["lambda"]))
    bart = Bart(
        data["X"].T.astype(np.float32),
        data["y"].astype(np.float32),
        num_trees=trees,
        n_burn=burn,
        n_save=draws,
        num_chains=chains,
        sigma_df=3.0,
        sigma_scale=scale,
        sigma_init=scale,
        seed=seed,
        pbar=False,
        printevery=None,
    )
    sigma = np.asarray(bart.get_error_sdev()).ravel()
    return Fit(sigma, lambda new: np.asarray(bart.predict(new.T.astype(np.float32), kind="latent_samples")))


def stochtree(data: Data, trees: int, burn: int, draws: int, seed: int, chains: int = 1) -> Fit:
    from stochtree import BARTModel

    deviation = float(np.std(data["y"]))
    leaf = (float(np.ptp(data["y"])) / deviation / (4 * np.sqrt(trees))) ** 2
    bart = BARTModel()
    bart.sample(
        X_train=data["X"],
        y_train=data["y"],
        num_gfr=0,
        num_burnin=burn,
        num_mcmc=draws,
        general_params={
            "random_seed": seed + 1,
            "num_chains": chains,
            "num_threads": 1,
            "sigma2_global_shape": 1.5,
            "sigma2_global_scale": 1.5 * float(data["lambda"]) / deviation**2,
        },
        mean_forest_params={"num_trees": trees, "sample_sigma2_leaf": False, "sigma2_leaf_init": leaf},
    )
    sigma = np.sqrt(np.asarray(bart.global_var_samples)).ravel()[-draws * chains :]
    return Fit(sigma, lambda new: np.asarray(bart.predict(X=new, terms="y_hat")).T)


ENGINES: dict[str, Run] = {"livebart": livebart, "bartz": bartz, "stochtree": stochtree}


def cost(run: Run, data: Data, job: dict[str, Any]) -> dict[str, Any]:
    """Seconds of one more sweep: of k + more sweeps less that of k; the least of the repeats, after one to compile."""
    clock = time.process_time if job["chains"] == 1 else time.perf_counter
    least = {job["first"]: np.inf, job["first"] + job["more"]: np.inf}
    for repeat in range(job["repeats"] + 1):
        for sweeps in least:
            began = clock()
            run(data, job["trees"], sweeps, 1, 0, job["chains"])
            if repeat:
                least[sweeps] = min(least[sweeps], clock() - began)
    short, long = least.values()
    return {"seconds": (long - short) / job["more"]}


def quality(run: Run, data: Data, job: dict[str, Any]) -> dict[str, Any]:
    """What a fit's f is worth at new points."""
    fit = run(data, job["trees"], job["burn"], job["draws"], job["set"], job["chains"])
    f, truth = fit.sample_f(data["new"]), data["f_new"]
    low, high = np.quantile(f, [0.05, 0.95], axis=0)
    return {
        "rmse": float(np.sqrt(np.mean((f.mean(axis=0) - truth) ** 2))),
        "coverage": float(np.mean((low <= truth) & (truth <= high))),
        "width": float(np.mean(high - low)),
        "sigma": np.asarray(fit.sigma, float).tolist(),
        "f": np.asarray(f[:, :WATCHED], float).tolist(),
    }


def predict(run: Run, data: Data, job: dict[str, Any]) -> dict[str, Any]:
    """CPU seconds of f at new rows, the second time."""
    fit = run(data, job["trees"], job["burn"], job["draws"], 0)
    new = np.random.default_rng(0).uniform(size=(job["rows"], data["X"].shape[1]))
    fit.sample_f(new)
    began = time.process_time()
    fit.sample_f(new)
    return {"seconds": time.process_time() - began}


def start(run: Run, data: Data, job: dict[str, Any]) -> dict[str, Any]:
    """A short fit; who asked has the clock."""
    run(data, job["trees"], 10, 10, 0)
    return {}


def memory(run: Run, data: Data, job: dict[str, Any]) -> dict[str, Any]:
    """The process's peak, in bytes."""
    run(data, job["trees"], 5, 1, 0)
    return {"bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}


def bounded(run: Run, data: Data, job: dict[str, Any]) -> dict[str, Any]:
    """livebart's means and quantiles at many rows: seconds, and by how much the peak of memory rose."""
    from livebart import BARTRegressor

    bart = BARTRegressor(job["trees"], job["burn"], job["draws"] // 4, 4, random_state=0)
    bart.fit(data["X"], data["y"])
    new = np.random.default_rng(0).uniform(size=(job["rows"], data["X"].shape[1]))
    bart.predict(new[:100])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    answer: dict[str, Any] = {}
    for name, ask in (("mean", bart.predict), ("quantiles", lambda X: bart.predict_quantiles(X, [0.05, 0.95]))):
        began = time.perf_counter()
        ask(new)
        answer[name] = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return answer | {"bytes": (peak - before) * 1024, "peak": peak * 1024}


TASKS = {task.__name__: task for task in (cost, quality, predict, start, memory, bounded)}


def main() -> None:
    run = ENGINES[sys.argv[1]]
    for line in sys.stdin:
        job = json.loads(line)
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: job["chains"]])
        print(json.dumps(TASKS[job["task"]](run, dict(np.load(job["data"])), job)), flush=True)


if __name__ == "__main__":
    main()
