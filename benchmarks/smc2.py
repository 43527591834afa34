"""livesmc2 beside `particles` 0.4: seven cases, CPU x Var(log Z), one core each, and what else the report says.

    python benchmarks/smc2.py --python particles=PATH [--case lg] [--n-x 100] [--seeds 64] [--peer-seeds 10] [--write]
    python benchmarks/smc2.py [--threads] [--latency] [--first] [--predecessor] [--ireland] [--write]

Each part (a case at one N_x, or one of the second line's options but the last) takes less than eight minutes and can be
run by itself, when the machine is quiet; --write keeps it in results/smc2.json and makes results/smc2.md anew from all
that is kept.

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
import tempfile
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


def compare(python: str, name: str, n_x: int, seeds: int, peer_seeds: int) -> dict[str, Any]:
    """Both sides' figures of a case. In turn, so that a change of the machine's load meets both."""
    mine = ours(name, n_x, seeds // 2)
    peer = theirs(python, name, n_x, peer_seeds)
    mine += ours(name, n_x, seeds)[seeds // 2 :]
    failed = sum("failed" in row for row in peer)
    return {"ours": figures(mine), "theirs": figures(peer), "failed": failed, "load": os.getloadavg()[0]}


def ratio(part: dict[str, Any]) -> float:
    """How many times the peer's CPU x Var(log Z) ours is contained in it."""
    return float(part["theirs"]["metric"] / part["ours"]["metric"])


def comparison(parts: dict[str, dict[str, Any]], n_x: int) -> list[str]:
    """The table of the cases that were run with this N_x, and their geometric mean."""
    from report import table
    from smc2_models import EXACT, STEPS

    heads = [
        "case",
        "T",
        "log Z livesmc2 (sd)",
        "particles (sd)",
        "exact",
        "CPU s",
        "particles",
        "ns/pstep",
        "particles",
    ]
    heads += ["CPU x Var ratio (factor of one se)", "CPU ratio", "gate", "load"]
    rows, found = [], []
    for name in STEPS:
        if name not in parts:
            continue
        part = parts[name]
        mine, peer = part["ours"], part["theirs"]
        found.append(ratio(part))
        exact = EXACT.get((name, STEPS[name]))
        gone = f" ({part['failed']} runs failed)" if part["failed"] else ""
        rows.append(
            [
                name,
                str(STEPS[name]),
                f"{mine['logZ']:.2f} ({mine['sd']:.2f})",
                f"{peer['logZ']:.2f} ({peer['sd']:.2f}){gone}",
                "" if exact is None else f"{exact:.2f}",
                f"{mine['cpu']:.3f}",
                f"{peer['cpu']:.2f}",
                f"{mine['ns']:.1f}",
                f"{peer['ns']:.0f}",
                f"**{found[-1]:.0f}x** (/ or x {math.exp(math.hypot(mine['error'], peer['error'])):.1f})",
                f"{peer['cpu'] / mine['cpu']:.0f}x",
                f"{GATES.get(name, 6)}x" if n_x == 100 else "",
                f"{part['load']:.1f}",
            ]
        )
    runs = sorted({(int(part["ours"]["runs"]), int(part["theirs"]["runs"])) for part in parts.values()})
    said = " or ".join(f"{mine} runs of livesmc2 and {peer} of particles" for mine, peer in runs)
    mean = math.exp(float(np.mean(np.log(found))))
    gate = " (gate 30x)" if n_x == 100 else ""
    return [*table(heads, rows), f"Geometric mean of {len(found)} cases {mean:.0f}x{gate}. {said}.", ""]


FIRST = """
import sys, time
sys.path.insert(0, {here!r})
from livesmc2 import run
from smc2_models import case
chosen = case({name!r})
run(chosen.model, chosen.prior, chosen.data[:10], 400, 200, 1)
"""


