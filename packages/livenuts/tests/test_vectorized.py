"""All chains in one program: the draws that threads make, to rounding, and everything that a run promises.

Statistical checks are z-scores: beyond 5 with probability 6e-7 each. About 40 are taken, so the false-alarm rate of
this file is 3e-5.
"""

import signal
import threading
from typing import Any

import livenuts as ln
import numpy as np
import pytest
from livenuts import dist, ref
from livenuts.runtime import vectorized
from livenuts.runtime.settings import Settings
from livenuts_checks import failures, z_of_mean, z_scores
from scipy import stats
from test_messages import Listener, check_conformance

ONE: dict[str, Any] = {"chain_method": "vectorized", "progress": False}


def schools() -> ln.Model:
    return (
        ln.Model("eight schools")
        .data("sigma", [15, 10, 16, 11, 9, 11, 10, 18])
        .rv("mu", dist.Normal(0, 5))
        .rv("tau", dist.HalfNormal(5))
        .rv("theta", dist.Normal("mu", "tau"), shape=8)
        .rv("share", dist.Dirichlet(np.ones(3)))
        .det("effect", ln.exp(ref("theta") / 10.0) * ref("tau"))
        .obs("y", dist.Normal("theta", "sigma"), [28, 8, -3, 7, -1, 1, 18, 12])
    )


def arrays(result: ln.Result) -> dict[str, np.ndarray]:
    tuning = result.tuning
    return result.draws | result.stats | {"step": tuning.step_size, "mass": tuning.inverse_mass, "at": tuning.positions}


def assert_same_bits(one: ln.Result, other: ln.Result) -> None:
    for name, values in arrays(one).items():
        np.testing.assert_array_equal(values, arrays(other)[name], err_msg=name)


# -- the same chains ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", ["diag", "dense"])
def test_the_draws_are_those_of_threads(metric: str) -> None:
    """With metric and step size given, both make the same trees from the same random numbers: 60 draws, to 1e-6.

    Poison: other keys make other draws.
    """
    tuning = ln.sample(schools(), seed=1, num_samples=1, metric=metric, num_chains=3, progress=False).tuning
    tuning = ln.Tuning.of(metric, [tuning.metrics()[0]] * 3, **{
        name: getattr(tuning, name) for name in ("step_size", "positions", "num_warmup", "native")
    })  # fmt: skip
    run: dict[str, Any] = {"num_warmup": 0, "num_samples": 60, "num_chains": 3, "metric": metric, "progress": False}
    threads = ln.sample(schools(), seed=2, warm_start=tuning, **run)
    ours = ln.sample(schools(), seed=2, warm_start=tuning, **run | ONE)
    assert len(set(threads.stats["n_steps"].ravel())) > 2, "trees of several sizes"
    for name, values in (threads.draws | threads.stats).items():
        np.testing.assert_allclose((ours.draws | ours.stats)[name], values, rtol=1e-6, atol=1e-6, err_msg=name)
    other = ln.sample(schools(), seed=3, warm_start=tuning, **run | ONE)
    assert np.isclose(other.draws["mu"], ours.draws["mu"], rtol=1e-6).mean() < 0.5  # a chain may stand still


def test_the_search_for_a_step_is_that_of_threads() -> None:
    run: dict[str, Any] = {"num_warmup": 0, "num_samples": 30, "num_chains": 3, "seed": 4, "progress": False}
    threads, ours = ln.sample(schools(), **run), ln.sample(schools(), **run | ONE)
    np.testing.assert_array_equal(ours.stats["step_size"], threads.stats["step_size"])
    np.testing.assert_allclose(ours.draws["theta"], threads.draws["theta"], rtol=1e-6, atol=1e-6)


def test_a_chain_does_not_know_how_many_there_are() -> None:
    """Where nothing is learned together: the three of three and the first three of seven, to rounding."""
    run: dict[str, Any] = {"num_warmup": 0, "num_samples": 40, "seed": 5}
    few, many = (ln.sample(schools(), num_chains=count, **run | ONE) for count in (3, 7))
    np.testing.assert_allclose(few.draws["theta"], many.draws["theta"][:3], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("trips", "seconds"), [(1, 0.0), (7, 1e-3), (5000, 10.0)])
