"""Variables whose standardised form the sampler moves: the same posterior, under the same name, on another scale.

Statistical checks are z-scores: beyond 5 with probability 6e-7 each. About 40 are taken, so the false-alarm rate of
this file is 3e-5.
"""

import json
from typing import Any

import jax
import jax.numpy as jnp
import livenuts as ln
import numpy as np
import numpyro
import numpyro.distributions as nd
import pytest
from jax.extend.core import jaxpr_as_fun
from livenuts import dist, ref
from livenuts.compiler.target import compile_model
from livenuts.compiler.x64 import x64
from livenuts_checks import effective_sample_size, failures, z_of_mean, z_scores
from livenuts_models import DATA
from numpyro import handlers
from numpyro.infer.reparam import LocScaleReparam
from scipy import stats

RUN: dict[str, Any] = {"num_samples": 20_000, "num_chains": 4, "progress": False}
MATRIX = np.array([[2.0, 0.0, 0.0], [0.5, 1.0, 0.0], [-0.3, 0.4, 0.7]])
VECTOR = np.array([1.0, -2.0, 0.5])
STACK = np.stack([MATRIX, 2.0 * MATRIX])


def schools(reparam: str | None = "non_centered") -> ln.Model:
    return (
        ln.Model("eight schools")
        .data("errors", DATA["errors"])
        .rv("mu", dist.Normal(0, 5))
        .rv("tau", dist.HalfNormal(5))
        .rv("theta", dist.Normal("mu", "tau"), shape=8, reparam=reparam)
        .obs("y", dist.Normal("theta", "errors"), DATA["effects"])
    )


def funnel(reparam: str | None = "non_centered") -> ln.Model:
    scale = ln.exp(ref("y") / 2)
    return ln.Model("funnel").rv("y", dist.Normal(0, 3)).rv("x", dist.Normal(0, scale), shape=9, reparam=reparam)


def every_family(reparam: str | None = "non_centered") -> ln.Model:
    """Each family, scaled and moved by other variables, in scalars, vectors, batches of vectors."""
    model = ln.Model("families").rv("m", dist.Normal(1, 1)).rv("s", dist.HalfNormal(1))
    for family in ("Normal", "Cauchy", "Laplace", "Logistic", "Gumbel", "LogNormal"):
        model.rv(family, getattr(dist, family)("m", "s"), shape=2, reparam=reparam)
    model.rv("StudentT", dist.StudentT([[3.0], [9.0]], "m", "s"), shape=(2, 3), reparam=reparam)
    normal = dist.MultivariateNormal
    model.rv("factor", normal(ref("m") + VECTOR, scale_tril=ref("s") * MATRIX), shape=4, reparam=reparam)
    model.rv("batch", normal(VECTOR, scale_tril=ref("s") * STACK), reparam=reparam)
    return model.rv("matrix", normal(VECTOR, covariance_matrix=ref("s") * (MATRIX @ MATRIX.T)), reparam=reparam)


@ln.model
def as_function(effects: Any, errors: Any) -> None:
    mu, tau = ln.rv("mu", dist.Normal(0, 5)), ln.rv("tau", nd.HalfNormal(5))
    theta = ln.rv("theta", nd.Normal(mu, tau).expand([8]).to_event(1), reparam="non_centered")
    ln.obs("y", dist.Normal(theta, errors), effects)


# -- what it is --------------------------------------------------------------------------------------------------------


def test_the_density_is_the_centred_one_with_its_jacobian() -> None:
    """Of each variable alone: log density of z = log density of the variable + log |d variable / d z|, to 1e-10."""
    with x64():
        target, centred = (compile_model(every_family(kind)).target for kind in ("non_centered", None))
        position = np.random.default_rng(1).normal(size=target.dimension)

        def evaluate(position: Any) -> Any:
            frame = target.evaluation({}, position)
            return frame.values, frame.terms

        given, terms = jax.jit(evaluate)(position)
        jacobians = jax.jit(jax.jacobian(lambda position: evaluate(position)[0]))(position)
        other = centred.unconstrain({}, position, {name: np.asarray(value) for name, value in given.items()})
        frame = centred.evaluation({}, jnp.asarray(other))
        for name, start, size, *_ in target.variables[2:]:
            np.testing.assert_allclose(frame.values[name], given[name], rtol=1e-12)
            block = jacobians[name].reshape(size, -1)[:, start : start + size]
            jacobian = np.linalg.slogdet(block)[1]
            if name == "LogNormal":  # its centred term has the Jacobian of its own logarithm already
                jacobian -= np.log(given[name]).sum()
            np.testing.assert_allclose(terms[name], frame.terms[name] + jacobian, rtol=1e-10)


