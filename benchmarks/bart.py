"""livebart beside bartz and stochtree: the cost of one more sweep, accuracy, coverage, effective draws a second.

    python benchmarks/bart.py --python bartz=PATH --python stochtree=PATH [--n 500 2000] [--p 10] [--quality]
        [--seven all] [--write [NAME]]

Each engine runs in a process of its own, on the same data, with the same trees, sweeps and priors, pinned to one core.
The cost of a sweep is CPU time of k + 200 sweeps less that of k, so compilation and set-up drop out; engines take
turns, and the least of the repeats counts. With --quality each engine also draws once, and what it drew is held against
the true f at new points.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

TREES = 200
FIRST, MORE = 100, 200
ENGINES = ("livebart", "bartz", "stochtree")
PEERS = ENGINES[1:]
WATCHED = 20


# -- in each engine's own process --------------------------------------------------------------------------------------


def run_livebart(data: dict[str, Any], burn: int, draws: int, seed: int) -> dict[str, Any]:
    from livebart import BARTRegressor

    bart = BARTRegressor(TREES, burn, draws, 1, nu=3.0, q=0.9, sigma_hat=float(data["sigma_hat"]), random_state=seed)
    bart.fit(data["X"], data["y"])
    return {"sigma": bart.sigma_, "predict": lambda: bart.sample_f(data["new"])}


def run_bartz(data: dict[str, Any], burn: int, draws: int, seed: int) -> dict[str, Any]:
    from bartz import Bart

    bart = Bart(
        data["X"].T.astype(np.float32),
        data["y"].astype(np.float32),
        num_trees=TREES,
        n_burn=burn,
        n_save=draws,
        num_chains=1,
        sigma_df=3.0,
        sigma_scale=float(np.sqrt(data["lambda"])),
        sigma_init=float(np.sqrt(data["lambda"])),
        seed=seed,
        pbar=False,
        printevery=None,
    )
    sigma = np.asarray(bart.get_error_sdev()).ravel()
    return {
        "sigma": sigma,
        "predict": lambda: np.asarray(bart.predict(data["new"].T.astype(np.float32), kind="latent_samples")),
    }


def run_stochtree(data: dict[str, Any], burn: int, draws: int, seed: int) -> dict[str, Any]:
    from stochtree import BARTModel

    deviation = float(np.std(data["y"]))
    leaf = (float(np.ptp(data["y"])) / deviation / (4 * np.sqrt(TREES))) ** 2
    bart = BARTModel()
    bart.sample(
        X_train=data["X"],
        y_train=data["y"],
        num_gfr=0,
        num_burnin=burn,
        num_mcmc=draws,
        general_params={
            "random_seed": seed + 1,
            "num_threads": 1,
            "sigma2_global_shape": 1.5,
            "sigma2_global_scale": 1.5 * float(data["lambda"]) / deviation**2,
        },
        mean_forest_params={"num_trees": TREES, "sample_sigma2_leaf": False, "sigma2_leaf_init": leaf},
    )
    sigma = np.sqrt(np.asarray(bart.global_var_samples))[-draws:]
    return {"sigma": sigma, "predict": lambda: np.asarray(bart.predict(X=data["new"], terms="y_hat")).T}


def work(job: dict[str, Any]) -> dict[str, Any]:
    """In an engine's process: what the job asks for."""
    if "cores" in job and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, job["cores"])
    data = dict(np.load(job["data"]))
    run = {"livebart": run_livebart, "bartz": run_bartz, "stochtree": run_stochtree}[job["engine"]]
    if job["task"] == "cost":
        costs = {}
        for sweeps in (FIRST, FIRST + MORE):
            began = time.process_time()
            run(data, sweeps, 1, 0)
            costs[sweeps] = time.process_time() - began
        for _ in range(job["repeats"]):
            for sweeps in costs:
                began = time.process_time()
                run(data, sweeps, 1, 0)
                costs[sweeps] = min(costs[sweeps], time.process_time() - began)
        return {"seconds": (costs[FIRST + MORE] - costs[FIRST]) / MORE}
    if job["engine"] == "stochtree":
        run(data, 5, 5, 0)
    else:  # compiled, by bartz for these numbers of sweeps
        run(data, job["burn"], job["draws"], 0)["predict"]()
    began = time.process_time()
    found = run(data, job["burn"], job["draws"], job["seed"])
    seconds = time.process_time() - began
    found["predict"]()
    began = time.process_time()
    f = found["predict"]()
    predicted = time.process_time() - began
    low, high = np.quantile(f, [0.05, 0.95], axis=0)
    truth = data["f_new"]
    return {
        "seconds": seconds,
        "predict": predicted,
        "rmse": float(np.sqrt(np.mean((f.mean(axis=0) - truth) ** 2))),
        "coverage": float(np.mean((low <= truth) & (truth <= high))),
        "sigma": np.asarray(found["sigma"], float).tolist(),
        "f": np.asarray(f[:, :WATCHED], float).tolist(),
    }


