"""Object code on disk: found by a digest of what it was made from, and loaded without importing Numba.

The key is the bytes of every source that could be compiled into it, the versions of Python, Numba and llvmlite, and the
processor. Numba's own cache looks at one file's time and size, and needs Numba to be loaded, which takes longer than
most runs. A file is written whole and then renamed, so processes that start together do no harm; where no folder can
be written to, each process compiles for itself.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from threading import Lock
from typing import Any

import llvmlite.binding as llvm

PACKAGE = Path(__file__).parent.parent
MATHEMATICS = ("llvm.log.f64", "llvm.exp.f64")
DIGEST = 32
"""Bytes of the checksum that a file begins with."""

_lock = Lock()
_addresses: dict[str, int] = {}
_loaded: list[Any] = []
"""Engines and object files: they own the code."""


def address(name: str, sources: Sequence[str], make: Callable[[], tuple[str, str]]) -> int:
    """Where the function `name` begins in memory, loaded from disk, or made, kept and loaded.

    sources: the files and folders of the package that it is made from. make: its module in LLVM's language, and the
    symbol of its entry.
    """
    with _lock:
        if name not in _addresses:
            _addresses[name] = _address(name, sources, make)
        return _addresses[name]


def _address(name: str, sources: Sequence[str], make: Callable[[], tuple[str, str]]) -> int:
    engine = _engine()  # LLVM knows the process's symbols from then on
    digest = _digest_of([*sources, "native/objects.py"])
    file = f"{name}-{_platform()}-{digest}.o"
    for folder in folders():
        found = _read(folder / file)
        if found is not None:
            return _load(engine, *found)
    module, symbol = make()
    code, needed = _compile(module)
    if not _reachable(needed):
        raise ImportError(f"{name}: no {needed} in this process; this is a bug in livesim")
    for folder in folders():
        if _write(folder / file, code, symbol, needed):
            break
    return _load(engine, code, symbol)


def folders() -> list[Path]:
    """Where object code may lie: NUMBA_CACHE_DIR alone where it is set, else beside the package, else the user's."""
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
        return [PACKAGE / "__pycache__", own.expanduser() / "livesim"]
    except RuntimeError:  # no home
        return [PACKAGE / "__pycache__"]


def _platform() -> str:
    """A digest of what runs the code and of what made it."""
    parts = [sys.version, llvm.get_process_triple(), llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()]
    parts += [version("numba"), version("llvmlite")]
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=6).hexdigest()


def _digest_of(sources: Sequence[str]) -> str:
    digest = hashlib.blake2b(digest_size=10)
    for source in sorted(sources):
        path = PACKAGE / source
        for file in sorted(path.glob("*.py")) if path.is_dir() else [path]:
            content = file.read_bytes().replace(b"\r\n", b"\n")
            digest.update(f"{file.relative_to(PACKAGE).as_posix()} {len(content)}\n".encode())
            digest.update(content)
    return digest.hexdigest()


def _read(path: Path) -> tuple[bytes, str] | None:
    """The code in a file and its symbol; None where there is none, or it is damaged, or needs what is not there."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    if hashlib.blake2b(content[DIGEST:], digest_size=DIGEST).digest() != content[:DIGEST]:
        return None
    head, _, code = content[DIGEST:].partition(b"\n")
    about = json.loads(head)
    return (code, about["symbol"]) if _reachable(about["needed"]) else None


def _write(path: Path, code: bytes, symbol: str, needed: list[str]) -> bool:
    """Keep code, in place of what earlier sources gave for this platform; whether that could be done."""
    content = json.dumps({"symbol": symbol, "needed": needed}).encode() + b"\n" + code
    content = hashlib.blake2b(content, digest_size=DIGEST).digest() + content
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
        for other in path.parent.glob(path.stem.rpartition("-")[0] + "-*.o"):
            if other != path:
                other.unlink(missing_ok=True)
    except OSError:
        return path.exists()
    return True


def _reachable(symbols: Sequence[str]) -> bool:
    """Whether the process has all symbols: LLVM ends the process where one is missing."""
    return all(llvm.address_of_symbol(symbol) is not None for symbol in symbols)


def _machine() -> Any:
    """This processor, with all that it can do."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    features = llvm.get_host_cpu_features().flatten()
    # Static relocation is what LLVM's loader wants on x86.
    target = llvm.Target.from_default_triple()
    reloc = "static" if target.name.startswith("x86") else "default"
    return target.create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=features, opt=3, reloc=reloc, codemodel="jitdefault", jit=True
    )


def _compile(text: str) -> tuple[bytes, list[str]]:
    """Optimise a module; its object code, and the symbols that it needs."""
    machine, module = _machine(), llvm.parse_assembly(text)
    builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=3))
    builder.getModulePassManager().run(module, builder)
    if any("picklebuf" in variable.name for variable in module.global_variables):
        raise TypeError(f"a routine of {module.name} may raise an exception, which nobody would see")
    functions = [function.name for function in module.functions if function.is_declaration]
    # What LLVM calls llvm.log.f64 becomes a call of the C library's log.
    needed = {name.split(".")[1] if name in MATHEMATICS else name for name in functions}
    return machine.emit_object(module), sorted(name for name in needed if not name.startswith("llvm."))


def _engine() -> Any:
    return llvm.create_mcjit_compiler(llvm.parse_assembly(""), _machine())


def _load(engine: Any, code: bytes, symbol: str) -> int:
    file = llvm.ObjectFileRef.from_data(code)
    engine.add_object_file(file)
    engine.finalize_object()
    _loaded.append((engine, file, code))
    return int(engine.get_function_address(symbol))


def function(name: str, sources: Sequence[str], make: Callable[[], tuple[str, str]], *kinds: Any) -> Any:
    """The function of `address` as one that Python can call; kinds: ctypes of what it returns and takes."""
    return ctypes.CFUNCTYPE(*kinds)(address(name, sources, make))
