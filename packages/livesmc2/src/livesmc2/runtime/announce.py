"""The messages of a run: one writer for parts `run` and `steps`, which numbers what it says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from livesmc2.messages import Sink
from livesmc2.runtime.step import LEVELS, Step

if TYPE_CHECKING:
    from livesmc2.runtime.online import OnlineSMC2


class Announcements:
    """What was said so far, counted."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._said = 0
        self._steps = 0
        self._ended = False

    def state(self) -> dict[str, int]:
        """How many messages each part has."""
        return {"run": self._said, "steps": self._steps}

    def restore(self, state: dict[str, int]) -> None:
        """Go on counting."""
        self._said, self._steps = state["run"], state["steps"]

    def _say(self, event: str, content: dict[str, Any]) -> None:
        self._sink({"type": f"smc2.{event}/1", "part": "run", "seq": self._said} | content)
        self._said += 1

    def start(self, smc: OnlineSMC2) -> None:
        """What is about to run."""
        model = smc.model
        settings = {
            name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in smc.settings.items()
        }
        content = {
            "model": model.name,
            "digest": smc._program.identity.code,
            "settings": settings,
            "seed": smc.seed,
            "parameters": model.parameter_fields.labels(),
            "state": model.state_fields.labels(),
            "observed": list(model.observed or ("y",)),
            "levels": list(LEVELS),
        }
        self._say("start", content)

    def step(self, step: Step) -> None:
        """An observation was taken in."""
        self._sink(step.message(self._steps))
        self._steps += 1

    def end(self, smc: OnlineSMC2, status: str, error: BaseException | None) -> None:
        """Nothing follows; said once."""
        if self._ended:
            return
        self._ended = True
        if error is not None:
            text = f"{type(error).__name__}: {error}"
            self._say("failure", {"error": text, "recovered": False, "t": max(smc.t - 1, 0)})
        self._say("end", {"status": status, "steps": smc.t, "log_evidence": smc.log_evidence})
        getattr(self._sink, "flush", lambda: None)()
