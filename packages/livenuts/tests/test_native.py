"""The loop as one native function, or as XLA's usual loop: a static rule chooses, and the law is the same."""

from typing import Any

import jax
import livenuts as ln
import numpy as np
import pytest
from livenuts import dist, ref
from livenuts.compiler.native import compile_native, compile_usual
from livenuts.compiler.x64 import x64
from livenuts.runtime import program
from livenuts_checks import failures, z_scores
from scipy import stats

RUN: dict[str, Any] = {"num_samples": 10_000, "num_chains": 2, "seed": 3, "progress": False}


def test_small_models_are_native() -> None:
    model = ln.Model("native").rv("x", dist.Normal(1.0, 2.0), shape=3)
    assert ln.sample(model, **RUN | {"num_samples": 10}).tuning.native


def test_what_the_emitter_does_not_know_runs_all_the_same() -> None:
    """A Cholesky factor of a matrix of variables; and what it does not know is an answer, not an abort."""
    covariance = ln.Model("foreign").rv("s", dist.HalfNormal(1.0), shape=2)
    covariance.rv(
        "x", dist.MultivariateNormal(np.zeros(2), covariance_matrix=ref("s")[:, None] * np.eye(2) + np.eye(2))
    )
    result = ln.sample(covariance, **RUN)
    assert not result.tuning.native
    assert failures(z_scores(result.draws["s"][..., 0], stats.halfnorm())) == {}
    with x64():
        assert compile_native(_sorted, (np.ones(5),)) is None


def _sorted(x: Any) -> Any:
    import jax.numpy as jnp

    return jnp.sort(x)


def test_long_sums_are_plain_loops() -> None:
    """XLA on its own splits a sum into windows, five times as dear; JAX's own program shows that it does."""
    with x64():
        ours: Any = compile_usual(_squares, (np.ones(500),))
        assert "reduce-window" not in ours.as_text()
        assert "reduce-window" in jax.jit(_squares).lower(np.ones(500)).compile().as_text()


def _squares(x: Any) -> Any:
    return (x * x).sum()


@pytest.mark.parametrize("native", [True, False])
def test_both_forms_sample_the_same_law(monkeypatch: pytest.MonkeyPatch, native: bool) -> None:
    """Fourteen z-scores within 5; models of different names share no compiled code."""
    monkeypatch.setattr(program, "is_native", lambda *_: native)
    model = ln.Model(f"native {native}").rv("x", dist.Gamma(2.0, 1.0)).rv("y", dist.Normal(0.0, 3.0))
    result = ln.sample(model, **RUN)
    assert result.tuning.native == native
    assert failures(z_scores(result.draws["x"], stats.gamma(2.0))) == {}
    assert failures(z_scores(result.draws["y"], stats.norm(0.0, 3.0))) == {}
