# /// script
# dependencies = ["nox[uv]>=2025.5"]
# ///
"""The project's chores. `nox -s demo` shows the first recipe, `nox` runs the tests, `nox -l` lists the rest."""

import os
import shutil
import subprocess
from pathlib import Path

import nox

nox.needs_version = ">=2025.5"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_existing_virtualenvs = True
nox.options.download_python = "never"

ROOT = Path(__file__).parent
DIST = ROOT / "dist"
FOLDERS = {
    "livequeue": ROOT / "packages" / "livequeue",
    "livenuts": ROOT / "packages" / "livenuts",
    "livesim": ROOT / "packages" / "livesim",
    "livesmc2": ROOT / "packages" / "livesmc2",
    "livebart": ROOT / "packages" / "livebart",
    "liverecipes": ROOT / "integrations",
}
SIBLINGS: dict[str, list[str]] = {name: [] for name in FOLDERS} | {
    "liverecipes": ["livequeue", "livenuts", "livesim", "livesmc2", "livebart"]
}
ALL = ["liverecipes", "livequeue", "livenuts", "livesim", "livesmc2", "livebart"]
SOURCES = ["noxfile.py", "packages", "integrations", "property_tests", "benchmarks", "docs"]

# Test files beside each other, on up to four cores; `-- -n 0` is one after the other.
SPREAD = ("-n", "auto", "--maxprocesses", "4", "--dist", "loadfile")

# One thread a chain: thread pools of linear algebra inside would only get in each other's way.
THREADS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def pythons() -> list[str]:
    """The supported Pythons of this machine; those that pyenv keeps count."""
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    if "PYENV_VERSION" not in os.environ and versions.is_dir():
        kept = sorted((folder.name for folder in versions.glob("3.1[1-9].*")), key=lambda v: int(v.split(".")[1]))
        os.environ["PYENV_VERSION"] = ":".join(kept)
    found = []
    for minor in range(11, 20):
        path = shutil.which(f"python3.{minor}")
        if path and subprocess.run([path, "-c", ""], capture_output=True).returncode == 0:
            found.append(f"3.{minor}")
    return found


PYTHONS = pythons()
# The peers' newest releases want Python 3.12.
PEER_PYTHON = "3.12" if "3.12" in PYTHONS else None


@nox.session
def wheels(session: nox.Session) -> None:
    """Build every distribution's wheel into dist/; the other sessions install from there."""
    session.install("build", "hatchling")
    shutil.rmtree(DIST, ignore_errors=True)
    for folder in FOLDERS.values():
        session.run(
            "python", "-m", "build", "--wheel", "--no-isolation", "--outdir", str(DIST), str(folder), silent=True
        )


def install(session: nox.Session, *names: str, groups: bool = True, extra: tuple[str, ...] = ()) -> None:
    """Install wheels of the clone, with the test group of the first of them."""
    files = [str(next(DIST.glob(f"{name}-*.whl"))) for name in names]
    for name in names[:1] if groups else ():
        extra += nox.project.dependency_groups(nox.project.load_toml(FOLDERS[name] / "pyproject.toml"), "test")
        extra += ("pytest-xdist>=3.6",)
    session.install(*extra, *files)
    # The same version, built from changed sources, must replace what an earlier run installed.
    session.install("--no-deps", "--force-reinstall", *files)


@nox.session(default=False, requires=["wheels"])
def demo(session: nox.Session) -> None:
    """The first recipe, from the clone's own wheels: Bayesian process control of the Nile, live in the terminal."""
    install(session, *ALL, groups=False)
    arguments = session.posargs or ["--data", "nile", "--report", "report.html"]
    program = Path(session.bin).relative_to(ROOT) / "live"
    session.run("live", "run", "spc", *arguments, env={"LIVE_PROGRAM": str(program)})


ALONE = """
import importlib, pkgutil, sys
package = importlib.import_module(sys.argv[1])
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
strangers = sorted({name.split(".")[0] for name in sys.modules} & set(sys.argv[2:]))
assert not strangers, f"{sys.argv[1]} imports {strangers}"
"""


