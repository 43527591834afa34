"""The examples that users read run as they stand."""

import doctest
import importlib
import pkgutil
from pathlib import Path

import livequeue
import pytest

MODULES = ["livequeue", *(f"livequeue.{module.name}" for module in pkgutil.iter_modules(livequeue.__path__))]


def test_readme() -> None:
    failed, tried = doctest.testfile(str(Path(__file__).parent.parent / "README.md"), module_relative=False)
    assert tried > 3
    assert failed == 0


@pytest.mark.parametrize("name", [name for name in MODULES if not name.endswith("__main__")])
def test_docstrings(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_every_public_name_says_what_it_is() -> None:
    for name in livequeue.__all__:
        assert (getattr(livequeue, name).__doc__ or "").strip(), name