# -- at home -----------------------------------------------------------------------------------------------------------


def friedman1(X: np.ndarray) -> np.ndarray:
    return np.asarray(10 * np.sin(np.pi * X[:, 0] * X[:, 1]) + 20 * (X[:, 2] - 0.5) ** 2 + 10 * X[:, 3] + 5 * X[:, 4])


def sparse_linear(X: np.ndarray) -> np.ndarray:
    return np.asarray(10 * X[:, :5] @ [3, 2, -1.5, 0.8, 0.3])


def smooth_sin(X: np.ndarray) -> np.ndarray:
    return np.asarray(np.sin(2 * np.pi * X[:, 0]) + np.cos(2 * np.pi * X[:, 1]) + 2 * X[:, 2] ** 2 + X[:, 3])


def housing(X: np.ndarray) -> np.ndarray:
    """A synthetic price, log-normal about income, population, rooms, place, age and occupancy."""
    income, population, rooms = 0.5 + 14 * X[:, 0], 3 + 3500 * X[:, 1], 1 + 9 * X[:, 2]
    latitude, longitude, age, occupancy = 32 + 10 * X[:, 3], -124 + 10 * X[:, 4], 1 + 51 * X[:, 5], 1 + 5 * X[:, 6]
    log = 0.4 * np.log1p(income) - 0.1 * np.log1p(population) + 0.2 * np.log1p(rooms) - 0.05 * np.abs(latitude - 37)
    return np.asarray(log - 0.03 * np.abs(longitude + 120) + 0.01 * age - 0.1 * occupancy)


SEVEN = {
    "smoke": (friedman1, 1_000, 10, 1.0),
    "medium-n": (friedman1, 10_000, 10, 1.0),
    "large-n": (friedman1, 50_000, 10, 1.0),
    "high-p": (sparse_linear, 1_000, 100, 0.5),
    "extreme-p": (sparse_linear, 5_000, 500, 0.5),
    "smooth-sin": (smooth_sin, 5_000, 5, 0.2),
    "housing": (housing, 20_000, 8, 0.3),
}
"""The seven tests of this engine's predecessor: function of uniform columns, n, p, sd of the noise."""


def write_data(folder: Path, name: str, f: Any, n: int, p: int, noise: float) -> str:
    """The data of all engines, and the noise prior of all: lambda of CGM's calibration by least squares."""
    from scipy.stats import chi2

    rng = np.random.default_rng(n + p)
    X, new = rng.uniform(size=(n, p)), rng.uniform(size=(1000, p))
    y = f(X) + noise * rng.normal(size=n)
    design = np.column_stack([np.ones(n), X])
    residual = y - design @ np.linalg.lstsq(design, y, rcond=None)[0]
    sigma_hat = float(np.sqrt(residual @ residual / (n - p - 1)))
    prior = {"sigma_hat": sigma_hat, "lambda": sigma_hat**2 * chi2.ppf(0.1, 3) / 3}
    path = folder / f"{name}.npz"
    np.savez(path, X=X, y=y, new=new, f_new=f(new), **prior)
    return str(path)


