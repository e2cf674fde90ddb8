"""Examples that the server that gives them can answer, and what it answers."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from scoreline.app.columns import ColumnType, Time
from scoreline.app.declaration import App
from scoreline.app.reply import of_heads
from scoreline.generations.golden import golden_requests, value_at
from scoreline.generations.parts import Parts
from scoreline.model.inputs import inputs_of
from scoreline.predictor import InputRow, Missing, Options
from scoreline.serving.kinds import inputs_kind
from scoreline.serving.problems import Problem

Record = dict[str, Any]
EXAMPLE_TOP = 3  # entries of a ranked list in the example


def example_records(app: App, parts: Parts) -> dict[str, Record]:
    """Return a record of each kind that can be scored, by the name of its kind: `request`, `inputs`."""
    found = {"request": _request(app, parts), "inputs": _inputs(app, parts)}
    return {name: record for name, record in found.items() if record is not None}


def replies_to(app: App, parts: Parts, records: Mapping[str, Record]) -> dict[str, Record]:
    """Return what the server answers these with, by the same names."""
    replies: dict[str, Record] = {}
    if "request" in records:
        asked: Any = tuple(records["request"].values())
        asked = asked if app.declared_request is None else golden_requests(app)[1]
        reply = parts.scorer.score([asked], Options(top=EXAMPLE_TOP))[0]
        if not isinstance(reply, Missing):
            replies["request"] = reply
    if "inputs" in records:
        (replies["inputs"],) = parts.direct.score([InputRow(tuple(records["inputs"].values()))])
    return replies


def as_written(media_type: str, app: App, records: Mapping[str, Record]) -> dict[str, Any]:
    """Return the bodies that records are in a media type; none of a type that holds no text."""
    write = _WRITERS.get(media_type)
    if write is None:
        return {}
    options = () if app.declared_request is None else ("top", app.declared_request.select)
    return {name: write(record, options) for name, record in records.items()}


def _as_csv(record: Record, options: tuple[str | None, ...]) -> str:
    """Write names and values: the columns alone, since a line has no place for options."""
    columns = {name: value for name, value in record.items() if name not in options}
    cells = [{True: "true", False: "false"}[cell] if isinstance(cell, bool) else cell for cell in columns.values()]
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([columns, cells])
    return out.getvalue()


_WRITERS: Mapping[str, Callable[[Record, tuple[str | None, ...]], Any]] = {
    "application/json": lambda record, _: record,
    "application/jsonlines": lambda record, _: msgspec.json.encode(record).decode() + "\n",
    "text/csv": _as_csv,
}


def _request(app: App, parts: Parts) -> Record | None:
    """Return the key of the first row of the store, or a record in the middle of all ranges."""
    request = app.declared_request
    if request is not None:
        fields = dict(zip(request.table.spec.columns, golden_requests(app)[1].values, strict=True))
        return fields if request.each is None else {**fields, "top": EXAMPLE_TOP}
    row = None if parts.store is None else parts.store.first()
    return None if row is None else dict(zip(app.spine.spec.key, row, strict=False))


def _inputs(app: App, parts: Parts) -> Record | None:
    """Return what the first row of the store holds for the heads, or values in the middle of all ranges."""
    if not of_heads(app.reply_fields):
        return None
    types = inputs_of(app).types
    row = None if parts.store is None else parts.store.first()
    if row is None:
        values = {name: value_at(kind, 0.5) for name, kind in types.items()}
    else:
        values = dict(zip(parts.generation.columns, row, strict=True))
    return {field.name: _or_null(field.kind, field.take, values.get(field.name)) for field in inputs_kind(types).fields}


def _or_null(kind: ColumnType, take: Callable[[Any], Any], value: Any) -> Any:
    """Return a value as inputs take it: a category outside its list, which tables keep, is refused, so null."""
    if value is None or isinstance(kind, Time):
        return None
    taken = take(value)
    return None if isinstance(taken, Problem) else taken
