"""Blocks of rows over threads: each row once, errors told, and equal bits for any number of threads."""

import threading

import numpy as np
import pytest
from livesmc2 import log_likelihoods
from livesmc2.runtime import blocks
from livesmc2.runtime.blocks import Crew
from livesmc2_exact import ar_model


@pytest.mark.parametrize("threads", [1, 2, 3, 7])
@pytest.mark.parametrize("particle_steps", [0, 60_000, 10_000_000])
def test_each_row_is_worked_on_once(threads: int, particle_steps: int) -> None:
    crew, done = Crew(threads), np.zeros(101, np.int64)

    def work(rows: np.ndarray) -> None:
        done[rows] += 1

    for turn in range(1, 21):
        crew.each(work, np.arange(101), particle_steps)
        assert (done == turn).all()
    crew.close()


def test_threads_share_the_work() -> None:
    """The caller and a helper meet in their blocks: neither could go on alone."""
    crew, meeting = Crew(2), threading.Barrier(2)
    crew.each(lambda rows: [meeting.wait(60)], np.arange(2), 2 * blocks._WORTH_A_THREAD)
    crew.close()


@pytest.mark.parametrize("bad", [0, 50, 99])
def test_an_error_in_any_block_reaches_the_caller(bad: int) -> None:
    crew = Crew(3)

    def work(rows: np.ndarray) -> None:
        if bad in rows:
            raise ArithmeticError(f"row {bad}")

    for _ in range(20):
        with pytest.raises(ArithmeticError, match=f"row {bad}"):
            crew.each(work, np.arange(100), 10_000_000)
    done = []
    crew.each(done.append, np.arange(100), 10_000_000)
    assert sorted(np.concatenate(done).tolist()) == list(range(100))
    crew.close()


def test_likelihoods_do_not_depend_on_threads() -> None:
    theta = {"rho": np.linspace(0.5, 0.95, 90), "sx": 1.0, "sy": 1.0}
    ys = np.sin(np.arange(20.0))
    found = [log_likelihoods(ar_model(), theta, ys, n_x=100, seed=1, threads=threads) for threads in (1, 2, 5)]
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])
