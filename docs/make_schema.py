"""JSON Schemas of the messages, made from the packages' TypedDicts: `make_schema.py` writes, `--check` compares."""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

FOLDER = Path(__file__).parent / "schema"
MODULES = (
    "livenuts.messages",
    "livesim.messages",
    "livesmc2.messages",
    "livebart.messages",
    "liverecipes.messages",
)


def schemas() -> dict[str, str]:
    """The text of each schema file, by name: `nuts.draw-1.json` for `nuts.draw/1`."""
    texts = {}
    for module in MODULES:
        for name, form in importlib.import_module(module).TYPES.items():
            schema = msgspec.json.schema(form, schema_hook=_array)
            texts[name.replace("/", "-") + ".json"] = json.dumps({"title": name} | schema, indent=2) + "\n"
    return texts


def _array(form: type) -> dict[str, Any]:
    """The schema of a NumPy array, as docs/protocol.md writes it; the bytes are base64 in JSON."""
    if form is not np.ndarray:
        raise NotImplementedError(form)
    data = {"type": "string", "contentEncoding": "base64"}
    shape = {"type": "array", "items": {"type": "integer", "minimum": 0}}
    fields = {"dtype": {"type": "string"}, "shape": shape, "data": data}
    return {"type": "object", "properties": fields, "required": list(fields)}


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
