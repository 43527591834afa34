"""What a sink costs the sampler: microseconds a draw, by interleaved minima with and without one.

    python benchmarks/streaming.py [--repeats 15] [--write]

The cost is the difference of the fastest calls over all iterations, warm-up included: each is a message. A publisher
sends to an embedded store in a process of its own, which wants a core too; the call ends when every message is stored,
the sampler before.
"""

import argparse
import math
import sys
import time
from typing import Any

import livenuts as ln
import livequeue
from report import command, machine, publish, table, versions
from seven_models import numpyro_models


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="*", default=["simple", "schools", "logistic"])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--draws", type=int, default=5000)
    parser.add_argument("--chains", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="write benchmarks/results/streaming.md")
    options = parser.parse_args()
    settings: dict[str, Any] = {"num_samples": options.draws, "num_chains": options.chains}
    settings |= {"early_stop": False, "progress": False}
    messages = (settings["num_samples"] + 1000) * options.chains
    rows = []
    with livequeue.connect("embedded://") as queue:
        for name in options.models:
            function, arguments = numpyro_models()[name]
            model = ln.from_numpyro(function, *arguments)
            best: dict[str, float] = {}
            for repeat in range(options.repeats + 1):  # the first compiles
                kept: list[Any] = []
                publisher = queue.publisher(f"{name}-{repeat}")
                sinks = {"none": None, "no-op": lambda message: None, "list": kept.append}
                sinks |= {"running": ln.RunningSummary(), "publisher": publisher}
                for kind, sink in sinks.items():
                    began = time.perf_counter()
                    result = ln.sample(model, seed=1, sink=sink, **settings)
                    whole = time.perf_counter() - began
                    sampler = result.timings["warmup"] + result.timings["sampling"]
                    for measure, seconds in ((kind, sampler), (f"{kind}, stored", whole)):
                        best[measure] = min(best.get(measure, math.inf), seconds if repeat else math.inf)
                publisher.close()
            costs = [best[kind] - best["none"] for kind in list(sinks)[1:]]
            costs += [best["publisher, stored"] - best["none, stored"]]
            micros = (f"{1e6 * seconds / messages:.2f}" for seconds in (best["none"], *costs))
            rows.append([name, f"{1000 * best['none']:.1f}", *micros])
            print(rows[-1], file=sys.stderr)
    heads = ["model", "no sink, ms", "no sink", "+ no-op", "+ list.append", "+ RunningSummary"]
    heads += ["+ publisher", "+ publisher, all stored"]
    lines = [
        "# What a sink costs the sampler",
        "",
        f"{versions('livenuts', 'livequeue', 'jax', 'numpyro')}; {machine()}. `{command()}`.",
        f"{options.chains} chain(s) of 1000 + {options.draws}; minima of {options.repeats} interleaved runs of a seed;",
        "microseconds an iteration, each of which is a message: first the sampler's own, then what a sink adds.",
        "",
        *table(heads, rows),
    ]
    publish("streaming", lines, options.write)


if __name__ == "__main__":
    main()
