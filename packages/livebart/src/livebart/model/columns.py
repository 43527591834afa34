"""Columns of X as codes of uint8: bins of ordered columns, numbers of categories.

A cut is a value of the training data; a row is right of it where its value is larger. So codes depend on the order of
the values alone: they are the same after any increasing transform, shift or scale, of training and new rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from livebart.kernel.layout import MISSING, padded
from livebart.kernel.rules import COLUMN

MAX_CUTS = 255
MAX_CATEGORIES = 255


@dataclass(frozen=True)
class Column:
    """What is known of one column."""

    name: str
    cuts: np.ndarray | None
    """Increasing values of the training data; None for categories."""
    categories: tuple[Any, ...] | None
    """Sorted; a missing value is the category after the last."""
    missing: bool
    """Whether values were missing in the training data."""

    @property
    def codes(self) -> int:
        """How many codes there are, that of an ordered column's missing value apart."""
        if self.categories is not None:
            return len(self.categories) + self.missing
        assert self.cuts is not None
        return len(self.cuts) + 1

    def encode(self, values: np.ndarray) -> np.ndarray:
        """Codes of values as `split_table` gives them; a ValueError for what was not seen in fit."""
        absent = np.isnan(values)
        if absent.any() and not self.missing:
            where = int(np.flatnonzero(absent)[0])
            raise ValueError(
                f"column {self.name!r}: row {where} is missing (NaN), but no value was missing when the model was "
                "fitted, so it has not learned what that means; impute it, or fit with rows where it is missing"
            )
        if self.cuts is not None:
            codes = np.searchsorted(self.cuts, values, side="left").astype(np.uint8)
            codes[absent] = MISSING
            return codes
        assert self.categories is not None
        codes = np.where(absent, len(self.categories), values)
        return codes.astype(np.uint8)


def find_cuts(values: np.ndarray, limit: int) -> np.ndarray:
    """At most `limit` cuts: all distinct values but the largest, or else those at evenly spaced quantiles."""
    ordered = np.sort(values)
    distinct = ordered[np.concatenate([[True], ordered[1:] != ordered[:-1]])] if len(ordered) else ordered
    if len(distinct) - 1 <= limit:
        return distinct[:-1]
    ranks = np.arange(1, limit + 1) * len(ordered) // (limit + 1)
    cuts = np.unique(ordered[np.maximum(ranks - 1, 0)])
    return cuts[cuts < ordered[-1]]


def learn_columns(
    table: np.ndarray, names: Sequence[str], categories: dict[int, tuple[Any, ...]], limit: int
) -> list[Column]:
    """The columns of a table (row, column) of float64, in which categories are their numbers and NaN is missing."""
    found = []
    for j, name in enumerate(names):
        absent = np.isnan(table[:, j])
        missing = bool(absent.any())
        if j in categories:
            found.append(Column(name, None, categories[j], missing))
        else:
            cuts = find_cuts(table[~absent, j], min(limit, MAX_CUTS - missing))
            found.append(Column(name, cuts, None, missing))
    return found


def encode(columns: Sequence[Column], table: np.ndarray) -> np.ndarray:
    """Codes (column, row) of a table (row, column), its rows padded with 0."""
    codes = np.zeros((len(columns), padded(len(table))), np.uint8)
    for j, column in enumerate(columns):
        codes[j, : len(table)] = column.encode(table[:, j])
    return codes


def padded_rows(codes: np.ndarray) -> np.ndarray:
    """Codes (column, row) with padding."""
    found = np.zeros((len(codes), padded(codes.shape[1])), np.uint8)
    found[:, : codes.shape[1]] = codes
    return found


def describe(columns: Sequence[Column]) -> np.ndarray:
    """The columns as the kernel knows them."""
    described = np.zeros(len(columns), COLUMN)
    for row, column in zip(described, columns, strict=True):
        row["codes"] = column.codes
        row["ordered"] = column.categories is None
        row["missing"] = column.missing and column.categories is None
    return described


def active_columns(described: np.ndarray, codes: np.ndarray, rows: int) -> np.ndarray:
    """The columns that vary, by which a root can be split, in an order that follows from their codes alone.

    The sampler knows columns by their places here, so the order in which they stand in a table changes no bit.
    """
    some = described["codes"] > 1
    # An ordered column may have one value, and missing ones.
    some |= (described["missing"] != 0) & (codes[:, :rows].min(axis=1, initial=MISSING) < MISSING)
    content = [described[j].tobytes() + hashlib.sha256(codes[j, :rows].tobytes()).digest() for j in range(len(codes))]
    return np.array(sorted(np.flatnonzero(some), key=content.__getitem__), np.int32)


# -- frames ------------------------------------------------------------------------------------------------------------


def is_frame(table: Any) -> bool:
    """Whether this is a pandas or polars data frame, or one like them."""
    return hasattr(table, "columns") and hasattr(table, "dtypes") and hasattr(table, "shape")


