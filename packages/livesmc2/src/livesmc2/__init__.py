"""Online SMC²: parameters and hidden states of a state-space model, exactly, while data arrive.

>>> from livesmc2 import OnlineSMC2, models
>>> model, prior = models.local_level()
>>> smc = OnlineSMC2(model, prior, n_theta=50, n_x=50, seed=1)
>>> for y in [0.2, float("nan"), 0.7]:
...     step = smc.update(y)
>>> step.t, len(smc.history)
(2, 3)
"""

from livesmc2 import models
from livesmc2.model.prior import Prior, PriorError
from livesmc2.model.state_space import ModelError, StateSpaceModel
from livesmc2.runtime.filter import FilterResult, log_likelihoods, particle_filter
from livesmc2.runtime.forecast import Forecast, mixture
from livesmc2.runtime.online import ImpossibleObservation, OnlineSMC2, model_weights
from livesmc2.runtime.pmmh import PMMHResult, pmmh
from livesmc2.runtime.run import run, run_many, stream
from livesmc2.runtime.step import Step
from livesmc2.runtime.store import StoreError

__version__ = "0.1.0"

__all__ = [
    "FilterResult",
    "Forecast",
    "ImpossibleObservation",
    "ModelError",
    "OnlineSMC2",
    "PMMHResult",
    "Prior",
    "PriorError",
    "StateSpaceModel",
    "Step",
    "StoreError",
    "log_likelihoods",
    "mixture",
    "model_weights",
    "models",
    "particle_filter",
    "pmmh",
    "run",
    "run_many",
    "stream",
]
