"""Which series a page asks for."""

import re
from collections.abc import Collection, Sequence

MOST_SHOWN = 24
_COMMAS_OUTSIDE_BRACKETS = re.compile(r",(?![^\[]*\])")


def choose(show: Sequence[str], names: Collection[str], default: int) -> list[str]:
    """Return the names asked for that there are; the first `default` of all where there are none of them.

    Each entry of `show` is a name, or several with commas between them.
    """
    asked: list[str] = []
    for entry in show:
        asked += [entry] if entry in names else _COMMAS_OUTSIDE_BRACKETS.split(entry)
    known = [name for name in dict.fromkeys(asked) if name in names]
    return known[:MOST_SHOWN] or list(names)[:default]
