"""Discrete-event simulation: livesim against SimPy, Ciw and salabim on the race models, and what else its speed is.

    python benchmarks/sim.py --python peers=PYTHON [--repeats 7] [--only race ...] [--write]

The peers run in processes and an environment of their own; runs are interleaved. All let the same number of jobs
arrive and serve every one of them to the end. `sim_worker.py` says how each simulator is called. A second is a jobs'
second: events are counted differently by each, jobs are not.
"""

import argparse
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from report import command, machine, publish, table

HERE = Path(__file__).parent
LIBRARIES = ("livesim", "reference", "simpy", "ciw", "salabim")
RACE = {"barbershop": 200_000 // 18, "rework": 50_000, "job shop": 50_000}
"""Jobs: as many as arrive up to 200,000."""
UNSTABLE = "job shop"
SLOW = {"ciw": 10, "salabim": 2}
"""By how much fewer jobs these are given: a run of theirs is long, and jobs a second are compared."""
TOGETHER = {"livesim": 20}
"""Runs that are timed together: one of livesim's takes two milliseconds, in which a processor is hardly awake."""
INLINED = {
    "earlier",
    "push",
    "replace",
    "level",
    "tally",
    "add",
    "count",
    "value_of",
    "next_uniform",
    "job_key",
    "uniform",
    "bits",
    "mix",
}
"""What an event costs: these must be written into the kernel, whatever else they are told to be."""
THREADS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}


class Worker:
    """A simulator's process."""

    def __init__(self, python: str, library: str) -> None:
        self.process = subprocess.Popen(
            [python, str(HERE / "sim_worker.py"), library],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env=os.environ | THREADS,
        )  # fmt: skip
        self.hello = self._read()

    def _read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("{"):
                return dict(json.loads(line))
        raise SystemExit(f"a simulator ended: {self.process.args!r}")

    def run(self, model: str, jobs: int, seed: int, runs: int = 1) -> dict[str, Any]:
        assert self.process.stdin is not None
        asked = {"model": model, "jobs": jobs, "seed": seed, "runs": runs}
        print(json.dumps(asked), file=self.process.stdin, flush=True)
        return self._read()

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def middle(values: list[float], form: Callable[[float], str]) -> str:
    """The median, and the smallest and largest."""
    return f"{form(statistics.median(values))} ({form(min(values))} to {form(max(values))})"


def rate(value: float) -> str:
    return f"{value / 1e6:.2f} M" if value >= 1e6 else f"{value / 1e3:.0f} k" if value >= 1e4 else f"{value:,.0f}"


# -- the race ----------------------------------------------------------------------------------------------------------


