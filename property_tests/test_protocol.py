"""docs/protocol.md lists every message type that a package declares, and no other of that package."""

import importlib
import importlib.util
import re
import typing
from pathlib import Path

import pytest

PROTOCOL = Path(__file__).parent.parent / "docs" / "protocol.md"
DECLARED = ["livenuts.messages", "livesmc2.messages", "livebart.messages", "livesim.messages", "liverecipes.messages"]
TYPE = re.compile(r"\b[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)+/[1-9][0-9]*\b")


def is_there(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def declared_types(name: str) -> set[str]:
    """Return the message types of a module's TypedDicts: the Literal of the key `type`, or named in the docstring."""
    module = importlib.import_module(name)
    found: set[str] = set()
    for value in vars(module).values():
        if typing.is_typeddict(value):
            hint = typing.get_type_hints(value).get("type")
            literal = {each for each in typing.get_args(hint) if isinstance(each, str)}
            found |= literal or set(TYPE.findall(value.__doc__ or ""))
    return found


@pytest.mark.parametrize("name", [name for name in DECLARED if is_there(name)])
def test_every_declared_type_is_listed(name: str) -> None:
    listed = set(TYPE.findall(PROTOCOL.read_text()))
    declared = declared_types(name)
    assert declared, f"{name} declares no TypedDict with a Literal type"
    assert all(TYPE.fullmatch(each) for each in declared)
    assert declared <= listed, f"docs/protocol.md lacks {sorted(declared - listed)}"
    families = {each.split(".")[0] for each in declared}
    stale = {each for each in listed if each.split(".")[0] in families} - declared
    assert not stale, f"docs/protocol.md lists {sorted(stale)}, which {name} does not declare"


def test_the_check_finds_a_type_that_is_not_listed() -> None:
    """The poison: a made-up type is not in the page."""
    assert "nuts.nonsense/1" not in TYPE.findall(PROTOCOL.read_text())
    assert "nuts.draw/1" in TYPE.findall(PROTOCOL.read_text())
