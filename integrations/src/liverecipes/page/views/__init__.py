"""What the page shows of a run: one view for each family of messages."""

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

from ...errors import BadInput
from .bart import Bart
from .generic import Generic
from .nuts import Nuts
from .sim import Sim
from .smc2 import Smc2
from .spc import Spc
from .twin import Twin


class View(Protocol):
    """The state of one run, fed message by message, in memory that does not grow with the run.

    Made with the run's id. What it returns can be written as JSON; NaN and infinities stand for null. A view that gets
    messages it cannot make sense of raises, and the run is then shown by `Generic`.
    """

    name: ClassVar[str]
    """Of the page's module that draws it."""

    def take(self, message: dict[str, Any]) -> None:
        """Take the next message of the run."""

    def full(self, show: Sequence[str]) -> dict[str, Any]:
        """Return the whole state, with the history of the series in `show`."""

    def since(self, mark: Any, show: Sequence[str]) -> dict[str, Any] | None:
        """Return what came after `mark`; None where only the whole state will do."""

    def mark(self) -> Any:
        """Return where the view is, for `since`."""


class OwnView(View, Protocol):
    """A view of somebody's own messages: its `name` is their family, and it brings the module that draws it."""

    script: ClassVar[Path]
    """The JavaScript module, which stands beside those of `page/static/views` and may import what they import."""

    def __init__(self, run: str) -> None: ...


Views = dict[str, Callable[[str], View]]
"""Family, which is what stands before the first dot of a message's type -> its view; others have `Generic`."""

VIEWS: Views = {"nuts": Nuts, "smc2": Smc2, "bart": Bart, "sim": Sim, "spc": Spc, "twin": Twin}
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,40}")


def scripts(views: Iterable[type[OwnView]]) -> dict[str, Path]:
    """Return the module of each view by name, or raise `BadInput` where something of it is missing."""
    found: dict[str, Path] = {}
    for view in views:
        name, script = getattr(view, "name", None), getattr(view, "script", None)
        told = f"view {getattr(view, '__qualname__', view)}"
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise BadInput(f"{told}: name must be the family of its messages, small letters and digits, got {name!r}")
        if name in (*VIEWS, Generic.name):
            raise BadInput(f"{told}: the page has a view {name!r} of its own; name must be another family of messages")
        if not isinstance(script, Path) or not script.is_file():
            raise BadInput(f"{told}: script must be the Path of its JavaScript module, got {script}")
        if missing := [each for each in ("take", "full", "since", "mark") if not callable(getattr(view, each, None))]:
            raise BadInput(f"{told}: there is no method {missing[0]}; a view has take, full, since and mark")
        found[name] = script
    return found


def family(message: dict[str, Any]) -> str:
    """Return the engine's name in a message's type."""
    return str(message["type"]).split(".", 1)[0]


__all__ = [
    "VIEWS",
    "Bart",
    "Generic",
    "Nuts",
    "OwnView",
    "Sim",
    "Smc2",
    "Spc",
    "View",
    "Views",
    "family",
    "scripts",
]
