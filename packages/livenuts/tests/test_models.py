"""Models as data, as functions, from log densities and from NumPyro."""

import functools
import inspect
import json
import random
import sys
from typing import Any

import hypothesis.strategies as st
import jax.numpy as jnp
import livenuts as ln
import numpy as np
import numpyro
import numpyro.distributions as nd
import pytest
from hypothesis import given, settings
from livenuts import dist, ref
from livenuts.compiler import target as target_module
from livenuts.compiler.evaluate import evaluate
from livenuts.compiler.target import compile_model
from livenuts.compiler.x64 import x64
from livenuts.model.distributions import families
from livenuts.model.expressions import Expression
from livenuts.model.serialize import decode, encode
from numpyro import handlers
from numpyro.infer.reparam import LocScaleReparam
from numpyro.infer.util import potential_energy

SHORT: dict[str, Any] = {"num_warmup": 50, "num_samples": 50, "num_chains": 2, "seed": 1, "progress": False}


def regression() -> ln.Model:
    return (
        ln.Model("regression", coords={"side": ["left", "right"]})
        .data("x", [[1.0, 2.0], [3.0, 4.0], [5.0, 7.0]])
        .rv("slope", dist.Normal(0, [1, 2]), dims="side")
        .rv("noise", dist.HalfNormal(1.0))
        .det("fit", ref("x") @ ref("slope"))
        .obs("y", dist.Normal("fit", "noise"), [1.0, 2.0, 3.0])
        .factor("pull", -ln.square(ref("slope")[0]))
    )


# -- the builder -------------------------------------------------------------------------------------------------------


def test_a_model_prints_as_it_is_written() -> None:
    assert str(regression()).splitlines() == [
        "regression",
        "  x: data [3, 2]",
        "  slope[side] ~ Normal(loc=0, scale=[1, 2])",
        "  noise ~ HalfNormal(scale=1.0)",
        "  fit = (x @ slope)",
        "  y ~ Normal(loc=fit, scale=noise), observed",
        "  pull: log density + -square(slope[0])",
    ]


def test_families_say_what_they_take() -> None:
    assert str(inspect.signature(dist.Gamma)) == "(concentration, rate=1.0)"
    assert dist.Gamma.__name__ == "Gamma"
    assert dist.Gamma.__doc__.startswith("`numpyro.distributions.Gamma` as data.")
    assert all(inspect.signature(getattr(dist, name)) for name in families())


def test_a_model_survives_json(tmp_path: Any) -> None:
    model = regression()
    assert ln.Model.from_json(model.to_json()) == model
    model.save(tmp_path / "model.json")
    loaded = ln.Model.load(tmp_path / "model.json")
    assert loaded == model
    first, second = ln.sample(model, **SHORT), ln.sample(loaded, **SHORT)
    for name, draws in first.draws.items():
        np.testing.assert_array_equal(second.draws[name], draws)


def test_equality_is_of_content() -> None:
    assert regression() == regression()
    assert regression() != regression().factor("more", ref("noise"))
    assert regression() != regression().with_data(y=[1.0, 2.0, 3.5])
    assert regression() != "regression"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{}",
        '{"format": "livenuts.model/2"}',
        json.dumps(json.loads(regression().to_json()) | {"nodes": [{"kind": "rv"}]}),
        json.dumps(json.loads(regression().to_json()) | {"data": 3}),
        regression().to_json().replace('"matmul"', '"system"'),
        regression().to_json().replace('"HalfNormal"', '"__import__"'),
        regression().to_json().replace('"float64"', '"object"'),
        regression().to_json()[:-10],
    ],
)
def test_anything_else_is_not_a_model(text: str) -> None:
    with pytest.raises(ValueError, match="not a livenuts model"):
        ln.Model.from_json(text)


