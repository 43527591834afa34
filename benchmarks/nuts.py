"""NUTS on the reference models: livenuts against nutpie, NumPyro, BlackJAX and PyMC, side by side.

Each sampler runs in a process and an environment of its own; the runs are interleaved, seed by seed. Wall seconds of
a whole call (warm-up and draws), the smallest bulk ESS over all parameters by one estimator (arviz-stats), and their
quotient. `--cold` measures fresh processes instead: imports, the first call with nothing cached, and with a cache.

    python benchmarks/nuts.py --python livenuts=PYTHON --python nutpie=PYTHON ... [--chains 4] [--cold] [--write]
    python benchmarks/nuts.py --python ... --models radon horseshoe ar1 gp --columns livenuts nutpie

`nuts_worker.py` says how each sampler is called.
"""

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import more_models
import numpy as np
import seven_models
from arviz_stats.base import array_stats
from report import command, machine, publish, table

HERE = Path(__file__).parent
# A sampler, or a sampler and its variant.
COLUMNS = (
    "livenuts", "livenuts all-warmup", "nutpie default", "nutpie", "nutpie raw",
    "numpyro", "numpyro jit", "blackjax", "pymc",
)  # fmt: skip
SLOW = ("numpyro", "pymc")
COLD = ("livenuts", "nutpie", "numpyro jit")
# Seeds spread most on these two, and a sampler that stays out of the neck looks fast.
SPREAD = ("schools", "funnel")


