"""What fits say of data whose truth is known, and what they must not depend on."""

import os

import numpy as np
import pytest
from bart_data import friedman1
from livebart import BARTClassifier, BARTRegressor
from scipy.special import ndtr

LONG = "LIVE_LONG" in os.environ


def fit(X: np.ndarray, y: np.ndarray, **settings: object) -> BARTRegressor:
    return BARTRegressor(
        **({"n_trees": 50, "n_burnin": 200, "n_draws": 300, "n_chains": 2, "random_state": 0} | settings)
    ).fit(X, y)  # type: ignore[arg-type]


@pytest.mark.parametrize("settings", [{}, {"sparse": True}, {"n_grow_from_root": 5}, {"categorical_features": [3, 7]}])
def test_the_order_of_columns_changes_no_bit(settings: dict) -> None:
    X, y, _f = friedman1(300)
    X[:, [3, 7]] = np.floor(6 * X[:, [3, 7]])
    X[::7, 2] = np.nan
    order = np.random.default_rng(0).permutation(10)
    moved = dict(settings)
    if "categorical_features" in settings:
        moved["categorical_features"] = [int(np.flatnonzero(order == j)[0]) for j in (3, 7)]
    one, other = fit(X, y, **settings), fit(X[:, order], y, **moved)
    np.testing.assert_array_equal(one.sample_f(X), other.sample_f(X[:, order]))
    np.testing.assert_array_equal(one.inclusion_proportions_[:, order], other.inclusion_proportions_)
    poison = X[:, order]
    poison[:, 0] = np.random.default_rng(1).permutation(poison[:, 0])  # another column's values
    assert not np.array_equal(one.sigma_, fit(poison, y, **moved).sigma_)


@pytest.mark.parametrize("transform", ["shift", "far shift", "scale", "exp", "cube"])
def test_increasing_transforms_of_columns_change_no_bit(transform: str) -> None:
    X, y, _ = friedman1(200)
    new = np.random.default_rng(1).uniform(size=(50, 10))
    function = {
        "shift": lambda x: x - 1000.0,
        "far shift": lambda x: x + 2.0**20,
        "scale": lambda x: 1e-3 * x,
        "exp": lambda x: np.exp(8 * x),
        "cube": lambda x: (x - 0.5) ** 3,
    }[transform]
    one, other = fit(X, y), fit(function(X), y)
    np.testing.assert_array_equal(one.predict(new), other.predict(function(new)))
    np.testing.assert_array_equal(one.sigma_, other.sigma_)


def test_the_response_may_be_shifted_and_scaled() -> None:
    X, y, _ = friedman1(200)
    one, two, three = fit(X, y), fit(X, 4.0 * y), fit(X, -1000.0 + y)
    np.testing.assert_allclose(4.0 * one.sample_f(X), two.sample_f(X), rtol=1e-5, atol=1e-4)
    # A shift is rounded, so after some sweeps a decision differs: the posterior is the same, the draws are not.
    assert np.abs(one.predict(X) - three.predict(X) - 1000.0).mean() < 0.35


def test_intervals_cover_friedman_1() -> None:
    """90 % intervals of f, n = 1000: by engines that agree, about .9 in sample and out (bart.md tells of the prior)."""
    outside, inside, errors = [], [], []
    for seed in range(10 if LONG else 2):
        X, y, f = friedman1(1000, seed=seed)
        new, _, g = friedman1(1000, seed=1000 + seed)
        bart = BARTRegressor(n_chains=2, n_draws=500, random_state=seed).fit(X, y)
        for points, truth, kept in ((X, f, inside), (new, g, outside)):
            low, high = bart.predict_quantiles(points, [0.05, 0.95]).T
            kept.append(np.mean((low <= truth) & (truth <= high)))
        errors.append(np.sqrt(np.mean((bart.predict(new) - g) ** 2)))
    assert 0.80 < np.mean(outside) < 0.98
    assert 0.72 < np.mean(inside) < 0.97
    assert np.mean(errors) < 0.75
    # The poison: intervals of half the width.
    middle, half = (low + high) / 2, (high - low) / 4
    assert np.mean(np.abs(g - middle) < half) < 0.75


def test_a_sparse_prior_finds_five_of_a_hundred() -> None:
    X, y, _f = friedman1(500, p=100)
    new, _, g = friedman1(500, p=100, seed=7)
    sparse = fit(X, y, sparse=True, n_burnin=600)
    dense = fit(X, y, n_burnin=600)
    assert sparse.inclusion_probabilities_[:5].min() > 0.95
    assert sparse.inclusion_probabilities_[5:].mean() < 0.2
    assert sparse.feature_importances_[:5].sum() > 0.85
    assert dense.feature_importances_[:5].sum() < 0.6
    errors = [np.sqrt(np.mean((bart.predict(new) - g) ** 2)) for bart in (sparse, dense)]
    assert errors[0] < 0.75 * errors[1]


