"""The series: two built-in ones, and a reader of CSV files that explains what it could not read."""

import csv
import itertools
import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import BadInput
from .conjugate import FloatArray, NormalInverseGamma

LARGEST = 1e100
"""Larger numbers are refused: their squares leave too little room for sums."""

LARGEST_FILE = 64 << 20

MISSING = {"", "na", "nan", "n/a", "null", "none", "."}
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+([eE][+-]?\d+)?")
INFINITE = re.compile(r"[+-]?inf(inity)?", re.IGNORECASE)


class DataError(BadInput):
    """The data cannot be used; the message says where, what, and what would be right."""


@dataclass(frozen=True)
class Series:
    """One series of observations in order of time; NaN is a missing one."""

    name: str
    labels: tuple[str, ...]
    """One a point: a year, a date, a sample's number."""
    values: FloatArray
    source: str
    prior: NormalInverseGamma | None = None
    """What was known before the data; None: learned from the first stretch."""


def load(name: str, column: str | None = None) -> Series:
    """Return the built-in series of that name, or else read the CSV file at that path.

    Raises `DataError` for a file that is missing, malformed or without numbers.
    """
    if name in BUILT_IN:
        if column is not None:
            raise DataError(f"--column {column}: the built-in series {name!r} has one column only")
        return BUILT_IN[name]
    path = Path(name)
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except FileNotFoundError:
        known = ", ".join(sorted(BUILT_IN))
        raise DataError(f"{name}: no such file, and no built-in series (those are: {known})") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{name}: cannot be read: {error}") from None
    if len(content) > LARGEST_FILE:
        raise DataError(f"{name}: larger than {LARGEST_FILE >> 20} MiB; give the one column that is wanted")
    return parse(content, path.name, column)


def parse(content: bytes, name: str, column: str | None = None) -> Series:
    """Read one column of numbers from the bytes of a CSV file.

    The delimiter (comma, semicolon, tab, bar or blanks) is found from the first line; a header is optional; lines that
    are blank or begin with `#` are skipped. With semicolons or tabs, `3,14` is a number. An empty cell, NA or NaN is
    a missing observation. The first other column, if any, labels the points. Raises `DataError`, and nothing else.
    """
    rows = _rows(_decode(content, name), name)
    header = _header(rows)
    names = rows[0][1] if header else [f"column {position + 1}" for position in range(len(rows[0][1]))]
    body = rows[1:] if header else rows
    if not body:
        raise DataError(f"{name}: there is a header ({_some(names)}) and no data below it")
    chosen = _choose(names, body, name, column)
    values = []
    for line, cells in body:
        try:
            values.append(_number(cells[chosen]))
        except ValueError as error:
            raise DataError(f"{name}, line {line}, {names[chosen]}: {error}") from None
    if all(map(math.isnan, values)):
        raise DataError(f"{name}: {names[chosen]} has no number, only missing values")
    other = next((position for position in range(len(names)) if position != chosen), None)
    labels = [str(t + 1) if other is None else body[t][1][other] or str(t + 1) for t in range(len(body))]
    return Series(name, tuple(labels), np.array(values), f"the file {name}, {names[chosen]}")


def _decode(content: bytes, name: str) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = "utf-16"
    elif b"\0" in content:
        raise DataError(f"{name}: this is not a text file (it has a zero byte): give a CSV file")
    else:
        encoding = "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError:
        if encoding == "utf-16":
            raise DataError(f"{name}: the text is damaged UTF-16: save it as UTF-8") from None
        return content.decode("latin-1")  # numbers read the same, labels nearly always


def _rows(text: str, name: str) -> list[tuple[int, list[str]]]:
    """Split the text into (line number, cells), all of one width."""
    lines = re.split(r"\r\n|\r|\n", text)
    numbered = [
        (number, line) for number, line in enumerate(lines, 1) if line.strip() and not line.lstrip().startswith("#")
    ]
    if not numbered:
        raise DataError(f"{name}: the file is empty: one number a line would be right")
    delimiter = next((mark for mark in "\t;,|" if mark in numbered[0][1]), None)
    rows = []
    for number, line in numbered:
        if delimiter is None:
            cells = line.split()
        else:
            try:
                (cells,) = csv.reader([line], delimiter=delimiter, skipinitialspace=True, strict=True)
            except csv.Error as error:
                raise DataError(f"{name}, line {number}: {error}: {_short(line)}") from None
        cells = [cell.strip() for cell in cells]
        if delimiter in (";", "\t"):
            cells = [cell.replace(",", ".") if DECIMAL_COMMA.fullmatch(cell) else cell for cell in cells]
        rows.append((number, cells))
    width = len(rows[0][1])
    for number, cells in rows:
        if len(cells) != width:
            raise DataError(
                f"{name}, line {number}: {len(cells)} cell(s) where line {rows[0][0]} has {width}: "
                f"{_short(lines[number - 1])}"
            )
    return rows


