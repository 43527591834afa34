"""What a run leaves: draws, summary, files, containers of other libraries, and a run that was cut short."""

import os
import signal
import subprocess
import sys
import time
import warnings
import zipfile
from pathlib import Path
from typing import Any

import livenuts as ln
import numpy as np
import pytest
from livenuts import dist, ref
from livenuts.compiler.target import compile_model
from livenuts.compiler.x64 import x64
from livenuts.diagnostics import COLUMNS, diagnose

RUN: dict[str, Any] = {"num_warmup": 200, "num_samples": 300, "num_chains": 4, "seed": 1, "progress": False}


def model() -> ln.Model:
    return (
        ln.Model("kept", coords={"k": ["a", "b", "c"]})
        .rv("mu", dist.Normal(0, 1))
        .rv("v", dist.Normal("mu", 1.0), dims="k")
        .rv("w", dist.HalfNormal(1.0), shape=(2, 2))
        .det("twice", 2 * ref("v"), dims=["k"])
        .obs("y", dist.Normal("v", 1.0), [0.5, 1.0, 1.5])
    )


@pytest.fixture(scope="module")
def result() -> ln.Result:
    return ln.sample(model(), **RUN)


def equal(first: ln.Result, second: ln.Result) -> None:
    for mine, other in ((first.draws, second.draws), (first.stats, second.stats), (first.observed, second.observed)):
        assert list(mine) == list(other)
        for name, values in mine.items():
            np.testing.assert_array_equal(values, other[name])
            assert values.dtype == other[name].dtype
    for name in ("model", "timings", "seed", "settings", "status", "lengths", "dims", "coords"):
        assert getattr(first, name) == getattr(second, name), name
    assert first.tuning.to_json() == second.tuning.to_json()


def test_shapes_and_types(result: ln.Result) -> None:
    shapes = {name: values.shape for name, values in result.draws.items()}
    assert shapes == {"mu": (4, 300), "v": (4, 300, 3), "w": (4, 300, 2, 2), "twice": (4, 300, 3)}
    assert {name: values.dtype.kind for name, values in result.stats.items()} == {
        "lp": "f", "energy": "f", "acceptance_rate": "f", "step_size": "f", "n_steps": "i", "tree_depth": "i",
        "diverging": "b", "index_in_trajectory": "i", "recovered": "b", "reached_max_treedepth": "b",
    }  # fmt: skip
    assert all(values.shape == (4, 300) for values in result.stats.values())
    assert set(result.timings) == {"compile", "warmup", "sampling"}
    assert repr(result) == "<Result of 'kept': 4 chains of 300 draws of mu, v, w, twice; completed>"


def test_depth_limit_is_reported() -> None:
    wide = ln.Model("wide").rv("x", dist.Normal(0, np.array([1.0, 1000.0])))
    run = RUN | {"num_warmup": 0, "num_samples": 50, "init": {"x": [0.1, 0.1]}}
    cut = ln.sample(wide, max_tree_depth=3, **run)
    assert cut.stats["tree_depth"].max() == 3
    assert cut.stats["n_steps"].max() == 7
    reached = (cut.stats["tree_depth"] == 3) & ~cut.stats["diverging"]
    np.testing.assert_array_equal(cut.stats["reached_max_treedepth"], reached)
    assert 0.1 < reached.mean() < 1.0
    assert ln.sample(wide, max_tree_depth=12, **run).stats["tree_depth"].max() > 10


def test_lp_is_the_log_density_of_the_draw(result: ln.Result) -> None:
    """Against SciPy, Jacobian included, for every draw."""
    from scipy import stats

    d = result.draws
    expected = stats.norm.logpdf(d["mu"]) + stats.norm.logpdf(d["v"], d["mu"][..., None]).sum(-1)
    expected += (stats.halfnorm.logpdf(d["w"]) + np.log(d["w"])).sum((-1, -2))
    expected += stats.norm.logpdf([0.5, 1.0, 1.5], d["v"]).sum(-1)
    np.testing.assert_allclose(result.stats["lp"], expected, rtol=1e-10, atol=1e-10)
    assert (result.stats["energy"] >= -result.stats["lp"]).all()


# -- summary -----------------------------------------------------------------------------------------------------------


