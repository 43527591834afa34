"""Fixtures of the recipes' tests."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

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


class Mirror:
    """What a page makes of what it is sent: applies whole states and differences, and refuses a gap or a double."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, str, Any], list[float | None]] = {}
        """(warmup, draws or series; name; chain) -> values; those before a whole state's tail are None."""
        self.differences = self.fulls = 0

    def apply(self, data: dict[str, Any]) -> None:
        kinds = [kind for kind in ("warmup", "draws", "series") if kind in data]
        if data["full"]:
            self.fulls += 1
            self.values = {
                (kind, each["name"], each["chain"]): [None] * each["tail_first"] + each["tail"]
                for kind in kinds
                for each in data[kind]
            }
            return
        self.differences += 1
        for kind in kinds:
            for each in data[kind]:
                values = self.values[kind, each["name"], each["chain"]]
                assert each["from"] == len(values)
                values += each["values"]


@pytest.fixture
def mirror() -> Mirror:
    return Mirror()
