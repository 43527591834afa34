"""The report: complete, honest, and safe to open."""

import re
from typing import Any

import livequeue
import numpy as np
import pytest
from liverecipes.spc.data import Series, load
from liverecipes.spc.recipe import Settings, run
from liverecipes.spc.report import report
from liverecipes.spc.verdict import number, percent
from liverecipes.svg import nice_ticks, spaced

HOSTILE = "<script>alert(1)</script>\"'&\x1b[31m"


def page(data: Series, settings: Settings, keep: int | None = None) -> str:
    messages: list[dict[str, Any]] = []
    nuts: list[dict[str, Any]] = []
    stop = (lambda: len(messages) > keep) if keep else (lambda: False)
    run(data, settings, 3, messages.append, nuts.append, stop=stop)
    # What a listener gets is what went over the wire.
    decode = livequeue.decode
    wired = [decode(livequeue.encode(message)) for message in messages]
    return report("spc-test", wired, [decode(livequeue.encode(m)) for m in nuts], "live run spc --data nile --seed 3")


@pytest.fixture(scope="module")
def nile_page() -> str:
    nile = load("nile")
    return page(nile, Settings(prior=nile.prior, num_warmup=500, num_samples=500))


def test_nile_says_when_by_how_much_and_how_sure(nile_page: str) -> None:
    headline = re.search("<h1>(.*)</h1>", nile_page)
    assert headline is not None
    assert headline[1].startswith("The process changed between 1898 and 1899 with probability 76%, from 109")
    assert "95% interval -30" in headline[1]
    for words in (
        "more than 99.99%",
        "19.55",
        "0.7636",
        "0.1133",
        "ESS bulk",
        "R-hat",
        "MCSE",
        "The chains agree with one another",
        "likeliest run: since 1899",
        "P(run &lt;= 10) rose to 0.72",
        "live run spc --data nile --seed 3",
        "Normal-inverse-gamma: m 900, kappa 0.01, a 1, b 10000",
    ):
        assert words in nile_page
    assert nile_page.count("<svg") == 5


def test_it_is_one_file_that_asks_for_nothing(nile_page: str) -> None:
    assert "http" not in nile_page
    assert not re.search(r"<(script|link|img|iframe|object|embed|base)\b|@import|url\(|\bon\w+=|src=|href=", nile_page)
    assert "prefers-color-scheme: dark" in nile_page
    assert 'name="viewport"' in nile_page
    assert len(nile_page) < 200_000


def test_hostile_names_and_labels_are_text() -> None:
    rng = np.random.default_rng(15)
    values = np.concatenate([rng.normal(0, 1, 20), rng.normal(9, 1, 20)])
    data = Series(HOSTILE, (HOSTILE,) * 40, values, HOSTILE)
    found = page(data, Settings(nuts=False))
    assert "<script" not in found
    assert "&lt;script&gt;" in found


def test_without_a_change_it_says_so() -> None:
    rng = np.random.default_rng(16)
    found = page(Series("x", tuple(map(str, range(100))), rng.normal(0, 1, 100), "made here"), Settings(nuts=False))
    assert "<h1>No sign of a change: its probability is" in found
    assert "Had it changed, when?" in found
    assert "The process changed" not in found


def test_draws_that_disagree_are_called_so() -> None:
    # Two equally good changes: NUTS must find two far modes in proportion, and 20 draws cannot.
    data = Series(
        "x", tuple(map(str, range(60))), np.repeat([0.0, 9.0, 0.0], 20) + np.tile([0.1, -0.1], 30), "made here"
    )
    found = page(data, Settings(num_warmup=50, num_samples=20))
    assert "The chains do not agree well enough" in found


@pytest.mark.parametrize("values", [[], [5.0], [float("nan")] * 3, [5.0] * 30, [1.0, 2.0], [0.0] * 11 + [1e100]])
def test_awkward_series_have_a_report(values: list[float]) -> None:
    data = Series("x", tuple(map(str, range(len(values)))), np.array(values, dtype=float), "made here")
    found = page(data, Settings(nuts=False))
    assert "<h1>" in found
    assert "nan" not in re.sub("<style>.*</style>", "", found, flags=re.DOTALL).lower()


def test_a_stopped_run_has_a_report() -> None:
    nile = load("nile")
    found = page(nile, Settings(prior=nile.prior), keep=61)
    assert "The run was stopped after 61 points." in found
    assert "between 1898 and 1899" in found
    assert "NUTS did not run to its end" in found


def test_ten_thousand_points_make_a_page_that_opens() -> None:
    rng = np.random.default_rng(17)
    data = Series("x", tuple(map(str, range(10_000))), rng.normal(0, 1, 10_000), "made here")
    found = page(data, Settings(nuts=False, hazard=0.001))
    assert len(found) < 2_000_000
    assert "Every 5th point is drawn, and all alarms." in found


def test_it_says_that_nothing_was_monitored_and_that_nuts_was_not_asked_for() -> None:
    rng = np.random.default_rng(18)
    values = np.concatenate([rng.normal(0, 1, 20), rng.normal(9, 1, 20)])
    data = Series("x", tuple(map(str, range(40))), values, "made here")
    found = page(data, Settings(nuts=False, phase_one=1000))
    assert "Nothing was monitored: phase I, which sets what is normal, took every observation (40)." in found
    assert "NUTS was not asked for" in found
    assert "did not run to its end" not in found
    assert "Nothing was monitored" not in page(data, Settings(nuts=False))


def test_a_run_that_never_ended_has_no_report() -> None:
    with pytest.raises(ValueError, match=r"run 'x': no spc.start/1 message"):
        report("x", [], [], "")


def test_probabilities_are_never_certain() -> None:
    assert [percent(p) for p in (0, 1, 0.5, 0.76356, 0.0505, 0.983, 0.995, 0.0013)] == [
        "less than 0.01%", "more than 99.99%", "50%", "76%", "5.1%", "98.3%", "99.50%", "0.13%",
    ]  # fmt: skip


def test_numbers_and_ticks_are_round() -> None:
    assert number(1097.4, 1.2) == "1097"
    assert number(0.123456, 0.001) == "0.123"
    assert number(3e8, 1e7) == "3e+08"
    assert [number(1e9 + x, 0.05) for x in (0.0, 5.43)] == ["1000000000", "1000000005.43"]
    assert nice_ticks(0, 1) == [0, 0.2, 0.4, 0.6, 0.8, 1]
    assert nice_ticks(-3, 1.5) == [-3, -2, -1, 0, 1]
    assert spaced([str(year) for year in range(1871, 1971)])[0] == (9.0, "1880")
    assert spaced([]) == []
