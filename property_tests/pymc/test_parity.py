"""The models of the benchmarks: our log density equals PyMC's to 1e-9, at random unconstrained points.

Run by `nox -s parity`, with PyMC in an environment of its own.
"""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

import livenuts as ln
import more_models
import seven_models
from livenuts.compiler.target import compile_model
from livenuts.compiler.x64 import x64

MODELS = {name: module for module in (seven_models, more_models) for name in module.NAMES}


@pytest.mark.parametrize("name", MODELS)
def test_log_density_equals_pymc(name: str) -> None:
    function, arguments = MODELS[name].numpyro_models()[name]
    bound = compile_model(ln.from_numpyro(function, *arguments))
    model = MODELS[name].pymc_model(name)
    theirs = model.compile_logp()
    rng = np.random.default_rng(1)
    for _ in range(20):
        position = rng.normal(0.0, 1.0, bound.target.dimension)
        point = {}
        for variable in bound.target.variables:
            flat = position[variable.start : variable.start + variable.size]
            value = model.rvs_to_values[model[variable.name]]
            point[value.name] = flat.reshape(variable.unconstrained_shape)
        with x64():
            ours = float(bound.target.evaluation(bound.data, position).log_density())
        expected = float(theirs(point))
        assert ours == pytest.approx(expected, rel=1e-9, abs=1e-9)
        # The poison: a missing Jacobian of one scale parameter would show.
        assert abs(ours - position[-1] - expected) > 1e-6
