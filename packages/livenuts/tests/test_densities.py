"""The table of summed log densities against NumPyro's own, and against finite differences."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import livenuts as ln
import numpy as np
import numpyro
import numpyro.distributions as nd
import pytest
from livenuts.compiler import densities, logarithms
from livenuts.compiler.densities import sum_log_prob
from livenuts.compiler.target import compile_model
from livenuts.compiler.x64 import x64
from scipy import special, stats

# Families by name: a distribution made of unconstrained parameters a and b, and a value made of unconstrained v.
Case = tuple[Callable[[Any, Any], Any], Callable[[Any], Any]]
COUNTS = np.array([0.0, 1.0, 2.0, 3.0, 7.0, 40.0] * 5)


def bits(v: Any) -> Any:
    return (np.arange(v.size) % 2).astype(float).reshape(v.shape)


def counts(v: Any) -> Any:
    return np.resize(COUNTS, v.shape)


def same(v: Any) -> Any:
    return v


CASES: dict[str, Case] = {
    "Normal": (lambda a, b: nd.Normal(a, jnp.exp(b)), same),
    "HalfNormal": (lambda a, b: nd.HalfNormal(jnp.exp(a + b)), jnp.exp),
    "LogNormal": (lambda a, b: nd.LogNormal(a, jnp.exp(b)), jnp.exp),
    "StudentT": (lambda a, b: nd.StudentT(jnp.exp(a), 0.3, jnp.exp(b)), same),
    "StudentT, location": (lambda a, b: nd.StudentT(3.5, a, jnp.exp(b)), same),
    "Cauchy": (lambda a, b: nd.Cauchy(a, jnp.exp(b)), same),
    "HalfCauchy": (lambda a, b: nd.HalfCauchy(jnp.exp(a + b)), jnp.exp),
    "Laplace": (lambda a, b: nd.Laplace(a, jnp.exp(b)), same),
    "Exponential": (lambda a, b: nd.Exponential(jnp.exp(a + b)), jnp.exp),
    "Gamma": (lambda a, b: nd.Gamma(jnp.exp(a), jnp.exp(b)), jnp.exp),
    "BernoulliLogits": (lambda a, b: nd.Bernoulli(logits=a + b), bits),
    "BernoulliProbs": (lambda a, b: nd.Bernoulli(probs=jax.nn.sigmoid(a + b)), bits),
    "BinomialLogits": (lambda a, b: nd.Binomial(50, logits=a + b), counts),
    "BinomialLogits, many": (lambda a, b: nd.Binomial(counts(np.zeros(30)) + 50, logits=a + b), counts),
    "Poisson": (lambda a, b: nd.Poisson(jnp.exp(a + b)), counts),
    "GammaPoisson": (lambda a, b: nd.GammaPoisson(jnp.exp(a), jnp.exp(b)), counts),
    "NegativeBinomial2": (lambda a, b: nd.NegativeBinomial2(jnp.exp(a), jnp.exp(b)), counts),
}
SHAPES = [((), ()), ((30,), ()), ((), (30,)), ((30,), (30,)), ((1,), (30,))]


def numpyros(made: Any, value: Any) -> Any:
    """NumPyro's log density; JAX's betaln, which the negative binomial calls, is good to 1e-6 only (jax 0.12)."""
    if isinstance(made, nd.GammaPoisson):
        c, rate = made.concentration, made.rate
        gammas = [jax.scipy.special.gammaln(x) for x in (c + value, c, value + 1.0)]
        return gammas[0] - gammas[1] - gammas[2] - c * jnp.log1p(1.0 / rate) - value * jnp.log1p(rate)
    return made.log_prob(value)


def compare(make: Any, value: Any, *points: Sequence[Any], observed: bool = False) -> None:
    """Value and all gradients at points (a, b, v) of one shape, to 1e-12 of the largest of their terms."""

    def ours(a: Any, b: Any, v: Any) -> Any:
        return sum_log_prob(make(a, b), value(v), observed)

    def theirs(a: Any, b: Any, v: Any) -> Any:
        terms = numpyros(make(a, b), value(v))
        return jnp.sum(terms), jnp.sum(jnp.abs(terms))

    @jax.jit
    def both(a: Any, b: Any, v: Any) -> Any:
        return (
            jax.value_and_grad(ours, argnums=(0, 1, 2))(a, b, v),
            jax.value_and_grad(theirs, argnums=(0, 1, 2), has_aux=True)(a, b, v),
        )

    for point in points:
        got, ((want, size), slopes) = both(*point)
        np.testing.assert_allclose(got[0], want, rtol=1e-12, atol=1e-12 * size)
        for one, other in zip(got[1], slopes, strict=True):
            largest = float(np.max(np.abs(other), initial=0.0))
            np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-11 * max(largest, size / 30))


def test_every_form_is_tested() -> None:
    with x64(), numpyro.validation_enabled(False):
        tried = {type(make(np.zeros(30), np.zeros(30))) for make, _ in CASES.values()}
    assert set(densities.FORMS) == tried | {nd.GaussianRandomWalk, nd.EulerMaruyama, nd.MultivariateNormal}


@pytest.mark.parametrize("case", CASES)
def test_sums_are_those_of_numpyro(case: str) -> None:
    make, value = CASES[case]
    generator = np.random.default_rng(1)
    with x64(), numpyro.validation_enabled(False):
        for a, b in SHAPES:
            points = [[generator.normal(0.0, width, shape) for shape in (a, b, (30,))] for width in (0.1, 1.0, 3.0)]
            compare(make, value, *points)


@pytest.mark.parametrize("case", CASES)
def test_gradients_are_finite_differences(case: str) -> None:
    make, value = CASES[case]
    generator = np.random.default_rng(2)
    with x64(), numpyro.validation_enabled(False):
        a, b, v = generator.normal(size=()), generator.normal(size=30), generator.normal(size=30)

        def density(x: Any) -> Any:
            return sum_log_prob(make(x[0], x[1:31]), value(x[31:]))

        x = np.concatenate([[a], b, v])
        gradient = np.asarray(jax.jit(jax.grad(density))(x))
        lines = jax.jit(jax.vmap(density))
        step = 1e-5
        differences = (lines(x + step * np.eye(x.size)) - lines(x - step * np.eye(x.size))) / (2 * step)
    np.testing.assert_allclose(gradient, differences, rtol=1e-6, atol=1e-5)


def test_a_wrong_constant_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Poisons: one part in 10^9 in the constants of the normal, of Stirling's series, of the logarithm's split."""
    for module, name, case in (
        (densities, "_HALF_LOG_2_PI", "Normal"),
        (densities, "_LOG_PI", "StudentT"),
        (logarithms, "_STIRLING", "Gamma"),
        (logarithms, "_HALF_STEP", "StudentT"),
    ):
        value = getattr(module, name)
        wrong = value * (1 + 1e-9) if isinstance(value, float) else (value[0] * (1 + 1e-9), *value[1:])
        with monkeypatch.context() as patch:
            patch.setattr(module, name, wrong)
            with pytest.raises(AssertionError):
                test_sums_are_those_of_numpyro(case)


