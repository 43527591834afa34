"""The recipe: a twin on the events of a plant, from anywhere, and what it advises at the end."""

from collections.abc import Callable, Iterable, MutableMapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from .decide import bottleneck, drivers, invest, loads
from .events import Events
from .twin import Settings, Twin

Sink = Callable[[dict[str, Any]], object]
NUTS_SUFFIX = ".nuts"
PLANT_SUFFIX = ".plant"
ADVICE_DRAWS = 40
QUANTILES = (0.05, 0.5, 0.95)


def run(
    messages: Iterable[dict[str, Any]],
    sink: Sink,
    seed: int,
    settings: Settings | None = None,
    *,
    nuts_sink: Sink | None = None,
    checkpoint: MutableMapping[str, bytes] | None = None,
    stop: Callable[[], bool] = lambda: False,
    advise: bool = True,
    label: str = "factory twin",
) -> dict[str, Any]:
    """Follow a plant to its end, and return the last message, `twin.end/1`; every message goes to `sink`.

    messages: the plant's, `plant.start/1` first, from a queue or a list. seed: with the same events it gives the same
    bits. checkpoint: where the twin keeps what it learned; the same call with it, after a crash, goes on. stop: asked
    after each shift. advise: whether to end with what an investment would bring and which numbers matter.
    """
    twin: Twin | None = None
    early: list[dict[str, Any]] = []  # parts of a run come in no order among themselves
    settings = settings or Settings()
    status = "stopped"
    for message in messages:
        if message["type"] == "plant.start/1":
            names, units, minutes = _shop(message)
            twin = Twin(names, units, minutes, seed, settings, nuts_sink=nuts_sink, checkpoint=checkpoint)
            sink(_start(twin, label))
        elif message["type"] == "plant.events/1":
            early.append(message)
        elif message["type"] == "plant.end/1":
            status = str(message["status"])
        if twin is not None:
            for events in early:
                for shift in twin.take(Events.from_message(events, twin.names, twin.watcher.now)):
                    sink(shift)
                    _flush(sink)
                    twin.keep()
            early.clear()
        if stop():
            status = "stopped"
            break
    if twin is None:
        raise ValueError("the plant ended before plant.start/1, which names its machines: nothing to be a twin of")
    advice = _advice(twin, seed) if advise and twin.trackers and status == "completed" else None
    end = {
        "type": "twin.end/1",
        "part": "run",
        "seq": 1,
        "status": status,
        "shifts": twin.watcher.shift,
        "changed": twin.changed(),
        "advice": advice,
    }
    sink(end)
    _flush(sink)
    return end


def _shop(message: dict[str, Any]) -> tuple[list[str], list[int], float]:
    names, units, shift = message.get("machines"), message.get("units"), message.get("shift")
    if not (isinstance(names, list) and names and all(isinstance(name, str) for name in names)):
        raise ValueError(f"plant.start/1: machines must be a list of names, got {names!r:.80}")
    if not (isinstance(units, list) and len(units) == len(names) and all(type(each) is int for each in units)):
        raise ValueError(f"plant.start/1: units must be a list of {len(names)} whole numbers, got {units!r:.80}")
    if not (isinstance(shift, float | int) and 0 < shift < float("inf")):
        raise ValueError(f"plant.start/1: shift must be a positive number of minutes, got {shift!r:.80}")
    return names, units, float(shift)


def _start(twin: Twin, label: str) -> dict[str, Any]:
    return {
        "type": "twin.start/1",
        "part": "run",
        "seq": 0,
        "label": label,
        "machines": twin.names,
        "shift": twin.line.shift,
        "settings": asdict(twin.settings),
        "seed": twin.seed,
        "digest": twin.digest,
        "versions": {name: _version(name) for name in ("liverecipes", "livenuts", "livesmc2", "livesim", "livebart")},
    }


def _advice(twin: Twin, seed: int) -> dict[str, Any]:
    """What an investment in the bottleneck would bring, and which of all numbers the lead time hangs on."""
    parameters = twin.parameters(twin.watcher.shift, ADVICE_DRAWS)
    machine = bottleneck(twin.line, parameters)
    bought = invest(twin.line, parameters, machine, seed)
    matter = drivers(twin.line, {name: float(np.median(values)) for name, values in parameters.items()}, seed)
    return {
        "loads": {
            name: [float(value) for value in np.quantile(load, QUANTILES)]
            for name, load in loads(twin.line, parameters).items()
        },
        "machine": machine,
        "shifts": bought.shifts,
        "now": float(bought.now.mean()),
        "then": float(bought.then.mean()),
        "saved": [bought.saved.low, bought.saved.estimate, bought.saved.high],
        "range": list(bought.range),
        "drivers": {
            "names": list(matter.names),
            "importance": matter.importance,
            "threshold": matter.threshold,
            "selected": matter.selected,
            "accuracy": matter.accuracy,
        },
    }


def _flush(sink: Sink) -> None:
    flush = getattr(sink, "flush", None)
    if flush is not None:
        flush()


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:  # run from a source tree
        return "source"
