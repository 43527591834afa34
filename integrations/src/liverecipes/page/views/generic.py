"""Any other run on the page: its parts, every number found in its messages, and the last message of each part.

A number of part `run`, most often a setting, is one of `once` until it comes a second time; all others have a series.
A difference holds `parts` and `once` whole, the values that came, and the last messages that are new.
"""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np

from ..series import RECENT, Series
from .choice import choose

MOST_PARTS, MOST_NAMES, MOST_SERIES, MOST_TEXT = 200, 50, 200, 2000
_DEFAULT_SHOWN = 12
_MOST_ELEMENTS = 8
_BLOCK = 256
_NOT_VALUES = ("type", "part", "seq", "chain", "draw")


class Generic:
    """One run of any engine."""

    name: ClassVar[str] = "generic"

    def __init__(self, run: str) -> None:
        self._status = "running"
        self._parts: dict[str, _Part] = {}
        self._names: dict[str, None] = {}
        self._series: dict[tuple[str, str], _Numbers] = {}
        self._once: dict[str, float] = {}
        self._structure = 0
        self._messages = 0

    def take(self, message: dict[str, Any]) -> None:
        name, kind = str(message["part"]), str(message["type"])
        self._messages += 1
        if name == "run":
            ended = kind.split(".", 1)[-1].startswith("end/")
            failed = kind.split(".", 1)[-1].startswith("failure/") and not message.get("recovered")
            self._status = str(message.get("status") or "ended") if ended else "failed" if failed else "running"
        part = self._parts.get(name)
        if part is None:
            if len(self._parts) == MOST_PARTS:
                return
            part = self._parts[name] = _Part()
        part.count += 1
        part.at, part.last = self._messages, message
        for key, value in message.items():
            if key not in _NOT_VALUES:
                for path, number in _numbers(key, value):
                    if name == "run" and ("run", path) not in self._series:
                        self._number_of_run(path, number)
                    else:
                        self._number(name, path, number)

    def _number_of_run(self, name: str, value: float) -> None:
        first = self._once.pop(name, None)
        if first is not None:
            self._number("run", name, first)
            self._number("run", name, value)
        elif len(self._once) < MOST_NAMES:
            self._once[name] = value

    def _number(self, part: str, name: str, value: float) -> None:
        numbers = self._series.get((part, name))
        if numbers is None:
            if len(self._series) == MOST_SERIES or (name not in self._names and len(self._names) == MOST_NAMES):
                return
            self._names[name] = None
            numbers = self._series[part, name] = _Numbers()
            self._structure += 1
        numbers.add(value)

    def full(self, show: Sequence[str]) -> dict[str, Any]:
        names = self._in_order()
        shown = choose(show, names, _DEFAULT_SHOWN)
        series = [
            {"name": name, "chain": part} | numbers.series().full()
            for (part, name), numbers in self._series.items()
            if name in shown
        ]
        return {"names": names, "shown": shown, "series": series} | self._state(0)

    def since(self, mark: Any, show: Sequence[str]) -> dict[str, Any] | None:
        structure, messages, counts = mark
        if structure != self._structure:
            return None
        if max((numbers.series().count - counts[key] for key, numbers in self._series.items()), default=0) > RECENT:
            return None
        shown = choose(show, self._in_order(), _DEFAULT_SHOWN)
        series = [
            {"name": name, "chain": part, "from": start, "values": numbers.series().since(start)}
            for (part, name), numbers in self._series.items()
            if name in shown and numbers.series().count > (start := counts[part, name])
        ]
        return {"series": series} | self._state(messages)

    def mark(self) -> Any:
        return self._structure, self._messages, {key: each.series().count for key, each in self._series.items()}

    def _in_order(self) -> list[str]:
        """The names: those of part `run` alone stand last."""
        others = {name for part, name in self._series if part != "run"}
        return sorted(self._names, key=lambda name: name not in others)

    def _state(self, messages: int) -> dict[str, Any]:
        return {
            "status": self._status,
            "messages": self._messages,
            "once": [{"name": name, "value": value} for name, value in self._once.items()],
            "parts": [
                {"part": name, "count": part.count, "type": str(part.last["type"])}
                for name, part in self._parts.items()
            ],
            "last": {name: pretty(part.last) for name, part in self._parts.items() if part.at > messages},
        }


class _Part:
    def __init__(self) -> None:
        self.count = self.at = 0
        self.last: dict[str, Any] = {}


class _Numbers:
    """A series, and the numbers that wait to join it."""

    def __init__(self) -> None:
        self._series = Series()
        self._waiting: list[float] = []

    def add(self, value: float) -> None:
        self._waiting.append(value)
        if len(self._waiting) == _BLOCK:
            self.series()

    def series(self) -> Series:
        if self._waiting:
            self._series.add(self._waiting)
            self._waiting = []
        return self._series


def _numbers(path: str, value: Any, depth: int = 4) -> Iterator[tuple[str, float]]:
    """The numbers in a value, each with its flattened key: `stats.lp`, `state[0]`."""
    if len(path) > 100 or depth == 0 or isinstance(value, bool):
        return
    if isinstance(value, float | int):
        yield path, float(value)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _numbers(f"{path}.{key}", item, depth - 1)
    elif isinstance(value, np.ndarray):
        if value.ndim == 0:
            yield path, float(value)
        elif value.size <= _MOST_ELEMENTS:
            for index, item in zip(np.ndindex(value.shape), value.flat, strict=True):
                yield f"{path}[{', '.join(map(str, index))}]", float(item)
    elif isinstance(value, list) and len(value) <= _MOST_ELEMENTS:
        for place, item in enumerate(value):
            yield from _numbers(f"{path}[{place}]", item, depth - 1)


def pretty(message: dict[str, Any]) -> str:
    """Return a message as text of at most `MOST_TEXT` characters."""
    text = ""
    for line in _lines(message, ""):
        text += line + "\n"
        if len(text) > MOST_TEXT:
            return text[: MOST_TEXT - 1] + "…"
    return text.rstrip("\n")


def _lines(value: dict[str, Any], indent: str) -> Iterator[str]:
    for key, item in value.items():
        if isinstance(item, dict) and item:
            yield f"{indent}{key}:"
            yield from _lines(item, indent + "  ")
        else:
            yield f"{indent}{key}: {_brief(item)}"


def _brief(value: Any, depth: int = 3) -> str:
    if isinstance(value, str):
        return value[:MOST_TEXT]
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, np.ndarray):
        some = " ".join(_brief(item) for item in value.flat[:12].tolist())
        return some if value.ndim == 0 else f"{list(value.shape)} {some}{' …' if value.size > 12 else ''}"
    if isinstance(value, list):
        some = ", ".join(_brief(item, depth - 1) for item in value[:12]) if depth else ""
        return f"[{some}{', …' if len(value) > 12 or not depth else ''}]"
    if isinstance(value, dict):
        some = ", ".join(f"{key}: {_brief(item, depth - 1)}" for key, item in list(value.items())[:12]) if depth else ""
        return f"{{{some}{', …' if len(value) > 12 or not depth else ''}}}"
    return str(value)
