"""Bad input is an error at the door that names the thing, the value and what would be right; nothing is silent."""

import fractions
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from livesmc2 import (
    ImpossibleObservation,
    ModelError,
    OnlineSMC2,
    PriorError,
    StateSpaceModel,
    models,
    particle_filter,
    run,
)
from livesmc2_exact import level, level_series
from scipy import stats

MODEL, PRIOR = level()
THETA = {"sigma_level": 0.3, "sigma_y": 0.7}


def counts(**more: Any) -> StateSpaceModel:
    """Counts around a constant rate; nothing else can move."""
    functions: dict[str, Any] = {
        "initial": lambda rng, theta: (0.0,),
        "transition": lambda rng, x, theta, t: (0.0,),
        "log_likelihood": lambda y, x, theta, t: y * math.log(theta.rate) - theta.rate,
    }
    return StateSpaceModel(parameters=("rate",), state=("x",), **(functions | more))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"transition": lambda rng, x, theta, t: (1.0, 2.0)}, "transition must return the 1 fields of the state"),
        ({"initial": lambda rng, theta: "five"}, "initial: 'x' must give a number"),
        ({"log_likelihood": lambda y, x, theta, t: (1.0, 2.0)}, "log_likelihood must give a number"),
        ({"observe": lambda rng, x, theta, t: (1.0, 2.0)}, "observe must give 1 numbers"),
        ({"guide": lambda rng, x, y, theta, t: (1.0,)}, "guide must return the fields"),
        ({"transition": lambda rng, x, theta, t: (x.y,)}, r"transition\(rng, x, theta, t\) fails.*'y'.*x has \('x',\)"),
        ({"transition": lambda x, theta: (x.x,)}, "transition.*fails: TypeError.*takes 2 positional"),
        ({"initial": lambda rng, theta: (rng.zipf(2.0),)}, "initial.*fails.*'zipf'.*methods of numpy.random.Generator"),
        ({"log_likelihood": lambda y, x, theta, t: no_such_name}, "log_likelihood.*fails.*no_such_name"),  # noqa: F821
        ({"log_likelihood_bound": lambda y, theta, t: None}, "log_likelihood_bound must give a number, got"),
        ({"log_transition": lambda new, x, theta, t: (0.0, 1.0)}, "log_transition must give a number, got"),
    ],
)
def test_functions_that_return_the_wrong_thing(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        OnlineSMC2(counts(**changes), {"rate": stats.gamma(2)}, 10, 10, seed=1)


def test_a_function_that_does_not_compile_is_named() -> None:
    def transition(rng: Any, x: Any, theta: Any, t: Any) -> Any:
        return (float(fractions.Fraction(x.x)),)

    with pytest.raises(ModelError, match=r"transition does not compile.*compiled=False"):
        particle_filter(counts(transition=transition), {"rate": 1.0}, [1.0, 2.0], n_x=10)
    assert particle_filter(counts(transition=transition), {"rate": 1.0}, [1.0, 2.0], n_x=10, compiled=False)


@pytest.mark.parametrize(
    ("prior", "words"),
    [
        ({"sigma_level": stats.halfnorm()}, "'sigma_y' is missing"),
        (PRIOR | {"more": stats.norm()}, "'more' is none of them"),
        (PRIOR | {"sigma_y": stats.poisson(3)}, "sigma_y is discrete"),
        (PRIOR | {"sigma_y": 3.0}, "must be a frozen distribution"),
        (PRIOR | {"sigma_y": stats.halfnorm}, "must be a frozen distribution"),
        (PRIOR | {"sigma_level": stats.norm(0, 1)}, r"it draws sigma_level=-.*where transition gives level = nan"),
        (PRIOR | {"sigma_y": stats.uniform(0, -1)}, "sigma_y"),
        (5, "dict of frozen distributions"),
    ],
)
def test_priors_that_do_not_fit(prior: Any, words: str) -> None:
    with pytest.raises((PriorError, TypeError), match=words):
        OnlineSMC2(MODEL, prior, 10, 10, seed=1)


class Joint:
    """sigma_level < sigma_y, both standard half-normal: a constraint, normalised."""

    support = {"sigma_level": (0, math.inf), "sigma_y": (0, math.inf)}  # noqa: RUF012

    def rvs(self, size: int, random_state: np.random.Generator) -> dict[str, np.ndarray]:
        pair = np.sort(np.abs(random_state.standard_normal((size, 2))), axis=1)
        return {"sigma_level": pair[:, 0], "sigma_y": pair[:, 1]}

    def logpdf(self, theta: dict[str, np.ndarray]) -> np.ndarray:
        density = stats.halfnorm.logpdf(theta["sigma_level"]) + stats.halfnorm.logpdf(theta["sigma_y"])
        return np.where(theta["sigma_level"] < theta["sigma_y"], density + math.log(2), -np.inf)


def test_a_joint_prior_holds_its_constraint() -> None:
    smc = run(MODEL, Joint(), level_series(20), 100, 50, seed=1, max_n_x=50)
    assert smc.rejuvenations
    assert (smc.theta["sigma_level"] < smc.theta["sigma_y"]).all()


class Elsewhere(Joint):
    def rvs(self, size: int, random_state: np.random.Generator) -> dict[str, np.ndarray]:
        return {name: value[::-1] for name, value in zip(("sigma_y", "sigma_level"), np.ones((2, size)), strict=True)}


def test_a_prior_that_draws_what_it_gives_no_density_is_said() -> None:
    with pytest.raises(PriorError, match=r"rvs draws .*'sigma_level': 1.*where logpdf is -inf"):
        OnlineSMC2(MODEL, Elsewhere(), 50, 50, seed=1)


def test_a_model_that_divides_by_zero_runs_as_it_does_compiled() -> None:
    """IEEE arithmetic, also where functions are tried in plain Python."""

    def helper(value: float) -> float:
        return math.log(value) + math.exp(800.0 - value)

    divides = counts(
        transition=lambda rng, x, theta, t: (min(1.0 / x.x, 5.0),),
        log_likelihood=lambda y, x, theta, t: min(helper(x.x - 5.0), 0.0),
    )
    OnlineSMC2(divides, {"rate": stats.gamma(2)}, 10, 10, seed=1)


class Nan(Joint):
    def logpdf(self, theta: dict[str, np.ndarray]) -> np.ndarray:
        return np.full(len(theta["sigma_y"]), np.nan)


def test_a_prior_that_is_nan_is_said() -> None:
    with pytest.raises(PriorError, match="logpdf is NaN at"):
        OnlineSMC2(MODEL, Nan(), 50, 50, seed=1)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"n_theta": 1}, "n_theta must be a whole number of at least 2, got 1"),
        ({"n_x": 0}, "n_x must be"),
        ({"window": 0}, "window must be"),
        ({"seed": -1}, "seed must be"),
        ({"resampling": "residual"}, "systematic, stratified, multinomial"),
        ({"ess_threshold": 0.0}, "ess_threshold"),
        ({"proposal": "gradient"}, "proposal must be one of"),
        ({"on_impossible": "ignore"}, "'raise' or 'skip'"),
        ({"threads": 0}, "threads must be"),
        ({"covariance": np.eye(3)}, r"array \(2, 2\)"),
        ({"covariance": -np.eye(2)}, "positive definite"),
        ({"executor": 5}, "executor must be"),
        ({"sink": 5}, "sink must be"),
        ({"checkpoint": 5}, "checkpoint is a path"),
        ({"horizon": -1}, "horizon must be"),
    ],
)
def test_settings_out_of_range(settings: dict[str, Any], words: str) -> None:
    with pytest.raises((ValueError, TypeError), match=words):
        OnlineSMC2(MODEL, PRIOR, **({"n_theta": 10, "n_x": 10, "seed": 1} | settings))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"parameters": "beta"}, "tuple of names"),
        ({"parameters": ("a", "a")}, "occurs twice"),
        ({"state": ()}, "at least one number"),
        ({"state": ("2x",)}, "identifier"),
        ({"state": {"x": -1}}, "whole number"),
        ({"state": ("rate",)}, "names a parameter and a state"),
        ({"covariates": ("index",)}, "index of time itself"),
        ({"transition": None}, "transition must be a function"),
    ],
)
def test_models_that_are_none(changes: dict[str, Any], words: str) -> None:
    with pytest.raises((ValueError, TypeError), match=words):
        replace(counts(), **changes)


