"""Simulation-based calibration of whole runs, warm-up included: 53 quantities of three models have uniform ranks.

Each p-value is exact (see `p_value_of_ranks`) and must exceed 1e-6 / 53, so the false-alarm rate of all of them
together is below 1e-6; that of the long version, three times as many, below 3e-6. Draws are thinned until their
correlation is far below what the number of replications can show.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from livenuts.kernel.metric import Diagonal
from livenuts_sbc import CASES, constrained, hierarchical, p_value_of_ranks, ranks, state_space
from numpyro.distributions.transforms import ExpTransform

LEAST = 1e-6 / 53
LONG = 2000


def p_values(found: dict[str, np.ndarray]) -> dict[str, float]:
    return {name: p_value_of_ranks(values) for name, values in found.items()}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_ranks_are_uniform(case: Any) -> None:
    """300 replications; this size sees a scale that is wrong by a fifth (the poisons below)."""
    found = p_values(ranks(case(), 300, thin=24))
    assert min(found.values()) > LEAST, found


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("metric", "adaptation", "num_chains"),
    [("auto", "pooled", 2), ("dense", "independent", 1), ("low_rank", "pooled", 2)],
)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_ranks_are_uniform_at_length(case: Any, metric: str, adaptation: str, num_chains: int) -> None:
    """The first chain's ranks; it learns from its neighbour where the metric is pooled."""
    settings = {"metric": metric, "adaptation": adaptation, "num_chains": num_chains}
    found = p_values(ranks(case(), LONG, thin=48, **settings))
    assert min(found.values()) > LEAST, found


# -- poisons -----------------------------------------------------------------------------------------------------------


def test_a_wrong_prior_scale_shows() -> None:
    """The simulator's groups are 20 % wider than the model's. No parameter need show it: the log prior does."""
    found = p_values(ranks(hierarchical(), 300, thin=8, wrong=1.2))
    assert found["log prior"] < LEAST / 1e3, found


@pytest.mark.long
@pytest.mark.parametrize("case", [hierarchical, state_space], ids=lambda case: case.__name__)
def test_a_prior_scale_wrong_by_a_tenth_shows_at_length(case: Any) -> None:
    found = p_values(ranks(case(), LONG, thin=16, wrong=1.1))
    assert min(found.values()) < LEAST, found


def test_a_missing_jacobian_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Positive variables lose the log Jacobian of exp."""
    monkeypatch.setattr(ExpTransform, "log_abs_det_jacobian", lambda self, x, y, intermediates=None: jnp.zeros_like(x))
    found = p_values(ranks(constrained("without a jacobian"), 300, thin=8))
    assert found["rate[0]"] < LEAST / 1e3, found


def louder(monkeypatch: pytest.MonkeyPatch, factor: float) -> None:
    momentum = Diagonal.momentum
    monkeypatch.setattr(Diagonal, "momentum", lambda self, normal: factor * momentum(self, normal))


def test_louder_momenta_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """Momenta 20 % too large: the posterior is wider than it should be in all directions at once."""
    louder(monkeypatch, 1.2)
    found = p_values(ranks(hierarchical("louder"), 300, thin=8, metric="diag"))
    assert found["log prior"] < LEAST / 1e3, found


@pytest.mark.long
def test_momenta_louder_by_a_twentieth_show_at_length(monkeypatch: pytest.MonkeyPatch) -> None:
    louder(monkeypatch, 1.05)
    found = p_values(ranks(state_space("a little louder"), LONG, thin=32, metric="diag"))
    assert min(found.values()) < LEAST, found


# -- the test of uniformity itself -------------------------------------------------------------------------------------


def test_the_rank_test_has_its_rate() -> None:
    """Of 300 sets of uniform ranks the share of p-values below 0.2 is 0.2, within 4 sd (false-alarm rate 6e-5); ranks
    of a draw that is 30 % too narrow, or off by a half sd, have none."""
    rng = np.random.default_rng(4)
    uniform = [p_value_of_ranks(rng.integers(0, 32, 80)) for _ in range(300)]
    assert abs(np.mean(np.array(uniform) < 0.2) - 0.2) < 4 * np.sqrt(0.16 / 300)
    truth, draws = rng.normal(size=(400, 1)), rng.normal(size=(400, 31))
    assert p_value_of_ranks((draws < truth).sum(1)) > 1e-4
    assert p_value_of_ranks((draws < 1.3 * truth).sum(1)) < 1e-4
    assert p_value_of_ranks((draws < truth + 0.5).sum(1)) < 1e-9