def race(workers: dict[str, Worker], options: argparse.Namespace) -> list[str]:
    """Jobs a second, by processor time and by the clock, and how many times SimPy's that is."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for repeat in range(options.repeats):
        for model, jobs in RACE.items():
            for library in random.Random(repeat).sample(list(workers), len(workers)):
                count = jobs // SLOW.get(library, 1)
                runs = TOGETHER.get(library, 1)
                answer = workers[library].run(model, count, repeat, runs)
                assert answer["jobs"] == count * runs, f"{library} lost jobs of {model}: {answer['jobs']} of {count}"
                found.setdefault((model, library), []).append(answer)
                print(model, library, answer, file=sys.stderr)
    rows = []
    for model in RACE:
        for library in workers:
            answers = found[model, library]
            by_cpu = [answer["jobs"] / answer["cpu"] for answer in answers]
            by_clock = [answer["jobs"] / answer["wall"] for answer in answers]
            ratios = [
                mine / (theirs["jobs"] / theirs["cpu"])
                for mine, theirs in zip(by_cpu, found[model, "simpy"], strict=True)
            ]
            check = statistics.fmean(answer["check"] for answer in answers)
            if library == "livesim":
                options.gates.append((f"{model}: times SimPy's jobs a second", statistics.median(ratios), 60.0))
            if library == "reference":
                options.gates.append((f"{model}, reference: times SimPy's", statistics.median(ratios), 1 / 3))
            name = f"{model}{' (unstable)' if model == UNSTABLE else ''}"
            jobs = f"{RACE[model] // SLOW.get(library, 1):,}"
            rows.append(
                [name, library, jobs, middle(by_cpu, rate), rate(statistics.median(by_clock)),
                 middle(ratios, lambda x: f"{x:.3g}"), f"{check:.3g}"]
            )  # fmt: skip
    heads = ["model", "simulator", "jobs", "jobs a second of one core", "by the clock", "times SimPy's", "check"]
    return [
        "## The race models",
        "",
        "As many jobs arrive as do up to 200,000 (the slow peers: a part of them), all are served to the end. The job",
        "shop is unstable (its third stage is given 1.25 times what it can do), so its queue grows without end: a race",
        "of long queues. livesim and salabim keep all statistics; Ciw keeps a record of each visit; SimPy what the",
        "script keeps. Of livesim 20 runs are timed together. Check: the mean wait, the part reworked, the mean time",
        "in the system (grows with the jobs).",
        "",
        *table(heads, rows),
    ]


# -- replications ------------------------------------------------------------------------------------------------------


def replications(workers: dict[str, Worker], options: argparse.Namespace) -> list[str]:
    """1,000 replications of the barbershop to 200,000 on all cores, against one process of SimPy."""
    import livesim
    from livesim import Model, arrive, depart, exponential, hold, release, seize

    shop = Model("barbershop").resource("barber")
    arrivals, service = arrive(every=exponential(mean=18.0)), exponential(mean=16.0)
    shop.process("customer", arrivals, seize("barber"), hold(service), release("barber"), depart())
    ours, theirs, ratios = [], [], []
    settings: dict[str, Any] = {"until": 200_000, "progress": False}
    livesim.replicate(shop, n=4, seed=0, **settings)
    for repeat in range(options.repeats):
        began = time.perf_counter()
        livesim.replicate(shop, n=options.replications, seed=repeat, **settings)
        ours.append(time.perf_counter() - began)
        runs = [workers["simpy"].run("barbershop", RACE["barbershop"], seed) for seed in range(options.simpy_runs)]
        theirs.append(statistics.fmean(run["wall"] for run in runs) * options.replications)
        ratios.append(theirs[-1] / ours[-1])
        print("replications", ours[-1], theirs[-1], file=sys.stderr)
    options.gates.append(("replications on all cores: times one core's SimPy", statistics.median(ratios), 120.0))
    seconds = "{:.3g}".format
    heads = ["", f"seconds for {options.replications:,}"]
    return [
        f"## {options.replications:,} replications of the barbershop to 200,000",
        "",
        f"livesim on {os.cpu_count()} cores; SimPy on one, by the mean of {options.simpy_runs} runs.",
        "",
        *table(
            heads, [["livesim", middle(ours, seconds)], ["SimPy", middle(theirs, seconds)],
                    ["SimPy / livesim", middle(ratios, seconds)]],
        ),
    ]  # fmt: skip


# -- PHOLD -------------------------------------------------------------------------------------------------------------


def phold(workers: dict[str, Worker], options: argparse.Namespace) -> list[str]:
    """Events a second of PHOLD: 16 events a logical process, a quarter sent elsewhere, lookahead 0, mean 1."""
    from livesim.phold import phold as run

    rows = []
    run(100, until=1.0)
    for lps in (100, 1_000, 10_000):
        ours, theirs = [], []
        for repeat in range(options.repeats):
            began = time.process_time()
            events = run(lps, seed=repeat, until=100.0).events
            ours.append(events / (time.process_time() - began))
            answer = workers["simpy"].run("phold", lps, repeat)
            theirs.append(answer["jobs"] / answer["cpu"])
        ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
        if lps == 1_000:
            options.gates.append(("PHOLD of 1,000: times SimPy's events a second", statistics.median(ratios), 20.0))
        rows.append([f"{lps:,}", middle(ours, rate), middle(theirs, rate), middle(ratios, lambda x: f"{x:.3g}")])
    return [
        "## PHOLD",
        "",
        "sim_ex's variant: 16 events a logical process, remote 0.25, lookahead 0, mean 1; to 100 (SimPy, by callbacks,",
        "to 20). Events a second of one core. sim_ex's own figure on its 88-core machine: 533 k by its default engine.",
        "",
        *table(["logical processes", "livesim", "SimPy", "livesim / SimPy"], rows),
    ]


# -- one event, by how many are pending --------------------------------------------------------------------------------


def pending(workers: dict[str, Worker], options: argparse.Namespace) -> list[str]:
    """Nanoseconds an event while so many jobs hold for exponential times, again and again."""
    from livesim import Model, arrive, exponential, hold, jump, label, run

    rows = []
    for count in (10, 100, 1_000, 10_000, 100_000):
        model = Model("hold").process(
            "job", arrive(at=[0], batch=count), label("again"), hold(exponential(mean=1.0)), jump("again")
        )
        events = max(1_000_000, 5 * count)
        found = []
        for repeat in range(options.repeats + 1):
            began = time.process_time()
            result = run(model, events / count, seed=repeat)
            found.append(1e9 * (time.process_time() - began) / result.events)
        rows.append([f"{count:,}", middle(found[1:], lambda x: f"{x:.0f}")])
    return [
        "## An event, by how many are pending",
        "",
        "Jobs that hold for an exponential time, again and again; the draw (about 12 ns) and the step are in it.",
        "",
        *table(["pending", "ns an event"], rows),
    ]


# -- start -------------------------------------------------------------------------------------------------------------

START = """
import json, time
began = time.perf_counter(), time.process_time()
import livesim
from livesim import Model, arrive, depart, exponential, hold, release, run, seize
shop = Model("barbershop").resource("barber").process("customer", arrive(every=exponential(mean=18)), seize("barber"),
    hold(exponential(mean=16)), release("barber"), depart())
