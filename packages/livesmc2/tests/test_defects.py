"""The predecessor's defects B1 to B12, those that other files do not hold: each may not come back.

B1, B2, B5, B7: test_online. B3: test_filter. B10: test_messages. B12: test_errors.
"""

import math

import numpy as np
import pytest
from livesmc2 import OnlineSMC2, StateSpaceModel
from livesmc2.kernel.weights import MULTINOMIAL, STRATIFIED, SYSTEMATIC, resample
from livesmc2_exact import level, level_series
from scipy import stats

MODEL, PRIOR = level()


def test_b1_time_does_not_start_again_in_a_window() -> None:
    """A model that knows what time it is: every replay calls it with the right one, or the likelihood is zero."""
    model = StateSpaceModel(
        parameters=("mu",),
        state=("day",),
        initial=lambda rng, theta: (0.0,),
        transition=lambda rng, x, theta, t: (x.day + 1.0,),
        log_likelihood=lambda y, x, theta, t: -0.5 * (y - theta.mu) ** 2 if x.day == t else -math.inf,
    )
    for window in (None, 5):
        smc = OnlineSMC2(model, {"mu": stats.norm(0, 10)}, 100, 2, seed=1, window=window, max_n_x=8)
        for y in np.random.default_rng(1).normal(3, 1, 30):
            step = smc.update(y)
            assert smc.state["day"].min() == smc.state["day"].max() == step.t
        assert smc.rejuvenations >= 2
        assert all(max(step.acceptance) > 0.1 for step in smc.history if step.rejuvenated)


def test_b4_the_evidence_carries_the_parameters_weights() -> None:
    """Each increment is log sum_m W_m exp(l_m) with the weights before it, which here are far from equal."""
    smc = OnlineSMC2(MODEL, PRIOR, 200, 50, seed=2, ess_threshold=1e-3)
    unequal = 0.0
    for y in level_series(20):
        before = smc.weights
        step = smc.update(y)
        increments = smc._cloud.filters.increments[:, step.t]
        assert step.log_evidence_increment == pytest.approx(math.log(before @ np.exp(increments)), abs=1e-10)
        unequal = max(unequal, abs(step.log_evidence_increment - math.log(np.exp(increments).mean())))
    assert not smc.rejuvenations
    assert unequal > 0.05  # the poison, unweighted means, would be seen


def test_b6_the_number_of_moves_does_not_depend_on_who_accepted() -> None:
    """Defect B6: each particle stopped at its first acceptance, which leaves no law invariant."""
    smc = OnlineSMC2(MODEL, PRIOR, 100, 50, seed=1, n_moves=4, max_n_x=50)
    for y in level_series(30):
        step = smc.update(y)
        assert len(step.acceptance) == (4 if step.rejuvenated else 0)
    assert max(max(step.acceptance, default=0) for step in smc.history) > 0


def test_b8_a_state_keeps_its_weights() -> None:
    """Defect B8: filters came home with equal weights. The mean of the states is that of the weighted ones."""
    smc = OnlineSMC2(MODEL, PRIOR, 50, 100, seed=1, ess_threshold=0.5)
    seen = 0
    for y in level_series(25):
        step = smc.update(y)
        assert step.state["mean"][0] == pytest.approx((smc.state["level"] * smc.state_weights).sum(), abs=1e-12)
        seen += step.rejuvenated and smc._cloud.filters.w.std() > 1e-4
    assert seen  # also right after a rejuvenation


def test_b9_no_two_filters_share_their_numbers() -> None:
    """Defect B9: copies of a parameter shared their noise. Duplicates part at the next observation, and no key of
    another filter, time or purpose occurs twice."""
    smc = OnlineSMC2(MODEL, PRIOR, 100, 20, seed=1, n_moves=1, max_n_x=20)
    for y in level_series(25):
        smc.update(y)
        theta, state = smc.theta["sigma_y"], smc.state["level"]
        if smc.history[-1].rejuvenated:
            smc.update(math.nan)
            state = smc.state["level"]
            copies = [np.flatnonzero(theta == value) for value in np.unique(theta)]
            assert max(len(rows) for rows in copies) > 1
            for rows in copies:
                assert len(np.unique(state[rows][:, 0])) == len(rows)
    keys = smc._cloud.filters.keys[:, : smc.t]
    fresh = keys[:, smc.t - 1]
    assert len(np.unique(fresh)) == len(fresh)


@pytest.mark.parametrize("scheme", [SYSTEMATIC, STRATIFIED, MULTINOMIAL])
def test_b11_resampling_is_unbiased_whatever_the_index(scheme: int) -> None:
    """Defect B11: low indices were kept, high ones dropped. Each particle's mean number of children is n w, within
    4.5 standard errors for 40 particles (false alarms: 3e-4), also where there are more children than particles."""
    rng = np.random.default_rng(1)
    w = 0.1 + rng.gamma(0.5, size=40)
    w /= w.sum()
    for children in (40, 97):
        counts = np.zeros((4000, 40))
        ancestors = np.empty(children + 1, np.int32)
        for k in range(4000):
            resample(w, np.uint64(rng.integers(2**63)), scheme, ancestors)
            counts[k] = np.bincount(ancestors[:children], minlength=40)
        error = counts.std(axis=0) / math.sqrt(4000) + 1e-12
        assert np.abs((counts.mean(axis=0) - children * w) / error).max() < 4.5
