"""Quantiles of jobs' times: of the very times that the kernel's tallies saw, and right for M/M/1."""

import math
from collections.abc import Callable
from typing import Any

import livesim as ls
import numpy as np
import pytest
from livesim.compiler.table import compile_model
from livesim.job_times import job_times
from livesim_models import EVERY, barbershop


@pytest.mark.parametrize("warmup", [0.0, 70.0])
@pytest.mark.parametrize("build", EVERY)
def test_the_times_are_those_of_the_tallies(build: Callable[[], ls.Model], warmup: float) -> None:
    """Of every verb: as many jobs, and the same mean and extremes, as the tallies that the kernel keeps."""
    result = ls.run(build(), 400.0, seed=3, trace=True, warmup=warmup, quantiles=(0.01, 0.5, 0.99))
    names = compile_model(build())[1]
    assert result.trace is not None
    first = int(np.searchsorted(result.trace.rows.time, warmup, side="right")) if warmup else 0
    times = job_times(names, result.trace.rows, first)
    seen = 0
    for process in names.processes:
        for what in ("wait", "sojourn"):
            tally, found = getattr(result[process], what), times[seen]
            seen += 1
            assert len(found) == tally.count
            if tally.count:
                assert found.mean() == pytest.approx(tally.mean, rel=1e-9, abs=1e-12)
                assert found.max() == pytest.approx(tally.max, rel=1e-9, abs=1e-12)
                assert result.value(f"{process}.{what}.p50") == np.median(found)
                assert tally.min <= result.value(f"{process}.{what}.p01") <= result.value(f"{process}.{what}.p99")


def test_quantiles_of_m_m_1() -> None:
    """Times in the system are exponential, of mean 1 / (mu - lambda): 4 sigma of 40 replications; 10 % more is seen."""
    runs = ls.replicate(
        barbershop(service=9.0), 40, until=60_000.0, warmup=1_000.0, seed=2, quantiles=(0.5, 0.95), progress=False
    )
    for q, name in ((0.5, "p50"), (0.95, "p95")):
        exact = -18.0 * math.log(1.0 - q)
        values = runs.values(f"customer.sojourn.{name}")
        error = values.std(ddof=1) / math.sqrt(len(values))
        assert abs(values.mean() - exact) < 4 * error
        assert abs(1.1 * values.mean() - exact) > 4 * error


def test_asking_changes_no_other_number_and_is_kept() -> None:
    asked: dict[str, Any] = {"until": 500.0, "seed": 5, "progress": False}
    plain, more = ls.replicate(barbershop(), 4, **asked), ls.replicate(barbershop(), 4, quantiles=[0.9], **asked)
    assert more.paths == (*plain.paths, "customer.wait.p90", "customer.sojourn.p90")
    assert more.rows[:, :-2].tobytes() == plain.rows.tobytes()
    one = ls.run(barbershop(), 500.0, seed=5, replication=2, quantiles=[0.9], engine="reference")
    assert one.value("customer.wait.p90") == more.values("customer.wait.p90")[2]
    assert one.trace is None
    store: dict[str, bytes] = {}
    ls.replicate(barbershop(), 4, quantiles=[0.9], checkpoint=store, **asked)
    assert ls.resume(store, progress=False).rows.tobytes() == more.rows.tobytes()


@pytest.mark.parametrize(
    ("quantiles", "words"),
    [
        ((0.5, 1.0), "whole percentage between 0 and 1, such as 0.95, got 1.0"),
        ((0.999,), "whole percentage between 0 and 1, such as 0.95, got 0.999"),
        (0.95, r"must be numbers such as \(0.5, 0.95\), got 0.95"),
        (("most",), "must be numbers such as"),
    ],
)
def test_bad_quantiles_are_refused(quantiles: Any, words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=words):
        ls.run(barbershop(), 100.0, seed=1, quantiles=quantiles)
    with pytest.raises((TypeError, ValueError), match=words):
        ls.replicate(barbershop(), 2, until=100.0, seed=1, quantiles=quantiles, progress=False)
    with pytest.raises(ValueError, match="quantiles want every job from its arrival on"):
        ls.run(barbershop(), 200.0, start=ls.run(barbershop(), 100.0, seed=1).snapshot, quantiles=(0.5,))
