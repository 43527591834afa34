"""Many short chains: nested R-hat, groups of chains that start together, and what the summary says of both."""

from typing import Any

import livenuts as ln
import numpy as np
import pytest
from livenuts import dist
from livenuts.compiler.target import compile_model
from livenuts.diagnostics import nested_r_hat, summarize
from livenuts.runtime.run import Run
from livenuts.runtime.settings import Settings

RUN: dict[str, Any] = {"num_chains": 100, "num_samples": 50, "chain_method": "vectorized", "seed": 1, "progress": False}


def concerns(draws: np.ndarray, num_superchains: int | None) -> list[str]:
    return summarize({"x": draws}, 0, (), num_superchains).concerns()


def slow_chains(offsets: np.ndarray) -> np.ndarray:
    """Stationary chains of 150 draws with correlation 0.7, so with 26 effective draws each; moved by their offsets."""
    rng = np.random.default_rng(0)
    draws = np.empty((len(offsets), 150))
    draws[:, 0] = rng.normal(size=len(offsets))
    for t in range(1, 150):
        draws[:, t] = 0.7 * draws[:, t - 1] + np.sqrt(1 - 0.49) * rng.normal(size=len(offsets))
    return draws + offsets[:, None]


def test_short_chains_that_agree_are_not_blamed() -> None:
    """R-hat is above 1.01 by shortness alone: its square is 1 + 1/26. Nested R-hat's is 1 + 1/650."""
    draws = slow_chains(np.zeros(100))
    assert "too short to tell" in concerns(draws, None)[0]
    assert concerns(draws, 4) == []


def test_groups_that_disagree_are_found() -> None:
    """The poison: each group still half a sd off, where it started."""
    places = np.array([-0.5, 0.0, 0.25, 0.5])
    draws = slow_chains(np.repeat(places, 25))
    assert "groups of chains disagree" in concerns(draws, 4)[0]
    assert nested_r_hat(draws[..., None], 4)[0] == pytest.approx(np.sqrt(1 + np.var(places, ddof=1)), abs=0.05)


def normal() -> ln.Model:
    return ln.Model("normal").rv("x", dist.Normal(0, 1), shape=3)


def test_a_run_of_superchains() -> None:
    """The summary judges groups, and finds nothing wrong."""
    settings: list[dict[str, Any]] = []

    def sink(message: dict[str, Any]) -> None:
        if message["type"] == "nuts.start/1":
            settings.append(message["settings"])

    summary = ln.sample(normal(), num_superchains=4, sink=sink, **RUN).summary()
    assert settings[0]["num_superchains"] == 4
    assert summary.concerns() == []
    assert "nested_r_hat" in str(summary).splitlines()[0]


def test_a_group_starts_together() -> None:
    """At the position of the first chain of that number, of a run without groups."""

    def starts(num_superchains: int | None) -> np.ndarray:
        settings = Settings(10, 10, 6, 0.8, 10, "auto", "pooled", True, "threads", num_superchains)
        run = Run(normal(), compile_model(normal()), settings, 1, False)
        run.start([{}] * 6, None)
        return np.array([chain.view.state.position for chain in run.chains])

    together, apart = starts(2), starts(None)
    np.testing.assert_array_equal(together, np.repeat(apart[:2], 3, axis=0))
    assert len(np.unique(apart[:, 0])) == 6


def test_doors() -> None:
    for value in (1, 3, 101, 2.0, True):
        with pytest.raises(ValueError, match="num_superchains must be a divisor of num_chains=100 of at least 2"):
            ln.sample(normal(), num_superchains=value, **RUN)  # type: ignore[arg-type]