def test_with_data_shares_the_compiled_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted, not timed: one target and one program for both data sets, and each has its own posterior."""
    built: list[int] = []
    original = target_module.Target.__init__
    monkeypatch.setattr(
        target_module.Target, "__init__", lambda self, *rest: (built.append(1), original(self, *rest))[1]
    )
    model = ln.Model("shared").rv("mu", dist.Normal(0, 100)).obs("y", dist.Normal("mu", 1.0), [1.0, 2.0, 3.0])
    other = model.with_data(y=[11.0, 12.0, 13.0])
    first, second = ln.sample(model, **SHORT), ln.sample(other, **SHORT)
    assert len(built) == 1
    assert len(compile_model(other).target.programs) == 1
    # Two chains of 50 draws, sd of the mean below 0.2.
    assert abs(first.draws["mu"].mean() - 2.0) < 1.0
    assert abs(second.draws["mu"].mean() - 12.0) < 1.0
    ln.sample(model.with_data(y=[1.0, 2.0]), **SHORT)
    assert len(built) == 2  # another shape is another program


def test_dims_and_coords_reach_the_result() -> None:
    result = ln.sample(regression(), **SHORT)
    assert result.draws["slope"].shape == (2, 50, 2)
    assert result.draws["fit"].shape == (2, 50, 3)
    assert result.dims["slope"] == ("side",)
    assert result.coords == {"side": ["left", "right"]}
    x = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 7.0]])
    np.testing.assert_allclose(result.draws["fit"], result.draws["slope"] @ x.T, rtol=1e-12)


def test_an_observation_has_dims_its_own_or_its_datas() -> None:
    model = ln.Model("named", coords={"row": ["a", "b"]}).data("seen", [1.0, 2.0], dims="row")
    model.rv("mu", dist.Normal(0, 1)).obs("y", dist.Normal("mu", 1), "seen")
    model.obs("z", dist.Normal("mu", 1), [3.0, 4.0, 5.0], dims="time")
    assert str(model).endswith(
        "y[row] ~ Normal(loc=mu, scale=1), observed\n  z[time] ~ Normal(loc=mu, scale=1), observed"
    )
    assert ln.Model.from_json(model.to_json()) == model
    assert ln.sample(model, **SHORT).dims == {"y": ("row",), "z": ("time",)}


# -- expressions -------------------------------------------------------------------------------------------------------

ENVIRONMENT = {"u": np.array([0.5, -1.5, 2.0]), "v": np.array(1.25), "w": np.arange(6.0).reshape(2, 3)}


def _larger(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.tuples(st.sampled_from(["+", "-", "*", "/"]), inner, inner).map(
            lambda t: {"+": t[1] + t[2], "-": t[1] - t[2], "*": t[1] * t[2], "/": t[1] / t[2]}[t[0]]
        ),
        inner.map(lambda e: -e),
        inner.map(lambda e: e**2),
        inner.map(lambda e: e[..., None]),
        inner.map(lambda e: 1.5 - e),
        st.tuples(st.sampled_from(["exp", "tanh", "sigmoid", "softplus", "cos"]), inner).map(
            lambda t: getattr(ln, t[0])(t[1])
        ),
        st.tuples(inner, inner).map(lambda t: ln.where(t[0] > 0.0, t[1], 2.0)),
        inner.map(ln.sum),
    )


EXPRESSIONS = st.recursive(
    st.one_of(
        st.sampled_from(["u", "v", "w"]).map(ref),
        st.floats(-3, 3).map(lambda x: ref("v") * x),
        st.lists(st.integers(-5, 5), min_size=3, max_size=3).map(lambda x: np.array(x) + ref("u")),
    ),
    _larger,
    max_leaves=8,
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(EXPRESSIONS)
def test_expressions_survive_json_and_mean_the_same(expression: Expression) -> None:
    again = decode(json.loads(json.dumps(encode(expression))))
    assert str(again) == str(expression)
    with np.errstate(all="ignore"):
        try:
            value = evaluate(expression, ENVIRONMENT)
        except (TypeError, ValueError):  # shapes that do not broadcast
            return
        np.testing.assert_array_equal(evaluate(again, ENVIRONMENT), value)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (ref("u")[1:] * 2, [-3.0, 4.0]),
        (ref("w")[0, ::-1], [2.0, 1.0, 0.0]),
        (ref("w")[:, 1], [1.0, 4.0]),
        (ref("u")[np.array([2, 0])], [2.0, 0.5]),
        (ref("w") @ ref("u"), [2.5, 5.5]),
        (2.0 ** ref("v"), 2.0**1.25),
        (np.array([1.0, 2.0, 3.0]) * ref("u"), [0.5, -3.0, 6.0]),
        (ref("u") % 1.0, [0.5, 0.5, 0.0]),
        (2.0 % ref("v"), 0.75),
        (np.array([1.0, 2.0, 3.0]) @ ref("u"), 3.5),
        (np.array([0.0, -1.5, 2.5]) <= ref("u"), [True, True, False]),
        (ln.where(ref("u") == 2.0, 1.0, 0.0), [0.0, 0.0, 1.0]),
        (ln.where(ref("u") != np.array([0.5, 0.0, 2.0]), 1.0, 0.0), [0.0, 1.0, 0.0]),
        (np.array([0.5, 0.0, 2.0]) == ref("u"), [True, False, True]),
        (ln.stack([ref("v"), ref("v") + 1.0]), [1.25, 2.25]),
        (ln.concatenate([ref("u"), ref("u")[:1]]), [0.5, -1.5, 2.0, 0.5]),
        (ln.where(ref("u") < 0.0, 0.0, ref("u")), [0.5, 0.0, 2.0]),
        (ln.logsumexp(ref("u")), np.log(np.exp([0.5, -1.5, 2.0]).sum())),
        (ln.sum(ref("w"), axis=0), [3.0, 5.0, 7.0]),
    ],
)
def test_expressions_are_numpys(expression: Expression, expected: Any) -> None:
    np.testing.assert_allclose(evaluate(expression, ENVIRONMENT), expected, rtol=1e-6)
    again = decode(json.loads(json.dumps(encode(expression))))
    np.testing.assert_allclose(evaluate(again, ENVIRONMENT), expected, rtol=1e-6)


# -- functions ---------------------------------------------------------------------------------------------------------


def test_a_function_is_a_model() -> None:
    @ln.model(coords={"column": ["a", "b"]})
    def regress(x: Any, y: Any = None, *, intercept: bool = False) -> None:
        slope = ln.rv("slope", dist.Normal(0, 1), shape=x.shape[1], dims=["column"])
        start = ln.rv("intercept", dist.Normal(0, 1)) if intercept else 0.0
        mean = ln.det("mean", x @ slope + start)
        ln.obs("y", dist.Normal(mean, 1.0), y)
        ln.factor("pull", -(slope[0] ** 2))

    x, y = np.arange(6.0).reshape(3, 2), np.array([1.0, 2.0, 4.0])
    fitted = ln.sample(regress(x, y), **SHORT)
    assert list(fitted.draws) == ["slope", "mean"]
    assert fitted.dims["slope"] == ("column",)
    np.testing.assert_allclose(fitted.draws["mean"], fitted.draws["slope"] @ x.T, rtol=1e-12)
    # Another structure: an intercept; and a free y where none is observed.
    assert list(ln.sample(regress(x, y, intercept=True), **SHORT).draws) == ["slope", "intercept", "mean"]
    assert ln.sample(regress(x), **SHORT).draws["y"].shape == (2, 50, 3)


def test_a_function_may_look_at_its_data() -> None:
    """Its data then become part of the program, and other values are another program."""

    @ln.model
    def counted(y: Any) -> None:
        rate = ln.rv("rate", dist.Gamma(1.0, 1.0))
        if float(y.sum()) > 5.0:
            ln.rv("extra", dist.Normal(0, 1))
        ln.obs("y", dist.Poisson(rate), y)

    assert list(ln.sample(counted(np.array([3, 4])), **SHORT).draws) == ["rate", "extra"]
    assert list(ln.sample(counted(np.array([1, 2])), **SHORT).draws) == ["rate"]
    assert list(ln.sample(counted(np.array([3, 4])), **SHORT).draws) == ["rate", "extra"]


# -- log densities -----------------------------------------------------------------------------------------------------


def test_from_a_log_density_of_a_bare_array_or_a_pytree() -> None:
    bare = ln.sample(ln.from_logdensity(lambda x: -0.5 * jnp.sum(x**2), np.zeros(3)), **SHORT)
    assert {name: draws.shape for name, draws in bare.draws.items()} == {"x": (2, 50, 3)}

    def tree(p: Any) -> Any:
        return -0.5 * p["a"] ** 2 - 0.5 * jnp.sum((p["b"]["c"] - 1.0) ** 2) - 0.5 * jnp.sum(p["d"][0] ** 2)

    position = {"a": 0.0, "b": {"c": np.zeros((2, 2))}, "d": (np.zeros(1),)}
    result = ln.sample(ln.from_logdensity(tree, position), **SHORT)
    assert {name: draws.shape[2:] for name, draws in result.draws.items()} == {"a": (), "b.c": (2, 2), "d.0": (1,)}


def test_a_log_density_starts_where_it_is_told() -> None:
    """Finite only above 100: random starts would not find it."""
    model = ln.from_logdensity(lambda x: jnp.where(x > 100.0, -0.5 * (x - 103.0) ** 2, -jnp.inf), 102.0)
    assert ln.sample(model, **SHORT).draws["x"].min() > 100.0


# -- NumPyro -----------------------------------------------------------------------------------------------------------

Y8 = np.array([28.0, 8, -3, 7, -1, 1, 18, 12])


def plates() -> None:
    mu = numpyro.sample("mu", nd.Normal(0, 5))
    with numpyro.plate("rows", 4, dim=-2):
        row = numpyro.sample("row", nd.Normal(mu, 1))
        with numpyro.plate("columns", 2, dim=-1):
            numpyro.sample("y", nd.Normal(row, 2), obs=Y8.reshape(4, 2))


def masked() -> None:
    mu = numpyro.sample("mu", nd.Normal(0, 5))
    with handlers.mask(mask=np.arange(8) < 5):
        numpyro.sample("y", nd.Normal(mu, 2), obs=Y8)


def scaled() -> None:
    mu = numpyro.sample("mu", nd.Normal(0, 5))
    with handlers.scale(scale=2.5):
        numpyro.sample("y", nd.Normal(mu, 2), obs=Y8)


def factors() -> None:
    """numpyro.factor was once left out in silence."""
    mu = numpyro.sample("mu", nd.Normal(0, 5))
    numpyro.factor("pull", -(mu**4))
    with numpyro.plate("three", 3):
        z = numpyro.sample("z", nd.Normal(mu, 1))
        numpyro.factor("pulls", -jnp.abs(z))
    with handlers.mask(mask=False):
        numpyro.factor("off", 100 * mu)


def indexed() -> None:
    group = numpyro.sample("group", nd.Normal(0, 5).expand([3]))
    numpyro.sample("y", nd.Normal(group[np.array([0, 1, 2, 0, 1, 2, 0, 1])], 2), obs=Y8)


def transformed() -> None:
    x = numpyro.sample("x", nd.TransformedDistribution(nd.Normal(0, 1), nd.transforms.ExpTransform()))
    numpyro.deterministic("log x", jnp.log(x))
    numpyro.sample("y", nd.Normal(x, 2), obs=Y8)


def dynamic() -> None:
    top = numpyro.sample("top", nd.HalfNormal(3))
    below = numpyro.sample("below", nd.Uniform(0, top))
    numpyro.sample("y", nd.Normal(below, 2), obs=Y8)


def reparametrised() -> None:
    with handlers.reparam(config={"theta": LocScaleReparam(0)}):
        mu, tau = numpyro.sample("mu", nd.Normal(0, 5)), numpyro.sample("tau", nd.HalfCauchy(5))
        theta = numpyro.sample("theta", nd.Normal(mu, tau).expand([8]))
    numpyro.sample("y", nd.Normal(theta, 10), obs=Y8)


def structured() -> None:
    weights = numpyro.sample("weights", nd.Dirichlet(jnp.ones(3)))
    chol = numpyro.sample("chol", nd.LKJCholesky(3, 2.0))
    ordered = numpyro.sample(
        "ordered", nd.TransformedDistribution(nd.Normal(0, 1).expand([3]).to_event(1), nd.transforms.OrderedTransform())
    )
    mixture = nd.MixtureSameFamily(nd.Categorical(weights), nd.Normal(ordered, 1.0 + chol[2, 1] ** 2))
    numpyro.sample("y", mixture, obs=Y8 / 10)


NUMPYRO = [plates, masked, scaled, factors, indexed, transformed, dynamic, reparametrised, structured]


@pytest.mark.parametrize("model", NUMPYRO)
def test_numpyros_handlers_mean_what_they_mean_there(model: Any) -> None:
    """The log density on the unconstrained scale is minus NumPyro's potential energy, to 1e-9."""
    with x64():
        bound = compile_model(ln.from_numpyro(model))
        rng = np.random.default_rng(5)
        for _ in range(3):
            position = rng.uniform(-1, 1, bound.target.dimension)
            named = {
                v.name: position[v.start : v.start + v.size].reshape(v.unconstrained_shape)
                for v in bound.target.variables
            }
            found = bound.target.evaluation(bound.data, position)
            expected = -float(potential_energy(model, (), {}, named))
            assert float(found.log_density()) == pytest.approx(expected, rel=1e-9, abs=1e-9)
    if model is reparametrised:
        assert bound.target.names() == ["mu", "tau", "theta_decentered", "theta"]
    if model is transformed:
        assert bound.target.names() == ["x", "log x"]