def run_tests(
    session: nox.Session, name: str, *, env: dict[str, str] | None = None, select: tuple[str, ...] = ()
) -> None:
    """A distribution's wheel, its test group and what it depends on in a clean environment; its tests."""
    install(session, name, *SIBLINGS[name])
    strangers = {*FOLDERS} - {name, *SIBLINGS[name]}
    session.run("python", "-c", ALONE, name, *sorted(strangers))
    session.run("pytest", str(FOLDERS[name] / "tests"), *SPREAD, *select, *session.posargs, env=THREADS | (env or {}))


@nox.session(requires=["wheels"])
@nox.parametrize("name", list(FOLDERS), ids=list(FOLDERS))
def tests(session: nox.Session, name: str) -> None:
    """Each distribution's tests, with its wheel alone in a clean environment; it imports no sibling."""
    run_tests(session, name)


@nox.session(requires=["wheels"])
def property_tests(session: nox.Session) -> None:
    """Laws that hold across packages, with all wheels together."""
    install(session, *ALL)
    session.run("pytest", "property_tests", "--ignore=property_tests/pymc", *SPREAD, *session.posargs, env=THREADS)


@nox.session(requires=["wheels"])
def browser(session: nox.Session) -> None:
    """The live page in a real browser (Debian: apt install chromium); skipped where there is none."""
    if not any(map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))):
        session.skip("no Chromium")
    install(session, "liverecipes", *SIBLINGS["liverecipes"], extra=("playwright",))
    session.run(
        "pytest",
        "integrations/tests/test_page_browser.py",
        *session.posargs,
        env=THREADS | {"LIVE_REQUIRE_BROWSER": "1"},
    )


@nox.session
def lint(session: nox.Session) -> None:
    """Formatting and lint."""
    session.install(*nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), "lint"))
    session.run("ruff", "format", "--check", *SOURCES)
    session.run("ruff", "check", *SOURCES)


@nox.session(requires=["wheels"])
def typing(session: nox.Session) -> None:
    """Strict types of every package."""
    install(session, *ALL, groups=False, extra=("simpy",))
    session.install(*nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), "typing"))
    session.run("mypy", *(str(folder / "src") for folder in FOLDERS.values()))


@nox.session(requires=["wheels"])
def docs(session: nox.Session) -> None:
    """Every example of the documentation runs, every link leads somewhere, the schemas are the messages'."""
    install(session, *ALL, extra=("simpy", "pandas"))
    pages = ["README.md", "docs", *(str(folder / "README.md") for folder in FOLDERS.values())]
    session.run("pytest", "--doctest-glob=*.md", *pages, "property_tests/test_docs.py", env=THREADS)
    session.run("pytest", "--doctest-modules", "--pyargs", *FOLDERS, env=THREADS)
    session.run("python", "docs/make_schema.py", "--check")


@nox.session(python=PYTHONS, default=False, requires=["wheels"])
@nox.parametrize("name", list(FOLDERS), ids=list(FOLDERS))
def matrix(session: nox.Session, name: str) -> None:
    """The tests on every supported Python of this machine."""
    run_tests(session, name)


@nox.session(default=False, requires=["wheels"])
def redis(session: nox.Session) -> None:
    """The queue's contract on a real redis-server (Debian: apt install redis-server)."""
    chosen = "redis or contract or crashes or servers"
    run_tests(session, "livequeue", env={"LIVE_REQUIRE_REDIS": "1"}, select=("-k", chosen))


@nox.session(default=False, requires=["wheels"])
def fuzz(session: nox.Session) -> None:
    """A million random and mutated payloads at the queue's decoder."""
    run_tests(session, "livequeue", env={"LIVE_FUZZ": "1000000"}, select=("-k", "fuzz"))


@nox.session(default=False, requires=["wheels"])
def statistics(session: nox.Session) -> None:
    """The long versions of the statistical tests, posteriors against long references among them."""
    run_tests(session, "livenuts", env={"LIVE_LONG": "1"})


@nox.session(default=False, requires=["wheels"])
def sbc(session: nox.Session) -> None:
    """Simulation-based calibration at full size: three models, 2,000 replications for each of three warm-ups."""
    run_tests(session, "livenuts", env={"LIVE_LONG": "1"}, select=("-k", "sbc"))


