"""livesmc2 beside `particles` 0.4: seven cases, CPU x Var(log Z), one core each, in one run.

    python benchmarks/smc2.py --python particles=PATH [--cases lg,hmm] [--seeds 64] [--peer-seeds 10] [--n-x 100]
    python benchmarks/smc2.py --latency --first --threads      # without a peer: the rest of the report

Both sides get the same data, N_theta = 100 parameters, N_x states, three moves a rejuvenation, resampling below half
of the effective sample size, systematic, no growth of N_x; no waste-free chains, which would multiply N_theta. What
differs is what each package does by itself: particles' random walk on the parameters' own scale, livesmc2's mixed
proposals on the transformed one. Particle-steps of both count every proposal at its full length.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
N_THETA, MOVES = 100, 3
GATES = {"lg": 60, "hmm": 60, "seir": 8}


def ours(name: str, n_x: int, seeds: int) -> list[dict[str, Any]]:
    """Runs of livesmc2, after one to compile."""
    from livesmc2 import run
    from smc2_models import case

    chosen = case(name)
    rows = []
    for seed in range(seeds + 1):
        began = time.process_time()
        smc = run(
            chosen.model, chosen.prior, chosen.data, N_THETA, n_x, seed, n_moves=MOVES, max_n_x=n_x, threads=1
        )  # fmt: skip
        cpu = time.process_time() - began
        steps = len(chosen.data) + sum(MOVES * (step.t + 1) for step in smc.history if step.rejuvenated)
        rows.append({"cpu": cpu, "logZ": smc.log_evidence, "psteps": N_THETA * n_x * steps, "rejuv": smc.rejuvenations})
    return rows[1:]


def theirs(python: str, name: str, n_x: int, seeds: int) -> list[dict[str, Any]]:
    """Runs of particles; those that stop with an error are left out, and counted in the report."""
    from smc2_models import STEPS

    program = [python, str(HERE / "smc2_particles.py"), name, str(N_THETA), str(n_x), str(STEPS[name]), str(MOVES), "1"]
    done = subprocess.run([*program, "--seeds", str(seeds)], stdout=subprocess.PIPE, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def figures(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Means over seeds, and the metric with a standard error of its logarithm."""
    rows = [row for row in rows if "failed" not in row]
    log_z = np.array([row["logZ"] for row in rows])
    cpu = float(np.mean([row["cpu"] for row in rows]))
    return {
        "cpu": cpu,
        "logZ": float(log_z.mean()),
        "sd": float(log_z.std(ddof=1)),
        "ns": 1e9 * cpu / float(np.mean([row["psteps"] for row in rows])),
        "metric": cpu * float(log_z.var(ddof=1)),
        "error": math.sqrt(2 / (len(rows) - 1)),
        "runs": len(rows),
    }