def _number(cell: str) -> float:
    """Return the cell's number, NaN for a missing one; raise ValueError that names the cell."""
    if cell.lower() in MISSING:
        return math.nan
    if INFINITE.fullmatch(cell):
        raise ValueError(f"{cell!r} is infinite; leave the cell empty if the value is missing")
    if not NUMBER.fullmatch(cell):
        raise ValueError(f"{_short(cell)} is not a number; leave the cell empty if the value is missing")
    number = float(cell)
    if abs(number) > LARGEST:
        raise ValueError(f"{_short(cell)} is too large; at most {LARGEST:g} would be right")
    return number


def _readable(cell: str) -> bool:
    try:
        return not math.isnan(_number(cell))
    except ValueError:
        return False


def _header(rows: list[tuple[int, list[str]]]) -> bool:
    """Tell a header: a first row without any number or missing mark where some cell has text."""
    first = rows[0][1]
    return all(not _readable(cell) and cell.lower() not in MISSING - {""} for cell in first) and any(
        any(map(str.isalpha, cell)) and not INFINITE.fullmatch(cell) for cell in first
    )


def _choose(names: list[str], body: list[tuple[int, list[str]]], name: str, column: str | None) -> int:
    """Return the position of the column of observations."""
    if column is not None:
        if column in names:
            return names.index(column)
        if column.isdecimal() and 1 <= int(column[:9]) <= len(names):
            return int(column) - 1
        raise DataError(f"{name}: --column {column}: no such column; there are: {_some(names)}")
    if len(names) == 1:
        return 0
    numeric = [position for position in range(len(names)) if _mostly_numbers([cells[position] for _, cells in body])]
    if not numeric:
        raise DataError(f"{name}: no column of numbers among {_some(names)}: name one with --column")
    if len(numeric) == 1:
        return numeric[0]
    if len(numeric) == 2 and numeric[0] == 0 and _counts_up([cells[0] for _, cells in body]):
        return numeric[1]
    raise DataError(
        f"{name}: {len(numeric)} columns of numbers ({_some([names[p] for p in numeric])}): choose one with --column"
    )


def _mostly_numbers(cells: list[str]) -> bool:
    """Tell a column of numbers, even one with mistakes in it that deserve an error of their own."""
    present = [cell for cell in cells if cell.lower() not in MISSING]
    return 0 < len(present) <= 2 * sum(map(_readable, present))


def _counts_up(cells: list[str]) -> bool:
    """Tell an index (years, sample numbers): whole numbers, each larger than the one before."""
    try:
        numbers = [_number(cell) for cell in cells]
    except ValueError:
        return False
    return all(number == round(number) for number in numbers if not math.isnan(number)) and all(
        earlier < later for earlier, later in itertools.pairwise(numbers)
    )


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")


def _some(names: list[str]) -> str:
    shown = ", ".join(name if len(name) <= 40 else name[:37] + "..." for name in names[:8])
    return shown + (f" and {len(names) - 8} more" if len(names) > 8 else "")


NILE = """
1120 1160 963 1210 1160 1160 813 1230 1370 1140 995 935 1110 994 1020 960 1180 799 958 1140
1100 1210 1150 1250 1260 1220 1030 1100 774 840 874 694 940 833 701 916 692 1020 1050 969
831 726 456 824 702 1120 1100 832 764 821 768 845 864 862 698 845 744 796 1040 759
781 865 845 944 984 897 822 1010 771 676 649 846 812 742 801 1040 860 874 848 890
744 749 838 1050 918 986 797 923 975 815 1020 906 901 1170 912 746 919 718 714 740
"""
NIST_CUSUM = """
324.925 324.675 324.725 324.350 325.350 325.225 324.125 324.525 325.225 324.600
324.625 325.150 328.325 327.250 327.825 328.500 326.675 327.775 326.875 328.350
"""

BUILT_IN = {
    "nile": Series(
        "nile",
        tuple(str(year) for year in range(1871, 1971)),
        np.array(NILE.split(), dtype=float),
        "annual flow of the Nile at Aswan, 1871 to 1970, in 10^8 m^3 (Cobb 1978; public domain)",
        NormalInverseGamma(900.0, 0.01, 1.0, 1e4),
    ),
    "nist-cusum": Series(
        "nist-cusum",
        tuple(str(sample) for sample in range(1, 21)),
        np.array(NIST_CUSUM.split(), dtype=float),
        "20 sample means, target 325 (NIST/SEMATECH e-Handbook of Statistical Methods 6.3.2.3; public domain)",
        # The handbook's k = 0.3175 is half of its sigma, 0.635; the level is the target, give or take ten sigma.
        NormalInverseGamma(325.0, 0.01, 1.0, 0.635**2),
    ),
}
