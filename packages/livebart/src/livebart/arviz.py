"""A fit as ArviZ's container."""

from __future__ import annotations

from typing import Any

import numpy as np


def to_arviz(bart: Any, X: Any, y: Any) -> Any:
    """An InferenceData before ArviZ 1.0, an xarray DataTree since; `BARTRegressor.to_arviz` says what is in it."""
    try:
        import arviz
    except ImportError as error:
        raise ImportError("to_arviz needs ArviZ: pip install 'livebart[arviz]'") from error
    names = [column.name for column in bart.columns_]
    posterior = {"inclusion": bart._by_chain(bart.inclusion_proportions_), "f": bart._by_chain(bart.watched_f())}
    if not bart._probit:
        posterior["sigma"] = bart._by_chain(bart.sigma_)
    groups: dict[str, Any] = {"posterior": posterior}
    if X is not None:
        sampled = bart.sample_y(X)
        if bart._probit:
            sampled = np.searchsorted(bart.classes_, sampled)
        groups["posterior_predictive"] = {"y": bart._by_chain(sampled)}
        if y is not None:
            groups["log_likelihood"] = {"y": bart.log_likelihood(X, y)}
            groups["observed_data"] = {"y": np.searchsorted(bart.classes_, y) if bart._probit else np.asarray(y, float)}
    elif y is not None:
        raise ValueError("to_arviz: y needs its X")
    coords = {"column": names, "row": bart._watched.tolist()}
    dims = {"inclusion": ["column"], "f": ["row"]}
    if int(arviz.__version__.split(".")[0]) >= 1:
        return arviz.from_dict(groups, coords=coords, dims=dims)
    return arviz.from_dict(**groups, coords=coords, dims=dims)
