"""Results as tables of pandas and as pictures: what they show, where these libraries are there and where not."""

import builtins
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import livesim as ls
import numpy as np
import pytest
from livesim_models import barbershop, clinic

matplotlib = pytest.importorskip("matplotlib")
RUN: dict[str, Any] = {"until": 600.0, "seed": 5, "progress": False}


@pytest.fixture(autouse=True)
def no_window() -> Iterator[None]:
    matplotlib.use("Agg")
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


@pytest.fixture(scope="module")
def runs() -> ls.Runs:
    return ls.replicate(clinic(), 8, every=20.0, params=None, **RUN)


def titles(figure: Any) -> list[str]:
    return [axes.get_title(loc="left") for axes in figure.axes]


def test_replications_are_a_table(runs: ls.Runs) -> None:
    frame = runs.to_pandas()
    assert frame.shape == (8, len(runs.paths))
    assert frame.index.name == "replication"
    np.testing.assert_array_equal(frame["nurse.utilization"], runs.values("nurse.utilization"))
    means = np.linspace(8.0, 12.0, 3)
    drawn = ls.replicate(barbershop(), 3, params={"service": means}, **RUN).to_pandas()
    assert drawn["param.service"].tolist() == means.tolist()


def test_a_run_and_its_trace_are_tables() -> None:
    result = ls.run(barbershop(), 100.0, seed=1, trace=True)
    assert result.to_pandas()["customer.completed"] == result["customer"].completed
    assert result.trace is not None
    frame = result.trace.to_pandas()
    assert list(frame.columns) == ["time", "action", "process", "job", "step", "detail"]
    assert (frame["action"] == "depart").sum() == result["customer"].completed


def test_pictures_show_what_they_say(runs: ls.Runs) -> None:
    names = ["nurse", "room", "doctor", "desk a", "desk b"]
    over_time = runs.plot_over_time()
    assert titles(over_time) == [f"{name}.{what}" for name in names for what in ("utilization", "queue.mean")]
    bars = runs.plot_utilization().axes[0]
    assert [label.get_text() for label in bars.get_yticklabels()] == names
    widths = [bar.get_width() for bar in bars.patches]
    assert widths == [pytest.approx(runs.interval(f"{name}.utilization").estimate) for name in names]
    histogram = runs.plot("patient.sojourn.mean")
    assert titles(histogram) == ["patient.sojourn.mean"]
    assert sum(bar.get_height() for bar in histogram.axes[0].patches if bar.get_height() >= 1) >= 8
    assert str(runs.interval("patient.sojourn.mean")) in histogram.axes[0].get_xlabel()
    assert len(runs.plot().axes) == 6
    cut = runs.plot_warmup("patient.number.mean").axes[0]
    mean, welch, mser5 = (line.get_ydata() for line in cut.lines)
    np.testing.assert_array_equal(mean, runs.series("patient.number.mean").mean(axis=0))
    np.testing.assert_array_equal(welch, runs.welch("patient.number.mean", 1))
    assert set(cut.lines[2].get_xdata()) == {runs.mser5("patient.number.mean")[0]}
    assert len(mser5) == 2
    result = ls.run(barbershop(), 600.0, seed=1, every=20.0)
    assert titles(result.plot()) == ["barber.utilization", "barber.queue.mean"]
    assert titles(result.plot("customer.completed")) == ["customer.completed"]
    found = ls.compare(
        barbershop(service=12.0), barbershop(service=10.0), metric="customer.wait.mean", n=6, until=600.0, seed=1,
        progress=False,
    )  # fmt: skip
    assert titles(found.plot()) == ["customer.wait.mean", "first less second"]


def test_what_cannot_be_drawn_says_why(runs: ls.Runs) -> None:
    with pytest.raises(ValueError, match="plot: the run kept nothing over time; run it with every="):
        ls.run(barbershop(), 100.0, seed=1).plot()
    with pytest.raises(ValueError, match=r"plot_over_time: nothing was kept over time; give replicate every="):
        ls.replicate(barbershop(), 2, **RUN).plot_over_time()
    with pytest.raises(KeyError, match="no 'queues'; there are: utilization"):
        runs.plot_over_time("nurse.queues")
    with pytest.raises(KeyError, match="no 'nurses'; there are: nurse, room"):
        runs.plot("nurses.wait.mean")


@pytest.mark.parametrize(("library", "extra"), [("pandas", "pandas"), ("matplotlib.pyplot", "plot")])
def test_without_the_library_the_extra_is_named(
    library: str, extra: str, runs: ls.Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def missing(name: str, *arguments: Any, **keywords: Any) -> Any:
        if name == library:
            raise ImportError(name)
        return real(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ImportError, match=rf"pip install 'livesim\[{extra}\]'"):
        runs.to_pandas() if extra == "pandas" else runs.plot()


def test_importing_livesim_imports_none_of_the_heavy_ones() -> None:
    """A model is built, checked and saved at once: what compiles, draws or makes tables comes when it is needed."""
    heavy = ("numba", "scipy", "pandas", "matplotlib", "tqdm", "simpy", "distributed")
    found = f"import sys, livesim; print([name for name in {heavy} if name in sys.modules])"
    told = subprocess.run([sys.executable, "-c", found], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


def test_small_and_empty_numbers_can_be_read() -> None:
    model = ls.Model("idle").resource("desk").resource("door")
    model = model.process("visit", ls.arrive(every=50), ls.seize("door"), ls.hold(1), ls.release("door"), ls.depart())
    runs = ls.replicate(model, 3, every=20.0, **RUN)
    bars = runs.plot_utilization().axes[0]
    for bar, text in zip(bars.patches, bars.texts, strict=True):
        assert text.get_color() != "white"
        assert text.get_position()[0] > bar.get_width()
    for axes in runs.plot_over_time("desk.queue.mean").axes:
        assert axes.get_ylim() == (0.0, 1.0)
