"""Warm start: a window of 200 observations of an 8-parameter state space model that moves on, fitted at every step.

    python benchmarks/warm_start.py [--windows 20] [--draws 500] [--write]

Each window is fitted cold, cold with all of its warm-up, and warm from the window before (a short warm-up). Prints
wall, ESS a draw, and what a warm call takes beyond its own sampling. Compilations are counted by `jax.monitoring`.
"""

import argparse
import math
import statistics
import sys
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import livenuts as ln
import numpy as np
import numpyro.distributions as dist
from arviz_stats.base import array_stats
from numpyro import factor, sample
from report import command, machine, publish, table, versions

WINDOW, STEP = 200, 10


class Fit(NamedTuple):
    wall: float
    sampling: float
    leapfrogs: float
    """A draw."""
    ess: float
    """The smallest, a draw."""


def model(y: Any, x: Any, phase: Any) -> None:
    """An AR(1) state seen with noise around a level, a slope, a season and a covariate; the state is filtered out."""
    coefficients = sample("coefficients", dist.Normal(0, 5).expand([5]))
    phi = sample("phi", dist.Uniform(0, 1))
    drift, noise = sample("drift", dist.HalfNormal(1.0)), sample("noise", dist.HalfNormal(1.0))
    line = jnp.linspace(-1.0, 1.0, WINDOW)
    columns = jnp.stack([jnp.ones(WINDOW), line, jnp.sin(phase), jnp.cos(phase), x], axis=1)
    rest = y - columns @ coefficients

    def step(state: Any, value: Any) -> Any:
        mean, variance = state
        total = variance + noise**2
        log_density = -0.5 * (jnp.log(2 * jnp.pi * total) + (value - mean) ** 2 / total)
        gain = variance / total
        mean, variance = mean + gain * (value - mean), (1 - gain) * variance
        return (phi * mean, phi**2 * variance + drift**2), log_density

    factor("y", jax.lax.scan(step, (0.0, 1.0), rest)[1].sum())


def series(length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Observations, covariate and phase of the season."""
    rng = np.random.default_rng(3)
    state, path = 0.0, np.empty(length)
    for i in range(length):
        state = 0.8 * state + 0.4 * rng.standard_normal()
        path[i] = state
    x, phase = rng.standard_normal(length), 2 * np.pi * np.arange(length) / 24
    return 1.0 + np.sin(phase) + 0.5 * x + path + 0.3 * rng.standard_normal(length), x, phase


def smallest_ess(result: ln.Result) -> float:
    columns = [draws.reshape(*draws.shape[:2], -1) for draws in result.draws.values()]
    return float(array_stats.ess(np.concatenate(columns, axis=2), chain_axis=0, draw_axis=1, method="bulk").min())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, default=20)
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--cold-warmup", type=int, default=500)
    parser.add_argument("--warm-warmup", type=int, default=50)
    parser.add_argument("--chains", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="write benchmarks/results/warm_start.md")
    options = parser.parse_args()
    compilations: list[str] = []

    def listen(event: str, duration_secs: float, **_: str | int) -> None:
        if event.endswith("backend_compile_duration"):
            compilations.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    arrays = series(WINDOW + STEP * options.windows)
    settings: dict[str, Any] = {"num_samples": options.draws, "num_chains": options.chains, "progress": False}
    cold: dict[str, Any] = {"num_warmup": options.cold_warmup}
    kinds = {"cold": cold, "cold, no early stop": cold | {"early_stop": False}}
    kinds["warm"] = {"num_warmup": options.warm_warmup}
    rows: dict[str, list[Fit]] = {kind: [] for kind in kinds}

    def fit(kind: str, window: int, **more: Any) -> ln.Result:
        begin = STEP * window
        began = time.perf_counter()
        bound = ln.from_numpyro(model, *(array[begin : begin + WINDOW] for array in arrays))
        result = ln.sample(bound, seed=window, **settings, **kinds[kind], **more)
        wall = time.perf_counter() - began
        sampling, leapfrogs = result.timings["sampling"], float(result.stats["n_steps"].mean())
        ess = smallest_ess(result) / options.draws / options.chains
        rows[kind].append(Fit(wall, sampling, leapfrogs, ess))
        print(f"window {window} {kind}: {1000 * wall:.0f} ms", file=sys.stderr)
        return result

    previous = fit("cold", 0)
    first_wall = rows["cold"][0].wall
    fit("warm", 0, warm_start=previous.tuning)
    first = len(compilations)
    for found in rows.values():
        found.clear()
    for window in range(1, options.windows + 1):
        fit("cold", window)
        fit("cold, no early stop", window)
        previous = fit("warm", window, warm_start=previous.tuning)

    pairs = {kind: list(zip(rows[kind], rows["warm"], strict=True)) for kind in list(kinds)[:2]}
    faster = [statistics.median(cold.wall / warm.wall for cold, warm in found) for found in pairs.values()]
    equal = [math.log(warm.ess / cold.ess) for cold, warm in pairs["cold, no early stop"]]
    error = statistics.stdev(equal) / len(equal) ** 0.5
    cells = []
    for kind, fits in rows.items():
        wall, sampling, leapfrogs, ess = (statistics.median(column) for column in zip(*fits, strict=True))
        overhead = statistics.median(fit.wall / fit.sampling for fit in fits)
        numbers = (f"{1000 * wall:.1f}", f"{1000 * sampling:.1f}", f"{leapfrogs:.1f}", f"{ess:.2f}", f"{overhead:.2f}")
        cells.append([kind, *numbers])
    heads = ["", "wall, ms", "sampling, ms", "leapfrogs a draw", "smallest ESS a draw", "wall / sampling"]
    lines = [
        f"# Warm start: a rolling window, {options.windows} steps",
        "",
        f"{versions('livenuts', 'jax', 'numpyro')}; {machine()}. `{command()}`.",
        f"Windows of {WINDOW} observations that move on by {STEP}; a Kalman filter's likelihood with 8 parameters;",
        f"{options.chains} chain(s) of {options.draws} draws after {options.cold_warmup} warm-up iterations cold and",
        f"{options.warm_warmup} warm. Medians over the windows after the first, which took {first_wall:.1f} s with",
        "compilation.",
        "",
        *table(heads, cells),
        f"Warm is {faster[1]:.1f} times faster than cold without early stop, {faster[0]:.1f} times than cold. The",
        "seeds published 5.8 for their regime model of 8 parameters: 500 warm-up iterations against 50, ESS not given.",
        "",
        f"ESS a draw, warm over cold without early stop: {math.exp(statistics.mean(equal)):.2f}, within a factor",
        f"{math.exp(2 * error):.2f} (two standard errors). Compilations in the {3 * options.windows} fits after the",
        f"first window: {len(compilations) - first}.",
    ]
    publish("warm_start", lines, options.write)


if __name__ == "__main__":
    main()
