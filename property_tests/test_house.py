"""The laws of the house that hold for the sources: who imports whom, which way the layers point, no pickle."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = {
    **{folder.name: folder / "src" / folder.name for folder in (ROOT / "packages").iterdir() if folder.is_dir()},
    "liverecipes": ROOT / "integrations" / "src" / "liverecipes",
}
ENGINES = {"livenuts", "livesmc2", "livebart", "livesim"}
HOUSE = {*ENGINES, "livequeue", "liverecipes"}

# Law 3: inside an engine a layer imports only itself and what stands before it.
LAYERS = {
    "livenuts": ["model", "compiler", "kernel", "adaptation", "runtime"],
    "livesim": ["random", "distributions", "model", "compiler", "engine", "analysis", "runtime"],
    "livesmc2": ["model", "kernel", "compiler", "runtime"],
    "livebart": ["kernel", "model", "runtime"],
}
BEFORE = {
    "livenuts": {
        "model": set(),
        "compiler": {"model"},
        "kernel": set(),
        "adaptation": {"kernel"},
        "runtime": {"model", "compiler", "kernel", "adaptation"},
    },
    "livesim": {
        "random": set(),
        "distributions": {"random"},
        "model": {"distributions"},
        "compiler": {"random", "distributions", "model"},
        "engine": {"random", "compiler"},
        "analysis": set(),
        "runtime": {"random", "distributions", "model", "compiler", "engine", "analysis"},
    },
    "livesmc2": {
        "model": set(),
        "kernel": set(),
        "compiler": {"model", "kernel"},
        "runtime": {"model", "kernel", "compiler"},
    },
    "livebart": {
        "kernel": set(),
        "model": {"kernel"},
        "runtime": {"kernel", "model"},
    },
}


def imports(path: Path) -> Iterator[str]:
    """The dotted names that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def strangers(package: str, path: Path) -> set[str]:
    """Members of the house that a file of `package` may not import (laws 1 and 2)."""
    allowed = HOUSE if package == "liverecipes" else {package}
    return {name.split(".")[0] for name in imports(path)} & HOUSE - allowed


@pytest.mark.parametrize("package", sorted(SOURCES))
def test_only_the_recipes_import_siblings(package: str) -> None:
    for path in SOURCES[package].rglob("*.py"):
        assert not strangers(package, path), path


def test_an_import_of_a_sibling_would_be_seen(tmp_path: Path) -> None:
    poison = tmp_path / "poison.py"
    poison.write_text("def f():\n    from livequeue.wire import encode\n    return encode\n")
    assert strangers("livenuts", poison) == {"livequeue"}


@pytest.mark.parametrize("package", sorted(LAYERS))
def test_layers_point_one_way(package: str) -> None:
    for layer in LAYERS[package]:
        for path in (SOURCES[package] / layer).rglob("*.py"):
            used = {name.split(".")[1] for name in imports(path) if name.startswith(f"{package}.")}
            assert used & set(LAYERS[package]) <= {layer, *BEFORE[package][layer]}, path


@pytest.mark.parametrize("package", sorted(ENGINES & SOURCES.keys()))
def test_the_task_loop_can_be_vendored(package: str) -> None:
    """It needs nothing but the standard library, so that the other engines can hold the same bytes."""
    for path in SOURCES[package].rglob("tasks.py"):
        assert {name.split(".")[0] for name in imports(path)} <= sys.stdlib_module_names, path


def test_vendored_files_are_the_same_bytes() -> None:
    """What two engines hold copies of is changed in both."""
    copies = {path.read_bytes() for package in ENGINES & SOURCES.keys() for path in SOURCES[package].rglob("tasks.py")}
    assert len(copies) == 1


def serializers(path: Path) -> set[str]:
    """Modules that a file imports which would run code from a payload (law 5)."""
    return {name.split(".")[0] for name in imports(path)} & {"pickle", "cloudpickle", "dill", "marshal", "shelve"}


@pytest.mark.parametrize("package", sorted(SOURCES))
def test_no_pickle(package: str) -> None:
    for path in SOURCES[package].rglob("*.py"):
        assert not serializers(path), path
        text = path.read_text(encoding="utf-8")
        assert "allow_pickle=True" not in text, path


def test_every_distribution_ships_types_and_licence() -> None:
    for package, source in SOURCES.items():
        assert (source / "py.typed").exists(), package
        assert (source.parents[1] / "LICENSE").exists(), package
