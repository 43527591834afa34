"""The two interpreters do the same float operations in the same order: outcomes and traces are equal to the bit."""

from collections.abc import Callable

import livesim_models
import numpy as np
import pytest
from livesim.compiler.program import Status
from livesim.compiler.table import compile_model
from livesim.engine.compiled import Compiled
from livesim.engine.reference import Reference
from livesim.model.builder import Model


def assert_equal(model: Model, seed: int, until: float, stop: int = 1 << 62) -> Reference:
    """Both interpreters on a model: every number of the outcome and every row of the trace."""
    program, _ = compile_model(model)
    reference = Reference(program, seed, tracing=True)
    compiled = Compiled(program, seed, tracing=True, slots=4)
    status = reference.advance(until)
    assert compiled.advance(until, stop_events=stop) in (status, Status.PAUSED)
    while stop < 1 << 62 and compiled.arrays.world[0]["events"] < reference.events:
        stop += stop
        compiled.advance(until, stop_events=stop)
    assert str(compiled.fault) == str(reference.fault)
    one, other = reference.trace(), compiled.trace()
    rows = min(len(one.time), len(other.time))
    different = (one.what[:rows] != other.what[:rows]).any(axis=1) | (one.time[:rows] != other.time[:rows])
    different |= one.detail[:rows] != other.detail[:rows]
    where = int(np.argmax(different)) if different.any() else None
    assert where is None, (where, one.what[where - 3 : where + 2], other.what[where - 3 : where + 2], one.time[where])
    assert len(one.time) == len(other.time)
    for name, first, second in zip(reference.outcome()._fields, reference.outcome(), compiled.outcome(), strict=True):
        np.testing.assert_array_equal(first, second, err_msg=name)
    for first, second in zip(reference.histograms(), compiled.histograms(), strict=True):
        np.testing.assert_array_equal(first, second, err_msg="histograms")
    np.testing.assert_array_equal(reference.quantiles(), compiled.quantiles(), err_msg="quantiles")
    return reference


@pytest.mark.parametrize("seed", [0, 1, 2**63])
@pytest.mark.parametrize("build", livesim_models.EVERY)
def test_every_verb_is_equal_to_the_bit(build: Callable[[], Model], seed: int) -> None:
    reference = assert_equal(build(), seed, 500.0)
    assert reference.fault is None
    assert reference.events > 20
