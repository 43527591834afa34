"""NUTS on the seven reference models: livenuts against nutpie and NumPyro, side by side.

Each sampler runs in a process and an environment of its own; the runs are interleaved, seed by seed. Wall seconds of
a whole call (warm-up and draws), the smallest bulk ESS over all parameters by one estimator (arviz-stats), and their
quotient. Cold is the first call in a fresh process, compilation included, imports apart.

    python benchmarks/nuts.py --python livenuts=PYTHON --python nutpie=PYTHON --python numpyro=PYTHON [--write]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from arviz_stats.base import array_stats
from seven_models import NAMES

HERE = Path(__file__).parent
PEERS = ("nutpie", "numpyro")


class Worker:
    """A sampler's process for one model."""

    def __init__(self, python: str, sampler: str, model: str, options: argparse.Namespace, folder: str) -> None:
        threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        arguments = [str(options.draws), str(options.warmup), str(options.chains), folder]
        self.process = subprocess.Popen(
            [python, str(HERE / "nuts_worker.py"), sampler, model, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if not options.verbose else None,
            text=True,
            env=os.environ | threads,
        )
        self.hello = self._read()

    def _read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("{"):
                return dict(json.loads(line))
        raise SystemExit(f"a sampler ended: {self.process.args}")

    def run(self, seed: int) -> dict[str, Any]:
        """One run: wall seconds and smallest ESS."""
        assert self.process.stdin is not None
        print(seed, file=self.process.stdin, flush=True)
        answer = self._read()
        with np.load(answer["path"]) as samples:
            answer["ess"] = min(smallest_ess(samples[name]) for name in samples.files)
        os.unlink(answer["path"])
        return answer

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def smallest_ess(draws: np.ndarray) -> float:
    """The smallest bulk ESS over a variable's elements; draws are (chain, draw, *shape)."""
    flat = draws.reshape(*draws.shape[:2], -1)
    return float(np.min(array_stats.ess(flat, chain_axis=0, draw_axis=1, method="bulk")))


def geometric_mean(values: list[float]) -> float:
    return float(np.exp(np.mean(np.log(values))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", action="append", default=[], metavar="SAMPLER=PYTHON")
    parser.add_argument("--seeds", type=int, default=7)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--warmup", type=int, default=1000)
    parser.add_argument("--chains", type=int, default=1)
    parser.add_argument("--models", nargs="*", default=list(NAMES))
    parser.add_argument("--write", action="store_true", help="write benchmarks/results/nuts*.md")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    pythons = dict(text.split("=", 1) for text in options.python) or {"livenuts": sys.executable}
    peers = [peer for peer in PEERS if peer in pythons]

    versions: dict[str, dict[str, str]] = {}
    found: dict[str, dict[str, dict[str, float]]] = {}
    for model in options.models:
        with tempfile.TemporaryDirectory() as folder:
            workers = {s: Worker(python, s, model, options, folder) for s, python in pythons.items()}
            versions |= {sampler: worker.hello["versions"] for sampler, worker in workers.items()}
            cold = {sampler: worker.run(1000)["wall"] for sampler, worker in workers.items()}
            runs: dict[str, list[dict[str, Any]]] = {sampler: [] for sampler in workers}
            for seed in range(options.seeds):
                for sampler, worker in workers.items():
                    runs[sampler].append(worker.run(seed))
            for worker in workers.values():
                worker.close()
        found[model] = {
            sampler: {
                "wall": statistics.median(run["wall"] for run in answers),
                "ess": statistics.median(run["ess"] for run in answers),
                "rate": statistics.median(run["ess"] / run["wall"] for run in answers),
                "leapfrogs": statistics.median(run["leapfrogs"] for run in answers),
                "cold": cold[sampler],
                "import": workers[sampler].hello["import"],
            }
            for sampler, answers in runs.items()
        }
        print(model, json.dumps(found[model]), file=sys.stderr)

    text = report(found, versions, peers, options)
    print(text)
    if options.write:
        suffix = "" if options.chains == 1 else f"-{options.chains}-chains"
        (HERE / "results" / f"nuts{suffix}.md").write_text(text + "\n", encoding="utf-8")


def report(found: Any, versions: Any, peers: list[str], options: argparse.Namespace) -> str:
    """The tables as Markdown."""
    chains = "1 chain" if options.chains == 1 else f"{options.chains} chains"
    lines = [
        f"# NUTS, {chains} of {options.warmup} + {options.draws}, medians of {options.seeds} seeds",
        "",
        "; ".join(
            f"{sampler}: {', '.join(f'{k} {v}' for k, v in parts.items())}" for sampler, parts in versions.items()
        ),
        f"on {os.cpu_count()} cores. target_accept 0.8, max_tree_depth 10, diagonal metric, float64; the rest default.",
        "",
    ]
    for title, key, better in (
        ("Warm wall time, ms", "wall", "smaller"),
        ("Smallest bulk ESS a second, warm", "rate", "larger"),
        ("Cold: first call of a fresh process with compilation, without imports, s", "cold", "smaller"),
    ):
        heads = ["model", "livenuts", *peers, *(f"x {peer}" for peer in peers)]
        lines += [f"## {title}", "", f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
        ratios: dict[str, list[float]] = {peer: [] for peer in peers}
        for model, row in found.items():
            ours = row["livenuts"][key]
            scale, digits = (1000, 1) if key == "wall" else (1, 2 if key == "cold" else 0)
            cells = [model, f"{scale * ours:.{digits}f}", *(f"{scale * row[peer][key]:.{digits}f}" for peer in peers)]
            for peer in peers:
                ratio = row[peer][key] / ours if better == "smaller" else ours / row[peer][key]
                ratios[peer].append(ratio)
                cells.append(f"{ratio:.1f}")
            lines.append(f"| {' | '.join(cells)} |")
        if peers:
            means = [f"{geometric_mean(ratios[peer]):.1f}, least {min(ratios[peer]):.1f}" for peer in peers]
            lines.append(f"| geometric mean |{' |' * (1 + len(peers))} {' | '.join(means)} |")
        lines.append("")
    heads = ["model", *(f"{name} of {s}" for s in ("livenuts", *peers) for name in ("ESS", "leapfrogs"))]
    lines += [
        "## Median smallest ESS, and leapfrog steps of the draws",
        "",
        f"| {' | '.join(heads)} |",
        f"|{'---|' * len(heads)}",
    ]
    for model, row in found.items():
        cells = [f"{row[s][key]:.0f}" for s in ("livenuts", *peers) for key in ("ess", "leapfrogs")]
        lines.append(f"| {' | '.join([model, *cells])} |")
    imports = {s: statistics.median(row[s]["import"] for row in found.values()) for s in ("livenuts", *peers)}
    lines += ["", "Imports, s: " + ", ".join(f"{sampler} {seconds:.1f}" for sampler, seconds in imports.items()) + "."]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
