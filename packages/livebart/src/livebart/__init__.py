"""Bayesian additive regression trees: scikit-learn estimators over an exact sampler.

>>> import numpy as np
>>> from livebart import BARTRegressor
>>> rng = np.random.default_rng(0)
>>> X = rng.uniform(size=(200, 3))
>>> y = np.sin(6 * X[:, 0]) + 0.1 * rng.normal(size=200)
>>> bart = BARTRegressor(n_trees=50, n_burnin=200, n_draws=200, n_chains=2, random_state=0).fit(X, y)
>>> bool(bart.feature_importances_.argmax() == 0)
True
"""

from livebart import inspection
from livebart.errors import NotConverged
from livebart.estimators import BARTClassifier, BARTRegressor
from livebart.saving import load

__all__ = ["BARTClassifier", "BARTRegressor", "NotConverged", "inspection", "load"]
__version__ = "0.1.0"
