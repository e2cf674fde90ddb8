"""Parquet, in batches of rows, each column brought to its declared type where that loses nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from scoreline.app.columns import Boolean, Category, ColumnType, Integer, Number, Text, Time
from scoreline.errors import TableError
from scoreline.tables.typed import Typed, arrow_type, convert_strings, null_outside_range, only_years_1_to_9999

BATCH_ROWS = 1 << 18


def read_schema(path: Path) -> pa.Schema:
    """Return the schema of a Parquet file; TableError where it is none."""
    try:
        return pq.read_schema(path)
    except (OSError, pa.ArrowException) as error:
        raise TableError(f"{path}: is not a readable Parquet file ({error})") from error


def read_batches(path: Path, wanted: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Read the wanted columns in batches, in the order of the file."""
    try:
        with pq.ParquetFile(path) as file:
            yield from file.iter_batches(BATCH_ROWS, columns=list(wanted))
    except (OSError, pa.ArrowException) as error:
        raise TableError(f"{path}: is not a readable Parquet file ({error})") from error


def check_type(where: str, held: pa.DataType, kind: ColumnType) -> None:
    """Raise TableError if a column of type `held` can't stand for the declared type."""
    if pa.types.is_dictionary(held):
        held = held.value_type
    is_text = pa.types.is_string(held) or pa.types.is_large_string(held) or pa.types.is_string_view(held)
    is_number = pa.types.is_integer(held) or pa.types.is_floating(held) or pa.types.is_decimal(held)
    is_time = pa.types.is_timestamp(held) or pa.types.is_date(held)
    fits = {
        Text: is_text,
        Category: is_text,
        Integer: is_text or is_number,
        Number: is_text or is_number,
        Boolean: is_text or pa.types.is_boolean(held) or is_number,
        Time: is_text or is_time,
    }[type(kind)]
    if not fits and not pa.types.is_null(held):
        keep = " Write it as text, so that leading zeros are kept." if isinstance(kind, Text) else ""
        raise TableError(f"{where}: expected {kind.name}, the Parquet file holds {held}.{keep}")


def convert_column(values: pa.Array, kind: ColumnType) -> Typed:
    """Bring a Parquet column to its declared type; values that don't fit are marked as bad."""
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    target = arrow_type(kind)
    if pa.types.is_null(values.type):
        return Typed(pa.nulls(len(values), target))
    if pa.types.is_large_string(values.type) or pa.types.is_string_view(values.type):
        values = values.cast(pa.string())
    if pa.types.is_string(values.type):
        return convert_strings(pc.if_else(pc.equal(values, ""), None, values), kind)
    if isinstance(kind, Time):
        times = _to_utc_micros(values)
        return Typed(times, pc.and_(pc.is_valid(values), pc.is_null(times)))
    return _to_number(values, kind, target)


def as_shown(values: pa.Array) -> pa.Array:
    """Return values in a form that becomes Python objects whatever they are: times as text, in UTC."""
    if pa.types.is_timestamp(values.type):
        values = values.cast(pa.timestamp(values.type.unit))
    is_as_text = pa.types.is_temporal(values.type) or pa.types.is_string_view(values.type)  # Arrow can't take() a view
    return values.cast(pa.string()) if is_as_text else values


def _to_utc_micros(values: pa.Array) -> pa.Array:
    """Timestamps to microseconds, UTC: finer ones are cut off, dates are their midnight."""
    unit = "ms" if pa.types.is_date(values.type) else values.type.unit
    times = only_years_1_to_9999(values.cast(pa.timestamp(unit)))
    if unit == "ns":  # a cast would cut towards 1970, so times before it would grow
        times = pc.floor_temporal(times, unit="microsecond")
    return times.cast(pa.timestamp("us"))


def _to_number(values: pa.Array, kind: ColumnType, target: pa.DataType) -> Typed:
    if values.type == target and not isinstance(kind, (Integer, Number)):
        return Typed(values)
    floats = values.cast(pa.float64(), safe=False)
    if pa.types.is_floating(values.type):  # pandas writes a missing number as NaN
        values = pc.if_else(pc.is_nan(floats), None, values)
        floats = pc.if_else(pc.is_nan(floats), None, floats)
    if isinstance(kind, Integer):
        fits = pc.and_(pc.equal(pc.floor(floats), floats), pc.less(pc.abs(floats), 1e18))
    elif isinstance(kind, Boolean):
        fits = pc.or_(pc.equal(floats, 0.0), pc.equal(floats, 1.0))
    else:
        fits = pc.is_finite(floats)
    fits = pc.and_(fits, pc.is_valid(null_outside_range(floats, kind)))
    kept = pc.if_else(fits, values, None)
    return Typed(kept.cast(target, safe=False), pc.and_(pc.is_valid(values), pc.invert(fits)))
