"""Priors: SciPy's frozen distributions by name, or one object that draws and scores all parameters together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from livesmc2.model.densities import log_density_of
from livesmc2.model.state_space import Fields
from livesmc2.model.transforms import Interval


class PriorError(ValueError):
    """A prior that does not fit the model, or that draws what it gives no density."""


class Prior:
    """A prior over a model's parameters, with the transformation to the line on which moves are made.

    source: a dict with a distribution for each parameter (for an array a list of them, or one for all its elements),
        or an object with `rvs(size, random_state)`, which returns a dict of arrays (size,) or (size, length), and
        `logpdf(theta)`, which takes such a dict and returns (size,). A joint prior may say in a dict `support` between
        which bounds a parameter lies; one that it does not name moves on the line as it is.
    """

    def __init__(self, source: Any, fields: Fields) -> None:
        self.source, self.fields = source, fields
        self._marginals: list[Any] | None = None
        if isinstance(source, Mapping):
            self._marginals = list(_marginals(source, fields))
            self._densities = [log_density_of(law) for law in self._marginals]
            self.intervals = [
                _interval(label, law) for label, law in zip(fields.labels(), self._marginals, strict=True)
            ]
        else:
            for method in ("rvs", "logpdf"):
                if not callable(getattr(source, method, None)):
                    raise TypeError(
                        "prior must be a dict of frozen distributions by parameter, or an object with rvs and logpdf, "
                        f"got {source!r:.80}"
                    )
            support = getattr(source, "support", {})
            support = support if isinstance(support, Mapping) else {}
            if unknown := sorted(set(support) - set(fields.sizes)):
                raise PriorError(f"prior: support names {unknown[0]!r}, which is no parameter")
            self.intervals = [
                Interval(*map(float, support.get(name, (-math.inf, math.inf))))
                for name, _, size in fields.places()
                for _ in range(size or 1)
            ]

    def draw(self, rng: np.random.Generator, size: int, *, stratified: bool = False) -> np.ndarray:
        """Parameters (size, width).

        stratified: a Latin hypercube (McKay, Beckman and Conover 1979), where the marginals have quantiles: every
        draw has the prior's law, so evidence stays unbiased, and together they vary less.
        """
        theta = np.empty((size, self.fields.width))
        if self._marginals is not None:
            for column, law in enumerate(self._marginals):
                if stratified and callable(getattr(law, "ppf", None)):
                    theta[:, column] = law.ppf((rng.permutation(size) + rng.random(size)) / size)
                else:
                    theta[:, column] = law.rvs(size=size, random_state=rng)
        else:
            drawn = self.source.rvs(size=size, random_state=rng)
            if not isinstance(drawn, Mapping) or set(drawn) != set(self.fields.sizes):
                raise PriorError(f"prior: rvs must return a dict with {tuple(self.fields.sizes)}, got {drawn!r:.80}")
            for name, first, length in self.fields.places():
                values = np.asarray(drawn[name], float)
                if values.shape != ((size, length) if length else (size,)):
                    raise PriorError(f"prior: rvs(size={size}) gave {name!r} the shape {values.shape}")
                theta[:, first : first + (length or 1)] = values.reshape(size, -1)
        for column, label in enumerate(self.fields.labels()):
            if not np.isfinite(theta[:, column]).all():
                raise PriorError(f"prior: {label} draws values that are not finite")
            interval = self.intervals[column]
            outside = (theta[:, column] < interval.low) | (theta[:, column] > interval.high)
            if outside.any():
                value = theta[outside.argmax(), column]
                raise PriorError(
                    f"prior: {label} = {value:g} lies outside its support ({interval.low}, {interval.high})"
                )
            theta[:, column] = interval._inside(theta[:, column])
        impossible = np.isneginf(self.log_density(theta))
        if impossible.any():
            drawn = dict(zip(self.fields.labels(), theta[impossible.argmax()].tolist(), strict=True))
            raise PriorError(f"prior: rvs draws {drawn}, where logpdf is -inf; the two are not of one law")
        return theta

    def to_line(self, theta: np.ndarray) -> np.ndarray:
        """u (n, width) of theta (n, width)."""
        return np.stack([law.to_line(theta[:, k]) for k, law in enumerate(self.intervals)], axis=1)

    def from_line(self, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """theta (n, width), and the sum of log |d theta / d u| (n,)."""
        theta, log_derivative = np.empty_like(u), np.zeros(len(u))
        for column, interval in enumerate(self.intervals):
            theta[:, column], part = interval.from_line(u[:, column])
            log_derivative += part
        return theta, log_derivative

    def log_density(self, theta: np.ndarray) -> np.ndarray:
        """log p(theta) (n,), with respect to theta; -inf where it is impossible."""
        with np.errstate(all="ignore"):
            if self._marginals is not None:
                total = np.zeros(len(theta))
                for column, law in enumerate(self._densities):
                    total += law(theta[:, column])
            else:
                total = np.asarray(self.source.logpdf(self.fields.split(theta, 1)), float)
                if total.shape != (len(theta),):
                    raise PriorError(f"prior: logpdf of {len(theta)} parameters gave the shape {total.shape}")
        if np.isnan(total).any():
            values = dict(zip(self.fields.labels(), theta[np.isnan(total).argmax()].tolist(), strict=True))
            raise PriorError(f"prior: logpdf is NaN at {values}; an impossible parameter has -inf")
        return total

    def log_density_on_line(self, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """theta (n, width) of u, and the log density of u (n,)."""
        theta, log_derivative = self.from_line(u)
        return theta, self.log_density(theta) + log_derivative


def _marginals(source: Mapping[str, Any], fields: Fields) -> Sequence[Any]:
    if set(source) != set(fields.sizes):
        missing = sorted(set(fields.sizes) - set(source))
        extra = sorted(set(source) - set(fields.sizes))
        raise PriorError(
            f"prior must name the parameters {tuple(fields.sizes)}"
            + (f"; {missing[0]!r} is missing" if missing else f"; {extra[0]!r} is none of them")
        )
    laws: list[Any] = []
    for name, _, size in fields.places():
        given = source[name]
        if isinstance(given, (list, tuple)):
            if len(given) != size:
                raise PriorError(f"prior: {name!r} has {size or 1} elements, got {len(given)} distributions")
            laws.extend(given)
        else:
            laws.extend([given] * (size or 1))
    for label, law in zip(fields.labels(), laws, strict=True):
        if callable(getattr(law, "pmf", None)) and not callable(getattr(law, "pdf", None)):
            raise PriorError(f"prior: {label} is discrete; a parameter is continuous, a discrete quantity is a state")
        # SciPy's distributions are callable until they are frozen.
        if callable(law) or not all(callable(getattr(law, method, None)) for method in ("rvs", "logpdf", "support")):
            raise PriorError(
                f"prior: {label} must be a frozen distribution, such as scipy.stats.norm(0, 1), got {law!r:.80}"
            )
    return laws


def _interval(label: str, law: Any) -> Interval:
    low, high = (float(end) for end in law.support())
    if not low < high:
        raise PriorError(f"prior: {label} has the empty support ({low}, {high}); its arguments are impossible")
    return Interval(low, high)
