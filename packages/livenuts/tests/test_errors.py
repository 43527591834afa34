"""What cannot be right is refused at the door, by an error that names the thing, its value and what would be right."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import livenuts as ln
import numpy as np
import numpyro
import numpyro.distributions as nd
import pytest
from livenuts import dist, ref
from livenuts.compiler.target import compile_model
from livenuts.runtime.moves import StartError

SHORT: dict[str, Any] = {"num_warmup": 5, "num_samples": 5, "num_chains": 1, "seed": 1, "progress": False}


def model() -> ln.Model:
    return ln.Model("m")


def normal() -> ln.Model:
    return model().rv("x", dist.Normal(0, 1))


def positive() -> ln.Model:
    return model().rv("x", dist.HalfNormal(1))


def sample(what: Any, **arguments: Any) -> ln.Result:
    return ln.sample(what, **SHORT | arguments)


def observed(family: Any, values: Any) -> Callable[[], Any]:
    return lambda: sample(positive().obs("y", family, values))


@ln.model
def in_a_function(y: Any) -> None:
    ln.obs("y", dist.Normal(ln.rv("mu", dist.Normal(0, 1)), 1.0), y)


def in_numpyro(y: Any) -> None:
    numpyro.sample("y", nd.Exponential(numpyro.sample("rate", nd.HalfNormal(1))), obs=y)


@ln.model(coords={"g": ["a", "b"]})
def named_axes() -> None:
    ln.rv("x", dist.Normal(0, 1), shape=3, dims="g")


@ln.model
def by_name() -> None:
    ln.rv("x", dist.Normal(0, 1))
    ln.rv("y", dist.Normal("x", 1))


@ln.model
def weighted(weights: Any) -> None:
    ln.obs("y", dist.Normal(weights * ln.rv("x", dist.Normal(0, 1)), 1.0), np.zeros(2))


@ln.model
def weighted_free() -> None:
    ln.obs("y", dist.Normal(ln.rv("x", dist.Normal(0, 1)), 1.0), None, weights=2.0)


EIGHT = np.arange(8.0)
NAN = float("nan")

# What is done wrong, the error's type, and words that its message must hold.
BUILDING = [
    (lambda: model().rv("x", dist.Normal("mu", 1)), ValueError, ["'x'", "unknown 'mu'"]),
    (lambda: normal().det("z", ref("x") + ref("nu")), ValueError, ["det 'z'", "unknown 'nu'", "known are: x"]),
    (lambda: normal().factor("f", "nu"), ValueError, ["factor 'f'", "unknown 'nu'"]),
    (lambda: normal().rv("x", dist.Normal(0, 1)), ValueError, ["rv 'x'", "already has", "unique"]),
    (lambda: model().data("x", 1).rv("x", dist.Normal(0, 1)), ValueError, ["rv 'x'", "already has", "unique"]),
    (lambda: model().rv("", dist.Normal(0, 1)), ValueError, ["non-empty string", "''"]),
    (lambda: ln.Model(""), ValueError, ["non-empty string", "''"]),
    (lambda: model().rv("x", 3), TypeError, ["rv 'x'", "distribution", "got 3"]),
    (lambda: model().obs("y", 3, 2), TypeError, ["obs 'y'", "distribution", "got 3"]),
    (lambda: model().rv("x", dist.Normal(0, 1), shape=0), ValueError, ["rv 'x'", "positive integers", "got 0"]),
    (lambda: model().rv("x", dist.Normal(0, 1), shape=3.0), ValueError, ["rv 'x'", "positive integers", "got 3.0"]),
    (lambda: model().rv("x", dist.Normal(0, 1), dims="h"), ValueError, ["rv 'x'", "'h'", "coords"]),
    (lambda: ln.Model(coords=["g"]), TypeError, ["coords", "labels", "['g']"]),  # type: ignore[arg-type]
    (lambda: model().rv("x", dist.Normal), TypeError, ["rv 'x'", "called with its parameters"]),
    (lambda: model().rv("x", nd.Normal(0, 1)), TypeError, ["rv 'x'", "NumPyro's own", "@ln.model"]),
    (lambda: model().obs("y", dist.Normal(0, 1), [1, 2], dims=["a", "b"]), ValueError, ["obs 'y'", "2 dims", "(2,)"]),
    (
        lambda: ln.Model(coords={"g": [1, 2]}).rv("x", dist.Normal(0, 1), shape=3, dims="g"),
        ValueError,
        ["rv 'x'", "'g'", "2 coords", "length 3"],
    ),
    (lambda: model().data("a", ["u"]), TypeError, ["data 'a'", "expected numbers", "'u'"]),
    (lambda: model().data("a", []), ValueError, ["data 'a'", "no values"]),
    (lambda: model().data("a", [[1, 2], [3]]), ValueError, ["data 'a'", "inhomogeneous"]),
    (lambda: normal().obs("y", dist.Normal("x", 1), "z"), ValueError, ["obs 'y'", "no data 'z'"]),
    (lambda: normal().data("y", [1, NAN]), ValueError, ["data 'y'", "[1]", "NaN"]),
    (lambda: model().data("a", 1).with_data(b=1), ValueError, ["'b'", "it has a"]),
    (lambda: normal().obs("y", dist.Normal("x", 1), 1.0, weights="w"), ValueError, ["weights of 'y'", "unknown 'w'"]),
    (lambda: dist.Normal(0, scal=1), TypeError, ["dist.Normal", "'scal'", "loc, scale"]),
    (lambda: dist.Normal(0, loc=1), TypeError, ["dist.Normal", "'loc'", "twice"]),
    (lambda: dist.Normal(0, 1, 2), TypeError, ["dist.Normal", "at most 2", "loc, scale"]),
    (lambda: dist.Gamma(), TypeError, ["dist.Gamma", "needs concentration"]),
    (lambda: dist.Normall(0, 1), AttributeError, ["'Normall'", "did you mean Normal"]),
    (lambda: ln.no_such_function, AttributeError, ["'no_such_function'"]),
    (lambda: ref(3), ValueError, ["name of a variable", "got 3"]),
    (lambda: bool(ref("x") > 1), TypeError, ["(x > 1)", "ln.where"]),
    (lambda: list(ref("x")), TypeError, ["x", "index it"]),
    (lambda: ref("x") + object(), TypeError, ["numbers", "object"]),
    (lambda: np.exp(ref("x") + 1), TypeError, ["np.exp", "(x + 1)", "ln.exp"]),
    (lambda: np.where(ref("x") == 1, 1, 2), TypeError, ["(x == 1)", "no values", "functions of livenuts"]),
    (lambda: np.mean(ref("x")), TypeError, ["x has no values"]),
    (lambda: ln.rv("x", dist.Normal(0, 1)), RuntimeError, ["'x'", "outside of a model", "@ln.model"]),
    (lambda: in_a_function(), TypeError, ["in_a_function(y", "missing", "'y'"]),
    (lambda: ln.stream(normal(), draws=10), TypeError, ["arguments of sample", "'draws'"]),
    (lambda: ln.stream(normal(), sink=print), TypeError, ["its own sink"]),
    (lambda: ln.stream(normal(), buffer=0), ValueError, ["buffer", "positive integer", "0"]),
    (lambda: ln.from_logdensity(3, 1.0), TypeError, ["from_logdensity", "got 3"]),  # type: ignore[arg-type]
    (lambda: ln.from_numpyro(3), TypeError, ["from_numpyro", "got 3"]),  # type: ignore[arg-type]
]

COMPILING = [
    (lambda: sample(3), TypeError, ["expected a model", "got 3"]),
    (lambda: sample(lambda x: x), TypeError, ["expected a model", "from_logdensity or from_numpyro"]),
    (lambda: sample(in_a_function), TypeError, ["expected a model", "called with its data"]),
    (lambda: sample(model()), ValueError, ["'m'", "no free variable"]),
    (lambda: sample(model().obs("y", dist.Normal(0, 1), 1.0)), ValueError, ["'m'", "no free variable"]),
    (lambda: sample(model().rv("k", dist.Poisson(3))), ValueError, ["'k'", "discrete", "Poisson", "Mixture"]),
    (
        lambda: sample(ln.from_numpyro(lambda: numpyro.sample("k", nd.Bernoulli(0.5)))),
        ValueError,
        ["'k'", "discrete", "Bernoulli"],
    ),
    (lambda: sample(ln.from_numpyro(lambda: numpyro.param("k", 0.5))), ValueError, ["'k'", "numpyro.sample"]),
    # Shapes.
    (
        lambda: sample(model().data("s", EIGHT + 1).rv("x", dist.Normal(0, "s"), shape=3)),
        ValueError,
        ["rv 'x'", "(8,)", "(3,)"],
    ),
    (
        lambda: sample(model().data("a", EIGHT).rv("x", dist.Normal(0, 1), shape=3).det("z", ref("a") + ref("x"))),
        ValueError,
        ["det 'z'", "(a + x)", "(8,)", "(3,)"],
    ),
    (
        # The pair that broadcasts to (8, 8) in silence.
        lambda: sample(model().rv("x", dist.Normal(0, 1), shape=8).obs("y", dist.Normal("x", 1), EIGHT[:, None])),
        ValueError,
        ["obs 'y'", "(8,)", "(8, 1)"],
    ),
    (
        lambda: sample(model().rv("x", dist.Normal(0, 1), shape=3).obs("y", dist.Normal("x", 1), EIGHT)),
        ValueError,
        ["obs 'y'", "(3,)", "(8,)"],
    ),
    (
        lambda: sample(model().rv("x", dist.Normal(0, 1), shape=3).obs("y", dist.Normal("x", 1), 1.0)),
        ValueError,
        ["obs 'y'", "(3,)", "()"],
    ),
    (
        lambda: sample(normal().rv("a", dist.Normal(0, 1), shape=3, dims="g").data("b", EIGHT, dims="g")),
        ValueError,
        ["'g'", "8 in 'b'", "3 in 'a'"],
    ),
    (lambda: sample(named_axes()), ValueError, ["'g'", "2 in coords", "3 in 'x'"]),
    (lambda: sample(by_name()), ValueError, ["rv 'y'", "'x' by name", "the value that ln.rv returned"]),
    # Data outside of their support.
    (observed(dist.Exponential("x"), [1.0, -2.0]), ValueError, ["obs 'y'", "-2.0", "[1]", "support", "Exponential"]),
    (observed(dist.Binomial(10, 0.5), 11), ValueError, ["obs 'y'", "11", "support", "Binomial"]),
    (observed(dist.Poisson("x"), [1, 2.5]), ValueError, ["obs 'y'", "2.5", "[1]", "support", "Poisson"]),
    (observed(dist.Normal("x", 1), [1.0, np.inf]), ValueError, ["obs 'y'", "inf", "[1]", "support"]),
    # Missing values that cannot be variables; NaN that counts; weights of another shape.
    (
        lambda: sample(normal().obs("y", dist.Dirichlet(ln.exp(ref("x")) * np.ones(3)), [0.5, 0.5, NAN])),
        ValueError,
        ["obs 'y'", "missing", "Dirichlet", "mask"],
    ),
    (
        lambda: sample(normal().obs("y", dist.Normal("x", 1), [1, NAN], mask=np.array([False, True]))),
        ValueError,
        ["obs 'y'", "[1]", "NaN", "mask"],
    ),
    (
        lambda: sample(normal().obs("y", dist.Normal("x", 1), [1, 2], weights=np.ones(3))),
        ValueError,
        ["obs 'y'", "weights", "(3,)", "(2,)"],
    ),
    (lambda: sample(weighted_free()), ValueError, ["obs 'y'", "weights", "None"]),
    (lambda: sample(ln.from_numpyro(in_numpyro, np.array([1.0, -3.0]))), ValueError, ["obs 'y'", "-3.0", "[1]"]),
    # Log densities.
    (lambda: sample(ln.from_logdensity(lambda x: -(x**2), np.zeros(3))), ValueError, ["scalar", "(3,)"]),
    (lambda: sample(ln.from_logdensity(lambda x: 0.0, {})), ValueError, ["position", "no arrays"]),
    (lambda: sample(ln.from_logdensity(lambda x: -(x**2), NAN)), ValueError, ["'x'", "finite", "nan"]),
    (lambda: sample(ln.from_logdensity(lambda x: None, 1.0)), ValueError, ["scalar", "None"]),
]

STARTING = [
    (lambda: sample(normal().factor("f", ln.log(-1.0 - ref("x") ** 2))), StartError, ["'f'", "nan", "100 random"]),
    (lambda: sample(model().rv("x", dist.Normal(0, -1.0))), StartError, ["'x'", "nan", "scale is -1.0", "Positive"]),
    (
        lambda: sample(normal().data("s", EIGHT - 6.5).obs("y", dist.Normal("x", "s"), EIGHT)),
        StartError,
        ["'y'", "nan", "scale is -6.5", "Positive"],
    ),
    (lambda: sample(weighted(np.array([1.0, NAN]))), StartError, ["'y'", "the data hold NaN"]),
    # A support that depends on a variable is only known where the chain starts.
    (observed(dist.Uniform(0, "x"), [1, 100.5]), StartError, ["'y'", "-inf", "init="]),
    (lambda: sample(ln.from_logdensity(jnp.log, -1.0)), StartError, ["log density", "nan", "starting position"]),
    (lambda: sample(normal().factor("f", ln.sqrt(ref("x") * 0.0))), StartError, ["gradient", "'x'"]),
    (lambda: sample(positive(), init={"x": -1.0}), ValueError, ["init 'x'", "-1.", "outside", "HalfNormal"]),
    (lambda: sample(positive(), init={"x": [1.0, 2.0]}), ValueError, ["init 'x'", "expected shape ()", "(2,)"]),
    (lambda: sample(positive(), init={"z": 1.0}), ValueError, ["no variable 'z'", "it has x"]),
    (lambda: sample(positive(), init={"x": NAN}), ValueError, ["init 'x'", "finite", "nan"]),
    (lambda: sample(positive(), init={"x": "a"}), ValueError, ["init 'x'", "numbers", "'a'"]),
    (lambda: sample(positive(), init="x"), ValueError, ["init", "mapping", "'x'"]),
    (lambda: sample(positive(), init=[{}, {}]), ValueError, ["init", "1 chains", "[{}, {}]"]),
]

SETTINGS = [
    ({"num_warmup": -1}, ValueError, ["num_warmup", "at least 0", "-1"]),
    ({"num_samples": 2.5}, ValueError, ["num_samples", "integer", "2.5"]),
    ({"num_samples": "9"}, ValueError, ["num_samples", "integer", "'9'"]),
    ({"num_chains": 0}, ValueError, ["num_chains", "at least 1", "0"]),
    ({"num_chains": True}, ValueError, ["num_chains", "integer", "True"]),
    ({"num_warmup": 0, "num_samples": 0}, ValueError, ["num_warmup", "num_samples", "nothing to do"]),
    ({"target_accept": 0}, ValueError, ["target_accept", "between 0 and 1", "0"]),
    ({"target_accept": 1.0}, ValueError, ["target_accept", "between 0 and 1", "1.0"]),
    ({"target_accept": NAN}, ValueError, ["target_accept", "between 0 and 1", "nan"]),
    ({"target_accept": "high"}, ValueError, ["target_accept", "between 0 and 1", "'high'"]),
    ({"max_tree_depth": 0}, ValueError, ["max_tree_depth", "at least 1", "0"]),
    ({"max_tree_depth": 25}, ValueError, ["max_tree_depth", "at most 20", "25"]),
    ({"metric": "full"}, ValueError, ["metric", "auto, diag, low_rank, dense", "'full'"]),
    ({"adaptation": "shared"}, ValueError, ["adaptation", "pooled, independent", "'shared'"]),
    ({"early_stop": 1}, ValueError, ["early_stop", "True or False", "got 1"]),
    ({"seed": -1}, ValueError, ["seed", "integer", "-1"]),
    ({"seed": 1.5}, ValueError, ["seed", "integer", "1.5"]),
    ({"seed": True}, ValueError, ["seed", "integer", "True"]),
    ({"warm_start": 3}, TypeError, ["warm_start", "result", "3"]),
    ({"sink": 3}, TypeError, ["sink", "callable", "3"]),
    ({"stop": 3}, TypeError, ["stop", "callable", "3"]),
]


def refuse(action: Callable[[], Any], kind: type[Exception], words: list[str]) -> None:
    with pytest.raises(kind) as caught:
        action()
    message = str(caught.value)
    missing = [word for word in words if word not in message]
    assert not missing, message


@pytest.mark.parametrize(("action", "kind", "words"), BUILDING)
def test_building(action: Callable[[], Any], kind: type[Exception], words: list[str]) -> None:
    refuse(action, kind, words)


@pytest.mark.parametrize(("action", "kind", "words"), COMPILING)
def test_compiling(action: Callable[[], Any], kind: type[Exception], words: list[str]) -> None:
    refuse(action, kind, words)


@pytest.mark.parametrize(("action", "kind", "words"), STARTING)
def test_starting(action: Callable[[], Any], kind: type[Exception], words: list[str]) -> None:
    refuse(action, kind, words)


@pytest.mark.parametrize(("arguments", "kind", "words"), SETTINGS)
def test_settings(arguments: dict[str, Any], kind: type[Exception], words: list[str]) -> None:
    refuse(lambda: sample(normal(), **arguments), kind, words)


def test_new_data_for_compiled_code_pass_the_same_door() -> None:
    rate = positive().obs("y", dist.Exponential("x"), [1.0, 2.0])
    sample(rate)
    refuse(lambda: sample(rate.with_data(y=[1.0, -1.0])), ValueError, ["obs 'y'", "-1.0", "[1]", "support"])
    sample(ln.from_numpyro(in_numpyro, np.array([1.0, 3.0])))
    refuse(lambda: sample(ln.from_numpyro(in_numpyro, np.array([1.0, -3.0]))), ValueError, ["obs 'y'", "[1]", "-3.0"])


def test_a_tuning_of_another_model_is_refused() -> None:
    two = sample(model().rv("x", dist.Normal(0, 1), shape=2))
    refuse(lambda: sample(normal(), warm_start=two), ValueError, ["warm_start", "2 unconstrained", "has 1"])
    one = sample(normal())
    pair = model().rv("x", dist.MultivariateNormal(np.zeros(2), covariance_matrix=[[1.0, 0.9], [0.9, 1.0]]))
    dense = sample(pair, metric="dense", num_warmup=50)
    refuse(lambda: sample(pair, warm_start=dense, metric="diag"), ValueError, ["warm_start", "2 directions", "'dense'"])
    refuse(lambda: sample(normal(), warm_start=one, init={"x": 0.0}), ValueError, ["init", "warm_start", "leave one"])
    refuse(lambda: ln.Tuning.from_json("{}"), ValueError, ["not a livenuts tuning"])


def test_captured_single_precision_is_said_aloud() -> None:
    """An array made outside the model, in the user's single precision, has lost its digits already."""
    captured = jnp.ones(3) * 1.1
    with pytest.warns(UserWarning, match="captures float32") as caught:
        ln.sample(ln.from_logdensity(lambda x: -jnp.sum((x - captured) ** 2), np.zeros(3)), **SHORT)
    assert caught[0].filename == __file__
    precise = np.ones(3) * 1.1
    sample(ln.from_logdensity(lambda x: -jnp.sum((x - precise) ** 2), np.zeros(3)))  # no warning: they are errors here


