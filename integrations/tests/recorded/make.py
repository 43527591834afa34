"""Record what livesmc2 and livebart send, for the tests of the page, which has neither: a JSON object a message.

pip install ./packages/livesmc2 ./packages/livebart
python integrations/tests/recorded/make.py

An array is `{"array": [...]}`; numbers have six digits.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from livebart import BARTRegressor
from livesmc2 import OnlineSMC2, run
from livesmc2.models import local_level, seir

FOLDER = Path(__file__).parent
Messages = list[dict[str, Any]]


def plain(value: Any) -> Any:
    """The value for JSON."""
    if isinstance(value, np.ndarray):
        return {"array": plain(value.tolist())}
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def write(name: str, messages: Messages) -> None:
    """Write one recording."""
    path = FOLDER / f"{name}.jsonl"
    lines = [json.dumps(plain(message), separators=(",", ":")) + "\n" for message in messages]
    path.write_text("".join(lines), encoding="utf-8")
    print(f"{path.name}: {len(lines)} messages, {path.stat().st_size / 1000:.0f} kB")


def epidemic() -> Messages:
    """An SEIR epidemic whose transmission halves on day 30; the report of day 25 is missing."""
    rng = np.random.default_rng(3)
    susceptible, exposed, infectious = 4990, 0, 10
    reports: list[float] = []
    for day in range(70):
        rate = 0.75 if day < 30 else 0.3
        infected = rng.binomial(susceptible, 1 - np.exp(-rate * infectious / 5000))
        began, ended = rng.binomial(exposed, 1 - np.exp(-0.4)), rng.binomial(infectious, 1 - np.exp(-0.25))
        susceptible, exposed, infectious = (
            susceptible - infected,
            exposed + infected - began,
            infectious + began - ended,
        )
        reports.append(float(rng.poisson(max(began, 1e-4))))
    reports[25] = float("nan")
    found: Messages = []
    run(*seir(5000, infectious=10), reports, n_theta=150, n_x=100, seed=5, sink=found.append)
    return found


def revised() -> Messages:
    """A level that walks; the sixth observation is set right after the twentieth."""
    ys = np.cumsum(np.random.default_rng(1).normal(size=20))
    found: Messages = []
    with OnlineSMC2(*local_level(), n_theta=50, n_x=50, seed=1, snapshot_every=4, sink=found.append) as smc:
        for y in ys:
            smc.update(y)
        smc.revise(5, 0.5)
    return found


def friedman() -> Messages:
    """Friedman's first function of ten columns, five of which matter."""
    rng = np.random.default_rng(0)
    X = rng.uniform(size=(2000, 10))
    f = 10 * np.sin(np.pi * X[:, 0] * X[:, 1]) + 20 * (X[:, 2] - 0.5) ** 2 + 10 * X[:, 3] + 5 * X[:, 4]
    found: Messages = []
    bart = BARTRegressor(n_trees=50, n_burnin=6000, n_draws=120, n_chains=2, random_state=1)
    bart.fit(X, f + rng.normal(size=len(X)), sink=found.append)
    idle = [m for m in found if m["part"] == "progress" and not any(each["sweep"] for each in m["chains"])]
    return [message for message in found if not any(message is each for each in idle[1:])]  # compiling takes long


if __name__ == "__main__":
    write("smc2", epidemic())
    write("smc2-revised", revised())
    write("bart", friedman())
