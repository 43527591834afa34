"""The same seed gives the same bits, however the run is watched, cut, threaded or started."""

import hashlib
import os
import subprocess
import sys
from typing import Any

import jax
import livenuts as ln
import numpy as np
import pytest
from livenuts import dist, ref
from livenuts.adaptation.one_thread import one_thread
from livenuts.runtime import moves
from livenuts_checks import run_threads
from threadpoolctl import threadpool_info

TESTS = os.path.dirname(__file__)
RUN: dict[str, Any] = {"num_warmup": 120, "num_samples": 80, "num_chains": 2, "progress": False}


def schools() -> ln.Model:
    """Eight schools with every kind of output: vectors, constrained scalars, deterministics."""
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


def bits(result: ln.Result) -> dict[str, str]:
    """A digest of every array that a run made."""
    tuning = result.tuning
    arrays = result.draws | result.stats
    arrays |= {"step": tuning.step_size, "scale": tuning.scale, "positions": tuning.positions}
    arrays |= {"directions": tuning.directions, "variances": tuning.variances}
    return {name: hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest() for name, values in arrays.items()}


@pytest.fixture(scope="module")
def plain() -> ln.Result:
    return ln.sample(schools(), seed=5, **RUN)


def test_again(plain: ln.Result) -> None:
    assert bits(ln.sample(schools(), seed=5, **RUN)) == bits(plain)


def test_another_seed_differs(plain: ln.Result) -> None:
    other = ln.sample(schools(), seed=6, **RUN)
    assert not np.isin(other.draws["mu"], plain.draws["mu"]).any()
    assert not np.isin(plain.draws["mu"][0], plain.draws["mu"][1]).all()


def test_a_drawn_seed_is_kept_and_repeats() -> None:
    first = ln.sample(schools(), **RUN)
    assert bits(ln.sample(schools(), seed=first.seed, **RUN)) == bits(first)
    assert ln.sample(schools(), **RUN).seed != first.seed


def fingerprint(message: dict[str, Any]) -> tuple[Any, ...]:
    """A message as bytes that compare."""
    values = {name: np.asarray(value).tobytes() for name, value in message.get("values", {}).items()}
    return (message["type"], message["part"], message["seq"], str(message.get("stats")), str(sorted(values.items())))


def heard(**arguments: Any) -> tuple[ln.Result, dict[str, list[Any]]]:
    messages: dict[str, list[Any]] = {}

    def sink(message: dict[str, Any]) -> None:
        if message["part"] != "progress":
            messages.setdefault(message["part"], []).append(fingerprint(message))

    return ln.sample(schools(), sink=sink, **RUN | arguments), messages


@pytest.mark.parametrize(("first", "seconds"), [(1, 0.0), (7, 1e-5), (17, 1e-3), (10_000, 10.0)])
def test_chunks_and_listeners_change_nothing(
    plain: ln.Result, monkeypatch: pytest.MonkeyPatch, first: int, seconds: float
) -> None:
    """Chunks of one draw, of a few, and as long as they come; draws, tuning and messages are the same bits."""
    everything = heard(seed=5)[1]
    monkeypatch.setattr(moves, "_FIRST_CHUNK", first)
    monkeypatch.setattr(moves, "_CHUNK_SECONDS", seconds)
    lengths: list[int] = []
    chunk = moves.chunk
    monkeypatch.setattr(moves, "chunk", lambda team, n: (lengths.append(n), chunk(team, n))[1])
    for program in list(_programs()):
        program.seconds_per_draw = None
    result, messages = heard(seed=5)
    assert max(lengths) == 1 if seconds == 0.0 else max(lengths) > 1
    assert bits(result) == bits(plain)
    assert messages == everything


