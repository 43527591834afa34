"""Draws to disk while they are made: a sink that writes a Zarr store, which ArviZ and xarray read.

The store is a folder: groups `posterior` and `sample_stats` with arrays (chain, draw, *shape), and an array `lengths`
(chain,) with how many draws of each are there. Rows are written before the length that counts them: a process that is
killed leaves every counted draw whole. What is not written yet is NaN, or zero where numbers are whole.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from livenuts.messages import Message

_FORMAT = "livenuts.draws/1"
# A chain's rows wait no longer than this for others to be written with.
_SECONDS = 1.0


class ZarrSink:
    """What `to_zarr` returns."""

    def __init__(self, path: str | Path, names: Iterable[str] | str | None, thin: int, every: int) -> None:
        for name, value in (("thin", thin), ("every", every)):
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
                raise ValueError(f"to_zarr: {name} must be a positive integer, got {value!r}")
        self._path, self._thin, self._every = Path(path), int(thin), int(every)
        self._names = None if names is None else [names] if isinstance(names, str) else list(names)
        self._root = _open(self._path)
        self._lock = threading.Lock()
        self._waiting: dict[int, list[Message]] = {}
        self._written: dict[int, float] = {}

    def __call__(self, message: Message) -> None:
        """Take in a message; OSError that names the store where the disk does not take it."""
        kind = message["type"]
        if kind == "nuts.start/1":
            with self._lock:
                self._start(message)
        elif kind == "nuts.draw/1" and message["draw"] % self._thin == 0:
            chain = message["chain"]
            with self._lock:
                rows = self._waiting.setdefault(chain, [])
                rows.append(message)
                due = len(rows) >= self._every or time.monotonic() - self._written.get(chain, 0.0) > _SECONDS
                if due:
                    self._write(chain)

    def flush(self) -> None:
        """Write what waits."""
        with self._lock:
            for chain in list(self._waiting):
                self._write(chain)

    def _start(self, start: Message) -> None:
        """Take the store for this run, or go on with it if it is this run's."""
        about = {name: start[name] for name in ("model", "digest", "seed")}
        about |= {"format": _FORMAT, "thin": self._thin, "num_samples": start["settings"]["num_samples"]}
        about["num_chains"] = start["settings"].get("num_chains", 1)
        variables = {variable["name"]: variable for variable in start["variables"]}
        names = list(variables) if self._names is None else self._names
        if unknown := [name for name in names if name not in variables]:
            raise ValueError(f"to_zarr {self._path}: no variable {unknown[0]!r}; variables are {', '.join(variables)}")
        about["variables"] = names
        kept = dict(self._root.attrs)
        if kept:
            if other := [name for name, value in about.items() if kept.get(name) != value]:
                raise FileExistsError(
                    f"to_zarr {self._path}: holds another run ({other[0]} is {kept.get(other[0])!r}, this run's is "
                    f"{about[other[0]]!r}); give another path"
                )
            return
        chains, rows = about["num_chains"], -(-about["num_samples"] // self._thin)
        for name in names:
            dims = variables[name]["dims"]
            shape = tuple(variables[name]["shape"])
            dims = [f"{name}_dim_{place}" for place in range(len(shape))] if dims is None else dims
            self._array(f"posterior/{name}", (chains, rows, *shape), "f8", dims)
        self._root.create_array("lengths", shape=(chains,), dtype="i8", fill_value=0, dimension_names=["chain"])
        self._root.attrs.update(about)

    def _array(self, name: str, shape: tuple[int, ...], dtype: Any, dims: Iterable[str]) -> Any:
        kind = np.dtype(dtype)
        return self._root.create_array(
            name,
            shape=shape,
            chunks=(1, min(self._every, max(1, shape[1])), *(max(1, size) for size in shape[2:])),
            dtype=kind,
            fill_value=np.nan if kind.kind == "f" else kind.type(0),
            dimension_names=["chain", "draw", *dims],
            overwrite=True,  # of a process that was killed while it began
        )

    def _write(self, chain: int) -> None:
        messages, self._waiting[chain] = self._waiting[chain], []
        self._written[chain] = time.monotonic()
        try:
            lengths = self._root["lengths"]
            done = int(lengths[chain])
            # What was written before comes again when a run is resumed: it is the same.
            messages = [message for message in messages if message["draw"] // self._thin >= done]
            if not messages:
                return
            first = messages[0]["draw"] // self._thin
            if first != done:
                raise ValueError(
                    f"to_zarr {self._path}: chain {chain} goes on at row {first}, and {done} rows are there"
                )
            rows = slice(first, first + len(messages))
            for name in self._root.attrs["variables"]:
                block = np.array([message["values"][name] for message in messages], float)
                self._put(f"posterior/{name}", chain, rows, block)
            for name in messages[0]["stats"]:
                block = np.array([message["stats"][name] for message in messages])
                self._put(f"sample_stats/{name}", chain, rows, block)
            lengths[chain] = rows.stop
        except OSError as error:
            raise OSError(
                f"to_zarr {self._path}: chain {chain}, draws from {messages[0]['draw']} on: {error}"
            ) from error

    def _put(self, name: str, chain: int, rows: slice, block: np.ndarray) -> None:
        if name not in self._root:
            attrs = self._root.attrs
            whole = attrs["num_chains"], -(-attrs["num_samples"] // self._thin)
            self._array(name, whole, block.dtype, ())
        array = self._root[name]
        if rows.stop > array.shape[1]:  # `extend` makes more than was asked for first
            array.resize((array.shape[0], rows.stop, *array.shape[2:]))
        array[chain, rows] = block


def to_zarr(path: str | Path, *, names: Iterable[str] | str | None = None, thin: int = 1, every: int = 500) -> ZarrSink:
    """A sink that writes draws to a Zarr store while they are made: `ln.sample(model, sink=ln.to_zarr("run.zarr"))`.

    `names` are the variables to keep, all where it is left out; of every `thin` draws the first is kept. A chain's rows
    are written together, `every` at a time or after a second. `ln.from_zarr(path)` opens it, at any time and from any
    process; `xarray.open_datatree(path, engine="zarr")` does too. A path that holds this very run already is gone on
    with, as after `ln.resume`.

    Raises
    ------
    ImportError
        Without the package zarr.
    OSError
        Where there is something else at the path, or it cannot be written; also from the run, when the disk is full.
    """
    return ZarrSink(path, names, thin, every)


def from_zarr(path: str | Path) -> Any:
    """What `to_zarr` wrote, as ArviZ's container: cut to the shortest chain that has draws."""
    posterior, stats, attrs = read_zarr(path)
    try:
        import arviz
    except ImportError as error:
        raise ImportError("from_zarr needs ArviZ: pip install 'livenuts[arviz]'") from error
    groups: dict[str, Any] = {"posterior": posterior, "sample_stats": stats}
    if int(arviz.__version__.split(".")[0]) >= 1:
        return arviz.from_dict(groups, attrs={"/": attrs})
    data = arviz.from_dict(**groups)
    data.posterior.attrs.update(attrs)
    return data


def read_zarr(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], dict[str, Any]]:
    """What `to_zarr` wrote, as arrays: draws and statistics by name, and what the run was."""
    zarr = _zarr()
    try:
        root = zarr.open_group(str(path), mode="r")
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: there is no Zarr store") from None
    if root.attrs.get("format") != _FORMAT:
        raise ValueError(f"{path} was not written by to_zarr")
    lengths = np.asarray(root["lengths"][:])
    used = np.flatnonzero(lengths) if lengths.any() else np.arange(len(lengths))
    shortest = int(lengths[used].min())

    def read(group: str) -> dict[str, np.ndarray]:
        members = dict(root[group].arrays()) if group in root else {}
        return {name: np.asarray(array[:, :shortest])[used] for name, array in members.items()}

    return read("posterior"), read("sample_stats"), dict(root.attrs)


def _open(path: Path) -> Any:
    """The store at a path, made where there is none."""
    zarr = _zarr()
    if path.is_file():
        raise NotADirectoryError(f"to_zarr {path}: is a file; give a folder, or a path to make one at")
    if path.is_dir() and any(path.iterdir()):
        try:
            root = zarr.open_group(str(path), mode="r+")
        except Exception as error:  # a folder of something else
            raise FileExistsError(f"to_zarr {path}: holds something else; give another path") from error
        if not _is_ours(root.attrs):
            raise FileExistsError(f"to_zarr {path}: holds something else; give another path")
        return root
    try:
        return zarr.open_group(str(path), mode="a", zarr_format=3)
    except OSError as error:
        raise OSError(f"to_zarr {path}: cannot be written: {error}") from error


def _is_ours(attrs: Mapping[str, Any]) -> bool:
    return attrs.get("format") == _FORMAT or not dict(attrs)


def _zarr() -> Any:
    try:
        return import_module("zarr")
    except ImportError as error:
        raise ImportError("to_zarr needs zarr: pip install 'livenuts[zarr]'") from error
