"""What the tests of livesmc2 share: the marker `long`, and the modules beside this file."""

import contextlib
import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # livesmc2_exact


def pytest_addoption(parser: pytest.Parser) -> None:
    # Another package's tests, run in the same session, may offer it too.
    with contextlib.suppress(ValueError):
        parser.addoption("--long", action="store_true", help="run the tests marked long too (or LIVE_LONG=1)")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "long: minutes of statistics; deselected unless --long or LIVE_LONG=1")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--long", default=False) or os.environ.get("LIVE_LONG") == "1":
        return
    here = str(Path(__file__).parent)
    long = [item for item in items if item.get_closest_marker("long") and str(item.path).startswith(here)]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]