def test_numpyro_arguments_are_data() -> None:
    def model(x: Any, y: Any = None, *, prior: float = 1.0) -> None:
        numpyro.sample("y", nd.Normal(x @ numpyro.sample("b", nd.Normal(0, prior).expand([2])), 1.0), obs=y)

    x, y = np.arange(6.0).reshape(3, 2), np.array([1.0, 2.0, 4.0])
    first, second = compile_model(ln.from_numpyro(model, x, y=y)), compile_model(ln.from_numpyro(model, 2 * x, y=y + 1))
    assert first.target is second.target
    assert first.target.digest(first.data) != second.target.digest(second.data)
    assert compile_model(ln.from_numpyro(model, x, y=y, prior=2.0)).target is not first.target
    assert ln.sample(ln.from_numpyro(model, x, y=y), **SHORT).draws["b"].shape == (2, 50, 2)


def test_damaged_models_are_value_errors() -> None:
    """20,000 mutations of a saved model: read as a model, or refused with a ValueError, never anything else."""
    model = (
        ln.Model("m", coords={"g": ["a", "b"]})
        .data("x", np.arange(4.0).reshape(2, 2), dims=["g", "k"])
        .rv("mu", dist.Normal(0, 5), dims="g")
        .rv("k", dist.Gamma(2, [1.0, 2.0]), shape=2)
        .det("e", ln.exp(ref("mu"))[0] + ref("x")[0, 1:] * 2)
        .obs("y", dist.Normal("mu", "k"), [1.0, float("nan")], weights=ref("k") * 2.0)
        .obs("t", dist.Censored(dist.Weibull(2.0, "k"), right=[True, False]), [1.0, 2.0], mask=[True, False])
        .factor("g", ln.sum(ln.matern32([0.0, 1.0], [0.5], length=ref("k")[0])))
        .factor("f", ln.where(ref("mu") > 0, 1.0, -ref("mu")))
    )
    text = model.to_json()
    assert ln.Model.from_json(text) == model
    rng = random.Random(0)
    read = 0
    for _ in range(20_000):
        damaged = list(text)
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(damaged))
            kind = rng.randrange(3)
            if kind == 0:
                damaged[at] = rng.choice('{}[]",:0123456789truefalsn-.e')
            elif kind == 1:
                del damaged[at : at + rng.randint(1, 12)]
            else:
                damaged[at:at] = rng.choice(["{", "}", "[", "]", "null", "-1", "1e999", '"a"', ",", '{"ref":"mu"}'])
        try:
            ln.Model.from_json("".join(damaged))
            read += 1
        except ValueError:
            continue
    assert 0 < read < 20_000  # both branches were visited
    for text in ("[]", "null", "{}", '"a"', "[" * 100_000, '{"format":"livenuts.model/1"}'):
        with pytest.raises(ValueError, match="not a livenuts model"):
            ln.Model.from_json(text)


