"""Random models, replicated in random ways: each replication is `run` to the bit, and keeps its books."""

import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import livesim as ls
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from livesim_runs import same
from test_random_models import models

ASKED = st.fixed_dictionaries(
    {
        "warmup": st.sampled_from([None, 7.0, 20.0]),
        "every": st.sampled_from([None, 4.0]),
        "quantiles": st.sampled_from([(), (0.5, 0.9)]),
        "seed": st.integers(0, 2**64 - 1),
    }
)


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(models(), ASKED, st.integers(1, 4), st.integers(0, 5))
def test_replications_of_random_models(model: ls.Model, asked: dict[str, Any], workers: int, stop_after: int) -> None:
    """Also where replications fail; whatever the workers, and stopped and gone on with."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            runs = ls.replicate(model, 3, until=40.0, progress=False, **asked)
        except ls.SimulationError as error:
            runs = error.runs  # type: ignore[attr-defined]
            assert len(runs.errors) == 3
            return
        one = ls.replicate(model, 3, until=40.0, progress=False, executor=lambda: ThreadPoolExecutor(workers), **asked)
        assert same(one, runs)
        store: dict[str, bytes] = {}
        calls = iter(range(100))
        ls.replicate(
            model, 3, until=40.0, progress=False, checkpoint=store, stop=lambda: next(calls) >= stop_after, **asked
        )
        assert same(ls.resume(store, progress=False), runs)
    for k in range(3):
        alone = dict(asked, warmup=asked["warmup"] or 0.0)
        if k in runs.errors:
            with pytest.raises((ls.SimulationError, AssertionError)) as caught:
                ls.run(model, 40.0, replication=k, **alone)
            assert runs.errors[k] == f"{type(caught.value).__name__}: {caught.value}"
            assert "L = lambda W" not in runs.errors[k]
            continue
        result = ls.run(model, 40.0, replication=k, **alone)
        assert runs.rows[k].tobytes() == np.array(list(result.values().values())).tobytes()
        if asked["every"] is None:
            continue
        span = result.times[-1] - result.start
        for path in result.values():
            if path.endswith((".number.mean", ".queue.mean", ".busy.mean")) and span == 40.0 - result.start:
                assert result.series(path).mean() == pytest.approx(result.value(path), rel=1e-9, abs=1e-9)
