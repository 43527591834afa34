"""Machine code of models on disk, found by a digest of all that it was made from.

The key holds what the loop and the model's functions are, the sources of this package that are compiled into it, the
versions of Python, NumPy, Numba and llvmlite, Numba's settings, and the processor. A file is written whole and then
renamed, so processes that start together do no harm; a damaged one is made again; where no folder can be written to,
each process compiles for itself.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import tempfile
import zlib
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding as llvm
import numba
import numba._dynfunc
import numba.core.compiler
import numba.core.sigutils
import numba.core.typing
import numpy as np
from numba.core import config
from numba.core.environment import Environment
from numba.core.registry import cpu_target

_numba: Any = numba  # whose functions have no types
PACKAGE = Path(__file__).parent.parent
SUFFIX = ".machine"
KEPT = 200
"""Files in a folder; those used longest ago go first. A model has up to six, of 0.1 to 0.3 MB each."""
_CHECKSUM = 32


def key(*parts: str) -> str:
    """The name under which code made from these texts is kept on this machine."""
    digest = hashlib.blake2b(digest_size=20)
    for part in (*platform(), SOURCES, *parts):
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


def _sources() -> str:
    """A digest of the sources that could be compiled into a loop."""
    digest = hashlib.blake2b(digest_size=20)
    for folder in ("compiler", "kernel", "model"):
        for file in sorted((PACKAGE / folder).glob("*.py")):
            content = file.read_bytes().replace(b"\r\n", b"\n")
            digest.update(f"{folder}/{file.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


SOURCES = _sources()
"""Read when they are imported: a process goes on with what it began with, whatever is installed meanwhile."""


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


def load(name: str, signature: str) -> Any | None:
    """What Numba compiled, kept under this name; None where there is none, or it is damaged, or lacks what it needs.

    It is put together from its parts, as Numba does after it has compiled; nothing in a file is ever unpickled.
    """
    content = next(filter(None, (_read(folder / (name + SUFFIX)) for folder in folders())), None)
    if content is None:
        return None
    head, _, rest = content.partition(b"\n")
    about = json.loads(head)
    if not all(llvm.address_of_symbol(symbol) is not None for symbol in about["needed"]):
        return None
    context = cpu_target.target_context
    context.refresh()
    code = rest[: about["size"]], rest[about["size"] :]
    library = context.codegen().unserialize_library((name, "object", code))
    environment = Environment(globals())  # of the constants that nothing here has
    for named in about["environments"]:
        library.codegen.set_env(named, environment)
    pointer = library.get_pointer_to_function(about["symbol"])
    loop = _numba._dynfunc.make_function(sys.modules[__name__], name, "", pointer, environment, (library,))
    arguments, result = _numba.core.sigutils.normalize_signature(signature)
    return _numba.core.compiler.compile_result(
        entry_point=loop,
        signature=_numba.core.typing.signature(result, *arguments),
        objectmode=False,
        library=library,
        environment=environment,
        target_context=context,
        typing_context=context.typing_context,
    )


def keep(name: str, result: Any) -> bool:
    """Write what Numba compiled to the first folder that takes it; whether that could be done."""
    library, environments = result.library, {result.environment, *result._find_referenced_environments()}
    # Addresses in this process, what must run before, and constants that are Python objects have no place in a file.
    if library.has_dynamic_globals or result.reload_init or any(one.consts for one in environments):
        return False
    code, bitcode = library.serialize_using_object_code()[2]
    declared = [function.name for function in library._final_module.functions if function.is_declaration]
    about = {
        "symbol": result.fndesc.llvm_cpython_wrapper_name,
        "environments": sorted(one.env_name for one in environments),
        "needed": sorted(symbol for symbol in declared if not symbol.startswith("llvm.")),
        "size": len(code),
    }
    body = zlib.compress(json.dumps(about).encode() + b"\n" + code + bitcode)
    content = hashlib.blake2b(body, digest_size=_CHECKSUM).digest() + body
    return any(_write(folder / (name + SUFFIX), content) for folder in folders())


def _read(path: Path) -> bytes | None:
    try:
        content = path.read_bytes()
    except OSError:
        return None
    if hashlib.blake2b(content[_CHECKSUM:], digest_size=_CHECKSUM).digest() != content[:_CHECKSUM]:
        return None
    with contextlib.suppress(OSError):
        os.utime(path)
    return zlib.decompress(content[_CHECKSUM:])


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
