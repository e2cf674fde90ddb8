"""How columns are held in Spark: by place and not by name, so that no name of an app's can be in the way."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa
from pyarrow import RecordBatch
from pyspark.sql import DataFrame, types

from scoreline.app.columns import Boolean, Category, ColumnType, Integer, Number, Text, Time
from scoreline.tables.typed import arrow_type

_ROWS_A_FILE = 1_000_000
PLACE, COLUMN, WHY = "place", "column", "why"  # beside a table's own columns: where a row was, and why it is set aside
# Times are counts of microseconds until they are written: no zone of any machine can touch them.
_HELD = {
    Text: types.StringType(),
    Category: types.StringType(),
    Integer: types.LongType(),
    Number: types.DoubleType(),
    Boolean: types.BooleanType(),
    Time: types.LongType(),
}


def held_type(kind: ColumnType) -> types.DataType:
    """Return the type that a column has while it is worked on."""
    return _HELD[type(kind)]


def written_type(kind: ColumnType) -> types.DataType:
    """Return the type that a column has where it is written: in Parquet the same as another engine writes."""
    return types.TimestampNTZType() if isinstance(kind, Time) else _HELD[type(kind)]


def held(values: pa.Array) -> pa.Array:
    """Return a typed column in the form that it is worked on."""
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    return values.cast(pa.int64()) if pa.types.is_timestamp(values.type) else values


def typed(values: pa.Array, kind: ColumnType) -> pa.Array:
    """Return a column that was worked on in its Arrow type."""
    return values.cast(arrow_type(kind))


def own(index: int) -> str:
    """Return the name that a table's column of this place has."""
    return f"c{index}"


def schema(kinds: Iterable[tuple[str, types.DataType]]) -> types.StructType:
    """Return a schema in which every column may be null."""
    return types.StructType([types.StructField(name, kind) for name, kind in kinds])


def in_order(frame: DataFrame, rows: int, *then: str) -> DataFrame:
    """Bring rows into the order of their place, in as many parts as there will be files; with one there is no sample.

    Parameters
    ----------
    rows : about how many there are
    then : by what rows of one place are ordered
    """
    return frame.repartitionByRange(rows // _ROWS_A_FILE + 1, PLACE).sortWithinPartitions(PLACE, *then)


def record_batch(columns: dict[str, pa.Array]) -> RecordBatch:
    """Return columns as a batch; Spark wants them in the order of the schema."""
    return pa.record_batch(list(columns.values()), names=list(columns))