@nox.session(default=False, requires=["wheels"])
def twin(session: nox.Session) -> None:
    """Fifty factories that drift: their twins' intervals cover again, frozen ones' do not; trackers' calibration."""
    run_tests(session, "liverecipes", env={"LIVE_LONG": "1"}, select=("-k", "test_twin"))


@nox.session(default=False, requires=["wheels"])
def coverage(session: nox.Session) -> None:
    """Nominal 95 % intervals of simulations cover 93 to 97 % of a thousand experiments."""
    run_tests(session, "livesim", env={"LIVE_LONG": "1"}, select=("-k", "coverage"))


@nox.session(default=False, requires=["wheels"])
def smc2_statistics(session: nox.Session) -> None:
    """The long statistical tests of SMC²: unbiased evidence over 3,000 runs, calibration on two models."""
    run_tests(session, "livesmc2", env={"LIVE_LONG": "1"})


@nox.session(default=False, requires=["wheels"])
def ireland(session: nox.Session) -> None:
    """SMC² on an epidemic of Ireland's size: 1,000 x 500 particles, a year of days, a window of 80."""
    install(session, "livesmc2", groups=False)
    session.run("python", "benchmarks/smc2.py", "--ireland", env=THREADS)


@nox.session(python=PEER_PYTHON, default=False, requires=["wheels"])
def parity(session: nox.Session) -> None:
    """Log densities of the benchmarks' models against PyMC's."""
    install(session, "livenuts", extra=("pymc",))
    session.run("pytest", "property_tests/pymc", "-W", "default", *session.posargs)


@nox.session(default=False, requires=["wheels"])
def bart(session: nox.Session) -> None:
    """The long versions of livebart's statistical tests: Geweke's with its poisons, calibration, coverage."""
    run_tests(session, "livebart", env={"LIVE_LONG": "1"})


BENCHMARKS = ["nuts", "smc2", "bart", "sim", "messages", "warm_start", "streaming", "memory", "page"]
PEERS = {
    "nuts": {
        "nutpie": ["nutpie", "pymc", "numba"],
        "numpyro": ["numpyro"],
        "blackjax": ["blackjax", "numpyro"],
        "pymc": ["pymc", "numba"],
    },
    "smc2": {"particles": ["particles==0.4", "numpy<2"]},
    "bart": {"bartz": ["bartz==0.13.0", "jax==0.10.2"], "stochtree": ["stochtree==0.4.5"]},
    "sim": {"peers": ["simpy", "ciw", "salabim"]},
}


def environments(session: nox.Session, peers: dict[str, list[str]]) -> list[str]:
    """Options with the Python of each peer's own environment."""
    options = []
    for peer, requirements in peers.items():
        folder = Path(session.create_tmp()).resolve() / peer
        if not folder.exists():
            session.run("python", "-m", "venv", str(folder))
            session.run(str(folder / "bin" / "pip"), "install", "-q", *requirements, external=True)
        options += ["--python", f"{peer}={folder / 'bin' / 'python'}"]
    return options


@nox.session(python=PEER_PYTHON, default=False, requires=["wheels"])
def bench(session: nox.Session) -> None:
    """Benchmarks against the peers, each in an environment of its own: `nox -s bench -- [NAME] [options]`.

    NAME is nuts (the default), smc2, bart, sim, messages, warm_start, streaming, memory or page; its option `-h` lists
    the others.
    """
    session.env["UV_COMPILE_BYTECODE"] = "1"  # as pip does it: imports are timed too
    name, *options = session.posargs or ["nuts"]
    if name not in BENCHMARKS:
        session.error(f"no benchmark {name!r}; benchmarks are {', '.join(BENCHMARKS)}")
    recipes = ("liverecipes",) if name == "page" else ()
    engines = {"sim": ("livesim",), "smc2": ("livesmc2",), "bart": ("livebart",)}.get(name, ("livenuts", "livequeue"))
    install(session, *engines, *recipes, groups=False, extra=() if len(engines) == 1 else ("fakeredis",))
    if name == "nuts":  # a column like the others
        options = ["--python", f"livenuts={Path(session.bin) / 'python'}", *options]
    options = environments(session, PEERS.get(name, {})) + options
    session.run("python", f"benchmarks/{name}.py", *options, env=THREADS)
