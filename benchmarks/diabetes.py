"""What the intervals are worth: BART beside gradient boosting on scikit-learn's diabetes data, 442 patients.

    python benchmarks/diabetes.py

5-fold cross-validation (seed 0), defaults everywhere. Gradient boosting needs two more fits, to the quantiles .05 and
.95, for 90 % intervals of new patients. The interval score is Gneiting and Raftery's (2007, section 6.2).
"""

from collections.abc import Callable

import numpy as np
from livebart import BARTRegressor
from report import table
from sklearn.datasets import load_diabetes
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.model_selection import KFold

Forecast = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Means and the ends of 90 % intervals, each (row,)."""


def bart(x: np.ndarray, y: np.ndarray, new: np.ndarray) -> Forecast:
    fitted = BARTRegressor(random_state=0).fit(x, y)
    return (fitted.predict(new), *fitted.predict_quantiles(new, [0.05, 0.95], of="y").T)


def boosting(x: np.ndarray, y: np.ndarray, new: np.ndarray) -> Forecast:
    fits = [GradientBoostingRegressor(random_state=0)]
    fits += [GradientBoostingRegressor(loss="quantile", alpha=q, random_state=0) for q in (0.05, 0.95)]
    mean, low, high = (fit.fit(x, y).predict(new) for fit in fits)
    return mean, low, high


def row(name: str, forecast: Callable[..., Forecast]) -> list[str]:
    x, y = load_diabetes(return_X_y=True)
    mean, low, high = (np.empty(len(y)) for _ in range(3))
    for train, test in KFold(5, shuffle=True, random_state=0).split(x):
        mean[test], low[test], high[test] = forecast(x[train], y[train], x[test])
    held = np.mean((low <= y) & (y <= high))
    score = high - low + 20.0 * (np.maximum(low - y, 0.0) + np.maximum(y - high, 0.0))
    rmse = np.sqrt(np.mean((mean - y) ** 2))
    return [name, f"{rmse:.1f}", f"{100 * held:.1f} %", f"{np.mean(high - low):.0f}", f"{np.mean(score):.0f}"]


def main() -> None:
    heads = ["", "RMSE", "90 % intervals hold", "mean width", "interval score (less is better)"]
    both = [row("`BARTRegressor()`", bart), row('`GradientBoostingRegressor()`, two of `loss="quantile"`', boosting)]
    print("\n".join(table(heads, both)))


if __name__ == "__main__":
    main()