@pytest.mark.parametrize("model", [schools(), funnel(), every_family(), as_function(DATA["effects"], DATA["errors"])])
def test_gradient_by_finite_differences(model: Any) -> None:
    with x64():
        bound = compile_model(model)
        leaves, dimension = jax.tree.leaves(bound.data), bound.target.dimension
        call = jax.jit(jaxpr_as_fun(bound.target.closed))
        position, step = np.random.default_rng(2).normal(size=dimension), 1e-6
        gradient = np.asarray(call(*leaves, position)[1])
        for k in range(dimension):
            move = step * np.eye(dimension)[k]
            slope = (call(*leaves, position + move)[0] - call(*leaves, position - move)[0]) / (2 * step)
            assert abs(slope - gradient[k]) < 1e-6 * (1 + abs(gradient[k]))


def test_all_ways_to_write_it_are_one_density() -> None:
    """Builder, function, and NumPyro's own handler differ in names alone."""

    def in_numpyro() -> None:
        with handlers.reparam(config={"theta": LocScaleReparam(0)}):
            mu, tau = numpyro.sample("mu", nd.Normal(0, 5)), numpyro.sample("tau", nd.HalfNormal(5))
            theta = numpyro.sample("theta", nd.Normal(mu, tau).expand([8]))
        numpyro.sample("y", nd.Normal(theta, DATA["errors"]), obs=DATA["effects"])

    models = [schools(), as_function(DATA["effects"], DATA["errors"]), ln.from_numpyro(in_numpyro)]
    position = np.random.default_rng(3).normal(size=10)
    with x64():
        bounds = [compile_model(model) for model in models]
        values = [float(b.target.evaluation(b.data, jnp.asarray(position)).log_density()) for b in bounds]
    np.testing.assert_allclose(values, values[0], rtol=1e-12)
    assert [v.name for v in bounds[0].target.variables] == ["mu", "tau", "theta"]
    assert [v.name for v in bounds[2].target.variables] == ["mu", "tau", "theta_decentered"]


def test_starting_values_are_the_variables_own() -> None:
    """`init` gives theta itself, whatever mu and tau start at, given or drawn."""
    model = every_family()
    bound = compile_model(model)
    rng = np.random.default_rng(4)
    with x64():
        given = bound.target.evaluation({}, jnp.asarray(rng.normal(size=bound.target.dimension))).values
        given = {name: np.asarray(value) for name, value in given.items()}
        for left_out in ([], ["m", "s"]):
            some = {name: value for name, value in given.items() if name not in left_out}
            flat = bound.target.unconstrain({}, rng.normal(size=bound.target.dimension), some)
            values = bound.target.evaluation({}, jnp.asarray(flat)).values
            for name, value in some.items():
                np.testing.assert_allclose(values[name], value, rtol=1e-10, atol=1e-12)
    start = {"mu": 3.0, "tau": 1e-3, "theta": np.arange(8.0)}
    result = ln.sample(schools(), init=start, num_warmup=0, num_samples=1, num_chains=1, seed=1, progress=False)
    assert result.draws["theta"].shape == (1, 1, 8)


# -- as data -----------------------------------------------------------------------------------------------------------


def test_it_prints_and_is_kept() -> None:
    model = schools()
    assert "  theta[8] ~ Normal(loc=mu, scale=tau), non_centered" in str(model).splitlines()
    again = ln.Model.from_json(model.to_json())
    assert again == model != schools(None)
    assert str(again) == str(model)
    assert model.with_data(y=np.zeros(8)).nodes[2].reparam == "non_centered"
    # A model that was saved before there was a choice.
    old = json.loads(schools(None).to_json())
    for node in old["nodes"]:
        del node["reparam"]
    assert ln.Model.from_json(json.dumps(old)) == schools(None)
    wrong = schools().to_json().replace("non_centered", "uncentred")
    with pytest.raises(ValueError, match="not a livenuts model: rv 'theta': reparam must be 'non_centered' or None"):
        ln.Model.from_json(wrong)


