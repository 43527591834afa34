"""What inspection finds where the truth is known."""

import matplotlib
import numpy as np
import pandas as pd
import pytest
from bart_data import friedman1
from livebart import BARTClassifier, BARTRegressor, inspection

matplotlib.use("Agg")


@pytest.fixture(scope="module")
def fitted() -> tuple[BARTRegressor, np.ndarray, np.ndarray]:
    X, y, _ = friedman1(500, p=7)
    return BARTRegressor(n_trees=100, n_burnin=300, n_draws=300, n_chains=2, random_state=0).fit(X, y), X, y


def test_partial_dependence_is_the_function(fitted: tuple[BARTRegressor, np.ndarray, np.ndarray]) -> None:
    bart, X, _y = fitted
    found = inspection.partial_dependence(bart, X, 3, n_draws=200)
    slope = np.polyfit(found.grid[0], found.mean, 1)[0]
    assert 7.5 < slope < 11  # 10 x4
    low, high = found.band()
    assert (low <= found.mean).all()
    assert (found.mean <= high).all()
    assert found.individual.shape == (500, len(found.grid[0]))
    np.testing.assert_allclose(found.individual.mean(axis=0), found.mean)
    curve = inspection.partial_dependence(bart, X, "x2", grid=[0.1, 0.5, 0.9]).mean
    assert curve[0] > curve[1] + 1.5
    assert curve[2] > curve[1] + 1.5
    pair = inspection.partial_dependence(bart, X, ["x0", "x1"], grid=([0.2, 0.8], [0.2, 0.8]), n_draws=100)
    assert pair.draws.shape == (100, 2, 2)
    for picture in (found, inspection.partial_dependence(bart, X, (0, 1), n_rows=50, n_draws=20)):
        assert picture.plot().figure is not None
    with pytest.raises(ValueError, match="no column 'x9'"):
        inspection.partial_dependence(bart, X, "x9")
    with pytest.raises(ValueError, match="one column or two, got 3"):
        inspection.partial_dependence(bart, X, [0, 1, 2])


def test_importance_finds_the_columns_that_matter(fitted: tuple[BARTRegressor, np.ndarray, np.ndarray]) -> None:
    bart, X, y = fitted
    found = inspection.permutation_importance(bart, X, y)
    assert found.mean[:5].min() > 3 * np.abs(found.mean[5:]).max()
    against_null = inspection.variable_importance(bart, X, y, n_permutations=20, n_burnin=100, n_draws=100)
    assert {"x0", "x1"} <= set(against_null.selected(method="max")) <= set(against_null.selected())
    assert not {"x5", "x6"} & set(against_null.selected(method="se"))
    assert found.plot().figure is not None
    assert against_null.plot().figure is not None
    assert bart.plot_sigma().figure is not None
    with pytest.raises(ValueError, match="method must be"):
        against_null.selected(method="best")


def test_permutation_importance_has_a_null(fitted: tuple[BARTRegressor, np.ndarray, np.ndarray]) -> None:
    """With `max` at .1, a false column in one of twenty data sets without any signal has probability .1.

    More than six of twenty: 2e-3 by chance. The poison, a threshold half as high, lets nearly all through.
    """
    bart, X, y = fitted
    found = inspection.permutation_importance(bart, X, y, n_permutations=20, n_trees=50)
    assert found.null.shape == (20, 7)
    assert found.selected(method="max") == ["x0", "x1", "x2", "x3", "x4"]
    assert found.plot().figure is not None
    with pytest.raises(ValueError, match="there is no null"):
        inspection.permutation_importance(bart, X, y, n_draws=5).selected()
    rng, false, poisoned = np.random.default_rng(0), 0, 0
    settings: dict = {"n_trees": 10, "n_burnin": 50, "n_draws": 50, "n_chains": 1}
    for seed in range(20):
        X, y = rng.uniform(size=(60, 4)), rng.normal(size=60)
        few = BARTRegressor(**settings, random_state=seed).fit(X, y)
        nothing = inspection.permutation_importance(few, X, y, n_permutations=30, random_state=seed, **settings)
        false += len(nothing.selected(0.1, method="max")) > 0
        poisoned += len(inspection._above(nothing.names, nothing.mean, nothing.null / 2, 0.1, "max")) > 0
    assert false <= 6
    assert poisoned > 6


def test_interactions_find_the_pair(fitted: tuple[BARTRegressor, np.ndarray, np.ndarray]) -> None:
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(800, 4))
    y = 4 * X[:, 0] * X[:, 1] + 2 * X[:, 2] + 0.1 * rng.normal(size=800)
    bart = BARTRegressor(n_trees=50, n_burnin=300, n_draws=200, n_chains=2, random_state=0).fit(X, y)
    found = inspection.interactions(bart)
    assert found.top(1)[0][:2] == ("x0", "x1")
    np.testing.assert_allclose(found.mean, found.mean.T)
    assert found.plot().figure is not None


def test_frames_and_classes_are_inspected() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"kind": rng.choice(["a", "b"], 300), "x": rng.uniform(size=300)})
    y = np.where((frame["kind"] == "a") ^ (rng.random(300) < 0.1), 1, 0)
    bart = BARTClassifier(n_trees=30, n_burnin=200, n_draws=200, n_chains=2, random_state=0).fit(frame, y)
    found = inspection.partial_dependence(bart, frame, "kind")
    assert found.grid[0].tolist() == ["a", "b"]
    assert found.mean[0] > 0.8
    assert found.mean[1] < 0.2
    assert found.plot().figure is not None
    assert inspection.permutation_importance(bart, frame, y).mean[0] > 0.3


def test_arviz_takes_it(fitted: tuple[BARTRegressor, np.ndarray, np.ndarray]) -> None:
    pytest.importorskip("arviz")
    bart, X, y = fitted
    data = bart.to_arviz(X, y)
    assert data["posterior"]["sigma"].shape == (2, 300)
    assert data["posterior"]["inclusion"].shape == (2, 300, 7)
    assert data["log_likelihood"]["y"].shape == (2, 300, 500)
    np.testing.assert_array_equal(np.asarray(data["posterior"]["sigma"]).ravel(), bart.sigma_)
    with pytest.raises(ValueError, match="y needs its X"):
        bart.to_arviz(y=y)