def frame_values(table: Any, name: Any) -> np.ndarray:
    """A frame's column as objects, missing ones as None."""
    values = np.asarray(table[name].to_numpy(), dtype=object)
    return np.array([None if value is None or value != value else value for value in values], dtype=object)


def _is_words(table: Any, name: Any) -> bool:
    """Whether a frame's column holds categories or text."""
    dtype = str(table[name].dtype)
    if dtype.startswith(("category", "Categorical", "Enum", "String", "Utf8", "string", "str")):
        return True
    return dtype == "object" and any(isinstance(value, str) for value in frame_values(table, name))


def refuse_times(table: Any) -> None:
    """An error for a frame's column of dates or times."""
    for name in table.columns:
        dtype = str(table[name].dtype)
        if dtype.lower().startswith(("date", "time", "duration", "period")):
            raise ValueError(
                f"column {str(name)!r} holds times ({dtype}); give it as numbers, such as days since a date, or as "
                "columns of month and weekday"
            )


def chosen_categories(table: Any, wanted: Any, n_columns: int) -> list[int]:
    """The places of the categorical columns: `"from_dtype"`, None, or a list of names, of places or of booleans."""
    names = list(table.columns) if is_frame(table) else None
    if wanted is None or (isinstance(wanted, str) and wanted == "from_dtype"):
        if wanted is None or names is None:
            return []
        return [j for j, name in enumerate(names) if _is_words(table, name)]
    if isinstance(wanted, str):
        raise ValueError(f"categorical_features must be 'from_dtype', None, or a list of columns, got {wanted!r}")
    listed = list(wanted)
    if listed and all(isinstance(item, (bool, np.bool_)) for item in listed):
        if len(listed) != n_columns:
            raise ValueError(f"categorical_features: a mask needs one entry a column ({n_columns}), got {len(listed)}")
        return [j for j, item in enumerate(listed) if item]
    places = []
    for item in listed:
        if isinstance(item, str):
            if names is None or item not in names:
                raise ValueError(f"categorical_features: no column {item!r}" + ("" if names else " (X has no names)"))
            places.append(names.index(item))
        elif isinstance(item, (int, np.integer)) and 0 <= item < n_columns:
            places.append(int(item))
        else:
            raise ValueError(f"categorical_features: no column {item!r}; X has {n_columns}")
    return sorted(set(places))


def sorted_categories(values: Sequence[Any] | np.ndarray, name: str) -> tuple[Any, ...]:
    """The distinct values of a column that are not missing, in order."""
    distinct = {value for value in values if value is not None and value == value}
    if len(distinct) > MAX_CATEGORIES:
        raise ValueError(
            f"column {name!r} has {len(distinct)} categories, {MAX_CATEGORIES} are supported; group the rare ones, "
            "or encode them as a number"
        )
    try:
        ordered = sorted(distinct)
    except TypeError:
        ordered = sorted(distinct, key=lambda value: (type(value).__name__, str(value)))
    return tuple(value.item() if isinstance(value, np.generic) else value for value in ordered)


def number_categories(values: Sequence[Any] | np.ndarray, categories: tuple[Any, ...], name: str) -> np.ndarray:
    """The place of each value among its categories, NaN where it is missing."""
    places: dict[Any, float] = {category: float(place) for place, category in enumerate(categories)}
    numbers = np.empty(len(values))
    for row, value in enumerate(values):
        if value is None or value != value:
            numbers[row] = np.nan
        elif value in places:
            numbers[row] = places[value]
        else:
            raise ValueError(
                f"column {name!r}: category {value!r} (row {row}) was not seen when the model was fitted; "
                f"its categories are {', '.join(repr(c) for c in categories[:10])}"
                + (", ..." if len(categories) > 10 else "")
            )
    return numbers


def numeric_frame(table: Any, categories: dict[int, tuple[Any, ...]]) -> Any:
    """The frame with categories replaced by their numbers."""
    names = list(table.columns)
    changed = {}
    for j, known in categories.items():
        numbers = number_categories(frame_values(table, names[j]), known, str(names[j]))
        series = table[names[j]]
        changed[names[j]] = type(series)(numbers) if not hasattr(table, "with_columns") else numbers
    if not changed:
        return table
    if hasattr(table, "with_columns"):  # polars
        series_type = type(table[names[0]])
        return table.with_columns([series_type(name, numbers) for name, numbers in changed.items()])
    table = table.copy(deep=False)
    for name, series in changed.items():
        table[name] = np.asarray(series)
    return table


def refuse_columns(wanted: Sequence[Any], found: Sequence[Any]) -> None:
    """An error that says how a frame's columns differ from those of fit."""
    unseen = [name for name in found if name not in wanted]
    absent = [name for name in wanted if name not in found]
    told = ["The feature names should match those that were passed during fit."]
    if unseen:
        told.append(f"Feature names unseen at fit time: {', '.join(map(str, unseen))}.")
    if absent:
        told.append(f"Feature names seen at fit time, yet now missing: {', '.join(map(str, absent))}.")
    if not unseen and not absent:
        told.append("Feature names must be in the same order as they were in fit.")
    raise ValueError(" ".join(told))