def first_posterior() -> list[str]:
    """Seconds from the start of a process to a posterior after 10 observations, 400 x 200: a new model, a known one."""
    lines = []
    for name in ("lg", "seir"):
        seconds: dict[str, list[float]] = {"new": [], "known": []}
        for _ in range(3):
            with tempfile.TemporaryDirectory() as folder:
                # The package's own machine code is there, made by another model; the model's is not, then it is.
                for what, case in (("", "hmm"), ("new", name), ("known", name)):
                    began = time.perf_counter()
                    program = FIRST.format(here=str(HERE), name=case)
                    environment = {**os.environ, "NUMBA_CACHE_DIR": folder}
                    subprocess.run([sys.executable, "-c", program], check=True, env=environment)
                    seconds.setdefault(what, []).append(time.perf_counter() - began)
        lines.append(
            f"- first posterior of {name} in a fresh process (10 observations, 400 x 200), imports included: "
            f"{min(seconds['new']):.1f} s for a new model, {min(seconds['known']):.1f} s for one that ran before"
        )
    return lines


def latency() -> list[str]:
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
    return lines


def two_threads() -> list[str]:
    """Wall time of one thread over that of two."""
    from livesmc2 import run
    from smc2_models import case

    lines = []
    for name in ("lg", "seir"):
        chosen = case(name)
        best: dict[int, float] = {}
        for threads in (1, 2) * 5:
            began = time.perf_counter()
            run(chosen.model, chosen.prior, chosen.data, 400, 200, 1, n_moves=3, max_n_x=200, threads=threads)
            best[threads] = min(best.get(threads, math.inf), time.perf_counter() - began)
        lines.append(
            f"- two threads on {name}, 400 x 200: {best[1] / best[2]:.2f}x one ({best[1]:.2f} s, {best[2]:.2f} s)"
        )
    return lines


PREDECESSOR = {
    "1, 2 smoke": (5_000, 1, (0.4, 0.25, 0.15), 40, 100, 50, 15, 2, "0.58 to 1.22"),
    "3 medium": (10_000, 1, (0.4, 0.25, 0.15), 100, 200, 100, 20, 3, "3.62"),
    "4 time-varying": (20_000, 5, (0.4, 0.25, 0.15), 120, 200, 100, 25, 3, "13.5"),
    "5 high-rejuv": (10_000, 1, (0.4, 0.25, 0.15), 80, 200, 100, 10, 2, "4.62"),
    "6 full-scale": (50_000, 1, (0.3, 0.2, 0.1), 200, 400, 200, 30, 3, "307"),
    "7 memory": (20_000, 1, (0.3, 0.2, 0.1), 500, 100, 50, 20, 2, "16.0"),
}


def predecessor() -> list[str]:
    """The predecessor's configurations with the right observation model, full history, beside its published times.

    Its numbers of states cannot follow an epidemic over hundreds of days: no move is accepted and the parameters
    degenerate. So each is run twice, as it was and with states doubled where moves fail, which is our default.
    """
    from livesmc2 import models, run

    heads = ["configuration", "N_theta x N_x, T, moves", "wall s, all cores", "published s, 88 threads", "truth in 95%"]
    heads += ["wall s, N_x adapted", "N_x at the end", "truth in 95%"]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for name, (population, infectious, truth, steps, n_theta, n_x, _, moves, published) in PREDECESSOR.items():
        model, prior = models.seir(population, infectious, walk=False, exposed=float(infectious))
        theta = dict(zip(("beta", "sigma", "gamma"), truth, strict=True))
        # The first epidemic that did not die out at once; no other choice, which would make the truth unlikely.
        seed = next(s for s in range(99) if models.simulate(model, theta, steps, s)[1].sum() >= 30)
        _, ys = models.simulate(model, theta, steps, seed)
        run(model, prior, ys[:3], 10, 10, 1)
        cells = [name, f"{n_theta} x {n_x}, {steps}, {moves}"]
        for most in (n_x, None):
            began = time.perf_counter()
            smc = run(model, prior, ys, n_theta, n_x, 1, n_moves=moves, max_n_x=most)
            cells.append(f"{time.perf_counter() - began:.2f}")
            cells.append(published if most else str(smc.n_x))
            inside = [bool(smc.quantiles(k, [0.025])[0] < v < smc.quantiles(k, [0.975])[0]) for k, v in theta.items()]
            cells.append(f"{sum(inside)} of 3")
        lines.append("| " + " | ".join(cells) + " |")
        print(lines[-1], file=sys.stderr, flush=True)
    return lines


