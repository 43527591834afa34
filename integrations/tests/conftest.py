"""Fixtures of the recipes' tests."""

from collections.abc import Iterator
from pathlib import Path

import livequeue
import pytest


@pytest.fixture
def queue_url(tmp_path: Path) -> str:
    """A persistent queue of this test's own."""
    return f"embedded://{tmp_path}/queue"


@pytest.fixture
def memory() -> Iterator[livequeue.Queue]:
    with livequeue.connect("memory://") as queue:
        yield queue
