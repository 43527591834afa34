"""Make the picture of livebart's README: partial dependence on Friedman's first function."""

from pathlib import Path

import matplotlib
import numpy as np
from livebart import BARTRegressor, inspection

matplotlib.use("Agg")
import matplotlib.pyplot as plt

rng = np.random.default_rng(0)
X = rng.uniform(size=(1000, 10))
f = 10 * np.sin(np.pi * X[:, 0] * X[:, 1]) + 20 * (X[:, 2] - 0.5) ** 2 + 10 * X[:, 3] + 5 * X[:, 4]
bart = BARTRegressor(random_state=1).fit(X, f + rng.normal(size=1000))
figure, axes = plt.subplots(1, 3, figsize=(10, 3), sharey=True, layout="constrained")
for ax, column in zip(axes, ("x2", "x3", "x7"), strict=True):
    inspection.partial_dependence(bart, X, column).plot(ax)
figure.savefig(Path(__file__).parent / "bart.png", dpi=110)
