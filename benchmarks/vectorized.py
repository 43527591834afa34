"""Hundreds of chains: one program against a thread a chain, for logistic regression on many rows, on any JAX device.

    python benchmarks/vectorized.py                                          (a GPU: 10^6 rows)
    python benchmarks/vectorized.py --rows 10000 --samples 50                (a CPU)
    python benchmarks/vectorized.py --models schools,volatility --chains 64  (a reference model of unequal trees)

The data are made on the device from a fixed key. Runs take turns; of each kind the fastest of `--repeats` counts,
compilation apart. Wall is warm-up and draws; sampling is a second call, warm from the first and without warm-up. ESS is
the smallest bulk ESS over all parameters, which ArviZ caps at N log10 N. Waiting is what lockstep costs: leapfrog steps
of the busiest chain over the mean of all, at every draw (as a plain vmap over draws would wait) and at the end (as we
do).
"""

import argparse
import os
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import livenuts as ln
import numpy as np
from arviz_stats.base import array_stats
from livenuts import dist, ref
from livenuts.compiler.x64 import x64

RESULTS = Path(__file__).parent / "results"


def logistic(rows: int, columns: int) -> ln.Model:
    """Bernoulli outcomes of `rows` rows; coefficients of size 0.3."""
    with x64():
        keys = jax.random.split(jax.random.key(0), 3)
        x = jax.random.normal(keys[0], (rows, columns))
        beta = 0.3 * jax.random.normal(keys[1], (columns,))
        y = jax.random.bernoulli(keys[2], jax.nn.sigmoid(0.5 + x @ beta))
        X, hits = np.asarray(x), np.asarray(y, np.int64)
    model = ln.Model(f"logistic, {rows:,} x {columns}").data("X", X)
    model.rv("alpha", dist.Normal(0, 10)).rv("beta", dist.Normal(0, 10), shape=columns)
    return model.obs("y", dist.Bernoulli(logits=ref("alpha") + ref("X") @ ref("beta")), hits)


def reference(name: str) -> ln.Model:
    """One of the reference models of the tests."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "packages" / "livenuts" / "tests"))
    from livenuts_models import MODELS

    model: ln.Model = MODELS[name]().builder
    return model


def smallest_ess(result: ln.Result) -> float:
    """Over all scalars."""
    flat = [values.reshape(*values.shape[:2], -1) for values in result.draws.values()]
    return min(float(np.min(array_stats.ess(part, chain_axis=0, draw_axis=1, method="bulk"))) for part in flat)


def run(model: ln.Model, method: str, chains: int, options: argparse.Namespace, seed: int) -> dict[str, Any]:
    """One run's figures."""
    settings: dict[str, Any] = {
        "chain_method": method,
        "num_chains": chains,
        "num_samples": options.samples,
        "seed": seed,
        "progress": False,
    }
    began = time.perf_counter()
    result = ln.sample(model, num_warmup=options.warmup, **settings)
    wall = time.perf_counter() - began - result.timings["compile"]
    began = time.perf_counter()
    again = ln.sample(model, num_warmup=0, warm_start=result, **settings)
    sampling = time.perf_counter() - began - again.timings["compile"]
    ess, steps = smallest_ess(result), again.stats["n_steps"]
    return {
        "compile": result.timings["compile"],
        "wall": wall,
        "iterations": int(result.tuning.num_warmup.max()),
        "sampling": sampling,
        "microseconds": 1e6 * sampling / steps.sum(),
        "steps": steps.mean(),
        "ess": ess,
        "rate": ess / wall,
        "at_draws": steps.max(0).mean() / steps.mean(),
        "at_end": steps.sum(1).max() / steps.sum(1).mean(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=20)
    parser.add_argument("--models", default="logistic", help="logistic, or names of reference models")
    parser.add_argument("--chains", type=int, nargs="*", default=[64, 256])
    parser.add_argument("--methods", nargs="*", default=["threads", "vectorized"])
    parser.add_argument("--warmup", type=int, default=1000)
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--write", action="store_true", help="write benchmarks/results/vectorized-DEVICE.md")
    options = parser.parse_args()

    heads = (
        "model",
        "chains",
        "method",
        "compile s",
        "wall s",
        "warm-up iterations",
        "sampling s",
        "us a leapfrog",
        "leapfrogs a draw",
        "smallest ESS",
        "ESS/s",
        "waiting at draws",
        "at the end",
    )
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    for name in options.models.split(","):
        model = logistic(options.rows, options.columns) if name == "logistic" else reference(name)
        for chains in options.chains:
            runs: dict[str, list[dict[str, Any]]] = {method: [] for method in options.methods}
            for repeat in range(1 + options.repeats):  # the first compiles
                for method in options.methods:
                    runs[method].append(run(model, method, chains, options, 1))
                    print(model.name, chains, method, repeat, runs[method][-1], file=sys.stderr, flush=True)
            for method, found in runs.items():
                best = min(found[1:], key=lambda one: one["wall"])
                cells = [model.name, chains, method, f"{found[0]['compile']:.1f}", f"{best['wall']:.2f}"]
                cells += [best["iterations"], f"{best['sampling']:.2f}", f"{best['microseconds']:.2f}"]
                cells += [f"{best['steps']:.1f}", f"{best['ess']:,.0f}", f"{best['rate']:,.0f}"]
                cells += [f"{best['at_draws']:.2f}", f"{best['at_end']:.2f}"]
                lines.append(f"| {' | '.join(map(str, cells))} |")
    device = jax.devices()[0]
    versions = ", ".join(f"{name} {version(name)}" for name in ("jax", "jaxlib", "numpyro", "numpy"))
    machine = f"{device.platform}, {os.cpu_count()} cores, {platform.machine()}"
    made = [
        f"# Many chains in one program, on {device.device_kind}",
        "",
        f"At most {options.warmup} + {options.samples} draws; after one that compiles, the best of {options.repeats}.",
        "`benchmarks/vectorized.py` made this table and says what the columns mean.",
        "",
        *lines,
        "",
        f"Python {platform.python_version()}, livenuts {ln.__version__}, {versions}; {machine}.",
    ]
    text = "\n".join(made)
    print(text)
    if options.write:
        (RESULTS / f"vectorized-{device.platform}.md").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
