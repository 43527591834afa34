"""The messages of part `run`: its start, the recoveries of its chains, its end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from livenuts.compiler.target import Bound
from livenuts.messages import Sink
from livenuts.runtime.chain import ChainRun


class Announcements:
    """One writer of part `run`, which numbers what it says."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._said = 0
        self._recoveries = 0

    def _say(self, event: str, content: dict[str, Any]) -> None:
        self._sink({"type": f"nuts.{event}/1", "part": "run", "seq": self._said} | content)
        self._said += 1

    def start(self, bound: Bound, digest: str, settings: dict[str, Any], seed: int) -> None:
        """What is about to run."""
        content = {
            "model": bound.description.name,
            "digest": digest,
            "settings": settings,
            "seed": seed,
            "variables": [
                {
                    "name": item.name,
                    "shape": list(item.shape),
                    "dims": None if item.dims is None else list(item.dims),
                }
                for item in bound.target.outputs
            ],
        }
        self._say("start", content)

    def recoveries(self, chains: Sequence[ChainRun], *, last: bool = False) -> None:
        """Say what was recovered from, in order of iteration and chain: as far as no chain can add to it any more."""
        known = math.inf if last else min(c.made if c.made < c.total else math.inf for c in chains)
        found = sorted((r.iteration, c.index, r.error) for c in chains for r in c.recoveries if r.iteration < known)
        for iteration, chain, error in found[self._recoveries :]:
            self._say("failure", {"error": error, "recovered": True, "chain": chain, "iteration": iteration})
            self._recoveries += 1

    def end(self, status: str, error: BaseException | None, chains: list[ChainRun]) -> BaseException | None:
        """Say what is left to say and flush; the first error of the run, or of saying it."""
        return self.finish(status, error, [chain.kept for chain in chains], chains)

    def finish(
        self, status: str, error: BaseException | None, draws: list[int], chains: Sequence[ChainRun] = ()
    ) -> BaseException | None:
        """`end`, given how many draws each chain made."""
        flush = getattr(self._sink, "flush", lambda: None)
        try:
            flush()  # the end is to come after every draw
            self.recoveries(chains, last=True)
            if error is not None:
                text = f"{type(error).__name__}: {error}"
                chain = getattr(error, "chain", None)
                self._say("failure", {"error": text, "recovered": False, "chain": chain, "iteration": None})
            self._say("end", {"status": status, "draws": draws})
            flush()
        except Exception as failure:
            return error or failure
        return error
