"""Bayesian online changepoint detection (Adams and MacKay 2007, arXiv:0710.3742), in log space.

The run length r_t is the number of time steps since the last change, the step t included: r_t = 0 says that the
change comes after x_t, so P(r_t = 0) is the hazard by construction and says nothing. Only longer runs carry news.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from .conjugate import FloatArray, NormalInverseGamma


class RunLengths(NamedTuple):
    """The posterior of the run length after `time` steps, one entry a surviving run, shortest first."""

    time: int
    lengths: NDArray[np.int64]
    log_probabilities: FloatArray
    beliefs: NormalInverseGamma
    """Arrays: what each run has taught about its level and variance."""
    log_evidence: float
    """Log density of all observations so far, summed over every segmentation."""

    @property
    def probabilities(self) -> FloatArray:
        return np.exp(self.log_probabilities)

    @property
    def most_probable(self) -> int:
        """The entry of the most probable run; a run of length 0, which is the hazard, never counts where others are."""
        first = 1 if len(self.lengths) > 1 else 0
        return first + int(np.argmax(self.log_probabilities[first:]))

    def probability_recent(self, k: int) -> float:
        """Return the probability of a change within the last k steps: P(r_t <= k), run lengths 0, 1, ..., k.

        The run that began with the data is no change, so it does not count while it is that short itself.
        """
        return float(self.probabilities[(self.lengths <= k) & (self.lengths < self.time)].sum())

    def belief(self, entry: int) -> NormalInverseGamma:
        """Return what one run has taught."""
        return NormalInverseGamma(*(float(values[entry]) for values in map(np.asarray, self.beliefs)))


def start(belief: NormalInverseGamma, length: int = 0) -> RunLengths:
    """Return the state before the first step: one run, already `length` steps long and known as `belief`."""
    beliefs = NormalInverseGamma(*(np.array([float(value)]) for value in belief))
    return RunLengths(length, np.array([length]), np.zeros(1), beliefs, 0.0)


def step(state: RunLengths, x: float, prior: NormalInverseGamma, hazard: float, prune: float = 0.0) -> RunLengths:
    """Return the state after one more time step.

    A NaN is a missing observation: run lengths grow, nothing is learned. Runs with posterior probability below
    `prune` are dropped, whatever their length; the cost of a step is linear in the number that survive.
    """
    if np.isnan(x):
        log_joint, beliefs = state.log_probabilities, state.beliefs
    else:
        log_joint = state.log_probabilities + state.beliefs.log_predictive(x)
        beliefs = state.beliefs.update(x)
    log_total = float(logsumexp(log_joint))
    log_growth = log_joint - log_total + np.log1p(-hazard)
    keep = log_growth >= np.log(prune) if prune > 0 else np.ones(len(log_growth), dtype=bool)
    log_probabilities = np.concatenate([[np.log(hazard)], log_growth[keep]])
    if not keep.all():
        log_probabilities -= logsumexp(log_probabilities)
    return RunLengths(
        state.time + 1,
        np.concatenate([[0], state.lengths[keep] + 1]),
        log_probabilities,
        NormalInverseGamma(
            *(np.concatenate([[new], np.asarray(old)[keep]]) for new, old in zip(prior, beliefs, strict=True))
        ),
        state.log_evidence + log_total,
    )
