"""Pointwise log likelihoods, LOO, WAIC and comparisons, against SciPy, closed forms and ArviZ; and advice."""

import sys
import warnings
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import livenuts as ln
import numpy as np
import numpyro
import numpyro.distributions as nd
import pytest
from livenuts import dist
from livenuts.advice import divergent_places
from livenuts.diagnostics import bfmi
from scipy import stats

RUN: dict[str, Any] = {"num_samples": 1000, "seed": 1, "progress": False}
Y = np.array([0.3, -1.2, 2.0, 0.7, 1.1, 0.2])


def location(scale: float = 1.0, y: np.ndarray = Y) -> ln.Model:
    return ln.Model("location").rv("mu", dist.Normal(0, 2)).obs("y", dist.Normal("mu", scale), y)


@pytest.fixture(scope="module")
def result() -> ln.Result:
    return ln.sample(location(), **RUN)


def exact_loo(y: np.ndarray, scale: float) -> np.ndarray:
    """Of a normal mean with prior N(0, 2): the predictive density of each observation given the others."""
    others = y.sum() - y
    variance = 1 / (1 / 4 + (len(y) - 1) / scale**2)
    return np.asarray(stats.norm.logpdf(y, variance * others / scale**2, np.sqrt(variance + scale**2)))


def test_loo_is_leaving_one_out(result: ln.Result) -> None:
    """Every observation against the closed form: an error of about 0.01 with 4000 draws; five of them."""
    found = ln.loo(result)
    np.testing.assert_allclose(found.pointwise, exact_loo(Y, 1.0), atol=0.05)
    assert found.names == tuple(f"y[{i}]" for i in range(6))
    assert found.pareto_k is not None
    assert (found.pareto_k < 0.7).all()
    assert not found.concerns()
    # The poison: the log density of an observation that was not left out.
    inside = stats.norm.logpdf(Y, result.draws["mu"][..., None]).reshape(-1, 6)
    assert np.abs(np.log(np.exp(inside).mean(0)) - exact_loo(Y, 1.0)).max() > 0.05
    waic = ln.waic(result)
    np.testing.assert_allclose(waic.pointwise, found.pointwise, atol=0.05)
    assert waic.p == pytest.approx(found.p, abs=0.1)


def test_they_are_arvizs(result: ln.Result) -> None:
    arviz = pytest.importorskip("arviz")
    if int(arviz.__version__.split(".")[0]) >= 1:
        pytest.skip("ArviZ 1 computes by the functions that livenuts calls")
    terms = ln.log_likelihood(result)
    data = arviz.from_dict(posterior={"mu": result.draws["mu"]}, log_likelihood=terms)
    mine, his = ln.loo(result), arviz.loo(data, pointwise=True)
    assert mine.elpd == pytest.approx(float(his.elpd_loo), abs=1e-2)
    assert mine.se == pytest.approx(float(his.se), abs=1e-2)
    assert mine.p == pytest.approx(float(his.p_loo), abs=1e-2)
    np.testing.assert_allclose(mine.pareto_k, his.pareto_k, atol=0.1)  # its fit of the tail is an older one
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pointwise variances, which ours says in `concerns`
        mine, his = ln.waic(result), arviz.waic(data)
    assert mine.elpd == pytest.approx(float(his.elpd_waic), rel=1e-6)
    assert mine.p == pytest.approx(float(his.p_waic), rel=1e-6)