class Worker:
    """A sampler's process for one model."""

    def __init__(
        self, python: str, sampler: str, model: str, options: argparse.Namespace, folder: str, **environment: str
    ) -> None:
        threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        arguments = [str(options.draws), str(options.warmup), str(options.chains), folder]
        self.model = model
        self.process = subprocess.Popen(
            [python, str(HERE / "nuts_worker.py"), sampler, model, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if options.verbose else subprocess.DEVNULL,
            text=True,
            env=os.environ | threads | environment,
        )
        self.hello = self._read()
        self.found: dict[str, float] = {}

    def _read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("{"):
                return dict(json.loads(line))
        raise SystemExit(f"a sampler ended: {self.process.args!r}")

    def run(self, seed: int, variant: str) -> dict[str, Any]:
        """One run: wall seconds, leapfrogs, smallest ESS, the moment that `exact` knows."""
        assert self.process.stdin is not None
        print(seed, variant, file=self.process.stdin, flush=True)
        answer = self._read()
        if answer["path"] is not None:
            with np.load(answer["path"]) as samples:
                draws = {name: samples[name] for name in samples.files}
            self.found = {"leapfrogs": answer["leapfrogs"], "ess": min(map(smallest_ess, draws.values()))}
            if self.model in SPREAD:
                self.found["moment"] = moment(self.model, draws)
        return answer | self.found  # a variant without draws made those of the run before it, of the same seed

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def smallest_ess(draws: np.ndarray) -> float:
    """The smallest bulk ESS over a variable's elements; draws are (chain, draw, *shape).

    The estimator gives constant draws the ESS of independent ones: a chain that never moved counts as one draw.
    """
    flat = draws.reshape(*draws.shape[:2], -1)
    if np.any(np.ptp(flat, axis=1) == 0):
        return 1.0
    return float(np.min(array_stats.ess(flat, chain_axis=0, draw_axis=1, method="bulk")))


def moment(model: str, draws: dict[str, np.ndarray]) -> float:
    return float(np.mean(draws["y"] ** 2)) if model == "funnel" else float(np.mean(draws["tau"]))


def exact(model: str) -> float:
    """Var(y) of the funnel is 9. E(tau) of the schools by quadrature.

    With theta and mu ~ Normal(0, 5) integrated out, y ~ Normal(0, diag(sigma^2 + tau^2) + 25) given tau, so that
    p(tau | y) is HalfNormal(5) times that density.
    """
    if model == "funnel":
        return 9.0
    y, sigma = seven_models.data()["schools"]
    tau = np.linspace(0.0, 50.0, 20_001)
    log_weight = -0.5 * (tau / 5.0) ** 2
    for i, value in enumerate(tau):
        covariance = np.diag(sigma**2 + value**2) + 25.0
        log_weight[i] -= 0.5 * (np.linalg.slogdet(covariance)[1] + y @ np.linalg.solve(covariance, y))
    weight = np.exp(log_weight - log_weight.max())
    weight[0] /= 2  # the trapezoidal rule; at 50 nothing is left
    return float(weight @ tau / weight.sum())


def warm(pythons: dict[str, str], columns: list[str], options: argparse.Namespace) -> None:
    """Interleaved runs of compiled models."""
    versions: dict[str, dict[str, str]] = {}
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for model in options.models:
        began = time.perf_counter()
        runs: dict[str, list[dict[str, Any]]] = {column: [] for column in columns}
        with tempfile.TemporaryDirectory() as folder:
            used = dict.fromkeys(column.split()[0] for column in columns)
            workers = {sampler: Worker(pythons[sampler], sampler, model, options, folder) for sampler in used}
            versions |= {sampler: worker.hello["versions"] for sampler, worker in workers.items()}
            seeds = options.seeds if model not in SPREAD else 2 * options.seeds
            for seed in (1000, *range(seeds)):  # the first compiles
                # A run is slower after another process's than after one of its own: no column is always second.
                for column in random.Random(seed).sample(columns, len(columns)):
                    if seed == 1000 or column not in SLOW or seed < options.slow_seeds:
                        sampler, _, variant = column.partition(" ")
                        answer = workers[sampler].run(seed, variant)
                        runs[column] += [answer] if seed != 1000 else []
            for worker in workers.values():
                worker.close()
        found[model] = {column: summary(answers) for column, answers in runs.items()}
        print(f"{model}, {time.perf_counter() - began:.0f} s:", json.dumps(found[model]), file=sys.stderr)
    name = "nuts-more" if set(options.models) <= set(more_models.NAMES) else "nuts"
    suffix = "" if options.chains == 1 else f"-{options.chains}-chains"
    publish(name + suffix, warm_report(found, versions, columns, options), options.write)


def summary(answers: list[dict[str, Any]]) -> dict[str, Any]:
    for answer in answers:
        answer["rate"] = answer["ess"] / answer["wall"]
        answer["efficiency"] = 1000 * answer["ess"] / answer["leapfrogs"]
    keys = ("wall", "ess", "rate", "leapfrogs", "efficiency")
    medians: dict[str, Any] = {key: statistics.median(answer[key] for answer in answers) for key in keys}
    if "moment" in answers[0]:
        moments = [answer["moment"] for answer in answers]
        medians["moment"] = statistics.mean(moments), statistics.stdev(moments) / len(moments) ** 0.5
    return medians


def heading(versions: dict[str, dict[str, str]], options: argparse.Namespace) -> list[str]:
    parts = (f"{s}: {', '.join(f'{k} {v}' for k, v in found.items())}" for s, found in versions.items())
    return [
        "",
        f"{'; '.join(parts)}. {machine()}. `{command()}`.",
        f"{options.warmup} + {options.draws} iterations, target_accept 0.8, max_tree_depth 10, float64; the rest as",
        "each package has it, a thread of linear algebra each.",
        "",
    ]


def warm_report(found: Any, versions: Any, columns: list[str], options: argparse.Namespace) -> list[str]:
    """The tables as Markdown."""
    chains = "1 chain" if options.chains == 1 else f"{options.chains} chains"
    few = f", {options.slow_seeds} of {' and '.join(SLOW)}" if set(SLOW) & set(columns) else ""
    twice = f" ({2 * options.seeds} of schools and funnel)" if set(SPREAD) & set(found) else ""
    lines = [f"# NUTS, {chains}, warm", *heading(versions, options)]
    lines += [f"Medians of {options.seeds} seeds{twice}{few}, interleaved in random order.", ""]
    if "livenuts all-warmup" in columns:
        lines += ["`livenuts all-warmup` may not end its warm-up early.", ""]
    if "nutpie default" in columns:
        lines += ["`nutpie default` keeps the draws of warm-up, as nutpie does by itself; `nutpie` does not.", ""]
    if "nutpie raw" in columns:
        lines += ["`nutpie raw` leaves its draws in Arrow buffers, not yet arrays.", ""]
    if "numpyro jit" in columns:
        lines += ["`numpyro` is `MCMC.run`; `numpyro jit` the same with each chain's whole run under `jax.jit`,", ""]
        lines[-2:] = [lines[-2] + " as blackjax.", ""]
    for title, key, scale, digits in (
        (f"Wall of {options.warmup} + {options.draws}, ms", "wall", 1000, 1),
        ("Smallest bulk ESS a second", "rate", 1, 0),
        ("Smallest bulk ESS", "ess", 1, 0),
        ("Leapfrogs of the draws", "leapfrogs", 1, 0),
        ("Smallest bulk ESS in 1000 leapfrogs of the draws", "efficiency", 1, 1),
    ):
        cells = [[model, *(f"{scale * row[c][key]:.{digits}f}" for c in columns)] for model, row in found.items()]
        lines += [f"## {title}", "", *table(["model", *columns], cells)]
    for title, key in (("by wall", "wall"), ("by ESS a second", "rate")):
        lines += [f"## How many times faster, {title}", "", *ratios(found, columns, key)]
    moments = [model for model in found if model in SPREAD]
    if moments:
        lines += [
            "## Is it the posterior?",
            "",
            "Mean over seeds, with its standard error; beyond 3 of them, marked.",
            "",
        ]
        cells = []
        for model in moments:
            truth = exact(model)
            row = ["Var(y) of the funnel" if model == "funnel" else "E(tau) of the schools", f"{truth:.3f}"]
            for column in columns:
                mean, error = found[model][column]["moment"]
                row.append(f"{mean:.2f} ± {error:.2f}" + (" !" if abs(mean - truth) > 3 * error else ""))
            cells.append(row)
        lines += table(["moment", "exact", *columns], cells)
    return lines


def ratios(found: Any, columns: list[str], key: str) -> list[str]:
    """Ours over theirs for each model, with geometric mean and least; then nutpie's with all of our warm-up."""
    ours = [column for column in columns if column.startswith("livenuts")]
    pairs = [(us, peer) for us in ours for peer in columns if peer not in ours and (us == ours[0] or peer == "nutpie")]
    rows: list[list[str]] = [[model] for model in found] + [["geometric mean"], ["least"]]
    for us, peer in pairs:
        values = [row[us][key] / row[peer][key] for row in found.values()]
        values = [1 / value for value in values] if key == "wall" else values
        for row, value in zip(rows, [*values, statistics.geometric_mean(values), min(values)], strict=True):
            row.append(f"{value:.2f}")
    return table(["model", *(peer if us == ours[0] else f"{us} to {peer}" for us, peer in pairs)], rows)


def cold(pythons: dict[str, str], columns: list[str], options: argparse.Namespace) -> None:
    """Fresh processes: imports, the first call with nothing of this model cached, and with all of it cached.

    nutpie's caches (PyTensor's numba kernels) are on by default and are in a folder of ours that a trivial model has
    been through, so that no machine's first steps count. JAX's is off by default: off for cold, on for cached.
    """
    versions: dict[str, dict[str, str]] = {column.split()[0]: {} for column in columns}
    rows: dict[str, list[str]] = {}
    imports: dict[str, list[float]] = {column: [] for column in columns}
    with tempfile.TemporaryDirectory() as folder:
        primed = Path(folder, "primed")

        def caches(path: Path | None) -> dict[str, str]:
            if path is None:
                return {}
            return {
                "JAX_COMPILATION_CACHE_DIR": str(path),
                "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
                "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
                "PYTENSOR_FLAGS": f"base_compiledir={path}",
            }

        def fresh(column: str, model: str, cache: Path | None) -> float:
            sampler, _, variant = column.partition(" ")
            worker = Worker(pythons[sampler], sampler, model, options, folder, **caches(cache))
            versions[sampler] = worker.hello["versions"]
            imports[column].append(worker.hello["import"])
            wall: float = worker.run(1000, variant)["wall"]
            worker.close()
            return wall

        if "nutpie" in columns:
            fresh("nutpie", "funnel", primed)
        for model in options.models:
            began = time.perf_counter()
            colds: dict[str, list[float]] = {column: [] for column in columns}
            cacheds: dict[str, list[float]] = {column: [] for column in columns}
            for repeat in range(options.repeats):
                for column in columns:
                    cache = Path(folder, f"{model}-{column.split()[0]}-{repeat}")
                    if column == "nutpie":
                        shutil.copytree(primed, cache)
                        colds[column].append(fresh(column, model, cache))
                    else:
                        colds[column].append(fresh(column, model, None))
                        fresh(column, model, cache)
                    cacheds[column].append(fresh(column, model, cache))
            rows[model] = [model]
            for walls in (colds, cacheds):
                medians = {column: statistics.median(found) for column, found in walls.items()}
                rows[model] += [f"{median:.2f}" for median in medians.values()]
                rows[model] += [f"{medians[c] / medians[columns[0]]:.1f}" for c in columns[1:]]
            print(f"{model}, {time.perf_counter() - began:.0f} s:", rows[model], file=sys.stderr)
    heads = [f"{part}{c}" for part in ("", "cached ") for c in (*columns, *(f"x {c}" for c in columns[1:]))]
    lines = ["# NUTS, 1 chain, cold", *heading(versions, options)]
    lines += [
        f"Seconds of a fresh process's first call, compilation included, imports not; medians of {options.repeats}.",
        "Cached: the second process with JAX's persistent cache, or with PyTensor's cache of numba kernels (which is",
        "on by default, and here has seen one other model before the cold call).",
        "",
        *table(["model", *heads], rows.values()),
        "Imports, s: " + ", ".join(f"{c} {statistics.median(found):.2f}" for c, found in imports.items()) + ".",
    ]
    publish("nuts-cold", lines, options.write)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", action="append", default=[], metavar="SAMPLER=PYTHON")
    parser.add_argument("--columns", nargs="*", choices=COLUMNS, help="a sampler or 'sampler variant'; default all")
    parser.add_argument("--models", nargs="*", default=list(seven_models.NAMES))
    parser.add_argument("--seeds", type=int, default=10, help="twice as many for schools and funnel")
    parser.add_argument("--slow-seeds", type=int, default=3, help=f"for {' and '.join(SLOW)}")
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--warmup", type=int, default=1000)
    parser.add_argument("--chains", type=int, default=1)
    parser.add_argument("--cold", action="store_true")
    parser.add_argument("--repeats", type=int, default=3, help="fresh processes with --cold")
    parser.add_argument("--write", action="store_true", help="write benchmarks/results/nuts*.md")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    pythons = dict(text.split("=", 1) for text in options.python) or {"livenuts": sys.executable}
    columns = [c for c in options.columns or (COLD if options.cold else COLUMNS) if c.split()[0] in pythons]
    began = time.perf_counter()
    (cold if options.cold else warm)(pythons, columns, options)
    print(f"{time.perf_counter() - began:.0f} s in all", file=sys.stderr)


if __name__ == "__main__":
    main()
