"""Models that come from elsewhere keep their names; parameters of matrices and simplexes are sampled."""

from typing import Any

import livenuts as ln
import numpy as np
import numpyro
import numpyro.distributions as nd
import pytest
from livenuts import dist, ref
from livenuts_checks import z_of_mean

SHORT: dict[str, Any] = {"num_warmup": 50, "num_samples": 50, "num_chains": 2, "seed": 1, "progress": False}


def counties() -> None:
    mu = numpyro.sample("mu", nd.Normal(0, 5))
    with numpyro.plate("county", 4, dim=-2):
        level = numpyro.sample("level", nd.Normal(mu, 1))
        share = numpyro.sample("share", nd.Dirichlet(np.ones(3)))
        with numpyro.plate("year", 2, dim=-1):
            effect = numpyro.sample("effect", nd.Normal(level, 1))
            numpyro.deterministic("twice", 2.0 * effect)
    numpyro.deterministic("all", level.sum() + share.sum())
    numpyro.sample("y", nd.Normal(effect, 2), obs=np.arange(8.0).reshape(4, 2))


def test_plates_are_dims() -> None:
    result = ln.sample(ln.from_numpyro(counties), **SHORT)
    assert result.dims == {
        "level": ("county", "level_dim_1"),
        "share": ("county", "share_dim_1", "share_dim_2"),
        "effect": ("county", "year"),
        "twice": ("county", "year"),
    }
    np.testing.assert_array_equal(result.draws["twice"], 2.0 * result.draws["effect"])
    again = ln.posterior_predictive(result, ln.from_numpyro(counties), seed=1, names=["y", "twice"])
    assert again["y"].shape == (2, 50, 4, 2)
    np.testing.assert_allclose(again["twice"], result.draws["twice"])


def test_matrices_and_simplexes_are_parameters() -> None:
    """A Wishart matrix, a normal whose covariance is an LKJ matrix and scales, a simplex: |z| of means below 5.

    E(Wishart) = df V, E of an LKJ correlation 0, E(Dirichlet) its share.
    """
    model = ln.Model("matrices").rv("cov", dist.Wishart(6.0, np.eye(2))).rv("corr", dist.LKJ(2, 2.0))
    model.rv("scales", dist.LogNormal(0, 0.5), shape=2).rv("share", dist.Dirichlet([1.0, 2.0, 3.0]))
    scaled = ref("scales")[:, None] * ref("corr") * ref("scales")[None, :]
    model.rv("x", dist.MultivariateNormal(np.zeros(2), covariance_matrix=scaled))
    draws = ln.sample(model, num_warmup=300, num_samples=600, num_chains=2, seed=2, progress=False).draws
    for i in range(2):
        assert abs(z_of_mean(draws["cov"][..., i, i], 6.0)) < 5
    assert abs(z_of_mean(draws["cov"][..., 0, 1], 0.0)) < 5
    assert abs(z_of_mean(draws["corr"][..., 0, 1], 0.0)) < 5
    assert abs(z_of_mean(draws["share"][..., 2], 0.5)) < 5
    np.testing.assert_allclose(draws["share"].sum(axis=-1), 1.0)
    assert (np.linalg.eigvalsh(draws["cov"]) > 0).all()
    # The poison: another prior mean.
    assert abs(z_of_mean(draws["cov"][..., 0, 0], 5.0)) > 5


def test_only_models_of_pymc_come_from_pymc() -> None:
    with pytest.raises(TypeError, match=r"from_pymc takes a pymc\.Model, got 3"):
        ln.from_pymc(3)