OFFSET = np.zeros(2)


def shifted(offset: Any, position: Any) -> Any:
    return -0.5 * jnp.sum((position - offset) ** 2)


def shifted_by_global(position: Any) -> Any:
    return shifted(OFFSET, position)


class Shifted:
    def __init__(self, offset: float) -> None:
        self.offset = offset

    def log_density(self, position: Any) -> Any:
        return shifted(self.offset, position)


@pytest.mark.parametrize("kind", ["closure", "partial", "method", "global"])
def test_what_a_function_captures_is_part_of_its_key(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Code compiled for one captured value must not serve another: the posterior would be silently wrong."""
    means = []
    for offset in (0.0, 5.0, 9.0):
        monkeypatch.setattr(sys.modules[__name__], "OFFSET", np.full(2, offset))
        function = {
            "closure": lambda position, offset=offset: shifted(offset, position),
            "partial": functools.partial(shifted, offset),
            "method": Shifted(offset).log_density,
            "global": shifted_by_global,
        }[kind]
        means.append(ln.sample(ln.from_logdensity(function, np.zeros(2)), **SHORT).draws["x"].mean())
    assert means == pytest.approx([0.0, 5.0, 9.0], abs=1.0)


def test_an_unchanged_function_is_compiled_once() -> None:
    first = compile_model(ln.from_logdensity(shifted_by_global, np.zeros(2)))
    assert compile_model(ln.from_logdensity(shifted_by_global, np.ones(2))).target is first.target