def test_what_cannot_be_is_refused() -> None:
    model = ln.Model("wrong")
    with pytest.raises(ValueError, match=r"rv 'tau': HalfNormal cannot be non_centered: .* Normal, StudentT, Cauchy"):
        model.rv("tau", dist.HalfNormal(1), reparam="non_centered")
    with pytest.raises(ValueError, match="rv 'tau': reparam must be 'non_centered' or None, got True"):
        model.rv("tau", dist.Normal(0, 1), reparam=True)  # type: ignore[arg-type]
    assert model.nodes == []
    bad = ln.Model("wrong").rv("x", dist.Normal([0.0, 1.0], 1), shape=3, reparam="non_centered")
    with pytest.raises(ValueError, match=r"rv 'x': parameters of shape \(2,\) do not broadcast to shape \(3,\)"):
        ln.sample(bad, seed=1, progress=False)

    @ln.model
    def function(distribution: Any, reparam: Any) -> None:
        ln.rv("x", distribution, reparam=reparam)

    for wrong in (nd.Beta(1, 1), nd.TruncatedNormal(0, 1, low=0), nd.Normal(0, 1).mask(False), dist.Uniform(0, 1)):
        with pytest.raises(ValueError, match=r"rv 'x': .* cannot be non_centered"):
            ln.sample(function(wrong, "non_centered"), seed=1, progress=False)
    with pytest.raises(ValueError, match="rv 'x': reparam must be"):
        ln.sample(function(nd.Normal(0, 1), "centred"), seed=1, progress=False)


# -- posteriors --------------------------------------------------------------------------------------------------------


def laws() -> tuple[Any, np.ndarray]:
    """The eight schools' tau, and the means of theta, by quadrature over tau: mu and theta integrate out in closed
    form."""
    errors, effects = DATA["errors"], DATA["effects"]
    width = 2e-3
    tau = (np.arange(20_000) + 0.5) * width
    variances = tau[:, None] ** 2 + errors**2
    precision = 1 / 25 + (1 / variances).sum(1)
    mu = (effects / variances).sum(1) / precision
    quadratic = (effects**2 / variances).sum(1) - precision * mu**2
    log_density = -0.5 * (np.log(variances).sum(1) + np.log(precision) + quadratic) + stats.halfnorm.logpdf(tau, 0, 5)
    weights = np.exp(log_density - log_density.max())
    theta = (effects * tau[:, None] ** 2 + mu[:, None] * errors**2) / variances
    edges = np.append(tau - width / 2, tau[-1] + width / 2)
    return stats.rv_histogram((weights, edges), density=False), weights @ theta / weights.sum()


def test_eight_schools_against_quadrature() -> None:
    exact, means = laws()
    result = ln.sample(schools(), seed=1, **RUN)
    tau, theta = result.draws["tau"], result.draws["theta"]
    assert failures(z_scores(tau, exact)) == {}
    assert failures({str(k): z_of_mean(theta[..., k], means[k]) for k in range(8)}) == {}
    assert result.stats["diverging"].mean() < 1e-3
    # Poison: 5 % more spread, and z for theta, fail the same checks.
    assert failures(z_scores(exact.mean() + 1.05 * (tau - exact.mean()), exact))
    z = (theta - result.draws["mu"][..., None]) / tau[..., None]
    assert len(failures({str(k): z_of_mean(z[..., k], means[k]) for k in range(8)})) == 8


def test_funnel_to_its_tails() -> None:
    """Neal's funnel, exactly: y is N(0, 9), x / exp(y / 2) is standard normal; without divergences."""
    result = ln.sample(funnel(), seed=2, **RUN)
    y, x = result.draws["y"], result.draws["x"]
    exact = stats.norm(0, 3)
    assert failures(z_scores(y, exact)) == {}
    for probability in (0.001, 0.999):
        assert abs(z_of_mean((y <= exact.ppf(probability)).astype(float), probability)) < 5
    z = x / np.exp(y / 2)[..., None]
    for k in (0, 8):
        assert failures(z_scores(z[..., k], stats.norm())) == {}
    assert result.stats["diverging"].sum() == 0


def test_centred_and_not_are_one_posterior() -> None:
    """Informative data and known spread: both forms sample well, and their means and variances agree."""
    draws = {}
    for reparam in (None, "non_centered"):
        model = ln.Model("easy").rv("mu", dist.Normal(0, 2)).rv("s", dist.LogNormal(0.0, 0.3))
        model.rv("theta", dist.StudentT(6.0, "mu", "s"), shape=3, reparam=reparam)
        model.obs("y", dist.Normal("theta", 1.0), [1.0, -0.5, 2.0])
        draws[reparam] = ln.sample(model, seed=3, **RUN).draws
    for name in ("mu", "s", "theta"):
        a, b = (draws[reparam][name].reshape(4, 20_000, -1) for reparam in (None, "non_centered"))
        for k in range(a.shape[-1]):
            for power in (1, 2):
                one, two = a[..., k] ** power, b[..., k] ** power
                errors = [x.std() / np.sqrt(effective_sample_size(x)) for x in (one, two)]
                assert abs(one.mean() - two.mean()) < 5 * np.hypot(*errors), (name, k, power)
