"""A run in a terminal, from whenever one looks to its end: a picture that moves, or lines where nothing can move."""

import contextlib
import math
import time
from collections.abc import Callable
from typing import Any, Protocol

import livequeue
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from ...terminal import printable
from ..watch import Picture, Watch
from .bart import BartDrawing
from .generic import GenericDrawing
from .nuts import NutsDrawing
from .sim import SimDrawing
from .smc2 import Smc2Drawing
from .spc import SpcDrawing
from .twin import TwinDrawing

_WIDEST = 120
_TICK = 0.2
_STILL = 1.0
"""Seconds between two pictures of a run that says nothing: who is silent, and for how long."""
_LINES = 5.0
"""Seconds between two lines to a file or a pipe."""
_LOOK = 2.0


class Drawing(Protocol):
    """What a view keeps, as `full` returns it, in a terminal."""

    def picture(self, data: dict[str, Any], width: int, height: int) -> RenderableType:
        """Return what fits so many columns and lines."""

    def line(self, data: dict[str, Any]) -> str:
        """Return the most important numbers."""

    def rows(self, data: dict[str, Any]) -> list[str]:
        """Return the others, a line each."""


DRAWINGS: dict[str, Callable[[str], Drawing]] = {
    "nuts": NutsDrawing,
    "smc2": Smc2Drawing,
    "bart": BartDrawing,
    "sim": SimDrawing,
    "spc": SpcDrawing,
    "twin": TwinDrawing,
    "generic": GenericDrawing,
}
"""By the view's name."""


class Terminal:
    """Shows a run, by default the newest that goes on, to its end: `Terminal(queue, None, Console()).show()`."""

    def __init__(self, queue: livequeue.Queue, run: str | None, console: Console) -> None:
        self._queue, self._run, self._console = queue, run, console
        self._moving = console.is_terminal and not console.is_dumb_terminal
        self._drawings: dict[str, Drawing] = {}
        self._names: list[str] = []  # of the series that are asked for
        self._trouble = ""  # why the queue cannot be read
        self._said, self._said_at = "", -math.inf

    def show(self) -> bool:
        """Show the run, and tell whether it came to its end: False where it was deleted."""
        run, created = self._find()
        watch = Watch(self._queue, run, created)
        try:
            if not self._moving:
                return self._follow(watch, self._say)
            with Live(console=self._console, auto_refresh=False, vertical_overflow="crop") as live:
                return self._follow(watch, lambda *now: live.update(self._draw(*now), refresh=True))
        finally:
            watch.close()
            watch.join(1.0)

    def _find(self) -> tuple[str, float]:
        """Wait for the run that is to be shown; return its id and when it was created."""
        told = False
        while True:
            runs = self._queue.runs()
            wanted = runs[:-20:-1] if self._run is None else [run for run in runs if run == self._run]
            infos = []
            for each in wanted:
                with contextlib.suppress(KeyError):  # deleted meanwhile
                    infos.append(self._queue.info(each))
            if found := [*(info for info in infos if not info.ended), *infos]:
                return found[0].run, found[0].created
            if not told:
                self._print("No runs on the queue yet. The first is shown as soon as there is one.")
                told = True
            time.sleep(_TICK)

    def _follow(self, watch: Watch, show: Callable[[Watch, Picture | None, bool], None]) -> bool:
        version, shown, looked = -1, -math.inf, time.monotonic()
        while True:
            now, ended = time.monotonic(), watch.ended
            if ended or version != watch.version or now > shown + _STILL:
                version, shown = watch.version, now
                picture = self._picture(watch)
                show(watch, picture, ended)
                if ended and picture is not None:
                    return True
            if now > looked + _LOOK:
                looked = now
                if self._is_gone(watch):
                    self._print(f"{watch.run}: the run was deleted")
                    return False
            time.sleep(_TICK)

    def _picture(self, watch: Watch) -> Picture | None:
        """Return the whole state, with as many series as there may be room for."""
        picture = watch.picture(None, self._names)
        if picture is None:
            return None
        names = picture.data.get("names", [])[: self._console.height]
        if names == self._names:
            return picture
        self._names = names
        return watch.picture(None, names)

    def _is_gone(self, watch: Watch) -> bool:
        try:
            gone, self._trouble = self._queue.info(watch.run).created != watch.created, ""
        except KeyError:
            return True
        except livequeue.QueueError as error:
            gone, self._trouble = False, f"the queue does not answer: {printable(str(error))}"
        return gone

    def _drawing(self, watch: Watch, picture: Picture) -> Drawing:
        if picture.view not in self._drawings:
            self._drawings[picture.view] = DRAWINGS[picture.view](watch.run)
        return self._drawings[picture.view]

    def _draw(self, watch: Watch, picture: Picture | None, ended: bool) -> RenderableType:
        width, height = min(self._console.width, _WIDEST), self._console.height - 2  # and the prompt behind it
        trouble = self._trouble
        if picture is None:
            return Text(trouble or f"{printable(watch.run)}: waiting for its first message")
        drawn = self._drawing(watch, picture).picture(picture.data, width, height - bool(trouble))
        return Group(Text(trouble, "red", no_wrap=True, overflow="ellipsis"), drawn) if trouble else drawn

    def _say(self, watch: Watch, picture: Picture | None, ended: bool) -> None:
        if picture is None:
            return
        drawing, now = self._drawing(watch, picture), time.monotonic()
        said = drawing.line(picture.data)
        if ended or (said != self._said and now >= self._said_at + _LINES):
            self._said, self._said_at = said, now
            for each in (said, *(drawing.rows(picture.data) if ended else ())):
                self._print(each)

    def _print(self, text: str) -> None:
        self._console.print(printable(text), markup=False, highlight=False, soft_wrap=True)
        self._console.file.flush()