def test_nothing_is_compiled_for_bad_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    from livenuts.runtime import sampling

    monkeypatch.setattr(sampling, "compile_model", lambda _: pytest.fail("compiled"))
    for arguments, kind, _ in SETTINGS:
        with pytest.raises(kind):
            sample(normal(), **arguments)


def grouped(groups: Any) -> ln.Model:
    return (
        ln.Model("grouped")
        .data("g", groups)
        .rv("x", dist.Normal(0, 1), shape=3)
        .obs("y", dist.Normal(ln.ref("x")[ln.ref("g")], 0.1), [1.0, 2.0, 3.0])
    )


@pytest.mark.parametrize("groups", [[1, 2, 3], [0, 1, 7]])
def test_an_index_out_of_range_is_refused(groups: list[int]) -> None:
    """JAX would clamp it: a group without data, another with two."""
    with pytest.raises(ValueError, match=r"'grouped'.*index [37] is out of bounds.*size 3.*indices count from 0"):
        compile_model(grouped(groups))


def test_an_index_out_of_range_in_new_data_is_refused() -> None:
    model = grouped([0, 1, -1])
    compile_model(model)
    with pytest.raises(ValueError, match="index 3 is out of bounds"):
        compile_model(model.with_data(g=[0, 1, 3]))


def test_clamping_that_was_asked_for_is_left_alone() -> None:
    @ln.model
    def clamped(g: Any) -> None:
        x = ln.rv("x", dist.Normal(0, 1), shape=3)
        ln.obs("y", dist.Normal(x.at[g].get(mode="clip"), 1.0), np.ones(3))

    compile_model(clamped(np.array([0, 1, 9])))


