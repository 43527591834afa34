"""What a fit says of its columns: partial dependence, interactions, importance.

Every answer is a posterior: each draw's trees give one, so there are bands. `f` is a regressor's function, and a
classifier's probability of the second class.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from livebart.model import columns as tables

_GRID = 40
_ROWS = 500


@dataclass(frozen=True)
class PartialDependence:
    """f averaged over rows, with one or two columns set to values of a grid (Friedman 2001)."""

    columns: tuple[str, ...]
    grid: tuple[np.ndarray, ...]
    """The values of each column."""
    draws: np.ndarray
    """(draw, *grid): the average over rows, draw by draw."""
    individual: np.ndarray | None
    """(row, grid): each row's own curve, its posterior mean (ICE); for one column."""

    @property
    def mean(self) -> np.ndarray:
        return np.asarray(self.draws.mean(axis=0))

    def band(self, probability: float = 0.9) -> tuple[np.ndarray, np.ndarray]:
        """The central interval at each point: lower and upper ends."""
        tail = (1 - probability) / 2
        low, high = np.quantile(self.draws, [tail, 1 - tail], axis=0)
        return low, high

    def plot(self, ax: Any = None) -> Any:
        """The curve with its band and each row's own curve, or a map for two columns; matplotlib's axes."""
        from livebart.plots import plot_partial_dependence

        return plot_partial_dependence(self, ax)


def partial_dependence(
    bart: Any, X: Any, columns: Any, *, grid: Any = None, n_rows: int = _ROWS, n_draws: int | None = None
) -> PartialDependence:
    """Of one column (a name or a place), or of a pair.

    `grid` is the column's values (for a pair, a pair of them); left out, up to 40 quantiles of X, or all categories. Of
    X the first `n_rows` of evenly spaced rows are averaged over; `n_draws` evenly spaced draws are used, or all.
    """
    places = _places(bart, columns)
    if len(places) not in (1, 2):
        raise ValueError(f"partial_dependence takes one column or two, got {len(places)}")
    codes, rows = bart._encode(X)
    values = _grids(bart, X, places, grid)
    chosen = np.unique(np.linspace(0, rows - 1, min(n_rows, rows)).astype(int))
    codes = codes[:, chosen]
    coded = [_encode_grid(bart, place, points) for place, points in zip(places, values, strict=True)]
    shape = tuple(len(points) for points in values)
    draws_used = _draws(bart, n_draws)
    averages = np.empty((len(draws_used), *shape))
    individual = np.empty((len(chosen), *shape))
    for point in np.ndindex(*shape):
        changed = codes.copy()
        for place, codes_of_grid, index in zip(places, coded, point, strict=True):
            changed[place] = codes_of_grid[index]
        f = _f_of_codes(bart, changed, draws_used)
        averages[(slice(None), *point)] = f.mean(axis=1)
        individual[(slice(None), *point)] = f.mean(axis=0)
    names = tuple(bart.columns_[place].name for place in places)
    return PartialDependence(names, tuple(values), averages, individual if len(places) == 1 else None)


@dataclass(frozen=True)
class Interactions:
    """How strongly pairs of columns act together."""

    names: tuple[str, ...]
    pairs: np.ndarray
    """(draw, column, column): the share of a draw's parent-child splits that are of both columns; symmetric."""

    @property
    def mean(self) -> np.ndarray:
        return np.asarray(self.pairs.mean(axis=0))

    def top(self, number: int = 10) -> list[tuple[str, str, float]]:
        """The strongest pairs of two columns."""
        mean = self.mean
        found = [(mean[a, b], a, b) for a in range(len(mean)) for b in range(a)]
        return [(self.names[b], self.names[a], float(share)) for share, a, b in sorted(found, reverse=True)[:number]]

    def plot(self, ax: Any = None) -> Any:
        """A map of all pairs; matplotlib's axes."""
        from livebart.plots import plot_interactions

        return plot_interactions(self, ax)


def interactions(bart: Any) -> Interactions:
    """Pairs of columns split one below the other, somewhere in a tree (Bleich, Kapelner, George and Jensen 2014, 2.1).

    A sum of trees can only join two columns in one branch, so pairs that never meet there do not interact.
    """
    check_is_fitted(bart, "_forest")
    forest, number = bart._forest, len(bart.columns_)
    pairs = np.zeros((forest.n_draws, number, number))
    for draw in range(forest.n_draws):
        start = forest.starts[draw]
        nodes = forest.nodes[start : start + forest.ends[draw, -1]]
        columns, right = nodes["column"], nodes["right"].astype(np.int64)
        splits = np.flatnonzero(right > 0)
        for child in (splits + 1, splits + right[splits]):
            below = columns[child]
            joined = below >= 0
            np.add.at(pairs[draw], (columns[splits][joined], below[joined]), 1.0)
    pairs = pairs + pairs.transpose(0, 2, 1)
    total = np.maximum(pairs.sum(axis=(1, 2), keepdims=True) / 2, 1)
    return Interactions(tuple(column.name for column in bart.columns_), pairs / total)


