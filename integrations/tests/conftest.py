"""Fixtures of the recipes' tests."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import livequeue
import numpy as np
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
        """(the list that holds it, name, chain) -> values of a series; those before a whole state's tail are None."""
        self.differences = self.fulls = 0

    def apply(self, data: dict[str, Any]) -> None:
        kinds = [kind for kind in ("warmup", "draws", "series", "steps", "observations", "quantiles") if kind in data]
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


def _from_json(value: Any) -> Any:
    """A recorded value: arrays are `{"array": [...]}`."""
    if isinstance(value, dict):
        if set(value) == {"array"}:
            return np.array(value["array"])
        return {key: _from_json(item) for key, item in value.items()}
    return [_from_json(item) for item in value] if isinstance(value, list) else value


@pytest.fixture
def recorded() -> Callable[[str], list[dict[str, Any]]]:
    """What an engine sent: smc2, smc2-revised or bart, as `recorded/make.py` recorded it."""

    def read(name: str) -> list[dict[str, Any]]:
        text = (Path(__file__).parent / "recorded" / f"{name}.jsonl").read_text(encoding="utf-8")
        return [_from_json(json.loads(line)) for line in text.splitlines()]

    return read


def _simulated(count: int, failing: int | None = None) -> list[dict[str, Any]]:
    """The messages of a simulation: a barber with a load that the numbers of replication k make of k."""
    settings = {"n": count, "until": 500.0}
    found: list[dict[str, Any]] = [
        {
            "type": "sim.start/1",
            "part": "run",
            "seq": 0,
            "model": "shop",
            "settings": settings,
            "warmup": 20.0,
            "seed": 1,
        }
    ]
    for k, busy in enumerate(np.random.default_rng(1).normal(0.5, 0.1, count).tolist()):
        failed = k == failing
        values = {"customer.arrived": 30.0, "barber.utilization": busy, "barber.queue.mean": busy / (1 - busy)}
        values["customer.wait.mean"] = float("nan") if k == 1 else 10 * busy
        found.append(
            {"type": "sim.replication/1", "part": "replications", "seq": k, "replication": k, "params": {}}
            | {
                "values": {} if failed else values,
                "events": 60,
                "clock": 500.0,
                "error": "Oops: no" if failed else None,
            }
        )
        if failed:
            failure = {"error": "Oops: no", "recovered": True, "replication": k}
            found.append({"type": "sim.failure/1", "part": "run", "seq": 1} | failure)
        progress = {"total": count, "made": k, "failed": 0, "events": 60 * k, "elapsed": 0.1 * k}
        found.append({"type": "sim.progress/1", "part": "progress", "seq": k} | progress)
    found.append(
        {"type": "sim.end/1", "part": "run", "seq": 2, "status": "completed", "replications": count, "failed": []}
    )
    return found


@pytest.fixture
def simulated() -> Callable[..., list[dict[str, Any]]]:
    return _simulated