def test_summary_is_arvizs(result: ln.Result) -> None:
    """Each column against ArviZ's own summary of the same draws."""
    arviz = import_arviz()
    if int(arviz.__version__.split(".")[0]) >= 1:
        pytest.skip("ArviZ 1 computes its summary by the functions that livenuts calls")
    summary = result.summary()
    theirs = arviz.summary(
        {name: result.draws[name] for name in ("mu", "v", "w")}, round_to=12, hdi_prob=0.9, fmt="wide"
    )
    for row in theirs.index:  # mcse_sd has a better formula since ArviZ 1.0
        mine = summary[row]
        for ours, his in [(n, n) for n in ("mean", "sd", "mcse_mean", "ess_bulk", "ess_tail", "r_hat")]:
            assert mine[ours] == pytest.approx(float(theirs.loc[row, his]), rel=1e-6), (row, ours)
    flat = result.draws["v"][..., 1].ravel()
    assert summary["v[1]"]["q5"] == pytest.approx(np.quantile(flat, 0.05))
    assert summary["v[1]"]["median"] == pytest.approx(np.median(flat))
    assert list(summary)[:6] == ["mu", "v[0]", "v[1]", "v[2]", "w[0, 0]", "w[0, 1]"]


def test_summary_prints_as_a_table(result: ln.Result) -> None:
    lines = str(result.summary()).splitlines()
    assert lines[0].split() == list(COLUMNS)
    assert lines[1].split()[0] == "mu"
    assert "4 chains of 300 draws, 0 divergences" in lines
    with pytest.raises(KeyError, match="no row 'z'"):
        result.summary()["z"]
    frame = result.summary().to_pandas()
    assert frame.loc["mu", "mean"] == result.summary()["mu"]["mean"]


def test_r_hat_sees_a_chain_apart() -> None:
    """Poison: one chain of four moved by a standard deviation, or half as wide; one chain with a trend."""
    draws = np.random.default_rng(0).normal(size=(4, 500, 1))
    assert diagnose(draws)["r_hat"][0] < 1.02
    moved, narrow, trend = draws.copy(), draws.copy(), draws[:1].copy()
    moved[0] += 1.0
    narrow[0] *= 0.4
    trend[0, :, 0] += np.linspace(-2, 2, 500)
    assert diagnose(trend - trend + draws[:1])["r_hat"][0] < 1.02
    for wrong in (moved, narrow, trend):
        assert diagnose(wrong)["r_hat"][0] > 1.05


@pytest.mark.parametrize("length", [0, 1, 3, 4, 10])
def test_summary_of_few_draws(length: int) -> None:
    draws = np.random.default_rng(1).normal(size=(1, length, 2))
    found = diagnose(draws)
    assert np.isnan(found["ess_bulk"]).all() == (length < 4)
    assert np.isnan(found["mean"]).all() == (length == 0)
    assert all(values.shape == (2,) for values in found.values())


def test_a_constant_has_no_r_hat_and_warns_of_nothing() -> None:
    """As the upper corner of a Cholesky factor."""
    found = diagnose(np.ones((2, 100, 1)))
    assert found["mean"] == 1.0
    assert np.isnan(found["r_hat"]).all()


def test_a_single_chain() -> None:
    alone = ln.sample(model(), **RUN | {"num_chains": 1})
    row = alone.summary()["mu"]
    assert all(np.isfinite(value) for value in row.values())
    assert 0.99 < row["r_hat"] < 1.05
    assert alone.draws["v"].shape == (1, 300, 3)


# -- files -------------------------------------------------------------------------------------------------------------


def test_save_and_load(result: ln.Result, tmp_path: Path) -> None:
    result.save(tmp_path / "run.npz")
    equal(ln.load(tmp_path / "run.npz"), result)
    assert [path.name for path in tmp_path.iterdir()] == ["run.npz"]  # no partial file stays
    result.save(str(tmp_path / "run"))
    equal(ln.Result.load(str(tmp_path / "run")), result)
    warm = ln.sample(model(), warm_start=ln.load(tmp_path / "run"), **RUN | {"num_warmup": 20})
    assert warm.status == "completed"


def test_a_file_that_is_not_a_result_is_refused(result: ln.Result, tmp_path: Path) -> None:
    result.save(tmp_path / "good")
    whole = (tmp_path / "good").read_bytes()
    wrong = {
        "empty": b"",
        "text": b"hello",
        "half": whole[: len(whole) // 2],
        "no end": whole[:-30],
        "an array": npy(np.zeros(3)),
        "pickle": b"\x80\x04N.",
        "flipped": whole[:2000] + bytes(255 - b for b in whole[2000:2400]) + whole[2400:],
    }
    for name, content in wrong.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"{name} is not a livenuts result") as caught:
            ln.load(path)
        assert "allow_pickle" not in str(caught.value)
    with zipfile.ZipFile(tmp_path / "other zip", "w") as file:
        file.writestr("a.txt", "hello")
    with pytest.raises(ValueError, match="is not a livenuts result"):
        ln.load(tmp_path / "other zip")
    np.savez(tmp_path / "other.npz", whole=np.frombuffer(b'{"format": "livenuts.result/1"}', np.uint8))
    with pytest.raises(ValueError, match="is not a livenuts result"):
        ln.load(tmp_path / "other.npz")
    with pytest.raises(FileNotFoundError):
        ln.load(tmp_path / "nowhere")


