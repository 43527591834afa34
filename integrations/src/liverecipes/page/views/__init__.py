"""What the page shows of a run: one view for each family of messages."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Protocol

from .generic import Generic
from .nuts import Nuts
from .spc import Spc


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


VIEWS: dict[str, Callable[[str], View]] = {"nuts": Nuts, "spc": Spc}
"""Family, which is what stands before the first dot of a message's type -> its view; others have `Generic`."""


def family(message: dict[str, Any]) -> str:
    """Return the engine's name in a message's type."""
    return str(message["type"]).split(".", 1)[0]


__all__ = ["VIEWS", "Generic", "Nuts", "Spc", "View", "family"]