@dataclass(frozen=True)
class Importance:
    """How much each column is used, against what it would be if y had nothing to do with X."""

    names: tuple[str, ...]
    proportions: np.ndarray
    """(column,): mean inclusion proportions."""
    null: np.ndarray
    """(permutation, column): the same of fits to permuted y."""

    def selected(self, level: float = 0.05, *, method: str = "local") -> list[str]:
        """The columns above the null's 1 - level quantile.

        `local`: each column's own; `max`: the largest column's of each permutation, which bounds the chance of any
        false one; `se`: the mean plus that many standard deviations which cover all columns (Bleich et al. 2014,
        section 3).
        """
        return _above(self.names, self.proportions, self.null, level, method)

    def plot(self, ax: Any = None) -> Any:
        """Proportions with the null's 95 % quantiles; matplotlib's axes."""
        from livebart.plots import plot_importance

        return plot_importance(self, ax)


def variable_importance(
    bart: Any, X: Any, y: Any, *, n_permutations: int = 50, n_trees: int = 20, random_state: int = 0, **settings: Any
) -> Importance:
    """Inclusion proportions of a fit with few trees, and their null (Bleich, Kapelner, George and Jensen 2014).

    With few trees columns compete, so those that do not matter are left out. The same model is fitted to
    `n_permutations` random orders of y; `settings` are parameters of these fits.
    """
    if n_permutations < 1:
        raise ValueError(f"n_permutations must be at least 1, got {n_permutations}")
    rng = np.random.default_rng(random_state)
    told = {"n_trees": n_trees, "n_burnin": 250, "n_draws": 250, "n_chains": 2, "warm_start": False} | settings
    model, y = clone(bart).set_params(**told), np.asarray(y)
    found = model.set_params(random_state=random_state).fit(X, y)
    null = [
        clone(model).set_params(random_state=random_state + 1 + k).fit(X, rng.permutation(y)).feature_importances_
        for k in range(n_permutations)
    ]
    return Importance(tuple(column.name for column in found.columns_), found.feature_importances_, np.array(null))


@dataclass(frozen=True)
class PermutationImportance:
    """How much worse predictions become when a column's values are shuffled (Breiman 2001), draw by draw."""

    names: tuple[str, ...]
    draws: np.ndarray
    """(draw, column): the increase of the mean squared error, or of the mean Brier score."""
    null: np.ndarray | None = None
    """(permutation, column): its means in fits to permuted y; None where they were not asked for."""

    @property
    def mean(self) -> np.ndarray:
        return np.asarray(self.draws.mean(axis=0))

    def selected(self, level: float = 0.05, *, method: str = "local") -> list[str]:
        """The columns above the null's 1 - level quantile; `method` as for `Importance.selected`."""
        if self.null is None:
            raise ValueError("there is no null to compare with: give permutation_importance n_permutations=50")
        return _above(self.names, self.mean, self.null, level, method)

    def plot(self, ax: Any = None) -> Any:
        """Means with 90 % intervals, and the null's 95 % quantiles if there is one; matplotlib's axes."""
        from livebart.plots import plot_permutation

        return plot_permutation(self, ax)


def permutation_importance(
    bart: Any,
    X: Any,
    y: Any,
    *,
    n_permutations: int = 0,
    random_state: int = 0,
    n_draws: int | None = 200,
    **settings: Any,
) -> PermutationImportance:
    """Of every column, on these rows; `n_draws` evenly spaced draws are used, or all (None).

    With `n_permutations` there is a null: the same of the same model fitted to these rows with that many random orders
    of y (Altmann et al. 2010; Bleich et al. 2014). Give the rows of the fit then; `settings` are parameters of the
    null's fits, by default one chain of 250 + 100 sweeps.
    """
    if n_permutations < 0:
        raise ValueError(f"n_permutations must be at least 0, got {n_permutations}")
    check_is_fitted(bart, "_forest")
    rng = np.random.default_rng(random_state)
    draws = _loss_increases(bart, X, y, n_draws, rng)
    null = None
    if n_permutations:
        told = {"n_burnin": 250, "n_draws": 100, "n_chains": 1, "warm_start": False} | settings
        model, y = clone(bart).set_params(**told), np.asarray(y)
        null = np.empty((n_permutations, draws.shape[1]))
        for k in range(n_permutations):
            permuted = rng.permutation(y)
            fitted = model.set_params(random_state=random_state + 1 + k).fit(X, permuted)
            null[k] = _loss_increases(fitted, X, permuted, n_draws, rng).mean(axis=0)
    return PermutationImportance(tuple(column.name for column in bart.columns_), draws, null)