def test_log_likelihood_by_shape_and_form() -> None:
    """Vectors, multivariate observations, several of them, factors left out; in three forms of one model."""
    y, z = np.arange(6.0).reshape(3, 2) / 5, np.array([1, 4, 2])
    builder = ln.Model("both").rv("a", dist.Normal(0, 1), shape=2).rv("r", dist.HalfNormal(2))
    builder.obs("y", dist.MultivariateNormal(ln.ref("a"), np.eye(2)), y).obs("z", dist.Poisson("r"), z)
    builder.factor("extra", -ln.ref("r"))

    @ln.model
    def function(y: Any, z: Any) -> None:
        a, r = ln.rv("a", dist.Normal(0, 1), shape=2), ln.rv("r", dist.HalfNormal(2))
        ln.obs("y", dist.MultivariateNormal(a, jnp.eye(2)), y)
        ln.obs("z", dist.Poisson(r), z)

    def in_numpyro(y: Any, z: Any) -> None:
        a = numpyro.sample("a", nd.Normal(0, 1).expand([2]))
        r = numpyro.sample("r", nd.HalfNormal(2))
        numpyro.sample("y", nd.MultivariateNormal(a, jnp.eye(2)), obs=y)
        with numpyro.handlers.mask(mask=np.array([True, False, True])):
            numpyro.sample("z", nd.Poisson(r), obs=z)

    result = ln.sample(builder, num_samples=20, num_chains=2, seed=1, progress=False)
    a, r = result.draws["a"], result.draws["r"]
    expected = stats.norm.logpdf(y, a[:, :, None]).sum(-1)
    counts = stats.poisson.logpmf(z, r[..., None])
    for model in (None, function(y, z), ln.from_numpyro(in_numpyro, y, z)):
        found = ln.log_likelihood(result, model)
        np.testing.assert_allclose(found["y"], expected, rtol=1e-9)
        masked = isinstance(model, type(ln.from_numpyro(in_numpyro)))
        np.testing.assert_allclose(found["z"][..., 0], counts[..., 0], rtol=1e-9)
        assert np.isnan(found["z"][..., 1]).all() == masked
    assert len(ln.loo(result, ln.from_numpyro(in_numpyro, y, z)).names) == 5
    with pytest.raises(ValueError, match="the model has 'mu', and the result's draws have not"):
        ln.log_likelihood(result, location())


def test_every_kind_of_result_has_them(tmp_path: Path, result: ln.Result) -> None:
    result.save(tmp_path / "kept")
    assert ln.loo(ln.load(tmp_path / "kept")).elpd == ln.loo(result).elpd
    fitted = ln.smc(location(), num_chains=2, seed=1, progress=False)
    assert ln.loo(fitted).elpd == pytest.approx(exact_loo(Y, 1.0).sum(), abs=0.3)
    density = ln.sample(ln.from_logdensity(lambda q: -0.5 * q**2, np.float64(0.0)), num_samples=10, **_short())
    with pytest.raises(ValueError, match="has no observation of its own"):
        ln.loo(density)


def _short() -> dict[str, Any]:
    return {"num_warmup": 20, "num_chains": 1, "seed": 1, "progress": False}


def test_an_outlier_is_named() -> None:
    """One point twelve sd out: its k is too large, and the text says which."""
    y = np.append(Y, 15.0)
    found = ln.loo(ln.sample(location(0.7, y), **RUN))
    assert found.unreliable[6]
    assert found.pareto_k is not None
    assert found.pareto_k.argmax() == 6
    assert "worst" in found.concerns()[0]
    assert "(y[6])" in str(found)


def test_compare_knows_the_better_model(result: ln.Result) -> None:
    """Differences against the closed form; weights in order; the pair's error as its definition."""
    other = ln.sample(location(3.0), **RUN)
    table = ln.compare({"wide": other, "right": result})
    assert list(table) == ["right", "wide"]
    apart = exact_loo(Y, 1.0) - exact_loo(Y, 3.0)
    assert table["wide"]["elpd_diff"] == pytest.approx(apart.sum(), abs=0.1)
    assert table["wide"]["dse"] == pytest.approx(np.sqrt(6 * apart.var()), abs=0.1)
    assert table["right"]["elpd_diff"] == 0.0
    assert table["right"]["weight"] > 0.95
    assert table["right"]["weight"] + table["wide"]["weight"] == pytest.approx(1.0)
    assert str(table).splitlines()[0].split() == ["elpd", "se", "p", "elpd_diff", "dse", "weight"]
    assert table.to_pandas().loc["wide", "elpd"] == table["wide"]["elpd"]
    with pytest.raises(ValueError, match="has 5 observations"):
        ln.compare({"a": result, "b": ln.sample(location(1.0, Y[:5]), num_samples=50, **_short())})
    with pytest.raises(ValueError, match="give one kind"):
        ln.compare({"a": ln.loo(result), "b": ln.waic(result)})
    with pytest.raises(ValueError, match="two models or more"):
        ln.compare({"a": result})


