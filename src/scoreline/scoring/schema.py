"""The columns of replies as a table: Arrow types for Parquet, names for CSV."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from scoreline.app.declaration import App
from scoreline.app.reply import ReplyField, of_heads
from scoreline.serving.openapi.schemas import problem_schema, reply_schema

ERROR, STALE = "error", "stale"
_PLAIN = {"string": pa.string(), "integer": pa.int64(), "number": pa.float64(), "boolean": pa.bool_()}


def reply_columns(app: App, *, request: bool, inputs: bool) -> pa.Schema:
    """Return the columns of an app's replies, all of which may be null, and `error`.

    Parameters
    ----------
    request, inputs : there may be records as the app asks for them; inputs of its heads
    """
    fields: dict[str, ReplyField] = dict(app.reply_fields) if request else {}
    if inputs:
        fields |= {name: given for name, given in of_heads(app.reply_fields).items() if name not in fields}
    described = reply_schema(app, fields)["properties"]
    columns = {name: arrow_of(described[name]) for name in fields}
    if any(_may_be_stale(app)):
        columns[STALE] = arrow_of(described[STALE])
    return pa.schema({**columns, ERROR: error_type()})


def error_type() -> pa.DataType:
    """Return the type of `error`: a problem's members, and the file that the record is in."""
    problem = {name: schema for name, schema in problem_schema()["properties"].items() if name != "problems"}
    return pa.struct({**{name: arrow_of(schema) for name, schema in problem.items()}, "file": pa.string()})


def arrow_of(schema: Mapping[str, Any]) -> pa.DataType:
    """Return the Arrow type of what a JSON schema describes.

    Examples
    --------
    >>> arrow_of({"type": "array", "items": {"type": "object", "properties": {"odds": {"type": ["number", "null"]}}}})
    ListType(list<item: struct<odds: double>>)
    """
    names = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    name = next(name for name in names if name != "null")
    if name == "object":
        return pa.struct({member: arrow_of(inner) for member, inner in schema["properties"].items()})
    return pa.list_(arrow_of(schema["items"])) if name == "array" else _PLAIN[name]


def _may_be_stale(app: App) -> list[bool]:
    specs = [table.spec for table in app.tables.values()]
    return [
        spec.stale_after_s is not None or (spec.reference is not None and spec.reference.stale_after_s is not None)
        for spec in specs
    ]