def test_a_chunk_in_the_key_would_show(plain: ln.Result, monkeypatch: pytest.MonkeyPatch) -> None:
    """Poison: random numbers that know how draws are grouped."""
    chunk = moves.chunk

    def poisoned(team: Any, count: int) -> None:
        for chain in team:
            chain.key = np.uint64(chain.key + np.uint64(1))
        chunk(team, count)

    monkeypatch.setattr(moves, "chunk", poisoned)
    assert bits(ln.sample(schools(), seed=5, **RUN)) != bits(plain)


def _programs() -> Any:
    from livenuts.compiler.target import compile_model

    return compile_model(schools()).target.programs.values()


def test_a_message_holds_the_draw(plain: ln.Result) -> None:
    draws: dict[tuple[int, int], dict[str, Any]] = {}

    def sink(message: dict[str, Any]) -> None:
        if message["type"] == "nuts.draw/1":
            draws[message["chain"], message["draw"]] = message

    ln.sample(schools(), seed=5, sink=sink, **RUN)
    assert len(draws) == 160
    for (chain, draw), message in draws.items():
        for name, values in plain.draws.items():
            np.testing.assert_array_equal(message["values"][name], values[chain, draw])
        for name, value in message["stats"].items():
            assert value == plain.stats[name][chain, draw]


def test_an_independent_chain_does_not_know_its_neighbours(plain: ln.Result) -> None:
    one, two, four = (
        ln.sample(schools(), seed=5, adaptation="independent", **RUN | {"num_chains": chains}) for chains in (1, 2, 4)
    )
    for name, values in two.draws.items():
        np.testing.assert_array_equal(one.draws[name][0], values[0])
        np.testing.assert_array_equal(four.draws[name][:2], values)
        assert not np.array_equal(plain.draws[name], values)  # pooled chains do


def test_runs_in_threads_do_not_meet(plain: ln.Result) -> None:
    for result in run_threads(lambda _: ln.sample(schools(), seed=5, **RUN), 4):
        assert bits(result) == bits(plain)


def test_fewer_draws_are_the_first_of_more(plain: ln.Result) -> None:
    shorter = ln.sample(schools(), seed=5, **RUN | {"num_samples": 30})
    for name, values in shorter.draws.items():
        np.testing.assert_array_equal(values, plain.draws[name][:, :30])


@pytest.mark.parametrize("metric", ["diag", "dense"])
def test_wide_models_with_short_chunks(monkeypatch: pytest.MonkeyPatch, metric: str) -> None:
    """37 variables, so that vector instructions have remainders; a row's place in a chunk must not show."""
    model = ln.Model("wide").rv("x", dist.Gamma(2.0, 1.0), shape=37).det("y", ln.log(ref("x")) / 3.0 + ref("x") ** 1.5)
    run: dict[str, Any] = {"num_warmup": 60, "num_samples": 60, "num_chains": 1, "seed": 8, "progress": False}
    whole = ln.sample(model, metric=metric, **run)
    monkeypatch.setattr(moves, "_FIRST_CHUNK", 1)
    monkeypatch.setattr(moves, "_CHUNK_SECONDS", 0.0)
    assert bits(ln.sample(model, metric=metric, **run)) == bits(whole)


SCRIPT = """
import os, sys, warnings
warnings.simplefilter("error")
if "{cores}": os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:int("{cores}")])
import jax
if "{x64}": jax.config.update("jax_enable_x64", "{x64}" == "1")
before = jax.config.jax_enable_x64, jax.numpy.ones(1).dtype
sys.path.insert(0, {tests!r})
import test_determinism as t
import livenuts as ln
result = ln.sample(t.schools(), seed=5, **t.RUN)
assert (jax.config.jax_enable_x64, jax.numpy.ones(1).dtype) == before
assert all(values.dtype.itemsize in (1, 8) for values in (result.draws | result.stats).values())
for name, digest in t.bits(result).items(): print("schools", name, digest)
for name, digest in t.bits(ln.sample(t.large(), **t.LARGE)).items(): print("large", name, digest)
"""


