"""What a checkpoint holds of replications, and how another process takes them up again."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from livesim.runtime.checkpoint import Checkpoint, CheckpointError
from livesim.runtime.collector import PLACES, Collector
from livesim.runtime.experiment import FORMAT, Experiment

_SECONDS = 1.0


def read_manifest(place: Checkpoint) -> dict[str, Any] | None:
    """What was asked for, or None where no run has begun."""
    manifest = place.manifest()
    if manifest is not None and manifest.get("format") != FORMAT:
        raise CheckpointError(f"checkpoint {place.shown} has the format {manifest.get('format')!r}, not {FORMAT!r}")
    return manifest


def refuse_another(place: Checkpoint, manifest: dict[str, Any], experiment: Experiment) -> None:
    """An error that says how the experiment of a checkpoint differs, if it does."""
    here = experiment.manifest()
    kinds = {
        "subject": "another model",
        "fixed": "other parameters",
        "drawn": "other parameters",
        "start": "another start",
    }
    found = [words for name, words in kinds.items() if not _same(manifest[name], here[name])]
    if manifest["seed"] != here["seed"]:
        found.append(f"seed is {manifest['seed']} there and {here['seed']} here")
    for kind in ("settings", "versions"):
        for name, value in here[kind].items():
            if (kept := manifest[kind].get(name)) != value:
                found.append(f"{name} is {kept!r} there and {value!r} here")
    if found:
        raise CheckpointError(
            f"checkpoint {place.shown} is of other replications: {'; '.join(dict.fromkeys(found))}. "
            "Choose another place for these, or delete that one"
        )


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[name], other[name]) for name in one)
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return np.array_equal(one, other)
    return bool(one == other)


class Record:
    """The checkpoint of replications on their way, written now and then."""

    def __init__(self, checkpoint: Checkpoint, collector: Collector, kept: list[dict[str, Any]]) -> None:
        self.kept = kept
        """Blocks that are in the checkpoint."""
        self._checkpoint, self._collector = checkpoint, collector
        self._count = sum(len(block["events"]) for block in kept)
        self._blocks = len(kept)
        self._last = time.monotonic()

    def update(self, *, now: bool = False) -> None:
        """Append what is new, if it is time. When it is done has no bearing on the numbers."""
        if not now and time.monotonic() - self._last < _SECONDS:
            return
        new = self._collector.blocks[self._blocks :]
        if new:
            self._checkpoint.append(self._count, _joined(new))
            self._count += sum(len(block["events"]) for block in new)
            self._blocks += len(new)
        self._last = time.monotonic()


def _joined(blocks: list[dict[str, Any]]) -> dict[str, Any]:
    """Successive blocks as one."""
    whole: dict[str, Any] = {"first": blocks[0]["first"], "course_start": max(b["course_start"] for b in blocks)}
    whole |= {"errors": {}, "paths": [], "ratios": [], "seconds": 0.0} | {name: [] for name in PLACES}
    kept = set(PLACES) - {"traces"}  # replications whose events are wanted are made again
    for block in blocks:
        for kind, form in (("paths", "form"), ("ratios", "course_form")):
            for each in block[kind]:
                if each not in whole[kind]:
                    whole[kind].append(each)
            whole[form] += [-1 if at < 0 else whole[kind].index(block[kind][at]) for at in block[form]]
        for name in kept - {"form", "course_form"}:
            whole[name] += list(block[name])
        whole["traces"] += [[] for _ in block["events"]]
        whole["errors"] |= block["errors"]
    return whole | {name: np.array(whole[name]) for name in ("events", "clocks")}
