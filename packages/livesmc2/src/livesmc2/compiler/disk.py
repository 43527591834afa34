"""Machine code of models on disk, found by a digest of all that it was made from.

The key holds what the loop and the model's functions are, the sources of this package that are compiled into it, the
versions of Python, NumPy, Numba and llvmlite, Numba's settings, and the processor. A file is written whole and then
renamed, so processes that start together do no harm; a damaged one is made again; where no folder can be written to,
each process compiles for itself.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import pickle
import sys
import tempfile
import zlib
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np
from numba.core import compiler, config, serialize
from numba.core.registry import cpu_target

PACKAGE = Path(__file__).parent.parent
SUFFIX = ".machine"
KEPT = 300
"""Files in a folder; those used longest ago go first. A model has up to six, of 0.1 MB each."""
_CHECKSUM = 32


def key(*parts: str) -> str:
    """The name under which code made from these texts is kept on this machine."""
    digest = hashlib.blake2b(digest_size=20)
    for part in (*platform(), _package(), *parts):
        digest.update(f"{len(part)}\n{part}".encode())
    return digest.hexdigest()


def platform() -> list[str]:
    """What runs the code, and what made it."""
    versions = [f"{module.__name__} {module.__version__}" for module in (np, numba, llvmlite)]
    settings = {
        name: value
        for name, value in vars(config).items()
        if name.isupper() and isinstance(value, (bool, int, float, str)) and not name.endswith(("THREADS", "_DIR"))
    }
    return [
        sys.version,
        *versions,
        repr(cpu_target.target_context.codegen().magic_tuple()),
        repr(sorted(settings.items())),
    ]


@functools.cache
def _package() -> str:
    """A digest of the sources that could be compiled into a loop."""
    digest = hashlib.blake2b(digest_size=20)
    for folder in ("compiler", "kernel"):
        for file in sorted((PACKAGE / folder).glob("*.py")):
            content = file.read_bytes().replace(b"\r\n", b"\n")
            digest.update(f"{folder}/{file.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def folders() -> list[Path]:
    """Where code may lie: NUMBA_CACHE_DIR alone where it is set, else beside the package, else the user's."""
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    if chosen:
        return [Path(chosen)]
    if sys.platform == "win32":
        own = Path(os.environ.get("LOCALAPPDATA", "~"))
    elif sys.platform == "darwin":
        own = Path("~/Library/Caches")
    else:
        own = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    try:
        return [PACKAGE / "__pycache__", own.expanduser() / "livesmc2"]
    except RuntimeError:  # no home
        return [PACKAGE / "__pycache__"]


def load(name: str) -> Any | None:
    """What Numba compiled, kept under this name; None where there is none, or it is damaged."""
    for folder in folders():
        path = folder / (name + SUFFIX)
        try:
            content = path.read_bytes()
        except OSError:
            continue
        if hashlib.blake2b(content[_CHECKSUM:], digest_size=_CHECKSUM).digest() != content[:_CHECKSUM]:
            continue
        with contextlib.suppress(OSError):
            os.utime(path)
        context = cpu_target.target_context
        context.refresh()
        rebuild: Any = compiler.CompileResult._rebuild
        return rebuild(context, *pickle.loads(zlib.decompress(content[_CHECKSUM:])))
    return None


def keep(name: str, result: Any) -> bool:
    """Write what Numba compiled to the first folder that takes it; whether that could be done."""
    if result.lifted or result.library.has_dynamic_globals:  # it holds addresses of this process
        return False
    dumps: Any = serialize.dumps
    body = zlib.compress(dumps(result._reduce()))
    content = hashlib.blake2b(body, digest_size=_CHECKSUM).digest() + body
    return any(_write(folder / (name + SUFFIX), content) for folder in folders())


def _write(path: Path, content: bytes) -> bool:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.stem, suffix=".tmp", delete=False) as file:
            file.write(content)
        try:
            os.chmod(file.name, 0o644)
            os.replace(file.name, path)
        except OSError:
            os.unlink(file.name)
            raise
        _forget(path.parent)
    except OSError:
        return path.exists()
    return True


def _forget(folder: Path) -> None:
    """Delete the files that were used longest ago, if there are too many."""
    files = [(file.stat().st_mtime_ns, file) for file in folder.glob("*" + SUFFIX)]
    for _, file in sorted(files)[:-KEPT]:
        file.unlink(missing_ok=True)
