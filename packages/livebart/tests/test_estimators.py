"""The estimators keep scikit-learn's conventions, and refuse what they cannot take."""

from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from bart_data import friedman1
from livebart import BARTClassifier, BARTRegressor
from sklearn.base import clone
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

SMALL: dict[str, Any] = {"n_trees": 20, "n_burnin": 60, "n_draws": 60, "n_chains": 2, "random_state": 0}


@parametrize_with_checks(
    [BARTRegressor(**SMALL), BARTClassifier(**SMALL)],
    expected_failed_checks=lambda estimator: {
        "check_sample_weight_equivalence_on_dense_data": "rows in another order get other random numbers",
    },
)
def test_scikit_learn_finds_nothing(estimator: Any, check: Any) -> None:
    check(estimator)


def small(**changes: Any) -> BARTRegressor:
    return BARTRegressor(**(SMALL | changes))


def test_a_pipeline_cross_validates() -> None:
    X, y, _ = friedman1(300)
    scores = cross_val_score(make_pipeline(StandardScaler(), small(n_trees=50, n_draws=150)), X, y, cv=3, n_jobs=1)
    assert scores.min() > 0.75


def test_frames_and_arrays_give_the_same_bits() -> None:
    X, y, _ = friedman1(100, p=5)
    names = [f"column {j}" for j in range(5)]
    plain = small().fit(X, y)
    for frame in (pd.DataFrame(X, columns=names), pl.DataFrame(X, schema=names)):
        fitted = small().fit(frame, y)
        assert fitted.feature_names_in_.tolist() == names
        np.testing.assert_array_equal(fitted.predict(frame), plain.predict(X))
    with pytest.raises(ValueError, match="feature names should match"):
        fitted.predict(frame.select(names[::-1]))


def test_categories_of_frames() -> None:
    rng = np.random.default_rng(0)
    words = rng.choice(["ash", "beech", "oak", "pine"], 200)
    number = rng.uniform(size=200)
    y = np.where(words == "oak", 2.0, 0.0) + number + 0.1 * rng.normal(size=200)
    fits = []
    for frame in (
        pd.DataFrame({"tree": words, "number": number}),
        pd.DataFrame({"tree": pd.Categorical(words), "number": number}),
        pl.DataFrame({"tree": words, "number": number}),
        pl.DataFrame({"tree": words, "number": number}).with_columns(pl.col("tree").cast(pl.Categorical)),
    ):
        bart = small().fit(frame, y)
        assert bart.columns_[0].categories == ("ash", "beech", "oak", "pine")
        fits.append(bart.predict(frame))
    assert all((fit == fits[0]).all() for fit in fits)
    assert np.corrcoef(fits[0], y)[0, 1] > 0.97
    # The same as numbers in an array, named as categorical.
    codes = np.searchsorted(["ash", "beech", "oak", "pine"], words)
    array = np.column_stack([codes, number])
    np.testing.assert_array_equal(small(categorical_features=[0]).fit(array, y).predict(array), fits[0])
    with pytest.raises(ValueError, match=r"column 'tree': category 'elm' \(row 1\) was not seen"):
        bart.predict(pl.DataFrame({"tree": ["oak", "elm"], "number": [0.1, 0.2]}))


def test_a_missing_category_is_a_category() -> None:
    words = ["a", "b", None, "a", None, "b"] * 20
    y = np.array([0.0, 1.0, 5.0, 0.0, 5.0, 1.0] * 20) + 0.05 * np.random.default_rng(0).normal(size=120)
    for frame in (pd.DataFrame({"x": words}), pl.DataFrame({"x": words})):
        bart = small().fit(frame, y)
        assert bart.predict(frame)[2] == pytest.approx(5.0, abs=0.4)


@pytest.mark.parametrize("n", [1, 2, 3, 9])
def test_few_rows(n: int) -> None:
    X, y, _ = friedman1(n)
    bart = small().fit(X, y)
    assert np.isfinite(bart.predict(X)).all()
    assert np.isfinite(bart.sigma_).all()


def test_more_columns_than_rows() -> None:
    X, y, _ = friedman1(30, p=60)
    assert np.isfinite(small().fit(X, y).predict(X)).all()


def test_constant_columns_are_never_split_and_duplicates_are_shared() -> None:
    X, y, _ = friedman1(200, p=5)
    X = np.column_stack([X, np.full(200, 3.0), X[:, 3]])
    bart = small(n_draws=200).fit(X, y)
    assert bart.feature_importances_[5] == 0
    assert (bart.feature_importances_[[3, 6]] > 0.03).all()


def test_a_constant_response() -> None:
    X, _, _ = friedman1(50)
    bart = small().fit(X, np.full(50, 7.0))
    np.testing.assert_allclose(bart.predict(X), 7.0, atol=0.1)
    assert small().fit(np.ones((50, 2)), np.arange(50.0)).predict(np.ones((1, 2)))[0] == pytest.approx(24.5, abs=6)


