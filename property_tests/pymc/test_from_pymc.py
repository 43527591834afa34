"""A PyMC model sampled here: its names, dims and imputed values, and the posterior that is known.

Run by `nox -s parity`. A z-score beyond 5 has probability 6e-7.
"""

import livenuts as ln
import numpy as np
import pymc as pm
import pytest
from livenuts.compiler.target import compile_model
from livenuts.compiler.x64 import x64


def test_a_model_of_pymc_keeps_its_names_and_has_its_posterior() -> None:
    """Normal and normal with one value missing, a simplex, a bound that is a variable, a deterministic."""
    y = np.array([1.3, np.nan, 0.2, 2.1])
    with pm.Model(coords={"part": ["a", "b", "c"]}) as model:
        mu = pm.Normal("mu", 0.0, 2.0)
        top = pm.HalfNormal("top", 1.0)
        pm.Uniform("below", 0.0, top)
        pm.Dirichlet("shares", np.ones(3), dims="part")
        pm.Deterministic("twice", 2.0 * mu)
        with pytest.warns(pm.exceptions.ImputationWarning):
            pm.Normal("y", mu, 0.5, observed=y)
    bound = compile_model(ln.from_pymc(model))
    theirs = model.compile_logp()
    for shift in (0.0, 0.3, -1.1):
        point = {name: value + shift for name, value in model.initial_point().items()}
        with x64():
            position = np.concatenate([np.ravel(point[variable.name]) for variable in model.value_vars])
            ours = float(bound.target.evaluation(bound.data, position).log_density())
        assert ours == pytest.approx(float(theirs(point)), rel=1e-10)
    result = ln.sample(ln.from_pymc(model), num_samples=4000, seed=1, progress=False)
    assert {"mu", "top", "below", "shares", "twice", "y_unobserved"} <= set(result.draws)
    assert not any("__" in name for name in result.draws)
    assert result.dims["shares"] == ("part",)
    assert result.coords["part"] == ["a", "b", "c"]
    seen = y[~np.isnan(y)]
    precision = 1 / 4 + len(seen) / 0.25
    mean = seen.sum() / 0.25 / precision
    draws = result.draws["mu"]
    error = draws.std() / np.sqrt(result.summary()["mu"]["ess_bulk"])
    assert abs(draws.mean() - mean) < 5 * error
    assert draws.std() == pytest.approx(precision**-0.5, rel=0.1)
    np.testing.assert_allclose(result.draws["twice"], 2.0 * draws)
    np.testing.assert_allclose(result.draws["shares"].sum(axis=-1), 1.0)
    assert (result.draws["below"] < result.draws["top"]).all()
    # Without imputation this would be the prior's spread, or a constant.
    assert result.draws["y_unobserved"].std() == pytest.approx(np.sqrt(1 / precision + 0.25), rel=0.1)


def test_what_cannot_be_sampled_is_refused() -> None:
    with pm.Model() as model:
        pm.Poisson("count", 3.0)
    with pytest.raises(ValueError, match="'count' is discrete"):
        ln.sample(ln.from_pymc(model))
    with pytest.raises(TypeError, match=r"pymc\.Model, got 3"):
        ln.from_pymc(3)