SHARED = [((), ()), ((3, 1), ()), ((), (3, 1)), ((3, 1), (3, 1)), ((3, 1), (10,)), ((1, 10), (1, 10)), ((3, 10), (1,))]


@pytest.mark.parametrize("case", ["Normal", "LogNormal", "BernoulliLogits", "BernoulliProbs", "Poisson"])
def test_sums_over_data_that_share_parameters_are_those_of_numpyro(case: str) -> None:
    """Data (3, 10), or of fewer axes, of which rows, columns or all share their parameters."""
    make, value = CASES[case]
    generator = np.random.default_rng(4)
    with x64(), numpyro.validation_enabled(False):
        for a, b in SHARED:
            for shape in ((3, 10), (10,)) if case == "Normal" else ((3, 10),):
                compare(make, value, [generator.normal(0.0, 1.0, shape) for shape in (a, b, shape)], observed=True)


def test_data_far_from_zero_lose_nothing() -> None:
    """The mean and the squares about it, not sums of squares: those of 1e8 + N(0, 1) have no correct digit."""
    y = 1e8 + np.random.default_rng(5).normal(size=1000)
    with x64():
        got = sum_log_prob(nd.Normal(1e8 + 0.3, 1.2), y, observed=True)
    assert float(got) == pytest.approx(stats.norm(1e8 + 0.3, 1.2).logpdf(y).sum(), rel=1e-10)


def test_expanded_independent_masked_and_scaled() -> None:
    generator = np.random.default_rng(3)
    value = generator.normal(size=(4, 30))
    loc, mask = generator.normal(size=(4, 1)), generator.random((4, 30)) < 0.5
    with x64(), numpyro.validation_enabled(False):
        for made in (
            nd.Normal(0.5, 2.0).expand([4, 30]),
            nd.Normal(loc, 2.0).expand([4, 30]).to_event(1),
            nd.Normal(loc, 2.0).to_event(1),
            nd.StudentT(4.0, loc, 2.0).expand([4, 30]).to_event(2),
            nd.Cauchy(0.5, np.arange(1.0, 31.0)).expand([4, 30]).to_event(1),
            nd.Normal(loc, 2.0).expand([4, 30]).mask(mask),
            nd.Normal(loc, 2.0).expand([4, 30]).mask(mask).to_event(1),
            nd.Normal(loc, 2.0).mask(mask).expand([4, 30]),
        ):
            np.testing.assert_allclose(sum_log_prob(made, value), jnp.sum(made.log_prob(value)), rtol=1e-13)