def test_probit_knows_the_probabilities() -> None:
    rng = np.random.default_rng(0)
    X = rng.uniform(-2, 2, size=(2000, 3))
    truth = ndtr(1.2 * np.sin(2 * X[:, 0]) + 0.5)
    y = np.where(rng.random(2000) < truth, "yes", "no")
    bart = BARTClassifier(n_burnin=200, n_draws=300, n_chains=2, random_state=0).fit(X, y)
    probability = bart.predict_proba(X)[:, 1]
    assert bart.classes_.tolist() == ["no", "yes"]
    assert np.sqrt(np.mean((probability - truth) ** 2)) < 0.07
    low, high = bart.predict_quantiles(X, [0.05, 0.95]).T
    assert np.mean((low <= truth) & (truth <= high)) > 0.8
    assert np.abs(np.mean(y == "yes") - probability.mean()) < 0.01
    log = bart.log_likelihood(X, y)
    assert log.shape == (2, 300, 2000)
    assert np.exp(log).mean() == pytest.approx(np.where(y == "yes", probability, 1 - probability).mean(), abs=1e-6)


def test_missing_values_are_a_direction() -> None:
    """Where missing itself tells: about as good as knowing; where it does not: not far from complete data."""
    rng = np.random.default_rng(0)
    X, _, _ = friedman1(1000, p=3 + 2)
    X = X[:, :3]
    f = 5 * X[:, 0] + 3 * X[:, 1]
    absent = rng.random(1000) < 0.2
    told = f + 4.0 * absent
    noise = 0.3 * rng.normal(size=1000)
    holes = X.copy()
    holes[absent, 2] = np.nan  # the column itself does not matter, that it is missing does
    bart = fit(holes, told + noise)
    assert np.sqrt(np.mean((bart.predict(holes) - told) ** 2)) < 0.25
    holes = X.copy()
    holes[absent, 0] = np.nan
    complete, with_holes = fit(X, f + noise), fit(holes, f + noise)
    kept = ~absent
    errors = [
        np.sqrt(np.mean((bart.predict(table)[kept] - f[kept]) ** 2))
        for bart, table in ((complete, X), (with_holes, holes))
    ]
    assert errors[1] < 1.5 * errors[0] + 0.05


@pytest.mark.parametrize("kind", ["plain", "weights", "missing and categories", "probit"])
def test_a_start_from_the_root_is_there_at_once(kind: str) -> None:
    """After four sweeps the fit is about as good as after hundreds; the draws after it are as they should be."""
    X, y, f = friedman1(500)
    settings: dict = {"n_burnin": 4, "n_draws": 5, "n_chains": 2, "random_state": 0, "n_trees": 50}
    if kind == "missing and categories":
        X[::5, 6] = np.nan
        X[:, 7] = np.floor(5 * X[:, 7])
        settings["categorical_features"] = [7]
    if kind == "probit":
        slow, quick = (BARTClassifier(**settings, n_grow_from_root=k).fit(X, f > 14) for k in (0, 4))
        errors = [np.mean((bart.predict_proba(X)[:, 1] - (f > 14)) ** 2) for bart in (slow, quick)]
        assert errors[1] < 0.9 * errors[0]
        return
    weights = np.random.default_rng(0).uniform(0.5, 2, 500) if kind == "weights" else None
    slow, quick = (BARTRegressor(**settings, n_grow_from_root=k).fit(X, y, weights) for k in (0, 4))
    errors = [np.sqrt(np.mean((bart.predict(X) - f) ** 2)) for bart in (slow, quick)]
    assert errors[1] < 0.75 * errors[0]
    chain = quick._kept[0]
    labels, residual = chain._label()[:, :500], y.astype(float) - quick._center
    for t in range(50):
        values = {
            int(node["label"]): float(node["value"]) for node in chain.trees[t, : chain.sizes[t]] if not node["left"]
        }
        counts = {
            int(node["label"]): int(node["count"]) for node in chain.trees[t, : chain.sizes[t]] if not node["left"]
        }
        assert {label: int((labels[t] == label).sum()) for label in counts} == counts
        residual -= quick._scale * np.array([values[int(label)] for label in labels[t]])
    np.testing.assert_allclose(quick._scale * chain.residual[:500], residual, atol=1e-3)


def test_summary_warns_and_advises() -> None:
    X, y, _ = friedman1(200)
    bart = BARTRegressor(n_burnin=0, n_draws=20, n_chains=2, random_state=0).fit(X, y)
    with pytest.warns(UserWarning, match="raise n_burnin, then n_draws"):
        summary = bart.summary()
    assert not summary.converged
    assert "not converged" in str(summary)
    assert set(summary.acceptance) == {"grow", "prune", "change"}
    assert sum(summary.leaves.values()) == pytest.approx(1.0)
    assert len(summary) == 21
    chosen = bart.summary(X[:3], warn=False)
    assert list(chosen) == ["sigma", "f[0]", "f[1]", "f[2]"]
    assert chosen["f[2]"].mean == pytest.approx(bart.predict(X)[2])


def test_quantiles_of_new_observations_are_wider() -> None:
    X, y, _ = friedman1(300)
    bart = fit(X, y)
    new, observed, _ = friedman1(2000, seed=5)
    low, high = bart.predict_quantiles(new, [0.05, 0.95], of="y").T
    assert 0.8 < np.mean((low <= observed) & (observed <= high)) < 0.97
    narrow = bart.predict_quantiles(new, [0.05, 0.95])
    assert (high - low).mean() > 1.2 * (narrow[:, 1] - narrow[:, 0]).mean()
    mean, deviation = bart.predict(new, return_std=True)
    np.testing.assert_allclose(mean, bart.sample_f(new).mean(axis=0))
    np.testing.assert_allclose(deviation, bart.sample_f(new).std(axis=0))
    assert bart.sample_y(new[:3]).shape == (600, 3)