def test_a_damaged_byte_is_noticed(result: ln.Result, tmp_path: Path) -> None:
    """150 files with one byte changed: a ValueError, or, where the byte means nothing, the same result."""
    result.save(tmp_path / "good")
    whole = (tmp_path / "good").read_bytes()
    rng = np.random.default_rng(0)
    places = [*rng.integers(len(whole), size=75), *(len(whole) - 1 - rng.integers(1500, size=75))]
    refused = 0
    for place in places:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(8))
        (tmp_path / "damaged").write_bytes(damaged)
        try:
            loaded = ln.load(tmp_path / "damaged")
        except ValueError:
            refused += 1
        else:
            equal(loaded, result)
    assert refused > 75


def npy(array: np.ndarray) -> bytes:
    import io

    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


# -- other libraries ---------------------------------------------------------------------------------------------------


def import_arviz() -> Any:
    """ArviZ 0.23 warns of its own future once a day, on import."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("arviz")


def test_to_arviz(result: ln.Result) -> None:
    import_arviz()
    data = result.to_arviz()
    assert dict(data.posterior["v"].sizes) == {"chain": 4, "draw": 300, "k": 3}
    assert data.posterior["v"].coords["k"].values.tolist() == ["a", "b", "c"]
    np.testing.assert_array_equal(data.posterior["w"].values, result.draws["w"])
    np.testing.assert_array_equal(data.sample_stats["diverging"].values, result.stats["diverging"])
    np.testing.assert_array_equal(data.observed_data["y"].values, [0.5, 1.0, 1.5])
    assert data.posterior.attrs["inference_library"] == "livenuts"
    assert data.posterior.attrs["seed"] == 1


def test_to_pandas(result: ln.Result) -> None:
    pytest.importorskip("pandas")
    frame = result.to_pandas()
    assert frame.shape == (1200, 1 + 3 + 4 + 3)
    assert frame.index.names == ["chain", "draw"]
    assert frame.loc[(2, 7), "v[1]"] == result.draws["v"][2, 7, 1]
    assert frame.loc[(3, 0), "w[1, 0]"] == result.draws["w"][3, 0, 1, 0]


def test_plot_trace(result: ln.Result) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    try:
        figure = result.plot_trace()
        assert len(figure.axes) == 2 * 11
        assert figure.axes[2].get_ylabel() == "v[0]"
        figure.canvas.draw()
        assert len(result.plot_trace(["mu", "v"]).axes) == 2 * 4
        assert len(result.plot_trace("mu").axes) == 2
        with pytest.raises(ValueError, match="no variable 'z'"):
            result.plot_trace(["z"])
    finally:
        plt.close("all")


# -- going on ----------------------------------------------------------------------------------------------------------


def test_warm_start_takes_up_the_tuning(result: ln.Result) -> None:
    """No warm-up at all: the same metric and step sizes, and the first draw is one transition from the last."""
    warm = ln.sample(model(), warm_start=result, **RUN | {"num_warmup": 0, "seed": 2})
    np.testing.assert_array_equal(warm.tuning.inverse_mass, result.tuning.inverse_mass)
    np.testing.assert_allclose(warm.tuning.step_size, result.tuning.step_size, rtol=1e-14)
    stays = warm.stats["index_in_trajectory"][:, 0] == 0
    assert not stays.all()
    tuning = ln.Tuning.from_json(result.tuning.to_json())
    again = ln.sample(model(), warm_start=tuning, **RUN | {"num_warmup": 0, "seed": 2})
    np.testing.assert_array_equal(again.draws["v"], warm.draws["v"])
    # More chains than the tuning has take turns.
    more = ln.sample(model(), warm_start=result, **RUN | {"num_warmup": 10, "num_chains": 6})
    assert more.draws["mu"].shape == (6, 300)
    settled = ln.sample(model(), warm_start=result, **RUN | {"num_warmup": 30})
    np.testing.assert_array_equal(settled.tuning.inverse_mass, result.tuning.inverse_mass)
    assert not np.array_equal(settled.tuning.step_size, result.tuning.step_size)


def test_init_is_where_chains_start() -> None:
    """Constrained values go to the unconstrained scale and come back, through supports that depend on each other; what
    is not given keeps its random place."""
    nested = (
        ln.Model("nested")
        .rv("a", dist.HalfNormal(1.0))
        .rv("p", dist.Dirichlet(np.ones(3)))
        .rv("free", dist.Normal(0, 1))
        .rv("below", dist.Uniform(0, ref("a")))
    )
    given = {"below": 1.25, "a": 2.0, "p": np.array([0.2, 0.3, 0.5])}
    bound = compile_model(nested)
    position = bound.target.unconstrain(bound.data, np.full(5, 0.3), given)
    with x64():
        values = bound.target.evaluation(bound.data, position).values
    for name, value in (given | {"free": 0.3}).items():
        np.testing.assert_allclose(values[name], value, rtol=1e-12)
    # A narrow well far from any random start: found from its own start, one a chain.
    wells = ln.Model("wells").rv("x", dist.Normal(0, 100)).factor("f", -0.5 * ((ref("x") ** 2 - 900.0) / 0.6) ** 2)
    found = ln.sample(wells, init=[{"x": 30.0}, {"x": -30.0}], **RUN | {"num_chains": 2})
    assert (np.abs(found.draws["x"] - [[30.0], [-30.0]]) < 1.0).all()


def test_progress_is_silent_where_nobody_watches(capfd: pytest.CaptureFixture[str]) -> None:
    ln.sample(model(), **RUN | {"progress": True})
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")


INTERRUPTED = """
import sys, warnings
import livenuts as ln
from livenuts import dist
started = []
def sink(message):
    if message["type"] == "nuts.draw/1" and message["seq"] == 100 and not started:
        started.append(1)
        print("drawing", flush=True)
    if message["type"] == "nuts.end/1":
        print("end", message["status"], flush=True)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    result = ln.sample(ln.Model("long").rv("x", dist.Normal(0, 1), shape=20), seed=1, num_samples=10**8, num_chains=2,
                       num_warmup=100, progress=False, sink=sink)