def _loss_increases(bart: Any, X: Any, y: Any, n_draws: int | None, rng: np.random.Generator) -> np.ndarray:
    """(draw, column): how much the mean squared error, or the mean Brier score, grows by shuffling a column."""
    codes, rows = bart._encode(X)
    y = (np.asarray(y) == bart.classes_[1]).astype(float) if bart._probit else np.asarray(y, float)
    if y.shape != (rows,):
        raise ValueError(f"y must have one number a row of X ({rows}), got shape {y.shape}")
    used, codes = _draws(bart, n_draws), codes[:, :rows]

    def loss(table: np.ndarray) -> np.ndarray:
        return np.asarray(((y - _f_of_codes(bart, table, used)) ** 2).mean(axis=1))

    base, found = loss(codes), np.empty((len(used), len(codes)))
    for column in range(len(codes)):
        shuffled = codes.copy()
        shuffled[column] = rng.permutation(shuffled[column])
        found[:, column] = loss(shuffled) - base
    return found


# -- what they share ---------------------------------------------------------------------------------------------------


def _above(names: Sequence[str], found: np.ndarray, null: np.ndarray, level: float, method: str) -> list[str]:
    """The columns whose importance is above the threshold that a null (permutation, column) sets."""
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    if method == "local":
        threshold = np.quantile(null, 1 - level, axis=0)
    elif method == "max":
        threshold = np.full(len(names), np.quantile(null.max(axis=1), 1 - level))
    elif method == "se":
        mean, deviation = null.mean(axis=0), null.std(axis=0)
        standard = (null - mean) / np.where(deviation > 0, deviation, 1)
        threshold = mean + np.quantile(standard.max(axis=1), 1 - level) * deviation
    else:
        raise ValueError(f"method must be 'local', 'max' or 'se', got {method!r}")
    return [name for name, value, least in zip(names, found, threshold, strict=True) if value > least]


def _places(bart: Any, columns: Any) -> list[int]:
    check_is_fitted(bart, "_forest")
    names = [column.name for column in bart.columns_]
    listed = [columns] if isinstance(columns, (str, int, np.integer)) else list(columns)
    places = []
    for item in listed:
        if isinstance(item, str) and item in names:
            places.append(names.index(item))
        elif isinstance(item, (int, np.integer)) and 0 <= item < len(names):
            places.append(int(item))
        else:
            raise ValueError(f"no column {item!r}; the model has {', '.join(names[:10])}" + ("..." * (len(names) > 10)))
    return places


def _draws(bart: Any, number: int | None) -> np.ndarray:
    total = bart._forest.n_draws
    return np.unique(np.linspace(0, total - 1, min(number or total, total)).astype(int))


def _grids(bart: Any, X: Any, places: Sequence[int], grid: Any) -> list[np.ndarray]:
    if grid is not None:
        return [np.asarray(points) for points in ([grid] if len(places) == 1 else grid)]
    found = []
    for place in places:
        column = bart.columns_[place]
        if column.categories is not None:
            found.append(np.array(column.categories, dtype=object))
            continue
        values = np.asarray(X[X.columns[place]] if tables.is_frame(X) else np.asarray(X)[:, place], dtype=float)
        size = _GRID if len(places) == 1 else _GRID // 2
        found.append(np.unique(np.quantile(values[~np.isnan(values)], np.linspace(0.01, 0.99, size))))
    return found


def _encode_grid(bart: Any, place: int, points: np.ndarray) -> np.ndarray:
    column = bart.columns_[place]
    if column.categories is not None:
        points = tables.number_categories(list(points), column.categories, column.name)
    codes: np.ndarray = column.encode(np.asarray(points, dtype=float))
    return codes


def _f_of_codes(bart: Any, codes: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """f (draw, row) at rows given by their codes, on the scale of y or of a probability."""
    link: Callable[[np.ndarray], np.ndarray] = bart._link
    rows = codes.shape[1]
    forest = bart._forest.take(draws)
    parts = [link(sums) for _, sums in forest.sums(tables.padded_rows(codes), rows, bart._threads(1 << 30))]
    return np.concatenate(parts, axis=1)
