"""Try a feature function on a few made-up rows, so that its mistakes show before any data is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from scoreline.app.columns import Boolean, Category, ColumnType, Integer, Number, Text, Time
from scoreline.errors import AppError

Array = np.ndarray[Any, Any]


def probe_function(
    name: str, function: Callable[..., Any], types: Mapping[str, ColumnType], never_null: frozenset[str]
) -> ColumnType:
    """Call `function` on three rows, and on each alone; return the type of what it gives.

    Raises
    ------
    AppError
        The function raises, gives something other than an array of as many rows, gives a dtype that
        is no column type, or treats a row differently when it stands alone (as a mean over the
        column would): online it sees one row.
    """
    columns = {argument: _made_up(t, with_null=argument not in never_null) for argument, t in types.items()}
    whole = _call(name, function, columns)
    kind = _type_of(name, whole)
    for row in range(3):
        alone = _call(name, function, {argument: values[row : row + 1] for argument, values in columns.items()})
        # numpy holds whole numbers as float as soon as one is missing, so those two dtypes may differ
        same_kind = _type_of(name, alone) == kind or {whole.dtype.kind, alone.dtype.kind} <= set("iuf")
        if not same_kind or not _same(alone[0], whole[row]):
            raise AppError(
                f"feature '{name}': its function answers differently for a row alone and among others; "
                "a feature function must treat each row by itself, since online it sees one row at a time"
            )
    return kind


def column_type_of(array: Array) -> ColumnType | None:
    """Return the column type that a function's array stands for, or None."""
    kinds: dict[str, ColumnType] = {"b": Boolean(), "i": Integer(), "u": Integer(), "f": Number(), "M": Time()}
    kinds |= {"O": Text(), "U": Text()}
    return kinds.get(array.dtype.kind)


def _call(name: str, function: Callable[..., Any], columns: Mapping[str, Array]) -> Array:
    rows = len(next(iter(columns.values())))
    try:
        with np.errstate(all="ignore"):
            result = function(**{argument: _read_only(values) for argument, values in columns.items()})
    except Exception as error:  # whatever the user's own code raises is reported as the app's mistake
        raise AppError(
            f"feature '{name}': its function failed on made-up rows: {type(error).__name__}: {error}. "
            "It gets arrays (times as datetime64[us], numbers as float64, text as objects; nulls among them), "
            "which it must not change."
        ) from error
    if not isinstance(result, np.ndarray):
        raise AppError(f"feature '{name}': its function must give an array, it gave {type(result).__name__}")
    if result.shape != (rows,):
        raise AppError(
            f"feature '{name}': its function changes the row count: it got {rows} rows and gave shape "
            f"{result.shape}. It must give one value for each row."
        )
    return result


def _type_of(name: str, result: Array) -> ColumnType:
    kind = column_type_of(result)
    if kind is None:
        raise AppError(
            f"feature '{name}': its function gives dtype {result.dtype}; expected bool, int, float, "
            "datetime64[us] or objects (text)"
        )
    if isinstance(kind, Text) and not all(value is None or isinstance(value, str) for value in result):
        raise AppError(
            f"feature '{name}': its function gives objects that are no text; expected str or None in an array of "
            "objects, else an array of bool, int, float or datetime64[us]"
        )
    return kind


def _read_only(values: Array) -> Array:
    """Copy and lock: other features see the same array, so a function that writes into it would change them."""
    copy = values.copy()
    copy.flags.writeable = False
    return copy


def _made_up(kind: ColumnType, *, with_null: bool) -> Array:
    if isinstance(kind, Time):
        last = "NaT" if with_null else "1999-12-31T00:00:00"
        return np.array(["2021-07-04T20:31:02", "2021-07-05T03:00:00", last], dtype="datetime64[us]")
    if isinstance(kind, (Text, Category)):
        known = kind.values if isinstance(kind, Category) else ("00501", "b")
        return np.array([known[0], known[-1], None if with_null else known[0]], dtype=object)
    return np.array([1.0, 0.0, np.nan if with_null else 1.0])


def _same(a: Any, b: Any) -> bool:
    return bool(a == b) or (a != a and b != b)