imported = time.perf_counter(), time.process_time()
run(shop, 100, seed=0)
ran = time.perf_counter(), time.process_time()
run(shop, 100, seed=0)
again = time.perf_counter() - ran[0]
print(json.dumps({"import": imported[0] - began[0], "run": ran[0] - imported[0], "cpu": ran[1] - began[1],
                  "again": again}))
"""


def fresh(program: str, cache: str) -> dict[str, Any]:
    """What a new process prints, with Numba's cache in a folder."""
    answer = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | THREADS | {"NUMBA_CACHE_DIR": cache},
        check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    return dict(json.loads(answer.stdout))


def start(workers: dict[str, Worker], options: argparse.Namespace) -> list[str]:
    """From a new process to the first events."""
    rows = []
    with tempfile.TemporaryDirectory() as cache:
        cases = [("nothing compiled yet", [fresh(START, cache)])]
        cases.append(("from the cache on disk", [fresh(START, cache) for _ in range(options.repeats)]))
    for name, runs in cases:
        rows.append(
            [name] + [middle([1e3 * run[part] for run in runs], lambda x: f"{x:,.0f}") for part in ("import", "run")]
            + [middle([1e3 * run["again"] for run in runs], lambda x: f"{x:.2f}")]
            + [middle([1e3 * run["cpu"] for run in runs], lambda x: f"{x:,.0f}")]
        )  # fmt: skip
    return [
        "## From a new process to the first events",
        "",
        "Milliseconds by the clock, and of the processor in all.",
        "",
        *table(["", "import livesim", "first run", "second run", "processor, all"], rows),
    ]


# -- memory ------------------------------------------------------------------------------------------------------------

RESIDENT = """
import json
from pathlib import Path
def resident(kind):
    return int(next(row for row in Path("/proc/self/status").read_text().splitlines() if kind in row).split()[1])
"""
MEMORY = {
    "livesim": RESIDENT
    + """
from livesim import Model, arrive, depart, hold, run, uniform
def model(n):
    return Model("many").process("job", arrive(at=[0], batch=n), hold(uniform(1, 2)), depart())
run(model(10), 3, seed=0)
before = resident("VmRSS")
result = run(model({jobs}), 0.5, seed=0)
assert result["job"].in_process == {jobs}
print(json.dumps({{"kib": resident("VmHWM") - before}}))
""",
    "simpy": RESIDENT
    + """
import random, simpy
def job(env):
    yield env.timeout(random.uniform(1, 2))
env = simpy.Environment()
before = resident("VmRSS")
for _ in range({jobs}):
    env.process(job(env))
env.run(0.5)
print(json.dumps({{"kib": resident("VmHWM") - before}}))
""",
}


def memory(workers: dict[str, Worker], options: argparse.Namespace) -> list[str]:
    """Bytes a job that is in process, each with an event pending: the peak above what there was before."""
    rows = []
    for library, python, jobs in (
        ("livesim", sys.executable, 1_000_000), ("simpy", options.python.get("peers", sys.executable), 100_000)
    ):  # fmt: skip
        program = MEMORY[library].format(jobs=jobs)
        answer = subprocess.run([python, "-c", program], check=True, stdout=subprocess.PIPE, text=True)
        kib = json.loads(answer.stdout)["kib"]
        rows.append([library, f"{jobs:,}", f"{kib / 1024:,.0f}", f"{1024 * kib / jobs:,.0f}"])
    return [
        "## Memory",
        "",
        "Jobs that are in process at once, each with an event to come: the peak above what the process had before.",
        "",
        *table(["", "jobs", "MiB", "bytes a job"], rows),
    ]


# -- inlining ----------------------------------------------------------------------------------------------------------


