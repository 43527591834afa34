"""`BARTRegressor` and `BARTClassifier`: scikit-learn estimators."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from numbers import Real
from typing import Any, ClassVar

import numpy as np
from scipy.special import log_ndtr, ndtr
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils._param_validation import Interval
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from livebart.base import BART, check_length, check_quantiles, seed_of
from livebart.messages import Sink
from livebart.runtime.checkpoint import Store


class BARTRegressor(RegressorMixin, BART):  # type: ignore[misc]
    """Bayesian additive regression trees: y = f(x) + noise, f a sum of small trees.

    Chipman, George and McCulloch (2010), with their prior and its calibration. `fit` draws `n_chains` chains of
    `n_draws` after `n_burnin` sweeps; the same `random_state` gives the same bits at any `n_jobs`.

    Parameters
    ----------
    n_trees : trees in the sum.
    n_burnin, n_draws, n_chains : sweeps thrown away and draws kept, by each chain.
    alpha, beta : a node of depth d is split with probability alpha (1 + d)^-beta.
    k : f lies in the range of y with k prior standard deviations to each side.
    nu, q, sigma_hat : sigma^2 ~ nu lambda / chi^2_nu with P(sigma < sigma_hat) = q; None is a least-squares guess.
    min_samples_leaf : rows in a leaf, at least.
    max_cuts : cut points of a column, at most 255, at quantiles.
    sparse : learn which columns matter: a Dirichlet prior on split probabilities (Linero 2018), its concentration theta
        with theta / (theta + sparse_rho) ~ Beta(sparse_a, sparse_b), or fixed at sparse_theta; rho None is p.
    categorical_features : "from_dtype" (text and categories of data frames), None, or a list of columns. A split parts
        one category from the others.
    move_probabilities : of grow, prune and change, in a tree with a split.
    n_grow_from_root : the first sweeps of burn-in, in which every tree is drawn from its root (XBART).
    warm_start : `fit` goes on to `n_draws` from where the last fit ended, to the bits of one longer run.
    n_jobs : threads, at most one a chain; None is all cores.
    progress : show a line with sigma and the time to go, on a terminal.

    Attributes
    ----------
    sigma_ : (chain * draw,), the noise's standard deviation, chain after chain.
    inclusion_proportions_ : (chain * draw, column), the share of splits that are the column's.
    inclusion_probabilities_ : (column,), the share of draws in which the column is split at all.
    feature_importances_ : (column,), the mean of the inclusion proportions.
    columns_ : what is known of each column.
    """

    _probit = False
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BART._parameter_constraints,
        "nu": [Interval(Real, 0, None, closed="neither")],
        "q": [Interval(Real, 0, 1, closed="neither")],
        "sigma_hat": [Interval(Real, 0, None, closed="neither"), None],
    }

    def __init__(
        self,
        n_trees: int = 200,
        n_burnin: int = 500,
        n_draws: int = 1000,
        n_chains: int = 4,
        *,
        alpha: float = 0.95,
        beta: float = 2.0,
        k: float = 2.0,
        nu: float = 3.0,
        q: float = 0.9,
        sigma_hat: float | None = None,
        min_samples_leaf: int = 5,
        max_cuts: int = 255,
        sparse: bool = False,
        sparse_a: float = 0.5,
        sparse_b: float = 1.0,
        sparse_rho: float | None = None,
        sparse_theta: float | None = None,
        categorical_features: Any = "from_dtype",
        move_probabilities: Sequence[float] = (0.35, 0.35, 0.3),
        n_grow_from_root: int = 0,
        warm_start: bool = False,
        random_state: Any = None,
        n_jobs: int | None = None,
        progress: bool = False,
    ) -> None:
        self.n_trees = n_trees
        self.n_burnin = n_burnin
        self.n_draws = n_draws
        self.n_chains = n_chains
        self.alpha = alpha
        self.beta = beta
        self.k = k
        self.nu = nu
        self.q = q
        self.sigma_hat = sigma_hat
        self.min_samples_leaf = min_samples_leaf
        self.max_cuts = max_cuts
        self.sparse = sparse
        self.sparse_a = sparse_a
        self.sparse_b = sparse_b
        self.sparse_rho = sparse_rho
        self.sparse_theta = sparse_theta
        self.categorical_features = categorical_features
        self.move_probabilities = move_probabilities
        self.n_grow_from_root = n_grow_from_root
        self.warm_start = warm_start
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.progress = progress

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        sink: Sink | None = None,
        stop: Callable[[], bool] | None = None,
        executor: Executor | Callable[[], Executor] | None = None,
        checkpoint: Store | None = None,
    ) -> BARTRegressor:
        """Draw from the posterior given X (row, column) and y (row,).

        A row's noise has variance sigma^2 / `sample_weight`; rows of weight 0 are left out. `sink` hears each draw as a
        message, `stop` is asked between chunks and keeps what was drawn, `executor` runs the chains elsewhere, and
        `checkpoint` (a folder, or a mapping of bytes) lets the same call go on after a crash.
        """
        fitted: BARTRegressor = self._fit(X, y, sample_weight, sink, stop, executor, checkpoint)
        return fitted

    def _response(self, y: np.ndarray) -> np.ndarray:
        return y.astype(np.float64)

    def _weigh(
        self, table: np.ndarray, response: np.ndarray, weights: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        kept = weights > 0
        table, response, weights = table[kept], response[kept], weights[kept]
        return table, response, None if (weights == 1.0).all() else weights

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """The posterior mean of f, (row,); with `return_std` also the posterior standard deviation of f."""
        if not return_std:
            return self._by_row(X, lambda f: f.mean(axis=0))
        both = self._by_row(X, lambda f: np.stack([f.mean(axis=0), f.std(axis=0)]))
        return both[0], both[1]

    def predict_quantiles(self, X: Any, quantiles: Sequence[float], *, of: str = "f") -> np.ndarray:
        """Posterior quantiles, (row, quantile), of f, or of a new observation: `of="y"`."""
        wanted = check_quantiles(quantiles)
        if of not in ("f", "y"):
            raise ValueError(f"of must be 'f' (the function) or 'y' (a new observation), got {of!r}")
        if of == "f":
            return self._by_row(X, lambda f: np.quantile(f, wanted, axis=0)).T
        noise = np.random.default_rng(self.seed_)
        return self._by_row(
            X, lambda f: np.quantile(f + self.sigma_[:, None] * noise.normal(size=f.shape), wanted, axis=0)
        ).T

    def sample_y(self, X: Any, random_state: Any = 0) -> np.ndarray:
        """Draws of new observations, (chain * draw, row): f and its noise."""
        f = self.sample_f(X)
        noise = np.random.default_rng(seed_of(random_state)).normal(size=f.shape)
        return f + self.sigma_[:, None] * noise

    def log_likelihood(self, X: Any, y: Any, sample_weight: Any = None) -> np.ndarray:
        """Of each row, (chain, draw, row): for leave-one-out cross-validation by arviz."""
        f, y = self.sample_f(X), np.asarray(y, float)
        check_length(f, y)
        weights = 1.0 if sample_weight is None else np.asarray(sample_weight, float)
        sigma = self.sigma_[:, None] / np.sqrt(weights)
        log = -0.5 * ((y - f) / sigma) ** 2 - np.log(sigma) - 0.5 * np.log(2 * np.pi)
        return self._by_chain(log)


class BARTClassifier(ClassifierMixin, BART):  # type: ignore[misc]
    """Two classes by probit: P(class 1) = Phi(f(x)), f a sum of small trees.

    Chipman, George and McCulloch (2010), section 4, with the latent response of Albert and Chib (1993); f has the prior
    mean Phi^-1 of the second class's share. Parameters and attributes are those of `BARTRegressor`, where they make
    sense; `classes_` are the two classes, in order.
    """

    _probit = True

    def __init__(
        self,
        n_trees: int = 200,
        n_burnin: int = 500,
        n_draws: int = 1000,
        n_chains: int = 4,
        *,
        alpha: float = 0.95,
        beta: float = 2.0,
        k: float = 2.0,
        min_samples_leaf: int = 5,
        max_cuts: int = 255,
        sparse: bool = False,
        sparse_a: float = 0.5,
        sparse_b: float = 1.0,
        sparse_rho: float | None = None,
        sparse_theta: float | None = None,
        categorical_features: Any = "from_dtype",
        move_probabilities: Sequence[float] = (0.35, 0.35, 0.3),
        n_grow_from_root: int = 0,
        warm_start: bool = False,
        random_state: Any = None,
        n_jobs: int | None = None,
        progress: bool = False,
    ) -> None:
        self.n_trees = n_trees
        self.n_burnin = n_burnin
        self.n_draws = n_draws
        self.n_chains = n_chains
        self.alpha = alpha
        self.beta = beta
        self.k = k
        self.min_samples_leaf = min_samples_leaf
        self.max_cuts = max_cuts
        self.sparse = sparse
        self.sparse_a = sparse_a
        self.sparse_b = sparse_b
        self.sparse_rho = sparse_rho
        self.sparse_theta = sparse_theta
        self.categorical_features = categorical_features
        self.move_probabilities = move_probabilities
        self.n_grow_from_root = n_grow_from_root
        self.warm_start = warm_start
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.progress = progress

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        sink: Sink | None = None,
        stop: Callable[[], bool] | None = None,
        executor: Executor | Callable[[], Executor] | None = None,
        checkpoint: Store | None = None,
    ) -> BARTClassifier:
        """Draw from the posterior given X (row, column) and y (row,) of two classes; else as `BARTRegressor.fit`.

        A row's `sample_weight` is how many observations it stands for, a whole number: each has a latent response of
        its own, so that the posterior is that of the rows repeated.
        """
        fitted: BARTClassifier = self._fit(X, y, sample_weight, sink, stop, executor, checkpoint)
        return fitted

    def _response(self, y: np.ndarray) -> np.ndarray:
        check_classification_targets(y)
        kind = type_of_target(y, input_name="y", raise_unknown=True)
        classes, places = np.unique(y, return_inverse=True)
        if kind != "binary" or len(classes) > 2:
            raise ValueError(
                f"Only binary classification is supported. The type of the target is {kind}. "
                f"BARTClassifier has a probit for two classes, y has {len(classes)}"
            )
        if len(classes) < 2:
            raise ValueError(f"Classifier can't train when only one class is present: y holds only {classes[0]!r}")
        self.classes_ = classes
        return places

    def _weigh(
        self, table: np.ndarray, response: np.ndarray, weights: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        fractions = np.flatnonzero(weights != np.floor(weights))
        if len(fractions):
            row = int(fractions[0])
            raise ValueError(
                "sample_weight: a classifier's weights are numbers of observations, whole as 0, 1, 2, got "
                f"{weights[row]} in row {row}: probit has no latent response for a fraction of an observation"
            )
        counts = weights.astype(np.int64)
        table, response = np.repeat(table, counts, axis=0), np.repeat(response, counts)
        if (response == response[0]).all():
            only = str(self.classes_[response[0]])
            raise ValueError(f"Classifier can't train when only one class is present: the weights leave only {only!r}")
        return table, response, None

    def predict_proba(self, X: Any) -> np.ndarray:
        """Posterior mean probabilities of the two classes, (row, 2)."""
        second = self._by_row(X, lambda f: ndtr(f).mean(axis=0))
        return np.column_stack([1.0 - second, second])

    def predict(self, X: Any) -> np.ndarray:
        """The more probable class, (row,)."""
        second = self._by_row(X, lambda f: ndtr(f).mean(axis=0)) > 0.5
        found: np.ndarray = self.classes_[second.astype(int)]
        return found

    def sample_proba(self, X: Any) -> np.ndarray:
        """Draws of the second class's probability, (chain * draw, row)."""
        found: np.ndarray = ndtr(self.sample_f(X))
        return found

    def predict_quantiles(self, X: Any, quantiles: Sequence[float]) -> np.ndarray:
        """Posterior quantiles, (row, quantile), of the second class's probability."""
        wanted = check_quantiles(quantiles)
        return self._by_row(X, lambda f: ndtr(np.quantile(f, wanted, axis=0))).T

    def sample_y(self, X: Any, random_state: Any = 0) -> np.ndarray:
        """Draws of new observations, (chain * draw, row), of `classes_`."""
        chosen = np.random.default_rng(seed_of(random_state))
        probability = self.sample_proba(X)
        found: np.ndarray = self.classes_[(chosen.random(probability.shape) < probability).astype(int)]
        return found

    def log_likelihood(self, X: Any, y: Any) -> np.ndarray:
        """Of each row, (chain, draw, row)."""
        f, y = self.sample_f(X), np.asarray(y)
        check_length(f, y)
        unknown = set(np.unique(y).tolist()) - set(self.classes_.tolist())
        if unknown:
            raise ValueError(f"y holds {sorted(unknown)}, the classes are {self.classes_.tolist()}")
        return self._by_chain(log_ndtr(np.where(y == self.classes_[1], f, -f)))
