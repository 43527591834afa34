"""JSON Schemas of the messages, made from the packages' TypedDicts: `make_schema.py` writes, `--check` compares."""

import importlib
import json
import sys
from pathlib import Path

import msgspec

FOLDER = Path(__file__).parent / "schema"
MODULES = ("livenuts.messages", "liverecipes.messages")


def schemas() -> dict[str, str]:
    """The text of each schema file, by name: `nuts.draw-1.json` for `nuts.draw/1`."""
    texts = {}
    for module in MODULES:
        for name, form in importlib.import_module(module).TYPES.items():
            schema = msgspec.json.schema(form)
            texts[name.replace("/", "-") + ".json"] = json.dumps({"title": name} | schema, indent=2) + "\n"
    return texts


def main() -> int:
    wanted = schemas()
    if "--check" not in sys.argv[1:]:
        FOLDER.mkdir(exist_ok=True)
        for name, text in wanted.items():
            (FOLDER / name).write_text(text, encoding="utf-8")
        return 0
    present = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.json")}
    stale = sorted(name for name in {*wanted, *present} if wanted.get(name) != present.get(name))
    if stale:
        print(f"docs/schema is stale: {', '.join(stale)}; run python docs/make_schema.py", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