@pytest.mark.parametrize("scale", [2.5, np.array([1.0, 0.5, 2.0])])
def test_scaled_sites(scale: Any) -> None:
    def model(y: Any) -> None:
        mu = numpyro.sample("mu", nd.Normal(0.0, 1.0))
        with numpyro.handlers.scale(scale=scale):
            numpyro.sample("y", nd.Normal(mu, 1.0), obs=y)

    y, mu = np.array([1.0, 2.0, 4.0]), 0.7
    bound = compile_model(ln.from_numpyro(model, y))
    with x64():
        density = bound.target.evaluation(bound.data, np.array([mu])).log_density()
    expected = stats.norm(0, 1).logpdf(mu) + np.sum(scale * stats.norm(mu, 1).logpdf(y))
    np.testing.assert_allclose(density, expected, rtol=1e-12)


@pytest.mark.parametrize("steps", [1, 2, 17, 100])
@pytest.mark.parametrize("batch", [(), (3,)])
def test_random_walk(steps: int, batch: tuple[int, ...]) -> None:
    generator = np.random.default_rng(steps)
    with x64(), numpyro.validation_enabled(False):
        v = generator.normal(size=(*batch, steps))
        point = generator.normal(size=batch), np.zeros(()), v
        compare(lambda a, b: nd.GaussianRandomWalk(jnp.exp(a + b), steps), same, point)


@pytest.mark.parametrize("times", [np.arange(40.0), np.cumsum(np.random.default_rng(3).exponential(size=40))])
@pytest.mark.parametrize(
    "diffusion", [lambda b, x, t: b, lambda b, x, t: b * (1.0 + x * x), lambda b, x, t: b * (2.0 + jnp.sin(t))]
)
def test_euler_maruyama(times: np.ndarray, diffusion: Any) -> None:
    """With one diffusion, with one that depends on the state, with one that depends on time."""
    generator = np.random.default_rng(4)

    def make(a: Any, b: Any) -> Any:
        return nd.EulerMaruyama(
            times, lambda x, t: (a * x - t, diffusion(jnp.exp(b), x, t)), nd.StudentT(3.0, a, jnp.exp(b))
        )

    with x64(), numpyro.validation_enabled(False):
        compare(make, same, [generator.normal(size=shape) for shape in ((), (), 40)])


# -- extremes ----------------------------------------------------------------------------------------------------------

EXTREMES: list[tuple[Any, Any]] = [
    (lambda: nd.Bernoulli(logits=np.array([-1e6, 1e6, -800.0, 800.0, 0.0] * 8)), np.array([0, 1, 1, 0, 1] * 8)),
    (lambda: nd.Bernoulli(logits=np.array([np.inf, -np.inf, 0.0] * 8)), np.array([0.0, 0.0, 1.0] * 8)),
    (lambda: nd.Bernoulli(probs=np.array([0.0, 1.0, 1e-300, 0.5] * 8)), np.array([1, 0, 1, 1] * 8)),
    (lambda: nd.Normal(0.0, 1e-200), np.full(20, 3e-200)),
    (lambda: nd.Normal(0.0, 1e200), np.full(20, 3e200)),
    (lambda: nd.Normal(0.0, np.full(20, 1e-200)), np.full(20, 3e-200)),
    (lambda: nd.Normal(0.0, 1e-5), np.full(20, 1e160)),
    (lambda: nd.Normal(0.0, np.array([0.0] + [1.0] * 19)), np.ones(20)),
    (lambda: nd.StudentT(2.5, 0.0, 1e-150), np.array([1e-300, 1.0, 1e100] * 8)),
    (lambda: nd.StudentT(2.5, 0.0, 1e-5), np.full(20, 1e200)),
    (lambda: nd.StudentT(1e-3, 0.0, 1.0), np.array([1e-300, 1.0, 1e100] * 8)),
    (lambda: nd.StudentT(np.array([1e-3, 1.0, 1e3] * 8), 0.0, 1.0), np.array([1e-300, 1.0, 1e100] * 8)),
    (lambda: nd.Cauchy(0.0, 1e-150), np.array([1e-300, 1.0, 1e100] * 8)),
    (lambda: nd.Cauchy(0.0, 1.0), np.array([np.inf, 1.0] * 10)),
    (lambda: nd.Gamma(1e-3, 1e-3), np.array([1e-300, 1.0, 1e5] * 8)),
    (lambda: nd.Gamma(1e9, 1e3), np.array([1e6, 1.1e6] * 10)),
    (lambda: nd.Gamma(2.0, 1.0), np.zeros(20)),
    (lambda: nd.Poisson(np.array([1e-300, 1e4, 0.0] * 8)), np.array([0.0, 1e4, 0.0] * 8)),
    (lambda: nd.Poisson(np.array([0.0, 1.0] * 10)), np.ones(20)),
    (lambda: nd.NegativeBinomial2(np.array([1e-9, 1e9] * 10), 1e-3), np.array([0.0, 1e3] * 10)),
    (lambda: nd.LogNormal(0.0, 1.0), np.array([1e-300, 1e300] * 10)),
    (lambda: nd.Laplace(0.0, 1e-300), np.full(20, 1e300)),
]


