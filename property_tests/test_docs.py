"""Links between the pages lead somewhere, and the README's commands are the chores' own."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    path
    for path in [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("packages/*/*.md"),
        *ROOT.glob("integrations/*.md"),
    ]
)


def broken(page: Path, text: str) -> list[str]:
    """Relative links of a page that lead nowhere."""
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text)
    return [target for target in targets if "://" not in target and not (page.parent / target).exists()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    assert not broken(page, page.read_text(encoding="utf-8"))


def test_a_broken_link_would_be_seen() -> None:
    assert broken(ROOT / "README.md", "[x](docs/nowhere.md)") == ["docs/nowhere.md"]


def test_the_readme_begins_with_two_commands() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^python3 -m venv .*$", text, flags=re.M)
    assert commands[0].endswith("nox -s demo")
    assert commands[1].endswith("nox")
    assert ".venv/bin/nox" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
