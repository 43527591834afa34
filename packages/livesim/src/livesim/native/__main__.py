"""Write the modules that the package brings along: `python -m livesim.native`, after a source of theirs was changed."""

from livesim import phold
from livesim.engine.compiled import interpreter
from livesim.native import objects
from livesim.random import batch

MODULES = {
    "kernel": (interpreter.SOURCES, interpreter.make),
    "phold": (phold.SOURCES, phold.make),
    "samplers": (batch.SOURCES, batch.make),
}
"""The sources of each, and what makes it."""


def main() -> None:
    for name, (sources, make) in MODULES.items():
        if objects.packaged(name, sources) is None:
            objects.package(name, sources, make)
            print(f"{name}: written")


if __name__ == "__main__":
    main()
