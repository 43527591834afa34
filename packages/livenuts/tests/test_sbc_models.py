"""Simulation-based calibration of models with missing data, mixtures, censoring, time series, processes.

The test is that of `test_sbc`: 26 quantities, each exact p-value above 1e-6 / 26, so that all fail by chance with
probability below 1e-6. The short version sees the poisons below (a part of the simulator wrong by half); the long
one, 1,000 replications, sees them at a fifth.
"""

import numpy as np
import pytest
from livenuts_sbc import p_value_of_ranks, ranks
from livenuts_sbc_models import CASES

LEAST = 1e-6 / 26
SHORT = {"num_warmup": 150}


def p_values(found: dict[str, np.ndarray]) -> dict[str, float]:
    return {name: p_value_of_ranks(values) for name, values in found.items()}


@pytest.mark.parametrize("case", CASES)
def test_ranks_are_uniform(case: str) -> None:
    found = p_values(ranks(CASES[case](), 60 if case == "process" else 100, thin=6, **SHORT))
    assert min(found.values()) > LEAST, found


@pytest.mark.parametrize("case", CASES)
def test_a_wrong_simulator_shows(case: str) -> None:
    """Missing values, a component, the noise or the steps twice as wide; censored times said to be twice as long."""
    found = p_values(ranks(CASES[case](), 80, thin=3, wrong=2.0, **SHORT))
    assert min(found.values()) < LEAST, found


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("case", CASES)
def test_ranks_are_uniform_at_length(case: str) -> None:
    found = p_values(ranks(CASES[case](), 1000, thin=24, num_warmup=300))
    assert min(found.values()) > LEAST, found


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("case", CASES)
def test_a_simulator_wrong_by_a_third_shows_at_length(case: str) -> None:
    found = p_values(ranks(CASES[case](), 1000, thin=8, wrong=1.33, num_warmup=300))
    assert min(found.values()) < LEAST, found
