"""The columns of a feature table, as they are held and as they stand in CSV."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from scoreline.features.plan import Plan
from scoreline.tables.typed import arrow_type


def feature_schema(plan: Plan) -> pa.Schema:
    """Return the feature table's schema."""
    return pa.schema([(name, arrow_type(kind)) for name, kind in plan.columns.items()])


def csv_schema(schema: pa.Schema) -> pa.Schema:
    """Return the schema of the same columns in CSV."""
    return pa.schema([(field.name, pa.string() if _is_time(field.type) else field.type) for field in schema])


def as_written(column: pa.Array) -> pa.Array:
    """Return a column as it stands in CSV: times as text."""
    if not _is_time(column.type):
        return column
    text = column.cast(pa.string())  # 2021-07-04 20:31:02.000000; strftime takes some twenty times as long
    return pc.binary_join_element_wise(pc.utf8_replace_slice(text, 10, 11, "T"), "Z", "")


def _is_time(kind: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(kind))