def test_observations_of_the_wrong_form() -> None:
    smc = OnlineSMC2(MODEL, PRIOR, 10, 10, seed=1)
    with pytest.raises(ValueError, match="must be finite"):
        smc.update(math.inf)
    with pytest.raises(ValueError, match="is a number"):
        smc.update([1.0, 2.0])
    with pytest.raises(ValueError, match="shape"):
        run(MODEL, PRIOR, [[1.0, 2.0]], 10, 10)
    with pytest.raises(ValueError, match="covariates"):
        smc.update(1.0, {"rain": 3.0})
    with pytest.raises(KeyError, match="no parameter or state"):
        smc.mean("sigma")
    assert smc.t == 0


def test_b12_an_impossible_observation_is_raised_or_skipped_and_counted() -> None:
    """Defect B12: no guard against likelihoods that are all zero, NaN, or priors without mass."""
    impossible = counts(log_likelihood=lambda y, x, theta, t: -math.inf if y > 5 else -theta.rate)
    prior = {"rate": stats.gamma(2)}
    smc = OnlineSMC2(impossible, prior, 20, 10, seed=1)
    smc.update(1.0)
    before = smc.log_evidence
    with pytest.raises(ImpossibleObservation, match=r"observation 1 .9. has likelihood zero"):
        smc.update(9.0)
    assert smc.log_evidence == before
    smc.update(2.0)
    assert smc.t == 3
    skipping = run(impossible, prior, [1.0, 9.0, 2.0], 20, 10, seed=1, on_impossible="skip")
    assert [step.skipped for step in skipping.history] == [False, True, False]
    assert skipping.log_evidence == smc.log_evidence
    absent = run(impossible, prior, [1.0, math.nan, 2.0], 20, 10, seed=1)
    assert absent.log_evidence == smc.log_evidence


