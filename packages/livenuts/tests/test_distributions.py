"""Every family that we add, and those of NumPyro that models lean on, from one table (livenuts_families).

Densities against SciPy; samples against the law of a scalar; gradients against finite differences; the way to the
unconstrained scale and back; shapes. A sample check fails by chance with probability below 1e-6, all 27 with
probability below 3e-5; the seed is fixed.
"""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import pytest
from livenuts.compiler.x64 import x64
from livenuts.families import FAMILIES
from livenuts.families.tails import FORMS, log_between, log_cdf, log_survival
from livenuts_checks import chi_square, p_value
from livenuts_families import CASES
from numpyro import distributions as nd
from scipy import stats

DRAWS = 2000
LEAST = 1e-6


def compiled(function: Any, *arguments: Any) -> Any:
    """For arguments of these shapes; run a few times, it is not worth optimising."""
    return jax.jit(function).lower(*arguments).compile({"xla_backend_optimization_level": 0})


@functools.cache
def computed(name: str) -> dict[str, Any]:
    """All that the tests below look at, by one compiled program."""
    case = CASES[name]

    def total(parameters: Any, values: Any) -> Any:
        return jnp.sum(case.make(*parameters).log_prob(values))

    def run(parameters: Any, values: Any) -> dict[str, Any]:
        made = case.make(*parameters)
        found = {"log_prob": made.log_prob(values)}
        if case.sampled:
            found["draws"] = made.sample(jax.random.key(7), (DRAWS,))
        by_parameters, by_values = jax.grad(total, argnums=(0, 1))(parameters, values)
        found["gradient"] = jnp.concatenate([jnp.ravel(leaf) for leaf in by_parameters])
        if not made.support.is_discrete:
            transform = nd.biject_to(made.support)
            position = transform.inv(values)
            again = transform(position)
            found |= {"again": again, "inside": jnp.all(made.support(again)), "by_values": by_values}
        return found

    with x64(), numpyro.validation_enabled(False):
        parameters = jax.tree.map(lambda part: jnp.asarray(part, jnp.float64), case.parameters)
        values = jnp.asarray(case.values)
        found = compiled(run, parameters, values)(parameters, values)
        flat, unravel = jax.flatten_util.ravel_pytree(parameters)
        sum_at = compiled(lambda x: total(unravel(x), values), flat)
        steps = np.diag(1e-5 * np.maximum(1.0, np.abs(flat)))
        found["differences"] = np.array([(sum_at(flat + s) - sum_at(flat - s)) / (2 * s.max()) for s in steps])
        return {key: np.asarray(value) for key, value in found.items()}


def test_every_new_family_is_in_the_table() -> None:
    assert {name.split(",")[0] for name in CASES} >= set(FAMILIES)


@pytest.mark.parametrize("name", CASES)
def test_densities_are_scipys(name: str) -> None:
    case = CASES[name]
    np.testing.assert_allclose(computed(name)["log_prob"], case.log_density(case.values), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.sampled])
def test_samples_have_the_density(name: str) -> None:
    case = CASES[name]
    assert p_of_samples(name, case.statistic(computed(name)["draws"])) > LEAST


def p_of_samples(name: str, sample: np.ndarray) -> float:
    law = CASES[name].law
    if hasattr(law, "pmf"):
        low, high = int(sample.min()) - 1, int(sample.max()) + 1
        cells = np.arange(low, high + 1)
        counts = np.bincount(sample.astype(int) - low, minlength=len(cells))
        probabilities = law.pmf(cells)
        return p_value(*chi_square(np.append(counts, 0), np.append(probabilities, max(0.0, 1 - probabilities.sum()))))
    return float(stats.kstest(sample, law.cdf).pvalue)


@pytest.mark.parametrize("name", CASES)
def test_gradients_are_finite_differences(name: str) -> None:
    found = computed(name)
    size = max(1.0, np.abs(found["differences"]).max())
    np.testing.assert_allclose(found["gradient"], found["differences"], rtol=1e-5, atol=2e-6 * size)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not hasattr(case.law, "pmf")])
