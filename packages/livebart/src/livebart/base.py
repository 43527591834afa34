"""What regression and classification share: fitting, new rows, what a fit says."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from numbers import Integral, Real
from typing import Any, ClassVar, cast

import numpy as np
from scipy.special import ndtr
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from livebart.errors import NotConverged
from livebart.messages import Settings, Sink
from livebart.model import columns as tables
from livebart.model.columns import MAX_CUTS
from livebart.model.forest import Forest, tree_as_data
from livebart.model.problem import Prior, Problem, make_problem
from livebart.runtime.chain import Block, Chain
from livebart.runtime.checkpoint import Store
from livebart.runtime.run import Plan, new_chains, run
from livebart.summary import Summary, summarize

_WATCHED_ROWS = 20


class BART(BaseEstimator):  # type: ignore[misc]
    """What regression and classification share."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_trees": [Interval(Integral, 1, None, closed="left")],
        "n_burnin": [Interval(Integral, 0, None, closed="left")],
        "n_draws": [Interval(Integral, 1, None, closed="left")],
        "n_chains": [Interval(Integral, 1, None, closed="left")],
        "alpha": [Interval(Real, 0, 1, closed="neither")],
        "beta": [Interval(Real, 0, None, closed="left")],
        "k": [Interval(Real, 0, None, closed="neither")],
        "min_samples_leaf": [Interval(Integral, 1, None, closed="left")],
        "max_cuts": [Interval(Integral, 1, MAX_CUTS, closed="both")],
        "sparse": ["boolean"],
        "sparse_a": [Interval(Real, 0, None, closed="neither")],
        "sparse_b": [Interval(Real, 0, None, closed="neither")],
        "sparse_rho": [Interval(Real, 0, None, closed="neither"), None],
        "sparse_theta": [Interval(Real, 0, None, closed="neither"), None],
        "categorical_features": ["array-like", str, None],
        "move_probabilities": ["array-like"],
        "n_grow_from_root": [Interval(Integral, 0, None, closed="left")],
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
        "n_jobs": [Integral, None],
        "progress": ["boolean"],
    }

    _probit: ClassVar[bool]
    seed_: int

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    # -- fitting -------------------------------------------------------------------------------------------------------

    def _fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        sink: Sink | None,
        stop: Callable[[], bool] | None,
        executor: Executor | Callable[[], Executor] | None,
        checkpoint: Store | None,
    ) -> Any:
        self._validate_params()
        prior = self._prior()
        table, response, weights = self._learn(X, y, sample_weight)
        if self.n_grow_from_root > self.n_burnin:
            raise ValueError(
                f"n_grow_from_root are the first of the n_burnin sweeps, at most {self.n_burnin}, "
                f"got {self.n_grow_from_root}"
            )
        codes = tables.encode(self.columns_, table)
        described = tables.describe(self.columns_)
        active = tables.active_columns(described, codes, len(table))
        problem = make_problem(
            prior,
            self.n_trees,
            described,
            active,
            codes,
            response,
            weights,
            probit=self._probit,
            n_burnin=self.n_burnin,
            from_root=self.n_grow_from_root,
        )
        chains, plan = self._chains(problem)
        self.n_iter_ = self.n_burnin + self.n_draws
        self._watch(response, codes)
        try:
            status = run(
                plan,
                chains,
                n_jobs=self._threads(len(chains)),
                sink=sink,
                stop=stop,
                executor=executor,
                checkpoint=checkpoint,
                progress=self.progress,
            )
        finally:
            if any(chain.drawn for chain in chains):
                self._collect(chains, plan, problem)
        if status != "completed":
            if not any(chain.drawn for chain in chains):
                raise KeyboardInterrupt if status == "interrupted" else RuntimeError("stopped before the first draw")
            warnings.warn(f"{status}: the fit holds {self.n_draws_} draws of {len(self._kept)} chains", stacklevel=3)
        return self

    def _prior(self) -> Prior:
        moves = np.asarray(self.move_probabilities, float)
        if moves.shape != (3,) or (moves < 0).any() or abs(moves.sum() - 1) > 1e-9 or moves[0] <= 0 or moves[1] <= 0:
            raise ValueError(
                "move_probabilities must be three numbers that sum to 1, of grow, prune and change, the first two "
                f"positive, got {self.move_probabilities!r}"
            )
        names: tuple[str, ...] = (
            "alpha",
            "beta",
            "k",
            "min_samples_leaf",
            "sparse",
            "sparse_a",
            "sparse_b",
            "sparse_rho",
            "sparse_theta",
        )
        names += () if self._probit else ("nu", "q", "sigma_hat")
        told = {name: getattr(self, name) for name in names}
        return Prior(**told, grow_probability=float(moves[0]), prune_probability=float(moves[1]))

    def _settings(self) -> Settings:
        """The parameters that draws depend on, as plain data."""
        told: dict[str, Any] = {}
        for name in Settings.__annotations__:
            if hasattr(self, name):  # a classifier has no noise prior
                value = getattr(self, name)
                told[name] = value.item() if isinstance(value, np.generic) else value
        told["move_probabilities"] = [float(share) for share in self.move_probabilities]
        told["categorical_features"] = [column.name for column in self.columns_ if column.categories is not None]
        return cast(Settings, told)

    def _threads(self, n_chains: int) -> int:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        if self.n_jobs is None or self.n_jobs < 0:
            wanted = cores + 1 + (self.n_jobs or -1)
        else:
            wanted = self.n_jobs
        return max(1, min(wanted, n_chains))

    def _learn(self, X: Any, y: Any, sample_weight: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """The table of X, (row, column) of float64, the response and the weights; the columns are learned from it."""
        categories: dict[int, tuple[Any, ...]] = {}
        framed = tables.is_frame(X)
        if framed:
            names = list(X.columns)
            tables.refuse_times(X)
            for j in tables.chosen_categories(X, self.categorical_features, len(names)):
                categories[j] = tables.sorted_categories(tables.frame_values(X, names[j]), str(names[j]))
            X = tables.numeric_frame(X, categories)
        table, response = validate_data(
            self, X, y, dtype=np.float64, ensure_all_finite="allow-nan", y_numeric=not self._probit
        )
        if not framed:
            for j in tables.chosen_categories(X, self.categorical_features, table.shape[1]):
                categories[j] = tables.sorted_categories(table[:, j], f"x{j}")
                table[:, j] = tables.number_categories(table[:, j], categories[j], f"x{j}")
        names = [str(name) for name in getattr(self, "feature_names_in_", [f"x{j}" for j in range(table.shape[1])])]
        response, weights = self._response(response), None
        if sample_weight is not None:
            weights = _check_sample_weight(sample_weight, table, dtype=np.float64, ensure_non_negative=True)
            if not weights.any():
                raise ValueError("sample_weight: every weight is 0, so there is nothing to learn from")
            table, response, weights = self._weigh(table, response, weights)
        self.columns_ = tables.learn_columns(table, names, categories, self.max_cuts)
        return table, response, weights

    def _weigh(
        self, table: np.ndarray, response: np.ndarray, weights: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """The rows that weights leave, and weights of theirs, None for equal ones."""
        raise NotImplementedError

    def _response(self, y: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def _chains(self, problem: Problem) -> tuple[list[Chain], Plan]:
        names = tuple(column.name for column in self.columns_)
        shape = (type(self).__name__, names, self.n_trees, self.n_burnin, self.n_draws, self.n_chains)
        if self.warm_start and getattr(self, "_kept", None):
            plan = Plan(*shape, seed=self.seed_, settings=self._settings())
            if plan.digest(problem) != self._digest:
                raise ValueError(
                    "warm_start goes on with the chains of the last fit, so X, y and all parameters but n_draws must "
                    "be as they were then; set warm_start=False to begin anew"
                )
            chains = self._kept
            if chains[0].total > self.n_draws:
                raise ValueError(
                    f"warm_start: n_draws must be at least the {chains[0].total} draws already made, got {self.n_draws}"
                )
            for chain in chains:
                chain.total = self.n_draws
            return chains, plan
        self.seed_ = seed_of(self.random_state)
        plan = Plan(*shape, seed=self.seed_, settings=self._settings())
        return new_chains(plan, problem), plan

    def _watch(self, response: np.ndarray, codes: np.ndarray) -> None:
        """Remember rows at which f is watched: evenly spaced in the order of y."""
        order = np.argsort(response, kind="stable")
        places = np.unique(np.linspace(0, len(order) - 1, min(_WATCHED_ROWS, len(order))).astype(int))
        self._watched = np.sort(order[places])
        self._watched_codes = tables.padded_rows(codes[:, self._watched])

    def _collect(self, chains: Sequence[Chain], plan: Plan, problem: Problem) -> None:
        used = [chain for chain in chains if chain.drawn]
        shortest = min(chain.drawn for chain in used)
        for chain in chains:
            chain.labels = None  # made again when chains go on
        blocks, variances, moves, leaves = [], [], [], []
        for chain in used:
            left = shortest
            for block in chain.blocks:
                part = min(left, len(block.variances))
                stop = int(block.ends[:part, -1].sum())
                blocks.append((block.nodes[:stop], block.ends[:part]))
                variances.append(block.variances[:part])
                moves.append(block.moves[:part])
                leaves.append(block.leaves[:part])
                left -= part
        self._kept, self._digest = list(chains), plan.digest(problem)
        self._forest = Forest.of_blocks(blocks, self.n_trees)
        self._center, self._scale = problem.center, problem.scale
        self._offset = float(problem.prior["offset"][0])
        self.n_chains_, self.n_draws_ = len(used), shortest
        self._moves, self._leaves = np.concatenate(moves), np.concatenate(leaves)
        all_variances = np.concatenate(variances)
        bounds = np.append(self._forest.starts, len(self._forest.nodes))
        for place, chain in enumerate(used):  # a chain's draws are held once, in the forest
            if chain.drawn == shortest:
                draws = slice(place * shortest, (place + 1) * shortest)
                nodes = self._forest.nodes[bounds[draws.start] : bounds[draws.stop]]
                arrays = (self._forest.ends, all_variances, self._moves, self._leaves)
                chain.blocks = [Block(nodes, *(array[draws] for array in arrays))]
        self._count(np.sqrt(all_variances) * problem.scale)

    def _count(self, sigma: np.ndarray) -> None:
        """Set the attributes that follow from the forest."""
        self.sigma_ = sigma
        counts = self._forest.split_counts(len(self.columns_))
        totals = np.maximum(counts.sum(axis=1, keepdims=True), 1)
        self.inclusion_proportions_ = counts / totals
        self.inclusion_probabilities_ = (counts > 0).mean(axis=0)
        self.feature_importances_ = self.inclusion_proportions_.mean(axis=0)

    # -- new rows ------------------------------------------------------------------------------------------------------

    def _encode(self, X: Any) -> tuple[np.ndarray, int]:
        """The codes (column, padded row) of new rows, and how many rows there are."""
        check_is_fitted(self, "_forest")
        categories = {j: c.categories for j, c in enumerate(self.columns_) if c.categories is not None}
        framed = tables.is_frame(X)
        if framed and categories:
            names = list(getattr(self, "feature_names_in_", X.columns))
            if list(X.columns) != names:
                tables.refuse_columns(names, list(X.columns))
            X = tables.numeric_frame(X, categories)
        table = validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan", reset=False)
        if not framed and categories:
            table = table.copy()
            for j, known in categories.items():
                table[:, j] = tables.number_categories(table[:, j], known, self.columns_[j].name)
        return tables.encode(self.columns_, table), len(table)

    def _f(self, X: Any) -> Iterator[tuple[slice, int, np.ndarray]]:
        """(rows, f (draw, row)) of one block of rows after the other, on the scale of y or of probit."""
        codes, rows = self._encode(X)
        for where, sums in self._forest.sums(codes, rows, self._threads(1 << 30)):
            yield where, rows, self._to_f(sums)

    def sample_f(self, X: Any) -> np.ndarray:
        """Draws of f, (chain * draw, row), chain after chain: the regression function, or probit's."""
        found = None
        for where, rows, f in self._f(X):
            if found is None:
                found = np.empty((self._forest.n_draws, rows))
            found[:, where] = f
        assert found is not None
        return found

    def _by_row(self, X: Any, function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """`function` of f (draw, row) gives (..., row); of all rows, without holding their draws."""
        parts = [function(f) for _, _, f in self._f(X)]
        return np.concatenate(parts, axis=-1)

    # -- what the fit says ---------------------------------------------------------------------------------------------

    def _by_chain(self, draws: np.ndarray) -> np.ndarray:
        return draws.reshape(self.n_chains_, self.n_draws_, *draws.shape[1:])

    def watched_f(self) -> np.ndarray:
        """Draws of f, (chain * draw, row), at the rows of the training data by which convergence is judged."""
        sums = [part for _, part in self._forest.sums(self._watched_codes, len(self._watched))]
        return self._to_f(np.concatenate(sums, axis=1))

    def _to_f(self, sums: np.ndarray) -> np.ndarray:
        """f of sums of trees: on the scale of y, or of probit."""
        center, scale = (self._offset, 1.0) if self._probit else (self._center, self._scale)
        return center + scale * sums.astype(np.float64)

    def _link(self, sums: np.ndarray) -> np.ndarray:
        """The mean of y of sums of trees."""
        f = self._to_f(sums)
        return np.asarray(ndtr(f)) if self._probit else f

    def plot_sigma(self, ax: Any = None) -> Any:
        """Traces of sigma, a line a chain (extra `plot`); matplotlib's axes."""
        from livebart.plots import plot_sigma

        check_is_fitted(self, "_forest")
        return plot_sigma(self, ax)

    def summary(self, X: Any = None, *, warn: bool = True) -> Summary:
        """R-hat, effective sample sizes and intervals of sigma, and of f at the rows of X.

        Without X at 20 rows of the training data, evenly spaced in the order of y. A `NotConverged` warning says what
        to do where chains disagree.
        """
        check_is_fitted(self, "_forest")
        if X is None:
            rows, f = self._watched.tolist(), self.watched_f()
        else:
            f = self.sample_f(X)
            rows = list(range(f.shape[1]))
        found = summarize(
            None if self._probit else self._by_chain(self.sigma_),
            {row: self._by_chain(f[:, j]) for j, row in enumerate(rows)},
            self._moves,
            self._leaves,
        )
        if warn and not found.converged:
            warnings.warn(found.advice, NotConverged, stacklevel=2)
        return found

    def trees(self, chain: int, draw: int) -> list[dict[str, Any]]:
        """The trees of one draw as nested dicts; the sum of their leaves' values is f."""
        check_is_fitted(self, "_forest")
        if not 0 <= chain < self.n_chains_ or not 0 <= draw < self.n_draws_:
            raise IndexError(f"chain {chain}, draw {draw}: there are {self.n_chains_} chains of {self.n_draws_} draws")
        center, scale = (self._offset, 1.0) if self._probit else (self._center, self._scale)
        place = chain * self.n_draws_ + draw
        return [
            tree_as_data(self._forest.tree(place, t), self.columns_, center / self.n_trees, scale)
            for t in range(self.n_trees)
        ]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fit as JSON, which `livebart.load` reads; docs/bart.md says what is in it."""
        from livebart.saving import save

        check_is_fitted(self, "_forest")
        save(self, path)

    def to_arviz(self, X: Any = None, y: Any = None) -> Any:
        """The draws for ArviZ (extra `arviz`): sigma, f at watched rows; with data, log_likelihood and prediction."""
        from livebart.arviz import to_arviz

        check_is_fitted(self, "_forest")
        return to_arviz(self, X, y)


def seed_of(random_state: Any) -> int:
    """A seed of 63 bits: the number given, drawn from a RandomState, or entropy."""
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1, np.uint64)[0] >> np.uint64(1))
    if isinstance(random_state, Integral):
        return int(random_state)
    return int(random_state.randint(0, 2**31 - 1)) << 31 | int(random_state.randint(0, 2**31 - 1))


def check_quantiles(quantiles: Sequence[float]) -> np.ndarray:
    wanted = np.atleast_1d(np.asarray(quantiles, float))
    if wanted.ndim != 1 or not ((wanted >= 0) & (wanted <= 1)).all():
        raise ValueError(f"quantiles must lie between 0 and 1, got {quantiles!r}")
    return wanted


def check_length(f: np.ndarray, y: np.ndarray) -> None:
    if y.shape != f.shape[1:]:
        raise ValueError(f"y must have one number a row of X ({f.shape[1]}), got shape {y.shape}")
