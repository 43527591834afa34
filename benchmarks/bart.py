"""livebart beside bartz and stochtree: the cost of a sweep, accuracy, coverage, effective draws a second, and more.

    python benchmarks/bart.py --python bartz=PATH --python stochtree=PATH [--case cost chains] [--minutes 8] [--write]

Each engine runs in processes of its own, on the same data, with the same trees, sweeps and priors. The cost of a sweep
is the time of k + 200 sweeps less that of k, so compilation and set-up drop out: CPU time on one core, and wall time
for two chains on two.

With --write, every measurement is kept in results/bart.json, and results/bart.md is made of all that are there. What is
there is not measured again (--again does), so a quiet hour may be spent in pieces: the same command with `--minutes 8`
begins nothing after eight minutes, and goes on where it was left.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from report import RESULTS, machine, publish, table

ENGINES = ("livebart", "bartz", "stochtree")
PEERS = ENGINES[1:]
WORKER = Path(__file__).with_name("bart_worker.py")
FIRST, MORE = 100, 200

Job = dict[str, Any]
Record = dict[str, Any]


# -- data --------------------------------------------------------------------------------------------------------------


def friedman1(X: np.ndarray) -> np.ndarray:
    return np.asarray(10 * np.sin(np.pi * X[:, 0] * X[:, 1]) + 20 * (X[:, 2] - 0.5) ** 2 + 10 * X[:, 3] + 5 * X[:, 4])


def sparse_linear(X: np.ndarray) -> np.ndarray:
    return np.asarray(10 * X[:, :5] @ [3, 2, -1.5, 0.8, 0.3])


def smooth_sin(X: np.ndarray) -> np.ndarray:
    return np.asarray(np.sin(2 * np.pi * X[:, 0]) + np.cos(2 * np.pi * X[:, 1]) + 2 * X[:, 2] ** 2 + X[:, 3])


def housing(X: np.ndarray) -> np.ndarray:
    """The logarithm of a synthetic price, about income, population, rooms, place, age and occupancy."""
    income, population, rooms = 0.5 + 14 * X[:, 0], 3 + 3500 * X[:, 1], 1 + 9 * X[:, 2]
    latitude, longitude, age, occupancy = 32 + 10 * X[:, 3], -124 + 10 * X[:, 4], 1 + 51 * X[:, 5], 1 + 5 * X[:, 6]
    log = 0.4 * np.log1p(income) - 0.1 * np.log1p(population) + 0.2 * np.log1p(rooms) - 0.05 * np.abs(latitude - 37)
    return np.asarray(log - 0.03 * np.abs(longitude + 120) + 0.01 * age - 0.1 * occupancy)


FUNCTIONS = {function.__name__: function for function in (friedman1, sparse_linear, smooth_sin, housing)}
SEVEN: dict[str, tuple[str, int, int, float]] = {
    "smoke": ("friedman1", 1_000, 10, 1.0),
    "medium-n": ("friedman1", 10_000, 10, 1.0),
    "large-n": ("friedman1", 50_000, 10, 1.0),
    "high-p": ("sparse_linear", 1_000, 100, 0.5),
    "extreme-p": ("sparse_linear", 5_000, 500, 0.5),
    "smooth-sin": ("smooth_sin", 5_000, 5, 0.2),
    "housing": ("housing", 20_000, 8, 0.3),
}
"""The seven tests of this engine's predecessor: function of uniform columns, n, p, sd of the noise."""


