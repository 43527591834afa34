"""The online detector: brute force over all segmentations, and the published answers for the Nile."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from liverecipes.spc import changepoint
from liverecipes.spc.conjugate import NormalInverseGamma
from liverecipes.spc.data import load
from scipy.special import logsumexp

PRIOR = NormalInverseGamma(0.5, 0.3, 1.5, 0.8)


def brute_force(values: list[float], prior: NormalInverseGamma, hazard: float) -> tuple[np.ndarray, float]:
    """Return P(r_n = 0, ..., n) and the log evidence, from each of the 2^n sets of changes after x_1, ..., x_n."""
    n = len(values)
    log_runs: list[list[float]] = [[] for _ in range(n + 1)]
    for changes in itertools.product([False, True], repeat=n):
        total = sum(np.log(hazard) if change else np.log1p(-hazard) for change in changes)
        edges = [0, *(t + 1 for t, change in enumerate(changes) if change), n]
        for first, last in itertools.pairwise(edges):
            segment = np.array([x for x in values[first:last] if not np.isnan(x)])
            if len(segment):
                squares = float(np.sum((segment - segment.mean()) ** 2))
                total += prior.log_evidence(len(segment), float(segment.mean()), squares)
        run = next((length for length in range(n) if changes[n - 1 - length]), n)
        log_runs[run].append(float(total))
    log_joint = np.array([logsumexp(runs) for runs in log_runs])
    evidence = float(logsumexp(log_joint))
    return np.exp(log_joint - evidence), evidence


def detect(values: list[float], prior: NormalInverseGamma, hazard: float, prune: float = 0.0) -> changepoint.RunLengths:
    state = changepoint.start(prior)
    for x in values:
        state = changepoint.step(state, x, prior, hazard, prune)
    return state


def test_equals_brute_force_over_1024_segmentations() -> None:
    rng = np.random.default_rng(1)
    values = [*rng.normal(0, 1, 6), *rng.normal(3, 1, 4)]
    state = detect(values, PRIOR, 0.1)
    expected, evidence = brute_force(values, PRIOR, 0.1)
    np.testing.assert_array_equal(state.lengths, range(11))
    np.testing.assert_allclose(state.probabilities, expected, rtol=0, atol=1e-12)
    assert state.log_evidence == pytest.approx(evidence, abs=1e-12)


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.one_of(st.floats(-20, 20), st.just(float("nan"))), min_size=1, max_size=6),
    st.floats(0.01, 0.9),
)
def test_equals_brute_force_with_missing_observations(values: list[float], hazard: float) -> None:
    state = detect(values, PRIOR, hazard)
    expected, evidence = brute_force(values, PRIOR, hazard)
    np.testing.assert_allclose(state.probabilities, expected, rtol=0, atol=1e-10)
    assert state.log_evidence == pytest.approx(evidence, abs=1e-9)


def test_nile() -> None:
    nile = load("nile")
    assert nile.prior is not None
    assert list(nile.prior) == [900, 0.01, 1, 1e4]
    state = changepoint.start(nile.prior)
    recent = {}
    for label, x in zip(nile.labels, nile.values, strict=True):
        state = changepoint.step(state, float(x), nile.prior, 0.01)
        recent[label] = state.probability_recent(10)
    assert state.log_evidence == pytest.approx(-642.9288, abs=5e-5)
    assert next(label for label, probability in recent.items() if probability > 0.5) == "1902"
    assert recent["1902"] == pytest.approx(0.7205, abs=5e-5)
    length = int(state.lengths[state.most_probable])
    assert nile.labels[-length] == "1899"
    assert state.probabilities[state.most_probable] == pytest.approx(0.7264, abs=5e-5)


def test_run_length_zero_is_the_hazard_and_never_the_answer() -> None:
    rng = np.random.default_rng(2)
    state = changepoint.start(PRIOR)
    for x in [*rng.normal(0, 1, 20), *rng.normal(9, 1, 20)]:
        state = changepoint.step(state, float(x), PRIOR, 0.6)
        assert state.probabilities[0] == pytest.approx(0.6)
        assert state.lengths[state.most_probable] > 0


def test_pruning_by_mass_keeps_the_answer_and_bounds_the_work() -> None:
    rng = np.random.default_rng(3)
    values = [*rng.normal(0, 1, 300), *rng.normal(4, 1, 300)]
    whole, pruned = detect(values, PRIOR, 0.01), detect(values, PRIOR, 0.01, prune=1e-10)
    assert len(pruned.lengths) < 0.6 * len(whole.lengths)
    assert pruned.log_evidence == pytest.approx(whole.log_evidence, abs=1e-6)
    np.testing.assert_allclose(pruned.probabilities, whole.probabilities[pruned.lengths], atol=1e-7)
    # Poison: the shortest runs alone, as some implementations keep them, lose the run that is true.
    assert whole.probabilities[:100].sum() < 0.5 < pruned.probabilities[pruned.lengths >= 295].sum()


def test_missing_observations_leave_the_evidence_alone() -> None:
    with_gap = detect([0.1, float("nan"), float("nan"), 0.4], PRIOR, 0.05)
    assert with_gap.time == 4
    only_gaps = detect([float("nan")] * 30, PRIOR, 0.05)
    assert only_gaps.log_evidence == pytest.approx(0.0, abs=1e-12)
    np.testing.assert_allclose(only_gaps.probabilities[:30], 0.05 * 0.95 ** np.arange(30), rtol=1e-9)
