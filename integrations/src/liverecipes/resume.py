"""`live resume`: go on with a run whose process is gone, from what lies on the queue beside it."""

import json
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import Any

import livequeue

from .errors import BadInput

_COMMAND = "command"
_ENGINES = {"nuts": "livenuts", "sim": "livesim"}
"""Engines whose checkpoints hold their model; family of the messages -> module with a `resume`."""


def remember(queue: livequeue.Queue, run: str, words: Sequence[str]) -> None:
    """Keep the command line that makes the run's messages again, without `live` and the queue."""
    queue.store(run)[_COMMAND] = json.dumps(list(words)).encode()


def command_of(queue: livequeue.Queue, run: str) -> list[str] | None:
    """Return what `remember` kept; None where the run is not a recipe's."""
    kept = queue.store(run).get(_COMMAND)
    if kept is None:
        return None
    try:
        words = json.loads(kept)
    except ValueError:
        words = None
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise BadInput(
            f"{run}: what its queue keeps as its command cannot be read; run the recipe again under another id"
        )
    return words


def resume(queue: livequeue.Queue, run: str) -> Any:
    """Finish an engine's run from the checkpoint in `queue.store(run)`, and return the engine's result.

    Its messages are those of a run that nothing disturbed: what is on the queue already is sent again, which is
    harmless. Raises BadInput where the engine's checkpoint holds no model, or there is none.
    """
    family = _family(queue, run)
    if family not in _ENGINES:
        raise BadInput(
            f"{run}: a run of {family} goes on in the program that began it, which has its model or data: start that "
            f"again with the same run id and checkpoint (here can be resumed: {', '.join(_ENGINES)}, and recipes)"
        )
    engine = _engine(run, _ENGINES[family])
    queue.request_stop(run, False)  # a request was meant for the process that is gone
    try:
        with queue.publisher(run) as sink:
            return engine.resume(queue.store(run), sink=sink, stop=queue.stop(run))
    except livequeue.Conflict as error:
        raise BadInput(f"{run}: what its checkpoint says is not what is on the queue: {error}") from None
    except ValueError as error:  # every engine's CheckpointError is one
        raise BadInput(f"{run}: {error}; give the engine checkpoint=queue.store({run!r}) when it runs") from None


def _family(queue: livequeue.Queue, run: str) -> str:
    with queue.subscribe(run, follow=False, parts="run") as messages:
        for message in messages:
            return str(message["type"]).split(".", 1)[0]
    return "an unknown engine"


def _engine(run: str, module: str) -> ModuleType:
    try:
        return import_module(module)
    except ModuleNotFoundError:
        raise BadInput(f"{run}: {module} is not installed here; a run of it is resumed where it is") from None
