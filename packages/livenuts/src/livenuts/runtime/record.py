"""What a run keeps in its checkpoint, and how another process takes it up again."""

from __future__ import annotations

import hashlib
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from livenuts.compiler.portable import to_plain
from livenuts.runtime.chain import ChainRun
from livenuts.runtime.checkpoint import Checkpoint, CheckpointError, encode

_FORMAT = "livenuts.run/1"
# When it is written has no bearing on the draws: any state is one to go on from.
_SECONDS = 1.0


def make_manifest(source: Any, name: str, asked: Mapping[str, Any]) -> dict[str, Any]:
    """What was asked for. A model that cannot be rebuilt from data is left out; its digest stays."""
    try:
        model: Any = to_plain(source)
        encode(model)
    except TypeError as error:
        model = {"kind": "none", "reason": str(error)}
    return {"format": _FORMAT, "name": name, "model": model, **asked}


def read_manifest(checkpoint: Checkpoint) -> dict[str, Any] | None:
    """What was asked for, or None where no run has begun."""
    manifest = checkpoint.manifest()
    if manifest is not None and manifest.get("format") != _FORMAT:
        raise CheckpointError(
            f"checkpoint {checkpoint.shown} has the format {manifest.get('format')!r}, not {_FORMAT!r}"
        )
    return manifest


def versions() -> dict[str, str]:
    """Of the libraries that bits depend on."""
    import livenuts

    return {"livenuts": livenuts.__version__, "jax": jax.__version__, "numpy": np.__version__}


def fingerprint(init: Any, tuning: Any) -> str:
    """Of what a run starts from."""
    starts = init if isinstance(init, Sequence) else [init or {}]
    plain = [{name: np.asarray(value) for name, value in start.items()} for start in starts]
    return hashlib.sha256(encode([plain, None if tuning is None else tuning.to_json()])).hexdigest()


def differences(manifest: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """In words, what the manifest has otherwise than `wanted`; settings and versions one by one."""
    found = []
    for key, value in wanted.items():
        kept = manifest.get(key)
        if key in ("settings", "versions") and isinstance(kept, dict):
            found += differences(kept, value)
        elif kept != value and key == "digest":
            found.append("another model, or other data (their digests differ)")
        elif kept != value and key == "start":
            found.append("other starting values (init or warm_start)")
        elif kept != value:
            found.append(f"{key} is {kept!r} there and {value!r} here")
    return found


def refuse(checkpoint: Checkpoint, found: list[str]) -> None:
    """An error that says how the run of a checkpoint differs, if it does."""
    if found:
        raise CheckpointError(
            f"checkpoint {checkpoint.shown} is of another run: {'; '.join(found)}. "
            "Choose another place for this run, or delete that one"
        )


class Record:
    """The newest state of a run's chains, written now and then."""

    def __init__(self, checkpoint: Checkpoint, chains: Sequence[ChainRun], state: Callable[[], dict[str, Any]]) -> None:
        """Of chains that were just restored from this checkpoint, or see `begin`."""
        self._checkpoint, self._chains, self._state = checkpoint, chains, state
        self._kept = {chain.index: len(chain.statistics) for chain in chains}
        self._last = time.monotonic()
        self._seen: Any = None

    def begin(self, manifest: dict[str, Any]) -> None:
        """Write everything so far; the manifest comes last and makes it a run."""
        self._checkpoint.clear()
        self._kept = dict.fromkeys(self._kept, 0)
        self.update(now=True)
        self._checkpoint.write_manifest(manifest)

    def update(self, *, now: bool = False) -> None:
        """Write what is new, if it is time."""
        if not now and time.monotonic() - self._last < _SECONDS:
            return
        seen = [chain.noted["made"] for chain in self._chains]
        if seen == self._seen:
            return
        state = self._state()
        noted = [chain for group in state["groups"] for chain in group["chains"]]
        for chain, kept in zip(self._chains, noted, strict=True):
            self._append(chain, kept["blocks"])
        self._checkpoint.write_state(state)
        self._seen, self._last = seen, time.monotonic()

    def _append(self, chain: ChainRun, blocks: int) -> None:
        """Append the draws of all blocks up to number `blocks` that are not kept yet."""
        new = slice(self._kept[chain.index], blocks)
        if new.start == new.stop:
            return
        first = sum(len(rows) for rows in chain.statistics[: new.start])
        draws = {name: np.concatenate(parts[new]) for name, parts in chain.draws.items()}
        self._checkpoint.append(
            chain.index, first, {"statistics": np.concatenate(chain.statistics[new]), "draws": draws}
        )
        self._kept[chain.index] = blocks


def newest(checkpoint: Checkpoint) -> tuple[dict[str, Any], list[list[dict[str, Any]]]]:
    """The newest state whose draws are all there, and each chain's blocks of draws."""
    states = checkpoint.states()
    if not states:
        raise CheckpointError(f"checkpoint {checkpoint.shown} holds a manifest and no state")
    damaged: list[CheckpointError] = []
    for state in states:
        chains = [chain for group in state["groups"] for chain in group["chains"]]
        counts = [0 if chain["warmed"] is None else chain["made"] - chain["warmed"] for chain in chains]
        try:
            blocks = [checkpoint.blocks(chain, count) for chain, count in enumerate(counts)]
        except CheckpointError as error:
            damaged.append(error)
            continue
        for refused in damaged:
            warnings.warn(f"{refused}; the state before it is taken", stacklevel=4)
        return state, blocks
    raise CheckpointError(f"{damaged[0]}; no state is whole without it: delete the checkpoint, and run again")
