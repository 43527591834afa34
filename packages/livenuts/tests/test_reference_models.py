"""The seven reference models: builder, function, NumPyro and SciPy agree on every log density to 1e-9."""

from collections.abc import Iterator
from typing import Any

import livenuts as ln
import numpy as np
import pytest
from livenuts.compiler.target import Bound, compile_model
from livenuts.compiler.x64 import x64
from livenuts_models import DATA, MODELS
from numpyro.infer.util import log_density, potential_energy


@pytest.fixture(autouse=True)
def _double_precision() -> Iterator[None]:
    with x64():
        yield


def evaluate(bound: Bound, named: dict[str, np.ndarray]) -> Any:
    """The evaluation at unconstrained values by name, whatever order the model declares them in."""
    pieces = [np.ravel(named[variable.name]) for variable in bound.target.variables]
    return bound.target.evaluation(bound.data, np.concatenate(pieces))


def test_data_are_the_published_ones() -> None:
    assert DATA["simple"][0] == 3.457075619631647
    assert DATA["hits"].sum() == 280
    assert DATA["returns"][[0, -1]].tolist() == [-1.027282545067423, 3.7755247706332864]


@pytest.mark.parametrize("name", MODELS)
def test_four_forms_are_one_density(name: str) -> None:
    reference = MODELS[name]()
    written = (reference.builder, reference.function, ln.from_numpyro(reference.numpyro))
    forms = [compile_model(form) for form in written]
    rng = np.random.default_rng(3)
    for _ in range(5):
        named = {v.name: rng.uniform(-1.0, 1.0, v.unconstrained_shape) for v in forms[0].target.variables}
        found = [evaluate(form, named) for form in forms]
        values = {name: np.asarray(value) for name, value in found[0].values.items()}
        jacobian = sum(np.log(values[positive]).sum() for positive in reference.positive)
        expected = float(reference.scipy(values)) + jacobian
        numpyro = -float(potential_energy(reference.numpyro, (), {}, named))
        constrained = float(log_density(reference.numpyro, (), {}, values)[0]) + jacobian
        for number in (*(float(form.log_density()) for form in found), numpyro, constrained):
            assert number == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("name", MODELS)
def test_gradients_are_differences(name: str) -> None:
    """Central differences of the log density along three random directions, to 1e-6."""
    from jax.extend.core import jaxpr_as_fun

    bound = compile_model(MODELS[name]().builder)
    value_and_gradient = jaxpr_as_fun(bound.target.closed)
    rng = np.random.default_rng(4)
    position = rng.uniform(-0.5, 0.5, bound.target.dimension)
    data = [bound.data[key] for key in sorted(bound.data)]

    def density(at: np.ndarray) -> float:
        return float(value_and_gradient(*data, at)[0])

    gradient = np.asarray(value_and_gradient(*data, position)[1])
    for _ in range(3):
        direction = rng.normal(size=position.shape)
        slope = (density(position + 1e-5 * direction) - density(position - 1e-5 * direction)) / 2e-5
        assert slope == pytest.approx(float(gradient @ direction), rel=1e-6, abs=1e-5)


def test_a_half_per_cent_in_a_prior_would_show() -> None:
    """Poison: Exponential(2.01) for Exponential(2)."""
    from livenuts import dist

    wrong = ln.Model("medium").rv("mu", dist.Normal(0, 10)).rv("so", dist.Exponential(2.01))
    right = ln.Model("medium").rv("mu", dist.Normal(0, 10)).rv("so", dist.Exponential(2.0))
    at = np.array([0.1, 0.2])
    values = [float(b.target.evaluation(b.data, at).log_density()) for b in map(compile_model, (wrong, right))]
    assert values[0] != pytest.approx(values[1], rel=1e-9, abs=1e-9)
