# /// script
# dependencies = ["nox[uv]>=2025.5"]
# ///
"""The project's chores. `nox` runs the tests; `nox -s demo` shows the first recipe; `nox -l` lists the rest."""

from pathlib import Path

import nox

nox.needs_version = ">=2025.5"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_existing_virtualenvs = True

ROOT = Path(__file__).parent
DISTRIBUTIONS = {
    "livequeue": ROOT / "packages" / "livequeue",
    "livenuts": ROOT / "packages" / "livenuts",
    "liverecipes": ROOT / "integrations",
}
SIBLINGS = {"livequeue": [], "livenuts": [], "liverecipes": ["livequeue", "livenuts"]}
PYTHONS = ["3.11", "3.12", "3.13"]
SOURCES = ["noxfile.py", "packages", "integrations", "property_tests", "benchmarks"]

# One process with one thread a chain: nested thread pools of linear algebra only get in each other's way.
THREADS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def wheel(session: nox.Session, name: str) -> str:
    """Build the wheel of one distribution and return its path."""
    folder = Path(session.create_tmp()).resolve() / name
    for old in folder.glob("*.whl"):
        old.unlink()
    session.run("python", "-m", "build", "--wheel", "--outdir", str(folder), str(DISTRIBUTIONS[name]), silent=True)
    (path,) = folder.glob("*.whl")
    return str(path)


def install(session: nox.Session, *names: str, extras: str = "", groups: bool = True) -> None:
    """Install wheels of the clone, with the test group of the first one."""
    session.install("build")
    wheels = [wheel(session, name) for name in names]
    wheels[0] += extras
    pyproject = nox.project.load_toml(DISTRIBUTIONS[names[0]] / "pyproject.toml")
    extra = nox.project.dependency_groups(pyproject, "test") if groups else ()
    session.install(*extra, *wheels)
    # The same version built from changed sources must replace what an earlier run installed.
    session.install("--no-deps", "--force-reinstall", *(path.split("[")[0] for path in wheels))


ALONE = """
import importlib, pkgutil, sys
package = importlib.import_module(sys.argv[1])
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
strangers = sorted({name.split(".")[0] for name in sys.modules} & set(sys.argv[2:]))
assert not strangers, f"{sys.argv[1]} imports {strangers}"
"""


@nox.session(default=False)
def demo(session: nox.Session) -> None:
    """The first recipe, from the clone's own wheels: Bayesian process control of the Nile, live in the terminal."""
    install(session, "liverecipes", "livequeue", "livenuts", groups=False)
    session.run("live", "run", "spc", "--data", "nile", "--report", "report.html", *session.posargs)


@nox.session(python="3.11" if False else None)
@nox.parametrize("name", list(DISTRIBUTIONS), ids=list(DISTRIBUTIONS))
def tests(session: nox.Session, name: str) -> None:
    """Each distribution's wheel alone in a clean environment: its tests, and that it imports no sibling."""
    run_tests(session, name)


@nox.session(python=PYTHONS, default=False)
@nox.parametrize("name", list(DISTRIBUTIONS), ids=list(DISTRIBUTIONS))
def matrix(session: nox.Session, name: str) -> None:
    """The same tests on every supported Python."""
    run_tests(session, name)


def run_tests(session: nox.Session, name: str) -> None:
    install(session, name, *SIBLINGS[name])
    others = set(DISTRIBUTIONS) | {"livesmc2", "livebart", "livesim"}
    strangers = others - {name, *SIBLINGS[name]}
    session.run("python", "-c", ALONE, name, *sorted(strangers))
    session.run("pytest", str(DISTRIBUTIONS[name] / "tests"), *session.posargs, env=THREADS)