def large() -> ln.Model:
    """Enough data, and enough parameters, for XLA and LAPACK to divide the work among threads where they may."""
    rng = np.random.default_rng(0)
    design, mixing = rng.normal(size=(3000, 30)), rng.normal(size=(90, 5))
    return (
        ln.Model("large")
        .data("design", design)
        .data("mixing", mixing)
        .rv("slope", dist.Normal(0, 1), shape=30)
        .rv("factor", dist.Normal(0, 3), shape=5)
        .rv("own", dist.Normal(0, 1), shape=90)
        .obs("y", dist.Normal(ref("design") @ ref("slope"), 1.0), design @ rng.normal(size=30) + rng.normal(size=3000))
        .obs("z", dist.Normal(ref("mixing") @ ref("factor") + ref("own"), 0.3), rng.normal(size=90))
    )


LARGE: dict[str, Any] = {"num_warmup": 110, "num_samples": 20, "num_chains": 2, "seed": 5, "metric": "low_rank"}
LARGE |= {"progress": False}

# Threads of the linear algebra and of XLA, cores, and the user's own setting of double precision.
PROCESSES = [("1", "1", ""), ("2", "", "1"), ("4", "", "0")]


@pytest.fixture(scope="module")
def processes() -> list[subprocess.Popen[str]]:
    """The same two runs in other processes, all at the same time."""
    started = []
    for threads, cores, x64 in PROCESSES:
        script = SCRIPT.format(x64=x64, cores=cores if hasattr(os, "sched_setaffinity") else "", tests=TESTS)
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": "123"}
        environment |= {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads, "NPROC": threads}
        command = [sys.executable, "-c", script]
        started.append(
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        )
    return started


@pytest.mark.parametrize("number", range(len(PROCESSES)), ids=["-".join(process) for process in PROCESSES])
def test_other_processes_threads_and_precisions(
    plain: ln.Result, processes: list[subprocess.Popen[str]], number: int
) -> None:
    """One, two and four threads; the user's own setting of double precision neither matters nor changes."""
    output, errors = processes[number].communicate(timeout=240)
    assert processes[number].returncode == 0, errors
    found: dict[str, dict[str, str]] = {}
    for line in output.splitlines():
        model, name, digest = line.split()
        found.setdefault(model, {})[name] = digest
    assert found == {"schools": bits(plain), "large": bits(ln.sample(large(), **LARGE))}


def test_linear_algebra_of_warm_up_has_one_thread() -> None:
    """While any chain is inside; afterwards as many as before. Small matrices are left alone."""

    def threads() -> list[int]:
        return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]

    before = threads()
    with one_thread(rows=100):
        with one_thread(rows=100):
            assert set(threads()) == {1}
        assert set(threads()) == {1}
    assert threads() == before
    with one_thread(rows=3):
        assert threads() == before


@pytest.mark.parametrize("metric", ["low_rank", "dense"])
def test_a_sink_and_short_chunks_change_nothing_for_any_metric(monkeypatch: pytest.MonkeyPatch, metric: str) -> None:
    """And the neighbours do not matter to independent chains, whatever metric they learn."""
    run: dict[str, Any] = {"seed": 5, "metric": metric, "adaptation": "independent"}
    whole = ln.sample(schools(), **RUN | run)
    monkeypatch.setattr(moves, "_FIRST_CHUNK", 1)
    monkeypatch.setattr(moves, "_CHUNK_SECONDS", 0.0)
    assert bits(heard(**run)[0]) == bits(whole)
    alone = ln.sample(schools(), **RUN | run | {"num_chains": 1})
    for name, values in alone.draws.items():
        np.testing.assert_array_equal(values[0], whole.draws[name][0])


def test_single_precision_is_untouched_here(plain: ln.Result) -> None:
    assert not jax.config.jax_enable_x64
    assert jax.numpy.ones(1).dtype == np.float32
    assert plain.draws["mu"].dtype == np.float64