import threading
names = [t.name for t in threading.enumerate() if t.name.startswith("livenuts")]
print("kept", result.status, result.num_draws > 100, result.draws["x"].shape[1] == result.num_draws, names)
print("said", any("interrupted" in str(w.message) for w in caught))
"""


@pytest.mark.skipif(os.name != "posix", reason="SIGINT as a terminal sends it")
def test_ctrl_c_keeps_the_draws() -> None:
    """A real process, a real SIGINT, in the middle of sampling."""
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "drawing\n"
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, err
    assert out.splitlines() == ["end interrupted", "kept interrupted True True []", "said True"]


def test_the_error_of_the_sd_is_the_error_of_the_sd() -> None:
    """30 runs: the spread of the sd's estimates over what `mcse_sd` says of one; false-alarm rate below 1e-6.

    The poison is the formula that counts the draws' own effective sample size: half of the truth under NUTS.
    """
    gauss = ln.from_logdensity(standard_normals, np.zeros(10))
    runs = [ln.sample(gauss, num_samples=2000, seed=seed, progress=False) for seed in range(30)]
    spread = np.std([run.draws["x"].std(axis=(0, 1)) for run in runs], axis=0, ddof=1)
    said = np.mean([run.summary().columns["mcse_sd"] for run in runs], axis=0)
    poison = np.mean([run.summary().columns["mcse_mean"] / np.sqrt(2) for run in runs], axis=0)
    # The root mean square ratio over ten parameters has a relative sd of 1 / sqrt(2 * 290) = 0.04.
    assert np.sqrt(np.mean((spread / said) ** 2)) == pytest.approx(1.0, abs=0.22)
    assert np.sqrt(np.mean((spread / poison) ** 2)) > 1.3


def standard_normals(position: Any) -> Any:
    return -0.5 * (position**2).sum()


def test_a_summary_says_what_speaks_against_it() -> None:
    funnel = ln.Model("funnel").rv("y", dist.Normal(0, 3)).rv("x", dist.Normal(0, ln.exp(ln.ref("y") / 2)), shape=9)
    concerns = "\n".join(
        ln.sample(funnel, seed=1, target_accept=0.6, num_samples=4000, progress=False).summary().concerns()
    )
    assert "r_hat above 1.01" in concerns
    assert "divergences: the draws may miss a part" in concerns
    gauss = ln.from_logdensity(standard_normals, np.zeros(10))
    assert ln.sample(gauss, seed=1, progress=False).summary().concerns() == []