def compare(python: str, names: list[str], n_x: int, seeds: int, peer_seeds: int) -> str:
    """The table."""
    from smc2_models import EXACT, STEPS

    columns = ["case", "T", "log Z livesmc2 (sd)", "particles (sd)", "exact", "CPU s", "particles", "ns/pstep"]
    columns += ["particles", "CPU x Var ratio (factor of one se)", "CPU ratio", "gate"]
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    ratios = []
    for name in names:
        # In turn, so that a change of the machine's load meets both.
        a = ours(name, n_x, seeds // 2)
        b = theirs(python, name, n_x, peer_seeds)
        a += ours(name, n_x, seeds)[seeds // 2 :]
        failed = sum("failed" in row for row in b)
        mine, peer = figures(a), figures(b)
        ratio = peer["metric"] / mine["metric"]
        factor = math.exp(math.hypot(mine["error"], peer["error"]))
        ratios.append(ratio)
        exact = EXACT.get((name, STEPS[name]))
        lines.append(
            f"| {name} | {STEPS[name]} | {mine['logZ']:.2f} ({mine['sd']:.2f}) | {peer['logZ']:.2f} ({peer['sd']:.2f})"
            f"{f' ({failed} runs failed)' if failed else ''} | {'' if exact is None else f'{exact:.2f}'} "
            f"| {mine['cpu']:.3f} | {peer['cpu']:.2f} | {mine['ns']:.1f} | {peer['ns']:.0f} "
            f"| **{ratio:.0f}x** (/ or x {factor:.1f}) | {peer['cpu'] / mine['cpu']:.0f}x | {GATES.get(name, 6)}x |"
        )
        print(lines[-1], file=sys.stderr, flush=True)
    mean = math.exp(float(np.mean(np.log(ratios))))
    lines.append("")
    lines.append(f"Geometric mean {mean:.0f}x (gate 30x). {seeds} seeds of livesmc2, {peer_seeds} of particles.")
    return "\n".join(lines)


FIRST = """
import sys, time
sys.path.insert(0, {here!r})
from livesmc2 import run
from smc2_models import case
chosen = case({name!r})
run(chosen.model, chosen.prior, chosen.data[:10], 400, 200, 1)
"""


def first_posterior() -> str:
    """Seconds from the start of a process to a posterior after 10 observations, 400 x 200, compile included."""
    lines = []
    for name in ("lg", "seir"):
        seconds = []
        for _ in range(3):
            began = time.perf_counter()
            subprocess.run([sys.executable, "-c", FIRST.format(here=str(HERE), name=name)], check=True)
            seconds.append(time.perf_counter() - began)
        lines.append(
            f"- first posterior of {name} in a fresh process (10 observations, 400 x 200): {min(seconds):.1f} s"
        )
    return "\n".join(lines)


def latency() -> str:
    """Of an update without rejuvenation, 400 x 200."""
    from livesmc2 import OnlineSMC2
    from smc2_models import case

    lines = []
    for name in ("lg", "seir"):
        chosen = case(name)
        smc = OnlineSMC2(chosen.model, chosen.prior, 400, 200, 1, max_n_x=200)
        seconds = []
        for y in chosen.data:
            began = time.perf_counter()
            step = smc.update(y)
            if not step.rejuvenated:
                seconds.append(time.perf_counter() - began)
        lines.append(
            f"- one update of {name} without rejuvenation, 400 x 200: median {1e3 * np.median(seconds):.2f} ms"
        )
    return "\n".join(lines)


def two_threads() -> str:
    """Wall time of one thread over that of two."""
    from livesmc2 import run
    from smc2_models import case

    lines = []
    for name in ("lg", "seir"):
        chosen = case(name)
        best = {}
        for threads in (1, 2, 1, 2, 1, 2):
            began = time.perf_counter()
            run(chosen.model, chosen.prior, chosen.data, 400, 200, 1, n_moves=3, max_n_x=200, threads=threads)
            best[threads] = min(best.get(threads, math.inf), time.perf_counter() - began)
        lines.append(
            f"- two threads on {name}, 400 x 200: {best[1] / best[2]:.2f}x one ({best[1]:.2f} s, {best[2]:.2f} s)"
        )
    return "\n".join(lines)


PREDECESSOR = {
    "1, 2 smoke": (5_000, 1, (0.4, 0.25, 0.15), 40, 100, 50, 15, 2, "0.58 to 1.22"),
    "3 medium": (10_000, 1, (0.4, 0.25, 0.15), 100, 200, 100, 20, 3, "3.62"),
    "4 time-varying": (20_000, 5, (0.4, 0.25, 0.15), 120, 200, 100, 25, 3, "13.5"),
    "5 high-rejuv": (10_000, 1, (0.4, 0.25, 0.15), 80, 200, 100, 10, 2, "4.62"),
    "6 full-scale": (50_000, 1, (0.3, 0.2, 0.1), 200, 400, 200, 30, 3, "307"),
    "7 memory": (20_000, 1, (0.3, 0.2, 0.1), 500, 100, 50, 20, 2, "16.0"),
}


def predecessor() -> str:
    """The predecessor's configurations with the right observation model, full history, beside its published times."""
    from livesmc2 import models, run

    lines = ["| configuration | N_theta x N_x, T, moves | wall s, all cores | published s, 88 threads | truth in 95% |"]
    lines.append("|---|---|---|---|---|")
    for name, (population, infectious, truth, steps, n_theta, n_x, _, moves, published) in PREDECESSOR.items():
        model, prior = models.seir(population, infectious, walk=False, exposed=float(infectious))
        theta = dict(zip(("beta", "sigma", "gamma"), truth, strict=True))
        seed = next(s for s in range(99) if models.simulate(model, theta, steps, s)[1].sum() > 0.2 * population)
        _, ys = models.simulate(model, theta, steps, seed)
        run(model, prior, ys[:3], 10, 10, 1)
        began = time.perf_counter()
        smc = run(model, prior, ys, n_theta, n_x, 1, n_moves=moves, max_n_x=n_x)
        wall = time.perf_counter() - began
        inside = [bool(smc.quantiles(k, [0.025])[0] < v < smc.quantiles(k, [0.975])[0]) for k, v in theta.items()]
        lines.append(
            f"| {name} | {n_theta} x {n_x}, {steps}, {moves} | {wall:.2f} | {published} | {sum(inside)} of 3 |"
        )
        print(lines[-1], file=sys.stderr, flush=True)
    return "\n".join(lines)


def ireland() -> str:
    """An epidemic of Ireland's size: 1000 x 500, 365 days, random-walk transmission, window 80."""
    from livesmc2 import models, run

    model, prior = models.seir(4_965_439, 20)
    theta = {"beta": 0.35, "sigma": 0.25, "gamma": 0.17, "nu": 0.08}
    _, ys = next(
        pair for pair in (models.simulate(model, theta, 365, seed) for seed in range(99)) if 1e4 < pair[1].sum() < 1e6
    )
    began = time.perf_counter()
    smc = run(model, prior, ys, 1000, 500, 1, window=80, n_moves=5, max_n_x=500)
    wall = time.perf_counter() - began
    return f"- an Ireland-size run, 1000 x 500, T = 365, W = 80: {wall / 60:.1f} min, {smc.rejuvenations} rejuvenations"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", action="append", default=[], help="particles=PATH of its environment's interpreter")
    parser.add_argument("--cases", default="lg,sv,seir,gordon,theta,hmm,cox")
    parser.add_argument("--seeds", type=int, default=64)
    parser.add_argument("--peer-seeds", type=int, default=10)
    parser.add_argument("--n-x", type=int, default=100)
    for name in ("first", "latency", "threads", "predecessor", "ireland"):
        parser.add_argument(f"--{name}", action="store_true")
    chosen = parser.parse_args()
    pythons = dict(pair.split("=", 1) for pair in chosen.python)
    print(f"Load of the machine before: {os.getloadavg()[0]:.1f} over {os.cpu_count()} cores.\n")
    if "particles" in pythons:
        names = chosen.cases.split(",")
        print(compare(pythons["particles"], names, chosen.n_x, chosen.seeds, chosen.peer_seeds) + "\n")
    for name, report in (
        ("first", first_posterior),
        ("latency", latency),
        ("threads", two_threads),
        ("predecessor", predecessor),
        ("ireland", ireland),
    ):
        if getattr(chosen, name):
            print(report(), flush=True)


if __name__ == "__main__":
    main()
