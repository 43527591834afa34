"""Prior and posterior predictive draws: shapes of every family, laws, new covariates."""

from typing import Any

import jax
import jax.numpy as jnp
import livenuts as ln
import numpy as np
import numpyro
import numpyro.distributions as nd
import pytest
from livenuts import dist, ref
from livenuts.compiler.describe import describe
from livenuts.compiler.x64 import x64
from livenuts.predictive import Generation
from livenuts_families import CASES
from scipy import stats

SHORT: dict[str, Any] = {"num_warmup": 100, "num_samples": 250, "num_chains": 2, "seed": 1, "progress": False}
X = np.linspace(-1.0, 1.0, 5)


def line() -> ln.Model:
    model = ln.Model("line").data("x", X).rv("slope", dist.Normal(0, 1)).det("fit", ref("slope") * ref("x"))
    return model.obs("y", dist.Normal("fit", 0.1), 2.0 * X)


@ln.model
def line_as_function(x: Any, y: Any = None) -> None:
    fit = ln.det("fit", ln.rv("slope", dist.Normal(0, 1)) * x)
    ln.obs("y", dist.Normal(fit, 0.1), y)


def line_in_numpyro(x: Any, y: Any = None) -> None:
    fit = numpyro.deterministic("fit", numpyro.sample("slope", nd.Normal(0, 1)) * x)
    with numpyro.plate("n", len(x)):
        numpyro.sample("y", nd.Normal(fit, 0.1), obs=y)


def test_predictions_follow_their_draws() -> None:
    """Residuals of replications about slope * x are Normal(0, 0.1): a KS test, at 1e-6, of each way to write it."""
    new = np.array([0.5, 3.0])
    for model, there in (
        (line(), line().with_data(x=new)),
        (line_as_function(X, 2.0 * X), line_as_function(new)),
        (ln.from_numpyro(line_in_numpyro, X, 2.0 * X), ln.from_numpyro(line_in_numpyro, new)),
    ):
        result = ln.sample(model, **SHORT)
        again = ln.posterior_predictive(result, model, seed=2)
        assert {name: y.shape for name, y in again.items()} == {"y": (2, 250, 5)}
        ahead = ln.posterior_predictive(result, there, seed=2, names=["y", "fit"])
        assert ahead["y"].shape == (2, 250, 2)
        assert list(ln.posterior_predictive(result, there, seed=2)) == ["y"]
        np.testing.assert_allclose(ahead["fit"], result.draws["slope"][..., None] * new, rtol=1e-12)
        residuals = (ahead["y"] - ahead["fit"]).ravel()
        assert stats.kstest(residuals, stats.norm(0, 0.1).cdf).pvalue > 1e-6
        # Poisons: the noise twice, and predictions that forget the draws.
        assert stats.kstest(residuals * np.sqrt(2.0), stats.norm(0, 0.1).cdf).pvalue < 1e-6
        assert stats.kstest((ahead["y"] - ahead["fit"].mean()).ravel(), stats.norm(0, 0.1).cdf).pvalue < 1e-6


def test_the_prior_speaks() -> None:
    """Everything of the model, data aside: y is Normal(0, sqrt(x^2 + 0.01))."""
    draws = ln.prior_predictive(line(), 2000, seed=3)
    assert {name: v.shape for name, v in draws.items()} == {"slope": (2000,), "fit": (2000, 5), "y": (2000, 5)}
    assert stats.kstest(draws["y"][:, 0], stats.norm(0, np.sqrt(1.01)).cdf).pvalue > 1e-6
    again = ln.prior_predictive(line().rv("more", dist.Normal(0, 1)), 2000, seed=3)
    np.testing.assert_array_equal(again["y"], draws["y"])  # a statement more leaves the others alone


@ln.model
def everything(cases: Any) -> None:
    for name in cases:
        case = CASES[name]
        made = case.make(*map(jnp.asarray, case.parameters))
        ln.obs(name, made, case.values)


def test_every_family_predicts() -> None:
    """All of the table as observations of one model: replications have the shapes of the data."""
    description = describe(everything(tuple(CASES)))

    def draw(key: Any) -> dict[str, Any]:
        frame = Generation(key, {})
        description.statements(frame, description.data)
        return frame.drawn

    with x64():
        shapes = jax.eval_shape(draw, jax.random.key(1))
    assert {name: found.shape for name, found in shapes.items()} == {name: c.values.shape for name, c in CASES.items()}


def test_what_cannot_be_predicted_says_why() -> None:
    model = ln.Model("m").rv("x", dist.Normal(0, 1)).obs("y", dist.Custom(lambda y, x: -((y - x) ** 2), ["x"]), [1.0])
    with pytest.raises(NotImplementedError, match="'y': Custom has no sampler"):
        ln.prior_predictive(model, seed=1)
    with pytest.raises(ValueError, match=r"no 'z' in model 'line'; it has slope, fit, y"):
        ln.prior_predictive(line(), names="z")
    with pytest.raises(ValueError, match="num_samples must be a positive integer, got 0"):
        ln.prior_predictive(line(), 0)
    groups = ln.Model("groups").rv("g", dist.Normal(0, 1), shape=3).obs("y", dist.Normal("g", 1), [1.0, 2.0, 3.0])
    more = ln.Model("groups").rv("g", dist.Normal(0, 1), shape=4).obs("y", dist.Normal("g", 1), np.zeros(4))
    with pytest.raises(ValueError, match=r"rv 'g' has shape \(4,\) in the model, and \(3,\) in the result's draws"):
        ln.posterior_predictive(ln.sample(groups, **SHORT), more)
