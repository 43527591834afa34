"""The boarding school of 1978, whose answers are known."""

import numpy as np
import pytest
from livesmc2 import run
from livesmc2_exact import (
    FLU,
    deterministic_flu,
    stochastic_flu,
)


def test_the_boarding_school_with_differential_equations() -> None:
    """The posterior table and log Z = -67.240 of Gauss-Legendre quadrature; N_x = 1, as nothing is random.

    6 runs: means within 0.15 sd, sds within 12 %, |mean log Z - exact| below 0.15.
    """
    model, prior = deterministic_flu()
    engines = [run(model, prior, FLU, 400, 1, seed=k, n_moves=5, max_n_x=1) for k in range(6)]
    answers = {"beta": (1.7349, 0.0529), "gamma": (0.5420, 0.0454), "invphi": (0.1375, 0.0748)}
    for name, (mean, sd) in answers.items():
        assert np.mean([engine.mean(name) for engine in engines]) == pytest.approx(mean, abs=0.15 * sd)
        spread = np.sqrt(np.mean([engine.summary()[name]["sd"] ** 2 for engine in engines]))
        assert spread == pytest.approx(sd, rel=0.12)
    r0 = [engine.mean(lambda theta, x: theta["beta"] / theta["gamma"]) for engine in engines]
    assert np.mean(r0) == pytest.approx(3.2224, abs=0.05)
    assert np.mean([engine.log_evidence for engine in engines]) == pytest.approx(-67.2398, abs=0.15)


def test_the_boarding_school_by_chance() -> None:
    """Against two independent implementations: beta 1.92 to 2.02 (sd .175), gamma .51 (.034), log Z -64.4 to -65.8."""
    model, prior = stochastic_flu()
    engines = [run(model, prior, FLU, 100, 40, seed=k, n_moves=3, max_n_x=40) for k in range(2)]
    assert np.mean([engine.mean("beta") for engine in engines]) == pytest.approx(1.96, abs=0.2)
    assert np.mean([engine.mean("gamma") for engine in engines]) == pytest.approx(0.510, abs=0.03)
    assert np.mean([engine.log_evidence for engine in engines]) == pytest.approx(-65.1, abs=1.5)
