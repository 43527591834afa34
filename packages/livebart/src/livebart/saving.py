"""Fits as versioned JSON, which a program without this package can read: docs/bart.md says what is where."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from livebart.kernel.layout import KEPT
from livebart.model.columns import Column
from livebart.model.forest import Forest

FORMAT, VERSION = "livebart", 1
_DTYPES = {"|u1", "<u2", "<i4", "<i8", "<f4", "<f8"}


def save(bart: Any, path: str | os.PathLike[str]) -> None:
    """Write a fitted estimator."""
    forest = bart._forest
    text = json.dumps(
        {
            "format": FORMAT,
            "version": VERSION,
            "estimator": type(bart).__name__,
            "parameters": {name: _plain(value) for name, value in bart.get_params().items()},
            "seed": bart.seed_,
            "chains": bart.n_chains_,
            "draws": bart.n_draws_,
            "classes": bart.classes_.tolist() if bart._probit else None,
            "named": hasattr(bart, "feature_names_in_"),
            "columns": [
                {
                    "name": column.name,
                    "cuts": None if column.cuts is None else column.cuts.tolist(),
                    "categories": None if column.categories is None else list(column.categories),
                    "missing": column.missing,
                }
                for column in bart.columns_
            ],
            "center": bart._offset if bart._probit else bart._center,
            "scale": bart._scale,
            "sigma": _array(bart.sigma_),
            "nodes": {name: _array(forest.nodes[name]) for name in KEPT.names or ()},
            "starts": _array(forest.starts),
            "ends": _array(forest.ends),
            "moves": _array(bart._moves),
            "leaves": _array(bart._leaves),
            "watched": {"rows": _array(bart._watched), "codes": _array(bart._watched_codes)},
        }
    )
    target = Path(path)
    partial = target.with_name(f"{target.name}.partial-{os.getpid()}")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def load(path: str | os.PathLike[str]) -> Any:
    """The estimator that `save` wrote: it predicts to the same bits. A ValueError for anything else."""
    from livebart.estimators import BARTClassifier, BARTRegressor

    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
        told = data["format"], data["version"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not a fit that livebart saved: {error}") from error
    if told != (FORMAT, VERSION):
        raise ValueError(f"{path} has format {told[0]!r}, version {told[1]!r}; this livebart reads version {VERSION}")
    kinds = {"BARTRegressor": BARTRegressor, "BARTClassifier": BARTClassifier}
    if data["estimator"] not in kinds:
        raise ValueError(f"{path} holds an estimator {data['estimator']!r}, known are {', '.join(kinds)}")
    moves = tuple(data["parameters"]["move_probabilities"])
    bart: Any = kinds[data["estimator"]](**(data["parameters"] | {"move_probabilities": moves}))
    nodes = np.zeros(data["nodes"]["column"]["shape"], KEPT)
    for name in KEPT.names or ():
        nodes[name] = _from_array(data["nodes"][name])
    bart._forest = Forest(nodes, _from_array(data["starts"]), _from_array(data["ends"]))
    bart.columns_ = [
        Column(
            column["name"],
            None if column["cuts"] is None else np.array(column["cuts"], np.float64),
            None if column["categories"] is None else tuple(column["categories"]),
            column["missing"],
        )
        for column in data["columns"]
    ]
    bart.n_features_in_ = len(bart.columns_)
    if data["named"]:
        bart.feature_names_in_ = np.array([column.name for column in bart.columns_], dtype=object)
    bart.seed_, bart.n_chains_, bart.n_draws_ = data["seed"], data["chains"], data["draws"]
    bart.n_iter_ = bart.n_burnin + bart.n_draws
    bart._offset, bart._center, bart._scale = data["center"], data["center"], data["scale"]
    if bart._probit:
        bart.classes_ = np.array(data["classes"])
    bart._watched, bart._watched_codes = (_from_array(data["watched"][name]) for name in ("rows", "codes"))
    bart._moves, bart._leaves = _from_array(data["moves"]), _from_array(data["leaves"])
    bart._count(_from_array(data["sigma"]))
    return bart


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.random.RandomState):
        return None  # what was drawn from it is the seed
    return value.tolist() if isinstance(value, np.ndarray) else value


def _array(array: np.ndarray) -> dict[str, Any]:
    """An array as JSON: dtype, shape and its bytes, C order and little-endian, in base64."""
    array = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return {"dtype": array.dtype.str, "shape": list(array.shape), "data": base64.b64encode(array.tobytes()).decode()}


def _from_array(data: dict[str, Any]) -> np.ndarray:
    if data["dtype"] not in _DTYPES:
        raise ValueError(f"an array of dtype {data['dtype']!r}; known are {', '.join(sorted(_DTYPES))}")
    return np.frombuffer(base64.b64decode(data["data"], validate=True), data["dtype"]).reshape(data["shape"]).copy()
