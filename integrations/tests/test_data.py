"""Reading series: what is read, and the words for what cannot be."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from liverecipes.spc.data import DataError, load, parse

NAN = float("nan")

GOOD = {
    "one column": ("1\n2.5\n-3e2\n", None, [1, 2.5, -300], "123"),
    "header": ("flow\n1\n2\n", None, [1, 2], "12"),
    "label and value": ("year,flow\n1871,1120\n1872,1160\n", None, [1120, 1160], ["1871", "1872"]),
    "text label": ("when;x\na;1\nb;2\n", None, [1, 2], ["a", "b"]),
    "value first": ("x,when\n1,a\n2,b\n", None, [1, 2], ["a", "b"]),
    "semicolons and decimal commas": ("t;x\n1;3,25\n2;4,5\n", None, [3.25, 4.5], "12"),
    "tabs": ("t\tx\n1\t3\n2\t4\n", None, [3, 4], "12"),
    "blanks": ("1 3\n2 4\n", None, [3, 4], "12"),
    "byte order mark, CRLF": ("\ufeffx\r\n1\r\n2\r\n", None, [1, 2], "12"),
    "old Macintosh": ("x\r1\r2\r", None, [1, 2], "12"),
    "quotes": ('"the, x"\n"1"\n"2"\n', None, [1, 2], "12"),
    "comments and blank lines": ("# made by hand\nx\n\n1\n\n2\n\n", None, [1, 2], "12"),
    "missing": ("t,x\n1,5\n2,\n3,NaN\n4,n/a\n", None, [5, NAN, NAN, NAN], "1234"),
    "missing in the first row": ("NaN\n5\n", None, [NAN, 5], "12"),
    "chosen by name": ("a,b,c\n1,2,3\n4,5,6\n", "b", [2, 5], "14"),
    "chosen by number": ("a,b,c\n1,2,3\n4,5,6\n", "3", [3, 6], "14"),
    "a header of numbers' names": ("x1,x2\n1,a\n2,b\n", None, [1, 2], "ab"),
    "one number": ("5", None, [5], "1"),
}

BAD = {
    "empty": ("", None, "data.csv: the file is empty"),
    "only blank lines": ("\n \n\r\n", None, "data.csv: the file is empty"),
    "only a header": ("x\n", None, "no data below it"),
    "text in the column": ("x\n1\ntwo\n3\n", None, "data.csv, line 3, x: 'two' is not a number"),
    "text in half of the column": ("a;b\n1;2,5\n2;x\n", None, "data.csv, line 3, b: 'x' is not a number"),
    "infinite": ("x\n1\n2\n-inf\n", None, "data.csv, line 4, x: '-inf' is infinite"),
    "infinite at the top": ("inf\n1\n", None, "data.csv, line 1, column 1: 'inf' is infinite"),
    "too large": ("1\n1e200\n", None, "line 2, column 1: '1e200' is too large"),
    "ragged": ("a,b\n1,2\n3\n", None, "data.csv, line 3: 1 cell(s) where line 1 has 2: '3'"),
    "no numbers": ("a,b\nc,d\ne,f\n", None, "no column of numbers among a, b"),
    "which column": ("a,b,c\n1,2,3\n4,5,6\n", None, "3 columns of numbers (a, b, c): choose one with --column"),
    "unknown column": ("a,b\n1,2\n", "z", "--column z: no such column; there are: a, b"),
    "column zero": ("a,b\n1,2\n", "0", "--column 0: no such column"),
    "all missing": ("x\nNaN\nNaN\n", None, "x has no number, only missing values"),
    "python's own numbers": ("1_000\n2\n", None, "'1_000' is not a number"),
    "binary": ("\x7fELF\0\0", None, "this is not a text file"),
    "open quote": ('x\n"1\n', None, "data.csv, line 2"),
}


@pytest.mark.parametrize("case", GOOD)
def test_reads(case: str) -> None:
    text, column, values, labels = GOOD[case]
    series = parse(text.encode(), "data.csv", column)
    np.testing.assert_array_equal(series.values, values)
    assert list(series.labels) == list(labels)


@pytest.mark.parametrize("case", BAD)
def test_explains(case: str) -> None:
    text, column, message = BAD[case]
    with pytest.raises(DataError) as error:
        parse(text.encode(), "data.csv", column)
    assert message in str(error.value)
    assert len(str(error.value)) < 300


def test_utf_16_as_spreadsheets_save_it() -> None:
    assert parse("x\n1\n2\n".encode("utf-16"), "data.csv").values.tolist() == [1, 2]


def test_latin_1_labels() -> None:
    assert parse("jour;x\nfévrier;1\nmars;2\n".encode("latin-1"), "data.csv").labels[0] == "février"


def test_a_million_columns() -> None:
    with pytest.raises(DataError) as error:
        parse(b",".join([b"1"] * 1_000_000), "wide.csv")
    assert "1000000 columns of numbers (column 1, column 2" in str(error.value)
    assert len(str(error.value)) < 300


@settings(deadline=None, max_examples=300)
@given(st.one_of(st.binary(), st.text(alphabet='0123456789.,;\t\r\n"-einfNA#ax \0\ufeff').map(str.encode)))
@example(b"\xff\xfe1")
@example(b'"')
@example(b"1,2\n1,2")
@example("²\n".encode())
def test_any_bytes_are_read_or_explained(content: bytes) -> None:
    try:
        series = parse(content, "data.csv")
    except DataError:
        return
    assert len(series.values) == len(series.labels) > 0
    assert np.isfinite(series.values).any()
    assert not np.isinf(series.values).any()


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no such file, and no built-in series \(those are: nile, nist-cusum\)"):
        load(str(tmp_path / "nowhere.csv"))
    with pytest.raises(DataError, match="cannot be read"):
        load(str(tmp_path))
    (tmp_path / "endless.csv").write_bytes(b"1\n" * (33 << 20))
    with pytest.raises(DataError, match="larger than 64 MiB"):
        load(str(tmp_path / "endless.csv"))
    with pytest.raises(DataError, match="built-in"):
        load("nile", "flow")


def test_built_in_series() -> None:
    assert len(load("nile").values) == 100
    assert load("nile").labels[27:29] == ("1898", "1899")
    assert load("nist-cusum").values.mean() == pytest.approx(325.94, abs=0.3)
