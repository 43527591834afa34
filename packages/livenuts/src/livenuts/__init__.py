"""The No-U-Turn sampler on JAX that streams every draw as a message.

>>> import livenuts as ln
>>> from livenuts import dist
>>> coin = ln.Model("coin").rv("p", dist.Beta(1, 1)).obs("heads", dist.Binomial(10, "p"), 7)
>>> result = ln.sample(coin, seed=1, progress=False)
>>> result.draws["p"].shape
(4, 1000)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from livenuts import dist
from livenuts.disk import from_zarr, to_zarr
from livenuts.functions import TABLE as _FUNCTIONS
from livenuts.model.builder import Model
from livenuts.model.expressions import ref
from livenuts.model.function import det, factor, model, obs, rv
from livenuts.model.wrapped import from_logdensity, from_numpyro, from_pymc
from livenuts.processes import HSGP, gp_conditional
from livenuts.running import RunningSummary
from livenuts.runtime.checkpoint import CheckpointError
from livenuts.tuning import Tuning

if TYPE_CHECKING:
    from livenuts.comparison import compare, loo, waic
    from livenuts.compiler.odes import diffrax_ode
    from livenuts.inference.advi import advi
    from livenuts.inference.pathfinder import pathfinder
    from livenuts.inference.smc import smc
    from livenuts.likelihoods import log_likelihood
    from livenuts.predictive import posterior_predictive, prior_predictive
    from livenuts.result import Result
    from livenuts.runtime.recovery import DensityError
    from livenuts.runtime.sampling import extend, resume, sample
    from livenuts.runtime.stream import stream

    load = Result.load

__version__ = "0.1.0"

# Imported when they are asked for, since they import JAX: a listener does without.
_WITH_JAX = {
    "DensityError": "livenuts.runtime.recovery",
    "Result": "livenuts.result",
    "advi": "livenuts.inference.advi",
    "compare": "livenuts.comparison",
    "diffrax_ode": "livenuts.compiler.odes",
    "extend": "livenuts.runtime.sampling",
    "log_likelihood": "livenuts.likelihoods",
    "loo": "livenuts.comparison",
    "pathfinder": "livenuts.inference.pathfinder",
    "posterior_predictive": "livenuts.predictive",
    "prior_predictive": "livenuts.predictive",
    "resume": "livenuts.runtime.sampling",
    "sample": "livenuts.runtime.sampling",
    "smc": "livenuts.inference.smc",
    "stream": "livenuts.runtime.stream",
    "waic": "livenuts.comparison",
}

__all__ = [
    "HSGP",
    "CheckpointError",
    "DensityError",
    "Model",
    "Result",
    "RunningSummary",
    "Tuning",
    "advi",
    "compare",
    "det",
    "diffrax_ode",
    "dist",
    "extend",
    "factor",
    "from_logdensity",
    "from_numpyro",
    "from_pymc",
    "from_zarr",
    "gp_conditional",
    "load",
    "log_likelihood",
    "loo",
    "model",
    "obs",
    "pathfinder",
    "posterior_predictive",
    "prior_predictive",
    "ref",
    "resume",
    "rv",
    "sample",
    "smc",
    "stream",
    "to_zarr",
    "waic",
]


def __getattr__(name: str) -> Any:
    if name in _FUNCTIONS:
        return _FUNCTIONS[name]
    if name == "load":
        return __getattr__("Result").load
    if name in _WITH_JAX:
        return getattr(import_module(_WITH_JAX[name]), name)
    raise AttributeError(f"module 'livenuts' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_FUNCTIONS])