def write_data(folder: Path, job: Job) -> str:
    """The data set of a job, and the noise prior of all engines: lambda of CGM's calibration by least squares."""
    from scipy.stats import chi2

    n, p, name = job["n"], job["p"], job.get("f", "friedman1")
    path = folder / f"{name}-{n}-{p}-{job.get('set', 0)}.npz"
    if not path.exists():
        f, rng = FUNCTIONS[name], np.random.default_rng([n, p, job.get("set", 0)])
        X, new = rng.uniform(size=(n, p)), rng.uniform(size=(1000, p))
        y = f(X) + job.get("noise", 1.0) * rng.normal(size=n)
        design = np.column_stack([np.ones(n), X])
        residual = y - design @ np.linalg.lstsq(design, y, rcond=None)[0]
        sigma_hat = float(np.sqrt(residual @ residual / (n - p - 1)))
        prior = {"sigma_hat": sigma_hat, "lambda": sigma_hat**2 * chi2.ppf(0.1, 3) / 3}
        np.savez(path, X=X, y=y, new=new, f_new=f(new), **prior)
    return str(path)


# -- asking ------------------------------------------------------------------------------------------------------------


class Workers:
    """One process at a time, kept while the engine and its cores stay the same."""

    def __init__(self, pythons: dict[str, str]) -> None:
        self.pythons = pythons
        self._kind: tuple[Any, ...] = ()
        self._process: subprocess.Popen[str] | None = None

    def close(self) -> None:
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait()
            self._process = None

    def ask(self, job: Job, *, alone: bool = False, env: dict[str, str] | None = None) -> Record:
        """The worker's answer; of a process of its own where `alone` is true."""
        kind = (job["engine"], job["chains"])
        if self._process is None or alone or kind != self._kind:
            self.close()
            threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
            flags = f"--xla_cpu_multi_thread_eigen=false --xla_force_host_platform_device_count={job['chains']}"
            self._process = subprocess.Popen(
                [self.pythons[job["engine"]], str(WORKER), job["engine"]],
                env=os.environ | threads | {"XLA_FLAGS": flags} | (env or {}),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        self._kind = () if alone else kind
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(json.dumps(job) + "\n")
        process.stdin.flush()
        while line := process.stdout.readline():
            if line.startswith("{"):  # engines may say something of their own
                answer: Record = json.loads(line)
                if alone:
                    self.close()
                return answer
        raise RuntimeError(f"{job} failed:\n{process.stderr.read()[-2000:]}")


def version_of(python: str, engine: str) -> str:
    program = f"from importlib.metadata import version; print(version({engine!r}))"
    told = subprocess.run([python, "-c", program], capture_output=True, text=True).stdout.strip()
    return told or "of this clone"


def key_of(job: Job) -> str:
    return json.dumps(job, sort_keys=True)


def mean_of(values: Iterable[float], digits: int = 3, sign: str = "") -> str:
    """A mean with its standard error."""
    numbers = np.array(list(values), float)
    text = f"{numbers.mean():{sign}.{digits}f}"
    return text if len(numbers) < 2 else f"{text} +- {numbers.std(ddof=1) / np.sqrt(len(numbers)):.{digits}f}"


# -- the cases: what is asked, and what is made of the answers ---------------------------------------------------------


class Case:
    """Its jobs, and the table of their records."""

    title: str
    told: str

    def jobs(self, options: argparse.Namespace) -> Iterator[Job]:
        raise NotImplementedError

    def measure(self, workers: Workers, job: Job, data: str) -> Record:
        return workers.ask(job | {"data": data, "repeats": 2})

    def table(self, records: list[tuple[Job, Record]], everything: dict[str, Record]) -> list[str]:
        raise NotImplementedError


class Cost(Case):
    title = "One more sweep"
    told = (
        "CPU time on one core, the least of two repeats, {trees} trees; in brackets microseconds a sweep. The peers' "
        "columns at the right are their time over livebart's."
    )
    chains = 1
    sizes = (500, 2_000, 10_000, 50_000, 500_000)
    columns = (10, 100)

    def jobs(self, options: argparse.Namespace) -> Iterator[Job]:
        shared = {"task": "cost", "chains": self.chains, "trees": options.trees, "first": FIRST, "more": MORE}
        for p, n, engine in product(self.columns, self.sizes, ENGINES):
            if n < 500_000 or (engine == "livebart" and p == 10):
                yield shared | {"n": n, "p": p, "engine": engine}

    def table(self, records: list[tuple[Job, Record]], everything: dict[str, Record]) -> list[str]:
        found: dict[tuple[int, int], dict[str, float]] = {}
        for job, record in records:
            found.setdefault((job["p"], job["n"]), {})[job["engine"]] = record["seconds"]
        trees = records[0][0]["trees"]
        rows = []
        for (p, n), costs in sorted(found.items()):
            cells = [
                f"{costs[e] / n / trees / self.chains * 1e9:.2f} ({costs[e] * 1e6:.0f})" if e in costs else ""
                for e in ENGINES
            ]
            ratios = [
                f"{costs[peer] / costs['livebart']:.1f}" if {peer, "livebart"} <= costs.keys() else "" for peer in PEERS
            ]
            rows.append([str(n), str(p), *cells, *ratios])
        heads = ["n", "p", *(f"{engine}: ns a datum a tree" for engine in ENGINES)]
        return table(heads + [f"{peer} / livebart" for peer in PEERS], rows)


class Chains(Cost):
    title = "Two chains on two cores"
    told = (
        "Wall time of one more sweep of two chains; ns for each chain's datum and tree. livebart: a thread a chain; "
        "bartz: a device a chain; stochtree: one chain after the other."
    )
    chains = 2
    sizes = (500, 2_000, 10_000, 50_000)
    columns = (10,)


class Accuracy(Case):
    title = "What it is worth"
    told = (
        "Friedman 1, noise 1: several data sets, the same for all engines; {burn} sweeps of burn-in, then {draws} "
        "draws of a chain; the true f at 1,000 new points. Means over data sets with their standard errors; the "
        "differences are livebart's less the peer's, paired by data set. The noise prior is the same for all, CGM's "
        "calibration (nu 3, q .9) by least squares, and so are the leaves' prior and the trees'; bartz's trees have at "
        "most 6 levels, and 10 rows in a node that is split, the others 5 rows in a leaf."
    )
    sizes: tuple[int, ...] = (500, 2_000, 10_000)
    columns = (10, 100)

    def jobs(self, options: argparse.Namespace) -> Iterator[Job]:
        shared = {"task": "quality", "trees": options.trees, "burn": options.burn, "draws": options.draws}
        for p, n, engine, chains in product(self.columns, self.sizes, ENGINES, (1, 4)):
            if chains == 1 or engine == "livebart":
                for number in range(options.sets):
                    yield shared | {"n": n, "p": p, "engine": engine, "chains": chains, "set": number}

    def measure(self, workers: Workers, job: Job, data: str) -> Record:
        from livebart.diagnostics import effective_sample_size

        found = workers.ask(job | {"data": data})
        sigma = np.array(found.pop("sigma")).reshape(job["chains"], -1)
        f = np.array(found.pop("f")).reshape(*sigma.shape, -1)
        sizes = [effective_sample_size(f[:, :, j]) for j in range(f.shape[2])]
        return found | {
            "sigma": float(sigma.mean()),
            "ess_sigma": float(effective_sample_size(sigma)),
            "ess_f": float(np.median(sizes)),
        }

    def name_of(self, job: Job) -> str:
        return f"{job['n']} x {job['p']}"

    def table(self, records: list[tuple[Job, Record]], everything: dict[str, Record]) -> list[str]:
        found: dict[str, dict[tuple[str, int], dict[int, Record]]] = {}
        for job, record in records:
            engines = found.setdefault(self.name_of(job), {})
            engines.setdefault((job["engine"], job["chains"]), {})[job["set"]] = record
        rows, differences = [], []
        for name, engines in found.items():
            for (engine, chains), sets in engines.items():
                numbers = [
                    mean_of(record[part] for record in sets.values()) for part in ("rmse", "coverage", "width", "sigma")
                ]
                label = engine if chains == 1 else f"{engine}, {chains} chains"
                rows.append([name, label, str(len(sets)), *numbers])
            ours = engines.get(("livebart", 1), {})
            for peer in PEERS:
                theirs = engines.get((peer, 1), {})
                both = sorted(ours.keys() & theirs.keys())
                if both:
                    numbers = [
                        mean_of((ours[k][part] - theirs[k][part] for k in both), sign="+")
                        for part in ("rmse", "coverage")
                    ]
                    differences.append([name, peer, str(len(both)), *numbers])
        heads = ["data", "engine", "data sets", "RMSE of f", "90 % coverage", "width", "sigma"]
        lines = table(heads, rows)
        return lines + table(["data", "livebart less", "data sets", "RMSE of f", "coverage"], differences)


class Effective(Case):
    title = "Effective draws a second"
    told = (
        "Of sigma, and of f at 20 new points (the median): the effective sample size of the chains above, its mean "
        "over data sets, divided by the time of their sweeps as measured above; one core, compilation and set-up left "
        "out."
    )

    def jobs(self, options: argparse.Namespace) -> Iterator[Job]:
        return iter(())

    def table(self, records: list[tuple[Job, Record]], everything: dict[str, Record]) -> list[str]:
        costs, sizes = {}, {}
        for key, record in everything.items():
            job = json.loads(key)
            if job["case"] == "cost":
                costs[job["n"], job["p"], job["engine"]] = record["seconds"]
            if job["case"] == "accuracy" and job["chains"] == 1:
                sizes.setdefault((job["p"], job["n"], job["engine"]), []).append(
                    (record["ess_sigma"] / job["draws"], record["ess_f"] / job["draws"])
                )
        rows = []
        for (p, n, engine), told in sorted(sizes.items()):
            if (n, p, engine) in costs:
                sigma, f = np.mean(told, axis=0)
                cost = costs[n, p, engine]
                rows.append([str(n), str(p), engine, f"{1000 * sigma:.0f}", f"{1000 * f:.0f}"])
                rows[-1] += [f"{sigma / cost:.1f}", f"{f / cost:.1f}"]
        heads = ["n", "p", "engine", "ESS of 1,000 draws: sigma", "f", "ESS a second: sigma", "f"]
        return table(heads, rows) if rows else []


class Seven(Accuracy):
    title = "The seven data sets of the predecessor, made honest"
    told = (
        "The same data sets for all engines, held-out points, the true f: 300 sweeps of burn-in, then 300 draws of a "
        "chain, all else as above. `housing` is the logarithm of the price."
    )

    def jobs(self, options: argparse.Namespace) -> Iterator[Job]:
        shared = {"task": "quality", "trees": options.trees, "burn": 300, "draws": 300, "chains": 1}
        for number, (name, (f, n, p, noise)), engine in product(range(options.sets_of_seven), SEVEN.items(), ENGINES):
            yield shared | {"name": name, "f": f, "n": n, "p": p, "noise": noise, "engine": engine, "set": number}

    def name_of(self, job: Job) -> str:
        return f"{job['name']}, {job['n']} x {job['p']}"


class Predict(Case):
    title = "Prediction"
    told = "CPU seconds of f at new rows: {draws} draws of {trees} trees, n = 2,000, p = 10, one core, compiled before."

    def jobs(self, options: argparse.Namespace) -> Iterator[Job]:
        shared = {"task": "predict", "trees": options.trees, "burn": 100, "draws": options.draws, "n": 2_000, "p": 10}
        for rows, engine in product((1_000, 10_000), ENGINES):
            if rows == 1_000 or engine != "bartz":  # for which that would be minutes
                yield shared | {"rows": rows, "engine": engine, "chains": 1}

    def table(self, records: list[tuple[Job, Record]], everything: dict[str, Record]) -> list[str]:
        found: dict[int, dict[str, float]] = {}
        for job, record in records:
            found.setdefault(job["rows"], {})[job["engine"]] = record["seconds"]
        rows = [
            [str(number), *(f"{seconds[engine]:.2f}" if engine in seconds else "" for engine in ENGINES)]
            for number, seconds in found.items()
        ]
        return table(["rows", *ENGINES], rows)


class Bounded(Case):
    title = "Prediction in bounded memory"
    told = (
        "livebart's `predict` and `predict_quantiles` of 4,000 draws of {trees} trees at 100,000 rows, whose f would "
        "take 3.2 GB; wall time, and by how much the process's peak rose."
    )

    def jobs(self, options: argparse.Namespace) -> Iterator[Job]:
        shared = {"task": "bounded", "trees": options.trees, "burn": 100, "draws": 4 * options.draws, "chains": 2}
        yield shared | {"n": 2_000, "p": 10, "rows": 100_000, "engine": "livebart"}

    def measure(self, workers: Workers, job: Job, data: str) -> Record:
        return workers.ask(job | {"data": data}, alone=True)

    def table(self, records: list[tuple[Job, Record]], everything: dict[str, Record]) -> list[str]:
        rows = [
            [f"{r['mean']:.1f}", f"{r['quantiles']:.1f}", f"{r['bytes'] / 1e6:.0f}", f"{r['peak'] / 1e6:.0f}"]
            for _, r in records
        ]
        return table(["predict, s", "predict_quantiles, s", "rise of the peak, MB", "peak of the process, MB"], rows)


class Start(Case):
    title = "From nothing"
    told = (
        "Wall seconds of a new process that fits 20 sweeps at n = 500, imports included: the first ever, and the next."
    )

    def jobs(self, options: argparse.Namespace) -> Iterator[Job]:
        for engine in ENGINES:
            yield {"task": "start", "trees": options.trees, "n": 500, "p": 10, "engine": engine, "chains": 1}

    def measure(self, workers: Workers, job: Job, data: str) -> Record:
        with tempfile.TemporaryDirectory() as cache:
            seconds = []
            for _ in range(2):
                began = time.perf_counter()
                workers.ask(job | {"data": data}, alone=True, env={"NUMBA_CACHE_DIR": cache})
                seconds.append(time.perf_counter() - began)
        return {"first": seconds[0], "next": seconds[1]}

    def table(self, records: list[tuple[Job, Record]], everything: dict[str, Record]) -> list[str]:
        rows = [[job["engine"], f"{record['first']:.1f}", f"{record['next']:.1f}"] for job, record in records]
        return table(["engine", "first ever", "next"], rows)


class Memory(Case):
    title = "Memory"
    told = (
        "Bytes a datum a tree: the process's peak at n = 250,000 less that at 50,000, p = 10, {trees} trees. The table "
        "given (88 bytes a datum, {share:.2f} of a tree's) is in it, with each engine's copies."
    )

    def jobs(self, options: argparse.Namespace) -> Iterator[Job]:
        for engine in ENGINES:
            yield {"task": "memory", "trees": options.trees, "n": 250_000, "p": 10, "engine": engine, "chains": 1}

    def measure(self, workers: Workers, job: Job, data: str) -> Record:
        small = job | {"n": 50_000}
        with tempfile.TemporaryDirectory() as folder:
            less = workers.ask(small | {"data": write_data(Path(folder), small)}, alone=True)
        more = workers.ask(job | {"data": data}, alone=True)
        return {"bytes": (more["bytes"] - less["bytes"]) / 200_000}

    def table(self, records: list[tuple[Job, Record]], everything: dict[str, Record]) -> list[str]:
        rows = [[job["engine"], f"{record['bytes'] / job['trees']:.2f}"] for job, record in records]
        return table(["engine", "bytes a datum a tree"], rows)


CASES: dict[str, Case] = {
    "cost": Cost(),
    "chains": Chains(),
    "accuracy": Accuracy(),
    "effective": Effective(),
    "seven": Seven(),
    "predict": Predict(),
    "bounded": Bounded(),
    "start": Start(),
    "memory": Memory(),
}


# -- what is kept, and what is shown -----------------------------------------------------------------------------------


def place_of(job: Job) -> tuple[Any, ...]:
    """Where a job stands in a table."""
    seven = list(SEVEN).index(job["name"]) if "name" in job else 0
    return (seven, job["p"], job["n"], ENGINES.index(job["engine"]), job["chains"], job.get("set", 0))


def report(records: dict[str, Record], options: argparse.Namespace) -> list[str]:
    """The page of all records of these numbers of trees, of sweeps of burn-in and of draws."""
    jobs = sorted(map(json.loads, records), key=place_of)
    told = vars(options) | {"share": 88 / options.trees}
    lines = [
        "# BART: one more sweep, and what it is worth",
        "",
        f"`python benchmarks/bart.py --write` on {machine()}.",
    ]
    for name, case in CASES.items():
        like = {"case": name, "trees": options.trees}
        like |= {"burn": options.burn, "draws": options.draws} if name == "accuracy" else {}
        found = [(job, records[key_of(job)]) for job in jobs if like.items() <= job.items()]
        body = case.table(found, records) if found or name == "effective" else []
        if not body:
            continue
        lines += ["", f"## {case.title}", "", case.told.format(**told)]
        if found:
            versions = sorted({f"{job['engine']} {record['version']}" for job, record in found})
            loads = [record["load"] for _, record in found]
            lines.append(f"{', '.join(versions)}; load before each, at most {max(loads):.1f}.")
        lines += ["", *body[:-1]]
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", action="append", default=[], metavar="ENGINE=PATH")
    parser.add_argument("--case", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--engine", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--n", type=int, nargs="+", help="these numbers of rows only")
    parser.add_argument("--p", type=int, nargs="+", help="these numbers of columns only")
    parser.add_argument("--sets", type=int, default=10, help="data sets of `accuracy`")
    parser.add_argument("--sets-of-seven", type=int, default=3)
    parser.add_argument("--trees", type=int, default=200)
    parser.add_argument("--burn", type=int, default=500)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--minutes", type=float, default=np.inf, help="begin nothing after")
    parser.add_argument("--again", action="store_true", help="measure what is kept, too")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()

    pythons = {"livebart": sys.executable} | dict(item.split("=", 1) for item in options.python)
    versions = {engine: version_of(python, engine) for engine, python in pythons.items()}
    path, began = RESULTS / "bart.json", time.monotonic()
    records: dict[str, Record] = {}
    if options.write and path.exists():
        records = {key_of(entry["job"]): entry["record"] for entry in json.loads(path.read_text())}

    def wanted(job: Job) -> bool:
        sizes = (options.n is None or job["n"] in options.n) and (options.p is None or job["p"] in options.p)
        kept = key_of(job) in records and not options.again
        return sizes and job["engine"] in options.engine and job["engine"] in pythons and not kept

    todo: list[tuple[Callable[[Workers, Job, str], Record], Job]] = [
        (CASES[name].measure, job)
        for name in CASES
        if name in options.case
        for job in ({"case": name} | job for job in CASES[name].jobs(options))
        if wanted(job)
    ]
    workers, done = Workers(pythons), 0
    with tempfile.TemporaryDirectory() as folder:
        try:
            for measure, job in todo:
                if time.monotonic() - began > 60 * options.minutes:
                    break
                data, load = write_data(Path(folder), job), os.getloadavg()[0]
                record = measure(workers, job, data) | {"load": load, "version": versions[job["engine"]]}
                records[key_of(job)] = record
                done += 1
                print(f"{time.monotonic() - began:.0f} s: {key_of(job)}", file=sys.stderr)
                if options.write:
                    entries = [{"job": json.loads(key), "record": kept} for key, kept in records.items()]
                    path.write_text("[\n" + ",\n".join(map(json.dumps, entries)) + "\n]\n", encoding="utf-8")
        finally:
            workers.close()
    publish("bart", report(records, options), options.write)
    if done < len(todo):
        print(f"{len(todo) - done} measurements are left: the same command goes on", file=sys.stderr)


if __name__ == "__main__":
    main()