def test_the_unconstrained_scale_leads_back(name: str) -> None:
    found = computed(name)
    assert found["inside"]
    np.testing.assert_allclose(found["again"], CASES[name].values, rtol=1e-9, atol=1e-9)
    assert np.isfinite(found["by_values"]).all()


@pytest.mark.parametrize("name", CASES)
def test_shapes(name: str) -> None:
    case = CASES[name]
    with x64(), numpyro.validation_enabled(False):

        def shapes(values: Any) -> Any:
            made = case.make(*case.parameters)
            more = made.expand((2, *made.batch_shape))
            key = jax.random.key(1)
            found = [made.sample(key), made.sample(key, (5,)), more.sample(key, (5,)), more.log_prob(more.sample(key))]
            if case.batches:
                batch = case.make(*(jnp.full(3, p) for p in case.parameters))
                found += [batch.sample(key, (5,)), batch.log_prob(jnp.broadcast_to(values[:, None], (len(values), 3)))]
            return made.batch_shape, made.event_shape, [jax.ShapeDtypeStruct(f.shape, f.dtype) for f in found]

        box: list[Any] = []
        jax.eval_shape(lambda values: box.extend(shapes(values)), case.values)
    batch, event, found = box
    expected = [batch + event, (5, *batch, *event), (5, 2, *batch, *event), (2, *batch)]
    expected += [(5, 3), (len(case.values), 3)] if case.batches else []
    assert [f.shape for f in found] == expected


def test_a_wrong_constant_or_scale_is_seen() -> None:
    """Poisons: draws a quarter too wide, or one count in two too large; a density off by 1e-7."""
    law, draws = CASES["ExGaussian"].law, computed("ExGaussian")["draws"]
    assert p_of_samples("ExGaussian", law.mean() + 1.35 * (draws - law.mean())) < LEAST
    counts = computed("Skellam")["draws"]
    assert p_of_samples("Skellam", counts + np.arange(DRAWS) % 2) < LEAST
    found = dict(computed("AR"))
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(
            found["log_prob"] + 1e-7, CASES["AR"].log_density(CASES["AR"].values), rtol=1e-9, atol=1e-9
        )


# -- tails -------------------------------------------------------------------------------------------------------------

TAILS = {
    "Normal": (nd.Normal(1.0, 2.0), stats.norm(1.0, 2.0)),
    "Logistic": (nd.Logistic(1.0, 2.0), stats.logistic(1.0, 2.0)),
    "Laplace": (nd.Laplace(1.0, 2.0), stats.laplace(1.0, 2.0)),
    "Cauchy": (nd.Cauchy(1.0, 2.0), stats.cauchy(1.0, 2.0)),
    "Gumbel": (nd.Gumbel(1.0, 2.0), stats.gumbel_r(1.0, 2.0)),
    "LogNormal": (nd.LogNormal(0.3, 0.8), stats.lognorm(0.8, scale=math.exp(0.3))),
    "HalfNormal": (nd.HalfNormal(2.0), stats.halfnorm(scale=2.0)),
    "Exponential": (nd.Exponential(0.7), stats.expon(scale=1 / 0.7)),
    "Weibull": (nd.Weibull(2.0, 1.5), stats.weibull_min(1.5, scale=2.0)),
    "Gamma": (nd.Gamma(2.5, 1.5), stats.gamma(2.5, scale=1 / 1.5)),
    "Uniform": (nd.Uniform(-1.0, 2.0), stats.uniform(-1.0, 3.0)),
    "StudentT": (nd.StudentT(3.0, 1.0, 2.0), stats.t(3.0, 1.0, 2.0)),
    "Poisson": (nd.Poisson(4.0), stats.poisson(4.0)),
}


def test_every_tail_is_tested() -> None:
    assert {kind.__name__ for kind in FORMS} <= set(TAILS)