def test_a_subsampled_plate_is_refused() -> None:
    def model(y: Any) -> None:
        mean = numpyro.sample("mean", nd.Normal(0, 10))
        with numpyro.plate("rows", 100, subsample_size=10) as rows:
            numpyro.sample("y", nd.Normal(mean, 1), obs=jnp.asarray(y)[rows])

    with pytest.raises(ValueError, match="plate 'rows' subsamples 10 of 100: NUTS needs all of the data"):
        compile_model(ln.from_numpyro(model, np.zeros(100)))


@pytest.mark.parametrize("buffer", ["a", -1, 1.5, True])
def test_the_buffer_of_a_stream(buffer: Any) -> None:
    with pytest.raises(ValueError, match="buffer must be a positive integer"):
        ln.stream(grouped([0, 1, 2]), buffer=buffer)


@ln.model
def with_numpy() -> None:
    ln.det("y", np.exp(ln.rv("x", dist.Normal(0, 1))))


@ln.model
def with_if() -> None:
    ln.factor("f", 0.0 if ln.rv("x", dist.Normal(0, 1)) > 0 else -1.0)


@pytest.mark.parametrize(
    "wrong", [with_numpy(), with_if(), ln.from_logdensity(lambda x: -float(x**2), 0.0)], ids=["numpy", "if", "float"]
)
def test_what_a_function_cannot_do_to_jaxs_arrays_is_explained(wrong: Any) -> None:
    with pytest.raises(TypeError) as caught:
        sample(wrong)
    assert "write jnp.exp for np.exp, jnp.where for if" in "".join(caught.value.__notes__)