def test_calls_and_listeners_change_no_bit(monkeypatch: pytest.MonkeyPatch, trips: int, seconds: float) -> None:
    run: dict[str, Any] = {"num_warmup": 120, "num_samples": 30, "num_chains": 3, "seed": 6}
    plain = ln.sample(schools(), **run | ONE)
    monkeypatch.setattr(vectorized, "_FIRST_TRIPS", trips)
    monkeypatch.setattr(vectorized, "_CALL_SECONDS", seconds)
    assert_same_bits(ln.sample(schools(), sink=Listener(), **run | ONE), plain)


# -- posteriors --------------------------------------------------------------------------------------------------------


def test_moments_and_tails_of_a_normal() -> None:
    """300 chains of 400 draws each: mean, variance, spread, quantiles and 0.1 % tails, of scales 1000 apart.

    Poison: the same draws, 2 % wider, fail. Metric and step size come from all chains: every chain has the same.
    """
    model = ln.Model("normals").rv("a", dist.Normal(1.0, 0.1)).rv("b", dist.Normal(-5.0, 100.0))
    result = ln.sample(model, num_samples=400, num_chains=300, seed=7, **ONE)
    assert result.draws["a"].shape == (300, 400)
    assert result.tuning.num_warmup.tolist() == [100] * 300, "warm-up ends at the first draw where it may"
    for values in (result.tuning.step_size, result.tuning.scale):
        assert (values == values[0]).all()
    np.testing.assert_allclose(result.tuning.scale[0], [0.1, 100.0], rtol=0.05)
    for name, exact in (("a", stats.norm(1.0, 0.1)), ("b", stats.norm(-5.0, 100.0))):
        draws = result.draws[name]
        assert failures(z_scores(draws, exact)) == {}
        for probability in (0.001, 0.999):
            assert abs(z_of_mean((draws <= exact.ppf(probability)).astype(float), probability)) < 5
        assert failures(z_scores(exact.mean() + 1.02 * (draws - exact.mean()), exact))
    # Chains are independent: their means vary as such means do (a chi-square of 299, 5 standard deviations).
    means = result.draws["a"].mean(1)
    within = np.mean([1 / z_of_mean(chain[None], 1.0) ** 2 * (chain.mean() - 1.0) ** 2 for chain in result.draws["a"]])
    assert abs(means.var(ddof=1) / within - 1) < 5 * np.sqrt(2 / 299)


def test_one_chain() -> None:
    result = ln.sample(ln.Model("one").rv("x", dist.Gamma(2.0, 1.0)), num_samples=20_000, num_chains=1, seed=8, **ONE)
    assert failures(z_scores(result.draws["x"], stats.gamma(2.0))) == {}


def test_trees_of_unequal_size() -> None:
    """Chains of a funnel differ in tree size by tens: each is still its own chain, and y is N(0, 9)."""
    model = ln.Model("funnel").rv("y", dist.Normal(0, 3))
    model.rv("x", dist.Normal(0, ln.exp(ref("y") / 2)), shape=9, reparam="non_centered")
    model.rv("far", dist.StudentT(4.0, 0.0, 1.0))
    result = ln.sample(model, num_samples=1000, num_chains=32, seed=9, **ONE)
    assert failures(z_scores(result.draws["y"], stats.norm(0, 3))) == {}
    z = result.draws["x"][..., 4] / np.exp(result.draws["y"] / 2)
    assert failures(z_scores(z, stats.norm())) == {}
    assert failures(z_scores(result.draws["far"], stats.t(4.0), variance=False)) == {}


# -- what every run promises -------------------------------------------------------------------------------------------


def test_messages_and_result() -> None:
    listener = Listener()
    run: dict[str, Any] = {"num_warmup": 60, "num_samples": 40, "num_chains": 3, "seed": 1}
    result = ln.sample(schools(), sink=listener, **run | ONE)
    check_conformance(listener.messages)
    assert listener.messages[0]["settings"]["chain_method"] == "vectorized"
    assert (result.status, result.lengths, result.tuning.native) == ("completed", [40] * 3, False)
    for chain in range(3):
        assert len(listener.part(f"chain-{chain}/warmup")) == 60
        heard = listener.part(f"chain-{chain}")
        for name, values in result.draws.items():
            np.testing.assert_array_equal([m["values"][name] for m in heard], values[chain], err_msg=name)
        assert [m["stats"]["n_steps"] for m in heard] == result.stats["n_steps"][chain].tolist()
    np.testing.assert_allclose(
        result.draws["effect"], np.exp(result.draws["theta"] / 10) * result.draws["tau"][..., None]
    )
    assert set(result.timings) == {"compile", "warmup", "sampling"}


