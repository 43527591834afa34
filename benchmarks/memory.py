"""Peak memory of a run beyond imports, against the size of its draws.

    python benchmarks/memory.py [--draws 1000 100000 1000000] [--write]

Every run is a fresh process; the peak resident set is the kernel's own figure (`ru_maxrss`).
"""

import argparse
import resource
import subprocess
import sys
from typing import Any

MODEL = "schools"


def peak() -> float:
    """MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2)


def run(draws: int) -> None:
    """In a process of its own: print the peaks after imports and after the run, the size of draws and statistics."""
    import livenuts as ln
    from seven_models import numpyro_models

    function, arguments = numpyro_models()[MODEL]
    imports = peak()
    settings: dict[str, Any] = {"num_samples": draws, "num_chains": 1, "seed": 1, "progress": False}
    result = ln.sample(ln.from_numpyro(function, *arguments), **settings)
    size, more = (sum(array.nbytes for array in arrays.values()) / 1024**2 for arrays in (result.draws, result.stats))
    print(imports, peak(), size, more)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, nargs="*", default=[1000, 100_000, 1_000_000])
    parser.add_argument("--run", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--write", action="store_true", help="write benchmarks/results/memory.md")
    options = parser.parse_args()
    if options.run:
        run(options.run)
        return
    from report import command, machine, publish, table, versions

    rows = []
    for draws in options.draws:
        words = [sys.executable, __file__, "--run", str(draws)]
        answer = subprocess.run(words, check=True, capture_output=True, text=True).stdout
        imports, highest, size, more = (float(word) for word in answer.split()[-4:])
        rows.append([f"{draws:,}", *(f"{x:.0f}" for x in (imports, highest - imports)), f"{size:.1f}", f"{more:.1f}"])
        print(rows[-1], file=sys.stderr)
    lines = [
        "# Peak memory of a run",
        "",
        f"{versions('livenuts', 'jax', 'numpyro')}; {machine()}. `{command()}`.",
        f"{MODEL}, 1 chain after 1000 warm-up iterations, MB. A run's peak holds JAX's compiler too: the first row.",
        "",
        *table(["draws", "peak of imports", "peak of the run beyond it", "its draws", "its statistics"], rows),
    ]
    publish("memory", lines, options.write)


if __name__ == "__main__":
    main()