@pytest.mark.parametrize("number", range(len(EXTREMES)))
def test_extremes(number: int) -> None:
    make, value = EXTREMES[number]
    with x64(), numpyro.validation_enabled(False), np.errstate(all="ignore"):
        made = make()
        terms = np.asarray(numpyros(made, value))
        got = np.asarray(sum_log_prob(made, value))
    np.testing.assert_allclose(got, np.sum(terms), rtol=1e-11)


def test_what_is_not_a_number_stays_so() -> None:
    with x64():
        for bad, want in ((0.0, -np.inf), (np.inf, np.inf), (-1.0, np.nan), (np.nan, np.nan)):
            x = np.linspace(1.0, 2.0, 40)
            x[7] = bad
            np.testing.assert_array_equal(logarithms.sum_log(x), want)
        assert np.isnan(logarithms.sum_log1p_exp(np.array([0.0, np.nan])))


def test_log_gammas() -> None:
    """SciPy's, to the rounding of their largest part."""
    z = np.concatenate([np.geomspace(1e-300, 1e300, 301), np.linspace(0.01, 50, 301)])
    with x64():
        np.testing.assert_allclose(logarithms.log_gamma(z), special.gammaln(z), rtol=4e-15, atol=1e-14)
        slopes = jax.vmap(jax.grad(logarithms.log_gamma))(z)
        np.testing.assert_allclose(slopes, special.digamma(z), rtol=4e-15, atol=4e-15)
        z = z[(z > 1e-150) & (z < 1e4)]
        step = special.gammaln(z + 0.5) - special.gammaln(z)
        np.testing.assert_allclose(
            logarithms.log_gamma_half_step(z), step, rtol=4e-15, atol=1e-15 * special.gammaln(1e4 + 1)
        )
        slopes = jax.vmap(jax.grad(logarithms.log_gamma_half_step))(z)
        np.testing.assert_allclose(slopes, special.digamma(z + 0.5) - special.digamma(z), rtol=1e-13, atol=4e-15)
        assert float(logarithms.log_gamma_half_step(1e300)) == pytest.approx(0.5 * np.log(1e300), rel=1e-15)


def test_a_normal_by_its_covariance_is_numpyros_by_its_factor() -> None:
    """Value and gradients with respect to the covariance's parameters, the location and the value, to 1e-10."""
    times = np.linspace(0.0, 4.0, 12)

    def covariance(a: Any) -> Any:
        return jnp.exp(a[0] - 0.5 * ((times[:, None] - times) * jnp.exp(a[1])) ** 2) + jnp.exp(a[2]) * jnp.eye(12)

    def ours(a: Any, loc: Any, v: Any) -> Any:
        return sum_log_prob(nd.MultivariateNormal(loc, covariance_matrix=covariance(a)), v)

    def theirs(a: Any, loc: Any, v: Any) -> Any:
        return nd.MultivariateNormal(loc, scale_tril=jnp.linalg.cholesky(covariance(a))).log_prob(v)

    with x64(), numpyro.validation_enabled(False):
        rng = np.random.default_rng(11)
        for loc in (0.3, rng.normal(size=12)):
            arguments = rng.normal(size=3), np.asarray(loc), rng.normal(size=12)
            got, want = (jax.value_and_grad(f, argnums=(0, 1, 2))(*arguments) for f in (ours, theirs))
            np.testing.assert_allclose(got[0], want[0], rtol=1e-12)
            for one, other in zip(got[1], want[1], strict=True):
                np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-10)
            assert not np.allclose(got[1][0], 1.01 * want[1][0], rtol=1e-10)  # poison: one per cent
        assert np.isnan(sum_log_prob(nd.MultivariateNormal(0.0, covariance_matrix=-np.eye(2)), np.zeros(2)))