FOREVER: dict[str, Any] = {"num_warmup": 20, "num_samples": 10_000_000, "num_chains": 3, "seed": 1, **ONE}


def test_stop_keeps_the_draws() -> None:
    listener = Listener()
    result = ln.sample(schools(), sink=listener, stop=lambda: len(listener.part("chain-2")) > 30, **FOREVER)
    assert result.status == "stopped"
    assert result.num_draws == min(result.lengths) > 20
    check_conformance(listener.messages)
    again = ln.sample(schools(), **FOREVER | {"num_samples": 20})
    np.testing.assert_array_equal(result.draws["theta"][:, :20], again.draws["theta"])
    early = ln.sample(schools(), stop=lambda: True, **FOREVER)
    assert (early.status, early.num_draws) == ("stopped", 0)


def test_control_c_keeps_the_draws() -> None:
    listener = Listener()
    pressed = threading.Event()

    def sink(message: dict[str, Any]) -> None:
        listener(message)
        if message["type"] == "nuts.draw/1" and message["seq"] == 50 and not pressed.is_set():
            pressed.set()
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    with pytest.warns(UserWarning, match="interrupted: the result holds"):
        result = ln.sample(schools(), sink=sink, **FOREVER)
    assert result.status == "interrupted"
    assert result.num_draws > 20
    assert listener.messages[-1]["draws"] == result.lengths


def test_a_sink_that_raises_stops_the_run_and_keeps_the_draws() -> None:
    def sink(message: dict[str, Any]) -> None:
        if message["type"] == "nuts.draw/1" and message["seq"] == 25:
            raise OSError("the line is dead")

    with pytest.raises(OSError, match="the line is dead") as caught:
        ln.sample(schools(), sink=sink, **FOREVER)
    result = caught.value.result  # type: ignore[attr-defined]
    assert result.status == "failed"
    assert result.lengths[0] > 25
    assert 0 < result.num_draws <= 25


def test_starts_are_found_or_given() -> None:
    """Positions given, positions outside the support found out, and another run's tuning, from threads or from here."""
    given = {"mu": 3.0, "tau": 2.0, "theta": np.arange(8.0), "share": np.array([0.2, 0.3, 0.5])}
    result = ln.sample(schools(), init=given, num_warmup=20, num_samples=5, num_chains=3, seed=1, **ONE)
    assert result.status == "completed"
    with pytest.raises(ValueError, match=r"init 'tau': .* is outside the support"):
        ln.sample(schools(), init={"tau": -1.0}, num_chains=3, seed=1, **ONE)
    with pytest.raises(ValueError, match="chain 0: no finite log density and gradient"):
        ln.sample(ln.Model("never").rv("x", dist.Normal(0, 1)).factor("f", ln.log(-1.0 - ref("x") ** 2)), **ONE)
    run: dict[str, Any] = {"num_samples": 50, "num_chains": 3, "progress": False}
    threads = ln.sample(schools(), seed=1, **run)
    for warm in (threads.tuning, ln.sample(schools(), seed=1, **run | ONE)):
        again = ln.sample(schools(), warm_start=warm, seed=2, **run | ONE)
        assert 0.5 < again.tuning.step_size[0] / threads.tuning.step_size[0] < 2.0


def test_what_it_cannot_do_is_refused() -> None:
    done = ln.sample(schools(), num_warmup=5, num_samples=5, **ONE)
    with pytest.raises(ValueError, match="extend needs a result of chain_method='threads'"):
        ln.extend(done, 5)
    with pytest.raises(ValueError, match="chain_method must be one of threads, vectorized, got 'parallel'"):
        ln.sample(schools(), chain_method="parallel")
    with pytest.raises(ValueError, match="gives all chains one metric: adaptation must be 'pooled', got 'independent'"):
        ln.sample(schools(), adaptation="independent", **ONE)
    settings = Settings(10, 10, 2, 0.8, 10, "auto", "pooled", True, "vectorized")
    vectorized.check(settings, executor=None, checkpoint=None)
    for name in ("executor", "checkpoint"):
        with pytest.raises(ValueError, match=f"{name}= needs chain_method='threads'"):
            vectorized.check(settings, **{name: object()})