def test_b12_nan_likelihoods_are_counted() -> None:
    """Half of the particles give NaN: counted, weighed as zero, and the evidence is that of the other half."""
    half = counts(
        initial=lambda rng, theta: (1.0 if rng.random() < 0.5 else 0.0,),
        transition=lambda rng, x, theta, t: (x.x,),
        log_likelihood=lambda y, x, theta, t: math.nan if x.x > 0.5 else 0.0,
    )
    smc = OnlineSMC2(half, {"rate": stats.gamma(2)}, 50, 100, seed=1)
    step = smc.update(1.0)
    assert 2200 < step.faults < 2800
    assert step.log_evidence == pytest.approx(math.log(0.5), abs=0.05)
    nan = counts(log_likelihood=lambda y, x, theta, t: math.nan)
    with pytest.raises(ImpossibleObservation):
        OnlineSMC2(nan, {"rate": stats.gamma(2)}, 10, 10, seed=1).update(1.0)


def test_impossible_arguments_of_a_draw_are_counted_too() -> None:
    """Those that no prior shows at once."""
    wrong = counts(
        transition=lambda rng, x, theta, t: (rng.binomial(10, 1.5 if t > 1 else 0.5),),
        log_likelihood=lambda y, x, theta, t: -((y - x.x) ** 2),
    )
    with pytest.raises(ImpossibleObservation, match="observation 2"):
        run(wrong, {"rate": stats.gamma(2)}, [1.0, 1.0, 1.0], 10, 10, seed=1)


def test_forecasts_say_what_they_need() -> None:
    smc = OnlineSMC2(counts(), {"rate": stats.gamma(2)}, 10, 10, seed=1)
    smc.update(1.0)
    assert smc.forecast(2).x.shape == (2, 2000, 1)
    with pytest.raises(KeyError, match="'rate' is no state; there are x"):
        smc.forecast(2).quantiles(of="rate")
    with pytest.raises(AttributeError, match="'level' is none of rate"):
        smc.mean(lambda theta, x: theta.level)
    with pytest.raises(ValueError, match="derive: the function must give"):
        smc.derive(lambda theta, x: np.ones(3))
    with pytest.raises(ModelError, match="observe"):
        _ = smc.forecast(2).observations
    with pytest.raises(ValueError, match="horizon"):
        smc.forecast(0)
    with pytest.raises(ModelError, match=r"horizon.*observe"):
        OnlineSMC2(counts(), {"rate": stats.gamma(2)}, 10, 10, horizon=1)
    seasonal = counts(observe=lambda rng, x, theta, t: 1.0, covariates=("season",))
    with pytest.raises(ValueError, match=r"covariates .'season',. of times to come"):
        OnlineSMC2(seasonal, {"rate": stats.gamma(2)}, 10, 10, horizon=1)
    with pytest.raises(ValueError, match="states must be"):
        models.hidden_markov(1)