def ireland() -> list[str]:
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
    return [
        f"- an Ireland-size run, 1000 x 500, T = 365, W = 80: {wall / 60:.1f} min, {smc.rejuvenations} rejuvenations"
    ]


PARTS = {
    "threads": two_threads,
    "latency": latency,
    "first": first_posterior,
    "predecessor": predecessor,
    "ireland": ireland,
}
KEPT = HERE / "results" / "smc2.json"
HEAD = """# livesmc2 beside particles 0.4

N_theta = 100, three moves a rejuvenation, resampling below half of the effective sample size, systematic, no growth of
N_x, one core each; the same data and priors. particles runs PMMH without waste-free chains, which would multiply
N_theta by the chains' length. What differs is what each does by itself: particles moves by a random walk on the
parameters' own scale, livesmc2 by random walk and Student t in turn on the transformed one, from a Latin hypercube of
the prior. Particle-steps count every proposal at its full length on both sides, also those given up early or outside
the prior. CPU x Var(log Z) is the fair figure between two unbiased estimates. Each row says the machine's load (over
one minute, at its end, its own run included): beyond 1.5 others were at work.
"""


def report(kept: dict[str, Any]) -> list[str]:
    """All that was kept, as a page."""
    from report import machine

    lines = [*HEAD.splitlines(), "", f"Machine: {machine()}.", ""]
    for n_x in sorted({part["n_x"] for part in kept.get("cases", {}).values()}):
        parts = {part["case"]: part for part in kept["cases"].values() if part["n_x"] == n_x}
        lines += [f"## N_x = {n_x}", "", *comparison(parts, n_x)]
    for name in PARTS:
        if name in kept:
            lines += [*kept[name]["lines"], "", f"(machine's load {kept[name]['load']:.1f})", ""]
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", action="append", default=[], help="particles=PATH of its environment's interpreter")
    parser.add_argument("--case", action="append", help="one of the cases, may be repeated; without, all seven")
    parser.add_argument("--seeds", type=int, default=64)
    parser.add_argument("--peer-seeds", type=int, default=10)
    parser.add_argument("--n-x", type=int, default=100)
    parser.add_argument("--write", action="store_true", help="keep results/smc2.json and write results/smc2.md")
    for name in PARTS:
        parser.add_argument(f"--{name}", action="store_true")
    chosen = parser.parse_args()
    from report import publish
    from smc2_models import STEPS

    if unknown := sorted(set(chosen.case or []) - set(STEPS)):
        parser.error(f"--case: no case {unknown[0]!r}; cases are {', '.join(STEPS)}")
    pythons = dict(pair.split("=", 1) for pair in chosen.python)
    kept: dict[str, Any] = json.loads(KEPT.read_text()) if chosen.write and KEPT.exists() else {}

    def keep() -> None:
        if chosen.write:
            KEPT.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")

    if "particles" in pythons:
        for name in chosen.case or STEPS:
            part = compare(pythons["particles"], name, chosen.n_x, chosen.seeds, chosen.peer_seeds)
            kept.setdefault("cases", {})[f"{name} {chosen.n_x}"] = {"case": name, "n_x": chosen.n_x, **part}
            print(f"{name}, N_x = {chosen.n_x}: {ratio(part):.0f}x", file=sys.stderr, flush=True)
            keep()
    for name, measure in PARTS.items():
        if getattr(chosen, name):
            kept[name] = {"lines": measure(), "load": os.getloadavg()[0]}
            keep()
    publish("smc2", report(kept), chosen.write)


if __name__ == "__main__":
    main()
