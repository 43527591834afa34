"""What a listener knows of a run: against ArviZ where it is exact, closed forms beyond, and messages that misbehave.

AR(1) chains x_t = phi x_{t-1} + noise have an effective sample size of (1 - phi) / (1 + phi) a draw. A hundred
independent ones give its estimate's mean error and spread at once.
"""

import subprocess
import sys
import threading
from collections.abc import Iterable
from typing import Any

import livenuts as ln
import numpy as np
import pytest
from arviz_stats.base import array_stats
from livenuts import dist
from livenuts.batches import BLOCK, Batches, Trace, diagnose
from livenuts_checks import Z
from scipy.signal import lfilter


def draw(chain: int, seq: int, values: dict[str, Any], diverging: bool = False) -> dict[str, Any]:
    return {
        "type": "nuts.draw/1",
        "part": f"chain-{chain}",
        "seq": seq,
        "chain": chain,
        "draw": seq,
        "values": values,
        "stats": {"diverging": diverging},
    }


def heard(chains: Iterable[np.ndarray]) -> ln.RunningSummary:
    """A summary that heard chains of shape (draw, scalar)."""
    running = ln.RunningSummary()
    for chain, values in enumerate(chains):
        for seq, x in enumerate(values):
            running(draw(chain, seq, {"x": x}))
    return running


def grown(draws: np.ndarray) -> Trace:
    """A chain of (draw, scalar), without messages."""
    whole = len(draws) - len(draws) % BLOCK
    batches = Batches(draws.shape[1])
    for block in draws[:whole].reshape(-1, BLOCK, draws.shape[1]):
        batches.add(block)
    return batches.trace(draws[whole:])


def autoregressive(phi: float, shape: tuple[int, int, int], seed: int) -> np.ndarray:
    """Stationary AR(1) chains of variance 1, (chain, draw, scalar)."""
    noise = np.random.default_rng(seed).standard_normal(shape) * np.sqrt(1.0 - phi**2)
    noise[:, 0] /= np.sqrt(1.0 - phi**2)
    return lfilter([1.0], [1.0, -phi], noise, axis=1)


def arviz(draws: np.ndarray, method: str) -> np.ndarray:
    return np.asarray(array_stats.ess(draws, chain_axis=0, draw_axis=1, method=method))


# -- exact -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("num_chains", [1, 4])
@pytest.mark.parametrize("num_draws", [4, 5, 7, 64, 130, 777, 1000, 1024])
def test_up_to_1024_draws_it_is_arviz(num_chains: int, num_draws: int) -> None:
    """Antithetic chains and slow ones, chains that disagree, a constant."""
    columns = [autoregressive(phi, (num_chains, num_draws, 1), seed=1) for phi in (-0.9, -0.5, 0.0, 0.9, 0.99)]
    apart = columns[2] + np.arange(num_chains)[:, None, None]
    draws = np.concatenate([*columns, apart], axis=2)
    half = num_draws // 2
    halves = np.concatenate([draws[:, :half], draws[:, -half:]])
    found = heard(np.concatenate([draws, np.full_like(apart, 0.1)], axis=2)).summary().columns
    r_hat = np.sqrt((half - 1) / half + halves.mean(1).var(0, ddof=1) / halves.var(1, ddof=1).mean(0))
    np.testing.assert_allclose(found["r_hat"][:-1], r_hat, rtol=1e-9)
    np.testing.assert_allclose(found["ess_mean"][:-1], arviz(draws, "mean"), rtol=1e-9)
    assert np.isnan(found["r_hat"][-1])
    assert found["ess_mean"][-1] == 2 * num_chains * half
    np.testing.assert_allclose(found["mcse_mean"], found["sd"] / np.sqrt(found["ess_mean"]))