def ask(python: str, job: dict[str, Any]) -> dict[str, Any]:
    """The worker's answer."""
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    flags = {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"}
    done = subprocess.run(
        [python, __file__, "--work", json.dumps(job)], env=os.environ | one | flags, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"{job['engine']} failed:\n{done.stderr[-2000:]}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def version_of(python: str, engine: str) -> str:
    program = f"from importlib.metadata import version; print(version({engine!r}))"
    told = subprocess.run([python, "-c", program], capture_output=True, text=True).stdout.strip()
    return told or "of this clone"


def cost_table(pythons: dict[str, str], data: dict[str, tuple[int, int, str]], repeats: int) -> list[str]:
    from report import table

    rows = []
    for n, p, path in data.values():
        costs = {
            engine: ask(python, {"task": "cost", "engine": engine, "data": path, "repeats": repeats, "cores": [0]})[
                "seconds"
            ]
            for engine, python in pythons.items()
        }
        row = [str(n), str(p), *(f"{cost / n / TREES * 1e9:.2f} ({cost * 1e6:.0f})" for cost in costs.values())]
        rows.append(row + [f"{costs[peer] / costs['livebart']:.1f}" for peer in PEERS if peer in costs])
    heads = ["n", "p", *(f"{engine}: ns a datum a tree (us a sweep)" for engine in pythons)]
    return table(heads + [f"{peer} / livebart" for peer in PEERS if peer in pythons], rows)


def quality_table(pythons: dict[str, str], data: dict[str, tuple[int, int, str]], burn: int, draws: int) -> list[str]:
    from livebart.diagnostics import effective_sample_size
    from report import table

    rows = []
    for name, (n, p, path) in data.items():
        for engine, python in pythons.items():
            job = {"task": "quality", "engine": engine, "data": path, "burn": burn, "draws": draws, "seed": 1}
            found = ask(python, job | {"cores": [0]})
            sigma, f = np.array(found["sigma"])[None], np.array(found["f"])
            ess_f = np.median([effective_sample_size(f[None, :, j]) for j in range(f.shape[1])])
            rows.append(
                [
                    name,
                    f"{n} x {p}",
                    engine,
                    f"{found['rmse']:.3f}",
                    f"{found['coverage']:.3f}",
                    f"{sigma.mean():.3f}",
                    f"{found['seconds']:.1f}",
                    f"{effective_sample_size(sigma) / found['seconds']:.1f}",
                    f"{ess_f / found['seconds']:.1f}",
                    f"{found['predict']:.2f}",
                ]
            )
    heads = [
        "data",
        "n x p",
        "engine",
        "RMSE of f",
        "90 % coverage",
        "sigma",
        "CPU s",
        "ESS/s of sigma",
        "ESS/s of f(x*)",
        "predict, s",
    ]
    return table(heads, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", action="append", default=[], metavar="ENGINE=PATH")
    parser.add_argument("--n", type=int, nargs="+", default=[500, 2000, 10_000, 50_000])
    parser.add_argument("--p", type=int, nargs="+", default=[10, 100])
    parser.add_argument("--seven", nargs="+", choices=["all", *SEVEN], help="these data sets instead")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--quality", action="store_true")
    parser.add_argument("--no-cost", action="store_true")
    parser.add_argument("--burn", type=int, default=500)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--write", nargs="?", const="bart", metavar="NAME")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        print(json.dumps(work(json.loads(options.work))))
        return
    from report import command, machine, publish

    pythons = {"livebart": sys.executable} | dict(item.split("=", 1) for item in options.python)
    pythons = {engine: pythons[engine] for engine in ENGINES if engine in pythons}
    told = ", ".join(f"{engine} {version_of(python, engine)}" for engine, python in pythons.items())
    lines = [
        "# BART: one more sweep, and what it is worth",
        "",
        f"`{command()}` on {machine()}; load before: {os.getloadavg()[0]:.1f}.",
        f"{told}; {TREES} trees, one thread, CPU time.",
        "",
    ]
    with tempfile.TemporaryDirectory() as folder:
        wanted = {f"friedman-{n}-{p}": (friedman1, n, p, 1.0) for p in options.p for n in options.n}
        if options.seven:
            wanted = {name: told for name, told in SEVEN.items() if name in options.seven or "all" in options.seven}
        data = {name: (told[1], told[2], write_data(Path(folder), name, *told)) for name, told in wanted.items()}
        if not options.no_cost:
            lines += cost_table(pythons, data, options.repeats)
        if options.quality:
            lines += [f"{options.burn} sweeps of burn-in, then {options.draws} draws, one chain; 1,000 new points."]
            lines += ["", *quality_table(pythons, data, options.burn, options.draws)]
    publish(options.write or "bart", lines, bool(options.write))


if __name__ == "__main__":
    main()
