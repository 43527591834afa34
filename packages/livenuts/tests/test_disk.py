"""Draws on disk: those of the result, at any moment, also after the process was killed."""

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import livenuts as ln
import numpy as np
import pytest
from livenuts import dist
from livenuts.disk import read_zarr

pytest.importorskip("zarr")

RUN: dict[str, Any] = {"num_warmup": 100, "num_samples": 130, "num_chains": 3, "seed": 1, "progress": False}


def model() -> ln.Model:
    kept = ln.Model("kept", coords={"k": ["a", "b"]}).rv("mu", dist.Normal(0, 1))
    return kept.rv("v", dist.Normal("mu", 1.0), dims="k").rv("w", dist.HalfNormal(1), shape=(2, 3))


def test_the_store_is_the_result(tmp_path: Path) -> None:
    path = tmp_path / "run.zarr"
    result = ln.sample(model(), sink=ln.to_zarr(path, every=40), **RUN)
    draws, stats, attrs = read_zarr(path)
    assert set(draws) == {"mu", "v", "w"}
    for name, values in draws.items():
        np.testing.assert_array_equal(values, result.draws[name])
    for name, values in stats.items():
        np.testing.assert_array_equal(values, result.stats[name])
        assert values.dtype == result.stats[name].dtype
    assert attrs["seed"] == 1
    assert set(stats) == set(result.stats) - {"reached_max_treedepth"}


def test_some_variables_thinned(tmp_path: Path) -> None:
    path = tmp_path / "run.zarr"
    result = ln.sample(model(), sink=ln.to_zarr(path, names="v", thin=7), **RUN)
    draws, stats, _ = read_zarr(path)
    assert list(draws) == ["v"]
    np.testing.assert_array_equal(draws["v"], result.draws["v"][:, ::7])
    np.testing.assert_array_equal(stats["lp"], result.stats["lp"][:, ::7])


def test_arviz_and_xarray_read_it(tmp_path: Path) -> None:
    pytest.importorskip("arviz")
    path = tmp_path / "run.zarr"
    result = ln.sample(model(), sink=ln.to_zarr(path), **RUN)
    data = ln.from_zarr(path)
    np.testing.assert_array_equal(data.posterior["w"].values, result.draws["w"])
    np.testing.assert_array_equal(data.sample_stats["diverging"].values, result.stats["diverging"])
    tree = pytest.importorskip("xarray").open_datatree(path, engine="zarr", consolidated=False)
    assert tree["posterior"]["v"].dims == ("chain", "draw", "k")
    np.testing.assert_array_equal(tree["posterior"]["v"].values, result.draws["v"])
    tree.close()


def test_other_methods_and_longer_runs_write_too(tmp_path: Path) -> None:
    fit = ln.smc(model(), num_samples=50, num_chains=2, seed=1, sink=ln.to_zarr(tmp_path / "smc"), progress=False)
    np.testing.assert_array_equal(read_zarr(tmp_path / "smc")[0]["mu"], fit.draws["mu"])
    first = ln.sample(model(), **RUN)
    longer = ln.extend(first, 20, sink=ln.to_zarr(tmp_path / "longer"), progress=False)
    np.testing.assert_array_equal(read_zarr(tmp_path / "longer")[0]["mu"], longer.draws["mu"])


KILLED = """
    import os, signal, sys
    import livenuts as ln
    from livenuts import dist
    model = ln.Model("kept").rv("mu", dist.Normal(0, 1)).rv("v", dist.Normal("mu", 1.0), shape=2)
    disk = ln.to_zarr(sys.argv[1], every=25)
    heard = []
    def sink(message):
        disk(message)
        if message["type"] == "nuts.draw/1" and message["chain"] == 1 and message["draw"] == 333:
            os.kill(os.getpid(), signal.SIGKILL)
    ln.sample(model, num_samples=2000, num_chains=2, seed=1, sink=sink, progress=False)
"""


def test_a_killed_run_leaves_what_it_had_flushed(tmp_path: Path) -> None:
    """Every flushed draw is there, and is the undisturbed run's; the same run goes on with the same store."""
    path = tmp_path / "run.zarr"
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(KILLED), str(path)], check=False)
    assert ended.returncode == -9
    killed = ln.Model("kept").rv("mu", dist.Normal(0, 1)).rv("v", dist.Normal("mu", 1.0), shape=2)
    whole = ln.sample(killed, num_samples=2000, num_chains=2, seed=1, progress=False)
    import zarr

    lengths = zarr.open_group(str(path), mode="r")["lengths"][:]
    assert lengths[1] >= 325
    assert lengths[1] <= 334
    draws, _, _ = read_zarr(path)
    length = draws["mu"].shape[1]
    used = [k for k in range(2) if lengths[k]]
    np.testing.assert_array_equal(draws["v"], whole.draws["v"][used, :length])
    ln.sample(killed, num_samples=2000, num_chains=2, seed=1, sink=ln.to_zarr(path, every=25), progress=False)
    np.testing.assert_array_equal(read_zarr(path)[0]["v"], whole.draws["v"])


def test_doors(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("something")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "note").write_text("something")
    for place, error in (("file", NotADirectoryError), ("folder", FileExistsError), ("file/inside", OSError)):
        with pytest.raises(error, match="to_zarr"):
            ln.to_zarr(tmp_path / place)
    with pytest.raises(ValueError, match="thin must be a positive integer, got 0"):
        ln.to_zarr(tmp_path / "a", thin=0)
    with pytest.raises(ValueError, match="no variable 'z'; variables are mu, v, w"):
        ln.sample(model(), sink=ln.to_zarr(tmp_path / "b", names=["z"]), **RUN)
    ln.sample(model(), sink=ln.to_zarr(tmp_path / "c"), **RUN)
    with pytest.raises(FileExistsError, match=r"holds another run \(seed is 1, this run's is 2\)"):
        ln.sample(model(), sink=ln.to_zarr(tmp_path / "c"), **RUN | {"seed": 2})
    with pytest.raises(FileNotFoundError, match="there is no Zarr store"):
        ln.from_zarr(tmp_path / "nowhere")


def test_a_full_disk_stops_the_run_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = ln.to_zarr(tmp_path / "run", every=50)
    put, calls = sink._put, []

    def full(name: str, *rest: Any) -> None:
        calls.append(name)
        if len(calls) > 30:
            raise OSError(28, "No space left on device")
        put(name, *rest)

    monkeypatch.setattr(sink, "_put", full)
    with pytest.raises(OSError, match=r"to_zarr .*run: chain ., draws from .*No space left on device") as caught:
        ln.sample(model(), sink=sink, **RUN)
    assert caught.value.result.status == "failed"  # type: ignore[attr-defined]
    draws, _, _ = read_zarr(tmp_path / "run")
    assert np.isfinite(draws["mu"]).all()
