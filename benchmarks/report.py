"""What the benchmarks' tables share: rows of Markdown, the machine, the command, the files."""

import os
import platform
import shlex
import sys
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """The lines of a Markdown table, and an empty one."""
    heads = list(heads)
    return [f"| {' | '.join(row)} |" for row in (heads, ["---"] * len(heads), *rows)] + [""]


def machine() -> str:
    return f"{os.cpu_count()} cores, {platform.machine()}"


def versions(*packages: str) -> str:
    """Python's version and those of packages."""
    return ", ".join(
        [f"Python {platform.python_version()}", *(f"{name} {import_module(name).__version__}" for name in packages)]
    )


def command() -> str:
    """The command that is running, without this machine's paths and without --write."""
    words, skip = [], False
    for word in sys.argv[1:]:
        if not skip and word not in ("--python", "--write"):
            words.append(word)
        skip = word == "--python"
    return shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *words])


def publish(name: str, lines: Iterable[str], write: bool) -> None:
    """Print the report; with `write`, keep it as results/NAME.md too."""
    text = "\n".join(lines).rstrip() + "\n"
    print(text)
    if write:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{name}.md").write_text(text, encoding="utf-8")
