"""Recovery from host code that fails inside a log density: the transition is rejected, and the chain goes on."""

from typing import Any, NamedTuple

import numpy as np

from livenuts.adaptation import dual_averaging
from livenuts.runtime.iteration import DRAW, SEARCH, STATISTICS, Chain

MOST_FAILURES = 10
"""So many failures of the log density's host code in a row are an error; fewer are recovered from."""


class DensityError(RuntimeError):
    """Host code in the log density failed again and again, from where a chain stands."""

    def __init__(self, text: str, chain: int, position: dict[str, np.ndarray]) -> None:
        super().__init__(text)
        self.chain = chain
        self.position = position
        """The chain's constrained values, by variable."""

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.chain, self.position)


class Recovery(NamedTuple):
    """A transition that failed and was rejected."""

    iteration: int
    """The draw that it was to be, counted from the start of warm-up."""
    error: str


def rejected(chain: Chain) -> tuple[Chain, np.ndarray]:
    """The chain after an iteration that failed, and the record's row of a draw that did not move.

    In a search for the step size, half the step that failed is taken, and the search is over.
    """
    after = chain._replace(iteration=chain.iteration + 1)
    if chain.mode == SEARCH:
        averaging = dual_averaging.start(chain.averaging.log_step - np.log(2.0))
        after = after._replace(averaging=averaging, mode=np.float64(DRAW), search_direction=np.float64(0.0))
    else:
        after = after._replace(draw=chain.draw + 1)
    log_density = float(chain.state.log_density)
    numbers = dict.fromkeys(STATISTICS, 0.0) | {
        "lp": log_density,
        "energy": -log_density,
        "step_size": float(np.exp(chain.averaging.log_step)),
        "recovered": 1.0,
    }
    return after, np.concatenate([chain.state.position, chain.state.gradient, [numbers[name] for name in STATISTICS]])


def words(error: Exception) -> str:
    """What host code said when it failed: the last line of the traceback that XLA hands on."""
    lines = str(error).strip().splitlines()
    return lines[-1].strip() if lines else type(error).__name__