def inlining(workers: dict[str, Worker], options: argparse.Namespace) -> list[str]:
    """What the kernel calls and what is written into it, after LLVM's passes: no stopwatch."""
    import llvmlite.binding as llvm
    from livesim.engine.compiled import interpreter
    from livesim.native import objects

    text, _ = interpreter.make()
    attributes = dict(re.findall(r"^attributes #(\d+) = \{(.*)\}", text, flags=re.M))
    headers = re.findall(r'^define .*?@"?([^"(]+)"?\(.*?\)([^\n]*)\{', text, flags=re.M)
    forced = [
        name
        for name, rest in headers
        if "alwaysinline" in rest or any("alwaysinline" in attributes[at] for at in re.findall(r"#(\d+)", rest))
    ]
    module = llvm.parse_assembly(text)
    builder = llvm.create_pass_builder(objects._machine(), llvm.create_pipeline_tuning_options(speed_level=3))
    builder.getModulePassManager().run(module, builder)
    bodies = {each.name: list(each.blocks) for each in module.functions if not each.is_declaration}
    kernel = max((name for name in bodies if "advance" in name), key=lambda name: len(str(bodies[name])))
    calls = {name: _called(blocks) for name, blocks in bodies.items()}
    wanted = INLINED | {_short(name) for name in forced}
    left = sorted({_short(name) for name in set().union(*calls.values()) if name in bodies} & wanted)
    options.gates.append(("functions that should be inlined and are not", -float(len(left)), 0.0))
    verdict = f"NOT all are: {', '.join(left)}" if left else "all are"
    known = sorted({_short(name) for name in calls[kernel] if name in bodies})
    steps = sum(1 for block in bodies[kernel] for _ in block.instructions)
    return [
        "## Inlining",
        "",
        f"Of {len(wanted)} functions that must be written into their callers {verdict}. The kernel, {steps:,} of",
        f"LLVM's instructions, calls {len(known)} of the module's functions: {', '.join(known)}.",
        "",
    ]


def _called(blocks: list[Any]) -> set[str]:
    """The names of the functions that a body calls."""
    calls = [step for block in blocks for step in block.instructions if step.opcode == "call"]
    return {list(step.operands)[-1].name for step in calls}


def _short(name: str) -> str:
    """A function's own name, out of the one that Numba makes of it."""
    found = re.findall(r"\d([a-z_]+)B\d*v\d", name)
    return found[-1] if found else name


SECTIONS: dict[str, Callable[[dict[str, Worker], argparse.Namespace], list[str]]] = {
    "race": race,
    "replications": replications,
    "phold": phold,
    "pending": pending,
    "start": start,
    "memory": memory,
    "inlining": inlining,
}
WITH_PEERS = {"race": LIBRARIES, "replications": ("simpy",), "phold": ("simpy",)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", action="append", default=[], metavar="peers=PYTHON")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--replications", type=int, default=1_000)
    parser.add_argument("--simpy-runs", type=int, default=20)
    parser.add_argument("--only", nargs="*", default=list(SECTIONS), choices=list(SECTIONS))
    parser.add_argument("--write", action="store_true", help="write benchmarks/results/sim.md")
    options = parser.parse_args()
    options.gates = []
    options.python = dict(pair.split("=", 1) for pair in options.python)
    peers = options.python.get("peers", sys.executable)
    wanted = [name for name in LIBRARIES if any(name in WITH_PEERS.get(section, ()) for section in options.only)]
    ours = ("livesim", "reference")
    workers = {name: Worker(sys.executable if name in ours else peers, name) for name in wanted}
    versions = ", ".join(f"{name} {worker.hello['version']}" for name, worker in workers.items() if name != "reference")
    pythons = sorted({worker.hello["python"] for worker in workers.values()}) or [sys.version.split()[0]]
    busy = os.getloadavg()[1]
    lines = [
        "# Discrete-event simulation",
        "",
        f"Python {' and '.join(pythons)}, {versions}; {machine()}. `{command()}`.",
        f"Medians of {options.repeats} interleaved runs (smallest to largest). The load average over the five minutes",
        f"before was {busy:.1f}.",
        "",
    ]
    sections = [line for section in options.only for line in SECTIONS[section](workers, options)]
    for worker in workers.values():
        worker.close()
    rows = [
        [name, f"{abs(value):.3g}", f"{abs(wanted):.3g}", "yes" if value >= wanted else "NO"]
        for name, value, wanted in options.gates
    ]
    gates = ["## Gates", "", *table(["", "measured", "wanted", "met"], rows)] if rows else []
    publish("sim", lines + gates + sections, options.write)
    if any(value < wanted for _, value, wanted in options.gates):
        raise SystemExit("a gate is not met")


if __name__ == "__main__":
    main()