@pytest.mark.parametrize("num_draws", [1, 3, 63, 64, 65, 1024, 1025, 5000, 70_000, 140_001])
def test_mean_and_sd_are_of_every_draw(num_draws: int) -> None:
    """Through all doublings, with an offset that a sum of squares would not survive, and a shorter chain beside."""
    rng = np.random.default_rng(num_draws)
    chains = [rng.normal(1e8, 1.0, (n, 2)) for n in (num_draws, 1 + num_draws // 3)]
    traces = [grown(chain) for chain in chains]
    assert max(len(trace.batches.mean) for trace in traces) <= 1024 + BLOCK
    found = diagnose(traces, 2)
    every = np.concatenate(chains)
    np.testing.assert_allclose(found["mean"], every.mean(0), rtol=1e-15 * 50)
    np.testing.assert_allclose(found["sd"], every.std(0, ddof=1), rtol=1e-6)
    without_last = np.concatenate([chains[0][:-1], chains[1]])
    assert (found["mean"] != without_last.mean(0)).all()  # the poison: a lost draw


@pytest.mark.parametrize("num_draws", [1000, 4096, 2**17])
def test_r_hat_of_shifted_chains(num_draws: int) -> None:
    """Draws c + 1 and c - 1 in turn: W = n / (n - 1) and B / n = Var(c), over half chains of n draws, by hand."""
    means = np.array([[0.0, 0.0], [0.5, 0.5], [0.0, 0.25], [-0.25, 0.75]])
    half = num_draws // 2
    signs = np.tile([1.0, -1.0], half // 2)
    chains = [np.concatenate([c + signs for c in pair])[:, None] for pair in means]
    expected = np.sqrt((half - 1) / half * (1 + means.var(ddof=1)))
    found = diagnose([grown(chain) for chain in chains], 1)["r_hat"][0]
    assert found == pytest.approx(expected, rel=1e-12)
    # The poison: whole chains would not see a chain that drifts.
    whole = np.sqrt((half - 1) / half * (1 + means.mean(1).var(ddof=1)))
    assert abs(whole - expected) > 0.01


@pytest.mark.parametrize("num_draws", [2048, 8192, 2**17])
def test_r_hat_of_batches_is_that_of_the_draws(num_draws: int) -> None:
    draws = autoregressive(0.9, (3, num_draws, 4), seed=2) + np.linspace(0.0, 0.3, 3)[:, None, None]
    found = diagnose([grown(chain) for chain in draws], 4)["r_hat"]
    expected = array_stats.rhat(draws, chain_axis=0, draw_axis=1, method="split")
    np.testing.assert_allclose(found, expected, rtol=1e-9)


# -- statistical -------------------------------------------------------------------------------------------------------


def z_of_time(draws: np.ndarray, expected: float, tolerance: float) -> float:
    """z-score of the mean autocorrelation time, N / ESS, over scalars, beyond a bias of `tolerance`."""
    ess = diagnose([grown(chain) for chain in draws], draws.shape[2])["ess_mean"]
    time = draws.shape[0] * draws.shape[1] / ess / expected
    assert time.std() < 0.1 + 2.5 / np.sqrt(draws.shape[0] * draws.shape[1] / expected)
    return max(0.0, abs(time.mean() - 1.0) - tolerance) / (time.std() / np.sqrt(len(time)))


@pytest.mark.parametrize("num_draws", [1000, 3000, 20_000])
@pytest.mark.parametrize("phi", [-0.3, 0.0, 0.5, 0.9])
def test_ess_of_autoregressive_chains(phi: float, num_draws: int) -> None:
    """Four chains, a hundred scalars; Geyer's estimator is biased by up to 4 % here. z beyond 5: 6e-7 a check, 12."""
    time = (1.0 + phi) / (1.0 - phi)
    draws = autoregressive(phi, (4, num_draws, 100), seed=3)
    assert z_of_time(draws, time, tolerance=0.04) < Z


@pytest.mark.parametrize("num_draws", [1000, 20_000])
def test_the_ess_check_sees_a_trace_of_correlation(num_draws: int) -> None:
    """The poison: x_t + 0.1 x_{t-1}, of time 1.1^2 / 1.01 = 1.198, is not independent."""
    x = autoregressive(0.0, (4, num_draws + 1, 100), seed=4)
    assert z_of_time(x[:, 1:] + 0.1 * x[:, :-1], 1.0, tolerance=0.04) > Z
    assert z_of_time(x[:, 1:] + 0.1 * x[:, :-1], 1.1**2 / 1.01, tolerance=0.04) < Z


def test_chains_that_disagree_know_little() -> None:
    """Means two sds apart and 20,000 draws: a handful of effective draws, as ArviZ says."""
    draws = autoregressive(0.0, (2, 20_000, 3), seed=5) + np.array([0.0, 2.0])[:, None, None]
    found = diagnose([grown(chain) for chain in draws], 3)
    np.testing.assert_allclose(found["ess_mean"], arviz(draws, "mean"), rtol=0.1)
    assert (found["ess_mean"] < 5).all()
    assert (found["r_hat"] > 1.4).all()


def test_chains_of_unequal_length() -> None:
    """Independent draws count one each, wherever they come from; a chain that has hardly begun spoils nothing."""
    rng = np.random.default_rng(6)
    lengths = (20_000, 9_000, 2_500, 30)
    found = diagnose([grown(rng.standard_normal((length, 100))) for length in lengths], 100)
    ratio = sum(lengths) / found["ess_mean"]
    assert abs(ratio.mean() - 1.0) < 0.04 + Z * ratio.std() / 10  # false-alarm rate 6e-7
    assert abs(found["r_hat"] - 1.0).max() < 0.01


# -- with the sampler --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("num_samples", [1000, 4000])
def test_a_sink_of_a_run(num_samples: int) -> None:
    """NUTS on normals is antithetic. Of its draws the ESS is ArviZ's exactly up to 1024, and within 25 % (four times
    the spread beside it) of bulk and mean ESS later."""
    model = (
        ln.Model("heard")
        .rv("a", dist.Normal(0, 1))
        .rv("b", dist.Normal("a", 1), shape=2)
        .rv("c", dist.Normal(0, 3), shape=(2, 2))
    )
    running = ln.RunningSummary()
    result = ln.sample(model, num_samples=num_samples, seed=1, sink=running, progress=False)
    table = running.summary()
    assert list(table) == list(result.summary())
    assert (table.num_chains, table.num_draws) == (4, num_samples)
    assert {k: tuple(v) for k, v in running.chains.items()} == {
        k: (num_samples, 0, int(result.stats["diverging"][k].sum())) for k in range(4)
    }
    for name, scalar in (("a", "a"), ("b", "b[1]"), ("c", "c[1, 0]")):
        values = result.draws[name].reshape(4, num_samples, -1)[:, :, {"a": 0, "b[1]": 1, "c[1, 0]": 2}[scalar]]
        row = table[scalar]
        assert row["mean"] == pytest.approx(values.mean(), rel=1e-12)
        assert row["sd"] == pytest.approx(values.std(ddof=1), rel=1e-12)
        if num_samples <= 1024:
            assert row["ess_mean"] == pytest.approx(float(arviz(values, "mean")), rel=1e-9)
        assert row["ess_mean"] == pytest.approx(float(arviz(values, "mean")), rel=0.25)
        assert row["ess_mean"] == pytest.approx(float(arviz(values, "bulk")), rel=0.25)
    assert str(running).splitlines()[-1] == f"4 chains of {num_samples} draws, {table.divergences} divergences"


WITHOUT_JAX = """
import sys
import livenuts as ln
from livenuts.messages import Draw
running = ln.RunningSummary()
for seq in range(8):
    about = {"type": "nuts.draw/1", "part": "chain-0", "chain": 0, "seq": seq, "draw": seq}
    running(Draw(**about, values={"x": seq % 3}, stats={"diverging": False}))
assert running.summary()["x"]["mean"] == 0.875
assert {*ln.__all__, "exp"} <= {*dir(ln)}
assert "jax" not in sys.modules, "a listener imported JAX"
ln.sample
assert "jax" in sys.modules
"""


def test_a_listener_imports_no_jax() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_JAX], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def test_asked_while_it_listens() -> None:
    """Chains' threads feed it, and a stop asks it: the run ends when its mean is known well enough."""
    model = ln.Model("pair").rv("a", dist.Normal(0, 1)).rv("b", dist.Normal("a", 1))
    running = ln.RunningSummary(names=["b"])

    def enough() -> bool:
        return len(running.chains) == 4 and running.summary()["b"]["ess_mean"] > 500

    result = ln.sample(model, num_samples=1_000_000, seed=1, sink=running, stop=enough, progress=False)
    assert result.status == "stopped"
    assert [chain.draws for chain in running.chains.values()] == result.lengths
    assert running.summary().rows == ("b",)
    assert running.summary()["b"]["ess_mean"] > 400


# -- messages that misbehave -------------------------------------------------------------------------------------------


def test_repeats_count_once_and_gaps_are_counted() -> None:
    running = ln.RunningSummary()
    for seq in (5, 6, 7, 7, 6, 9):
        running(draw(0, seq, {"x": float(seq)}, diverging=seq == 7))
    assert tuple(running.chains[0]) == (4, 6, 1)  # 0 to 4 were before its time, 8 is lost
    assert running.summary()["x"]["mean"] == (5 + 6 + 7 + 9) / 4
    # A whole run sent again, from its beginning, after blocks of it were taken in.
    x = np.random.default_rng(7).standard_normal((200, 1))
    twice = heard([x])
    before = str(twice)
    for seq in range(200):
        twice(draw(0, seq, {"x": x[seq]}))
    assert str(twice) == before
    assert twice.chains[0].draws == 200


def test_other_messages_are_left_alone() -> None:
    running = ln.RunningSummary()
    for kind in ("nuts.warmup/1", "nuts.progress/1", "nuts.end/1", "spc.point/1", "nuts.draw/2"):
        running({"type": kind, "part": "p", "seq": 0})
    assert running.chains == {}
    assert len(running.summary()) == 0
    assert running.summary().num_draws == 0
    assert "0 chains" in str(running)


def test_no_variable_is_a_table_without_rows() -> None:
    for running in (ln.RunningSummary(names=[]), ln.RunningSummary()):
        for seq in range(5000):
            running(draw(0, seq, {"x": np.empty((0, 3))}))
        assert (running.summary().rows, running.chains[0].draws) == ((), 5000)


def test_too_few_draws_tell_nothing() -> None:
    running = heard([np.zeros((1, 1))])
    assert np.isnan([running.summary()["x[0]"][column] for column in ("sd", "r_hat", "ess_mean")]).all()
    running = heard([np.arange(3.0)[:, None]] * 2)
    row = running.summary()["x[0]"]
    assert (row["mean"], row["sd"]) == (1.0, pytest.approx(np.sqrt(0.8)))
    assert np.isnan([row["r_hat"], row["ess_mean"]]).all()


def test_what_is_not_finite_stays_with_its_scalar() -> None:
    x = np.random.default_rng(8).standard_normal((2, 3000, 2))
    x[0, 100, 0] = np.inf
    columns = heard(x).summary().columns
    assert not np.isfinite(columns["mean"][0])
    clean = heard(x[:, :, 1:]).summary().columns
    for name, values in columns.items():
        assert values[1] == pytest.approx(clean[name][0], rel=1e-12)


def test_what_cannot_be_one_run_is_an_error() -> None:
    running = ln.RunningSummary()
    start = {"type": "nuts.start/1", "part": "run", "seq": 0, "model": "m", "digest": "d", "seed": 1}
    running(start)
    running(dict(start))
    with pytest.raises(ValueError, match="seed was 1, and is 2"):
        running(start | {"seed": 2})
    with pytest.raises(ValueError, match="no variable 'y'; variables are x"):
        ln.RunningSummary(names=["y"])(draw(0, 0, {"x": 1.0}))
    for wrong in ({"y": 1.0}, {"x": np.zeros(2)}):
        running = heard([np.zeros((63, 1))])
        with pytest.raises(ValueError, match=r"draws 0 to 63 of chain 0 .* of the first draw: x \[1\]"):
            running(draw(0, 63, wrong))


def test_many_threads_at_once() -> None:
    """Eight chains from eight threads, asked all the while: no draw is lost."""
    x = np.random.default_rng(9).standard_normal((8, 500, 1))
    running = ln.RunningSummary()
    done = threading.Event()

    def feed(chain: int) -> None:
        for seq in range(500):
            running(draw(chain, seq, {"x": x[chain, seq]}))

    def ask() -> None:
        while not done.is_set():
            running.summary()

    reader = threading.Thread(target=ask)
    reader.start()
    writers = [threading.Thread(target=feed, args=(chain,)) for chain in range(8)]
    for thread in writers:
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    reader.join()
    assert str(running) == str(heard(x))
