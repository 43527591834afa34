"""What advi, pathfinder and smc have in common: messages, seeds, stops, results, and NUTS that starts from them."""

import json
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import livenuts as ln
import numpy as np
import pytest
from livenuts import dist
from livenuts.inference.starting import fitted_positions
from livenuts.messages import TYPES

METHODS: dict[str, Callable[..., ln.Result]] = {"advi": ln.advi, "pathfinder": ln.pathfinder, "smc": ln.smc}
SMALL: dict[str, dict[str, Any]] = {
    "advi": {"num_samples": 40, "max_iterations": 300},
    "pathfinder": {"num_samples": 40, "num_paths": 3},
    "smc": {"num_samples": 40, "num_chains": 3},
}


def model() -> ln.Model:
    return (
        ln.Model("kept", coords={"k": ["a", "b"]})
        .rv("mu", dist.Normal(0, 1))
        .rv("s", dist.HalfNormal(1), dims="k")
        .det("twice", 2 * ln.ref("s"), dims=["k"])
        .obs("y", dist.Normal("mu", "s"), [0.5, -1.0])
    )


@pytest.fixture(params=sorted(METHODS))
def method(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def run(method: str, **arguments: Any) -> ln.Result:
    return METHODS[method](model(), **{"seed": 3, "progress": False} | SMALL[method] | arguments)


def lossless(messages: list[dict[str, Any]]) -> list[str]:
    return [json.dumps(message, default=lambda value: np.asarray(value).tolist()) for message in messages]


def test_messages_tell_all(method: str) -> None:
    """Declared, gapless, in NUTS's order, and with the result's draws; the same for the same seed only."""
    messages: list[dict[str, Any]] = []
    result = run(method, sink=messages.append)
    counts: dict[str, int] = {}
    for message in messages:
        assert set(message) == TYPES[message["type"]].__required_keys__  # type: ignore[attr-defined]
        assert message["seq"] == counts.get(message["part"], 0)
        counts[message["part"]] = message["seq"] + 1
    assert messages[0]["type"] == "nuts.start/1"
    assert messages[0]["settings"]["method"] == method
    assert messages[0]["seed"] == 3
    assert messages[-1] == {
        "type": "nuts.end/1", "part": "run", "seq": 1, "status": "completed", "draws": result.lengths,
    }  # fmt: skip
    draws = [m for m in messages if m["type"] == "nuts.draw/1"]
    assert len(draws) == result.num_chains * result.num_draws
    for message in draws:
        place = message["chain"], message["draw"]
        for name, value in message["values"].items():
            np.testing.assert_array_equal(value, result.draws[name][place])
        assert {name: column[place] for name, column in result.stats.items()} == message["stats"]
    again: list[dict[str, Any]] = []
    run(method, sink=again.append)
    assert lossless(again) == lossless(messages)
    other: list[dict[str, Any]] = []
    run(method, sink=other.append, seed=4)
    assert lossless(other)[1:] != lossless(messages)[1:]


def test_results_are_those_of_sample(method: str, tmp_path: Path) -> None:
    result = run(method)
    shape = (3, 40) if method == "smc" else (1, 40)
    assert {name: values.shape for name, values in result.draws.items()} == {
        "mu": shape, "s": (*shape, 2), "twice": (*shape, 2),
    }  # fmt: skip
    assert result.method == method
    assert repr(result).startswith(f"<Result of 'kept': {shape[0]} chains of 40 draws")
    np.testing.assert_array_equal(result.draws["twice"], 2 * result.draws["s"])
    from livenuts.compiler.target import compile_model
    from livenuts.compiler.x64 import x64

    bound = compile_model(model())
    with x64():
        first = {name: values[0, 7] for name, values in result.draws.items() if name != "twice"}
        position = bound.target.unconstrain(bound.data, np.zeros(3), first)
        lp = float(bound.target.evaluation(bound.data, position).log_density())
    assert result.stats["lp"][0, 7] == pytest.approx(lp, rel=1e-9)
    running = ln.RunningSummary()
    run(method, sink=running)
    assert running.summary()["mu"]["mean"] == pytest.approx(result.draws["mu"].mean())
    result.save(tmp_path / "kept")
    loaded = ln.load(tmp_path / "kept")
    assert loaded.method == method
    assert json.dumps(loaded.fit, default=np.ndarray.tolist) == json.dumps(result.fit, default=np.ndarray.tolist)
    np.testing.assert_array_equal(loaded.draws["s"], result.draws["s"])
    with pytest.raises(ValueError, match=f"extend needs a result of ln.sample; give this one, of ln.{method}"):
        ln.extend(loaded, 10)
    assert result.to_pandas().shape == (shape[0] * 40, 5)


def test_a_stop_keeps_what_there_is(method: str) -> None:
    asked = iter([False, False, False])
    messages: list[dict[str, Any]] = []
    result = run(method, stop=lambda: next(asked, True), sink=messages.append)
    assert result.status == "stopped"
    assert messages[-1]["status"] == "stopped"
    assert messages[-1]["draws"] == result.lengths
    if method == "smc":  # still at its first run
        assert result.num_draws == 0
    else:
        assert result.num_draws == 40
        assert np.isfinite(result.draws["mu"]).all()
    empty = run(method, stop=lambda: True)
    assert (empty.status, empty.num_draws) == ("stopped", 0)


def test_a_sink_that_fails_ends_it(method: str) -> None:
    """The error comes out, with what had been made; the sink is not asked for draws again."""
    heard = []

    def sink(message: dict[str, Any]) -> None:
        heard.append(message["type"])
        if len(heard) == 5:
            raise OSError("full")

    with pytest.raises(OSError, match="full") as caught:
        run(method, sink=sink)
    assert caught.value.result.status == "failed"  # type: ignore[attr-defined]
    assert heard[5:] == ["nuts.failure/1", "nuts.end/1"]


def test_an_interrupt_keeps_what_there_is() -> None:
    """Ctrl-C in the middle of a fit that would go on: the draws of what it had come to."""
    calls = []

    def sink(message: dict[str, Any]) -> None:
        calls.append(message["type"])
        if message.get("iteration") == 249:
            signal.raise_signal(signal.SIGINT)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = run("advi", sink=sink, max_iterations=10_000)
    assert result.status == "interrupted"
    assert result.num_draws == 40
    assert calls[-1] == "nuts.end/1"


def test_an_interrupt_before_anything_is_one() -> None:
    def sink(message: dict[str, Any]) -> None:
        if message["type"] == "nuts.start/1":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run("advi", sink=sink)


# -- NUTS that starts from them ----------------------------------------------------------------------------------------


def wide() -> ln.Model:
    """Ten coordinates, scales from 0.001 to 1000."""
    return ln.Model("wide").rv("x", dist.Normal(np.arange(10.0), 10.0 ** np.linspace(-3, 3, 10)))


@pytest.mark.parametrize("name", sorted(METHODS))
def test_a_fit_shortens_warm_up(name: str) -> None:
    """`warm_start=` ends warm-up after 50 iterations in place of 100 or more; and the posterior is the same.

    Means within 5 standard errors of 4000 draws at least; twenty checks: a false alarm in 1e5.
    """
    cold = ln.sample(wide(), seed=1, progress=False)
    fit = METHODS[name](wide(), seed=1, progress=False)
    warm = ln.sample(wide(), warm_start=fit, seed=1, progress=False)
    assert warm.tuning.num_warmup.max() < cold.tuning.num_warmup.min()
    summary = warm.summary()
    z = (summary.columns["mean"] - np.arange(10.0)) / summary.columns["mcse_mean"]
    assert np.abs(z).max() < 5.0
    np.testing.assert_allclose(summary.columns["sd"], 10.0 ** np.linspace(-3, 3, 10), rtol=0.2)


@pytest.mark.parametrize("name", sorted(METHODS))
def test_init_by_name_starts_at_the_fits_draws(name: str) -> None:
    """A thousand sd from where chains start otherwise: positions within 6 sd of the mean, and NUTS takes them."""
    far = ln.Model("far").rv("x", dist.Normal(1000.0, 1.0)).obs("y", dist.Normal("x", 1.0), 1000.0)
    positions = fitted_positions(far, name, 1, 10)
    assert len(positions) == 10
    assert np.abs(np.array(positions) - 1000.0).max() < 6 / np.sqrt(2)
    first, again = (ln.sample(far, init=name, num_warmup=50, num_samples=5, seed=1, progress=False) for _ in range(2))
    np.testing.assert_array_equal(first.draws["x"], again.draws["x"])


def test_init_takes_known_names_only() -> None:
    with pytest.raises(ValueError, match=r"the name of a method \(advi, pathfinder, smc\), got 'map'"):
        ln.sample(wide(), init="map", progress=False)


def test_names_wait_for_jax() -> None:
    """`import livenuts` leaves JAX alone, also with these names in it."""
    code = "import sys, livenuts; assert 'smc' in dir(livenuts); assert 'jax' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