def test_tails_are_scipys() -> None:
    """In the middle, of all, by one program; and of three what lies between two quantiles."""
    quantiles = np.array([0.001, 0.1, 0.3, 0.5, 0.7, 0.9, 0.999])
    places = {name: law.ppf(quantiles).astype(float) for name, (_, law) in TAILS.items()}
    between = ("Normal", "Weibull", "Poisson")

    def run(places: Any) -> Any:
        tails = {name: (log_cdf(TAILS[name][0], x), log_survival(TAILS[name][0], x)) for name, x in places.items()}
        return tails, {name: log_between(TAILS[name][0], places[name][:-1], places[name][1:]) for name in between}

    with x64():
        tails, masses = compiled(run, places)(places)
    for name, (_, law) in TAILS.items():
        x = places[name]
        np.testing.assert_allclose(tails[name][0], law.logcdf(x), rtol=1e-12, atol=1e-13, err_msg=name)
        np.testing.assert_allclose(tails[name][1], law.logsf(x), rtol=1e-12, atol=1e-13, err_msg=name)
    for name in between:
        np.testing.assert_allclose(np.exp(masses[name]), np.diff(TAILS[name][1].cdf(places[name])), rtol=1e-10)


FAR = {
    "LogNormal": [1e-30, 1e-8, 1e3, 1e12],
    "Weibull": [1e-30, 1e-8, 1e2, 1e6],
    "Exponential": [1e-30, 1e-8, 1e3, 1e9],
    "Normal": [-1e3, -50.0, 50.0, 1e3],
}


@pytest.mark.parametrize("name", FAR)
def test_tails_are_exact_far_out(name: str) -> None:
    """Where a cdf is 0 or 1 in doubles; gradients are finite there, and outside of the support."""
    base, law = TAILS[name]
    x = np.array(FAR[name])
    with x64():
        lower, upper, slopes = jax.jit(
            lambda x: (
                log_cdf(base, x),
                log_survival(base, x),
                jax.grad(lambda x: jnp.sum(jnp.where(x > -2e3, log_survival(base, x) * 1e-3, 0.0)))(
                    jnp.append(x, -1.0)
                ),
            )
        )(x)
    np.testing.assert_allclose(lower, law.logcdf(x), rtol=1e-9)
    np.testing.assert_allclose(upper, law.logsf(x), rtol=1e-9)
    assert np.isfinite(slopes).all()


def test_a_censored_or_truncated_family_needs_a_cdf() -> None:
    for user in ("Censored", "Truncated"):
        with pytest.raises(ValueError, match=f"{user}: VonMises has no cdf"):
            FAMILIES[user](nd.VonMises(0.0, 1.0), True)
        with pytest.raises(ValueError, match=f"{user}: Dirichlet is a distribution of vectors"):
            FAMILIES[user](nd.Dirichlet(np.ones(3)), True)
    with pytest.raises(ValueError, match="give low, high, or both"):
        FAMILIES["Truncated"](nd.Normal(0.0, 1.0))


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (lambda: FAMILIES["AR"](np.array([0.5, 0.1]), 1.0, 1), "at least 2, got 1"),
        (lambda: FAMILIES["AR"](0.5, 1.0, 2.5), "an integer of at least 1, got 2.5"),
        (lambda: FAMILIES["ICAR"](1.0, np.eye(3)), "0 on its diagonal"),
        (lambda: FAMILIES["ICAR"](1.0, np.zeros((3, 3))), "no path leads from node 0 to node 1"),
        (lambda: FAMILIES["ICAR"](1.0, np.ones(3)), "a square matrix"),
        (lambda: FAMILIES["Custom"](lambda x: x, (), "somewhere"), "support must be one of real, positive"),
        (lambda: FAMILIES["Custom"](lambda x: 0.0, ()).log_prob(jnp.zeros(3)), "terms of shape \\(3,\\)"),
        (
            lambda: FAMILIES["LinearGaussian"](np.eye(2), np.ones(2), np.eye(2), np.eye(1), np.zeros(2), np.eye(2), 3),
            "observation must have shape",
        ),
    ],
)
def test_what_cannot_be_is_refused(action: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        action()