def test_bad_input_is_refused_at_the_door() -> None:
    X, y, _ = friedman1(50)
    bart = small().fit(X, y)
    with pytest.raises(ValueError, match="infinity"):
        small().fit(np.where(X > 0.99, np.inf, X), y)
    holes = X.copy()
    holes[4, 2] = np.nan
    with pytest.raises(ValueError, match=r"column 'x2': row 4 is missing \(NaN\), but no value was missing"):
        bart.predict(holes)
    with pytest.raises(ValueError, match="10 features"):
        bart.predict(X[:, :9])
    with pytest.raises(ValueError, match="only one class"):
        BARTClassifier(**SMALL).fit(X, np.ones(50))
    with pytest.raises(ValueError, match="Only binary classification"):
        BARTClassifier(**SMALL).fit(X, np.arange(50) % 3)
    with pytest.raises(ValueError, match=r"every weight is 0|one non-zero number"):
        small().fit(X, y, np.zeros(50))
    with pytest.raises(ValueError, match="'n_trees' parameter"):
        small(n_trees=0).fit(X, y)
    with pytest.raises(ValueError, match="move_probabilities must be three numbers"):
        small(move_probabilities=(1, 1, 1)).fit(X, y)
    with pytest.raises(ValueError, match="no column 'oak'"):
        small(categorical_features=["oak"]).fit(pd.DataFrame(X).rename(columns=str), y)
    with pytest.raises(ValueError, match=r"column 'day' holds times \(datetime64\[.*give it as numbers"):
        small().fit(pd.DataFrame(X).rename(columns=str).assign(day=pd.date_range("2020-01-01", periods=50)), y)
    with pytest.raises(ValueError, match=r"column 'day' holds times \(Date\)"):
        small().fit(pl.DataFrame({"day": [date(2020, 1, 1)] * 50}), y)
    with pytest.raises(ValueError, match="quantiles must lie between 0 and 1"):
        bart.predict_quantiles(X, [5, 95])
    with pytest.raises(ValueError, match="256 categories, 255 are supported"):
        small(categorical_features=[0]).fit(np.arange(256.0)[:, None], np.arange(256.0))
    with pytest.raises(IndexError, match="chain 2, draw 0: there are 2 chains of 60 draws"):
        bart.trees(2, 0)


def test_the_same_bits_at_any_number_of_jobs() -> None:
    X, y, _ = friedman1(100)
    one, two = (small(n_chains=3, n_jobs=jobs).fit(X, y) for jobs in (1, 2))
    np.testing.assert_array_equal(one.sample_f(X), two.sample_f(X))
    other = small(n_chains=3, random_state=1).fit(X, y)
    assert (one.sigma_ != other.sigma_).all()


def test_a_warm_start_gives_the_bits_of_one_longer_run() -> None:
    X, y, _ = friedman1(100)
    bart = small(n_draws=30, warm_start=True).fit(X, y)
    bart.set_params(n_draws=100).fit(X, y)
    whole = small(n_draws=100).fit(X, y)
    np.testing.assert_array_equal(bart.sample_f(X), whole.sample_f(X))
    np.testing.assert_array_equal(bart.sigma_, whole.sigma_)
    with pytest.raises(ValueError, match="n_draws must be at least the 100 draws"):
        bart.set_params(n_draws=50).fit(X, y)
    with pytest.raises(ValueError, match="X, y and all parameters but n_draws must be as they were"):
        bart.set_params(n_draws=200).fit(X, y + 1)


def test_trees_as_data_add_up_to_f() -> None:
    X, y, _ = friedman1(100, p=5)
    bart = small().fit(X, y)

    def value(tree: dict[str, Any], row: np.ndarray) -> float:
        while "value" not in tree:
            tree = tree["right" if row[int(tree["column"][1:])] > tree["above"] else "left"]
        return tree["value"]

    f = bart.sample_f(X[:5])
    for row in range(5):
        told = sum(value(tree, X[row]) for tree in bart.trees(1, 3))
        assert told == pytest.approx(f[63, row], abs=1e-4)


def test_clones_and_weights() -> None:
    X, y, _ = friedman1(100)
    bart = small()
    assert clone(bart).get_params() == bart.get_params()
    np.testing.assert_array_equal(bart.fit(X, y, np.ones(100)).predict(X), small().fit(X, y).predict(X))
    weights = np.ones(100)
    weights[:10] = 0
    np.testing.assert_array_equal(small().fit(X, y, weights).predict(X), small().fit(X[10:], y[10:]).predict(X))
    # Rows with a hundred times the weight are followed more closely.
    heavy = np.where(np.arange(100) < 50, 100.0, 1.0)
    error = np.abs(small(n_draws=200).fit(X, y, heavy).predict(X) - y)
    assert error[:50].mean() < 0.7 * error[50:].mean()


def test_a_classifiers_weights_are_numbers_of_observations() -> None:
    X, y, _ = friedman1(120)
    labels = np.where(y > 14, "high", "low")
    counts = np.random.default_rng(0).integers(0, 4, 120)
    weighted = BARTClassifier(**SMALL).fit(X, labels, counts)
    repeated = BARTClassifier(**SMALL).fit(np.repeat(X, counts, axis=0), np.repeat(labels, counts))
    np.testing.assert_array_equal(weighted.predict_proba(X), repeated.predict_proba(X))
    assert not np.array_equal(weighted.predict_proba(X), BARTClassifier(**SMALL).fit(X, labels).predict_proba(X))
    with pytest.raises(ValueError, match=r"whole as 0, 1, 2, got 0\.5 in row 3"):
        BARTClassifier(**SMALL).fit(X, labels, np.where(np.arange(120) == 3, 0.5, 1.0))
    with pytest.raises(ValueError, match="only one class is present: the weights leave only 'low'"):
        BARTClassifier(**SMALL).fit(X, labels, (labels == "low").astype(float))