def test_stacking_mixes_models_that_know_different_things() -> None:
    """Two models, each right about half of the data: half a weight each, where the better one by elpd takes all."""
    from livenuts.comparison import _stacked

    halves = np.array([[0.0] * 5 + [-3.0] * 5, [-3.1] * 5 + [0.0] * 5])
    np.testing.assert_allclose(_stacked(halves), 0.5, atol=0.02)
    np.testing.assert_allclose(_stacked(np.array([[0.0] * 9, [-1.0] * 9])), [1.0, 0.0], atol=1e-3)


# -- advice ------------------------------------------------------------------------------------------------------------


def test_bfmi_is_the_energies_own() -> None:
    """Of independent energies 2, of a random walk next to nothing; ArviZ's formula."""
    rng = np.random.default_rng(0)
    energies = np.stack([rng.normal(size=4000), np.cumsum(rng.normal(size=4000))])
    found = bfmi(energies)
    assert found[0] == pytest.approx(2.0, abs=0.2)
    assert found[1] < 0.1
    assert np.isnan(bfmi(energies[:, :3])).all()


def test_a_funnel_is_recognised() -> None:
    """Its advice names the scale and non-centring; and once that is followed there is nothing to say."""

    def schools(reparam: str | None) -> ln.Model:
        model = ln.Model("schools").rv("tau", dist.HalfNormal(5)).rv("mu", dist.Normal(0, 5))
        model.rv("theta", dist.Normal("mu", "tau"), shape=8, reparam=reparam)
        sigma = [15.0, 10, 16, 11, 9, 11, 10, 18]
        return model.obs("y", dist.Normal("theta", sigma), [28.0, 8, -3, 7, -1, 1, 18, 12])

    centred = ln.sample(schools(None), seed=1, progress=False)
    assert centred.stats["diverging"].any()
    text = centred.report()
    assert "tau low" in text
    assert "reparam='non_centered'" in text
    assert "target_accept=0.95" in text
    places = divergent_places(centred)
    diverging = centred.stats["diverging"]
    mean = np.mean([(centred.draws["tau"][~diverging] < tau).mean() for tau in centred.draws["tau"][diverging]])
    assert places["tau"] == pytest.approx(mean, abs=5e-3)  # of equal draws half
    assert ln.sample(schools("non_centered"), seed=1, target_accept=0.95, progress=False).report() == "nothing found"


def test_short_trees_are_said() -> None:
    wide = ln.Model("wide").rv("x", dist.Normal(0, np.array([1.0, 1000.0])))
    run = {"num_warmup": 0, "num_samples": 50, "num_chains": 1, "init": {"x": [0.1, 0.1]}, "max_tree_depth": 3}
    assert "reached max_tree_depth=3" in ln.sample(wide, seed=1, progress=False, **run).report()


def test_plots_by_one_call(result: ln.Result) -> None:
    pytest.importorskip("arviz")
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        old = hasattr(sys.modules["arviz"], "plot_posterior")
        assert result.plot("posterior" if old else "dist") is not None
        replicated = np.random.default_rng(0).normal(result.draws["mu"][..., None], 1.0, (4, 1000, 6))
        predictive = {"posterior_predictive": {"y": replicated}}
        assert result.plot("ppc" if old else "ppc_dist", groups=predictive) is not None
        data = result.to_arviz(**predictive, prior={"mu": np.zeros(7)}, log_likelihood=ln.log_likelihood(result))
        assert data["prior"]["mu"].shape == (1, 7)
        assert data["log_likelihood"]["y"].shape == (4, 1000, 6)
    matplotlib.pyplot.close("all")
    with pytest.raises(ValueError, match="has no plot 'lovely'"):
        result.plot("lovely")
