"""A saved fit predicts to the same bits, and is readable without this package."""

import base64
import json
from pathlib import Path
from typing import Any

import livebart
import numpy as np
import pandas as pd
import pytest
from bart_data import friedman1
from livebart import BARTClassifier, BARTRegressor

SMALL: dict[str, Any] = {"n_trees": 20, "n_burnin": 60, "n_draws": 60, "n_chains": 2, "random_state": 0}


def test_a_loaded_fit_is_the_fit(tmp_path: Path) -> None:
    X, y, _ = friedman1(100)
    X[::7, 2] = np.nan
    bart = BARTRegressor(**SMALL).fit(X, y)
    bart.save(tmp_path / "fit.json")
    loaded = livebart.load(tmp_path / "fit.json")
    np.testing.assert_array_equal(loaded.sample_f(X), bart.sample_f(X))
    np.testing.assert_array_equal(loaded.sigma_, bart.sigma_)
    assert str(loaded.summary(warn=False)) == str(bart.summary(warn=False))
    assert loaded.get_params() == bart.get_params()
    assert loaded.trees(0, 0) == bart.trees(0, 0)


def test_frames_categories_and_classes_survive(tmp_path: Path) -> None:
    X, y, _ = friedman1(100)
    frame = pd.DataFrame(X, columns=[f"c{j}" for j in range(10)])
    frame["c3"] = np.where(X[:, 3] > 0.5, "high", "low")
    bart = BARTClassifier(**SMALL).fit(frame, np.where(y > 14, "large", "small"))
    bart.save(tmp_path / "fit.json")
    loaded = livebart.load(tmp_path / "fit.json")
    assert (loaded.predict(frame) == bart.predict(frame)).all()
    np.testing.assert_array_equal(loaded.predict_proba(frame), bart.predict_proba(frame))
    with pytest.raises(ValueError, match="feature names should match"):
        loaded.predict(frame[frame.columns[::-1]])


def test_plain_python_reads_it(tmp_path: Path) -> None:
    X, y, _ = friedman1(50)
    bart = BARTRegressor(**SMALL).fit(X, y)
    bart.save(tmp_path / "fit.json")
    data = json.loads((tmp_path / "fit.json").read_text())

    def array(told: dict[str, Any]) -> np.ndarray:
        return np.frombuffer(base64.b64decode(told["data"]), told["dtype"]).reshape(told["shape"])

    nodes = {name: array(told) for name, told in data["nodes"].items()}
    draw, row = 70, X[11]
    codes = [np.searchsorted(column["cuts"], row[j]) for j, column in enumerate(data["columns"])]
    start, total = array(data["starts"])[draw], 0.0
    ends = array(data["ends"])[draw]
    for first in (0, *ends[:-1]):
        k = start + first
        while nodes["right"][k]:
            inside = nodes["low"][k] <= codes[nodes["column"][k]] <= nodes["high"][k]
            k += nodes["right"][k] if inside else 1
        total += float(nodes["value"][k])
    assert data["center"] + data["scale"] * total == pytest.approx(bart.sample_f(row[None])[draw, 0], abs=1e-4)


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "fit.json"
    for text, told in (("[]", "not a fit"), ("{", "not a fit"), ('{"format": "livebart", "version": 9}', "version 9")):
        path.write_text(text)
        with pytest.raises(ValueError, match=told):
            livebart.load(path)
